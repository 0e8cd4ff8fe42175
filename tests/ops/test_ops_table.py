"""Every operation of the package, tested by what its own entry in the table says.

Nothing here knows an operation by name except `EDGES`, the points where a gradient is a matter of definition
(kinks, ties, infinities).  A new operation is tested the moment it is written: its samples are drawn, its rules
are compared with differences of its own forward pass, and its docstring is run.

The checks are plain functions (`check_...`), so that `tests/mutate.py` can watch them fail on broken rules.
"""

from __future__ import annotations

import ast
import doctest
import importlib
import inspect
import itertools
import re
import sys
import warnings
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

import tinygrad_edu as tg
from tests.ops.tables import collected
from tinygrad_edu.modes import mode
from tinygrad_edu.op import NUMPY, OPS, Each, Op, Sample, between, distinct, normal, sample
from tinygrad_edu.record import leaf, tensor_of

inf, nan = np.inf, np.nan

# The five-point rule for a slope is wrong by h^4/30 times the fifth derivative and by 1.5 eps/h times the value.
# With h = 1e-3 that is 3e-14 and 3e-13 times.  The steepest samples (a power near 0.5**-8) have fifth derivatives
# of 1e6, hence 1e-7; a wrong rule is wrong by a tenth or more.
STEP = 1e-3
TOLERANCE = 1e-7


def stacked(rng: np.random.Generator) -> np.ndarray:
    """Symmetric matrices with distinct eigenvalues, in a stack of two axes, the last of size 1."""
    x = rng.uniform(0.1, 0.2, (2, 1, 3, 3)) + np.diag([1.0, 2.0, 3.0])
    return x + x.swapaxes(-1, -2)


# Calls that an operation's own samples leave out, and without which `tests/mutate.py` finds survivors.
MORE_SAMPLES = {
    "cross_entropy": [
        sample(normal(4, 3), between(0, 1, 4, 3), reduction="mean"),
        sample(normal(4, 3), between(0, 1, 4, 3), reduction="none"),
        sample(normal(2, 2, 3), between(0, 1, 2, 2, 3), reduction="mean"),
    ],
    "nll_loss": [
        sample(normal(4, 3), between(0, 1, 4, 3), reduction="mean"),
        sample(normal(4, 3), between(0, 1, 4, 3), reduction="none"),
        sample(normal(2, 2, 3), np.array([[0, 2], [1, 2]]), reduction="none"),
        sample(normal(3), np.array(1), reduction="mean"),
        sample(normal(2, 2, 3), between(0, 1, 2, 2, 3), reduction="mean"),
    ],
    "multi_margin_loss": [
        sample(distinct(2, 2, 3), np.array([[0, 2], [1, 2]]), p=2, margin=1.0, reduction="mean"),
    ],
    "softplus": [sample(normal(3, 4), beta=2.0)],
    "scatter_add": [sample(normal(1, 1, 4), index=1, shape=(3, 4))],
    "heaviside": [sample(np.array([[0, 1, 0, -1], [0, 0, 1, 1]], np.int8), normal(4))],
    "vector_norm": [sample(normal(4), ord=5)],
    "eigh": [sample(stacked)],
    "svd": [sample(stacked)],
}

DIFFERENTIABLE = [op for op in OPS.values() if op.differentiable]


def samples_of(op: Op[Any]) -> list[Sample]:
    return [*op.samples, *MORE_SAMPLES.get(op.name, [])]


CALLS = [pytest.param(op, s, id=f"{op.name}-{i}") for op in DIFFERENTIABLE for i, s in enumerate(samples_of(op))]
EVERY = [pytest.param(op, id=op.name) for op in OPS.values()]


# --------------------------------------------------------------------------------------------- tools


def rng_for(text: str) -> np.random.Generator:
    """The same random numbers for the same operation at each run, whatever runs before."""
    return np.random.default_rng(list(text.encode()))


def positions(op: Op[Any], args: Iterable[Any]) -> list[int]:
    """The inputs that have a gradient: arrays of floats with a rule."""
    return [
        i
        for i, (x, rule) in enumerate(zip(args, op.vjps))
        if rule is not None and isinstance(x, np.ndarray) and x.dtype.kind == "f"
    ]


def call(op: Op[Any], args: tuple[Any, ...], params: dict[str, Any], where: list[int]) -> tuple[Any, list[tg.Tensor]]:
    """The output of the operation on Tensors at the places `where`, and those Tensors."""
    tensors = {i: tg.Tensor(args[i], requires_grad=True) for i in where}
    y = op(*(tensors.get(i, x) for i, x in enumerate(args)), **params)
    return y, list(tensors.values())


def slopes(f: Callable[[], float], x: np.ndarray) -> np.ndarray:
    """df/dx for every element of x.  f takes no argument: it reads x, which is edited in place."""
    out = np.empty_like(x)
    for i in np.ndindex(x.shape):
        kept = x[i]
        total = 0.0
        try:
            for steps, weight in ((-2, 1), (-1, -8), (1, 8), (2, -1)):
                x[i] = kept + steps * STEP
                total += weight * f()
        finally:  # a sample may be one array for all tests
            x[i] = kept
        out[i] = total / (12 * STEP)
    return out


def assert_close(got: Any, expected: np.ndarray, what: str) -> None:
    """Equal up to the error of a difference, relative to the largest entry."""
    got = np.asarray(got.detach() if isinstance(got, tg.Tensor) else got)
    assert got.shape == expected.shape, f"{what}: shape {got.shape} instead of {expected.shape}"
    scale = 1 + np.abs(expected).max(initial=0)
    np.testing.assert_allclose(got, expected, rtol=0, atol=TOLERANCE * scale, err_msg=what)


# -------------------------------------------------------------------------------------------- checks


def check_first_order(op: Op[Any], sample: Sample, rng: np.random.Generator) -> None:
    """Every rule against differences of the forward pass, under a random cotangent."""
    args = sample.draw(rng)
    where = positions(op, args)
    assert where, "a sample of a differentiable operation needs an input with a gradient"
    y, tensors = call(op, args, sample.params, where)
    g = rng.normal(size=y.shape)
    got = tg.grad(y, tensors, g)
    for i, gradient in zip(where, got):
        expected = slopes(lambda: float(np.sum(g * op(*args, **sample.params))), args[i])
        assert_close(gradient, expected, f"{op.name}: gradient of input {i}")


