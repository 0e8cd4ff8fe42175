"""Parts of matrices: diagonals (diagonal, diag, trace) and triangles (tril, triu)."""

from __future__ import annotations

import operator
from typing import Any

import numpy as np

from tinygrad_edu.errors import ShapeError
from tinygrad_edu.op import Notation, implements, normal, operation, sample
from tinygrad_edu.ops.arithmetic import astype
from tinygrad_edu.ops.axes import axis_problem
from tinygrad_edu.ops.reductions import sum as total

__all__ = ["diag", "diagonal", "put_on_diagonal", "trace", "tril", "triu"]

Operand = Any  # a Tensor, an array or a number


def _axes_door(x: Any, offset: int, axis1: int, axis2: int, **_: Any) -> str | None:
    shape = np.shape(x)
    if len(shape) < 2:
        return f"shape {shape} has no matrices; two axes are needed"
    return axis_problem(shape, (axis1, axis2))


DIAGONALS = [
    {},
    {"offset": 1},
    {"offset": -2},
    {"offset": 7},
    {"axis1": 1, "axis2": 0},
]


@operation(
    numpy=[np.diagonal],
    vjps=[lambda g, y, x, offset, axis1, axis2: _put_back(g, x.shape, offset, axis1, axis2)],
    notation=Notation("diag(<x>)", r"\operatorname{diag}(<x>)"),
    samples=[
        *(sample(normal(3, 4), **params) for params in DIAGONALS),
        sample(normal(2, 3, 4), axis1=-1, axis2=0),
        sample(normal(2, 3, 3), offset=1, axis1=1, axis2=2),
    ],
    door=_axes_door,
)
def diagonal(x: Operand, offset: int = 0, axis1: int = 0, axis2: int = 1) -> Any:
    r"""The diagonal of the matrices along two axes (a view); its axis becomes the last one.

    `offset` > 0 is the diagonal so many places above the main one, < 0 below it.

    Gradient: put_on_diagonal puts g back where it was taken.

    Examples
    --------
    >>> import tinygrad_edu as tg
    >>> tg.diagonal(tg.Tensor([[1.0, 2.0], [3.0, 4.0]]))
    Tensor([1., 4.])
    """
    return np.diagonal(x, offset=offset, axis1=axis1, axis2=axis2)


def _put_back(g: Any, shape: tuple[int, ...], offset: int, axis1: int, axis2: int) -> Any:
    return put_on_diagonal(g, shape=shape, offset=offset, axis1=axis1, axis2=axis2)


@operation(
    vjps=[
        lambda g, y, x, shape, offset, axis1, axis2: diagonal(g, offset=offset, axis1=axis1, axis2=axis2),
    ],
    notation=Notation("diag(<x>)", r"\operatorname{diag}(<x>)"),
    samples=[
        sample(normal(3), shape=(3, 3)),
        sample(normal(2), shape=(3, 4), offset=-1),
        sample(normal(3, 2), shape=(2, 3, 4), axis1=-1, axis2=0),
    ],
    door=lambda x, shape, offset, axis1, axis2: (
        f"numbers of shape {np.shape(x)} do not fit on the diagonal {offset} of shape {shape}, axes {axis1} and {axis2}"
    ),
)
def put_on_diagonal(x: Operand, shape: tuple[int, ...], offset: int = 0, axis1: int = 0, axis2: int = 1) -> Any:
    r"""Zeros of `shape`, with x on a diagonal.

    It is the transpose of `diagonal`.  Gradient: dL/dx = diagonal(g).

    Examples
    --------
    >>> import tinygrad_edu as tg
    >>> tg.put_on_diagonal(tg.Tensor([1.0, 2.0]), shape=(2, 3))
    Tensor([[1., 0., 0.],
            [0., 2., 0.]])
    """
    out = np.zeros(shape, dtype=np.asarray(x).dtype)
    place = np.diagonal(out, offset=offset, axis1=axis1, axis2=axis2)
    if place.shape != np.shape(x):
        raise ValueError  # NumPy would broadcast; the door says what is wrong
    place.flags.writeable = True  # NumPy gives it as read-only, to be safe; it is a view of our own zeros
    place[...] = x
    return out


@implements(np.diag)
def diag(x: Operand, k: int = 0) -> Any:
    """A vector as a diagonal matrix; of a matrix, its diagonal, k places above the main one.

    Examples
    --------
    >>> import tinygrad_edu as tg
    >>> tg.diag(tg.Tensor([1.0, 2.0]))
    Tensor([[1., 0.],
            [0., 2.]])
    """
    shape = np.shape(x)
    k = operator.index(k)
    if len(shape) == 1:
        n = shape[0] + abs(k)
        return put_on_diagonal(x, shape=(n, n), offset=k)
    if len(shape) == 2:
        return diagonal(x, offset=k)
    raise ShapeError(f"diag: shape {shape}: a vector or a matrix is expected; for stacks of matrices use diagonal")


@implements(np.trace)
def trace(x: Operand, offset: int = 0, axis1: int = 0, axis2: int = 1, dtype: Any = None) -> Any:
    """Sum of the diagonal.

    Examples
    --------
    >>> import tinygrad_edu as tg
    >>> tg.trace(tg.Tensor([[1.0, 2.0], [3.0, 4.0]]))
    Tensor(5.)
    """
    parts = diagonal(x, offset=offset, axis1=axis1, axis2=axis2)
    return total(parts if dtype is None else astype(parts, dtype), -1)


# NumPy's linalg counts the matrices' axes from the end.
implements(np.linalg.diagonal)(lambda x, *, offset=0: diagonal(x, offset=offset, axis1=-2, axis2=-1))
implements(np.linalg.trace)(lambda x, *, offset=0, dtype=None: trace(x, offset, -2, -1, dtype))


# ------------------------------------------------------------------------------------------- triangles

TRIANGLES = [sample(normal(3, 4)), sample(normal(4, 3), k=1), sample(normal(2, 3, 3), k=-1), sample(normal(3))]


@operation(
    numpy=[np.tril],
    vjps=[lambda g, y, x, k: np.tril(g, k)],
    notation=Notation("tril(<x>)", r"\operatorname{tril}(<x>)"),
    samples=TRIANGLES,
)
def tril(x: Operand, k: int = 0) -> Any:
    r"""The lower triangle of each matrix, with zeros above the k-th diagonal.

    Gradient: the lower triangle of g.

    Examples
    --------
    >>> import tinygrad_edu as tg
    >>> tg.tril(tg.Tensor([[1.0, 2.0], [3.0, 4.0]]))
    Tensor([[1., 0.],
            [3., 4.]])
    """
    return np.tril(x, k)


@operation(
    numpy=[np.triu],
    vjps=[lambda g, y, x, k: np.triu(g, k)],
    notation=Notation("triu(<x>)", r"\operatorname{triu}(<x>)"),
    samples=TRIANGLES,
)
def triu(x: Operand, k: int = 0) -> Any:
    r"""The upper triangle of each matrix, with zeros below the k-th diagonal.

    Gradient: the upper triangle of g.

    Examples
    --------
    >>> import tinygrad_edu as tg
    >>> tg.triu(tg.Tensor([[1.0, 2.0], [3.0, 4.0]]))
    Tensor([[1., 2.],
            [0., 4.]])
    """
    return np.triu(x, k)
