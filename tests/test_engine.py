"""Recording and the reverse sweep: what is written down, what is freed, hooks, edits, and errors that do no harm."""

from __future__ import annotations

import asyncio
import inspect
import re
import threading
import weakref
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tinygrad_edu as tg
from tinygrad_edu import memory
from tinygrad_edu.engine import sweep
from tinygrad_edu.errors import DtypeError, GraphError, ShapeError
from tinygrad_edu.modes import mode
from tinygrad_edu.nn import functional

same = np.testing.assert_array_equal


def leaf(data: Any, **keywords: Any) -> tg.Tensor:
    return tg.Tensor(data, requires_grad=True, **keywords)


# ------------------------------------------------------------------------------------------ recording


def test_a_node_is_what_ran() -> None:
    """Operation, raw inputs, their Nodes, parameters and value: enough to run the rules, and no Tensor."""
    x, w = leaf([[1.0, 2.0]]), leaf([[3.0], [4.0]])
    y = tg.sum(x @ w * 2.0, axis=0)
    total = y._node
    assert total is not None
    assert total.op is tg.ops.sum
    assert total.params == {"axis": 0, "keepdims": False}
    product = total.parents[0]
    assert product.op is tg.multiply
    assert product.args[1] == 2.0
    assert type(product.args[1]) is float  # a Python number stays one, and stays weak
    assert product.parents[1] is None
    matmul = product.parents[0]
    assert matmul.parents == (x._node, w._node)
    assert matmul.args[0] is x.data
    assert not any(isinstance(v, tg.Tensor) for n in (total, product, matmul) for v in (n.value, *n.args))
    assert total.order > product.order > matmul.order > max(x._node.order, w._node.order)


def test_constants_are_not_recorded() -> None:
    """Without an input that needs a gradient nothing is written down: an evaluation costs no memory."""
    a, b = tg.Tensor([1.0, 2.0]), tg.Tensor([3.0, 4.0])
    for y in (a * b, a.exp(), a @ b, a.sum(), a[0], a.reshape(2, 1), tg.concatenate([a, b])):
        assert y._node is None
        assert y.is_leaf
        assert not y.requires_grad
    x = leaf([1.0, 2.0])
    for y in (x > a, x == a, x.argmax(), tg.isnan(x), (x > 0) & (a > 0)):
        assert y._node is None
    with tg.no_grad():
        assert (x * x)._node is None
        assert x.exp()._node is None


def test_an_input_that_needs_no_gradient_costs_no_work() -> None:
    """Its rule is not even called: an input batch never costs a matrix product."""
    called: list[str] = []

    def rule(name: str) -> Callable[..., Any]:
        def vjp(g: Any, y: Any, a: Any, b: Any) -> Any:
            called.append(name)
            return g

        return vjp

    add = tg.Op(lambda a, b: a + b, vjps=[rule("a"), rule("b")], name="watched")
    x, w = tg.Tensor([1.0]), leaf([2.0])
    add(x, w).backward()
    assert called == ["b"]
    called.clear()
    u, v = leaf([1.0]), leaf([2.0])
    tg.grad(add(u, v), u)  # nor for an input that nobody has asked about
    assert called == ["a"]


def test_everything_can_be_recorded() -> None:
    """mode(everything=True) writes down constants and masks, too, and changes no requires_grad."""
    x, c = leaf([1.0, 2.0]), tg.Tensor([3.0, 4.0])
    with mode(everything=True):
        results = {"c * c": c * c, "c.exp()": c.exp(), "x > c": x > c, "x * c": x * c, "x.exp()": x.exp()}
    for name, y in results.items():
        assert y._node is not None, name
        assert y.requires_grad == (name in ("x * c", "x.exp()")), name
    (results["x * c"] + results["x.exp()"]).backward([1.0, 2.0])
    np.testing.assert_allclose(x.grad, [3 + np.e, 2 * (4 + np.e**2)], rtol=1e-15)
    assert (c * c)._node is None


def test_arrays_in_arrays_out() -> None:
    """Operations on arrays and numbers are NumPy's, and record nothing."""
    assert type(tg.exp(np.zeros(3))) is np.ndarray
    assert tg.add(1.0, 2.0) == 3.0
    same(tg.matmul([[1.0, 2.0]], [[3.0], [4.0]]), [[11.0]])
    loss = functional.cross_entropy(np.zeros((2, 4)), np.array([0, 3]))
    assert not isinstance(loss, tg.Tensor)
    np.testing.assert_allclose(loss, np.log(4), rtol=1e-15)
    same(tg.concatenate([np.zeros(1), [1.0]]), [0.0, 1.0])


# ------------------------------------------------------------------------------------ keeping, freeing


