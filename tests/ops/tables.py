"""What the families' own files (`torch_*.py`) say of their operations, collected for the tests that drive all of them.

`TORCH` maps an operation's name to a function (torch, *inputs, **params); `NUMPY_CALLS` maps a NumPy function to calls
of it, functions (function, t) in which `t` makes a tensor.
"""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

FAMILIES = [
    importlib.import_module(f"tests.ops.{path.stem}") for path in sorted(Path(__file__).parent.glob("torch_*.py"))
]


def collected(name: str) -> dict[Any, Any]:
    """One dictionary of all families; nothing may be said twice."""
    result: dict[Any, Any] = {}
    for module in FAMILIES:
        said = getattr(module, name, {})
        assert not result.keys() & said.keys(), f"{module.__name__}: {result.keys() & said.keys()} are said twice"
        result.update(said)
    return result
