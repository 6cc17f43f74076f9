"""Notebooks, package and README are in step; rooms are layered; imports light; pages clean."""

import ast
import json
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import nbformat
import pytest
from conftest import ROOT
from safetensors import safe_open

from last.checksums import damaged_files, read_listing

NOTEBOOKS = sorted((ROOT / "nbs").glob("*.ipynb"))
ROOMS = [p for p in NOTEBOOKS if p.name[0].isdigit()]
NUMBER = {p.stem.split("_", 1)[1]: int(p.stem[:2]) for p in ROOMS}
by_name = {"ids": lambda p: p.stem}


def run(*command, **options):
    return subprocess.run([*map(str, command)], capture_output=True, text=True, **options)


def leave(folder, names):
    "What a copy of the repository does without."
    top = {".git", ".venv", "demo", "data", "runs", "stores", "build"}
    everywhere = {"__pycache__", ".pytest_cache", ".hypothesis", ".ipynb_checkpoints"}
    skipped = everywhere | (top if Path(folder) == ROOT else set())
    return {n for n in names if n in skipped or n.endswith(".egg-info")}


def code_cells(path):
    cells = nbformat.read(path, 4).cells
    return [c for c in cells if c.cell_type == "code" and c.source.strip()]


def exported(path):
    return [c.source for c in code_cells(path) if re.search(r"^#\|\s*export\s*$", c.source, re.M)]


def imported_rooms(source):
    "Rooms that a piece of code imports, anywhere in it."
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("last."):
            found.add(node.module.split(".")[1])
        if isinstance(node, ast.ImportFrom) and node.module == "last":
            found |= {alias.name for alias in node.names}
        if isinstance(node, ast.Import):
            found |= {a.name.split(".")[1] for a in node.names if a.name.startswith("last.")}

    return found


def test_export_and_clean_change_nothing(tmp_path):
    copy = tmp_path / "repo"
    shutil.copytree(ROOT, copy, ignore=leave)
    before = {p: p.read_bytes() for p in [*copy.glob("nbs/*.ipynb"), *copy.glob("last/*.py")]}
    for command in ("nbdev_clean", "nbdev_export"):
        done = run(Path(sys.executable).with_name(command), cwd=copy)
        assert done.returncode == 0, done.stderr

    files = {*before, *copy.glob("last/*.py")}
    changed = [p.name for p in files if p.read_bytes() != before.get(p)]
    assert not changed, f"run nbdev_clean && nbdev_export: {changed}"


def test_readme_is_the_index():
    done = run(sys.executable, ROOT / "tools/readme.py", "--check")
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("path", ROOMS, **by_name)
def test_a_room_needs_only_lower_numbers(path):
    module = path.stem.split("_", 1)[1]
    cells = [c.source for c in code_cells(path)]
    assert f"#| default_exp {module}" in "\n".join(cells)

    needed = imported_rooms("\n".join(exported(path))) & set(NUMBER)
    higher = [name for name in needed if NUMBER[name] >= NUMBER[module]]
    assert not higher, f"{path.name} imports {higher}"


@pytest.mark.parametrize("path", ROOMS, **by_name)
def test_exported_code_does_without_nbdev(path):
    assert not re.search(r"^\s*(from|import) (nbdev|fastcore)", "\n".join(exported(path)), re.M)


def test_no_table_is_filled_by_importing():
    "A table has the same rows whether its room alone is imported or all rooms are."
    tables = "datasets.DATASETS skeletons.SKELETONS zoo.NETWORKS bench.BACKENDS cli.COMMANDS"
    tables += " video_networks.VIDEO_NETWORKS model.PRESETS"
    code = f"""
        import importlib
        for table in {tables.split()!r}:
            room, name = table.split(".")
            print(table, list(getattr(importlib.import_module("last." + room), name)))
    """
    lines = [line.strip() for line in code.strip().split("\n")]
    body = "\n".join([lines[0], lines[1], *("    " + line for line in lines[2:])])
    everything = "\n".join(f"import last.{room}" for room in NUMBER)

    alone = run(sys.executable, "-c", body)
    together = run(sys.executable, "-c", f"{everything}\n{body}")
    assert alone.returncode == together.returncode == 0, alone.stderr + together.stderr
    assert alone.stdout == together.stdout
    assert alone.stdout.count("\n") == len(tables.split())