def test_a_swept_graph_is_freed() -> None:
    """backward frees as it goes; retain_graph=True keeps everything for another sweep."""
    x = leaf([1.0, 2.0])
    y = x * x
    loss = (y * 3.0).sum()
    loss.backward(retain_graph=True)
    loss.backward(retain_graph=True)
    loss.backward()
    same(x.grad, [18.0, 36.0])
    for node in (loss._node, y._node):
        assert node.args is None
        assert node.parents is None
    with pytest.raises(GraphError, match=r"^backward: this graph was already swept and freed\. Use retain_graph=True"):
        loss.backward()
    same(x.grad, [18.0, 36.0])
    same(y.data, [1.0, 4.0])  # values stay as long as their Tensors


def test_two_losses_over_one_graph() -> None:
    """The shared part is freed by the first sweep, and the second says so; swept together they need no retaining."""
    x = leaf([1.0, 2.0])
    h = x * x
    first, second = (h * [2.0, 3.0]).sum(), (h * [5.0, 7.0]).sum()
    first.backward()
    with pytest.raises(GraphError, match="retain_graph=True"):
        second.backward()
    same(x.grad, [4.0, 12.0])
    x.grad = None
    h = x * x
    first, second = (h * [2.0, 3.0]).sum(), (h * [5.0, 7.0]).sum()
    tg.backward([first, second])
    same(x.grad, [14.0, 40.0])
    x.grad = None
    h = x * x
    tg.backward([h, h.sum()], [[2.0, 3.0], None])  # one output may be an ancestor of another
    same(x.grad, [6.0, 16.0])
    x.grad = None
    y = (x * x).sum()
    tg.backward([y, y], [2.0, 3.0])
    same(x.grad, [10.0, 20.0])
    x.grad = None
    tg.backward([x, x.sum()], [[2.0, 3.0], 5.0])
    same(x.grad, [7.0, 8.0])


def test_create_graph_keeps_the_graph() -> None:
    """retain_graph is as create_graph unless it is given."""
    x = leaf([1.0, 2.0])
    loss = (x**3).sum()
    loss.backward(create_graph=True)
    assert isinstance(x.grad, tg.Tensor)
    assert x.grad.requires_grad
    same(x.grad.data, [3.0, 12.0])
    (second,) = tg.grad((x.grad * [1.0, 2.0]).sum(), x)
    same(second.data, [6.0, 24.0])
    loss.backward()  # still there; and it adds to what is there
    same(np.asarray(x.grad.detach()), [6.0, 24.0])
    with pytest.raises(GraphError, match="already swept"):
        loss.backward()


def test_create_graph_inside_of_no_grad() -> None:
    """Whoever asks for a graph gets one."""
    x = leaf(2.0)
    y = x**3
    with tg.no_grad():
        (first,) = tg.grad(y, x, create_graph=True)
    assert first.requires_grad
    assert tg.grad(first, x)[0].item() == 12.0


def test_leaves_add_up() -> None:
    """Three batches, one gradient; setting .grad to None, or to an array, starts anew."""
    w = leaf([1.0, 2.0])
    for batch in ([1.0, 2.0], [3.0, 4.0], [5.0, 6.0]):
        (w * batch).sum().backward()
    same(w.grad, [9.0, 12.0])
    kept = w.grad
    w.grad = None
    (w * [1.0, 2.0]).sum().backward()
    same(w.grad, [1.0, 2.0])
    same(kept, [9.0, 12.0])  # an old gradient that somebody holds is not written to
    scalar = leaf(2.0)
    for _ in range(3):
        (scalar * scalar).backward()
    assert scalar.grad.shape == ()
    assert isinstance(scalar.grad, np.ndarray)
    assert scalar.grad == 12.0


def test_retain_grad() -> None:
    """The gradient of an intermediate result is dropped unless it is asked for."""
    x = leaf([1.0, 2.0])
    h, other = x * 3.0, x * 2.0
    h.retain_grad()
    (h * [2.0, 3.0] + other).sum().backward()
    same(h.grad, [2.0, 3.0])
    assert other.grad is None
    h.grad[...] = 0.0
    same(x.grad, [8.0, 11.0])  # memory of its own
    h.grad = None
    x.retain_grad()  # of a leaf: nothing new
    with pytest.raises(GraphError, match=r"^retain_grad: .*requires_grad=True"):
        tg.Tensor([1.0]).retain_grad()
    with pytest.raises(GraphError, match=r"^register_hook: .*requires_grad=True"):
        tg.Tensor([1.0]).register_hook(print)


def test_retain_grad_of_the_root() -> None:
    x = leaf([1.0, 2.0])
    loss = (x * x).sum()
    loss.retain_grad()
    loss.backward()
    assert loss.grad == 1.0


# ---------------------------------------------------------------------------------------------- hooks


