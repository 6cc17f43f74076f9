"""What the peers share, and what their authors' code does, in cases worked by hand."""

import numpy as np
import pytest
import torch
from torch import nn

from last.ctrgcn import MultiScaleTemporal, PlainGraph
from last.efficientgcn import distance_graphs, three_inputs
from last.infogcn import InfoUnit
from last.joints import Skeleton
from last.msagcn import EdgeConv, family_graphs
from last.peers import BatchNorm2d, masked2d, per_joint, spine_tree, strided, time_mean2d
from last.skeletons import SKELETONS, get_skeleton
from last.stgcn import STGCN, published_graphs
from last.zoo import build_model

NTU = get_skeleton("ntu25")
# 0 - 1 - 2 - 3, center and middle of the spine at joint 0
CHAIN = Skeleton("chain", ("a", "b", "c", "d"), (-1, 0, 1, 2), (0,), (0,), (0,), (1, 1))

X = torch.randn(3, 4, 10, 5, generator=torch.Generator().manual_seed(0)) * 3 + 1
MASK = torch.ones(3, 10)
MASK[1, 6:] = 0


def test_statistics_leave_masked_frames_out():
    masked, alone = BatchNorm2d(4), BatchNorm2d(4)
    masked(X, MASK)
    frames = X.transpose(1, 2)  # (N, T, C, V)
    valid = torch.cat([frames[0], frames[1, :6], frames[2]])
    alone(valid[..., None])
    assert torch.allclose(masked.running_mean, alone.running_mean, atol=1e-6)
    assert torch.allclose(masked.running_var, alone.running_var, atol=1e-5)


def test_means_are_over_valid_frames():
    assert torch.allclose(time_mean2d(X, MASK)[1], X[1, :, :6].mean(1), atol=1e-6)
    assert torch.allclose(time_mean2d(X, torch.ones(3, 10)), time_mean2d(X), atol=1e-6)


def test_masked_frames_are_zero():
    assert masked2d(X, MASK)[1, :, 6:].abs().sum() == 0
    assert torch.equal(masked2d(X, None), X)


def test_a_stride_takes_its_mask_along():
    assert strided(None, 2) is None
    assert torch.equal(strided(MASK, 2), MASK[:, ::2])


def test_each_joint_and_channel_has_its_own_norm():
    spread = per_joint(BatchNorm2d(20), X).std((0, 2), correction=0)
    assert torch.allclose(spread, torch.ones(4, 5), atol=1e-4)


def test_mapping_a_pose_before_or_after_copying_it_to_every_frame_is_the_same():
    pose, frames = torch.randn(2, 8, 25), 6
    edges = EdgeConv(8, 8).eval()(pose)  # (N, C, V)
    mix = nn.Conv2d(8, 16, 1)
    copied = edges[:, :, None].expand(-1, -1, frames, -1)
    once = mix(edges[:, :, None]).expand(-1, -1, frames, -1)
    assert torch.allclose(mix(copied), once, atol=1e-6)


def test_the_spine_tree_is_the_authors():
    "EfficientGCN's table of the joint that each of NTU's joints hangs on, counted from 1."
    table = [
        2,
        2,
        21,
        3,
        21,
        5,
        6,
        7,
        21,
        9,
        10,
        11,
        1,
        13,
        14,
        15,
        1,
        17,
        18,
        19,
        2,
        23,
        8,
        25,
        12,
    ]
    assert (spine_tree(NTU) + 1).tolist() == table


@pytest.mark.parametrize("name", list(SKELETONS))
def test_every_spine_tree_keeps_the_bones_and_reaches_its_root(name):
    skeleton = SKELETONS[name]
    parents = spine_tree(skeleton)
    bones = {frozenset((j, p)) for j, p in enumerate(parents.tolist()) if j != p}
    assert bones == {frozenset(bone) for bone in skeleton.bones}

    at = np.arange(skeleton.V)
    for _ in range(skeleton.V):
        at = parents[at]
    assert len(set(at.tolist())) == 1


def test_stgcn_has_the_graph_of_the_published_code():
    graphs = published_graphs(NTU)
    assert [int(n) for n in (graphs > 0).sum((1, 2))] == [25, 40, 8]
    assert np.allclose(graphs.sum((0, 2)), 1)

    # joint 2 of the chain reads 1 and 3; both are more than one bone from the center, like itself
    itself, far, near = published_graphs(CHAIN)
    assert np.allclose(itself.diagonal(), [1 / 2, 1 / 3, 1 / 3, 1 / 2])
    assert near[1, 0] == np.float32(1 / 3) and near[2, 1] == np.float32(1 / 3)
    assert (near > 0).sum() == 2
    assert far[3, 2] == np.float32(1 / 2) and far[2, 3] == np.float32(1 / 3) and far[0, 1] > 0


