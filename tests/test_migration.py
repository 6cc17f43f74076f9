"""Older results get today's names and the versions they were made with; figures stay."""

import json
import shutil
import sys

import pytest
from conftest import ROOT

from last.runs import outdated

sys.path.insert(0, str(ROOT / "experiments"))
from migrate_results import main, migrate

MADE = dict(config={}, dataset="d", skeleton="s", classes=[], fingerprint="f", environment={})


def test_runs_get_the_first_versions_and_keep_what_they_say():
    first = dict(network=1, pipeline=1, training=1)
    assert migrate(dict(trained=MADE, top1=50.5)) == dict(
        trained=MADE | dict(versions=first), top1=50.5
    )
    said = MADE | dict(versions=dict(network=4, pipeline=1, training=2))
    assert migrate(said) == said


def test_the_search_had_ramped_averages(tmp_path):
    for name in ("search/screen", "peers"):
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / "x.json").write_text(json.dumps(dict(trained=MADE)))

    assert main(tmp_path) == 2
    assert main(tmp_path) == 0
    made = {
        p: json.loads((tmp_path / p / "x.json").read_text()) for p in ("search/screen", "peers")
    }
    assert made["search/screen"]["trained"]["versions"]["training"] == 2
    assert made["peers"]["trained"]["versions"]["training"] == 1


def test_the_first_reference_has_a_name_of_its_own(tmp_path):
    config = dict(model="reference attention=softmax", protocol="b", epochs=1, out="r")
    old = dict(row="reference, slower", trained=MADE | dict(config=config))
    now = MADE | dict(config=config, versions=dict(network=2, pipeline=1, training=2))
    files = {tmp_path / "b_reference-slower_0.json": old}
    files[tmp_path / "b_reference_0.json"] = dict(row="reference", trained=now)
    for file, value in files.items():
        file.write_text(json.dumps(value))

    assert main(tmp_path) == 1
    (renamed, kept) = sorted(tmp_path.glob("*.json"))
    assert (renamed.name, kept.name) == ("b_reference-v1-slower_0.json", "b_reference_0.json")
    moved = json.loads(renamed.read_text())
    assert moved["row"] == "reference-v1, slower"
    assert moved["trained"]["config"]["model"] == "reference-v1 attention=softmax"
    assert json.loads(kept.read_text())["row"] == "reference"


def test_stored_results_have_todays_names(tmp_path):
    shutil.copytree(ROOT / "results", tmp_path / "results")
    assert main(tmp_path / "results") == 0


def test_every_stored_run_says_its_versions():
    found = 0
    for file in sorted((ROOT / "results").rglob("*.json")):
        result = json.loads(file.read_text(encoding="utf-8"))
        if isinstance(result, dict) and "trained" in result:
            runs = result["trained"] if isinstance(result["trained"], list) else [result["trained"]]
            for run in runs:
                assert set(run["versions"]) == {"network", "pipeline", "training"}, file
            found += 1
    assert found > 300


@pytest.mark.parametrize(
    "name", ["stgcn", "ctrgcn-baseline", "infogcn", "msagcn", "efficientgcn-b0"]
)
def test_runs_of_repaired_peers_are_outdated(name):
    before = dict(config={"model": name}, versions=dict(network=1, pipeline=1, training=2))
    assert outdated(before) == ["network 1 -> 2"]
