"""Several tensors in one, and one in several: concatenate and stack, split and unstack, and their relatives.

Two operations do the joining, and slices do the splitting; everything else here is made of them.
"""

from __future__ import annotations

import itertools
import operator
from collections.abc import Sequence
from typing import Any

import numpy as np

from tinygrad_edu.errors import DtypeError, ShapeError
from tinygrad_edu.op import Each, Notation, implements, normal, operation, public, sample
from tinygrad_edu.ops.arithmetic import astype
from tinygrad_edu.ops.indexing import getitem, integers, plain_index
from tinygrad_edu.ops.shaping import (
    array_of,
    atleast_1d,
    atleast_2d,
    atleast_3d,
    axis_number,
    ravel,
    reshape,
)

__all__ = [
    "append", "array_split", "block", "chunk", "column_stack", "concatenate", "delete", "dsplit", "dstack", "hsplit",
    "hstack", "insert", "split", "stack", "unstack", "vsplit", "vstack",
]  # fmt: skip

Operand = Any  # a Tensor, an array or a number


# --------------------------------------------------------------------------------------------- joining


# Behind its inputs, concatenate keeps where each of them begins.
def _concatenate(i: int, g: Any, y: Any, *arrays_and_bounds: Any, axis: int) -> Any:
    bounds = arrays_and_bounds[-1]
    return g[(slice(None),) * (axis % g.ndim) + (slice(int(bounds[i]), int(bounds[i + 1])),)]


def _bounds(*arrays: Any, axis: int) -> Any:
    return np.cumsum([0, *(x.shape[axis] for x in arrays)])


def _join_door(*arrays: Any, axis: int) -> str | None:
    shapes = [np.shape(x) for x in arrays]
    listed = ", ".join(map(str, shapes[:8])) + (", ..." if len(shapes) > 8 else "")
    if len({len(shape) for shape in shapes}) > 1:
        return f"shapes {listed}: all must have the same number of axes"
    if not shapes[0]:
        return "numbers have no axis to be joined along; use stack"
    if not -len(shapes[0]) <= axis < len(shapes[0]):
        return f"axis {axis} for shapes {listed}"
    return f"shapes {listed} along axis {axis}: they may differ in this axis only"


@operation(
    vjps=Each(_concatenate),
    name="concatenate",
    notation=Notation("[<*>]", r"\left[ <*> \right]"),
    residual=_bounds,
    samples=[
        sample(normal(3, 4), normal(2, 4), axis=0),
        sample(normal(3, 4), normal(3, 1), normal(3, 2), axis=-1),
    ],
    door=_join_door,
)
def _joined(*arrays: Operand, axis: int) -> Any:
    return np.concatenate(arrays, axis=axis), _bounds(*map(np.asarray, arrays), axis=axis)


@public(_joined)
@implements(np.concatenate)
def concatenate(arrays: Sequence[Operand], axis: int | None = 0, dtype: Any = None) -> Any:
    r"""Several tensors one behind the other along an axis that exists; None flattens them first.

    Gradient: each receives its own part of g.

    Examples
    --------
    >>> import tinygrad_edu as tg
    >>> tg.concatenate([tg.Tensor([1.0, 2.0]), tg.Tensor([3.0])])
    Tensor([1., 2., 3.])
    """
    arrays = _several("concatenate", arrays)
    joined = _joined(*map(ravel, arrays), axis=0) if axis is None else _joined(*arrays, axis=operator.index(axis))
    return joined if dtype is None else astype(joined, dtype=np.dtype(dtype))


def _stack_door(*arrays: Any, axis: int) -> str | None:
    shapes = [np.shape(x) for x in arrays]
    other = next((shape for shape in shapes if shape != shapes[0]), None)
    if other is not None:
        return f"shapes {shapes[0]} and {other}: all must be equal; concatenate joins different lengths"
    return f"axis {axis} of a result with {len(shapes[0]) + 1} axes"


@operation(
    vjps=Each(lambda i, g, y, *arrays, axis: g[(slice(None),) * (axis % g.ndim) + (i,)]),
    name="stack",
    notation=Notation("[<*>]", r"\left[ <*> \right]"),
    samples=[sample(normal(3, 4), normal(3, 4), axis=0), sample(normal(3), normal(3), normal(3), axis=-1)],
    door=_stack_door,
)
def _stacked(*arrays: Operand, axis: int) -> Any:
    return np.stack(arrays, axis=axis)


