"""A changed output needs a raised version, or results of before would pass for results of today."""

import json
import sys

import pytest
from conftest import ROOT

sys.path.insert(0, str(ROOT / "tools"))
import golden

from last.infogcn import InfoUnit
from last.peers import Unit
from last.zoo import NETWORKS, VERSIONS

STORED = json.loads(golden.FILE.read_text(encoding="utf-8"))


def test_outputs_are_those_of_their_versions():
    said = golden.changes(STORED, golden.golden())
    assert not said, "\n".join(said)


def test_a_change_without_a_new_version_is_named(monkeypatch):
    what = "network infogcn"
    monkeypatch.setattr(InfoUnit, "mix_frames", Unit.mix_frames)  # as it was before its version 2
    today = {what: dict(STORED[what], numbers=golden.of_network("infogcn"))}
    (said,) = golden.changes({what: STORED[what]}, today)
    assert said == (
        "the output of network infogcn changed: raise its version and run python tools/golden.py"
    )


def test_a_raised_version_asks_for_new_numbers():
    entry = STORED["training"]
    raised = {"training": dict(entry, version=entry["version"] + 1)}
    said = golden.changes({"training": entry}, raised)
    assert said == ["the version of training was raised: run python tools/golden.py"]


@pytest.mark.parametrize("stored, today", [({}, {"a": {}}), ({"a": {}}, {})])
def test_new_and_removed_rows_are_named(stored, today):
    (said,) = golden.changes(stored, today)
    assert said.startswith("a is ") and said.endswith("run python tools/golden.py")


def test_versions_belong_to_networks():
    assert set(VERSIONS) <= set(NETWORKS)
    assert all(version > 1 for version in VERSIONS.values())
