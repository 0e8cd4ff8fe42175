"""Scalar graphs in plain Python floats: forward, and backward written out, without any record of operations."""

from __future__ import annotations

import numpy as np

from tests.bench.workloads import Array, Workload


class Scalars:
    """Node k takes node k - back and one of the given scalars: their product, their sum, or its ReLU, in turn."""

    def __init__(self, workload: Workload, params: list[Array]) -> None:
        self.scalars = params[0].tolist()
        self.wiring = workload.X.tolist()
        self.gradient = [0.0] * len(self.scalars)

    def run(self) -> float:
        scalars, n = self.scalars, len(self.wiring)
        values = [scalars[0]]
        for k, (back, i) in enumerate(self.wiring):
            a = values[-back]
            values.append(a * scalars[i] if k % 3 == 0 else a + scalars[i] if k % 3 == 1 else max(a, 0.0))
        gradients = [0.0] * (n + 1)
        gradients[n] = 1.0
        of_scalars = [0.0] * len(scalars)
        for k in range(n - 1, -1, -1):
            g = gradients[k + 1]
            back, i = self.wiring[k]
            at = k + 1 - back
            if k % 3 == 0:
                gradients[at] += g * scalars[i]
                of_scalars[i] += g * values[at]
            elif k % 3 == 1:
                gradients[at] += g
                of_scalars[i] += g
            elif values[at] > 0:
                gradients[at] += g
        of_scalars[0] += gradients[0]
        self.gradient = of_scalars
        return values[n]

    def state(self) -> list[Array]:
        return [np.array(self.gradient)]


class Chain:
    """y <- y a, y <- y + a, and so on, with a = 1.0000001."""

    def __init__(self, workload: Workload, params: list[Array]) -> None:
        self.a, self.n = 1.0000001, workload.nodes
        self.gradient = 0.0

    def run(self) -> float:
        a, y, before = self.a, self.a, []
        for _ in range(self.n // 2):
            before.append(y)
            y = y * a
            y = y + a
        g, of_a = 1.0, 0.0
        for y0 in reversed(before):
            of_a += g + g * y0
            g *= a
        self.gradient = of_a + g
        return y

    def state(self) -> list[Array]:
        return [np.array(self.gradient)]
