"Started by torchrun: trains what a JSON file says, one run after the other, in all processes."

import json
import os
import sys
from pathlib import Path

from last.core import config_from_dict
from last.distillation import DistillConfig, distill
from last.training import TrainConfig, train
from last.video_training import FinetuneConfig, finetune

PHASES = {
    "train": (TrainConfig, train),
    "distill": (DistillConfig, distill),
    "finetune": (FinetuneConfig, finetune),
}


def main(file: str) -> None:
    for phase, settings in json.loads(Path(file).read_text(encoding="utf-8")):
        config, run = PHASES[phase]
        settings["out"] = settings["out"].replace("{rank}", os.environ["RANK"])
        run(config_from_dict(config, settings), quiet=True)


if __name__ == "__main__":
    main(sys.argv[1])
