"Files of strangers: nothing in them is executed, and nothing outside of them is opened."

import collections
import io
import os
import pickle
import struct
import zipfile

import numpy as np
import pytest
from conftest import ROOT

from last import pickles
from last.array_formats import read_pyskl
from last.checksums import load_npz
from last.core import ParseError, read_yaml
from last.folders import STORE_FILES
from last.onnx_files import check_onnx
from last.pickles import load_pickle
from last.store import Store, toy_store

PROTOCOLS = range(pickle.HIGHEST_PROTOCOL + 1)


class Reduce:
    "Unpickling it calls a function."

    def __init__(self, function, *args):
        self.parts = function, args

    def __reduce__(self):
        return self.parts


def load(tmp_path, data):
    file = tmp_path / "x.pkl"
    file.write_bytes(data)
    return load_pickle(file)


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_plain_data_of_every_protocol_is_read(tmp_path, protocol):
    data = {
        "names": ["a", "b"],
        "more": (1, 2.5, None, True, b"\x00\xff"),
        "array": np.arange(6, dtype=np.float32).reshape(2, 3),
        "fortran": np.asfortranarray(np.arange(6.0).reshape(2, 3)),
        "texts": np.array(["a", "bc"]),
        "objects": np.array([[1, 2], "x"], dtype=object),
        "scalar": np.float32(0.5),
        "order": collections.OrderedDict(a=1),
    }
    found = load(tmp_path, pickle.dumps(data, protocol))
    assert found.keys() == data.keys()
    for key, value in data.items():
        assert np.array_equal(found[key], value), key


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_what_was_read_can_be_pickled_again(tmp_path, protocol):
    found = load(tmp_path, pickle.dumps(np.arange(6).reshape(2, 3), 2))
    again = pickle.loads(pickle.dumps(found * 2, protocol))
    assert type(again) is np.ndarray and again.tolist() == [[0, 2, 4], [6, 8, 10]]


def text(word):
    "A word as protocol 2 writes it."
    return b"X" + len(word).to_bytes(4, "little") + word.encode()


def test_flags_of_a_dtype_are_not_taken_from_a_pickle(tmp_path):
    "With the flags of `object`, numpy takes the numbers for addresses."
    content = pickle.dumps(np.full(3, 1.5), 2)
    plain = b"J\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00t"
    assert content.count(plain) == 1
    found = load(tmp_path, content.replace(plain, plain[:-2] + b"\x3ft"))
    assert found.tolist() == [1.5, 1.5, 1.5]


@pytest.mark.parametrize("name", ["V8", "m8", "f4,f4", "O" * 3])
def test_other_kinds_of_numbers_are_refused(tmp_path, name):
    content = pickle.dumps(np.full(3, 1.5), 2).replace(b"f8", name.encode())
    content = content.replace(b"X\x02\x00\x00\x00" + name.encode(), text(name))
    with pytest.raises(ParseError, match="refused: the pickle wants an array of"):
        load(tmp_path, content)


def test_the_page_says_how_many_functions_a_pickle_may_name():
    allowed = {builder.call for builder in pickles._ALLOWED.values()}
    assert len(allowed) == 7
    assert "Only seven functions can be named" in (ROOT / "SECURITY.md").read_text()


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize(
    "evil",
    [
        Reduce(os.system, "echo pwned > ran"),
        Reduce(eval, "open('ran', 'w')"),
        Reduce(exec, "open('ran', 'w')"),
        Reduce(getattr, [], "clear"),
        Reduce(__import__, "os"),
        Reduce(open, "ran", "w"),
        Reduce(np.load, "ran"),
        Reduce(np.fromfile, "ran"),
        Reduce(np.ndarray, (1 << 40,)),
        Reduce(io.FileIO, "ran", "w"),
        Reduce(bytearray, 1 << 40),
        os.system,
        np.ndarray.tofile,
    ],
    ids=lambda evil: getattr(evil, "parts", [evil])[0].__name__,
)
def test_nothing_is_ever_called(tmp_path, monkeypatch, protocol, evil):
    monkeypatch.chdir(tmp_path)
    nested = pickle.dumps([{"annotations": ({"keypoint": evil},)}], protocol)
    with pytest.raises(ParseError, match=r"x.pkl: refused: the pickle"):
        load(tmp_path, nested)
    assert not (tmp_path / "ran").exists()


