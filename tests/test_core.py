"The ground floor: settings that are checked, files that are whole, and facts about the machine."

import json
import os
import subprocess
import sys
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Literal

import pytest

from last import core
from last.core import (
    EmptyClipError,
    ParseError,
    check_settings,
    config_from_dict,
    cpu_name,
    environment,
    pick_device,
    write_atomic,
    write_json,
)


@dataclass
class Inner:
    frames: int = 64
    part: tuple[float, float] = (0.5, 1.0)
    shape: tuple[int, ...] = (2, 3)


@dataclass
class Outer:
    data: str
    optimizer: Literal["adamw", "sgd"] = "adamw"
    amp: Literal["no", "bf16"] = "no"
    epochs: int = 70
    lr: float = 1e-3
    nesterov: bool = True
    milestones: list[int] = field(default_factory=list)
    pre: Inner = field(default_factory=Inner)


def load(**values):
    return config_from_dict(Outer, {"data": "", **values})


def test_settings_survive_json():
    cfg = Outer("store", milestones=[30, 40], pre=Inner(frames=32, shape=(1, 2, 3)))
    assert config_from_dict(Outer, json.loads(json.dumps(asdict(cfg)))) == cfg


def test_yaml_values_get_their_types():
    cfg = load(lr="1e-3", amp=False, pre={"part": [0.6, 1], "shape": [4]})
    assert cfg.lr == 1e-3
    assert cfg.amp == "no"
    assert cfg.pre.part == (0.6, 1.0)
    assert isinstance(cfg.pre.part[1], float)
    assert cfg.pre.shape == (4,)
    assert load(lr=1).lr == 1.0


@pytest.mark.parametrize(
    "values, message",
    [
        ({"optimizer": "adam"}, "optimizer: 'adam' is not one of adamw, sgd"),
        ({"amp": True}, "amp: 'yes' is not one of no, bf16"),
        ({"epochs": "5"}, "epochs: expected int, found '5'"),
        ({"epochs": True}, "epochs: expected int, found True"),
        ({"epochs": 1.0}, "epochs: expected int, found 1.0"),
        ({"lr": True}, "lr: expected float, found True"),
        ({"lr": "fast"}, "lr: expected float, found 'fast'"),
        ({"lr": None}, "lr: expected float, found None"),
        ({"nesterov": "no"}, "nesterov: expected bool, found 'no'"),
        ({"milestones": 3}, "milestones: expected list"),
        ({"milestones": [1, "2"]}, "milestones: expected int, found '2'"),
        ({"pre": None}, "pre: expected `setting: value` lines, found None"),
        ({"pre": {"part": [0.6]}}, "pre.part: expected tuple"),
        ({"pre": {"part": [0.6, "x"]}}, "pre.part: expected float, found 'x'"),
        ({"pre": {"frame": 3}}, "unknown setting pre.frame; known: frames, part, shape"),
        ({"rate": 1}, "unknown setting rate; known: data, optimizer"),
    ],
)
def test_wrong_settings_are_named(values, message):
    with pytest.raises(ValueError) as caught:
        load(**values)
    assert message in str(caught.value)


def test_settings_must_be_a_dict():
    with pytest.raises(ValueError, match="settings: expected `setting: value` lines, found 'x'"):
        check_settings(Outer, "x")


def test_checked_settings_hold_only_what_was_given():
    assert check_settings(Outer, {"epochs": 3}) == {"epochs": 3}


def test_json_is_written_with_its_folder_and_nothing_else(tmp_path):
    write_json(tmp_path / "new/a.json", {"a": 1})
    assert json.loads((tmp_path / "new/a.json").read_text()) == {"a": 1}
    assert [p.name for p in (tmp_path / "new").iterdir()] == ["a.json"]


def test_interrupted_write_leaves_the_old_file(tmp_path):
    path = tmp_path / "a.json"
    write_json(path, {"a": 1})

    def half(part):
        part.write_text("ha")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_atomic(path, half)
    assert json.loads(path.read_text()) == {"a": 1}


def test_temporary_name_belongs_to_the_process(tmp_path):
    names = []

    def write(part):
        names.append(part.name)
        part.write_text("x")

    write_atomic(tmp_path / "a.json", write)
    assert str(os.getpid()) in names[0]


def test_what_json_cannot_hold_leaves_no_file(tmp_path):
    with pytest.raises(TypeError):
        write_json(tmp_path / "a.json", {"a": object()})
    assert not list(tmp_path.iterdir())


def test_unknown_device_is_named():
    assert pick_device("cpu") == "cpu"
    assert pick_device() in ("cpu", "cuda")
    with pytest.raises(ValueError, match="unknown device 'tpu'; known: cpu, cuda"):
        pick_device("tpu")


def test_missing_gpu_is_an_error(monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    assert pick_device() == "cpu"
    with pytest.raises(ValueError, match="no GPU that this torch can use"):
        pick_device("cuda")


def test_environment_holds_text_only():
    found = environment()
    keys = ["last", "torch", "numpy", "python", "onnxruntime", "cpu", "machine", "commit"]
    assert list(found) == keys
    assert all(isinstance(v, str) for v in found.values())
    assert found["cpu"] == cpu_name()


def test_empty_clip_is_a_parse_error_and_a_value_error():
    assert issubclass(EmptyClipError, ParseError)
    assert issubclass(ParseError, ValueError)


def test_import_is_light():
    code = (
        "import sys, last.core; print({'torch', 'numpy', 'nbdev', 'fastcore'} & set(sys.modules))"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "set()"


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        ({"flags": "fpu avx2"}, "no"),
        ({"flags": "avx512f avx512_bf16"}, "bf16"),
        ({"Features": "fp asimd bf16"}, "bf16"),
        ({}, "no"),
    ],
)
def test_bf16_only_where_the_processor_has_it(monkeypatch, flags, expected):
    monkeypatch.setattr(core, "_cpu_info", lambda: flags)
    assert core.usable_precision("bf16", "cpu") == expected
    assert core.usable_precision("bf16", "cuda") == "bf16"


@pytest.mark.skipif(not Path("/proc/self/status").is_file(), reason="Linux alone tells")
def test_memory_of_this_and_of_another_process():
    assert 0 < core.process_memory("VmRSS", os.getppid()) < 1e12
    with pytest.raises(ValueError, match="VmNothing"):
        core.process_memory("VmNothing")
    with pytest.raises(OSError):
        core.process_memory("VmRSS", 2**30)
