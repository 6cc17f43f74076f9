"""What the peers share: masks, norms that respect them; and one shortcut in MSA-GCN."""

import torch
from torch import nn

from last.msagcn import EdgeConv
from last.peers import BatchNorm2d, masked2d, per_joint, strided, time_mean2d

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