def test_hooks_can_be_removed() -> None:
    x = leaf([1.0, 2.0])
    seen: list[str] = []
    removers = [x.register_hook(lambda g, name=name: seen.append(name)) for name in "abc"]
    (x * 2).sum().backward()
    assert seen == ["a", "b", "c"]
    removers[1]()
    removers[1]()  # twice does no harm
    seen.clear()
    (x * 2).sum().backward()
    assert seen == ["a", "c"]


def test_a_hook_may_remove_itself() -> None:
    x = leaf([1.0, 2.0])
    seen: list[int] = []

    def once(g: np.ndarray) -> None:
        seen.append(1)
        remove()

    remove = x.register_hook(once)
    for _ in range(2):
        (x * 2).sum().backward()
    assert seen == [1]


def test_a_hook_on_the_root_and_on_views() -> None:
    x = leaf([1.0, 2.0])
    y = (x * x).reshape(2, 1)
    y.register_hook(lambda g: g * 10)
    y.backward([[1.0], [2.0]])
    same(x.grad, [20.0, 80.0])


@pytest.mark.parametrize("create_graph", [False, True])
@pytest.mark.parametrize(
    "make", [lambda g: np.asarray(g) * 2, lambda g: [20.0, 30.0], lambda g: tg.Tensor([20.0, 30.0])],
    ids=["array", "list", "Tensor"],
)  # fmt: skip
def test_what_a_hook_may_return(make: Callable[[Any], Any], create_graph: bool) -> None:
    """An array, a list or a Tensor, in both kinds of sweep: the gradient goes on as what it was."""
    for intermediate in (True, False):
        x = leaf([1.0, 2.0])
        h = x * 3.0
        target = h if intermediate else x
        # under create_graph the hook is shown a Tensor; np.asarray would refuse one that needs a gradient
        target.register_hook(lambda g: make(g.detach() if isinstance(g, tg.Tensor) else g))
        scale = [10.0, 15.0] if intermediate else [10.0 / 3, 15.0 / 3]
        (h * scale).sum().backward(create_graph=create_graph)
        gradient = x.grad
        assert isinstance(gradient, tg.Tensor) == create_graph
        values = gradient.data if create_graph else gradient
        np.testing.assert_allclose(values, np.array([20.0, 30.0]) * (3 if intermediate else 1), rtol=1e-15)


def test_a_hook_is_shown_what_can_be_differentiated() -> None:
    """Under create_graph a hook is shown a Tensor, and what it does is recorded; it runs in the second sweep, too."""
    x = leaf([1.0, 2.0])
    h = x * x
    h.register_hook(lambda g: g * 3.0)
    (first,) = tg.grad((h * h).sum(), x, create_graph=True)
    same(first.data, [12.0, 96.0])  # 3 * 2 h * 2 x
    (second,) = tg.grad(first.sum(), x)
    same(second.data, [84.0, 336.0])  # 12 h by x directly, and 3 * 12 x * 2 x through h and its hook


def test_a_hook_of_another_shape_or_dtype() -> None:
    x = leaf(np.float32([1.0, 2.0]))
    remove = x.register_hook(lambda g: g[:1])
    with pytest.raises(ShapeError, match=r"^hook: returned shape \(1,\) for a gradient of shape \(2,\)"):
        (x * 2).sum().backward()
    assert x.grad is None
    remove()
    x.register_hook(lambda g: g.astype(np.float64) * 2)
    (x * 2).sum().backward()
    assert x.grad.dtype == np.float32
    same(x.grad, [4.0, 4.0])


def test_what_a_hook_keeps_is_not_written_to() -> None:
    """A hook that stores its gradient still has it after the sweep, also where more is added later."""
    x = leaf([1.0, 2.0])
    kept: list[np.ndarray] = []
    y = x * 2.0
    z = y + 1.0
    z.register_hook(lambda g: kept.append(g))
    (z * [2.0, 3.0] + y * [5.0, 7.0]).sum().backward()
    same(kept[0], [2.0, 3.0])
    x.grad[...] = 0
    same(kept[0], [2.0, 3.0])


# ------------------------------------------------------------------------------------ errors do no harm


def usable(x: tg.Tensor, loss: tg.Tensor, expected: list[float]) -> None:
    """The graph behind `loss` can still be swept, and nothing was added to the leaf in the meantime."""
    assert x.grad is None
    loss.backward()
    same(x.grad, expected)


