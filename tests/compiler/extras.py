"""What the tests of the compiler need beside NumPy."""

from __future__ import annotations

import importlib.util
import os

import pytest

needs_numba = pytest.mark.skipif(  # with CI=true it must not be missing
    importlib.util.find_spec("numba") is None and not os.environ.get("CI"),
    reason='numba compiles the loops: pip install "tinygrad_edu[numba]"',
)
