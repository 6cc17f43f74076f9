"""The clips that the weights `core15` learn from: HDM05 in fifteen joints, and puppets.

    python experiments/core15_store.py --out STORE
    python experiments/core15_store.py --out STORE --more STORES/utd-mhad-core15

A network that knows eleven actions should say `nothing` of a twelfth. The only other movements that
may be shipped are those of our own puppets (`04_puppet`): they wave, clap, punch, bow, walk, turn,
sit down, stand up, shake hands and push, and all of that carries the label `nothing`. They kick and
squat, too, under these names: else whatever moves like a puppet would be nothing. Every puppet is
one of the three training actors, so that the turns of the actors hold for them.

`--more` adds the training clips of other sets (stores in the same joints: `prepare --as core15`)
with their classes, for those who have them; their terms decide who may get such weights. A puppet's
move that is one of these classes carries its name. Their persons take turns with the actors; their
test persons and test views stay away, so that `shipped.py` can ask them.
"""

from dataclasses import dataclass, replace

import numpy as np
import tyro

from last.datasets import NOTHING
from last.hdm05 import ACTIONS, read_pack
from last.joint_maps import map_joints
from last.parsing import Clip
from last.puppet import CLASSES
from last.skeletons import get_skeleton
from last.store import Store, write_store
from last.synthetic import film, perform

PROTOCOL = {"utd-mhad": "xsub", "nw-ucla": "b"}  # what trains and what tests in other sets
SAME = {  # a name elsewhere -> the same action's name here
    "basketball shoot": "throw a basketball",
    "punch": "boxing",
    "push the other": "push",
    "sit to stand": "stand up",
    "stand to sit": "sit down",
    "walk around": "walk",
    "walk in place": "walk",
}
TOO_NEAR = {"jump", "raise both arms"}  # neither the same as an action, nor another one


@dataclass
class Config:
    "How many puppets, and where to."

    out: str
    takes: int = 6  # performances per move, each by another puppet; twice as many of known ones
    more: tuple[str, ...] = ()  # stores of other sets in the same joints


def name_here(name: str) -> str:
    "The class of a clip of another set, or of a puppet."
    return SAME.get(name, name)


def puppets(takes: int, actions: list[str], first: int = 0) -> list[Clip]:
    "One clip per move and take, seen from in front; a move that is none of the actions is nothing."
    ntu, core = get_skeleton("ntu25"), get_skeleton("core15")
    clips = []
    for action, move in enumerate(CLASSES):
        if move in TOO_NEAR:
            continue

        known = name_here(move) in actions
        label = actions.index(name_here(move)) if known else len(actions)
        for take in range(first, first + (2 * takes if known else takes)):
            bodies = film(perform(action, take, take), 2, np.random.default_rng([action, take]))
            points = map_joints(np.float32(bodies[:1]), ntu, core)
            name = f"puppet_{take}_{move.replace(' ', '_')}"
            clips.append(Clip(name, points, label, subject=take % 3 + 1))

    return clips


def clips_of(store: Store, actions: list[str]) -> list[Clip]:
    "The training clips of another set, with its persons as the three training actors."
    if store.skeleton.name != "core15":
        raise SystemExit(f"{store.path}: joints of {store.skeleton.name}; prepare it --as core15")

    clips = []
    for i in store.part(PROTOCOL[store.dataset.name], "train"):
        label = actions.index(name_here(store.classes[store.index.labels[i]]))
        person = int(store.index.subjects[i]) % 3 + 1
        name = f"{store.dataset.name}_{store.index.names[i]}"
        clips.append(Clip(name, store[i], label, subject=person))

    return clips


def main(cfg: Config) -> None:
    full, core = get_skeleton("hdm05"), get_skeleton("core15")
    others = [Store(folder) for folder in cfg.more]
    theirs = [name_here(name) for store in others for name in store.classes]
    actions = list(dict.fromkeys([*ACTIONS.values(), *theirs]))
    clips = [replace(clip, points=map_joints(clip.points, full, core)) for clip in read_pack()]
    clips += puppets(cfg.takes, actions)
    clips += [clip for store in others for clip in clips_of(store, actions)]
    store = write_store(cfg.out, clips, core, [*actions, NOTHING], "hdm05")
    parts = {part: len(store.part("xsub", part)) for part in ("train", "fit", "val", "test")}
    print(f"{cfg.out}: {len(store)} clips of {len(store.classes)} classes, {parts}")


if __name__ == "__main__":
    main(tyro.cli(Config))
