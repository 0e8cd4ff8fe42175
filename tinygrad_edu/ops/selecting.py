"""Choosing by conditions and positions: masks, compress, choose, select; and where something is: nonzero, searchsorted.

A condition or a position has no gradient; what is chosen by it has.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np

from tinygrad_edu.errors import DtypeError, ShapeError
from tinygrad_edu.op import implements, operation
from tinygrad_edu.ops.comparisons import where
from tinygrad_edu.ops.indexing import getitem, integers, plain_index, take_along_axis
from tinygrad_edu.ops.joining import stack
from tinygrad_edu.ops.shaping import array_of, axis_number, broadcast_arrays, ravel

__all__ = [
    "choose", "compress", "digitize", "extract", "flatnonzero", "masked_fill", "masked_select", "searchsorted",
    "select",
]  # fmt: skip

Operand = Any  # a Tensor, an array or a number


def _mask(name: str, mask: Operand) -> Any:
    mask = array_of(mask)
    if mask.dtype.kind != "b":
        raise DtypeError(f"{name}: a mask of dtype {mask.dtype}; booleans are expected (mask != 0)")
    return mask


def masked_fill(x: Operand, mask: Operand, value: Operand) -> Any:
    """`value` (a number) where the mask is true, x elsewhere, in the dtype of x: where(mask, value, x).

    Examples
    --------
    >>> import numpy as np, tinygrad_edu as tg
    >>> scores = tg.Tensor([[1.0, 2.0], [3.0, 4.0]])
    >>> tg.masked_fill(scores, np.triu(np.ones((2, 2), bool), 1), -np.inf)
    Tensor([[  1., -inf],
            [  3.,   4.]])
    """
    x, mask = array_of(x), _mask("masked_fill", mask)
    if np.ndim(value):
        raise ShapeError(f"masked_fill: a value of shape {np.shape(value)}; a number is expected (where takes tensors)")
    if x.dtype.kind == "f" and hasattr(value, "dtype"):  # a number of NumPy is not weak: float64 would win
        value = value.astype(x.dtype)
    return where(mask, value, x)


def masked_select(x: Operand, mask: Operand) -> Any:
    """The elements of x at which the mask is true, in one row; x and the mask are broadcast against each other.

    Examples
    --------
    >>> import tinygrad_edu as tg
    >>> x = tg.Tensor([[1.0, -2.0], [-3.0, 4.0]])
    >>> tg.masked_select(x, x > 0)
    Tensor([1., 4.])
    """
    x, mask = broadcast_arrays(array_of(x), _mask("masked_select", mask))
    return getitem(x, index=plain_index(mask))


@implements(np.compress)
def compress(condition: Operand, x: Operand, axis: int | None = None) -> Any:
    """The slices of x along `axis` at which the condition (a vector) is true; None flattens x first.

    A condition that is shorter than the axis leaves out the rest.

    Examples
    --------
    >>> import tinygrad_edu as tg
    >>> tg.compress([True, False, True], tg.Tensor([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]]), axis=0)
    Tensor([[1., 2.],
            [5., 6.]])
    """
    x, axis = (ravel(x), 0) if axis is None else (array_of(x), axis_number("compress", x, axis))
    condition = plain_index(array_of(condition))
    if condition.ndim != 1:
        raise ShapeError(f"compress: a condition of shape {condition.shape}; a vector is expected")
    chosen = np.flatnonzero(condition)
    if chosen.size and chosen[-1] >= x.shape[axis]:
        raise IndexError(f"compress: the condition is true at {chosen[-1]}, outside of axis {axis} of {x.shape}")
    return getitem(x, index=(slice(None),) * axis + (chosen,))


@implements(np.extract)
def extract(condition: Operand, x: Operand) -> Any:
    """The elements of x at which the condition is true, both read row by row.

    Examples
    --------
    >>> import tinygrad_edu as tg
    >>> x = tg.Tensor([[1.0, -2.0], [-3.0, 4.0]])
    >>> tg.extract(x > 0, x)
    Tensor([1., 4.])
    """
    return compress(np.ravel(plain_index(array_of(condition))), x)


@implements(np.choose)
def choose(a: Operand, choices: Sequence[Operand], mode: Literal["raise", "wrap", "clip"] = "raise") -> Any:
    """For each element of `a`, a number k: the element at its place in choices[k].

    `a` and the choices are broadcast against each other.  For numbers outside 0..len(choices)-1, mode "raise"
    raises, "wrap" counts around and "clip" takes the nearest one inside.

    Examples
    --------
    >>> import tinygrad_edu as tg
    >>> tg.choose([0, 1, 0], [tg.Tensor([1.0, 2.0, 3.0]), -1.0])
    Tensor([ 1., -1.,  3.])
    """
    choices = list(choices)
    n, a = len(choices), integers("choose", a)
    if n == 0:
        raise ShapeError("choose: at least one choice is needed")
    if mode == "wrap":
        a = a % n
    elif mode == "clip":
        a = np.clip(a, 0, n - 1)
    elif mode != "raise":
        raise ValueError(f'choose: mode {mode!r}: "raise", "wrap" or "clip" is expected')
    if a.size and (a.min() < 0 or a.max() >= n):
        raise IndexError(f"choose: numbers from {a.min()} to {a.max()} for {n} choices")
    a, *choices = broadcast_arrays(a, *choices)
    return take_along_axis(stack(choices), a[None], axis=0)[0]


@implements(np.select)
def select(condlist: Sequence[Operand], choicelist: Sequence[Operand], default: Operand = 0) -> Any:
    """The choice whose condition is the first to hold, element by element; `default` where none does.

    Examples
    --------
    >>> import tinygrad_edu as tg
    >>> x = tg.Tensor([-2.0, 0.5, 3.0])
    >>> tg.select([x < 0, x < 1], [-x, x * x], default=1.0)
    Tensor([2.  , 0.25, 1.  ])
    """
    if len(condlist) != len(choicelist) or len(condlist) == 0:
        raise ShapeError(f"select: {len(condlist)} conditions for {len(choicelist)} choices; one for each is expected")
    result = default
    for condition, choice in zip(reversed(condlist), reversed(choicelist)):
        condition = array_of(condition)
        if condition.dtype.kind != "b":
            raise DtypeError(f"select: a condition of dtype {condition.dtype}; booleans are expected")
        result = where(condition, choice, result)
    return result


# ------------------------------------------------------------------------------------------ without gradient


@operation(numpy=[np.flatnonzero], vjps=[None])
def flatnonzero(x: Operand) -> Any:
    r"""The positions at which x, read row by row, is not zero.  No gradient.

    Examples
    --------
    >>> import tinygrad_edu as tg
    >>> tg.flatnonzero(tg.Tensor([[0.0, 2.0], [3.0, 0.0]]))
    Tensor([1, 2])
    """
    return np.flatnonzero(x)


@operation(numpy=[np.searchsorted], vjps=[None, None])
def searchsorted(a: Operand, v: Operand, side: Literal["left", "right"] = "left", sorter: Any = None) -> Any:
    r"""Where the numbers v would have to be inserted into the sorted row `a` to keep it sorted.  No gradient.

    Examples
    --------
    >>> import tinygrad_edu as tg
    >>> tg.searchsorted(tg.Tensor([1.0, 2.0, 3.0]), [0.5, 2.0, 9.0])
    Tensor([0, 1, 3])
    """
    return np.searchsorted(a, v, side=side, sorter=plain_index(sorter))


@operation(numpy=[np.digitize], vjps=[None, None])
def digitize(x: Operand, bins: Operand, right: bool = False) -> Any:
    r"""The number of the bin that each x falls into: i where bins[i-1] <= x < bins[i].  No gradient.

    Examples
    --------
    >>> import tinygrad_edu as tg
    >>> tg.digitize(tg.Tensor([0.5, 1.5, 9.0]), [1.0, 2.0])
    Tensor([0, 1, 2])
    """
    return np.digitize(x, bins, right=right)
