"""Functions of gradients: `grad` of several outputs by several inputs, and vjp, jvp, jacobian, hessian, hvp."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import pytest

import tinygrad_edu as tg
from tinygrad_edu.errors import GraphError, ShapeError

same = np.testing.assert_array_equal


def leaf(data: Any, **keywords: Any) -> tg.Tensor:
    return tg.Tensor(data, requires_grad=True, **keywords)


def test_grad_returns_tensors_and_changes_nobody() -> None:
    x, w = leaf([1.0, 2.0]), leaf([3.0, 4.0])
    h = x * w
    h.retain_grad()
    result = tg.grad((h * [2.0, 3.0]).sum(), [x, w])
    assert isinstance(result, tuple)
    dx, dw = result
    assert type(dx) is tg.Tensor
    assert not dx.requires_grad
    same(dx.data, [6.0, 12.0])
    same(dw.data, [2.0, 6.0])
    assert x.grad is None
    assert w.grad is None
    assert h.grad is None


def test_one_input_gives_a_tuple_of_one() -> None:
    x = leaf(3.0)
    assert [d.item() for d in tg.grad(x * x, x)] == [6.0]
    assert [d.item() for d in tg.grad([x * x], [x])] == [6.0]
    assert [d.item() for d in tg.grad((x * x,), (x,))] == [6.0]


def test_several_outputs() -> None:
    """The gradients of several outputs add up, each under its own cotangent."""
    x = leaf([1.0, 2.0])
    y, z = x * x, x.sum()
    (d,) = tg.grad([y, z], x, [[2.0, 3.0], 5.0])
    same(d.data, [9.0, 17.0])
    y, z = x * x, x.sum()
    (d,) = tg.grad([y, z], x, [np.array([2.0, 3.0]), None])
    same(d.data, [5.0, 13.0])
    y = (x * x).sum()
    (d,) = tg.grad([y, y], x)
    same(d.data, [4.0, 8.0])
    with pytest.raises(ShapeError, match="1 gradients for 2 outputs"):
        tg.grad([x.sum(), x.mean()], x, [1.0])


def test_intermediate_inputs() -> None:
    """The gradient by a result, and by what it was made from, in one sweep."""
    x = leaf([1.0, 2.0])
    h = x * x
    k = h * [3.0, 4.0]
    dh, dx, dk = tg.grad((k * k).sum(), [h, x, k])
    same(dk.data, [6.0, 32.0])
    same(dh.data, [18.0, 128.0])
    same(dx.data, [36.0, 512.0])


def test_only_what_lies_between_is_computed() -> None:
    """Below an intermediate input nothing is swept, so nothing there is freed."""
    called: list[int] = []

    def vjp(g: Any, y: Any, x: Any) -> Any:
        called.append(1)
        return g

    watched = tg.Op(lambda x: x * 1.0, vjps=[vjp], name="watched")
    x = leaf([1.0, 2.0])
    h = watched(x)
    loss = (h * h).sum()
    same(tg.grad(loss, h)[0].data, [2.0, 4.0])
    assert not called
    h.backward([1.0, 2.0])  # its own history is intact
    same(x.grad, [1.0, 2.0])


def test_the_output_itself_as_input() -> None:
    x = leaf([1.0, 2.0])
    (d,) = tg.grad(x, x, [3.0, 4.0])
    same(d.data, [3.0, 4.0])
    y = x * 2
    dy, dx = tg.grad(y, [y, x], [3.0, 4.0])
    same(dy.data, [3.0, 4.0])
    same(dx.data, [6.0, 8.0])


def test_an_input_twice() -> None:
    x = leaf([1.0, 2.0])
    first, second = tg.grad((x * x).sum(), [x, x])
    same(first.data, second.data)
    first.data[...] = 0.0
    same(x.data, [1.0, 2.0])


def test_unused_inputs() -> None:
    """They raise, with their number; or give None if they may. The error leaves the graph as it was."""
    x, unused = leaf([1.0, 2.0]), leaf([3.0])
    loss = (x * x).sum()
    with pytest.raises(
        GraphError, match=r"^grad: the outputs do not depend on input 1; allow_unused=True returns None"
    ):
        tg.grad(loss, [x, unused])
    dx, none = tg.grad(loss, [x, unused], allow_unused=True)
    assert none is None
    same(dx.data, [2.0, 4.0])
    later = x * 2  # made from x, but not part of the loss
    loss = (x * x).sum()
    with pytest.raises(GraphError, match="input 0"):
        tg.grad(loss, later, retain_graph=True)
    assert tg.grad(loss, later, allow_unused=True, retain_graph=True) == (None,)
    constant = tg.Tensor([1.0])
    with pytest.raises(GraphError, match=r"^grad: input 1 needs no gradient"):
        tg.grad(loss, [x, constant], allow_unused=True)


def test_retain_graph() -> None:
    x = leaf([1.0, 2.0])
    loss = (x * x).sum()
    first = tg.grad(loss, x, retain_graph=True)[0]
    second = tg.grad(loss, x)[0]
    same(first.data, second.data)
    assert not np.shares_memory(first.data, second.data)
    for allow_unused in (False, True):  # a freed graph leads nowhere; that is not the same as "unused"
        with pytest.raises(GraphError, match="already swept and freed"):
            tg.grad(loss, x, allow_unused=allow_unused)


@pytest.mark.parametrize("allow_unused", [False, True])
def test_a_graph_that_is_freed_below(allow_unused: bool) -> None:
    """The upper part is intact, the lower part was freed by another sweep: an error, never None in silence."""
    x = leaf([1.0, 2.0])
    h = x * x
    first, second = (h * [2.0, 3.0]).sum(), (h * [5.0, 7.0]).sum()
    first.backward()
    with pytest.raises(GraphError, match="already swept and freed"):
        tg.grad(second, x, allow_unused=allow_unused)
    same(tg.grad((h * [5.0, 7.0]).sum(), h)[0].data, [5.0, 7.0])  # down to h nothing is missing


def test_create_graph() -> None:
    """Gradients of gradients, mixed partial derivatives, and a Hessian row by row."""
    x, y = leaf(2.0), leaf(3.0)
    f = x**3 * y**2
    fx, fy = tg.grad(f, [x, y], create_graph=True)
    assert fx.item() == 3 * 4 * 9
    assert fy.item() == 8 * 2 * 3
    fxx, fxy = tg.grad(fx, [x, y], retain_graph=True)
    fyx, fyy = tg.grad(fy, [x, y])
    assert [d.item() for d in (fxx, fxy, fyx, fyy)] == [12 * 9, 12 * 6, 12 * 6, 8 * 2]


def test_create_graph_without_a_second_derivative() -> None:
    """The gradient of something linear is a constant, and says that it needs no gradient."""
    x = leaf([1.0, 2.0])
    (d,) = tg.grad((x * [2.0, 3.0]).sum(), x, create_graph=True)
    same(d.data, [2.0, 3.0])
    assert not d.requires_grad
    with pytest.raises(GraphError, match="does not depend on anything"):
        d.sum().backward()


def test_a_gradient_penalty() -> None:
    """backward through a norm of gradients: the gradients of the weights, compared with differences."""
    rng = np.random.default_rng(0)
    x0, w0, v0 = rng.normal(size=(5, 3)), rng.normal(size=(3, 4)), rng.normal(size=4)

    def penalty(w: Any) -> Any:
        x = leaf(x0)
        score = ((x @ w).tanh() @ v0).sum()
        (d,) = tg.grad(score, x, create_graph=True)
        return ((d * d).sum(axis=1) ** 0.5 - 1.0) ** 2

    w = leaf(w0)
    c = rng.normal(size=5)
    (penalty(w) * c).sum().backward()
    step = 1e-6
    for i in np.ndindex(w0.shape):
        up, down = w0.copy(), w0.copy()
        up[i] += step
        down[i] -= step
        slope = float((penalty(leaf(up)).data - penalty(leaf(down)).data) @ c) / (2 * step)
        # a central difference is wrong by step^2 and by 1e-16/step times the value
        np.testing.assert_allclose(w.grad[i], slope, rtol=1e-6, atol=1e-8)


def test_a_cotangent_that_needs_a_gradient() -> None:
    """The vjp is linear in its cotangent: its gradient by the cotangent is the jvp (the double-backward trick)."""
    x = leaf([1.0, 2.0])
    y = x**2
    u = leaf([0.0, 0.0])
    (vjp,) = tg.grad(y, x, u, create_graph=True)
    v = np.array([5.0, 7.0])
    (jvp,) = tg.grad(vjp, u, v)
    same(jvp.data, 2 * x.data * v)
    u32 = leaf(np.float32([1.0, 2.0]))  # in its own dtype
    (vjp,) = tg.grad(x**2, x, u32, create_graph=True)
    assert vjp.dtype == np.float64
    (d,) = tg.grad(vjp, u32, v)
    assert d.dtype == np.float32


def test_cotangents_are_checked() -> None:
    x = leaf([1.0, 2.0])
    y = x * 2
    with pytest.raises(ShapeError, match=r"\(3,\).*\(2,\)"):
        tg.grad(y, x, np.ones(3))
    with pytest.raises(ShapeError, match=r"\(2, 1\).*\(2,\)"):
        tg.grad(y, x, tg.Tensor([[1.0], [2.0]]), create_graph=True)
    (d,) = tg.grad(y, x, [1, 2])  # integers are numbers, too
    assert d.dtype == np.float64
    same(d.data, [2.0, 4.0])
    with pytest.raises(TypeError, match=r"^backward: a float has no gradient"):
        tg.grad([1.0], x)  # type: ignore[list-item]


def test_what_grad_returns_may_be_edited() -> None:
    """Each result is writable memory of its own, also where two inputs receive the same array."""
    x, y = leaf([1.0, 2.0]), leaf([3.0, 4.0])
    g = np.array([5.0, 7.0])
    dx, dy = tg.grad(x + y, [x, y], g)
    dx.data[...] = 0.0
    same(dy.data, [5.0, 7.0])
    same(g, [5.0, 7.0])
    z = x.sum()
    (d,) = tg.grad(z, x)
    d.data[0] = 9.0
    same(d.data, [9.0, 1.0])


# ------------------------------------------------------------------------------ functions of functions

# f(x) = (x0^2 x1, sin x1, x0 x1^3), whose derivatives are written down here by hand.
X = np.array([1.5, -0.7])


def f(x: Any) -> Any:
    return tg.stack([x[0] ** 2 * x[1], x[1].sin(), x[0] * x[1] ** 3])


def J(x: np.ndarray) -> np.ndarray:
    return np.array([[2 * x[0] * x[1], x[0] ** 2], [0, np.cos(x[1])], [x[1] ** 3, 3 * x[0] * x[1] ** 2]])


def s(x: Any) -> Any:
    return x[0] ** 2 * x[1] ** 3


def H(x: np.ndarray) -> np.ndarray:
    mixed = 6 * x[0] * x[1] ** 2
    return np.array([[2 * x[1] ** 3, mixed], [mixed, 6 * x[0] ** 2 * x[1]]])


# A handful of products in float64, in another order than by hand.
close = functools.partial(np.testing.assert_allclose, rtol=1e-13, atol=1e-15)
V, U = np.array([0.3, -1.2]), np.array([0.5, 2.0, -0.25])


@pytest.mark.parametrize("make", [lambda x: x, tg.Tensor, lambda x: tg.Tensor(x, requires_grad=True)])
def test_derivatives_of_a_function(make: Any) -> None:
    """Of an array, a constant Tensor and one that needs a gradient; and the input's own .grad stays None."""
    x = make(X)
    y, product = tg.vjp(f, x, U)
    close(y.data, [X[0] ** 2 * X[1], np.sin(X[1]), X[0] * X[1] ** 3])
    close(product.data, U @ J(X))
    y, product = tg.jvp(f, x, V)
    close(product.data, J(X) @ V)
    assert y.shape == product.shape == (3,)
    close(tg.jacobian(f, x).data, J(X))
    close(tg.hessian(s, x).data, H(X))
    value, product = tg.hvp(s, x, V)
    close(value.data, X[0] ** 2 * X[1] ** 3)
    close(product.data, H(X) @ V)
    value, product = tg.vjp(s, x)  # a scalar needs no cotangent
    close(product.data, [2 * X[0] * X[1] ** 3, 3 * X[0] ** 2 * X[1] ** 2])
    for t in (y, value, product):
        assert not t.requires_grad
    assert getattr(x, "grad", None) is None


