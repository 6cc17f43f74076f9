"LAST: its switches, what it costs, absence, folding, and a look inside."

from dataclasses import fields

import pytest
import torch

from last.contract import BatchNorm
from last.cost import count_cost
from last.folding import FoldedNorm
from last.inspection import inspect_blocks
from last.model import LAST, LASTBlock, drop_rows, side_by_side
from last.presets import PRESETS, LASTConfig, override, preset
from last.skeletons import SKELETONS, get_skeleton
from last.tsm import temporal_shift, temporal_shifts
from last.zoo import build_model

NTU = get_skeleton("ntu25")
MODES = pytest.mark.parametrize("training", (True, False), ids=("training", "eval"))
SMALL = "nano channels=32,32,48 strides=1,2,1"
SHIFTS = "nano channels=16,24 strides=1,2 temporal=shifts pool=mean+max"


def network(name: str = SMALL, classes: int = 9) -> LAST:
    "The same weights every time, no dropout, a learned graph that is not zero."
    torch.manual_seed(1)
    model = LAST(preset(name), NTU, classes)
    model.dropout.p = 0
    for block in model.blocks:
        if block.graph.learned is not None:
            torch.nn.init.normal_(block.graph.learned, std=0.1)

    return model


def with_statistics(model: LAST) -> LAST:
    "In eval mode, with weights and statistics that are not 0 and 1."
    with torch.no_grad():
        for p in model.parameters():
            p.add_(torch.randn_like(p) * 0.1)
        for _ in range(20):
            model(torch.randn(4, 3, 20, 25, 2) * 2 + 1, torch.rand(4, 20, 2) > 0.3)

    return model.eval()


@pytest.fixture
def lone() -> torch.Tensor:
    "One person; the odd number of frames leaves the last step half empty."
    torch.manual_seed(0)
    return torch.randn(4, 3, 19, 25, 1)


@pytest.fixture
def two() -> torch.Tensor:
    torch.manual_seed(2)
    return torch.randn(4, 3, 20, 25, 2)


def assert_same_statistics(a: LAST, b: LAST) -> None:
    for (name, p), (_, q) in zip(a.named_buffers(), b.named_buffers()):
        torch.testing.assert_close(p, q, atol=1e-4, rtol=1e-4, msg=name)


# settings


@pytest.mark.parametrize(
    "change",
    [
        "temporal=conv",
        "temporal=shift+depthwise",
        "temporal=shifts",
        "temporal=shifts offsets=1,2,3 attention= dynamic= pool=mean+max drop_path=0.3",
        "attention=softmax",
        "attention=",
        "attention_from=2 order=true",
        "dynamic=tanh",
        "patch=1",
        "patch=3",
        "graph_norm=false learned=false dynamic=",
        "skip=false input_norm=false joint_embedding=false",
        "channels=32,64 strides=1,2",
    ],
)
def test_every_switch_builds_a_network(change):
    model = LAST(preset(f"nano {change}"), NTU, 7)
    assert model(torch.randn(2, 3, 16, 25)).shape == (2, 7)
    assert model.folded()(torch.randn(2, 3, 16, 25)).shape == (2, 7)


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_builds_a_network(name):
    assert LAST(preset(name), NTU, 7)(torch.randn(2, 3, 16, 25, 2)).shape == (2, 7)


@pytest.mark.parametrize("skeleton", SKELETONS.values(), ids=lambda s: s.name)
def test_every_skeleton_and_all_streams(skeleton):
    model = LAST(preset("nano"), skeleton, 7, in_channels=12)
    assert model(torch.randn(2, 12, 16, skeleton.V)).shape == (2, 7)


@pytest.mark.parametrize(
    "name, message",
    [
        (
            "refrence",
            "unknown preset 'refrence'; known: nano, small, reference",
        ),
        ("nano atention=", "'atention=': expected key=value with one of the keys channels"),
        ("nano attention", "'attention': expected key=value"),
        ("nano shift=much", "'shift=much': expected float"),
        ("nano patch=1.5", "'patch=1.5': expected int"),
        ("nano skip=yes", "'skip=yes': expected true or false"),
        ("nano channels=8,x", "'channels=8,x': expected whole numbers"),
        ("nano temporal=cnv", "temporal: 'cnv' is not one of 'shift'"),
        ("nano attention=sofmax", "attention: 'sofmax' is not one of 'linear', 'softmax', ''"),
        ("nano dynamic=relu", "dynamic: 'relu' is not one of"),
        ("nano pool=max", "pool: 'max' is not one of"),
        ("nano heads=0", "must be at least 1"),
        ("nano strides=0,1,1", "must be at least 1"),
        ("nano channels=8,8", "2 channels but 3 strides"),
    ],
)
def test_wrong_settings_are_refused(name, message):
    with pytest.raises(ValueError) as error:
        preset(name)
    assert message in str(error.value)


