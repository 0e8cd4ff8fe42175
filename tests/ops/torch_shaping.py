"""What the operations of shaping, joining and rearranging are in PyTorch: f(torch, *inputs, **parameters)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


def _axes(x: Any, axis: Any) -> tuple[int, ...]:
    return tuple(range(x.ndim)) if axis is None else (axis,) if isinstance(axis, int) else tuple(axis)


def _squeeze(torch: Any, x: Any, axis: Any = None) -> Any:
    return x.squeeze() if axis is None else x.squeeze(axis)


def _expand_dims(torch: Any, x: Any, axis: Any) -> Any:
    places = (axis,) if isinstance(axis, int) else axis
    for place in sorted(i % (x.ndim + len(places)) for i in places):
        x = x.unsqueeze(place)
    return x


def _repeat(torch: Any, x: Any, repeats: Any, axis: int) -> Any:
    counts = repeats if isinstance(repeats, int) else torch.as_tensor(repeats)
    return torch.repeat_interleave(x, counts, dim=axis)


def _pad(torch: Any, x: Any, widths: Any, values: float) -> Any:
    """torch names the last axis first."""
    flat = [n for pair in reversed(widths) for n in pair]
    return torch.nn.functional.pad(x, flat, value=values)


TORCH: dict[str, Callable[..., Any]] = {
    "reshape": lambda torch, x, shape: x.reshape(shape),
    "transpose": lambda torch, x, axes=None: x.permute(tuple(range(x.ndim))[::-1] if axes is None else tuple(axes)),
    "squeeze": _squeeze,
    "expand_dims": _expand_dims,
    "broadcast_to": lambda torch, x, shape: x.broadcast_to(shape),
    "concatenate": lambda torch, *arrays, axis: torch.cat(arrays, dim=axis),
    "stack": lambda torch, *arrays, axis: torch.stack(arrays, dim=axis),
    "flip": lambda torch, x, axis=None: torch.flip(x, _axes(x, axis)),
    "roll": lambda torch, x, shift, axis=None: torch.roll(x, shift, dims=axis),
    "repeat": _repeat,
    "tile": lambda torch, x, reps: x.repeat(reps),
    "pad": _pad,
}
