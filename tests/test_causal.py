"Whole clips and steps give the same numbers, and nothing depends on a later frame."

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from last.augmentation import AugmentConfig
from last.causal import CAUSAL, CausalConfig, CausalLAST
from last.causal_input import (
    PATIENCE,
    causal_input,
    clean_input_state,
    decayed_sum,
    from_room,
    to_room,
    window_moments,
)
from last.normalization import collate
from last.pipeline import Pipeline
from last.preprocessing import PreprocessConfig
from last.presets import preset
from last.skeletons import SKELETONS, get_skeleton

UTD = get_skeleton("utd20")
CHANGES = [
    "",
    "attention=linear",
    "attention=linear dynamic=softmax",
    "temporal=conv",
    "temporal=shift",
    "temporal=shift+depthwise dynamic=tanh",
    "patch=1 strides=1,1,1 channels=16,24,24",
    "gate=true memory=4,16,64",
    "patch=1 strides=2,2,2 channels=16,24,24 attention=linear attention_from=1",
]


def network(changes, skeleton=UTD, seed=0):
    "Small, with statistics that are not those of fresh norms."
    torch.manual_seed(seed)
    model = CausalLAST(preset(f"causal-nano {changes}", CAUSAL), skeleton, 5, 12)
    with torch.no_grad():
        for name, buffer in model.named_buffers():
            if "running_mean" in name:
                buffer.normal_(0, 0.1)
            if "running_var" in name:
                buffer.uniform_(0.5, 2)
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.02)

    return model.eval()


def cut(total, unit, seed):
    "Lengths of pieces, multiples of `unit`, that fill up `total`."
    g = torch.Generator().manual_seed(seed)
    left, pieces = total // unit, []
    while left:
        piece = int(torch.randint(1, left + 1, (1,), generator=g))
        pieces.append(piece * unit)
        left -= piece

    return pieces


def in_pieces(model, x, mask, pieces):
    "The answers to a clip that comes in pieces."
    state, answers = model.clean_state(x.shape[0], x.shape[4]), []
    for some, there in zip(x.split(pieces, 2), mask.split(pieces, 1)):
        logits, state = model.forward_steps(some, there, state)
        answers.append(logits)

    return torch.cat(answers, 1)