def check_second_order(op: Op[Any], sample: Sample, rng: np.random.Generator) -> None:
    """The recorded sweep: its gradients by the inputs and by the cotangent, against differences of the plain one."""
    args = sample.draw(rng)
    where = positions(op, args)
    y, tensors = call(op, args, sample.params, where)
    g = rng.normal(size=y.shape)
    directions = [rng.normal(size=t.shape) for t in tensors]

    def plain() -> float:
        y, tensors = call(op, args, sample.params, where)
        found = tg.grad(y, tensors, g)
        return float(sum(np.sum(u * d.data) for u, d in zip(directions, found)))

    cotangent = tg.Tensor(g, requires_grad=True)
    first = tg.grad(y, tensors, cotangent, create_graph=True)
    for i, d, t in zip(where, first, tensors):  # compared here: the sums below would hide a missing one
        assert d.shape == t.shape, f"{op.name}: recorded gradient {d.shape} of input {i} of shape {t.shape}"
    total = sum(((u * d).sum() for u, d in zip(directions, first)), start=tg.Tensor(0.0))
    assert abs(total.item() - plain()) < 1e-12 * (1 + abs(total.item())), (
        f"{op.name}: a recorded sweep and a plain one differ"  # the same NumPy calls; fused ones recompute
    )
    second = tg.grad(total, [*tensors, cotangent], allow_unused=True)
    for x, got, what in zip([*(args[i] for i in where), g], second, [*(f"input {i}" for i in where), "the cotangent"]):
        expected = slopes(plain, x)
        assert_close(np.zeros_like(x) if got is None else got, expected, f"{op.name}: second order, by {what}")


def check_float32(op: Op[Any], sample: Sample, rng: np.random.Generator) -> None:
    """float32 in, float32 out: value, gradient, and the gradient that can be differentiated again."""
    exact = sample.draw(rng)
    where = positions(op, exact)
    args = tuple(x.astype(np.float32) if i in where else x for i, x in enumerate(exact))
    y, tensors = call(op, args, sample.params, where)
    expected = sample.params.get("dtype", np.float32)  # astype is the one whose purpose is another dtype
    assert y.dtype == expected, f"{op.name}: float32 became {y.dtype}"
    assert isinstance(y, tg.Tensor), f"{op.name}: float32 became a {type(y).__name__}"
    g = rng.normal(size=y.shape).astype(y.dtype)
    z, doubles = call(op, exact, sample.params, where)
    for create_graph in (False, True):
        found = tg.grad(y, tensors, g, retain_graph=True, create_graph=create_graph)
        for i, gradient, right in zip(where, found, tg.grad(z, doubles, g.astype(z.dtype), retain_graph=True)):
            assert gradient.dtype == np.float32, f"{op.name}: the gradient of input {i} is {gradient.dtype}"
            assert gradient.shape == right.shape
            # 24 bits, and a few of them lost to cancellation: the steepest sample has slopes of 1e2
            np.testing.assert_allclose(gradient.data, right.data, rtol=1e-3, atol=1e-4, err_msg=op.name)


def check_on_tensors(op: Op[Any], sample: Sample, rng: np.random.Generator) -> None:
    """A rule gives on Tensors what it gives on arrays, when every input, label and mask is one.

    So it runs when the engine asks what it reads, and when a graph with its sweep is laid out as a program.
    """
    args = sample.draw(rng)
    with mode(everything=True):
        y, _ = call(op, args, sample.params, positions(op, args))
    node = y._node
    params = node.params or {}
    arrays = [rng.normal(size=y.shape), node.value, *node.args]
    tensors = [x if x is None else tensor_of(leaf(x, False), x) for x in arrays]
    wanted = [(rule, arrays, tensors) for rule, parent in zip(op.vjps, node.parents) if rule and parent]
    if op.residual is not None:  # what a fused operation keeps is made again from its inputs
        inputs = slice(2, 2 + len(node.parents))
        wanted.append((op.residual, arrays[inputs], tensors[inputs]))
    for function, plain, recorded in wanted:
        expected = function(*plain, **params)
        with mode(everything=True):
            found = function(*recorded, **params)
        found = found.data if isinstance(found, tg.Tensor) else np.asarray(found)
        np.testing.assert_array_equal(found, expected, err_msg=op.name)


class Edge(NamedTuple):
    """A point where the value or the gradient is a matter of definition, worked out by hand."""

    op: str
    inputs: tuple[Any, ...]
    params: dict[str, Any]
    g: Any
    gradients: tuple[Any, ...]  # one for each input with a gradient; None: not looked at
    value: Any = None


def edge(op: str, *inputs: Any, g: Any, gradients: tuple[Any, ...], value: Any = None, **params: Any) -> Edge:
    arrays = tuple(np.array(x) if isinstance(x, list) else x for x in inputs)
    return Edge(op, arrays, params, np.array(g), gradients, value)


