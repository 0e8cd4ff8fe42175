"""gradcheck of plain NumPy functions with a gradient written by hand: what a learner would want of it."""

import numpy as np
import pytest

import tinygrad_edu as tg
from tinygrad_edu.check import GradientMismatch, gradcheck, gradgradcheck, numerical_gradient
from tinygrad_edu.errors import DtypeError, ShapeError

rng = np.random.default_rng(0)
X, T = rng.normal(size=(5, 3)), np.array([0, 2, 1, 1, 0])
W1, b1, W2 = rng.normal(size=(3, 4)), rng.normal(size=4), rng.normal(size=(4, 3))
METHODS = ["central", "richardson", "complex"]


def softmax(u):
    e = np.exp(u - u.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


def loss(X, W1, b1, W2):
    return -np.log(softmax(np.tanh(X @ W1 + b1) @ W2)[range(5), T]).mean()


def backward(X, W1, b1, W2):
    H = np.tanh(X @ W1 + b1)
    d2 = (softmax(H @ W2) - np.eye(3)[T]) / 5
    d1 = d2 @ W2.T * (1 - H**2)
    return None, X.T @ d1, d1.sum(axis=0), H.T @ d2


@pytest.mark.parametrize("method", METHODS)
def test_a_network_by_hand(method):
    report = gradcheck(loss, [X, W1, b1, W2], gradient=backward, method=method)
    assert report.entries == 12 + 4 + 12
    assert list(report.errors) == ["input 1", "input 2", "input 3"], "of X there is no gradient to check"
    assert str(report).startswith("gradcheck: all 28 entries are right; |yours - numerical| is at most\n")


MISTAKES = {
    "transposed": ("d2 @ W2.T", "d2 @ W2[:3].T @ np.eye(3, 4)", {"input 1", "input 2"}),
    "bias averaged": ("d1.sum(axis=0)", "d1.mean(axis=0)", {"input 2"}),
    "derivative missing": (" * (1 - H**2)", "", {"input 1", "input 2"}),
    "1/n missing": (" / 5", "", {"input 1", "input 2", "input 3"}),
}


@pytest.mark.parametrize("name", MISTAKES)
@pytest.mark.parametrize("method", METHODS)
def test_mistakes_are_found_where_they_are(name, method):
    right, wrong, places = MISTAKES[name]
    source = (
        "def backward(X, W1, b1, W2):\n    H = np.tanh(X @ W1 + b1)\n    d2 = (softmax(H @ W2) - np.eye(3)[T]) / 5\n"
        "    d1 = d2 @ W2.T * (1 - H**2)\n    return None, X.T @ d1, d1.sum(axis=0), H.T @ d2"
    )
    names = {"np": np, "softmax": softmax, "T": T}
    assert right in source
    exec(source.replace(right, wrong), names)
    with pytest.raises(GradientMismatch, match=r"entry .*: yours .*, numerical ") as caught:
        gradcheck(loss, [X, W1, b1, W2], gradient=names["backward"], method=method)
    assert {entry.input for entry in caught.value.wrong} == places


def test_a_number():
    assert gradcheck(lambda x: x**2, 3.0, gradient=lambda x: 2 * x).entries == 1
    assert gradcheck(np.sin, np.float64(3.0), gradient=np.cos).entries == 1
    with pytest.raises(GradientMismatch, match=r"input 0 entry \(\): yours 3, numerical 6"):
        gradcheck(lambda x: x**2, 3.0, gradient=lambda x: x)


def test_of_what_is_no_number_the_gradient_gets_a_cotangent():
    """Under a sum a gradient that is handed to the wrong row may look right: it is the cotangent that shows it."""
    sigmoid = lambda x: 1 / (1 + np.exp(-x))
    assert gradcheck(sigmoid, X, gradient=lambda x, v: v * sigmoid(x) * (1 - sigmoid(x)))
    two = lambda x: (x.sum(axis=0), np.sin(x))
    assert gradcheck(two, X, gradient=lambda x, v, w: v + w * np.cos(x))
    with pytest.raises(GradientMismatch):
        gradcheck(lambda x: 2 * x, X, gradient=lambda x, v: 2 * v[::-1])
    with pytest.raises(TypeError, match="positional argument"):
        gradcheck(sigmoid, X, gradient=lambda x: sigmoid(x))


class Net:
    """As a learner writes it: parameters in attributes, found by the function itself."""

    def __init__(self):
        self.W = rng.normal(size=(3, 2))

    def loss(self):
        return float(np.sum(np.tanh(X @ self.W) ** 2)) / 2

    def dW(self):
        Y = np.tanh(X @ self.W)
        return X.T @ (Y * (1 - Y**2))


@pytest.mark.parametrize("method", ["central", "richardson"])
def test_a_class_that_holds_its_parameters(method):
    net = Net()
    before, memory = net.W.copy(), net.W
    assert gradcheck(lambda W: net.loss(), net.W, gradient=lambda W: net.dW(), method=method).entries == 6
    assert net.W is memory
    np.testing.assert_array_equal(net.W, before)


def test_values_are_as_before_after_an_error():
    x = np.array([1.0, 2.0])
    calls = []

    def function(x):
        calls.append(None)
        if len(calls) == 5:
            raise KeyboardInterrupt
        return x.sum()

    with pytest.raises(KeyboardInterrupt):
        numerical_gradient(function, x)
    assert x.tolist() == [1.0, 2.0]


@pytest.mark.parametrize(
    "array",
    [np.broadcast_to(np.float64(2.0), (2, 3)), np.arange(1.0, 7).reshape(2, 3)[:, ::-1], np.ones((2, 3), order="F")],
    ids=["read-only", "backwards", "Fortran"],
)
@pytest.mark.parametrize("method", METHODS)
def test_any_memory(array, method):
    held = array.copy()
    (slope,) = numerical_gradient(lambda x: np.sum(x**3), array, method=method)
    np.testing.assert_allclose(slope, 3 * held**2, rtol=1e-8)
    np.testing.assert_array_equal(array, held)


def test_views_of_the_input_do_not_mislead():
    v = rng.normal(size=(3, 5))
    (slope,) = numerical_gradient(lambda x: x.T, X.copy(), [v])
    np.testing.assert_allclose(slope, v.T, rtol=1e-9)


def test_integers_and_constants_are_passed_as_they_are():
    report = gradcheck(
        lambda x, k, name, labels: np.sum(x[labels] ** k), [np.array([1.0, 2.0, 3.0]), 3, "text", np.array([0, 0, 2])],
        gradient=lambda x, k, name, labels: np.array([2.0, 0.0, 1.0]) * 3 * x**2,
    )  # fmt: skip
    assert report.entries == 3


def test_a_function_of_tensors_may_have_a_gradient_by_hand():
    x = tg.Tensor([1.0, 2.0], requires_grad=True)
    assert gradcheck(lambda x: tg.exp(x).sum(), x, gradient=lambda x: np.exp(x.data))
    assert gradcheck(lambda x: tg.exp(x).sum(), x, gradient=lambda x: tg.exp(x)), "a Tensor is an answer, too"


@pytest.mark.parametrize("one", [lambda x: 2 * x, lambda x: (2 * x,), lambda x: [2 * x], lambda x: (2 * x).tolist()])
def test_ways_to_return_one_gradient(one):
    assert gradcheck(lambda x: np.sum(x**2), np.array([[1.0, 2.0], [3.0, 4.0]]), gradient=one).entries == 4


@pytest.mark.parametrize(
    ("gradient", "error", "message"),
    [
        (lambda x, y: x, ShapeError, r"returned 1 arrays for 2 inputs that are varied \(input 0, input 1\)"),
        (lambda x, y: (x, y, x), ShapeError, "returned 3 arrays for 2 inputs"),
        (lambda x, y: (None, None), ShapeError, "nothing to check"),
        (lambda x, y: (x, "text"), DtypeError, "cannot be compared"),
        (lambda x, y: (y, x.sum()), GradientMismatch, r"input 1 has shape \(2,\), the gradient \(yours\) \(\)"),
    ],
)
def test_answers_that_belong_to_nothing(gradient, error, message):
    with pytest.raises(error, match=message):
        gradcheck(lambda x, y: np.sum(x * y), [np.ones(2), np.ones(2)], gradient=gradient)


def test_a_gradient_for_what_is_not_varied():
    with pytest.raises(ShapeError, match="gradient for input 1 belongs to nothing that is varied; return None"):
        gradcheck(lambda x, k: np.sum(x) * k, [np.ones(2), 3], gradient=lambda x, k: (k + 0 * x, x.sum()))


def test_none_is_not_checked():
    report = gradcheck(
        lambda x, y: np.sum(x * y), [np.ones(2), np.ones(3)[:1]], gradient=lambda x, y: (None, np.array([2.0]))
    )
    assert list(report.errors) == ["input 1"]
    assert report.entries == 1


def test_what_is_missing_is_said():
    with pytest.raises(ValueError, match=r"give the gradient of your NumPy function: gradient=\.\.\."):
        gradcheck(np.sum, np.ones(3))
    with pytest.raises(ValueError, match=r"nothing to vary: give an array of floats"):
        gradcheck(lambda x, y: x * y, [0.5, 2.0], gradient=lambda x, y: (y, x))
    with pytest.raises(ValueError, match=r"gradcheck\(gradient, x, gradient=second\)"):
        gradgradcheck(np.sum, np.ones(3))
    with pytest.raises(DtypeError, match="input 0 is float32, and differences need float64"):
        numerical_gradient(np.sum, np.ones(3, np.float32))
    with pytest.raises(DtypeError, match="output 0 of the function is float32"):
        numerical_gradient(lambda x: np.float32(x.sum()), np.ones(3))
    with pytest.raises(TypeError, match="output 0 of the function is a NoneType; real numbers are expected"):
        numerical_gradient(lambda x: None, np.ones(3))
    with pytest.raises(TypeError, match="the function returns no floats"):
        numerical_gradient(lambda x: int(x.sum()), np.ones(3))
    with pytest.raises(ShapeError, match=r"returns shape \(3,\), no scalar: give cotangents"):
        numerical_gradient(np.sin, np.ones(3))


def test_a_function_or_a_gradient_that_writes_into_its_input():
    def careless(x):
        x += 1
        return x.sum()

    with pytest.raises(ValueError, match="the function wrote into input 0"):
        gradcheck(careless, np.ones(3), gradient=lambda x: np.ones(3))

    def worse(x):
        x *= 2
        return x

    with pytest.raises(ValueError, match="your gradient wrote into input 0"):
        gradcheck(lambda x: np.sum(x**2), np.ones(3), gradient=worse)


def test_second_derivatives_by_hand():
    """The gradient is a function as well: its own gradient gets a cotangent."""
    assert gradcheck(lambda x: np.cos(x) * x, X, gradient=lambda x, v: v * (np.cos(x) - x * np.sin(x)))
