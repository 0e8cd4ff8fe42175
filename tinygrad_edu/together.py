"""Small arrays side by side in one: what is done to each of them is done to all of them at once.

A call of NumPy takes half a microsecond before it comes to the first number, and an update of Adam has a dozen calls.
Of 784-64-10 with its four parameters, 99 of 100 numbers are in the first; the other three took a third of the time.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from operator import is_, itemgetter
from typing import Any

import numpy as np

FEW = 16_384  # numbers: an array that is larger spends its time on them, and not on calls


class Together:
    """The small parameters of an optimiser, of one dtype, as one array.

    Parameters
    ----------
    arrays : dict
        Parameters by their number.
    state : sequence of list of arrays
        What the optimiser keeps for each parameter, by its number (Adam's m; its v).  Those of the parameters here are
        replaced by views of one array.

    Attributes
    ----------
    gradient, change : array (n,)
        Room for the gradients of all of them, and for what is taken from them.
    state : list of array (n,)
        Of all of them, one array for each list that was given.
    gradients, changes : dict
        The part of each parameter in `gradient` and `change`, a view of its shape.

    Examples
    --------
    >>> import numpy as np
    >>> m = [np.array([1.0, 2.0]), np.array([[3.0]])]
    >>> together = Together({0: m[0], 1: m[1]}, [m])
    >>> together.state[0] *= 10
    >>> m[1]
    array([[30.]])
    """

    def __init__(self, arrays: dict[int, Any], state: Sequence[list[Any]]) -> None:
        self.shapes = {i: array.shape for i, array in arrays.items()}
        self.chosen = itemgetter(*arrays)  # of a list, what belongs to these parameters
        dtype = next(iter(arrays.values())).dtype
        size = sum(array.size for array in arrays.values())
        self.gradient, self.change = np.zeros(size, dtype), np.zeros(size, dtype)
        self.gradients, self.changes = self._parts(self.gradient), self._parts(self.change)
        self.state = []
        for own in state:
            whole = np.zeros(size, dtype)
            for i, part in self._parts(whole).items():
                part[...] = own[i]
                own[i] = part
            self.state.append(whole)
        self.own = [self.chosen(own) for own in state]

    def _parts(self, whole: Any) -> dict[int, Any]:
        parts, start = {}, 0
        for i, shape in self.shapes.items():
            end = start + math.prod(shape)
            parts[i] = whole[start:end].reshape(shape)
            start = end
        return parts

    def holds(self, *state: list[Any]) -> bool:
        """Are the optimiser's arrays still the parts of those here?  (They may have been replaced, or copied.)"""
        for now, own, whole in zip(state, self.own, self.state):
            if own[0].base is not whole or not all(map(is_, self.chosen(now), own)):
                return False
        return True