LABELS = np.array([0, 1])
MANY = (np.arange(70_000) % 2).astype(np.float16)
EDGES = [
    edge("relu", [-inf, -1.0, 0.0, 2.0], g=[2.0, 3.0, 5.0, 7.0], gradients=([0.0, 0, 0, 7],), value=[0.0, 0, 0, 2]),
    edge("leaky_relu", [-1.0, 0.0, 2.0], slope=0.5, g=[2.0, 3.0, 5.0], gradients=([1.0, 1.5, 5],), value=[-0.5, 0, 2]),
    edge("abs", [-1.0, 0.0, 2.0], g=[2.0, 3.0, 5.0], gradients=([-2.0, 0, 5],), value=[1.0, 0, 2]),
    edge("sign", [-1.0, 0.0, 2.0], g=[2.0, 3.0, 5.0], gradients=([0.0, 0, 0],), value=[-1.0, 0, 1]),
    # At a bound the value passes; crossed bounds give the upper one.
    edge("clip", [-3.0, -1.0, 0.0, 1.0, 4.0], -1.0, 1.0, g=[2.0, 3.0, 5.0, 7.0, 11.0], gradients=([0.0, 3, 5, 7, 0],)),
    edge("clip", [-3.0, -1.0, 0.0], -1.0, None, g=[2.0, 3.0, 5.0], gradients=([0.0, 3, 5],)),
    edge("clip", [0.0, 1.0, 4.0], None, 1.0, g=[2.0, 3.0, 5.0], gradients=([2.0, 3, 0],)),
    edge(
        "clip", [-3.0, -1.0, 0.0, 1.0, 4.0, 0.5], [-1.0] * 5 + [2.0], [1.0] * 6, g=[2.0, 3.0, 5.0, 7.0, 11.0, 13.0],
        gradients=([0.0, 3, 5, 7, 0, 0], [2.0, 0, 0, 0, 0, 0], [0.0, 0, 0, 0, 11, 13]), value=[-1.0, -1, 0, 1, 1, 1],
    ),
    # Between equal bounds: x passes at the bound, and otherwise nothing moves (as in PyTorch).
    edge(
        "clip", [1.0, 0.0, 3.0], [1.0] * 3, [1.0] * 3, g=[2.0, 3.0, 5.0],
        gradients=([2.0, 0, 0], [0.0, 0, 0], [0.0, 0, 5]), value=[1.0, 1, 1],
    ),
    edge("clip", [1.0, 2.0], None, None, g=[2.0, 3.0], gradients=([2.0, 3],), value=[1.0, 2]),
    edge("clip", [-3.0, -1.0, 0.0], [-1.0] * 3, None, g=[2.0, 3.0, 5.0], gradients=([0.0, 3, 5], [2.0, 0, 0])),
    edge("clip", [0.0, 1.0, 4.0], None, [1.0] * 3, g=[2.0, 3.0, 5.0], gradients=([2.0, 3, 0], [0.0, 0, 5])),
    # Ties are shared.
    edge("maximum", [1.0, 2.0, 3.0], [1.0, 3.0, 2.0], g=[2.0, 3.0, 5.0], gradients=([1.0, 0, 5], [1.0, 3, 0])),
    edge("minimum", [1.0, 2.0, 3.0], [1.0, 3.0, 2.0], g=[2.0, 3.0, 5.0], gradients=([1.0, 3, 0], [1.0, 0, 5])),
    edge("maximum", [nan, 1.0], [1.0, nan], g=[2.0, 3.0], gradients=([2.0, 3], [2.0, 3]), value=[nan, nan]),
    edge("minimum", [nan, 1.0], [1.0, nan], g=[2.0, 3.0], gradients=([2.0, 3], [2.0, 3]), value=[nan, nan]),
    edge("max", [[1.0, 3.0, 3.0], [0.0, 5.0, 1.0]], axis=1, g=[4.0, 6.0], gradients=([[0.0, 2, 2], [0, 6, 0]],)),
    edge("min", [[3.0, 1.0, 1.0], [7.0, 5.0, 6.0]], axis=1, g=[4.0, 6.0], gradients=([[0.0, 2, 2], [0, 6, 0]],)),
    edge("max", [2.0, 2.0, 2.0, 1.0], g=6.0, gradients=([2.0, 2, 2, 0],), value=2.0),
    edge("max", [1.0, nan, 3.0], g=6.0, gradients=([0.0, 6, 0],), value=nan),
    edge("min", [1.0, nan, 3.0], g=6.0, gradients=([0.0, 6, 0],), value=nan),
    edge("max", [-inf, -inf], g=6.0, gradients=([3.0, 3],), value=-inf),
    edge("sqrt", [0.0, 4.0], g=[2.0, 3.0], gradients=([inf, 0.75],), value=[0.0, 2]),
    edge("log", [0.0, 4.0], g=[2.0, 3.0], gradients=([inf, 0.75],), value=[-inf, np.log(4)]),
    edge("power", [0.0, -2.0], 0, g=[2.0, 3.0], gradients=([0.0, 0],), value=[1.0, 1]),
    edge("power", [0.0, -2.0], 1, g=[2.0, 3.0], gradients=([2.0, 3],), value=[0.0, -2]),
    edge("power", [0.0, -2.0], 2, g=[2.0, 3.0], gradients=([0.0, -12],), value=[0.0, 4]),
    edge(
        "power", [0.0, 0.0, 0.0, 0.0, -2.0, -2.0, 2.0], [0.0, 1.0, 2.0, 0.5, 2.0, 0.0, 3.0],
        g=[2.0, 3.0, 5.0, 7.0, 11.0, 13.0, 17.0],
        gradients=([0.0, 3, 0, inf, -44, 0, 17 * 12], [0.0, 0, 0, 0, nan, nan, 17 * 8 * np.log(2)]),
        value=[1.0, 0, 0, 0, 4, 1, 8],
    ),
    edge("power", 0.0, [0.0, 1.0, 2.0], g=[2.0, 3.0, 5.0], gradients=([0.0, 0, 0],), value=[1.0, 0, 0]),
    edge(
        "where", [True, False], [1.0, inf], [nan, 2.0], g=[inf, inf], gradients=([inf, 0.0], [0.0, inf]),
        value=[1.0, 2.0],
    ),
    edge("std", [3.0, 3.0, 3.0], g=2.0, gradients=([0.0, 0, 0],), value=0.0),
    edge("std", [[3.0, 3.0], [1.0, 3.0]], axis=1, g=[2.0, 3.0], gradients=([[0.0, 0], [-1.5, 1.5]],), value=[0.0, 1]),
    edge("var", [3.0, 3.0, 3.0], g=2.0, gradients=([0.0, 0, 0],), value=0.0),
    # One degree of freedom is enough, none or fewer are not.
    edge("var", [1.0, 3.0], ddof=1, g=2.0, gradients=([-4.0, 4],), value=2.0),
    edge("std", [1.0, 3.0], ddof=1, g=2.0, gradients=([-np.sqrt(2), np.sqrt(2)],), value=np.sqrt(2)),
    edge("var", [1.0, 3.0], ddof=2, g=2.0, gradients=([nan, nan],), value=nan),
    edge("std", [1.0, 3.0], ddof=2, g=2.0, gradients=([nan, nan],), value=nan),
    edge("var", [1.0, 3.0], ddof=4, g=2.0, gradients=([nan, nan],), value=nan),
    edge("std", [1.0, 3.0], ddof=4, g=2.0, gradients=([nan, nan],), value=nan),
    edge("logsumexp", [-inf, -inf], g=2.0, gradients=([0.0, 0],), value=-inf),
    edge("logsumexp", [-inf, 1e4, 1e4], g=2.0, gradients=([0.0, 1, 1],), value=1e4 + np.log(2)),
    edge("softmax", [-inf, 1e4, 1e4], g=[2.0, 3.0, 5.0], gradients=([0.0, -0.5, 0.5],), value=[0.0, 0.5, 0.5]),
    edge("softmax", [-1e4, 1e4], g=[2.0, 3.0], gradients=([0.0, 0],), value=[0.0, 1]),
    edge("log_softmax", [-1e4, 1e4], g=[2.0, 3.0], gradients=([2.0, -2.0],), value=[-2e4, 0]),
    edge("sigmoid", [-1000.0, 0.0, 1000.0], g=[2.0, 4.0, 5.0], gradients=([0.0, 1, 0],), value=[0.0, 0.5, 1]),
    edge("softplus", [-1000.0, 0.0, 1000.0], g=[2.0, 4.0, 5.0], gradients=([0.0, 2, 5],), value=[0.0, np.log(2), 1000]),
    edge("tanh", [-1000.0, 0.0, 1000.0], g=[2.0, 4.0, 5.0], gradients=([0.0, 4, 0],), value=[-1.0, 0, 1]),
    edge(
        "binary_cross_entropy_with_logits", [1000.0, -1000.0, 1000.0, 0.0], [0.0, 1.0, 1.0, 0.0],
        reduction="sum", g=2.0, gradients=([2.0, -2, 0, 1], [-2000.0, 2000, -2000, 0]), value=2000 + np.log(2),
    ),
    # A logarithm below -100 counts as -100, and the denominator y (1 - y) as 1e-12 at least.
    edge(
        "binary_cross_entropy", [0.0, 1.0, 0.0, 1.0], [0.0, 1.0, 1.0, 0.0], reduction="sum", g=2.0,
        gradients=([0.0, 0, -2e12, 2e12], [200.0, -200, 200, -200]), value=200.0,
    ),
    edge(
        "cross_entropy", [[1e4, -1e4], [1e4, -1e4]], LABELS, reduction="sum", g=2.0,
        gradients=([[0.0, 0], [2, -2]],), value=2e4,
    ),
    edge(
        "cross_entropy", [[0.0, -inf], [1.0, 1.0]], [[1.0, 0.0], [0.5, 0.5]], reduction="sum", g=2.0,
        gradients=([[0.0, 0], [0, 0]], None), value=np.log(2),
    ),
    # Four products of 6e4 are more than float16 holds; they cancel, as y says all of them again.
    edge("standardize", np.array([1, -1, 1, -1], np.float16), axis=0, eps=0.0,
         g=np.array([6e4, -6e4, 6e4, -6e4], np.float16), gradients=(np.zeros(4, np.float16),)),
    # float16 counts to 65,504: a share of 1/70,000 must not be computed in it.
    edge("mean", MANY, g=np.float16(4.0), gradients=(np.full(70_000, 4 / 70_000, np.float16),), value=0.5),
    edge("max", MANY * 0, g=np.float16(6e4), gradients=(np.full(70_000, 6 / 7, np.float16),), value=0.0),
    edge("min", MANY * 0, g=np.float16(6e4), gradients=(np.full(70_000, 6 / 7, np.float16),), value=0.0),
    edge("var", MANY, g=np.float16(6e4), gradients=((12 / 7 * (MANY.astype(float) - 0.5)).astype(np.float16),)),
    edge("std", MANY, g=np.float16(6e4), gradients=((12 / 7 * (MANY.astype(float) - 0.5)).astype(np.float16),)),
    edge("cross_entropy", np.zeros((0, 3)), np.zeros(0, int), reduction="mean", g=2.0, gradients=(np.zeros((0, 3)),)),
    edge("nll_loss", np.zeros((0, 3)), np.zeros(0, int), reduction="mean", g=2.0, gradients=(np.zeros((0, 3)),)),
    # Targets that sum to 3: p * 3 - t.
    edge("cross_entropy", [0.0, 0.0], [1.0, 2.0], reduction="sum", g=2.0, gradients=([1.0, -1], None)),
    edge(
        "nll_loss", [[0.0, -inf], [-1.0, -2.0]], [[1.0, 0.0], [0.5, 0.5]], reduction="sum", g=2.0,
        gradients=([[-2.0, 0], [-1, -1]], [[0.0, inf], [2, 4]]), value=1.5,
    ),
    edge("nll_loss", [[-1.0, -2.0], [-3.0, -4.0]], LABELS, reduction="sum", g=2.0, gradients=([[-2.0, 0], [0, -2]],)),
    edge("getitem", [1.0, 2.0, 3.0], index=np.array([0, 0, -3, 1]), g=[2.0, 3.0, 5.0, 7.0], gradients=([10.0, 7, 0],)),
    edge("scatter_add", [1.0, 2.0, 4.0], index=[0, 0, 2], shape=(3,), g=[2.0, 3.0, 5.0], gradients=([2.0, 2, 5],),
         value=[3.0, 0, 4]),
    edge("mean", np.zeros((2, 3)), axis=(), g=np.arange(6.0).reshape(2, 3), gradients=(np.arange(6.0).reshape(2, 3),)),
    edge("half_mse_loss", np.array(3.0), np.array(1.0), g=2.0, gradients=(4.0, -4.0), value=2.0),
    edge("half_mse_loss", np.ones((2, 2, 3)), np.zeros((2, 2, 3)), g=2.0, gradients=(np.full((2, 2, 3), 0.5), None)),
    # Ties share what the middle receives; the two in the middle receive half each.
    edge("median", [1.0, 2.0, 2.0, 2.0, 3.0], g=6.0, gradients=([0.0, 2, 2, 2, 0],), value=2.0),
    edge("median", [5.0, 1.0, 3.0, 3.0, 4.0, 0.0], g=6.0, gradients=([0.0, 0, 3, 3, 0, 0],), value=3.0),
    edge("median", [1.0, 1.0, 4.0, 9.0], g=6.0, gradients=([1.5, 1.5, 3, 0],), value=2.5),
    edge("median", [[3.0, 1.0], [2.0, 8.0]], axis=0, g=[2.0, 4.0], gradients=([[1.0, 2], [1, 2]],), value=[2.5, 4.5]),
    edge("median", [1.0, nan, 3.0], g=6.0, gradients=([0.0, 6, 0],), value=nan),
    edge("median", [-inf, 2.0, inf], g=6.0, gradients=([0.0, 6, 0],), value=2.0),
    edge("median", np.full(70_000, 2, np.float16), g=np.float16(7e3), gradients=(np.full(70_000, 0.1, np.float16),)),
    edge("median", np.array(3.0), g=6.0, gradients=(6.0,), value=3.0),
    # A norm of 0 has a kink, and the gradient 0; so has |x|^p for p < 1 where x is 0.
    *(edge("vector_norm", [0.0, 0.0], ord=p, g=6.0, gradients=([0.0, 0],), value=0.0) for p in (2, 3, 2.5, 0.5, -2)),
    edge("vector_norm", [0.0, 2.0, -2.0], ord=2, g=np.sqrt(2), gradients=([0.0, 1, -1],), value=2 * np.sqrt(2)),
    edge("vector_norm", [0.0, 1.0, -4.0], ord=0.5, g=2.0, gradients=([0.0, 6, -3],), value=9.0),
    edge("vector_norm", [0.0, 1.0], ord=-2, g=2.0, gradients=([0.0, 0],), value=0.0),
    edge("vector_norm", [[0.0, 0.0], [3.0, 4.0]], axis=1, g=[2.0, 5.0], gradients=([[0.0, 0], [3, 4]],)),
    edge("prod", [0.0, 2.0, 3.0], g=2.0, gradients=([12.0, 0, 0],), value=0.0),
    edge("prod", [0.0, 2.0, 0.0], g=2.0, gradients=([0.0, 0, 0],), value=0.0),
    edge("prod", np.zeros((2, 0)), axis=1, g=[2.0, 3.0], gradients=(np.zeros((2, 0)),), value=[1.0, 1]),
    edge("cumprod", [2.0, 0.0, 3.0], g=[1.0, 2.0, 4.0], gradients=([1.0, 28, 0],), value=[2.0, 0, 0]),
    edge("cumprod", [0.0, 0.0, 3.0], g=[1.0, 2.0, 4.0], gradients=([1.0, 0, 0],), value=[0.0, 0, 0]),
    edge("sort", [2.0, nan, 1.0], g=[3.0, 5.0, 7.0], gradients=([5.0, 7, 3],), value=[1.0, 2, nan]),
    edge("sort", [inf, -inf, 1.0], g=[3.0, 5.0, 7.0], gradients=([7.0, 3, 5],), value=[-inf, 1, inf]),
    edge("topk", [2.0, nan, 5.0], k=2, g=[3.0, 7.0], gradients=([0.0, 3, 7],), value=[nan, 5]),
    edge("topk", [2.0, nan, 5.0], k=2, largest=False, g=[3.0, 7.0], gradients=([3.0, 0, 7],), value=[2.0, 5]),
    # The cofactors of a singular matrix.
    edge("det", [[1.0, 2.0], [2.0, 4.0]], g=2.0, gradients=([[8.0, -4], [-4, 2]],)),
    edge("det", [[0.0, 0.0], [0.0, 0.0]], g=2.0, gradients=([[0.0, 0], [0, 0]],), value=0.0),
    edge("det", [[0.0]], g=2.0, gradients=([[2.0]],), value=0.0),
    edge("det", np.zeros((0, 0)), g=2.0, gradients=(np.zeros((0, 0)),), value=1.0),
    edge("det", [[[3.0, 0.0], [0.0, 0.0]], [[1.0, 0.0], [0.0, 2.0]]], g=[2.0, 5.0], value=[0.0, 2.0],
         gradients=([[[0.0, 0], [0, 6]], [[10, 0], [0, 5]]],)),
    # Where all is asked of the values and nothing of the vectors, equal values do no harm.
    edge("eigh", np.eye(2) * 3, g=[[2.0, 5.0], [0, 0], [0, 0]], gradients=([[2.0, 0], [0, 5]],)),
    edge("svd", np.eye(2) * 3, g=[[2.0, 5.0], [0, 0], [0, 0], [0, 0], [0, 0]], gradients=([[2.0, 0], [0, 5]],)),
    edge("divide_or_zero", [0.0, 1.0, 3.0], [0.0, 0.0, 2.0], g=[1.0, 1.0, 2.0], value=[0.0, inf, 1.5],
         gradients=([inf, inf, 1], [nan, -inf, -1.5])),
    edge("cross", [1.0, 0.0, 0.0], [0.0, 1.0, 0.0], g=[0.0, 0.0, 2.0], value=[0.0, 0, 1],
         gradients=([2.0, 0, 0], [0.0, 2, 0])),
    edge(
        "xlogy", [0.0, 0.0, 0.0, 2.0, 1.0], [0.0, -1.0, 0.5, 0.0, 0.0], g=[2.0, 3.0, 5.0, 7.0, 11.0],
        gradients=([0.0, 0, 5 * np.log(0.5), -inf, -inf], [nan, 0, 0, inf, inf]), value=[0.0, 0, 0, -inf, -inf],
    ),
    edge("elu", [-inf, 0.0, 2.0], alpha=0.5, g=[2.0, 3.0, 5.0], gradients=([0.0, 1.5, 5],), value=[-0.5, 0, 2]),
    edge("selu", [0.0], g=[2.0], gradients=([2 * 1.0507009873554805 * 1.6732632423543772],), value=[0.0]),
    edge("hardtanh", [-1.0, 0.0, 1.0], min_val=-1.0, max_val=1.0, g=[2.0, 3.0, 5.0], gradients=([0.0, 3, 0],)),
    edge("gelu", [-1e200, 1e200], approximate="tanh", g=[2.0, 3.0], gradients=([0.0, 3],), value=[0.0, 1e200]),
    # A NaN is passed over; at a tie all goes to a.
    edge(
        "fmax", [1.0, nan, 1.0, nan], [1.0, 1.0, nan, nan], g=[2.0, 3.0, 5.0, 7.0],
        gradients=([2.0, 0, 5, 7], [0.0, 3, 0, 0]), value=[1.0, 1, 1, nan],
    ),
    edge(
        "fmin", [1.0, nan, 1.0, nan], [1.0, 1.0, nan, nan], g=[2.0, 3.0, 5.0, 7.0],
        gradients=([2.0, 0, 5, 7], [0.0, 3, 0, 0]), value=[1.0, 1, 1, nan],
    ),
    edge(
        "nan_to_num", [0.0, nan, inf, -inf, 2.0], nan=9.0, posinf=7.0, neginf=-1.0, g=[2.0, 3.0, 5.0, 7.0, 11.0],
        gradients=([2.0, 0, 0, 0, 11],), value=[0.0, 9, 7, -1, 2],
    ),
    edge(
        "logaddexp", [-inf, 1.0, inf, -inf], [-inf, 1.0, 1.0, 2.0], g=[2.0, 4.0, 5.0, 7.0],
        gradients=([0.0, 2, 5, 0], [0.0, 2, 0, 7]), value=[-inf, 1 + np.log(2), inf, 2],
    ),
    edge(
        "logaddexp2", [-inf, 1.0, inf, -inf], [-inf, 1.0, 1.0, 2.0], g=[2.0, 4.0, 5.0, 7.0],
        gradients=([0.0, 2, 5, 0], [0.0, 2, 0, 7]), value=[-inf, 2, inf, 2],
    ),
    edge(
        "copysign", [0.0, -2.0, 3.0], [1.0, -0.0, -1.0], g=[2.0, 3.0, 5.0], gradients=([0.0, 3, -5], [0.0, 0, 0]),
        value=[0.0, -2, -3],
    ),
    edge("fmod", [5.5, -5.5], [2.0, 2.0], g=[3.0, 5.0], gradients=([3.0, 5], [-6.0, 10]), value=[1.5, -1.5]),
    # The origin has no direction; what is squared must not overflow.
    edge("hypot", [0.0, 3.0, 1.0], [0.0, 4.0, 0.0], g=[2.0, 5.0, 7.0], gradients=([0.0, 3, 7], [0.0, 4, 0])),
    edge(
        "arctan2", [0.0, 1.0, 0.0, 1e200], [0.0, 0.0, 1.0, 1e200], g=[2.0, 3.0, 5.0, 2.0],
        gradients=([0.0, 0, 5, 1e-200], [0.0, -3, 0, -1e-200]), value=[0.0, np.pi / 2, 0, np.pi / 4],
    ),
    edge(
        "kl_div", np.full((3, 2), -1.0), np.ones((3, 2)), reduction="batchmean", log_target=False, g=3.0,
        gradients=(np.full((3, 2), -1.0), np.full((3, 2), 2.0)), value=2.0,
    ),
    edge(
        "kl_div", np.array(-1.0), np.array(1.0), reduction="batchmean", log_target=False, g=3.0,
        gradients=(-3.0, 6.0), value=1.0,
    ),
    edge(
        "multi_margin_loss", [[0.0, 0.5, 3.0]], [1], p=1, margin=1.0, reduction="mean", g=3.0,
        gradients=([[1.0, -2, 1]],), value=4 / 3,
    ),
    edge(
        "multi_margin_loss", np.zeros((0, 3)), np.zeros(0, int), p=1, margin=1.0, reduction="mean", g=2.0,
        gradients=(np.zeros((0, 3)),),
    ),
    edge("recurrence", [0.5, 0.5], [inf, 1.0], g=[2.0, 4.0], gradients=([0.0, inf], [4.0, 4]), value=[inf, inf]),
    edge("det", np.eye(21), g=2.0, gradients=(2 * np.eye(21),), value=1.0),
    edge("det", np.diag([0.0] + [1.0] * 19), g=2.0, gradients=(np.diag([2.0] + [0.0] * 19),), value=0.0),
    edge(
        "det", np.tile([[3.0, 0.0], [0.0, 0.0]], (1, 21, 1, 1)), g=np.full((1, 21), 2.0),
        gradients=(np.tile([[0.0, 0.0], [0.0, 6.0]], (1, 21, 1, 1)),), value=np.zeros((1, 21)),
    ),
    edge(
        "l1_loss", [1.0, 3.0, 2.0, -1.0], [2.0, 1.0, 2.0, -3.0], reduction="sum", g=3.0,
        gradients=([-3.0, 3, 0, 3], [3.0, -3, 0, -3]), value=5.0,
    ),
    edge(
        "multi_margin_loss", [[0.0, 0.5, 3.0]], np.array([1], np.uint64), p=2, margin=1.0, reduction="sum", g=3.0,
        gradients=([[1.0, -8, 7]],), value=12.5 / 3,
    ),
    edge(
        "multi_margin_loss", np.zeros((0, 0)), np.zeros(0, int), p=1, margin=1.0, reduction="sum", g=2.0,
        gradients=(np.zeros((0, 0)),), value=0.0,
    ),
]  # fmt: skip


