"""The complex step: slopes to the last digits, of what is analytic; everything else is refused with its name."""

import cmath
import math

import numpy as np
import pytest

import tinygrad_edu as tg
from tinygrad_edu.check import gradcheck, gradgradcheck, numerical_gradient
from tinygrad_edu.check.numerical import check_first
from tinygrad_edu.errors import GraphError
from tinygrad_edu.op import OPS, normal

rng = np.random.default_rng(0)
EXACT = {"rtol": 1e-14, "atol": 1e-15}


def variable(*shape, name=None):
    return tg.Tensor(rng.normal(size=shape), requires_grad=True, name=name)


def complex_slope(function, x, cotangents=None):
    return numerical_gradient(function, x, cotangents, method="complex")[0]


# ------------------------------------------------------------------------------------ plain NumPy


def test_to_the_last_digits():
    x = rng.normal(size=(3, 4))
    np.testing.assert_allclose(complex_slope(lambda x: np.sum(np.exp(x) * x), x), np.exp(x) * (1 + x), **EXACT)
    np.testing.assert_allclose(complex_slope(np.exp, x, [np.cos(x)]), np.exp(x) * np.cos(x), **EXACT)


def test_where_differences_see_nothing_but_rounding():
    """sin x + 1e8: its value is known to 1e-8, its complex slope to 1e-16."""
    slope = complex_slope(lambda x: np.sin(x) + 1e8, 1.0)
    assert slope == pytest.approx(math.cos(1), rel=1e-15)


def test_several_inputs_one_of_them_twice():
    x, k = np.array([1.0, 2.0]), 3
    for slope in numerical_gradient(lambda a, b, k: np.sum(a * b) * k, [x, x, k], method="complex"):
        np.testing.assert_allclose(slope, 2 * 3 * x, **EXACT)


def test_several_outputs_of_which_one_does_not_depend():
    x = np.array([1.0, 2.0])
    slope = complex_slope(lambda x: (x**3, np.ones(2), np.array([1, 2])), x, [np.array([1.0, 10.0]), np.ones(2)])
    np.testing.assert_allclose(slope, [3, 120], **EXACT)


NOT_ANALYTIC = {
    "abs": lambda x: np.abs(x).sum(),
    "norm": lambda x: np.linalg.norm(x),
    "std": lambda x: x.std(),
    "conjugate": lambda x: np.sum(x * np.conj(x)),
    "vdot": lambda x: np.vdot(x, x),
    "a real part": lambda x: np.sum(np.real(x) ** 2),
    "a small real part beside a large sum": lambda x: np.sum(x**2) + 1e-3 * np.sum(np.real(x)),
    "sign by hand": lambda x: np.sum(np.where(x == np.real(x), x**2, x)),
}


@pytest.mark.parametrize("name", NOT_ANALYTIC)
def test_what_is_not_analytic_is_refused(name):
    with pytest.raises(ValueError, match=r"at input 0\[0\] the complex step gives .* differences give .* not analytic"):
        complex_slope(NOT_ANALYTIC[name], np.array([1.5, -2.0]))


def test_a_function_that_takes_no_complex_numbers():
    with pytest.raises(ValueError, match=r'does not take complex numbers \(TypeError: .*\)\. Use method="richardson"'):
        complex_slope(math.exp, 1.0)
    with pytest.raises(ValueError, match=r"does not take complex numbers \(TypeError"):
        complex_slope(lambda x: np.floor(x) * x, 1.5)

    def casts(x):
        y = np.empty(x.shape)
        y[...] = x
        return y.sum()

    with pytest.raises(ValueError, match=r"does not take complex numbers \(ComplexWarning"):
        complex_slope(casts, np.array([1.5]))
    assert complex_slope(lambda x: cmath.exp(x) if np.iscomplexobj(x) else math.exp(x), 1.0) == pytest.approx(math.e)


def test_a_function_that_returns_something_else_of_complex_numbers():
    with pytest.raises(ValueError, match="returns something else"):
        complex_slope(lambda x: np.zeros(3).sum() if np.isrealobj(x) else np.zeros(3), 1.0)


def test_an_input_that_the_function_reaches_by_itself():
    W = np.array([1.0, 2.0])
    with pytest.raises(ValueError, match="reaches its input otherwise"):
        complex_slope(lambda _: np.sum(W**2), W)


def test_a_maximum_is_analytic_away_from_its_kink():
    x = np.array([1.5, -2.0])
    np.testing.assert_allclose(complex_slope(lambda x: np.maximum(x, 0).sum(), x), [1, 0], **EXACT)


# ---------------------------------------------------------------------------------------- Tensors


def test_tensors_to_the_last_digits():
    x, W, b = variable(4, 3), variable(3, 2), variable(2)
    f = lambda x, W, b: tg.cross_entropy(tg.tanh(tg.linear(x, W, b)), np.array([0, 1, 1, 0]))
    report = gradcheck(f, [x, W, b], method="complex", rtol=1e-13, atol=1e-15)
    assert max(report.errors.values()) < 1e-15


def test_second_derivatives_to_the_last_digits():
    report = gradgradcheck(lambda x: tg.exp(x) * tg.tanh(x), variable(3), method="complex", rtol=1e-12, atol=1e-14)
    assert max(report.errors.values()) < 1e-14


