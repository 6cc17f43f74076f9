"""What querying a video teacher costs: reading the videos, and the network.

    python experiments/benchmarks/teacher.py --out results/bench/teacher.json [--videos FOLDER]

Says which of the two is the bottleneck, and what 114,480 clips would take. Without --videos it
makes synthetic clips of NTU's size (1920 x 1080, 90 frames, MPEG-4). One process, one CPU thread,
or one GPU for the network. Leave the machine alone meanwhile.
"""

import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from itertools import cycle
from pathlib import Path

import numpy as np
import torch
import tyro

from last.core import environment, pick_device, write_json
from last.synthetic import film, perform, write_video
from last.video import normalize_video, read_video
from last.video_networks import VIDEO_NETWORKS, build_video_network

CLIPS = 114_480  # of NTU RGB+D 120


@dataclass
class Config:
    "Time reading and querying."

    out: str  # JSON
    videos: str = ""  # folder of real videos; default: synthetic ones of NTU's size
    n: int = 8  # videos to read
    rounds: int = 3  # queries of each network
    batch: int = 0  # clips at once; 0: 1 on a CPU, 16 on a GPU
    device: str = ""


def median_seconds(f: Callable, rounds: int) -> float:
    "Of several calls, after one that is not counted."
    f()
    seconds = []
    for _ in range(rounds):
        start = time.perf_counter()
        f()
        seconds.append(time.perf_counter() - start)

    return float(np.median(seconds))


def video_files(cfg: Config, folder: str) -> list[Path]:
    "Videos of the user's, or two synthetic ones of NTU's size."
    if cfg.videos:
        found = sorted(p for p in Path(cfg.videos).rglob("*") if p.suffix in (".avi", ".mp4"))
        if not found:
            raise SystemExit(f"{cfg.videos}: no videos here")
        return found[: cfg.n]

    files = [Path(folder) / f"{i}.avi" for i in range(2)]
    for i, file in enumerate(files):
        people = film(perform(i, 1, 1), 2, np.random.default_rng(i))
        long = [np.resize(p, (90, *p.shape[1:])) for p in people]
        write_video(file, long, size=(1920, 1080))

    return files


def time_reading(files: list[Path]) -> dict[str, float]:
    "Seconds per video by library, frames and size."
    seconds = {}
    for library in ("decord", "av"):
        for frames, size in sorted({(c.frames, c.size) for c in VIDEO_NETWORKS.values()}):
            turn = cycle(files)

            def read(frames=frames, size=size, library=library, turn=turn):
                return read_video(next(turn), frames, size, library=library)

            key = f"{library}, {frames} frames at {size}"
            seconds[key] = median_seconds(read, max(len(files), 4))

    return seconds


@torch.no_grad()
def query(model: torch.nn.Module, video: torch.Tensor, device: str) -> torch.Tensor:
    "One batch of logits, waited for."
    with torch.autocast(device, torch.bfloat16, enabled=device == "cuda"):
        return model(normalize_video(video)).float().cpu()


def time_network(
    name: str, reading: dict[str, float], cfg: Config, batch: int, device: str
) -> dict:
    "Reading beside the network, per clip."
    shape = VIDEO_NETWORKS[name]
    model = build_video_network(shape, 120).eval().to(device)
    size = (batch, shape.frames, shape.size, shape.size, 3)
    video = torch.zeros(size, dtype=torch.uint8, device=device)

    network = median_seconds(partial(query, model, video, device), cfg.rounds) / batch
    read = reading[f"decord, {shape.frames} frames at {shape.size}"]
    hours = CLIPS * (read + network) / 3600
    print(
        f"{name:6} reading {1e3 * read:7.1f} ms, network {1e3 * network:8.1f} ms per clip:", end=""
    )
    print(f" {hours:.1f} h for {CLIPS:,} clips, one after the other")

    slow = "reading" if read > network else "network"
    return dict(reading_s=read, network_s=network, bottleneck=slow, hours_for_ntu120=hours)


def main(cfg: Config) -> None:
    torch.set_num_threads(1)
    device = pick_device(cfg.device)
    batch = cfg.batch or (16 if device == "cuda" else 1)
    with tempfile.TemporaryDirectory() as folder:
        files = video_files(cfg, folder)
        sizes = sorted(f.stat().st_size for f in files)
        reading = time_reading(files)

    networks = {n: time_network(n, reading, cfg, batch, device) for n in VIDEO_NETWORKS}
    synthetic = "synthetic, 1920 x 1080, 90 frames, MPEG-4"
    result = dict(
        videos="real, as given" if cfg.videos else synthetic,
        bytes=[sizes[0], sizes[-1]],
        reading_s=reading,
        networks=networks,
        clips=CLIPS,
        batch=batch,
        device=device,
        precision="bf16" if device == "cuda" else "fp32",
        threads=1,
        environment=environment(),
    )
    write_json(cfg.out, result)


if __name__ == "__main__":
    main(tyro.cli(Config))
