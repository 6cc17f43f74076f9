"""Two seconds of a photograph that slides over a background, for the page of `last demo`.

    python experiments/demo_film.py last/data/astronaut.mp4

The photograph is that of Eileen Collins in scikit-image (NASA, public domain).
"""

import sys
from pathlib import Path

import numpy as np
from PIL import Image
from skimage.data import astronaut

from last.overlay import write_film

SIZE = 480, 360
FRAMES, RATE = 40, 20


def pictures():
    "The film, frame by frame."
    shades = np.linspace((96, 112, 128), (52, 60, 70), SIZE[1])
    wall = np.repeat(shades[:, None], SIZE[0], 1).astype(np.uint8)  # (H, W, 3)
    photograph = Image.fromarray(astronaut()).resize((300, 300))
    for t in range(FRAMES):
        picture = Image.fromarray(wall)
        picture.paste(photograph, (round(160 * t / (FRAMES - 1)), SIZE[1] - 300))
        yield t / RATE, np.asarray(picture)


if __name__ == "__main__":
    print(write_film(Path(sys.argv[1]), pictures()), "frames")
