"""Expressions: small immutable trees that say how a value is computed, and can compute it.

A tree is made of five kinds of parts: a Symbol stands for a variable of the program, a Number for itself, a Count for
a number that has a name (n, the samples), and Sum, Product and Apply combine others.  Sum and Product work element by
element and broadcast as NumPy does; Apply is any operation of the framework.

Depth is bounded by whoever builds them (see `LARGEST` in `simplify`), so that printers may recurse.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from tinygrad_edu.derivation.names import Name
from tinygrad_edu.op import OPS
from tinygrad_edu.program import Variable

__all__ = [
    "Apply", "Count", "Expression", "Number", "Product", "Sum", "Symbol", "apply", "evaluate", "parts",
    "together", "walk",
]  # fmt: skip

Shape = tuple[int, ...]


@dataclass(frozen=True, eq=False)
class Expression:
    """What all kinds have: a shape, a size (how many parts), a depth, and a key that is equal for equal trees."""

    shape: Shape = field(init=False, repr=False)
    size: int = field(init=False, repr=False)
    depth: int = field(init=False, repr=False)
    key: Any = field(init=False, repr=False)
    number: int = field(init=False, repr=False)  # the hash: an expression is asked for it more often than it is made

    def _set(self, shape: Shape, operands: tuple[Expression, ...], *key: Any) -> None:
        object.__setattr__(self, "shape", shape)
        object.__setattr__(self, "size", 1 + sum(x.size for x in operands))
        object.__setattr__(self, "depth", 1 + max((x.depth for x in operands), default=0))
        object.__setattr__(self, "key", (type(self).__name__, *key, *operands))
        object.__setattr__(self, "number", hash(self.key))

    def __eq__(self, other: object) -> bool:
        if self is other:
            return True
        return isinstance(other, Expression) and self.number == other.number and self.key == other.key

    def __hash__(self) -> int:
        return self.number


@dataclass(frozen=True, eq=False)
class Symbol(Expression):
    """A variable of the program, under its mathematical name; `flipped` when it stands for the transposed value."""

    variable: Variable
    name: Name
    flipped: bool = False

    def __post_init__(self) -> None:
        shape = self.variable.shape
        self._set(_turned(shape) if self.flipped else shape, (), self.variable, self.flipped)


@dataclass(frozen=True, eq=False)
class Number(Expression):
    """A plain number."""

    value: Any

    def __post_init__(self) -> None:
        self._set((), (), float(self.value))


@dataclass(frozen=True, eq=False)
class Count(Expression):
    """A number that has a name of its own: n, how many samples there are."""

    name: Name
    value: int

    def __post_init__(self) -> None:
        self._set((), (), self.name)


@dataclass(frozen=True, eq=False)
class Sum(Expression):
    """The sum of its terms, element by element."""

    terms: tuple[Expression, ...]

    def __post_init__(self) -> None:
        self._set(together(self.terms), self.terms)


@dataclass(frozen=True, eq=False)
class Product(Expression):
    """`coefficient * above / below`, element by element."""

    coefficient: Any
    above: tuple[Expression, ...]
    below: tuple[Expression, ...] = ()

    def __post_init__(self) -> None:
        factors = (*self.above, *self.below)
        self._set(together(factors), factors, float(self.coefficient), len(self.above))


@dataclass(frozen=True, eq=False)
class Apply(Expression):
    """An operation of the framework: `op(*operands, **params)`; `result` is its shape."""

    op: Any
    operands: tuple[Expression | None, ...]
    params: dict[str, Any]
    result: Shape

    def __post_init__(self) -> None:
        inner = tuple(x for x in self.operands if x is not None)
        absent = tuple(x is None for x in self.operands)
        self._set(self.result, inner, self.op.name, absent, _frozen(self.params), self.result)


def together(operands: Sequence[Expression]) -> Shape:
    """The shape of an element-wise combination."""
    shapes = {x.shape for x in operands}
    if len(shapes) > 1:
        shapes.discard(())
    return shapes.pop() if len(shapes) == 1 else np.broadcast_shapes(*shapes)


def apply(name: str, *operands: Expression, shape: Shape, **params: Any) -> Apply:
    """An operation by its name, with the parameters that are not given at their defaults."""
    op = OPS[name]
    params = {**(op.defaults or {}), **params}
    if "shape" in params:
        params["shape"] = shape
    return Apply(op, operands, params, shape)


def parts(expression: Expression) -> tuple[Expression, ...]:
    """The parts from which an expression is put together, in order."""
    if isinstance(expression, Sum):
        return expression.terms
    if isinstance(expression, Product):
        return (*expression.above, *expression.below)
    if isinstance(expression, Apply):
        return tuple(x for x in expression.operands if x is not None)
    return ()


def walk(expression: Expression) -> Iterator[Expression]:
    """An expression and all that it is made of, each part before what stands inside of it."""
    waiting = [expression]
    while waiting:
        part = waiting.pop()
        yield part
        waiting.extend(reversed(parts(part)))


def evaluate(expression: Expression, values: Mapping[Variable, Any]) -> Any:
    """Compute an expression in NumPy, from the values of its variables.

    Examples
    --------
    >>> import tinygrad_edu as tg
    >>> x = tg.Tensor([1.0, 2.0], requires_grad=True, name="x")
    >>> derivation = tg.derive((x * x).sum())
    >>> line = derivation.lines[-1]
    >>> line.text()
    '∂L/∂x = 2 x'
    >>> evaluate(line.right, {derivation.program["x"]: x.data})
    array([2., 4.])
    """
    if isinstance(expression, Symbol):
        value = values[expression.variable]
        return value if not expression.flipped else np.reshape(value, (-1, 1)) if np.ndim(value) == 1 else value.T
    if isinstance(expression, Number | Count):
        return expression.value
    if isinstance(expression, Sum):
        total = evaluate(expression.terms[0], values)
        for term in expression.terms[1:]:
            total = total + evaluate(term, values)
        return total
    with np.errstate(all="ignore"):
        if isinstance(expression, Product):
            return _evaluate_product(expression, values)
        assert isinstance(expression, Apply)
        operands = [None if x is None else evaluate(x, values) for x in expression.operands]
        op = expression.op
        value = op.forward(*operands, **expression.params)
        return value[0] if op.residual is not None else value


def _evaluate_product(product: Product, values: Mapping[Variable, Any]) -> Any:
    result = product.coefficient
    for factor in product.above:
        value = evaluate(factor, values)
        result = result * (value + 0 if np.asarray(value).dtype == bool else value)
    for factor in product.below:
        result = result / evaluate(factor, values)
    return result


def _turned(shape: Shape) -> Shape:
    return (shape[0], 1) if len(shape) == 1 else shape[::-1]


def _frozen(value: Any) -> Any:
    """A value as something that can be compared and hashed."""
    if isinstance(value, dict):
        return tuple((k, _frozen(v)) for k, v in sorted(value.items()))
    if isinstance(value, tuple | list):
        return tuple(_frozen(x) for x in value)
    if isinstance(value, np.ndarray):
        return ("array", value.shape, value.tobytes())
    if isinstance(value, slice):
        return ("slice", value.start, value.stop, value.step)
    return value
