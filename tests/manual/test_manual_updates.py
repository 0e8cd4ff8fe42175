"""Gradient descent goes down, by the amount that the gradient promises."""

import numpy as np
import pytest

from tinygrad_edu.manual import Network, descend

pytestmark = pytest.mark.filterwarnings("error")


def xor_network(loss="binary_cross_entropy_sum", convention="rows", dtype=np.float64):
    rng = np.random.default_rng(4)
    W = [rng.normal(size=(2, 3)).astype(dtype), rng.normal(size=(3, 1)).astype(dtype)]
    b = [np.full((1, 3), 0.1, dtype), np.zeros((1, 1), dtype)]
    X, T = np.array([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]]), np.array([[0.0], [1.0], [1.0], [0.0]])
    if convention == "columns":
        W, b, X, T = [w.T for w in W], [v.T for v in b], X.T, T.T
    return Network(W, b, ["tanh", "sigmoid"], loss, convention), X, T


def step(net, X, T, eta, samples=1):
    return descend(net, net.backward(net.forward(X), T), eta, samples)


def loss_value(net, X, T):
    return net.loss_value(net.forward(X), T)


@pytest.mark.parametrize("convention", ["rows", "columns"])
def test_a_step_lowers_the_loss_by_eta_times_the_squared_gradient(convention):
    net, X, T = xor_network(convention=convention)
    gradients = net.backward(net.forward(X), T).named()
    squared = sum((g**2).sum() for name, g in gradients.items() if name.startswith("d") and "delta" not in name)
    eta = 1e-6
    fall = loss_value(net, X, T) - loss_value(step(net, X, T, eta), X, T)
    # The next term of Taylor's series is eta smaller, and the losses' difference is good to 1e-10.
    assert fall == pytest.approx(eta * squared, rel=1e-4)


def test_the_averaged_update_is_a_step_on_the_mean():
    summed, X, T = xor_network("binary_cross_entropy_sum")
    mean, _, _ = xor_network("binary_cross_entropy_mean")  # one output, so N = n = 4
    one, other = step(summed, X, T, eta=0.5, samples=4), step(mean, X, T, eta=0.5)
    for layer in (1, 2):
        np.testing.assert_allclose(one.W[layer], other.W[layer], rtol=1e-15)  # division by 4 is exact
        np.testing.assert_allclose(one.b[layer], other.b[layer], rtol=1e-15)
        assert not np.allclose(one.W[layer], step(summed, X, T, eta=0.5).W[layer])


@pytest.mark.parametrize("convention", ["rows", "columns"])
def test_the_two_three_one_network_learns_xor(convention):
    net, X, T = xor_network(convention=convention)
    assert loss_value(net, X, T) > 2.5  # about 4 log 2, what guessing costs
    for _ in range(2000):
        net = step(net, X, T, eta=0.5)
    assert loss_value(net, X, T) < 0.05
    assert (net.forward(X).Y.round() == T).all()


def test_the_old_network_keeps_its_parameters():
    net, X, T = xor_network()
    before = {layer: W.copy() for layer, W in net.W.items()}
    after = step(net, X, T, eta=1.0)
    for layer in (1, 2):
        np.testing.assert_array_equal(net.W[layer], before[layer])
        assert not np.shares_memory(after.W[layer], net.W[layer])
    assert (after.loss, after.convention, after.activation) == (net.loss, net.convention, net.activation)


def test_float32_stays_float32():
    net, X, T = xor_network(dtype=np.float32)
    after = step(net, X, T, eta=np.float64(0.1))
    assert {a.dtype for a in [*after.W.values(), *after.b.values()]} == {np.dtype("f4")}


@pytest.mark.parametrize(("eta", "samples"), [(0.0, 1), (-0.1, 1), (0.1, 0), (np.nan, 1)])
def test_steps_that_would_not_descend_raise(eta, samples):
    net, X, T = xor_network()
    with pytest.raises(ValueError, match="must both be positive"):
        step(net, X, T, eta, samples)