@pytest.mark.parametrize(
    ("mistake", "kind", "message"),
    [
        (lambda x, y, loss: y + np.ones(3), ShapeError, r"^add: shapes \(2,\) and \(3,\) do not broadcast"),
        (lambda x, y, loss: y @ np.ones((3, 2)), ShapeError, r"^matmul: \(2,\) @ \(3, 2\): inner sizes 2 and 3 differ"),
        (lambda x, y, loss: y.reshape(3), ShapeError, r"^reshape: 2 elements of shape \(2,\) do not fit into shape 3"),
        (lambda x, y, loss: y.transpose(0, 1), ShapeError, r"^transpose: axes \(0, 1\) for a tensor of shape \(2,\)"),
        (lambda x, y, loss: y.swapaxes(0, 3), ShapeError, r"^swapaxes: axes 0 and 3 for a tensor of shape \(2,\)"),
        (lambda x, y, loss: tg.moveaxis(y, 0, 3), ShapeError, r"^moveaxis: .*\(2,\)"),
        (lambda x, y, loss: y.squeeze(axis=0), ShapeError, r"^squeeze: .*\(2,\), axis=0"),
        (lambda x, y, loss: tg.expand_dims(y, 5), (ShapeError, IndexError), r"^expand_dims: axis 5 .*\(2,\)"),
        (lambda x, y, loss: np.broadcast_to(y, (3,)), ShapeError, r"^broadcast_to: .*\(2,\).*\(3,\)"),
        (lambda x, y, loss: tg.concatenate([y, np.ones((1, 1))]), ShapeError, r"^concatenate: .*\(2,\), \(1, 1\)"),
        (lambda x, y, loss: tg.concatenate([]), ShapeError, r"^concatenate: at least one tensor is needed"),
        (lambda x, y, loss: tg.stack([y, np.ones(3)]), ShapeError, r"^stack: .*\(2,\) and \(3,\)"),
        (lambda x, y, loss: tg.stack([]), ShapeError, r"^stack: at least one tensor is needed"),
        (lambda x, y, loss: y[5], IndexError, r"^getitem: index 5 is out of bounds .*\(2,\)"),
        (lambda x, y, loss: y["a"], (IndexError, TypeError), r"getitem"),
        (lambda x, y, loss: y.sum(axis=3), (ShapeError, IndexError), r"^sum: axis 3 of a tensor of shape \(2,\)"),
        (lambda x, y, loss: y.sum(axis=(0, 0)), ShapeError, r"^sum: axis \(0, 0\) .*\(2,\).*twice"),
        (lambda x, y, loss: y[:0].max(), ShapeError, r"^max: the shape is \(0,\)"),
        (lambda x, y, loss: y.softmax(axis=2), (ShapeError, IndexError),
         r"^softmax: axis 2 of a tensor of shape \(2,\)"),
        (lambda x, y, loss: y.log_softmax(axis=2), (ShapeError, IndexError), r"^log_softmax: axis 2 .*\(2,\)"),
        (lambda x, y, loss: tg.linear(y, np.ones((3, 4)), np.ones(4)), ShapeError,
         r"^linear: input \(2,\) against weight \(3, 4\): 2 features arrive, 3 are expected"),
        (lambda x, y, loss: tg.linear(y, np.ones((2, 4)), np.ones(3)), ShapeError,
         r"^linear: bias \(3,\) against weight \(2, 4\): 4 numbers are expected"),
        (lambda x, y, loss: tg.linear(y, np.ones((2, 4)), np.ones((2, 4))), ShapeError, r"^linear: bias \(2, 4\)"),
        (lambda x, y, loss: tg.linear(y, np.ones(2), np.ones(1)), ShapeError,
         r"^linear: the weight has shape \(2,\); \(in_features, out_features\)"),
        (lambda x, y, loss: tg.dot(y, np.ones((2, 3, 2))), ShapeError, r"^matmul: \(2,\) @ \(2, 3, 2\)"),
        (lambda x, y, loss: functional.mse_loss(y, np.ones((2, 1))), ShapeError,
         r"^mse_loss: prediction \(2,\) against target \(2, 1\): the shapes must be equal"),
        (lambda x, y, loss: functional.half_mse_loss(y, np.ones((2, 1))), ShapeError,
         r"^half_mse_loss: prediction \(2,\)"),
        (lambda x, y, loss: functional.binary_cross_entropy(y * 0.1, np.ones(3)), ShapeError,
         r"^binary_cross_entropy: prediction \(2,\) against target \(3,\)"),
        (lambda x, y, loss: functional.binary_cross_entropy_with_logits(y, np.ones(3)), ShapeError,
         r"^binary_cross_entropy_with_logits: prediction \(2,\)"),
        (lambda x, y, loss: functional.binary_cross_entropy(y * 10, np.ones(2)), ValueError,
         r"^binary_cross_entropy: a prediction is outside 0\.\.1; use binary_cross_entropy_with_logits"),
        (lambda x, y, loss: functional.mse_loss(y, np.ones(2), "avg"), ValueError,
         r"reduction 'avg': \"mean\", \"sum\" or \"none\""),
        (lambda x, y, loss: functional.cross_entropy(y.reshape(1, 2), np.array([2])), ValueError,
         r"^cross_entropy: label 2 at position 0 is outside 0\.\.1 for logits|scores of shape \(1, 2\)"),
        (lambda x, y, loss: functional.cross_entropy(y.reshape(1, 2), np.array([True])),
         (DtypeError, ShapeError, ValueError), r"^cross_entropy: .*bool"),
        (lambda x, y, loss: functional.cross_entropy(y.sum(), np.array(0)), ShapeError, r"^cross_entropy: .*\(\)"),
        (lambda x, y, loss: functional.nll_loss(y.reshape(1, 2), np.array([[0, 1]])), ShapeError,
         r"^nll_loss: labels of shape \(1, 2\).*one-hot rows must be floats"),
        (lambda x, y, loss: y * "a", DtypeError, r"^multiply: str of dtype .* is not supported"),
        (lambda x, y, loss: y * 1j, DtypeError, r"^multiply: complex of dtype complex128"),
        (lambda x, y, loss: y.sum(axes=0), TypeError, r"axes"),
        (lambda x, y, loss: tg.sum(y, axes=0), TypeError, r"^sum: .*'axes'.*It is called as sum\("),
        (lambda x, y, loss: tg.exp(), TypeError, r"^exp: .*It is called as exp\("),
        (lambda x, y, loss: tg.exp(y, y, y), TypeError, r"^exp: .*It is called as exp\("),
        (lambda x, y, loss: y.backward(), ShapeError,
         r"^backward: the output has shape \(2,\); only a scalar .*Reduce it .*gradient of shape \(2,\)"),
        (lambda x, y, loss: y.backward(np.ones(3)), ShapeError,
         r"^backward: a gradient of shape \(3,\) for an output of shape \(2,\)"),
        (lambda x, y, loss: loss.backward("a"), DtypeError, r"<U1 is not supported"),
        (lambda x, y, loss: tg.backward([loss], [1.0, 2.0]), ShapeError, r"^backward: 2 gradients for 1 outputs"),
        (lambda x, y, loss: tg.backward([np.ones(1)]), TypeError, r"^backward: a ndarray has no gradient; a Tensor"),
        (lambda x, y, loss: tg.Tensor(1.0).backward(), GraphError, r"^backward: .*requires_grad=True"),
        (lambda x, y, loss: tg.grad(loss, tg.Tensor(1.0)), GraphError,
         r"^grad: input 0 needs no gradient; .*requires_grad"),
        (lambda x, y, loss: tg.grad(loss, [x, np.ones(1)]), GraphError, r"^grad: input 1 is no Tensor"),
        (lambda x, y, loss: tg.grad(loss, [x, leaf(1.0)]), GraphError,
         r"^grad: the outputs do not depend on input 1; allow_unused=True"),
        (lambda x, y, loss: tg.grad(y, x), ShapeError, r"^backward: the output has shape \(2,\)"),
        (lambda x, y, loss: tg.grad([loss, y], x, [1.0]), ShapeError, r"1 gradients for 2 outputs"),
        (lambda x, y, loss: setattr(y, "data", np.ones(2)), GraphError, r"^data: .*result of multiply.*detach"),
        (lambda x, y, loss: setattr(x, "data", np.ones(3)), ShapeError, r"^data: .*\(3,\).*\(2,\)"),
        (lambda x, y, loss: setattr(x, "grad", np.ones(3)), ShapeError, r"^grad: .*\(3,\).*\(2,\)"),
        (lambda x, y, loss: setattr(tg.Tensor(1.0), "grad", 1.0), GraphError, r"^grad: .*requires_grad=True"),
        (lambda x, y, loss: setattr(y, "requires_grad", False), GraphError, r"^requires_grad: .*t\.detach\(\)"),
        (lambda x, y, loss: setattr(x, "name", 3), TypeError, r"^name: int given; a string"),
        (lambda x, y, loss: np.asarray(y), GraphError, r"^asarray: .*t\.numpy\(\) or t\.detach\(\)"),
        (lambda x, y, loss: np.nextafter(y, 2.0), TypeError, r"^np\.nextafter is not recorded: .*t\.numpy\(\)"),
        (lambda x, y, loss: np.unwrap(y), TypeError, r"^np\.unwrap is not recorded"),
        (lambda x, y, loss: np.exp(y, out=np.ones(2)), TypeError, r"^np\.exp: out= cannot be recorded"),
        (lambda x, y, loss: list(loss), TypeError, r"scalar tensor"),
    ],
)  # fmt: skip
def test_an_error_says_what_is_wrong_and_does_no_harm(mistake: Callable[..., Any], kind: Any, message: str) -> None:
    """Operation, shapes and the way out; and afterwards the graph is as it was."""
    x = leaf([1.0, 2.0])
    y = x * x
    loss = (y * [2.0, 3.0]).sum()
    with pytest.raises(kind, match=message) as caught:
        mistake(x, y, loss)
    assert caught.value.__cause__ is None or caught.value.__suppress_context__
    usable(x, loss, [4.0, 12.0])


