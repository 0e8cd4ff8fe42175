"""Corners of linear algebra that the samples of the table do not reach, and what is composed of its operations."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tinygrad_edu as tg
from tests.ops.test_ops_oracle import arrays_of, assert_equal, compare, examples, seeds, torch
from tests.ops.test_reductions import check_numpy_call, leaf
from tinygrad_edu import memory
from tinygrad_edu.errors import ShapeError
from tinygrad_edu.ops.decompositions import divide_or_zero

inf, nan = np.inf, np.nan
LinAlgError = np.linalg.LinAlgError


def rng() -> np.random.Generator:
    return np.random.default_rng(0)


def draw(*shape: int) -> np.ndarray:
    return rng().normal(size=shape)


def regular(*shape: int) -> np.ndarray:
    """Square matrices that are far from singular."""
    return np.random.default_rng(1).uniform(-1, 1, shape) + shape[-1] * np.eye(shape[-1])


def positive(*shape: int) -> np.ndarray:
    """Symmetric positive definite matrices with distinct eigenvalues."""
    x = np.random.default_rng(2).uniform(0.1, 0.2, shape) + np.diag(np.arange(1.0, shape[-1] + 1))
    return x + x.swapaxes(-1, -2)


def derivatives(function: Callable[[Any], Any], x: np.ndarray, orders: int) -> list[np.ndarray]:
    """The value, the gradient, and the gradients of random combinations of gradients, up to some order."""
    t = leaf(x)
    y = function(t)
    found = []
    for order in range(orders + 1):
        found.append(y.numpy())
        y = (y * np.random.default_rng(order).normal(size=y.shape)).sum()
        if order < orders:
            (y,) = tg.grad(y, t, create_graph=True)
    return found


# --------------------------------------------------------------------------------------------- einsum

EINSUMS = [
    ("ii->i", [(3, 3)]),
    ("ii", [(3, 3)]),
    ("ij->j", [(2, 3)]),
    ("ij->", [(2, 3)]),
    ("ij", [(2, 3)]),
    ("ji", [(2, 3)]),
    ("i,i", [(3,), (3,)]),
    ("ij,jk", [(2, 3), (3, 4)]),
    ("ij,jk->ki", [(2, 3), (3, 4)]),
    ("iij,jk->ik", [(2, 2, 3), (3, 4)]),
    ("iji->j", [(2, 3, 2)]),
    ("iii->i", [(2, 2, 2)]),
    ("iijj->ij", [(2, 2, 3, 3)]),
    ("ij,ij->ij", [(2, 1), (2, 3)]),
    ("ij,ij->j", [(2, 3), (1, 3)]),
    ("i,i->", [(3,), (1,)]),
    ("ij,jk,kl->il", [(2, 3), (3, 4), (4, 2)]),
    ("i,j,k->kji", [(2,), (3,), (4,)]),
    ("...ij,...jk->...ik", [(5, 2, 3), (5, 3, 4)]),
    ("...ij,...jk->...ik", [(5, 2, 3), (3, 4)]),
    ("...ij,...jk", [(2, 3), (5, 3, 4)]),
    ("...,...->...", [(2, 1, 3), (4, 1)]),
    ("...ii->...i", [(2, 3, 3)]),
    ("i...->...", [(2, 3, 4)]),
    ("...", [(2, 3)]),
    ("b i , b i -> b", [(2, 3), (2, 3)]),
    (",ij->ji", [(), (2, 3)]),
    ("Ab,bA->A", [(2, 3), (3, 2)]),
]


@pytest.mark.parametrize(("subscripts", "shapes"), EINSUMS)
def test_trap_23_einsum(subscripts: str, shapes: list[tuple[int, ...]]) -> None:
    arrays = [arrays_of(shape, i) for i, shape in enumerate(shapes)]
    expected = np.einsum(subscripts, *arrays)
    got = tg.einsum(subscripts, *map(leaf, arrays))
    np.testing.assert_allclose(got.numpy(), expected, rtol=1e-13)
    assert got.shape == np.shape(expected)
    compare(lambda *xs: tg.einsum(subscripts, *xs), lambda *xs: torch.einsum(subscripts, *xs), arrays, rng())
    tg.check.gradgradcheck(lambda *xs: tg.einsum(subscripts, *xs), [leaf(a) for a in arrays])


@pytest.mark.parametrize("subscripts", ["ij,ij->", "ij,jk->ik", "ij,ji->i", "ii,ij->j"])
def test_trap_23_an_operand_twice(subscripts: str) -> None:
    x = draw(3, 3)
    compare(lambda t: tg.einsum(subscripts, t, t), lambda t: torch.einsum(subscripts, t, t), [x], rng())


@st.composite
def einsums(draw: Any) -> tuple[str, list[np.ndarray]]:
    """Operands with any letters, repeated ones and axes of size one included, and any of them in the output."""
    sizes = {c: draw(st.integers(1, 3)) for c in "abcd"}
    terms, arrays = [], []
    for _ in range(draw(st.integers(1, 3))):
        term = "".join(draw(st.lists(st.sampled_from("abcd"), max_size=4)))
        ones = {c: draw(st.booleans()) and draw(st.booleans()) for c in set(term)}
        shape = tuple(1 if ones[c] else sizes[c] for c in term)
        terms.append(term)
        arrays.append(arrays_of(shape, draw(seeds)))
    named = sorted(set("".join(terms)))
    output = "".join(draw(st.permutations(named))[: draw(st.integers(0, len(named)))])
    return f"{','.join(terms)}->{output}", arrays


@examples(300)
@given(case=einsums())
def test_any_einsum(case: tuple[str, list[np.ndarray]]) -> None:
    subscripts, arrays = case
    np.testing.assert_allclose(tg.einsum(subscripts, *arrays), np.einsum(subscripts, *arrays), rtol=1e-12, atol=1e-13)
    compare(lambda *xs: tg.einsum(subscripts, *xs), lambda *xs: torch.einsum(subscripts, *xs), arrays, rng())


def test_einsum_of_many_numbers_is_planned() -> None:
    a, b, c = (np.random.default_rng(i).normal(size=(40, 40)) for i in range(3))
    compare(
        lambda *xs: tg.einsum("ij,jk,kl->il", *xs), lambda *xs: torch.einsum("ij,jk,kl->il", *xs), [a, b, c], rng()
    )  # fmt: skip


def test_einsum_with_lists_of_axes() -> None:
    a, b = draw(2, 3), draw(3, 4)
    ta, tb = leaf(a), leaf(b)
    np.testing.assert_allclose(tg.einsum(ta, [0, 1], tb, [1, 2], [2, 0]).numpy(), (a @ b).T)
    np.testing.assert_allclose(np.einsum(ta, [0, 1], tb, [1, 2]).numpy(), a @ b)
    np.testing.assert_allclose(np.einsum(ta, [Ellipsis, 0], [Ellipsis]).numpy(), a.sum(1))
    np.testing.assert_allclose(np.einsum("ij,jk", ta, b, optimize="greedy").numpy(), a @ b)


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (("ij,jk", (2, 3), (4, 5)), r'"ij,jk->ik": axis j has size 4 in operand 1, but 3 in another'),
        (("ij,jk", (2, 3)), r'"ij,jk": 2 operands are named, 1 are given'),
        (("ijk", (2, 3)), r'"ijk": operand 0 has 2 axes, 3 are named'),
        (("i", (2, 3)), r'"i": operand 0 has 2 axes, 1 are named'),
        (("ii->i", (2, 3)), r'"ii->i": axis i has sizes 2 and 3 in one operand'),
        (("ij->ii", (2, 3)), r'"ij->ii": i is twice in the output'),
        (("ij->k", (2, 3)), r'"ij->k": k is in the output, but in no operand'),
        (("i1", (2, 3)), r'"i1" is not made of letters'),
        (("i.j", (2, 3)), r'"i.j" is not made of letters'),
        (("...i->i", (2, 3)), r'the axes of "..." are missing from the output'),
    ],
)
def test_einsum_errors(args: tuple[Any, ...], message: str) -> None:
    subscripts, *shapes = args
    with pytest.raises(ShapeError, match=r"^einsum: ") as caught:
        tg.einsum(subscripts, *(leaf(np.ones(s)) for s in shapes))
    assert message in str(caught.value)
    with pytest.raises(TypeError, match="einsum: call it as"):
        tg.einsum(leaf(np.ones(3)))


# ------------------------------------------------------------------------------------------- products

PRODUCTS: list[tuple[Any, Any, tuple[int, ...], tuple[int, ...]]] = [
    *(
        (np.dot, None, m, n)
        for m, n in [
            ((), ()), ((), (3,)), ((2, 3), ()), ((3,), (3,)), ((2, 3), (3,)), ((3,), (3, 4)), ((2, 3), (3, 4)),
            ((5, 2, 3), (3,)), ((5, 2, 3), (3, 4)), ((3,), (5, 3, 4)), ((2, 3), (5, 3, 4)), ((6, 2, 3), (5, 3, 4)),
        ]
    ),
    *(
        (np.inner, None, m, n)
        for m, n in [((), (3,)), ((3,), (3,)), ((2, 3), (3,)), ((2, 3), (4, 3)), ((5, 2, 3), (4, 3))]
    ),
    *((np.outer, None, m, n) for m, n in [((3,), (4,)), ((2, 3), (4,)), ((), (4,)), ((2, 2), (1, 3))]),
    *((np.vdot, None, m, n) for m, n in [((3,), (3,)), ((2, 3), (3, 2)), ((), ())]),
    *(
        (np.kron, None, m, n)
        for m, n in [
            ((2,), (3,)), ((2, 3), (4, 5)), ((2, 3), (4,)), ((3,), (2, 2)), ((), (2, 2)), ((2, 1, 3), (2, 2, 1)),
        ]
    ),
    *((np.vecdot, None, m, n) for m, n in [((3,), (3,)), ((2, 3), (3,)), ((4, 1, 3), (2, 3))]),
    *(
        (np.tensordot, axes, m, n)
        for axes, m, n in [
            (0, (2, 3), (4,)), (1, (2, 3), (3, 4)), (2, (5, 2, 3), (2, 3, 4)), (([1], [0]), (2, 3), (3, 4)),
            (((1, 2), (1, 0)), (2, 3, 4), (4, 3, 5)), ((0, -1), (3, 2), (4, 3)), (([-1], [-2]), (2, 3), (3, 4)),
            (1, (3,), (3,)), (([], []), (2,), (3,)), (1, (2, 0), (0, 3)),
        ]
    ),
]  # fmt: skip


@pytest.mark.parametrize(
    ("function", "axes", "m", "n"), [pytest.param(*p, id=f"{p[0].__name__}-{i}") for i, p in enumerate(PRODUCTS)]
)
def test_products(function: Any, axes: Any, m: tuple[int, ...], n: tuple[int, ...]) -> None:
    a, b = arrays_of(m, 1), arrays_of(n, 2)
    params = {} if axes is None else {"axes": axes}
    expected = function(a, b, **params)
    got = function(leaf(a), leaf(b), **params)
    np.testing.assert_allclose(got.numpy(), expected, rtol=1e-13, atol=1e-15)
    assert got.shape == np.shape(expected)
    for mixed in (function(leaf(a), b, **params), function(a, leaf(b), **params)):
        assert mixed.requires_grad
        np.testing.assert_array_equal(mixed.numpy(), got.numpy())
    if got.size:
        tg.check.gradcheck(lambda a, b: function(a, b, **params), [leaf(a), leaf(b)])
        tg.check.gradgradcheck(lambda a, b: function(a, b, **params), [leaf(a), leaf(b)])


@examples(60)
@given(data=st.data())
def test_tensordot(data: Any) -> None:
    summed = data.draw(st.lists(st.integers(1, 3), max_size=2))
    shape_a = data.draw(st.permutations([*summed, *data.draw(st.lists(st.integers(1, 3), max_size=2))]))
    shape_b = data.draw(st.permutations([*summed, *data.draw(st.lists(st.integers(1, 3), max_size=2))]))
    axes_a: list[int] = []
    axes_b: list[int] = []
    for size in summed:
        axes_a.append(next(i for i, n in enumerate(shape_a) if n == size and i not in axes_a))
        axes_b.append(next(i for i, n in enumerate(shape_b) if n == size and i not in axes_b))
    a, b = arrays_of(tuple(shape_a), 1), arrays_of(tuple(shape_b), 2)
    compare(
        lambda a, b: tg.tensordot(a, b, (axes_a, axes_b)), lambda a, b: torch.tensordot(a, b, (axes_a, axes_b)), [a, b],
        rng(),
    )  # fmt: skip


@pytest.mark.parametrize(
    "function",
    [
        lambda m, a, b, c: m.bmm(c, c.mT),
        lambda m, a, b, c: m.addmm(a[0], a, b),
        lambda m, a, b, c: m.addmm(a[:, :1], a, b, beta=0.5, alpha=-2),
        lambda m, a, b, c: m.addmm(a, a, b, alpha=3),
        lambda m, a, b, c: m.trace(a),
    ],
)
def test_pytorchs_products(function: Callable[..., Any]) -> None:
    arrays = [arrays_of((3, 3), 1), arrays_of((3, 3), 2), arrays_of((2, 3, 4), 3)]
    compare(
        lambda *xs: function(tg, *xs) + 0 * sum(x.sum() for x in xs),
        lambda *xs: function(torch, *xs) + 0 * sum(x.sum() for x in xs),
        arrays, rng(),
    )  # fmt: skip


def test_addmm_without_input() -> None:
    a, b = leaf(draw(2, 3)), leaf(draw(3, 2))
    y = tg.addmm(tg.Tensor(nan), a, b, beta=0)
    np.testing.assert_array_equal(y.numpy(), a.numpy() @ b.numpy())


def test_multi_dot() -> None:
    shapes = [(10, 30), (30, 5), (5, 60), (60, 2)]
    arrays = [arrays_of(s, i) for i, s in enumerate(shapes)]
    for start in range(3):
        for chosen in (arrays[start:], [arrays[start][0], *arrays[start + 1 :]], [*arrays[start:-1], arrays[-1][:, 0]],
                       [arrays[start][0], *arrays[start + 1 : -1], arrays[-1][:, 0]]):  # fmt: skip
            compare(lambda *xs: np.linalg.multi_dot(list(xs)), lambda *xs: torch.linalg.multi_dot(xs), chosen, rng())
            expected = np.linalg.multi_dot(chosen)
            np.testing.assert_allclose(tg.multi_dot([tg.Tensor(x) for x in chosen]).numpy(), expected, rtol=1e-12)
    # It finds the cheapest order: one that begins at the right end never makes a large matrix.
    tall, wide, vector = leaf(np.ones((500, 1))), leaf(np.ones((1, 500))), leaf(np.ones(500))
    y = tg.multi_dot([tall, wide, vector])
    assert max(np.size(a) for a in y._node.args) == 500  # type: ignore[union-attr]


@pytest.mark.parametrize("n", [-3, -1, 0, 1, 2, 3, 5, 8])
def test_matrix_power(n: int) -> None:
    x = regular(2, 3, 3) / 4
    np.testing.assert_allclose(np.linalg.matrix_power(leaf(x), n).numpy(), np.linalg.matrix_power(x, n), rtol=1e-12)
    if n:
        compare(lambda t: tg.matrix_power(t, n), lambda t: torch.linalg.matrix_power(t, n), [x], rng())
    else:
        t = leaf(x)
        assert not tg.grad(tg.matrix_power(t, 0), t, draw(2, 3, 3))[0].numpy().any()
    tg.check.gradgradcheck(lambda t: tg.matrix_power(t, n), leaf(x))


def test_cross() -> None:
    a, b = draw(3, 4, 2), draw(4, 3, 2)
    got = np.cross(leaf(a), leaf(b), axisa=0, axisb=1, axisc=0)
    np.testing.assert_allclose(got.numpy(), np.cross(a, b, axisa=0, axisb=1, axisc=0), rtol=1e-14)
    tg.check.gradgradcheck(lambda a, b: tg.cross(a, b, axisa=0, axisb=1, axisc=1), [leaf(a), leaf(b)])
    compare(
        lambda a, b: tg.cross(a, b, axis=0), lambda a, b: torch.linalg.cross(a, b, dim=0), [a, a[::-1].copy()], rng()
    )


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: tg.dot(leaf(np.ones(2)), leaf(np.ones((2, 3, 2)))), r"^matmul: .* inner sizes 2 and 3 differ"),
        (lambda: tg.vdot(leaf(np.ones(2)), np.ones(3)), r"^vdot: shapes \(2,\) and \(3,\)"),
        (lambda: tg.vecdot(leaf(np.ones(2)), np.ones(3)), r"^vecdot: .*sizes 2 and 3 differ"),
        (lambda: tg.vecdot(leaf(1.0), np.ones(3)), r"^vecdot: .*scalar"),
        (lambda: tg.inner(leaf(np.ones(2)), np.ones(3)), r"^tensordot: \(2,\) and \(3,\): sizes along axes .* differ"),
        (lambda: tg.tensordot(leaf(np.ones(2)), np.ones(2), 2), r"^tensordot: axes=2 for"),
        (lambda: tg.tensordot(leaf(np.ones(2)), np.ones(2), (1, 0)), r"^tensordot: axis \(1,\) of"),
        (lambda: tg.tensordot(leaf(np.ones((2, 2))), np.ones(2), ([0, 1], 0)), r"^tensordot: .*differ"),
        (lambda: tg.bmm(leaf(np.ones((2, 3))), np.ones((3, 2))), r"^bmm: \(2, 3\) and \(3, 2\)"),
        (lambda: tg.bmm(leaf(np.ones((2, 3, 3))), np.ones((1, 3, 2))), r"^bmm: .*two stacks"),
        (lambda: tg.addmm(1.0, leaf(np.ones(3)), np.ones((3, 2))), r"^addmm: .*two matrices"),
        (lambda: tg.addmm(np.ones(3), leaf(np.ones((2, 3))), np.ones((3, 2))), r"^addmm: an input of shape \(3,\)"),
        (lambda: tg.addmm(np.ones((4, 1, 1)), leaf(np.ones((2, 3))), np.ones((3, 2))), r"^addmm: an input of shape"),
        (lambda: tg.multi_dot([leaf(np.ones(3))]), r"^multi_dot: at least two"),
        (lambda: tg.multi_dot([leaf(np.ones((2, 3))), np.ones(3), np.ones(3)]), r"^multi_dot: shapes"),
        (lambda: tg.cross(leaf(np.ones(2)), np.ones(2)), r"^cross: \(2,\) and \(2,\): vectors of three"),
        (
            lambda: tg.cross(leaf(np.ones((2, 3))), np.ones((4, 3))),
            r"^cross: shapes \(2, 3\) and \(4, 3\) do not broadcast",
        ),
        (lambda: tg.diagonal(leaf(np.ones(3))), r"^diagonal: shape \(3,\) has no matrices"),
        (lambda: tg.diagonal(leaf(np.ones((3, 3))), 0, 1, 1), r"^diagonal: .*named twice"),
        (lambda: tg.trace(leaf(np.ones((3, 3))), 0, 0, 2), r"^diagonal: axis \(0, 2\)"),
        (lambda: tg.put_on_diagonal(leaf(np.ones(3)), (2, 2)), r"^put_on_diagonal: numbers of shape \(3,\) do not fit"),
        (lambda: tg.put_on_diagonal(leaf(np.ones(1)), (2, 2)), r"^put_on_diagonal: numbers of shape \(1,\) do not fit"),
        (lambda: tg.diag(leaf(np.ones((2, 2, 2)))), r"^diag: shape \(2, 2, 2\)"),
        (lambda: tg.inv(leaf(np.ones((2, 3)))), r"^inv: shape \(2, 3\): square"),
        (lambda: tg.inv(leaf(1.0)), r"^inv: shape \(\): square"),
        (lambda: tg.det(leaf(np.ones(3))), r"^det: shape \(3,\): square"),
        (lambda: tg.slogdet(leaf(np.ones((2, 3)))), r"^slogdet: shape \(2, 3\): square"),
        (lambda: tg.solve(leaf(np.ones((2, 3))), np.ones(2)), r"^solve: shape \(2, 3\): square"),
        (lambda: tg.solve(leaf(np.eye(2)), np.ones(3)), r"^solve: .*2 equations, but 3 right-hand sides"),
        (lambda: tg.solve(leaf(np.eye(2)), 1.0), r"^solve: the right-hand side is a scalar"),
        (lambda: tg.solve(leaf(regular(3, 2, 2)), np.ones((3, 2))), r"^solve: .*give b\[\.\.\., None\]"),
        (lambda: tg.solve(leaf(regular(3, 2, 2)), np.ones((4, 2, 1))), r"^solve: .*batch axes \(3,\) and \(4,\)"),
        (lambda: tg.pinv(leaf(np.ones(3))), r"^pinv: shape \(3,\): matrices"),
        (lambda: tg.pinv(leaf(np.eye(2)), 0.1, rtol=0.1), r"^pinv: rcond and rtol"),
        (lambda: tg.matrix_power(leaf(np.ones((2, 3))), 2), r"^matrix_power: shape \(2, 3\): square"),
        (lambda: tg.cholesky(leaf(np.ones((2, 3)))), r"^cholesky: shape \(2, 3\): square"),
        (lambda: tg.cholesky(leaf(np.ones((1, 3)))), r"^cholesky: shape \(1, 3\): square"),
        (lambda: tg.eigh(leaf(np.ones((2, 3)))), r"^eigh: shape \(2, 3\): square"),
        (lambda: tg.eigvalsh(leaf(1.0)), r"^eigh: shape \(\): square"),
        (lambda: tg.eigh(leaf(np.eye(2)), "X"), r"^eigh: UPLO='X'"),
        (lambda: tg.svd(leaf(np.ones((2, 3)))), r"^svd: .*full_matrices=False"),
        (lambda: tg.svd(leaf(np.ones(3))), r"^svd: shape \(3,\): matrices"),
        (lambda: tg.svdvals(leaf(1.0)), r"^svd: shape \(\): matrices"),
        (lambda: tg.qr(leaf(np.ones(3))), r"^qr: shape \(3,\): matrices"),
        (lambda: tg.qr(leaf(np.ones((3, 2))), "complete"), r"^qr: mode 'complete'"),
    ],
)
def test_errors(call: Callable[[], Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()


# -------------------------------------------------------------------------------------------- diagonals


@examples(60)
@given(
    shape=st.tuples(*[st.integers(1, 4)] * 3), offset=st.integers(-5, 5), axes=st.permutations([0, 1, 2]), seed=seeds
)
def test_diagonals(shape: tuple[int, ...], offset: int, axes: list[int], seed: int) -> None:
    x = arrays_of(shape, seed)
    axis1, axis2 = axes[0], axes[1] - 3
    got = np.diagonal(leaf(x), offset, axis1, axis2)
    np.testing.assert_array_equal(got.numpy(), np.diagonal(x, offset, axis1, axis2))
    expected = np.trace(x, offset, axis1, axis2)
    np.testing.assert_allclose(np.trace(leaf(x), offset, axis1, axis2).numpy(), expected, rtol=1e-14, atol=1e-15)
    tg.check.gradcheck(lambda t: tg.diagonal(t, offset, axis1, axis2) ** 2, leaf(x))
    np.testing.assert_array_equal(tg.tril(x, offset), np.tril(x, offset))
    np.testing.assert_array_equal(tg.triu(x, offset), np.triu(x, offset))
    compare(lambda t: tg.tril(t, offset), lambda t: torch.tril(t, offset), [x], rng())
    compare(lambda t: tg.triu(t, k=offset), lambda t: torch.triu(t, offset), [x], rng())


@pytest.mark.parametrize("k", [-1, 0, 2])
@pytest.mark.parametrize("shape", [(3,), (3, 4)])
def test_diag_both_ways(shape: tuple[int, ...], k: int) -> None:
    x = arrays_of(shape, 0)
    np.testing.assert_array_equal(np.diag(leaf(x), k).numpy(), np.diag(x, k))
    compare(lambda t: tg.diag(t, k), lambda t: torch.diag(t, k), [x], rng())


def test_a_diagonal_knows_no_infinity_elsewhere() -> None:
    """The gradient is put on the diagonal, not multiplied by an identity: 0 * inf would be NaN."""
    x = leaf(np.ones((2, 2)))
    (g,) = tg.grad(tg.einsum("ii->i", x), x, [inf, 1.0])
    np.testing.assert_array_equal(g.numpy(), [[inf, 0], [0, 1]])


# ---------------------------------------------------------------------- singular and almost singular matrices


def polynomial_det(x: Any) -> Any:
    """The determinant by its expansion along the first row: exact, and all of its derivatives, too."""
    n = x.shape[-1]
    if n == 1:
        return x[0, 0]
    minors = [tg.concatenate([x[1:, :i], x[1:, i + 1 :]], axis=1) for i in range(n)]
    return sum((-1) ** i * x[0, i] * polynomial_det(minors[i]) for i in range(n))


SINGULAR = {
    "rank 0": np.zeros((3, 3)),
    "rank 1": np.outer([1.0, 2, -1], [3.0, 0, 1]),
    "rank n-1": np.array([[1.0, 2, -1], [2, 4, -2], [0, 1, 3]]),
    "but for rounding": np.arange(1.0, 10.0).reshape(3, 3) / 10,
    "4 rows": np.array([[1.0, 2, 0, 1], [0, 1, 1, 0], [1, 3, 1, 1], [2, 0, 1, -1]]),
    "regular": np.array([[1.0, 2, -1], [2, 1, -2], [0, 1, 3]]),
    "identity": np.eye(3),
}


@pytest.mark.parametrize("matrix", [pytest.param(m, id=name) for name, m in SINGULAR.items()])
def test_determinants_have_all_derivatives_everywhere(matrix: np.ndarray) -> None:
    for a, b in zip(derivatives(tg.det, matrix, 3), derivatives(polynomial_det, matrix, 3)):
        np.testing.assert_allclose(a, b, rtol=1e-11, atol=1e-11)


def test_determinants_of_large_matrices() -> None:
    x = regular(30, 30) / 10
    (g,) = tg.grad(tg.det(t := leaf(x)), t)
    np.testing.assert_allclose(g.numpy(), np.linalg.det(x) * np.linalg.inv(x).T, rtol=1e-10)
    x[0] = 0
    y = tg.det(t := leaf(x))
    with pytest.raises(LinAlgError, match=r"^det: no gradient for a singular matrix of more than 20 rows"):
        y.backward()
    x = np.random.default_rng(0).normal(size=(20, 20))  # the largest for which the polynomial is used
    u, s, vh = np.linalg.svd(x)
    s[-1] = 0
    x = u * s @ vh
    cofactors = np.linalg.det(u) * np.linalg.det(vh) * np.prod(s[:-1]) * np.outer(u[:, -1], vh[-1])
    (g,) = tg.grad(tg.det(t := leaf(x)), t)
    np.testing.assert_allclose(g.numpy(), cofactors, rtol=0, atol=1e-8 * np.abs(cofactors).max())


def test_float32_determinants() -> None:
    for matrix in SINGULAR.values():
        x = leaf(matrix, np.float32)
        (g,) = tg.grad(tg.det(x), x)
        (h,) = tg.grad(polynomial_det(y := leaf(matrix)), y)
        assert g.dtype == np.float32
        np.testing.assert_allclose(g.numpy(), h.numpy(), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda x: tg.inv(x), "^inv: a matrix is singular"),
        (lambda x: tg.solve(x, np.ones(2)), "^solve: a matrix is singular"),
        (lambda x: tg.slogdet(x).logabsdet.backward(), "^slogdet: a matrix is singular"),
        (lambda x: tg.matrix_power(x, -1), "^inv: a matrix is singular"),
        (lambda x: tg.cholesky(-x), "^cholesky: a matrix is not positive definite"),
        (lambda x: tg.svd(x * nan), "^svd: SVD did not converge"),
    ],
)
def test_no_answer(call: Callable[[Any], Any], message: str) -> None:
    with pytest.raises(LinAlgError, match=message):
        call(leaf([[1.0, 2.0], [2.0, 4.0]]))


def test_slogdet_neither_overflows_nor_underflows() -> None:
    for scale in (1e-200, 1e200):
        x = regular(3, 3) * scale
        sign, logabsdet = np.linalg.slogdet(t := leaf(x))
        assert (float(sign), float(logabsdet)) == tuple(map(float, np.linalg.slogdet(x)))
        np.testing.assert_allclose(tg.grad(logabsdet, t)[0].numpy(), np.linalg.inv(x).T, rtol=1e-12)
    tg.check.gradgradcheck(lambda t: tg.slogdet(t).logabsdet, leaf(regular(2, 3, 3)))


def test_pinv_of_any_rank() -> None:
    for shape, rank in (((4, 3), 2), ((3, 5), 1), ((3, 3), 2), ((2, 4, 3), 3)):
        u, s, vh = np.linalg.svd(draw(*shape), full_matrices=False)
        x = (u[..., :rank] * s[..., None, :rank]) @ vh[..., :rank, :]
        compare(lambda t: tg.pinv(t, rtol=1e-10), lambda t: torch.linalg.pinv(t, rtol=1e-10), [x], rng())
        np.testing.assert_array_equal(np.linalg.pinv(leaf(x), 1e-10).numpy(), np.linalg.pinv(x, 1e-10))
    compare(lambda t: tg.pinv(t @ t.mT, hermitian=True), lambda t: torch.linalg.pinv(t @ t.mT), [draw(3, 3)], rng())
    full = np.eye(4, 3) + 0.1 * draw(4, 3)
    tg.check.gradgradcheck(tg.pinv, leaf(full))


# ----------------------------------------------------------------------------------------- symmetric matrices


def test_gradients_are_symmetric() -> None:
    x = positive(3, 3)
    for function in (tg.cholesky, tg.eigvalsh, lambda t: tg.eigh(t).eigenvectors, lambda t: tg.cholesky(t, upper=True)):
        (g,) = tg.grad(y := function(t := leaf(x)), t, np.random.default_rng(0).normal(size=y.shape))
        np.testing.assert_allclose(g.numpy(), g.numpy().T, rtol=1e-12)
    compare(tg.cholesky, torch.linalg.cholesky, [x], rng())
    compare(tg.eigvalsh, torch.linalg.eigvalsh, [x], rng())
    compare(lambda t: tg.cholesky(t, upper=True), lambda t: torch.linalg.cholesky(t, upper=True), [x], rng())


def test_only_one_triangle_is_read() -> None:
    """As by NumPy: what stands in the other one plays no part, not even NaN."""
    x = positive(2, 3, 3)
    lower = np.where(np.tri(3, dtype=bool), x, nan)
    upper = np.where(np.tri(3, dtype=bool).T, x, nan)
    for function, triangle in (
        (tg.cholesky, lower), (lambda t: tg.cholesky(t, upper=True), upper), (tg.eigvalsh, lower),
        (lambda t: tg.eigvalsh(t, "U"), upper), (lambda t: np.linalg.eigh(t, UPLO="u").eigenvectors, upper),
    ):  # fmt: skip
        whole, one = leaf(x), leaf(triangle)
        y, z = function(whole), function(one)
        np.testing.assert_allclose(z.numpy(), y.numpy(), rtol=1e-13)
        g = np.random.default_rng(3).normal(size=y.shape)
        (both,), (half,) = tg.grad(y, whole, g), tg.grad(z, one, g)
        both, half = both.numpy(), half.numpy()
        assert not half[np.isnan(triangle)].any()  # so what is read receives all of the gradient
        twice = np.where(np.eye(3, dtype=bool), both, 2 * both)
        np.testing.assert_allclose(half[~np.isnan(triangle)], twice[~np.isnan(triangle)], rtol=1e-10)


def test_rounding_leaves_a_matrix_symmetric() -> None:
    x = positive(3, 3)
    x[0, 1] *= 1 + 1e-15
    (g,) = tg.grad(tg.eigvalsh(t := leaf(x)), t, [1.0, 2.0, 3.0])
    np.testing.assert_allclose(g.numpy(), g.numpy().T, rtol=1e-12)


def test_decompositions_compose() -> None:
    x = positive(2, 3, 3)
    t = leaf(x)
    values, vectors = np.linalg.eigh(t)
    again = (vectors * values[..., None, :]) @ vectors.mT
    lower = np.linalg.cholesky(t)
    u, s, vh = np.linalg.svd(t)
    q, r = np.linalg.qr(t)
    for y in (again, lower @ lower.mT, (u * s[..., None, :]) @ vh, q @ r):
        np.testing.assert_allclose(y.numpy(), x, rtol=1e-12)
        g = np.random.default_rng(4).normal(size=x.shape)
        g = g + g.swapaxes(-1, -2)
        (d,) = tg.grad(y, t, g, retain_graph=True)
        np.testing.assert_allclose(d.numpy(), g, rtol=1e-10, atol=1e-12)


def test_svd_and_qr_of_any_shape() -> None:
    for shape in ((4, 3), (3, 4), (2, 4, 3), (1, 3), (3, 1), (2, 2)):
        x = np.random.default_rng(5).uniform(0.1, 0.2, shape)
        for i in range(min(shape[-2:])):
            x[..., i, i] += min(shape[-2:]) - i
        result = np.linalg.svd(leaf(x), full_matrices=False)
        for a, b in zip(result, np.linalg.svd(x, full_matrices=False)):
            np.testing.assert_array_equal(a.numpy(), b)
        for a, b in zip(np.linalg.qr(leaf(x)), np.linalg.qr(x)):
            np.testing.assert_allclose(a.numpy(), b, rtol=1e-12, atol=1e-15)
        for function in (
            lambda t: tg.svd(t, full_matrices=False).U, lambda t: tg.svd(t, False).Vh, tg.svdvals,
            lambda t: tg.svd(t, compute_uv=False), lambda t: tg.qr(t).Q, lambda t: tg.qr(t, "r"),
        ):  # fmt: skip
            tg.check.gradcheck(function, leaf(x))
            tg.check.gradgradcheck(function, leaf(x), rtol=1e-5)
    np.testing.assert_allclose(np.linalg.qr(leaf(x), "complete").Q.numpy(), np.linalg.qr(x, "complete").Q)


def test_equal_values() -> None:
    """The values have a first derivative; the vectors have none, and it shows."""
    for function, theirs in ((tg.eigvalsh, torch.linalg.eigvalsh), (tg.svdvals, torch.linalg.svdvals)):
        for matrix in (np.eye(3), np.zeros((3, 3)), np.diag([2.0, 2, 1])):
            compare(function, theirs, [matrix], rng())
        (g,) = tg.grad((function(t := leaf(np.eye(2))) ** 2).sum(), t, create_graph=True)
        np.testing.assert_array_equal(g.numpy(), 2 * np.eye(2))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            (h,) = tg.grad(g, t, [[1.0, 2.0], [3.0, 4.0]])
        assert not np.isfinite(h.numpy()).all()  # never the wrong number 0
    for function in (lambda t: tg.eigh(t).eigenvectors, lambda t: tg.svd(t).U):
        (g,) = tg.grad(function(t := leaf(np.eye(2))), t, [[1.0, 2.0], [3.0, 4.0]])
        assert not np.isfinite(g.numpy()).all()
    for shape in ((3, 2), (2, 3)):  # rank 1, and not square
        compare(tg.svdvals, torch.linalg.svdvals, [np.ones(shape)], rng())


def test_a_singular_value_of_zero() -> None:
    """The vectors of the others have their gradients all the same."""
    x = np.random.default_rng(6).normal(size=(3, 2)) @ np.random.default_rng(7).normal(size=(2, 3))

    def first_pair(linalg: Any, t: Any) -> Any:
        u, s, vh = linalg.svd(t)
        return u[:, :1] @ vh[:1] * s[1]

    compare(lambda t: first_pair(np.linalg, t), lambda t: first_pair(torch.linalg, t), [x], rng())


def test_divide_or_zero_is_a_division() -> None:
    a, b = arrays_of((3, 4), 0), arrays_of((4,), 1)
    np.testing.assert_array_equal(divide_or_zero(a, b), a / b)
    tg.check.gradgradcheck(divide_or_zero, [leaf(a), leaf(b)])


def test_a_vector_that_was_edited_is_noticed() -> None:
    """Results are views of what the sweep needs: writing into one must not go unseen."""
    t = leaf(positive(3, 3))
    values, vectors = tg.eigh(t)
    loss = values.sum()
    vectors.numpy()[0] = 0
    memory.edited(vectors.numpy())  # what every editing function of the library says
    with pytest.raises(tg.GraphError, match="eigh"):
        loss.backward()


# ------------------------------------------------------------------------------------ types and layouts


def test_float32_stays() -> None:
    x = leaf(positive(3, 3), np.float32)
    for y in (
        tg.inv(x), tg.det(x), tg.slogdet(x).logabsdet, tg.solve(x, x), tg.solve(x, x[0]), tg.pinv(x), tg.cholesky(x),
        *tg.eigh(x), tg.eigvalsh(x), *tg.svd(x), *tg.qr(x), tg.matrix_power(x, 3), tg.matrix_power(x, 0),
        tg.einsum("ij,kj", x, x), tg.einsum("ii", x), tg.kron(x, x), tg.outer(x, x), tg.inner(x, x), tg.cross(x, x[0]),
        tg.tensordot(x, x), tg.trace(x), tg.diag(x), tg.tril(x), tg.addmm(x, x, x, beta=0.5, alpha=2),
        tg.multi_dot([x, x, x]),
    ):  # fmt: skip
        assert y.dtype == np.float32
        (g,) = tg.grad(y, x, np.ones(y.shape), retain_graph=True)
        assert (g.dtype, g.shape) == (np.float32, x.shape)


def test_mixed_types() -> None:
    a, b = leaf(regular(3, 3), np.float32), leaf(draw(3))
    for y in (tg.solve(a, b), tg.einsum("ij,j", a, b), tg.inner(a, b), tg.kron(a, b), tg.cross(a, b)):
        assert y.dtype == np.float64
        g, h = tg.grad(y, [a, b], np.ones(y.shape))
        assert (g.dtype, h.dtype) == (np.float32, np.float64)


def test_integers_become_floats() -> None:
    x = np.array([[2, 1], [1, 3]])
    for function in (
        np.linalg.inv,
        np.linalg.det,
        np.linalg.cholesky,
        np.linalg.eigvalsh,
        np.linalg.svdvals,
        np.linalg.norm,
    ):
        got = function(tg.Tensor(x))
        assert got.dtype == np.float64
        np.testing.assert_allclose(got.numpy(), function(x), rtol=1e-14)
    with pytest.raises(TypeError, match=r"^inv: .*float16"):
        tg.inv(leaf(x, np.float16))


def test_inputs_of_any_layout() -> None:
    base = np.asfortranarray(regular(3, 3))[::-1, ::-1]
    for function in (
        tg.inv, tg.det, tg.svdvals, tg.trace, lambda t: tg.einsum("ii->i", t), lambda t: tg.tensordot(t, t, 1),
        lambda t: tg.solve(t, t[0]), tg.tril, lambda t: tg.kron(t, t[0]),
    ):  # fmt: skip
        x, y = leaf(base.copy()), leaf(np.ascontiguousarray(base))
        x._data = base
        a, b = function(x), function(y)
        g = np.random.default_rng(0).normal(size=a.shape)
        assert_equal(tg.grad(a, x, g)[0], tg.grad(b, y, g)[0], "gradient")


def test_empty_matrices() -> None:
    empty = leaf(np.zeros((0, 0)))
    assert float(tg.det(empty)) == 1
    assert tg.inv(empty).shape == (0, 0)
    for y in (
        tg.inv(leaf(np.zeros((0, 2, 2)))),
        tg.det(leaf(np.zeros((0, 2, 2)))),
        tg.eigvalsh(leaf(np.zeros((0, 2, 2)))),
    ):
        assert y.shape[0] == 0
    x = leaf(np.zeros((2, 0)))
    y = tg.einsum("ij,kj->ik", x, x)
    assert tg.grad(y, x, np.ones((2, 2)))[0].shape == (2, 0)


# ------------------------------------------------------------------------------------ NumPy's functions

SQUARE, STACK, WIDE, SYMMETRIC, V3 = regular(3, 3), regular(2, 3, 3), draw(2, 3), positive(2, 3, 3), draw(3)

NUMPY_CALLS: dict[Any, list[Callable[..., Any]]] = {
    np.dot: [lambda f, t: f(t(STACK), t(STACK))],
    np.outer: [lambda f, t: f(t(V3), t(WIDE))],
    np.inner: [lambda f, t: f(t(WIDE), t(V3)), lambda f, t: f(t(STACK), WIDE)],
    np.vdot: [lambda f, t: f(t(WIDE), t(WIDE))],
    np.vecdot: [lambda f, t: f(t(WIDE), V3), lambda f, t: f(t(WIDE), t(WIDE), axis=0)],
    np.tensordot: [lambda f, t: f(t(WIDE), t(WIDE)), lambda f, t: f(t(STACK), t(WIDE), axes=(1, 1))],
    np.kron: [lambda f, t: f(t(WIDE), t(V3)), lambda f, t: f(WIDE, t(WIDE))],
    np.cross: [lambda f, t: f(t(WIDE), t(V3)), lambda f, t: f(t(SQUARE), t(SQUARE[::-1]), axis=0)],
    np.einsum: [lambda f, t: f("ij,jk", t(WIDE), t(SQUARE)), lambda f, t: f("...ii->...", t(STACK), optimize=True)],
    np.trace: [lambda f, t: f(t(SQUARE)), lambda f, t: f(t(STACK), 1, axis1=1, axis2=2)],
    np.diagonal: [lambda f, t: f(t(SQUARE)), lambda f, t: f(t(STACK), offset=1, axis1=1, axis2=2)],
    np.diag: [lambda f, t: f(t(SQUARE)), lambda f, t: f(t(V3), k=-1)],
    np.tril: [lambda f, t: f(t(STACK)), lambda f, t: f(t(WIDE), k=-1)],
    np.triu: [lambda f, t: f(t(STACK)), lambda f, t: f(t(WIDE), k=-1)],
    np.linalg.matmul: [lambda f, t: f(t(STACK), t(STACK))],
    np.linalg.matrix_transpose: [lambda f, t: f(t(STACK))],
    np.linalg.outer: [lambda f, t: f(t(V3), t(V3))],
    np.linalg.tensordot: [lambda f, t: f(t(WIDE), t(WIDE)), lambda f, t: f(t(STACK), t(WIDE), axes=(1, 1))],
    np.linalg.vecdot: [lambda f, t: f(t(WIDE), t(WIDE)), lambda f, t: f(t(WIDE), t(WIDE), axis=0)],
    np.linalg.cross: [lambda f, t: f(t(WIDE), t(WIDE)), lambda f, t: f(t(SQUARE), t(SQUARE.T), axis=0)],
    np.linalg.diagonal: [lambda f, t: f(t(STACK)), lambda f, t: f(t(STACK), offset=-1)],
    np.linalg.trace: [lambda f, t: f(t(STACK)), lambda f, t: f(t(STACK), offset=-1)],
    np.linalg.multi_dot: [lambda f, t: f([t(WIDE), t(SQUARE), t(V3)])],
    np.linalg.matrix_power: [lambda f, t: f(t(STACK), 3), lambda f, t: f(t(STACK), -2)],
    np.linalg.inv: [lambda f, t: f(t(STACK))],
    np.linalg.det: [lambda f, t: f(t(STACK)), lambda f, t: f(t(SQUARE))],
    np.linalg.slogdet: [lambda f, t: f(t(STACK)), lambda f, t: f(t(SQUARE))],
    np.linalg.solve: [lambda f, t: f(t(STACK), t(V3)), lambda f, t: f(STACK, t(SQUARE))],
    np.linalg.pinv: [lambda f, t: f(t(WIDE)), lambda f, t: f(t(STACK), rtol=0.1)],
    np.linalg.cholesky: [lambda f, t: f(t(SYMMETRIC)), lambda f, t: f(t(SYMMETRIC), upper=True)],
    np.linalg.eigh: [lambda f, t: f(t(SYMMETRIC)), lambda f, t: f(t(STACK), UPLO="U")],
    np.linalg.eigvalsh: [lambda f, t: f(t(SYMMETRIC)), lambda f, t: f(t(STACK), "U")],
    np.linalg.svd: [
        lambda f, t: f(t(STACK)), lambda f, t: f(t(WIDE), full_matrices=False), lambda f, t: f(t(WIDE), False, False),
    ],
    np.linalg.svdvals: [lambda f, t: f(t(STACK)), lambda f, t: f(t(WIDE))],
    np.linalg.qr: [lambda f, t: f(t(STACK)), lambda f, t: f(t(WIDE)), lambda f, t: f(t(WIDE), mode="r")],
}  # fmt: skip


@pytest.mark.parametrize("function", [pytest.param(f, id=f"{f.__module__}.{f.__name__}") for f in NUMPY_CALLS])
def test_numpy_function_on_a_tensor(function: Any) -> None:
    for make in NUMPY_CALLS[function]:
        check_numpy_call(function, make)
