"""Multi-head attention: several attentions side by side, each on its own share of the features."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from tinygrad_edu import ops
from tinygrad_edu.errors import ShapeError
from tinygrad_edu.nn import functional, init
from tinygrad_edu.nn.layers import Linear
from tinygrad_edu.nn.module import Module, Parameter

__all__ = ["MultiheadAttention"]


class MultiheadAttention(Module):
    """softmax(q k^T / sqrt(d) + mask) v in several heads (Vaswani et al. 2017).

    Queries, keys and values are projected by in_proj_weight (embed_dim, 3 embed_dim) and in_proj_bias, in this order.
    Each head attends with embed_dim / num_heads features; out_proj, a Linear, mixes what the heads have found.

    Parameters
    ----------
    embed_dim, num_heads : int
        The number of features, and of the heads that share them.
    dropout : float
        Of the weights of attention, in training.
    bias : bool
        Have biases.
    batch_first : bool
        Take (samples, length, features) instead of (length, samples, features).
    rng : int, Generator or None
        Where weights (and dropout's masks) are drawn from.  As in PyTorch, in_proj_weight is drawn by Glorot's uniform
        initialiser, out_proj's as that of a Linear, and all biases are 0.
    dtype : dtype
        float64 unless given.

    Examples
    --------
    >>> import numpy as np, tinygrad_edu as tg
    >>> layer = tg.nn.MultiheadAttention(8, 2, batch_first=True, rng=0)
    >>> x = np.ones((5, 4, 8))
    >>> output, weights = layer(x, x, x)
    >>> output.shape, weights.shape
    ((5, 4, 8), (5, 4, 4))
    """

    def __init__(
        self,
        embed_dim: int,
        num_heads: int,
        dropout: float = 0.0,
        bias: bool = True,
        batch_first: bool = False,
        *,
        rng: int | np.random.Generator | None = None,
        dtype: DTypeLike = np.float64,
    ) -> None:
        super().__init__()
        if num_heads < 1 or embed_dim < 1 or embed_dim % num_heads:
            raise ValueError(f"MultiheadAttention: {embed_dim} features cannot be shared by {num_heads} heads")
        self.embed_dim, self.num_heads, self.dropout, self.batch_first = embed_dim, num_heads, dropout, batch_first
        self._rng = rng = np.random.default_rng(rng)
        weight = init.glorot_uniform((embed_dim, 3 * embed_dim), embed_dim, 3 * embed_dim, rng)
        self.in_proj_weight = Parameter(weight, dtype=dtype)
        self.in_proj_bias = Parameter(np.zeros(3 * embed_dim), dtype=dtype) if bias else None
        self.out_proj = Linear(embed_dim, embed_dim, bias, bias_init="zeros", rng=rng, dtype=dtype)

    def forward(
        self,
        query: Any,
        key: Any,
        value: Any,
        key_padding_mask: Any = None,
        need_weights: bool = True,
        attn_mask: Any = None,
        average_attn_weights: bool = True,
        is_causal: bool = False,
    ) -> tuple[Any, Any]:
        """Output and weights (None unless `need_weights`; the mean over the heads if `average_attn_weights`).

        Masks are PyTorch's: booleans are True where attention is *forbidden* (the opposite of
        `scaled_dot_product_attention`), floats are added.  `key_padding_mask` is (samples, keys), `attn_mask`
        (queries, keys) or (samples * heads, queries, keys).  `is_causal` forbids keys behind the query.  A query that
        may not look anywhere gets weights 0.

        Shapes: query (queries, samples, embed_dim), key and value (keys, samples, embed_dim); with `batch_first` the
        samples come first; a single sample may come without its axis.
        """
        single = len(np.shape(query)) == 2
        for name, x in (("query", query), ("key", key), ("value", value)):
            if len(np.shape(x)) != (2 if single else 3) or np.shape(x)[-1] != self.embed_dim:
                order = "length" if single else "samples, length" if self.batch_first else "length, samples"
                raise ShapeError(f"MultiheadAttention: {name} {np.shape(x)}: ({order}, {self.embed_dim}) is expected")
        q, k, v = self._projected(query, key, value, single)  # (samples, heads, length, features)
        mask = self._mask(q.shape, k.shape, key_padding_mask, attn_mask, single)
        if is_causal and mask is None:
            mask = np.tri(q.shape[2], k.shape[2], dtype=bool)
        weights = ops.attention_weights(q, k, mask)
        found = ops.matmul(functional.dropout(weights, self.dropout, self.training, self._rng), v)
        found = ops.transpose(found, axes=(0, 2, 1, 3))
        output = self.out_proj(ops.reshape(found, shape=(*found.shape[:2], self.embed_dim)))
        if single:
            output, weights = output[0], weights[0]
        elif not self.batch_first:
            output = ops.swapaxes(output, 0, 1)
        if not need_weights:
            return output, None
        return output, ops.mean(weights, axis=-3) if average_attn_weights else weights

    def _projected(self, query: Any, key: Any, value: Any, single: bool) -> list[Any]:
        """Queries, keys and values of each head: (samples, heads, length, features of a head)."""
        weight, bias, width = self.in_proj_weight, self.in_proj_bias, self.embed_dim
        if query is key and key is value:  # self-attention: one matrix product for all three
            everything = functional.linear(query, weight, bias)
            parts = [everything[..., i * width : (i + 1) * width] for i in range(3)]
        else:
            columns = [slice(i * width, (i + 1) * width) for i in range(3)]
            parts = [
                functional.linear(x, weight[:, part], None if bias is None else bias[part])
                for x, part in zip((query, key, value), columns)
            ]
        heads = self.num_heads, width // self.num_heads
        split = [ops.reshape(x, shape=(*x.shape[:-1], *heads)) for x in parts]
        if single:
            return [ops.expand_dims(ops.swapaxes(x, 0, 1), 0) for x in split]
        return [ops.transpose(x, axes=(0, 2, 1, 3) if self.batch_first else (1, 2, 0, 3)) for x in split]

    def _mask(self, q: Any, k: Any, key_padding_mask: Any, attn_mask: Any, single: bool) -> Any:
        """Both masks as one that says where attention is allowed, or what is added to the scores."""
        samples, heads, queries, keys = q[0], q[1], q[2], k[2]
        masks = []
        if key_padding_mask is not None:
            expected = (keys,) if single else (samples, keys)
            masks.append(_shaped("key_padding_mask", key_padding_mask, {expected: (samples, 1, 1, keys)}))
        if attn_mask is not None:
            shapes = {
                (queries, keys): (queries, keys),
                (samples * heads, queries, keys): (samples, heads, queries, keys),
            }
            masks.append(_shaped("attn_mask", attn_mask, shapes))
        if not masks:
            return None
        if all(mask.dtype == np.bool_ for mask in masks):
            allowed = [np.logical_not(mask) for mask in masks]
            return allowed[0] if len(allowed) == 1 else np.logical_and(*allowed)
        added = [np.where(mask, -math.inf, 0.0) if mask.dtype == np.bool_ else mask for mask in masks]
        return added[0] if len(added) == 1 else added[0] + added[1]


def _shaped(name: str, mask: Any, shapes: dict[tuple[int, ...], tuple[int, ...]]) -> Any:
    """A mask in the shape in which it broadcasts against the scores."""
    mask = mask if hasattr(mask, "dtype") else np.asarray(mask)
    if mask.shape not in shapes:
        expected = " or ".join(map(str, shapes))
        raise ShapeError(f"MultiheadAttention: {name} of shape {mask.shape}: {expected} is expected")
    return mask.reshape(shapes[mask.shape])
