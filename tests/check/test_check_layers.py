"""gradients_of: the layers of a recorded graph, found in every way of writing them, and nothing disturbed."""

import gc

import numpy as np
import pytest

import tinygrad_edu as tg
from tinygrad_edu.check import gradients_of
from tinygrad_edu.errors import GraphError, ShapeError

rng = np.random.default_rng(0)


def variable(*shape, name=None):
    return tg.Tensor(rng.normal(size=shape), requires_grad=True, name=name)


def names_and_shapes(loss):
    return {name: gradient.shape for name, gradient in gradients_of(loss).items()}


def weighted(U):
    """A scalar with a different weight for every entry of U."""
    return (U * np.arange(1.0, U.size + 1).reshape(U.shape)).sum()


X = rng.normal(size=(5, 2))


def two_layers():
    return variable(2, 3), variable(3), variable(3, 4), variable(4)


TWO = {"delta2": (5, 4), "dW2": (3, 4), "db2": (4,), "delta1": (5, 3), "dW1": (2, 3), "db1": (3,)}


def test_linear_layers_in_the_order_of_the_sweep():
    W1, b1, W2, b2 = two_layers()
    loss = weighted(tg.linear(tg.tanh(tg.linear(X, W1, b1)), W2, b2))
    assert list(names_and_shapes(loss).items()) == list(TWO.items())


def test_the_values_are_those_of_backward():
    W1, b1, W2, b2 = two_layers()
    U1 = tg.linear(X, W1, b1)
    U2 = tg.linear(tg.tanh(U1), W2, b2)
    loss = weighted(U2)
    found = gradients_of(loss)
    U1.retain_grad()
    U2.retain_grad()
    loss.backward()
    tensors = {"delta2": U2, "dW2": W2, "db2": b2, "delta1": U1, "dW1": W1, "db1": b1}
    for name, tensor in tensors.items():
        assert found[name].tolist() == tensor.grad.tolist()
        assert type(found[name]) is np.ndarray
        assert not np.shares_memory(found[name], tensor.grad)


@pytest.mark.parametrize(
    "layer",
    [
        lambda H, W, b: H @ W + b,
        lambda H, W, b: b + H @ W,
        lambda H, W, b: tg.add(tg.matmul(H, W), b),
        lambda H, W, b: np.add(np.matmul(H, W), b),
    ],
)
def test_product_and_sum(layer):
    W1, b1, W2, b2 = two_layers()
    loss = weighted(layer(tg.tanh(layer(X, W1, b1)), W2, b2))
    assert list(names_and_shapes(loss).items()) == list(TWO.items())
    linear = gradients_of(weighted(tg.linear(tg.tanh(tg.linear(X, W1, b1)), W2, b2)))
    for name, gradient in gradients_of(loss).items():
        np.testing.assert_allclose(gradient, linear[name], rtol=1e-14)  # the same sums, in another order perhaps


def test_columns():
    W1, b1, W2, b2 = variable(3, 2), variable(3, 1), variable(1, 3), variable(1, 1)
    loss = weighted(W2 @ tg.tanh(W1 @ X.T + b1) + b2)
    assert names_and_shapes(loss) == {
        "delta2": (1, 5), "dW2": (1, 3), "db2": (1, 1), "delta1": (3, 5), "dW1": (3, 2), "db1": (3, 1),
    }  # fmt: skip


def test_a_single_sample_in_rows_and_in_columns():
    x, W, b = rng.normal(size=2), variable(2, 3), variable(3)
    expected = {"delta1": (3,), "dW1": (2, 3), "db1": (3,)}
    assert names_and_shapes(weighted(tg.linear(x, W, b))) == expected
    assert names_and_shapes(weighted(x @ W + b)) == expected
    V = variable(3, 2)
    assert names_and_shapes(weighted(V @ x + b)) == {**expected, "dW1": (3, 2)}


def test_one_unit_from_a_vector_of_weights():
    x, w, b = rng.normal(size=2), variable(2), variable()
    assert names_and_shapes(x @ w + b) == {"delta1": (), "dW1": (2,), "db1": ()}


