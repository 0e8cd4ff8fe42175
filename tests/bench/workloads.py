"""What is measured: the numbers that every system starts from, the same for all of them.

Learning rates are small, so that thousands of steps on one batch neither finish learning nor end in denormal numbers,
which are slow everywhere.
"""

from __future__ import annotations

import itertools
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
F = np.float32


class Workload(NamedTuple):
    """One workload: its parameters, its data, and what else a step needs to know.

    Weights are (in, out), in the row-vector convention; biases follow their weights.
    """

    key: str
    title: str
    params: list[Array]
    X: Array
    targets: Array = np.empty(0)
    lr: float = 0.0
    nodes: int = 0  # of a scalar graph, whose result is microseconds for each of them
    goal: float | None = None  # at most so many times the step by hand, or microseconds a node
    goal_compiled: float | None = None

    def fresh(self) -> list[Array]:
        """The parameters, for a system to change."""
        return [p.copy() for p in self.params]


def _layers(rng: np.random.Generator, *sizes: int) -> list[Array]:
    params: list[Array] = []
    for m, n in itertools.pairwise(sizes):
        params.append(rng.normal(0, np.sqrt(2 / m), (m, n)).astype(F))
        params.append(rng.normal(0, 0.1, n).astype(F))
    return params


def _batch(rng: np.random.Generator, *shape: int) -> tuple[Array, Array]:
    """Inputs in 0..1 and labels of ten classes."""
    return rng.random(shape, dtype=F), rng.integers(0, 10, shape[0])


def classifier() -> Workload:
    rng = np.random.default_rng(1)
    params = _layers(rng, 784, 64, 10)
    return Workload(
        "a", "784-64-10, batch 16, SGD", params, *_batch(rng, 16, 784), lr=1e-3, goal=1.15, goal_compiled=0.95
    )


def deeper() -> Workload:
    rng = np.random.default_rng(2)
    params = _layers(rng, 784, 128, 64, 10)
    X, labels = _batch(rng, 128, 784)
    return Workload("b", "784-128-64-10, batch 128, Adam", params, X, labels, lr=2e-6, goal=1.05, goal_compiled=0.85)


def wide() -> Workload:
    rng = np.random.default_rng(3)
    params = _layers(rng, 784, 1024, 1024, 10)
    title = "784-1024-1024-10, batch 256, SGD with momentum"
    return Workload("c", title, params, *_batch(rng, 256, 784), lr=1e-5, goal=1.03, goal_compiled=0.95)


def tiny() -> Workload:
    rng = np.random.default_rng(4)
    params = _layers(rng, 2, 3, 1)
    X, t = np.array([[0, 0], [0, 1], [1, 0], [1, 1]], F), np.array([[0], [1], [1], [0]], F)
    title = "2-3-1, ReLU, sigmoid, binary cross-entropy, batch 4, SGD"
    return Workload("d", title, params, X, t, lr=1e-4, goal=2.0, goal_compiled=1.0)


SCALARS = 16  # that a scalar graph starts from


def scalars() -> Workload:
    """A graph of products, sums and ReLUs of numbers; `wiring` says for each node which earlier one it takes."""
    rng = np.random.default_rng(5)
    values = rng.uniform(0.1, 0.5, SCALARS).astype(F)
    n = 10_000
    wiring = np.stack([np.minimum(rng.integers(1, 8, n), np.arange(n) + 1), rng.integers(0, SCALARS, n)], axis=1)
    return Workload("e", "scalar graph of 10,000 operations", [values], wiring, nodes=n, goal=2.5)


def elementwise() -> Workload:
    x = np.random.default_rng(6).normal(size=1_000_000).astype(F)
    title = "sum(tanh(sigmoid(x) x + exp(-x x))), 1e6 numbers"
    return Workload("f", title, [np.zeros_like(x)], x, goal=1.3, goal_compiled=0.6)


def chain(n: int) -> Workload:
    return Workload(f"g{n}", f"chain of {n:,} operations", [np.array([1.0], F)], np.empty(0), nodes=n)


def convolution() -> Workload:
    rng = np.random.default_rng(7)
    params = [rng.normal(0, 0.3, (8, 1, 3, 3)).astype(F), rng.normal(0, 0.1, 8).astype(F), *_layers(rng, 8 * 169, 10)]
    title = "8 filters 3x3 on 32x1x28x28, ReLU, max-pool 2x2, linear, SGD"
    return Workload("j", title, params, *_batch(rng, 32, 1, 28, 28), lr=1e-4, goal=0.65)


def curvature() -> Workload:
    """Of the network of (a): the Hessian times a direction, which stands behind the parameters."""
    a = classifier()
    rng = np.random.default_rng(8)
    direction = [rng.normal(size=p.shape).astype(F) for p in a.params]
    title = "Hessian-vector product of (a)"
    return Workload("k", title, [*a.params, *direction], a.X, a.targets, goal=2.0, goal_compiled=1.0)


STEPS, WIDTH = 50, 64


def recurrent() -> Workload:
    """X is (time, samples, features); a linear layer reads the last state."""
    rng = np.random.default_rng(9)
    inputs, samples, bound = 32, 16, 1 / np.sqrt(WIDTH)
    shapes = [(inputs, 4 * WIDTH), (WIDTH, 4 * WIDTH), (4 * WIDTH,), (4 * WIDTH,)]
    params = [rng.uniform(-bound, bound, s).astype(F) for s in shapes] + _layers(rng, WIDTH, 10)
    X, labels = rng.normal(size=(STEPS, samples, inputs)).astype(F), rng.integers(0, 10, samples)
    return Workload("l", "LSTM 32-64 of 50 steps, batch 16, linear, SGD", params, X, labels, lr=1e-3)


CHAINS = (1_000, 10_000, 100_000, 1_000_000)
MOMENTUM = 0.9
BETAS = (0.9, 0.999)
EPS = 1e-10  # small beside all gradients: systems differ in whether it is added before or after the correction of v

WORKLOADS = {
    "a": classifier,
    "b": deeper,
    "c": wide,
    "d": tiny,
    "e": scalars,
    "f": elementwise,
    **{f"g{n}": (lambda n=n: chain(n)) for n in CHAINS},
    "j": convolution,
    "k": curvature,
    "l": recurrent,
}
