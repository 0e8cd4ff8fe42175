"""Products of vectors, matrices and stacks of them: matmul, linear (a layer of a network), outer, tensordot, cross, ...

Most are a matrix product between two changes of shape, so they need no rules of their own.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from tinygrad_edu.errors import ShapeError
from tinygrad_edu.op import PRODUCT, SUM, Notation, broadcastable, implements, normal, operation, public, sample
from tinygrad_edu.ops.arithmetic import add, multiply
from tinygrad_edu.ops.axes import axes_of, axis_problem
from tinygrad_edu.ops.reductions import sum as total
from tinygrad_edu.ops.shaping import matrix_transpose, moveaxis, ravel, reshape, transpose

__all__ = [
    "addmm", "bmm", "cross", "dot", "inner", "kron", "linear", "matmul", "multi_dot", "outer", "tensordot", "vdot",
    "vecdot",
]  # fmt: skip

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
    """Product of scalars, vectors, matrices or stacks of them, as `np.dot` defines it.

    It sums over the last axis of a and the last but one of b; all other axes of both remain.  For stacks
    of matrices that belong to each other in pairs use `@`.

    Examples
    --------
    >>> import tinygrad_edu as tg
    >>> tg.dot(tg.Tensor([1.0, 2.0]), tg.Tensor([3.0, 4.0]))
    Tensor(11.)
    """
    m, n = (x.ndim if hasattr(x, "ndim") else np.ndim(x) for x in (a, b))
    if m == 0 or n == 0:
        return multiply(a, b)
    return matmul(a, b) if n < 3 or m == 1 else tensordot(a, b, axes=(-1, -2))


SMALL = 16_384  # numbers


def matrix_product(a: Any, b: Any, size: int) -> Any:
    """a @ b for a matrix b; of few numbers by `dot`, which is called in half of the time (0.4 us less).

    Not of many: `dot` fills what it returns with zeros first.
    """
    return a.dot(b) if size < SMALL and type(a) is type(b) is np.ndarray and b.ndim == 2 else a @ b


def _linear_weight(g: Any, y: Any, x: Any, weight: Any, bias: Any) -> Any:
    if x.ndim != 2:
        x, g = _flat(x), _flat(g)
    return matrix_product(x.T, g, weight.size)


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
        lambda g, y, x, weight, bias: matrix_product(g, weight.T, x.size),
        _linear_weight,
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
    y = matrix_product(x, weight, x.size if x.ndim else SMALL)
    if bias.shape == y.shape[-1:] and weight.ndim == 2 and y.dtype is bias.dtype:  # as in nn.Linear
        y += bias  # in place: one array less
        return y
    if weight.ndim != 2 or bias.size != weight.shape[1] or bias.shape[-1] != bias.size:
        raise ValueError  # NumPy would broadcast; the door says what is wrong
    return y + bias


def _flat(x: Any) -> Any:
    """All samples in one matrix: (..., features) -> (samples, features)."""
    return x.reshape((-1, x.shape[-1]))


# ------------------------------------------------------------------------ products of other shapes, by matmul

implements(np.linalg.matmul)(matmul)
implements(np.linalg.matrix_transpose)(matrix_transpose)


@implements(np.outer, np.linalg.outer)
def outer(a: Operand, b: Operand) -> Any:
    """Each element of a times each element of b: (n,), (m,) -> (n, m).  Both are flattened first.

    Examples
    --------
    >>> import tinygrad_edu as tg
    >>> tg.outer(tg.Tensor([1.0, 2.0]), tg.Tensor([3.0, 4.0]))
    Tensor([[3., 4.],
            [6., 8.]])
    """
    return multiply(reshape(a, shape=(-1, 1)), reshape(b, shape=(1, -1)))


@implements(np.vdot)
def vdot(a: Operand, b: Operand) -> Any:
    """The sum of all products of elements in the same places; both are flattened first.

    Examples
    --------
    >>> import tinygrad_edu as tg
    >>> tg.vdot(tg.Tensor([[1.0, 2.0]]), tg.Tensor([[3.0], [4.0]]))
    Tensor(11.)
    """
    if math.prod(np.shape(a)) != math.prod(np.shape(b)):
        raise ShapeError(f"vdot: shapes {np.shape(a)} and {np.shape(b)} have different numbers of elements")
    return matmul(ravel(a), ravel(b))


@implements(np.vecdot, np.linalg.vecdot)
def vecdot(a: Operand, b: Operand, axis: int = -1) -> Any:
    """Scalar products of the vectors along `axis`, one for each place in the other axes, which broadcast.

    Examples
    --------
    >>> import tinygrad_edu as tg
    >>> tg.vecdot(tg.Tensor([[1.0, 2.0], [3.0, 4.0]]), tg.Tensor([1.0, 1.0]))
    Tensor([3., 7.])
    """
    shapes = np.shape(a), np.shape(b)
    for shape in shapes:
        problem = axis_problem(shape, axis)
        if problem:
            raise ShapeError(f"vecdot: {problem}")
    if shapes[0][axis] != shapes[1][axis]:
        raise ShapeError(f"vecdot: {shapes[0]} and {shapes[1]}: sizes {shapes[0][axis]} and {shapes[1][axis]} differ")
    if axis != -1:
        a, b = moveaxis(a, axis, -1), moveaxis(b, axis, -1)
    return total(multiply(a, b), -1)


@implements(np.inner)
def inner(a: Operand, b: Operand) -> Any:
    """Scalar products of the vectors along the last axes: (..., k), (---, k) -> (..., ---).

    Examples
    --------
    >>> import tinygrad_edu as tg
    >>> tg.inner(tg.Tensor([[1.0, 2.0], [3.0, 4.0]]), tg.Tensor([1.0, 1.0]))
    Tensor([3., 7.])
    """
    if np.ndim(a) == 0 or np.ndim(b) == 0:
        return multiply(a, b)
    return tensordot(a, b, axes=(-1, -1))


@implements(np.tensordot, np.linalg.tensordot)
def tensordot(a: Operand, b: Operand, axes: int | Sequence[Any] = 2) -> Any:
    """Sum of products over some axes of a and of b; the other axes of a remain, then those of b.

    `axes` is a number n (the last n of a with the first n of b), or a pair: axes of a, axes of b.

    It is one matrix product: the axes that are summed over go last in a and first in b, and are made one.

    Examples
    --------
    >>> import numpy as np, tinygrad_edu as tg
    >>> tg.tensordot(tg.Tensor(np.ones((2, 3, 4))), tg.Tensor(np.ones((4, 3, 5))), axes=([1, 2], [1, 0])).shape
    (2, 5)
    """
    m, n = np.shape(a), np.shape(b)
    summed_a, summed_b = _summed_axes(m, n, axes)
    rest_a = tuple(i for i in range(len(m)) if i not in summed_a)
    rest_b = tuple(i for i in range(len(n)) if i not in summed_b)
    k = math.prod(m[i] for i in summed_a)
    rows, columns = math.prod(m[i] for i in rest_a), math.prod(n[i] for i in rest_b)
    left = reshape(transpose(a, axes=(*rest_a, *summed_a)), shape=(rows, k))
    right = reshape(transpose(b, axes=(*summed_b, *rest_b)), shape=(k, columns))
    return reshape(matmul(left, right), shape=(*(m[i] for i in rest_a), *(n[i] for i in rest_b)))


def _summed_axes(m: tuple[int, ...], n: tuple[int, ...], axes: Any) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """The axes of a and of b that tensordot sums over, as numbers from 0."""
    if isinstance(axes, (int, np.integer)):
        if not 0 <= axes <= min(len(m), len(n)):
            raise ShapeError(f"tensordot: axes={axes} for tensors of shapes {m} and {n}")
        given = tuple(range(len(m) - axes, len(m))), tuple(range(axes))
    else:
        a, b = axes
        given = tuple((int(i),) if np.ndim(i) == 0 else tuple(int(j) for j in i) for i in (a, b))  # type: ignore
    for shape, chosen in zip((m, n), given):
        problem = axis_problem(shape, chosen)
        if problem:
            raise ShapeError(f"tensordot: {problem}")
    first, second = axes_of(m, given[0]), axes_of(n, given[1])
    if [m[i] for i in first] != [n[i] for i in second]:
        raise ShapeError(f"tensordot: {m} and {n}: sizes along axes {given[0]} and {given[1]} differ")
    return first, second


@implements(np.kron)
def kron(a: Operand, b: Operand) -> Any:
    """Kronecker product: the blocks a_ij b, side by side as a is.

    Examples
    --------
    >>> import tinygrad_edu as tg
    >>> tg.kron(tg.Tensor([1.0, 10.0]), tg.Tensor([1.0, 2.0]))
    Tensor([ 1.,  2., 10., 20.])
    """
    ndim = max(np.ndim(a), np.ndim(b))
    m = (1,) * (ndim - np.ndim(a)) + np.shape(a)
    n = (1,) * (ndim - np.ndim(b)) + np.shape(b)
    places = reshape(a, shape=tuple(size for i in m for size in (i, 1)))
    blocks = reshape(b, shape=tuple(size for i in n for size in (1, i)))
    return reshape(multiply(places, blocks), shape=tuple(i * j for i, j in zip(m, n)))


def bmm(a: Operand, b: Operand) -> Any:
    """Matrix products of two stacks of the same size: (n, i, k), (n, k, j) -> (n, i, j).

    PyTorch's name; `a @ b` does the same, and broadcasts.

    Examples
    --------
    >>> import numpy as np, tinygrad_edu as tg
    >>> tg.bmm(tg.Tensor(np.ones((5, 2, 3))), tg.Tensor(np.ones((5, 3, 4)))).shape
    (5, 2, 4)
    """
    m, n = np.shape(a), np.shape(b)
    if len(m) != 3 or len(n) != 3 or m[0] != n[0]:
        raise ShapeError(f"bmm: {m} and {n}: two stacks (n, i, k) and (n, k, j) are expected; a @ b takes others, too")
    return matmul(a, b)


def addmm(input: Operand, mat1: Operand, mat2: Operand, *, beta: float = 1, alpha: float = 1) -> Any:
    """beta * input + alpha * (mat1 @ mat2), PyTorch's name for it; with beta = 0 the input plays no part.

    Examples
    --------
    >>> import tinygrad_edu as tg
    >>> tg.addmm(tg.Tensor([0.5]), tg.Tensor([[1.0, 2.0]]), tg.Tensor([[3.0], [4.0]]))
    Tensor([[11.5]])
    """
    m, n, bias = np.shape(mat1), np.shape(mat2), np.shape(input)
    if len(m) != 2 or len(n) != 2:
        raise ShapeError(f"addmm: {m} @ {n}: two matrices are expected")
    product = matmul(mat1, mat2)
    if alpha != 1:
        product = multiply(alpha, product)
    if not broadcastable(bias, product.shape) or np.broadcast_shapes(bias, product.shape) != product.shape:
        raise ShapeError(f"addmm: an input of shape {bias} does not broadcast to the product's {product.shape}")
    if beta == 0:
        return product
    return add(input if beta == 1 else multiply(beta, input), product)


@implements(np.linalg.multi_dot)
def multi_dot(arrays: Sequence[Operand]) -> Any:
    """The product of several matrices in the order that needs the fewest multiplications.

    The first and the last may be vectors, a row and a column.

    Examples
    --------
    >>> import numpy as np, tinygrad_edu as tg
    >>> tg.multi_dot([tg.Tensor(np.ones((9, 2))), tg.Tensor(np.ones((2, 9))), tg.Tensor(np.ones(9))]).shape
    (9,)
    """
    shapes = [np.shape(x) for x in arrays]
    if len(shapes) < 2:
        raise ShapeError("multi_dot: at least two matrices are needed")
    ends = (0, len(shapes) - 1)
    if any(len(s) != 2 and not (len(s) == 1 and i in ends) for i, s in enumerate(shapes)):
        raise ShapeError(f"multi_dot: shapes {shapes}: matrices are expected (the first and last may be vectors)")
    # The product of matrices i to j has sizes[i] rows and sizes[j + 1] columns.
    sizes = [1 if len(shapes[0]) == 1 else shapes[0][0], *(s[0] for s in shapes[1:]), shapes[-1][-1]]
    if len(shapes[-1]) == 1:
        sizes[-1] = 1

    @functools.cache
    def plan(i: int, j: int) -> tuple[int, int]:
        """The least cost of the product of matrices i to j, and where to split it."""
        return min(
            (plan(i, k)[0] + plan(k + 1, j)[0] + sizes[i] * sizes[k + 1] * sizes[j + 1], k) for k in range(i, j)
        ) if i < j else (0, i)  # fmt: skip

    def product(i: int, j: int) -> Any:
        if i == j:
            return arrays[i]
        k = plan(i, j)[1]
        return matmul(product(i, k), product(k + 1, j))

    return product(0, len(shapes) - 1)


# ---------------------------------------------------------------------------------------- cross product


def _cross_door(a: Any, b: Any) -> str | None:
    m, n = np.shape(a), np.shape(b)
    if not m or not n or m[-1] != 3 or n[-1] != 3:
        return f"{m} and {n}: vectors of three numbers are expected"
    return None


@operation(
    name="cross",
    vjps=[lambda g, y, a, b: np.cross(b, g), lambda g, y, a, b: np.cross(g, a)],
    notation=Notation("<a> x <b>", r"<a> \times <b>", PRODUCT),
    samples=[
        sample(normal(3), normal(3)),
        sample(normal(4, 3), normal(4, 3)),
        sample(normal(3), normal(4, 3)),
        sample(normal(2, 1, 3), normal(4, 3)),
    ],
    door=_cross_door,
)
def _cross(a: Any, b: Any) -> Any:
    if np.shape(a)[-1:] != (3,) or np.shape(b)[-1:] != (3,):
        raise ValueError  # the door says what is wrong
    return np.cross(a, b)


@public(_cross)
@implements(np.cross)
def cross(a: Operand, b: Operand, axisa: int = -1, axisb: int = -1, axisc: int = -1, axis: int | None = None) -> Any:
    r"""Cross product a x b of vectors of three numbers; their axes are the last unless given, other axes broadcast.

    Gradient: dL/da = b x g, dL/db = g x a.

    Examples
    --------
    >>> import tinygrad_edu as tg
    >>> tg.cross(tg.Tensor([1.0, 0.0, 0.0]), tg.Tensor([0.0, 1.0, 0.0]))
    Tensor([0., 0., 1.])
    """
    if axis is not None:
        axisa = axisb = axisc = axis
    if axisa != -1:
        a = moveaxis(a, axisa, -1)
    if axisb != -1:
        b = moveaxis(b, axisb, -1)
    product = _cross(a, b)
    return product if axisc == -1 else moveaxis(product, -1, axisc)


implements(np.linalg.cross)(lambda a, b, *, axis=-1: cross(a, b, axis=axis))
