"""Indexing: `t[index]` for every index that NumPy knows, `t[index] = value`, and the functions made of them.

Three operations do all of it: `getitem` reads, `setitem` writes, and `scatter_add` puts back what was read, which
makes it the transpose of `getitem`.  take, gather, scatter and the others build an index and call one of the three.
"""

from __future__ import annotations

import math
from typing import Any, Literal

import numpy as np

from tinygrad_edu.errors import DtypeError, ShapeError
from tinygrad_edu.modes import current_mode
from tinygrad_edu.op import Notation, implements, normal, operation, public, sample
from tinygrad_edu.ops.arithmetic import add
from tinygrad_edu.ops.shaping import array_of, axis_number, ravel, reshape
from tinygrad_edu.record import Value

__all__ = [
    "argwhere", "gather", "getitem", "index_add", "nonzero", "plain_index", "put_along_axis", "scatter", "scatter_add",
    "setitem", "take", "take_along_axis",
]  # fmt: skip

Operand = Any  # a Tensor, an array or a number

BASIC = (int, np.integer, slice, type(None), type(Ellipsis))
WHOLE = slice(None)


# ----------------------------------------------------------------------------------- what an index is


def plain_index(index: Any) -> Any:
    """An index with arrays for the Tensors in it.  Arrays are copied: the backward pass must find them unchanged."""
    if isinstance(index, tuple):
        return tuple(plain_index(i) for i in index)
    if isinstance(index, Value | np.ndarray):
        return _copied(index)
    return plain_index_list(index) if isinstance(index, list) else index


def _copied(index: Any) -> Any:
    array = np.array(index._data if isinstance(index, Value) else index, order="C")
    tracer = current_mode().tracer
    if tracer is not None:
        tracer.copied(array, index)
    return array


def plain_index_list(index: list[Any]) -> Any:
    """A list as an index: an array of integers or booleans (an empty one selects nothing)."""
    array = np.array([i._data if isinstance(i, Value) else i for i in index])
    return array if array.size else array.astype(np.intp)


def integers(name: str, indices: Any) -> Any:
    """A copy of the numbers of positions, as an array."""
    array = _copied(indices)
    if array.size == 0 or array.dtype.kind == "b":
        return array.astype(np.intp)
    if array.dtype.kind not in "iu":
        raise DtypeError(f"{name}: positions of dtype {array.dtype}; integers are expected")
    return array


def _parts(index: Any) -> tuple[Any, ...]:
    """The parts of an index, as they stand between its commas; lists as arrays."""
    parts = index if isinstance(index, tuple) else (index,)
    return tuple(i if isinstance(i, BASIC) else np.asarray(i) for i in parts)


def _is_mask(part: Any) -> bool:
    return isinstance(part, bool) or (isinstance(part, np.ndarray) and part.dtype.kind == "b")


def _is_distinct(index: Any) -> bool:
    """Does it take no element twice?  Integers, slices, None and Ellipsis don't, and masks don't."""
    return all(not isinstance(part, np.ndarray) or _is_mask(part) for part in _parts(index))


def _whole_axes(index: Any) -> int:
    """k, if the index is k whole axes and then an array of integers; -1 if it isn't."""
    parts = index if type(index) is tuple else (index,)
    if not parts or type(parts[-1]) is not np.ndarray or parts[-1].dtype.kind != "i":
        return -1
    return len(parts) - 1 if all(type(part) is slice and part == WHOLE for part in parts[:-1]) else -1


def _places(index: Any, shape: tuple[int, ...]) -> tuple[Any, tuple[int, ...]]:
    """Where an index points to, counted through the axes that it names; and the sizes of the axes behind these.

    x[index] is then `x.reshape(-1, *behind)[places]`, whatever the index looks like.
    """
    parts = _parts(index)
    arrays = sum(isinstance(part, np.ndarray) for part in parts)
    slices = sum(isinstance(part, slice) for part in parts)
    if len(parts) > len(shape) or any(part is None or part is Ellipsis or _is_mask(part) for part in parts):
        return np.arange(math.prod(shape)).reshape(shape)[index], ()
    named, behind = shape[: len(parts)], shape[len(parts) :]
    if slices and (arrays > 1 or arrays + slices < len(parts)):  # NumPy may put the axes into another order
        return np.arange(math.prod(named)).reshape(named)[index], behind
    places: Any = np.intp(0)
    stride, ndim = 1, 0
    for part, n in zip(reversed(parts), reversed(named)):
        own = np.arange(n)[part] if isinstance(part, slice) else _from_zero(part, n)
        if slices:  # an open mesh: each part varies along axes of its own
            own, ndim = own.reshape(own.shape + (1,) * ndim), ndim + own.ndim
        places = places + own * stride
        stride *= n
    return places, behind