@public(_stacked)
@implements(np.stack)
def stack(arrays: Sequence[Operand], axis: int = 0, dtype: Any = None) -> Any:
    r"""Several tensors of one shape side by side along a new axis.

    Gradient: each receives its own slice of g.

    Examples
    --------
    >>> import tinygrad_edu as tg
    >>> tg.stack([tg.Tensor([1.0, 2.0]), tg.Tensor([3.0, 4.0])], axis=1)
    Tensor([[1., 3.],
            [2., 4.]])
    """
    stacked = _stacked(*_several("stack", arrays), axis=operator.index(axis))
    return stacked if dtype is None else astype(stacked, dtype=np.dtype(dtype))


def _several(name: str, arrays: Sequence[Operand]) -> list[Any]:
    """The tensors of a sequence: one at least."""
    if not isinstance(arrays, Sequence) and getattr(arrays, "ndim", 0) == 0:
        raise TypeError(f"{name}: a {type(arrays).__name__} is given; a list of tensors is expected")
    if len(arrays) == 0:
        raise ShapeError(f"{name}: at least one tensor is needed")
    return [array_of(x) for x in arrays]


@implements(np.vstack)
def vstack(arrays: Sequence[Operand], dtype: Any = None) -> Any:
    """One above the other: joined along axis 0; vectors count as rows.

    Examples
    --------
    >>> import tinygrad_edu as tg
    >>> tg.vstack([tg.Tensor([1.0, 2.0]), tg.Tensor([3.0, 4.0])])
    Tensor([[1., 2.],
            [3., 4.]])
    """
    return concatenate([atleast_2d(x) for x in _several("vstack", arrays)], axis=0, dtype=dtype)


@implements(np.hstack)
def hstack(arrays: Sequence[Operand], dtype: Any = None) -> Any:
    """Side by side: joined along axis 1, vectors along their only axis.

    Examples
    --------
    >>> import tinygrad_edu as tg
    >>> tg.hstack([tg.Tensor([1.0, 2.0]), tg.Tensor([3.0])])
    Tensor([1., 2., 3.])
    """
    arrays = [atleast_1d(x) for x in _several("hstack", arrays)]
    return concatenate(arrays, axis=0 if arrays[0].ndim == 1 else 1, dtype=dtype)


@implements(np.dstack)
def dstack(arrays: Sequence[Operand]) -> Any:
    """One behind the other: joined along axis 2; (n,) counts as (1, n, 1), (m, n) as (m, n, 1).

    Examples
    --------
    >>> import tinygrad_edu as tg
    >>> tg.dstack([tg.Tensor([1.0, 2.0]), tg.Tensor([3.0, 4.0])]).shape
    (1, 2, 2)
    """
    return concatenate([atleast_3d(x) for x in _several("dstack", arrays)], axis=2)


@implements(np.column_stack)
def column_stack(arrays: Sequence[Operand]) -> Any:
    """Vectors as the columns of a matrix; matrices are set beside them as they are.

    Examples
    --------
    >>> import tinygrad_edu as tg
    >>> tg.column_stack([tg.Tensor([1.0, 2.0]), tg.Tensor([3.0, 4.0])])
    Tensor([[1., 3.],
            [2., 4.]])
    """
    columns = [x if x.ndim > 1 else reshape(x, shape=(-1, 1)) for x in _several("column_stack", arrays)]
    return concatenate(columns, axis=1)


@implements(np.block)
def block(arrays: Any) -> Any:
    """A matrix put together from nested lists of blocks: the innermost lists are joined along the last axis.

    Examples
    --------
    >>> import numpy as np, tinygrad_edu as tg
    >>> tg.block([[np.eye(2), np.zeros((2, 1))], [tg.Tensor([[1.0, 2.0, 3.0]])]])
    Tensor([[1., 0., 0.],
            [0., 1., 0.],
            [1., 2., 3.]])
    """
    depths, ndims = set(), {0}

    def look(part: Any, depth: int) -> None:
        if not isinstance(part, list):
            depths.add(depth)
            ndims.add(np.ndim(part))
        elif not part:
            raise ShapeError("block: a list is empty")
        else:
            for each in part:
                look(each, depth + 1)

    look(arrays, 0)
    if len(depths) > 1:
        raise ShapeError(f"block: blocks stand at different depths of the lists: {sorted(depths)}")
    (depth,) = depths
    ndim = max(depth, *ndims)

    def join(part: Any, axis: int) -> Any:
        if isinstance(part, list):
            return concatenate([join(each, axis + 1) for each in part], axis=axis)
        shape = np.shape(part)
        return reshape(part, shape=(1,) * (ndim - len(shape)) + shape)

    return join(arrays, -depth)


