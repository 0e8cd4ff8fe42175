"""Convolution, pooling, normalisation, embedding, attention: random shapes against PyTorch, corners, errors, memory."""

from __future__ import annotations

import math
import os
import re
import tracemalloc
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import tinygrad_edu as tg
from tinygrad_edu import DtypeError, GraphError, ShapeError
from tinygrad_edu.nn import functional

try:
    import torch
except ImportError:  # a skip nobody reads would be a hole in the gate: there the oracle has to be
    if os.environ.get("CI"):
        raise
    pytest.skip("PyTorch is the oracle here: pip install tinygrad_edu[oracle]", allow_module_level=True)

F = torch.nn.functional
torch.set_num_threads(1)

# Sums of at most a few hundred products of numbers near 1, in float64, in another order.
TOLERANCE = 1e-11


def examples(n: int) -> settings:
    return settings(
        max_examples=n, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck)
    )


def assert_close(got: Any, expected: Any, what: str = "") -> None:
    got = np.asarray(got.data if isinstance(got, tg.Tensor) else got)
    expected = expected.detach().numpy()
    assert got.shape == expected.shape, what
    finite = expected[np.isfinite(expected)]
    scale = 1 + np.abs(finite).max(initial=0)
    np.testing.assert_allclose(got, expected, rtol=0, atol=TOLERANCE * scale, err_msg=what)


def compare(
    ours: Callable[..., Any], theirs: Callable[..., Any], inputs: Sequence[np.ndarray], rng: np.random.Generator
) -> None:
    """Value, gradients in a plain and in a recorded sweep, and second derivatives, by the inputs and the cotangent."""
    xs = [tg.Tensor(x, requires_grad=True) for x in inputs]
    ts = [torch.tensor(x, requires_grad=True) for x in inputs]
    y, expected = ours(*xs), theirs(*ts)
    assert_close(y, expected, "value")
    g = rng.normal(size=y.shape)
    for got, right in zip(
        tg.grad(y, xs, g, retain_graph=True), torch.autograd.grad(expected, ts, torch.tensor(g), retain_graph=True)
    ):
        assert_close(got, right, "gradient")
    gs, gt = tg.Tensor(g, requires_grad=True), torch.tensor(g, requires_grad=True)
    first = tg.grad(y, xs, gs, create_graph=True)
    right_first = torch.autograd.grad(expected, ts, gt, create_graph=True)
    directions = [rng.normal(size=x.shape) for x in inputs]
    total = sum((d * v).sum() for d, v in zip(first, directions))
    right_total = sum((d * torch.tensor(v)).sum() for d, v in zip(right_first, directions))
    second = tg.grad(total, [*xs, gs], allow_unused=True)
    right_second = torch.autograd.grad(right_total, [*ts, gt], allow_unused=True)
    for got, right, t in zip(second, right_second, [*ts, gt]):
        right = torch.zeros_like(t) if right is None else right
        assert_close(np.zeros(t.shape) if got is None else got, right, "second derivative")


def leaf(*shape: int, seed: int = 0) -> tg.Tensor:
    return tg.Tensor(np.random.default_rng(seed).normal(size=shape), requires_grad=True)


# ------------------------------------------------------------------------------------------ convolution


def pairs(low: int, high: int) -> Any:
    return st.tuples(st.integers(low, high), st.integers(low, high))


@st.composite
def convolutions(draw: Any) -> dict[str, Any]:
    """Kernel, stride, padding, dilation, groups and sizes that fit each other."""
    kernel, stride, padding, dilation = draw(pairs(1, 3)), draw(pairs(1, 3)), draw(pairs(0, 3)), draw(pairs(1, 3))
    more = draw(pairs(0, 4))
    least = [max(1, d * (k - 1) + 1 - 2 * p) for k, p, d in zip(kernel, padding, dilation)]
    return {
        "kernel": kernel,
        "geometry": {"stride": stride, "padding": padding, "dilation": dilation, "groups": draw(st.integers(1, 2))},
        "size": tuple(n + m for n, m in zip(least, more)),
        "channels": draw(pairs(1, 2)),
        "bias": draw(st.booleans()),
        "samples": draw(st.integers(1, 2)),
        "seed": draw(st.integers(0, 2**32 - 1)),
    }


