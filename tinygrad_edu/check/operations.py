"""The tests of an operation, made from its definition: values, gradients, second derivatives, float32."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from tinygrad_edu.check.agreement import relative_error
from tinygrad_edu.check.numerical import check_first, check_second, gradients
from tinygrad_edu.check.probing import label_of
from tinygrad_edu.engine import mode
from tinygrad_edu.op import Op, Sample
from tinygrad_edu.tensor import Tensor

__all__ = ["OperationReport", "check_op"]

# Rounding to float32 is an error of 6e-8.  A dozen of them add up in a sample, and where a sum nearly cancels they
# weigh a hundred times as much.  That is 1e-4, still far below the error of a wrong formula.
FLOAT32 = 1e-4


class OperationReport(NamedTuple):
    """What `check_op` has verified: of which operation, on how many samples, how many derivatives.

    Examples
    --------
    >>> print(OperationReport("exp", 1, 12, 24))
    exp: 12 first and 24 second derivatives agree with differences, and float32 with float64, on 1 sample
    """

    name: str
    samples: int
    first: int
    second: int

    def __str__(self) -> str:
        return (
            f"{self.name}: {self.first} first and {self.second} second derivatives agree with differences, and float32 "
            f"with float64, on {self.samples} sample{'s' if self.samples > 1 else ''}"
        )


def check_op(
    op: Op[Any], samples: Sequence[Sample] | None = None, rng: int | np.random.Generator = 0
) -> OperationReport:
    r"""Test an operation on its samples: forward, first and second derivatives, float64 and float32.

    For each sample: `gradcheck` and `gradgradcheck` in float64, with every float array among the inputs as a variable
    (also those with the rule None, which claims that the output does not depend on them).  Integers, booleans and
    Python numbers are passed as they are.  Then values and gradients in float32: they must be float32, and agree
    with those of float64 to 1e-4.

    Parameters
    ----------
    op : Op
        An operation of the package, or your own: `tg.Op(...)`.
    samples : sequence of Sample, optional
        Made by `tg.sample(...)`; the operation's own unless given.  Choose inputs away from kinks.
    rng : int or numpy.random.Generator
        Draws inputs and cotangents.

    Raises
    ------
    GradientMismatch
        If a derivative is wrong: it names the sample, the input and the entry.
    AssertionError
        If float32 becomes something else, or disagrees with float64.
    ValueError
        If there are no samples, the operation has no gradient, or a sample lies on a kink.
    TypeError
        If it is no operation.

    Examples
    --------
    >>> import numpy as np, tinygrad_edu as tg
    >>> cube = tg.Op(lambda x: x**3, vjps=[lambda g, y, x: 3 * g * x**2], name="cube")
    >>> print(check_op(cube, [tg.sample(np.array([1.0, 2.0]))]))
    cube: 2 first and 4 second derivatives agree with differences, and float32 with float64, on 1 sample
    """
    if not isinstance(op, Op):
        name = getattr(op, "__name__", type(op).__name__)
        raise TypeError(f"check_op: {name} is no operation (tg.Op); gradcheck checks any function of Tensors")
    if not op.differentiable:
        raise ValueError(f"check_op: {op.name} has no gradient to check: all of its rules are None")
    samples = op.samples if samples is None else samples
    if not samples:
        raise ValueError(
            f"check_op: {op.name} has no samples; give some, check_op(op, samples=[tg.sample(x, ...)]), or define it "
            "with tg.Op(..., samples=[...])"
        )
    generator = np.random.default_rng(rng)
    first = second = 0
    for i, sample in enumerate(samples):
        title = f"check_op: {op.name}, sample {i}"
        call = functools.partial(op, **sample.params)
        inputs = _inputs(op, sample.draw(generator), np.float64)
        report = check_first(title, call, inputs, rng=generator)
        if report.kinks:
            raise ValueError(f"{title}: {report.kinks[0]}; choose inputs away from kinks, where a rule can be wrong")
        first += report.entries
        second += check_second(f"{title}, second derivatives", call, inputs, rng=generator).entries
        _check_float32(title, op, sample, inputs, generator)
    return OperationReport(op.name, len(samples), first, second)


def _inputs(op: Op[Any], drawn: Sequence[Any], dtype: Any) -> list[Any]:
    """The inputs of a call: float arrays become variables, named as the operation names them."""
    names: Sequence[str | None] = op.inputs or [None] * len(drawn)
    return [
        Tensor(x, requires_grad=True, dtype=dtype, name=name) if _is_variable(x) else x for x, name in zip(drawn, names)
    ]


def _is_variable(x: Any) -> bool:
    # A Python number is none: it stays weak, and has no dtype that a gradient could have.
    return isinstance(x, (np.ndarray, np.generic, Tensor)) and x.dtype.kind == "f"


def _check_float32(title: str, op: Op[Any], sample: Sample, inputs: Sequence[Any], rng: np.random.Generator) -> None:
    """Values and gradients in float32: of that dtype, and those of float64 but for rounding."""
    short = _inputs(op, inputs, np.float32)
    long = _inputs(op, short, np.float64)  # the same numbers, exactly
    with mode(recording=True):
        value, expected = (op(*each, **sample.params) for each in (short, long))
        v = rng.normal(size=value.shape).astype(np.float32)
        labels = [label_of("input", i, x) for i, x in enumerate(short) if isinstance(x, Tensor)]
        found, true = (
            gradients([y], [x for x in each if isinstance(x, Tensor)], [v])
            for y, each in ((value, short), (expected, long))
        )
    pairs = {"the value": (value, expected)}
    pairs |= {f"the gradient of {label}": (a, b) for label, a, b in zip(labels, found, true)}
    for what, (a, b) in pairs.items():
        if a.dtype != np.float32 and "dtype" not in sample.params:  # where a parameter names the dtype, it decides
            raise AssertionError(
                f"{title}: of float32 inputs {what} is {a.dtype}; keep constants inside as Python numbers, and make "
                "arrays with the dtype of the input"
            )
        error = relative_error(a, b)
        if not error <= FLOAT32:
            raise AssertionError(f"{title}: {what} in float32 differs from float64 by a relative error of {error:.1e}")
