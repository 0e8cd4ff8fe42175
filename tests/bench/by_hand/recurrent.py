"""Backpropagation through time of an LSTM, with a linear layer on its last state."""

from __future__ import annotations

import numpy as np

from tests.bench.by_hand.networks import softmax_loss
from tests.bench.by_hand.updates import SGD
from tests.bench.workloads import Array, Workload


class LSTM:
    """The gates i, f, g, o of all steps lie in one array, so the weights on the inputs need one product forward and one
    backward, and the gradient of those on the state one as well.

    sigmoid(a) = (1 + tanh(a / 2)) / 2, so one tanh does all four gates.
    """

    def __init__(self, workload: Workload, params: list[Array]) -> None:
        self.X, self.labels = workload.X, workload.targets
        self.params = params
        steps, samples, _ = self.X.shape
        n = self.n = len(params[1])
        self.rows = np.arange(samples)
        self.A, self.dA = (np.empty((steps, samples, 4 * n), np.float32) for _ in range(2))
        self.H, self.C, self.dtanh = (np.zeros((steps + 1, samples, n), np.float32) for _ in range(3))
        self.T = np.empty((steps, samples, n), np.float32)  # tanh(c)
        self.scale = np.repeat(np.array([0.5, 0.5, 1, 0.5], np.float32), n)
        self.shift = 1 - self.scale
        self.scratch = np.empty((samples, n), np.float32)
        self.rest = np.empty((steps, samples, 4 * n), np.float32)
        self.Z = np.empty((samples, 10), np.float32)
        self.gradients = [np.empty_like(p) for p in params]
        self.optimize = SGD(params, workload.lr)

    def run(self) -> float:
        W, V, b, c, W2, b2 = self.params
        dW, dV, db, dc, dW2, db2 = self.gradients
        steps, samples, inputs = self.X.shape
        n, A, H, C, T, scratch = self.n, self.A, self.H, self.C, self.T, self.scratch
        X = self.X.reshape(-1, inputs)
        scale = self.scale
        np.matmul(X, W * scale, out=A.reshape(-1, 4 * n))
        A += (b + c) * scale
        Vscaled = V * scale
        for t in range(steps):
            a = A[t]
            a += H[t] @ Vscaled
            np.tanh(a, out=a)
            a *= scale
            a += self.shift
            after = np.multiply(a[:, n : 2 * n], C[t], out=C[t + 1])
            after += np.multiply(a[:, :n], a[:, 2 * n : 3 * n], out=scratch)
            np.tanh(after, out=T[t])
            np.multiply(a[:, 3 * n :], T[t], out=H[t + 1])
        Z = np.matmul(H[steps], W2, out=self.Z)
        Z += b2
        loss = softmax_loss(Z, self.rows, self.labels)
        np.matmul(H[steps].T, Z, out=dW2)
        Z.sum(axis=0, out=db2)

        # The derivatives of all gates and of tanh(c) at once: s (1 - s) for a sigmoid, 1 - g^2 for a tanh.
        dA, rest = self.dA, self.rest
        np.subtract(1, A, out=rest)
        rest[:, :, 2 * n : 3 * n] *= 1 + A[:, :, 2 * n : 3 * n]
        for k in (0, 1, 3):
            rest[:, :, k * n : (k + 1) * n] *= A[:, :, k * n : (k + 1) * n]
        dT = np.multiply(T, T, out=self.dtanh[:steps])
        np.subtract(1, dT, out=dT)
        dT *= A[:, :, 3 * n :]

        dh = Z @ W2.T
        dc_next = np.zeros((samples, n), np.float32)
        Vt = V.T
        for t in range(steps - 1, -1, -1):
            a, da = A[t], dA[t]
            np.multiply(dh, T[t], out=da[:, 3 * n :])
            dh *= dT[t]
            dc_next += dh  # dL/dc
            np.multiply(dc_next, a[:, 2 * n : 3 * n], out=da[:, :n])
            np.multiply(dc_next, C[t], out=da[:, n : 2 * n])
            np.multiply(dc_next, a[:, :n], out=da[:, 2 * n : 3 * n])
            da *= rest[t]
            dc_next *= a[:, n : 2 * n]
            np.matmul(da, Vt, out=dh)
        flat = dA.reshape(-1, 4 * n)
        np.matmul(X.T, flat, out=dW)
        np.matmul(H[:steps].reshape(-1, n).T, flat, out=dV)
        flat.sum(axis=0, out=db)
        dc[...] = db
        self.optimize(self.gradients)
        return loss

    def state(self) -> list[Array]:
        return self.params
