"""The output layer, where the backward sweep starts: delta^L = dE/dU^L, the long way and the short one."""

import numpy as np
from numpy.typing import ArrayLike

from ._checks import Array, floats, look_up
from .activations import ACTIVATIONS, softmax, softmax_jacobian
from .losses import FUSED, LOSSES


def output_delta(U: ArrayLike, T: ArrayLike, activation: str, loss: str, fused: bool = True) -> Array:
    """delta^L, of U's shape. U and T hold one sample to a row, (n, C), or a single sample, (C,).

        element-wise phi     delta^L = dE/dY (.) phi'(U^L): each u moves only its own y
        softmax              delta^L = J^T dE/dy for each sample: u_j moves every y_c, so
                             dE/du_j = sum_c dE/dy_c dy_c/du_j
        a pair in FUSED      the short form, Y - T and its kin: the same delta, with the y that stood in a
                             denominator cancelled

    fused=False goes the long way even where there is a short one. On paper it is the same; in floating point
    the long way needs every y well away from 0 (and from 1, if the loss is binary).

    Raises ValueError for names that are in no table, and for U and T that do not fit.

    >>> output_delta([0.0, 0.0], [1.0, 0.0], "softmax", "cross_entropy_sum")
    array([-0.5,  0.5])
    >>> output_delta([0.0, 0.0], [1.0, 0.0], "softmax", "cross_entropy_sum", fused=False)
    array([-0.5,  0.5])
    """
    U = floats(U)
    look_up({**ACTIVATIONS, "softmax": None}, activation, "activation")
    dE_dY = look_up(LOSSES, loss, "loss").gradient
    if fused and (activation, loss) in FUSED:
        return FUSED[activation, loss].gradient(U, T)
    if activation == "softmax":
        Y = softmax(U)
        G = dE_dY(Y, T)
        if Y.ndim == 1:
            return softmax_jacobian(Y).T @ G
        return np.stack([softmax_jacobian(y).T @ g for y, g in zip(Y, G, strict=True)])
    phi, phi_prime = ACTIVATIONS[activation]
    return dE_dY(phi(U), T) * phi_prime(U)
