"""Run a notebook's cells, all but those that are exported, against the installed module.

    python run_against_module.py NOTEBOOK [data]

Executing a notebook tests what stands in its cells; this tests what was exported from them, which
is what users import.
"""

import importlib
import re
import sys
from pathlib import Path

import matplotlib
import nbformat


def main():
    matplotlib.use("Agg")
    path = Path(sys.argv[1])
    skipped = {"notest", "slow", "cuda", "data", "export"} - set(sys.argv[2:])
    cells = [c for c in nbformat.read(path, 4).cells if c.cell_type == "code" and c.source.strip()]

    text = "\n".join(c.source for c in cells)
    name = re.search(r"default_exp (\w+)", text).group(1)
    module = importlib.import_module(f"last.{name}")
    assert Path(module.__file__).name == f"{name}.py"

    ran = 0
    for k, cell in enumerate(cells):
        marks = set(re.findall(r"^#\|\s*([\w: ]+)$", cell.source, re.M))
        if marks & skipped or any(m.startswith("default_exp") for m in marks):
            continue
        exec(compile(cell.source, f"{path.name}[{k}]", "exec"), module.__dict__)
        ran += 1

    print(f"{ran} cells of {path.name} ran against {module.__file__}")
    assert ran


if __name__ == "__main__":
    main()  # guarded: pool processes import this file