def test_several_inputs() -> None:
    """A tuple of results for a sequence of inputs, and a Hessian in blocks."""
    a, b = np.array([1.5, -0.7]), np.array([[2.0, 1.0], [0.5, -1.0], [0.3, 0.2]])

    def g(a: Any, b: Any) -> Any:
        return b @ (a * a)

    _, (da, db) = tg.vjp(g, [a, b], U)
    close(da.data, 2 * a * (U @ b))
    close(db.data, np.outer(U, a * a))
    va, vb = V, np.arange(6.0).reshape(3, 2)
    _, along = tg.jvp(g, (a, b), (va, vb))
    close(along.data, b @ (2 * a * va) + vb @ (a * a))
    ja, jb = tg.jacobian(g, [a, b])
    close(ja.data, b * 2 * a)
    close(jb.data, np.einsum("ij,k->ijk", np.eye(3), a * a))

    def scalar(a: Any, b: Any) -> Any:
        return (g(a, b) * U).sum()

    (haa, hab), (hba, hbb) = tg.hessian(scalar, [a, b])
    close(haa.data, np.diag(2 * (U @ b)))
    close(hab.data, np.einsum("k,i,jk->kij", 2 * a, U, np.eye(2)))
    close(hba.data, np.moveaxis(hab.data, 0, -1))
    close(hbb.data, np.zeros((3, 2, 3, 2)))
    _, (pa, pb) = tg.hvp(scalar, [a, b], [va, vb])
    close(pa.data, np.tensordot(haa.data, va, 1) + np.tensordot(hab.data, vb, 2))
    close(pb.data, np.tensordot(hba.data, va, 1))


