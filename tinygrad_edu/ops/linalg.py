"""Matrix products: matmul, and linear (a matrix product with a bias, the layer of every network here)."""

from __future__ import annotations

from typing import Any

import numpy as np

from tinygrad_edu.errors import ShapeError
from tinygrad_edu.op import PRODUCT, SUM, Notation, implements, normal, operation, sample
from tinygrad_edu.ops.arithmetic import multiply

__all__ = ["dot", "linear", "matmul"]

Operand = Any  # a Tensor, an array or a number


def _matmul_door(a: Any, b: Any) -> str | None:
    m, n = np.shape(a), np.shape(b)
    if not m or not n:
        return f"{m} @ {n}: a scalar has no matrix product; use * instead"
    inner = n[-2] if len(n) > 1 else n[0]
    if m[-1] != inner:
        hint = ""
        if len(n) > 1 and n[-1] == m[-1]:
            hint = "; did you mean W.T?"
        elif len(m) > 1 and m[-2] == inner:
            hint = "; did you mean x.T?"
        return f"{m} @ {n}: inner sizes {m[-1]} and {inner} differ{hint}"
    return f"{m} @ {n}: batch axes {m[:-2]} and {n[:-2]} do not broadcast"


# A vector is a row on the left and a column on the right, and its axis is missing from the result.  The rules
# put it back, so that one formula serves all; the engine sums over the batch axes that were broadcast.
def _rows(a: Any) -> Any:
    return a if a.ndim > 1 else a.reshape((1, -1))


def _columns(b: Any) -> Any:
    return b if b.ndim > 1 else b.reshape((-1, 1))


def _result(g: Any, a: Any, b: Any) -> Any:
    if b.ndim == 1:
        g = g.reshape((*g.shape, 1))
    return g if a.ndim > 1 else g.reshape((*g.shape[:-1], 1, g.shape[-1]))


def _matmul_a(g: Any, y: Any, a: Any, b: Any) -> Any:
    if a.ndim == b.ndim == 2:
        return g @ b.T
    da = _result(g, a, b) @ _columns(b).swapaxes(-1, -2)
    return da if a.ndim > 1 else da.reshape((*da.shape[:-2], da.shape[-1]))


def _matmul_b(g: Any, y: Any, a: Any, b: Any) -> Any:
    if a.ndim == b.ndim == 2:
        return a.T @ g
    db = _rows(a).swapaxes(-1, -2) @ _result(g, a, b)
    return db if b.ndim > 1 else db.reshape(db.shape[:-1])


@operation(
    np.matmul,
    vjps=[_matmul_a, _matmul_b],
    notation=Notation("<a> <b>", binds=PRODUCT),
    samples=[
        sample(normal(3, 4), normal(4, 5)),
        sample(normal(4), normal(4)),
        sample(normal(4), normal(4, 5)),
        sample(normal(3, 4), normal(4)),
        sample(normal(4), normal(2, 4, 5)),
        sample(normal(2, 3, 4), normal(4)),
        sample(normal(2, 3, 4), normal(4, 5)),
        sample(normal(2, 1, 3, 4), normal(3, 4, 2)),
    ],
    door=_matmul_door,
)
def matmul(a: Operand, b: Operand) -> Any:
    r"""Matrix product a @ b; vectors are rows on the left and columns on the right, leading axes are batches.

    Shapes: (..., n, k) @ (..., k, m) -> (..., n, m).

    Gradient: dL/da = g b^T, dL/db = a^T g.

    Examples
    --------
    >>> import tinygrad_edu as tg
    >>> tg.matmul(tg.Tensor([[1.0, 2.0]]), tg.Tensor([[3.0], [4.0]]))
    Tensor([[11.]])
    """


@implements(np.dot)
def dot(a: Operand, b: Operand) -> Any:
    """Product of scalars, vectors or matrices as `np.dot` defines it; for stacks of matrices use `@`.

    Examples
    --------
    >>> import tinygrad_edu as tg
    >>> tg.dot(tg.Tensor([1.0, 2.0]), tg.Tensor([3.0, 4.0]))
    Tensor(11.)
    """
    if np.ndim(a) == 0 or np.ndim(b) == 0:
        return multiply(a, b)
    if np.ndim(b) > 2:
        raise ShapeError(f"dot: {np.shape(a)} and {np.shape(b)}: for stacks of matrices use a @ b")
    return matmul(a, b)


def _linear_door(x: Any, weight: Any, bias: Any) -> str | None:
    x, weight, bias = np.shape(x), np.shape(weight), np.shape(bias)
    if len(weight) != 2:
        return f"the weight has shape {weight}; (in_features, out_features) is expected"
    if not x or x[-1] != weight[0]:
        features = x[-1] if x else "no"
        return f"input {x} against weight {weight}: {features} features arrive, {weight[0]} are expected"
    return f"bias {bias} against weight {weight}: {weight[1]} numbers are expected, one for each output"


@operation(
    vjps=[
        lambda g, y, x, weight, bias: g @ weight.T,
        lambda g, y, x, weight, bias: x.T @ g if x.ndim == 2 else _flat(x).T @ _flat(g),
        lambda g, y, x, weight, bias: g,
    ],
    notation=Notation("<x> <weight> + 1 <bias>", r"<x> <weight> + \mathbf{1} <bias>", SUM),
    samples=[
        sample(normal(5, 3), normal(3, 4), normal(4)),
        sample(normal(3), normal(3, 4), normal(4)),
        sample(normal(2, 5, 3), normal(3, 4), normal(4)),
        sample(normal(5, 3), normal(3, 4), normal(1, 4)),
    ],
    door=_linear_door,
)
def linear(x: Operand, weight: Operand, bias: Operand) -> Any:
    r"""A layer's pre-activations U = X W + 1 b, in the row-vector convention: one row for each sample.

    Shapes: x (..., in), weight (in, out), bias (out,) or (1, out) -> (..., out).

    Gradient, with g = delta = dL/dU: dL/dX = delta W^T, dL/dW = X^T delta, dL/db = 1^T delta (the sum of the
    rows, since b was added to each).

    Examples
    --------
    >>> import tinygrad_edu as tg
    >>> tg.linear(tg.Tensor([[1.0, 2.0]]), tg.Tensor([[3.0], [4.0]]), tg.Tensor([0.5]))
    Tensor([[11.5]])
    """
    y = x @ weight
    if weight.ndim != 2 or bias.size != weight.shape[1] or bias.shape[-1] != bias.size:
        raise ValueError  # NumPy would broadcast; the door says what is wrong
    if y.dtype != bias.dtype or y.ndim < bias.ndim:
        return y + bias
    y += bias  # in place: one array less
    return y


def _flat(x: Any) -> Any:
    """All samples in one matrix: (..., features) -> (samples, features)."""
    return x.reshape((-1, x.shape[-1]))
