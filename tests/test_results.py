"""What notebooks show of result files is what the files say today."""

import base64
import copy
import io
import os
import re

import nbformat
import numpy as np
import pytest
from conftest import READERS
from nbclient import NotebookClient
from PIL import Image

SLOW = "notest|slow|cuda" if os.environ.get("LAST_DATA") else "notest|slow|cuda|data"
SKIPPED = rf"^#\|\s*({SLOW})"


def reads_results(path, cell):
    "Does a cell show stored results? In the results notebooks every cell does."
    whole = not path.name[0].isdigit()
    return whole or "../results/" in cell.source


def text_of(cell):
    "What a cell printed or displayed, as text."
    parts = []
    for output in cell.outputs:
        if output.output_type == "stream" and output.name == "stdout":
            parts.append(output.text)
        data = output.get("data", {})
        shown = data.get("text/markdown", data.get("text/plain", ""))
        if "image/png" not in data:
            parts.append(shown)

    return "\n".join(parts).strip()


def pictures_of(cell):
    found = [o["data"]["image/png"] for o in cell.outputs if "image/png" in o.get("data", {})]
    opened = [Image.open(io.BytesIO(base64.b64decode(png))) for png in found]
    return [np.asarray(picture.convert("L"), int) for picture in opened]


def same_picture(a, b):
    "Equal but for a few pixels of rounding."
    return a.shape == b.shape and (np.abs(a - b) > 64).sum() <= 5


def test_there_are_readers():
    names = {p.stem for p in READERS}
    assert {
        "index",
        "history",
        "results_peers",
        "results_small_sets",
        "results_distillation",
    } <= names


@pytest.mark.timeout(600)
@pytest.mark.parametrize("path", READERS, ids=lambda p: p.stem)
def test_shown_results_are_current(path):
    committed = nbformat.read(path, 4)
    notebook = copy.deepcopy(committed)
    for cell in notebook.cells:
        if cell.cell_type == "code" and re.search(SKIPPED, cell.source, re.M):
            cell.source = ""

    where = {"metadata": {"path": str(path.parent)}}
    NotebookClient(notebook, timeout=500, kernel_name="python3", resources=where).execute()

    for i, (old, new) in enumerate(zip(committed.cells, notebook.cells)):
        if old.cell_type != "code" or not new.source or not reads_results(path, old):
            continue
        assert text_of(new) == text_of(old), f"{path.name}, cell {i}: run the notebook again"
        pairs = zip(pictures_of(old), pictures_of(new))
        assert len(pictures_of(old)) == len(pictures_of(new))
        assert all(same_picture(a, b) for a, b in pairs), f"{path.name}, cell {i}: other picture"