def _from_zero(part: Any, n: int) -> Any:
    """Positions on an axis of size n, negative ones counted from its end; as wide integers, fit for arithmetic."""
    own = np.asarray(part).astype(np.intp, casting="same_kind", copy=False)
    low, high = (own.min(), own.max()) if own.size else (0, 0)
    if low < -n or (high >= n and own.size):
        raise IndexError(f"index {low if low < -n else high} is out of bounds for an axis of size {n}")
    return own if low >= 0 else np.where(own < 0, own + n, own)


def _named_shape(index: Any, shape: tuple[int, ...]) -> tuple[int, ...] | IndexError:
    """The shape of what an index names in a tensor of this shape, or what is wrong with it."""
    try:
        return np.shape(np.broadcast_to(np.False_, shape)[index])
    except IndexError as error:
        return IndexError(f"{error} (a tensor of shape {shape})")


# -------------------------------------------------------------------------------- read, put back, write


def _getitem_door(x: Any, index: Any) -> Exception | None:
    named = _named_shape(index, np.shape(x))
    return named if isinstance(named, Exception) else None


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
        sample(normal(2, 3, 4), index=(slice(None), np.array([2, 0, 2, -1]))),
        sample(normal(2, 3, 4), index=(np.array([1, 1]), slice(None, 2), np.array([0, 0]))),
    ],
    door=_getitem_door,
    into=lambda gradient, g, index: add_at(gradient, index, g),
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
    axis = _whole_axes(index)
    if axis >= 0 and isinstance(x, np.ndarray) and x.flags.c_contiguous:
        return x.take(index[-1] if type(index) is tuple else index, axis)  # up to ten times faster than x[index]
    return x[index]


def put_back(g: Any, index: Any, shape: tuple[int, ...]) -> Any:
    """Zeros of `shape` with g where it was taken."""
    return scatter_add(g, index=index, shape=shape)


def _scatter_add_door(x: Any, index: Any, shape: tuple[int, ...]) -> str | Exception:
    named = _named_shape(index, shape)
    if isinstance(named, Exception):
        return named
    return f"{np.shape(x)} does not fit into an index that names {named} in shape {shape}"


