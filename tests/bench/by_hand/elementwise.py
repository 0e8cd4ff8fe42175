"""Value and gradient of sum(tanh(sigmoid(x) x + exp(-x x))), in memory that is taken once."""

from __future__ import annotations

import numpy as np

from tests.bench.workloads import Array, Workload


class Elementwise:
    """With s = sigmoid(x), q = s x, u = exp(-x x), t = tanh(q + u):  dL/dx = (1 - t t) (s + q (1 - s) - 2 x u)."""

    def __init__(self, workload: Workload, params: list[Array]) -> None:
        self.x = workload.X
        self.gradient = params[0]
        self.memory = [np.empty_like(self.x) for _ in range(4)]

    def run(self) -> float:
        x, g = self.x, self.gradient
        s, u, q, t = self.memory
        np.negative(x, out=s)
        np.multiply(s, x, out=u)
        np.exp(u, out=u)
        np.exp(s, out=s)
        s += 1
        np.reciprocal(s, out=s)
        np.multiply(s, x, out=q)
        np.add(q, u, out=t)
        np.tanh(t, out=t)
        loss = t.sum()
        t *= t
        np.subtract(1, t, out=t)
        np.subtract(1, s, out=g)
        g *= q
        g += s
        u *= x
        u *= 2
        g -= u
        g *= t
        return float(loss)

    def state(self) -> list[Array]:
        return [self.gradient]