@implements(np.append)
def append(x: Operand, values: Operand, axis: int | None = None) -> Any:
    """The values behind x along `axis`; None flattens both first.

    Examples
    --------
    >>> import tinygrad_edu as tg
    >>> tg.append(tg.Tensor([[1.0], [2.0]]), 3.0)
    Tensor([1., 2., 3.])
    """
    return concatenate([x, values], axis=axis)


# -------------------------------------------------------------------------------------------- splitting


def _between(x: Operand, axis: int, bounds: Sequence[int]) -> list[Any]:
    """The slices of x between neighbouring bounds: views, whose gradients go back to where they were."""
    before = (slice(None),) * axis
    return [getitem(x, index=(*before, slice(a, b))) for a, b in itertools.pairwise(bounds)]


@implements(np.array_split)
def array_split(x: Operand, indices_or_sections: int | Sequence[int], axis: int = 0) -> list[Any]:
    """As `split`, but n sections need not divide the axis: the first ones are longer by one.

    Examples
    --------
    >>> import tinygrad_edu as tg
    >>> [len(part) for part in tg.array_split(tg.Tensor([1.0, 2.0, 3.0, 4.0, 5.0]), 3)]
    [2, 2, 1]
    """
    return _split("array_split", x, indices_or_sections, axis, even=False)


@implements(np.split)
def split(x: Operand, indices_or_sections: int | Sequence[int], axis: int = 0) -> list[Any]:
    """A list of parts of x along `axis`, as NumPy does it: so many equal ones, or cut at these positions.

    (PyTorch's split takes the *size* of the parts instead of their number; so many parts are its `chunk`.)
    Each part is a slice of x; so its gradient is that of an index.

    Examples
    --------
    >>> import tinygrad_edu as tg
    >>> x = tg.Tensor([1.0, 2.0, 3.0, 4.0])
    >>> tg.split(x, 2)
    [Tensor([1., 2.]), Tensor([3., 4.])]
    >>> tg.split(x, [1, 2])
    [Tensor([1.]), Tensor([2.]), Tensor([3., 4.])]
    """
    return _split("split", x, indices_or_sections, axis, even=True)


def _split(name: str, x: Operand, where: int | Sequence[int], axis: int, even: bool) -> list[Any]:
    x = array_of(x)
    axis = axis_number(name, x, axis)
    length = x.shape[axis]
    if np.ndim(where) > 0:
        return _between(x, axis, [0, *integers(name, where).tolist(), length])
    sections = operator.index(where)  # type: ignore[arg-type]
    if sections < 1:
        raise ShapeError(f"{name}: {sections} sections; one is the least")
    if even and length % sections:
        raise ShapeError(
            f"{name}: axis {axis} of shape {x.shape} does not divide into {sections} equal parts; array_split "
            "makes unequal ones"
        )
    size, longer = divmod(length, sections)
    return _between(x, axis, [i * size + min(i, longer) for i in range(sections + 1)])


@implements(np.hsplit)
def hsplit(x: Operand, indices_or_sections: int | Sequence[int]) -> list[Any]:
    """Parts side by side: split along axis 1, a vector along its only axis.

    Examples
    --------
    >>> import tinygrad_edu as tg
    >>> tg.hsplit(tg.Tensor([[1.0, 2.0], [3.0, 4.0]]), 2)[0]
    Tensor([[1.],
            [3.]])
    """
    _axes_needed("hsplit", x, 1)
    return _split("hsplit", x, indices_or_sections, min(np.ndim(x), 2) - 1, even=True)


@implements(np.vsplit)
def vsplit(x: Operand, indices_or_sections: int | Sequence[int]) -> list[Any]:
    """Parts one above the other: split along axis 0 of at least two.

    Examples
    --------
    >>> import tinygrad_edu as tg
    >>> tg.vsplit(tg.Tensor([[1.0, 2.0], [3.0, 4.0]]), 2)[0]
    Tensor([[1., 2.]])
    """
    _axes_needed("vsplit", x, 2)
    return _split("vsplit", x, indices_or_sections, 0, even=True)


