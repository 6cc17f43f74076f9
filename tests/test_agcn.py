"Graph layers: equal to their formula, indifferent to padding and numbering, every part learns."

import pytest
import torch

from last.agcn import AGCN, DynamicGraph, FlatLinear, mix_joints, time_mean
from last.skeletons import SKELETONS, get_skeleton

NTU = get_skeleton("ntu25")


@pytest.fixture
def x() -> torch.Tensor:
    torch.manual_seed(0)
    return torch.randn(2, 6, 25, 4)  # (N, T, V, C)


def trained_like(layer: AGCN) -> AGCN:
    "In eval mode, with a learned graph that is not zero."
    torch.nn.init.normal_(layer.learned, std=0.1)
    return layer.eval()


def test_flat_linear_is_linear(x):
    flat = FlatLinear(4, 5)
    wanted = torch.nn.functional.linear(x, flat.weight, flat.bias)
    torch.testing.assert_close(flat(x), wanted)


@pytest.mark.parametrize("K", (1, 2, 3))
def test_mix_joints_is_the_formula(x, K):
    A, W = torch.randn(2, K, 25, 25), torch.randn(K, 4, 5)
    projections = torch.cat([x @ w for w in W], -1)
    formula = torch.einsum("nkij,ntjc,kcd->ntid", A, x, W)
    torch.testing.assert_close(mix_joints(projections, A), formula, atol=1e-4, rtol=1e-4)
    one = mix_joints(projections, A[0])
    torch.testing.assert_close(one[0], formula[0], atol=1e-4, rtol=1e-4)


def test_time_mean_leaves_padding_out(x):
    mask = torch.ones(2, 6)
    mask[1, 4:] = 0
    torch.testing.assert_close(time_mean(x, mask)[0], x[0].mean(0))
    torch.testing.assert_close(time_mean(x, mask)[1], x[1, :4].mean(0))
    torch.testing.assert_close(time_mean(x, torch.ones(2, 6)), time_mean(x))


def test_time_mean_of_no_frames_is_zero(x):
    assert time_mean(x, torch.zeros(2, 6)).abs().sum() == 0


def test_dynamic_rows_are_means(x):
    A = DynamicGraph(4)(time_mean(x))
    assert (A >= 0).all()
    torch.testing.assert_close(A.sum(-1), torch.ones(2, 3, 25))


def test_tanh_links_may_be_negative(x):
    A = DynamicGraph(4, act="tanh")(time_mean(x))
    assert A.min() < 0
    assert A.abs().max() <= 1 / 25


def test_unknown_activation_is_refused():
    with pytest.raises(ValueError, match="unknown activation 'relu'; known: softmax, tanh"):
        DynamicGraph(4, act="relu")


def test_renumbered_joints_renumber_the_graph(x):
    dynamic, order = DynamicGraph(4).eval(), torch.randperm(25)
    found = dynamic(time_mean(x)[:, order])
    torch.testing.assert_close(found, dynamic(time_mean(x))[..., order, :][..., order])


def test_huge_scores_stay_finite(x):
    assert DynamicGraph(4).eval()(time_mean(x) * 1e4).isfinite().all()


def test_scores_stay_in_float32_under_autocast(x):
    dynamic = DynamicGraph(4).eval()
    with torch.autocast("cpu", torch.bfloat16):
        assert dynamic(time_mean(x)).dtype == torch.float32


def test_stride_before_mixing_is_stride_after(x):
    layer, strided = trained_like(AGCN(4, 8, NTU)), AGCN(4, 8, NTU, stride=2).eval()
    strided.load_state_dict(layer.state_dict())
    torch.testing.assert_close(strided(x), layer(x)[:, ::2])


def test_padding_changes_nothing(x):
    layer = trained_like(AGCN(4, 8, NTU))
    longer = torch.cat([x, torch.randn(2, 5, 25, 4)], 1)
    valid = torch.cat([torch.ones(2, 6), torch.zeros(2, 5)], 1)
    torch.testing.assert_close(layer(longer, valid)[:, :6], layer(x))


def test_bones_alone_do_not_link_the_hands(x):
    left, right = NTU.joints.index("left hand tip"), NTU.joints.index("right hand tip")
    moved = x.clone()
    moved[:, 0, right] += 1

    bones = AGCN(4, 8, NTU, learned=False, dynamic="")
    bones.physical[2] = 0
    adaptive = AGCN(4, 8, NTU).eval()
    assert torch.equal(bones(moved)[:, 0, left], bones(x)[:, 0, left])
    assert (adaptive(moved) - adaptive(x))[:, 0, left].abs().max() > 1e-3


def test_learned_and_dynamic_parts_receive_gradients(x):
    layer = AGCN(4, 8, NTU)
    layer(x).square().sum().backward()
    assert layer.learned.grad.abs().max() > 0
    assert layer.dynamic.embed.weight.grad.abs().max() > 0


def test_fixed_graphs_are_not_in_the_weights():
    assert "physical" not in AGCN(4, 8, NTU).state_dict()


@pytest.mark.parametrize("learned", (True, False))
@pytest.mark.parametrize("dynamic", ("softmax", "tanh", ""))
def test_every_combination_of_parts(x, learned, dynamic):
    layer = AGCN(4, 8, NTU, learned=learned, dynamic=dynamic)
    assert layer(x).shape == (2, 6, 25, 8)
    assert layer.graphs(x).shape == ((2, 3, 25, 25) if dynamic else (3, 25, 25))


@pytest.mark.parametrize("skeleton", SKELETONS.values(), ids=lambda s: s.name)
def test_every_skeleton(skeleton):
    assert AGCN(4, 8, skeleton)(torch.randn(2, 6, skeleton.V, 4)).shape == (2, 6, skeleton.V, 8)
