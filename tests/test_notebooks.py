"""Every notebook runs from top to bottom.

Those that show stored results are run in `test_results`, where their outputs are compared too.
"""

import os
import subprocess
import sys

import nbformat
import pytest
from camera_films import needs_mediapipe
from conftest import NOTEBOOKS, READERS

FIND_PEOPLE = {"70_pose", "71_inference"}


def with_marks(paths):
    "The same notebooks; those that find people in pictures are skipped where MediaPipe cannot be."
    return [
        pytest.param(p, id=p.stem, marks=[needs_mediapipe] if p.stem in FIND_PEOPLE else [])
        for p in paths
    ]


RUN_HERE = [n for n in NOTEBOOKS if n not in READERS]
EXPORTING = [n for n in NOTEBOOKS if n.name[0].isdigit()]
DATA = ["data"] if os.environ.get("LAST_DATA") else []
NO_DATA = (
    "LAST_DATA is not set: cells marked `data` need public data sets (docs/getting_the_data.md)"
)
RUN = """
import os, sys
from pathlib import Path
from nbdev.test import test_nb

os.chdir({folder!r})
skipped = ["notest", "slow", "cuda", "data"]
good, _ = test_nb(Path({path!r}), skip_flags=skipped, force_flags={data!r})
sys.exit(not good)
"""


def test_there_are_notebooks():
    assert len(EXPORTING) >= 40


@pytest.mark.timeout(600)
@pytest.mark.parametrize("path", with_marks(RUN_HERE))
def test_notebook(path):
    code = RUN.format(folder=str(path.parent), path=str(path), data=DATA)
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=path.parent
    )
    assert done.returncode == 0, (done.stdout + done.stderr)[-4000:]


@pytest.mark.skipif(not DATA, reason=NO_DATA)
def test_real_data_cells_run():
    marked = [
        n.stem
        for n in EXPORTING
        for c in nbformat.read(n, 4).cells
        if c.source.startswith("#| data")
    ]
    assert {"03_formats", "04_kinematics", "05_small_datasets", "09_info"} <= set(marked)