def string(text):
    return b"\x8c" + bytes([len(text)]) + text.encode()  # SHORT_BINUNICODE


WRITTEN_BY_HAND = {
    "GLOBAL": b"cos\nsystem\n(S'echo > ran'\ntR.",
    "GLOBAL of a dotted name": b"cnumpy\nndarray.tofile\n.",
    "STACK_GLOBAL": b"\x80\x04" + string("os") + string("system") + b"\x93.",
    "STACK_GLOBAL of a dotted name": b"\x80\x04" + string("numpy") + string("os.system") + b"\x93.",
    "INST": b"(S'echo > ran'\nios\nsystem\n.",
    "OBJ": b"(cos\nsystem\nS'echo > ran'\no.",
    "NEWOBJ": b"\x80\x02cos\nsystem\n)\x81.",
    "REDUCE of an array": b"\x80\x02cnumpy\nndarray\nJ\x00\x00\x00\x7f\x85R.",
    "NEWOBJ of an array": b"\x80\x02cnumpy\nndarray\nJ\x00\x00\x00\x7f\x85\x81.",
    "EXT": b"\x80\x02\x82\x01.",
    "PERSID": b"Pnumber\n.",
    "BINPERSID": b"\x80\x02K\x01Q.",
    "BUILD of a function": b"\x80\x02c_codecs\nencode\n}X\x01\x00\x00\x00aK\x01sb.",
    "BUILD of its code": b"\x80\x02c_codecs\nencode\nN}X\x08\x00\x00\x00__code__K\x01s\x86b.",
    "another codec": b"\x80\x02c_codecs\nencode\nX\x01\x00\x00\x00aX\x03\x00\x00\x00hex\x86R.",
    "a stack that is too short": b"\x80\x04R.",
    "a frame beyond the end": b"\x80\x04\x95" + struct.pack("<Q", 1 << 60) + b"N.",
    "bytes beyond the end": b"\x80\x04\x8e" + struct.pack("<Q", 1 << 60) + b"N.",
    "a number of a billion digits": b"\x80\x02\x8b" + struct.pack("<i", (1 << 31) - 1) + b"\x01.",
    "no end": b"\x80\x04N",
}


@pytest.mark.parametrize("data", WRITTEN_BY_HAND.values(), ids=WRITTEN_BY_HAND)
def test_opcodes_that_no_writer_would_write_are_refused(tmp_path, monkeypatch, data):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ParseError, match=r"x.pkl: (refused|not a readable pickle)"):
        load(tmp_path, data)
    assert not (tmp_path / "ran").exists()


def test_names_that_grow_when_spelled_out_are_refused(tmp_path):
    bomb = ["x"]
    for _ in range(60):
        bomb = [bomb, bomb]
    points = np.ones((1, 4, 25, 3), np.float32)
    annotation = {"frame_dir": bomb, "label": 0, "keypoint": points}
    file = tmp_path / "x.pkl"
    file.write_bytes(pickle.dumps({"split": {}, "annotations": [annotation]}))
    (found,) = read_pyskl(file, split="")
    assert "expected a clip's name, found list" in found.reason

    file.write_bytes(pickle.dumps({"split": {"xsub_train": [bomb]}, "annotations": []}))
    with pytest.raises(ParseError, match="split: expected a clip's name, found list"):
        list(read_pyskl(file))


# --- stores and archives


@pytest.mark.parametrize("name", STORE_FILES)
def test_links_out_of_a_store_are_refused(tmp_path, name):
    store = toy_store(tmp_path / "store", clips=4)
    outside = tmp_path / name
    if (store.path / name).exists():
        os.replace(store.path / name, outside)
    (store.path / name).symlink_to(outside)
    with pytest.raises(ParseError, match=f"{name} is a link"):
        Store(store.path)


