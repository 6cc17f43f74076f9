"""A dataset of NTU's size in NTU's exact format: written, prepared, opened, read.

    python experiments/benchmarks/scale.py --files 2000 20000 --out results/scale
    python experiments/benchmarks/scale.py --files 114480 --out results/scale --keep /data/many

Files have NTU's names and its lengths (20 to 300 frames, 80 on average, 21.7 % with two persons);
the motion is a handful of synthetic performances cut and repeated, because only the amount of text
matters here. What it takes on the disk is stated before anything is written, and a disk without
that much room is refused. Each size writes `scale_N.json`: files per core-second, peak memory of
the parent and of a worker, disk, seconds to open the store and to the first batch, and random clips
per second: once while each is checked, as in the first epoch, and once when all are known to be
whole, as in those that follow. Everything but the results is deleted, unless --keep names a folder.
"""

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from last.core import process_memory

TWO = 0.217  # of the clips have two persons
SHORT, LONG = 20, 300
MEAN = 80  # frames
BYTES = 2_720  # of one body in one frame


def lengths_of(n: int, rng: np.random.Generator) -> np.ndarray:  # (n,) frames
    "Lengths with NTU's shortest, longest and mean: most are near 70, few are long."
    drawn = SHORT + rng.gamma(3.0, (MEAN - SHORT) / 3.0, n)
    return np.clip(drawn.round().astype(int), SHORT, LONG)


def frames_of_text(bodies: int, rng: np.random.Generator) -> list[str]:
    "300 frames of one or two sensed bodies, each frame with its body count in front."
    from last.puppet import CLASSES
    from last.synthetic import ntu_text, perform, sense

    action = CLASSES.index("shake hands") if bodies == 2 else 0
    people = perform(action, subject=int(rng.integers(1, 90)), replication=1)[:bodies]
    sensed = []
    for k, body in enumerate(people):
        looped = np.resize(body, (LONG, 25, 3)) + np.array([0, 0, 3])
        xyz, states, ids = sense(looped + rng.normal(0, 1e-3, looped.shape), rng)
        sensed.append((xyz, states, np.full_like(ids, 72057594037931101 + k)))

    lines = ntu_text(sensed).split("\n")[1:-1]
    size = 1 + 27 * bodies
    return ["\n".join(lines[at : at + size]) for at in range(0, len(lines), size)]


