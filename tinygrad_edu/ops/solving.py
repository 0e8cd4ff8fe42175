"""Inverses, linear systems, determinants and powers of square matrices; leading axes are batches.

A matrix that is singular, or for another reason has no answer, raises `numpy.linalg.LinAlgError`, as in NumPy.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from tinygrad_edu.errors import ShapeError
from tinygrad_edu.op import Notation, implements, normal, operation, public, sample
from tinygrad_edu.ops.axes import numbers, operand
from tinygrad_edu.ops.comparisons import where as choose
from tinygrad_edu.ops.linalg import matmul

__all__ = ["det", "inv", "matrix_power", "pinv", "slogdet", "solve"]

Operand = Any  # a Tensor, an array or a number
LinAlgError = np.linalg.LinAlgError


def dominant(*shape: int) -> Callable[[np.random.Generator], np.ndarray]:
    """Draws square matrices whose diagonal dominates: they are far from singular."""
    return lambda rng: rng.uniform(-1, 1, size=shape) + shape[-1] * np.eye(shape[-1])


def matrix_problem(x: Any, *_: Any, **__: Any) -> str | None:
    """One sentence about what is no square matrix."""
    shape = np.shape(x)
    if len(shape) < 2 or shape[-1] != shape[-2]:
        return f"shape {shape}: square matrices (..., n, n) are expected"
    return None


def lapack(name: str, function: Callable[..., Any], *args: Any, why: str = "") -> Any:
    """What NumPy's function says; where it finds no answer, an error that names the operation and the way out."""
    try:
        return function(*args)
    except LinAlgError as error:
        if "dimension" in str(error) or "square" in str(error):
            raise  # the operation's door says what is wrong with the shapes
        raise LinAlgError(f"{name}: {why or error}") from None


# ------------------------------------------------------------------------------------- inverse, linear systems


@operation(
    numpy=[np.linalg.inv],
    vjps=[lambda g, y, x: -(y.mT @ g @ y.mT)],
    notation=Notation("inv(<x>)", "{<x>}^{-1}"),
    samples=[sample(dominant(3, 3)), sample(dominant(2, 3, 3)), sample(dominant(1, 1))],
    door=matrix_problem,
)
def inv(x: Operand) -> Any:
    r"""Inverse of each matrix.

    Gradient: dL/dx = -y^T g y^T, y = inv(x).  From y x = 1 follows dy x + y dx = 0, that is dy = -y dx y.

    To solve a linear system use `solve`: it is quicker and more precise.

    Examples
    --------
    >>> import tinygrad_edu as tg
    >>> tg.inv(tg.Tensor([[2.0, 0.0], [0.0, 4.0]]))
    Tensor([[0.5 , 0.  ],
            [0.  , 0.25]])
    """
    return lapack("inv", np.linalg.inv, x, why="a matrix is singular and has no inverse; pinv has an answer")


def _solve_door(a: Any, b: Any) -> str | None:
    m, n = np.shape(a), np.shape(b)
    problem = matrix_problem(a)
    if problem or not n:
        return problem or "the right-hand side is a scalar; a vector (n,) or a matrix (n, k) is expected"
    rows = n[0] if len(n) == 1 else n[-2]
    if rows != m[-1]:
        hint = "; for a stack of vectors give b[..., None]" if n[-1] == m[-1] and len(n) < len(m) else ""
        return f"{m} and {n}: {m[-1]} equations, but {rows} right-hand sides{hint}"
    try:
        np.broadcast_shapes(m[:-2], n[:-2])
    except ValueError:
        return f"{m} and {n}: batch axes {m[:-2]} and {n[:-2]} do not broadcast"
    return None


# Only a right-hand side with one axis is a vector for NumPy; here it is a matrix with one column.
def _solve_a(g: Any, y: Any, a: Any, b: Any) -> Any:
    if b.ndim > 1:
        return -(np.linalg.solve(a.mT, g) @ y.mT)
    return -(np.linalg.solve(a.mT, g[..., None]) @ y[..., None, :])


def _solve_b(g: Any, y: Any, a: Any, b: Any) -> Any:
    if b.ndim > 1:
        return np.linalg.solve(a.mT, g)
    return np.linalg.solve(a.mT, g[..., None])[..., 0]


