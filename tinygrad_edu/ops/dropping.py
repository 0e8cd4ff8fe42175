"""What dropout multiplies with: an operation, so that it is drawn anew wherever a recorded step is run again."""

from __future__ import annotations

from typing import Any

import numpy as np

from tinygrad_edu.op import operation

__all__: list[str] = []


@operation(vjps=[None])
def dropout_mask(x: Any, p: float, rng: int | np.random.Generator | None) -> Any:
    """For each element of x: 0 with probability p, and 1 / (1 - p) otherwise.  No gradient.

    Examples
    --------
    >>> import numpy as np
    >>> from tinygrad_edu.ops.dropping import dropout_mask
    >>> sorted(set(dropout_mask(np.ones(1000), p=0.5, rng=0).tolist()))
    [0.0, 2.0]
    """
    kept = np.random.default_rng(rng).random(x.shape) >= p
    return (kept / (1 - p)).astype(x.dtype)