HEAVY = ("torch", "matplotlib", "sklearn", "accelerate", "timm", "onnx", "nbdev", "fastcore")
HEAVY += ("mediapipe", "cv2", "av")


@pytest.mark.parametrize(
    "rooms, allowed",
    [
        (
            (
                "core",
                "skeletons",
                "parsing",
                "formats",
                "synthetic",
                "protocols",
                "store",
                "preparation",
            ),
            (),
        ),
        (("onnx_files", "recognizer"), ()),
        (
            (
                "keypoints",
                "overlay",
                "watchers",
                "pictures",
                "tracking",
                "placement",
                "pose",
                "sources",
                "predictions",
                "predict",
                "live",
            ),
            (),
        ),
        (("model", "zoo", "pipeline"), ("torch",)),
        (("runs",), ("torch",)),
    ],
    ids=lambda value: "-".join(value) or "nothing",
)
def test_imports_are_light(rooms, allowed):
    imports = ", ".join(f"last.{room}" for room in rooms)
    found = f"[m for m in {HEAVY!r} if m in sys.modules and m not in {allowed!r}]"
    done = run(sys.executable, "-c", f"import sys, last, {imports}; print({found})")
    assert done.stdout.strip() == "[]", done.stdout + done.stderr


def test_wheel(tmp_path):
    copy = tmp_path / "repo"
    shutil.copytree(ROOT, copy, ignore=leave)
    options = ("-q", "--no-deps", "--no-build-isolation", "-w", tmp_path)
    done = run(sys.executable, "-m", "pip", "wheel", *options, copy)
    assert done.returncode == 0, done.stderr

    names = set(zipfile.ZipFile(next(tmp_path.glob("last-*.whl"))).namelist())
    data = {"last/data/ntu120_missing.txt", "last/data/kinetics400_classes.txt"}
    data |= {f"last/configs/{p.name}" for p in (ROOT / "last/configs").glob("*.yaml")}
    assert "last/configs/ntu120_xsub.yaml" in data
    data |= {f"last/hdm05_pack/{name}" for name in ("hdm05.npz", "LICENSE", "README.md")}
    data |= {f"last/weights/{name}/last.safetensors" for name in ("core15", "hdm05")}
    assert data | {"last/__main__.py"} | {f"last/{m}.py" for m in NUMBER} <= names


@pytest.mark.parametrize("path", NOTEBOOKS, **by_name)
def test_a_notebook_opens_with_title_and_promise(path):
    first = nbformat.read(path, 4).cells[0]
    assert first.cell_type == "markdown"
    assert re.match(r"# .+\n> .+", first.source), "expected `# Title` and `> one-line promise`"


@pytest.mark.parametrize("path", NOTEBOOKS, **by_name)
def test_a_notebook_fits_one_sitting(path):
    notebook = nbformat.read(path, 4)
    assert len(notebook.cells) <= 48
    assert path.stat().st_size < 500_000
    lines = [source.count("\n") + 1 for source in exported(path)]
    assert sum(lines) <= 440
    assert max(lines, default=0) <= 130, "an exported cell is read at a glance, or nearly"


@pytest.mark.parametrize("path", NOTEBOOKS, **by_name)
def test_outputs_are_kept_and_clean(path):
    cells = code_cells(path)
    assert any(c.outputs for c in cells), "outputs are kept"

    outputs = [o for c in cells for o in c.outputs]
    assert not any(o.output_type == "error" for o in outputs)
    assert not any(o.output_type == "stream" and o.name == "stderr" for o in outputs)

    text = "\n".join(o.get("text", "") or str(o.get("data", {}).get("text/plain")) for o in outputs)
    noise = re.search(r"/tmp/|/root/|/home/|\.\d+\.part\b|0x[0-9a-f]{8,}", text)
    assert not noise, f"a path, process id or address in an output: {noise.group()}"


def test_results_name_no_folder_of_a_machine():
    for file in (ROOT / "results").rglob("*.json"):
        found = re.search(r'"/(home|root|tmp|work|Users|mnt)/[^"]*"', file.read_text("utf-8"))
        assert not found, f"{file}: {found.group()}; run it with paths below the current folder"


