"""What the operations of indexing are in PyTorch: f(torch, *inputs, **parameters).

NumPy decides which elements an index names (a wrong reading of it would show in the values, which are compared with
NumPy's); PyTorch gathers and adds them from a flat row.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np


def places(torch: Any, shape: tuple[int, ...], index: Any) -> Any:
    """The numbers of the elements that `index` names, counted through an array of this shape."""
    return torch.from_numpy(np.array(np.arange(math.prod(shape)).reshape(shape)[index]))


def _getitem(torch: Any, x: Any, index: Any) -> Any:
    return x.reshape(-1)[places(torch, tuple(x.shape), index)]


def _scatter_add(torch: Any, x: Any, index: Any, shape: tuple[int, ...]) -> Any:
    where = places(torch, shape, index)
    while x.ndim > where.ndim:
        x = x.squeeze(0)
    zeros = torch.zeros(math.prod(shape), dtype=x.dtype)
    return zeros.index_add(0, where.reshape(-1), x.broadcast_to(where.shape).reshape(-1)).reshape(shape)


def _setitem(torch: Any, x: Any, value: Any, index: Any) -> Any:
    """The row x followed by the row of values, and from it for each element its old number or the last written one."""
    where = places(torch, tuple(x.shape), index)
    value = torch.as_tensor(value, dtype=x.dtype)
    while value.ndim > where.ndim:
        value = value.squeeze(0)
    source = np.arange(x.numel())
    for number, place in enumerate(where.reshape(-1).tolist()):
        source[place] = x.numel() + number
    row = torch.cat([x.reshape(-1), value.broadcast_to(where.shape).reshape(-1)])
    return row[torch.from_numpy(source)].reshape(x.shape)


TORCH: dict[str, Callable[..., Any]] = {"getitem": _getitem, "scatter_add": _scatter_add, "setitem": _setitem}
