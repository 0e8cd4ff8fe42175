"""Activations, losses and layers as functions of Tensors."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from tinygrad_edu import ops
from tinygrad_edu.late import late
from tinygrad_edu.ops.dropping import dropout_mask

if TYPE_CHECKING:
    from tinygrad_edu.ops import (
        binary_cross_entropy,
        binary_cross_entropy_with_logits,
        cosine_similarity,
        cross_entropy,
        elu,
        gelu,
        half_mse_loss,
        hardtanh,
        hinge_embedding_loss,
        hinge_loss,
        huber_loss,
        kl_div,
        l1_loss,
        leaky_relu,
        log_sigmoid,
        log_softmax,
        mish,
        mse_loss,
        multi_margin_loss,
        nll_loss,
        one_hot,
        relu,
        relu6,
        selu,
        sigmoid,
        silu,
        smooth_l1_loss,
        softmax,
        softplus,
        softsign,
        tanh,
    )
    from tinygrad_edu.ops.convolution import conv1d, conv2d, conv_transpose1d, conv_transpose2d
    from tinygrad_edu.ops.embeddings import embedding
    from tinygrad_edu.ops.normalization import batch_norm, group_norm, layer_norm, rms_norm
    from tinygrad_edu.ops.pooling import avg_pool1d, avg_pool2d, max_pool1d, max_pool2d
    from tinygrad_edu.ops.windows import fold, unfold

__all__ = [
    "binary_cross_entropy", "binary_cross_entropy_with_logits", "cosine_similarity", "cross_entropy", "dropout",
    "elu", "gelu", "half_mse_loss", "hardtanh", "hinge_embedding_loss", "hinge_loss", "huber_loss", "kl_div",
    "l1_loss", "leaky_relu", "linear", "log_sigmoid", "log_softmax", "mish", "mse_loss", "multi_margin_loss",
    "nll_loss", "one_hot", "relu", "relu6", "selu", "sigmoid", "silu", "smooth_l1_loss", "softmax", "softplus",
    "softsign", "tanh",
]  # fmt: skip
__all__ += [
    "avg_pool1d", "avg_pool2d", "batch_norm", "conv1d", "conv2d", "conv_transpose1d", "conv_transpose2d", "embedding",
    "fold", "group_norm", "layer_norm", "max_pool1d", "max_pool2d", "rms_norm", "scaled_dot_product_attention",
    "unfold",
]  # fmt: skip

if not TYPE_CHECKING:  # a type checker knows by itself what is missing
    __getattr__ = late(__name__, {"tinygrad_edu.ops": __all__})


def __dir__() -> list[str]:
    return sorted(__all__)


def linear(x: Any, weight: Any, bias: Any = None) -> Any:
    """A layer's pre-activations X W + 1 b; without a bias X W.

    Shapes: x (..., in), weight (in, out), bias (out,) -> (..., out).

    Examples
    --------
    >>> import tinygrad_edu as tg
    >>> tg.nn.functional.linear(tg.Tensor([[1.0, 2.0]]), tg.Tensor([[3.0], [4.0]]))
    Tensor([[11.]])
    """
    return ops.matmul(x, weight) if bias is None else ops.linear(x, weight, bias)


def dropout(x: Any, p: float = 0.5, training: bool = True, rng: int | np.random.Generator | None = None) -> Any:
    """In training: each element is 0 with probability p, and divided by 1 - p otherwise.  Else x itself.

    The division keeps the mean where it was, so nothing needs to change when the network is used (Srivastava et al.
    2014, in the form called inverted dropout).  The gradient meets the same mask.

    Examples
    --------
    >>> import numpy as np, tinygrad_edu as tg
    >>> y = tg.nn.functional.dropout(tg.Tensor(np.ones(1000)), p=0.25, rng=0)
    >>> sorted(set(y.data.round(4).tolist()))
    [0.0, 1.3333]
    """
    if not 0 <= p <= 1:
        raise ValueError(f"dropout: p = {p}: a probability between 0 and 1 is expected")
    if not training or p == 0:
        return x
    if p == 1:
        return x * np.zeros(x.shape, x.dtype)
    return x * dropout_mask(x, p=p, rng=rng)


def scaled_dot_product_attention(
    query: Any,
    key: Any,
    value: Any,
    attn_mask: Any = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    rng: int | np.random.Generator | None = None,
) -> Any:
    """softmax(query key^T / sqrt(features) + mask) value: each query receives a weighted mean of the values.

    Shapes: query (..., queries, features), key (..., keys, features), value (..., keys, any) -> (..., queries, any).

    `attn_mask` holds booleans, True where a query may look, or floats that are added, -inf where it must not look;
    `is_causal` lets query i look at keys 0..i only.  A query that may not look anywhere receives zeros, as in PyTorch.
    `dropout_p` is always applied: pass 0 outside of training.  `scale` replaces 1 / sqrt(features).  (Vaswani et al.
    2017.)

    Examples
    --------
    >>> import numpy as np, tinygrad_edu as tg
    >>> x = tg.Tensor([[1.0, 0.0], [0.0, 1.0]])
    >>> tg.nn.functional.scaled_dot_product_attention(x, x, x, is_causal=True).data.round(3)
    array([[1.  , 0.  ],
           [0.33, 0.67]])
    """
    weights = ops.attention_weights(query, key, attn_mask, is_causal, scale)
    return ops.matmul(dropout(weights, dropout_p, rng=rng), value)
