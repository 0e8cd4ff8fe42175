"""Sorting: sort, argsort, topk.

The order is a constant: moving an element by a little changes no order (unless there are ties, of which one order is
picked).  So the gradient of each element of the result goes to the place where that element came from.
"""

from __future__ import annotations

import operator
from typing import Any, NamedTuple

import numpy as np

from tinygrad_edu.op import Notation, distinct, implements, operation, public, sample
from tinygrad_edu.ops.axes import along, axis_problem
from tinygrad_edu.ops.indexing import put_back
from tinygrad_edu.ops.shaping import ravel

__all__ = ["argsort", "sort", "topk"]

Operand = Any  # a Tensor, an array or a number


def _door(x: Any, axis: int, **_: Any) -> str | None:
    return axis_problem(np.shape(x), axis)


@operation(name="argsort", vjps=[None], door=_door)
def _argsort(x: Any, axis: int = -1, kind: Any = None, stable: bool | None = None) -> Any:
    return np.argsort(x, axis=axis, kind=kind, stable=stable)


@public(_argsort)
@implements(np.argsort)
def argsort(x: Operand, axis: int | None = -1, kind: Any = None, *, stable: bool | None = None) -> Any:
    """The positions of the elements in ascending order along `axis` (None: of the flattened tensor).  No gradient.

    Examples
    --------
    >>> import tinygrad_edu as tg
    >>> tg.argsort(tg.Tensor([3.0, 1.0, 2.0]))
    Tensor([1, 2, 0])
    """
    return _argsort(ravel(x) if axis is None else x, axis=-1 if axis is None else axis, kind=kind, stable=stable)


@operation(
    name="sort",
    vjps=[lambda g, y, x, order, axis, kind, stable: put_back(g, along(order, axis), x.shape)],
    residual=lambda x, axis, kind, stable: _argsort(x, axis=axis, kind=kind, stable=stable),
    notation=Notation("sort(<x>)", r"\operatorname{sort}(<x>)"),
    samples=[sample(distinct(3, 4)), sample(distinct(3, 4), axis=0), sample(distinct(2, 3, 4), axis=-2)],
    door=_door,
)
def _sort(x: Any, axis: int = -1, kind: Any = None, stable: bool | None = None) -> Any:
    if not np.ndim(x):
        raise ValueError  # NumPy says nothing against a scalar in argsort; the door does
    order = np.argsort(x, axis=axis, kind=kind, stable=stable)
    return x[along(order, axis)], order


@public(_sort)
@implements(np.sort)
def sort(x: Operand, axis: int | None = -1, kind: Any = None, *, stable: bool | None = None) -> Any:
    r"""The elements in ascending order along `axis` (None: of the flattened tensor); NaNs come last.

    Gradient: each element of g goes to the place that its number came from.

    Examples
    --------
    >>> import tinygrad_edu as tg
    >>> tg.sort(tg.Tensor([3.0, 1.0, 2.0]))
    Tensor([1., 2., 3.])
    """
    return _sort(ravel(x) if axis is None else x, axis=-1 if axis is None else axis, kind=kind, stable=stable)


class TopK(NamedTuple):
    """What `topk` returns."""

    values: Any
    indices: Any


def _topk_door(x: Any, k: int, axis: int, largest: bool) -> str | None:
    shape = np.shape(x)
    if not shape:
        return "a scalar has no axis to choose from"
    problem = axis_problem(shape, axis)
    if problem is None and not 0 <= k <= shape[axis]:
        return f"k={k} of the {shape[axis]} numbers along axis {axis} of a tensor of shape {shape}"
    return problem


def _positions(x: Any, k: int, axis: int, largest: bool) -> Any:
    """Where the k largest (or smallest) stand, the most extreme first."""
    n = np.shape(x)[axis]
    if not 0 <= k <= n:
        raise ValueError  # the door says it
    rows = np.moveaxis(x, axis, -1)
    if 0 < k < n:  # without sorting what is not wanted
        candidates = np.argpartition(rows, n - k if largest else k - 1, axis=-1)
        candidates = candidates[..., n - k :] if largest else candidates[..., :k]
        order = np.argsort(np.take_along_axis(rows, candidates, -1), axis=-1)
        order = np.take_along_axis(candidates, order, -1)
    else:
        order = np.argsort(rows, axis=-1)[..., :k]
    return np.moveaxis(order[..., ::-1] if largest else order, -1, axis)


@operation(vjps=[None], door=_topk_door)
def topk_indices(x: Operand, k: int, axis: int = -1, largest: bool = True) -> Any:
    """Where the k largest (or smallest) elements along `axis` stand, the second result of `topk`.  No gradient.

    Examples
    --------
    >>> import numpy as np
    >>> from tinygrad_edu.ops.sorting import topk_indices
    >>> topk_indices(np.array([3.0, 1.0, 2.0]), 2)
    array([0, 2])
    """
    return _positions(x, k, axis, largest)


@operation(
    name="topk",
    vjps=[lambda g, y, x, indices, k, axis, largest: put_back(g, along(indices, axis), x.shape)],
    residual=lambda x, k, axis, largest: topk_indices(x, k, axis, largest),
    notation=Notation("top <k>(<x>)", r"\operatorname{top}_{<k>}(<x>)"),
    samples=[
        sample(distinct(5), k=2),
        sample(distinct(3, 4), k=3, axis=0, largest=False),
        sample(distinct(2, 3, 4), k=3, axis=-2),
    ],
    door=_topk_door,
)
def _topk(x: Any, k: int, axis: int = -1, largest: bool = True) -> Any:
    indices = _positions(x, k, axis, largest)
    return x[along(indices, axis)], indices


@public(_topk)
def topk(x: Operand, k: int, axis: int = -1, largest: bool = True, sorted: bool = True) -> TopK:
    r"""The k largest (or smallest) elements along `axis`, and where they stand: `values, indices = topk(x, 3)`.

    They always come sorted, the most extreme first.  NaN counts as larger than every number.

    Gradient: each element of g goes to the place that its value came from; the indices have none.

    Examples
    --------
    >>> import tinygrad_edu as tg
    >>> values, indices = tg.topk(tg.Tensor([3.0, 1.0, 2.0]), 2)
    >>> values, indices
    (Tensor([3., 2.]), Tensor([0, 2]))
    """
    settings: dict[str, Any] = {"k": operator.index(k), "axis": axis, "largest": largest}
    return TopK(_topk(x, **settings), topk_indices(x, **settings))
