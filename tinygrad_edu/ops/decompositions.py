"""Decompositions of matrices: cholesky, qr, eigh and svd, with eigenvalues and singular values alone.

An operation has one output, a decomposition has several.  So its results are stacked into one array, and what users
get are slices of that: it is computed once, and its rule receives the gradients of all results together.

Where two eigenvalues (or singular values) are equal, their vectors are not unique and have no gradient: it is NaN or
infinite there.  The values alone do have one; but their second derivative, which takes the vectors, has the same fate.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from tinygrad_edu.errors import ShapeError
from tinygrad_edu.op import PRODUCT, Notation, between, implements, normal, operation, public, sample
from tinygrad_edu.ops.axes import numbers, operand
from tinygrad_edu.ops.diagonals import tril, triu
from tinygrad_edu.ops.joining import concatenate
from tinygrad_edu.ops.linalg import matmul
from tinygrad_edu.ops.shaping import matrix_transpose
from tinygrad_edu.ops.solving import lapack, matrix_problem

__all__ = ["cholesky", "eigh", "eigvalsh", "qr", "svd", "svdvals"]

Operand = Any  # a Tensor, an array or a number


def _draw(*shape: int) -> Callable[[np.random.Generator], np.ndarray]:
    """Draws matrices with distinct singular values, whose vectors do not change sides when an element is changed a
    little: small positive numbers, and larger ones on the diagonal.
    """

    def draw(rng: np.random.Generator) -> np.ndarray:
        x = rng.uniform(0.1, 0.2, size=shape)
        for i in range(min(shape[-2:])):
            x[..., i, i] += min(shape[-2:]) - i + rng.uniform(0, 0.3)
        return x

    return draw


def _draw_symmetric(*shape: int) -> Callable[[np.random.Generator], np.ndarray]:
    """Draws symmetric ones, which are positive definite."""

    def draw(rng: np.random.Generator) -> np.ndarray:
        x = _draw(*shape)(rng)[..., ::-1, ::-1]  # the values in ascending order, as eigh has them
        return x + x.mT

    return draw


def _shape_door(x: Any) -> str | None:
    return None if np.ndim(x) > 1 else f"shape {np.shape(x)}: matrices (..., n, m) are expected"


# ------------------------------------------------------------------------------------- symmetric matrices


def _read(x: Any, upper: bool = False) -> Any:
    """x, if it is symmetric up to rounding; if not, what NumPy reads of it: one triangle, mirrored."""
    x = operand(x)
    a = numbers(x)
    if matrix_problem(a) or a.dtype.kind != "f":
        return x
    with np.errstate(invalid="ignore"):  # inf - inf
        rounding = 100 * np.finfo(a.dtype).eps * np.abs(a).max(initial=0)
        if (np.abs(a - a.mT) <= rounding).all():
            return x
    triangle, k = (triu, 1) if upper else (tril, -1)
    return triangle(x) + matrix_transpose(triangle(x, k))


def _mean_of_both(x: Any) -> Any:
    """(x + x^T) / 2: an error in one element counts as half an error in two, so gradients are symmetric."""
    if matrix_problem(x):
        raise ValueError  # the door says what is wrong
    return (x + x.mT) / 2


def _cholesky_rule(g: Any, y: Any, x: Any) -> Any:
    inner = y.mT @ g
    lower = (np.tril(inner) + np.tril(inner, -1)) / 2  # the triangle, with half the diagonal
    half = np.linalg.solve(y.mT, np.linalg.solve(y.mT, lower).mT)  # (y^-T lower y^-1)^T
    return (half + half.mT) / 2


@operation(
    name="cholesky",
    vjps=[_cholesky_rule],
    notation=Notation("chol(<x>)", r"\operatorname{chol}(<x>)"),
    samples=[sample(_draw_symmetric(3, 3)), sample(_draw_symmetric(2, 3, 3)), sample(_draw_symmetric(1, 1))],
    door=matrix_problem,
)
def _cholesky(x: Any) -> Any:
    why = "a matrix is not positive definite; add a multiple of the identity"
    return lapack("cholesky", np.linalg.cholesky, _mean_of_both(x), why=why)


@public(_cholesky)
@implements(np.linalg.cholesky)
def cholesky(x: Operand, *, upper: bool = False) -> Any:
    r"""The lower triangular y with y y^T = x, for symmetric positive definite matrices x.

    If x is not symmetric, only its lower triangle is read, as in NumPy.  With `upper` the result is y^T, and the
    upper triangle is read.

    Gradient: dL/dx = S, made symmetric, with S = y^-T P y^-1 and P the lower triangle of y^T g with half its
    diagonal.

    Examples
    --------
    >>> import tinygrad_edu as tg
    >>> tg.cholesky(tg.Tensor([[4.0, 2.0], [2.0, 2.0]]))
    Tensor([[2., 0.],
            [1., 1.]])
    """
    y = _cholesky(_read(x, upper))
    return matrix_transpose(y) if upper else y


# ----------------------------------------------------------------------------------------- eigenvalues


@operation(
    vjps=[
        np.errstate(divide="ignore", invalid="ignore")(lambda g, y, a, b: g / b),
        np.errstate(divide="ignore", invalid="ignore")(lambda g, y, a, b: -g * y / b),
    ],
    notation=Notation("<a> / <b>", r"\frac{<a>}{<b>}", PRODUCT),
    samples=[sample(normal(3, 4), between(1, 2, 3, 4)), sample(normal(3, 4), between(1, 2, 4))],
)
def divide_or_zero(a: Operand, b: Operand) -> Any:
    r"""a / b, but 0 where both are 0, and without a warning.

    It is for gaps between eigenvalues: what is not asked for (a = 0) needs no answer, even where the gap b is closed.

    Gradient: dL/da = g / b, dL/db = -g a / b^2, infinite or NaN where b = 0: the 0 cannot be relied on there.

    Examples
    --------
    >>> import tinygrad_edu as tg
    >>> from tinygrad_edu.ops.decompositions import divide_or_zero
    >>> divide_or_zero(tg.Tensor([0.0, 1.0, 1.0]), tg.Tensor([0.0, 0.0, 2.0]))
    Tensor([0. , inf, 0.5])
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where((a == 0) & (b == 0), 0, a / b)


