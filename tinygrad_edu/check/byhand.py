"""What a gradient written by hand returns, told apart: one array, or one for each input, or None."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from tinygrad_edu.check.agreement import Array, floats
from tinygrad_edu.errors import ShapeError
from tinygrad_edu.tensor import Tensor

__all__ = ["gradients_by_hand"]


def gradients_by_hand(
    title: str,
    gradient: Callable[..., Any],
    inputs: Sequence[Any],
    variables: dict[str, Any],
    cotangents: Sequence[Array],
) -> list[Array | None]:
    """One gradient for each variable, as a float64 array; None where none is to be checked.

    Examples
    --------
    >>> import numpy as np
    >>> x = np.array([1.0, 2.0])
    >>> gradients_by_hand("example", lambda x: 2 * x, [x], {"input 0": x}, [])
    [array([2., 4.])]
    """
    result = gradient(*inputs, *cotangents)
    count = len(variables)
    if not isinstance(result, (tuple, list)) or (count == 1 and _is_one(result, next(iter(variables.values())).shape)):
        result = [result]
    varied = [any(x is v for v in variables.values()) for x in inputs]
    if len(result) == len(inputs) != count:  # one for each input, also for those that are not varied
        spare = [i for i, (g, used) in enumerate(zip(result, varied)) if g is not None and not used]
        if spare:
            raise ShapeError(
                f"{title}: your gradient for input {spare[0]} belongs to nothing that is varied; return None"
            )
        result = [g for g, used in zip(result, varied) if used]
    if len(result) != count:
        raise ShapeError(
            f"{title}: your gradient returned {len(result)} arrays for {count} inputs that are varied "
            f"({', '.join(variables)}); return one for each, or None for one that is not to be checked"
        )
    if all(g is None for g in result):
        raise ShapeError(f"{title}: your gradient returned nothing to check; one array for each input is expected")
    return [None if g is None else floats(g) for g in result]


def _is_one(result: Sequence[Any], shape: tuple[int, ...]) -> bool:
    """Is this the only gradient, written as a list of numbers, and not a list of gradients?"""
    several = any(g is None or isinstance(g, (np.ndarray, Tensor)) for g in result)
    return not several and np.shape(result) == shape
