"""`tg.detect_anomaly()` names the operation and the user's line that first made a NaN or an infinity."""

import numpy as np
import pytest

import tinygrad_edu as tg


def test_forward() -> None:
    x = tg.Tensor([[1.0, 0.0], [2.0, 3.0]], requires_grad=True)
    with tg.detect_anomaly(), np.errstate(all="ignore"):
        y = x * 2
        with pytest.raises(
            tg.AnomalyError,
            match=r"^log: made an infinity \(1 of 4 elements, the first at \(0, 1\)\) in the forward pass, at "
            r"test_anomaly\.py:\d+: tg\.log\(y\)",
        ):
            tg.log(y)
        with pytest.raises(tg.AnomalyError, match=r"^subtract: made NaN .*at test_anomaly\.py"):
            (x + np.inf) - np.inf


def test_backward_names_the_line_of_the_forward_call() -> None:
    x = tg.Tensor([0.0, 4.0], requires_grad=True)
    with tg.detect_anomaly():
        y = tg.sqrt(x)
        with pytest.raises(
            tg.AnomalyError,
            match=r"^sqrt: the gradient for input 1 is an infinity \(1 of 2 elements, the first at \(0,\)\); the "
            r"operation was called at test_anomaly\.py:\d+: y = tg\.sqrt\(x\)",
        ):
            y.sum().backward()
    assert x.grad is None
    y.sum().backward()  # outside, it is what it is
    assert np.isinf(x.grad[0])


def test_second_order_and_which_input() -> None:
    x = tg.Tensor([1.0, 2.0], requires_grad=True)
    y = tg.Tensor([0.0, 1.0], requires_grad=True)
    with tg.detect_anomaly(), np.errstate(all="ignore"):
        h = tg.hypot(x, y)
        (g,) = tg.grad(h.sum(), x, create_graph=True)
        assert np.isfinite(g.data).all()
        with pytest.raises(tg.AnomalyError, match=r"^power: the gradient for input 2 is NaN"):
            ((x * -1) ** (y + 2)).sum().backward()


def test_what_is_infinite_already_is_passed_on_and_nan_is_found() -> None:
    mask = np.array([0.0, -np.inf])
    x = tg.Tensor([1.0, 2.0], requires_grad=True)
    with tg.detect_anomaly():
        p = tg.softmax(x + mask)
        (p * [1.0, 2.0]).sum().backward()
        with pytest.raises(tg.AnomalyError, match=r"^multiply: input 2 is NaN \(1 of 2 elements"):
            x * np.array([1.0, np.nan])


def test_it_ends_with_the_block() -> None:
    with tg.detect_anomaly():
        pass
    with np.errstate(divide="ignore"):
        assert np.isinf(tg.log(tg.Tensor([0.0])).data).all()
