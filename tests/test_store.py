"The store: what goes in comes out, nothing else is replaced, and `prepare` survives bad files."

import json
import os
import pickle
import zlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import last.preparation
import last.store
from last.core import ParseError
from last.datasets import DATASETS
from last.files import find_files
from last.info import InfoConfig, describe, notes_about, open_store
from last.joints import make_skeleton
from last.parsing import Clip, read_ntu
from last.preparation import PrepareConfig, prepare
from last.skeletons import get_skeleton
from last.store import Store, toy_store, write_store
from last.synthetic import TOY_CLASSES, ntu_text, sense, toy_clip

DATA = os.environ.get("LAST_DATA")
needs_data = pytest.mark.skipif(not DATA, reason="LAST_DATA is not set")


def clip(i):
    "Clip i: one or two persons, a length and label of its own, and a gap in clip 1."
    rng = np.random.default_rng(i)
    points = rng.normal(size=(1 + i % 2, 5 + i, 25, 3)).astype(np.float32)
    if i == 1:
        points[1, 2:4] = np.nan
    return Clip(f"clip{i}", points, i % 3, split="train" if i < 30 else "test")


@pytest.fixture
def clips():
    return [clip(i) for i in range(40)]


@pytest.fixture
def own(clips, tmp_path):
    return write_store(tmp_path / "own", clips, "ntu25", ["a", "b", "c"])


# clips in memory


def test_what_goes_in_comes_out(own, clips):
    assert len(own) == len(clips)
    for i, c in enumerate(clips):
        assert own[i].dtype == np.float32
        assert np.array_equal(own[i], c.points, equal_nan=True)
        assert np.array_equal(own.seen(i), c.present)
        assert own.index.names[i] == c.name and own.index.labels[i] == c.label


def test_a_clip_is_a_copy_that_may_be_changed(own):
    own[0][:] = 0
    assert own[0].any()


def test_parts_follow_the_splits_of_clips(own):
    sizes = {part: len(own.part("given", part)) for part in ("train", "fit", "val", "test")}
    assert sizes["train"] == 30 and sizes["test"] == 10
    assert sizes["fit"] + sizes["val"] == 30 and sizes["val"] > 0


def test_persons_who_never_appear_are_left_out(tmp_path):
    points = np.full((3, 6, 25, 3), np.nan, np.float32)
    points[1] = 1
    store = write_store(tmp_path / "s", [Clip("x", points, 0)], "ntu25")
    assert store[0].shape == (1, 6, 25, 3)


def test_class_names_default_to_numbers(clips, tmp_path):
    assert write_store(tmp_path / "s", clips, "ntu25").classes == ["0", "1", "2"]


def test_fingerprint_depends_on_content_only(own, clips, tmp_path):
    again = write_store(tmp_path / "elsewhere", clips, "ntu25", ["x", "y", "z"])
    assert again.fingerprint == own.fingerprint

    changed = replace(clips[0], points=clips[0].points + np.float32(1e-3))
    other = write_store(tmp_path / "other", [changed, *clips[1:]], "ntu25")
    assert other.fingerprint != own.fingerprint


def test_a_store_may_be_replaced_by_a_store(own, clips):
    assert len(write_store(own.path, clips[:5], "ntu25")) == 5


@pytest.mark.parametrize(
    "points, label, names, message",
    [
        (np.zeros((1, 5, 20, 3)), 0, 1, r"x: expected \(M, T, 25, 3\) for ntu25, found \(1, 5, 20"),
        (np.zeros((5, 25, 3)), 0, 1, r"x: expected \(M, T, 25, 3\)"),
        (np.full((1, 5, 25, 3), np.nan), 0, 1, "x: nobody is in this clip"),
        (np.zeros((1, 5, 25, 3)), 2, 1, "label 2 but only 2 class names"),
        (np.zeros((1, 5, 25, 3)), 0, 2, "two clips have the same name"),
        (np.zeros((1, 5, 25, 3)), 0, 0, "no clips to write"),
    ],
    ids=["joints", "dimensions", "nobody", "label", "name", "none"],
)
def test_clips_that_do_not_fit_are_refused(tmp_path, points, label, names, message):
    clips = [Clip("x", points.astype(np.float32), label)] * names
    with pytest.raises(ValueError, match=message):
        write_store(tmp_path / "s", clips, "ntu25", ["a", "b"])
    assert not (tmp_path / "s").exists()


def test_nothing_but_a_store_is_ever_replaced(clips, tmp_path):
    (tmp_path / "home").mkdir()
    (tmp_path / "home/thesis.tex").write_text("x")
    with pytest.raises(FileExistsError, match="is not a store"):
        write_store(tmp_path / "home", clips, "ntu25")
    assert (tmp_path / "home/thesis.tex").read_text() == "x"

    (tmp_path / "file").write_text("x")
    with pytest.raises(FileExistsError, match="is not a store"):
        write_store(tmp_path / "file", clips, "ntu25")
    assert (tmp_path / "file").read_text() == "x"


def test_an_empty_folder_may_become_a_store(clips, tmp_path):
    (tmp_path / "s").mkdir()
    assert len(write_store(tmp_path / "s", clips, "ntu25")) == 40


