"""The sums over repeated axes, and gradients spread over a shape: quick ways to the same numbers."""

from __future__ import annotations

import numpy as np
import pytest

import tinygrad_edu as tg
from tinygrad_edu.ops.axes import spread
from tinygrad_edu.sums import ROWS, Repeated, add_up, is_product, ones


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", "int64", "bool"])
@pytest.mark.parametrize("shape", [(5, 3), (1, 4), (0, 2), (3, 0), (300, 70)])
def test_the_sum_of_rows(shape: tuple[int, int], dtype: str) -> None:
    """As NumPy's, to the roundings of the order of additions; in any layout of memory."""
    g = np.random.default_rng(0).normal(size=shape).astype(dtype)
    for array in (g, np.asfortranarray(g), np.repeat(g, 2, axis=1)[:, ::2]):
        total = add_up(array, ROWS)
        expected = np.add.reduce(array, 0)
        assert (total.shape, total.dtype) == (expected.shape, expected.dtype)
        near = 4 * np.finfo(dtype).eps * np.abs(g).sum(0) if g.dtype.kind == "f" else np.zeros(shape[1])
        assert np.all(np.abs(total - expected) <= near)
        assert is_product(array, ROWS) == (dtype in ("float32", "float64"))


def test_other_axes_are_summed_by_numpy() -> None:
    g = np.arange(24.0).reshape(2, 3, 4)
    for axes in ((0,), (1,), (0, 1), (0, 2)):
        np.testing.assert_array_equal(add_up(g, Repeated(axes)), g.sum(axis=axes))
    assert not is_product(g, ROWS)
    assert not is_product(g[0], Repeated((1,)))


def test_infinities_and_nan_stay_in_their_columns() -> None:
    g = np.array([[np.inf, 1.0, np.nan], [np.inf, -np.inf, 2.0]])
    np.testing.assert_array_equal(add_up(g, ROWS), [np.inf, -np.inf, np.nan])


def test_a_sum_that_a_user_writes_is_numpys() -> None:
    """To the last bit: only what a sweep adds up is a product."""
    x = np.random.default_rng(0).normal(size=(1000, 7)).astype(np.float32)
    for axis in (0, (0,), -2):
        np.testing.assert_array_equal(tg.Tensor(x).sum(axis=axis).numpy(), x.sum(axis=axis))
    by_product = ones(1000, x.dtype).dot(x)
    assert np.any(by_product != x.sum(axis=0))  # else this test could not tell


def test_ones_are_made_once() -> None:
    assert ones(9, np.dtype(np.float32)) is ones(9, np.dtype(np.float32))
    assert ones(9, np.dtype(np.float64)).dtype == np.float64


def test_a_bias_receives_the_sum_of_the_rows() -> None:
    """Plain and recorded, and the second derivative through the recorded sum."""
    rng = np.random.default_rng(0)
    x, b = rng.normal(size=(6, 4)), tg.Tensor(rng.normal(size=4), requires_grad=True)
    loss = ((x + b) ** 3).sum()
    (plain,) = tg.grad(loss, b, retain_graph=True)
    (recorded,) = tg.grad(loss, b, create_graph=True)
    expected = 3 * ((x + b.data) ** 2).sum(0)
    np.testing.assert_allclose(plain.data, expected, rtol=1e-14)
    np.testing.assert_allclose(recorded.data, expected, rtol=1e-14)
    (second,) = tg.grad(recorded.sum(), b)
    np.testing.assert_allclose(second.data, 6 * (x + b.data).sum(0), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(
    ("shape", "axis"),
    [((), None), ((3,), None), ((2, 3), None), ((2, 3), 0), ((2, 3), 1), ((2, 3, 4), (0, 2)), ((0, 3), 0), ((1, 3), 0)],
)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_gradient_is_spread_without_a_copy(shape: tuple[int, ...], axis: object, dtype: type) -> None:
    g = np.add.reduce(np.random.default_rng(0).normal(size=shape).astype(dtype), axis=axis)
    spread_out = spread(g, shape, axis)
    kept = np.expand_dims(g, axis) if axis is not None else g
    np.testing.assert_array_equal(spread_out, np.broadcast_to(kept, shape), strict=True)
    assert not spread_out.flags.writeable or not shape
    if shape and 1 not in shape and spread_out.size:
        assert 0 in spread_out.strides


def test_a_hook_cannot_write_to_all_places_at_once() -> None:
    """The gradient of a sum is one number at every place: in-place changes of it would change them all."""
    x = tg.Tensor(np.ones((2, 3)), requires_grad=True)
    y = 2 * x

    def clip(g: np.ndarray) -> None:
        g[0, 0] = 7

    y.register_hook(clip)
    with pytest.raises(ValueError, match="read-only"):
        y.sum().backward()
    for axis in (0, 1):
        y = 2 * x
        y.register_hook(clip)
        with pytest.raises(ValueError, match="read-only"):
            (y.sum(axis=axis) ** 2).sum().backward()


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_relu_of_single_numbers(dtype: type) -> None:
    """As of arrays, whatever holds the number."""
    for value in (-1.5, 0.0, -0.0, 2.5, np.inf, -np.inf, np.nan):
        x = tg.Tensor(dtype(value), requires_grad=True)
        y = tg.relu(x)
        one = tg.Tensor(np.array([value], dtype), requires_grad=True)
        tg.relu(one).backward(np.ones(1, dtype))
        y.backward()
        assert y.dtype == dtype
        np.testing.assert_array_equal(y.numpy(), tg.relu(one).numpy()[0])
        np.testing.assert_array_equal(x.grad, one.grad[0], strict=False)