@operation(
    numpy=[np.linalg.solve],
    vjps=[_solve_a, _solve_b],
    notation=Notation("inv(<a>) <b>", "{<a>}^{-1} <b>"),
    samples=[
        sample(dominant(3, 3), normal(3)),
        sample(dominant(3, 3), normal(3, 2)),
        sample(dominant(2, 3, 3), normal(3)),
        sample(dominant(2, 3, 3), normal(2, 3, 1)),
        sample(dominant(2, 1, 3, 3), normal(4, 3, 2)),
        sample(dominant(3, 3), normal(4, 3, 2)),
    ],
    door=_solve_door,
)
def solve(a: Operand, b: Operand) -> Any:
    r"""The solution y of a y = b.

    Shapes: a (..., n, n), b (n,) or (..., n, k) -> (..., n) or (..., n, k).  As in NumPy 2 only a b with one axis
    is a vector.

    Gradient: dL/db = h with a^T h = g, another linear system; dL/da = -h y^T.

    Examples
    --------
    >>> import tinygrad_edu as tg
    >>> tg.solve(tg.Tensor([[2.0, 0.0], [0.0, 4.0]]), tg.Tensor([1.0, 1.0]))
    Tensor([0.5 , 0.25])
    """
    why = "a matrix is singular: there is no solution, or many; the shortest of the best is pinv(a) @ b"
    return lapack("solve", np.linalg.solve, a, b, why=why)


# --------------------------------------------------------------------------------------------- determinants

# The derivatives of det(x) are its cofactors, det(x) inv(x)^T.  Those of a singular matrix are no less finite, but
# have to be found without dividing by the determinant: as polynomials in x, which then have the right derivatives
# of their own, too.  In large matrices rounding spoils them.
LARGEST_SINGULAR = 20


def _cofactors(y: Any, x: Any) -> Any:
    if _is_regular(numbers(x)):
        return y[..., None, None] * np.linalg.inv(x).mT
    if x.shape[-1] > LARGEST_SINGULAR:
        raise LinAlgError(f"det: no gradient for a singular matrix of more than {LARGEST_SINGULAR} rows")
    return _adjugate(x).mT


def _is_regular(x: np.ndarray) -> bool:
    """Will the inverses have at least three digits right?"""
    return not x.size or not (np.linalg.cond(x, "fro") * np.finfo(x.dtype).eps > 1e-3).any()


def _adjugate(x: Any) -> Any:
    """det(x) inv(x) by the recursion of Faddeev and LeVerrier: products and sums only."""
    n = x.shape[-1]
    m = eye = np.eye(n)  # in float64, and with it all that follows
    for k in range(1, n):
        product = x @ m
        m = product - np.linalg.trace(product)[..., None, None] / k * eye
    return m * (-1) ** (n - 1)


@operation(
    numpy=[np.linalg.det],
    vjps=[lambda g, y, x: g[..., None, None] * _cofactors(y, x)],
    notation=Notation("det(<x>)", r"\det(<x>)"),
    samples=[
        sample(dominant(3, 3)),
        sample(normal(2, 4, 4)),
        sample(normal(1, 1)),
        sample(lambda rng: np.array([[[1.0, 2.0], [2.0, 4.0]], [[3.0, 1.0], [0.0, 0.0]]])),
        sample(lambda rng: np.arange(1.0, 10.0).reshape(3, 3) / 10),  # singular, but for rounding
    ],
    door=matrix_problem,
)
def det(x: Operand) -> Any:
    r"""Determinant of each matrix.

    Gradient: dL/dx = g det(x) inv(x)^T, the cofactors.  They are right for singular matrices, too (up to 20 rows;
    above that LinAlgError).

    For the logarithm of a determinant use `slogdet`, which neither overflows nor underflows.

    Examples
    --------
    >>> import tinygrad_edu as tg
    >>> x = tg.Tensor([[1.0, 2.0], [2.0, 4.0]], requires_grad=True)
    >>> tg.det(x).backward()
    >>> x.grad
    array([[ 4., -2.],
           [-2.,  1.]])
    """
    return np.linalg.det(x)


class SlogdetResult(NamedTuple):
    """What `slogdet` returns."""

    sign: Any
    logabsdet: Any


def _slogdet_rule(g: Any, y: Any, x: Any) -> Any:
    why = "a matrix is singular; log|det| = -inf has no gradient"
    return g[..., 1, None, None] * lapack("slogdet", np.linalg.inv, x, why=why).mT


# An operation has one output, so the two results stand side by side in it.
@operation(
    name="slogdet",
    vjps=[_slogdet_rule],
    notation=Notation("slogdet(<x>)", r"\operatorname{slogdet}(<x>)"),
    samples=[sample(dominant(3, 3)), sample(dominant(2, 4, 4)), sample(normal(1, 1))],
    door=matrix_problem,
)
def _slogdet(x: Any) -> Any:
    return np.stack(np.linalg.slogdet(x), axis=-1)


