"Small films of a photograph that moves, as phones, cameras and damaged disks leave them."

import sys
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

needs_mediapipe = pytest.mark.skipif(
    sys.version_info >= (3, 13), reason="MediaPipe has no wheel for Python 3.13"
)
SIZE = 640, 480  # of the pictures


def slide(x: float, y: int = 100) -> np.ndarray:
    "scikit-image's astronaut (NASA), 480 pixels wide, with her left edge at x; (480, 640, 3)."
    from PIL import Image
    from skimage.data import astronaut

    picture = Image.new("RGB", SIZE, (70, 80, 90))
    picture.paste(Image.fromarray(astronaut()).resize((480, 480)), (round(x), y))
    return np.array(picture)


def quadrants(shift: int = 0) -> np.ndarray:
    "Four colors that show which way is up, (96, 128, 3)."
    picture = np.zeros((96, 128, 3), np.uint8)
    picture[:48, :64] = (200, 40 + shift, 40)
    picture[:48, 64:] = (40, 200, 40)
    picture[48:, :64] = (40, 40, 200)
    picture[48:, 64:] = (220, 220, 220)
    return picture


def write(path: Path, pictures, times=None, quarters: int = 0) -> Path:
    "An MP4 whose header comes first; turned clockwise by quarters, with the mark that undoes it."
    import av

    times = [t / 15 for t in range(len(pictures))] if times is None else times
    clock = Fraction(1, 90_000)
    with av.open(str(path), "w", options={"movflags": "faststart"}) as container:
        height, width = np.rot90(pictures[0], -quarters).shape[:2]
        stream = container.add_stream("libx264", rate=15, width=width, height=height)
        stream.pix_fmt = "yuv420p"
        stream.codec_context.time_base = clock
        for time, picture in zip(times, pictures):
            turned = np.ascontiguousarray(np.rot90(picture, -quarters))
            frame = av.VideoFrame.from_ndarray(turned, format="rgb24")
            frame.pts, frame.time_base = round(time / clock), clock
            container.mux(stream.encode(frame))
        container.mux(stream.encode())

    if not quarters:
        return path
    content = bytearray(path.read_bytes())
    at = content.index(b"tkhd") + 44
    cos, sin = ((1, 0), (0, -1), (-1, 0), (0, 1))[quarters]
    matrix = np.array([cos << 16, sin << 16, 0, -sin << 16, cos << 16, 0, 0, 0, 1 << 30], ">i4")
    content[at : at + 36] = matrix.tobytes()
    path.write_bytes(content)
    return path


def write_sound(path: Path) -> Path:
    "Half a second of silence, and no picture."
    import av

    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=16_000)
        stream.layout = "mono"
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 8_000), np.float32), "fltp", "mono")
        frame.rate = 16_000
        container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def read(path: Path) -> tuple[list[float], list[np.ndarray]]:
    "Times and pictures of a film that anything can play."
    import av

    with av.open(str(path)) as container:
        frames = list(container.decode(video=0))
    return [frame.time for frame in frames], [f.to_ndarray(format="rgb24") for f in frames]
