"""How many NTU `.skeleton` files one core parses per second.

    python experiments/benchmarks/parsing.py [--files FOLDER] [--out results/bench/parsing.json]

Our reader against the usual line-by-line reader, interleaved, with bit-identical results. Without
--files, synthetic files of about NTU's size are written to a temporary folder.
"""

import argparse
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np

from last.core import environment, write_json
from last.parsing import read_ntu_bodies
from last.synthetic import ntu_text, sense

RESULTS = Path(__file__).parents[2] / "results/bench"
BODY_KEYS = ["id", "clipped", "lconf", "lstate", "rconf", "rstate"]
BODY_KEYS += ["restricted", "leanX", "leanY", "tracking"]
JOINT_KEYS = ["x", "y", "z", "dx", "dy", "cx", "cy", "ow", "ox", "oy", "oz", "tracking"]


def read_body(lines) -> dict:
    "One body of one frame, every value converted."
    body = dict(zip(BODY_KEYS, lines.readline().split()))
    body["joints"] = []
    for _ in range(int(lines.readline())):
        values = map(float, lines.readline().split())
        body["joints"].append(dict(zip(JOINT_KEYS, values)))

    return body


def read_line_by_line(path: Path) -> dict[str, np.ndarray]:  # id -> (frames, joints, 3)
    "The reader that most repositories have: a line at a time, a dict for each joint."
    bodies = []
    with open(path, encoding="utf-8") as lines:
        for _ in range(int(lines.readline())):
            for _ in range(int(lines.readline())):
                bodies.append(read_body(lines))

    tracks = {}
    for body in bodies:
        points = [[joint["x"], joint["y"], joint["z"]] for joint in body["joints"]]
        tracks.setdefault(body["id"], []).append(points)

    return {name: np.array(track).astype(np.float32) for name, track in tracks.items()}


def write_synthetic(folder: Path, count: int = 40) -> list[Path]:
    "Files of 60 to 139 frames; every fifth has two bodies."
    files = []
    for i in range(count):
        rng = np.random.default_rng(i)
        T = int(rng.integers(60, 140))
        bodies = []
        for _ in range(2 if i % 5 == 0 else 1):
            points = rng.normal(size=(T, 25, 3)) + np.array([0, 0, 3])  # 3 m from the camera
            bodies.append(sense(points, rng))

        file = folder / f"S001C001P001R001A{i + 1:03}.skeleton"
        file.write_text(ntu_text(bodies), encoding="utf-8")
        files.append(file)

    return files


def check_identical(file: Path) -> None:
    "Both readers must give the same numbers, to the bit."
    fast = {body.id: body.xyz for body in read_ntu_bodies(file)[1]}
    slow = read_line_by_line(file)
    same = fast.keys() == slow.keys() and all(np.array_equal(fast[k], slow[k]) for k in fast)
    if not same:
        raise SystemExit(f"error: {file}: the two readers give different numbers")


def measure(files: list[Path], rounds: int) -> dict[str, list[float]]:
    "Seconds of processor time that each reader needs for all files, in turns."
    readers = {"last": read_ntu_bodies, "naive": read_line_by_line}
    seconds = {name: [] for name in readers}
    for _ in range(rounds):
        for name, read in readers.items():
            start = time.process_time()
            for file in files:
                read(file)
            seconds[name].append(time.process_time() - start)

    return seconds


def summarize(files: list[Path], seconds: dict[str, list[float]]) -> dict:
    "Files per core-second, and the ratio of the readers, at the median and at best."
    rates = {}
    for name, values in seconds.items():
        median = len(files) / statistics.median(values)
        rates[name] = dict(median=median, best=len(files) / min(values))

    ratio = {key: rates["last"][key] / rates["naive"][key] for key in ("median", "best")}
    size = sum(file.stat().st_size for file in files) / len(files) / 1e3
    return dict(
        files=len(files),
        mean_kB=size,
        files_per_core_second=rates,
        ratio=ratio,
        identical=True,
    )


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--files", type=Path)
    parser.add_argument("--out", type=Path, default=RESULTS / "parsing.json")
    parser.add_argument("--rounds", type=int, default=7)
    args = parser.parse_args()

    with tempfile.TemporaryDirectory() as tmp:
        if args.files:
            files = sorted(args.files.rglob("*.skeleton"))[:60]
        else:
            files = write_synthetic(Path(tmp))
        if not files:
            parser.error(f"no .skeleton files in {args.files}")

        for file in files:
            check_identical(file)
        result = summarize(files, measure(files, args.rounds))

    result["source"] = args.files.name if args.files else "synthetic"
    write_json(args.out, result | dict(rounds=args.rounds, environment=environment()))

    fast, slow = (result["files_per_core_second"][name]["median"] for name in ("last", "naive"))
    print(f"{result['files']} files of {result['mean_kB']:.0f} kB (median of {args.rounds}):")
    print(f"{fast:.0f} against {slow:.0f} files per core-second, {fast / slow:.2f} times as fast")


if __name__ == "__main__":
    main()
