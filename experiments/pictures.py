"""The moving picture at the top of the README: the synthetic puppet performs five actions.

python experiments/pictures.py --out docs/images/puppet.gif
"""

from dataclasses import dataclass

import matplotlib
import numpy as np
import tyro
from matplotlib import pyplot as plt
from matplotlib.animation import FuncAnimation, PillowWriter

from last.skeletons import get_skeleton
from last.synthetic import CLASSES, perform

ACTIONS = ("wave", "kick", "squat", "jump", "bow")
FRAMES, FPS = 48, 16
COLORS = {"left": "tab:blue", "right": "tab:orange"}
VIEW = np.deg2rad(25)  # the puppet is turned a little, so that depth can be seen


@dataclass
class Config:
    "Draw the puppet."

    out: str = "docs/images/puppet.gif"


def looped(action: str) -> np.ndarray:  # (FRAMES, 25, 2)
    "A performance seen from the front, sampled to FRAMES frames."
    points = perform(CLASSES.index(action), subject=1, replication=1)[0]
    across = points[..., 0] * np.cos(VIEW) - points[..., 2] * np.sin(VIEW)
    flat = np.stack([-across, points[..., 1]], -1)
    at = np.linspace(0, len(flat) - 1, FRAMES).round().astype(int)
    return flat[at]


def main(cfg: Config) -> None:
    matplotlib.use("Agg")
    skeleton = get_skeleton("ntu25")
    fig, axes = plt.subplots(1, len(ACTIONS), figsize=(7.5, 2), dpi=80, layout="constrained")
    head = skeleton.joints.index("head")
    drawn = []
    for ax, action in zip(axes, ACTIONS):
        clip = looped(action)
        lines = []
        for joint, parent in skeleton.bones:
            side = skeleton.joints[joint].split()[0]
            color = COLORS.get(side, "dimgray")
            line = ax.plot([], [], color=color, lw=2.5, solid_capstyle="round")[0]
            lines.append((line, joint, parent))

        face = plt.Circle((0, 0), 0.11, color="dimgray")
        ax.add_patch(face)
        ax.set_title(action, fontsize=10)
        ax.set(xlim=(-0.95, 0.95), ylim=(-0.05, 2.1), aspect="equal")
        ax.axis("off")
        drawn.append((clip, lines, face))

    def show(t):
        for clip, lines, face in drawn:
            for line, joint, parent in lines:
                line.set_data(clip[t, [joint, parent], 0], clip[t, [joint, parent], 1])
            face.center = clip[t, head]

    FuncAnimation(fig, show, FRAMES).save(cfg.out, PillowWriter(FPS))


if __name__ == "__main__":
    main(tyro.cli(Config))
