"""The central verification: the gradients of the graph equal those of the equations derived by hand.

For every network, hidden activation, output with its loss, convention and kind of batch: every delta, dW and db, in
float64, to a relative error of 1e-10.  And both agree with central differences.
"""

import itertools

import numpy as np
import pytest

import tinygrad_edu as tg
from tinygrad_edu.check import compare_gradients, gradcheck, gradients_of, numerical_gradient
from tinygrad_edu.manual import Network, one_hot
from tinygrad_edu.ops import (
    binary_cross_entropy,
    binary_cross_entropy_with_logits,
    cross_entropy,
    half_mse_loss,
    mse_loss,
)

RTOL = 1e-10  # the project's promise; what is seen is 1e-14 and less

# Differences are right to some 4e-11 |E| (see numerical_gradient).  Relative to the smallest of the gradients here that
# is 2e-8; ten times as much leaves room for another BLAS, and no wrong formula comes so close.
RTOL_DIFFERENCES = 2e-7

NETWORKS = {"2-3-1": (2, 3, 1), "6-5-4-3": (6, 5, 4, 3), "784-64-10": (784, 64, 10)}
BATCHES = {"single": None, "batch of 1": 1, "batch of many": 5}  # a single sample is a vector
MANY = {"784-64-10": 16}  # the batch of the article

HIDDEN = {
    "relu": tg.relu,
    "tanh": tg.tanh,
    "sigmoid": tg.sigmoid,
    "softplus": tg.softplus,
    "leaky_relu": tg.leaky_relu,
    "identity": lambda U: U,
}

# The last activation and the loss, as manual calls them; the loss as the engine computes it from U and T; what T is.
OUTPUTS = {
    "softmax, cross-entropy sum": (
        "softmax", "cross_entropy_sum", lambda U, T: cross_entropy(U, T, reduction="sum"), "one-hot",
    ),
    "softmax, cross-entropy mean": (
        "softmax", "cross_entropy_mean", lambda U, T: cross_entropy(U, T), "one-hot",
    ),
    "softmax, cross-entropy of any targets": (
        "softmax", "cross_entropy_mean", lambda U, T: cross_entropy(U, T), "between",
    ),
    "softmax, cross-entropy in two steps": (
        "softmax", "cross_entropy_sum", lambda U, T: -(T * tg.log_softmax(U)).sum(), "one-hot",
    ),
    "softmax, cross-entropy in three steps": (
        "softmax", "cross_entropy_sum", lambda U, T: -(T * tg.log(tg.softmax(U))).sum(), "one-hot",
    ),
    "sigmoid, binary cross-entropy": (
        "sigmoid", "binary_cross_entropy_mean", lambda U, T: binary_cross_entropy(tg.sigmoid(U), T), "binary",
    ),
    "sigmoid, binary cross-entropy sum": (
        "sigmoid", "binary_cross_entropy_sum", lambda U, T: binary_cross_entropy(tg.sigmoid(U), T, "sum"), "binary",
    ),
    "logits, binary cross-entropy": (
        "sigmoid", "binary_cross_entropy_mean", lambda U, T: binary_cross_entropy_with_logits(U, T), "binary",
    ),
    "logits, binary cross-entropy sum": (
        "sigmoid", "binary_cross_entropy_sum", lambda U, T: binary_cross_entropy_with_logits(U, T, "sum"), "between",
    ),
    "identity, half squared error": (
        "identity", "half_squared_error", lambda U, T: half_mse_loss(U, T), "normal",
    ),
    "sigmoid, half squared error": (
        "sigmoid", "half_squared_error", lambda U, T: half_mse_loss(tg.sigmoid(U), T), "between",
    ),
    "identity, mean squared error": (
        "identity", "mean_squared_error", lambda U, T: mse_loss(U, T), "normal",
    ),
}  # fmt: skip

networks = pytest.mark.parametrize("network", NETWORKS)
hiddens = pytest.mark.parametrize("hidden", HIDDEN)
outputs = pytest.mark.parametrize("output", OUTPUTS)
conventions = pytest.mark.parametrize("convention", ["rows", "columns"])
batches = pytest.mark.parametrize("batch", BATCHES)


