"""Central differences, which know nothing of any derivation."""

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

Float64 = NDArray[np.float64]

# The five-point rule is wrong by h^4/30 times the fifth derivative, and by 1.5 eps/h times E: for h = 3e-4,
# 3e-16 and 1e-12 times. Here the fifth derivative is below 1e4, so 1e-10 (1 + |E|) leaves a factor of ten.
STEP = 3e-4
TOLERANCE = 1e-10


def differences(E: Callable[[], float], x: Float64) -> Float64:
    """dE/dx for every element of x. E takes no argument: it reads x, which is edited in place."""
    slope = np.empty_like(x)
    for i in np.ndindex(x.shape):
        kept = x[i]
        total = 0.0
        for steps, weight in ((-2, 1), (-1, -8), (1, 8), (2, -1)):
            x[i] = kept + steps * STEP
            total += weight * float(E())
        x[i] = kept
        slope[i] = total / (12 * STEP)
    return slope


def assert_is_slope(gradient: Float64, E: Callable[[], float], x: Float64) -> None:
    assert gradient.shape == x.shape
    expected = differences(E, x)
    assert np.abs(expected).max() > 1e4 * TOLERANCE, "a gradient of zeros would agree with anything"
    np.testing.assert_allclose(gradient, expected, rtol=0, atol=TOLERANCE * (1 + abs(E())))


@pytest.fixture
def is_slope() -> Callable[[Float64, Callable[[], float], Float64], None]:
    """assert_is_slope(gradient, E, x): the gradient is dE/dx by central differences."""
    return assert_is_slope