def test_an_error_names_every_key():
    with pytest.raises(ValueError) as error:
        override(LASTConfig(), ["x=1"])
    assert all(f.name in str(error.value) for f in fields(LASTConfig))


def test_override_reads_every_kind_of_value():
    words = ["skip=false", "channels=8,16", "strides=1,2", "shift=0.25", "heads=2", "dynamic="]
    cfg = override(LASTConfig(), words)
    assert (cfg.skip, cfg.channels, cfg.strides) == (False, (8, 16), (1, 2))
    assert (cfg.shift, cfg.heads, cfg.dynamic) == (0.25, 2, "")
    assert LASTConfig().skip  # the original stays


def test_unknown_network_is_refused_by_name():
    with pytest.raises(ValueError, match="unknown model 'refrence'; known: nano, small, reference"):
        build_model("refrence", NTU, 120)


# stages of a block


def block(name: str) -> LASTBlock:
    "Of 8 channels, with another shape at its input."
    torch.manual_seed(0)
    return LASTBlock(4, 8, 2, NTU, preset(f"nano d_k=4 {name}"), "linear").eval()


@pytest.mark.parametrize("skip", (True, False))
def test_attention_has_its_own_residual_only_with_skip(skip):
    b, y = block(f"skip={str(skip).lower()}"), torch.randn(2, 6, 25, 8)
    attended = b.attention(y, None)
    torch.testing.assert_close(b.attend(y, None), attended + y if skip else attended)


def test_temporal_switches_do_what_they_say():
    y = torch.randn(2, 6, 25, 8)
    b = block("temporal=shift shift=0.25")
    torch.testing.assert_close(b.shift(y, None), temporal_shift(y, 0.25))
    b = block("temporal=shift+depthwise")
    torch.testing.assert_close(b.shift(y, None), temporal_shift(y) + b.conv(y))
    assert tuple(b.conv.weight.shape) == (8, 1, 5, 1)
    b = block("temporal=conv")
    torch.testing.assert_close(b.shift(y, None), b.conv(y))
    assert tuple(b.conv.weight.shape) == (8, 8, 9, 1)
    b = block("temporal=shifts offsets=1,3")
    moved = temporal_shifts(y, (1, 3))
    torch.testing.assert_close(b.shift(y, None), b.mix.norm(b.mix.linear(moved)))


def test_norm_after_the_graph_is_followed_by_a_relu():
    x = torch.randn(2, 6, 25, 4)
    assert block("").mix_joints(x, None).min() == 0
    assert block("graph_norm=false").mix_joints(x, None).min() < 0


def test_forward_is_the_chain_of_stages():
    b, x = block(""), torch.randn(2, 7, 25, 4)
    mask = (torch.arange(7) < 5).float().expand(2, 7)
    kept = b.keep_frames(mask)
    y = b.attend(b.shift(b.mix_joints(x, mask), kept), kept)
    y = b.norm(y + b.shortcut(x, kept)).relu()
    found, left = b(x, mask)
    assert torch.equal(left, mask[:, ::2])
    torch.testing.assert_close(found[:, :3], y[:, :3])
    assert found[:, 3].abs().sum() == 0


def test_joint_embedding_tells_joints_apart():
    same_joints = torch.randn(2, 3, 8, 1).expand(2, 3, 8, 25)
    for name, alike in (("joint_embedding=false", True), ("joint_embedding=true", False)):
        model = network(f"nano {name}").eval()
        x, _ = model.embed(same_joints, None)
        assert torch.allclose(x[:, :, :1], x) == alike


# cost


@pytest.mark.parametrize("name", ["reference", "reference-v1"])
def test_reference_stays_within_its_bounds(name):
    cost = count_cost(LAST(preset(name), NTU, 120), NTU)
    assert cost["params"] <= 2.1e6
    assert cost["macs"] <= 0.85e9