def test_inputs_that_do_not_matter() -> None:
    """They have derivatives of zero; and so has a function of no input at all."""
    a, b = np.array([1.0, 2.0]), np.array([[3.0]])
    _, (da, db) = tg.vjp(lambda a, b: a * a, [a, b], V)
    close(da.data, 2 * a * V)
    same(db.data, [[0.0]])
    _, along = tg.jvp(lambda a, b: a * a, [a, b], [V, b])
    close(along.data, 2 * a * V)
    constant = tg.Tensor([4.0, 5.0, 6.0])
    same(tg.jacobian(lambda x: constant, a).data, np.zeros((3, 2)))
    same(tg.jvp(lambda x: constant, a, V)[1].data, np.zeros(3))
    same(tg.hessian(lambda x: x.sum(), a).data, np.zeros((2, 2)))
    same(tg.hvp(lambda x: x.sum(), a, V)[1].data, np.zeros(2))


def test_shapes_of_jacobians() -> None:
    """output.shape + input.shape, for scalars, matrices and nothing."""
    for out, inner in [((), ()), ((), (3,)), ((2,), ()), ((2, 3), (4,)), ((0,), (3,)), ((3,), (0,))]:
        weights = np.random.default_rng(0).normal(size=(*out, *inner))

        def linear(x: Any, weights: Any = weights, out: Any = out) -> Any:
            return (x * weights).sum(axis=tuple(range(len(out), weights.ndim)))

        jacobian = tg.jacobian(linear, np.ones(inner))
        assert jacobian.shape == weights.shape
        close(jacobian.data, weights)


