"""Every phi against its definition, every phi' against central differences, both where floats run out."""

import math

import numpy as np
import pytest

from tinygrad_edu.manual import ACTIVATIONS, log_softmax, softmax, softmax_jacobian
from tinygrad_edu.manual.activations import elu, elu_prime, leaky_relu, leaky_relu_prime

pytestmark = pytest.mark.filterwarnings("error")

# Both signs, away from the kink at 0 by more than the differences reach.
POINTS = np.array([[-4.0, -1.3, -0.2], [0.1, 0.9, 3.7]])

DEFINITIONS = {
    "identity": lambda u: u,
    "relu": lambda u: u if u > 0 else 0.0,
    "leaky_relu": lambda u: u if u > 0 else 0.01 * u,
    "sigmoid": lambda u: 1 / (1 + math.exp(-u)),
    "tanh": lambda u: (math.exp(u) - math.exp(-u)) / (math.exp(u) + math.exp(-u)),
    "softplus": lambda u: math.log(1 + math.exp(u)),
    "elu": lambda u: u if u > 0 else math.exp(u) - 1,
    "silu": lambda u: u / (1 + math.exp(-u)),
    "gelu": lambda u: u * (1 + math.erf(u / math.sqrt(2))) / 2,
    "gelu_tanh": lambda u: u / 2 * (1 + math.tanh(math.sqrt(2 / math.pi) * (u + 0.044715 * u**3))),
}

# The limits of (phi, phi') at -1000 and at 1000.
LIMITS = {
    "identity": ((-1000, 1), (1000, 1)),
    "relu": ((0, 0), (1000, 1)),
    "leaky_relu": ((-10, 0.01), (1000, 1)),
    "sigmoid": ((0, 0), (1, 0)),
    "tanh": ((-1, 0), (1, 0)),
    "softplus": ((0, 0), (1000, 1)),
    "elu": ((-1, 0), (1000, 1)),
    "silu": ((0, 0), (1000, 1)),
    "gelu": ((0, 0), (1000, 1)),
    "gelu_tanh": ((0, 0), (1000, 1)),
}

every_activation = pytest.mark.parametrize("name", ACTIVATIONS)


@every_activation
def test_phi_is_its_definition(name):
    expected = [[DEFINITIONS[name](u) for u in row] for row in POINTS.tolist()]
    # The naive definitions subtract from 1 and lose a few eps there, times |u| up to 4.
    np.testing.assert_allclose(ACTIVATIONS[name].phi(POINTS), expected, rtol=1e-14, atol=2e-15)


@every_activation
def test_prime_is_the_slope_of_phi(name, is_slope):
    phi, prime = ACTIVATIONS[name]
    u = POINTS.copy()
    cotangent = np.random.default_rng(0).normal(size=u.shape)
    is_slope(cotangent * prime(u), lambda: (cotangent * phi(u)).sum(), u)


@pytest.mark.parametrize(("phi", "prime"), [(leaky_relu, leaky_relu_prime), (elu, elu_prime)])
def test_alpha_reaches_phi_and_prime(phi, prime, is_slope):
    u = POINTS.copy()
    is_slope(prime(u, alpha=0.3), lambda: phi(u, alpha=0.3).sum(), u)
    assert not np.allclose(prime(u, alpha=0.3), prime(u))


@every_activation
def test_limits_without_a_warning(name):
    low, high = LIMITS[name]
    phi, prime = ACTIVATIONS[name]
    u = np.array([-1000.0, 1000.0])
    # 1e-300 stands for the exact 0: an exponent of -1000 underflows to it.
    np.testing.assert_allclose(phi(u), [low[0], high[0]], rtol=1e-15, atol=1e-300)
    np.testing.assert_allclose(prime(u), [low[1], high[1]], rtol=1e-15, atol=1e-300)
    assert np.isfinite(phi(10 * u)).all()
    assert np.isfinite(prime(10 * u)).all()