@implements(np.dsplit)
def dsplit(x: Operand, indices_or_sections: int | Sequence[int]) -> list[Any]:
    """Parts one behind the other: split along axis 2 of at least three.

    Examples
    --------
    >>> import tinygrad_edu as tg
    >>> tg.dsplit(tg.Tensor([[[1.0, 2.0]]]), 2)[1]
    Tensor([[[2.]]])
    """
    _axes_needed("dsplit", x, 3)
    return _split("dsplit", x, indices_or_sections, 2, even=True)


def _axes_needed(name: str, x: Operand, ndim: int) -> None:
    if np.ndim(x) < ndim:
        raise ShapeError(f"{name}: a tensor of shape {np.shape(x)}; {ndim} axes are needed at least")


def chunk(x: Operand, chunks: int, axis: int = 0) -> tuple[Any, ...]:
    """At most so many parts of equal size (the last may be smaller) along `axis`, as in PyTorch.

    Examples
    --------
    >>> import tinygrad_edu as tg
    >>> tg.chunk(tg.Tensor([1.0, 2.0, 3.0, 4.0, 5.0]), 2)
    (Tensor([1., 2., 3.]), Tensor([4., 5.]))
    """
    x = array_of(x)
    axis = axis_number("chunk", x, axis)
    chunks, length = operator.index(chunks), x.shape[axis]
    if chunks < 1:
        raise ShapeError(f"chunk: {chunks} chunks; one is the least")
    if length == 0:
        return tuple(_between(x, axis, [0] * (chunks + 1)))
    size = -(-length // chunks)
    return tuple(_between(x, axis, [*range(0, length, size), length]))


def unstack(x: Operand, axis: int = 0) -> tuple[Any, ...]:
    """The slices of x along `axis`, without that axis: what `stack` would put together again.

    Examples
    --------
    >>> import tinygrad_edu as tg
    >>> tg.unstack(tg.Tensor([[1.0, 2.0], [3.0, 4.0]]), axis=1)
    (Tensor([1., 3.]), Tensor([2., 4.]))
    """
    x = array_of(x)
    before = (slice(None),) * axis_number("unstack", x, axis)
    return tuple(getitem(x, index=(*before, i)) for i in range(x.shape[len(before)]))


if hasattr(np, "unstack"):  # since NumPy 2.1
    implements(np.unstack)(unstack)


# --------------------------------------------------------------------------------- inserting, deleting


@implements(np.delete)
def delete(x: Operand, obj: Any, axis: int | None = None) -> Any:
    """Without the positions `obj` (an int, a slice, integers or a mask) along `axis`; None flattens x first.

    Examples
    --------
    >>> import tinygrad_edu as tg
    >>> tg.delete(tg.Tensor([1.0, 2.0, 3.0]), 1)
    Tensor([1., 3.])
    """
    x, axis = (ravel(x), 0) if axis is None else (array_of(x), axis_number("delete", x, axis))
    try:
        kept = np.delete(np.arange(x.shape[axis]), plain_index(obj))
    except (ValueError, IndexError) as error:
        raise type(error)(f"delete: {error} (a tensor of shape {x.shape})") from None
    return getitem(x, index=(slice(None),) * axis + (kept,))


@implements(np.insert)
def insert(x: Operand, obj: Any, values: Operand, axis: int | None = None) -> Any:
    """With the values put in front of the positions `obj` along `axis`; None flattens x first.

    The values get the dtype of x.

    Examples
    --------
    >>> import tinygrad_edu as tg
    >>> tg.insert(tg.Tensor([1.0, 4.0]), 1, tg.Tensor([2.0, 3.0]))
    Tensor([1., 2., 3., 4.])
    """
    x, values = array_of(x), array_of(values)
    if values.dtype.kind == "f" and x.dtype.kind != "f":
        raise DtypeError(f"insert: {values.dtype} into {x.dtype} would cut the fractions; x.astype(float) takes them")
    # NumPy inserts addresses into addresses.  Then one index takes all numbers from where they are.
    places = np.arange(x.size).reshape(x.shape), x.size + np.arange(values.size).reshape(values.shape)
    try:
        order = np.insert(places[0], plain_index(obj), places[1], axis=axis)
    except (ValueError, IndexError) as error:
        message = f"insert: {error} (values of shape {values.shape} into a tensor of shape {x.shape})"
        raise type(error)(message) from None
    return getitem(concatenate([ravel(x), ravel(astype(values, dtype=x.dtype))]), index=order)
