"""What every network of the table promises, in training and in testing."""

import pytest
import torch

from last.skeletons import SKELETONS, get_skeleton
from last.zoo import NETWORKS, PAPERS, build_model

NTU = get_skeleton("ntu25")
LONE = torch.randn(4, 3, 20, 25, 1, generator=torch.Generator().manual_seed(0))
HERE = torch.ones(4, 20, 1, dtype=torch.bool)

every_network = pytest.mark.parametrize("name", list(NETWORKS))
both_modes = pytest.mark.parametrize("training", [True, False], ids=["training", "testing"])


def shaken(name, training):
    "Without dropout, and with all parameters moved from their starts, which could hide a leak."
    torch.manual_seed(1)
    model = build_model(name, NTU, 9)
    for part in model.modules():
        if isinstance(part, torch.nn.Dropout):
            part.p = 0.0
    if name == "infogcn":
        model.sample = False
    with torch.no_grad():
        for p in model.parameters():
            p.add_(torch.randn_like(p) * 0.02)

    return model.train(training)


def close(a, b, eps):
    return torch.allclose(a, b, rtol=0, atol=eps)


@every_network
@pytest.mark.parametrize("skeleton", list(SKELETONS))
def test_any_skeleton(name, skeleton):
    V = SKELETONS[skeleton].V
    assert build_model(name, skeleton, 7)(torch.randn(2, 3, 16, V, 2)).shape == (2, 7)


@every_network
@both_modes
def test_an_absent_person_changes_nothing(name, training):
    beside = torch.cat([LONE, torch.randn_like(LONE)], -1)
    valid = torch.cat([HERE, ~HERE], -1)
    alone = shaken(name, training)(LONE)
    assert close(shaken(name, training)(beside, valid), alone, 2e-3)


@every_network
@both_modes
def test_padding_changes_nothing(name, training):
    padded = torch.cat([LONE, torch.zeros(4, 3, 12, 25, 1)], 2)
    valid = torch.cat([HERE, torch.zeros(4, 12, 1, dtype=torch.bool)], 1)
    alone = shaken(name, training)(LONE)
    assert close(shaken(name, training)(padded, valid), alone, 2e-3)


@every_network
def test_a_clip_gets_the_logits_that_it_gets_alone(name):
    "In a batch of whole clips, a cut one, one whose second person leaves, and one with nobody."
    crowd = torch.randn(5, 3, 20, 25, 2)
    valid = torch.ones(5, 20, 2, dtype=torch.bool)
    valid[1, 13:] = False
    valid[2, 7:, 1] = False
    valid[3, :, 1] = False
    valid[4] = False

    model = shaken(name, True)
    model(crowd[:4], valid[:4])  # so that no running mean is at its start
    model.eval()
    together = model(crowd, valid)
    for i in range(5):
        assert close(together[i : i + 1], model(crowd[i : i + 1], valid[i : i + 1]), 1e-4)


@every_network
def test_every_parameter_has_a_gradient(name):
    model = shaken(name, True)
    if name == "infogcn":
        model.sample = True
    labels = torch.tensor([0, 1, 2, 3])
    loss = torch.nn.functional.cross_entropy(model(LONE), labels) + model.extra_loss(labels)
    loss.backward()
    for key, p in model.named_parameters():
        assert p.grad is not None and p.grad.isfinite().all() and p.grad.abs().max() > 0, key


def test_every_peer_has_a_paper():
    from last.causal import CAUSAL
    from last.presets import PRESETS

    assert set(NETWORKS) == {*PRESETS, *CAUSAL, *PAPERS}


@pytest.mark.parametrize(
    "name, why",
    [
        ("resnet", "unknown model 'resnet'; known: nano, small, reference"),
        ("stgcn depth=3", "only presets of LAST can be changed"),
        ("nano depth=3", "expected key=value with one of the keys"),
        ("nano shift=much", "expected float"),
    ],
)
def test_unknown_networks_and_settings_are_named(name, why):
    with pytest.raises(ValueError, match=why):
        build_model(name, NTU, 7)


def test_wrong_joints_are_named():
    with pytest.raises(ValueError, match=r"expected \(N, 3, T, 25\)"):
        build_model("nano", NTU, 7)(torch.randn(2, 3, 16, 17))