def test_shape_errors_of_matmul_suggest_a_transpose() -> None:
    x = leaf(np.ones((32, 784)))
    with pytest.raises(
        ShapeError, match=re.escape("matmul: (32, 784) @ (10, 784): inner sizes 784 and 10 differ") + ".*W.T"
    ):
        x @ np.ones((10, 784))
    with pytest.raises(ShapeError, match=r"did you mean x\.T"):
        leaf(np.ones((784, 32))) @ np.ones((784, 10))


def test_a_rule_of_the_wrong_shape_is_named() -> None:
    """A user's rule that returns another shape is told so, with the operation's name and both shapes."""
    for result, shape in ((np.ones(3), r"\(3,\)"), (np.ones((2, 2, 3)), r"\(2, 2, 3\)"), (1.0, r"\(\)")):
        wrong = tg.Op(lambda x: x * 2, vjps=[lambda g, y, x, result=result: result], name="wrong")
        for create_graph in (False, True):
            x = leaf([1.0, 2.0])
            with pytest.raises(ShapeError, match=rf"^wrong: a rule returned a gradient of shape {shape} .*\(2,\)"):
                wrong(x).backward([1.0, 2.0], create_graph=create_graph)
            assert x.grad is None


def test_a_rule_may_return_numbers_and_other_dtypes() -> None:
    """The engine gives a gradient the dtype and the kind that its input has; the rule need not know."""
    for result in (3.0, 3, np.float64(3), np.float16(3), np.array(3)):
        constant = tg.Op(lambda x: x * 2, vjps=[lambda g, y, x, result=result: result], name="constant")
        x = leaf(np.float32(1.0))
        constant(x).backward()
        assert x.grad.dtype == np.float32
        assert x.grad.shape == ()
        assert isinstance(x.grad, np.ndarray)
        assert x.grad == 3.0
    widened = tg.Op(lambda x: x * 2, vjps=[lambda g, y, x: np.float64(2) * g.astype(float)], name="widened")
    x = leaf(np.float32([1.0, 2.0]))
    widened(x).backward([1.0, 2.0])
    assert x.grad.dtype == np.float32


