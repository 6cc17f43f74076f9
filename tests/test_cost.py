"Counting what a network costs: MACs twice, file sizes, memory."

import builtins

import pytest
import torch

from last import cost
from last.cost import (
    ProductCounter,
    count_cost,
    count_macs_outside,
    file_sizes,
    peak_memory,
)
from last.skeletons import get_skeleton
from last.zoo import build_model

NTU = get_skeleton("ntu25")


@pytest.fixture(scope="module")
def nano():
    return build_model("nano", NTU, 120)


@pytest.mark.parametrize("name", ["nano", "reference-v1", "stgcn"])
def test_two_counters_agree(name):
    model = build_model(name, NTU, 120)
    inside = count_cost(model, NTU, T=16)["macs"]
    assert count_macs_outside(model, NTU, T=16) == pytest.approx(inside, rel=1e-3)


def test_a_product_costs_its_three_sizes():
    with ProductCounter() as products:
        torch.ones(3, 4, 5) @ torch.ones(5, 6)
        torch.matmul(torch.ones(2, 3), torch.ones(3, 4))
        torch.bmm(torch.ones(2, 3, 4), torch.ones(2, 4, 5))
    assert products.macs == 3 * 4 * 5 * 6 + 2 * 3 * 4 + 2 * 3 * 4 * 5


def test_sums_cost_nothing():
    with ProductCounter() as products:
        torch.ones(3, 4) + torch.ones(3, 4)
    assert products.macs == 0


@pytest.mark.parametrize("training", [True, False])
def test_counting_leaves_the_model_as_it_was(nano, training):
    nano.train(training)
    before = {name: w.clone() for name, w in nano.state_dict().items()}
    count_cost(nano, NTU, T=16)
    count_macs_outside(nano, NTU, T=16)
    assert nano.training == training
    assert nano.state_dict().keys() == before.keys()
    assert all(torch.equal(nano.state_dict()[name], w) for name, w in before.items())


def test_two_persons_cost_twice_as_much(nano):
    one = count_cost(nano, NTU, T=16)["macs"]
    two = count_cost(nano, NTU, T=16, M=2)["macs"]
    assert two == pytest.approx(2 * one, rel=0.05)


def test_weights_take_four_bytes_each_and_half_of_that(nano):
    sizes = file_sizes(nano)
    params = count_cost(nano, NTU, T=16)["params"]
    assert sizes["bytes_fp32"] == pytest.approx(4 * params, rel=0.1)
    assert 0.5 < sizes["bytes_fp16"] / sizes["bytes_fp32"] < 0.6


def test_memory_of_a_fresh_process_is_found():
    assert peak_memory("nano", T=16) > 0


def test_memory_is_none_where_it_cannot_be_measured():
    assert peak_memory("no such network") is None


def test_missing_thop_names_the_extra(monkeypatch, nano):
    real = builtins.__import__

    def without_thop(name, *args, **kwargs):
        if name.split(".")[0] == "thop":
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without_thop)
    with pytest.raises(ImportError, match=r'pip install "last\[bench\]"'):
        cost.count_macs_outside(nano, NTU)
