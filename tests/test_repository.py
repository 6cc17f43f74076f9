"""The notebooks and the package are in step, layered, and light to import."""
import re
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from conftest import ROOT

NOTEBOOKS = sorted((ROOT / "nbs").glob("[0-9]*.ipynb"))
NUMBER = {p.stem.split("_", 1)[1]: int(p.stem[:2]) for p in NOTEBOOKS}


def leave(folder, names):
    "What a copy of the repository does without."
    top = {".git", ".venv", "demo", "data", "runs", "stores", "build"} if Path(folder) == ROOT else set()
    return {n for n in names if n in top or n in ("__pycache__", ".pytest_cache", ".hypothesis", ".ipynb_checkpoints") or n.endswith(".egg-info")}


def exported(path):
    cells = [c.source for c in nbformat.read(path, 4).cells if c.cell_type == "code"]
    return [s for s in cells if re.search(r"^#\|\s*export\s*$", s, re.M)], cells


def test_export_and_clean_change_nothing(tmp_path):
    copy = tmp_path / "repo"
    shutil.copytree(ROOT, copy, ignore=leave)
    before = {p: p.read_bytes() for p in [*copy.glob("nbs/*.ipynb"), *copy.glob("last/*.py")]}
    for command in ("nbdev_clean", "nbdev_export"):
        done = subprocess.run([str(Path(sys.executable).with_name(command))], cwd=copy, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
    changed = [p.name for p in {*before, *copy.glob("last/*.py")} if p.read_bytes() != before.get(p)]
    assert not changed, f"run nbdev_clean && nbdev_export: {changed}"


def test_readme_is_the_index():
    done = subprocess.run([sys.executable, str(ROOT / "tools/readme.py"), "--check"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_layers(path):
    export, cells = exported(path)
    module = path.stem.split("_", 1)[1]
    assert f"#| default_exp {module}" in "\n".join(cells)
    for name in re.findall(r"^\s*(?:from|import) last\.(\w+)", "\n".join(export), re.M):
        assert NUMBER[name] < NUMBER[module], f"{path.name} imports {name}, which has a higher number"
    assert not re.search(r"^\s*(?:from|import) (nbdev|fastcore)", "\n".join(export), re.M)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_readable(path):
    export, cells = exported(path)
    notebook = nbformat.read(path, 4)
    first = notebook.cells[0]
    assert first.cell_type == "markdown" and re.match(r"# .+\n> .+", first.source), "first cell: `# Title` and `> one-line promise`"
    assert len(notebook.cells) <= 75 and path.stat().st_size < 500_000
    assert sum(s.count("\n") + 1 for s in export) <= 400
    code = [c for c in notebook.cells if c.cell_type == "code" and c.source.strip()]
    assert any(c.outputs for c in code), "outputs are kept"
    assert not any(o.output_type == "error" for c in code for o in c.outputs)


def test_imports_are_light():
    heavy = "matplotlib", "timm", "onnx", "nbdev", "fastcore", "sklearn", "accelerate", "transformers"
    code = f"import sys, last.model; print([m for m in {heavy!r} if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "[]"
    code = "import sys, last.parsing, last.skeletons, last.synthetic; print('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "False"


def test_wheel(tmp_path):
    copy = tmp_path / "repo"
    shutil.copytree(ROOT, copy, ignore=leave)
    done = subprocess.run([sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation", "-w", str(tmp_path), str(copy)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    import zipfile
    names = zipfile.ZipFile(next(tmp_path.glob("last-*.whl"))).namelist()
    assert {"last/data/ntu120_missing.txt", "last/data/kinetics400_classes.txt", "last/__main__.py", *(f"last/{m}.py" for m in NUMBER)} <= set(names)
