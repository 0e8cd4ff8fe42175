"""Small made-up data sets: two classes of points in the plane, and one curve to fit.

Everything is float64. The two-class sets return X (n, 2) and t (n, 1), 0.0 or 1.0, as a sigmoid output and
binary cross-entropy want them; `moons`, `circles` and `spiral` can stand in for each other.
"""

import numpy as np
from numpy.typing import NDArray

from .errors import DataError
from .optional import sklearn_datasets

_Points = tuple[NDArray[np.float64], NDArray[np.float64]]


def xor() -> _Points:
    """The four points of exclusive-or: X (4, 2), t (4, 1); the smallest set no straight line can divide.

    >>> X, t = xor()
    >>> np.column_stack([X, t]).tolist()
    [[0.0, 0.0, 0.0], [0.0, 1.0, 1.0], [1.0, 0.0, 1.0], [1.0, 1.0, 0.0]]
    """
    X = np.array([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]])
    return X, (X[:, :1] != X[:, 1:]).astype(np.float64)


def moons(n: int = 200, noise: float = 0.1, rng: int | np.random.Generator | None = 0) -> _Points:
    """Two half circles that reach into each other: X (n, 2), t (n, 1), shuffled.

    `noise` is the standard deviation of what is added to each coordinate. Raises DataError for n < 2 or a
    negative noise, ImportError without scikit-learn. Source: `sklearn.datasets.make_moons`.

    >>> X, t = moons(6)
    >>> X.shape, t.shape, sorted(t.ravel().tolist())
    ((6, 2), (6, 1), [0.0, 0.0, 0.0, 1.0, 1.0, 1.0])
    """
    _check("moons", n, noise)
    made = sklearn_datasets("moons").make_moons(n, noise=noise, random_state=_seed(rng))
    return made[0], made[1].astype(np.float64).reshape(n, 1)


def circles(n: int = 200, noise: float = 0.1, rng: int | np.random.Generator | None = 0) -> _Points:
    """A circle of radius 1 (class 0) around one of radius 1/2 (class 1): X (n, 2), t (n, 1), shuffled.

    Parameters and errors as in `moons`. Source: `sklearn.datasets.make_circles`.

    >>> X, t = circles(6, noise=0)
    >>> bool(np.allclose(np.hypot(X[:, 0], X[:, 1]), 1 - t.ravel() / 2))
    True
    """
    _check("circles", n, noise)
    made = sklearn_datasets("circles").make_circles(n, noise=noise, factor=0.5, random_state=_seed(rng))
    return made[0], made[1].astype(np.float64).reshape(n, 1)


def spiral(n: int = 200, noise: float = 0.1, rng: int | np.random.Generator | None = 0) -> _Points:
    """Two arms that wind around each other, out to radius 3: X (n, 2), t (n, 1), shuffled.

    A point at radius r stands at the angle pi * r in class 0, on the opposite side in class 1. Parameters and
    errors as in `moons`, scikit-learn aside.

    >>> X, t = spiral(6, noise=0)
    >>> r = np.hypot(X[:, 0], X[:, 1])
    >>> bool(np.allclose(X[:, 0], r * np.cos(np.pi * (r + t.ravel()))))
    True
    """
    _check("spiral", n, noise)
    rng = np.random.default_rng(rng)
    t = (rng.permutation(n) % 2).astype(np.float64).reshape(n, 1)
    r = rng.uniform(0.25, 3.0, (n, 1))
    angle = np.pi * (r + t)
    X = r * np.hstack([np.cos(angle), np.sin(angle)]) + noise * rng.standard_normal((n, 2))
    return X, t


def article_regression(n: int = 2000, rng: int | np.random.Generator | None = 1) -> _Points:
    """A noisy bump to fit: X (n, 1) and y (n, 1), scaled so that the largest |y| is 1.

        x = 0.5 N(0, 1) + 0.35        s = 0.75 x - 0.35
        y = exp(-(8 s^2 + 0.1 s + 0.1) + 0.05 N(0, 1)) + 0.05 N(0, 1),    then y / max|y|

    Raises DataError for n < 1. Source: the toy regression of 'Build a Neural Network from Scratch Using
    Numpy'.

    >>> X, y = article_regression()
    >>> X.shape, y.shape, float(np.abs(y).max())
    ((2000, 1), (2000, 1), 1.0)
    """
    if n < 1:
        raise DataError(f"article_regression: n must be at least 1, got {n}.")
    rng = np.random.default_rng(rng)
    x = 0.5 * rng.standard_normal((n, 1)) + 0.35
    s = 0.75 * x - 0.35
    y = np.exp(-(8 * s**2 + 0.1 * s + 0.1) + 0.05 * rng.standard_normal((n, 1)))
    y += 0.05 * rng.standard_normal((n, 1))
    return x, y / np.abs(y).max()


def _check(name: str, n: int, noise: float) -> None:
    if n < 2:
        raise DataError(f"{name}: n must be at least 2, one point of each class, got {n}.")
    if not noise >= 0:
        raise DataError(f"{name}: noise is a standard deviation and cannot be {noise}.")


def _seed(rng: int | np.random.Generator | None) -> int:
    """scikit-learn takes no Generator; a seed drawn from one keeps the legacy global state out of it."""
    return int(np.random.default_rng(rng).integers(2**31))
