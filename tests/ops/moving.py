"""An oracle for functions that only move numbers: where each number came from says what its gradient is.

NumPy's function is called on *addresses*, the numbers 1, 2, 3, ... in the shapes of the inputs.  What comes out says
from where each element was taken (0: from nowhere, it is a constant).  Then the gradient of an input is the sum of the
cotangents of its copies, which needs no rule and no other library.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from hypothesis import HealthCheck, settings

import tinygrad_edu as tg


def examples(n: int) -> settings:
    """Random examples, but the same at each run."""
    return settings(
        max_examples=n, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck)
    )


def outputs(y: Any) -> list[Any]:
    """The results of a function: those in a list or a tuple, or the only one."""
    return list(y) if isinstance(y, list | tuple) else [y]


def addresses(function: Callable[..., Any], shapes: list[tuple[int, ...]]) -> list[np.ndarray]:
    """Where the elements of each output come from, counted from 1 through all inputs."""
    inputs, start = [], 1
    for shape in shapes:
        n = int(np.prod(shape))
        inputs.append(np.arange(start, start + n).reshape(shape))
        start += n
    return [np.asarray(y) for y in outputs(function(*inputs))]


def check_moves(ours: Callable[..., Any], numpys: Callable[..., Any], *arrays: np.ndarray, seed: int = 0) -> None:
    """`ours` on Tensors against `numpys` on arrays: values, gradients, and gradients of the gradients."""
    rng = np.random.default_rng(seed)
    where = addresses(numpys, [a.shape for a in arrays])
    row = np.concatenate([[0.0], *(a.reshape(-1) for a in arrays)])  # a constant comes from address 0

    def per_input(addresses_and_weights: list[tuple[np.ndarray, np.ndarray]]) -> list[np.ndarray]:
        """The sum of the weights of the copies of each number, in the shapes of the inputs."""
        sums = np.zeros(row.size)
        for place, weight in addresses_and_weights:
            for p, w in zip(place.reshape(-1).tolist(), weight.reshape(-1).tolist()):
                sums[p] += w
        parts = np.split(sums, np.cumsum([1, *(a.size for a in arrays)]))[1:-1]
        return [part.reshape(a.shape) for part, a in zip(parts, arrays)]

    tensors = [tg.Tensor(a, requires_grad=True) for a in arrays]
    ys = outputs(ours(*tensors))
    assert len(ys) == len(where)
    for y, place, expected in zip(ys, where, outputs(numpys(*arrays))):
        assert isinstance(y, tg.Tensor)
        assert y.dtype == arrays[0].dtype
        assert y.shape == place.shape
        np.testing.assert_array_equal(y.data, expected)
        np.testing.assert_array_equal(y.data, row[place])

    for plain, expected in zip(outputs(ours(*arrays)), ys):  # on arrays it is just computed
        assert not isinstance(plain, tg.Tensor)
        np.testing.assert_array_equal(plain, expected.data)

    # First order, as a backward pass does it: the cotangents of the copies are added up.
    weights = [rng.normal(size=y.shape) for y in ys]
    if ys:
        tg.backward(ys, weights, retain_graph=True)
        for t, expected in zip(tensors, per_input(list(zip(where, weights)))):
            np.testing.assert_allclose(np.zeros(t.shape) if t.grad is None else t.grad, expected, rtol=0, atol=1e-12)

    # L = sum w y^2: dL/dx = 2 x c, with c the weights of its copies; then of sum u dL/dx by x and by w.
    cotangents = [tg.Tensor(w, requires_grad=True) for w in weights]
    loss = sum(((w * y * y).sum() for w, y in zip(cotangents, ys)), start=tg.Tensor(0.0))
    if not loss.requires_grad:
        return
    first = tg.grad(loss, tensors, create_graph=True, allow_unused=True)
    counts = per_input(list(zip(where, weights)))
    directions = [rng.normal(size=a.shape) for a in arrays]
    total = tg.Tensor(0.0)
    for t, g, c, u in zip(tensors, first, counts, directions):
        if g is None:
            assert not c.any()
            continue
        np.testing.assert_allclose(g.data, 2 * t.data * c, rtol=0, atol=1e-12)
        total = total + (g * u).sum()
    second = tg.grad(total, [*tensors, *cotangents], allow_unused=True)
    expected = [2 * u * c for u, c in zip(directions, counts)]
    pairs = row * np.concatenate([[0.0], *(u.reshape(-1) for u in directions)])
    expected += [2 * pairs[place] for place in where]
    for got, right in zip(second, expected, strict=True):
        np.testing.assert_allclose(np.zeros(right.shape) if got is None else got.data, right, rtol=0, atol=1e-12)
