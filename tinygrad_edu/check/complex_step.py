"""The complex step: a slope without a difference, and so without its rounding error.

    f(x + ih) = f(x) + ih f'(x) - h^2 f''/2 - ...        f'(x) = Im f(x + ih) / h

Nothing is subtracted, so h may be 1e-20, and the slope is right to the last digits.  (W. Squire and G. Trapp, "Using
complex variables to estimate derivatives of real functions", SIAM Review 40, 1998.)  It needs a function that is
analytic: `abs`, a real part, a conjugate are not, and would give a wrong slope without a word.  Therefore nothing is
believed that differences contradict.

A plain NumPy function is called with complex arrays.  Of a function of Tensors the record is computed again, forward
on complex arrays, operation by operation: so an operation that is not analytic can be named.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np

from tinygrad_edu.check.agreement import Array
from tinygrad_edu.check.probing import Experiment, outputs_of, values_of
from tinygrad_edu.engine import Node, ancestors, mode
from tinygrad_edu.errors import GraphError
from tinygrad_edu.tensor import Tensor

__all__ = ["ComplexStep"]

STEP = 1e-20
REAL_STEP = float(np.finfo(np.float64).eps ** (1 / 3))  # of the differences that look after it
COARSE = 1e-4  # an operation that is analytic agrees with differences far better, and one that is not, worse
REAL, COMPLEX = np.dtype(float), np.dtype(complex)  # a cast to float64 lets complex numbers through
WAY_OUT = 'Use method="richardson" or "central".'


class ComplexStep:
    """The slopes of an experiment by the complex step.

    Raises
    ------
    ValueError
        If an operation or the function is not analytic here, or does not take complex numbers.

    Examples
    --------
    >>> import numpy as np
    >>> experiment = Experiment("example", lambda x: np.exp(x).sum(), np.array([0.0, 1.0]))
    >>> bool(ComplexStep(experiment).slope("input 0", (1,)) == np.e)
    True
    """

    def __init__(self, experiment: Experiment) -> None:
        self.experiment = experiment
        self.record: Record | None = None
        if any(isinstance(x, Tensor) for x in experiment.inputs):
            self.record = Record(experiment)
            self.record.check(list(experiment.variables.values()))

    def slope(self, label: str, index: tuple[int, ...]) -> float:
        """ds/dx for one entry of a variable."""
        x = self.experiment.variables[label]
        turned = values_of(x).astype(complex)
        step = STEP * max(1.0, abs(float(turned[index].real)))
        turned[index] += 1j * step
        outputs = self._called(x, turned) if self.record is None else self.record.run({x._node: turned})
        return sum(float((v * y.imag).sum()) for v, y in zip(self.experiment.weights, outputs)) / step

    def _called(self, x: Array, turned: Array) -> list[Array]:
        """The floats that a NumPy function returns for a complex input."""
        title = self.experiment.title
        inputs = [turned if each is x else each for each in self.experiment.inputs]
        try:
            with np.errstate(all="ignore"), warnings.catch_warnings():
                warnings.simplefilter("error", np.exceptions.ComplexWarning)
                result = self.experiment.function(*inputs)
        except (TypeError, ValueError, np.exceptions.ComplexWarning) as error:
            raise _refusal(f"{title}: the function", error) from error
        outputs = [np.asarray(y) for y in (result if isinstance(result, (tuple, list)) else [result])]
        outputs = [y for y in outputs if y.dtype.kind in "fc"]
        if [y.shape for y in outputs] != [y.shape for y in self.experiment.base]:
            raise ValueError(f"{title}: of complex numbers the function returns something else. {WAY_OUT}")
        return outputs


class Record:
    """The record of a function of Tensors, to be computed again from other leaves.

    Examples
    --------
    >>> import tinygrad_edu as tg
    >>> x = tg.Tensor(2.0, requires_grad=True)
    >>> record = Record(Experiment("example", lambda x: x * x, x))
    >>> record.run({x._node: 3 + 1j})
    [array(8.+6.j)]
    """

    def __init__(self, experiment: Experiment) -> None:
        self.title = experiment.title
        with mode(recording=True):
            self.outputs = outputs_of(experiment.title, experiment.function, experiment.inputs)
        made = ancestors([y._node for y in self.outputs if y._node is not None])
        self.nodes = sorted((node for node in made if node.op is not None), key=lambda node: node.order)
        if any(node.args is None for node in self.nodes):
            raise GraphError(f"{self.title}: the function frees its graph (backward); use retain_graph=True there")

    def run(self, leaves: dict[Node, Any]) -> list[Array]:
        """The outputs, with other values for these leaves."""
        values = dict(leaves)
        for node in self.nodes:
            if any(parent in values for parent in node.parents):
                values[node] = self._forward(node, self._arguments(node, values))
        return [np.asarray(values.get(y._node, y.data)) for y in self.outputs]

    def check(self, variables: Sequence[Tensor]) -> None:
        """Compare each operation with differences, in a random direction; raise for the first that is not analytic."""
        rng = np.random.default_rng(0)
        values: dict[Node | None, Any] = {
            x._node: x.data + 1j * STEP * rng.uniform(0.5, 1.5, size=x.shape) for x in variables
        }
        for node in self.nodes:
            if any(parent in values for parent in node.parents):
                arguments = self._arguments(node, values)
                values[node] = self._forward(node, arguments)
                self._compare(node, arguments, np.imag(values[node]) / STEP)

    def _compare(self, node: Node, arguments: list[Any], found: Array) -> None:
        """Is this the derivative of the operation, when its arguments move in the direction of their imaginary part?"""
        moving = [i for i, z in enumerate(arguments) if np.iscomplexobj(z)]
        directions = {i: np.imag(arguments[i]) / STEP for i in moving}
        speed = max(float(np.abs(d).max(initial=0)) for d in directions.values())
        size = max(1.0, *(float(np.abs(arguments[i]).max(initial=0)) for i in moving))
        step = REAL_STEP * size / max(speed, 1e-300)
        sides = [
            self._forward(node, [np.real(z) + t * directions[i] if i in moving else z for i, z in enumerate(arguments)])
            for t in (-step, step)
        ]
        expected = (sides[1] - sides[0]) / (2 * step)
        largest = max(float(np.abs(a).max(initial=0)) for a in (found, expected))
        noise = 1e-14 * float(np.abs(sides[0]).max(initial=0)) / step
        wrong = ~(np.abs(found - expected) <= COARSE * largest + noise)
        if np.any(wrong):
            place = tuple(map(int, np.argwhere(wrong)[0]))
            raise ValueError(
                f"{self.title}: {node.op.name} is not analytic, as it is computed or at this place, and the complex "
                f"step does not give its derivative: {float(found[place]):.6g} at {place} of its output, where "
                f"differences give {float(expected[place]):.6g}. {WAY_OUT}"
            )

    def _arguments(self, node: Node, values: dict[Any, Any]) -> list[Any]:
        """The arguments of an operation, the recorded ones where nothing else is known."""
        return [values.get(parent, x) if parent is not None else x for parent, x in zip(node.parents, node.args)]

    def _forward(self, node: Node, arguments: list[Any]) -> Any:
        """The operation, computed again."""
        op = node.op
        params = {k: COMPLEX if isinstance(v, np.dtype) and v == REAL else v for k, v in (node.params or {}).items()}
        try:
            with np.errstate(all="ignore"), warnings.catch_warnings():
                warnings.simplefilter("error", np.exceptions.ComplexWarning)
                value = op.forward(*arguments, **params)
        except (TypeError, ValueError, np.exceptions.ComplexWarning) as error:
            raise _refusal(f"{self.title}: {op.name}", error) from error
        return value[0] if op.residual is not None else value


def _refusal(who: str, error: Exception) -> ValueError:
    said = ": ".join(filter(None, [type(error).__name__, str(error)]))
    return ValueError(f"{who} does not take complex numbers ({said}). {WAY_OUT}")
