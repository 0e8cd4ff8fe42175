"""Richardson extrapolation: the true error lies within the estimate, on thousands of functions of many kinds."""

import math

import numpy as np
import pytest

import tinygrad_edu as tg
from tinygrad_edu.check import gradcheck, numerical_gradient
from tinygrad_edu.check.probing import Experiment
from tinygrad_edu.check.richardson import RATIO, START, Estimate, extrapolate

LONG = np.longdouble  # the second witness: derivatives by their formula, in 64 bits of mantissa instead of 53


def families(rng):
    """A function, its derivative by the formula, and a place, all drawn at random."""
    a, b, c = rng.normal() * 3, rng.normal(), np.exp(rng.uniform(-3, 5))
    x = rng.normal() * np.exp(rng.uniform(-4, 3))
    positive = abs(x) + 1e-6
    away = math.copysign(abs(x) + 1e-3, x)
    p, q, t = rng.normal(size=(3, 9))
    relu = lambda x: np.maximum(t * x + q, 0)
    return {
        "sin": (lambda x: np.sin(c * x + b), lambda x: c * np.cos(c * x + b), x),
        "exp": (lambda x: np.exp(a * x), lambda x: a * np.exp(a * x), x),
        "log": (np.log, lambda x: 1 / x, positive),
        "math.log, which raises outside of its domain": (lambda x: math.log(x), lambda x: 1 / x, positive),
        "sqrt": (np.sqrt, lambda x: 0.5 / np.sqrt(x), positive),
        "tanh": (lambda x: np.tanh(c * x + b), lambda x: c / np.cosh(np.minimum(abs(c * x + b), 300)) ** 2, x),
        "1/x": (lambda x: 1 / x, lambda x: -1 / x**2, away),
        "polynomial": (lambda x: np.polyval(p, x), lambda x: np.polyval(np.polyder(p), x), x),
        "small beside large": (lambda x: 1e6 * a + np.sin(c * x), lambda x: c * np.cos(c * x), x),
        "cancels inside": (lambda x: (1e4 * a + np.sin(x)) - 1e4 * a, lambda x: np.cos(x), x),
        "Runge": (lambda x: 1 / (1 + c * x * x), lambda x: -2 * c * x / (1 + c * x * x) ** 2, x),
        "sin 1/x": (lambda x: np.sin(1 / x), lambda x: -np.cos(1 / x) / x**2, away),
        "bell": (lambda x: np.exp(-c * x * x), lambda x: -2 * c * x * np.exp(-c * x * x), x),
        "relu": (lambda x: p @ relu(x), lambda x: p @ (t * (t * x + q > 0)), x),
        "relu, squared": (lambda x: (p @ relu(x)) ** 2, lambda x: 2 * (p @ relu(x)) * (p @ (t * (t * x + q > 0))), x),
    }


FAMILIES = list(families(np.random.default_rng(0)))


@pytest.mark.parametrize("family", FAMILIES)
def test_the_error_is_within_the_estimate(family):
    """In at least 99 of 100 cases, and where it is not, it is not off by more than a factor of 10."""
    rng = np.random.default_rng(FAMILIES.index(family))
    beyond, loose = [], []
    with np.errstate(all="ignore"):
        for _ in range(300):
            function, derivative, x = families(rng)[family]
            true = float(derivative(LONG(x)))
            (value,), (error,) = numerical_gradient(function, x, method="richardson", return_error=True)
            if true and not 1e-200 < abs(true) < 1e200:  # exp under- or overflows near by
                continue
            off = abs(float(value) - true)
            beyond.append(off / float(error) if off else 0.0)
            loose.append(float(error) / max(abs(true), 1e-6))
    assert len(beyond) > 200
    assert np.mean(np.array(beyond) > 1) <= 0.01
    assert max(beyond) < 10
    if family not in ("cancels inside", "small beside large", "sin 1/x", "tanh"):
        assert np.median(loose) < 1e-9, "an estimate that is always large is no estimate"


def estimate(function, x):
    with Experiment("test", function, np.array(x)).turning("input 0") as probes:
        return extrapolate(next(probes))


def test_it_is_better_than_differences():
    x = np.linspace(0.5, 2, 7)
    v = np.linspace(1, 2, 7)
    true = v * np.exp(x)
    (rough,) = numerical_gradient(np.exp, x, [v])
    (fine,), (error,) = numerical_gradient(np.exp, x, [v], method="richardson", return_error=True)
    assert np.abs(fine - true).max() < 0.01 * np.abs(rough - true).max()
    assert (np.abs(fine - true) <= error).all()
    assert error.shape == x.shape


def test_noise_makes_the_estimate_grow():
    quiet, noisy = (estimate(lambda x, shift=shift: (shift + np.sin(x)) - shift, 1.0) for shift in (0.0, 1e6))
    assert noisy.error > 1e4 * quiet.error
    for each in (quiet, noisy):
        assert abs(each.value - np.cos(1)) < each.error


def test_an_oscillation_that_meets_all_halved_steps_at_one_phase():
    for n in (1, 2, 3, 8, 64):
        c = 2 * np.pi * n / 0.23 * 64
        value, error = estimate(lambda x, c=c: np.sin(c * x), 0.0)
        assert abs(value - c) < error < 0.01 * c


def test_two_steps_that_agree_by_chance():
    """x (1 + c (x^2 - a^2) (x^2 - b^2)): its difference over the steps a and b is 1, its slope is not."""
    a, b = START, START * RATIO
    value, error = estimate(lambda x: x * (1 + 100 * (x**2 - a**2) * (x**2 - b**2)), 0.0)
    assert abs(value - (1 + 100 * a**2 * b**2)) < error


def test_where_a_function_is_defined_nowhere_near():
    value, error = estimate(lambda x: np.nan * x, 1.0)
    assert math.isnan(value)
    assert error == math.inf


def test_at_a_kink_the_error_reaches_both_slopes():
    (slope,), (error,) = numerical_gradient(np.abs, 0.0, method="richardson", return_error=True)
    assert abs(slope) < 1e-6
    assert error == pytest.approx(1, abs=1e-4)


@pytest.mark.parametrize("distance", [1e-3, 1e-5, 1e-6, 1e-7])
def test_a_kink_near_by(distance):
    """The slope at x is 1; that the kink is seen at all makes the estimate an honest one."""
    (slope,), (error,) = numerical_gradient(
        lambda x: np.maximum(np.sin(x), 0), distance, method="richardson", return_error=True
    )
    assert abs(slope - np.cos(distance)) <= error


def test_tensors_and_gradcheck():
    x = tg.Tensor([[1.0, 2.0]], requires_grad=True)
    report = gradcheck(lambda x: tg.exp(x) * x, x, method="richardson", rtol=1e-11, atol=1e-11)
    assert report.entries == 2
    assert max(report.errors.values()) < 1e-11


def test_only_richardson_knows_its_error():
    for method in ("central", "complex"):
        with pytest.raises(ValueError, match='return_error needs method="richardson"'):
            numerical_gradient(np.exp, 1.0, method=method, return_error=True)
    assert Estimate(1.0, 0.5).error == 0.5
