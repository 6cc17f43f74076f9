"""The cells of every notebook against the installed package, which is what users import.

    python -m pytest tests/wheel_notebooks.py    # not part of `make test`: minutes, with a wheel

`test_notebooks` runs what stands in the notebooks, and `test_repository` holds that the package in
this folder is exported from them. This is for a wheel in an environment of its own, from which
something may be missing.
"""

import subprocess
import sys

import pytest
from conftest import ROOT
from test_notebooks import DATA, EXPORTING, with_marks


@pytest.mark.timeout(600)
@pytest.mark.parametrize("path", with_marks(EXPORTING))
def test_against_module(path):
    done = subprocess.run(
        [sys.executable, str(ROOT / "tests/run_against_module.py"), str(path), *DATA],
        capture_output=True,
        text=True,
        cwd=ROOT / "nbs",
    )
    assert done.returncode == 0, (done.stdout + done.stderr)[-4000:]
