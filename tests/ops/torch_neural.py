"""Convolution, pooling, normalisation and embedding as PyTorch computes them: operation by operation."""

from __future__ import annotations

import itertools
from typing import Any


def _padded(torch: Any, x: Any, padding: Any) -> Any:
    """Zeros around images, also when before and after differ (which PyTorch's convolution cannot)."""
    (top, bottom), (left, right) = ((p, p) if isinstance(p, int) else p for p in padding)
    return torch.nn.functional.pad(x, (left, right, top, bottom))


def conv2d(torch: Any, x: Any, weight: Any, bias: Any, stride: Any, padding: Any, dilation: Any, groups: int) -> Any:
    x = _padded(torch, x, padding)
    return torch.nn.functional.conv2d(x, weight, bias, stride=stride, dilation=dilation, groups=groups)


def conv_transpose2d(
    torch: Any,
    x: Any,
    weight: Any,
    bias: Any,
    stride: Any,
    padding: Any,
    output_padding: Any,
    dilation: Any,
    groups: int,
) -> Any:
    y = torch.nn.functional.conv_transpose2d(
        x, weight, bias, stride=stride, output_padding=output_padding, dilation=dilation, groups=groups
    )
    (top, bottom), (left, right) = ((p, p) if isinstance(p, int) else p for p in padding)
    return y[:, :, top : y.shape[2] - bottom, left : y.shape[3] - right]


def conv2d_weight(
    torch: Any, x: Any, g: Any, kernel: Any, stride: Any, padding: Any, dilation: Any, groups: int
) -> Any:
    """From its definition, window element by window element: it may be given fewer places than there are."""
    x = _padded(torch, x, padding)
    n, channels = x.shape[:2]
    rows, columns = g.shape[2:]
    out = []
    for i, j in itertools.product(*map(range, kernel)):
        top, left = i * dilation[0], j * dilation[1]
        seen = x[:, :, top :: stride[0], left :: stride[1]][:, :, :rows, :columns]
        seen = seen.reshape(n, groups, channels // groups, rows, columns)
        grouped = g.reshape(n, groups, -1, rows, columns)
        out.append(torch.einsum("ngohw,ngchw->goc", grouped, seen).reshape(g.shape[1], -1))
    return torch.stack(out, -1).reshape(g.shape[1], channels // groups, *kernel)


def unfold(torch: Any, x: Any, kernel: Any, **windows: Any) -> Any:
    return torch.nn.functional.unfold(x, kernel, **windows)


def fold(torch: Any, x: Any, size: Any, kernel: Any, **windows: Any) -> Any:
    return torch.nn.functional.fold(x, size, kernel, **windows)


def max_pool2d(torch: Any, x: Any, kernel: Any, **windows: Any) -> Any:
    return torch.nn.functional.max_pool2d(x, kernel, **windows)


def max_unpool2d(torch: Any, g: Any, winners: Any, size: Any) -> Any:
    out = torch.zeros(g.shape[0] * g.shape[1] * size[0] * size[1], dtype=g.dtype)
    return out.index_add(0, torch.as_tensor(winners).flatten(), g.flatten()).reshape(*g.shape[:2], *size)


def take_winners(torch: Any, v: Any, winners: Any) -> Any:
    return v.flatten()[torch.as_tensor(winners)]


def avg_pool2d(torch: Any, x: Any, kernel: Any, divisor: Any = None, **windows: Any) -> Any:
    return torch.nn.functional.avg_pool2d(x, kernel, divisor_override=divisor, **windows)


def avg_unpool2d(torch: Any, g: Any, size: Any, **windows: Any) -> Any:
    """The transpose of avg_pool2d: a linear function's gradient, applied to g."""
    x = torch.zeros(*g.shape[:2], *size, dtype=g.dtype, requires_grad=True)
    return torch.autograd.grad(avg_pool2d(torch, x, **windows), x, g, create_graph=True)[0]


def standardize(torch: Any, x: Any, axis: Any = -1, eps: float = 1e-5) -> Any:
    axes = tuple(range(x.ndim)) if axis is None else axis
    var, mean = torch.var_mean(x, axes, correction=0, keepdim=True)
    return (x - mean) / torch.sqrt(var + eps)


def scale_and_shift(torch: Any, x: Any, weight: Any, bias: Any) -> Any:
    return torch.addcmul(bias, weight, x)


def embedding(torch: Any, labels: Any, weight: Any) -> Any:
    return torch.nn.functional.embedding(torch.as_tensor(labels), weight)


def embedding_weight(torch: Any, g: Any, labels: Any, rows: int) -> Any:
    index = torch.as_tensor(labels).flatten()
    return torch.zeros(rows, g.shape[-1], dtype=g.dtype).index_add(0, index, g.reshape(-1, g.shape[-1]))


TORCH: dict[str, Any] = {
    function.__name__: function
    for function in (
        conv2d,
        conv_transpose2d,
        conv2d_weight,
        unfold,
        fold,
        max_pool2d,
        max_unpool2d,
        take_winners,
        avg_pool2d,
        avg_unpool2d,
        standardize,
        scale_and_shift,
        embedding,
        embedding_weight,
    )
}