def _images_and_weights(case: dict[str, Any], transposed: bool = False) -> tuple[list[np.ndarray], np.random.Generator]:
    rng = np.random.default_rng(case["seed"])
    groups = case["geometry"]["groups"]
    into, out = (c * groups for c in case["channels"])
    shape = (into, out // groups, *case["kernel"]) if transposed else (out, into // groups, *case["kernel"])
    inputs = [rng.normal(size=(case["samples"], into, *case["size"])), rng.normal(size=shape)]
    return inputs + [rng.normal(size=out)] * case["bias"], rng


@examples(60)
@given(convolutions())
def test_conv2d(case: dict[str, Any]) -> None:
    inputs, rng = _images_and_weights(case)
    geometry = case["geometry"]
    compare(lambda *xs: tg.conv2d(*xs, **geometry), lambda *ts: F.conv2d(*ts, **geometry), inputs, rng)


@examples(60)
@given(convolutions(), st.data())
def test_conv_transpose2d(case: dict[str, Any], data: Any) -> None:
    """The output padding may be larger than the stride where the dilation is."""
    geometry = dict(case["geometry"])
    steps = [max(pair) for pair in zip(geometry["stride"], geometry["dilation"])]
    geometry["output_padding"] = tuple(data.draw(st.integers(0, n - 1)) for n in steps)
    case["size"] = tuple(n - -2 * p // s for n, p, s in zip(case["size"], geometry["padding"], geometry["stride"]))
    inputs, rng = _images_and_weights(case, transposed=True)
    compare(
        lambda *xs: tg.conv_transpose2d(*xs, **geometry), lambda *ts: F.conv_transpose2d(*ts, **geometry), inputs, rng
    )


@examples(30)
@given(convolutions(), st.booleans())
def test_sequences(case: dict[str, Any], transposed: bool) -> None:
    inputs, rng = _images_and_weights(case, transposed)
    inputs[:2] = [x[:, :, 0, :] for x in inputs[:2]]
    geometry = {k: v if k == "groups" else v[1] for k, v in case["geometry"].items()}
    name = "conv_transpose1d" if transposed else "conv1d"
    if transposed:
        geometry["padding"] = 0
    ours, theirs = getattr(tg, name), getattr(F, name)
    compare(lambda *xs: ours(*xs, **geometry), lambda *ts: theirs(*ts, **geometry), inputs, rng)


@pytest.mark.filterwarnings("ignore:Using padding='same'")  # PyTorch tells that it copies
@pytest.mark.parametrize("kernel", [(3, 3), (2, 3), (4, 1)])
@pytest.mark.parametrize("dilation", [1, 2])
@pytest.mark.parametrize("padding", ["same", "valid"])
def test_padding_by_name(kernel: tuple[int, int], dilation: int, padding: str) -> None:
    """An odd rest of "same" is added at the end, as in PyTorch."""
    rng = np.random.default_rng(0)
    inputs = [rng.normal(size=(2, 2, 8, 9)), rng.normal(size=(3, 2, *kernel))]
    options: dict[str, Any] = {"padding": padding, "dilation": dilation}
    compare(lambda x, w: tg.conv2d(x, w, **options), lambda x, w: F.conv2d(x, w, **options), inputs, rng)
    y = tg.conv1d(inputs[0][:, :, 0], inputs[1][:, :, 0], **options)
    assert_close(y, F.conv1d(torch.tensor(inputs[0][:, :, 0]), torch.tensor(inputs[1][:, :, 0]), **options))


def test_third_derivative_of_a_convolution() -> None:
    """Through a nonlinear function, against differences of the second: a convolution's own is 0."""
    rng = np.random.default_rng(0)
    x, w, b = rng.normal(size=(2, 2, 5, 4)), rng.normal(size=(3, 2, 2, 3)), rng.normal(size=3)
    u, v, direction = (rng.normal(size=w.shape) for _ in range(3))
    g = rng.normal(size=(2, 3, 3, 2))

    def second(w: Any, x: Any = x) -> Any:
        y = tg.tanh(tg.conv2d(x, w, b, stride=(2, 1), padding=(1, 0)))
        (d,) = tg.grad((y * g).sum(), w, create_graph=True)
        (d,) = tg.grad((d * u).sum(), w, create_graph=True)
        return (d * v).sum()

    def at(step: float) -> float:
        return second(tg.Tensor(w + step * direction, requires_grad=True)).item()

    leaf = tg.Tensor(w, requires_grad=True)
    (third,) = tg.grad(second(leaf), leaf)
    h = 1e-4  # differences are wrong by about h^2, and by 1e-15 / h
    assert math.isclose(np.sum(third.data * direction), (at(h) - at(-h)) / (2 * h), rel_tol=1e-6)


def test_a_sample_alone() -> None:
    x, w = leaf(2, 5, 6), leaf(3, 2, 2, 2, seed=1)
    for f, arguments in (
        (tg.conv2d, (w,)),
        (tg.conv_transpose2d, (tg.transpose(w, (1, 0, 2, 3)),)),
        (tg.max_pool2d, (2,)),
        (tg.avg_pool2d, (2,)),
        (tg.unfold, (2,)),
    ):
        alone, batch = f(x, *arguments), f(x[None], *arguments)
        np.testing.assert_array_equal(alone.data, batch.data[0])
    columns = tg.unfold(x, 2)
    np.testing.assert_array_equal(tg.fold(columns, (5, 6), 2).data, tg.fold(columns[None], (5, 6), 2).data[0])
    sequence, kernel = x[0], w[:, :1, 0]
    np.testing.assert_array_equal(tg.conv1d(x[:1, 0], kernel).data, tg.conv1d(x[None, :1, 0], kernel).data[0])
    np.testing.assert_array_equal(tg.max_pool1d(sequence, 2).data, tg.max_pool1d(sequence[None], 2).data[0])
    np.testing.assert_array_equal(tg.avg_pool1d(sequence, 2).data, tg.avg_pool1d(sequence[None], 2).data[0])


@examples(30)
@given(convolutions())
def test_fold_is_the_transpose_of_unfold(case: dict[str, Any]) -> None:
    rng = np.random.default_rng(case["seed"])
    x = rng.normal(size=(case["samples"], 2, *case["size"]))
    windows = {k: v for k, v in case["geometry"].items() if k != "groups"}
    columns = tg.unfold(x, case["kernel"], **windows)
    assert_close(columns, F.unfold(torch.tensor(x), case["kernel"], **windows))
    c = rng.normal(size=columns.shape)
    folded = tg.fold(c, case["size"], case["kernel"], **windows)
    assert_close(folded, F.fold(torch.tensor(c), case["size"], case["kernel"], **windows))
    assert math.isclose(np.sum(columns * c), np.sum(x * folded), rel_tol=1e-9, abs_tol=1e-9)


@examples(20)
@given(convolutions())
def test_convolution_is_a_product_with_the_columns(case: dict[str, Any]) -> None:
    case["geometry"]["groups"] = 1
    (x, w, *_), _ = _images_and_weights(case)
    windows = {k: v for k, v in case["geometry"].items() if k != "groups"}
    y = tg.conv2d(x, w, **windows)
    product = w.reshape(len(w), -1) @ tg.unfold(x, case["kernel"], **windows)
    np.testing.assert_allclose(y, product.reshape(y.shape), atol=1e-12)


def test_blocks_of_samples_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Columns are made for some samples at a time; the last block may be smaller."""
    rng = np.random.default_rng(0)
    x, w = rng.normal(size=(7, 4, 6, 5)), rng.normal(size=(6, 2, 3, 2))
    options = {"groups": 2, "padding": 1}
    whole = tg.conv2d(x, w, **options)
    g = rng.normal(size=whole.shape)
    weight = leaf(*w.shape)

    def gradient() -> Any:
        return tg.grad(tg.conv2d(x, weight, **options), weight, g)[0].data

    of_all = gradient()
    for samples in (1, 2, 3, 7, 100):
        monkeypatch.setattr(tg.ops.convolution, "BLOCK", samples * 12 * 6 * 2 * 7 * 6 * 8 // 6)
        np.testing.assert_allclose(tg.conv2d(x, w, **options), whole, atol=1e-13)
        np.testing.assert_allclose(gradient(), of_all, atol=1e-12)


def test_the_columns_are_not_kept() -> None:
    """A convolution holds its output, nothing of the size of its columns."""
    x = np.zeros((64, 8, 32, 32), np.float32)
    layer = tg.nn.Conv2d(8, 8, 3, padding=1, rng=0, dtype=np.float32)
    layer(x)
    tracemalloc.start()
    y = layer(x)
    now, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert y.data.nbytes <= now < 1.01 * y.data.nbytes + 10_000
    assert peak < 3 * y.data.nbytes  # the columns of all samples would be nine times as large


def test_dtypes_of_a_convolution() -> None:
    rng = np.random.default_rng(0)
    x, w, b = rng.normal(size=(2, 3, 5, 5)), rng.normal(size=(4, 3, 3, 3)), rng.normal(size=4)
    half = [tg.Tensor(a.astype(np.float16), requires_grad=True) for a in (x, w, b)]
    single = [tg.Tensor(a.astype(np.float32), requires_grad=True) for a in (x, w, b)]
    for tensors, dtype in ((half, np.float16), (single, np.float32)):
        y = tg.conv2d(*tensors, padding=1)
        assert y.dtype == dtype
        y.backward(np.ones(y.shape))
        assert all(t.grad.dtype == dtype for t in tensors)
    mixed = tg.conv2d(single[0], tg.Tensor(w, requires_grad=True), tg.Tensor(b, requires_grad=True))
    assert mixed.dtype == np.float64
    assert tg.conv2d(single[0], single[1], b).dtype == np.float64  # the bias alone is wider
    (g,) = tg.grad(mixed.sum(), single[0])
    assert g.dtype == np.float32
    whole = tg.conv2d(np.arange(9).reshape(1, 1, 3, 3), np.ones((1, 1, 2, 2), int))
    np.testing.assert_array_equal(whole, [[[[8, 12], [20, 24]]]])
    assert whole.dtype.kind == "i"


def test_no_samples() -> None:
    """An empty batch is a batch: outputs without samples, and weights that receive zeros."""
    x, w, b = leaf(0, 2, 5, 5), leaf(3, 2, 3, 3), leaf(3)
    y = tg.conv2d(x, w, b, padding=1)
    assert y.shape == (0, 3, 5, 5)
    y.backward(np.zeros(y.shape))
    assert x.grad.shape == (0, 2, 5, 5)
    np.testing.assert_array_equal(w.grad, np.zeros(w.shape))
    np.testing.assert_array_equal(b.grad, np.zeros(3))
    z = tg.conv_transpose2d(leaf(0, 3, 5, 5), w, stride=2)
    assert z.shape == (0, 2, 11, 11)
    (g,) = tg.grad(z, w, np.zeros(z.shape))
    np.testing.assert_array_equal(g.data, np.zeros(w.shape))
    for pooled in (tg.max_pool2d(x, 2), tg.avg_pool2d(x, 2)):
        assert pooled.shape == (0, 2, 2, 2)
        assert tg.grad(pooled, x, np.zeros(pooled.shape))[0].shape == x.shape
    columns = tg.unfold(x, 2)
    assert columns.shape == (0, 8, 16)
    assert tg.fold(columns, 5, 2).shape == (0, 2, 5, 5)


def test_views_as_inputs() -> None:
    """Fortran order, negative and overlapping strides: what the numbers are is all that counts."""
    rng = np.random.default_rng(0)
    base, w = rng.normal(size=(3, 9, 8, 4)), rng.normal(size=(2, 4, 2, 2))
    view = base.transpose(0, 3, 1, 2)[::-1, :, ::2, ::-1]
    flipped = np.asfortranarray(w)[:, :, ::-1]
    options = {"padding": 1, "stride": 2}
    np.testing.assert_allclose(
        tg.conv2d(view, flipped, **options), tg.conv2d(view.copy(), flipped.copy(), **options), atol=1e-13
    )
    for f in (tg.max_pool2d, tg.avg_pool2d, tg.unfold):
        np.testing.assert_array_equal(f(view, 2), f(view.copy(), 2))
    same = np.broadcast_to(rng.normal(size=(1, 4, 5, 4)), (3, 4, 5, 4))
    np.testing.assert_allclose(tg.conv2d(same, w), tg.conv2d(same.copy(), w), atol=1e-13)


# ---------------------------------------------------------------------------------------------- pooling


@st.composite
def pools(draw: Any) -> dict[str, Any]:
    kernel = draw(pairs(1, 4))
    return {
        "windows": {
            "kernel_size": kernel,
            "stride": draw(pairs(1, 4)),
            "padding": tuple(draw(st.integers(0, k // 2)) for k in kernel),
            "ceil_mode": draw(st.booleans()),
        },
        "dilation": draw(pairs(1, 3)),
        "size": draw(pairs(1, 8)),
        "special": draw(st.sampled_from(["", "ties", "nan", "-inf"])),
        "rows": draw(st.booleans()),
        "seed": draw(st.integers(0, 2**32 - 1)),
    }


def _pooled(
    case: dict[str, Any], x: np.ndarray, rng: np.random.Generator, ours: Any, theirs: Any, options: dict[str, Any]
) -> None:
    """Compare, or see both refuse."""
    try:
        expected = theirs(torch.tensor(x), **options)
    except RuntimeError:
        with pytest.raises(ShapeError):
            ours(x, **options)
        return
    try:
        ours(x, **options)
    except ShapeError:  # PyTorch answers -inf here, and its backward pass writes out of bounds
        with pytest.raises(ShapeError, match="sees nothing but padding"):
            ours(x, **options)
        return
    assert expected.shape == ours(x, **options).shape
    compare(lambda x: ours(x, **options), lambda t: theirs(t, **options), [x], rng)


@examples(150)
@given(pools())
def test_max_pool(case: dict[str, Any]) -> None:
    rng = np.random.default_rng(case["seed"])
    x = rng.normal(size=(2, 2, *case["size"]))
    if case["special"] == "ties":
        x = x.round()
    elif case["special"]:
        x[rng.random(x.shape) < 0.4] = float(case["special"])
    options = {**case["windows"], "dilation": case["dilation"]}
    if case["rows"]:
        options = {k: v if k == "ceil_mode" else v[1] for k, v in options.items()}
        x = x[:, :, 0]
    name = "max_pool1d" if case["rows"] else "max_pool2d"
    ours, theirs = getattr(tg, name), getattr(F, name)
    _pooled(case, x, rng, ours, theirs, options)
    try:
        y, winners = ours(x, **options, return_indices=True)
    except ShapeError:
        return
    right_y, right = theirs(torch.tensor(x), **options, return_indices=True)
    np.testing.assert_array_equal(y, right_y.numpy())
    np.testing.assert_array_equal(winners, right.numpy())


@pytest.mark.parametrize(("width", "kernel"), [(61, (3, 6)), (62, (3, 6)), (40, (5, 5)), (200, (200, 3))])
def test_winners_far_behind_the_start_of_their_window(width: int, kernel: tuple[int, int]) -> None:
    """The last element lies 127, 129, 164 and 39,802 further: more than the next smaller integers hold."""
    rising = np.arange(2.0 * kernel[0] * width).reshape(1, 2, kernel[0], width)
    for x in (rising, -rising, np.where(rising % 7 == 3, np.nan, rising)):
        y, winners = tg.max_pool2d(x, kernel, return_indices=True)
        right_y, right = F.max_pool2d(torch.tensor(x), kernel, return_indices=True)
        np.testing.assert_array_equal(y, right_y.numpy())
        np.testing.assert_array_equal(winners, right.numpy())
        compare(lambda t: tg.max_pool2d(t, kernel), lambda t: F.max_pool2d(t, kernel), [x], np.random.default_rng(0))


@examples(100)
@given(pools(), st.booleans(), st.sampled_from([None, None, 3]))
def test_avg_pool(case: dict[str, Any], count_include_pad: bool, divisor: int | None) -> None:
    rng = np.random.default_rng(case["seed"])
    x = rng.normal(size=(2, 2, *case["size"]))
    options = {**case["windows"], "count_include_pad": count_include_pad}
    if case["rows"]:
        options = {k: v[1] if isinstance(v, tuple) else v for k, v in options.items()}
        _pooled(case, x[:, :, 0], rng, tg.avg_pool1d, F.avg_pool1d, options)
    else:
        _pooled(case, x, rng, tg.avg_pool2d, F.avg_pool2d, {**options, "divisor_override": divisor})


def test_infinite_gradient_reaches_the_winner_only() -> None:
    x = tg.Tensor([[[1.0, 2.0, 0.0, 3.0]]], requires_grad=True)
    tg.max_pool1d(x, 2).backward(np.array([[[np.inf, 1.0]]]))
    np.testing.assert_array_equal(x.grad, [[[0, np.inf, 0, 1]]])


def test_pooling_of_float16_and_integers() -> None:
    large = tg.Tensor(np.full((1, 1, 2, 2), 60_000, np.float16), requires_grad=True)
    y = tg.avg_pool2d(large, 2)
    assert y.dtype == np.float16
    assert y.data.item() == np.float16(60_000)  # the sum of four would be infinite
    y.backward(np.ones(y.shape))
    assert large.grad.dtype == np.float16
    np.testing.assert_array_equal(large.grad, np.full((1, 1, 2, 2), 0.25))
    whole = np.array([[[-5, -7, -1, -2]]])
    np.testing.assert_array_equal(tg.max_pool1d(whole, 2, padding=1), [[[-5, -1, -2]]])
    np.testing.assert_array_equal(tg.avg_pool1d(whole, 2), [[[-6, -1.5]]])


# ---------------------------------------------------------------------------------------- normalisation


def _statistics(channels: int) -> list[np.ndarray]:
    rng = np.random.default_rng(5)
    return [rng.normal(size=channels), rng.uniform(0.5, 2, size=channels)]


@pytest.mark.parametrize("shape", [(6, 3), (4, 3, 5), (2, 3, 4, 5)])
@pytest.mark.parametrize("affine", [0, 1, 2])
@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("running", [True, False])
def test_batch_norm(shape: tuple[int, ...], affine: int, training: bool, running: bool) -> None:
    rng = np.random.default_rng(0)
    inputs = [rng.normal(2, 3, size=shape), *(rng.normal(size=3) for _ in range(affine))]
    if not training and not running:
        training = True  # without running statistics there is only one way
    ours = _statistics(3) if running else [None, None]
    theirs = [torch.tensor(s) for s in _statistics(3)] if running else [None, None]
    options = {"training": training, "momentum": 0.3, "eps": 1e-3}

    def f(x: Any, *scale: Any) -> Any:
        return tg.batch_norm(x, *ours, *scale, *[None] * (2 - len(scale)), **options)

    def g(x: Any, *scale: Any) -> Any:
        return F.batch_norm(x, *theirs, *scale, *[None] * (2 - len(scale)), **options)

    compare(f, g, inputs, rng)
    if running:
        for mine, right in zip(ours, theirs):
            np.testing.assert_allclose(mine, right.numpy(), rtol=1e-13)


def test_running_statistics_stay_out_of_the_graph() -> None:
    """Tensors are moved in place, and a graph that has used them notices; one that has not, does not mind."""
    mean, var = tg.Tensor([0.0, 0.0]), tg.Tensor([1.0, 1.0])
    x = leaf(5, 2)
    training = tg.batch_norm(x, mean, var, training=True)
    tg.batch_norm(x, mean, var, training=True)
    training.backward(np.ones((5, 2)))
    assert not mean.requires_grad
    np.testing.assert_allclose(mean.data, 0.19 * x.data.mean(axis=0))
    np.testing.assert_allclose(var.data, 0.81 + 0.19 * x.data.var(axis=0, ddof=1))
    use = tg.batch_norm(x, mean, var, leaf(2))
    kept = use.data.copy()
    tg.batch_norm(x, mean, var, training=True)
    np.testing.assert_array_equal(use.data, kept)
    use.backward(np.ones((5, 2)))  # its rules read factors that were computed from the statistics, not these
    product = x * mean
    tg.batch_norm(x, mean, var, training=True)
    with pytest.raises(GraphError, match="was edited"):
        product.backward(np.ones((5, 2)))


@pytest.mark.parametrize(("shape", "tail"), [((5, 4), 4), ((2, 3, 4), (3, 4)), ((2, 3, 4), 4), ((3,), (3,))])
@pytest.mark.parametrize("affine", [0, 1, 2])
def test_layer_norm(shape: tuple[int, ...], tail: int | tuple[int, ...], affine: int) -> None:
    rng = np.random.default_rng(0)
    sizes = (tail,) if isinstance(tail, int) else tail
    inputs = [rng.normal(2, 3, size=shape), *(rng.normal(size=sizes) for _ in range(affine))]
    compare(lambda x, *s: tg.layer_norm(x, tail, *s), lambda x, *s: F.layer_norm(x, sizes, *s), inputs, rng)
    if affine < 2:
        for eps in (None, 0.1):
            compare(
                lambda x, *s, eps=eps: tg.rms_norm(x, tail, *s, eps=eps),
                lambda x, *s, eps=eps: F.rms_norm(x, sizes, *s, eps=eps),
                inputs,
                rng,
            )


@pytest.mark.parametrize("shape", [(3, 6), (3, 6, 2), (2, 6, 2, 3)])
@pytest.mark.parametrize("groups", [1, 2, 6])
@pytest.mark.parametrize("affine", [0, 1, 2])
def test_group_norm(shape: tuple[int, ...], groups: int, affine: int) -> None:
    rng = np.random.default_rng(0)
    inputs = [rng.normal(2, 3, size=shape), *(rng.normal(size=6) for _ in range(affine))]
    compare(lambda x, *s: tg.group_norm(x, groups, *s), lambda x, *s: F.group_norm(x, groups, *s), inputs, rng)


def test_normalisation_corners() -> None:
    # equal numbers have no variance; a group of one has none either
    x = tg.Tensor(np.full((2, 4), 3.0), requires_grad=True)
    y = tg.layer_norm(x, 4)
    np.testing.assert_array_equal(y.data, np.zeros((2, 4)))
    y.backward(np.array([[1.0, 2, 3, 4], [0, 0, 0, 1]]))
    np.testing.assert_allclose(x.grad[0], np.array([-1.5, -0.5, 0.5, 1.5]) / math.sqrt(1e-5))
    # large and small numbers, in every width of float
    for dtype, scale in ((np.float16, 3e4), (np.float32, 1e18), (np.float64, 1e150)):
        numbers = (np.array([1.0, -1.0, 0.5, 0.0]) * scale).astype(dtype)
        large = tg.standardize(tg.Tensor(numbers))
        assert large.dtype == dtype
        np.testing.assert_allclose(large.data, tg.standardize(numbers.astype(np.float64) / scale), rtol=2e-3, atol=2e-3)
    # the mean is large, the deviation is not: two passes keep the digits
    shifted = tg.standardize(np.array([1e8 + 1, 1e8 - 1, 1e8]), eps=0)
    np.testing.assert_allclose(shifted, [math.sqrt(1.5), -math.sqrt(1.5), 0], rtol=1e-7, atol=1e-7)
    assert tg.layer_norm(np.zeros((0, 4)), 4).shape == (0, 4)
    assert tg.group_norm(np.zeros((0, 4, 2)), 2).shape == (0, 4, 2)
    half = tg.Tensor(np.random.default_rng(0).normal(size=(64, 3)).astype(np.float16), requires_grad=True)
    mean, var = np.zeros(3, np.float16), np.ones(3, np.float16)
    tg.batch_norm(half, mean, var, training=True).backward(np.ones((64, 3)))
    assert half.grad.dtype == mean.dtype == np.float16
    assert tg.batch_norm(half, mean.astype(np.float64), var.astype(np.float64)).dtype == np.float16


# ------------------------------------------------------------------------------------ embedding, attention


@examples(30)
@given(
    labels=st.lists(st.integers(0, 4), min_size=1, max_size=12),
    padding=st.sampled_from([None, 0, 2, -1, -5]),
    seed=st.integers(0, 2**32 - 1),
)
def test_embedding(labels: list[int], padding: int | None, seed: int) -> None:
    rng = np.random.default_rng(seed)
    index = np.array(labels, dtype=np.int64)
    for shaped in (index, index.reshape(-1, 1), index[:1].reshape(())):
        compare(
            lambda w, i=shaped: tg.embedding(i, w, padding),
            lambda w, i=shaped: F.embedding(torch.tensor(i), w, padding),
            [rng.normal(size=(5, 3))],
            rng,
        )


def test_labels_may_be_lists_and_tensors() -> None:
    table = leaf(5, 3)
    for labels in ([1, 4], tg.Tensor([1, 4]), np.array([1, 4], np.uint8)):
        np.testing.assert_array_equal(tg.embedding(labels, table).data, table.data[[1, 4]])
    np.testing.assert_array_equal(tg.embedding(3, table).data, table.data[3])
    nobody = tg.embedding(np.zeros((2, 0), int), table, 1)
    assert nobody.shape == (2, 0, 3)
    np.testing.assert_array_equal(tg.grad(nobody, table, np.zeros((2, 0, 3)))[0].data, np.zeros((5, 3)))
    np.testing.assert_array_equal(tg.embedding([1, 4], table.data, 4), table.data[[1, 4]])


def _masks(queries: int, keys: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(3)
    allowed = rng.random((queries, keys)) < 0.6
    allowed[:, 0] = True
    added = rng.normal(size=(2, 1, queries, keys))
    added[rng.random(added.shape) < 0.3] = -np.inf
    added[..., 0] = 0.5
    nowhere = allowed.copy()
    nowhere[1] = False
    return {"booleans": allowed, "floats": added, "a query that may look nowhere": nowhere}


@pytest.mark.parametrize("mask", [None, *_masks(4, 6)])
@pytest.mark.parametrize("scale", [None, 0.3])
def test_attention(mask: str | None, scale: float | None) -> None:
    rng = np.random.default_rng(0)
    inputs = [rng.normal(size=(2, 3, n, d)) for n, d in ((4, 5), (6, 5), (6, 2))]
    given = None if mask is None else _masks(4, 6)[mask]
    compare(
        lambda q, k, v: functional.scaled_dot_product_attention(q, k, v, given, scale=scale),
        lambda q, k, v: F.scaled_dot_product_attention(
            q, k, v, None if given is None else torch.tensor(given), scale=scale
        ),
        inputs,
        rng,
    )
    if mask == "floats":  # a mask may be learned: where it is finite it has a gradient
        added = np.where(np.isfinite(given), given, -2.0)
        compare(functional.scaled_dot_product_attention, F.scaled_dot_product_attention, [*inputs, added], rng)


@pytest.mark.parametrize(("queries", "keys"), [(4, 4), (2, 5), (5, 2), (1, 1)])
def test_causal_attention(queries: int, keys: int) -> None:
    rng = np.random.default_rng(0)
    inputs = [rng.normal(size=(n, 3)) for n in (queries, keys, keys)]
    compare(
        lambda *x: functional.scaled_dot_product_attention(*x, is_causal=True),
        lambda *x: F.scaled_dot_product_attention(*x, is_causal=True),
        inputs,
        rng,
    )


def test_attention_corners() -> None:
    q, k, v = leaf(2, 3), leaf(4, 3, seed=1), leaf(4, 3, seed=2)
    y = functional.scaled_dot_product_attention(q, k, v, np.zeros((2, 4), bool))
    np.testing.assert_array_equal(y.data, np.zeros((2, 3)))  # PyTorch's answer: nobody to look at, nothing seen
    y.backward(np.ones((2, 3)))
    for t in (q, k, v):
        np.testing.assert_array_equal(t.grad, np.zeros(t.shape))
    infinite = functional.scaled_dot_product_attention(q, k, v, np.full((2, 4), -np.inf))
    np.testing.assert_array_equal(infinite.data, np.zeros((2, 3)))
    large = functional.scaled_dot_product_attention(1e4 * q, 1e4 * k, v)
    np.testing.assert_array_equal(large.data, v.data[np.argmax(q.data @ k.data.T, axis=1)])
    single = [tg.Tensor(t.data.astype(np.float32), requires_grad=True) for t in (q, k, v)]
    for mask in (None, np.ones((2, 4), bool), np.zeros((2, 4), bool), np.zeros((2, 4), np.float32)):
        y = functional.scaled_dot_product_attention(*single, mask)
        assert y.dtype == np.float32
        assert all(g.dtype == np.float32 for g in tg.grad(y, single, np.ones((2, 3), np.float32)))
    dropped = functional.scaled_dot_product_attention(q, k, v, dropout_p=0.5, rng=0)
    assert not np.allclose(dropped.data, functional.scaled_dot_product_attention(q, k, v).data)
    np.testing.assert_array_equal(
        dropped.data, functional.scaled_dot_product_attention(q, k, v, dropout_p=0.5, rng=0).data
    )


# ----------------------------------------------------------------------------------------------- errors

IMAGE, WEIGHT = np.zeros((32, 1, 28, 28)), np.zeros((8, 3, 3, 3))
ERRORS: list[tuple[Callable[[], Any], type[Exception], str]] = [
    (
        lambda: tg.conv2d(IMAGE, WEIGHT),
        ShapeError,
        "conv2d: input (32, 1, 28, 28) against weight (8, 3, 3, 3): 1 channel arrives, 3 are expected",
    ),
    (
        lambda: tg.conv2d(np.zeros((2, 4, 5, 5)), np.zeros((8, 1, 3, 3))),
        ShapeError,
        "conv2d: input (2, 4, 5, 5) against weight (8, 1, 3, 3): 4 channels arrive, 1 is expected",
    ),
    (
        lambda: tg.conv2d(np.zeros((2, 5, 5)), np.zeros((8, 1, 3, 3))),
        ShapeError,
        "conv2d: input (2, 5, 5) against weight (8, 1, 3, 3): 2 channels arrive, 1 is expected",
    ),
    (
        lambda: tg.conv2d(np.zeros((2, 4, 5, 5)), np.zeros((8, 4, 3, 3)), groups=2),
        ShapeError,
        "conv2d: input (2, 4, 5, 5) against weight (8, 4, 3, 3) in 2 groups: 4 channels arrive, 8 are expected",
    ),
    (
        lambda: tg.conv2d(np.zeros((2, 4, 5, 5)), np.zeros((3, 2, 3, 3)), groups=2),
        ShapeError,
        "conv2d: weight (3, 2, 3, 3): 3 channels cannot be split into 2 groups",
    ),
    (
        lambda: tg.conv2d(IMAGE, np.zeros((8, 1, 3, 3)), np.zeros(3)),
        ShapeError,
        "conv2d: bias (3,) against weight (8, 1, 3, 3): 8 numbers are expected, one for each output channel",
    ),
    (
        lambda: tg.conv2d(IMAGE[0, 0], np.zeros((8, 1, 3, 3))),
        ShapeError,
        "conv2d: input (28, 28): (samples, channels, height, width) is expected, or one sample without the first axis",
    ),
    (
        lambda: tg.conv2d(IMAGE, np.zeros((8, 9))),
        ShapeError,
        "conv2d: weight (8, 9): 4 axes are expected, at the end the window's height and width",
    ),
    (
        lambda: tg.conv2d(np.zeros((1, 1, 4, 4)), np.zeros((1, 1, 3, 3)), dilation=3, padding=1),
        ShapeError,
        "conv2d: a window of 7x7 (dilation (3, 3)) does not fit into an image of 6x6 with its padding",
    ),
    (lambda: tg.conv2d(IMAGE, np.zeros((8, 1, 3, 3)), stride=0), ValueError, "conv2d: stride=0: a positive integer"),
    (lambda: tg.conv2d(IMAGE, np.zeros((8, 1, 3, 3)), padding=(1, -1)), ValueError, "conv2d: padding=(1, -1)"),
    (lambda: tg.conv2d(IMAGE, np.zeros((8, 1, 3, 3)), dilation=1.5), ValueError, "conv2d: dilation=1.5"),
    (lambda: tg.conv2d(IMAGE, np.zeros((8, 1, 3, 3)), stride=(1, 2, 3)), ValueError, "conv2d: stride=(1, 2, 3)"),
    (lambda: tg.conv2d(IMAGE, np.zeros((8, 1, 3, 3)), groups=0), ValueError, "conv2d: groups=0"),
    (lambda: tg.conv2d(IMAGE, np.zeros((8, 1, 3, 3)), padding="full"), ValueError, "'same', 'valid' or numbers"),
    (
        lambda: tg.conv2d(IMAGE, np.zeros((8, 1, 3, 3)), padding="same", stride=2),
        ValueError,
        "conv2d: padding='same' with stride (2, 2): only stride 1 keeps the size",
    ),
    (
        lambda: tg.conv1d(np.zeros((2, 4, 9)), np.zeros((3, 2, 3))),
        ShapeError,
        "conv1d: input (2, 4, 9) against weight (3, 2, 3): 4 channels arrive, 2 are expected",
    ),
    (
        lambda: tg.conv_transpose2d(np.zeros((2, 4, 5, 5)), np.zeros((3, 4, 2, 2))),
        ShapeError,
        "conv_transpose2d: input (2, 4, 5, 5) against weight (3, 4, 2, 2): 4 channels arrive, 3 are expected",
    ),
    (
        lambda: tg.conv_transpose2d(np.zeros((2, 3, 5, 5)), np.zeros((3, 4, 2, 2)), output_padding=1),
        ValueError,
        "conv_transpose2d: output_padding (1, 1): smaller than stride or dilation is expected",
    ),
    (
        lambda: tg.conv_transpose2d(np.zeros((2, 3, 1, 1)), np.zeros((3, 4, 2, 2)), padding=1),
        ShapeError,
        "conv_transpose2d: padding (1, 1) leaves nothing of the output, whose size would be [0, 0]",
    ),
    (lambda: tg.unfold(np.zeros((1, 1, 2, 2)), 3), ShapeError, "unfold: a window of 3x3 does not fit into an image of"),
    (lambda: tg.fold(np.zeros((1, 5, 4)), 3, 2), ShapeError, "fold: input (1, 5, 4): 5 rows are no multiple of 2 x 2"),
    (
        lambda: tg.fold(np.zeros((1, 4, 5)), 3, 2),
        ShapeError,
        "fold: input (1, 4, 5): 5 columns, but 2 x 2 windows stand on an image of 3x3",
    ),
    (lambda: tg.fold(np.zeros(4), 3, 2), ShapeError, "fold: input (4,)"),
    (lambda: tg.max_pool2d(np.zeros((1, 1, 2, 2)), 3), ShapeError, "max_pool2d: a window of 3x3 does not fit"),
    (
        lambda: tg.max_pool2d(np.zeros((1, 1, 9, 9)), 3, padding=2),
        ValueError,
        "max_pool2d: padding 2: at most half of the window 3 is expected",
    ),
    (
        lambda: tg.max_pool2d(np.zeros((1, 1, 2, 2)), 2, 1, padding=1, dilation=3),
        ShapeError,
        "a window on an image of 2x2 sees nothing but padding",
    ),
    (lambda: tg.max_pool1d(np.zeros(5), 2), ShapeError, "max_pool1d: input (5,): (samples, channels, length)"),
    (lambda: tg.avg_pool2d(np.zeros((1, 1, 4, 4)), 2, divisor_override=0), ValueError, "divisor_override=0"),
    (
        lambda: tg.batch_norm(np.zeros((4, 3)), np.zeros(2), np.ones(2)),
        ShapeError,
        "batch_norm: running_mean of shape (2,) for an input of shape (4, 3): (3,) is expected",
    ),
    (lambda: tg.batch_norm(np.zeros(3)), ShapeError, "batch_norm: input (3,): (samples, channels, ...) is expected"),
    (
        lambda: tg.batch_norm(np.zeros((1, 3)), training=True),
        ValueError,
        "batch_norm: input (1, 3) has 1 number for each channel; training needs at least 2",
    ),
    (lambda: tg.batch_norm(np.zeros((0, 3)), training=True), ValueError, "has 0 numbers for each channel"),
    (lambda: tg.batch_norm(np.zeros((4, 3)), np.zeros(3)), ValueError, "give both running_mean and running_var"),
    (
        lambda: tg.layer_norm(np.zeros((4, 3)), 4),
        ShapeError,
        "layer_norm: input (4, 3) does not end in the normalized shape (4,)",
    ),
    (lambda: tg.layer_norm(np.zeros((4, 3)), 3, np.zeros(4)), ShapeError, "layer_norm: weight of shape (4,)"),
    (lambda: tg.layer_norm(np.zeros((4, 3)), ()), ShapeError, "layer_norm: input (4, 3) does not end in"),
    (
        lambda: tg.group_norm(np.zeros((4, 3)), 2),
        ShapeError,
        "group_norm: 3 channels of input (4, 3) in 2 groups of equal size",
    ),
    (lambda: tg.standardize(np.zeros((4, 3), int)), DtypeError, "standardize: dtype int64: floats are expected"),
    (lambda: tg.standardize(np.zeros((4, 3)), axis=2), ShapeError, "standardize: axis 2 of a tensor of shape (4, 3)"),
    (
        lambda: tg.embedding([0, 1, 10], np.zeros((10, 4))),
        ValueError,
        "embedding: label 10 at position 2 is outside 0..9 for a table of shape (10, 4)",
    ),
    (lambda: tg.embedding([[0], [-1]], np.zeros((10, 4))), ValueError, "embedding: label -1 at position 1 is outside"),
    (lambda: tg.embedding([0.0], np.zeros((10, 4))), DtypeError, "embedding: labels of dtype float64: integers"),
    (lambda: tg.embedding([0], np.zeros(10)), ShapeError, "embedding: table (10,): (rows, features) is expected"),
    (lambda: tg.embedding([0], np.zeros((10, 4)), 10), ValueError, "embedding: padding_idx 10 is outside the table"),
    (
        lambda: functional.scaled_dot_product_attention(np.zeros((4, 3)), np.zeros((5, 2)), np.zeros((5, 2))),
        ShapeError,
        "attention: query (4, 3) against key (5, 2)",
    ),
    (
        lambda: tg.attention_weights(np.zeros((4, 3)), np.zeros((5, 3)), np.ones((5, 4), bool)),
        ShapeError,
        "attention: mask (5, 4) for scores of shape (4, 5)",
    ),
    (
        lambda: tg.attention_weights(np.zeros((4, 3)), np.zeros((5, 3)), np.ones((4, 5), int)),
        DtypeError,
        "attention: mask of dtype int64: booleans or floats are expected",
    ),
    (
        lambda: tg.attention_weights(np.zeros((4, 3)), np.zeros((5, 3)), np.ones((4, 5), bool), is_causal=True),
        ValueError,
        "attention: give attn_mask or is_causal=True, not both",
    ),
]


@pytest.mark.parametrize(("call", "kind", "sentence"), ERRORS, ids=[e[2][:40] for e in ERRORS])
def test_mistakes_get_a_sentence(call: Callable[[], Any], kind: type[Exception], sentence: str) -> None:
    with pytest.raises(kind, match=re.escape(sentence)):
        call()


@pytest.mark.parametrize(
    ("f", "stale"),
    [
        (lambda x, w: tg.conv2d(x, w), "both"),
        (lambda x, w: tg.conv_transpose2d(x, w), "both"),
        (lambda x, w: tg.max_pool2d(x, 2), "x"),
        (lambda x, w: tg.standardize(x), "none"),  # it reads its output
        (lambda x, w: tg.avg_pool2d(x, 2), "none"),
        (lambda x, w: tg.unfold(x, 2), "none"),
    ],
    ids=["conv2d", "conv_transpose2d", "max_pool2d", "standardize", "avg_pool2d", "unfold"],
)
def test_edited_inputs_are_noticed(f: Callable[..., Any], stale: str) -> None:
    """By those rules that read them, and only by those."""
    for edited in ("x", "w"):
        x, w = leaf(2, 3, 4, 4), leaf(3, 3, 2, 2, seed=1)
        y = f(x, w)
        with tg.no_grad():
            (x if edited == "x" else w).data += 1
        if stale in (edited, "both"):
            with pytest.raises(GraphError, match="was edited"):
                y.backward(np.ones(y.shape))
        else:
            y.backward(np.ones(y.shape))


def test_a_bias_may_be_edited() -> None:
    x, w, b = leaf(2, 3, 4, 4), leaf(3, 3, 2, 2, seed=1), leaf(3)
    y = tg.conv2d(x, w, b)
    b.data += 1
    y.backward(np.ones(y.shape))
    np.testing.assert_array_equal(b.grad, [18, 18, 18])
