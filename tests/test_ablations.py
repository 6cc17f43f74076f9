"""Grids are checked before anything runs; results are never repeated and never mixed."""

import json
import shutil
import sys

import numpy as np
import pytest
from conftest import ROOT

from last.ablations import AblateConfig, OneRun, ablate, is_current, teacher_of
from last.answers import run_hash
from last.bootstrap import paired_bootstrap
from last.comparisons import ablation_rows, ablation_table, collect, compare, plot_ablation
from last.grids import deep_merge, load_grid, settings_of
from last.scores import Scores
from last.store import toy_store

GRID = """
sets: [toy given]
settings: {model: nano, epochs: 1, batch: 8, schedule: cosine, warmup: 0, device: cpu}
rows:
  plain: {pre: {frames: 8}}
  long: {pre: {frames: 12}}
"""


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    "A grid that was run once with two seeds."
    at = tmp_path_factory.mktemp("ablations")
    toy_store(at / "stores/toy", clips=32)
    (at / "grid.yaml").write_text(GRID)
    names = ("grid.yaml", "stores", "work", "results")
    cfg = AblateConfig(*[str(at / name) for name in names], seeds=[0, 1])
    return at, cfg, ablate(cfg)


def test_a_grid_may_keep_the_answers_to_all_clips(done, tmp_path):
    at, cfg, _ = done
    (tmp_path / "grid.yaml").write_text(GRID + "scores: [plain]\n")
    here = AblateConfig(
        str(tmp_path / "grid.yaml"),
        cfg.stores,
        cfg.work,
        str(tmp_path / "new"),
        [0],
        rows=["plain"],
    )
    (file,) = ablate(here)
    kept, result = Scores.load(file.with_suffix(".npz")), json.loads(file.read_text())
    correct = "".join(map(str, (kept.predicted == kept.labels).astype(int)))
    assert correct == result["correct"]
    assert not list((at / "results").glob("*.npz"))


def test_merging_reaches_nested_settings():
    assert deep_merge({"pre": {"a": 1, "b": 2}}, {"pre": {"b": 3}}) == {"pre": {"a": 1, "b": 3}}
    assert deep_merge({"a": 1}, {"b": {"c": 2}}) == {"a": 1, "b": {"c": 2}}


def test_a_set_may_have_settings_of_its_own(tmp_path):
    text = GRID.replace("sets: [toy given]", "sets: [toy given, toy x]\nby_set: {toy x: {lr: 1}}")
    (tmp_path / "grid.yaml").write_text(text)
    grid = load_grid(tmp_path / "grid.yaml")
    assert settings_of(grid, "toy given", "long").get("lr") is None
    own = settings_of(grid, "toy x", "long")
    assert (own["lr"], own["pre"]["frames"], own["epochs"]) == (1, 12, 1)


@pytest.mark.parametrize(
    "text, why",
    [
        (
            "sets: [s x, s y]\nby_set: {s x: {model: a}, s y: {model: nano}}\nrows: {r: {}}",
            "row 'r'",
        ),
        ("sets: [s x]\nby_set: {s y: {}}\nrows: {a: {}}", "by_set: no set is called 's y'"),
        ("sets: [s xsub]\nrows: {a: {epoch: 3}}", "row 'a': unknown setting epoch"),
        ("sets: [s]\nrows: {a: {}}", "expected `store protocol`"),
        ("rows: {a: {}}", "sets"),
        ("sets: [s x]\nrows: {}", "must not be empty"),
        ("sets: [s x]\nrows: {a: nano}", "row 'a': expected settings"),
        ("sets: [s x]\nrows: {a: {model: resnet}}", "row 'a': unknown model 'resnet'"),
        ("sets: [s x]\nrows: {a b: {}, 'a, b': {}}", "but for punctuation"),
        ("sets: [s x]\nrows: {a: {seed: 3}}", "the queue sets this itself"),
        ("sets: [s x]\nrows: {a: {}}\ncompare: b", "no row is called 'b'"),
        ("sets: [", "bad.yaml"),
    ],
)
def test_a_bad_grid_is_named(tmp_path, text, why):
    (tmp_path / "bad.yaml").write_text(text)
    with pytest.raises(ValueError, match=why):
        load_grid(tmp_path / "bad.yaml")


def test_results_say_what_was_recognized(done):
    for file in done[2]:
        result = json.loads(file.read_text())
        assert len(result["correct"]) == result["metrics"]["clips"] == 8
        right = result["correct"].count("1") / len(result["correct"])
        assert 100 * right == pytest.approx(result["metrics"]["top1"])


def test_nothing_is_trained_twice(done):
    at, cfg, files = done
    before = {p: p.stat().st_mtime_ns for p in (at / "work").glob("*/checkpoint.pt")}
    assert len(before) == 4
    assert ablate(cfg) == files
    assert {p: p.stat().st_mtime_ns for p in before} == before


