"""relative_error: one number for two arrays, and what it says of zeros, infinities and NaN."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

import tinygrad_edu as tg
from tinygrad_edu.check import relative_error
from tinygrad_edu.errors import DtypeError, ShapeError

INF, NAN = np.inf, np.nan


@pytest.mark.parametrize(
    ("a", "b", "error"),
    [
        ([1.0, 2.0], [1.0, 2.0], 0),
        ([1.0, 2.0], [1.0, 4.0], 0.5),
        ([1.0, 4.0], [1.0, 2.0], 0.5),
        ([1.0, -1.0], [-1.0, 1.0], 2),
        ([1000.0, 1.0], [1000.0, 2.0], 0.001),  # in units of the largest
        ([0.0, 0.0], [0.0, 0.0], 0),
        ([0.0, 0.0], [0.0, 1e-300], 1),
        ([0.0], [-0.0], 0),
        ([], [], 0),
        (3.0, 3.0, 0),
        ([INF, 1.0], [INF, 2.0], 0.5),  # equal infinities are left out
        ([INF], [INF], 0),
        ([INF, 1.0], [-INF, 1.0], INF),
        ([INF, 1.0], [1.0, 1.0], INF),
        ([NAN, 1.0], [1.0, 1.0], INF),
        ([1.0, 1.0], [NAN, 1.0], INF),
        ([NAN, 1.0], [NAN, 1.0], INF),
        ([NAN], [INF], INF),
        ([1e308, 0.0], [-1e308, 0.0], 2),  # a - b would overflow
        ([5e-324], [0.0], 1),
        ([True, False], [1, 0], 0),
    ],
)
def test_table(a, b, error):
    assert relative_error(a, b) == error
    assert relative_error(b, a) == error


@given(arrays(np.float64, array_shapes(), elements=st.floats(-1e6, 1e6, allow_subnormal=False)), st.floats(1e-12, 0.5))
def test_a_relative_change_is_what_is_measured(a, change):
    expected = change / (1 + change) if a.any() else 0
    # 1 + change and the product are rounded, each by 1e-16, against 1e-12 and more.
    assert relative_error(a, a * (1 + change)) == pytest.approx(expected, rel=1e-3)


@given(arrays(np.float64, array_shapes(), elements=st.floats(allow_subnormal=False, width=32)))
def test_an_array_agrees_with_itself_unless_it_holds_nan(a):
    assert relative_error(a, a) == (INF if np.isnan(a).any() else 0)


def test_tensors_are_welcome_also_those_that_need_a_gradient():
    assert relative_error(tg.Tensor([1.0], requires_grad=True), tg.Tensor([2.0])) == 0.5


def test_float32_against_float64():
    assert relative_error(np.float32([0.1]), [0.1]) == pytest.approx(1.5e-8, rel=0.1)


def test_other_shapes_are_refused():
    with pytest.raises(ShapeError, match=r"\(2,\) and \(1, 2\)"):
        relative_error([1.0, 2.0], [[1.0, 2.0]])


@pytest.mark.parametrize("bad", [["a"], [1j], [None]])
def test_only_real_numbers(bad):
    with pytest.raises(DtypeError, match="real numbers"):
        relative_error(bad, [1.0])
