"""The clips that the weights `core15` learn from: HDM05 in fifteen joints, and puppets.

    python experiments/core15_store.py --out STORE

A network that knows eleven actions should say `nothing` of a twelfth. The only other movements that
may be shipped are those of our own puppets (`04_puppet`): they wave, clap, punch, bow, walk, turn,
sit down, stand up, shake hands and push, and all of that carries the label `nothing`. They kick and
squat, too, under these names: else whatever moves like a puppet would be nothing. Every puppet is
one of the three training actors, so that the turns of the actors hold for them.
"""

from dataclasses import dataclass, replace

import numpy as np
import tyro

from last.hdm05 import ACTIONS, read_pack
from last.joint_maps import map_joints
from last.parsing import Clip
from last.protocols import NOTHING
from last.puppet import CLASSES
from last.skeletons import get_skeleton
from last.store import write_store
from last.synthetic import film, perform

SAME = {"kick": "kick", "squat": "squat"}  # a puppet's move -> an action of HDM05
TOO_NEAR = {"jump", "raise both arms"}  # neither the same as an action, nor another one


@dataclass
class Config:
    "How many puppets, and where to."

    out: str
    takes: int = 6  # performances per move, each by another puppet; twice as many of known ones


def puppets(takes: int) -> list[Clip]:
    "One clip per move and take, seen from in front."
    ntu, core = get_skeleton("ntu25"), get_skeleton("core15")
    clips = []
    for action, move in enumerate(CLASSES):
        if move in TOO_NEAR:
            continue

        label = list(ACTIONS.values()).index(SAME[move]) if move in SAME else len(ACTIONS)
        for take in range(2 * takes if move in SAME else takes):
            bodies = film(perform(action, take, take), 2, np.random.default_rng([action, take]))
            points = map_joints(np.float32(bodies[:1]), ntu, core)
            name = f"puppet_{take}_{move.replace(' ', '_')}"
            clips.append(Clip(name, points, label, subject=take % 3 + 1))

    return clips


def main(cfg: Config) -> None:
    full, core = get_skeleton("hdm05"), get_skeleton("core15")
    clips = [replace(clip, points=map_joints(clip.points, full, core)) for clip in read_pack()]
    clips += puppets(cfg.takes)
    store = write_store(cfg.out, clips, core, [*ACTIONS.values(), NOTHING], "hdm05")
    parts = {part: len(store.part("xsub", part)) for part in ("train", "fit", "val", "test")}
    print(f"{cfg.out}: {len(store)} clips, {parts}")


if __name__ == "__main__":
    main(tyro.cli(Config))