class Problem:
    """Weights, biases, X and T, with samples as rows; and the same network by hand, in either convention."""

    def __init__(self, network, hidden, output, batch):
        self.sizes = sizes = NETWORKS[network]
        self.activation, self.loss, self.engine_loss, targets = OUTPUTS[output]
        if self.activation == "softmax" and sizes[-1] == 1:  # of one class the probability is 1, and all gradients 0
            self.sizes = sizes = (*sizes[:-1], 2)
        self.phi, self.hidden = HIDDEN[hidden], hidden
        n = BATCHES[batch]
        self.n = MANY.get(network, n) if n and n > 1 else n
        for seed in range(1000):
            self.draw(np.random.default_rng(seed), targets)
            if self.suits():
                return
        raise AssertionError("no seed suits")

    def draw(self, rng, targets):
        pairs = list(itertools.pairwise(self.sizes))
        # 1/sqrt(inputs) keeps the pre-activations near 1, where no sigmoid is flat, for 784 inputs as for 2.
        self.W = [rng.normal(size=pair) / np.sqrt(pair[0]) for pair in pairs]
        self.b = [rng.normal(size=m) for _, m in pairs]
        lead = () if self.n is None else (self.n,)
        self.X = rng.normal(size=(*lead, self.sizes[0]))
        shape = (*lead, self.sizes[-1])
        self.T = {
            "one-hot": lambda: one_hot(rng.integers(shape[-1], size=lead), shape[-1]),
            "binary": lambda: rng.integers(2, size=shape).astype(float),
            "between": lambda: rng.uniform(0.1, 0.9, size=shape),
            "normal": lambda: rng.normal(size=shape),
        }[targets]()

    def suits(self):
        """Is every layer alive (a dead ReLU has gradients of zeros, which agree with anything)?  And does every
        pre-activation of a small network keep away from the kink, where differences see two slopes at once?
        """
        U = list(self.by_hand("rows")[1].U.values())
        alive = all(u.max() > 0.1 for u in U[:-1])
        return alive and (max(self.sizes) > 10 or all(np.abs(u).min() > 0.01 for u in U[:-1]))

    def by_hand(self, convention):
        """The network of `manual`, its forward pass, and T, all in this convention."""
        W, b, X, T = self.W, [b.reshape(1, -1) if i % 2 else b for i, b in enumerate(self.b)], self.X, self.T
        if convention == "columns":
            W, b, X, T = [w.T for w in W], [v.T for v in b], X.T, T.T
        activations = [self.hidden] * (len(W) - 1) + [self.activation]
        net = Network(W, b, activations, self.loss, convention)
        return net, net.forward(X), T

    def gradients_by_hand(self, convention):
        net, f, T = self.by_hand(convention)
        return net.backward(f, T).named()

    def parameters(self):
        W = [tg.Tensor(w, requires_grad=True) for w in self.W]
        return W, [tg.Tensor(b, requires_grad=True) for b in self.b]

    def layers(self):
        return range(len(self.W), 0, -1)

    def names(self):
        return [f"{symbol}{layer}" for layer in self.layers() for symbol in ("delta", "dW", "db")]

    def recorded(self, W, b, added=None, layer=tg.linear):
        """The loss as the engine computes it; `added` is something to add to each pre-activation."""
        H = self.X
        for i, (w, v) in enumerate(zip(W, b)):
            U = layer(H, w, v) if added is None else layer(H, w, v) + added[i]
            H = self.phi(U)
        return self.engine_loss(U, self.T)

    def zeros(self):
        """Something to add to each pre-activation: its gradient is delta."""
        lead = self.X.shape[:-1]
        return [tg.Tensor(np.zeros((*lead, m)), requires_grad=True) for m in self.sizes[1:]]


def assert_all_agree(comparison, problem, rtol):
    assert comparison, comparison
    assert [row.name for row in comparison.rows] == problem.names()
    assert comparison.rtol == rtol


@networks
@batches
@conventions
@outputs
@hiddens
def test_the_graph_equals_the_equations(network, hidden, output, convention, batch):
    problem = Problem(network, hidden, output, batch)
    loss = problem.recorded(*problem.parameters())
    net, f, T = problem.by_hand(convention)

    assert np.isclose(loss.item(), net.loss_value(f, T), rtol=RTOL, atol=0)
    comparison = compare_gradients(net.backward(f, T), loss, RTOL, convention=convention)
    assert_all_agree(comparison, problem, RTOL)
    assert all(g.any() for g in gradients_of(loss).values()), "gradients of zeros agree with anything"


@pytest.mark.parametrize("network", ["2-3-1", "6-5-4-3"])
@batches
@outputs
@hiddens
def test_both_equal_differences(network, hidden, output, batch):
    """Every entry of every delta, dW and db."""
    problem = Problem(network, hidden, output, batch)
    W, b = problem.parameters()
    zeros = problem.zeros()
    k = len(W)
    slopes = numerical_gradient(lambda *x: problem.recorded(x[:k], x[k : 2 * k], x[2 * k :]), [*W, *b, *zeros])
    slope = {"delta": slopes[2 * k :], "dW": slopes[:k], "db": slopes[k : 2 * k]}
    numerical = {f"{name}{layer}": slope[name][layer - 1] for layer in problem.layers() for name in slope}

    automatic = compare_gradients(numerical, problem.recorded(W, b), RTOL_DIFFERENCES)
    assert_all_agree(automatic, problem, RTOL_DIFFERENCES)
    for convention in ("rows", "columns"):
        by_hand = problem.gradients_by_hand(convention)
        comparison = compare_gradients(by_hand, numerical, RTOL_DIFFERENCES, convention=convention)
        assert_all_agree(comparison, problem, RTOL_DIFFERENCES)


