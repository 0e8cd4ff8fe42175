"""Every activation phi and its derivative phi', both as functions of the pre-activation u.

All of them but softmax act on each element by itself: u may have any shape, and the result has the
same one. float32 in gives float32 out, and every other real input gives float64. What is not a real
number raises ValueError. NaN in gives NaN out.

Each formula is arranged so that a large |u| neither overflows nor loses its digits.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from ._checks import Array, floats


class Activation(NamedTuple):
    """An element-wise activation: phi(u) and its derivative prime(u).

    >>> ACTIVATIONS["relu"].phi([-1.0, 2.0]), ACTIVATIONS["relu"].prime([-1.0, 2.0])
    (array([0., 2.]), array([0., 1.]))
    """

    phi: Callable[[ArrayLike], Array]
    prime: Callable[[ArrayLike], Array]


def identity(u: ArrayLike) -> Array:
    """phi(u) = u: a layer without an activation. The result is a copy, so editing it leaves u alone.

    >>> identity([-1.0, 2.0])
    array([-1.,  2.])
    """
    return floats(u).copy()


def identity_prime(u: ArrayLike) -> Array:
    """phi'(u) = 1.

    >>> identity_prime([-1.0, 2.0])
    array([1., 1.])
    """
    return np.ones_like(floats(u))


def relu(u: ArrayLike) -> Array:
    """phi(u) = max(u, 0).

    >>> relu([-2.0, 0.0, 3.0])
    array([0., 0., 3.])
    """
    return np.maximum(floats(u), 0)


def relu_prime(u: ArrayLike) -> Array:
    """phi'(u) = 1[u > 0].

    At the kink u = 0 every slope from 0 to 1 would be a subgradient; 0 is the usual choice, and ours.

    >>> relu_prime([-2.0, 0.0, 3.0, np.nan])
    array([ 0.,  0.,  1., nan])
    """
    return np.heaviside(floats(u), 0)  # not u > 0, which would turn NaN into a slope of 0


def leaky_relu(u: ArrayLike, alpha: float = 0.01) -> Array:
    """phi(u) = u for u > 0, alpha u elsewhere.

    >>> leaky_relu([-2.0, 3.0])
    array([-0.02,  3.  ])
    """
    u = floats(u)
    return np.maximum(u, 0) + alpha * np.minimum(u, 0)


def leaky_relu_prime(u: ArrayLike, alpha: float = 0.01) -> Array:
    """phi'(u) = 1 for u > 0, alpha elsewhere (at the kink too).

    >>> leaky_relu_prime([-2.0, 0.0, 3.0])
    array([0.01, 0.01, 1.  ])
    """
    step = relu_prime(u)
    return step + alpha * (1 - step)


def sigmoid(u: ArrayLike) -> Array:
    """phi(u) = 1 / (1 + e^-u).

    For u < 0 we multiply above and below by e^u, which gives e^u / (1 + e^u). Both cases are
    e^min(u, 0) / (1 + e^-|u|), and no exponent in it is ever positive, so nothing overflows.

    >>> sigmoid([-1000.0, 0.0, 1000.0])
    array([0. , 0.5, 1. ])
    """
    u = floats(u)
    y: Array = np.exp(np.minimum(u, 0)) / (1 + np.exp(-np.abs(u)))
    return y


def sigmoid_prime(u: ArrayLike) -> Array:
    """phi'(u) = phi(u) (1 - phi(u)) = phi(u) phi(-u).

    From phi = (1 + e^-u)^-1 follows phi' = e^-u (1 + e^-u)^-2, which is phi times e^-u / (1 + e^-u).
    The second factor is 1 - phi(u), and also phi(-u); written so, no digits cancel where phi is near 1.

    >>> sigmoid_prime([-1000.0, 0.0, 1000.0])
    array([0.  , 0.25, 0.  ])
    """
    u = floats(u)
    return sigmoid(u) * sigmoid(-u)


def tanh(u: ArrayLike) -> Array:
    """phi(u) = (e^u - e^-u) / (e^u + e^-u).

    >>> tanh([0.0, 1000.0])
    array([0., 1.])
    """
    return np.tanh(floats(u))


def tanh_prime(u: ArrayLike) -> Array:
    """phi'(u) = 1 - tanh(u)^2.

    The quotient rule on sinh / cosh gives (cosh^2 - sinh^2) / cosh^2 = 1 - tanh^2.

    >>> tanh_prime([0.0, 1000.0])
    array([1., 0.])
    """
    return 1 - tanh(u) ** 2


def softplus(u: ArrayLike) -> Array:
    """phi(u) = log(1 + e^u), a ReLU with a rounded corner.

    For u > 0, log(1 + e^u) = log(e^u (e^-u + 1)) = u + log(1 + e^-u). Both cases are
    max(u, 0) + log(1 + e^-|u|).

    >>> softplus([-1000.0, 1000.0])
    array([   0., 1000.])
    """
    u = floats(u)
    return np.maximum(u, 0) + np.log1p(np.exp(-np.abs(u)))


def softplus_prime(u: ArrayLike) -> Array:
    """phi'(u) = e^u / (1 + e^u), which is the sigmoid.

    >>> softplus_prime([-1000.0, 0.0, 1000.0])
    array([0. , 0.5, 1. ])
    """
    return sigmoid(u)


def elu(u: ArrayLike, alpha: float = 1.0) -> Array:
    """phi(u) = u for u > 0, alpha (e^u - 1) elsewhere (Clevert, Unterthiner and Hochreiter, 2015).

    >>> elu([-1000.0, 0.0, 3.0])
    array([-1.,  0.,  3.])
    """
    u = floats(u)
    return np.maximum(u, 0) + alpha * np.expm1(np.minimum(u, 0))


def elu_prime(u: ArrayLike, alpha: float = 1.0) -> Array:
    """phi'(u) = 1 for u > 0, alpha e^u elsewhere.

    >>> elu_prime([-1000.0, 0.0, 3.0])
    array([0., 1., 1.])
    """
    u = floats(u)
    step = relu_prime(u)
    return step + (1 - step) * alpha * np.exp(np.minimum(u, 0))


def silu(u: ArrayLike) -> Array:
    """phi(u) = u sigmoid(u), also called swish (Elfwing, Uchibe and Doya, 2017).

    >>> silu([-1000.0, 0.0, 1000.0])
    array([  -0.,    0., 1000.])
    """
    u = floats(u)
    return u * sigmoid(u)


def silu_prime(u: ArrayLike) -> Array:
    """phi'(u) = sigmoid(u) + u sigmoid'(u), by the product rule.

    >>> silu_prime([-1000.0, 0.0, 1000.0])
    array([0. , 0.5, 1. ])
    """
    u = floats(u)
    return sigmoid(u) + u * sigmoid_prime(u)


def _normal_cdf(u: Array) -> Array:
    # Phi(u) = erfc(-u / sqrt 2) / 2. NumPy has no erfc; and 1 + erf(u / sqrt 2) would cancel for u << 0.
    y: Array = np.vectorize(math.erfc, otypes=[u.dtype])(-u / math.sqrt(2)) / 2
    return y


def gelu(u: ArrayLike) -> Array:
    """phi(u) = u Phi(u), with Phi the distribution function of N(0, 1) (Hendrycks and Gimpel, 2016).

    >>> gelu([-1000.0, 0.0, 1000.0])
    array([  -0.,    0., 1000.])
    """
    u = floats(u)
    return u * _normal_cdf(u)


def gelu_prime(u: ArrayLike) -> Array:
    """phi'(u) = Phi(u) + u Phi'(u), by the product rule; Phi'(u) = e^(-u^2 / 2) / sqrt(2 pi).

    >>> gelu_prime([-1000.0, 0.0, 1000.0])
    array([0. , 0.5, 1. ])
    """
    u = floats(u)
    return _normal_cdf(u) + u * np.exp(-u * u / 2) / math.sqrt(2 * math.pi)


def _tanh_argument(u: Array) -> Array:
    return math.sqrt(2 / math.pi) * (u + 0.044715 * u**3)


def gelu_tanh(u: ArrayLike) -> Array:
    """phi(u) = u/2 (1 + tanh v), v = sqrt(2/pi) (u + 0.044715 u^3): a common approximation of gelu.

    Since 1 + tanh v = 2 / (1 + e^-2v), it is u sigmoid(2v), where nothing cancels.

    >>> gelu_tanh([-1000.0, 0.0, 1000.0])
    array([  -0.,    0., 1000.])
    """
    u = floats(u)
    return u * sigmoid(2 * _tanh_argument(u))


def gelu_tanh_prime(u: ArrayLike) -> Array:
    """phi'(u) = sigmoid(2v) + u sigmoid'(2v) 2v', with v' = sqrt(2/pi) (1 + 3 * 0.044715 u^2).

    The product rule on u and sigmoid(2v), then the chain rule through v.

    >>> gelu_tanh_prime([-1000.0, 0.0, 1000.0])
    array([0. , 0.5, 1. ])
    """
    u = floats(u)
    v = _tanh_argument(u)
    v_prime = math.sqrt(2 / math.pi) * (1 + 3 * 0.044715 * u**2)
    return sigmoid(2 * v) + u * sigmoid_prime(2 * v) * 2 * v_prime


ACTIVATIONS: dict[str, Activation] = {
    "identity": Activation(identity, identity_prime),
    "relu": Activation(relu, relu_prime),
    "leaky_relu": Activation(leaky_relu, leaky_relu_prime),
    "sigmoid": Activation(sigmoid, sigmoid_prime),
    "tanh": Activation(tanh, tanh_prime),
    "softplus": Activation(softplus, softplus_prime),
    "elu": Activation(elu, elu_prime),
    "silu": Activation(silu, silu_prime),
    "gelu": Activation(gelu, gelu_prime),
    "gelu_tanh": Activation(gelu_tanh, gelu_tanh_prime),
}


def softmax(u: ArrayLike, axis: int = -1) -> Array:
    """y_c = e^(u_c) / sum_j e^(u_j): positive numbers along `axis` that sum to 1.

    Subtracting the same number m from every u multiplies numerator and denominator by e^-m, so y stays
    the same. With m = max u no exponent is positive, and nothing overflows. A slice that is -inf
    throughout has no maximum to subtract and gives NaN.

    >>> softmax([10000.0, 10000.0, -10000.0])
    array([0.5, 0.5, 0. ])
    """
    u = floats(u)
    e: Array = np.exp(u - u.max(axis=axis, keepdims=True))
    y: Array = e / e.sum(axis=axis, keepdims=True)
    return y


def log_softmax(u: ArrayLike, axis: int = -1) -> Array:
    """log y_c = (u_c - m) - log sum_j e^(u_j - m), with m = max u; finite even where y_c rounds to 0.

    >>> log_softmax([0.0, -10000.0])
    array([     0., -10000.])
    """
    u = floats(u)
    shifted = u - u.max(axis=axis, keepdims=True)
    log_y: Array = shifted - np.log(np.exp(shifted).sum(axis=axis, keepdims=True))
    return log_y


def softmax_jacobian(y: ArrayLike) -> Array:
    """J[c, j] = dy_c/du_j = y_c (1[c = j] - y_j), for one sample: y (C,) gives J (C, C).

    Softmax mixes the units of a layer, so its derivative is a matrix. With S = sum_j e^(u_j):

        d e^(u_c) / du_j = 1[c = j] e^(u_c)        dS/du_j = e^(u_j)
        dy_c/du_j = 1[c = j] e^(u_c) / S - e^(u_c) e^(u_j) / S^2 = y_c 1[c = j] - y_c y_j

    It takes the softmax's output y, since u is not needed any more. Raises ValueError unless y is 1-D.

    >>> softmax_jacobian([0.5, 0.5])
    array([[ 0.25, -0.25],
           [-0.25,  0.25]])
    """
    y = floats(y)
    if y.ndim != 1:
        raise ValueError(f"softmax_jacobian: y has shape {y.shape}; pass one sample of shape (C,) at a time")
    return np.diag(y) - np.outer(y, y)