def _opened(gaps: Any) -> Any:
    """The gaps between values, with 1 on the diagonal, where there is none."""
    return gaps + np.eye(gaps.shape[-1], dtype=gaps.dtype)


class EighResult(NamedTuple):
    """What `eigh` returns."""

    eigenvalues: Any
    eigenvectors: Any


@np.errstate(invalid="ignore")
def _eigh_rule(g: Any, y: Any, x: Any, UPLO: str) -> Any:
    values, vectors = y[..., 0, :], y[..., 1:, :]
    g_values, g_vectors = g[..., 0, :], g[..., 1:, :]
    turned = vectors.mT @ g_vectors
    gaps = _opened(values[..., None, :] - values[..., :, None])
    core = divide_or_zero(turned - turned.mT, 2 * gaps)
    return (vectors * g_values[..., None, :] + vectors @ core) @ vectors.mT


# The eigenvalues in the first row, and below them the eigenvectors.
@operation(
    name="eigh",
    vjps=[_eigh_rule],
    samples=[sample(_draw_symmetric(3, 3)), sample(_draw_symmetric(2, 3, 3)), sample(_draw_symmetric(1, 1))],
    door=matrix_problem,
)
def _eigh(x: Any, UPLO: str = "L") -> Any:  # both triangles are the same here, but not the signs of the vectors
    values, vectors = lapack("eigh", np.linalg.eigh, _mean_of_both(x), UPLO)
    return np.concatenate([values[..., None, :], vectors], axis=-2)