def test_batched_jacobian() -> None:
    """Samples that do not influence each other: one sweep for all of them, and the same blocks."""
    x = np.random.default_rng(0).normal(size=(5, 2))

    def rows(x: Any) -> Any:
        return tg.stack([x[:, 0] ** 2 * x[:, 1], x[:, 1].sin(), x[:, 0] * x[:, 1] ** 3], axis=1)

    blocks = tg.jacobian(rows, x, batched=True)
    close(blocks.data, np.stack([J(row) for row in x]))
    with pytest.raises(ShapeError, match=r"^jacobian: batched: output \(3,\) and input \(5, 2\)"):
        tg.jacobian(lambda x: x.sum(axis=0)[0] * np.ones(3), x, batched=True)


def test_derivatives_can_be_differentiated() -> None:
    """create_graph=True carries the graph through to inputs that need a gradient."""
    x = leaf(X)
    y, product = tg.vjp(s, x, create_graph=True)
    assert y.requires_grad
    close(tg.grad(product, x, V, retain_graph=True)[0].data, H(X) @ V)
    close(tg.grad(y, x)[0].data, [2 * X[0] * X[1] ** 3, 3 * X[0] ** 2 * X[1] ** 2])
    _, product = tg.jvp(s, x, V, create_graph=True)
    close(tg.grad(product, x)[0].data, H(X) @ V)
    jacobian = tg.jacobian(s, x, create_graph=True)
    close(tg.grad(jacobian, x, V)[0].data, H(X) @ V)
    close(tg.jacobian(lambda z: tg.jacobian(s, z, create_graph=True), X).data, H(X))
    hessian = tg.hessian(s, x, create_graph=True)
    third = tg.grad(hessian[0, 0], x)[0]  # d/dx of 2 x1^3
    close(third.data, [0, 6 * X[1] ** 2])
    _, product = tg.hvp(s, x, V, create_graph=True)
    by_x0 = [12 * X[0] * 0 + 6 * X[1] ** 2 * V[1], 6 * X[1] ** 2 * V[0] + 12 * X[0] * X[1] * V[1]]
    close(tg.grad(product[0], x)[0].data, by_x0)  # d/dx of 2 x1^3 v0 + 6 x0 x1^2 v1
    assert x.grad is None


