"""Classifiers: layers with ReLU, softmax and mean cross-entropy in one; and the product of (a)'s Hessian."""

from __future__ import annotations

import numpy as np

from tests.bench.by_hand.updates import SGD, Adam, Momentum
from tests.bench.workloads import Array, Workload


def softmax_loss(Z: Array, rows: Array, labels: Array) -> float:
    """The loss, and in place of the logits Z its gradient (P - T) / n."""
    n = len(Z)
    Z -= np.maximum.reduce(Z, axis=1, keepdims=True)  # as Z.max(...), but without a call in Python: 0.5 us
    own = np.add.reduce(Z[rows, labels])
    np.exp(Z, out=Z)
    total = np.add.reduce(Z, axis=1, keepdims=True)
    loss = (np.add.reduce(np.log(total), axis=None) - own) / n
    Z /= total
    Z[rows, labels] -= 1
    Z *= 1 / n
    return float(loss)


class OneHidden:
    """A network with one hidden layer, written out line by line; SGD."""

    def __init__(self, workload: Workload, params: list[Array]) -> None:
        self.X, self.labels, self.lr = workload.X, workload.targets, workload.lr
        self.rows = np.arange(len(self.X))
        self.params = params
        self.dW1, self.dW2 = np.empty_like(params[0]), np.empty_like(params[2])

    def run(self) -> float:
        X, lr = self.X, self.lr
        W1, b1, W2, b2 = self.params
        H = X @ W1
        H += b1
        np.maximum(H, 0, out=H)
        Z = H @ W2
        Z += b2
        loss = softmax_loss(Z, self.rows, self.labels)
        dW2 = np.matmul(H.T, Z, out=self.dW2)
        db2 = np.add.reduce(Z, axis=0)
        delta = Z @ W2.T
        delta *= H > 0
        dW1 = np.matmul(X.T, delta, out=self.dW1)
        db1 = np.add.reduce(delta, axis=0)
        dW1 *= lr
        W1 -= dW1
        db1 *= lr
        b1 -= db1
        dW2 *= lr
        W2 -= dW2
        db2 *= lr
        b2 -= db2
        return loss

    def state(self) -> list[Array]:
        return self.params


class Tricks(OneHidden):
    """The same step with all that the engine and the compiler know about NumPy's calls.

    Numbers are arrays of shape (), sums are products with ones, the largest of a row is found by its position, small
    products are `dot`: each saves half a microsecond, and nobody would write it like this by hand.
    """

    def __init__(self, workload: Workload, params: list[Array]) -> None:
        super().__init__(workload, params)
        n, classes = len(self.X), len(params[3])
        self.zero, self.one, self.share, self.rate = (np.array(x, np.float32) for x in (0, 1, 1 / n, workload.lr))
        self.ones, self.row = np.ones(n, np.float32), np.ones(classes, np.float32)
        self.starts = np.arange(0, n * classes, classes)
        self.dH, self.alive = np.empty((n, len(params[1])), np.float32), np.empty((n, len(params[1])), bool)

    def run(self) -> float:
        X, zero, ones, rate, starts = self.X, self.zero, self.ones, self.rate, self.starts
        W1, b1, W2, b2 = self.params
        H = X @ W1
        H += b1
        np.maximum(H, zero, out=H)
        Z = H.dot(W2)
        Z += b2
        Z -= Z.take(Z.argmax(1) + starts).reshape(-1, 1)
        own = starts + self.labels
        loss = ones.dot(Z.take(own))
        np.exp(Z, out=Z)
        total = Z.dot(self.row)
        Z /= total.reshape(-1, 1)
        loss = (ones.dot(np.log(total, out=total)) - loss) / len(X)
        Z.put(own, Z.take(own) - self.one)
        Z *= self.share
        dW2, db2 = H.T.dot(Z), ones.dot(Z)
        delta = Z.dot(W2.T, self.dH)
        delta *= np.greater(H, zero, out=self.alive)
        dW1, db1 = np.matmul(X.T, delta, self.dW1), ones.dot(delta)
        for p, g in zip(self.params, (dW1, db1, dW2, db2)):
            g *= rate
            p -= g
        return float(loss)


class Classifier:
    """A network of any depth, in memory that is taken once."""

    update: type[SGD] = SGD

    def __init__(self, workload: Workload, params: list[Array]) -> None:
        self.X, self.labels = workload.X, workload.targets
        self.rows = np.arange(len(self.X))
        self.params = params
        self.W, self.b = params[::2], params[1::2]
        self.H = [np.empty((len(self.X), len(b)), b.dtype) for b in self.b]  # the last one: logits; then deltas
        self.gradients = [np.empty_like(p) for p in params]
        self.optimize = self.update(params, workload.lr)

    def run(self) -> float:
        inputs = [self.X, *self.H]
        last = len(self.W) - 1
        for i, (W, b) in enumerate(zip(self.W, self.b)):
            H = np.matmul(inputs[i], W, out=self.H[i])
            H += b
            if i < last:
                np.maximum(H, 0, out=H)
        delta = self.H[last]
        loss = softmax_loss(delta, self.rows, self.labels)
        for i in range(last, -1, -1):
            np.matmul(inputs[i].T, delta, out=self.gradients[2 * i])
            np.add.reduce(delta, axis=0, out=self.gradients[2 * i + 1])
            if i:
                alive = inputs[i] > 0
                delta = np.matmul(delta, self.W[i].T, out=inputs[i])
                delta *= alive
        self.optimize(self.gradients)
        return loss

    def state(self) -> list[Array]:
        return self.params


