"""One layer in the row-vector convention: a sample is a row, U = H W + 1 b, and its three gradients.

The convention of "Build a Neural Network from Scratch Using Numpy", and of most libraries. A mini-batch has
H (n, in) and U (n, out), a single sample H (in,) and U (out,). W is (in, out) and b is (out,). Below,
delta = dE/dU is known, and the chain rule through

    U_ij = sum_k H_ik W_kj + b_j

gives dE/dH, dE/dW and dE/db. Shapes that do not fit raise NumPy's ValueError; Network checks them first.
"""

import numpy as np

from ._checks import Array

W_SHAPE = "(in, out)"
X_SHAPE = "(n, in)"


def sizes(W: Array) -> tuple[int, int]:
    """How many units the layer takes in, and how many it gives out.

    >>> sizes(np.zeros((3, 2)))
    (3, 2)
    """
    return W.shape[0], W.shape[1]


def as_rows(A: Array) -> Array:
    """A with one sample to a row, which here it has already. The losses read it this way.

    >>> as_rows(np.zeros((5, 2))).shape
    (5, 2)
    """
    return A


def affine(H: Array, W: Array, b: Array) -> Array:
    """U = H W + 1 b: the same b is added to every row.

    >>> affine(np.array([1.0, 2.0]), np.array([[3.0], [4.0]]), np.array([0.5]))
    array([11.5])
    """
    return H @ W + b


def input_gradient(delta: Array, W: Array) -> Array:
    """dE/dH = delta W^T, of H's shape.

    H_ik goes into every unit j of row i, with the weight W_kj: dE/dH_ik = sum_j delta_ij W_kj.

    >>> input_gradient(np.array([2.0]), np.array([[3.0], [4.0]]))
    array([6., 8.])
    """
    return delta @ W.T


def weight_gradient(H: Array, delta: Array) -> Array:
    """dE/dW = H^T delta, (in, out).

    W_kj multiplies H_ik in unit j: a single sample gives dE/dW_kj = H_k delta_j, an outer product. A batch
    uses W once for every sample i, and the gradients add up: sum_i H_ik delta_ij = (H^T delta)_kj.

    >>> weight_gradient(np.array([1.0, 2.0]), np.array([3.0]))
    array([[3.],
           [6.]])
    """
    return np.outer(H, delta) if delta.ndim == 1 else H.T @ delta


def bias_gradient(delta: Array) -> Array:
    """dE/db = 1^T delta, (out,): b_j enters U_ij with slope 1 in every row i, so it collects sum_i delta_ij.

    >>> bias_gradient(np.array([[1.0, 2.0], [3.0, 4.0]]))
    array([4., 6.])
    """
    return delta.copy() if delta.ndim == 1 else delta.sum(axis=0)
