"""The site's source, from notebooks, pages and package.

`python tools/site_source.py OUT` writes a folder for Sphinx: every notebook as its reader should
see it (no `#|` lines, no hidden cells), the Markdown pages, the package with its comments as
docstrings, and a front page. Links lead to pages of the site, to the repository if settings.ini
has its address, or become plain text. `make docs` builds the site from it; nothing needs a network.
"""

import ast
import io
import re
import shutil
import sys
import tokenize
from configparser import ConfigParser
from pathlib import Path

import nbformat
from readme import render

ROOT = Path(__file__).parent.parent
PAGES = ["CONTRIBUTING.md", "CHANGELOG.md", "results/README.md", "experiments/README.md"]
PAGES += ["last/hdm05_pack/README.md", "last/weights/README.md"]
LINK = re.compile(r"(!?)\[([^\]]*)\]\(([^)\s]+)\)")
ROOM = re.compile(
    r"(?<![\[`])`((?:\d\d_|results_)\w+|history|report|model_zoo|own_skeletons)`(?![`\]])"
)


def settings() -> dict[str, str]:
    "settings.ini as setup.py reads it."
    parser = ConfigParser(delimiters=["="], interpolation=None)
    parser.read(ROOT / "settings.ini", encoding="utf-8")
    return dict(parser["DEFAULT"])


def outside_code(text: str, change) -> str:
    "Markdown with `change` made to everything but fenced blocks."
    parts = re.split(r"(^```.*?^```[^\n]*$)", text, flags=re.M | re.S)
    return "".join(part if i % 2 else change(part) for i, part in enumerate(parts))


def links_of(
    text: str,
    folder: Path,  # of the page in the repository
    pages: set[Path],  # that the site has
    address: str,  # of the repository; empty: it has none
    branch: str = "main",
) -> str:
    "Links to files that are no pages lead to the repository, or become plain text."

    def change(found: re.Match) -> str:
        picture, words, target = found.groups()
        path = target.partition("#")[0]
        if re.match(r"\w+:", target) or not path:
            return found.group()

        place = (folder / path).resolve()
        if picture or place in pages or place == ROOT / "nbs/index.ipynb":
            return found.group().replace("index.ipynb", "../start.md")
        if place == ROOT / "README.md":
            return found.group()
        if address:
            return f"[{words}]({address}/blob/{branch}/{place.relative_to(ROOT).as_posix()})"
        return words

    return outside_code(text, lambda part: LINK.sub(change, part))


def rooms_linked(text: str, names: set[str]) -> str:
    "`27_floor` in a notebook's text becomes a link to it."

    def change(found: re.Match) -> str:
        name = found.group(1)
        return f"[`{name}`]({name}.ipynb)" if name in names else found.group()

    return outside_code(text, lambda part: ROOM.sub(change, part))


def shown_notebook(notebook, change=lambda text: text):
    "A notebook as its reader should see it: no hidden cells, and no `#|` lines."
    shown = []
    for cell in notebook.cells:
        flags = re.findall(r"^#\|\s*(\S+)(?:\s+(\S+))?", cell.source, re.M)
        names = {name.rstrip(":") for name, _ in flags}
        if "hide" in names or "default_exp" in names:
            continue
        if cell.cell_type == "markdown":
            cell.source = change(cell.source)
        else:
            lines = [line for line in cell.source.split("\n") if not line.startswith("#|")]
            cell.source = "\n".join(lines).strip()
            tags = {"echo": "remove-input", "code-fold": "hide-input"}
            cell.metadata["tags"] = [tag for name, tag in tags.items() if name in names]
        if cell.source:
            shown.append(cell)

    notebook.cells = shown
    return notebook


def comments(source: str) -> dict[int, str]:
    "Line -> the comment at its end."
    tokens = tokenize.generate_tokens(io.StringIO(source).readline)
    found = [t for t in tokens if t.type == tokenize.COMMENT]
    alone = {t.start[0] for t in found if not t.line[: t.start[1]].strip()}
    return {t.start[0]: t.string.strip("# ") for t in found if t.start[0] not in alone}


def plain(text: str) -> str:
    "Text that reStructuredText takes literally, but for what stands in backticks."
    parts = re.split(r"(`[^`\n]+`)", text)
    for i in range(0, len(parts), 2):
        parts[i] = re.sub(r"([\\*|_`])", r"\\\1", parts[i])

    for i in range(1, len(parts), 2):
        parts[i] = f"`{parts[i]}`"
    return "".join(parts)


