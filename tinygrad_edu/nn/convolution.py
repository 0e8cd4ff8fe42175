"""Layers for images and sequences: convolutions, pooling, and the way to and from rows of features."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import DTypeLike

from tinygrad_edu import ops
from tinygrad_edu.errors import ShapeError
from tinygrad_edu.nn import functional, init
from tinygrad_edu.nn.init import Initializer
from tinygrad_edu.nn.module import Module, Parameter
from tinygrad_edu.ops.windows import Size, pair

__all__ = [
    "AvgPool1d", "AvgPool2d", "Conv1d", "Conv2d", "ConvTranspose1d", "ConvTranspose2d", "Flatten", "MaxPool1d",
    "MaxPool2d", "Unflatten",
]  # fmt: skip

Seed: TypeAlias = "int | np.random.Generator | None"  # in quotes: np.random is loaded when it is first used


class _Convolution(Module):
    """What the convolutions share: a window of weights for each output channel, and a bias."""

    axes = 2
    transposed = False

    def _build(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Size,
        groups: int,
        bias: bool,
        weight_init: str | Initializer,
        bias_init: str | Initializer,
        rng: Seed,
        dtype: DTypeLike,
    ) -> None:
        name = type(self).__name__
        for what, size in (("in_channels", in_channels), ("out_channels", out_channels), ("groups", groups)):
            pair(name, what, size, axes=1)
        if in_channels % groups or out_channels % groups:
            raise ValueError(
                f"{name}: {in_channels} and {out_channels} channels cannot both be split into {groups} groups"
            )
        self.in_channels, self.out_channels, self.groups = in_channels, out_channels, groups
        self.kernel_size = pair(name, "kernel_size", kernel_size, axes=self.axes)
        first, second = (in_channels, out_channels) if self.transposed else (out_channels, in_channels)
        shape = (first, second // groups, *self.kernel_size)
        window = math.prod(self.kernel_size)
        fans = shape[1] * window, shape[0] * window  # counted as PyTorch does, also for the transposed ones
        rng = np.random.default_rng(rng)
        self.weight = Parameter(init.get(weight_init)(shape, *fans, rng), dtype=dtype)
        self.bias = Parameter(init.get(bias_init)((out_channels,), *fans, rng), dtype=dtype) if bias else None

    def _settings(self, **settings: Any) -> str:
        usual = {"stride": 1, "padding": 0, "output_padding": 0, "dilation": 1, "groups": 1}
        text = f"{self.in_channels}, {self.out_channels}, kernel_size={_short(self.kernel_size)}"
        settings["groups"] = self.groups
        text += "".join(f", {name}={_short(value)}" for name, value in settings.items() if _short(value) != usual[name])
        return text + ("" if self.bias is not None else ", bias=False")


def _short(value: Any) -> Any:
    """A pair of equal numbers as one."""
    return value[0] if isinstance(value, tuple) and len(set(value)) == 1 else value


class _Forward(_Convolution):
    """Conv1d and Conv2d."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Size,
        stride: Size = 1,
        padding: Size | Literal["same", "valid"] = 0,
        dilation: Size = 1,
        groups: int = 1,
        bias: bool = True,
        *,
        weight_init: str | Initializer = "fan_in_uniform",
        bias_init: str | Initializer = "fan_in_uniform",
        rng: Seed = None,
        dtype: DTypeLike = np.float64,
    ) -> None:
        super().__init__()
        self._build(in_channels, out_channels, kernel_size, groups, bias, weight_init, bias_init, rng, dtype)
        self.stride, self.padding, self.dilation = stride, padding, dilation

    def forward(self, x: Any) -> Any:
        convolve = functional.conv1d if self.axes == 1 else functional.conv2d
        return convolve(x, self.weight, self.bias, self.stride, self.padding, self.dilation, self.groups)

    def extra_repr(self) -> str:
        return self._settings(stride=self.stride, padding=self.padding, dilation=self.dilation)


class Conv1d(_Forward):
    """Windows of weights slide over sequences (samples, channels, length).  As `Conv2d`, with one axis.

    Examples
    --------
    >>> import numpy as np, tinygrad_edu as tg
    >>> tg.nn.Conv1d(2, 4, kernel_size=3, rng=0)(np.ones((5, 2, 10))).shape
    (5, 4, 8)
    """

    axes = 1


