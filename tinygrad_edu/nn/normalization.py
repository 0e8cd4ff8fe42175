"""Normalising layers: BatchNorm, LayerNorm, GroupNorm, RMSNorm, with their scales, shifts and running statistics."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from tinygrad_edu.errors import ShapeError
from tinygrad_edu.nn import functional
from tinygrad_edu.nn.module import Module, Parameter
from tinygrad_edu.ops.normalization import advance
from tinygrad_edu.tensor import Tensor, as_tensor

__all__ = ["BatchNorm1d", "BatchNorm2d", "GroupNorm", "LayerNorm", "RMSNorm"]


class _BatchNorm(Module):
    """What BatchNorm1d and BatchNorm2d share."""

    takes: tuple[int, ...] = ()  # numbers of axes
    rest = ""

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = True,
        track_running_stats: bool = True,
        *,
        dtype: DTypeLike = np.float64,
    ) -> None:
        super().__init__()
        self.num_features, self.eps, self.momentum = num_features, eps, momentum
        self.weight = Parameter(np.ones(num_features), dtype=dtype) if affine else None
        self.bias = Parameter(np.zeros(num_features), dtype=dtype) if affine else None
        self.running_mean = self.running_var = self.num_batches_tracked = None
        if track_running_stats:  # Tensors, so that state_dict has them; no Parameters, so that no optimiser has
            self.running_mean = Tensor(np.zeros(num_features), dtype=dtype)
            self.running_var = Tensor(np.ones(num_features), dtype=dtype)
            self.num_batches_tracked = Tensor(0)

    def forward(self, x: Any) -> Any:
        shape = np.shape(x)
        if len(shape) not in self.takes or shape[1] != self.num_features:
            expected = f"(samples, {self.num_features}{self.rest})"
            raise ShapeError(f"{type(self).__name__}: input {shape}: {expected} is expected")
        momentum = self.momentum
        if self.training and self.num_batches_tracked is not None:
            count = advance(as_tensor(self.num_batches_tracked.data))  # .data is an array, also of a single number
            if momentum is None:  # the plain mean over all batches
                momentum = 1 / count
        return functional.batch_norm(
            x,
            self.running_mean,
            self.running_var,
            self.weight,
            self.bias,
            self.training,
            0.0 if momentum is None else momentum,
            self.eps,
        )

    def extra_repr(self) -> str:
        return str(self.num_features)


class BatchNorm1d(_BatchNorm):
    """Each feature standardized over the batch, then scaled and shifted: input (samples, features[, length]).

    As `BatchNorm2d`.
    """

    takes = (2, 3)
    rest = "[, length]"


class BatchNorm2d(_BatchNorm):
    """Each channel of images standardized over the batch, then scaled and shifted.

    In training the mean and variance are those of the batch, and the running ones move towards them; in use
    (`net.eval()`) the running ones are taken.

    Parameters
    ----------
    num_features : int
        The number of channels; input (samples, num_features, height, width).
    eps : float
        What is added to the variance.
    momentum : float or None
        How fast the running statistics move; None gives the plain mean over all batches.
    affine : bool
        Have a weight (at first 1) and a bias (at first 0) for each channel.
    track_running_stats : bool
        Have running statistics; without them the batch's own are taken in use, too.
    dtype : dtype
        float64 unless given.

    Examples
    --------
    >>> import numpy as np, tinygrad_edu as tg
    >>> layer = tg.nn.BatchNorm2d(3)
    >>> y = layer(np.random.default_rng(0).normal(5, 2, size=(4, 3, 8, 8)))
    >>> abs(float(y.mean().item())) < 1e-12
    True
    >>> sorted(layer.state_dict())
    ['bias', 'num_batches_tracked', 'running_mean', 'running_var', 'weight']
    """

    takes = (4,)
    rest = ", height, width"


class LayerNorm(Module):
    """Each sample standardized over its last axes, then scaled and shifted.

    Parameters
    ----------
    normalized_shape : int or tuple of int
        The sizes of the last axes, over which mean and variance are taken.
    eps : float
        What is added to the variance.
    elementwise_affine, bias : bool
        Have a weight (at first 1), and with it a bias (at first 0), of the normalized shape.
    dtype : dtype
        float64 unless given.

    Examples
    --------
    >>> import numpy as np, tinygrad_edu as tg
    >>> tg.nn.LayerNorm(3)(np.arange(6.0).reshape(2, 3)).data.round(4)
    array([[-1.2247,  0.    ,  1.2247],
           [-1.2247,  0.    ,  1.2247]])
    """

    def __init__(
        self,
        normalized_shape: int | Sequence[int],
        eps: float = 1e-5,
        elementwise_affine: bool = True,
        bias: bool = True,
        *,
        dtype: DTypeLike = np.float64,
    ) -> None:
        super().__init__()
        self.normalized_shape, self.eps = _shape(normalized_shape), eps
        self.weight = Parameter(np.ones(self.normalized_shape), dtype=dtype) if elementwise_affine else None
        self.bias = Parameter(np.zeros(self.normalized_shape), dtype=dtype) if elementwise_affine and bias else None

    def forward(self, x: Any) -> Any:
        return functional.layer_norm(x, self.normalized_shape, self.weight, self.bias, self.eps)

    def extra_repr(self) -> str:
        return ", ".join(map(str, self.normalized_shape))


class RMSNorm(Module):
    """x / sqrt(mean(x^2) + eps) over the last axes, then scaled; eps is the dtype's machine epsilon unless given.

    Examples
    --------
    >>> import tinygrad_edu as tg
    >>> tg.nn.RMSNorm(4)(tg.Tensor([3.0, 4.0, 0.0, 0.0]))
    Tensor([1.2, 1.6, 0. , 0. ], from multiply)
    """

    def __init__(
        self,
        normalized_shape: int | Sequence[int],
        eps: float | None = None,
        elementwise_affine: bool = True,
        *,
        dtype: DTypeLike = np.float64,
    ) -> None:
        super().__init__()
        self.normalized_shape, self.eps = _shape(normalized_shape), eps
        self.weight = Parameter(np.ones(self.normalized_shape), dtype=dtype) if elementwise_affine else None

    def forward(self, x: Any) -> Any:
        return functional.rms_norm(x, self.normalized_shape, self.weight, self.eps)

    def extra_repr(self) -> str:
        return ", ".join(map(str, self.normalized_shape))


class GroupNorm(Module):
    """The channels of each sample standardized in groups, then scaled and shifted.

    Parameters
    ----------
    num_groups, num_channels : int
        Input (samples, num_channels, ...), in groups of num_channels / num_groups channels.
    eps : float
        What is added to the variance.
    affine : bool
        Have a weight (at first 1) and a bias (at first 0) for each channel.
    dtype : dtype
        float64 unless given.

    Examples
    --------
    >>> import numpy as np, tinygrad_edu as tg
    >>> tg.nn.GroupNorm(2, 4)(np.ones((5, 4, 7, 7))).shape
    (5, 4, 7, 7)
    """

    def __init__(
        self,
        num_groups: int,
        num_channels: int,
        eps: float = 1e-5,
        affine: bool = True,
        *,
        dtype: DTypeLike = np.float64,
    ) -> None:
        super().__init__()
        if num_groups < 1 or num_channels % num_groups:
            raise ValueError(f"GroupNorm: {num_channels} channels in {num_groups} groups of equal size")
        self.num_groups, self.num_channels, self.eps = num_groups, num_channels, eps
        self.weight = Parameter(np.ones(num_channels), dtype=dtype) if affine else None
        self.bias = Parameter(np.zeros(num_channels), dtype=dtype) if affine else None

    def forward(self, x: Any) -> Any:
        return functional.group_norm(x, self.num_groups, self.weight, self.bias, self.eps)

    def extra_repr(self) -> str:
        return f"{self.num_groups}, {self.num_channels}"


def _shape(normalized_shape: int | Sequence[int]) -> tuple[int, ...]:
    return (normalized_shape,) if isinstance(normalized_shape, int) else tuple(normalized_shape)