def test_changed_settings_are_refused(done, tmp_path):
    _, cfg, _ = done
    (tmp_path / "grid.yaml").write_text(GRID.replace("frames: 12", "frames: 16"))
    changed = AblateConfig(str(tmp_path / "grid.yaml"), cfg.stores, cfg.work, cfg.out, [0, 1])
    with pytest.raises(ValueError, match=r"pre\.frames 12 -> 16"):
        ablate(changed)


def test_other_data_are_refused(done, tmp_path):
    _, cfg, _ = done
    toy_store(tmp_path / "toy", clips=32, seed=1)
    other = AblateConfig(cfg.grid, str(tmp_path), cfg.work, cfg.out, [0])
    with pytest.raises(ValueError, match="the data"):
        ablate(other)


@pytest.mark.parametrize(
    "change, why",
    [
        (dict(rows=["plane"]), "no row 'plane'; known: plain, long"),
        (dict(sets=["toy xsub"]), "no set 'toy xsub'; known: toy given"),
    ],
)
def test_unknown_names_are_errors_before_anything_runs(done, change, why):
    _, cfg, _ = done
    with pytest.raises(ValueError, match=why):
        ablate(AblateConfig(cfg.grid, cfg.stores, cfg.work, cfg.out, **change))


def test_an_unknown_protocol_is_an_error_before_anything_runs(done, tmp_path):
    _, cfg, _ = done
    (tmp_path / "grid.yaml").write_text(GRID.replace("toy given", "toy xsub"))
    with pytest.raises(ValueError, match="no protocol 'xsub'"):
        ablate(AblateConfig(str(tmp_path / "grid.yaml"), cfg.stores, cfg.work, str(tmp_path / "r")))


def test_a_missing_teacher_is_said_and_the_others_run(done, tmp_path, capsys):
    _, cfg, files = done
    row = f'  taught: {{pre: {{frames: 8}}, teacher: "{tmp_path}/{{set}}.npz"}}\n'
    (tmp_path / "grid.yaml").write_text(GRID + row)
    grid = load_grid(tmp_path / "grid.yaml")
    assert teacher_of(grid, "toy given", "taught") == f"{tmp_path}/toy-given.npz"
    assert teacher_of(grid, "toy given", "plain") == ""

    again = AblateConfig(str(tmp_path / "grid.yaml"), cfg.stores, cfg.work, cfg.out, [0, 1])
    assert ablate(again) == files
    assert "taught: not run, there is no" in capsys.readouterr().out