@torch.no_grad()
@settings(max_examples=40, deadline=None)
@given(
    st.sampled_from(CHANGES),
    st.integers(1, 12),
    st.integers(1, 3),
    st.integers(1, 2),
    st.floats(0, 1),
    st.integers(0, 1000),
)
def test_pieces_are_the_whole(changes, steps, N, M, there, seed):
    model = network(changes)
    T = steps * model.stride
    torch.manual_seed(seed)
    x, mask = torch.randn(N, 12, T, 20, M), torch.rand(N, T, M) < there
    whole, _ = model.forward_steps(x, mask, model.clean_state(N, M))
    found = in_pieces(model, x, mask, cut(T, model.stride, seed))
    torch.testing.assert_close(found, whole, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(model(x, mask), whole[:, -1], atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("skeleton", SKELETONS.values(), ids=lambda s: s.name)
@torch.no_grad()
def test_every_skeleton(skeleton):
    model = network("attention=linear dynamic=softmax", skeleton)
    x, mask = torch.randn(1, 12, 16, skeleton.V, 1), torch.ones(1, 16, 1, dtype=torch.bool)
    whole, _ = model.forward_steps(x, mask, model.clean_state())
    found = in_pieces(model, x, mask, [4, 8, 4])
    torch.testing.assert_close(found, whole, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("name", CAUSAL)
@torch.no_grad()
def test_every_name(name):
    torch.manual_seed(0)
    model = CausalLAST(preset(f"{name} attention=linear", CAUSAL), UTD, 5, 12).eval()
    x, mask = torch.randn(2, 12, 24, 20, 2), torch.rand(2, 24, 2) < 0.8
    whole, _ = model.forward_steps(x, mask, model.clean_state(2, 2))
    found = in_pieces(model, x, mask, [4, 8, 12])
    torch.testing.assert_close(found, whole, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("changes", CHANGES)
@torch.no_grad()
def test_later_frames_change_no_earlier_answer(changes):
    model = network(changes)
    x, mask = torch.randn(2, 12, 32, 20, 1), torch.ones(2, 32, 1, dtype=torch.bool)
    other = x.clone()
    other[:, :, 16:] = torch.randn(2, 12, 16, 20, 1)
    a, _ = model.forward_steps(x, mask, model.clean_state(2, 1))
    b, _ = model.forward_steps(other, mask, model.clean_state(2, 1))
    before = 16 // model.stride
    assert torch.equal(a[:, :before], b[:, :before])
    assert (a[:, before:] - b[:, before:]).abs().min() > 0


@torch.no_grad()
def test_folded_network_is_the_same():
    model = network("attention=linear dynamic=softmax temporal=shift+depthwise")
    x, mask = torch.randn(2, 12, 16, 20, 1), torch.ones(2, 16, 1, dtype=torch.bool)
    folded = model.folded()
    torch.testing.assert_close(folded(x, mask), model(x, mask), atol=1e-4, rtol=1e-4)


@torch.no_grad()
def test_state_has_a_fixed_size_and_stays_finite():
    model = network("attention=linear dynamic=softmax")
    state = model.clean_state()
    shapes = [part.shape for part in state]
    there = torch.ones(1, 400, 1, dtype=torch.bool)
    for _ in range(5):
        logits, state = model.forward_steps(torch.randn(1, 12, 400, 20, 1), there, state)
        assert [part.shape for part in state] == shapes
        assert logits.isfinite().all()
        assert all(part.isfinite().all() for part in state)


@torch.no_grad()
def test_it_forgets():
    "After a long past, the same action gets nearly the same answer as after none."
    model = network("attention=linear")
    action, there = torch.randn(1, 12, 800, 20, 1), torch.ones(1, 800, 1, dtype=torch.bool)
    fresh, _ = model.forward_steps(action, there, model.clean_state())
    _, state = model.forward_steps(3 * torch.randn_like(action) + 1, there, model.clean_state())
    late, _ = model.forward_steps(action, there, state)
    assert (late[:, 0] - fresh[:, 0]).abs().max() > 1e-2
    assert (late[:, -1] - fresh[:, -1]).abs().max() < 1e-2


def test_loss_of_all_answers_reaches_the_weights():
    model = network("attention=linear").train()
    x, mask = torch.randn(2, 12, 16, 20, 1), torch.ones(2, 16, 1, dtype=torch.bool)
    mask[1, :8] = False
    model(x, mask)
    logits, seen = model.answers
    assert seen.tolist() == [[True] * 4, [False, False, True, True]]
    labels = torch.tensor([1, 3])
    wanted = labels[:, None].expand(2, 4)[seen]
    expected = torch.nn.functional.cross_entropy(logits[seen], wanted)
    loss = model.extra_loss(labels)
    torch.testing.assert_close(loss, expected)
    loss.backward()
    assert all(p.grad is not None for p in model.parameters())
    with pytest.raises(RuntimeError, match="just seen"):
        model.extra_loss(labels)


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"offsets": (1, -1)}, "into the future"),
        ({"attention": "softmax"}, "no softmax attention"),
        ({"order": True}, "no code of frame numbers"),
        ({"memory": (0,)}, "at least one frame"),
    ],
)
def test_what_looks_ahead_is_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        CausalConfig(**changes)


def test_part_of_a_step_is_refused():
    model = network("")
    with pytest.raises(ValueError, match="multiple of 4 frames, found 6"):
        model.forward_steps(torch.randn(1, 12, 6, 20, 1), torch.ones(1, 6, 1), model.clean_state())


def test_how_far_it_looks():
    model = network("")
    assert model.delay == 3
    assert model.receptive_field == 2 + 8 * 2 + 8 * 4 + 8 * 4


# The input


