"""The stopwatch: what it writes, adds and refuses."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from last import bench as room
from last.bench import (
    BACKENDS,
    BenchConfig,
    bench,
    bench_table,
    benched,
    merge_results,
    prepare_backend,
    time_entries,
)
from last.zoo import build_model


@pytest.fixture(scope="module")
def measured(tmp_path_factory):
    "A tiny run of `bench`: (settings, entries)."
    out = tmp_path_factory.mktemp("bench") / "new/bench.json"
    cfg = BenchConfig(
        str(out),
        ["nano"],
        frames=16,
        backends=["eager", "onnxruntime"],
        threads=[1],
        batches=[1, 2],
        rounds=3,
    )
    threads = torch.get_num_threads()
    entries = bench(cfg)
    assert torch.get_num_threads() == threads
    return cfg, entries


@pytest.fixture
def copied(measured, tmp_path):
    "The same, in a file that a test may change."
    cfg, entries = measured
    out = tmp_path / "bench.json"
    out.write_text(json.dumps(entries), encoding="utf-8")
    return replace(cfg, out=str(out)), entries


def test_entry_holds_costs_and_latencies(measured):
    cfg, (entry,) = measured
    assert json.loads(Path(cfg.out).read_text(encoding="utf-8")) == [entry]
    assert entry["t_v_m"] == [16, 25, 1] and entry["failed"] == []
    assert entry["macs"] == pytest.approx(entry["macs_second_counter"], rel=0.01)
    assert entry["peak_memory_bytes"] > 0
    assert entry["bytes_fp16"] < entry["bytes_fp32"]
    assert entry["settings"]["rounds"] == 3 and "commit" in entry["environment"]

    cases = [(row["backend"], row["batch"]) for row in entry["latencies"]]
    assert cases == [("eager", 1), ("onnxruntime", 1), ("eager", 2), ("onnxruntime", 2)]
    for row in entry["latencies"]:
        assert row["rounds"] == 3
        assert 0 < row["min_ms"] <= row["median_ms"] <= row["p95_ms"]


def test_table_shows_one_line_per_network_and_names_failures(measured):
    cfg, entries = measured
    lines = bench_table(entries).split("\n")
    assert len(lines) == 2 and lines[1].startswith("nano")
    assert "eager, ms" in lines[0] and "failed" not in lines[1]
    assert benched(cfg, entries).endswith(cfg.out)

    missing = [dict(entries[0], latencies=[], peak_memory_bytes=None)]
    assert bench_table(missing).count("failed") == 2
    assert "nan" in bench_table(missing)


def test_adding_keeps_rows_of_other_backends_with_their_commit(copied):
    cfg, (before,) = copied
    (entry,) = bench(replace(cfg, backends=["eager"], add=True))
    commit = before["environment"]["commit"]
    old = [dict(r, commit=commit) for r in before["latencies"] if r["backend"] == "onnxruntime"]
    assert [r for r in entry["latencies"] if r["backend"] == "onnxruntime"] == old
    assert len(entry["latencies"]) == 4
    assert entry["settings"]["backends"] == ["onnxruntime", "eager"]


@pytest.mark.parametrize("key, value", [("macs", 1), ("params", 1), ("t_v_m", [32, 25, 1])])
def test_adding_refuses_another_size(copied, key, value):
    cfg, (entry,) = copied
    with pytest.raises(ValueError, match="does not hold nano at this size"):
        merge_results([dict(entry, **{key: value})], cfg)


@pytest.mark.parametrize("key", ["threads", "batches"])
def test_adding_refuses_other_settings(copied, key):
    cfg, (entry,) = copied
    changed = dict(entry, settings=dict(entry["settings"], **{key: [7]}))
    with pytest.raises(ValueError, match="does not hold nano at this size"):
        merge_results([changed], cfg)


def test_adding_refuses_a_file_of_other_networks(copied):
    cfg, _ = copied
    with pytest.raises(ValueError, match="holds nano too"):
        merge_results([], cfg)


@pytest.mark.parametrize(
    "change, message",
    [
        (dict(models=["tinny"]), "unknown model 'tinny'"),
        (dict(models=[""]), "unknown model ''"),
        (dict(add=True), "nothing to add to"),
        (dict(rounds=0), "must be at least 1"),
        (dict(threads=[0]), "must be at least 1"),
        (dict(batches=[1, 0]), "must be at least 1"),
    ],
)
def test_bad_settings_are_refused(tmp_path, change, message):
    cfg = BenchConfig(str(tmp_path / "bench.json"), ["nano"])
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        bench(replace(cfg, **change))


def test_failure_is_recorded_and_does_not_stop_others(monkeypatch):
    def run_broken(model, x, threads):
        raise RuntimeError("no such kernel\nand a long trace")

    monkeypatch.setitem(BACKENDS, "compile", run_broken)
    cfg = BenchConfig(frames=8, backends=["compile", "eager"], threads=[1], batches=[2], rounds=1)
    entries = [dict(model="nano")]
    threads = torch.get_num_threads()
    with torch.inference_mode():
        time_entries(entries, cfg)
    torch.set_num_threads(threads)

    why = "RuntimeError: no such kernel"
    assert entries[0]["failed"] == [dict(backend="compile", threads=1, batch=2, why=why)]
    assert [row["backend"] for row in entries[0]["latencies"]] == ["eager"]


def test_file_that_differs_from_torch_is_not_timed(monkeypatch):
    other = build_model("nano", "ntu25", 120).eval()
    model = build_model("nano", "ntu25", 120).eval()
    true_file = room.network_file
    monkeypatch.setattr(room, "network_file", lambda model, shape: true_file(other, shape))
    entry = dict(failed=[])
    with torch.inference_mode():
        x = torch.randn(1, 3, 8, 25)
        assert prepare_backend(entry, model, x, "onnxruntime", 1) is None
    assert "onnxruntime and torch differ" in entry["failed"][0]["why"]


def test_table_of_backends_matches_the_choices_of_the_command():
    hint = BenchConfig.__dataclass_fields__["backends"].type
    assert list(hint.__args__[0].__args__) == list(BACKENDS)