def documented(source: str) -> str:
    "A module whose docstrings hold the comments beside parameters, returns and fields."
    tree = ast.parse(source)
    said = comments(source)
    for node in ast.walk(tree):
        doc = isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef))
        text = plain(ast.get_docstring(node) or "") if doc else ""

        if isinstance(node, ast.FunctionDef):
            arguments = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
            fields = [(a.arg, said.get(a.lineno)) for a in arguments if a.lineno > node.lineno]
            lines = [f":param {name}: {plain(comment)}" for name, comment in fields if comment]
            last = node.returns.end_lineno if node.returns else 0
            if last > node.lineno and last in said:
                lines.append(f":returns: {plain(said[last])}")
            text = "\n\n".join(filter(None, [text, "\n".join(lines)]))

        if isinstance(node, ast.ClassDef):
            body = []
            for part in node.body:
                body.append(part)
                if isinstance(part, ast.AnnAssign) and part.end_lineno in said:
                    body.append(ast.Expr(ast.Constant(plain(said[part.end_lineno]))))
            node.body = body

        if isinstance(node, ast.FunctionDef):
            node.body = [ast.Expr(ast.Constant(...))]  # pages show no code, and parse faster
        elif text and ast.get_docstring(node) is not None:
            node.body.pop(0)
        if text:
            node.body.insert(0, ast.Expr(ast.Constant(text)))

    return ast.unparse(ast.fix_missing_locations(tree)) + "\n"


def section(readme: str, title: str) -> str:
    "One section of the README, without its title."
    found = re.search(rf"^## {re.escape(title)}\n(.*?)(?=^## |\Z)", readme, re.M | re.S)
    if not found:
        raise ValueError(f"README.md: expected a section {title!r}")
    return found.group(1).strip()


def groups(readme: str) -> dict[str, list[str]]:
    "The README's table of notebooks: group -> names."
    rows = re.findall(r"^\| \*\*(.+?)\*\* \| (.+) \|$", section(readme, "I want to read"), re.M)
    return {title: re.findall(r"\(nbs/(\w+)\.ipynb\)", cell) for title, cell in rows}


def toctree(entries: list[str], caption: str = "", **options) -> str:
    "A list of pages for Sphinx."
    options = {"maxdepth": 1} | ({"caption": caption} if caption else {}) | options
    head = "\n".join(f":{key}: {value}".rstrip() for key, value in options.items())
    return "\n".join(["```{toctree}", head, "", *entries, "```"])


def title_and_promise(name: str) -> list[str]:
    "The first two lines of a notebook, without their marks."
    first = nbformat.read(ROOT / f"nbs/{name}.ipynb", 4).cells[0].source
    return [line.lstrip("#> ") for line in first.split("\n")[:2]]


def list_page(title: str, words: str, parts: dict[str, list[str]]) -> str:
    "A page that lists notebooks with their promises, in groups."
    lines = [f"# {title}", words]
    for group, names in parts.items():
        listed, entries = [], []
        for name in names:
            called, promise = title_and_promise(name)
            number = name[:2] + " " if name[0].isdigit() else ""
            listed.append(f"- [{name}](nbs/{name}.ipynb): {promise}")
            entries.append(f"{number}{called} <nbs/{name}>")
        lines += [f"## {group}", "\n".join(listed), toctree(entries, group, hidden="")]

    return "\n\n".join(lines) + "\n"


def front(readme: str, version: str) -> str:
    "The front page, from docs/site/front.md and the README."
    text = (ROOT / "docs/site/front.md").read_text(encoding="utf-8")
    table = section(readme, "Cost and accuracy")
    intro = table.split("\n\n")[0]
    rows = re.search(r"^\|.*?(?=^[^|\n])", table, re.M | re.S).group().strip()
    marks = re.search(r"^† .+$", table, re.M)
    floor = re.search(r"^\*\*The floor.+$", table, re.M)

    values = {"version": version, "about": intro, "table": rows}
    values["floor"] = floor.group() if floor else ""
    values["marks"] = marks.group() if marks else ""
    for key, value in values.items():
        text = text.replace("{{" + key + "}}", value)
    return text


def button(name: str, cfg: dict) -> str:
    "The line under a notebook's title that opens it elsewhere; empty without an address."
    address = cfg["git_url"].rstrip("/")
    if not address.startswith("https://github.com/"):
        return ""

    path = f"{address.removeprefix('https://github.com/')}/blob/{cfg['branch']}/nbs/{name}.ipynb"
    colab = f"https://colab.research.google.com/github/{path}"
    install = f"!pip install git+{address}"
    return f"[Open in Colab]({colab}) (there, first run `{install}` in a cell of its own)"


