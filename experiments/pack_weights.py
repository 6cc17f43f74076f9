"""A trained run as weights that ship: half precision, license and attribution in the file.

python experiments/pack_weights.py --run RUN --out last/weights/NAME
"""

import shutil
from dataclasses import dataclass
from pathlib import Path

import torch
import tyro
from safetensors.torch import load_file, save_file

from last.checksums import check_listed, list_files
from last.hdm05 import CREDIT

FILES = ("config.json", "last.safetensors", "trained_on.txt")


@dataclass
class Config:
    "From where to where."

    run: str
    out: str


def main(cfg: Config) -> None:
    run, out = Path(cfg.run), Path(cfg.out)
    for name in FILES:
        check_listed(run / name)

    out.mkdir(parents=True, exist_ok=True)
    weights = load_file(run / "last.safetensors")
    half = {k: w.half() if w.dtype == torch.float32 else w for k, w in weights.items()}
    about = dict(license="CC-BY-SA-3.0", attribution=f"Trained on HDM05. {CREDIT}")
    save_file(half, out / "last.safetensors", about)
    for name in ("config.json", "trained_on.txt"):
        shutil.copy(run / name, out / name)

    list_files(out, FILES)
    print(f"{out}: {sum(file.stat().st_size for file in out.iterdir()) / 1e6:.2f} MB")


if __name__ == "__main__":
    main(tyro.cli(Config))
