"""The site: what its source holds, that it builds, that links lead somewhere, and what a browser
makes of it without a network."""

import ast
import json
import os
import re
import subprocess
import sys
from html.parser import HTMLParser
from urllib.parse import unquote

import nbformat
import pytest
from browsing import NODE_MODULES, need_browser, run_node, served
from conftest import ROOT
from filelock import FileLock

sys.path.insert(0, str(ROOT / "tools"))
import paper
import site_source

ADDRESS = "https://github.com/somebody/last"


class Page(HTMLParser):
    "Links, pictures, scripts, ids and code of one page."

    def __init__(self, text):
        super().__init__()
        self.links, self.loads = [], []
        self.ids = set()
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        a = dict(attributes)
        self.ids.add(a.get("id"))
        if tag == "a" and a.get("href"):
            self.links.append(a["href"])
        if tag in ("img", "script", "source", "iframe") and a.get("src"):
            self.loads.append(a["src"])
        if tag == "link" and a.get("rel") in ("stylesheet", "icon", "preload"):
            self.loads.append(a["href"])


@pytest.fixture(scope="session")
def site(tmp_path_factory):
    "The whole site, built once for all processes of a test run, with no way to a network."
    top = tmp_path_factory.getbasetemp()
    if os.environ.get("PYTEST_XDIST_WORKER"):
        top = top.parent
    source, out = top / "site-source", top / "site"
    with FileLock(top / "site.lock"):
        if not (out / "done").is_file():
            site_source.write_source(source)
            nowhere = {name: "http://127.0.0.1:9" for name in ("http_proxy", "https_proxy")}
            command = [sys.executable, "-m", "sphinx", "-q", "-W", "--keep-going", "-b", "html"]
            done = subprocess.run(
                [*command, str(source), str(out)],
                capture_output=True,
                text=True,
                env=os.environ | nowhere,
            )
            assert done.returncode == 0, (done.stdout + done.stderr)[-4000:]
            (out / "done").touch()

    return out


def notebook(*cells):
    "A notebook of (kind, source)."
    make = {"md": nbformat.v4.new_markdown_cell, "code": nbformat.v4.new_code_cell}
    return nbformat.v4.new_notebook(cells=[make[kind](source) for kind, source in cells])


def test_a_reader_sees_no_flags_and_no_hidden_cells():
    cells = [("md", "# T"), ("code", "#| default_exp t"), ("code", "#| hide\nimport this")]
    cells += [("code", "#| export\ndef f(): ..."), ("code", "#| echo: false\nprint(1)")]
    cells += [("code", "#| code-fold: true\nlong = 1")]
    shown = site_source.shown_notebook(notebook(*cells)).cells

    assert [c.source for c in shown] == ["# T", "def f(): ...", "print(1)", "long = 1"]
    assert [c.metadata.get("tags") for c in shown[1:]] == [[], ["remove-input"], ["hide-input"]]


def test_links_lead_to_pages_to_the_repository_or_nowhere():
    pages = {ROOT / "nbs/12_tsm.ipynb"}
    text = "[a](nbs/12_tsm.ipynb) [b](last/configs) ![c](docs/images/people.gif) [d](https://x.y)"

    without = site_source.links_of(text, ROOT, pages, "")
    assert without == text.replace("[b](last/configs)", "b")
    linked = site_source.links_of(text, ROOT, pages, ADDRESS)
    assert f"[b]({ADDRESS}/blob/main/last/configs)" in linked
    fenced = "```bash\n[b](last/configs)\n```\n"
    assert site_source.links_of(fenced, ROOT, pages, "") == fenced


def test_names_of_notebooks_become_links():
    names = {"27_floor", "history"}
    text = site_source.rooms_linked(
        "see `27_floor`, [`27_floor`](x), `99_none` and `history`", names
    )
    assert text == (
        "see [`27_floor`](27_floor.ipynb), [`27_floor`](x), `99_none` and "
        "[`history`](history.ipynb)"
    )


def test_comments_beside_parameters_and_fields_are_in_the_pages():
    source = """
@dataclass
class Config:
    "Settings."

    frames: int = 64  # how many


def f(
    x: Tensor,  # (N, *T*)
    y: int = 0,
) -> Tensor:  # (N,)
    "Adds."
    return secret
"""
    text = site_source.documented(source)
    assert ":param x: (N, \\\\*T\\\\*)" in text and ":returns: (N,)" in text
    assert "'how many'" in text and ":param y:" not in text and "secret" not in text


def test_what_needs_an_address_appears_with_it():
    cfg = site_source.settings()
    assert site_source.button("12_tsm", cfg | {"git_url": ""}) == ""
    line = site_source.button("12_tsm", cfg | {"git_url": ADDRESS, "branch": "main"})
    assert "colab.research.google.com/github/somebody/last/blob/main/nbs/12_tsm.ipynb" in line
    assert f"pip install git+{ADDRESS}" in line


