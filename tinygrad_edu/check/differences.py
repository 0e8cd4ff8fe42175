"""Central differences: the gradient of a function from its values alone, without any derivation."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from tinygrad_edu.check.agreement import Array
from tinygrad_edu.errors import DtypeError, GraphError, ShapeError
from tinygrad_edu.tensor import Tensor

__all__ = ["Function", "Inputs", "label_of", "listed", "numerical_gradient", "outputs_of", "variables_of"]

Function = Callable[..., Any]  # of Tensors: returns a Tensor, or a tuple or list of them
Inputs = Tensor | Sequence[Any]

STEP = float(np.finfo(np.float64).eps ** (1 / 3))  # 6.1e-6; numerical_gradient says why


def numerical_gradient(
    function: Function, inputs: Inputs, cotangents: Sequence[ArrayLike] | None = None, eps: float | None = None
) -> tuple[Array, ...]:
    r"""The gradient of sum(v * function(*inputs)) by central differences, entry by entry.

        df/dx = (f(x + h) - f(x - h)) / 2h        h = eps max(1, |x|)

    What that leaves out is h^2 f'''/6 (the even terms of Taylor's series cancel).  What it loses to rounding is
    about u |f| / h, with u = 2.2e-16.  The first grows with h and the second shrinks; they balance near
    h = u^(1/3) = 6e-6, and both are then of the order u^(2/3) = 4e-11.  The step grows with |x|, because x itself
    is only known to u |x|.  (Any text on numerical analysis has this balance in its chapter on differentiation.)

    Each entry costs two evaluations.  While they last, an input holds a scratch copy of its values, so the
    function may also reach it otherwise, as a network does its parameters; afterwards it holds its own again.

    Parameters
    ----------
    function : callable
        `function(*inputs)` returns a Tensor or a tuple of Tensors, in float64.  Integer outputs are left out.
    inputs : Tensor, or sequence of Tensors and anything else
        Those that require a gradient are varied; they are float64 leaves of any shape.
    cotangents : sequence of array_like, optional
        v, one array for each float output, of its shape; not needed if the only output is a scalar.
    eps : float, optional
        The step for |x| <= 1.

    Returns
    -------
    tuple of float64 arrays
        One for each input that requires a gradient, of its shape.

    Raises
    ------
    DtypeError
        If an input that requires a gradient, or an output, is a float32: its rounding errors, divided by h, would
        drown the slope.
    GraphError
        If an input is the result of an operation.
    ShapeError
        If cotangents are needed, or do not fit.
    TypeError
        If the function returns something else than Tensors.
    ValueError
        If no input requires a gradient, or eps is not positive.

    Examples
    --------
    >>> import tinygrad_edu as tg
    >>> x = tg.Tensor([1.0, 2.0], requires_grad=True)
    >>> (slope,) = numerical_gradient(lambda x: (x**3).sum(), [x])
    >>> slope.round(6)
    array([ 3., 12.])
    """
    title = "numerical_gradient"
    inputs = listed(inputs)
    variables = variables_of(title, inputs)
    eps = STEP if eps is None else eps
    if not eps > 0:
        raise ValueError(f"{title}: eps is {eps}; a positive step is needed")
    weights = _weights(title, outputs_of(title, function, inputs), cotangents)

    def values() -> list[Array]:  # copies: an output may be a view of the input that is about to change
        return [np.array(y.data) for y in outputs_of(title, function, inputs)]

    return tuple(_slopes(x, values, weights, eps) for x in variables.values())


def _slopes(x: Tensor, values: Callable[[], list[Array]], weights: list[Array], eps: float) -> Array:
    """sum(v * df/dx) for each entry of one input."""
    held = x.data
    scratch = held.copy()
    slopes = np.empty(held.shape)
    x.data = scratch
    try:
        for i in np.ndindex(scratch.shape):
            entry = float(scratch[i])
            step = eps * max(1.0, abs(entry))
            high, low = entry + step, entry - step
            scratch[i] = high
            after = values()
            scratch[i] = low
            before = values()
            scratch[i] = entry
            # The difference first, then the sum: what did not move drops out without a rounding error.  And
            # high - low is the step that was really made, after rounding.
            with np.errstate(all="ignore"):
                slopes[i] = sum(np.vdot(v, a - b) for v, a, b in zip(weights, after, before)) / (high - low)
    finally:
        x.data = held
    return slopes


def listed(inputs: Inputs) -> list[Any]:
    """The inputs as a list, also if a single Tensor was given."""
    return [inputs] if isinstance(inputs, Tensor) else list(inputs)


def variables_of(title: str, inputs: Sequence[Any]) -> dict[str, Tensor]:
    """The inputs that require a gradient, by what they are called in messages: "input 1 (W)"."""
    variables: dict[str, Tensor] = {}
    for i, x in enumerate(inputs):
        if not isinstance(x, Tensor) or not x.requires_grad:
            continue
        label = label_of("input", i, x)
        if not x.is_leaf:
            raise GraphError(
                f"{title}: {label} is the result of an operation; give a leaf, "
                "tg.Tensor(x.detach(), requires_grad=True)"
            )
        if x.dtype != np.float64:
            raise DtypeError(
                f"{title}: {label} is {x.dtype}, and differences need float64: divided by a small step, the rounding "
                "errors of anything shorter drown the slope. Make it with dtype=float."
            )
        variables[label] = x
    if not variables:
        raise ValueError(f"{title}: no input requires a gradient; make one with requires_grad=True")
    return variables


def label_of(kind: str, i: int, x: Any) -> str:
    """What an input or output is called in messages: "input 1 (W)", or "input 1" if it has no name."""
    return f"{kind} {i} ({x.name})" if isinstance(x, Tensor) and x.name else f"{kind} {i}"


def outputs_of(title: str, function: Function, inputs: Sequence[Any]) -> list[Tensor]:
    """What the function returns that can have a gradient, as a list."""
    result = function(*inputs)
    outputs = list(result) if isinstance(result, (tuple, list)) else [result]
    for i, y in enumerate(outputs):
        if not isinstance(y, Tensor):
            raise TypeError(
                f"{title}: output {i} of the function is a {type(y).__name__}; a Tensor is expected. "
                "(Was t.numpy() or t.data used on the way?)"
            )
        if y.dtype.kind == "f" and y.dtype != np.float64:
            raise DtypeError(f"{title}: output {i} of the function is {y.dtype}, and differences need float64")
    floating = [y for y in outputs if y.dtype.kind == "f"]
    if not floating:
        raise TypeError(f"{title}: the function returns no floats, and nothing else has a gradient")
    return floating


def _weights(title: str, outputs: list[Tensor], cotangents: Sequence[ArrayLike] | None) -> list[Array]:
    """The cotangents as arrays that fit the outputs."""
    if cotangents is None:
        if len(outputs) > 1 or outputs[0].shape:
            shapes = ", ".join(str(y.shape) for y in outputs)
            raise ShapeError(f"{title}: the function returns shape {shapes}, no scalar: give cotangents of that shape")
        return [np.ones(())]
    weights = [np.asarray(v, dtype=np.float64) for v in cotangents]
    if [v.shape for v in weights] != [y.shape for y in outputs]:
        raise ShapeError(
            f"{title}: cotangents of shape {', '.join(str(v.shape) for v in weights)} for outputs of shape "
            f"{', '.join(str(y.shape) for y in outputs)}"
        )
    return weights
