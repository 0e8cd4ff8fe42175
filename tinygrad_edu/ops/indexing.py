"""Indexing: `t[index]` for every index that NumPy knows, and its transpose, scatter_add."""

from __future__ import annotations

from typing import Any

import numpy as np

from tinygrad_edu.engine import Value
from tinygrad_edu.op import Notation, normal, operation, sample

__all__ = ["getitem", "plain_index", "scatter_add"]

Operand = Any  # a Tensor, an array or a number

BASIC = (int, np.integer, slice, type(None), type(Ellipsis))


def plain_index(index: Any) -> Any:
    """An index with arrays for the Tensors in it.  Arrays are copied: the backward pass must find them unchanged."""
    if isinstance(index, tuple):
        return tuple(plain_index(i) for i in index)
    if isinstance(index, Value):
        return np.array(index._data)
    if isinstance(index, np.ndarray):
        return index.copy()
    return plain_index_list(index) if isinstance(index, list) else index


def plain_index_list(index: list[Any]) -> Any:
    """A list as an index: an array of integers or booleans (an empty one selects nothing)."""
    return np.array([i._data if isinstance(i, Value) else i for i in index], dtype=None if index else np.intp)


def _is_basic(index: Any) -> bool:
    """Integers, slices, None and Ellipsis: NumPy answers with a view, and no element is taken twice."""
    parts = index if isinstance(index, tuple) else (index,)
    return all(isinstance(i, BASIC) and not isinstance(i, bool) for i in parts)


@operation(
    vjps=[lambda g, y, x, index: put_back(g, index, x.shape)],
    notation=Notation("<x>[<index>]", r"<x>_{<index>}"),
    samples=[
        sample(normal(3, 4), index=1),
        sample(normal(3, 4), index=(slice(None, None, -2), None, Ellipsis, 2)),
        sample(normal(3, 4), index=np.array([0, 0, 2])),
        sample(normal(3, 4), index=(np.array([[0], [2]]), np.array([1, 1]))),
        sample(normal(3, 4), index=np.arange(12).reshape(3, 4) % 3 == 0),
        sample(normal(5), index=np.array([True, False, True, True, False])),
    ],
)
def getitem(x: Operand, index: Any) -> Any:
    r"""`x[index]`: integers, slices, None, Ellipsis, integer arrays and boolean masks, as in NumPy.

    Gradient: scatter_add puts g back where it was taken; what was taken twice receives both.

    Examples
    --------
    >>> import tinygrad_edu as tg
    >>> x = tg.Tensor([1.0, 2.0, 3.0], requires_grad=True)
    >>> x[[0, 0, 1]].sum().backward()
    >>> x.grad
    array([2., 1., 0.])
    """
    return x[index]


def put_back(g: Any, index: Any, shape: tuple[int, ...]) -> Any:
    """Zeros of `shape` with g where it was taken."""
    return scatter_add(g, index=index, shape=shape)


@operation(
    vjps=[lambda g, y, x, index, shape: g[index]],
    samples=[
        sample(normal(4), index=1, shape=(3, 4)),
        sample(normal(3, 4), index=np.array([0, 0, 2]), shape=(3, 4)),
        sample(normal(2), index=np.array([True, False, True]), shape=(3,)),
    ],
)
def scatter_add(x: Operand, index: Any, shape: tuple[int, ...]) -> Any:
    r"""Zeros of `shape`, with x added at `index`; what is named twice receives both.

    It is the transpose of indexing.  Gradient: dL/dx = g[index].

    Examples
    --------
    >>> import tinygrad_edu as tg
    >>> tg.scatter_add(tg.Tensor([1.0, 2.0, 4.0]), index=[0, 0, 2], shape=(3,))
    Tensor([3., 0., 4.])
    """
    out = np.zeros(shape, dtype=x.dtype)
    if _is_basic(index):
        out[index] = x
    else:
        np.add.at(out, index, x)
    return out
