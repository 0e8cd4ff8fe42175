"""Arrays as JSON: in full while they are small, else summarised, with a map; NaN and infinities as words."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

TABLE = (8, 6)  # rows and columns: what is no larger is shown as a table of numbers, the others as heat maps
FULL = 4096  # an array up to this size is written in full ...
ALTOGETHER = 400_000  # ... and less of each if there are so many that the page would get heavy
DIGITS = 9  # significant; all that float32 has


def limit(sizes: Sequence[int], altogether: int = ALTOGETHER) -> int:
    """How many entries of each array may be written, so that all of them together stay within bounds.

    >>> limit([10, 5000]), limit([4096] * 1000)
    (4096, 256)
    """
    allowed = FULL
    while allowed > 16 and sum(min(size, allowed) for size in sizes) > altogether:
        allowed //= 4
    return allowed


def as_json(array: Any, allowed: int = FULL) -> dict[str, Any]:
    """One array: shape, dtype, and `values` by rows.

    One that is too large for a table has a summary as well, and instead of more than `allowed` values means of blocks.

    >>> as_json(np.array([[1.0, np.nan]]))
    {'shape': [1, 2], 'dtype': 'float64', 'rows': 1, 'columns': 2, 'values': [1, 'NaN']}
    """
    array = np.asarray(array)
    found: dict[str, Any] = {"shape": list(array.shape), "dtype": str(array.dtype)}
    with np.errstate(all="ignore"):
        table = _table(array)
        if table.size and (table.shape[0] > TABLE[0] or table.shape[1] > TABLE[1]):
            found["summary"] = {name: _number(x) for name, x in _summary(table).items()}
        if table.size > allowed:
            table = _coarser(table, allowed)
    found["rows"], found["columns"] = table.shape
    found["values"] = [_number(x) for x in table.ravel()]
    return found


def _table(array: NDArray[Any]) -> NDArray[Any]:
    """A table of numbers: the last axis across, all others down."""
    columns = array.shape[-1] if array.ndim else 1
    rows = array.size // columns if columns else 0
    return array.reshape(rows, columns).astype(np.float64)


def _coarser(table: NDArray[Any], allowed: int) -> NDArray[Any]:
    """A map of at most so many cells, of about the same proportions: each cell is the mean of a block."""
    rows, columns = table.shape
    across = min(columns, max(1, int(columns / np.sqrt(table.size / allowed))))
    down = min(rows, max(1, allowed // across))
    across = min(columns, max(1, allowed // down))
    return _means(_means(table, down).T, across).T


def _means(table: NDArray[Any], most: int) -> NDArray[Any]:
    """At most so many rows: neighbours are replaced by their mean."""
    rows = len(table)
    if rows <= most:
        return table
    starts = np.arange(most) * rows // most
    counts = np.diff([*starts, rows])
    return np.asarray(np.add.reduceat(table, starts, axis=0) / counts[:, None])


def _summary(table: NDArray[Any]) -> dict[str, Any]:
    figures = {"norm": np.linalg.norm(table), "mean": table.mean(), "min": table.min(), "max": table.max()}
    bad = int(table.size - np.isfinite(table).sum())
    return {**figures, "not finite": bad} if bad else figures


def _number(x: Any) -> Any:
    """A number that JSON can hold: rounded, an integer where it is one, a word where it is none."""
    x = float(x)
    if not np.isfinite(x):
        return "NaN" if np.isnan(x) else "Infinity" if x > 0 else "-Infinity"
    x = float(f"{x:.{DIGITS}g}")
    return int(x) if x.is_integer() and abs(x) < 1e15 else x
