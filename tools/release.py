"""A release, built and checked; nothing is pushed.

`python tools/release.py` refuses a tree with changes, a tag that exists, a version or an address
that two files give differently, and a changelog whose entry has no date. Then it builds the wheel
into dist/, installs it into a new environment without this checkout and uses it there, writes the
changelog's entry to dist/, and names the tag. With `--tag` it sets the tag, here alone.
"""

import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
import venv
import zipfile
from pathlib import Path

import yaml
from site_source import ROOT, settings


def git(*arguments) -> str:
    "What git prints."
    done = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True)
    if done.returncode:
        raise ValueError(f"git {' '.join(arguments)}: {done.stderr.strip()}")
    return done.stdout.strip()


def entry(changelog: str, version: str) -> str:
    "The changelog's text about a version; an error if it is missing or has no date."
    heads = re.search(rf"^## {re.escape(version)}\b(.*)$", changelog, re.M)
    if not heads:
        raise ValueError(f"CHANGELOG.md: expected an entry `## {version} (YYYY-MM-DD)`")
    if not re.fullmatch(r" \(\d{4}-\d\d-\d\d\)", heads.group(1)):
        raise ValueError(
            f"CHANGELOG.md: expected a date, `## {version} (YYYY-MM-DD)`, found {heads.group()!r}"
        )

    text = re.split(r"^## ", changelog[heads.end() :], maxsplit=1, flags=re.M)[0].strip()
    if not text:
        raise ValueError(f"CHANGELOG.md: the entry of {version} is empty")
    return text


def check_citation(cfg: dict) -> None:
    "An error if CITATION.cff says something else than settings.ini."
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    if str(citation["version"]) != cfg["version"]:
        raise ValueError(f"CITATION.cff: version {citation['version']}, expected {cfg['version']}")

    address = citation.get("repository-code", cfg["git_url"])  # it need not be said twice
    if address != cfg["git_url"]:
        raise ValueError(
            f"CITATION.cff: repository-code {address!r}, expected git_url of settings.ini, "
            f"{cfg['git_url']!r}"
        )


def check(cfg: dict) -> str:
    "Everything that must hold before a wheel is built; the changelog's entry."
    version = cfg["version"]
    if changes := git("status", "--porcelain"):
        raise ValueError(f"the tree has changes; commit them first:\n{changes}")
    if f"v{version}" in git("tag").split():
        raise ValueError(f"the tag v{version} exists; raise `version` in settings.ini")

    package = (ROOT / "last/__init__.py").read_text(encoding="utf-8")
    if f'__version__ = "{version}"' not in package:
        raise ValueError(f"last/__init__.py: expected version {version}; run nbdev_export")

    check_citation(cfg)
    return entry((ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), version)


def build(out: Path) -> Path:
    "The wheel, from a copy of what is committed."
    out.mkdir()
    with tempfile.TemporaryDirectory() as folder:
        archive = Path(folder, "tree.zip")
        git("archive", "--format=zip", "-o", str(archive), "HEAD")
        with zipfile.ZipFile(archive) as file:
            file.extractall(Path(folder, "tree"))

        command = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation"]
        subprocess.run([*command, "-w", str(out), f"{folder}/tree"], check=True)

    return next(out.glob("*.whl"))


USE = """
import last, sys
from last.hdm05 import read_pack
from last.zoo import NETWORKS

assert last.__version__ == sys.argv[1], last.__version__
assert "site-packages" in last.__file__, last.__file__
print(len(read_pack()), "clips,", len(NETWORKS), "networks")
"""


def try_wheel(wheel: Path, version: str) -> str:
    "What a new environment with the wheel says; torch and the like are those of this one."
    with tempfile.TemporaryDirectory() as folder:
        venv.create(folder, with_pip=False)
        python = next(Path(folder).glob("bin/python*"), Path(folder, "Scripts/python.exe"))
        packages = subprocess.check_output(
            [python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"], text=True
        ).strip()
        with zipfile.ZipFile(wheel) as file:
            file.extractall(packages)

        # after the wheel's own: what it needs, but for the checkout that is installed here
        here = next(p for p in sys.path if p.endswith("site-packages"))
        Path(packages, "here.pth").write_text(here + "\n", encoding="utf-8")
        env = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
        done = subprocess.run(
            [python, "-c", USE, version], cwd=folder, env=env, capture_output=True, text=True
        )
        if done.returncode:
            raise ValueError(f"{wheel.name}: cannot be used:\n{done.stderr}")
        helped = subprocess.run(
            [python, "-m", "last", "train", "--help"], cwd=folder, env=env, capture_output=True
        )
        if helped.returncode:
            raise ValueError(f"{wheel.name}: `python -m last train --help` fails")

    return done.stdout.strip()


def make(cfg: dict, dist: Path, tag: bool) -> str:
    "The whole release, or an error and nothing in dist/; what to print about it."
    version = cfg["version"]
    notes = check(cfg)
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder, "dist")
        wheel = build(out)
        said = [f"dist/{wheel.name} ({wheel.stat().st_size / 1e6:.1f} MB):"]
        said[0] += f" {try_wheel(wheel, version)}"

        (out / f"notes-{version}.md").write_text(notes + "\n", encoding="utf-8")
        said.append(f"dist/notes-{version}.md: the changelog's entry")
        digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
        (out / "SHA256SUMS").write_text(f"{digest}  {wheel.name}\n", encoding="utf-8")

        if tag:
            git("tag", "-a", f"v{version}", "-m", f"LAST {version}")
            said.append(f"tag v{version} is set here; nothing was pushed")
        else:
            command = f'git tag -a v{version} -m "LAST {version}"'
            said.append(f"tag: {command}    (make release TAG=yes sets it; nothing is pushed)")
        shutil.rmtree(dist, ignore_errors=True)
        shutil.copytree(out, dist)

    return "\n".join(said)


def main() -> int:
    try:
        print(make(settings(), ROOT / "dist", "--tag" in sys.argv))
    except (ValueError, subprocess.CalledProcessError) as e:
        print(f"error: {e}", file=sys.stderr)
        return 1

    return 0


if __name__ == "__main__":
    sys.exit(main())