@public(_eigh)
@implements(np.linalg.eigh)
def eigh(x: Operand, UPLO: str = "L") -> EighResult:
    r"""Eigenvalues v, in ascending order, and eigenvectors (the columns of V) of symmetric matrices: x = V diag(v) V^T.

    If x is not symmetric, only one triangle is read, as in NumPy: the lower one unless UPLO="U".

    Gradient: dL/dx = V (diag(gv) + F * (V^T gV - gV^T V) / 2) V^T with F_ij = 1 / (v_j - v_i), and 0 on the diagonal.
    Through the vectors it is NaN or infinite where two values are equal.

    A vector may as well point the other way: a loss that depends on its sign makes no sense.

    Examples
    --------
    >>> import tinygrad_edu as tg
    >>> values, vectors = tg.eigh(tg.Tensor([[2.0, 0.0], [0.0, 5.0]]))
    >>> values
    Tensor([2., 5.])
    """
    UPLO = UPLO.upper()
    if UPLO not in ("L", "U"):
        raise ValueError(f'eigh: UPLO={UPLO!r}: "L" (the lower triangle) or "U" (the upper one) is expected')
    y = operand(_eigh(_read(x, UPLO == "U"), UPLO=UPLO))
    return EighResult(y[..., 0, :], y[..., 1:, :])


@implements(np.linalg.eigvalsh)
def eigvalsh(x: Operand, UPLO: str = "L") -> Any:
    r"""Eigenvalues of symmetric matrices, in ascending order: (..., n, n) -> (..., n); see `eigh`.

    Gradient: dL/dx = V diag(g) V^T with the eigenvectors V.

    Examples
    --------
    >>> import tinygrad_edu as tg
    >>> x = tg.Tensor([[2.0, 0.0], [0.0, 5.0]], requires_grad=True)
    >>> tg.eigvalsh(x)[1].backward()
    >>> x.grad
    array([[0., 0.],
           [0., 1.]])
    """
    return eigh(x, UPLO).eigenvalues


# --------------------------------------------------------------------------------------- singular values


class SVDResult(NamedTuple):
    """What `svd` returns."""

    U: Any
    S: Any
    Vh: Any


@np.errstate(invalid="ignore")
def _svd_rule(g: Any, y: Any, x: Any) -> Any:
    n, m = x.shape[-2:]
    s, u, v = y[..., 0, :], y[..., 1 : n + 1, :], y[..., n + 1 :, :]
    gs, gu, gv = g[..., 0, :], g[..., 1 : n + 1, :], g[..., n + 1 :, :]
    column, row = s[..., None, :], s[..., :, None]
    turned_u, turned_v = u.mT @ gu, v.mT @ gv
    gaps = _opened((column - row) * (column + row))  # s_j^2 - s_i^2 without cancellation
    core = divide_or_zero(turned_u - turned_u.mT, gaps) * column + row * divide_or_zero(turned_v - turned_v.mT, gaps)
    dx = (u * gs[..., None, :] + u @ core) @ v.mT
    if n > m:  # u moves out of the space that it spans
        dx = dx + divide_or_zero(gu - u @ turned_u, column) @ v.mT
    if m > n:
        dx = dx + u @ divide_or_zero(gv - v @ turned_v, column).mT
    return dx


# The singular values in the first row, below them U, and V below that.
@operation(
    name="svd",
    vjps=[_svd_rule],
    samples=[sample(_draw(3, 3)), sample(_draw(4, 2)), sample(_draw(2, 3, 4)), sample(_draw(1, 3))],
    door=_shape_door,
)
def _svd(x: Any) -> Any:
    u, s, vh = lapack("svd", lambda a: np.linalg.svd(a, full_matrices=False), x)
    return np.concatenate([s[..., None, :], u, vh.mT], axis=-2)


@public(_svd)
@implements(np.linalg.svd)
def svd(x: Operand, full_matrices: bool = True, compute_uv: bool = True) -> Any:
    r"""Singular value decomposition x = U diag(S) Vh: `U, S, Vh = svd(x, full_matrices=False)`.

    Shapes: x (..., m, n), k = min(m, n) -> U (..., m, k), S (..., k), Vh (..., k, n).  `full_matrices`, as NumPy has it
    unless told otherwise, adds vectors that are not unique and have no gradient: it is refused unless m = n.

    Gradient, with V = Vh^T, F_ij = 1 / (s_j^2 - s_i^2), and F_ii = 0: dL/dx =
    U (diag(gS) + F * (U^T gU - gU^T U) diag(S) + diag(S) F * (V^T gV - gV^T V)) V^T, and where x is not square also
    (1 - U U^T) gU diag(S)^-1 V^T or U diag(S)^-1 gV^T (1 - V V^T).  Through the vectors it is NaN or infinite where two
    singular values are equal.

    Examples
    --------
    >>> import numpy as np, tinygrad_edu as tg
    >>> x = tg.Tensor([[3.0, 1.0, 0.0], [0.0, -4.0, 2.0]])
    >>> U, S, Vh = tg.svd(x, full_matrices=False)
    >>> bool(np.allclose((U * S @ Vh).numpy(), x.numpy()))
    True
    """
    shape = np.shape(x)
    if compute_uv and full_matrices and len(shape) > 1 and shape[-1] != shape[-2]:
        raise ShapeError(f"svd: the additional vectors of shape {shape} have no gradient; use full_matrices=False")
    y = operand(_svd(x))
    if not compute_uv:
        return y[..., 0, :]
    n = shape[-2]
    return SVDResult(y[..., 1 : n + 1, :], y[..., 0, :], matrix_transpose(y[..., n + 1 :, :]))


