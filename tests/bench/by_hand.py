"""Training steps as an expert writes them in NumPy: in place, and no array that is not needed."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]


class ClassifierSGD:
    """One hidden ReLU layer, softmax and mean cross-entropy, plain SGD."""

    def __init__(self, W1: Array, b1: Array, W2: Array, b2: Array, lr: float) -> None:
        self.W1, self.b1, self.W2, self.b2, self.lr = W1, b1, W2, b2, lr
        self.scratch1, self.scratch2 = np.empty_like(W1), np.empty_like(W2)

    def step(self, X: Array, labels: NDArray[np.int64]) -> float:
        n = len(X)
        rows = np.arange(n)
        H = X @ self.W1
        H += self.b1
        np.maximum(H, 0, out=H)
        Z = H @ self.W2
        Z += self.b2
        Z -= Z.max(axis=1, keepdims=True)
        P = np.exp(Z)
        total = P.sum(axis=1, keepdims=True)
        loss = (np.log(total).sum() - Z[rows, labels].sum()) / n

        P /= total
        P[rows, labels] -= 1
        P *= 1 / n
        dW2 = H.T @ P
        db2 = P.sum(axis=0)
        delta = P @ self.W2.T
        delta *= H > 0
        dW1 = X.T @ delta
        db1 = delta.sum(axis=0)

        self.W1 -= np.multiply(dW1, self.lr, out=self.scratch1)
        self.b1 -= self.lr * db1
        self.W2 -= np.multiply(dW2, self.lr, out=self.scratch2)
        self.b2 -= self.lr * db2
        return float(loss)