@pytest.mark.parametrize("name", list(SKELETONS))
@pytest.mark.parametrize("graphs_of", [published_graphs, distance_graphs, family_graphs])
def test_left_and_right_have_the_same_graph(graphs_of, name):
    skeleton = get_skeleton(name)
    graphs, mirror = graphs_of(skeleton), list(skeleton.mirror)
    assert graphs.shape == (3, skeleton.V, skeleton.V)
    assert np.allclose(graphs[:, mirror][:, :, mirror], graphs, atol=1e-6)


def test_stgcn_has_no_dropout_in_its_first_unit():
    assert [unit.dropout.p for unit in STGCN(NTU, 2).units] == [0.0, *[0.5] * 9]


def test_the_plain_graph_is_normalized_for_the_joint_that_reads():
    graph = PlainGraph(1, 1, CHAIN, K=1)
    with torch.no_grad():
        graph.A.copy_(torch.tensor([[3.0, 4, 0, 0], [0, 2, 0, 0], [0, 0, 1, 0], [6, 0, 0, 8]]))
        graph.convs[0].weight.fill_(1)
        graph.convs[0].bias.zero_()
    x = torch.tensor([1.0, 10, 100, 1000]).view(1, 1, 1, 4)
    wanted = torch.tensor([0.6 + 8, 10, 100, 0.6 + 800])
    assert torch.allclose(graph(x).flatten(), wanted, rtol=1e-3)


def test_infogcn_has_a_relu_behind_its_temporal_part():
    unit = InfoUnit(16, 16, 1, 25).eval()
    nn.init.constant_(unit.temporal.norms[0].bias, -1e3)  # what the first branch gives
    x = torch.rand(1, 16, 8, 25)
    y, _ = unit(x)
    assert torch.allclose(y[:, :4], x[:, :4])  # the shortcut alone is left, not cut off
    assert isinstance(unit.temporal, MultiScaleTemporal)


def test_efficientgcn_divides_by_the_joints_within_ten_bones():
    zero, one, two = distance_graphs(CHAIN)
    assert np.allclose(zero, np.eye(4) / 4)
    assert np.allclose(one[0], [0, 1 / 4, 0, 0]) and np.allclose(two[0], [0, 0, 1 / 4, 0])

    long = Skeleton("long", tuple("abcdefghijklm"), (-1, *range(12)), (0,), (0,), (0,), (1, 1))
    assert np.allclose(distance_graphs(long)[0].diagonal()[[0, 1, 2]], [1 / 11, 1 / 12, 1 / 13])


def test_efficientgcn_reads_steps_that_end_two_frames_early():
    x = torch.arange(6.0).square().view(1, 1, 6, 1).expand(1, 3, 6, 25)
    steps = three_inputs(x, NTU)[1][0, :, :, 0]
    assert steps[0].tolist() == [4, 8, 12, 16, 0, 0]
    assert steps[3].tolist() == [1, 3, 5, 7, 0, 0]

    mask = torch.tensor([[1.0, 1, 1, 1, 0, 0]])
    assert three_inputs(x, NTU, mask)[1][0, 3, :, 0].tolist() == [1, 3, 0, 0, 0, 0]
    assert three_inputs(x[:, :, :2], NTU)[1].abs().max() == 0


def test_efficientgcn_bones_lead_to_the_middle_of_the_spine():
    x = torch.randn(1, 3, 4, 25)
    bones = three_inputs(x, NTU)[2][:, :3]
    assert torch.equal(bones[..., 20], x[..., 20] - x[..., 1])
    assert bones[..., 1].abs().max() == 0


def test_msagcn_reads_the_mean_of_the_children_and_the_parent():
    itself, children, parent = family_graphs(NTU)
    assert np.array_equal(itself, np.eye(25))
    assert np.allclose(children[20, [2, 4, 8]], 1 / 3) and np.isclose(children[20].sum(), 1)
    assert np.allclose(children[1, [0, 20]], 1 / 2)
    assert parent[20, 1] == 1 and parent[20].sum() == 1 and parent[1].sum() == 0


def test_msagcn_subtracts_the_joint_two_bones_nearer_the_spine():
    relative = build_model("msagcn", NTU, 2).relative
    wanted = torch.eye(25)
    for joint, grandparent in {4: 1, 2: 1, 12: 1, 3: 20, 5: 20, 13: 0}.items():
        wanted[joint, grandparent] = -1
        assert torch.equal(relative[joint], wanted[joint])
    for joint in (0, 1, 20):  # the root and its children have nobody there
        assert torch.equal(relative[joint], wanted[joint])
