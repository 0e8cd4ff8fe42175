"""Two pages ported as a new user would: each framework runs its own version, and both reach the same numbers.

First, fitting sin(x) with a cubic in the four ways of PyTorch's "Learning PyTorch with Examples": gradients by hand,
automatic gradients, an operation of one's own, and layers with an optimiser.  Then two notebooks of plain NumPy, whose
forward passes are written with `np.` functions and are given Tensors instead of arrays.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tinygrad_edu as tg

try:
    import torch
except ImportError:  # a skip nobody reads would be a hole in the gate: there the other side has to be
    if os.environ.get("CI"):
        raise
    pytest.skip("PyTorch runs the original: pip install tinygrad_edu[oracle]", allow_module_level=True)

X = np.linspace(-np.pi, np.pi, 200)
Y = np.sin(X)
START = np.random.default_rng(0).normal(size=4)  # the four coefficients before the first step
STEPS, RATE = 200, 1e-6


def agree(ours: Any, theirs: Any, rtol: float = 1e-10) -> None:
    """Equal after a few hundred steps.  Each rounds its sums in its own order: some 1e-16 a step, with room."""
    np.testing.assert_allclose(np.asarray(ours), np.asarray(theirs), rtol=rtol, atol=1e-12)


# ----------------------------------------------------------------------------------- sin(x) by a cubic


def by_hand() -> np.ndarray:
    """NumPy alone, the four derivatives worked out on paper."""
    a, b, c, d = START
    for _ in range(STEPS):
        slope = 2.0 * (a + b * X + c * X**2 + d * X**3 - Y)
        a, b, c, d = (w - RATE * (slope * X**k).sum() for k, w in enumerate((a, b, c, d)))
    return np.array([a, b, c, d])


def torch_autograd() -> np.ndarray:
    x, y = torch.tensor(X), torch.tensor(Y)
    a, b, c, d = weights = [torch.tensor(w, requires_grad=True) for w in START]
    for _ in range(STEPS):
        loss = (a + b * x + c * x**2 + d * x**3 - y).pow(2).sum()
        loss.backward()
        with torch.no_grad():
            for w in weights:
                w -= RATE * w.grad
                w.grad = None
    return np.array([w.item() for w in weights])


def our_autograd() -> np.ndarray:
    a, b, c, d = weights = [tg.Tensor(w, requires_grad=True) for w in START]
    for _ in range(STEPS):
        loss = ((a + b * X + c * X**2 + d * X**3 - Y) ** 2).sum()
        loss.backward()
        with tg.no_grad():
            for w in weights:
                w -= RATE * w.grad
                w.grad = None
    return np.array([w.item() for w in weights])


def test_sine_with_automatic_gradients() -> None:
    """What was worked out on paper, what PyTorch records and what tinygrad_edu records are one descent."""
    agree(our_autograd(), by_hand())
    agree(our_autograd(), torch_autograd())
    assert not np.allclose(our_autograd(), START)  # it has gone somewhere


class TorchP3(torch.autograd.Function):
    """The third Legendre polynomial, P3(x) = (5x^3 - 3x) / 2, with its derivative written out."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor) -> torch.Tensor:
        ctx.save_for_backward(x)
        return (5 * x**3 - 3 * x) / 2

    @staticmethod
    def backward(ctx: Any, g: torch.Tensor) -> torch.Tensor:
        (x,) = ctx.saved_tensors
        return g * 1.5 * (5 * x**2 - 1)


our_p3 = tg.Op(
    lambda x: (5 * x**3 - 3 * x) / 2,
    vjps=[lambda g, y, x: g * 1.5 * (5 * x**2 - 1)],
    name="legendre_3",
    samples=[tg.sample(np.array([0.3, -1.2, 0.8]))],
)