@operation(
    vjps=[lambda g, y, x, index, shape: _as_value(g[index], x)],
    samples=[
        sample(normal(4), index=1, shape=(3, 4)),
        sample(normal(3, 4), index=np.array([0, 0, 2]), shape=(3, 4)),
        sample(normal(2), index=np.array([True, False, True]), shape=(3,)),
        sample(normal(4), index=(np.array([0, -1, 0]), slice(None)), shape=(3, 4)),
        sample(normal(1, 4), index=1, shape=(3, 4)),
    ],
    door=_scatter_add_door,
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
    x = np.asarray(x)
    out = np.zeros(shape, dtype=x.dtype)
    if _is_distinct(index):
        out[index] = x
    else:
        add_at(out, index, x)
    return out


def add_at(out: Any, index: Any, x: Any) -> None:
    """out[index] += x, in place; what is named twice receives both."""
    if _is_distinct(index):
        out[index] += x
        return
    if not out.flags.c_contiguous:  # a flat row would be a copy
        np.add.at(out, index, x)
        return
    places, behind = _places(index, out.shape)
    x = np.broadcast_to(x, places.shape + behind)
    width = math.prod(behind)
    if width >= LONG:
        rows = out.reshape(-1, width)
        for i, row in zip(places.reshape(-1).tolist(), x.reshape(-1, width)):
            rows[i] += row
        return
    if width != 1:  # np.add.at on rows is three times slower than on numbers
        places = places.reshape(-1, 1) * width + np.arange(width)
    np.add.at(out.reshape(-1), places.reshape(-1), x.reshape(-1))


LONG = 256  # adding so long a row takes longer than the step of Python's that it costs


def _as_value(c: Any, value: Any) -> Any:
    """c with as many axes as `value`, which may have more of them in front if their size is one."""
    return c.reshape((1,) * (np.ndim(value) - c.ndim) + c.shape)


def _overwritten(g: Any, y: Any, x: Any, value: Any, index: Any) -> Any:
    return _assigned(g, 0, index=index)


# Where an element is written twice, the last value stays, and only that one has a gradient.
def _written(g: Any, y: Any, x: Any, value: Any, index: Any) -> Any:
    c = g[index]
    if not _is_distinct(index):
        number = np.arange(c.size).reshape(c.shape)
        last = np.empty(x.shape, np.intp)
        last[index] = number  # written as the values were
        c = np.where(last[index] == number, c, 0)
    return _as_value(c, value)


def _setitem_door(x: Any, value: Any, index: Any) -> str | Exception:
    x, value = np.asarray(x), np.asarray(value)
    if _cuts(value, x):
        return DtypeError(f"{value.dtype} into {x.dtype} would cut the fractions; x.astype(float) takes them")
    named = _named_shape(index, x.shape)
    return named if isinstance(named, Exception) else f"a value of shape {value.shape} into an index that names {named}"


def _cuts(value: Any, x: Any) -> bool:
    """Floats, to be written into integers."""
    return value.dtype.kind == "f" and x.dtype.kind != "f"


@operation(
    name="setitem",
    vjps=[_overwritten, _written],
    notation=Notation("<x> with [<index>] = <value>", r"<x>_{<index> \leftarrow <value>}"),
    samples=[
        sample(normal(3, 4), normal(4), index=1),
        sample(normal(3, 4), normal(2, 1), index=(slice(None, None, 2), slice(1, 3))),
        sample(normal(3, 4), normal(1, 1, 4), index=1),
        sample(normal(3, 4), normal(3, 4), index=np.array([0, 0, 2])),
        sample(normal(3, 4), normal(2, 3), index=(slice(None, 2), [1, -1, 1])),
        sample(normal(3, 4), normal(2), index=(np.array([[0], [2]]), np.array([1, 1]))),
        sample(normal(3, 4), normal(4), index=np.arange(12).reshape(3, 4) % 3 == 0),
        sample(normal(2, 3), normal(), index=Ellipsis),
        sample(normal(3, 4), 2.0, index=(slice(None), 0)),
    ],
    door=_setitem_door,
)
def _assigned(x: Operand, value: Operand, index: Any) -> Any:
    y, value = np.array(x), np.asarray(value)
    if _cuts(value, y):
        raise TypeError  # NumPy would write them; the door says what is wrong
    y[index] = value  # in the order of the index's memory, which is that of its rows: `plain_index` copies it so
    return y


@public(_assigned)
def setitem(x: Operand, value: Operand, index: Any) -> Any:
    r"""A copy of x in which x[index] = value, for every index that NumPy knows; x itself stays as it is.

    The value broadcasts, and gets the dtype of x.

    Gradient: dL/dx = g, with 0 at `index`; dL/dvalue = g[index].  Where an index names an element twice, the last value
    written stays, as in NumPy, and the others have gradient 0.  (PyTorch leaves open which one stays, and gives each
    of them the gradient.)

    Raises IndexError for an index outside of x, ShapeError for a value that doesn't fit, and DtypeError for floats into
    integers.

    Examples
    --------
    >>> import tinygrad_edu as tg
    >>> x = tg.Tensor([1.0, 2.0, 3.0], requires_grad=True)
    >>> y = tg.setitem(x, 10.0, slice(1, None))
    >>> y
    Tensor([ 1., 10., 10.], from setitem)
    >>> (y * y).sum().backward()
    >>> x.grad
    array([2., 0., 0.])
    """
    return _assigned(array_of(x), value, index=plain_index(index))


# -------------------------------------------------------------------------------- positions on one axis


def _for(name: str, operation: Any, *inputs: Any, **params: Any) -> Any:
    """An operation on behalf of the function `name`, which is then the one that its errors speak of."""
    try:
        return operation(*inputs, **params)
    except (IndexError, ShapeError) as error:
        raise type(error)(name + str(error).removeprefix(operation.__name__)) from None


@implements(np.take)
def take(
    x: Operand, indices: Operand, axis: int | None = None, mode: Literal["raise", "wrap", "clip"] = "raise"
) -> Any:
    """The slices of x at these positions along `axis`; None counts through the flattened x.

    Parameters
    ----------
    x : tensor
    indices : integers of any shape
        They take the place of the axis: with axis=0, (n, d) at (...) is (..., d).  Negative ones count from the end.
    axis : int, optional
    mode : "raise", "wrap" or "clip"
        What happens to positions outside: an IndexError, counting around, or the nearest one inside.  In mode
        "clip", negative ones do not count from the end.

    Examples
    --------
    >>> import tinygrad_edu as tg
    >>> table = tg.Tensor([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]])
    >>> tg.take(table, [2, 0, 2], axis=0)
    Tensor([[5., 6.],
            [1., 2.],
            [5., 6.]])
    """
    x, axis = (ravel(x), 0) if axis is None else (array_of(x), axis)
    axis = axis_number("take", x, axis)
    indices, n = integers("take", indices), x.shape[axis]
    if mode not in ("raise", "wrap", "clip"):
        raise ValueError(f'take: mode {mode!r}: "raise", "wrap" or "clip" is expected')
    if n == 0 and indices.size:
        raise IndexError(f"take: axis {axis} of shape {x.shape} is empty; there is nothing to take")
    if mode != "raise" and indices.size:
        indices = indices % n if mode == "wrap" else np.clip(indices, 0, n - 1)
    return _for("take", getitem, x, index=(WHOLE,) * axis + (indices,))


def _along(shape: tuple[int, ...], indices: Any, axis: int) -> tuple[Any, ...]:
    """The index that moves along `axis` only: `indices` there, and each position by itself on the other axes."""
    open_mesh = [np.arange(n).reshape((-1,) + (1,) * (len(shape) - 1 - i)) for i, n in enumerate(shape)]
    return (*open_mesh[:axis], indices, *open_mesh[axis + 1 :])


def _along_axis(name: str, x: Any, indices: Any, axis: int) -> tuple[Any, ...]:
    axis = axis_number(name, x, axis)
    if np.asarray(indices).dtype.kind not in "iu":
        raise IndexError(f"{name}: positions of dtype {np.asarray(indices).dtype}; integers are expected")
    if indices.ndim != x.ndim:
        raise ShapeError(f"{name}: positions of shape {indices.shape} for {x.shape}: as many axes are expected")
    return _along(x.shape, indices, axis)


@implements(np.take_along_axis)
def take_along_axis(x: Operand, indices: Operand, axis: int | None = -1) -> Any:
    """x at positions along `axis` that differ from place to place, as argsort and argmax give them.

    With axis=1 of a matrix: y[i, j] = x[i, indices[i, j]].  The indices have as many axes as x, and broadcast
    against its other axes.  None flattens x first.

    Examples
    --------
    >>> import tinygrad_edu as tg
    >>> x = tg.Tensor([[1.0, 3.0], [4.0, 2.0]])
    >>> tg.take_along_axis(x, tg.argmax(x, axis=1, keepdims=True), axis=1)
    Tensor([[3.],
            [4.]])
    """
    x, axis = (ravel(x), 0) if axis is None else (array_of(x), axis)
    indices = plain_index(array_of(indices))
    return _for("take_along_axis", getitem, x, index=_along_axis("take_along_axis", x, indices, axis))


def put_along_axis(x: Operand, indices: Operand, values: Operand, axis: int | None) -> Any:
    """A copy of x with values at positions along `axis`: with axis=1 of a matrix, y[i, indices[i, j]] = values[i, j].

    The values broadcast against the indices.  Of several values at one place the last one stays.  (NumPy's function
    of this name writes into x instead, and returns nothing.)

    Examples
    --------
    >>> import tinygrad_edu as tg
    >>> x = tg.Tensor([[1.0, 3.0], [4.0, 2.0]])
    >>> tg.put_along_axis(x, tg.argmax(x, axis=1, keepdims=True), 0.0, axis=1)
    Tensor([[1., 0.],
            [0., 2.]])
    """
    x, indices = array_of(x), plain_index(array_of(indices))
    if axis is None:
        return reshape(put_along_axis(ravel(x), indices, values, 0), shape=x.shape)
    return _for("put_along_axis", setitem, x, values, index=_along_axis("put_along_axis", x, indices, axis))


# PyTorch's relatives: here the indices need not cover the other axes, and no position is negative.
def _from_corner(name: str, x: Any, axis: int, index: Any) -> tuple[Any, tuple[Any, ...]]:
    index = integers(name, index)
    axis = axis_number(name, x, axis)
    if index.ndim != x.ndim:
        raise ShapeError(f"{name}: index of shape {index.shape} for {x.shape}: as many axes are expected")
    if any(n > m for i, (n, m) in enumerate(zip(index.shape, x.shape)) if i != axis):
        raise ShapeError(f"{name}: index of shape {index.shape} is larger than {x.shape} beside axis {axis}")
    _check_positive(name, index)
    return index, _along(index.shape, index, axis)


def _check_positive(name: str, index: Any) -> None:
    if index.size and index.min() < 0:
        raise IndexError(f"{name}: index {index.min()} is negative; positions count from 0 here")


def gather(x: Operand, axis: int, index: Operand) -> Any:
    """PyTorch's gather: with axis=1 of a matrix, y[i, j] = x[i, index[i, j]], for an index no larger than x elsewhere.

    Examples
    --------
    >>> import tinygrad_edu as tg
    >>> tg.gather(tg.Tensor([[1.0, 2.0], [3.0, 4.0]]), 1, [[0, 0], [1, 0]])
    Tensor([[1., 1.],
            [4., 3.]])
    """
    x = array_of(x)
    return _for("gather", getitem, x, index=_from_corner("gather", x, axis, index)[1])


def scatter(x: Operand, axis: int, index: Operand, src: Operand, reduce: Literal["add"] | None = None) -> Any:
    """PyTorch's scatter: a copy of x in which, with axis=1 of a matrix, y[i, index[i, j]] = src[i, j].

    Parameters
    ----------
    x : tensor
    axis : int
    index : integers with as many axes as x
        No larger than x beside `axis`.
    src : number, or a tensor at least as large as the index
    reduce : "add", optional
        Add to x instead of replacing it: PyTorch's `scatter_add`.  Otherwise the last of several values stays.

    Examples
    --------
    >>> import numpy as np, tinygrad_edu as tg
    >>> tg.scatter(np.zeros((2, 3)), 1, [[0], [2]], tg.Tensor([[5.0], [6.0]]))
    Tensor([[5., 0., 0.],
            [0., 0., 6.]])
    """
    x = array_of(x)
    index, places = _from_corner("scatter", x, axis, index)
    if np.ndim(src):
        src = array_of(src)
        if src.ndim != index.ndim or any(n > m for n, m in zip(index.shape, src.shape)):
            raise ShapeError(f"scatter: src of shape {src.shape} is smaller than the index, {index.shape}")
        src = getitem(src, index=tuple(slice(n) for n in index.shape))
    if reduce is None:
        return _for("scatter", setitem, x, src, index=places)
    if reduce != "add":
        raise ValueError(f'scatter: reduce {reduce!r}: "add" or None is expected')
    return add(x, _for("scatter", scatter_add, src, index=places, shape=x.shape))


def index_add(x: Operand, axis: int, index: Operand, source: Operand) -> Any:
    """PyTorch's index_add: x, with the slices of `source` added at these positions along `axis`.

    The source has the shape of x, but along `axis` the length of the index, which may name a position twice.

    Examples
    --------
    >>> import numpy as np, tinygrad_edu as tg
    >>> tg.index_add(np.zeros(3), 0, [0, 2, 0], tg.Tensor([1.0, 2.0, 4.0]))
    Tensor([5., 0., 2.])
    """
    x, source, index = array_of(x), array_of(source), integers("index_add", index)
    axis = axis_number("index_add", x, axis)
    _check_positive("index_add", index)
    expected = (*x.shape[:axis], index.size, *x.shape[axis + 1 :])
    if index.ndim != 1 or source.shape != expected:
        raise ShapeError(
            f"index_add: source {source.shape} and index {index.shape} for {x.shape} along axis {axis}: "
            f"{expected} and {(index.size,)} are expected"
        )
    return add(x, _for("index_add", scatter_add, source, index=(WHOLE,) * axis + (index,), shape=x.shape))


# ------------------------------------------------------------------------------------- where something is


@operation(numpy=[np.argwhere], vjps=[None])
def argwhere(x: Operand) -> Any:
    r"""The positions of the elements that are not zero, one row for each: (count, ndim).  No gradient.

    Examples
    --------
    >>> import tinygrad_edu as tg
    >>> tg.argwhere(tg.Tensor([[0.0, 2.0], [3.0, 0.0]]))
    Tensor([[0, 1],
            [1, 0]])
    """
    return np.argwhere(x)


@implements(np.nonzero)
def nonzero(x: Operand) -> tuple[Any, ...]:
    """The positions of the elements that are not zero, axis by axis: x[nonzero(x)] are these elements.  No gradient.

    Examples
    --------
    >>> import tinygrad_edu as tg
    >>> tg.nonzero(tg.Tensor([[0.0, 2.0], [3.0, 0.0]]))
    (Tensor([0, 1]), Tensor([1, 0]))
    """
    x = array_of(x)
    if x.ndim == 0:
        raise ShapeError("nonzero: a number has no positions; use atleast_1d first")
    positions = argwhere(x)
    return tuple(getitem(positions, index=(WHOLE, i)) for i in range(x.ndim))
