"""Who made the first NaN or infinity, and on which line: what `tg.detect_anomaly()` looks for."""

from __future__ import annotations

import os
import sys
from typing import Any

import numpy as np

from tinygrad_edu.errors import AnomalyError

OURS = (os.path.dirname(__file__), os.path.dirname(np.__file__))


def users_line() -> str:
    """The innermost line that belongs neither to this package nor to NumPy: `file.py:12: loss = x.log()`."""
    import linecache  # not at the top: importing it takes a thirtieth of the time of importing NumPy

    frame = sys._getframe(1)
    while frame.f_back is not None and frame.f_code.co_filename.startswith(OURS):
        frame = frame.f_back
    name, line = frame.f_code.co_filename, frame.f_lineno
    text = linecache.getline(name, line).strip()
    return f"{os.path.basename(name)}:{line}" + (f": {text}" if text else "")


def _holds(x: Any, test: Any) -> bool:
    return isinstance(x, (np.ndarray, np.generic, float)) and np.asarray(x).dtype.kind == "f" and bool(test(x).any())


def _found(c: Any, test: Any, what: str) -> str:
    array = np.asarray(c)
    positions = np.argwhere(test(array))
    first = tuple(int(i) for i in positions[0])
    return f"{what} ({len(positions)} of {array.size} elements" + (f", the first at {first})" if first else ")")


def check_forward(name: str, args: Any, value: Any) -> str:
    """Raise if this operation made a NaN or an infinity, or met a NaN; else say where it was called."""
    where = users_line()
    for i, x in enumerate(args):
        if _holds(x, np.isnan):
            raise AnomalyError(f"{name}: input {i + 1} is {_found(x, np.isnan, 'NaN')} already, at {where}")
    if _holds(value, np.isnan):
        raise AnomalyError(f"{name}: made {_found(value, np.isnan, 'NaN')} in the forward pass, at {where}")
    if _holds(value, np.isinf) and not any(_holds(x, np.isinf) for x in args):
        raise AnomalyError(f"{name}: made {_found(value, np.isinf, 'an infinity')} in the forward pass, at {where}")
    return where


def check_backward(name: str, i: int, c: Any, where: Any) -> None:
    """Raise if the gradient for input i is not finite: all gradients that came before were."""
    for test, what in ((np.isnan, "NaN"), (np.isinf, "an infinity")):
        if _holds(c, test):
            called = f"; the operation was called at {where}" if where else ""
            raise AnomalyError(f"{name}: the gradient for input {i + 1} is {_found(c, test, what)}{called}")
