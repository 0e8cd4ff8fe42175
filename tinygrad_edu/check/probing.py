"""A function as the checks see it: one entry of an input is turned, and the outputs are read.

The functions are of Tensors, or plain NumPy: if no input is a Tensor, arrays are what is varied, and what comes out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from tinygrad_edu.check.agreement import Array
from tinygrad_edu.errors import DtypeError, GraphError, ShapeError
from tinygrad_edu.tensor import Tensor

__all__ = ["Experiment", "Function", "Inputs", "Probe", "label_of", "listed", "outputs_of", "values_of", "variables_of"]

Function = Callable[..., Any]  # of Tensors, or of arrays; it returns one of them, or a tuple or list
Inputs = Tensor | Array | float | Sequence[Any]

UNIT = float(np.finfo(np.float64).eps)  # u: one rounding is an error of u |f| at most
NOISE = 8.0  # so many of them are expected in a value of the function


class Experiment:
    """A function at its inputs, the outputs weighed with cotangents v: s = sum(v * function(*inputs)).

    Examples
    --------
    >>> import numpy as np
    >>> experiment = Experiment("example", lambda x: x**2, np.array([1.0, 3.0]), [np.array([1.0, 10.0])])
    >>> with experiment.turning("input 0") as probes:
    ...     [probe.slope(probe.x - 0.5, probe.x + 0.5) for probe in probes]
    [2.0, 60.0]
    """

    def __init__(
        self, title: str, function: Function, inputs: Inputs, cotangents: Sequence[ArrayLike] | None = None
    ) -> None:
        self.title = title
        self.function = function
        self.inputs = listed(inputs)
        self.variables = variables_of(title, self.inputs)
        outputs = outputs_of(title, function, self.inputs)
        self.weights = _weights(title, outputs, cotangents)
        self.base = _copies(outputs)
        # What rounding errors are proportional to.
        self.size = sum(float(np.abs(v * y).sum()) for v, y in zip(self.weights, self.base))

    def values(self) -> list[Array]:
        """The outputs where the inputs stand now, as copies: an output may be a view of an input."""
        return _copies(outputs_of(self.title, self.function, self.inputs))

    @contextmanager
    def turning(self, label: str) -> Iterator[Iterator[Probe]]:
        """A probe for each entry of a variable.  Afterwards it holds its own values and memory again."""
        x = self.variables[label]
        if isinstance(x, Tensor):
            held = x.data
            scratch = held.copy()
            x.data = scratch
            try:
                yield (Probe(self, scratch, i) for i in np.ndindex(held.shape))
            finally:
                x.data = held
        else:  # in its own memory, so that the function may also reach it otherwise: self.W1
            yield (Probe(self, x, i) for i in np.ndindex(x.shape))


class Probe:
    """One entry of an input, which can be turned: the values of the function along that line, and its chords.

    Examples
    --------
    >>> import numpy as np
    >>> experiment = Experiment("example", lambda x: abs(x).sum(), np.array([0.0]))
    >>> with experiment.turning("input 0") as probes:
    ...     probe = next(probes)
    ...     probe.slope(-1.0, 0.0), probe.slope(0.0, 1.0)
    (-1.0, 1.0)
    """

    def __init__(self, experiment: Experiment, scratch: Array, index: tuple[int, ...]) -> None:
        self.experiment = experiment
        self.scratch = scratch
        self.index = index
        self.x = float(scratch[index])
        self.known = {self.x: experiment.base}

    def at(self, x: float) -> list[Array]:
        """The outputs with the entry at x."""
        if x not in self.known:
            self.scratch[self.index] = x
            try:
                with np.errstate(all="ignore"):  # the neighbours' domain errors are nobody's mistake
                    self.known[x] = self.experiment.values()
            finally:
                self.scratch[self.index] = self.x
        return self.known[x]

    def chord(self, low: float, high: float) -> Array:
        """v (f(high) - f(low)) / (high - low) for each entry of the outputs, as one flat array.

        The difference first, then the weights: what did not move drops out without a rounding error.  And high - low
        is the step that was really made, after rounding.
        """
        triples = zip(self.experiment.weights, self.at(low), self.at(high))
        with np.errstate(all="ignore"):
            return np.concatenate([(v * (b - a)).ravel() for v, a, b in triples]) / (high - low)

    def slope(self, low: float, high: float) -> float:
        """The slope of s between two places."""
        return float(self.chord(low, high).sum())

    def noise(self, step: float) -> float:
        """The rounding error to be expected in a slope over this step."""
        return NOISE * UNIT * self.experiment.size / step


def listed(inputs: Inputs) -> list[Any]:
    """The inputs as a list, also if there is a single one; read-only arrays, which could not be turned, as copies."""
    if isinstance(inputs, (Tensor, np.ndarray)):
        inputs = [inputs]
    elif isinstance(inputs, (int, float, np.generic)):
        inputs = [np.array(inputs)]
    return [np.array(x) if isinstance(x, np.ndarray) and not x.flags.writeable else x for x in inputs]


def variables_of(title: str, inputs: Sequence[Any]) -> dict[str, Any]:
    """What is varied, by what it is called in messages, "input 1 (W)".

    Tensors that require a gradient; or, if there is no Tensor at all, arrays of floats.
    """
    tensors = any(isinstance(x, Tensor) for x in inputs)
    variables: dict[str, Any] = {}
    for i, x in enumerate(inputs):
        label = label_of("input", i, x)
        if tensors:
            if not isinstance(x, Tensor) or not x.requires_grad:
                continue
            if not x.is_leaf:
                raise GraphError(
                    f"{title}: {label} is the result of an operation; give a leaf, "
                    "tg.Tensor(x.detach(), requires_grad=True)"
                )
        elif not isinstance(x, np.ndarray) or x.dtype.kind != "f":
            continue
        if x.dtype != np.float64:
            raise DtypeError(
                f"{title}: {label} is {x.dtype}, and differences need float64: divided by a small step, the rounding "
                "errors of anything shorter drown the slope. Make it with dtype=float."
            )
        variables[label] = x
    if not variables:
        raise ValueError(
            f"{title}: no input requires a gradient; make one with requires_grad=True"
            if tensors
            else f"{title}: there is nothing to vary: give an array of floats, np.array([1.0, 2.0]), or a Tensor with "
            "requires_grad=True"
        )
    return variables


def label_of(kind: str, i: int, x: Any) -> str:
    """What an input or output is called in messages: "input 1 (W)", or "input 1" if it has no name."""
    return f"{kind} {i} ({x.name})" if isinstance(x, Tensor) and x.name else f"{kind} {i}"


def outputs_of(title: str, function: Function, inputs: Sequence[Any]) -> list[Any]:
    """What the function returns that can have a gradient: a list of Tensors; of arrays, if no input is a Tensor."""
    result = function(*inputs)
    outputs = list(result) if isinstance(result, (tuple, list)) else [result]
    tensors = any(isinstance(x, Tensor) for x in inputs)
    for i, y in enumerate(outputs):
        if tensors and not isinstance(y, Tensor):
            raise TypeError(
                f"{title}: output {i} of the function is a {type(y).__name__}; a Tensor is expected. "
                "(Was t.numpy() or t.data used on the way?)"
            )
        if not tensors and not isinstance(y, Tensor):
            outputs[i] = np.asarray(y)
        dtype = outputs[i].dtype
        if dtype.kind not in "fiub":
            raise TypeError(f"{title}: output {i} of the function is a {type(y).__name__}; real numbers are expected")
        if dtype.kind == "f" and dtype != np.float64:
            raise DtypeError(f"{title}: output {i} of the function is {dtype}, and differences need float64")
    floating = [y for y in outputs if y.dtype.kind == "f"]
    if not floating:
        raise TypeError(f"{title}: the function returns no floats, and nothing else has a gradient")
    return floating


def values_of(x: Any) -> Array:
    """The array of a Tensor, or of what is one already."""
    return x.data if isinstance(x, Tensor) else np.asarray(x)


def _copies(outputs: Sequence[Any]) -> list[Array]:
    return [np.array(values_of(y)) for y in outputs]


def _weights(title: str, outputs: Sequence[Any], cotangents: Sequence[ArrayLike] | None) -> list[Array]:
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
