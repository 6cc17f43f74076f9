"""Run a notebook's cells, all but those that are exported, against the installed module: `python run_against_module.py NOTEBOOK [data]`.

Executing a notebook tests what stands in its cells; this tests what was exported from them, which is what users import.
"""

import importlib
import re
import sys
from pathlib import Path

import matplotlib
import nbformat


def main():
    matplotlib.use("Agg")
    path, flags = Path(sys.argv[1]), {"notest", "slow", "cuda", "data"} - set(sys.argv[2:])
    cells = [
        c.source for c in nbformat.read(path, 4).cells if c.cell_type == "code" and c.source.strip()
    ]
    directives = [set(re.findall(r"^#\|\s*([\w: ]+)$", s, re.M)) for s in cells]
    name = next(re.search(r"default_exp (\w+)", s).group(1) for s in cells if "default_exp" in s)
    module = importlib.import_module(f"last.{name}")
    assert Path(module.__file__).name == f"{name}.py"
    ran = 0
    for k, (source, marks) in enumerate(zip(cells, directives)):
        if marks & (flags | {"export"}) or any(m.startswith("default_exp") for m in marks):
            continue
        exec(compile(source, f"{path.name}[{k}]", "exec"), module.__dict__)
        ran += 1
    print(f"{ran} cells of {path.name} ran against {module.__file__}")
    assert ran


if __name__ == "__main__":
    main()  # guarded: pool processes import this file
