"ONNX files: what is written, what is quantized, and what it costs."

import builtins
import subprocess
import sys

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper
from torch import nn

from last.onnx_files import (
    add_metadata,
    lowest_requirements,
    mean_kl,
    onnx_bytes,
    onnx_session,
    products_per_output,
    quantizable_nodes,
    quantization_sensitivity,
    quantize,
)


class Toy(nn.Module):
    "A narrow map, a wide map and a product of two activations."

    def __init__(self):
        super().__init__()
        self.stem = nn.Linear(6, 32)
        self.wide = nn.Linear(32, 32)
        self.head = nn.Linear(32, 5)

    def forward(self, skeleton):  # (N, T, 6)
        x = self.stem(skeleton).relu()
        x = self.wide(x).relu()
        x = (x @ x.transpose(1, 2)).softmax(-1) @ x
        return self.head(x.mean(1))


@pytest.fixture(scope="module")
def toy():
    torch.manual_seed(0)
    return Toy().eval()


@pytest.fixture(scope="module")
def file(toy):
    return onnx_bytes(toy, {"skeleton": torch.randn(2, 8, 6)})


@pytest.fixture(scope="module")
def feeds():
    rng = np.random.default_rng(0)
    return [{"skeleton": rng.normal(size=(8, 8, 6)).astype(np.float32)} for _ in range(2)]


def logits(file, feed):
    return onnx_session(file).run(None, feed)[0]


def without_import(monkeypatch, missing):
    real = builtins.__import__

    def fail(name, *args, **kwargs):
        if name.split(".")[0] == missing:
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", fail)


@pytest.mark.parametrize("batch", [1, 2, 16])
def test_file_gives_the_logits_of_the_module_for_any_batch(toy, file, batch):
    x = torch.randn(batch, 8, 6)
    with torch.no_grad():
        expected = toy(x).numpy()
    np.testing.assert_allclose(logits(file, {"skeleton": x.numpy()}), expected, atol=1e-5)


def test_only_the_batch_is_free_by_default(file):
    (skeleton,) = onnx_session(file).get_inputs()
    assert skeleton.shape == ["batch", 8, 6]


def test_other_axes_can_be_free(toy):
    free = {0: "batch", 1: "frames"}
    file = onnx_bytes(toy, {"skeleton": torch.randn(2, 8, 6)}, "scores", free)
    session = onnx_session(file)
    assert session.get_inputs()[0].shape == ["batch", "frames", 6]
    assert session.get_outputs()[0].name == "scores"


def asked_for(file):
    "IR version and operator sets of a file."
    model = onnx.load_from_string(file)
    return model.ir_version, {o.domain or "ai.onnx": o.version for o in model.opset_import}


def test_files_ask_for_no_more_than_they_use(file, feeds):
    "IR 8 is what onnxruntime 1.16 reads, and the lowest that operator set 18 allows."
    assert asked_for(file) == (8, {"ai.onnx": 18})
    small = onnx.load_from_string(quantize(file, feeds))
    domains = {node.domain or "ai.onnx" for node in small.graph.node} | {"ai.onnx"}
    ir, sets = asked_for(small.SerializeToString())
    assert ir == 8 and set(sets) == domains


def test_an_operator_set_that_only_a_branch_uses_is_kept():
    x, y = (helper.make_tensor_value_info(n, TensorProto.FLOAT, [1]) for n in "xy")
    condition = helper.make_tensor_value_info("c", TensorProto.BOOL, [])
    gelu = helper.make_node("Gelu", ["x"], ["y"], domain="com.microsoft")
    same = helper.make_node("Identity", ["x"], ["y"])
    branches = [helper.make_graph([node], "branch", [], [y]) for node in (gelu, same)]
    choice = helper.make_node("If", ["c"], ["y"], then_branch=branches[0], else_branch=branches[1])
    graph = helper.make_graph([choice], "g", [condition, x], [y])
    sets = [helper.make_opsetid(d, v) for d, v in (("", 18), ("com.microsoft", 1), ("other", 1))]
    model = helper.make_model(graph, opset_imports=sets, ir_version=10)
    lean = asked_for(lowest_requirements(model.SerializeToString()))
    assert lean == (8, {"ai.onnx": 18, "com.microsoft": 1})


def test_metadata_is_kept_and_the_exporters_notes_are_removed(file):
    described = add_metadata(file, {"skeleton": "ntu25", "persons": "2"})
    found = onnx_session(described).get_modelmeta().custom_metadata_map
    assert found == {"skeleton": "ntu25", "persons": "2"}
    graph = onnx.load_from_string(described).graph
    assert not any(node.metadata_props for node in graph.node)
    assert any(node.metadata_props for node in onnx.load_from_string(file).graph.node)


def test_metadata_changes_no_output(file, feeds):
    described = add_metadata(file, {"skeleton": "ntu25"})
    np.testing.assert_array_equal(logits(described, feeds[0]), logits(file, feeds[0]))


@pytest.mark.parametrize(
    "kind, shape, attributes, products",
    [
        ("Conv", (8, 4, 9, 1), {}, 36),
        ("Conv", (8, 1, 9, 1), {}, 9),  # depthwise
        ("Gemm", (8, 32), {"transB": 1}, 32),
        ("Gemm", (32, 8), {}, 32),
        ("Gemm", (32, 8), {"transB": 0}, 32),
        ("MatMul", (32, 8), {}, 32),
        ("MatMul", (4, 32, 8), {}, 0),  # a stack of matrices
        ("Add", (32, 8), {}, 0),
    ],
)
def test_products_per_output_follow_the_layout_of_the_weights(kind, shape, attributes, products):
    node = helper.make_node(kind, ["x", "any name"], ["y"], **attributes)
    assert products_per_output(node, {"any name": shape}) == products


