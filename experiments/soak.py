"""Kill commands at random moments, start them again, and compare with an undisturbed run.

    python experiments/soak.py --out results/scale/soak.json            # 50 kills of each command
    python experiments/soak.py --kills 3 --commands train prepare       # a sample

Everything runs on small synthetic data in a temporary folder. A trial starts a command, sends
SIGKILL at a moment drawn evenly from the time that an undisturbed run takes, starts the same
command again, and compares what it leaves: byte for byte, apart from what names the machine's
folders and versions (`config.json` and results hold those). A command that ends before its moment
comes is started again with another one. `make soak` runs all of it. Each command has its entry in
the results as soon as it is done; the others stay.
"""

import argparse
import hashlib
import json
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

LAST = [sys.executable, "-m", "last"]
TRAIN = "--protocol given --model nano --epochs 5 --schedule cosine --warmup 1 --batch 8"
TRAIN += " --pre.frames 8 --checkpoint-every 1 --device cpu --threads 1"
GRID = """\
sets: [store given]
settings: {model: nano, epochs: 2, batch: 8, schedule: cosine, warmup: 0, checkpoint_every: 1,
  device: cpu, pre: {frames: 8}}
rows:
  a: {}
  b: {lr: 0.002}
"""


@dataclass
class Job:
    "A command, what it needs, and what it leaves."

    words: str  # {out} is its folder, {place} where the inputs are
    results: tuple[str, ...]  # patterns below {out}, compared byte for byte
    kills: list[dict] = field(default_factory=list)


JOBS = {
    "prepare": Job(
        "prepare --root {place}/many --dataset ntu120 --workers 2 --out {out}/store",
        ("store/*",),
    ),
    "train": Job(
        f"train --data {{place}}/store {TRAIN} --out {{out}}/run",
        ("run/*.safetensors", "run/history.json", "run/trained_on.txt"),
    ),
    "distill": Job(
        f"distill --data {{place}}/store --teacher {{place}}/teacher.npz {TRAIN} --part train"
        " --out {out}/run",
        ("run/*.safetensors", "run/history.json", "run/trained_on.txt"),
    ),
    "teacher-logits": Job(
        "teacher-logits --runs {place}/video_run --data {place}/videos/store"
        " --videos {place}/videos/raw --seen use --batch 2 --out {out}/logits --device cpu",
        ("logits/*.npy", "logits/teacher.npz"),
    ),
    "ablate": Job(
        "ablate --grid {place}/grid.yaml --stores {place} --work {out}/work --out {out}/results"
        " --seeds 0 --threads 1",
        ("work/*/last.safetensors", "work/*/history.json"),
    ),
    "export": Job(
        "export {place}/run --data {place}/store --joints --int8 --out {out}/model.onnx",
        ("model.onnx",),
    ),
}


def last(words: str) -> None:
    done = subprocess.run([*LAST, *words.split()], capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{words}: {done.stderr[-2000:]}")


def make_inputs(place: Path, commands: list[str]) -> None:
    "What the commands read."
    from last.store import toy_store
    from last.synthetic import SynthConfig, synthesize

    toy_store(place / "store", clips=80)
    (place / "grid.yaml").write_text(GRID, encoding="utf-8")
    if "prepare" in commands:
        made = SynthConfig(str(place / "raw"), subjects=2, replications=1, cameras=1, actions=2)
        text = synthesize(made)[0].read_text()
        (place / "many").mkdir()
        for i in range(1500):
            name = f"S001C001P{i // 100 + 1:03}R001A{i % 100 + 1:03}.skeleton"
            (place / "many" / name).write_text(text)
    if {"export", "distill"} & set(commands):
        last(f"train --data {place}/store {TRAIN} --part train --out {place}/run")
        last(
            f"run-logits --runs {place}/run --data {place}/store --out {place}/teacher.npz"
            " --seen use --device cpu"
        )
    if "teacher-logits" in commands:
        from small_videos import make_videos

        make_videos(place / "videos", subjects=2, replications=2, actions=3)
        last(
            f"teacher-finetune --data {place}/videos/store --videos {place}/videos/raw"
            f" --protocol xsub --model tsm --size 32 --frames 4 --epochs 1 --warmup 0 --batch 4"
            f" --out {place}/video_run --device cpu"
        )


def digests(job: Job, out: Path) -> dict[str, str]:
    "Hashes of what a command has left."
    files = sorted(file for pattern in job.results for file in out.glob(pattern))
    return {str(f.relative_to(out)): hashlib.sha256(f.read_bytes()).hexdigest() for f in files}


def start(job: Job, place: Path, out: Path) -> subprocess.Popen:
    words = job.words.format(place=place, out=out).split()
    return subprocess.Popen(
        [*LAST, *words], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )


def finish(process: subprocess.Popen) -> str:
    "What it said, if it did not end well."
    _, words = process.communicate(timeout=900)
    return "" if process.returncode == 0 else words[-500:]


def soak(job: Job, place: Path, kills: int, rng: random.Random) -> dict:
    "Kill one command several times."
    out = place / "out"
    began = time.monotonic()
    failed = finish(start(job, place, out))
    seconds = time.monotonic() - began
    if failed:
        raise SystemExit(failed)
    whole = digests(job, out)

    while sum(trial["killed"] for trial in job.kills) < kills:
        shutil.rmtree(out)
        moment = rng.uniform(0.1, 1) * seconds
        process = start(job, place, out)
        try:
            process.wait(moment)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
        killed = process.wait() == -signal.SIGKILL
        process.stderr.close()

        failed = finish(start(job, place, out))
        found = digests(job, out)
        differ = sorted(name for name in whole.keys() | found if whole.get(name) != found.get(name))
        trial = {"after_s": round(moment, 2), "killed": killed, "failed": failed, "differ": differ}
        job.kills.append(trial)
        print("." if not failed and not differ else f"\n{trial}\n", end="", flush=True)

    shutil.rmtree(out)
    hit = [trial for trial in job.kills if trial["killed"]]
    equal = [trial for trial in hit if not trial["failed"] and not trial["differ"]]
    return {
        "kills": len(hit),
        "equal": len(equal),
        "seconds": round(seconds, 1),
        "compared": sorted(whole),
        "wrong": [trial for trial in job.kills if trial["failed"] or trial["differ"]],
    }


def add_result(out: Path, name: str, row: dict) -> None:
    "One command's entry in the file of results."
    from last.core import environment, write_json

    rows = json.loads(out.read_text(encoding="utf-8"))["commands"] if out.is_file() else {}
    write_json(out, dict(commands=rows | {name: row | {"environment": environment()}}))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--kills", type=int, default=50, help="of each command")
    parser.add_argument("--commands", nargs="+", default=list(JOBS), choices=list(JOBS))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", help="results JSON to write")
    args = parser.parse_args()

    wrong = []
    with tempfile.TemporaryDirectory() as folder:
        make_inputs(Path(folder), args.commands)
        for name in args.commands:
            print(f"{name:16}", end="", flush=True)
            rng = random.Random(f"{args.seed} {name}")
            row = soak(JOBS[name], Path(folder), args.kills, rng)
            print(f" {row['equal']} of {row['kills']} killed runs end equal", flush=True)
            wrong += row["wrong"]
            if args.out:
                add_result(Path(args.out), name, row | {"seed": args.seed})

    if wrong:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