def test_sine_with_an_operation_of_ones_own() -> None:
    """y = a + b P3(c + d x): a Function in PyTorch, an Op in tinygrad_edu, whose rule serves the second order, too."""
    start = [0.0, -1.0, 0.0, 0.3]
    rate = 5e-6
    ours = [tg.Tensor(w, requires_grad=True) for w in start]
    theirs = [torch.tensor(w, dtype=torch.float64, requires_grad=True) for w in start]
    for _ in range(STEPS):
        a, b, c, d = ours
        loss = np.square(a + b * our_p3(c + d * X) - Y).sum()
        loss.backward()
        e, f, g, h = theirs
        their_loss = (e + f * TorchP3.apply(g + h * torch.tensor(X)) - torch.tensor(Y)).square().sum()
        their_loss.backward()
        agree(loss.item(), their_loss.item())
        for w, v in zip(ours, theirs):
            agree(w.grad, v.grad)
            w.data -= rate * w.grad
            v.data -= rate * v.grad
            w.grad = v.grad = None
    agree([w.item() for w in ours], [w.item() for w in theirs])
    tg.check.check_op(our_p3)
    x = tg.Tensor([0.3, -1.2], requires_grad=True)
    (first,) = tg.grad(our_p3(x), x, [2.0, 3.0], create_graph=True)
    first.backward([5.0, 7.0])
    agree(x.grad, 15 * x.data * [10.0, 21.0])  # P3'' = 15 x


@pytest.mark.parametrize("optimiser", ["SGD", "momentum", "Adam", "AdamW"])
def test_sine_with_layers_and_an_optimiser(optimiser: str) -> None:
    """One linear layer on (x, x^2, x^3), a summed squared error, and an optimiser of the library."""
    powers = X[:, None] ** np.array([1, 2, 3])
    net = tg.nn.Sequential(tg.nn.Linear(3, 1, rng=0))
    original = torch.nn.Sequential(torch.nn.Linear(3, 1), torch.nn.Flatten(0, 1)).double()
    with torch.no_grad():  # their weights are (out, in), ours (in, out)
        original[0].weight.copy_(torch.tensor(net[0].weight.numpy().T))
        original[0].bias.copy_(torch.tensor(net[0].bias.numpy()))
    name = "SGD" if optimiser == "momentum" else optimiser
    rate = 1e-6 if name == "SGD" else 1e-3
    settings = {"lr": rate, "momentum": 0.9} if optimiser == "momentum" else {"lr": rate}
    ours = getattr(tg.optim, name)(net.parameters(), **settings)
    theirs = getattr(torch.optim, name)(original.parameters(), **settings)
    inputs, targets = torch.tensor(powers), torch.tensor(Y)
    losses = []
    for _ in range(STEPS):
        loss = tg.nn.functional.mse_loss(net(powers).ravel(), Y, reduction="sum")
        ours.zero_grad()
        loss.backward()
        ours.step()
        their_loss = torch.nn.functional.mse_loss(original(inputs), targets, reduction="sum")
        theirs.zero_grad()
        their_loss.backward()
        theirs.step()
        agree(loss.item(), their_loss.item(), rtol=1e-8)  # Adam divides by small square roots
        losses.append(loss.item())
    agree(net[0].weight.data.T, original[0].weight.detach(), rtol=1e-8)
    agree(net[0].bias.data, original[0].bias.detach(), rtol=1e-8)
    assert losses[-1] < losses[0]


# ------------------------------------------------------------------------------------ NumPy notebooks


def two_clouds() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(1)
    labels = np.repeat([0, 1], 40)
    return rng.normal(size=(80, 2)) + 1.5 * labels[:, None], labels