def test_parameters_and_numbers():
    W = variable(2, 3, name="W")
    X = np.array([[1.0, 2.0], [3.0, 4.0]])
    report = gradcheck(lambda *_: tg.tanh(X @ W), [W], method="complex", rtol=1e-13, atol=1e-14)
    assert report.entries == 6
    x = variable()
    assert numerical_gradient(lambda x: x * x, x, method="complex")[0] == pytest.approx(2 * x.item(), rel=1e-15)


def test_inside_no_grad():
    x = variable(3)
    with tg.no_grad():
        np.testing.assert_allclose(numerical_gradient(lambda x: (x**3).sum(), x, method="complex")[0], 3 * x.data**2)


def test_a_comparison_is_a_constant():
    x = variable(5)
    assert gradcheck(lambda x: tg.where(x > 0, x * x, tg.sin(x)), x, method="complex", rtol=1e-14, atol=1e-15)


def test_an_operation_that_is_not_analytic_is_named():
    x = variable(3)
    with pytest.raises(ValueError, match=r"gradcheck: abs is not analytic, .* differences give .* Use method="):
        gradcheck(lambda x: tg.exp(x) + 1e-9 * tg.abs(x), x, method="complex")
    with pytest.raises(ValueError, match="gradcheck: erf does not take complex numbers"):
        gradcheck(lambda x: tg.exp(tg.erf(x)), x, method="complex")


def test_one_that_is_hidden_by_a_factor_of_zero_is_named():
    half = tg.Op(lambda x: np.real(x) ** 2, vjps=[lambda g, y, x: g * 2 * x], name="half")
    with pytest.raises(ValueError, match="half is not analytic"):
        gradcheck(lambda x: half(x) * 0 + x, variable(3), method="complex")


def test_a_record_that_is_cut_is_contradicted_by_differences():
    with pytest.raises(ValueError, match=r"at x\[0\] the complex step gives .*t\.detach"):
        gradcheck(lambda x: x * x.detach(), variable(3, name="x"), method="complex")


def test_a_function_that_frees_its_graph():
    def swept(x):
        y = (x * x).sum()
        y.backward()
        return y

    with pytest.raises(GraphError, match="frees its graph"):
        numerical_gradient(swept, variable(3), method="complex")


# A rule is wrong: the complex step finds it as differences do, and much smaller mistakes.
def test_a_mistake_of_a_part_in_a_billion():
    almost = tg.Op(lambda x: np.sin(x), vjps=[lambda g, y, x: g * np.cos(x) * (1 + 1e-9)], name="almost")
    x = variable(3)
    assert gradcheck(almost, x)
    with pytest.raises(AssertionError, match="3 of 3 entries are wrong"):
        gradcheck(almost, x, method="complex", rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("name", sorted(name for name, op in OPS.items() if op.differentiable))
def test_every_operation_gives_its_gradient_or_is_refused_by_name(name):
    """Never a wrong slope: the automatic gradients, which differences have confirmed, are the witness."""
    op = OPS[name]
    generator = np.random.default_rng(0)
    for sample in op.samples:  # 1e-9: sinc at 1e-9 cancels large numbers, also imaginary ones
        inputs = [
            tg.Tensor(x, requires_grad=True) if isinstance(x, np.ndarray) and x.dtype.kind == "f" else x
            for x in sample.draw(generator)
        ]
        if not any(isinstance(x, tg.Tensor) for x in inputs):
            continue
        try:
            check_first("test", lambda *x, op=op, sample=sample: op(*x, **sample.params), inputs, None, 1e-9, 1e-9,
                        generator, "complex")  # fmt: skip
        except ValueError as error:
            assert f"test: {name} " in str(error) or "the complex step gives" in str(error)  # noqa: PT017


ANALYTIC = ["add", "multiply", "divide", "matmul", "linear", "exp", "log", "tanh", "sin", "sigmoid", "softmax", "sum",
            "mean", "einsum", "reshape", "concatenate", "power", "square", "sqrt"]  # fmt: skip


@pytest.mark.parametrize("name", ANALYTIC)
def test_these_go_with_it(name):
    """So that the test above is not satisfied by refusing everything."""
    generator = np.random.default_rng(0)
    op, sample = OPS[name], OPS[name].samples[0]
    inputs = [tg.Tensor(x, True) if isinstance(x, np.ndarray) else x for x in sample.draw(generator)]
    assert check_first("test", lambda *x: op(*x, **sample.params), inputs, None, 1e-12, 1e-13, generator, "complex")


def test_the_check_of_an_operation_is_independent_of_its_rule():
    wrong = tg.Op(lambda x: np.exp(x), vjps=[lambda g, y, x: g], name="wrong", samples=[tg.sample(normal(3))])
    x = variable(3)
    np.testing.assert_allclose(numerical_gradient(wrong, x, [np.ones(3)], method="complex")[0], np.exp(x.data), **EXACT)


def test_methods_are_three():
    with pytest.raises(ValueError, match='method \'forward\': "central", "richardson" or "complex" is expected'):
        numerical_gradient(np.exp, 1.0, method="forward")
