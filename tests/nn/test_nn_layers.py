"""Layers, initialisers and dropout: values, shapes, seeds, errors."""

import math

import numpy as np
import pytest

import tinygrad_edu as tg
from tinygrad_edu import nn
from tinygrad_edu.nn import functional, init


def test_linear_is_x_w_plus_b() -> None:
    layer = nn.Linear(3, 2, rng=0)
    x = np.random.default_rng(1).normal(size=(5, 3))
    np.testing.assert_array_equal(layer(x).data, x @ layer.weight.data + layer.bias.data)
    bare = nn.Linear(3, 2, bias=False, rng=0)
    np.testing.assert_array_equal(bare(x).data, x @ bare.weight.data)
    assert bare.bias is None


def test_mlp_draws_with_one_generator_weight_before_bias() -> None:
    net = nn.MLP([4, 3, 2], rng=7, weight_init="normal", bias_init="normal")
    rng = np.random.default_rng(7)
    for parameter in net.parameters():
        np.testing.assert_array_equal(parameter.data, rng.normal(size=parameter.shape))
    generator = np.random.default_rng(7)
    twin = nn.MLP([4, 3, 2], rng=generator, weight_init="normal", bias_init="normal")
    np.testing.assert_array_equal(twin.fc2.bias.data, net.fc2.bias.data)


def test_mlp_takes_one_activation_for_each_hidden_layer() -> None:
    net = nn.MLP([1, 16, 16, 1], ["relu", nn.Sigmoid], output="tanh")
    assert [type(m).__name__ for m in net.modules()][1:] == [
        "Linear", "ReLU", "Linear", "Sigmoid", "Linear", "Tanh",
    ]  # fmt: skip
    x = np.random.default_rng(0).normal(size=(6, 1))
    h = np.maximum(x @ net.fc1.weight.data + net.fc1.bias.data, 0)
    h = 1 / (1 + np.exp(-(h @ net.fc2.weight.data + net.fc2.bias.data)))
    np.testing.assert_allclose(net(x).data, np.tanh(h @ net.fc3.weight.data + net.fc3.bias.data), rtol=1e-14)


@pytest.mark.parametrize("name", nn.ACTIVATIONS)
def test_activation_modules_are_their_functions(name: str) -> None:
    x = tg.Tensor(np.random.default_rng(0).normal(size=(4, 3)))
    expected = x if name == "identity" else getattr(functional, name)(x)
    np.testing.assert_array_equal(nn.ACTIVATIONS[name]()(x).data, expected.data)


def test_float32_stays_float32() -> None:
    net = nn.MLP([3, 4, 2], rng=0, dtype=np.float32)
    loss = functional.cross_entropy(net(np.ones((5, 3), np.float32)), [0, 1, 0, 1, 1])
    loss.backward()
    assert loss.dtype == np.float32
    assert all(p.dtype == p.grad.dtype == np.float32 for p in net.parameters())


@pytest.mark.parametrize(
    ("mistake", "message"),
    [
        (lambda: nn.Linear(0, 2), "in_features=0"),
        (lambda: nn.Linear(2, 2.5), "out_features=2.5"),
        (lambda: nn.MLP([3]), "at least an input and an output"),
        (lambda: nn.MLP([3, 4, 2], ["relu", "relu"]), "2 activations for 1 hidden"),
        (lambda: nn.MLP([3, 4, 2], "relo"), "'relo' is unknown; one of identity, relu"),
        (lambda: nn.Linear(2, 2, weight_init="glorot"), "'glorot' is unknown; one of"),
        (lambda: nn.Dropout(1.5), "p = 1.5"),
        (lambda: functional.dropout(tg.Tensor([1.0]), -0.1), "p = -0.1"),
        (lambda: nn.Linear(3, 2)(np.ones((5, 4))), "4 features arrive, 3 are expected"),
    ],
)
def test_mistakes_are_named(mistake, message) -> None:
    with pytest.raises(ValueError, match=message):
        mistake()


# 40,000 draws: the standard error of a standard deviation is sigma / sqrt(80,000), 0.35 %; 2 % is five of them.
@pytest.mark.parametrize(
    ("name", "std"),
    [
        ("normal", 1.0),
        ("fan_in_uniform", 1 / math.sqrt(3 * 100)),
        ("glorot_uniform", math.sqrt(2 / 500)),
        ("glorot_normal", math.sqrt(2 / 500)),
        ("he_uniform", math.sqrt(2 / 100)),
        ("he_normal", math.sqrt(2 / 100)),
    ],
)
def test_initialisers_have_their_spread(name: str, std: float) -> None:
    w = init.get(name)((100, 400), 100, 400, np.random.default_rng(0))
    assert abs(w.mean()) < 5 * std / 200
    assert w.std() == pytest.approx(std, rel=0.02)
    if "uniform" in name:
        assert abs(w).max() <= std * math.sqrt(3)


def test_the_other_initialisers() -> None:
    rng = np.random.default_rng(0)
    w = init.uniform(-0.5, 0.5)((1000,), 1, 1, rng)
    assert -0.5 <= w.min() < -0.45
    assert 0.45 < w.max() < 0.5
    assert (init.zeros((3,), 1, 1, rng) == 0).all()
    assert (init.constant(2.0)((3,), 1, 1, rng) == 2).all()


def test_dropout_keeps_the_mean_and_masks_the_gradient() -> None:
    x = tg.Tensor(np.ones((200, 200), np.float32), requires_grad=True)
    layer = nn.Dropout(0.3, rng=0)
    y = layer(x)
    assert y.dtype == np.float32
    kept = y.data != 0
    assert kept.mean() == pytest.approx(0.7, abs=0.012)  # five standard errors of 40,000 draws
    np.testing.assert_allclose(y.data[kept], 1 / 0.7, rtol=1e-6)
    g = np.random.default_rng(1).normal(size=y.shape).astype(np.float32)
    y.backward(g)
    np.testing.assert_allclose(x.grad, g * kept / np.float32(0.7), rtol=1e-6)
    assert not np.array_equal(layer(x).data, y.data)
    assert layer.eval()(x) is x
    np.testing.assert_array_equal(nn.Dropout(0.3, rng=0)(x).data, y.data)


def test_dropout_at_the_ends() -> None:
    x = tg.Tensor(np.ones(4), requires_grad=True)
    assert functional.dropout(x, 0.0) is x
    y = functional.dropout(x, 1.0)
    assert (y.data == 0).all()
    y.sum().backward()
    assert (x.grad == 0).all()


def test_sequential_is_a_sequence() -> None:
    net = nn.Sequential(nn.Linear(2, 3, rng=0), nn.ReLU(), nn.Linear(3, 1, rng=0))
    assert len(net) == 3
    assert isinstance(net[-2], nn.ReLU)
    assert net(np.ones((4, 2))).shape == (4, 1)
    with pytest.raises(TypeError, match="part 0 is a function"):
        nn.Sequential(lambda x: x)