class Conv2d(_Forward):
    """Windows of weights slide over images (samples, channels, height, width).

    Parameters
    ----------
    in_channels, out_channels : int
        The weight is (out_channels, in_channels / groups, *kernel_size), the bias (out_channels,).
    kernel_size : int or pair of int
        Height and width of a window.
    stride, padding, dilation, groups
        As in `nn.functional.conv2d`.
    bias : bool
        Is a number added to each output channel?
    weight_init, bias_init : str or function
        From `nn.init`; U(-1/sqrt(n), 1/sqrt(n)) unless given, with n numbers in a window (as in PyTorch).
    rng : int, Generator or None
        Where the numbers are drawn from; an int seeds a new generator.
    dtype : dtype
        float64 unless given.

    Examples
    --------
    >>> import numpy as np, tinygrad_edu as tg
    >>> layer = tg.nn.Conv2d(1, 8, kernel_size=3, padding=1, rng=0)
    >>> layer
    Conv2d(1, 8, kernel_size=3, padding=1)    80 parameters, float64
    >>> layer(np.ones((5, 1, 28, 28))).shape
    (5, 8, 28, 28)
    """


class _Transposed(_Convolution):
    """ConvTranspose1d and ConvTranspose2d."""

    transposed = True

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Size,
        stride: Size = 1,
        padding: Size = 0,
        output_padding: Size = 0,
        groups: int = 1,
        bias: bool = True,
        dilation: Size = 1,
        *,
        weight_init: str | Initializer = "fan_in_uniform",
        bias_init: str | Initializer = "fan_in_uniform",
        rng: Seed = None,
        dtype: DTypeLike = np.float64,
    ) -> None:
        super().__init__()
        self._build(in_channels, out_channels, kernel_size, groups, bias, weight_init, bias_init, rng, dtype)
        self.stride, self.padding, self.output_padding, self.dilation = stride, padding, output_padding, dilation

    def forward(self, x: Any) -> Any:
        convolve = functional.conv_transpose1d if self.axes == 1 else functional.conv_transpose2d
        return convolve(
            x, self.weight, self.bias, self.stride, self.padding, self.output_padding, self.groups, self.dilation
        )

    def extra_repr(self) -> str:
        return self._settings(
            stride=self.stride, padding=self.padding, output_padding=self.output_padding, dilation=self.dilation
        )


class ConvTranspose1d(_Transposed):
    """The transpose of `Conv1d`: makes sequences longer.  As `ConvTranspose2d`, with one axis.

    Examples
    --------
    >>> import numpy as np, tinygrad_edu as tg
    >>> tg.nn.ConvTranspose1d(4, 2, kernel_size=2, stride=2, rng=0)(np.ones((5, 4, 8))).shape
    (5, 2, 16)
    """

    axes = 1


class ConvTranspose2d(_Transposed):
    """The transpose of `Conv2d`: makes images larger where Conv2d makes them smaller.

    The weight is (in_channels, out_channels / groups, *kernel_size); everything else is as in `Conv2d` and
    `nn.functional.conv_transpose2d`.

    Examples
    --------
    >>> import numpy as np, tinygrad_edu as tg
    >>> layer = tg.nn.ConvTranspose2d(8, 1, kernel_size=2, stride=2, rng=0)
    >>> layer(np.ones((5, 8, 14, 14))).shape
    (5, 1, 28, 28)
    """


class _Pool(Module):
    """What the pooling layers share: the windows."""

    def __init__(
        self, kernel_size: Size, stride: Size | None = None, padding: Size = 0, *, ceil_mode: bool = False
    ) -> None:
        super().__init__()
        self.kernel_size, self.stride, self.padding, self.ceil_mode = kernel_size, stride, padding, ceil_mode

    def extra_repr(self) -> str:
        stride = f", stride={self.stride}" if self.stride is not None else ""
        padding = f", padding={self.padding}" if self.padding != 0 else ""
        return f"kernel_size={self.kernel_size}{stride}{padding}"


class _MaxPool(_Pool):
    def __init__(
        self,
        kernel_size: Size,
        stride: Size | None = None,
        padding: Size = 0,
        dilation: Size = 1,
        *,
        ceil_mode: bool = False,
    ) -> None:
        super().__init__(kernel_size, stride, padding, ceil_mode=ceil_mode)
        self.dilation = dilation


