"""Install the package beside other versions of Python and of its libraries, and run the tests.

    python experiments/compatibility.py --out results/scale/compatibility.json
    python experiments/compatibility.py --rows "Python 3.13" --out results/scale/compatibility.json

Every row gets an environment of its own, with the extra `export` and the tools that the tests
need, and is asked with the tests that `.github/workflows/test.yml` runs on other systems. What a
plain `pip install last` brings is weighed on the way. Each row has its entry in the results as
soon as it is done; the others stay. On Linux pip brings PyTorch with CUDA: 5 GB a row.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from xml.etree import ElementTree

import tyro

from last.core import environment, write_json

ROOT = Path(__file__).parents[1]
ROWS = {  # name -> interpreter, what pip is told
    # where pip knows an index that has it, such as https://download.pytorch.org/whl/cpu
    "PyTorch for CPUs": ("python3.11", ["-c", "constraints.txt", "torch==2.13.0+cpu"]),
    "Python 3.12": ("python3.12", ["-c", "constraints.txt"]),
    "Python 3.13": ("python3.13", ["-c", "constraints-3.13.txt"]),
    "oldest torch and numpy": ("python3.11", ["torch==2.11.*", "numpy==1.26.*"]),
    "newest numpy and onnxruntime": (
        "python3.11",
        ["--upgrade", "--upgrade-strategy", "eager", "numpy>=2"],
    ),
    "oldest onnxruntime": ("python3.11", ["onnxruntime==1.19.*", "numpy==1.26.*"]),
}
TOOLS = ["pytest", "pytest-timeout", "hypothesis"]
ABOUT = """
import json, platform
from importlib.metadata import distributions
files = [file for one in distributions() for file in one.files or ()]
size = sum(path.stat().st_size for file in files if (path := file.locate()).is_file())
versions = {one.name.lower(): one.version for one in distributions()}
named = {name: versions[name] for name in NAMES if name in versions}
about = {"python": platform.python_version(), "packages": len(versions), "bytes": size}
print(json.dumps(about | {"versions": named}))
"""
NAMES = ["torch", "numpy", "scipy", "onnx", "onnxruntime", "accelerate", "scikit-learn"]


@dataclass
class Config:
    "Which rows, and where to."

    out: str  # results file (.json)
    rows: tuple[str, ...] = tuple(ROWS)
    work: str = field(default_factory=tempfile.gettempdir)  # where environments are made


def tests() -> list[str]:
    "The test files that the workflow runs on other systems."
    text = (ROOT / ".github/workflows/test.yml").read_text(encoding="utf-8")
    line = next(line for line in text.splitlines() if "pytest -q tests/test_core.py" in line)
    return [word for word in line.split() if word.startswith("tests/")]


def run(words: list, **given) -> subprocess.CompletedProcess:
    return subprocess.run([str(word) for word in words], cwd=ROOT, check=True, **given)


def about(python: Path) -> dict:
    "Versions, packages and size of an environment."
    code = ABOUT.replace("NAMES", repr(NAMES))
    return json.loads(run([python, "-c", code], capture_output=True, text=True).stdout)


def counted(python: Path, report: Path) -> dict:
    "Tests passed, skipped and failed."
    words = [python, "-m", "pytest", "-q", f"--junitxml={report}", *tests()]
    env = os.environ | {"OMP_NUM_THREADS": "1"}
    subprocess.run([str(word) for word in words], cwd=ROOT, env=env)
    suite = ElementTree.parse(report).getroot().find("testsuite")
    count = {key: int(suite.get(key)) for key in ("tests", "skipped", "failures", "errors")}
    failed = count["failures"] + count["errors"]
    passed = count["tests"] - failed - count["skipped"]
    return {"passed": passed, "skipped": count["skipped"], "failed": failed}


def try_row(interpreter: str, words: list[str], work: Path) -> dict:
    "An environment, what it holds, and what the tests say in it."
    run([interpreter, "-m", "venv", work / "env"])
    python = work / "env" / ("Scripts" if os.name == "nt" else "bin") / "python"
    install = [python, "-m", "pip", "install", "-q", *words]
    run([*install, "-e", "."])
    core = about(python)
    run([*install, "-e", ".[export]", *TOOLS])
    started = time.perf_counter()
    found = counted(python, work / "report.xml")
    seconds = round(time.perf_counter() - started)
    core_size = {"packages": core["packages"], "bytes": core["bytes"]}
    full = about(python)
    row = {"python": full["python"], "versions": full["versions"], "core": core_size}
    return row | {"pip": " ".join(words), "seconds": seconds} | found


def main(cfg: Config) -> int:
    out = Path(cfg.out)
    found = json.loads(out.read_text(encoding="utf-8"))["rows"] if out.exists() else {}
    failed = 0
    for name in cfg.rows:
        interpreter, words = ROWS[name]
        with tempfile.TemporaryDirectory(dir=cfg.work) as work:
            row = try_row(interpreter, words, Path(work))
            found[name] = row | {key: environment()[key] for key in ("last", "machine", "commit")}
            write_json(out, {"rows": found})  # before the environment is removed: that takes long

        counts = ", ".join(f"{row[key]} {key}" for key in ("passed", "skipped", "failed"))
        print(f"{name}: {counts}", flush=True)
        failed += row["failed"]

    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(tyro.cli(Config, description=__doc__)))
