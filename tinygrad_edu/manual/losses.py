"""The losses E(Y, T), each with its gradient, and the short deltas that a loss and an activation can share.

Y is what the network says and T what it should say: both (n, C), one sample to a row, or (C,) for a single
sample. A loss never broadcasts: shapes that differ, or that hold no number, raise ValueError. Values are
scalars, gradients have the shape of Y, and both have its dtype.

Each formula here is a sum over all samples and outputs. Its mean forms are made at the end, by `scaled`.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from ._checks import Array, Scalar, floats
from .activations import log_softmax, sigmoid, softmax, softplus


class Loss(NamedTuple):
    """A loss: value(Y, T) and gradient(Y, T) = dE/dY.

    In the table FUSED both are functions of (U, T), U the last pre-activation: there the gradient is delta^L.

    >>> LOSSES["mean_squared_error"].gradient([1.0, 3.0], [1.0, 1.0])
    array([0., 2.])
    """

    value: Callable[[ArrayLike, ArrayLike], Scalar]
    gradient: Callable[[ArrayLike, ArrayLike], Array]


def _pair(Y: ArrayLike, T: ArrayLike) -> tuple[Array, Array]:
    Y = floats(Y)
    T = floats(T).astype(Y.dtype, copy=False)
    if Y.shape != T.shape or Y.ndim not in (1, 2) or Y.size == 0:
        raise ValueError(
            f"the loss gets outputs of shape {Y.shape} and targets of shape {T.shape}; "
            f"pass both as (n, C), or both as (C,), and not empty"
        )
    return Y, T


def _probabilities(Y: ArrayLike, T: ArrayLike) -> tuple[Array, Array]:
    Y, T = _pair(Y, T)
    if (Y < 0).any() or (Y > 1).any():
        raise ValueError(
            f"cross-entropy needs probabilities, and these outputs run from {Y.min()} to {Y.max()}; "
            f"take softmax or sigmoid as the last activation"
        )
    return Y, T


def _weighted(T: Array, log_p: Array) -> Array:
    # t log p with the limit 0 for 0 log 0, where the product would be NaN
    return np.multiply(T, log_p, out=np.zeros_like(log_p), where=(T != 0) | (log_p != -np.inf))


def _ratio(T: Array, P: Array) -> Array:
    # t / p, the slope of t log p; 0 for 0 / 0, because 0 log p is 0 for every p
    with np.errstate(divide="ignore"):
        return np.divide(T, P, out=np.zeros_like(P), where=(T != 0) | (P != 0))


def half_sum_of_squares(Y: ArrayLike, T: ArrayLike) -> Scalar:
    """E = 1/2 sum (y - t)^2.

    >>> half_sum_of_squares([[1.0, 2.0], [3.0, 4.0]], [[1.0, 0.0], [3.0, 0.0]])
    np.float64(10.0)
    """
    Y, T = _pair(Y, T)
    E: Scalar = ((Y - T) ** 2).sum() / 2
    return E


def half_sum_of_squares_gradient(Y: ArrayLike, T: ArrayLike) -> Array:
    """dE/dy = y - t: the 2 that the square brings down meets the 1/2.

    >>> half_sum_of_squares_gradient([[1.0, 2.0], [3.0, 4.0]], [[1.0, 0.0], [3.0, 0.0]])
    array([[0., 2.],
           [0., 4.]])
    """
    Y, T = _pair(Y, T)
    return Y - T


def cross_entropy(Y: ArrayLike, T: ArrayLike) -> Scalar:
    """E = - sum t log y, y the probabilities of C classes. Raises ValueError for y outside [0, 1].

    Where y has rounded to 0 and t > 0, E is inf. softmax_cross_entropy never gets there.

    >>> cross_entropy([[0.5, 0.5], [1.0, 0.0]], [[1.0, 0.0], [1.0, 0.0]])
    np.float64(0.6931471805599453)
    """
    Y, T = _probabilities(Y, T)
    with np.errstate(divide="ignore"):
        E: Scalar = -_weighted(T, np.log(Y)).sum()
    return E


def cross_entropy_gradient(Y: ArrayLike, T: ArrayLike) -> Array:
    """dE/dy = -t / y, because (log y)' = 1/y.

    >>> cross_entropy_gradient([0.5, 0.25, 0.25], [1.0, 1.0, 0.0])
    array([-2., -4., -0.])
    """
    Y, T = _probabilities(Y, T)
    return -_ratio(T, Y)


def binary_cross_entropy(Y: ArrayLike, T: ArrayLike) -> Scalar:
    """E = - sum [t log y + (1 - t) log(1 - y)]: every output is a yes-or-no question of its own.

    Raises ValueError for y outside [0, 1]. E is inf where y has rounded to the wrong end;
    sigmoid_binary_cross_entropy never gets there.

    >>> binary_cross_entropy([0.5, 0.5, 1.0], [1.0, 0.0, 1.0])
    np.float64(1.3862943611198906)
    """
    Y, T = _probabilities(Y, T)
    with np.errstate(divide="ignore"):
        E: Scalar = -(_weighted(T, np.log(Y)) + _weighted(1 - T, np.log1p(-Y))).sum()
    return E


def binary_cross_entropy_gradient(Y: ArrayLike, T: ArrayLike) -> Array:
    """dE/dy = -t / y + (1 - t) / (1 - y), which on one denominator is (y - t) / (y (1 - y)).

    >>> binary_cross_entropy_gradient([0.5, 0.75], [1.0, 0.0])
    array([-2.,  4.])
    """
    Y, T = _probabilities(Y, T)
    return _ratio(1 - T, 1 - Y) - _ratio(T, Y)


def softmax_cross_entropy(U: ArrayLike, T: ArrayLike) -> Scalar:
    """E = - sum t log softmax(u): softmax, then cross_entropy, without forming the probabilities.

    >>> softmax_cross_entropy([0.0, 1000.0], [1.0, 0.0])
    np.float64(1000.0)
    """
    U, T = _pair(U, T)
    E: Scalar = -_weighted(T, log_softmax(U)).sum()
    return E


def softmax_cross_entropy_delta(U: ArrayLike, T: ArrayLike) -> Array:
    """delta = dE/dU = y sum_c t_c - t, y = softmax(u). For targets that sum to 1 this is Y - T.

    From log y_c = u_c - log sum_j e^(u_j) follows d log y_c / du_j = 1[c = j] - y_j, and so

        dE/du_j = - sum_c t_c (1[c = j] - y_j) = y_j sum_c t_c - t_j

    Y - T is the delta^L of "Build a Neural Network from Scratch Using Numpy", and of chapter 3 of Nielsen's
    book "Neural Networks and Deep Learning".

    >>> softmax_cross_entropy_delta([0.0, 0.0], [1.0, 0.0])
    array([-0.5,  0.5])
    """
    U, T = _pair(U, T)
    delta: Array = softmax(U) * T.sum(axis=-1, keepdims=True) - T
    return delta


def sigmoid_binary_cross_entropy(U: ArrayLike, T: ArrayLike) -> Scalar:
    """E = sum [t softplus(-u) + (1 - t) softplus(u)]: sigmoid, then binary_cross_entropy.

    With y = 1 / (1 + e^-u), -log y = log(1 + e^-u) = softplus(-u). And since 1 - y = sigmoid(-u),
    -log(1 - y) = softplus(u).

    >>> sigmoid_binary_cross_entropy([1000.0, 1000.0], [1.0, 0.0])
    np.float64(1000.0)
    """
    U, T = _pair(U, T)
    E: Scalar = (T * softplus(-U) + (1 - T) * softplus(U)).sum()
    return E


def sigmoid_binary_cross_entropy_delta(U: ArrayLike, T: ArrayLike) -> Array:
    """delta = dE/dU = y - t, y = sigmoid(u).

    dE/dy = (y - t) / (y (1 - y)) meets phi' = y (1 - y), and the denominator, which tends to 0 for
    confident outputs, cancels.

    >>> sigmoid_binary_cross_entropy_delta([1000.0, 0.0, -1000.0], [0.0, 0.0, 1.0])
    array([ 1. ,  0.5, -1. ])
    """
    U, T = _pair(U, T)
    return sigmoid(U) - T


def per_sample(Y: ArrayLike) -> float:
    """1/n, n the number of samples: the rows of Y, or 1 if Y is a single sample (C,).

    >>> per_sample([[1.0, 2.0], [3.0, 4.0]]), per_sample([1.0, 2.0])
    (0.5, 1.0)
    """
    return 1 / len(np.atleast_2d(Y))


def per_element(Y: ArrayLike) -> float:
    """1/N, N = n C the number of all outputs.

    >>> per_element([[1.0, 2.0], [3.0, 4.0]])
    0.25
    """
    return 1 / np.size(Y)


def scaled(loss: Loss, scale: Callable[[ArrayLike], float], factor: float = 1.0) -> Loss:
    """The loss factor * scale(Y) * E. Its gradient is factor * scale(Y) * dE/dY.

    When value and gradient are typed by hand, it is easy to divide only one of them by n; then they belong to
    two different losses. Here both get the same factor.

    >>> doubled = scaled(LOSSES["half_sum_of_squares"], per_sample, 2.0)
    >>> doubled.value([1.0, 3.0], [1.0, 1.0]), doubled.gradient([1.0, 3.0], [1.0, 1.0])
    (np.float64(4.0), array([0., 4.]))
    """

    def value(Y: ArrayLike, T: ArrayLike) -> Scalar:
        E = loss.value(Y, T)  # first, for it checks Y and T
        return E * (factor * scale(Y))

    def gradient(Y: ArrayLike, T: ArrayLike) -> Array:
        dE_dY = loss.gradient(Y, T)
        return dE_dY * (factor * scale(Y))

    return Loss(value, gradient)


_squares = Loss(half_sum_of_squares, half_sum_of_squares_gradient)
_cross = Loss(cross_entropy, cross_entropy_gradient)
_binary = Loss(binary_cross_entropy, binary_cross_entropy_gradient)
_softmax_cross = Loss(softmax_cross_entropy, softmax_cross_entropy_delta)
_sigmoid_binary = Loss(sigmoid_binary_cross_entropy, sigmoid_binary_cross_entropy_delta)

LOSSES: dict[str, Loss] = {
    "half_sum_of_squares": _squares,  # 1/2 sum (y - t)^2
    "half_squared_error": scaled(_squares, per_sample),  # 1/(2n) sum ||t - y||^2
    "mean_squared_error": scaled(_squares, per_element, 2.0),  # 1/N sum (y - t)^2
    "cross_entropy_sum": _cross,
    "cross_entropy_mean": scaled(_cross, per_sample),  # over samples, not over classes
    "binary_cross_entropy_sum": _binary,
    "binary_cross_entropy_mean": scaled(_binary, per_element),
}

# (last activation, loss): the loss as a function of U, whose gradient is delta^L
FUSED: dict[tuple[str, str], Loss] = {
    ("softmax", "cross_entropy_sum"): _softmax_cross,  # Y - T
    ("softmax", "cross_entropy_mean"): scaled(_softmax_cross, per_sample),  # (Y - T) / n
    ("sigmoid", "binary_cross_entropy_sum"): _sigmoid_binary,  # Y - T
    ("sigmoid", "binary_cross_entropy_mean"): scaled(_sigmoid_binary, per_element),  # (Y - T) / N
}


def one_hot(labels: ArrayLike, classes: int) -> Array:
    """Turn class numbers into targets, T[i, c] = 1[c = labels[i]]: (n,) gives (n, classes), () (classes,).

    Raises ValueError unless every label is an integer from 0 to classes - 1. (As an index of an array, -1
    would quietly mean the last class.)

    >>> one_hot([2, 0], 3)
    array([[0., 0., 1.],
           [1., 0., 0.]])
    """
    c = np.asarray(labels)
    if c.dtype.kind not in "iu" or c.ndim > 1:
        raise ValueError(f"one_hot: labels are {c.dtype} of shape {c.shape}; pass integers of shape (n,)")
    outside = np.flatnonzero((c < 0) | (c >= classes))
    if outside.size:
        i = outside[0]
        raise ValueError(f"one_hot: label {c.flat[i]} at position {i} is outside 0..{classes - 1}")
    T: Array = np.eye(classes)[c]
    return T
