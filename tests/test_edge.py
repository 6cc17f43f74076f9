"""The README's snippet for machines without torch, in an environment that has neither torch nor this package."""

import re
import subprocess
import sys
import venv

import numpy as np
import pytest
from conftest import ROOT


def snippet(page):
    code = re.search(r"```python\n(.*?onnxruntime.*?)```", (ROOT / page).read_text(), re.S).group(1)
    assert len(code.strip().splitlines()) <= 15
    return code


@pytest.fixture(scope="module")
def bare(tmp_path_factory):
    "A Python with onnxruntime and numpy, and nothing of ours."
    folder = tmp_path_factory.mktemp("bare")
    venv.create(folder, with_pip=True)
    python = folder / "bin/python"
    done = subprocess.run(
        [
            python,
            "-m",
            "pip",
            "install",
            "-q",
            "-c",
            ROOT / "constraints.txt",
            "onnxruntime",
            "numpy",
        ],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    for name in ("torch", "last"):
        assert (
            subprocess.run(
                [python, "-c", f"import {name}"], capture_output=True, cwd=folder
            ).returncode
            == 1
        )
    return python


@pytest.mark.timeout(600)
@pytest.mark.parametrize("precision, persons", [("fp32", 2), ("int8", 1)])
def test_snippet_runs_without_torch(bare, store, tmp_path, precision, persons):
    import last
    from last.store import Store

    run, file = tmp_path / "run", tmp_path / "model.onnx"
    for command in (
        (
            "train",
            "--data",
            store,
            "--protocol",
            "xsub",
            "--model",
            "nano",
            "--epochs",
            2,
            "--schedule",
            "cosine",
            "--warmup",
            0,
            "--batch",
            8,
            "--pre.frames",
            16,
            "--pre.persons",
            persons,
            "--device",
            "cpu",
            "--out",
            run,
        ),
        (
            "export",
            run,
            "--joints",
            "--data",
            store,
            "--out",
            file,
            *(["--int8"] if precision == "int8" else []),
        ),
    ):
        done = subprocess.run(
            [sys.executable, "-m", "last", *map(str, command)], capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
    assert precision in done.stdout and "same class" in done.stdout
    clip = Store(store)[0][0]  # (T, V, 3)
    np.save(tmp_path / "clip.npy", clip)
    told = subprocess.run(
        [bare, "-c", snippet("README.md")], capture_output=True, text=True, cwd=tmp_path
    )
    assert told.returncode == 0, told.stderr
    ours = last.load(run)(clip)[0]
    lines = [(float(p), name) for p, name in re.findall(r"^ *([\d.]+) % +(.+)$", told.stdout, re.M)]
    assert len(lines) == 5
    for p, name in lines:
        assert abs(p - 100 * ours[last.load(run).classes.index(name)]) < (
            0.06 if precision == "fp32" else 5
        )


def test_model_card_has_the_same_snippet():
    assert snippet("docs/model_card.md") == snippet("README.md")


def test_a_peer_is_loaded(tmp_path, store):
    run = tmp_path / "run"
    assert (
        subprocess.run(
            [
                sys.executable,
                "-m",
                "last",
                "train",
                "--data",
                store,
                "--protocol",
                "xsub",
                "--model",
                "shiftgcn",
                "--epochs",
                "1",
                "--batch",
                "8",
                "--pre.frames",
                "8",
                "--device",
                "cpu",
                "--out",
                run,
            ]
        ).returncode
        == 0
    )
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            f"import last; from last.store import Store; print(last.load({str(run)!r})(Store({str(store)!r})[0]).shape)",
        ],
        capture_output=True,
        text=True,
    )
    assert done.stdout == "(1, 14)\n", done.stderr


def test_bad_files_are_named(tmp_path, store):
    import last

    (tmp_path / "m.onnx").write_bytes(b"no")
    with pytest.raises(ValueError, match="not an ONNX file"):
        last.load(tmp_path / "m.onnx")
    with pytest.raises(FileNotFoundError, match="no such run or file"):
        last.load(tmp_path / "nothing")