@pytest.mark.parametrize("kind", ["Conv", "Gemm", "MatMul"])
def test_products_of_two_activations_do_not_count(kind):
    node = helper.make_node(kind, ["x", "activation"], ["y"])
    assert products_per_output(node, {"weights": (32, 32)}) == 0


def test_choice_of_nodes_does_not_depend_on_names(file):
    model = onnx.load_from_string(file)
    renamed = {w.name: f"val_{i}" for i, w in enumerate(model.graph.initializer)}
    for weights in model.graph.initializer:
        weights.name = renamed[weights.name]
    for node in model.graph.node:
        for i, name in enumerate(node.input):
            node.input[i] = renamed.get(name, name)

    before = quantizable_nodes(file)
    after = quantizable_nodes(model.SerializeToString())
    assert len(before) == 2
    assert after == {node: renamed[weights] for node, weights in before.items()}


def test_narrow_maps_stay_in_float(file):
    weights = set(quantizable_nodes(file).values())
    all_weights = set(quantizable_nodes(file, at_least=1).values())
    assert len(all_weights - weights) == 1  # the stem, 6 products


def test_int8_is_near_float_but_not_equal(file, feeds):
    exact = logits(file, feeds[0])
    rounded = logits(quantize(file, feeds), feeds[0])
    assert 0 < np.abs(exact - rounded).max() < 0.25 * np.abs(exact).max()


def test_int8_shrinks_the_file_of_a_network():
    from last.zoo import build_model

    model = build_model("nano", "ntu25", 7).eval().folded()
    file = onnx_bytes(model, {"skeleton": torch.randn(2, 3, 16, 25)})
    small = quantize(file, [{"skeleton": torch.randn(8, 3, 16, 25).numpy()}])
    assert len(small) < 0.45 * len(file)
    assert "stem.weight" not in quantizable_nodes(file).values()


def test_choosing_no_node_changes_nothing(file, feeds):
    assert quantize(file, feeds, only=[]) == file


def test_one_node_quantizes_only_that_node(file, feeds):
    first, second = quantizable_nodes(file)
    small = onnx.load_from_string(quantize(file, feeds, only=[second]))
    producers = {out: node for node in small.graph.node for out in node.output}
    consumers = {node.name: node for node in small.graph.node}
    kinds = [producers[consumers[n].input[0]].op_type for n in (first, second)]
    assert kinds[1] == "DequantizeLinear"
    assert kinds[0] != "DequantizeLinear"


def test_kl_of_equal_logits_is_zero_and_positive_otherwise():
    logits = np.array([[1.0, 2.0, 3.0]])
    assert mean_kl(logits, logits) == 0
    assert mean_kl(logits, logits + 5) == pytest.approx(0, abs=1e-12)
    assert mean_kl(logits, logits[:, ::-1]) > 0.1


def test_one_layer_moves_the_outputs_less_than_all(file, feeds):
    sensitivity = quantization_sensitivity(file, feeds)
    assert set(sensitivity) == set(quantizable_nodes(file).values())
    exact = np.concatenate([logits(file, feed) for feed in feeds])
    small = quantize(file, feeds)
    together = mean_kl(exact, np.concatenate([logits(small, feed) for feed in feeds]))
    assert 0 < min(sensitivity.values()) < together


def test_layers_that_share_weights_are_quantized_together(feeds):
    rng = np.random.default_rng(0)
    weights = helper.make_tensor("shared", TensorProto.FLOAT, (32, 32), rng.normal(size=1024))
    nodes = [
        helper.make_node("MatMul", ["skeleton", "shared"], ["middle"], name="first"),
        helper.make_node("MatMul", ["middle", "shared"], ["logits"], name="second"),
    ]
    ends = [helper.make_tensor_value_info(n, 1, ["n", 32]) for n in ("skeleton", "logits")]
    graph = helper.make_graph(nodes, "g", ends[:1], ends[1:], [weights])
    opset = [helper.make_opsetid("", 18)]
    file = helper.make_model(graph, opset_imports=opset, ir_version=10).SerializeToString()
    feed = [{"skeleton": rng.normal(size=(4, 32)).astype(np.float32)}]

    exact, both = (logits(f, feed[0]) for f in (file, quantize(file, feed)))
    assert quantization_sensitivity(file, feed) == {"shared": pytest.approx(mean_kl(exact, both))}


def test_missing_onnxscript_names_the_extra(monkeypatch, toy):
    without_import(monkeypatch, "onnxscript")
    with pytest.raises(ImportError, match=r'pip install "last\[export\]"'):
        onnx_bytes(toy, {"skeleton": torch.randn(2, 8, 6)})


def test_missing_onnxruntime_names_the_extra(monkeypatch, file):
    without_import(monkeypatch, "onnxruntime")
    with pytest.raises(ImportError, match=r'pip install "last\[export\]"'):
        onnx_session(file)


def test_importing_the_module_loads_no_torch():
    code = "import last.onnx_files, sys; print('torch' in sys.modules, 'onnx' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "False"]