def test_what_is_retained_shares_no_memory() -> None:
    """A sum hands its gradient on to both sides as it is; what they keep of it is theirs alone."""
    a, b = (tg.Tensor([1.0, 2.0], requires_grad=True) for _ in range(2))
    h, k = a * 1, b * 1
    total = h + k
    for t in (h, k, total):
        t.retain_grad()
    g = np.array([3.0, 4.0])
    total.backward(g)
    held = [g, *(t.grad for t in (a, b, h, k, total))]
    for i, x in enumerate(held):
        np.testing.assert_array_equal(x, [3, 4])
        assert not any(np.shares_memory(x, y) for y in held[:i])


def test_contributions_are_added_in_place() -> None:
    """The first array that a leaf receives takes up all that comes later: no new one for each use."""
    x = tg.Tensor(np.ones(1000), requires_grad=True)
    y = x * 2 + x * 3 + x * 4 + x * 5
    assert y._node is not None
    totals = []  # only their addresses: an array that somebody holds must not be changed
    sweep([(y._node, np.ones(1000))], watch=lambda node, parent, c, total: totals.append((parent, id(total))))
    assert len({address for parent, address in totals if parent is x._node}) == 1


def test_a_failed_sweep_gives_nobody_a_gradient() -> None:
    """A hook that raises once: no leaf has half of its gradient, and a graph that was retained can be swept again."""
    x, w = leaf([1.0, 2.0]), leaf([3.0, 4.0])
    h = x * x
    times = iter([True, True, False])

    def fails_twice(g: np.ndarray) -> None:
        if next(times):
            raise KeyError("first")

    h.register_hook(fails_twice)
    loss = (h * w).sum()
    for _ in range(2):
        with pytest.raises(KeyError):
            loss.backward(retain_graph=True)
        assert x.grad is None
        assert w.grad is None
    loss.backward()
    same(x.grad, [6.0, 16.0])
    same(w.grad, [1.0, 4.0])


def test_what_a_failed_sweep_has_visited_is_freed() -> None:
    """Unless it was to be retained; the next sweep says so, also where it enters the graph further below."""
    x = leaf([1.0, 2.0])
    h = x * x
    remove = h.register_hook(lambda g: np.ones(3))
    loss = (2 * h).sum()
    with pytest.raises(ShapeError, match="hook"):
        loss.backward()
    with pytest.raises(GraphError, match="freed"):
        loss.backward()
    assert x.grad is None
    remove()
    (3 * h).sum().backward()  # h itself was not visited: it can still be used
    same(x.grad, [6.0, 12.0])