def lossy(N, T, M, seed, lost=0.2, gone=0.1):
    "Random bodies; some joints are lost, and some persons are gone for a while."
    g = torch.Generator().manual_seed(seed)
    x = torch.randn(N, 3, T, 20, M, generator=g).cumsum(2) * 0.05 + torch.randn(1, 3, 1, 20, 1)
    x[(torch.rand(N, 1, T, 20, M, generator=g) < lost).expand_as(x)] = torch.nan
    x[(torch.rand(N, 1, T, 1, M, generator=g) < gone).expand_as(x)] = torch.nan
    return x


@settings(max_examples=40, deadline=None)
@given(st.integers(2, 60), st.integers(1, 2), st.integers(0, 1000), st.floats(0, 0.9))
def test_input_in_pieces_is_the_whole(T, M, seed, gone):
    x = lossy(2, T, M, seed, gone=gone)
    whole, mask, last = causal_input(x, clean_input_state(2, M, UTD), UTD)
    state = clean_input_state(2, M, UTD)
    parts, masks = [], []
    for piece in x.split(cut(T, 1, seed), 2):
        features, there, state = causal_input(piece, state, UTD)
        parts.append(features)
        masks.append(there)

    torch.testing.assert_close(torch.cat(parts, 2), whole, atol=1e-4, rtol=1e-3)
    assert torch.equal(torch.cat(masks, 1), mask)
    for a, b in zip(state, last):
        torch.testing.assert_close(a, b, atol=1e-4, rtol=1e-3, equal_nan=True)


def test_input_does_not_look_ahead():
    x = lossy(1, 40, 2, 0)
    other = x.clone()
    other[:, :, 25:] = 7
    a, _, _ = causal_input(x, clean_input_state(1, 2, UTD), UTD)
    b, _, _ = causal_input(other, clean_input_state(1, 2, UTD), UTD)
    assert torch.equal(a[:, :, :25], b[:, :, :25])


def test_place_in_the_room_and_unit_do_not_matter():
    x = lossy(1, 40, 1, 0)
    a, _, _ = causal_input(x, clean_input_state(1, 1, UTD), UTD)
    moved = 1000 * (x + torch.tensor([1.0, -2.0, 3.0]).view(1, 3, 1, 1, 1))
    b, _, _ = causal_input(moved, clean_input_state(1, 1, UTD), UTD)
    torch.testing.assert_close(a, b, atol=1e-3, rtol=1e-3)


def test_a_short_gap_is_bridged_and_a_long_one_is_not():
    x = lossy(1, 60, 1, 0, lost=0, gone=0)
    x[:, :, 10 : 10 + PATIENCE] = torch.nan
    x[:, :, 30 : 35 + PATIENCE] = torch.nan
    _, mask, _ = causal_input(x, clean_input_state(1, 1, UTD), UTD)
    assert mask[0, :30].all()
    assert mask[0, 30 : 30 + PATIENCE].all()
    assert not mask[0, 30 + PATIENCE : 35 + PATIENCE].any()
    assert mask[0, 35 + PATIENCE :].all()


def test_nobody_is_zero():
    x = torch.full((1, 3, 8, 20, 2), torch.nan)
    features, mask, _ = causal_input(x, clean_input_state(1, 2, UTD), UTD)
    assert not features.any()
    assert not mask.any()


@pytest.mark.parametrize("M", (1, 2))
def test_to_the_room_and_back(M):
    x = lossy(2, 40, M, 3, gone=0)
    whole, mask, _ = causal_input(x, clean_input_state(2, M, UTD), UTD)
    room, there = to_room(x, UTD)
    assert torch.equal(there, mask)
    torch.testing.assert_close(from_room(room, there, UTD), whole, atol=1e-4, rtol=1e-3)


def test_decayed_sum_is_the_recurrence():
    x, before = torch.randn(2, 30, 4), torch.randn(2, 4)
    g, s = 0.5 ** (1 / 7), before
    for t in range(30):
        s = g * s + x[:, t]
    torch.testing.assert_close(decayed_sum(x, 7.0, before)[:, -1], s, atol=1e-5, rtol=1e-5)


def test_half_life_is_one():
    x = torch.zeros(1, 41, 1)
    x[:, 0] = 1
    assert abs(float(decayed_sum(x, 20.0, torch.zeros(1, 1))[0, 20]) - 0.5) < 1e-6