def test_names_in_an_archive_lead_nowhere(tmp_path, monkeypatch):
    "An .npz is a zip: nothing in it is unpacked, not even a link or a path that leads up."
    monkeypatch.chdir(tmp_path)
    link = zipfile.ZipInfo("link.npy")
    link.external_attr = 0o120777 << 16  # as `ln -s` makes it
    buffer = io.BytesIO()
    np.save(buffer, np.arange(3))
    with zipfile.ZipFile("x.npz", "w") as file:
        for name in ("../up.npy", "/absolute.npy"):
            file.writestr(name, buffer.getvalue())
    assert sorted(load_npz("x.npz")) == ["../up", "/absolute"]

    with zipfile.ZipFile("link.npz", "w") as file:
        file.writestr(link, "/etc/passwd")
    with pytest.raises(
        ParseError, match=r"link.npz: not a readable .npz file .link in it is no array"
    ):
        load_npz("link.npz")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["link.npz", "x.npz"]


def test_a_list_of_checksums_names_no_file_outside(tmp_path):
    from last.checksums import LISTING, list_files, read_listing

    store = toy_store(tmp_path / "store", clips=4)
    (tmp_path / "secret").write_text("x")
    list_files(store.path, ["../secret"])
    with pytest.raises(ParseError, match=f"{LISTING}: the list of checksums is damaged"):
        read_listing(store.path)


# --- YAML


@pytest.mark.parametrize(
    "text",
    [
        "!!python/object/apply:os.system ['echo > ran']",
        "lr: !!python/name:os.system",
        "lr: !!python/object/new:os.system ['x']",
    ],
)
def test_yaml_runs_nothing(tmp_path, monkeypatch, text):
    monkeypatch.chdir(tmp_path)
    file = tmp_path / "x.yaml"
    file.write_text(text)
    with pytest.raises(
        ValueError, match=r"x.yaml, line 1, column \d+: broken YAML \(could not determine a const"
    ):
        read_yaml(file)
    assert not (tmp_path / "ran").exists()


# --- ONNX


@pytest.fixture(scope="module")
def model():
    onnx = pytest.importorskip("onnx")
    h = onnx.helper
    weights = onnx.numpy_helper.from_array(np.eye(3, dtype=np.float32), "w")
    x, y = (h.make_tensor_value_info(n, onnx.TensorProto.FLOAT, (1, 3)) for n in "xy")
    graph = h.make_graph([h.make_node("MatMul", ["x", "w"], ["y"])], "g", [x], [y], [weights])
    return h.make_model(graph, opset_imports=[h.make_opsetid("", 18)], ir_version=8)


def test_a_plain_file_is_fine(model):
    check_onnx(model.SerializeToString())


def test_weights_in_other_files_are_refused(model, tmp_path):
    import onnx

    other = onnx.ModelProto()
    other.CopyFrom(model)
    tensor = other.graph.initializer[0]
    tensor.data_location = onnx.TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="../../etc/passwd")
    file = tmp_path / "x.onnx"
    file.write_bytes(other.SerializeToString())
    with pytest.raises(ParseError, match=r"x.onnx: refused, it wants external data"):
        check_onnx(str(file))

    # in an attribute of a node, inside a branch
    inner = onnx.helper.make_node("Constant", [], ["c"], value=tensor)
    branch = onnx.helper.make_graph([inner], "b", [], [])
    outer = onnx.helper.make_node("If", ["x"], ["z"], then_branch=branch, else_branch=branch)
    other.CopyFrom(model)
    other.graph.node.append(outer)
    with pytest.raises(ParseError, match="refused, it wants external data"):
        check_onnx(other.SerializeToString())


def test_custom_operators_are_refused(model):
    import onnx

    other = onnx.ModelProto()
    other.CopyFrom(model)
    other.graph.node[0].domain = "evil.corp"
    with pytest.raises(ParseError, match=r"it wants operators of 'evil.corp'"):
        check_onnx(other.SerializeToString())


@pytest.mark.parametrize(
    "data", [b"\x3a\xff\xff\xff\xff\x7f", b"\xff" * 20, b"not a model", b"\x3b"]
)
def test_what_is_no_onnx_file_is_named(data):
    with pytest.raises(ParseError, match="not a readable ONNX file"):
        check_onnx(data)
