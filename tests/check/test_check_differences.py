"""numerical_gradient: slopes from values alone, and inputs that are as they were."""

import numpy as np
import pytest

import tinygrad_edu as tg
from tinygrad_edu.check import numerical_gradient
from tinygrad_edu.errors import DtypeError, GraphError, ShapeError

CLOSE = {"rtol": 1e-9, "atol": 1e-9}  # 4e-11 is what differences of functions of size 1 reach


def variable(data, **kwargs):
    return tg.Tensor(data, requires_grad=True, **kwargs)


def test_a_scalar_function_of_two_arrays():
    x, y = variable([[1.0, 2.0], [3.0, 4.0]]), variable([0.5, -0.5])
    by_x, by_y = numerical_gradient(lambda x, y: (x * x * y).sum(), [x, y])
    np.testing.assert_allclose(by_x, 2 * x.data * y.data, **CLOSE)
    np.testing.assert_allclose(by_y, (x.data**2).sum(axis=0), **CLOSE)
    assert by_x.dtype == by_y.dtype == np.float64


def test_cotangents_weigh_several_outputs():
    x = variable([1.0, 2.0])
    v, w = np.array([3.0, -1.0]), np.array(0.25)
    (slope,) = numerical_gradient(lambda x: (tg.exp(x), x[0] * x[1]), [x], [v, w])
    np.testing.assert_allclose(slope, v * np.exp(x.data) + w * x.data[::-1], **CLOSE)


def test_a_number_a_single_tensor_and_an_empty_array():
    (slope,) = numerical_gradient(lambda x: x**3, variable(2.0))
    assert slope.shape == ()
    np.testing.assert_allclose(slope, 12, **CLOSE)
    (slope,) = numerical_gradient(lambda x: x.sum(), variable(np.zeros((0, 3))))
    assert slope.shape == (0, 3)


def test_only_what_requires_a_gradient_is_varied():
    a, b = tg.Tensor([1.0, 2.0]), variable([3.0, 4.0])
    slopes = numerical_gradient(lambda a, k, b, label: (a * b).sum() * k, [a, 2, b, "text"])
    assert len(slopes) == 1
    np.testing.assert_allclose(slopes[0], 2 * a.data, **CLOSE)


def test_the_step_grows_with_x():
    x = variable([1e8])  # with h = 6e-6 nothing of x + h would be left but its rounding
    (slope,) = numerical_gradient(lambda x: (x * x).sum(), [x])
    np.testing.assert_allclose(slope, 2e8, rtol=1e-9)


def test_eps_is_the_step():
    seen = []

    def function(x):
        seen.append(x.item())
        return x * 1

    numerical_gradient(function, variable(0.0), eps=0.25)
    assert seen[-2:] == [-0.25, 0.25]


@pytest.mark.parametrize("eps", [0, -1e-6, float("nan")])
def test_eps_must_be_positive(eps):
    with pytest.raises(ValueError, match="positive step"):
        numerical_gradient(tg.exp, variable(1.0), eps=eps)


def test_views_of_the_input_do_not_mislead():
    x = variable([[1.0, 2.0], [3.0, 4.0]])
    v = np.array([[1.0, 2.0], [3.0, 5.0]])
    for function in (lambda x: x.T, lambda x: x):  # both return memory of the input
        (slope,) = numerical_gradient(function, [x], [v])
        np.testing.assert_allclose(slope, v.T if function(x).data.base is not None else v, **CLOSE)


@pytest.mark.parametrize(
    "array",
    [
        np.broadcast_to(np.float64(2.0), (2, 3)),  # read-only
        np.arange(6.0).reshape(2, 3)[:, ::-1],
        np.asfortranarray(np.arange(6.0).reshape(2, 3)),
    ],
)
def test_any_memory_layout(array):
    x = tg.as_tensor(array)
    x.requires_grad = True
    (slope,) = numerical_gradient(lambda x: (x**2).sum(), [x])
    np.testing.assert_allclose(slope, 2 * array, **CLOSE)


def test_values_and_memory_are_as_before():
    data = np.array([1.0, 2.0])
    x = tg.as_tensor(data)
    x.requires_grad = True
    numerical_gradient(lambda x: (x**2).sum(), [x])
    assert x.data is data
    assert data.tolist() == [1.0, 2.0]


def test_values_and_memory_are_as_before_after_an_error():
    x = variable([1.0, 2.0])
    data = x.data
    calls = []

    def function(x):
        calls.append(None)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return x.sum()

    with pytest.raises(KeyboardInterrupt):
        numerical_gradient(function, [x])
    assert x.data is data
    assert data.tolist() == [1.0, 2.0]


def test_parameters_may_be_reached_from_outside():
    W = variable([[1.0, 2.0]])
    (slope,) = numerical_gradient(lambda *_: (W @ np.array([3.0, 4.0])).sum(), [W])
    np.testing.assert_allclose(slope, [[3, 4]], **CLOSE)


@pytest.mark.parametrize("dtype", [np.float16, np.float32])
def test_short_floats_are_refused(dtype):
    with pytest.raises(DtypeError, match=r"input 1 \(W\) is float\d\d, and differences need float64"):
        numerical_gradient(lambda x, W: (x * W).sum(), [variable([1.0]), variable([1.0], dtype=dtype, name="W")])


def test_short_outputs_are_refused():
    with pytest.raises(DtypeError, match="output 0 of the function is float32"):
        numerical_gradient(lambda x: x.astype(np.float32).sum(), [variable([1.0])])


@pytest.mark.parametrize(
    ("function", "error", "message"),
    [
        (lambda x: x.numpy().sum(), TypeError, r"output 0 .* is a float64; a Tensor is expected"),
        (lambda x: (x, None), TypeError, r"output 1 .* is a NoneType"),
        (lambda x: x > 0, TypeError, "no floats"),
        (lambda x: x * 2, ShapeError, r"shape \(2,\), no scalar: give cotangents"),
    ],
)
def test_what_a_function_may_return(function, error, message):
    with pytest.raises(error, match=message):
        numerical_gradient(function, variable([1.0, 2.0]))


@pytest.mark.parametrize("cotangents", [[np.ones(3)], [np.ones((2, 1))], [np.ones(2), np.ones(2)], []])
def test_cotangents_must_fit(cotangents):
    with pytest.raises(ShapeError, match=r"for outputs of shape \(2,\)"):
        numerical_gradient(lambda x: x * 2, variable([1.0, 2.0]), cotangents)


def test_nothing_to_vary():
    with pytest.raises(ValueError, match="requires_grad=True"):
        numerical_gradient(tg.exp, tg.Tensor(1.0))


def test_results_of_operations_are_no_inputs():
    with pytest.raises(GraphError, match=r"input 0 is the result of an operation; give a leaf"):
        numerical_gradient(tg.exp, variable(1.0) * 2)
