"""The command line as a user meets it: real processes."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from conftest import ROOT


def last(*args, **kw):
    return subprocess.run(
        [sys.executable, "-m", "last", *map(str, args)],
        capture_output=True,
        text=True,
        timeout=300,
        **kw,
    )


def test_overview_and_script():
    assert "prepare" in last().stdout
    done = subprocess.run(
        [str(Path(sys.executable).with_name("last-har")), "--help"], capture_output=True, text=True
    )
    assert done.returncode == 0 and "evaluate" in done.stdout


@pytest.mark.parametrize(
    "command",
    [
        "synth",
        "prepare",
        "info",
        "train",
        "evaluate",
        "ensemble",
        "report",
        "ablate",
        "bench",
        "export",
    ],
)
def test_help_explains(command):
    done = last(command, "--help")
    assert (
        done.returncode == 0
        and "--config" in done.stdout
        and {"ensemble": ".npz files", "bench": "every network of the table"}.get(command, "folder")
        in " ".join(done.stdout.replace("│", " ").split())
    )


def test_info_first_line(store):
    assert last("info", store).stdout.split("\n")[0] == "48 clips"


@pytest.mark.parametrize(
    "args",
    [
        ("info", "/nowhere"),
        ("prepare", "--root", "/nowhere", "--dataset", "ntu60", "--out", "x"),
        ("frobnicate",),
        ("train", "--config", "/nowhere.yaml"),
        ("train", "--config", "ntu_xsub", "--data", ".", "--out", "y"),
        ("train", "--data", ".", "--out", "y", "--protocol", "z", "--model", "ctrgnc"),
        ("prepare", "--root", ".", "--dataset", "ntu", "--out", "x"),
        ("train", "--data", "x", "--out", "y", "--protocol", "z", "--device", "gpu"),
        ("evaluate", "--run", "/nowhere", "--data", "/nowhere"),
        ("ensemble", "--scores", "/nowhere.npz"),
        ("bench", "--models", "resnet"),
        ("export", "/nowhere"),
        ("ablate", "--grid", "/nowhere.yaml", "--stores", "x", "--work", "y", "--out", "z"),
    ],
)
def test_mistakes_are_one_line(args, tmp_path):
    done = last(*args, cwd=tmp_path)
    assert (
        done.returncode == 2
        and done.stderr.startswith("error: ")
        and done.stderr.count("\n") == 1
        and not done.stdout
    )
    assert not list(tmp_path.iterdir())


def test_debug_shows_the_traceback():
    assert "Traceback" in last("info", "/nowhere", "--debug").stderr


@pytest.mark.parametrize("name", sorted(p.name for p in (ROOT / "last/configs").glob("*.yaml")))
def test_configs_load(name):
    from last.cli import load_defaults
    from last.datasets import DATASETS
    from last.schedule import cycle_ends
    from last.training import TrainConfig
    from last.video_training import FinetuneConfig

    cfg = load_defaults(
        FinetuneConfig if "teacher" in name else TrainConfig, ROOT / "last/configs" / name
    )
    dataset = next(
        (d for d in DATASETS.values() if name.startswith(d.name.replace("-", "_"))),
        DATASETS["synthetic"],
    )
    assert cfg.protocol in (dataset.protocols if name != "few_clips.yaml" else ["given"])
    assert cfg.epochs in cycle_ends(cfg.epochs, cfg.schedule) and cfg.epochs > cfg.warmup


def test_scores_and_ensemble(store, tmp_path):
    common = (
        "--data",
        store,
        "--protocol",
        "xsub",
        "--model",
        "nano",
        "--epochs",
        1,
        "--schedule",
        "cosine",
        "--warmup",
        0,
        "--batch",
        8,
        "--pre.frames",
        8,
        "--device",
        "cpu",
    )
    for stream in ("joint", "bone"):
        assert (
            last("train", *common, "--pre.stream", stream, "--out", tmp_path / stream).returncode
            == 0
        )
        done = last(
            "evaluate",
            "--run",
            tmp_path / stream,
            "--data",
            store,
            "--scores",
            tmp_path / f"{stream}.npz",
            "--plots",
            tmp_path / "plots",
            "--device",
            "cpu",
        )
        assert done.returncode == 0 and done.stdout.startswith("24 clips"), done.stderr
    with np.load(tmp_path / "joint.npz") as z:
        assert z["logits"].shape == (24, 14) and len(set(z["names"].tolist())) == 24
    assert (tmp_path / "plots/confusion.png").stat().st_size > 5000
    done = last(
        "ensemble",
        "--scores",
        tmp_path / "joint.npz",
        tmp_path / "bone.npz",
        "--out",
        tmp_path / "e.json",
    )
    assert done.returncode == 0 and (tmp_path / "e.json").is_file()
    done = last("train", *common, "--out", tmp_path / "stgcn", "--model", "stgcn")
    assert done.returncode == 0, done.stderr
    page = last(
        "report",
        "--run",
        tmp_path / "joint",
        "--data",
        store,
        "--out",
        tmp_path / "report",
        "--device",
        "cpu",
    )
    assert (
        page.returncode == 0 and "Synthetic data" in (tmp_path / "report/report.html").read_text()
    )


def test_bench(tmp_path):
    import json

    done = last(
        "bench",
        "--models",
        "nano",
        "reference-v1 attention=softmax",
        "--frames",
        16,
        "--backends",
        "eager",
        "--threads",
        1,
        "--batches",
        1,
        "--rounds",
        2,
        "--out",
        tmp_path / "b.json",
    )
    assert done.returncode == 0, done.stderr
    entries = json.loads((tmp_path / "b.json").read_text())
    assert [e["model"] for e in entries] == ["nano", "reference-v1 attention=softmax"]
    for e in entries:
        assert (
            e["params"] > 0
            and e["t_v_m"] == [16, 25, 1]
            and e["latencies"][0]["median_ms"] > 0
            and e["settings"]["rounds"] == 2
            and abs(e["macs"] / e["macs_second_counter"] - 1) < 0.01
        )


def test_grids_are_valid():
    from last import zoo  # noqa: F401
    from last.grids import load_grid
    from last.zoo import build_model

    grids = sorted((ROOT / "experiments/grids").glob("*.yaml"))
    assert len(grids) >= 8
    for path in grids:
        grid = load_grid(path)
        for change in grid.rows.values():
            build_model(
                (change or {}).get("model", grid.settings.get("model", "reference")), "kinect20", 10
            )
        assert f"`{path.stem}`" in (ROOT / "experiments/README.md").read_text(), path.stem


@pytest.mark.parametrize(
    "config, clips", [("nw_ucla", "nw-ucla b"), ("utd_mhad", "utd-mhad xsub"), ("sbu", "sbu fold1")]
)
def test_configs_are_the_recipe_of_the_results(config, clips):
    import yaml

    from last.grids import deep_merge, load_grid

    grid = load_grid(
        ROOT / f"experiments/grids/{'real_sbu' if config == 'sbu' else 'networks'}.yaml"
    )
    settings = yaml.safe_load((ROOT / f"last/configs/{config}.yaml").read_text("utf-8"))
    settings.pop("protocol"), settings.pop("part")
    defaults = {"optimizer": "adamw"}
    assert settings == defaults | deep_merge(grid.settings, grid.by_set.get(clips, {}))


def test_line_overrides_file_and_file_overrides_default(tmp_path):
    from last.cli import parse

    (tmp_path / "c.yaml").write_text("epochs: 30\nschedule: cosine\npre: {frames: 32}\n")
    places = ["--data", "store", "--out", "run", "--protocol", "xsub"]
    line = ["--config", str(tmp_path / "c.yaml"), *places, "--epochs", "2", "--aug.flip-p", "0.5"]
    cfg = parse("train", line)
    assert (cfg.epochs, cfg.schedule, cfg.batch, cfg.aug.flip_p) == (2, "cosine", 64, 0.5)
    assert (cfg.pre.frames, cfg.pre.persons) == (32, 1)


@pytest.mark.parametrize(
    "text, why",
    [
        ("epoch: 30\n", "c.yaml: unknown setting epoch; known: data, out"),
        ("a: [\n", "c.yaml, line 2, column 1: broken YAML"),
        ("- 3\n", "c.yaml: expected `setting: value` lines"),
    ],
)
def test_a_bad_settings_file_is_named(tmp_path, text, why):
    from last.cli import parse

    (tmp_path / "c.yaml").write_text(text)
    with pytest.raises(ValueError, match=why):
        parse("train", ["--config", str(tmp_path / "c.yaml")])


@pytest.mark.parametrize("line", [["--config"], ["--config="]], ids=["no file", "empty"])
def test_config_without_a_file(line):
    from last.cli import take_config

    if line == ["--config"]:
        with pytest.raises(ValueError, match="--config needs a file or a name"):
            take_config(line)
    else:
        assert take_config(line) == ("", [])


def test_missing_settings_are_listed(store):
    done = last("train", "--data", store)
    assert done.returncode == 2 and "--protocol" in done.stderr and "--out" in done.stderr


def test_interruption_is_one_line(monkeypatch, capsys):
    from last import cli
    from last.core import Command

    def interrupt(cfg):
        raise KeyboardInterrupt

    for resumes, words in ((True, "interrupted; the same command goes on"), (False, "interrupted")):
        command = Command("help", dict, interrupt, str, resumes)
        monkeypatch.setattr(cli, "get_command", lambda name, c=command: c)
        monkeypatch.setattr(cli, "parse", lambda name, args: None)
        assert cli.main(["train"]) == 130
        assert words in capsys.readouterr().err


def test_version():
    import last as package

    done = last("--version")
    assert (done.returncode, done.stdout) == (0, f"LAST {package.__version__}\n")


def test_help_lists_models_datasets_and_settings():
    text = last("--help").stdout
    for word in ("efficientgcn-b0", "utd-mhad", "ntu120_xsub", "few_clips"):
        assert word in text
    assert "Models: nano" in last("train", "--help").stdout
    assert "Datasets: ntu60" in last("prepare", "--help").stdout


def test_required_settings_are_marked():
    text = " ".join(last("evaluate", "--help").stdout.split())
    assert text.count("(required)") >= 2


@pytest.mark.parametrize(
    "args, words",
    [
        (("tarin",), "did you mean train?"),
        (("train", "--config", "ntu120_xsb"), "did you mean ntu120_xsub?"),
        (("train", "--model", "ctrgnc"), "did you mean ctrgcn?"),
        (("bench", "--models", "nano", "refrence attention=softmax"), "did you mean reference?"),
        (("prepare", "--dataset", "utd_mhad"), "did you mean utd-mhad?"),
        (("evaluate", "--run", "/no/run", "--data", "x"), "/no/run: no such run or file"),
        (("evaluate", "--data=/no/store"), "--data /no/store: no such file"),
        (("ensemble", "--scores", "/a.npz", "/b.npz"), "--scores /a.npz: no such file"),
        (("export", "/no/run"), "/no/run: no such run or file"),
    ],
)
def test_mistakes_are_found_before_torch_is_imported(args, words):
    code = "import sys; from last.cli import main; code = main(sys.argv[1:])"
    code += "; print(code, 'torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code, *args], capture_output=True, text=True)
    assert done.stdout == "2 False\n" and words in done.stderr


def test_settings_of_the_package_are_found_by_name(tmp_path, monkeypatch):
    from last.cli import CONFIGS, find_config

    monkeypatch.chdir(tmp_path)
    for name in ("ntu120_xsub", "ntu120_xsub.yaml", "configs/ntu120_xsub.yaml"):
        assert find_config(name) == CONFIGS / "ntu120_xsub.yaml"
    (tmp_path / "ntu120_xsub.yaml").write_text("epochs: 1\n")
    assert find_config("ntu120_xsub.yaml").resolve() == tmp_path / "ntu120_xsub.yaml"


@pytest.mark.parametrize("args", [["--help"], ["train", "--help"], ["info", "/nöwhere"]])
def test_a_terminal_that_knows_ascii_alone(args):
    import os

    env = dict(os.environ, LC_ALL="C", PYTHONUTF8="0", PYTHONCOERCECLOCALE="0")
    env.pop("PYTHONIOENCODING", None)
    done = last(*args, env=env)
    assert done.returncode == (0 if "--help" in args else 2), done.stderr
    assert "Traceback" not in done.stderr


def test_smoke_says_that_it_works_or_what_does_not():
    done = last("smoke", "--device", "cpu", "--epochs", "5")
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip().endswith("LAST works here")

    nothing = last("smoke", "--device", "cpu", "--epochs", "1")  # one epoch cannot lower its loss
    assert nothing.returncode == 2 and "the loss does not fall" in nothing.stderr