@batches
@outputs
@hiddens
def test_the_large_network_equals_differences_along_random_directions(hidden, output, batch):
    """50,890 entries twice would take minutes; the slope along a direction takes two evaluations, and sees them all.

    The directions have length 1: so short a step moves hardly any of the 1,024 hidden units across its kink.
    """
    problem = Problem("784-64-10", hidden, output, batch)
    rng = np.random.default_rng(0)
    arrays = [*problem.W, *problem.b, *(z.data for z in problem.zeros())]
    directions = [d / np.linalg.norm(d) for d in (rng.normal(size=a.shape) for a in arrays)]
    steps = [tg.Tensor(0.0, requires_grad=True) for _ in arrays]
    k = len(problem.W)

    def loss(*steps):
        moved = [a + s * d for a, s, d in zip(arrays, steps, directions)]
        return problem.recorded(moved[:k], moved[k : 2 * k], moved[2 * k :])

    assert gradcheck(loss, steps).entries == len(arrays)

    by_hand = problem.gradients_by_hand("rows")
    for i, (step, direction) in enumerate(zip(numerical_gradient(loss, steps), directions)):
        name = f"{('dW', 'db', 'delta')[i // k]}{i % k + 1}"
        along = np.vdot(by_hand[name], direction)
        # Along a direction most of a gradient cancels, so the error is measured against the gradient's length.
        assert abs(step - along) <= RTOL_DIFFERENCES * np.linalg.norm(by_hand[name]), name


@pytest.mark.parametrize("network", ["2-3-1", "6-5-4-3"])
@batches
@outputs
@hiddens
def test_product_and_sum_instead_of_linear(network, hidden, output, batch):
    problem = Problem(network, hidden, output, batch)
    loss = problem.recorded(*problem.parameters(), layer=lambda H, W, b: H @ W + b)
    assert_all_agree(compare_gradients(problem.gradients_by_hand("rows"), loss, RTOL), problem, RTOL)


@networks
@batches
@outputs
@hiddens
def test_the_engine_in_columns(network, hidden, output, batch):
    """U = W H + b 1^T on both sides: nothing is transposed, neither by the engine's user nor by the comparison."""
    problem = Problem(network, hidden, output, batch)
    W = [tg.Tensor(w.T, requires_grad=True) for w in problem.W]
    b = [tg.Tensor(v if problem.n is None else v.reshape(-1, 1), requires_grad=True) for v in problem.b]
    H = problem.X.T
    for w, v in zip(W, b):
        U = w @ H + v
        H = problem.phi(U)
    loss = problem.engine_loss(U.T, problem.T)  # a loss wants one sample to a row

    comparison = compare_gradients(problem.gradients_by_hand("columns"), loss, RTOL)
    assert_all_agree(comparison, problem, RTOL)
    delta = gradients_of(loss)[f"delta{len(W)}"]
    assert delta.shape == problem.T.T.shape


@conventions
@hiddens
def test_class_numbers_instead_of_one_hot_rows(hidden, convention):
    problem = Problem("6-5-4-3", hidden, "softmax, cross-entropy sum", "batch of many")
    by_hand = problem.gradients_by_hand(convention)
    problem.T = problem.T.argmax(axis=-1)
    loss = problem.recorded(*problem.parameters())
    assert_all_agree(compare_gradients(by_hand, loss, RTOL, convention=convention), problem, RTOL)


@conventions
def test_the_article_at_its_own_start(convention):
    """784-64-10, ReLU, softmax with summed cross-entropy, everything from N(0, 1), pixels in -0.5..0.5, batches of 16.

    Its pre-activations are large (their standard deviation is 8 and more), so softmax is all but one-hot.
    """
    rng = np.random.default_rng(1)
    W1, b1, W2, b2 = (rng.normal(size=shape) for shape in ((784, 64), 64, (64, 10), 10))
    X, T = rng.uniform(-0.5, 0.5, size=(16, 784)), one_hot(rng.integers(10, size=16), 10)
    t = [tg.Tensor(a, requires_grad=True) for a in (W1, b1, W2, b2)]
    loss = cross_entropy(tg.linear(tg.relu(tg.linear(X, t[0], t[1])), t[2], t[3]), T, reduction="sum")

    turn = np.transpose if convention == "columns" else np.asarray
    net = Network([turn(W1), turn(W2)], [b1, b2], ["relu", "softmax"], "cross_entropy_sum", convention)
    comparison = compare_gradients(net.backward(net.forward(turn(X)), turn(T)), loss, RTOL, convention=convention)
    assert comparison, comparison
    assert len(comparison.rows) == 6
