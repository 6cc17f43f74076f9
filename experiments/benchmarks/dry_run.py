"""The recipe for NTU RGB+D 120, tried from raw files on: does it learn, does it fit memory, does it
continue after a kill?

    python experiments/benchmarks/dry_run.py --out results/scale/dry_run.json

The files are synthetic (`last synth`: NTU's names, joints and layout, fourteen actions), so that
their accuracy says nothing about NTU. Everything else is what one does with the real ones: prepare,
train with `--config ntu120_xsub` in its full size (64 frames, two persons, batch 64), killed by
SIGKILL after some epochs, started again with the same command. It runs on the CPU.
"""

import json
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import tyro

from last.core import environment, process_memory, write_json

LAST = [sys.executable, "-m", "last"]
CPU = ["--device", "cpu", "--amp", "bf16", "--workers", "0", "--checkpoint-every", "1"]


@dataclass
class Config:
    "Try the recipe of a config on synthetic files."

    out: str  # results JSON to write
    config: str = "ntu120_xsub"
    epochs: int = 10  # the first cycle of warm restarts
    kill_after: int = 4  # epochs that are done when the training is killed
    model: str = ""  # another network than the config's
    subjects: int = 6
    replications: int = 2


def peak_memory(pid: int) -> int:
    "The largest resident set of a process so far, in bytes; 0 if it is gone."
    try:
        return process_memory("VmHWM", pid)
    except (OSError, ValueError):
        return 0


def epochs_done(run: Path) -> int:
    "Epochs in the history of a run that may not have begun."
    file = run / "history.json"
    return len(json.loads(file.read_text(encoding="utf-8"))) if file.is_file() else 0


def train(words: list[str], run: Path, kill_after: int = 0) -> tuple[int, float]:
    "Train to the end, or until so many epochs are done; peak memory in bytes, and seconds."
    began, peak = time.perf_counter(), 0
    process = subprocess.Popen([*LAST, "train", *words], stdout=subprocess.DEVNULL)
    while process.poll() is None:
        peak = max(peak, peak_memory(process.pid))
        if kill_after and epochs_done(run) >= kill_after:
            process.send_signal(signal.SIGKILL)
            process.wait()
            break
        time.sleep(0.2)

    wanted = -signal.SIGKILL if kill_after else 0
    if process.returncode != wanted:
        raise SystemExit(f"training ended with status {process.returncode}, expected {wanted}")
    return peak, time.perf_counter() - began


def main(cfg: Config) -> None:
    with tempfile.TemporaryDirectory() as folder:
        raw, store, run = (Path(folder) / name for name in ("raw", "store", "run"))
        size = ["--subjects", str(cfg.subjects), "--replications", str(cfg.replications)]
        subprocess.run([*LAST, "synth", "--out", raw, *size], check=True)
        prepare = ["prepare", "--root", raw, "--dataset", "ntu120", "--out", store]
        subprocess.run([*LAST, *prepare], check=True)

        words = ["--config", cfg.config, "--data", str(store), "--out", str(run), *CPU]
        words += ["--epochs", str(cfg.epochs), "--part", "train"]
        words += ["--model", cfg.model] * bool(cfg.model)
        before, first = train(words, run, cfg.kill_after)
        done = epochs_done(run)
        after, second = train(words, run)

        about = json.loads((run / "config.json").read_text(encoding="utf-8"))
        history = json.loads((run / "history.json").read_text(encoding="utf-8"))
        clips = len((run / "trained_on.txt").read_text(encoding="utf-8").split())

    write_json(
        Path(cfg.out),
        dict(
            trained=about,
            clips=clips,
            epochs_before_the_kill=done,
            epochs=len(history),
            losses=[epoch["loss"] for epoch in history],
            peak_memory_bytes=max(before, after),
            seconds=first + second,
            environment=environment(),
        ),
    )


if __name__ == "__main__":
    main(tyro.cli(Config))