@pytest.mark.parametrize("early", [False, True], ids=["after the forward pass", "during the forward pass"])
def test_an_edit_refuses_a_sweep_that_reads_the_edited_value(early: bool) -> None:
    """And only such a sweep: above the edit nothing is wrong."""
    x = leaf([1.0, 2.0])
    h = x * x
    if early:
        x.data -= 1.0
    loss = (h * [2.0, 3.0]).sum()
    if not early:
        x.data -= 1.0
    for _ in range(2):
        with pytest.raises(GraphError, match=r"multiply.*edited"):
            loss.backward(retain_graph=True)
    assert x.grad is None
    (dh,) = tg.grad(loss, h)
    same(dh.data, [2.0, 3.0])


def test_arrays_are_freed_while_the_sweep_goes_on() -> None:
    """When a rule is asked for its gradient, what lies behind it in the sweep is gone already."""
    alive: list[bool] = []
    x = leaf(np.ones(3))
    y = tg.exp(x)
    y.register_hook(lambda g: alive.append(seen() is not None))
    z = tg.sin(tg.sin(y))
    seen = weakref.ref(z.data)
    loss = tg.cos(z).sum()
    del z
    loss.backward(retain_graph=True)
    loss.backward()
    assert alive == [True, False]


# ---------------------------------------------------------------------------------------------- edits


def test_edits_are_noted_by_memory() -> None:
    a = np.arange(6.0).reshape(2, 3)
    memory.edited(a[0, 1:])
    assert memory.edited_since(a, 0)
    assert memory.edited_since(a.T, 0)
    assert not memory.edited_since(a.copy(), 0)
    assert not memory.edited_since(2.0, 0)
    assert not memory.edited_since(np.float64(2.0), 0)
    assert not memory.edited_since(a, memory.tick())


def test_notes_about_edits_die_with_the_memory() -> None:
    a = np.zeros(3)
    key = id(a)
    memory.edited(a)
    memory.edited(a)
    assert key in memory.writes
    del a
    assert key not in memory.writes


def test_an_edit_that_only_other_inputs_need() -> None:
    """Whether an edit matters depends on which gradients are asked for."""
    a, b = leaf([1.0, 2.0]), leaf([3.0, 4.0])
    loss = (a * b).sum()
    a.data -= 1.0  # needed for the gradient of b only
    (da,) = tg.grad(loss, a, retain_graph=True)
    same(da.data, [3.0, 4.0])
    with pytest.raises(GraphError, match=r"multiply's input 1 was edited"):
        tg.grad(loss, b)


def test_an_edit_is_detected_under_create_graph() -> None:
    x = leaf([1.0, 2.0])
    loss = (x * x).sum()
    x.data -= 1.0
    with pytest.raises(GraphError, match=r"multiply.*edited"):
        tg.grad(loss, x, create_graph=True)


def test_an_edit_of_what_a_fused_operation_kept() -> None:
    """cross_entropy has its error p - t from the forward pass: editing the logits is harmless at first order."""
    z = leaf([[0.5, 1.0], [2.0, 0.1]])
    loss = functional.cross_entropy(z, np.array([0, 1]))
    expected = tg.grad(loss, z, retain_graph=True)[0].data
    z.data += 1.0
    (found,) = tg.grad(loss, z, retain_graph=True)
    np.testing.assert_allclose(found.data, expected, rtol=1e-15)


def test_asking_what_a_rule_reads_is_silent() -> None:
    """The rule is run on edited values to see what it reads: no warning may come out of that."""
    x = leaf([1.0, 4.0, 2.0])
    for f in (lambda t: t.max(), lambda t: t.sqrt().sum(), lambda t: t.log().sum(), lambda t: (1 / t).sum()):
        loss = f(x * 1.0 + 1.0)
        d = x.detach()
        d.data *= 1.0
        loss.backward()
    y = x * 1.0
    loss = y.max()
    d = y.detach()
    d.data *= 0.0
    with pytest.raises(GraphError, match="max"):
        loss.backward()


# ---------------------------------------------------------------------------------------------- modes


def test_modes_as_decorators() -> None:
    """no_grad and enable_grad above functions and coroutine functions, with their signatures kept."""
    x = leaf([1.0, 2.0])

    @tg.no_grad()
    def plain(a: int, *, b: str = "c") -> tuple[bool, int, str]:
        """What it does."""
        return (x * x).requires_grad, a, b

    assert plain(1, b="d") == (False, 1, "d")
    assert plain.__doc__ == "What it does."
    assert str(inspect.signature(plain)).startswith("(a: 'int', *, b: 'str' = 'c')")

    @tg.enable_grad()
    def records() -> bool:
        return (x * x).requires_grad

    with tg.no_grad():
        assert records()
    assert not inspect.iscoroutinefunction(records)

    @tg.no_grad()
    async def waits() -> bool:
        await asyncio.sleep(0)
        return (x * x).requires_grad

    @tg.enable_grad()
    async def waits_recording() -> bool:
        await asyncio.sleep(0)
        return (x * x).requires_grad

    assert inspect.iscoroutinefunction(waits)

    async def main() -> list[bool]:
        with tg.no_grad():
            return [await waits(), await waits_recording(), (x * x).requires_grad]

    assert asyncio.run(main()) == [False, True, False]
    assert (x * x).requires_grad