def test_windows_end_with_their_part():
    visible = torch.zeros(2, 50, 1, dtype=torch.bool)
    visible[0, 5:25] = True
    visible[1, :50] = True
    moments, start, end = window_moments(visible, torch.ones(2, 31))
    assert moments[:, -1].tolist() == end.tolist() == [24, 49]
    assert start.tolist() == [5, 0]


# The pipeline


def test_test_input_is_that_of_a_stream():
    clips = [lossy(1, T, 1, T)[0].permute(3, 1, 2, 0).numpy() for T in (9, 30, 17)]
    pipeline = Pipeline(UTD, PreprocessConfig(causal=True))
    x, mask = pipeline.clips(clips)
    assert x.shape[2] % 8 == 0
    for i, clip in enumerate(clips):
        block, _ = collate([clip])
        stream, there, _ = causal_input(block, clean_input_state(1, 1, UTD), UTD)
        visible = block.isfinite().all(1).any(2)[0, :, 0].nonzero().flatten()
        first, end = int(visible[0]), int(visible[-1]) + 1
        size = end - first
        torch.testing.assert_close(x[i, :, -size:], stream[0, :, first:end], atol=1e-4, rtol=1e-3)
        assert torch.equal(mask[i, -size:], there[0, first:end])
        assert not mask[i, :-size].any()


def test_training_windows_have_the_wanted_length_and_a_seed():
    pipeline = Pipeline(UTD, PreprocessConfig(frames=24, causal=True), AugmentConfig(warp=0.3))
    raw = lossy(3, 40, 1, 0)
    draws = [pipeline(raw, None, torch.Generator().manual_seed(s)) for s in (1, 1, 2)]
    x, mask, _ = draws[0]
    assert x.shape == (3, 12, 24, 20, 1)
    assert x.isfinite().all()
    assert mask[:, -1].all()
    assert torch.equal(x, draws[1][0])
    assert not torch.equal(x, draws[2][0])


@pytest.mark.parametrize("change", [{"align": True}, {"stream": "all"}, {"scale": "body"}])
def test_settings_without_effect_are_refused(change):
    with pytest.raises(ValueError, match=f"pre.causal: has no use for {next(iter(change))}"):
        PreprocessConfig(causal=True, **change)


# Memories that are carried from batch to batch in training


def trained_on_twice(changes, second=8):
    "A network in training that has seen one batch, its answers to the next, and that batch."
    torch.manual_seed(0)
    model = network(changes).train()
    for part in model.modules():
        if isinstance(part, torch.nn.modules.batchnorm._BatchNorm):
            part.eval()
    g = torch.Generator().manual_seed(1)
    one, two = torch.randn(2, 8, 12, 16, UTD.V, 1, generator=g).unbind(0)
    model(one)
    model.answers = None
    torch.manual_seed(2)
    model(two[:second])
    return model, model.answers[0], two[:second]


def test_a_memory_is_carried_into_some_rows():
    model, answers, x = trained_on_twice("carry=0.5 dropout=0")
    plain = model.eval()(x)
    changed = (answers[:, -1] - plain).abs().amax(1) > 1e-4
    assert 0 < changed.sum() < len(x)


def test_a_smaller_last_batch_carries_too():
    model, answers, x = trained_on_twice("carry=0.99 dropout=0", second=3)
    assert ((answers[:, -1] - model.eval()(x)).abs().amax(1) > 1e-4).any()


def test_nothing_is_carried_without_being_asked_for():
    model, answers, x = trained_on_twice("dropout=0")
    torch.testing.assert_close(answers[:, -1], model.eval()(x))
    assert model.carried is None


def test_nothing_is_carried_into_an_epoch():
    model = trained_on_twice("carry=0.9 dropout=0")[0]
    assert model.carried is not None
    assert not any(part.requires_grad for part in model.carried)
    model.train()
    assert model.carried is None
    with pytest.raises(ValueError, match="carry: expected a probability below 1"):
        network("carry=1.5")
