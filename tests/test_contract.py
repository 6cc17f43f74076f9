"What every network promises: absent persons and padding change no logit and no statistic."

import pytest
import torch
from torch import Tensor, nn

from last.contract import BatchNorm, SkeletonModel, average_persons, masked, mean_pool
from last.zoo import build_model

SHAPE = (3, 3, 10, 5, 2)
N, C, T, V, M = SHAPE
MODES = pytest.mark.parametrize("training", (True, False), ids=("training", "eval"))


class Strided(SkeletonModel):
    "A linear map and a BatchNorm of every other frame."

    def __init__(self):
        super().__init__(8, 4, dropout=0)
        self.linear = nn.Linear(C, 8)
        self.norm = BatchNorm(8)

    def trunk(self, x: Tensor, mask: Tensor | None) -> tuple[Tensor, Tensor | None]:
        mask = None if mask is None else mask[:, ::2]
        x = self.linear(x.permute(0, 2, 3, 1)[:, ::2])
        return self.norm(x, mask).relu().permute(0, 3, 1, 2), mask


def network(training: bool = False) -> Strided:
    "The same weights every time, and statistics that nobody has touched."
    torch.manual_seed(1)
    return Strided().train(training)


@pytest.fixture
def lone() -> Tensor:
    torch.manual_seed(0)
    return torch.randn(N, C, T, V, 1)


@pytest.fixture
def two() -> Tensor:
    torch.manual_seed(2)
    return torch.randn(SHAPE)


def here(frames: int = T, persons: int = 1) -> Tensor:
    return torch.ones(N, frames, persons, dtype=torch.bool)


def same_statistics(a: nn.Module, b: nn.Module) -> bool:
    return all(torch.allclose(p, q, atol=1e-5) for p, q in zip(a.buffers(), b.buffers()))


def test_batchnorm_without_mask_is_the_formula():
    x = torch.randn(3, 10, 5, 4) * 3 + 1
    wanted = (x - x.mean((0, 1, 2))) / (x.var((0, 1, 2), correction=0) + 1e-5).sqrt()
    torch.testing.assert_close(BatchNorm(4)(x), wanted, atol=1e-5, rtol=1e-5)


def test_batchnorm_statistics_are_those_of_valid_frames():
    x, mask = torch.randn(3, 10, 5, 4) * 3 + 1, torch.ones(3, 10)
    mask[1, 6:] = 0
    norm, alone = BatchNorm(4), BatchNorm(4)
    out = norm(x, mask)
    valid = alone(torch.cat([x[0], x[1, :6], x[2]])[None])[0]
    torch.testing.assert_close(norm.running_mean, alone.running_mean)
    torch.testing.assert_close(norm.running_var, alone.running_var)
    torch.testing.assert_close(out[1, :6], valid[10:16])
    assert out[1, 6:].abs().sum() == 0


def test_masked_without_mask_is_the_input():
    x = torch.randn(2, 3, 4, 5)
    assert masked(x, None) is x
    assert masked(x, torch.tensor([[1.0, 0, 1], [0, 0, 0]])).abs().sum((2, 3)).bool().tolist() == [
        [True, False, True],
        [False, False, False],
    ]


def test_pool_is_the_mean_over_valid_frames_and_joints():
    x, mask = torch.randn(2, 6, 4, 5), torch.tensor([[1.0, 1, 0, 0], [1, 1, 1, 1]])
    torch.testing.assert_close(mean_pool(x, None), x.mean((2, 3)))
    torch.testing.assert_close(mean_pool(x, mask)[0], x[0, :, :2].mean((1, 2)))
    assert mean_pool(x, torch.zeros(2, 4)).abs().sum() == 0


def test_clip_without_persons_averages_to_zero():
    assert average_persons(torch.randn(2, 3, 4), torch.zeros(2, 3)).abs().sum() == 0


@MODES
def test_person_twice_gives_the_same_logits(lone, training):
    twice = torch.cat([lone, lone], -1)
    torch.testing.assert_close(network(training)(twice), network(training)(lone))


@MODES
def test_absent_person_changes_nothing(lone, training):
    alone, beside = network(training), network(training)
    wanted = alone(lone)
    mask = torch.cat([here(), ~here()], -1)
    found = beside(torch.cat([lone, torch.randn_like(lone)], -1), mask)
    torch.testing.assert_close(found, wanted)
    assert same_statistics(alone, beside)


@MODES
def test_padding_changes_nothing(lone, training):
    alone, padded = network(training), network(training)
    wanted = alone(lone)
    longer = torch.cat([lone, torch.randn(N, C, 7, V, 1)], 2)
    found = padded(longer, torch.cat([here(), ~here(7)], 1))
    torch.testing.assert_close(found, wanted)
    assert same_statistics(alone, padded)


def test_full_mask_is_no_mask(two):
    model = network()
    torch.testing.assert_close(model(two, here(persons=2)), model(two))


def test_persons_have_no_order(two):
    model = network()
    torch.testing.assert_close(model(two), model(two.flip(-1)))


def test_second_person_counts(two):
    model = network()
    assert (model(two) - model(two[..., :1])).abs().max() > 1e-3


def test_other_clips_do_not_matter_in_eval_mode(two):
    model = network()
    torch.testing.assert_close(model(two)[:1], model(two[:1]))


def test_one_person_may_come_without_the_last_axis(lone):
    model, mask = network(), here()
    mask[:, 7:] = False
    torch.testing.assert_close(model(lone[..., 0], mask[..., 0]), model(lone, mask))


def test_person_in_a_skipped_frame_counts_as_absent(two):
    model, mask = network(), here(persons=2)
    mask[:, :, 1] = False
    mask[:, 3, 1] = True  # the stride keeps frames 0, 2, 4, ...
    torch.testing.assert_close(model(two, mask), model(two[..., :1]))


def test_nobody_at_all_gives_the_classifier_of_zeros(two):
    model = network()
    logits = model(two, torch.zeros(N, T, M, dtype=torch.bool))
    torch.testing.assert_close(logits, model.head.bias.expand(N, 4))


@pytest.mark.parametrize("persons", (1, 2))
def test_exported_graph_gives_the_same_numbers(two, persons):
    class Pair(nn.Module):
        def __init__(self):
            super().__init__()
            self.model = network()

        def forward(self, x, mask):
            return self.model(x, mask)

    mask = here(persons=2)
    mask[0, 6:] = False
    mask[1, :, 1] = False
    inputs = two[..., :persons], mask[..., :persons]
    graph = torch.export.export(Pair(), inputs)
    torch.testing.assert_close(graph.module()(*inputs), network()(*inputs))


def test_nothing_by_default():
    model = network(training=True)
    assert model.extra_loss(torch.zeros(3)) == 0
    copy = model.folded()
    assert not copy.training
    assert model.training


@pytest.mark.parametrize(
    "skeleton, shape, wanted",
    [
        ("ntu25", (2, 16, 25, 3), r"expected \(N, 3, T, 25\).*found \(2, 16, 25, 3\)"),
        ("coco17", (2, 3, 16, 25), r"expected \(N, 3, T, 17\)"),
        ("ntu25", (2, 3, 25), r"found \(2, 3, 25\)"),
    ],
    ids=("channels last", "another skeleton", "an axis missing"),
)
def test_wrong_layout_is_refused(skeleton, shape, wanted):
    with pytest.raises(ValueError, match=wanted):
        build_model("nano", skeleton, 7)(torch.randn(shape))