def write_notebooks(out: Path, pages: set[Path], cfg: dict) -> None:
    "All notebooks but the index, which is the README."
    files = sorted((ROOT / "nbs").glob("*.ipynb"))
    names = {file.stem for file in files} - {"index"}
    address, branch = cfg["git_url"].rstrip("/"), cfg["branch"]

    def change(text: str) -> str:
        return links_of(rooms_linked(text, names), ROOT / "nbs", pages, address, branch)

    (out / "nbs").mkdir(parents=True)
    for name in sorted(names):
        notebook = nbformat.read(ROOT / f"nbs/{name}.ipynb", 4)
        shown = shown_notebook(notebook, change)
        if line := button(name, cfg):
            shown.cells[0].source += f"\n\n{line}"
        nbformat.write(shown, out / f"nbs/{name}.ipynb")


def write_pages(out: Path, pages: set[Path], cfg: dict) -> None:
    "Markdown pages, the README among them, and the pages that lead to the others."
    readme = render(ROOT / "nbs/index.ipynb")
    address, branch = cfg["git_url"].rstrip("/"), cfg["branch"]
    for page in pages:
        if page.suffix == ".md":
            text = page.read_text(encoding="utf-8")
            target = out / page.relative_to(ROOT)
            target.parent.mkdir(parents=True, exist_ok=True)
            changed = links_of(text, page.parent, pages, address, branch)
            target.write_text(changed, encoding="utf-8")

    start = links_of(readme, ROOT, pages, address, branch).replace("# LAST\n", "# Start\n", 1)
    (out / "start.md").write_text(start, encoding="utf-8")
    (out / "index.md").write_text(front(readme, cfg["version"]), encoding="utf-8")

    found = groups(readme)
    measured = found.pop("Measured")
    words = "Start with [12_tsm](nbs/12_tsm.ipynb), or follow the numbers."
    notebooks = list_page("Notebooks", words, found | {"More": ["own_skeletons"]})
    (out / "notebooks.md").write_text(notebooks, encoding="utf-8")

    words = "Every figure is read from files that the code wrote ([list](results/README.md))."
    results = list_page("Results", words, {"Measured": measured})
    results += "\n" + toctree(["results/README", "experiments/README"], "How", hidden="")
    (out / "results.md").write_text(results + "\n", encoding="utf-8")

    guides = sorted(p.stem for p in (ROOT / "docs").glob("*.md"))
    entries = [f"docs/{name}" for name in guides] + ["CONTRIBUTING", "CHANGELOG"]
    weights = sorted((ROOT / "nbs/trained").glob("*/README.md"))
    entries += ["last/hdm05_pack/README", "last/weights/README"]
    entries += [p.relative_to(ROOT).with_suffix("").as_posix() for p in weights]
    (out / "guides.md").write_text("# Guides\n\n" + toctree(entries) + "\n", encoding="utf-8")


def write_package(out: Path, cfg: dict) -> None:
    "The package for the API pages."
    (out / "package/last").mkdir(parents=True)
    for file in sorted((ROOT / "last").glob("*.py")):
        text = file.read_text(encoding="utf-8")
        if file.stem == "__init__":
            text = f"{cfg['description']!r}\n{text}"
        if not file.stem.startswith("_mod"):
            (out / "package/last" / file.name).write_text(documented(text), encoding="utf-8")


def write_source(out: Path, cfg: dict | None = None) -> None:
    "All of the site's source, in a new folder."
    cfg = cfg or settings()
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)

    pages = {ROOT / page for page in PAGES} | set(ROOT.glob("docs/*.md"))
    pages |= set(ROOT.glob("nbs/trained/*/README.md"))
    notebooks = set(ROOT.glob("nbs/*.ipynb")) - {ROOT / "nbs/index.ipynb"}
    write_notebooks(out, pages | notebooks, cfg)
    write_pages(out, pages | notebooks, cfg)
    write_package(out, cfg)

    shutil.copytree(ROOT / "docs/images", out / "docs/images")
    shutil.copy(ROOT / "docs/site/conf.py", out)
    parser = ConfigParser(defaults=cfg, interpolation=None)
    with (out / "settings.ini").open("w", encoding="utf-8") as file:
        parser.write(file)
    (out / "_static").mkdir()
    shutil.copy(ROOT / "docs/site/site.css", out / "_static")
    mathjax = ROOT / "build/node/node_modules/mathjax/es5"
    if mathjax.is_dir():
        write_mathjax(mathjax, out / "_static/mathjax")


def write_mathjax(es5: Path, out: Path) -> None:
    "What pages need of MathJax: one script, its fonts, and rare macros."
    out.mkdir(parents=True)
    shutil.copy(es5 / "tex-chtml.js", out)
    for folder in ("output/chtml/fonts/woff-v2", "input/tex/extensions"):
        shutil.copytree(es5 / folder, out / folder)


if __name__ == "__main__":
    write_source(Path(sys.argv[1]))
