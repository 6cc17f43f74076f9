"""README.md from nbs/index.ipynb.

`python tools/readme.py` writes it; `--check` exits with 1 if it is not up to date.
"""

import sys
from pathlib import Path

import nbformat

ROOT = Path(__file__).parent.parent
NOTE = "<!-- made from nbs/index.ipynb by tools/readme.py; edit that -->"


def rendered(output: dict) -> str:
    "One output of a cell as Markdown; empty if it has no text."
    data = output.get("data", {})
    if "text/markdown" in data:
        return data["text/markdown"].strip()

    text = output.get("text", data.get("text/plain", ""))
    if not text or "image/png" in data:
        return ""

    return f"```\n{text.rstrip()}\n```"


def render(path: Path) -> str:
    "Markdown cells, and code cells with outputs; `hide` and `echo: false` are respected."
    parts = []
    for cell in nbformat.read(path, 4).cells:
        source = cell.source.strip()
        if not source or source.startswith("#| hide"):
            continue
        if cell.cell_type == "markdown":
            parts.append(source)
            continue
        if "#| echo: false" not in source:
            lines = [line for line in source.split("\n") if not line.startswith("#|")]
            parts.append("```python\n" + "\n".join(lines).strip() + "\n```")

        parts += [text for output in cell.outputs if (text := rendered(output))]

    return NOTE + "\n\n" + "\n\n".join(parts) + "\n"


def main() -> int:
    text, target = render(ROOT / "nbs/index.ipynb"), ROOT / "README.md"
    if "--check" not in sys.argv:
        target.write_text(text, encoding="utf-8")
        return 0
    if target.read_text(encoding="utf-8") == text:
        return 0

    print("README.md is not up to date: run python tools/readme.py", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