def test_the_readme_links_to_site_and_colab_only_with_an_address():
    cells = nbformat.read(ROOT / "nbs/index.ipynb", 4).cells
    source = next(c.source for c in cells if "def online" in c.source)
    found = next(n for n in ast.parse(source).body if isinstance(n, ast.FunctionDef))
    names = {}
    exec(ast.unparse(found), names)

    assert names["online"]("") == ""
    shown = names["online"](ADDRESS)
    assert "https://somebody.github.io/last/" in shown
    assert "colab.research.google.com/github/somebody/last/blob/main/nbs/12_tsm.ipynb" in shown

    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert ("colab.research" in readme) == bool(site_source.settings()["git_url"])


def test_the_front_page_is_filled():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    page = site_source.front(readme, "1.2.3")
    assert "{{" not in page and "version 1.2.3" in page
    assert "docs/images/people.gif" in page and "`reference`" in page
    with pytest.raises(ValueError, match=r"expected a section 'Cost and accuracy'"):
        site_source.front("# LAST\n", "1.2.3")


@pytest.mark.timeout(600)
def test_every_link_of_the_site_leads_somewhere(site):
    files = [p for p in site.rglob("*.html") if "_static" not in p.parts]
    pages = {p: Page(p.read_text(encoding="utf-8")) for p in files}
    names = {p.relative_to(site).as_posix() for p in pages}
    shown = {p.stem for p in ROOT.glob("nbs/*.ipynb")} - {"index"}
    modules = {p.stem for p in ROOT.glob("last/*.py") if not p.stem.startswith("_")}
    assert {f"nbs/{name}.html" for name in shown} <= names
    assert {f"api/last/{name}/index.html" for name in modules} <= names
    assert {"index.html", "start.html", "docs/faq.html", "search.html"} <= names

    without = set() if NODE_MODULES.is_dir() else {"tex-chtml.js"}
    for path, page in pages.items():
        for target in page.loads:
            assert not re.match(r"(https?:)?//", target), f"{path.name} loads {target}"
        for target in page.links + page.loads:
            file, _, anchor = unquote(target).partition("#")
            if re.match(r"\w+:", target) or (file == "" and anchor == ""):
                continue
            place = (path.parent / file.split("?")[0]).resolve() if file else path
            if place.name in without:
                continue
            assert place.is_file(), f"{path.relative_to(site)}: {target}"
            if anchor and place in pages:
                assert anchor in pages[place].ids, f"{path.relative_to(site)}: {target}"


@pytest.mark.timeout(600)
def test_pages_show_no_flags_and_the_api_its_shapes(site):
    for path in site.glob("nbs/*.html"):
        text = path.read_text(encoding="utf-8")
        assert not re.search(r"#\|\s*(export|hide|echo|code-fold|default_exp)", text), path.name

    api = (site / "api/last/tsm/index.html").read_text(encoding="utf-8")
    assert "(N, T, V, C)" in api and "costs no multiplication" in api


@pytest.mark.timeout(600)
def test_a_browser_shows_the_site_without_a_network(site):
    need_browser()
    pages = ["index.html", "start.html", "nbs/13_linear_attention.html", "nbs/report.html"]
    (site / "paper.html").write_text(
        paper.page(ROOT / "nbs/report.ipynb", paper.MATHJAX.read_text(encoding="utf-8")),
        encoding="utf-8",
    )
    pages += [
        "paper.html",
        "api/last/tsm/index.html",
        "docs/model_card.html",
        "search.html?q=linear+attention",
    ]
    shots = os.environ.get("LAST_SHOTS", "-")
    with served(site) as base:
        found = json.loads(run_node("pages.mjs", base, "1280,400", shots, *pages, timeout=400))

    assert len(found) == 2 * len(pages)
    for page in found:
        name = f"{page['page']} at {page['width']} px"
        for wrong in ("failed", "outside", "errors", "missing", "raw"):
            assert page[wrong] == [], f"{name}: {wrong}: {page[wrong]}"
        assert page["broken"] == 0, f"{name}: a formula is not understood"
        assert page["wider"] <= 0, f"{name}: wider than the screen by {page['wider']} px"
        assert page["font"] >= 14 and page["text"] > 300, name

    by_name = {page["page"]: page for page in found}
    assert by_name["index.html"]["pictures"] >= 2
    assert by_name["nbs/report.html"]["pictures"] >= 3
    assert by_name["paper.html"]["pictures"] >= 3 and by_name["paper.html"]["formulas"] >= 5
    assert by_name["nbs/13_linear_attention.html"]["formulas"] >= 10
    assert by_name["search.html?q=linear+attention"]["results"] > 3
