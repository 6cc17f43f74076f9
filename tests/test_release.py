"""Citation, issue forms, the release, the report as a paper, and a small computer's script."""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys

import nbformat
import numpy as np
import pytest
import yaml
from browsing import NODE_MODULES
from conftest import ROOT

from last.zoo import PAPERS

sys.path.insert(0, str(ROOT / "tools"))
import paper
import release
import site_source

REQUIRED = {"cff-version", "message", "title", "authors", "version", "license", "type"}
ADDRESS = "https://github.com/a/b"
NAMES = {"family-names", "given-names", "name"}
CHANGELOG = "# Changelog\n\n## 0.2.0 (2026-12-01)\n\nNew\n\n## 0.1.0 (2026-11-01)\n\nOld\n"


def run(*command, cwd):
    return subprocess.run(
        [*map(str, command)], cwd=cwd, capture_output=True, text=True, timeout=300
    )


# citation and forms


def test_the_citation_names_us_and_every_paper_compared():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert set(citation) >= REQUIRED and citation["cff-version"] == "1.2.0"
    titles = {reference["title"] for reference in citation["references"]}
    papers = {p.title for p in PAPERS.values() if p.title[0].isupper()}
    assert papers <= titles, papers - titles
    for work in [citation, *citation["references"]]:
        assert work["authors"] and all(set(author) <= NAMES for author in work["authors"])
    release.check_citation(site_source.settings())


def test_citation_of_another_version_or_address_is_refused(tmp_path, monkeypatch):
    cfg = site_source.settings() | {"git_url": ADDRESS}
    release.check_citation(cfg)  # one setting holds the address; the citation need not repeat it
    with pytest.raises(ValueError, match=r"CITATION\.cff: version"):
        release.check_citation(cfg | {"version": "9.9.9"})

    text = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    monkeypatch.setattr(release, "ROOT", tmp_path)
    for address, refused in ((ADDRESS, False), ("https://github.com/other/last", True)):
        (tmp_path / "CITATION.cff").write_text(f"{text}\nrepository-code: {address}\n", "utf-8")
        if refused:
            with pytest.raises(ValueError, match="repository-code"):
                release.check_citation(cfg)
        else:
            release.check_citation(cfg)


@pytest.mark.parametrize("name", ("bug", "result", "feature"))
def test_issue_forms_are_complete(name):
    text = (ROOT / f".github/ISSUE_TEMPLATE/{name}.yml").read_text(encoding="utf-8")
    form = yaml.safe_load(text)
    assert {"name", "description", "body"} <= set(form)
    ids = [part["id"] for part in form["body"]]
    assert len(set(ids)) == len(ids)
    assert all(part["type"] in ("textarea", "dropdown", "checkboxes") for part in form["body"])
    assert all(part["attributes"]["label"] for part in form["body"])


def test_workflows_are_yaml_and_pages_waits_for_an_address():
    pages = yaml.safe_load((ROOT / ".github/workflows/pages.yml").read_text(encoding="utf-8"))
    steps = pages["jobs"]["build"]["steps"]
    assert any(step.get("run") == "make docs" for step in steps)
    assert "publish == '1'" in pages["jobs"]["publish"]["if"]
    wanted = re.search(r"grep -cE '(.+?)'", next(s["run"] for s in steps if "grep" in str(s)))
    assert re.search(wanted.group(1), "git_url = https://github.com/a/b", re.M)
    assert not re.search(wanted.group(1), "git_url =", re.M)


def test_no_command_of_a_workflow_writes_into_a_file_by_mistake():
    "`pip install numpy>=2` without quotes installs any numpy and writes a file called `=2`."
    tests = yaml.safe_load((ROOT / ".github/workflows/test.yml").read_text(encoding="utf-8"))
    rows = tests["jobs"]["elsewhere"]["strategy"]["matrix"]["include"]
    assert any("numpy>=2" in row["with"] for row in rows)
    for row in rows:
        tokens = list(shlex.shlex(row["with"], posix=True, punctuation_chars=True))
        assert not {">", "<", ">=", "<="} & set(tokens), row["with"]


def test_npm_that_comes_later_is_used(tmp_path):
    for name in ("Makefile", "settings.ini", "tools/package.json"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)

    tools = tmp_path / "bin"
    tools.mkdir()
    for name in ("sh", "make", "mkdir", "cp", "touch", "sed", "echo"):
        (tools / name).symlink_to(shutil.which(name))
    env = os.environ | {"PATH": str(tools)}
    command = ["make", "node", f"PYTHON={sys.executable}"]
    told = dict(cwd=tmp_path, env=env, capture_output=True, text=True, timeout=60)
    stamp = tmp_path / "build/node/.installed"
    without = subprocess.run(command, **told)
    assert without.returncode == 0 and "no npm" in without.stdout and not stamp.exists()

    npm = tools / "npm"
    npm.write_text("#!/bin/sh\ntouch called\n", encoding="utf-8")
    npm.chmod(0o755)
    done = subprocess.run(command, **told)
    assert done.returncode == 0, done.stderr
    assert stamp.exists() and stamp.with_name("called").exists()


