"""Initialisers: how weights and biases are drawn before training.

An initialiser is a function `(shape, fan_in, fan_out, rng) -> array`; `fan_in` and `fan_out` say how many numbers
feed one output and how many outputs one number feeds.  Everything random comes from the
`numpy.random.Generator` that is handed over, so a seed repeats a run.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "INITIALIZERS", "Initializer", "constant", "fan_in_uniform", "get", "glorot_normal", "glorot_uniform", "he_normal",
    "he_uniform", "normal", "uniform", "zeros",
]  # fmt: skip

Array = NDArray[np.float64]
Initializer: TypeAlias = "Callable[[tuple[int, ...], int, int, np.random.Generator], Array]"


def normal(mean: float = 0.0, std: float = 1.0) -> Initializer:
    """Draws from N(mean, std^2); the derivation's own network starts from N(0, 1).

    Examples
    --------
    >>> import numpy as np
    >>> from tinygrad_edu.nn import init
    >>> init.normal()((2, 3), 2, 3, np.random.default_rng(0)).shape
    (2, 3)
    """
    return lambda shape, fan_in, fan_out, rng: rng.normal(mean, std, size=shape)


def uniform(low: float, high: float) -> Initializer:
    """Draws from U(low, high).

    Examples
    --------
    >>> import numpy as np
    >>> from tinygrad_edu.nn import init
    >>> w = init.uniform(-0.5, 0.5)((100,), 1, 1, np.random.default_rng(0))
    >>> bool((abs(w) <= 0.5).all())
    True
    """
    return lambda shape, fan_in, fan_out, rng: rng.uniform(low, high, size=shape)


def constant(value: float) -> Initializer:
    """The same number everywhere.

    Examples
    --------
    >>> import numpy as np
    >>> from tinygrad_edu.nn import init
    >>> init.constant(0.1)((3,), 1, 3, np.random.default_rng(0))
    array([0.1, 0.1, 0.1])
    """
    return lambda shape, fan_in, fan_out, rng: np.full(shape, value)


def zeros(shape: tuple[int, ...], fan_in: int, fan_out: int, rng: np.random.Generator) -> Array:
    """0 everywhere."""
    return np.zeros(shape)


def fan_in_uniform(shape: tuple[int, ...], fan_in: int, fan_out: int, rng: np.random.Generator) -> Array:
    """U(-1/sqrt(fan_in), 1/sqrt(fan_in)), the default for weights and biases (as in PyTorch's Linear)."""
    bound = 1 / math.sqrt(fan_in)
    return rng.uniform(-bound, bound, size=shape)


def glorot_uniform(shape: tuple[int, ...], fan_in: int, fan_out: int, rng: np.random.Generator) -> Array:
    """U(-a, a), a = sqrt(6 / (fan_in + fan_out)): keeps the variance of tanh layers both ways (Glorot, Bengio 2010)."""
    bound = math.sqrt(6 / (fan_in + fan_out))
    return rng.uniform(-bound, bound, size=shape)


def glorot_normal(shape: tuple[int, ...], fan_in: int, fan_out: int, rng: np.random.Generator) -> Array:
    """N(0, s^2), s = sqrt(2 / (fan_in + fan_out)) (Glorot, Bengio 2010)."""
    return rng.normal(0, math.sqrt(2 / (fan_in + fan_out)), size=shape)


def he_uniform(shape: tuple[int, ...], fan_in: int, fan_out: int, rng: np.random.Generator) -> Array:
    """U(-a, a), a = sqrt(6 / fan_in): keeps the variance of ReLU layers (He et al. 2015)."""
    bound = math.sqrt(6 / fan_in)
    return rng.uniform(-bound, bound, size=shape)


def he_normal(shape: tuple[int, ...], fan_in: int, fan_out: int, rng: np.random.Generator) -> Array:
    """N(0, s^2), s = sqrt(2 / fan_in): keeps the variance of ReLU layers (He et al. 2015)."""
    return rng.normal(0, math.sqrt(2 / fan_in), size=shape)


INITIALIZERS: dict[str, Initializer] = {
    "zeros": zeros,
    "normal": normal(),
    "fan_in_uniform": fan_in_uniform,
    "glorot_uniform": glorot_uniform,
    "glorot_normal": glorot_normal,
    "he_uniform": he_uniform,
    "he_normal": he_normal,
}


def get(initializer: str | Initializer) -> Initializer:
    """An initialiser by its name, or as it is."""
    if callable(initializer):
        return initializer
    if initializer not in INITIALIZERS:
        raise ValueError(f"init: {initializer!r} is unknown; one of {', '.join(INITIALIZERS)}, or a function")
    return INITIALIZERS[initializer]
