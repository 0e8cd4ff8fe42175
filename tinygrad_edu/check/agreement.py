"""How far apart two arrays are, as one number: relative to the larger of the two."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tinygrad_edu.errors import DtypeError, ShapeError
from tinygrad_edu.tensor import Tensor

__all__ = ["Array", "floats", "relative_error"]

Array = NDArray[Any]


def relative_error(a: ArrayLike, b: ArrayLike) -> float:
    r"""max |a - b| / max(max |a|, max |b|): the largest difference, in units of the largest number.

    The unit is one for the whole array.  An entry that is tiny because large numbers cancelled in it carries
    their rounding errors, and must not be held to its own size.

    Two arrays of nothing but zeros agree exactly: the error is 0.  Zeros against anything else give 1, however
    small the other is.  Infinities agree only with themselves, at the same place, and are left out of the
    maxima.  NaN agrees with nothing, not even with NaN.  Wherever that is violated the error is inf.

    Parameters
    ----------
    a, b : array_like of the same shape
        Integers, booleans or floats; they are compared in float64.

    Raises
    ------
    ShapeError
        If the shapes differ.
    DtypeError
        For text, objects and complex numbers.

    Examples
    --------
    >>> relative_error([1.0, 2.0], [1.0, 4.0])
    0.5
    >>> relative_error([0.0, 0.0], [0.0, 0.0])
    0.0
    """
    a, b = floats(a), floats(b)
    if a.shape != b.shape:
        raise ShapeError(f"relative_error: shapes {a.shape} and {b.shape} differ")
    finite = np.isfinite(a) & np.isfinite(b)
    if (a[~finite] != b[~finite]).any():  # NaN differs from everything
        return float("inf")
    a, b = a[finite], b[finite]
    scale = max(np.abs(a).max(initial=0), np.abs(b).max(initial=0))
    if scale == 0:
        return 0.0
    return float(np.abs(a / scale - b / scale).max())  # divided first: a - b may overflow


def floats(x: Any) -> Array:
    """A Tensor or an array_like as a float64 array."""
    array = x.data if isinstance(x, Tensor) else np.asarray(x)
    if array.dtype.kind not in "fiub":
        raise DtypeError(f"{type(x).__name__} of dtype {array.dtype} cannot be compared: real numbers are expected")
    return array.astype(np.float64)