def check_edge(point: Edge) -> None:
    """Value and gradients at a point where a formula alone would not do, and no warning from the sweep."""
    op = OPS[point.op]
    where = positions(op, point.inputs)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of log(0) and of ddof >= n NumPy warns; of their gradients nobody does
        y, tensors = call(op, point.inputs, point.params, where)
    if point.value is not None:
        np.testing.assert_allclose(y.data, point.value, rtol=1e-12, atol=0, err_msg=op.name)
    found = tg.grad(y, tensors, point.g)
    for gradient, expected in zip(found, point.gradients, strict=True):
        if expected is not None:  # numbers of 1e4 are known to 1e-12, and that is what e^(x - y) sees
            np.testing.assert_allclose(gradient.data, expected, rtol=1e-12, atol=0, err_msg=op.name)


def check_operation(op: Op[Any]) -> None:
    """All of the above for one operation, with the numbers that the tests draw: what `tests/mutate.py` runs."""
    for s in samples_of(op):
        check_first_order(op, s, rng_for(op.name))
    for point in EDGES:
        if point.op == op.name:
            check_edge(point)
    for s in samples_of(op):
        check_second_order(op, s, rng_for(op.name))
        check_float32(op, s, rng_for(op.name))
        check_on_tensors(op, s, rng_for(op.name))


