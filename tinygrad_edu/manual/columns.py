"""One layer in the column-vector convention: a sample is a column, z = W a + b, and its three gradients.

The convention of Nielsen's book "Neural Networks and Deep Learning", whose chapter 2 calls the equations
below BP2 to BP4, and writes z and a for U and H. A mini-batch has H (in, n) and U (out, n), a single sample
H (in,) and U (out,). W is (out, in) and b is (out,). Here delta = dE/dU is known, and the chain rule through

    U_ji = sum_k W_jk H_ki + b_j

gives dE/dH, dE/dW and dE/db. Shapes that do not fit raise NumPy's ValueError; Network checks them first.
"""

import numpy as np

from ._checks import Array

W_SHAPE = "(out, in)"
X_SHAPE = "(in, n)"


def sizes(W: Array) -> tuple[int, int]:
    """How many units the layer takes in, and how many it gives out.

    >>> sizes(np.zeros((2, 3)))
    (3, 2)
    """
    return W.shape[1], W.shape[0]


def as_rows(A: Array) -> Array:
    """A^T, one sample to a row, as the losses read it. It is its own way back, and leaves a vector alone.

    >>> as_rows(np.zeros((2, 5))).shape
    (5, 2)
    """
    return A.T


def affine(H: Array, W: Array, b: Array) -> Array:
    """U = W H + b 1^T: the same b is added to every column.

    >>> affine(np.array([1.0, 2.0]), np.array([[3.0, 4.0]]), np.array([0.5]))
    array([11.5])
    """
    return W @ H + (b if H.ndim == 1 else b[:, np.newaxis])


def input_gradient(delta: Array, W: Array) -> Array:
    """dE/dH = W^T delta, of H's shape.

    H_ki goes into every unit j of column i, with the weight W_jk: dE/dH_ki = sum_j W_jk delta_ji.

    >>> input_gradient(np.array([2.0]), np.array([[3.0, 4.0]]))
    array([6., 8.])
    """
    return W.T @ delta


def weight_gradient(H: Array, delta: Array) -> Array:
    """dE/dW = delta H^T, (out, in).

    A single sample gives dE/dW_jk = delta_j H_k, an outer product. A batch uses W once for every sample i,
    and the gradients add up: sum_i delta_ji H_ki = (delta H^T)_jk.

    >>> weight_gradient(np.array([1.0, 2.0]), np.array([3.0]))
    array([[3., 6.]])
    """
    return np.outer(delta, H) if delta.ndim == 1 else delta @ H.T


def bias_gradient(delta: Array) -> Array:
    """dE/db = delta 1, (out,): b_j enters U_ji with slope 1 in every column i, so it collects sum_i delta_ji.

    >>> bias_gradient(np.array([[1.0, 2.0], [3.0, 4.0]]))
    array([3., 7.])
    """
    return delta.copy() if delta.ndim == 1 else delta.sum(axis=1)