def names(n: int) -> list[str]:
    "Clip names in NTU-120's ranges, in an order of their own."
    from itertools import islice, product

    ranges = (range(1, 33), range(1, 4), range(1, 107), range(1, 3), range(1, 121))
    step = max(1, 32 * 3 * 106 * 2 * 120 // n)
    every = islice(product(*ranges), 0, None, step)
    return [f"S{s:03}C{c:03}P{p:03}R{r:03}A{a:03}" for s, c, p, r, a in islice(every, n)]


def write_files(folder: Path, n: int, seed: int) -> int:  # bytes
    "N files in two folders, as the original lies on a disk."
    rng = np.random.default_rng(seed)
    stock = {bodies: [frames_of_text(bodies, rng) for _ in range(4)] for bodies in (1, 2)}
    bodies = 1 + (rng.random(n) < TWO)
    total = 0
    for name, T, M in zip(names(n), lengths_of(n, rng), bodies):
        frames = stock[M][int(rng.integers(4))]
        start = int(rng.integers(0, LONG - T + 1))
        low = "nturgb+d_skeletons_s001_to_s017" if int(name[1:4]) < 18 else "s018_to_s032"
        file = folder / low / f"{name}.skeleton"
        file.parent.mkdir(parents=True, exist_ok=True)
        text = "\n".join([str(T), *frames[start : start + T]]) + "\n"
        file.write_text(text, encoding="ascii")
        total += len(text)
    return total


def child_memory(pid: int) -> int:
    "The largest resident set of the processes that this one has started, in bytes."
    largest = 0
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        for child in task.read_text().split():
            try:
                largest = max(largest, process_memory("VmHWM", child))
            except (OSError, ValueError):  # it has ended
                continue
    return largest


PREPARE = """
import json, resource, sys, time
from last.core import process_memory
from last.preparation import PrepareConfig, prepare
began = time.perf_counter()
prepare(PrepareConfig(sys.argv[1], sys.argv[2], "ntu120", workers=int(sys.argv[3])))
own = resource.getrusage(resource.RUSAGE_SELF)
peak = process_memory("VmHWM")  # ru_maxrss counts who started it, too
children = resource.getrusage(resource.RUSAGE_CHILDREN)
cpu = sum(r.ru_utime + r.ru_stime for r in (own, children))
print(json.dumps({"wall": time.perf_counter() - began, "cpu": cpu, "parent": peak}))
"""

OPEN = """
import json, sys, time
import numpy as np
from last.core import process_memory
from last.store import Store
from last.batches import EpochOrder, make_loader
began = time.perf_counter()
store = Store(sys.argv[1])
opened = time.perf_counter() - began
order = EpochOrder(len(store), 0)
next(iter(make_loader(store, np.arange(len(store)), 64, 2, order=order)))
first = time.perf_counter() - began
store = Store(sys.argv[1])  # no clip of it has been read yet
numbers = np.random.default_rng(0).permutation(len(store))[:20_000]  # none twice
speeds = []
for _ in range(2):  # the first time every clip is checked, the second time it is known to be whole
    began = time.perf_counter()
    for n in numbers:
        store[n]
    speeds.append(len(numbers) / (time.perf_counter() - began))
memory = process_memory("VmHWM")
print(json.dumps({"open_s": opened, "first_batch_s": first, "clips_per_s_checked": speeds[0],
                  "clips_per_s_again": speeds[1], "memory": memory, "clips": len(store)}))
"""


def run(code: str, *words: object) -> tuple[dict, int]:  # what it prints, memory of its children
    "A fresh process; its children are watched."
    command = [sys.executable, "-c", code, *map(str, words)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    largest = 0
    while process.poll() is None:
        largest = max(largest, child_memory(process.pid))
        time.sleep(0.05)
    text = process.stdout.read()
    if process.returncode:
        raise SystemExit(f"a process ended with {process.returncode}")
    return json.loads(text.splitlines()[-1]), largest


def size_of(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())


def measure(folder: Path, n: int, workers: int, seed: int) -> dict:
    "Write, prepare, add, open, read."
    text = write_files(folder / "raw", n, seed)
    prepared, worker = run(PREPARE, folder / "raw", folder / "store", workers)

    # a hundred files more
    known = names(n + 100)
    source = next((folder / "raw").rglob("*.skeleton"))
    fresh = sorted(set(known) - {file.stem for file in (folder / "raw").rglob("*.skeleton")})[:100]
    for name in fresh:
        shutil.copy(source, folder / "raw" / f"{name}.skeleton")
    added, _ = run(PREPARE, folder / "raw", folder / "store", workers)

    opened, _ = run(OPEN, folder / "store")
    return {
        "files": n,
        "text_bytes": text,
        "store_bytes": size_of(folder / "store"),
        "workers": workers,
        "prepare_s": prepared["wall"],
        "files_per_core_second": n / prepared["cpu"],
        "parent_peak_bytes": prepared["parent"],
        "worker_peak_bytes": worker,
        "add_100_files_s": added["wall"],
        **opened,
    }


def needs(n: int) -> int:
    "Bytes on the disk: the text, the store, and the parts while it is written."
    text = n * MEAN * (1 + TWO) * BYTES
    return int(text * 1.3)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--files", type=int, nargs="+", default=[2000, 20_000])
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--folder", help="where to write; default: a temporary folder")
    parser.add_argument("--keep", help="keep files and store in this folder")
    parser.add_argument("--out", help="folder for scale_N.json")
    args = parser.parse_args()

    from last.core import environment, write_json

    for n in args.files:
        place = Path(args.keep or args.folder or tempfile.gettempdir())
        place.mkdir(parents=True, exist_ok=True)
        free = shutil.disk_usage(place).free
        print(f"{n:,} files: about {needs(n) / 1e9:.1f} GB in {place} ({free / 1e9:.1f} GB free)")
        if needs(n) > 0.9 * free:
            raise SystemExit("not enough room")

        folder = Path(tempfile.mkdtemp(dir=place))
        try:
            found = measure(folder, n, args.workers, args.seed)
        finally:
            if not args.keep:
                shutil.rmtree(folder)
        print(json.dumps(found, indent=1))
        if args.out:
            write_json(Path(args.out) / f"scale_{n}.json", found | {"environment": environment()})


if __name__ == "__main__":
    main()