# --------------------------------------------------------------------------------------------- tests


@pytest.mark.parametrize(("op", "sample"), CALLS)
def test_gradients_are_slopes(op: Op[Any], sample: Sample) -> None:
    check_first_order(op, sample, rng_for(op.name))


@pytest.mark.parametrize(("op", "sample"), CALLS)
def test_second_gradients_are_slopes_of_the_first(op: Op[Any], sample: Sample) -> None:
    check_second_order(op, sample, rng_for(op.name))


@pytest.mark.parametrize(("op", "sample"), CALLS)
def test_float32_stays_float32(op: Op[Any], sample: Sample) -> None:
    check_float32(op, sample, rng_for(op.name))


@pytest.mark.parametrize(("op", "sample"), CALLS)
def test_rules_take_tensors_for_arrays(op: Op[Any], sample: Sample) -> None:
    check_on_tensors(op, sample, rng_for(op.name))


@pytest.mark.parametrize("point", [pytest.param(e, id=f"{e.op}-{i}") for i, e in enumerate(EDGES)])
def test_edges(point: Edge) -> None:
    check_edge(point)


@pytest.mark.parametrize(("op", "sample"), CALLS)
def test_each_gradient_by_itself(op: Op[Any], sample: Sample) -> None:
    """The gradient of one input does not depend on whether the others are asked for theirs."""
    rng = rng_for(op.name)
    args = sample.draw(rng)
    where = positions(op, args)
    y, tensors = call(op, args, sample.params, where)
    g = rng.normal(size=y.shape)
    together = tg.grad(y, tensors, g)
    for i, expected in zip(where, together):
        y, tensors = call(op, args, sample.params, [i])
        (alone,) = tg.grad(y, tensors, g)
        np.testing.assert_array_equal(alone.data, expected.data)


