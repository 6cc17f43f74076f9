"""Property tests: whatever happens to a file, the reader reads it or names it; it never returns something else."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from last.core import ParseError
from last.parsing import _lines, _ntu_careful, _ntu_fast, read_ntu, read_ntu_bodies
from last.synthetic import ntu_text, sense

quick = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def text(seed=0, T=3, bodies=2):
    r = np.random.default_rng(seed)
    return ntu_text(
        [sense(r.normal(size=(T, 25, 3)) * [0.3, 0.6, 0.1] + [0, 0, 3], r) for _ in range(bodies)]
    )


@quick
@given(seed=st.integers(0, 10**6), T=st.integers(1, 30), bodies=st.integers(1, 4))
def test_fast_and_careful_agree(tmp_path, seed, T, bodies):
    f = tmp_path / "S001C001P001R001A001.skeleton"
    f.write_text(text(seed, T, bodies))
    lines = _lines(f)
    a, b = _ntu_fast(lines), _ntu_careful(f, lines)
    assert a[:3] == b[:3] and np.array_equal(a[3], b[3])
    assert read_ntu(f).points.shape == (2, T, 25, 3)


@quick
@given(share=st.floats(0, 0.999))
def test_every_cut_is_named(tmp_path, share):
    f, whole = tmp_path / "S001C001P001R001A001.skeleton", text()
    f.write_text(whole[: int(share * (len(whole) - 2))])
    with pytest.raises(ParseError, match="S001C001P001R001A001"):
        read_ntu_bodies(f)


@quick
@given(at=st.floats(0, 0.999), byte=st.binary(min_size=1, max_size=3))
def test_any_damage_is_an_error_or_read_alike(tmp_path, at, byte):
    f, whole = tmp_path / "S001C001P001R001A001.skeleton", text().encode()
    i = int(at * len(whole))
    f.write_bytes(whole[:i] + byte + whole[i + len(byte) :])
    try:
        T, bodies = read_ntu_bodies(f)
    except ParseError as e:
        assert str(f) in str(e)
        return
    assert T == 3 and all(b.xyz.shape[1:] == (25, 3) and np.isfinite(b.xyz).all() for b in bodies)


@quick
@given(data=st.binary(max_size=300))
def test_rubbish_in_every_reader(tmp_path, data):
    from last.formats import (
        load_pickle,
        read_ctrgcn,
        read_kinetics,
        read_nw_ucla,
        read_sbu,
        read_stgcn,
        read_utd_mhad,
    )

    folder = tmp_path / "s01s02/01/001"
    folder.mkdir(parents=True, exist_ok=True)
    for name, read in (
        ("S001C001P001R001A001.skeleton", read_ntu),
        ("a01_s01_e00_v01.json", read_nw_ucla),
        ("a1_s1_t1_skeleton.mat", read_utd_mhad),
        ("s01s02/01/001/skeleton_pos.txt", read_sbu),
        ("x.json", read_kinetics),
        ("x.npz", lambda p: next(read_ctrgcn(p))),
        ("x.npy", lambda p: next(read_stgcn(p))),
        ("x.pkl", load_pickle),
    ):
        f = tmp_path / name
        f.write_bytes(data)
        try:
            read(f)
        except ParseError as e:
            assert str(f) in str(e)
        else:
            assert name == "x.pkl"  # a few short byte strings are valid pickles of plain data