def test_logistic_regression_of_a_notebook() -> None:
    """The cost is written with np. functions only, so one function serves arrays and Tensors alike."""
    points, labels = two_clouds()

    def cost(w: Any, b: Any) -> Any:
        p = 1 / (1 + np.exp(-(np.dot(points, w) + b)))
        likelihood = np.where(labels == 1, np.log(p), np.log(1 - p))
        return -np.mean(likelihood) + 0.01 * np.sum(np.square(w))

    w, b = tg.Tensor(np.zeros(2), requires_grad=True), tg.Tensor(0.0, requires_grad=True)
    by_hand_w, by_hand_b = np.zeros(2), 0.0
    tw = torch.zeros(2, dtype=torch.float64, requires_grad=True)
    tb = torch.zeros((), dtype=torch.float64, requires_grad=True)
    for _ in range(100):
        loss = cost(w, b)
        loss.backward()
        agree(loss.item(), cost(w.numpy(), b.numpy()))  # the same function on arrays

        error = 1 / (1 + np.exp(-(points @ by_hand_w + by_hand_b))) - labels
        by_hand = points.T @ error / len(labels) + 0.02 * by_hand_w, error.mean()
        agree(w.grad, by_hand[0])
        agree(b.grad, by_hand[1])

        logits = torch.tensor(points) @ tw + tb
        their_loss = torch.nn.functional.binary_cross_entropy_with_logits(logits, torch.tensor(labels).double())
        (their_loss + 0.01 * (tw**2).sum()).backward()
        agree(w.grad, tw.grad)

        by_hand_w, by_hand_b = by_hand_w - 0.5 * by_hand[0], by_hand_b - 0.5 * by_hand[1]
        for ours in (w, b):
            ours.data -= 0.5 * ours.grad
            ours.grad = None
        with torch.no_grad():
            for theirs in (tw, tb):
                theirs -= 0.5 * theirs.grad
                theirs.grad = None
    agree(w.data, by_hand_w)
    agree(w.data, tw.detach())
    agree(b.data, tb.detach())
    assert np.mean((np.dot(points, w.data) + b.data > 0) == labels) > 0.8


def deep_network(layers: list[tuple[Any, Any]], x: Any, np_: Any) -> Any:
    """A notebook's k-layer network in column vectors: tanh inside, softmax at the end, written with np_ alone."""
    a = x
    for w, b in layers[:-1]:
        a = np_.tanh(np_.matmul(w, a) + b)
    w, b = layers[-1]
    z = np_.matmul(w, a) + b
    e = np_.exp(z - np_.amax(z, axis=0, keepdims=True))
    return e / np_.sum(e, axis=0, keepdims=True)


@pytest.mark.parametrize("sizes", [[2, 2], [2, 5, 2], [2, 6, 5, 4, 2]], ids=str)
def test_network_of_k_layers_of_a_notebook(sizes: list[int]) -> None:
    """`import numpy as np` stays as it is, the weights become Tensors, and the backward half of the notebook goes."""
    points, labels = two_clouds()
    one_hot = np.eye(2)[labels].T
    rng = np.random.default_rng(2)
    start = [(rng.normal(size=(m, n)) / np.sqrt(n), np.zeros((m, 1))) for n, m in itertools.pairwise(sizes)]

    def descend(make: Callable[[np.ndarray], Any], cost: Callable[[Any], Any]) -> tuple[list[float], list[np.ndarray]]:
        layers = [(make(w), make(b)) for w, b in start]
        costs = []
        for _ in range(60):
            loss = cost(layers)
            loss.backward()
            costs.append(loss.item())
            for pair in layers:
                for t in pair:
                    t.data -= 0.3 * t.grad
                    t.grad = None
        return costs, [t.data for pair in layers for t in pair]

    costs, weights = descend(
        lambda w: tg.Tensor(w, requires_grad=True),
        lambda layers: -np.sum(one_hot * np.log(deep_network(layers, points.T, np))) / len(labels),
    )
    x, t = torch.tensor(points.T), torch.tensor(one_hot)
    their_costs, their_weights = descend(
        lambda w: torch.tensor(w, requires_grad=True),
        lambda layers: -(t * torch.log(deep_network(layers, x, torch))).sum() / len(labels),
    )
    agree(costs, their_costs, rtol=1e-9)
    for ours, theirs in zip(weights, their_weights):
        agree(ours, theirs, rtol=1e-8)
    assert costs[-1] < costs[0]