@pytest.mark.parametrize(("op", "sample"), CALLS)
def test_inputs_are_left_alone(op: Op[Any], sample: Sample) -> None:
    """Neither the forward pass nor a sweep writes to an input, to the output or to the cotangent."""
    rng = rng_for(op.name)
    args = sample.draw(rng)
    where = positions(op, args)
    y, tensors = call(op, args, sample.params, where)
    g = rng.normal(size=y.shape)
    before = [y.data.copy(), g.copy(), *(np.copy(args[i]) for i in where)]
    for _ in range(2):
        tg.grad(y, tensors, g, retain_graph=True)
    after = [y.data, g, *(t.data for t in tensors)]
    for a, b in zip(after, before):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize(("op", "sample"), CALLS)
def test_arrays_are_just_computed(op: Op[Any], sample: Sample) -> None:
    """On arrays an operation is a function of NumPy, and on Tensors it has the same value."""
    args = sample.draw(rng_for(op.name))
    plain = op(*args, **sample.params)
    y, _ = call(op, args, sample.params, positions(op, args))
    assert not isinstance(plain, tg.Tensor)
    assert isinstance(y, tg.Tensor)
    np.testing.assert_array_equal(y.data, plain)


@pytest.mark.parametrize("op", [pytest.param(op, id=op.name) for op in DIFFERENTIABLE])
def test_every_rule_is_sampled(op: Op[Any]) -> None:
    """A rule that no sample reaches is a rule that no test has seen."""
    assert op.samples, f"{op.name} has no samples"
    reached = {i for s in op.samples for i in positions(op, s.draw(rng_for(op.name)))}
    if isinstance(op.vjps, Each):
        assert {0, 1} <= reached
    else:
        assert {i for i, rule in enumerate(op.vjps) if rule is not None} <= reached


@pytest.mark.parametrize("op", EVERY)
def test_samples_are_drawn_from_the_seed(op: Op[Any]) -> None:
    for s in op.samples:
        first, second = s.draw(np.random.default_rng(1)), s.draw(np.random.default_rng(1))
        for a, b in zip(first, second):
            np.testing.assert_array_equal(a, b)


# ------------------------------------------------------------------------------- what people read


def documentation(op: Op[Any]) -> str:
    """The docstring of the operation, or of the public function of its name that leads to it."""
    public = getattr(sys.modules[op.__module__], op.name, None)
    return inspect.cleandoc(op.__doc__ or getattr(public, "__doc__", None) or "")


