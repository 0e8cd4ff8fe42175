"""Optimisers' updates in NumPy, in place: shared by the steps by hand and by peers that bring no optimiser.

The gradients are used up: their memory serves as scratch.
"""

from __future__ import annotations

import math

import numpy as np

from tests.bench.workloads import BETAS, EPS, MOMENTUM, Array


class SGD:
    """p <- p - lr g."""

    def __init__(self, params: list[Array], lr: float) -> None:
        self.params, self.lr = params, lr

    def __call__(self, gradients: list[Array]) -> None:
        for p, g in zip(self.params, gradients):
            g *= self.lr
            p -= g


class Momentum(SGD):
    """v <- mu v + g, p <- p - lr v."""

    def __init__(self, params: list[Array], lr: float) -> None:
        super().__init__(params, lr)
        self.v = [np.zeros_like(p) for p in params]

    def __call__(self, gradients: list[Array]) -> None:
        for p, g, v in zip(self.params, gradients, self.v):
            v *= MOMENTUM
            v += g
            np.multiply(v, self.lr, out=g)
            p -= g


class Adam(SGD):
    """m <- b1 m + (1 - b1) g, v <- b2 v + (1 - b2) g^2, p <- p - lr m' / (sqrt(v') + eps), with m', v' unbiased."""

    def __init__(self, params: list[Array], lr: float) -> None:
        super().__init__(params, lr)
        self.m = [np.zeros_like(p) for p in params]
        self.v = [np.zeros_like(p) for p in params]
        self.t = 0
        buffer = np.empty(max(p.size for p in params), params[0].dtype)
        self.scratch = [buffer[: p.size].reshape(p.shape) for p in params]

    def __call__(self, gradients: list[Array]) -> None:
        self.t += 1
        b1, b2 = BETAS
        root = math.sqrt(1 - b2**self.t)
        rate = self.lr * root / (1 - b1**self.t)
        for p, g, m, v, s in zip(self.params, gradients, self.m, self.v, self.scratch):
            np.multiply(g, 1 - b1, out=s)
            m *= b1
            m += s
            g *= g
            g *= 1 - b2
            v *= b2
            v += g
            np.sqrt(v, out=s)
            s += EPS * root
            np.divide(m, s, out=s)
            s *= rate
            p -= s