def test_nano_has_fewer_than_a_hundred_thousand_parameters():
    assert count_cost(LAST(preset("nano"), NTU, 120), NTU)["params"] < 1e5


def test_cost_is_linear_in_persons_and_frames():
    model = LAST(preset("reference-v1"), NTU, 120)
    one = count_cost(model, NTU)["macs"]
    assert count_cost(model, NTU, M=2)["macs"] / one == pytest.approx(2, abs=0.01)
    assert count_cost(model, NTU, T=128)["macs"] / one == pytest.approx(2, abs=0.05)


# absence


@MODES
@pytest.mark.parametrize("name", (SMALL, SHIFTS), ids=("shift", "shifts"))
def test_same_person_twice_changes_no_logit(lone, training, name):
    wanted = network(name).train(training)(lone)
    found = network(name).train(training)(torch.cat([lone, lone], -1))
    torch.testing.assert_close(found, wanted, atol=1e-4, rtol=1e-4)


@MODES
@pytest.mark.parametrize("name", (SMALL, SHIFTS), ids=("shift", "shifts"))
def test_absent_person_changes_no_logit_and_no_statistic(lone, training, name):
    alone, beside = network(name).train(training), network(name).train(training)
    here = torch.ones(4, 19, 1, dtype=torch.bool)
    wanted = alone(lone)
    found = beside(torch.cat([lone, torch.randn_like(lone)], -1), torch.cat([here, ~here], -1))
    torch.testing.assert_close(found, wanted, atol=1e-4, rtol=1e-4)
    assert_same_statistics(alone, beside)


@MODES
@pytest.mark.parametrize("name", (SMALL, SHIFTS), ids=("shift", "shifts"))
def test_padding_changes_no_logit_and_no_statistic(lone, training, name):
    alone, padded = network(name).train(training), network(name).train(training)
    wanted = alone(lone)
    longer = torch.cat([lone, torch.randn(4, 3, 13, 25, 1)], 2)
    mask = (torch.arange(32) < 19).view(1, 32, 1).expand(4, 32, 1)
    found = padded(longer, mask)
    torch.testing.assert_close(found, wanted, atol=1e-4, rtol=1e-4)
    assert_same_statistics(alone, padded)


def test_persons_have_no_order_and_the_second_counts(two):
    model = network().eval()
    torch.testing.assert_close(model(two), model(two.flip(-1)))
    assert (model(two) - model(two[..., :1])).abs().max() > 1e-3


def test_full_mask_is_no_mask(two):
    model = network().eval()
    torch.testing.assert_close(model(two, torch.ones(4, 20, 2, dtype=torch.bool)), model(two))


def test_other_clips_do_not_matter_in_eval_mode(two):
    model = network().eval()
    torch.testing.assert_close(model(two)[:1], model(two[:1]))


def test_person_in_a_skipped_step_counts_as_absent(two):
    model, mask = network().eval(), torch.ones(4, 20, 2, dtype=torch.bool)
    mask[:, :, 1] = False
    mask[:, 2, 1] = True  # step 1 of the stem, which block 2 leaves out
    torch.testing.assert_close(model(two, mask), model(two[..., :1]))


def test_nobody_at_all_gives_finite_logits(two):
    assert network().eval()(two, torch.zeros(4, 20, 2, dtype=torch.bool)).isfinite().all()


# learning


@pytest.mark.parametrize("name", (SMALL, SHIFTS), ids=("shift", "shifts"))
def test_every_parameter_receives_a_gradient(two, name):
    model = network(name).train()
    model(two).logsumexp(1).sum().backward()
    missing = [n for n, p in model.named_parameters() if p.grad is None]
    assert not missing
    assert all(p.grad.isfinite().all() for p in model.parameters())
    assert all(block.graph.learned.grad.abs().max() > 0 for block in model.blocks)


