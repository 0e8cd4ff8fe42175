"""Other inputs for the same program, on which mistakes that look alike differ: distinct sizes, no zeros, float64."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from tinygrad_edu.check.diagnosis.evidence import Evidence
from tinygrad_edu.op import broadcastable
from tinygrad_edu.program import Equation, Variable

__all__ = ["Probe", "probes"]

Axis = tuple[Variable, int]
# Fewer samples than features: then the gradient of a weight tells that of the pre-activations, which nobody has shown.
SIZES = (3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15)


class Axes:
    """Which axes of which variables have one size for a reason: the operations say so.

    An axis is `fixed` if an operation is not understood, or if the size itself is written into the program.
    """

    def __init__(self, e: Evidence) -> None:
        self.e = e
        self.parent: dict[Axis, Axis] = {}
        self.fixed: set[Axis] = set()
        for equation in e.program.forward:
            self._read(equation)
        if e.layers:
            last = e.layers[-1].U
            if last.shape and len(last.shape) > 1 and self._mentions(last.shape[0]):
                self._fix((last, 0))

    def root(self, axis: Axis) -> Axis:
        while axis in self.parent:
            axis = self.parent[axis]
        return axis

    def same(self, a: Axis, b: Axis) -> None:
        x, y = self.root(a), self.root(b)
        if x != y:
            self.parent[x] = y
            if x in self.fixed:
                self.fixed.add(y)

    def is_fixed(self, axis: Axis) -> bool:
        return self.root(axis) in self.fixed

    def _fix(self, axis: Axis) -> None:
        self.fixed.add(self.root(axis))

    def _fix_all(self, equation: Equation) -> None:
        for x in (*equation.variables, equation.target):
            for axis in range(len(x.shape)):
                self._fix((x, axis))

    def _mentions(self, n: int) -> bool:
        """Does the program hold the number of samples, or its inverse, as a constant (as in a loss `sum / n`)?"""
        multiples = [n * c * q for c in (1, self.e.classes) for q in (0.5, 1, 2)]
        for equation in self.e.program.forward:
            for x in (*equation.operands, *equation.params.values()):
                value = x.value if isinstance(x, Variable) and x.kind != "parameter" and x.equation is None else x
                if isinstance(value, int | float | np.number | np.ndarray) and np.size(value) == 1:
                    number = abs(float(value))
                    if number and (np.isclose(number, multiples).any() or np.isclose(1 / number, multiples).any()):
                        return True
        return False

    def _read(self, equation: Equation) -> None:
        y = equation.target
        xs = [x for x in equation.variables if x.shape]
        name = equation.op.name
        if name == "linear" or (name == "matmul" and all(len(x.shape) == 2 for x in xs) and len(xs) == 2):
            H, W = xs[:2]
            if len(W.shape) == 2:
                last = len(H.shape) - 1
                self.same((H, last), (W, 0))
                self.same((W, 1), (y, len(y.shape) - 1))
                for i in range(last):
                    self.same((H, i), (y, i))
                if len(xs) > 2:
                    self.same((xs[2], len(xs[2].shape) - 1), (y, len(y.shape) - 1))
                    if len(xs[2].shape) == 2:
                        self._fix((xs[2], 0))
                return
        elif name == "cross_entropy" or name == "nll_loss":
            z, t = equation.variables[:2]
            for i in range(len(t.shape)):
                self.same((z, i), (t, i))
            return
        elif name == "transpose" and len(xs) == 1 and len(y.shape) == 2 and not equation.params.get("axes"):
            self.same((xs[0], 0), (y, 1))
            self.same((xs[0], 1), (y, 0))
            return
        elif name in REDUCTIONS and len(xs) == 1:
            self._reduced(xs[0], equation)
            return
        elif any(isinstance(v, tuple | list | np.ndarray) and k != "axis" for k, v in equation.params.items()):
            self._fix_all(equation)
            return
        if not y.shape:  # a loss: all that is compared there has one shape
            for a, b in itertools.pairwise(xs):
                if a.shape == b.shape:
                    for i in range(len(a.shape)):
                        self.same((a, i), (b, i))
                else:
                    self._fix_all(equation)
            return
        if xs and broadcastable(*(x.shape for x in xs)) and y.shape == np.broadcast_shapes(*(x.shape for x in xs)):
            for x in xs:
                lead = len(y.shape) - len(x.shape)
                for i, size in enumerate(x.shape):
                    if size == y.shape[i + lead]:
                        self.same((x, i), (y, i + lead))
                    else:
                        self._fix((x, i))
            return
        self._fix_all(equation)

    def _reduced(self, x: Variable, equation: Equation) -> None:
        y = equation.target
        axis = equation.params.get("axis")
        if axis is None:
            return
        axes = {a % len(x.shape) for a in (axis if isinstance(axis, tuple) else (axis,))}
        keep = [i for i in range(len(x.shape)) if i not in axes]
        if len(y.shape) == len(x.shape):
            for i in keep:
                self.same((x, i), (y, i))
            for i in axes:
                self._fix((y, i))
        else:
            for k, i in enumerate(keep):
                self.same((x, i), (y, k))


REDUCTIONS = {"sum", "mean", "max", "min", "var", "std", "logsumexp", "norm", "prod"}


class Probe:
    """Values for the inputs of a program, and in words what is special about them."""

    def __init__(self, values: dict[Variable, Any], words: str) -> None:
        self.values = values
        self.words = words


def probes(e: Evidence, seed: int = 0) -> Iterator[Probe]:
    """Probes for a program, the best first: all sizes distinct; only the number of samples another; only new values."""
    axes = Axes(e)
    inputs = [x for x in e.program.inputs if x.kind in ("parameter", "data")]
    roots = list(dict.fromkeys(axes.root((x, i)) for x in inputs for i in range(len(x.shape))))
    samples = axes.root((e.layers[-1].U, 0)) if e.layers and len(e.layers[-1].U.shape) > 1 else None
    tried: set[tuple[Any, ...]] = set()
    for level in ("sizes", "wide", "samples", "values"):
        sizes: dict[Axis, int] = {}
        fresh = iter(SIZES[1:])
        for root in roots:
            now = root[0].shape[root[1]]
            free = not axes.is_fixed(root) and now > 0
            if free and root == samples and level != "values":
                sizes[root] = SIZES[0]
            elif free and (level == "sizes" or (level == "wide" and now > 1)) and root != samples:
                sizes[root] = next(fresh, now)
            else:
                sizes[root] = now
        key = tuple(sizes.values())
        if key in tried:
            continue
        tried.add(key)
        rng = np.random.default_rng(seed)
        shapes = {x: tuple(sizes[axes.root((x, i))] for i in range(len(x.shape))) for x in inputs}
        values: dict[Variable, Any] = {x: _draw(e, x, shapes, rng) for x in inputs}
        yield Probe(values, _words(e, shapes, level))


def _words(e: Evidence, shapes: Mapping[Variable, tuple[int, ...]], level: str) -> str:
    if level == "values":
        return "other numbers in the same shapes"
    if not e.layers:
        return "other numbers and shapes"
    sizes = [str(shapes[layer.W][0]) for layer in e.layers if layer.W is not None]
    last = e.layers[-1].W
    if last is not None:
        sizes.append(str(shapes[last][-1]))
    first = e.layers[0].H
    n = shapes.get(first, (e.n,))[0] if first is not None else e.n
    return f"{n} samples, layers {'-'.join(sizes)}"


def _draw(e: Evidence, x: Variable, shapes: Mapping[Variable, tuple[int, ...]], rng: np.random.Generator) -> Any:
    """Numbers of the same kind: class numbers, zeros and ones, one-hot rows, probabilities, or anything."""
    shape = shapes[x]
    old = np.asarray(x.value)
    if x.kind == "parameter":
        fan = shape[0] if len(shape) > 1 else 1
        return rng.normal(size=shape) / np.sqrt(max(fan, 1)) + 0.0
    if old.dtype.kind in "iu":
        classes = _classes(e, x, shapes)
        return rng.integers(classes, size=shape).astype(old.dtype) if classes else old
    if old.dtype.kind == "b":
        return rng.random(shape) < 0.5
    if old.size and np.isin(old, (0, 1)).all() and old.ndim:
        if old.shape[-1] > 1 and old.ndim > 1 and (old.sum(axis=-1) == 1).all() and shape[-1] > 1:
            return np.eye(shape[-1])[rng.integers(shape[-1], size=shape[:-1])]
        drawn = (rng.random(shape) < 0.5).astype(float)
        if drawn.size > 1:
            drawn.flat[0], drawn.flat[1] = 1.0, 0.0
        return drawn
    if old.size and (old >= 0).all() and (old <= 1).all():
        return rng.uniform(0.1, 0.9, size=shape)
    return rng.normal(size=shape)


def _classes(e: Evidence, x: Variable, shapes: Mapping[Variable, tuple[int, ...]]) -> int:
    """How many classes there are for class numbers."""
    for equation in e.program.forward:
        if equation.op.name in ("cross_entropy", "nll_loss") and x in equation.variables[1:] and e.layers:
            W = e.layers[-1].W
            return shapes[W][-1] if W is not None and W in shapes else int(np.max(x.value)) + 1
    return 0