@every_activation
def test_nan_stays_nan(name):
    phi, prime = ACTIVATIONS[name]
    assert np.isnan(phi([np.nan])).all()
    if name != "identity":  # whose slope is 1 whatever u is
        assert np.isnan(prime([np.nan])).all()


@every_activation
@pytest.mark.parametrize(("dtype", "result"), [("f4", "f4"), ("f8", "f8"), ("i8", "f8"), ("f2", "f8"), ("?", "f8")])
@pytest.mark.parametrize("shape", [(), (3,), (0, 2)])
def test_dtype_and_shape(name, dtype, result, shape):
    u = np.ones(shape, dtype)
    for f in ACTIVATIONS[name]:
        assert (f(u).dtype, f(u).shape) == (np.dtype(result), shape)


def test_identity_shares_no_memory():
    u = np.ones(3)
    ACTIVATIONS["identity"].phi(u)[0] = 5
    assert u[0] == 1


def test_slope_at_the_kink():
    assert ACTIVATIONS["relu"].prime([0.0, -0.0]).tolist() == [0, 0]
    assert ACTIVATIONS["leaky_relu"].prime([0.0]).tolist() == [0.01]
    assert ACTIVATIONS["relu"].phi([-np.inf]).tolist() == [0]


def test_small_values_keep_their_digits():
    # Written with 1 - y, 1 + erf, 1 + tanh or log(1 + e^u), each of these would be 0.
    assert ACTIVATIONS["sigmoid"].prime([40.0])[0] == pytest.approx(math.exp(-40), rel=1e-14, abs=0)
    assert ACTIVATIONS["softplus"].phi([-40.0])[0] == pytest.approx(math.exp(-40), rel=1e-14, abs=0)
    assert ACTIVATIONS["gelu"].phi([-10.0])[0] == pytest.approx(
        -10 * math.erfc(10 / math.sqrt(2)) / 2, rel=1e-14, abs=0
    )
    v = math.sqrt(2 / math.pi) * (-10 + 0.044715 * -1000)
    assert ACTIVATIONS["gelu_tanh"].phi([-10.0])[0] == pytest.approx(-10 * math.exp(2 * v), rel=1e-13, abs=0)


def test_strings_and_complex_numbers_raise():
    for u in (["one"], [1j]):
        with pytest.raises(ValueError, match="pass real numbers"):
            ACTIVATIONS["relu"].phi(u)


def test_softmax_is_its_definition_along_either_axis():
    e = np.exp(POINTS)
    # Two exponentials and a sum: a few units in the last place.
    np.testing.assert_allclose(softmax(POINTS), e / e.sum(axis=1, keepdims=True), rtol=1e-14)
    np.testing.assert_allclose(softmax(POINTS, axis=0), e / e.sum(axis=0), rtol=1e-14)
    np.testing.assert_allclose(log_softmax(POINTS, axis=0), np.log(e / e.sum(axis=0)), rtol=1e-13)
    assert softmax(POINTS.astype("f4")).dtype == log_softmax(POINTS.astype("f4")).dtype == np.float32


def test_softmax_jacobian_against_differences(is_slope):
    u = POINTS.ravel()
    J = softmax_jacobian(softmax(u))
    for c in range(u.size):
        is_slope(J[c], lambda c=c: softmax(u)[c], u)
    # Outputs that always sum to 1 do not move as a whole; six terms below 1/4 round to a few eps.
    np.testing.assert_allclose(J.sum(axis=0), 0, atol=1e-15)


def test_softmax_of_large_and_of_infinite_logits():
    u = np.array([[1e4, -1e4, 1e4], [0.0, -np.inf, -1e4]])
    assert softmax(u).tolist() == [[0.5, 0, 0.5], [1, 0, 0]]
    np.testing.assert_array_equal(
        log_softmax(u), [[-math.log(2), -2e4 - math.log(2), -math.log(2)], [0, -np.inf, -1e4]]
    )


def test_softmax_jacobian_takes_one_sample():
    with pytest.raises(ValueError, match=r"y has shape \(2, 3\)"):
        softmax_jacobian(softmax(POINTS))