@pytest.mark.parametrize("op", EVERY)
def test_docstring_tells_the_gradient(op: Op[Any]) -> None:
    text = documentation(op)
    if op.differentiable:
        assert "Gradient" in text
    else:
        assert re.search(r"\b([Nn]o|without a) gradient", text), f"{op.name} does not say that it has no gradient"
    assert ">>> " in text, f"{op.name} has no example"


@pytest.mark.parametrize("op", EVERY)
def test_example_runs(op: Op[Any]) -> None:
    examples = doctest.DocTestParser().get_doctest(documentation(op), {}, op.name, None, None)
    assert examples.examples
    said: list[str] = []
    doctest.DocTestRunner().run(examples, out=said.append)
    assert not said, "".join(said)


@pytest.mark.parametrize("op", EVERY)
def test_notation_names_the_inputs(op: Op[Any]) -> None:
    """Placeholders are inputs or parameters, and no input is left out."""
    for text in filter(None, (op.notation.text, op.notation.latex)):
        named = set(re.findall(r"<(\w+|\*)>", text))
        if isinstance(op.vjps, Each):
            assert "*" in named
            assert named <= {"*", *(op.defaults or {})}
        else:
            assert named <= {*op.inputs, *(op.defaults or {})}
            assert set(op.inputs) <= named, f"{op.name}: {text} leaves out {set(op.inputs) - named}"
        assert not re.search(r"<(?!\w+>|\*>| |=|$)", text), f"{op.name}: a placeholder is misspelt in {text}"


@pytest.mark.parametrize("op", EVERY)
def test_operation_knows_itself(op: Op[Any]) -> None:
    assert OPS[op.name] is op
    assert op.__name__ == op.name
    assert op.name in repr(op)
    assert op.arity is None or len(op.inputs) == op.arity
    assert inspect.signature(op) is not None


def test_a_name_is_defined_once() -> None:
    with pytest.raises(ValueError, match="exp is defined twice"):
        tg.operation(vjps=[lambda g, y, x: g], name="exp")(lambda x: x)
    assert OPS["exp"] is tg.exp
    assert len({id(op) for op in OPS.values()}) == len(OPS)


def test_a_numpy_function_has_one_meaning() -> None:
    """No NumPy function is claimed by two operations: the later one would win in silence."""
    claims: list[str] = []
    for file in sorted((Path(tg.__file__).parent / "ops").glob("*.py")):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Name):
                continue
            if node.func.id == "implements":
                claims += [ast.unparse(a) for a in node.args]
            elif node.func.id == "operation":
                claims += [ast.unparse(a) for a in node.args if isinstance(a, ast.Attribute)]
                claims += [
                    ast.unparse(e)
                    for keyword in node.keywords
                    if keyword.arg == "numpy" and isinstance(keyword.value, ast.List)
                    for e in keyword.value.elts
                ]
    claims = [c for c in claims if c.startswith("np.")]
    assert len(claims) > 30
    twice = {c for c in claims if claims.count(c) > 1}
    assert not twice


# ------------------------------------------------------------------------------------ NumPy dispatch

A, B = np.array([[0.6, 1.5], [0.9, 0.7]]), np.array([[1.2, 0.8], [0.5, 1.1]])
ROW = np.array([0.6, 1.5, 0.9])
MASK = np.array([[True, False], [False, True]])

SIX, THREE = np.array([6, 5]), np.array([3, 4])

# How each NumPy function is called; ufuncs of floats are called on A, or on A and B, without being listed.
NUMPY_CALLS: dict[Any, list[Callable[..., Any]]] = {
    np.where: [lambda f, t: f(MASK, t(A), t(B)), lambda f, t: f(MASK, t(A), 0.0)],
    np.clip: [
        lambda f, t: f(t(A), 0.7, 1.2),
        lambda f, t: f(t(A), None, 1.2),
        lambda f, t: f(t(A), a_min=0.7, a_max=None),
    ],
    np.dot: [
        lambda f, t: f(t(A), t(B)),
        lambda f, t: f(t(ROW), t(ROW)),
        lambda f, t: f(A, t(B)),
        lambda f, t: f(t(A), 2.0),
        lambda f, t: f(t(np.ones((2, 3, 2))), t(A[0])),
    ],
    np.bitwise_and: [lambda f, t: f(t(MASK), t(~MASK)), lambda f, t: f(MASK, t(MASK)), lambda f, t: f(t(SIX), THREE)],
    np.bitwise_or: [lambda f, t: f(t(MASK), t(~MASK)), lambda f, t: f(MASK, t(MASK)), lambda f, t: f(t(SIX), THREE)],
    np.bitwise_xor: [lambda f, t: f(t(MASK), t(~MASK)), lambda f, t: f(MASK, t(MASK)), lambda f, t: f(t(SIX), THREE)],
    np.invert: [lambda f, t: f(t(MASK)), lambda f, t: f(t(SIX))],
    np.copy: [lambda f, t: f(t(A))],
    np.shape: [lambda f, t: f(t(A))],
    np.ndim: [lambda f, t: f(t(A))],
    np.size: [lambda f, t: f(t(A)), lambda f, t: f(t(A), 1), lambda f, t: f(t(A), axis=0)],
    np.zeros_like: [lambda f, t: f(t(A)), lambda f, t: f(t(A), dtype=np.float32)],
    np.ones_like: [lambda f, t: f(t(A)), lambda f, t: f(t(A), dtype=np.float32)],
    np.reshape: [lambda f, t: f(t(A), (4,)), lambda f, t: f(t(A), -1)],
    np.transpose: [lambda f, t: f(t(A)), lambda f, t: f(t(A), (1, 0)), lambda f, t: f(t(A), axes=(-1, 0))],
    np.swapaxes: [lambda f, t: f(t(np.ones((2, 3, 4)) * ROW[:, None]), 0, -1)],
    np.matrix_transpose: [lambda f, t: f(t(np.ones((2, 3, 4)) * ROW[:, None]))],
    np.moveaxis: [
        lambda f, t: f(t(np.ones((2, 3, 4)) * ROW[:, None]), 0, -1),
        lambda f, t: f(t(np.ones((2, 3, 4)) * ROW[:, None]), (0, 1), (-1, 0)),
    ],
    np.squeeze: [lambda f, t: f(t(A[:, :1, None])), lambda f, t: f(t(A[:, :1, None]), axis=-1)],
    np.expand_dims: [lambda f, t: f(t(A), -1), lambda f, t: f(t(A), axis=(0, 2))],
    np.ravel: [lambda f, t: f(t(A.T))],
    np.broadcast_to: [lambda f, t: f(t(A), (3, 2, 2)), lambda f, t: f(t(A), shape=(3, 2, 2))],
    np.concatenate: [
        lambda f, t: f([t(A), t(B)]),
        lambda f, t: f([t(A), B], axis=1),
        lambda f, t: f((A, t(ROW[None, :2])), 0),
        lambda f, t: f([t(A), t(ROW)], axis=None),
    ],
    np.stack: [lambda f, t: f([t(A), t(B)]), lambda f, t: f([A, t(B)], axis=-1)],
    np.sum: [lambda f, t: f(t(A)), lambda f, t: f(t(A), 0), lambda f, t: f(t(A), axis=(0, 1), keepdims=True)],
    np.mean: [lambda f, t: f(t(A)), lambda f, t: f(t(A), 0), lambda f, t: f(t(A), axis=-1, keepdims=True)],
    np.max: [lambda f, t: f(t(A)), lambda f, t: f(t(A), 0), lambda f, t: f(t(A), axis=-1, keepdims=True)],
    np.min: [lambda f, t: f(t(A)), lambda f, t: f(t(A), 0), lambda f, t: f(t(A), axis=-1, keepdims=True)],
    np.var: [lambda f, t: f(t(A)), lambda f, t: f(t(A), 0), lambda f, t: f(t(A), axis=-1, ddof=1, keepdims=True)],
    np.std: [lambda f, t: f(t(A)), lambda f, t: f(t(A), 0), lambda f, t: f(t(A), axis=-1, ddof=1, keepdims=True)],
    np.argmax: [lambda f, t: f(t(A)), lambda f, t: f(t(A), 0), lambda f, t: f(t(A), axis=-1, keepdims=True)],
    np.argmin: [lambda f, t: f(t(A)), lambda f, t: f(t(A), 0), lambda f, t: f(t(A), axis=-1, keepdims=True)],
    np.allclose: [lambda f, t: f(t(A), A + 1e-9), lambda f, t: f(A, t(B), atol=9.0)],
    np.array_equal: [lambda f, t: f(t(A), A), lambda f, t: f(t(A), B)],
    np.all: [lambda f, t: f(t(MASK)), lambda f, t: f(t(A), axis=0), lambda f, t: f(t(MASK), axis=0, keepdims=True)],
    np.any: [lambda f, t: f(t(MASK)), lambda f, t: f(t(A), axis=0), lambda f, t: f(t(MASK), axis=0, keepdims=True)],
}
if np.lib.NumpyVersion(np.__version__) >= "2.1.0":  # keywords that came then
    NUMPY_CALLS[np.clip] += [lambda f, t: f(t(A), min=0.7, max=1.2), lambda f, t: f(t(A), max=1.2)]
    NUMPY_CALLS[np.astype] = [lambda f, t: f(t(A), np.float32), lambda f, t: f(t(A), np.int64)]
    NUMPY_CALLS[np.reshape] += [lambda f, t: f(t(A), shape=(1, 4))]