@pytest.mark.parametrize("path", NOTEBOOKS, **by_name)
def test_history_alone_speaks_of_the_plan(path):
    if path.stem == "history":
        return

    words = "\n".join(c.source for c in nbformat.read(path, 4).cells)
    assert not re.search(r"\bthe (original )?plan\b|\bthe plan's\b|\bthis repo's plan", words, re.I)


def test_links_in_pages_lead_somewhere():
    pages = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *ROOT.glob("docs/*.md")]
    pages += [ROOT / "results/README.md", ROOT / "experiments/README.md"]
    pages += ROOT.glob("nbs/trained/*/README.md")
    for page in pages:
        for target in re.findall(r"\]\(([^)#]+?)\)", page.read_text(encoding="utf-8")):
            if not target.startswith("http"):
                assert (page.parent / target).exists(), f"{page.name}: {target}"


RUNS = [*(ROOT / "nbs/trained").iterdir(), *(ROOT / "last/weights").glob("*/")]


def test_weights_are_small_and_say_where_they_come_from():
    for folder in RUNS:
        names = {file.name for file in folder.iterdir()} - {"README.md"}
        weights = {"config.json", "last.safetensors", "trained_on.txt"}
        assert names == weights | {"checksums.sha256"}
        assert not damaged_files(folder) and set(read_listing(folder)) == weights

        ships = folder.parent.name == "weights"
        size = sum(file.stat().st_size for file in folder.iterdir())
        assert size < (3_000_000 if ships else 500_000)
        readme = folder.parent / "README.md" if ships else folder / "README.md"
        assert "was obtained from" in readme.read_text(encoding="utf-8")
        if ships:
            with safe_open(folder / "last.safetensors", "pt") as file:
                assert file.metadata()["license"] == "CC-BY-SA-3.0"
                assert "HDM05" in file.metadata()["attribution"]

        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))["config"]
        assert not any("/" in config[key] for key in ("data", "out")), "a machine's path"
        assert config["part"] == "train"


@pytest.mark.parametrize("path", NOTEBOOKS, **by_name)
def test_a_notebook_names_its_kernel(path):
    "JupyterLab opens it without asking for one, and colors its code before a kernel runs."
    metadata = nbformat.read(path, 4).metadata
    kernel = dict(name="python3", display_name="python3", language="python")
    assert metadata.kernelspec == kernel
    assert metadata.get("language_info", {}).get("name") == "python"


def test_hints_name_the_one_distribution():
    "Every message about a missing extra names the distribution and an extra that exists."
    settings = (ROOT / "settings.ini").read_text(encoding="utf-8")
    name = re.search(r"^lib_name = (\S+)", settings, re.M).group(1)
    extras = re.findall(r"^(\w+)_requirements", settings, re.M)

    hints = []
    for path in ROOT.glob("last/*.py"):
        hints += re.findall(r"pip install ([^\n]+)", path.read_text(encoding="utf-8"))
    assert len(hints) >= 5
    for hint in hints:
        found = re.match(rf'"{name}\[(\w+)\]"', hint)
        assert found and found.group(1) in extras, hint


def test_python_313_has_constraints_of_its_own():
    "The same tools at the same versions, but for what Python 3.13 needs in another version."

    def pins(name):
        lines = (ROOT / name).read_text(encoding="utf-8").splitlines()
        return dict(line.lower().split("==") for line in lines if "==" in line)

    old, new = pins("constraints.txt"), pins("constraints-3.13.txt")
    assert new["numpy"].startswith("2.") and "mediapipe" not in new
    for name in ("onnx", "onnxruntime", "nbdev", "ruff", "timm"):
        assert new[name] == old[name]


def test_every_text_is_read_and_written_as_utf8():
    "Elsewhere than here the platform's own encoding is the default, and names become garbage."
    call = re.compile(r"\.(read_text|write_text)\((?![^\n]*(utf-8|/proc/|\"5\"))")
    for file in sorted((ROOT / "last").glob("*.py")):
        lines = file.read_text(encoding="utf-8").split("\n")
        found = [line.strip() for line in lines if call.search(line)]
        assert not found, f"{file.name}: {found}"
