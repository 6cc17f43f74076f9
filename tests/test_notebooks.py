"""Every notebook runs from top to bottom.

Those that show stored results are run in `test_results`, where their outputs are compared too.
"""

import multiprocessing
import os
import sys

import nbformat
import pytest
from camera_films import needs_mediapipe
from conftest import NOTEBOOKS, READERS

NEED_CAMERA = {"70_pictures", "71_pose", "74_predict"}


def with_marks(paths):
    "The same notebooks; those that need MediaPipe or OpenCV are skipped where these cannot be."
    return [
        pytest.param(p, id=p.stem, marks=[needs_mediapipe] if p.stem in NEED_CAMERA else [])
        for p in paths
    ]


RUN_HERE = [n for n in NOTEBOOKS if n not in READERS]
EXPORTING = [n for n in NOTEBOOKS if n.name[0].isdigit()]
DATA = ["data"] if os.environ.get("LAST_DATA") else []
NO_DATA = (
    "LAST_DATA is not set: cells marked `data` need public data sets (docs/getting_the_data.md)"
)
# Each notebook has a process of its own, forked from one that has imported what nearly all need.
kinds = multiprocessing.get_all_start_methods()
processes = multiprocessing.get_context("forkserver" if "forkserver" in kinds else "spawn")
processes.set_forkserver_preload(["torch", "matplotlib.pyplot", "nbdev.test", "fastcore.test"])


def run_cells(path, log):
    "Exit with 1 if a cell fails; what is printed goes to the file."
    from nbdev.test import test_nb

    with open(log, "w", encoding="utf-8") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    os.chdir(path.parent)
    skipped = ["notest", "slow", "cuda", "data"]
    good, _ = test_nb(path, skip_flags=skipped, force_flags=DATA)
    sys.exit(not good)


def test_there_are_notebooks():
    assert len(EXPORTING) >= 40


@pytest.mark.timeout(600)
@pytest.mark.parametrize("path", with_marks(RUN_HERE))
def test_notebook(path, tmp_path):
    process = processes.Process(target=run_cells, args=(path, tmp_path / "log"))
    process.start()
    process.join(590)
    process.kill()  # if it still runs
    process.join()
    assert process.exitcode == 0, (tmp_path / "log").read_text(encoding="utf-8")[-4000:]


@pytest.mark.skipif(not DATA, reason=NO_DATA)
def test_real_data_cells_run():
    marked = [
        n.stem
        for n in EXPORTING
        for c in nbformat.read(n, 4).cells
        if c.source.startswith("#| data")
    ]
    assert {"03_formats", "04_kinematics", "05_small_datasets", "09_info"} <= set(marked)
