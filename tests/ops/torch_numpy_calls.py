"""Calls of the NumPy functions that only move numbers, for the test that calls each NumPy function on tensors."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

A = np.arange(24.0).reshape(4, 6) / 7 - 1.5
V = A[0]
CUBE = A.reshape(2, 2, 6)
POSITIONS = np.array([[0, 2, 1], [1, 1, 0], [3, 0, 3], [2, 2, 2]])

NUMPY_CALLS: dict[Any, list[Callable[..., Any]]] = {
    np.empty_like: [lambda f, t: np.shape(f(t(A)))],  # its numbers are whatever lay there
    np.full_like: [lambda f, t: f(t(A), 2.5)],
    np.rollaxis: [lambda f, t: f(t(CUBE), 2), lambda f, t: f(t(CUBE), 2, 1)],
    np.atleast_1d: [lambda f, t: f(t(np.array(2.0))), lambda f, t: f(t(A), t(V))],
    np.atleast_2d: [lambda f, t: f(t(V))],
    np.atleast_3d: [lambda f, t: f(t(V)), lambda f, t: f(t(A))],
    np.broadcast_arrays: [lambda f, t: f(t(A), t(V))],
    np.meshgrid: [lambda f, t: f(t(V), t(A[1])), lambda f, t: f(t(V), t(A[:, 1]), indexing="ij")],
    np.take: [lambda f, t: f(t(A), [3, 0, 3]), lambda f, t: f(t(A), POSITIONS, axis=1),
              lambda f, t: f(t(A), [-9, 9], axis=0, mode="clip")],
    np.take_along_axis: [lambda f, t: f(t(A), POSITIONS, axis=1)],
    np.argwhere: [lambda f, t: f(t(A))],
    np.nonzero: [lambda f, t: f(t(A))],
    np.vstack: [lambda f, t: f([t(A), t(V)])],
    np.hstack: [lambda f, t: f([t(A), t(A)])],
    np.dstack: [lambda f, t: f([t(A), t(A)])],
    np.column_stack: [lambda f, t: f([t(V), t(V)])],
    np.block: [lambda f, t: f([[t(A), t(A)], [t(A), A]])],
    np.append: [lambda f, t: f(t(A), t(V)), lambda f, t: f(t(A), t(A), axis=0)],
    np.array_split: [lambda f, t: f(t(A), 4, axis=1)],
    np.split: [lambda f, t: f(t(A), 2), lambda f, t: f(t(A), [1, 4], axis=1)],
    np.hsplit: [lambda f, t: f(t(A), 3)],
    np.vsplit: [lambda f, t: f(t(A), 2)],
    np.dsplit: [lambda f, t: f(t(CUBE), 2)],
    np.delete: [lambda f, t: f(t(A), [1, 2], axis=1), lambda f, t: f(t(A), slice(0, 3), axis=0)],
    np.insert: [lambda f, t: f(t(A), 1, 9.0, axis=0), lambda f, t: f(t(V), [1, 3], [7.0, 8.0])],
    np.flip: [lambda f, t: f(t(A)), lambda f, t: f(t(A), axis=1)],
    np.fliplr: [lambda f, t: f(t(A))],
    np.flipud: [lambda f, t: f(t(A))],
    np.rot90: [lambda f, t: f(t(A)), lambda f, t: f(t(A), 3)],
    np.roll: [lambda f, t: f(t(A), 2), lambda f, t: f(t(A), (1, -2), axis=(0, 1))],
    np.repeat: [lambda f, t: f(t(A), 2), lambda f, t: f(t(A), [1, 0, 2, 1], axis=0)],
    np.tile: [lambda f, t: f(t(A), 2), lambda f, t: f(t(V), (2, 3))],
    np.pad: [lambda f, t: f(t(A), 1), lambda f, t: f(t(A), ((1, 2), (0, 1)), mode="edge"),
             lambda f, t: f(t(A), 2, mode="reflect"), lambda f, t: f(t(A), 1, constant_values=3.0)],
    np.compress: [lambda f, t: f([True, False, True, True], t(A), axis=0)],
    np.extract: [lambda f, t: f(A > 0, t(A))],
    np.choose: [lambda f, t: f(np.array([0, 1, 1, 0, 1, 0]), [t(A), t(V)])],
    np.flatnonzero: [lambda f, t: f(t(A))],
    np.searchsorted: [lambda f, t: f(t(V), [-1.0, 0.0]), lambda f, t: f(t(V), [-1.0, 0.0], side="right")],
    np.digitize: [lambda f, t: f(t(A), V)],
}  # fmt: skip
if hasattr(np, "unstack"):
    NUMPY_CALLS[np.unstack] = [lambda f, t: f(t(A)), lambda f, t: f(t(A), axis=1)]