class MaxPool1d(_MaxPool):
    """The largest number in each window of sequences; `nn.functional.max_pool1d`."""

    def forward(self, x: Any) -> Any:
        return functional.max_pool1d(x, self.kernel_size, self.stride, self.padding, self.dilation, self.ceil_mode)


class MaxPool2d(_MaxPool):
    """The largest number in each window of images; `nn.functional.max_pool2d`.

    Examples
    --------
    >>> import numpy as np, tinygrad_edu as tg
    >>> tg.nn.MaxPool2d(2)(np.ones((5, 8, 28, 28))).shape
    (5, 8, 14, 14)
    """

    def forward(self, x: Any) -> Any:
        return functional.max_pool2d(x, self.kernel_size, self.stride, self.padding, self.dilation, self.ceil_mode)


class _AvgPool(_Pool):
    def __init__(
        self,
        kernel_size: Size,
        stride: Size | None = None,
        padding: Size = 0,
        ceil_mode: bool = False,
        count_include_pad: bool = True,
    ) -> None:
        super().__init__(kernel_size, stride, padding, ceil_mode=ceil_mode)
        self.count_include_pad = count_include_pad


class AvgPool1d(_AvgPool):
    """The mean of each window of sequences; `nn.functional.avg_pool1d`."""

    def forward(self, x: Any) -> Any:
        return functional.avg_pool1d(
            x, self.kernel_size, self.stride, self.padding, self.ceil_mode, self.count_include_pad
        )


class AvgPool2d(_AvgPool):
    """The mean of each window of images; `nn.functional.avg_pool2d`.

    Examples
    --------
    >>> import numpy as np, tinygrad_edu as tg
    >>> tg.nn.AvgPool2d(2)(np.ones((5, 8, 28, 28))).shape
    (5, 8, 14, 14)
    """

    def forward(self, x: Any) -> Any:
        return functional.avg_pool2d(
            x, self.kernel_size, self.stride, self.padding, self.ceil_mode, self.count_include_pad
        )


class Flatten(Module):
    """All axes from `start_dim` to `end_dim` as one; the images of a batch become rows of features.

    Examples
    --------
    >>> import numpy as np, tinygrad_edu as tg
    >>> tg.nn.Flatten()(np.ones((5, 8, 7, 7))).shape
    (5, 392)
    """

    def __init__(self, start_dim: int = 1, end_dim: int = -1) -> None:
        super().__init__()
        self.start_dim, self.end_dim = start_dim, end_dim

    def forward(self, x: Any) -> Any:
        return ops.flatten(x, self.start_dim, self.end_dim)

    def extra_repr(self) -> str:
        return (
            "" if (self.start_dim, self.end_dim) == (1, -1) else f"start_dim={self.start_dim}, end_dim={self.end_dim}"
        )


class Unflatten(Module):
    """One axis as several: rows of features become images.

    Examples
    --------
    >>> import numpy as np, tinygrad_edu as tg
    >>> tg.nn.Unflatten(1, (8, 7, 7))(np.ones((5, 392))).shape
    (5, 8, 7, 7)
    """

    def __init__(self, dim: int, unflattened_size: Sequence[int]) -> None:
        super().__init__()
        self.dim, self.unflattened_size = dim, tuple(unflattened_size)

    def forward(self, x: Any) -> Any:
        shape = np.shape(x)
        i = self.dim + len(shape) if self.dim < 0 else self.dim
        if not 0 <= i < len(shape):
            raise ShapeError(f"Unflatten: axis {self.dim} of an input of shape {shape}")
        known = math.prod(n for n in self.unflattened_size if n != -1)
        sizes = tuple(shape[i] // known if n == -1 and known else n for n in self.unflattened_size)
        if math.prod(sizes) != shape[i]:
            raise ShapeError(f"Unflatten: axis {self.dim} of an input of shape {shape} does not split into {sizes}")
        return ops.reshape(x, shape=(*shape[:i], *sizes, *shape[i + 1 :]))

    def extra_repr(self) -> str:
        return f"{self.dim}, {self.unflattened_size}"