def test_several_processes_are_refused(done, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(ValueError, match="ablate is one process"):
        ablate(done[1])


def test_foreign_files_are_named(tmp_path):
    (tmp_path / "x.json").write_text("{}")
    with pytest.raises(ValueError, match="not a result of `ablate`"):
        collect(tmp_path)


def test_names_of_results():
    run = OneRun("NW UCLA b c", "A + B", 3)
    assert run.protocols == ["UCLA", "b", "c"]
    assert OneRun("nw-ucla b c", "A + B", 3).name("c") == "nw-ucla-c_a-b_3"


def test_results_of_another_version_are_not_done_and_written_over(done, tmp_path, capsys):
    at, cfg, files = done
    again = AblateConfig(cfg.grid, cfg.stores, str(tmp_path / "work"), str(tmp_path / "r"), [0])
    shutil.copytree(at / "work", tmp_path / "work")
    shutil.copytree(cfg.out, tmp_path / "r")
    old = tmp_path / "r" / files[0].name
    run = tmp_path / "work" / files[0].stem / "config.json"
    for file in (old, run):
        text = file.read_text()
        assert text.count('"network": 1') == 1
        file.write_text(text.replace('"network": 1', '"network": 7'))

    assert not is_current(old) and not is_current(tmp_path / "missing.json")
    (job,) = read_jobs(tmp_path, cfg.grid, files[0])
    assert not job.done  # the queue has the same rule
    row = ablation_rows(again.out, load_grid(cfg.grid))[0]
    assert row["outdated"] == ["network"]

    ablate(again)
    assert f"{old.stem}: trained again (network 7 -> 1)" in capsys.readouterr().out
    assert is_current(old) and job.done
    fresh, first = json.loads(old.read_text()), json.loads(files[0].read_text())
    assert fresh["correct"] == first["correct"]


def read_jobs(folder, grid, file):
    "What the queue makes of a plan of one run."
    sys.path.insert(0, str(ROOT / "experiments"))
    from run_queue import read_plan

    plan = [dict(grid=grid, out=str(folder / "r"), seeds=[0], rows=["plain"])]
    (folder / "plan.yaml").write_text(json.dumps(plan))
    jobs = read_plan(folder / "plan.yaml")
    assert jobs[0].files == [folder / "r" / file.name]
    return jobs


def test_the_table_marks_outdated_rows_and_says_why():
    row = dict(set="s", seeds=1, top1=50.0, sd=None)
    rows = [row | dict(row="a", outdated=["network", "training"])]
    rows += [row | dict(row="b", outdated=["training"]), row | dict(row="c", outdated=[])]
    table = ablation_table(rows)
    assert "| a † |" in table and "| b † |" in table and "| c |" in table
    assert table.endswith(
        "† Outdated until trained again; since then the code has changed: "
        "the network (a); the training (all marked rows)."
    )
    assert "†" not in ablation_table(rows[2:])


def test_table_says_what_was_not_run(done):
    _, cfg, _ = done
    grid = load_grid(cfg.grid)
    grid.rows["later"] = {}
    rows = ablation_rows(cfg.out, grid)
    assert [(r["row"], r["seeds"]) for r in rows] == [("plain", 2), ("long", 2), ("later", 0)]
    assert "| later | not run |" in ablation_table(rows)
    assert rows[1]["verdict"] == "too few seeds"


def results(**accuracy):
    "Made-up results: three seeds, 200 clips."
    found = {}
    for row, p in accuracy.items():
        runs = {}
        for seed in range(3):
            right = np.random.default_rng(seed).random(200) < p
            marks = "".join(str(int(r)) for r in right)
            top1 = 100 * float(right.mean())
            made = dict(config=dict(model="nano"))
            metrics = dict(top1=top1)
            runs[seed] = dict(metrics=metrics, correct=marks, fingerprint="x", trained=made)
        found["set", row] = runs

    return found


def test_verdicts():
    found = results(a=0.6, b=0.9, c=0.6)
    assert compare(found, "set", "b", "a")["verdict"] == "better"
    assert compare(found, "set", "a", "b")["verdict"] == "worse"
    assert compare(found, "set", "c", "a")["verdict"] == "no difference shown"
    assert compare(found, "set", "missing", "a") is None
    assert "difference" not in compare(found, "set", "a", "a")


def test_other_data_are_not_compared():
    found = results(a=0.6, b=0.9)
    found["set", "b"][0]["fingerprint"] = "y"
    with pytest.raises(ValueError, match="tested on different data"):
        compare(found, "set", "b", "a")


def test_bootstrap_is_antisymmetric_and_zero_for_equals():
    rng = np.random.default_rng(0)
    a, b = rng.random((5, 400)) < 0.7, rng.random((5, 400)) < 0.8
    d, low, high = paired_bootstrap(a, b)
    assert low < d < high
    assert np.allclose(paired_bootstrap(b, a), (-d, -high, -low))
    assert paired_bootstrap(a, a) == (0.0, 0.0, 0.0)


def test_a_plot_needs_a_comparison():
    with pytest.raises(ValueError, match="no row has been compared"):
        plot_ablation([dict(row="a", set="s", seeds=0)])


def test_a_row_learns_from_runs_of_earlier_rows(done, tmp_path, capsys):
    _, cfg, _ = done
    row = "  taught: {pre: {frames: 8}, teachers: [plain], tau: 2}\n"
    (tmp_path / "grid.yaml").write_text(GRID + row)
    places = (str(tmp_path / "grid.yaml"), cfg.stores, cfg.work, str(tmp_path / "results"))
    taught = AblateConfig(*places, seeds=[1], rows=["taught"])
    (file,) = ablate(taught)
    learned = json.loads(file.read_text())["trained"]
    (teacher,) = learned["config"]["teachers"]
    assert teacher == f"{cfg.work}/toy-given_plain_1"
    assert learned["teacher"] == run_hash(teacher)
    assert ablate(taught) == [file]

    elsewhere = AblateConfig(*places[:2], str(tmp_path / "w"), str(tmp_path / "r"), [1])
    assert ablate(AblateConfig(**vars(elsewhere) | dict(rows=["taught"]))) == []
    assert "taught: not run, there is no" in capsys.readouterr().out


@pytest.mark.parametrize(
    "row, why",
    [
        ("teachers: [later]", "row 'a': teachers: no earlier row is called 'later'"),
        ("teachers: [b], teacher: x.npz", "row 'a': expected teacher or teachers, found both"),
    ],
)
def test_teachers_that_a_grid_cannot_have_are_named(tmp_path, row, why):
    text = f"sets: [s xsub]\nrows: {{b: {{}}, a: {{{row}}}, later: {{}}}}"
    (tmp_path / "bad.yaml").write_text(text)
    with pytest.raises(ValueError, match=why):
        load_grid(tmp_path / "bad.yaml")