@public(_slogdet)
@implements(np.linalg.slogdet)
def slogdet(x: Operand) -> SlogdetResult:
    r"""Sign and logarithm of the determinant of each matrix: det(x) = sign * e^logabsdet, without overflow.

    Gradient: dL/dx = g inv(x)^T for logabsdet, and 0 for the sign.  Of a singular matrix logabsdet is -inf, and its
    gradient raises LinAlgError.

    Examples
    --------
    >>> import tinygrad_edu as tg
    >>> sign, logabsdet = tg.slogdet(tg.Tensor([[2.0, 0.0], [0.0, -4.0]]))
    >>> sign, logabsdet
    (Tensor(-1.), Tensor(2.07944154))
    """
    y = operand(_slogdet(x))
    return SlogdetResult(y[..., 0], y[..., 1])


# ----------------------------------------------------------------------------------- pseudo-inverse, powers


def _pinv_rule(g: Any, y: Any, x: Any, rcond: Any, hermitian: bool) -> Any:
    n, m = x.shape[-2:]
    yt, gt = y.mT, g.mT
    outside = (np.eye(n, dtype=x.dtype) - x @ y) @ gt @ y @ yt  # what the image of x does not reach
    kernel = yt @ y @ gt @ (np.eye(m, dtype=x.dtype) - y @ x)  # what x maps to 0
    return outside + kernel - yt @ g @ yt


def _full_rank(*shape: int) -> Callable[[np.random.Generator], np.ndarray]:
    """Draws matrices that are not far from having orthonormal rows or columns."""
    return lambda rng: rng.uniform(-0.3, 0.3, size=shape) + np.eye(shape[-2], shape[-1])


@operation(
    name="pinv",
    vjps=[_pinv_rule],
    notation=Notation("pinv(<x>)", "{<x>}^{+}"),
    samples=[sample(_full_rank(3, 3)), sample(_full_rank(2, 4, 3)), sample(_full_rank(3, 4))],
    door=lambda x, **_: None if np.ndim(x) > 1 else f"shape {np.shape(x)}: matrices (..., n, m) are expected",
)
def _pinv(x: Any, rcond: Any = None, hermitian: bool = False) -> Any:
    return lapack("pinv", np.linalg.pinv, x, rcond, hermitian)


@public(_pinv)
@implements(np.linalg.pinv)
def pinv(x: Operand, rcond: Any = None, hermitian: bool = False, *, rtol: Any = None) -> Any:
    r"""Pseudo-inverse of each matrix (Moore and Penrose): (..., n, m) -> (..., m, n).

    Singular values up to rcond (or rtol) times the largest count as 0, as in NumPy.

    Gradient, with y = pinv(x): dL/dx = -y^T g y^T + (1 - x y) g^T y y^T + y^T y g^T (1 - y x).  It holds while the
    rank stays what it is; where the rank changes, the pseudo-inverse jumps.

    Examples
    --------
    >>> import tinygrad_edu as tg
    >>> tg.pinv(tg.Tensor([[2.0, 0.0], [0.0, 0.0]]))
    Tensor([[0.5, 0. ],
            [0. , 0. ]])
    """
    if rcond is not None and rtol is not None:
        raise ValueError("pinv: rcond and rtol are two names of one number; give one")
    return _pinv(x, rcond=rtol if rcond is None else rcond, hermitian=hermitian)


@implements(np.linalg.matrix_power)
def matrix_power(x: Operand, n: int) -> Any:
    """The n-th power of each matrix, by repeated squaring; for n < 0 that of the inverse.

    Examples
    --------
    >>> import tinygrad_edu as tg
    >>> tg.matrix_power(tg.Tensor([[1.0, 1.0], [0.0, 1.0]]), 5)
    Tensor([[1., 5.],
            [0., 1.]])
    """
    x = operand(x)
    problem = matrix_problem(x)
    if problem:
        raise ShapeError(f"matrix_power: {problem}")
    n = operator.index(n)
    if n == 0:
        return choose(False, x, np.eye(x.shape[-1], dtype=x.dtype))  # constant, with the gradient 0
    if n < 0:
        x, n = inv(x), -n
    result = None
    while True:
        if n % 2:
            result = x if result is None else matmul(result, x)
        n //= 2
        if not n:
            return result
        x = matmul(x, x)
