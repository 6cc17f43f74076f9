"Whatever happens to a file, the reader reads it or names it; it never returns something else."

import numpy as np
import pytest
from broken_ntu import BROKEN, GOOD, ten_thousand_bodies
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from last.array_formats import read_ctrgcn, read_stgcn
from last.core import ParseError
from last.formats import read_kinetics, read_nw_ucla, read_sbu, read_utd_mhad
from last.parsing import parse_careful, parse_fast, read_lines, read_ntu, read_ntu_bodies
from last.pickles import load_pickle
from last.synthetic import ntu_text, sense

NAME = "S001C001P001R001A001.skeleton"

quick = settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


def text(seed=0, T=3, bodies=2):
    "A file of random bodies as tall as people."
    rng = np.random.default_rng(seed)
    sensed = []
    for _ in range(bodies):
        xyz = rng.normal(size=(T, 25, 3)) * [0.3, 0.6, 0.1] + [0, 0, 3]
        sensed.append(sense(xyz, rng))
    return ntu_text(sensed)


@quick
@given(seed=st.integers(0, 10**6), T=st.integers(1, 30), bodies=st.integers(1, 4))
def test_fast_and_careful_agree(tmp_path, seed, T, bodies):
    file = tmp_path / NAME
    file.write_text(text(seed, T, bodies))

    lines = read_lines(file)
    fast, careful = parse_fast(file.read_bytes()), parse_careful(file, lines)
    assert fast[:3] == careful[:3]
    assert np.array_equal(fast[3], careful[3])
    assert read_ntu(file).points.shape == (2, T, 25, 3)


@quick
@given(part=st.floats(0, 0.999))
def test_every_cut_is_named(tmp_path, part):
    file, whole = tmp_path / NAME, text()
    file.write_text(whole[: int(part * (len(whole) - 2))])
    with pytest.raises(ParseError, match="S001C001P001R001A001"):
        read_ntu_bodies(file)


@quick
@given(at=st.floats(0, 0.999), byte=st.binary(min_size=1, max_size=3))
def test_any_damage_is_an_error_or_read_alike(tmp_path, at, byte):
    file, whole = tmp_path / NAME, text().encode()
    i = int(at * len(whole))
    file.write_bytes(whole[:i] + byte + whole[i + len(byte) :])

    try:
        T, bodies = read_ntu_bodies(file)
    except ParseError as error:
        assert str(file) in str(error)
        return
    assert T == 3
    for body in bodies:
        assert body.xyz.shape[1:] == (25, 3)
        assert not (np.abs(body.xyz) > 1000).any()


@pytest.mark.parametrize("number", ["1e75", "-4e38", "123456", "0.1E9"])
def test_no_place_in_a_room_is_an_error(tmp_path, number):
    file, lines = tmp_path / NAME, text().split("\n")
    words = lines[5].split(" ")
    lines[5] = " ".join([words[0], number, *words[2:]])
    file.write_text("\n".join(lines))
    with pytest.raises(ParseError, match=f"{NAME}:6: expected metres in joint 2 of 25"):
        read_ntu_bodies(file)


@pytest.mark.parametrize(
    "content, message", [row[1:] for row in BROKEN], ids=[r[0] for r in BROKEN]
)
def test_every_kind_of_broken_file_has_its_message(tmp_path, content, message):
    file = tmp_path / NAME
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    if message is not None:
        with pytest.raises(ParseError) as error:
            read_ntu(file)
        assert str(error.value).startswith(f"{file}{message}")
        return

    unusual = read_ntu(file).points
    file.write_text(GOOD)
    assert np.array_equal(unusual, read_ntu(file).points, equal_nan=True)


def test_the_corpus_is_large_and_has_no_kind_twice():
    kinds = [kind for kind, _, _ in BROKEN]
    assert len(set(kinds)) == len(kinds)
    assert sum(message is not None for _, _, message in BROKEN) >= 40


def test_a_crowd_is_read_in_bounded_memory(tmp_path):
    import tracemalloc

    file = tmp_path / NAME
    file.write_text(ten_thousand_bodies())
    tracemalloc.start()
    clip = read_ntu(file)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert clip.points.shape == (2, 1, 25, 3) and clip.dropped > 9000
    assert peak < 30 * file.stat().st_size


READERS = {
    NAME: read_ntu,
    "a01_s01_e00_v01.json": read_nw_ucla,
    "a1_s1_t1_skeleton.mat": read_utd_mhad,
    "s01s02/01/001/skeleton_pos.txt": read_sbu,
    "x.json": read_kinetics,
    "x.npz": lambda path: next(read_ctrgcn(path)),
    "x.npy": lambda path: next(read_stgcn(path)),
    "x.pkl": load_pickle,
}


@quick
@given(data=st.binary(max_size=300))
def test_random_bytes_are_an_error_in_every_reader(tmp_path, data):
    for name, read in READERS.items():
        file = tmp_path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(data)

        try:
            read(file)
        except ParseError as error:
            assert str(file) in str(error)
        else:
            assert name == "x.pkl"  # a few short byte strings are valid pickles of plain data
