"""Random programs: some dozen operations after one another, forward and backward, compiled and eager."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tinygrad_edu as tg

ONE: list[Callable[[Any], Any]] = [
    tg.exp, tg.tanh, tg.sigmoid, tg.relu, tg.softplus, tg.gelu, tg.square, tg.abs, tg.negative, tg.silu, tg.sin,
    lambda x: x * 1.0, lambda x: 2 * x + 1, lambda x: -x / 3, lambda x: x**2, lambda x: 1 / (1 + x * x),
    lambda x: x - x.mean(axis=0), lambda x: x.T.copy().T, lambda x: x[::-1], lambda x: x.reshape(-1).reshape(x.shape),
    lambda x: tg.softmax(x, axis=0), lambda x: tg.log_softmax(x), lambda x: x - x.max(axis=1, keepdims=True),
    lambda x: tg.where(x > 0, x, 0.5 * x), lambda x: tg.cumsum(x, axis=0), lambda x: x.detach() * x,
    lambda x: tg.sqrt(x * x + 1), lambda x: tg.log(1 + x * x), lambda x: tg.flip(x, 1), lambda x: tg.roll(x, 1, axis=0),
    lambda x: tg.clip(x, -1, 1), lambda x: x.sum(axis=1, keepdims=True) + 0 * x, lambda x: tg.standardize(x),
    lambda x: tg.sort(x, axis=0), lambda x: x @ (x.T @ x) / 10, lambda x: tg.concatenate([x[:2], x[2:]]),
]  # fmt: skip
TWO: list[Callable[[Any, Any], Any]] = [
    lambda a, b: a + b, lambda a, b: a - b, lambda a, b: a * b, lambda a, b: a / (1 + b * b), lambda a, b: a + -b,
    tg.maximum, tg.minimum, lambda a, b: a @ (b.T @ a) / 10, lambda a, b: tg.where(a > b, a, b), lambda a, b: a - (-b),
    lambda a, b: tg.hypot(a, b + 3), lambda a, b: a + b[0], lambda a, b: a * b[:, :1], lambda a, b: a.mean() * b,
]  # fmt: skip


def program(seed: int) -> Callable[..., Any]:
    """A step of random operations on three inputs, each of shape (4, 3); values stay moderate."""
    rng = np.random.default_rng(seed)
    plan = []
    for _ in range(int(rng.integers(6, 30))):
        if rng.random() < 0.5:
            plan.append((ONE[rng.integers(len(ONE))], [int(rng.integers(0, 1000))]))
        else:
            plan.append((TWO[rng.integers(len(TWO))], [int(rng.integers(0, 1000)) for _ in range(2)]))
    weight = rng.normal(size=(4, 3))
    keep = int(rng.integers(0, 1000))

    def step(*leaves: Any) -> Any:
        values = list(leaves)
        for function, places in plan:
            y = function(*(values[-1 - place % min(6, len(values))] for place in places))
            values.append(tg.tanh(y) if abs(places[0]) % 3 == 0 else y / (1 + tg.abs(y).mean()))
        for x in leaves:
            x.grad = None
        loss = (values[-1] * weight).sum() + values[keep % len(values)].mean()
        loss.backward()
        return loss, values[-1].detach(), values[keep % len(values)].detach()

    return step


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("seed", range(60))
def test_random_programs(seed: int, dtype: Any) -> None:
    """Results and gradients are equal bit for bit on the first numbers, and on two others."""
    step = program(seed)
    compiled = tg.compile(step)
    for k in range(3):
        draws = [np.random.default_rng([seed, k, i]).normal(size=(4, 3)).astype(dtype) for i in range(3)]
        eager, ours = ([tg.Tensor(x, requires_grad=True) for x in draws] for _ in range(2))
        with np.errstate(all="ignore"):
            expected = step(*eager)
        found = compiled(*ours)
        for a, b in zip(expected, found):
            np.testing.assert_array_equal(a.numpy(), b.numpy(), strict=True)
        for x, y in zip(eager, ours):
            assert (x.grad is None) == (y.grad is None)
            if x.grad is not None:
                np.testing.assert_array_equal(x.grad, y.grad, strict=True)
    assert compiled.functions == 1