@pytest.mark.parametrize("b_shape", [(3,), (1, 3)])
def test_an_input_that_requires_a_gradient_is_not_taken_for_the_weight(b_shape):
    x, W, b = variable(5, 2, name="X"), variable(2, 3), variable(*b_shape)
    expected = {"delta1": (5, 3), "dW1": (2, 3), "db1": b_shape, "X": (5, 2)}
    assert names_and_shapes(weighted(x @ W + b)) == expected
    assert names_and_shapes(weighted(tg.linear(x, W, b))) == expected
    # In columns the weight stands on the left, and the bias is a column.
    V, c, z = variable(3, 2), variable(3, 1), variable(2, 5, name="X")
    assert names_and_shapes(weighted(V @ z + c)) == {"delta1": (3, 5), "dW1": (3, 2), "db1": (3, 1), "X": (2, 5)}
    v = variable(2, name="X")
    assert names_and_shapes(weighted(v @ W + variable(3))) == {"delta1": (3,), "dW1": (2, 3), "db1": (3,), "X": (2,)}


def test_without_a_bias():
    W1, W2 = variable(2, 3), variable(3, 1)
    assert names_and_shapes(weighted(tg.relu(X @ W1) @ W2)) == {
        "delta2": (5, 1), "dW2": (3, 1), "delta1": (5, 3), "dW1": (2, 3),
    }  # fmt: skip
    x = variable(5, 2, name="x")
    assert names_and_shapes(weighted(x @ np.ones((2, 3)))) == {"x": (5, 2)}  # no bias: rows, and no weight to train


def test_frozen_parameters_are_left_out():
    W, b = rng.normal(size=(2, 3)), rng.normal(size=3)
    assert names_and_shapes(weighted(tg.linear(X, W, variable(3)))) == {"delta1": (5, 3), "db1": (3,)}
    assert names_and_shapes(weighted(tg.linear(X, variable(2, 3), b))) == {"delta1": (5, 3), "dW1": (2, 3)}
    x = variable(5, 2, name="x")
    assert names_and_shapes(weighted(x @ W + variable(3))) == {"delta1": (5, 3), "db1": (3,), "x": (5, 2)}
    assert names_and_shapes(weighted(x @ W + b)) == {"x": (5, 2)}
    # What was not recorded is not there: of two arrays the product is an array.
    assert names_and_shapes(weighted(X @ W + variable(3, name="b"))) == {"b": (3,)}


def test_products_that_are_no_layers():
    q, k = variable(5, 2, name="q"), variable(5, 2, name="k")
    assert names_and_shapes(weighted(tg.exp(q) @ tg.exp(k).T)) == {"q": (5, 2), "k": (5, 2)}


def test_a_sum_with_something_that_is_no_bias():
    W, skip = variable(2, 3), variable(5, 3, name="skip")
    assert names_and_shapes(weighted(X @ W + skip)) == {"delta1": (5, 3), "dW1": (2, 3), "skip": (5, 3)}


def test_a_weight_that_is_itself_computed():
    V, b = variable(3, 2, name="V"), variable(3)
    assert names_and_shapes(weighted(tg.linear(X, V.T, b))) == {
        "delta1": (5, 3), "dW1": (2, 3), "db1": (3,), "V": (3, 2),
    }  # fmt: skip


def test_somebodys_own_linear_is_a_layer():
    own = tg.Op(
        lambda x, w, b: x @ w + b,
        vjps=[lambda g, y, x, w, b: g @ w.T, lambda g, y, x, w, b: -x.T @ g, lambda g, y, x, w, b: g],
        name="linear",
    )
    W, b = variable(2, 3), variable(3)
    wrong, right = gradients_of(weighted(own(X, W, b))), gradients_of(weighted(tg.linear(X, W, b)))
    np.testing.assert_allclose(wrong["dW1"], -right["dW1"], rtol=1e-14)


def test_a_shared_weight_has_one_gradient_under_two_names():
    W, b = variable(2, 2), variable(2)
    loss = weighted(tg.linear(tg.tanh(tg.linear(X, W, b)), W, b))
    found = gradients_of(loss)
    (total,) = tg.grad(loss, W)
    assert found["dW1"].tolist() == found["dW2"].tolist() == total.tolist()
    assert not np.shares_memory(found["dW1"], found["dW2"])