NUMPY_CALLS |= collected("NUMPY_CALLS")


def numpy_calls(function: Any) -> list[Callable[..., Any]]:
    if isinstance(function, np.ufunc) and function not in NUMPY_CALLS and function is not np.vecdot:
        if function.nin == 1:
            return [lambda f, t: f(t(A))]
        return [lambda f, t: f(t(A), t(B)), lambda f, t: f(A, t(B)), lambda f, t: f(t(A), B)]
    return NUMPY_CALLS.get(function, [])


def _as_tensor(x: np.ndarray) -> tg.Tensor:
    return tg.Tensor(x, requires_grad=x.dtype.kind == "f")


@pytest.mark.parametrize("function", [pytest.param(f, id=f.__name__) for f in NUMPY])
def test_numpy_function_on_a_tensor(function: Any) -> None:
    """np.f(tensor) has the value, shape and dtype of np.f(array), and keeps the graph."""
    calls = numpy_calls(function)
    if not calls:  # the families of reductions and of linear algebra call theirs in their own tests
        elsewhere = [importlib.import_module(f"tests.ops.test_{family}") for family in ("reductions", "linalg")]
        assert any(function in module.NUMPY_CALLS for module in elsewhere), f"np.{function.__name__} is never called"
    for make in calls:
        expected = make(function, lambda x: x)
        got = make(function, _as_tensor)
        _same_as_numpy(function, got, expected)


def _same_as_numpy(function: Any, got: Any, expected: Any) -> None:
    if isinstance(expected, (tuple, list)) and function is not np.shape:
        assert isinstance(got, (tuple, list))
        assert len(got) == len(expected)
        for g, e in zip(got, expected):
            _same_as_numpy(function, g, e)
    elif isinstance(got, tg.Tensor):
        assert got.dtype == expected.dtype
        assert got.shape == np.shape(expected)
        np.testing.assert_array_equal(got.data, expected)
        meaning = NUMPY[function]
        assert got.requires_grad == (got.dtype.kind == "f" and getattr(meaning, "differentiable", True))
    else:  # a shape, a number of axes, an answer, or fresh zeros: nothing that a gradient flows through
        assert function in WITHOUT_GRADIENT
        np.testing.assert_array_equal(got, expected)
        assert getattr(got, "dtype", None) == getattr(expected, "dtype", None)


WITHOUT_GRADIENT = {
    np.shape, np.ndim, np.size, np.zeros_like, np.ones_like, np.full_like, np.empty_like, np.allclose,
    np.array_equal,
}  # fmt: skip


@pytest.mark.parametrize(
    ("ufunc", "name"),
    [
        (np.add, "sum"), (np.maximum, "max"), (np.minimum, "min"), (np.logical_and, "all"), (np.logical_or, "any"),
    ],
)  # fmt: skip
def test_ufunc_reduce(ufunc: np.ufunc, name: str) -> None:
    x = _as_tensor(A)
    for keywords in ({}, {"axis": None}, {"axis": 1, "keepdims": True}, {"axis": (0, 1)}):
        got = ufunc.reduce(x, **keywords)
        np.testing.assert_array_equal(got.data, ufunc.reduce(A, **keywords))
        assert got.shape == np.shape(ufunc.reduce(A, **keywords))
    if got.requires_grad:
        assert got._node is not None
        assert got._node.op is OPS[name]


def test_what_numpy_cannot_record_is_refused() -> None:
    """A function that has no rule raises: its result would silently be cut from the graph."""
    x = _as_tensor(A)
    out = np.empty_like(A)
    for name, refused in {
        "nextafter": lambda: np.nextafter(x, 2.0),
        "add.outer": lambda: np.add.outer(x, x),
        "interp": lambda: np.interp(0.5, [0.0, 1.0], x[0]),
        "out=": lambda: np.add(A, x, out=out),
        "where=": lambda: np.exp(x, where=MASK),
        "casting=": lambda: np.exp(x, casting="unsafe"),
    }.items():
        with pytest.raises(TypeError, match=re.escape(name)):
            refused()
    with pytest.raises(TypeError, match="add"):
        out += x


def test_reading_an_each_rule_is_endless() -> None:
    """`Each` serves any number of inputs: its rules are numbered from 0 and never run out."""
    each = Each(lambda i, g, y, *inputs: i)
    assert [rule(None, None) for rule in itertools.islice(each, 4)] == [0, 1, 2, 3]
