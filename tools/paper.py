"""nbs/report.ipynb as a paper: one HTML file that needs no network, and a PDF where Chromium is.

`python tools/paper.py OUT` writes OUT/report.html and OUT/report.pdf. Formulas are rendered by
MathJax from build/node (`make node`), which the page then holds; without it they stay as TeX.
"""

import html
import re
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
from site_source import ROOT, links_of, settings, shown_notebook

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
MATHJAX = ROOT / "build/node/node_modules/mathjax/es5/tex-svg.js"
CONFIG = "MathJax = {tex: {inlineMath: [['$', '$']]}, options: {enableMenu: false}};"
STYLE = """
@page { size: A4; margin: 18mm 16mm; }
body { font: 11pt/1.45 "Liberation Serif", Georgia, serif; }
body { max-width: 48em; margin: 2em auto; padding: 0 1em; }
h1, h2 { line-height: 1.2; break-after: avoid; }
blockquote { margin: 0 0 1.5em; font-style: italic; }
table { border-collapse: collapse; font-size: 8pt; margin: 1em 0; width: 100%; }
td { white-space: nowrap; }
thead { display: table-header-group; border-bottom: 1.5px solid; }
td, th { padding: 2px 6px; text-align: left; vertical-align: top; }
tr { break-inside: avoid; border-bottom: 0.5px solid #ccc; }
img { max-width: 100%; break-inside: avoid; }
code { font-size: 0.9em; overflow-wrap: anywhere; }
.anchor-link { display: none; }
@media screen and (max-width: 600px) { table { display: block; overflow-x: auto; } }
"""


def body(path: Path) -> str:
    "A notebook without its code, as HTML."
    from nbconvert import HTMLExporter

    cfg = settings()
    address, branch = cfg["git_url"].rstrip("/"), cfg["branch"]

    def change(text: str) -> str:
        return links_of(text, path.parent, set(), address, branch)

    notebook = shown_notebook(nbformat.read(path, 4), change)
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            if "text/markdown" in output.get("data", {}):
                output.data["text/markdown"] = change(output.data["text/markdown"])

    exporter = HTMLExporter(template_name="basic", exclude_input=True)
    exporter.exclude_input_prompt = exporter.exclude_output_prompt = True
    text, _ = exporter.from_notebook_node(notebook)
    return re.sub(r"<style.*?</style>", "", text, flags=re.S)


def page(path: Path, script: str) -> str:
    "The whole file."
    first = nbformat.read(path, 4).cells[0].source.split("\n")[0].lstrip("# ")
    cfg = settings()
    parts = ["<!DOCTYPE html>", '<html lang="en"><head><meta charset="utf-8">']
    parts.append('<meta name="viewport" content="width=device-width, initial-scale=1">')
    parts.append(f"<title>{html.escape(first)}</title><style>{STYLE}</style>")
    if script:
        parts.append(f"<script>{CONFIG}</script><script>{script}</script>")
    parts.append(f"</head><body><main>{body(path)}")
    parts.append(f"<p><small>LAST {cfg['version']}, {html.escape(cfg['author'])}</small></p>")
    return "\n".join([*parts, "</main></body></html>"])


def find_browser() -> str | None:
    return next((found for name in BROWSERS if (found := shutil.which(name))), None)


def print_pdf(browser: str, source: Path, target: Path) -> None:
    "Print a page, once its formulas stand."
    options = ["--headless", "--no-sandbox", "--disable-gpu", "--no-pdf-header-footer"]
    options += ["--virtual-time-budget=20000", f"--print-to-pdf={target}"]
    subprocess.run([browser, *options, source.resolve().as_uri()], check=True, capture_output=True)


def main(out: Path) -> int:
    out.mkdir(parents=True, exist_ok=True)
    script = MATHJAX.read_text(encoding="utf-8") if MATHJAX.is_file() else ""
    target = out / "report.html"
    text = page(ROOT / "nbs/report.ipynb", script.replace("</script", "<\\/script"))
    target.write_text(text, encoding="utf-8")
    print(f"wrote {target}")
    if not script:
        print("formulas are left as TeX: make node brings MathJax (needs npm)")

    browser = find_browser()
    if browser:
        print_pdf(browser, target, out / "report.pdf")
        print(f"wrote {out / 'report.pdf'}")
    else:
        print("no report.pdf: no Chromium; any browser prints report.html")
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