def test_other_leaves_stand_behind_under_their_own_names():
    W, b, scale, first, second = variable(2, 3), variable(3), variable(3, name="scale"), variable(3), variable(3)
    loss = weighted(tg.linear(X, W, b) * scale * first * second)
    assert list(names_and_shapes(loss)) == ["delta1", "dW1", "db1", "scale", "leaf1", "leaf2"]
    found = gradients_of(loss)
    for name, tensor in (("scale", scale), ("leaf1", first), ("leaf2", second)):
        (g,) = tg.grad(loss, tensor, retain_graph=True)
        assert found[name].tolist() == g.tolist()


def test_names_of_layers_do_not_count():
    W = tg.Tensor(np.ones((2, 3)), requires_grad=True, name="fc1.weight")
    assert "fc1.weight" not in gradients_of(weighted(tg.linear(X, W, variable(3))))


@pytest.mark.parametrize("name", ["a", "delta1"])
def test_equal_names_are_refused(name):
    loss = weighted(tg.linear(X, variable(2, 3), variable(3)) * variable(3, name=name) * variable(3, name=name))
    with pytest.raises(ValueError, match=f"two tensors are called {name}"):
        gradients_of(loss)


def test_a_graph_without_layers():
    x = variable(3, name="x")
    assert names_and_shapes((x * x).sum()) == {"x": (3,)}
    assert names_and_shapes(variable(name="y")) == {"y": ()}


def test_a_leaf_that_no_rule_sends_anything_to_has_zeros():
    x, c = variable(3, name="x"), variable(3, name="c")
    blind = tg.Op(lambda x, c: x * 1, vjps=[lambda g, y, x, c: g, None], name="blind")
    assert gradients_of(blind(x, c).sum())["c"].tolist() == [0, 0, 0]


def test_nothing_is_touched():
    W1, b1, W2, b2 = two_layers()
    W1.grad = np.full((2, 3), 7.0)
    U1 = tg.linear(X, W1, b1)
    loss = weighted(tg.linear(tg.tanh(U1), W2, b2))
    first, second = gradients_of(loss), gradients_of(loss)
    for name, gradient in first.items():
        assert gradient.tolist() == second[name].tolist()
    assert (W1.grad == 7).all()
    assert b1.grad is W2.grad is b2.grad is U1.grad is None
    loss.backward()  # the graph is still alive
    np.testing.assert_allclose(W1.grad, 7 + first["dW1"], rtol=1e-14)


def test_what_is_returned_may_be_edited():
    W, b = variable(2, 3), variable(3)
    loss = weighted(tg.linear(X, W, b))
    before = gradients_of(loss)
    for gradient in gradients_of(loss).values():
        gradient[...] = 0
    for name, gradient in gradients_of(loss).items():
        assert gradient.tolist() == before[name].tolist()


def test_gradients_keep_their_dtype():
    W = tg.Tensor(np.ones((2, 3)), requires_grad=True, dtype=np.float32)
    b = tg.Tensor(np.ones(3), requires_grad=True, dtype=np.float32)
    loss = tg.linear(X.astype(np.float32), W, b).sum()
    assert {g.dtype for g in gradients_of(loss).values()} == {np.dtype(np.float32)}


def test_a_freed_graph():
    W1, b1, W2, b2 = two_layers()
    hidden = tg.tanh(tg.linear(X, W1, b1))
    loss = weighted(tg.linear(hidden, W2, b2))
    loss.backward()
    for freed in (loss, hidden.sum()):  # the second is new, but what it stands on is gone
        with pytest.raises(GraphError, match=r"already swept and freed\. Ask before loss\.backward\(\)"):
            gradients_of(freed)


def test_a_retained_graph():
    W, b = variable(2, 3), variable(3)
    loss = weighted(tg.linear(X, W, b))
    loss.backward(retain_graph=True)
    assert gradients_of(loss)["dW1"].tolist() == W.grad.tolist()


def test_no_cycle_is_left():
    gc.disable()
    try:
        before = len(gc.get_objects())
        W, b = variable(2, 3), variable(3)
        gradients_of(weighted(tg.linear(X, W, b)))
        del W, b
        assert len(gc.get_objects()) - before < 20
    finally:
        gc.enable()


def test_what_has_no_gradients():
    with pytest.raises(GraphError, match="does not depend on anything that needs a gradient"):
        gradients_of(tg.Tensor(1.0))
    with pytest.raises(TypeError, match="a float has no graph"):
        gradients_of(1.0)
    with pytest.raises(ShapeError):
        gradients_of(tg.linear(X, variable(2, 3), variable(3)))