class AdamClassifier(Classifier):
    update = Adam


class MomentumClassifier(Classifier):
    update = Momentum


class Products(Classifier):
    """The products of matrices of a step, and nothing else: no step can be quicker than its BLAS."""

    def run(self) -> float:
        inputs = [self.X, *self.H]
        for i, W in enumerate(self.W):
            np.matmul(inputs[i], W, out=self.H[i])
        delta = self.H[-1]
        for i in range(len(self.W) - 1, -1, -1):
            np.matmul(inputs[i].T, delta, out=self.gradients[2 * i])
            if i:
                delta = np.matmul(delta, self.W[i].T, out=inputs[i])
        return float("nan")


class HessianProduct:
    """H v of a network with one hidden layer: each line of the gradient, and its derivative along v (Pearlmutter 1994).

    With R{.} that derivative: R{X W1 + b1} = X V1 + c1, and so on, forward and backward.
    """

    def __init__(self, workload: Workload, params: list[Array]) -> None:
        self.X, self.labels = workload.X, workload.targets
        self.rows = np.arange(len(self.X))
        self.params = params
        self.products = [np.empty_like(p) for p in params[:4]]

    def run(self) -> float:
        X, n = self.X, len(self.X)
        W1, b1, W2, b2, V1, c1, V2, c2 = self.params
        HV1, Hc1, HV2, Hc2 = self.products
        H = X @ W1
        H += b1
        np.maximum(H, 0, out=H)
        alive = H > 0
        RH = X @ V1
        RH += c1
        RH *= alive
        Z = H @ W2
        Z += b2
        RZ = RH @ W2
        RZ += H @ V2
        RZ += c2

        Z -= np.maximum.reduce(Z, axis=1, keepdims=True)
        own = np.add.reduce(Z[self.rows, self.labels])
        P = np.exp(Z, out=Z)
        total = np.add.reduce(P, axis=1, keepdims=True)
        loss = (np.add.reduce(np.log(total), axis=None) - own) / n
        P /= total
        RP = P * RZ  # R{P} = P (R{Z} - sum(P R{Z}))
        RP -= P * np.add.reduce(RP, axis=1, keepdims=True)
        RP *= 1 / n
        P[self.rows, self.labels] -= 1
        P *= 1 / n

        np.matmul(H.T, RP, out=HV2)
        HV2 += RH.T @ P
        np.add.reduce(RP, axis=0, out=Hc2)
        Rdelta = RP @ W2.T
        Rdelta += P @ V2.T
        Rdelta *= alive
        np.matmul(X.T, Rdelta, out=HV1)
        np.add.reduce(Rdelta, axis=0, out=Hc1)
        return float(loss)

    def state(self) -> list[Array]:
        return self.products


class Tiny:
    """One hidden ReLU layer, one output, sigmoid and binary cross-entropy in one; SGD."""

    def __init__(self, workload: Workload, params: list[Array]) -> None:
        self.X, self.t, self.lr = workload.X, workload.targets, workload.lr
        self.params = params
        self.signs = 1 - 2 * self.t

    def run(self) -> float:
        X, n = self.X, len(self.X)
        W1, b1, W2, b2 = self.params
        H = X @ W1
        H += b1
        np.maximum(H, 0, out=H)
        Z = H @ W2
        Z += b2
        loss = np.add.reduce(np.logaddexp(0, Z * self.signs), axis=None) / n  # -log p of the right class
        np.negative(Z, out=Z)
        np.exp(Z, out=Z)
        Z += 1
        np.reciprocal(Z, out=Z)
        Z -= self.t
        Z *= 1 / n
        delta = Z @ W2.T
        delta *= H > 0
        W2 -= self.lr * (H.T @ Z)
        b2 -= self.lr * np.add.reduce(Z, axis=0)
        W1 -= self.lr * (X.T @ delta)
        b1 -= self.lr * np.add.reduce(delta, axis=0)
        return float(loss)

    def state(self) -> list[Array]:
        return self.params


def at_offset(array: Array, offset: int) -> Array:
    """A copy that begins `offset` bytes behind a multiple of 64."""
    buffer = np.empty(array.nbytes + 128, np.uint8)
    start = -buffer.ctypes.data % 64 + offset
    copy = buffer[start : start + array.nbytes].view(array.dtype).reshape(array.shape)
    copy[...] = array
    return copy
