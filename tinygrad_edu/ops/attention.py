"""Attention: how much each query looks at each key."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from tinygrad_edu.errors import DtypeError, ShapeError
from tinygrad_edu.op import broadcastable
from tinygrad_edu.ops.activations import softmax
from tinygrad_edu.ops.axes import operand
from tinygrad_edu.ops.linalg import matmul
from tinygrad_edu.ops.shaping import swapaxes

__all__ = ["attention_weights"]

Operand = Any  # a Tensor, an array or a number


def attention_weights(
    query: Operand, key: Operand, attn_mask: Operand = None, is_causal: bool = False, scale: float | None = None
) -> Any:
    r"""softmax(scale query key^T + mask): for each query one weight for each key, which sum to 1.

    Parameters
    ----------
    query : (..., queries, features)
    key : (..., keys, features)
    attn_mask : broadcastable to (..., queries, keys), optional
        Booleans: True where a query may look.  Floats: added to the scores, -inf where it must not look.
    is_causal : bool
        Query i looks at the keys 0..i only.  Not together with a mask.
    scale : float, optional
        1 / sqrt(features) unless given.

    A query that may not look anywhere gets weights 0 (PyTorch's attention does the same; a softmax of nothing
    but -inf would be NaN), and sends no gradient.

    Examples
    --------
    >>> import numpy as np, tinygrad_edu as tg
    >>> x = np.zeros((3, 2))
    >>> tg.attention_weights(tg.Tensor(x), x, is_causal=True)
    Tensor([[1.        , 0.        , 0.        ],
            [0.5       , 0.5       , 0.        ],
            [0.33333333, 0.33333333, 0.33333333]])
    """
    query, key = (operand(x) for x in (query, key))
    q, k = query.shape, key.shape
    if len(q) < 2 or len(k) < 2 or q[-1] != k[-1] or not broadcastable(q[:-2], k[:-2]):
        raise ShapeError(
            f"attention: query {q} against key {k}: (..., queries, features) and (..., keys, features) are expected, "
            "with equal features"
        )
    scores = matmul(query * (1 / math.sqrt(q[-1]) if scale is None else scale), swapaxes(key, -1, -2))
    if is_causal:
        if attn_mask is not None:
            raise ValueError("attention: give attn_mask or is_causal=True, not both")
        attn_mask = np.tri(q[-2], k[-2], dtype=bool)
    if attn_mask is None:
        return softmax(scores)
    mask = operand(attn_mask)
    if not broadcastable(scores.shape, mask.shape) or np.broadcast_shapes(scores.shape, mask.shape) != scores.shape:
        raise ShapeError(f"attention: mask {mask.shape} for scores of shape {scores.shape}")
    if mask.dtype.kind == "b":
        scores, blocked = np.where(mask, scores, -math.inf), np.logical_not(mask)
    elif mask.dtype.kind == "f":
        scores, blocked = scores + mask, mask == -math.inf
    else:
        raise DtypeError(f"attention: mask of dtype {mask.dtype}: booleans or floats are expected")
    nowhere = np.all(blocked, axis=-1, keepdims=True)
    if not np.any(nowhere):
        return softmax(scores)
    return np.where(nowhere, 0.0, softmax(np.where(nowhere, 0.0, scores)))