def test_one_mode_object_can_be_used_again() -> None:
    """A decorated function may call itself, and run in two threads at once."""
    x = leaf([1.0, 2.0])
    off = tg.no_grad()
    with off:
        with off:
            assert not (x * x).requires_grad
        assert not (x * x).requires_grad
    assert (x * x).requires_grad
    barrier = threading.Barrier(2, timeout=5)
    seen: list[bool] = []

    @tg.no_grad()
    def evaluate() -> None:
        barrier.wait()
        seen.append((x * x).requires_grad)
        barrier.wait()

    threads = [threading.Thread(target=evaluate) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(5)
    assert seen == [False, False]


def test_sweeps_in_two_threads() -> None:
    """Two graphs over their own leaves, built and swept at the same time."""
    results: dict[int, np.ndarray] = {}

    def work(k: int) -> None:
        x = leaf(np.full(10, float(k)))
        for _ in range(100):
            x.grad = None
            y = x
            for _ in range(10):
                y = y * 1.5 + x
            y.backward(np.arange(10.0))
        results[k] = x.grad

    threads = [threading.Thread(target=work, args=(k,)) for k in (1, 2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    same(results[1], results[2])  # the graph is linear in x


def test_operations_of_a_user() -> None:
    """tg.Op: forward, one rule, and every order of derivative, broadcasting and dtype come with it."""
    cube = tg.Op(lambda x: x**3, vjps=[lambda g, y, x: 3 * g * x**2], name="cube")
    x = leaf([1.0, 2.0])
    (first,) = tg.grad(cube(x), x, [1.0, 10.0], create_graph=True)
    same(first.data, [3.0, 120.0])
    (second,) = tg.grad(first, x, [1.0, 1.0])
    same(second.data, [6.0, 120.0])
    assert "cube" not in tg.op.OPS
    assert repr(cube(x)).endswith("from cube)")
    f32 = leaf(np.float32([1.0, 2.0]))
    assert tg.grad(cube(f32), f32, np.float32([1, 1]))[0].dtype == np.float32

    def like(a: Any, b: Any, scale: float = 2.0) -> Any:
        """Scaled product."""
        return scale * a * b

    scaled = tg.Op(
        like, vjps=[lambda g, y, a, b, scale: g * b * scale, lambda g, y, a, b, scale: g * a * scale], name="scaled"
    )
    a, b = leaf(np.ones((3, 2))), leaf([1.0, 2.0])
    for y in (scaled(a, b, 3.0), scaled(a, b, scale=3.0), scaled(b=b, a=a, scale=3.0), scaled(a, b=b, scale=3.0)):
        da, db = tg.grad(y, [a, b], np.ones((3, 2)))
        same(da.data, np.tile([3.0, 6.0], (3, 1)))
        same(db.data, [9.0, 9.0])
    same(scaled(a, b).data, 2.0 * a.data * b.data)
    with pytest.raises(TypeError, match=r"^scaled: .*It is called as scaled\("):
        scaled(a, b, 1.0, 2.0)
    with pytest.raises(TypeError, match=r"scaled"):
        scaled(a, b, 1.0, scale=2.0)


def test_fresh_gradients_are_handed_on_without_a_copy() -> None:
    """What a rule has just made belongs to nobody else: the leaf gets that very array, however large it is."""
    made = []

    def rule(g: np.ndarray, y: np.ndarray, x: np.ndarray) -> np.ndarray:
        made.append(id(c := g * 2))
        return c

    twice = tg.Op(lambda x: x * 2, vjps=[rule], name="twice")
    x = leaf([1.0, 2.0])
    twice(x).backward([1.0, 2.0])
    assert id(x.grad) == made[0]


@pytest.mark.parametrize("create_graph", [False, True])
def test_an_edit_of_what_a_residual_is_computed_from(create_graph: bool) -> None:
    """A plain sweep uses what the forward pass kept; create_graph computes it again, which needs the old value."""
    z = leaf([[0.1, 2.0, -1.0]])
    loss = tg.nn.functional.cross_entropy(z, [0])
    (expected,) = tg.grad(loss, z, retain_graph=True)
    z.data += [[5.0, 0.0, 0.0]]
    if create_graph:
        with pytest.raises(GraphError, match=r"cross_entropy's input 1 was edited"):
            tg.grad(loss, z, create_graph=True)
    else:
        same(tg.grad(loss, z)[0].data, expected.data)
