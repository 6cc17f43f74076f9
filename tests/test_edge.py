"""The README's snippet for machines without torch, where neither torch nor this package is."""

import re
import subprocess
import sys
import venv

import numpy as np
import pytest
from conftest import ROOT

TRAIN = ["--protocol", "given", "--model", "nano", "--schedule", "cosine", "--batch", "8"]
TRAIN += ["--lr", "4e-3", "--epochs", "2", "--warmup", "0", "--device", "cpu"]


def snippet(page):
    "The Python lines of a page that use onnxruntime."
    text = (ROOT / page).read_text(encoding="utf-8")
    code = re.search(r"```python\n(.*?onnxruntime.*?)```", text, re.S).group(1)
    assert len(code.strip().splitlines()) <= 15
    return code


def run_quietly(*command, cwd=None):
    "What a command printed; its error where it fails."
    done = subprocess.run([*map(str, command)], capture_output=True, text=True, cwd=cwd)
    assert done.returncode == 0, done.stderr
    return done.stdout


def command_line(*words):
    return run_quietly(sys.executable, "-m", "last", *words)


@pytest.fixture(scope="module")
def toy(tmp_path_factory):
    "A small store of a puppet that lifts or lowers its hand."
    from last.store import toy_store

    folder = tmp_path_factory.mktemp("toy") / "store"
    toy_store(folder, classes=3)
    return folder


@pytest.fixture(scope="module")
def bare(tmp_path_factory):
    "A Python with onnxruntime and numpy, and nothing of ours."
    folder = tmp_path_factory.mktemp("bare")
    venv.create(folder, with_pip=True)
    python = folder / "bin/python"
    constraints = ROOT / "constraints.txt"
    run_quietly(python, "-m", "pip", "install", "-q", "-c", constraints, "onnxruntime", "numpy")

    for name in ("torch", "last"):
        done = subprocess.run([python, "-c", f"import {name}"], capture_output=True, cwd=folder)
        assert done.returncode == 1

    return python


@pytest.mark.timeout(600)
@pytest.mark.parametrize("precision, persons", [("fp32", 2), ("int8", 1)])
def test_snippet_runs_without_torch(bare, toy, tmp_path, precision, persons):
    import last
    from last.store import Store

    # train and export
    run, file = tmp_path / "run", tmp_path / "model.onnx"
    pre = ["--pre.frames", 16, "--pre.persons", persons]
    command_line("train", "--data", toy, "--out", run, *TRAIN, *pre)
    options = ["--int8"] if precision == "int8" else []
    printed = command_line("export", run, "--joints", "--data", toy, "--out", file, *options)
    assert precision in printed and "same class" in printed

    # classify one clip, there and here
    clip = Store(toy)[0][0]  # (T, V, 3)
    np.save(tmp_path / "clip.npy", clip)
    printed = run_quietly(bare, "-c", snippet("README.md"), cwd=tmp_path)
    recognizer = last.load(run)
    expected = dict(zip(recognizer.classes, 100 * recognizer(clip)[0]))

    # the snippet prints the five likeliest classes, or all if there are fewer
    lines = re.findall(r"^ *([\d.]+) % +(.+)$", printed, re.M)
    assert sorted(name for _, name in lines) == sorted(expected)
    tolerance = 0.06 if precision == "fp32" else 5
    for percent, name in lines:
        assert abs(float(percent) - expected[name]) < tolerance


def test_model_card_has_the_same_snippet():
    assert snippet("docs/model_card.md") == snippet("README.md")


def test_a_peer_is_loaded_in_a_fresh_process(tmp_path, toy):
    run = tmp_path / "run"
    changes = ["--model", "shiftgcn", "--epochs", "1", "--pre.frames", "8"]
    command_line("train", "--data", toy, "--out", run, *TRAIN, *changes)

    load = f"last.load({str(run)!r})(Store({str(toy)!r})[0])"
    code = f"import last; from last.store import Store; print({load}.shape)"
    assert run_quietly(sys.executable, "-c", code) == "(1, 3)\n"


def test_bad_files_are_named(tmp_path):
    import last

    (tmp_path / "m.onnx").write_bytes(b"no")
    with pytest.raises(ValueError, match=r"m.onnx: not an ONNX file"):
        last.load(tmp_path / "m.onnx")
    with pytest.raises(FileNotFoundError, match="no such run or file"):
        last.load(tmp_path / "nothing")


def test_the_snippet_names_no_class_where_nobody_is(tmp_path, toy):
    run, file = tmp_path / "run", tmp_path / "model.onnx"
    command_line("train", "--data", toy, "--out", run, *TRAIN, "--pre.frames", 8)
    command_line("export", run, "--joints", "--out", file)
    for empty in (np.full((9, 25, 3), np.nan, np.float32), np.zeros((0, 25, 3), np.float32)):
        np.save(tmp_path / "clip.npy", empty)
        command = [sys.executable, "-c", snippet("README.md")]
        done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
        assert (done.stdout, done.stderr) == ("", "nobody is in this clip\n")
