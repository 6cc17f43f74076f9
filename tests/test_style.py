"""Lines a reader can see: formatted, linted, one thought each."""

import ast
import re
import subprocess
import sys

import nbformat
import pytest
from conftest import ROOT

WIDTH = 100
FOLDERS = ("tests", "tools", "experiments")
SCRIPTS = [p for f in FOLDERS for p in (ROOT / f).rglob("*.py")]
NOTEBOOKS = sorted((ROOT / "nbs").glob("*.ipynb"))
PACKAGE = [ROOT / f"last/{p.stem[3:]}.py" for p in NOTEBOOKS if p.name[0].isdigit()]


def sources():
    "(place, code) of every script and every code cell."
    for path in SCRIPTS:
        yield str(path.relative_to(ROOT)), path.read_text(encoding="utf-8")
    for path in NOTEBOOKS:
        for i, cell in enumerate(nbformat.read(path, 4).cells):
            if cell.cell_type == "code":
                yield f"{path.name}, cell {i}", cell.source


@pytest.mark.parametrize("command", (["format", "--check"], ["check"]), ids=" ".join)
def test_ruff(command):
    done = subprocess.run(
        [sys.executable, "-m", "ruff", *command], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("path", PACKAGE, ids=lambda p: p.stem)
def test_exported_lines_are_narrow(path):
    "The exporter's own header aside, the package is as narrow as its notebooks."
    body = path.read_text(encoding="utf-8").split("\n# %% ../nbs/", 1)[-1]
    wide = [line for line in body.split("\n") if len(line) > WIDTH]
    assert not wide, wide[0]


def test_no_conditional_expression_inside_another():
    for place, source in sources():
        for node in ast.walk(ast.parse(source)):
            if isinstance(node, ast.IfExp):
                inside = [n for n in ast.walk(node) if isinstance(n, ast.IfExp) and n is not node]
                assert not inside, f"{place}: nested conditional: {ast.unparse(node)}"


def test_no_assignment_of_three_things_at_once():
    for place, source in sources():
        for node in ast.walk(ast.parse(source)):
            if not isinstance(node, ast.Assign) or not isinstance(node.value, ast.Tuple):
                continue
            targets = [t for t in node.targets if isinstance(t, ast.Tuple)]
            assert all(len(t.elts) < 3 for t in targets), f"{place}: {ast.unparse(node)}"


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_shown_cells_are_short(path):
    for i, cell in enumerate(nbformat.read(path, 4).cells):
        hidden = re.search(r"^#\|\s*(export|hide|echo:\s*false)", cell.source, re.M)
        if cell.cell_type != "code" or hidden:
            continue
        lines = [s for s in cell.source.split("\n") if s.strip() and not s.startswith("#|")]
        assert len(lines) <= 25, f"cell {i} has {len(lines)} lines"
