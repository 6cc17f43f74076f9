"""README.md from nbs/index.ipynb: `python tools/readme.py` writes it, `--check` only says whether it is up to date (exit code 1 if not)."""
import sys
from pathlib import Path

import nbformat

ROOT = Path(__file__).parent.parent


def render(path: Path) -> str:
    "Markdown cells, code cells as fenced blocks with their text output; cells with `#| hide` are left out, `#| echo: false` shows the output only."
    parts = []
    for cell in nbformat.read(path, 4).cells:
        source = cell.source.strip()
        if not source or source.startswith("#| hide"): continue
        if cell.cell_type == "markdown": parts.append(source); continue
        lines = [line for line in source.split("\n") if not line.startswith("#|")]
        if "#| echo: false" not in source: parts.append("```python\n" + "\n".join(lines).strip() + "\n```")
        for out in cell.outputs:
            data = out.get("data", {})
            if "text/markdown" in data: parts.append(data["text/markdown"].strip())
            elif "text" in out: parts.append("```\n" + out["text"].rstrip() + "\n```")
            elif "text/plain" in data and "image/png" not in data: parts.append("```\n" + data["text/plain"].rstrip() + "\n```")
    return "<!-- made from nbs/index.ipynb by tools/readme.py; edit that -->\n\n" + "\n\n".join(parts) + "\n"


if __name__ == "__main__":
    text, target = render(ROOT / "nbs/index.ipynb"), ROOT / "README.md"
    if "--check" in sys.argv: sys.exit(0 if target.read_text(encoding="utf-8") == text else "README.md is not up to date: run python tools/readme.py")
    target.write_text(text, encoding="utf-8")