def test_dtypes_of_derivatives() -> None:
    x = X.astype(np.float32)
    for t in (
        *tg.vjp(f, x, U), *tg.jvp(f, x, V), tg.jacobian(f, x), tg.hessian(s, x), *tg.hvp(s, x, V),
        tg.jacobian(lambda x: tg.Tensor(np.float32([1, 2])), x),
    ):  # fmt: skip
        assert t.dtype == np.float32


@pytest.mark.parametrize(
    ("mistake", "kind", "message"),
    [
        (lambda: tg.vjp(f, X), ShapeError, r"shape \(3,\); only a scalar"),
        (lambda: tg.vjp(f, X, V), ShapeError, r"\(2,\).*\(3,\)"),
        (lambda: tg.jvp(f, X, U), ShapeError, r"^jvp: direction 0 has shape \(3,\); \(2,\) is expected"),
        (lambda: tg.jvp(lambda a, b: a, [X, X], [X]), ShapeError, r"^jvp: 1 directions for 2 inputs"),
        (lambda: tg.hvp(s, X, U), ShapeError, r"^hvp: direction 0 has shape \(3,\)"),
        (lambda: tg.hvp(f, X, V), ShapeError, r"^hvp: the function returned shape \(3,\); a scalar is expected"),
        (lambda: tg.hessian(f, X), ShapeError, r"^hessian: the function returned shape \(3,\); a scalar is expected"),
        (lambda: tg.jacobian(lambda x: 3.0, X), TypeError, r"^jacobian: the function returned a float; one Tensor"),
        (lambda: tg.vjp(lambda x: (x, x), X), TypeError, r"^vjp: the function returned a tuple; one Tensor"),
    ],
)
def test_mistakes_are_named(mistake: Any, kind: Any, message: str) -> None:
    with pytest.raises(kind, match=message):
        mistake()


def test_second_derivatives_of_a_layer_on_plain_data() -> None:
    """x^T g with x an array and g a Tensor, small and large: the Hessian of |x w + b|^2 is 2 x^T x."""
    for samples, features in ((4, 3), (200, 150)):
        x = np.random.default_rng(0).normal(size=(samples, features))
        w, b, v = np.zeros((features, 2)), np.zeros(2), np.random.default_rng(1).normal(size=(features, 2))
        _, (product, _) = tg.hvp(lambda w, b, x=x: (tg.linear(x, w, b) ** 2).sum(), [w, b], [v, np.zeros(2)])
        np.testing.assert_allclose(product.data, 2 * x.T @ (x @ v), rtol=1e-10)
