"""Work through a plan of grids, the best question first.

    python experiments/run_queue.py --plan experiments/search/plan.yaml --stores STORES --work RUNS
    python experiments/run_queue.py ... --dry-run     # what is left, and what it will cost

Two runs at a time, one thread each, until all is done or the process is stopped. The plan is read
again before every run, so it may be changed meanwhile. Every run is a `python -m last ablate`
process of its own. Results that are there are not repeated unless the
code has moved on (`last.runs.outdated`); killed runs continue from their checkpoint. Run it from
a clean clone, so that later edits do not mix in: results carry the commit. A plan is a list of
entries (sets and rows: all, unless some are named):

    - {grid: FILE, out: FOLDER, seeds: [0, 1], sets: [...], rows: [...]}
"""

import json
import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock

import tyro
import yaml

from last.ablations import is_current
from last.grids import load_grid, slug


@dataclass
class Config:
    "Work through a plan of grids."

    plan: str  # YAML file
    stores: str  # folder of the prepared stores
    work: str  # folder for runs and logs
    lanes: int = 2  # runs at the same time
    dry_run: bool = False  # only say what is left
    guess: float = 300.0  # seconds per run, where none of its set has been timed yet


@dataclass
class Job:
    "One run: a row of a grid on a set with a seed."

    grid: str
    out: str
    clips: str  # "store protocol", and further protocols to test
    row: str
    seed: int
    files: list[Path] = field(default_factory=list)  # its results

    @property
    def name(self) -> str:
        return f"{Path(self.grid).stem}_{self.files[0].stem}"

    @property
    def done(self) -> bool:
        return all(is_current(f) for f in self.files)


def read_plan(path: str | Path) -> list[Job]:
    "All runs of a plan in its order; row by row, so that whole rows can be compared early."
    jobs = []
    for entry in yaml.safe_load(Path(path).read_text(encoding="utf-8")):
        grid = load_grid(entry["grid"])
        for seed in entry["seeds"]:
            for row in entry.get("rows") or grid.rows:
                for clips in entry.get("sets") or grid.sets:
                    store, *protocols = clips.split()
                    names = [f"{slug(store)}-{p}_{slug(row)}_{seed}.json" for p in protocols]
                    files = [Path(entry["out"]) / n for n in names]
                    jobs.append(Job(entry["grid"], entry["out"], clips, row, seed, files))

    return jobs


def seconds_per_run(log: Path) -> dict[str, float]:
    "Mean seconds of the logged runs, by set."
    times: dict[str, list[float]] = {}
    if log.is_file():
        for line in log.read_text(encoding="utf-8").splitlines():
            entry = json.loads(line)
            times.setdefault(entry["set"], []).append(entry["seconds"])

    return {clips: sum(t) / len(t) for clips, t in times.items()}


def run(job: Job, cfg: Config) -> int:
    "Train and test one run; its seconds go into the log, its words into a file of its own."
    log = Path(cfg.work) / "queue.jsonl"
    work = Path(cfg.work) / Path(job.grid).stem
    command = ["nice", "-n", "10", sys.executable, "-m", "last", "ablate", "--threads", "1"]
    command += ["--grid", job.grid, "--stores", cfg.stores, "--work", str(work), "--out", job.out]
    command += ["--sets", job.clips, "--rows", job.row, "--seeds", str(job.seed)]

    start = time.time()
    with (Path(cfg.work) / f"{job.name}.log").open("w", encoding="utf-8") as words:
        one_thread = {**os.environ, "OMP_NUM_THREADS": "1"}
        done = subprocess.run(command, stdout=words, stderr=subprocess.STDOUT, env=one_thread)

    code, seconds = done.returncode, round(time.time() - start)
    entry = dict(grid=job.grid, set=job.clips, row=job.row, seed=job.seed, seconds=seconds)
    if code == 0:
        with log.open("a", encoding="utf-8") as f:
            f.write(json.dumps(entry) + "\n")

    print(f"{'done' if code == 0 else 'FAILED'}  {seconds} s  {job.name}", flush=True)
    return code


class Queue:
    "Jobs in the order of a plan that may change meanwhile."

    def __init__(self, plan: str, jobs: list[Job]):
        self.plan = plan
        self.jobs = jobs  # of the last plan that could be read
        self.begun: set[Path] = set()  # first results of the jobs that were given out
        self.choosing = Lock()

    def next_job(self) -> Job | None:
        "The first one that is neither done nor begun."
        with self.choosing:
            try:
                self.jobs = read_plan(self.plan)
            except (OSError, TypeError, ValueError, yaml.YAMLError) as e:
                print(f"{self.plan}: going on with the plan as it was ({e})", flush=True)

            for job in self.jobs:
                if job.files[0] not in self.begun and not job.done:
                    self.begun.add(job.files[0])
                    return job

        return None


def main(cfg: Config) -> int:
    Path(cfg.work).mkdir(parents=True, exist_ok=True)
    jobs = read_plan(cfg.plan)
    left = [j for j in jobs if not j.done]
    known = seconds_per_run(Path(cfg.work) / "queue.jsonl")
    hours = sum(known.get(j.clips, cfg.guess) for j in left) / 3600
    print(f"{len(jobs)} runs, {len(left)} left, about {hours:.1f} core-hours", flush=True)
    if cfg.dry_run:
        return 0

    queue = Queue(cfg.plan, jobs)

    def work(lane: int) -> int:
        failed = 0
        while job := queue.next_job():
            failed |= run(job, cfg) != 0

        return failed

    with ThreadPoolExecutor(cfg.lanes) as lanes:
        return int(any(lanes.map(work, range(cfg.lanes))))


if __name__ == "__main__":
    sys.exit(main(tyro.cli(Config)))