def test_ci_looks_for_the_browsers_that_are_used():
    script = (ROOT / ".ci/run").read_text(encoding="utf-8")
    assert set(re.findall(r"command -v (chrom[\w-]+|google-[\w-]+)", script)) == {*paper.BROWSERS}


# what pages say


def test_the_faq_says_of_int8_what_was_measured():
    "Which networks are faster in INT8 and which slower, by the clock's files."
    entries = json.loads((ROOT / "results/bench/bench.json").read_text(encoding="utf-8"))
    faster, slower = set(), set()
    for entry in entries:
        ms = {
            row["backend"]: row["median_ms"]
            for row in entry["latencies"]
            if (row["threads"], row["batch"]) == (1, 1)
        }
        (faster if ms["int8"] < ms["onnxruntime"] else slower).add(entry["model"])

    cost = json.loads((ROOT / "results/streaming/cost.json").read_text(encoding="utf-8"))
    steps = cost["per_frame"]
    quick = steps["causal INT8"]["mean_ms"] < steps["causal"]["mean_ms"]
    (faster if quick else slower).add("causal")

    faq = (ROOT / "docs/faq.md").read_text(encoding="utf-8")
    found = re.search(r"INT8 was faster than float32 for (.+?), and slower for (.+?) \(", faq)
    said = [set(re.findall("`(.+?)`", part)) for part in found.groups()]
    assert said == [faster, slower]


def test_no_heading_of_the_changelog_stands_twice():
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    for version in re.split("^## ", text, flags=re.M)[1:]:
        heads = re.findall(r"(?:^|\n\n)([^-\n][^\n]*)\n- ", version)
        assert len(heads) == len(set(heads)) > 3, heads


def results_on_test_clips():
    "Folder -> (set, row) of all results of `ablate` on test clips, but of those that only teach."
    found = {}
    for file in (ROOT / "results").rglob("*.json"):
        result = json.loads(file.read_text(encoding="utf-8"))
        if isinstance(result, dict) and {"row", "correct"} <= set(result):
            folder = file.parent.relative_to(ROOT / "results").as_posix()
            if result["part"] == "test" and folder != "teachers_train":
                found.setdefault(folder, set()).add((result["set"], result["row"]))

    return found


def test_report_and_zoo_have_every_row_that_was_tested():
    tested = results_on_test_clips()
    assert ("nw-ucla b", "causal") in tested["streaming/clips"]
    shown = {
        name: json.dumps(nbformat.read(ROOT / f"nbs/{name}.ipynb", 4))
        for name in ("report", "model_zoo")
    }
    for folder, rows in tested.items():
        for clips, row in rows:
            own_table = folder == "networks" and clips in ("nw-ucla b", "utd-mhad xsub")
            if folder != "ablation" and not own_table:
                assert f"| {folder} | {clips} | {row} |" in shown["report"]
            assert f"| {clips} | {row} |" in shown["model_zoo"]
            assert f"`{folder}/" in shown["model_zoo"]


# the release


def test_changelog_entry():
    assert release.entry(CHANGELOG, "0.2.0") == "New"
    assert release.entry(CHANGELOG, "0.1.0") == "Old"
    with pytest.raises(ValueError, match=r"expected an entry `## 0.3.0"):
        release.entry(CHANGELOG, "0.3.0")
    with pytest.raises(ValueError, match="expected a date"):
        release.entry("## 0.1.0 (unreleased)\n\nOld\n", "0.1.0")
    with pytest.raises(ValueError, match="is empty"):
        release.entry("## 0.1.0 (2026-11-01)\n\n## 0.0.1 (2026-01-01)\n\nOld\n", "0.1.0")


@pytest.fixture
def clone(tmp_path):
    "A repository with this tree as its only commit, and a dated changelog."
    copy = tmp_path / "repo"
    files = run("git", "ls-files", "-co", "--exclude-standard", cwd=ROOT).stdout.split("\n")
    for name in filter(None, files):
        if (ROOT / name).is_file() and not name.startswith(("results/", "nbs/")):
            (copy / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, copy / name)

    changelog = copy / "CHANGELOG.md"
    text = changelog.read_text(encoding="utf-8")
    changelog.write_text(text.replace("(unreleased)", "(2026-12-01)"), encoding="utf-8")
    me = ["-c", "user.name=a", "-c", "user.email=a@b"]
    for command in (["init", "-q"], ["add", "-A"], [*me, "commit", "-q", "-m", "all"]):
        assert run("git", *command, cwd=copy).returncode == 0
    return copy


