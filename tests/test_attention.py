"Attention over frames: two orders of one sum, indifferent to padding, finite in half precision."

import pytest
import torch
from torch import Tensor

from last.linear_attention import (
    LinearAttention,
    SoftmaxAttention,
    apply_weights,
    attention_weights,
    feature_map,
    head_mask,
    linear_attention,
    sine_code,
)

SHAPE = (2, 20, 25, 24)
N, T, V, C = SHAPE
H, D = 4, 32
KINDS = pytest.mark.parametrize("kind", (LinearAttention, SoftmaxAttention))


@pytest.fixture
def qkv() -> tuple[Tensor, Tensor, Tensor]:
    torch.manual_seed(0)
    return torch.randn(N, T, D), torch.randn(N, T, D), torch.randn(SHAPE)


def frames(T: int, valid: int) -> Tensor:
    return (torch.arange(T) < valid).float().expand(N, T)


def test_feature_map_keeps_the_digits_of_small_values():
    x = torch.tensor([-2.0, -8.0, -12.0, -16.0])
    torch.testing.assert_close(feature_map(x), x.double().exp().float(), atol=0, rtol=1e-6)
    torch.testing.assert_close(feature_map(-x), 1 - x)


def test_linear_form_equals_quadratic_form(qkv):
    q, k, v = qkv
    w = attention_weights(q, k, H)
    formula = torch.einsum("nhij,njvhc->nivhc", w, v.unflatten(-1, (H, -1))).flatten(3)
    torch.testing.assert_close(apply_weights(w, v), formula)
    torch.testing.assert_close(linear_attention(q, k, v, H), formula, atol=1e-5, rtol=1e-4)


def test_weights_are_positive_and_sum_to_one(qkv):
    w = attention_weights(*qkv[:2], H)
    assert (w > 0).all()
    torch.testing.assert_close(w.sum(-1), torch.ones(N, H, T))


def test_output_lies_between_the_values(qkv):
    out, v = linear_attention(*qkv, H), qkv[2]
    assert (out <= v.amax(1, keepdim=True) + 1e-4).all()
    assert (out >= v.amin(1, keepdim=True) - 1e-4).all()


def test_padding_has_no_part(qkv):
    q, k, v = (torch.cat([x, torch.randn_like(x[:, :7])], 1) for x in qkv)
    mask, wanted = frames(T + 7, T), linear_attention(*qkv, H)
    torch.testing.assert_close(linear_attention(q, k, v, H, mask)[:, :T], wanted)
    found = apply_weights(attention_weights(q, k, H, mask), v)[:, :T]
    torch.testing.assert_close(found, wanted, atol=1e-5, rtol=1e-4)


def test_shuffled_frames_shuffle_the_output(qkv):
    order = torch.randperm(T)
    found = linear_attention(*(x[:, order] for x in qkv), H)
    torch.testing.assert_close(found, linear_attention(*qkv, H)[:, order])


def test_frame_that_fits_nothing_collects_little(qkv):
    q, k, _ = qkv
    rows = attention_weights(q - 12, k - 12, H).sum(-1)
    assert rows.max() < 0.999
    assert rows.isfinite().all()


def test_half_precision_inputs_stay_finite(qkv):
    q, k, v = qkv
    assert linear_attention((q * 300).half(), (k * 300).half(), v.half(), H).isfinite().all()


def test_heads_are_blocks():
    wanted = torch.block_diag(torch.ones(2, 3), torch.ones(2, 3))
    assert torch.equal(head_mask(4, 6, 2, like=wanted), wanted)


def test_sine_code_depends_on_distance_alone():
    code = sine_code(32, 64)
    alike = code @ code.T
    for t in range(32):
        torch.testing.assert_close(alike[t, t:], alike[0, : 32 - t], atol=1e-3, rtol=0)
    assert alike[0, 0] > alike[0, 1] > alike[0, 3] > alike[0, 8]


def test_sine_code_of_an_odd_width():
    assert sine_code(5, 7).shape == (5, 7)


@pytest.mark.parametrize("T", (30, 63, 64, 100))
def test_both_orders_of_the_sums_give_the_same_numbers(T):
    "The order changes at 2 * d_k = 64 frames."
    torch.manual_seed(0)
    layer = LinearAttention(64, V)
    x, mask = torch.randn(N, T, V, 64), frames(T, 25)
    q, k = layer.queries_keys(x)
    v, found = layer.to_v(x), layer(x, mask)
    wanted = apply_weights(attention_weights(q, k, 4, mask), v)
    torch.testing.assert_close(found, wanted, atol=1e-5, rtol=1e-4)
    wanted = linear_attention(q, k, v, 4, mask)
    torch.testing.assert_close(found, wanted, atol=1e-5, rtol=1e-4)


@KINDS
def test_weights_for_pictures_are_those_that_are_used(kind):
    layer = kind(64, V)
    x, mask = torch.randn(N, 30, V, 64), frames(30, 20)
    wanted = apply_weights(layer.weights(x, mask), layer.to_v(x))
    torch.testing.assert_close(layer(x, mask), wanted, atol=1e-5, rtol=1e-4)


@KINDS
def test_layer_ignores_padding(kind):
    layer, x = kind(64, V), torch.randn(N, 30, V, 64)
    found = layer(x, frames(30, 20))[:, :20]
    torch.testing.assert_close(found, layer(x[:, :20]), atol=1e-5, rtol=1e-4)


@KINDS
def test_every_joint_of_every_frame_notices_a_change(kind):
    layer, x = kind(64, V), torch.randn(N, 30, V, 64)
    moved = x.clone()
    moved[:, 3, 5] += 1
    assert ((layer(moved) - layer(x))[:, 7].abs().amax((0, 2)) > 0).all()


@KINDS
def test_queries_and_keys_receive_gradients(kind):
    layer = kind(64, V)
    layer(torch.randn(N, 30, V, 64)).square().sum().backward()
    assert layer.to_qk.weight.grad.abs().max() > 0


def test_order_matters_only_with_the_sine_code():
    layer, x = LinearAttention(64, V), torch.randn(N, 30, V, 64)
    ordered = LinearAttention(64, V, order=True)
    ordered.load_state_dict(layer.state_dict())
    torch.testing.assert_close(layer(x.flip(1)), layer(x).flip(1), atol=1e-5, rtol=1e-4)
    assert (ordered(x.flip(1)) - ordered(x).flip(1)).abs().max() > 1e-3


def test_channels_that_heads_do_not_divide_are_refused():
    with pytest.raises(ValueError, match=r"channels \(30\) and d_k \(32\) must be multiples of"):
        LinearAttention(30, V)


def test_softmax_is_torchs_own():
    soft, x = SoftmaxAttention(64, V), torch.randn(N, 30, V, 64)

    def split(x):
        return x.unflatten(-1, (4, -1)).transpose(1, 2)

    def by_head(v):
        return v.unflatten(-1, (4, -1)).permute(0, 3, 1, 2, 4).flatten(3)

    q, k = soft.queries_keys(x)
    reference = torch.nn.functional.scaled_dot_product_attention(
        split(q), split(k), by_head(soft.to_v(x))
    )
    torch.testing.assert_close(by_head(soft(x)), reference, atol=1e-5, rtol=1e-4)