@implements(np.linalg.svdvals)
def svdvals(x: Operand) -> Any:
    r"""Singular values of each matrix, in descending order: (..., m, n) -> (..., min(m, n)); see `svd`.

    Gradient: dL/dx = U diag(g) Vh with the singular vectors.

    Examples
    --------
    >>> import tinygrad_edu as tg
    >>> tg.svdvals(tg.Tensor([[3.0, 0.0], [0.0, -4.0]]))
    Tensor([4., 3.])
    """
    return svd(x, compute_uv=False)


# --------------------------------------------------------------------------------------------------- QR


class QRResult(NamedTuple):
    """What `qr` returns."""

    Q: Any
    R: Any


def _qr_rule(g: Any, y: Any, x: Any) -> Any:
    m = x.shape[-2]
    q, r = y[..., :m, :], y[..., m:, :].mT
    gq, gr = g[..., :m, :], g[..., m:, :].mT
    inner = r @ gr.mT - gq.mT @ q
    mirrored = np.tril(inner) + np.tril(inner, -1).mT
    return np.linalg.solve(r, (gq + q @ mirrored).mT).mT


# Q, and below it R^T.
@operation(
    name="qr",
    vjps=[_qr_rule],
    samples=[sample(_draw(3, 3)), sample(_draw(4, 2)), sample(_draw(2, 4, 3))],
    door=_shape_door,
)
def _qr(x: Any) -> Any:
    q, r = lapack("qr", np.linalg.qr, x)
    return np.concatenate([q, r.mT], axis=-2)


@public(_qr)
@implements(np.linalg.qr)
def qr(x: Operand, mode: str = "reduced") -> Any:
    r"""x = Q R: Q has orthonormal columns, R is upper triangular.  `Q, R = qr(x)`, or `R = qr(x, mode="r")`.

    Shapes: x (..., m, n), k = min(m, n) -> Q (..., m, k), R (..., k, n).

    Gradient, for m >= n: dL/dx = (gQ + Q C) R^-T with M = R gR^T - gQ^T Q, and C the lower triangle of M mirrored
    to the upper one.  For m < n the first m columns of x make Q, and Q^T times the others is the rest of R.  The
    first k columns of x must be independent: otherwise LinAlgError.

    Examples
    --------
    >>> import numpy as np, tinygrad_edu as tg
    >>> Q, R = tg.qr(tg.Tensor([[3.0, 1.0], [4.0, 2.0]]))
    >>> bool(np.allclose((Q @ R).numpy(), [[3.0, 1.0], [4.0, 2.0]]))
    True
    """
    x = operand(x)
    if x.ndim < 2:
        raise ShapeError(f"qr: {_shape_door(x)}")
    m, n = x.shape[-2:]
    if mode not in ("reduced", "r") and not (mode == "complete" and m <= n):
        raise ValueError(f'qr: mode {mode!r} of shape {x.shape} is not recorded; use "reduced" or "r"')
    y = operand(_qr(x if m >= n else x[..., :m]))
    Q, R = y[..., :m, :], matrix_transpose(y[..., m:, :])
    if m < n:
        R = concatenate([R, matmul(matrix_transpose(Q), x[..., m:])], axis=-1)
    return R if mode == "r" else QRResult(Q, R)