@pytest.mark.timeout(300)
def test_a_release_is_built_checked_and_named(clone):
    version = site_source.settings()["version"]
    done = run(sys.executable, clone / "tools/release.py", cwd=clone)
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"git tag -a v{version}" in done.stdout and "clips" in done.stdout
    assert run("git", "tag", cwd=clone).stdout == "", "the tag is named, not set"

    wheel = next((clone / "dist").glob("*.whl"))
    assert wheel.name.startswith(f"last-{version}")
    assert wheel.name in (clone / "dist/SHA256SUMS").read_text(encoding="utf-8")
    assert (clone / f"dist/notes-{version}.md").stat().st_size > 100

    # what it refuses
    (clone / "new.txt").write_text("x", encoding="utf-8")
    dirty = run(sys.executable, clone / "tools/release.py", cwd=clone)
    assert dirty.returncode == 1 and "new.txt" in dirty.stderr
    (clone / "new.txt").unlink()
    run("git", "tag", f"v{version}", cwd=clone)
    again = run(sys.executable, clone / "tools/release.py", cwd=clone)
    assert again.returncode == 1 and "exists" in again.stderr


def test_a_release_whose_tag_fails_leaves_nothing(tmp_path, monkeypatch):
    def build(out):
        out.mkdir()
        (out / "last-0.whl").write_bytes(b"wheel")
        return out / "last-0.whl"

    def git(*arguments):
        raise ValueError(f"git {arguments[0]}: who are you?")

    monkeypatch.setattr(release, "check", lambda cfg: "notes")
    monkeypatch.setattr(release, "build", build)
    monkeypatch.setattr(release, "try_wheel", lambda wheel, version: "works")
    dist = tmp_path / "dist"
    said = release.make({"version": "0"}, dist, tag=False)
    assert "git tag -a v0" in said and len([*dist.iterdir()]) == 3

    monkeypatch.setattr(release, "git", git)
    monkeypatch.setattr(release, "ROOT", tmp_path)
    monkeypatch.setattr(sys, "argv", ["release.py", "--tag"])
    shutil.rmtree(dist)
    assert release.main() == 1 and not dist.exists()


def test_a_release_never_pushes():
    text = (ROOT / "tools/release.py").read_text(encoding="utf-8")
    assert not re.search(r'"push"|git push|twine|upload', text)


# the report


def test_prose_of_the_report_holds_no_measured_number():
    "Measured numbers are outputs of cells that read files; words that state one would grow old."
    for cell in nbformat.read(ROOT / "nbs/report.ipynb", 4).cells:
        if cell.cell_type == "markdown":
            found = re.search(r"\d+\.\d|\d ?%|\d+ (points|seeds|clips|ms|MB|GMACs)", cell.source)
            assert not found, f"{found.group()!r}: read it from a file"


def test_report_as_a_paper(tmp_path):
    text = paper.page(ROOT / "nbs/report.ipynb", "/* script */")
    assert text.count("<h2") >= 10 and text.count("<table") >= 10
    assert text.count("data:image/png") >= 3, "pictures are inside"
    assert "collect(" not in text and "#|" not in text, "no code"
    assert not re.search(r'<(?!a )[^>]+(src|href)="(https?:)?//', text), "nothing is loaded"
    assert not re.search(r'href="(?!https:)[^"#]*\.ipynb', text), "no link into a folder elsewhere"
    assert "<style>\n@page" in text and "/* script */" in text


@pytest.mark.skipif(not NODE_MODULES.is_dir(), reason="make node brings MathJax")
def test_mathjax_for_the_paper_is_one_file():
    script = paper.MATHJAX.read_text(encoding="utf-8")
    assert "</script" not in script and len(script) > 1_000_000


# a small computer


def test_pi_times_files_with_numpy_and_onnxruntime_alone(tmp_path):
    from last.export import ExportConfig, export

    script = ROOT / "experiments/benchmarks/pi.py"
    ran = "import runpy, sys; sys.modules.update(torch=None, last=None); sys.argv = sys.argv[1:]; "
    ran += "runpy.run_path(sys.argv[0], run_name='__main__')"
    for trained, joints, what in (
        ("hdm05_nano", True, "one clip"),
        ("hdm05_causal", False, "step"),
    ):
        file = tmp_path / f"{trained}.onnx"
        export(ExportConfig(str(ROOT / "nbs/trained" / trained), str(file), joints=joints))
        out = tmp_path / f"{trained}.json"
        options = ["--rounds", "20", "--out", out]
        done = run(sys.executable, "-c", ran, script, file, *options, cwd=tmp_path)
        assert done.returncode == 0, done.stderr

        result = json.loads(out.read_text(encoding="utf-8"))
        assert what in result["what"] and result["rounds"] == 20
        assert 0 < result["min_ms"] <= result["median_ms"] <= result["p95_ms"]
        assert np.isfinite(result.get("frames_per_second", 1.0))
        assert ("frames_per_second" in result) == (what == "step")

    missing = run(sys.executable, "-c", ran, script, tmp_path / "none.onnx", cwd=tmp_path)
    assert missing.returncode == 1 and "no such file" in missing.stderr
