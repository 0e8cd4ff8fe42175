"""What is checked at the door: arrays become float arrays, and names are found in their table."""

from collections.abc import Mapping
from typing import Any, TypeAlias, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array: TypeAlias = NDArray[np.floating[Any]]
Scalar: TypeAlias = np.floating[Any]
Entry = TypeVar("Entry")


def floats(x: ArrayLike) -> Array:
    """Return x as a float array: float32 stays float32, and other real numbers become float64.

    An array that is float32 or float64 already is returned as it is, not copied. Raises ValueError
    for anything that is not a real number.

    >>> floats([1, 2]).dtype, floats(np.float32([1, 2])).dtype
    (dtype('float64'), dtype('float32'))
    """
    a = np.asarray(x)
    if a.dtype.kind not in "biuf":
        raise ValueError(f"an array of {a.dtype} cannot be computed with; pass real numbers")
    return a if a.dtype == np.float32 else a.astype(np.float64, copy=False)


def look_up(table: Mapping[str, Entry], name: str, what: str) -> Entry:
    """Return table[name]; a ValueError lists the names that exist.

    >>> look_up({"relu": 1, "tanh": 2}, "rleu", "activation")
    Traceback (most recent call last):
    ValueError: unknown activation 'rleu'; choose one of relu, tanh
    """
    if name not in table:
        raise ValueError(f"unknown {what} {name!r}; choose one of {', '.join(table)}")
    return table[name]
