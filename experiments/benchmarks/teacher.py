"""What asking a video teacher costs: reading the videos, and the network; which of them is the bottleneck, and what 114,480 clips would take.

    python experiments/benchmarks/teacher.py --out results/bench/teacher.json [--videos FOLDER]

Without --videos it makes synthetic clips of NTU's size (1920 x 1080, 90 frames, MPEG-4). One process, one CPU thread, or one GPU for the network. Leave the machine alone meanwhile.
"""

import os
import tempfile
import time
from dataclasses import dataclass
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
    "Time reading and asking."

    out: str  # JSON
    videos: str = ""  # folder of real videos; default: synthetic ones of NTU's size
    n: int = 8  # videos to read
    rounds: int = 3  # times that each network is asked
    batch: int = 0  # clips at once; 0: 1 on a CPU, 16 on a GPU
    device: str = ""


def median_seconds(f, rounds: int) -> float:
    f()
    seconds = []
    for _ in range(rounds):
        start = time.perf_counter()
        f()
        seconds.append(time.perf_counter() - start)
    return float(np.median(seconds))


def main(cfg: Config) -> None:
    torch.set_num_threads(1)
    device = pick_device(cfg.device)
    batch = cfg.batch or (16 if device == "cuda" else 1)
    with tempfile.TemporaryDirectory() as folder:
        if cfg.videos:
            files = sorted(p for p in Path(cfg.videos).rglob("*") if p.suffix in (".avi", ".mp4"))[
                : cfg.n
            ]
        else:
            files = [Path(folder) / f"{i}.avi" for i in range(2)]
            for i, f in enumerate(files):
                write_video(
                    f,
                    [
                        np.resize(p, (90, *p.shape[1:]))
                        for p in film(perform(i, 1, 1), 2, np.random.default_rng(i))
                    ],
                    size=(1920, 1080),
                )
        if not files:
            raise SystemExit(f"{cfg.videos}: no videos here")
        sizes = sorted(os.path.getsize(f) for f in files)
        reading = {}
        for library in ("decord", "av"):
            for frames, size in sorted({(c.frames, c.size) for c in VIDEO_NETWORKS.values()}):
                turn = iter(files * 100)
                reading[f"{library}, {frames} frames at {size}"] = median_seconds(
                    lambda: read_video(next(turn), frames, size, library=library),
                    max(len(files), 4),
                )
    networks = {}
    for name, shape in VIDEO_NETWORKS.items():
        model, video = (
            build_video_network(shape, 120).eval().to(device),
            torch.zeros(
                batch, shape.frames, shape.size, shape.size, 3, dtype=torch.uint8, device=device
            ),
        )

        def ask():
            with torch.no_grad(), torch.autocast(device, torch.bfloat16, enabled=device == "cuda"):
                out = model(normalize_video(video))
            return out.float().cpu()

        seconds = median_seconds(ask, cfg.rounds) / batch
        read = reading[f"decord, {shape.frames} frames at {shape.size}"]
        networks[name] = dict(
            reading_s=read,
            network_s=seconds,
            bottleneck="reading" if read > seconds else "network",
            hours_for_ntu120=CLIPS * (read + seconds) / 3600,
        )
        print(
            f"{name:6} reading {1e3 * read:7.1f} ms, network {1e3 * seconds:8.1f} ms a clip: {networks[name]['hours_for_ntu120']:.1f} h for {CLIPS:,} clips, one after the other"
        )
    write_json(
        cfg.out,
        dict(
            videos="real, as given" if cfg.videos else "synthetic, 1920 x 1080, 90 frames, MPEG-4",
            bytes=[sizes[0], sizes[-1]],
            reading_s=reading,
            networks=networks,
            clips=CLIPS,
            batch=batch,
            device=device,
            precision="bf16" if device == "cuda" else "fp32",
            threads=1,
            environment=environment(),
        ),
    )


if __name__ == "__main__":
    main(tyro.cli(Config))
