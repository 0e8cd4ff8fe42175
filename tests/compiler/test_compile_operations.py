"""Every operation, forward and backward, compiled and eager: on the numbers of the first call, and on others."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import tinygrad_edu as tg
from tinygrad_edu.op import OPS, Op, Sample

CASES = [(name, i, op, s) for name, op in OPS.items() if op.differentiable for i, s in enumerate(op.samples)]


def is_float(x: Any) -> bool:
    return isinstance(x, np.ndarray | np.floating) and np.asarray(x).dtype.kind == "f"


@pytest.mark.parametrize(("name", "i", "op", "s"), CASES, ids=[f"{name}-{i}" for name, i, _, _ in CASES])
def test_every_operation(name: str, i: int, op: Op[Any], s: Sample) -> None:
    """The same value and gradients bit for bit, in the first call and in one with other numbers."""
    rng = np.random.default_rng(i)
    draws = [s.draw(rng) for _ in range(2)]
    floats = [k for k, x in enumerate(draws[0]) if is_float(x)]
    shape = np.shape(op(*draws[0], **s.params))
    weight = rng.normal(size=shape)

    def step(*leaves: Any) -> Any:
        inputs: list[Any] = list(draws[0])
        for k, leaf in zip(floats, leaves):
            leaf.grad = None
            inputs[k] = leaf
        loss = (op(*inputs, **s.params) * weight).sum()
        loss.backward()
        return loss

    compiled = tg.compile(step)
    for draw in draws:
        eager, ours = ([tg.Tensor(draw[k], requires_grad=True) for k in floats] for _ in range(2))
        a, b = step(*eager), compiled(*ours)
        np.testing.assert_array_equal(a._data, b._data, strict=True)
        for x, y in zip(eager, ours):
            assert (x.grad is None) == (y.grad is None)
            if x.grad is not None:
                np.testing.assert_array_equal(x.grad, y.grad, strict=True)
    assert compiled.functions == 1