def test_learns_the_direction_of_time():
    "Two classes hold the same poses: a hand goes up or comes down."
    hand = NTU.joints.index("left hand")

    def batch(n):
        labels = torch.randint(0, 2, (n,))
        x = torch.randn(n, 3, 16, 25) * 0.1
        x[:, 2, :, hand] += torch.linspace(-1, 1, 16) * (labels[:, None] * 2 - 1)
        x[:, 2, :, hand] += torch.randn(n, 1) * 0.3
        return x, labels

    model = network()
    optimizer = torch.optim.AdamW(model.parameters(), 4e-3)
    for _ in range(40):
        x, labels = batch(32)
        loss = torch.nn.functional.cross_entropy(model(x), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    x, labels = batch(300)
    assert (model.eval()(x).argmax(1) == labels).float().mean() > 0.9


def test_stochastic_depth_keeps_the_mean():
    torch.manual_seed(0)
    x = torch.ones(10_000, 2, 3)
    dropped = drop_rows(x, 0.25)
    assert dropped.mean().item() == pytest.approx(1, abs=0.05)
    rows = dropped.flatten(1)
    assert (rows == rows[:, :1]).all()  # whole rows
    assert torch.equal(drop_rows(x, 0), x)


def test_stochastic_depth_grows_with_depth_and_ends_in_eval_mode(two):
    model = network("nano drop_path=0.6")
    assert [b.drop_path for b in model.blocks] == pytest.approx([0.2, 0.4, 0.6])
    assert not torch.equal(model.train()(two), model.train()(two))
    assert torch.equal(model.eval()(two), model.eval()(two))


# folding


@pytest.mark.parametrize(
    "name",
    [
        SMALL,
        SHIFTS,
        "nano dynamic= learned=false",
        "nano graph_norm=false",
        "nano temporal=conv",
        "nano temporal=shift+depthwise attention=softmax",
        "nano channels=16,16 strides=1,1 stem=16 dynamic=tanh",
    ],
)
def test_folded_network_gives_the_same_numbers(two, name):
    model, mask = with_statistics(network(name)), torch.rand(4, 20, 2) > 0.3
    folded = model.folded()
    torch.testing.assert_close(folded(two, mask), model(two, mask), atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(folded(two), model(two), atol=1e-4, rtol=1e-4)
    assert not any(isinstance(m, torch.nn.BatchNorm1d) for m in folded.blocks.modules())
    assert not folded.training


def test_folding_leaves_the_original_as_it_is(two):
    model = with_statistics(network())
    before = {name: value.clone() for name, value in model.state_dict().items()}
    folded = model.folded()
    assert isinstance(folded.stem_norm, FoldedNorm)
    assert isinstance(model.stem_norm, BatchNorm)
    after = model.state_dict()
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_folding_twice_changes_nothing(two):
    once = with_statistics(network()).folded()
    assert torch.equal(once.folded()(two), once(two))


# parts


def test_side_by_side_joins_frames_and_fills_up():
    x = torch.randn(3, 10, 5, 4)
    assert torch.equal(side_by_side(x, 1), x)
    joined = torch.cat([x[1, 4, 3], x[1, 5, 3]])
    assert torch.equal(side_by_side(x, 2)[1, 2, 3], joined)
    assert side_by_side(x, 3).shape == (3, 4, 5, 12)
    assert side_by_side(x, 3)[:, 3, :, 4:].abs().sum() == 0


def test_inspection_returns_what_blocks_use(two):
    model = network().eval()
    seen = inspect_blocks(model, two, torch.ones(4, 20, 2, dtype=torch.bool))
    assert len(seen) == 3
    assert [tuple(s["graphs"].shape) for s in seen] == [(4, 3, 25, 25)] * 3
    assert [s["attention"].shape[-1] for s in seen] == [10, 5, 5]
    torch.testing.assert_close(seen[0]["attention"].sum(-1), torch.ones(4, 2, 10))


def test_inspection_takes_the_first_person(two):
    model, mask = network().eval(), torch.rand(4, 20, 2) > 0.3
    for a, b in zip(
        inspect_blocks(model, two, mask), inspect_blocks(model, two[..., 0], mask[..., 0])
    ):
        assert torch.equal(a["graphs"], b["graphs"])
        assert torch.equal(a["attention"], b["attention"])


def test_inspection_of_a_block_without_attention(two):
    seen = inspect_blocks(network("nano attention_from=1").eval(), two)
    assert ["attention" in s for s in seen] == [False, True, True]


def test_inspection_wants_eval_mode(two):
    with pytest.raises(RuntimeError, match=r"model\.eval\(\)"):
        inspect_blocks(network().train(), two)