def test_no_store_names_the_remedy(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no store here .*`python -m last prepare`"):
        Store(tmp_path / "nowhere")


def test_unknown_protocol_and_part_list_the_known(own):
    with pytest.raises(ValueError, match="own has no protocol 'xsub'; it has given"):
        own.part("xsub", "train")
    with pytest.raises(ValueError, match="unknown part 'dev'; known: train, test, val, fit"):
        own.part("given", "dev")


def test_missing_rows_are_damage(own):
    (own.path / "checksums.sha256").unlink()  # as an earlier version left it
    np.save(own.path / "present.npy", own.present[:-1])
    rows = len(own.points)
    message = rf"is damaged .present.npy: expected bool .{rows},., found bool .{rows - 1},"
    with pytest.raises(ParseError, match=message):
        Store(own.path)


@pytest.mark.parametrize("name", ["points.npy", "present.npy", "index.npz", "meta.json"])
def test_a_cut_file_is_damage(own, name):
    path = own.path / name
    path.write_bytes(path.read_bytes()[:20])
    with pytest.raises(ParseError, match=r"the store is damaged .*; prepare it again"):
        Store(own.path)


@pytest.mark.parametrize("key", ["dataset", "classes", "skipped"])
def test_a_meta_file_without_all_that_is_needed_is_damage(own, key):
    (own.path / "checksums.sha256").unlink()
    meta = json.loads((own.path / "meta.json").read_text())
    del meta[key]
    (own.path / "meta.json").write_text(json.dumps(meta))
    with pytest.raises(ParseError, match=rf"damaged \(meta.json: expected {key} as .* found None"):
        Store(own.path)


@pytest.mark.parametrize(
    "column, values, message",
    [
        ("offsets", [0, 5, 4], "expected clips that follow one another"),
        ("frames", [5, 1 << 62, 7], "expected clips that follow one another"),
        ("persons", [1, -2, 1], "expected clips with one person and one frame at least"),
        ("labels", [0, 3, 0], "a class beyond the 3 that there are"),
        ("labels", [0.0, 1.0, 2.0], "expected one whole number per clip in labels, found float64"),
        ("names", ["a", "b"], "clip in labels, found int64"),
    ],
)
def test_an_index_that_lies_is_damage(clips, tmp_path, column, values, message):
    path = write_store(tmp_path / "s", clips[:3], "ntu25", ["a", "b", "c"]).path
    (path / "checksums.sha256").unlink()
    with np.load(path / "index.npz") as file:
        columns = dict(file)
    np.savez(path / "index.npz", **columns | {column: np.array(values)})
    with pytest.raises(ParseError, match=message):
        Store(path)


def test_a_disk_that_does_not_answer_is_no_damage(own, monkeypatch):
    def fail(path):
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(last.store, "load_array", fail)
    with pytest.raises(OSError, match="Input/output error"):
        Store(own.path)


def test_a_store_of_an_unknown_dataset_is_not_written(clips, tmp_path):
    with pytest.raises(ValueError, match="unknown dataset 'ntu'; known: ntu60"):
        write_store(tmp_path / "s", clips, "ntu25", dataset="ntu")
    assert not (tmp_path / "s").exists()


# files


def ntu_file(folder, name, frames=12, persons=1):
    "A small `.skeleton` file; returns its path."
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(zlib.crc32(name.encode()))
    shape = np.array([0.3, 0.6, 0.1])
    bodies = [rng.normal(size=(frames, 25, 3)) * shape + [0, 0, 3] for _ in range(persons)]
    path = folder / f"{name}.skeleton"
    path.write_text(ntu_text([sense(body, rng) for body in bodies]))
    return path


def empty_file(folder, name, frames=20):
    path = folder / f"{name}.skeleton"
    path.write_text("\n".join([str(frames)] + ["0"] * frames))
    return path


@pytest.fixture
def tree(tmp_path):
    "Two folders as in the original: six good clips; one damaged, one empty, one known missing."
    low = tmp_path / "ntu/nturgb+d_skeletons_s001_to_s017"
    high = tmp_path / "ntu/nturgb+d_skeletons_s018_to_s032"
    for p in (1, 3):
        ntu_file(low, f"S001C001P{p:03}R001A001")
        ntu_file(low, f"S002C002P{p:03}R001A050", persons=2)
        ntu_file(high, f"S018C001P{p:03}R001A120")

    ntu_file(low, "S001C002P005R002A008")  # on the authors' list of missing clips
    empty_file(low, "S003C001P001R001A001")
    broken = ntu_file(low, "S003C001P001R001A002")
    broken.write_text(broken.read_text()[:3000])
    return tmp_path / "ntu"


@pytest.fixture
def cfg(tree, tmp_path):
    return PrepareConfig(str(tree), str(tmp_path / "stores/ntu120"), "ntu120", workers=1)


def test_good_files_become_clips_in_the_order_of_their_names(cfg):
    store = prepare(cfg)
    assert store.index.names.tolist() == sorted(store.index.names.tolist())
    assert store.index.setups.tolist() == [1, 1, 2, 2, 18, 18]
    assert store.index.persons.tolist() == [1, 1, 2, 2, 1, 1]
    assert len(store.part("xsub", "train")) == 3
    for i, name in enumerate(store.index.names):
        read = read_ntu(next(Path(cfg.root).rglob(f"{name}.skeleton")))
        seen = read.present.any(1)
        assert np.array_equal(store[i], read.points[seen], equal_nan=True)


def test_bad_files_are_listed_with_their_reason(cfg):
    meta = prepare(cfg).meta
    reasons = {Path(file).stem: reason for file, reason in meta["skipped"]}
    assert sorted(reasons) == ["S003C001P001R001A001", "S003C001P001R001A002"]
    assert reasons["S003C001P001R001A001"] == "no body in any of 20 frames"
    line, _, expected = reasons["S003C001P001R001A002"].partition(": ")
    assert line.isdigit() and expected.startswith("expected 12 numbers of joint")
    assert meta["known_missing"] == 1


def test_strict_stops_at_the_first_bad_file(cfg, tmp_path):
    strict = replace(cfg, out=str(tmp_path / "s"), strict=True)
    with pytest.raises(ParseError, match=r"S003C001P001R001A001.skeleton: no body in any of 20"):
        prepare(strict)
    assert not (tmp_path / "s").exists()


def test_strict_looks_at_a_finished_store_again(cfg):
    prepare(cfg)
    with pytest.raises(ParseError, match="no body in any of 20 frames"):
        prepare(replace(cfg, strict=True))


def test_any_exception_of_a_reader_is_a_reason(cfg, monkeypatch):
    def reader(path):
        if path.stem == "S001C001P001R001A001":
            raise KeyError("surprise")
        return read_ntu(path)

    monkeypatch.setitem(DATASETS, "ntu120", replace(DATASETS["ntu120"], read=reader))
    skipped = {Path(file).stem: reason for file, reason in prepare(cfg).meta["skipped"]}
    assert skipped["S001C001P001R001A001"] == "KeyError: 'surprise'"

    strict = replace(cfg, out=cfg.out + "-strict", strict=True)
    with pytest.raises(ParseError, match=r"S001C001P001R001A001.skeleton: KeyError: 'surprise'"):
        prepare(strict)


class Flaky:
    "Reads NTU's files, but for one, where the disk or the memory gives up."

    def __init__(self, error):
        self.error = error

    def __call__(self, path):
        if path.stem == "S002C002P001R001A050":
            raise self.error
        return read_ntu(path)


@pytest.mark.parametrize("error", [OSError(5, "Input/output error"), MemoryError()], ids=repr)
@pytest.mark.parametrize("workers", [1, 2])
def test_a_file_that_may_be_whole_is_not_skipped(cfg, monkeypatch, error, workers):
    row = DATASETS["ntu120"]
    monkeypatch.setitem(DATASETS, "ntu120", replace(row, read=Flaky(error)))
    monkeypatch.setattr(last.preparation, "PART", 4)  # more than one part, or there is no pool
    what = "Input/output error" if error.args else "not enough memory"
    message = rf"R001A050.skeleton: cannot be read now \({what}\); the file may be whole, so it is"
    with pytest.raises(OSError, match=message):
        prepare(replace(cfg, workers=workers))
    assert not Path(cfg.out).exists()

    monkeypatch.setitem(DATASETS, "ntu120", row)
    assert len(prepare(cfg)) == 6


def end_process(path):
    os._exit(1)


def test_a_pool_process_that_is_killed_is_said_in_a_sentence(cfg, monkeypatch):
    row = DATASETS["ntu120"]
    monkeypatch.setitem(DATASETS, "ntu120", replace(row, read=end_process))
    monkeypatch.setattr(last.preparation, "PART", 4)
    with pytest.raises(OSError, match="a process that parses files was killed, perhaps for lack"):
        prepare(replace(cfg, workers=2))


def test_a_class_beyond_the_table_is_a_reason(cfg, monkeypatch):
    row = replace(DATASETS["ntu120"], classes=tuple("abc"))
    monkeypatch.setitem(DATASETS, "ntu120", row)
    reasons = [reason for _, reason in prepare(cfg).meta["skipped"]]
    assert "class 50, but ntu120 has 3 classes" in reasons


def test_ntu60_takes_its_part_of_the_files(cfg, tmp_path):
    store = prepare(replace(cfg, out=str(tmp_path / "ntu60"), dataset="ntu60"))
    assert len(store) == 4  # setups up to 17, actions up to 60


def test_hidden_files_are_no_clips(cfg, tree):
    ntu_file(tree, "S001C001P001R001A002").rename(tree / "._S001C001P001R001A002.skeleton")
    store = prepare(cfg)
    assert len(store) == 6
    assert len(store.meta["skipped"]) == 2  # it is not even read


def test_a_finished_store_is_left_alone(cfg):
    store = prepare(cfg)
    times = {p: p.stat().st_mtime_ns for p in store.path.iterdir()}
    assert prepare(cfg).fingerprint == store.fingerprint
    assert {p: p.stat().st_mtime_ns for p in store.path.iterdir()} == times


def test_a_damaged_store_is_made_anew(cfg):
    store = prepare(cfg)
    (store.path / "present.npy").write_bytes(b"cut")
    again = prepare(cfg)
    assert again.fingerprint == store.fingerprint
    assert len(again.present) == len(store.present)


def test_a_store_of_other_files_is_not_overwritten(cfg, tree):
    prepare(cfg)
    file = next(tree.rglob("S001C001P001R001A001.skeleton"))
    text = file.read_text()
    file.write_text(text + "\n")
    with pytest.raises(FileExistsError, match=r"other files .*P001R001A001.skeleton has changed"):
        prepare(cfg)

    file.unlink()
    with pytest.raises(FileExistsError, match=r"among them .*R001A001.skeleton, which is not"):
        prepare(cfg)
    with pytest.raises(FileExistsError, match="holds a store of other files or settings"):
        prepare(replace(cfg, as_skeleton="core15"))


def read_all(folder):
    return {path.name: path.read_bytes() for path in sorted(Path(folder).iterdir())}


def test_files_that_are_added_are_parsed_alone(cfg, tree, monkeypatch):
    prepare(cfg)
    ntu_file(tree, "S001C001P002R001A001", persons=2)
    ntu_file(tree, "S032C001P003R001A001")
    empty_file(tree, "S003C001P001R001A003")

    calls = []
    row = DATASETS["ntu120"]

    def counting(path):
        calls.append(path.stem)
        return read_ntu(path)

    monkeypatch.setitem(DATASETS, "ntu120", replace(row, read=counting))
    words = []
    assert prepare(replace(cfg, dry_run=True), words.append) is None and not calls
    assert words[0].startswith("11 files of 0.00 GB in")
    assert "8 are in" in words[0] and "already, 3 are left to parse" in words[0]

    assert len(prepare(cfg)) == 8
    assert len(calls) == 3

    # byte for byte what a fresh `prepare` makes, also with several processes and small parts
    fresh = prepare(replace(cfg, out=cfg.out + "-fresh"))
    assert read_all(fresh.path) == read_all(cfg.out)
    monkeypatch.setitem(DATASETS, "ntu120", row)
    pool = prepare(replace(cfg, out=cfg.out + "-pool", workers=2))
    assert read_all(pool.path) == read_all(cfg.out)


def test_a_kill_between_two_names_loses_nothing(cfg):
    store = prepare(cfg)
    os.replace(store.path, store.path.with_name(store.path.name + ".before"))
    assert prepare(cfg).fingerprint == store.fingerprint


def test_a_replaced_store_that_a_kill_left_behind_is_removed(cfg, tree):
    "The kill came while the old store was being deleted: some of its files are gone."
    store = prepare(cfg)
    before = store.path.with_name(store.path.name + ".before")
    before.mkdir()
    (before / "points.npy").write_bytes(b"old")
    ntu_file(tree, "S001C001P002R001A001")

    words = []
    assert len(prepare(cfg, words.append)) == 7
    assert words[0] == f"removed {before}, which an interrupted command had replaced by {cfg.out}"
    assert not before.exists()


def test_what_is_called_before_and_is_no_store_stays(cfg, clips):
    before = Path(f"{cfg.out}.before")
    before.mkdir(parents=True)
    (before / "thesis.tex").write_text("x")
    with pytest.raises(FileExistsError, match=r"is in the way and no store, it has thesis\.tex"):
        prepare(cfg)
    with pytest.raises(FileExistsError, match=r"is in the way and no store, it has thesis\.tex"):
        write_store(cfg.out, clips, "ntu25")
    assert (before / "thesis.tex").read_text() == "x"


def test_the_room_that_is_stated_is_the_room_that_is_asked_for(cfg, monkeypatch):
    words = []
    prepare(replace(cfg, dry_run=True), words.append)
    assert "the store will take about 0.00 GB" in words[0]

    monkeypatch.setattr(last.preparation, "_room", lambda work: (1.25, 2.5, 2.0))
    prepare(replace(cfg, dry_run=True), words.append)
    assert "about 1.25 GB, and 2.50 GB must be free while it is written (2.0 GB are)" in words[2]
    with pytest.raises(OSError, match=r"2\.00 GB are free, and while the store is written 2\.50"):
        prepare(cfg)
    assert not list(Path(cfg.out).parent.glob("*.parts-*"))


def test_parts_that_are_there_need_no_room_again(cfg):
    work = last.preparation._Work(cfg, DATASETS["ntu120"], print)
    size, room, _ = last.preparation._room(work)
    assert room == pytest.approx(2 * size)
    last.preparation._parse(work)
    assert last.preparation._room(work)[:2] == (size, size)


def test_a_damaged_part_is_parsed_again(cfg, monkeypatch):
    def stop(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(last.preparation, "read_back", stop)
        prepare(cfg)

    part = next(Path(cfg.out).parent.glob("*.parts-*/00000.npz"))
    data = bytearray(part.read_bytes())
    data[len(data) // 2] ^= 1
    part.write_bytes(data)
    store = prepare(cfg)
    fresh = prepare(replace(cfg, out=cfg.out + "-fresh"))
    assert read_all(store.path) == read_all(fresh.path)


def test_a_killed_run_continues_under_another_name_of_its_root(cfg, tree, monkeypatch):
    def stop(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(last.preparation, "read_back", stop)
        prepare(cfg)

    monkeypatch.chdir(tree.parent)
    skipped = prepare(replace(cfg, root=tree.name)).meta["skipped"]
    folder = Path(tree.name, "nturgb+d_skeletons_s001_to_s017")
    assert {Path(file).parent for file, _ in skipped} == {folder} and len(skipped) == 2


# damage


def flipped(path, at):
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    path.write_bytes(data)


@pytest.mark.parametrize("name", ["points.npy", "present.npy", "index.npz", "meta.json"])
def test_a_flipped_byte_is_refused_by_name(own, name, clips):
    path = own.path / name
    whole = path.read_bytes()
    rng = np.random.default_rng(0)
    for at in {0, 9, 100, len(whole) - 1, *rng.integers(0, len(whole), 12).tolist()}:
        flipped(path, at)
        with pytest.raises(ParseError, match=name):
            store = Store(own.path)
            for i in range(len(store)):
                store[i]
        path.write_bytes(whole)


def test_a_file_of_another_store_is_refused(own, clips, tmp_path):
    other = [replace(c, points=c.points + np.float32(1)) for c in clips]
    other = write_store(tmp_path / "other", other, "ntu25", ["a", "b", "c"])
    for name in ("points.npy", "index.npz", "meta.json", "checksums.sha256"):
        whole = (own.path / name).read_bytes()
        (own.path / name).write_bytes((other.path / name).read_bytes())
        with pytest.raises(ParseError):
            Store(own.path)[0]
        (own.path / name).write_bytes(whole)
    assert np.array_equal(Store(own.path)[0], clips[0].points, equal_nan=True)


def test_a_store_travels_to_other_processes(own):
    again = pickle.loads(pickle.dumps(own))
    assert np.array_equal(again[3], own[3], equal_nan=True)
    assert len(pickle.dumps(own)) < 100_000  # and not its points


def test_raw_files_are_never_replaced(cfg):
    with pytest.raises(FileExistsError, match="is not a store"):
        prepare(replace(cfg, out=cfg.root))
    assert len(list(Path(cfg.root).rglob("*.skeleton"))) == 9


def test_a_clip_that_is_there_twice_is_an_error(cfg, tree):
    ntu_file(tree / "copy", "S001C001P001R001A001")
    with pytest.raises(ParseError, match="1 clips are there twice, for instance S001C001P001R001A"):
        prepare(cfg)


def test_no_readable_file_is_an_error_that_shows_the_first(tmp_path):
    (tmp_path / "raw").mkdir()
    empty_file(tmp_path / "raw", "S001C001P001R001A001")
    cfg = PrepareConfig(str(tmp_path / "raw"), str(tmp_path / "s"), "ntu120", workers=1)
    with pytest.raises(ParseError, match=r"none of 1 files could be read; the first: .*A001"):
        prepare(cfg)


def test_a_folder_without_files_names_what_was_searched(tmp_path):
    with pytest.raises(FileNotFoundError, match="no such folder"):
        prepare(PrepareConfig(str(tmp_path / "nix"), str(tmp_path / "s"), "ntu120"))
    with pytest.raises(FileNotFoundError, match=r"no ntu120 files \(\*.skeleton\)"):
        prepare(PrepareConfig(str(tmp_path), str(tmp_path / "s"), "ntu120"))


def test_a_pool_of_processes_makes_the_same_store(cfg, monkeypatch):
    monkeypatch.setattr(last.preparation, "PART", 3)
    one = prepare(cfg)
    two = prepare(replace(cfg, out=cfg.out + "-pool", workers=2))
    assert two.fingerprint == one.fingerprint
    assert two.meta["skipped"] == one.meta["skipped"]


# stopped and started again: test_resume.py kills real processes


def test_a_stopped_run_goes_on_with_what_is_missing(tmp_path, monkeypatch):
    for i in range(10):
        ntu_file(tmp_path / "many", f"S001C001P001R001A{i + 1:03}", frames=2)
    calls = []
    row = DATASETS["ntu120"]

    def counting(path):
        calls.append(path)
        return read_ntu(path)

    def dying(path):
        if len(calls) == 5:
            raise KeyboardInterrupt
        return counting(path)

    # stopped in the second part of four files
    monkeypatch.setattr(last.preparation, "PART", 4)
    monkeypatch.setitem(DATASETS, "ntu120", replace(row, read=dying))
    root, out = tmp_path / "many", tmp_path / "stores/many"
    cfg = PrepareConfig(str(root), str(out), "ntu120", workers=1)
    with pytest.raises(KeyboardInterrupt):
        prepare(cfg)
    assert not out.exists()

    # the first part is not parsed again
    calls.clear()
    monkeypatch.setitem(DATASETS, "ntu120", replace(row, read=counting))
    again = prepare(cfg)
    assert len(calls) == 6

    # and the result is that of an undisturbed run, with nothing left over
    whole = prepare(replace(cfg, out=str(tmp_path / "whole")))
    assert again.fingerprint == whole.fingerprint and len(again) == 10
    assert [p.name for p in out.parent.iterdir()] == ["many"]


def test_parts_of_files_that_have_changed_are_removed(cfg):
    out = Path(cfg.out)
    outdated = out.with_name(out.name + ".parts-0123")
    outdated.mkdir(parents=True)
    prepare(cfg)
    assert not outdated.exists()


# files of many clips


@pytest.fixture
def arrays(tmp_path):
    "Both splits in ST-GCN's format; the last training clip is empty."
    for split in ("train", "val"):
        data = np.random.default_rng(len(split)).normal(size=(6, 3, 8, 25, 2)).astype(np.float32)
        if split == "train":
            data[-1] = 0
        names = [f"{split}{i}" for i in range(6)]
        np.save(tmp_path / f"{split}_data.npy", data)
        (tmp_path / f"{split}_label.pkl").write_bytes(pickle.dumps((names, [0, 1, 2] * 2)))

    return tmp_path / "train_data.npy"


def test_an_array_brings_its_twin_along(arrays, tmp_path):
    store = prepare(PrepareConfig(str(arrays), str(tmp_path / "s"), "stgcn"))
    assert len(store) == 11
    assert len(store.part("given", "train")) == 5 and len(store.part("given", "test")) == 6
    assert store.classes == ["0", "1", "2"]
    assert store.meta["skipped"] == [[str(arrays), "train5: nobody in any frame"]]


def test_strict_refuses_empty_clips_of_an_array(arrays, tmp_path):
    with pytest.raises(ParseError, match="train5: nobody in any frame"):
        prepare(PrepareConfig(str(arrays), str(tmp_path / "s"), "stgcn", strict=True))


def test_an_array_must_be_a_file(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no such file \(ctrgcn is read from one file\)"):
        prepare(PrepareConfig(str(tmp_path), str(tmp_path / "s"), "ctrgcn"))


def test_own_clips_have_no_files(tmp_path):
    with pytest.raises(ValueError, match=r"dataset own: has no files to read; .*write_store"):
        prepare(PrepareConfig(str(tmp_path), str(tmp_path / "s"), "own"))


def test_an_unknown_dataset_lists_the_known(tmp_path):
    with pytest.raises(ValueError, match="unknown dataset 'ntu'; known: ntu60"):
        prepare(PrepareConfig(str(tmp_path), str(tmp_path / "s"), "ntu"))


def test_help_names_every_dataset_with_files(capsys):
    from last.cli import parse

    with pytest.raises(SystemExit):
        parse("prepare", ["--help"])
    words = capsys.readouterr().out.replace(",", " ").split()
    for row in DATASETS.values():
        assert row.name in words or row.name == "own"


# info


def test_info_begins_with_the_number_of_clips(cfg):
    store = prepare(cfg)
    text = describe(open_store(InfoConfig(str(store.path))))
    assert text.split("\n")[0] == "6 clips"
    assert "2 damaged or empty, 1 known to be missing" in text
    assert "4 clips with 1, 2 clips with 2" in text
    assert "xsub        train 3, fit 3, val 0, test 3" in text
    assert text.count("\n  skipped ") == 2


def test_info_warns_of_copies(own, tmp_path):
    clips = [clip(0), replace(clip(0), name="copy", split="test")]
    store = write_store(tmp_path / "leak", clips, "ntu25")
    assert "1 TEST CLIPS ARE COPIES OF TRAINING CLIPS" in describe(store)
    assert "COPIES" not in describe(own)


def test_info_lists_twenty_skipped_files(clips, tmp_path):
    skipped = [[f"file{i}", "cut"] for i in range(21)]
    text = describe(write_store(tmp_path / "s", clips, "ntu25", skipped=skipped))
    assert "  skipped file19: cut\n  ..." in text and "file20" not in text


# the toy


def test_toy_clips_do_what_their_class_says():
    for label in range(len(TOY_CLASSES)):
        points = toy_clip(label, 15, np.random.default_rng(label))[0]  # (T, 25, 3)
        rise = points[-1, 11, 1] - points[0, 11, 1]  # right hand
        assert (rise > 0) == (label != 1)


def test_toy_store_is_repeatable(tmp_path):
    store = toy_store(tmp_path / "a", clips=20, classes=3)
    assert store.classes == list(TOY_CLASSES)
    assert len(store.part("given", "test")) == 5
    assert toy_store(tmp_path / "b", clips=20, classes=3).fingerprint == store.fingerprint
    assert toy_store(tmp_path / "c", clips=20, classes=3, seed=1).fingerprint != store.fingerprint


# the real sets


@pytest.fixture(scope="module")
def real(tmp_path_factory):
    data, out = Path(DATA), tmp_path_factory.mktemp("real")
    roots = {
        "nw-ucla": next(data.rglob("a01_s01_e00_v01.json")).parent,
        "utd-mhad": next(data.rglob("a1_s1_t1_skeleton.mat")).parent,
        "sbu": next(data.rglob("s01s02/*/*/skeleton_pos.txt")).parents[3],
    }
    return {
        name: prepare(PrepareConfig(str(root), str(out / name), name, workers=1))
        for name, root in roots.items()
    }


def sizes(store, protocol):
    return tuple(len(store.part(protocol, part)) for part in ("train", "test"))


@needs_data
def test_real_sets_have_their_sizes(real):
    assert {name: len(store) for name, store in real.items()} == {
        "nw-ucla": 1484,
        "utd-mhad": 861,
        "sbu": 282,
    }
    assert sizes(real["utd-mhad"], "xsub") == (431, 430)
    assert sum(len(real["sbu"].part(f"fold{k}", "test")) for k in range(1, 6)) == 282


@needs_data
def test_nw_ucla_without_its_leak(real):
    store = real["nw-ucla"]
    found = {p: sizes(store, p) for p in "abc"}
    assert found == {"a": (1020, 464), "b": (925, 464), "c": (1020, 369)}

    listed = next(Path(DATA).rglob("nw-ucla-leaked-test-clips.txt")).read_text().split()
    tests = {p: set(store.index.names[store.part(p, "test")]) for p in "ac"}
    assert tests["a"] - tests["c"] == set(listed)
    assert describe(store).count("TEST CLIPS ARE COPIES") == 1  # protocol a alone


def test_meta_is_plain_json(own):
    meta = json.loads((own.path / "meta.json").read_text())
    assert meta["clips"] == 40 and meta["fingerprint"] == own.fingerprint


# files that are hard to find


def test_links_case_and_trash(cfg, tree, tmp_path):
    elsewhere = tmp_path / "other disk"
    ntu_file(elsewhere, "S004C001P001R001A001")
    (tree / "more").symlink_to(elsewhere)
    (tree / "circle").symlink_to(tree)
    (tree / "S009C001P001R001A001.skeleton").symlink_to(tmp_path / "nowhere")
    loud = ntu_file(tree, "S005C001P001R001A001")
    loud.rename(loud.with_suffix(".SKELETON"))
    ntu_file(tree / ".Trash", "S006C001P001R001A001")
    copy = ntu_file(tree, "S007C001P001R001A001")
    copy.rename(copy.with_suffix(".skeleton.bak"))

    store = prepare(cfg)
    names = store.index.names.tolist()
    assert len(names) == 8
    assert {"S004C001P001R001A001", "S005C001P001R001A001"} < set(names)
    reasons = {Path(file).stem: reason for file, reason in store.meta["skipped"]}
    assert reasons["S009C001P001R001A001"] == "a link that leads nowhere"
    assert [Path(file).name for file in store.meta["similar"]] == [
        "S007C001P001R001A001.skeleton.bak"
    ]
    assert "not taken    1 files" in describe(store)
    assert "S007C001P001R001A001.skeleton.bak: not named like a clip" in describe(store)


def test_one_file_by_several_ways_is_one_clip(tmp_path):
    "A link before its file, a link behind it, and a folder that is reached twice."
    root = tmp_path / "data"
    for name in ("b/x.skeleton", "b/c/y.skeleton"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text("clip")
    (root / "a").mkdir()
    (root / "a/x again.skeleton").symlink_to(root / "b/x.skeleton")
    (root / "b/c/x.skeleton").symlink_to(root / "b/x.skeleton")
    (root / "z").symlink_to(root / "b/c")
    found = find_files(root, "*.skeleton")
    assert found.names == ["a/x again.skeleton", "b/c/y.skeleton"]
    assert not found.broken and not found.similar


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes here")
def test_a_pipe_is_no_file(tmp_path):
    os.mkfifo(tmp_path / "x.skeleton")
    (tmp_path / "y.skeleton").symlink_to(tmp_path / "x.skeleton")
    found = find_files(tmp_path, "*.skeleton")
    assert not found.names
    assert {(path.name, why) for path, why in found.broken} == {
        ("x.skeleton", "neither a file nor a folder"),
        ("y.skeleton", "neither a file nor a folder"),
    }


# what clips may hold


@pytest.mark.parametrize(
    "change, message",
    [
        (dict(label=-2), "x: expected a class of 0 or more"),
        (dict(label=0.5), "x: expected a class of 0 or more"),
        (dict(split="dev"), "x: expected the split train, val or test, found 'dev'"),
        (dict(value=np.inf), "x: infinity among the coordinates"),
        (dict(value=np.nan), "x: person 0, frame 2, head: some numbers are NaN"),
    ],
)
def test_what_cannot_be_stored_is_named(tmp_path, change, message):
    points = np.ones((1, 5, 25, 3), np.float32)
    points[0, 2, 3, 1] = change.pop("value", 1)
    with pytest.raises(ValueError, match=message):
        write_store(tmp_path / "s", [replace(Clip("x", points, 0), **change)], "ntu25", ["a"])


def test_two_classes_of_one_name_are_refused(tmp_path):
    with pytest.raises(ValueError, match="two classes are called 'a'"):
        write_store(tmp_path / "s", [clip(0)], "ntu25", ["a", "b", "a"])


def test_clips_without_a_class_are_in_no_part(tmp_path, clips):
    clips[3].label = clips[35].label = -1
    store = write_store(tmp_path / "s", clips, "ntu25")
    parts = {part: store.part("given", part) for part in ("train", "fit", "val", "test")}
    assert not any({3, 35} & set(numbers.tolist()) for numbers in parts.values())
    assert "2 clips without a class are in no part" in describe(store)


def test_marked_clips_validate(tmp_path, clips):
    for c in clips[:4]:
        c.split = "val"
    store = write_store(tmp_path / "s", clips, "ntu25")
    assert store.part("given", "val").tolist() == [0, 1, 2, 3]
    assert len(store.part("given", "train")) == 30


def test_known_subjects_validate_as_a_whole(tmp_path, clips):
    for i, c in enumerate(clips):
        c.subject = 1 + i % 5
    store = write_store(tmp_path / "s", clips, "ntu25")
    subjects = store.index.subjects
    fit, val = subjects[store.part("given", "fit")], subjects[store.part("given", "val")]
    assert len(val) and not set(fit) & set(val)


def test_an_own_skeleton_travels_in_the_store(tmp_path):
    stick = make_skeleton(
        "stick",
        ["Hips", "Neck", "HandLeft", "HandRight", "ShoulderLeft", "ShoulderRight"],
        [1, -1, 4, 5, 1, 1],
        root=["Hips"],
        spine=["Neck"],
        neck=["Neck"],
    )
    made = Clip("x", np.ones((1, 4, 6, 3), np.float32), 0, split="train")
    write_store(tmp_path / "s", [made], stick)
    assert Store(tmp_path / "s").skeleton == stick
    assert "stick, 6 joints" in describe(Store(tmp_path / "s"))


def test_a_root_at_zero_is_a_place(tmp_path):
    points = np.random.default_rng(0).normal(size=(1, 6, 25, 3)).astype(np.float32)
    points -= points[:, :, :1]
    store = write_store(tmp_path / "s", [Clip("x", points, 0)], "ntu25")
    assert np.array_equal(store[0], points)
    assert any("spine base is (0, 0, 0) in 100 % of poses" in note for note in notes_about(store))


# joints and axes of another skeleton


def test_prepare_as_another_skeleton(cfg):
    plain = prepare(cfg)
    core = prepare(replace(cfg, out=cfg.out + "-core", as_skeleton="core15"))
    assert core.skeleton == get_skeleton("core15")
    assert core.points.shape == (len(plain.points), 15, 3)
    neck, spine_shoulder = core.skeleton.joints.index("neck"), 2
    assert np.array_equal(core[0][:, :, neck], plain[0][:, :, spine_shoulder])
    with pytest.raises(FileExistsError, match="other files or settings"):
        prepare(replace(cfg, as_skeleton="core15"))
    with pytest.raises(ValueError, match="ntu25 is 3-D, coco17 is 2-D"):
        prepare(replace(cfg, out=cfg.out + "-coco", as_skeleton="coco17"))


def test_prepare_turns_what_points_down(cfg):
    plain = prepare(cfg)
    turned = prepare(replace(cfg, out=cfg.out + "-down", up="-y"))
    assert np.allclose(turned[0], plain[0] * np.float32([1, -1, -1]), equal_nan=True)
    with pytest.raises(ValueError, match="unknown axis 'w'; known: y, -y, z"):
        prepare(replace(cfg, out=cfg.out + "-w", up="w"))


def test_heads_below_hips_are_noticed(tmp_path):
    rng = np.random.default_rng(0)
    made = [Clip(f"c{i}", toy_clip(0, 12, rng), 0) for i in range(4)]
    assert not notes_about(write_store(tmp_path / "up", made, "ntu25"))
    for c in made:
        c.points = c.points * np.float32([1, -1, -1])
    (note,) = notes_about(write_store(tmp_path / "down", made, "ntu25"))
    assert note.startswith("in 100 % of poses the head is below the root: is y up?")


# arrays of many clips


def pyskl(path, **annotations):
    "A pyskl file with one training clip and what else is given."
    points = np.random.default_rng(0).normal(size=(1, 6, 25, 3)).astype(np.float32)
    good = {"frame_dir": "S001C002P003R001A060", "label": 59, "keypoint": points}
    listed = [good, *({**good, **change, "frame_dir": n} for n, change in annotations.items())]
    names = [a["frame_dir"] for a in listed]
    path.write_bytes(pickle.dumps({"split": {"xsub_train": names}, "annotations": listed}))
    return PrepareConfig(str(path), str(path.with_suffix("")), "pyskl")


def test_names_of_ntu_are_read_from_arrays(tmp_path):
    store = prepare(pyskl(tmp_path / "a.pkl"))
    assert store.index.subjects.tolist() == [3]
    assert store.index.cameras.tolist() == [2]
    assert store.classes[59] == DATASETS["ntu60"].classes[59]


def test_one_bad_clip_does_not_end_a_file(tmp_path):
    bad = dict(label=-5), dict(keypoint=np.zeros((2, 3))), dict(label=1.5)
    cfg = pyskl(tmp_path / "a.pkl", **{f"bad{i}": change for i, change in enumerate(bad)})
    store = prepare(cfg)
    assert len(store) == 1
    assert len(store.meta["skipped"]) == 3
    with pytest.raises(ParseError, match="annotation 1: ValueError: expected a class of 0 or more"):
        prepare(replace(cfg, out=cfg.out + "-strict", strict=True))
