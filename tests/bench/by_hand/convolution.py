"""Windows of 3x3, ReLU, 2x2 max-pooling, a linear layer: in the order of the equations, rearranged, as in textbooks."""

from __future__ import annotations

import numpy as np
from numpy.lib.stride_tricks import as_strided, sliding_window_view

from tests.bench.by_hand.networks import softmax_loss
from tests.bench.by_hand.updates import SGD
from tests.bench.workloads import Array, Workload

FILTERS, SIDE = 8, 26  # SIDE x SIDE windows in an image
HALF = SIDE // 2


class Convolution:
    """The windows are copied into columns (im2col): a product of small matrices for each sample.

    One product for all samples, (8, 9) by (9, 21632), takes a third longer, and ten times as long if another process
    wants one of the cores: it is split over BLAS's threads.
    """

    def __init__(self, workload: Workload, params: list[Array]) -> None:
        self.X, self.labels = workload.X, workload.targets
        n = len(self.X)
        self.rows = np.arange(n)
        self.params = params
        self.windows = self._windows()
        self.columns, self.Y, self.dY = (np.empty((n, m, SIDE, SIDE), np.float32) for m in (9, FILTERS, FILTERS))
        self.left = np.empty((n, FILTERS, SIDE, HALF), np.float32)
        self.pooled, self.dpooled = (np.empty((n, FILTERS, HALF, HALF), np.float32) for _ in range(2))
        self.Z = np.empty((n, 10), np.float32)
        self.dw = np.empty((n, FILTERS, 9), np.float32)  # of each sample
        self.gradients = [np.empty_like(p) for p in params]
        self.optimize = SGD(params, workload.lr)

    def _windows(self) -> Array:
        return sliding_window_view(self.X[:, 0], (3, 3), axis=(1, 2)).transpose(0, 3, 4, 1, 2)

    def run(self) -> float:
        self.columns.reshape(self.windows.shape)[...] = self.windows
        n = len(self.X)
        w, b, W, c = self.params
        dw, db, dW, dc = self.gradients
        columns = self.columns.reshape(n, 9, -1)
        np.matmul(w.reshape(FILTERS, 9), columns, out=self.Y.reshape(n, FILTERS, -1))
        self.pool(b)
        H = self.pooled.reshape(n, -1)
        Z = np.matmul(H, W, out=self.Z)
        Z += c
        loss = softmax_loss(Z, self.rows, self.labels)
        np.matmul(H.T, Z, out=dW)
        Z.sum(axis=0, out=dc)
        delta = np.matmul(Z, W.T, out=self.dpooled.reshape(n, -1))
        delta *= H > 0
        self.unpool()
        np.matmul(self.dY.reshape(n, FILTERS, -1), columns.swapaxes(1, 2), out=self.dw)
        self.dw.sum(axis=0, out=dw.reshape(FILTERS, 9))
        self.dpooled.sum(axis=(0, 2, 3), out=db)  # what does not reach the largest of four is 0
        self.optimize(self.gradients)
        return loss

    def pool(self, b: Array) -> None:
        """Bias, ReLU, and the largest of four neighbours."""
        Y = self.Y
        Y += b[:, None, None]
        np.maximum(Y, 0, out=Y)
        np.maximum(Y[..., ::2], Y[..., 1::2], out=self.left)
        np.maximum(self.left[:, :, ::2], self.left[:, :, 1::2], out=self.pooled)

    def unpool(self) -> None:
        """The gradient goes to the largest of the four."""
        for i in (0, 1):
            for j in (0, 1):
                part = self.Y[:, :, i::2, j::2]
                np.multiply(self.dpooled, part == self.pooled, out=self.dY[:, :, i::2, j::2])

    def state(self) -> list[Array]:
        return self.params


class Rearranged(Convolution):
    """The four neighbours that are pooled lie in four blocks, and bias and ReLU come behind the pooling: fewer numbers.

    It is a sixth quicker, but not the step by hand: what ReLU returns before pooling never exists.
    """

    def _windows(self) -> Array:
        n = len(self.X)
        samples, _, down, across = self.X.strides
        strides = (samples, down, across, down, across, 2 * down, 2 * across)
        return as_strided(self.X, (n, 3, 3, 2, 2, HALF, HALF), strides)

    def _blocks(self, Y: Array) -> Array:
        return Y.reshape(len(Y), FILTERS, 4, -1)

    def pool(self, b: Array) -> None:
        Y = self._blocks(self.Y)
        pooled = self.pooled.reshape(len(Y), FILTERS, -1)
        np.maximum(Y[:, :, 0], Y[:, :, 1], out=pooled)
        np.maximum(pooled, Y[:, :, 2], out=pooled)
        np.maximum(pooled, Y[:, :, 3], out=pooled)
        self.largest = pooled[:, :, None] == Y
        pooled += b[:, None]
        np.maximum(pooled, 0, out=pooled)

    def unpool(self) -> None:
        delta = self.dpooled.reshape(len(self.X), FILTERS, 1, -1)
        np.multiply(self.largest, delta, out=self._blocks(self.dY))


class Textbook:
    """As textbooks write it: the columns of all samples in one matrix, and a new array for each line."""

    def __init__(self, workload: Workload, params: list[Array]) -> None:
        self.X, self.labels, self.lr = workload.X, workload.targets, workload.lr
        self.params = params

    def run(self) -> float:
        n, rows = len(self.X), np.arange(len(self.X))
        w, b, W, c = self.params
        columns = sliding_window_view(self.X[:, 0], (3, 3), axis=(1, 2)).reshape(-1, 9)
        Y = (columns @ w.reshape(FILTERS, 9).T + b).reshape(n, SIDE, SIDE, FILTERS).transpose(0, 3, 1, 2)
        H = np.maximum(Y, 0)
        fours = H.reshape(n, FILTERS, HALF, 2, HALF, 2)
        pooled = fours.max(axis=(3, 5), keepdims=True)
        flat = pooled.reshape(n, -1)
        Z = flat @ W + c
        e = np.exp(Z - Z.max(axis=1, keepdims=True))
        p = e / e.sum(axis=1, keepdims=True)
        loss = -np.log(p[rows, self.labels]).mean()
        delta = p
        delta[rows, self.labels] -= 1
        delta /= n
        dpooled = (delta @ W.T).reshape(pooled.shape)
        dH = ((fours == pooled) * dpooled).reshape(H.shape)
        dY = (dH * (Y > 0)).transpose(0, 2, 3, 1).reshape(-1, FILTERS)
        gradients = (dY.T @ columns).reshape(w.shape), dY.sum(axis=0), flat.T @ delta, delta.sum(axis=0)
        for param, gradient in zip(self.params, gradients):
            param -= self.lr * gradient
        return float(loss)

    def state(self) -> list[Array]:
        return self.params
