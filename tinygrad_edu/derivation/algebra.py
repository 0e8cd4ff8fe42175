"""Sums and products as a person writes them: equal terms collected, numbers multiplied, what cancels left out.

An expression is built from the inside out; `Algebra.apply` asks the rules for each operation on operands that are
simple already.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np

from tinygrad_edu.derivation.expressions import (
    Apply,
    Count,
    Expression,
    Number,
    Product,
    Sum,
    Symbol,
    apply,
    evaluate,
    together,
    walk,
)
from tinygrad_edu.derivation.naming import ACTIVATIONS, Names
from tinygrad_edu.program import Equation, Variable

__all__ = [
    "DEEPEST", "LARGEST", "ONE", "RULES", "Algebra", "Step", "axes_of", "is_transpose", "is_vector", "make_product",
    "operation_is", "rule", "single_axis", "split", "tidy", "transposes", "unbroadcast",
]  # fmt: skip

LARGEST = 28  # the size at which an expression is cut: it gets a name, and a line of its own
DEEPEST = 14

Rule = Callable[["Algebra", Apply], Expression | None]
RULES: dict[str, list[Rule]] = {}  # by the operation that they look at
ONE = Number(1)


@dataclass(frozen=True)
class Step:
    """One application of a rule: its name, and the expression before and after it."""

    rule: str
    before: Expression
    after: Expression


def rule(*operations: str) -> Callable[[Rule], Rule]:
    """Make a function a rule for some operations; its name, with spaces, is the rule's."""

    def register(function: Rule) -> Rule:
        for name in operations:
            RULES.setdefault(name, []).append(function)
        return function

    return register


class Algebra:
    """Builds expressions, and simplifies them on the way; `log` holds the steps of the one that is being built."""

    def __init__(self, names: Names, rules: Mapping[str, Sequence[Rule]]) -> None:
        self.names = names
        self.rules = rules
        self.log: list[Step] = []
        self.recorded = {x: x.value for x in names.program.variables()}
        self.constant: set[Variable] = set()  # what does not depend on a parameter
        for variable in names.program.inputs:
            if variable.kind != "parameter":
                self.constant.add(variable)
        for equation in names.program.equations:
            if all(x in self.constant for x in equation.variables):
                self.constant.add(equation.target)

    # -------------------------------------------------------------------------- building blocks

    def symbol(self, variable: Variable) -> Expression:
        """The symbol of a variable; where it is written transposed, that is undone."""
        name = self.names.of(variable)
        if variable not in self.names.flipped:
            return Symbol(variable, name)
        return self.turned(Symbol(variable, name, True), variable.shape)

    def turned(self, x: Expression, shape: tuple[int, ...]) -> Expression:
        """A flipped symbol in its original orientation."""
        return apply("reshape", x, shape=shape) if len(shape) == 1 else apply("transpose", x, shape=shape)

    def build(self, equation: Equation, operands: Sequence[Expression | None]) -> Expression:
        """What an equation says, with some expressions for its operands."""
        return self.apply(Apply(equation.op, tuple(operands), equation.params, equation.target.shape), equation)

    def apply(self, node: Apply, equation: Equation | None = None) -> Expression:
        """An operation on simple operands, simplified by the first rule that has something to say."""
        if not self.rules:
            return node
        if equation is not None and node.op.name == "divide" and isinstance(node.operands[1], Number):
            name = self.names.count(node.operands[1].value, equation)
            if name is not None:
                node = Apply(node.op, (node.operands[0], Count(name, int(node.operands[1].value))), {}, node.result)
        for each in self.rules.get(node.op.name, ()):
            found = each(self, node)
            if found is not None and found != node:
                found = self.shaped(found, node.shape)
                self.note(each.__name__.replace("_", " "), node, found)
                return found
        return node

    def note(self, name: str, before: Expression, after: Expression) -> None:
        """Remember a step, unless it is only another way to write the same."""
        if name not in SILENT:
            self.log.append(Step(name, before, after))

    def shaped(self, x: Expression, shape: tuple[int, ...]) -> Expression:
        """An expression with its values repeated, if it has become smaller than it should be."""
        return x if x.shape == shape else apply("broadcast_to", x, shape=shape)

    # ----------------------------------------------------------------------------- sums, products

    def sum(self, terms: Sequence[Expression]) -> Expression:
        """The sum of some terms, with equal ones collected and a common factor taken out."""
        shape = together(terms)
        collected: dict[Expression, Any] = {}
        waiting = list(reversed(terms))
        while waiting:
            term = unbroadcast(waiting.pop())
            if isinstance(term, Sum):
                waiting.extend(reversed(term.terms))
                continue
            inner = term.above[0] if isinstance(term, Product) and len(term.above) == 1 and not term.below else None
            if isinstance(term, Product) and isinstance(inner, Sum) and abs(term.coefficient) == 1:
                waiting.extend(reversed([self.product(term.coefficient, [x]) for x in inner.terms]))
                continue
            coefficient, rest = split(term)
            collected[rest] = collected.get(rest, 0) + coefficient
        kept = [self._times(c, rest) for rest, c in collected.items() if c != 0]
        if not kept:
            return self.shaped(Number(0), shape)
        kept.sort(key=lambda x: split(x)[0] < 0)  # what is added first, then what is subtracted
        result = kept[0] if len(kept) == 1 else self._factored(kept)
        return self.shaped(result, shape)

    def _times(self, coefficient: Any, rest: Expression) -> Expression:
        if isinstance(rest, Number):
            return Number(tidy(coefficient * rest.value))
        above, below = (rest.above, rest.below) if isinstance(rest, Product) else ((rest,), ())
        return make_product(tidy(coefficient), above, below)

    def _factored(self, terms: list[Expression]) -> Expression:
        """a/n - b/n is (a - b)/n."""
        pairs = [split(x) for x in terms]
        first = pairs[0][0]
        products = [x if isinstance(x, Product) else Product(1, (x,)) for _, x in pairs]
        below = products[0].below
        scalars = [x for x in products[0].above if x.shape == () and all(x in p.above for p in products)]
        same = all(_same(p.below, below) for p in products) and all(abs(c) == abs(first) for c, _ in pairs)
        if not same or (not below and not scalars and abs(first) == 1):
            return Sum(tuple(terms))
        inner: list[Expression] = []
        for (c, _), p in zip(pairs, products):
            above = list(p.above)
            for x in scalars:
                above.remove(x)
            inner.append(make_product(1 if c * first > 0 else -1, tuple(above), ()))
        whole = Sum(tuple(inner))
        return make_product(tidy(first), (*scalars, whole), below)

    def product(
        self, coefficient: Any, above: Sequence[Expression], below: Sequence[Expression] = (), note: bool = True
    ) -> Expression:
        """The product of some factors, over some divisors, with numbers multiplied and equal factors cancelled."""
        shape = together((*above, *below)) if above or below else ()
        numerator: Any = 1
        denominator: Any = 1
        rough: float = 1.0
        tops: list[Expression] = []
        bottoms: list[Expression] = []
        waiting: list[tuple[Any, bool]] = [
            (Number(coefficient), True), *((x, True) for x in above), *((x, False) for x in below)
        ]  # fmt: skip
        waiting.reverse()
        while waiting:
            x, up = waiting.pop()
            x = unbroadcast(x)
            if isinstance(x, Product):
                waiting.extend((y, not up) for y in reversed(x.below))
                waiting.extend((y, up) for y in reversed(x.above))
                x = Number(x.coefficient)
            if isinstance(x, Number):
                value = _exact(x.value)
                if value == 1:
                    continue
                if isinstance(value, float) or (not up and value == 0):
                    rough = rough * value if up else rough / value if value else math.nan
                elif up:
                    numerator *= value
                else:
                    denominator *= value
            else:
                (tops if up else bottoms).append(x)
        for x in list(bottoms):
            if x in tops and x in bottoms and self.is_positive(x):
                before = Product(1, tuple(tops), tuple(bottoms))
                tops.remove(x)
                bottoms.remove(x)
                if note:
                    self.note("cancel", before, make_product(1, tuple(tops), tuple(bottoms)))
        exact = numerator if denominator == 1 else Fraction(numerator) / denominator
        value = exact if rough == 1 else float(exact) * rough
        if value == 0:
            return self.shaped(Number(0), shape)
        if isinstance(value, Fraction) and value.denominator != 1:
            bottoms.append(Number(value.denominator))
            value = value.numerator
        value = tidy(value)
        if value < 0 and not (bottoms and len(bottoms) > 1):
            for i, x in enumerate(tops):
                if isinstance(x, Sum) and any(split(t)[0] < 0 for t in x.terms):
                    tops[i] = self.sum([self._times(-split(t)[0], split(t)[1]) for t in x.terms])
                    value = -value
                    break
        return self.shaped(make_product(value, tuple(tops), tuple(bottoms)), shape)

    def distributed(self, x: Expression) -> Expression:
        """A product with a sum, multiplied out if that makes it smaller."""
        if not isinstance(x, Product):
            return x
        sums = [i for i, y in enumerate(x.above) if isinstance(y, Sum)]
        for i in sums:
            inner = x.above[i]
            assert isinstance(inner, Sum)
            others = (*x.above[:i], *x.above[i + 1 :])
            if not any(y in t.below for t in inner.terms if isinstance(t, Product) for y in others):
                continue
            kept = len(self.log)
            found = self.sum([self.product(x.coefficient, [*others, t], x.below) for t in inner.terms])
            found = self.expanded(found)
            if found.size < x.size and found.shape == x.shape:
                return found
            del self.log[kept:]
        return x

    def expanded(self, x: Expression) -> Expression:
        """Products of sums multiplied out, if what remains is smaller: t (1 - y) + y (t - 1) is t - y."""
        outer = x if isinstance(x, Product) else Product(1, (x,))
        for i, inner in enumerate(outer.above):
            if not isinstance(inner, Sum):
                continue
            terms: list[Expression] = []
            for term in inner.terms:
                coefficient, rest = split(term)
                flat: list[tuple[Any, tuple[Expression, ...], tuple[Expression, ...]]] = [(coefficient, (), ())]
                factors = rest.above if isinstance(rest, Product) else (rest,)
                below = rest.below if isinstance(rest, Product) else ()
                for factor in factors:
                    choices = factor.terms if isinstance(factor, Sum) else (factor,)
                    flat = [(c, (*a, y), below) for c, a, _ in flat for y in choices]
                terms += [self.product(c, a, b, note=False) for c, a, b in flat]
                if len(terms) > 16:
                    return x
            smaller = self.sum(terms)
            if smaller.size < inner.size:
                rest_above = (*outer.above[:i], *outer.above[i + 1 :])
                return self.product(outer.coefficient, [*rest_above, smaller], outer.below, note=False)
        return x

    # --------------------------------------------------------------------------- what is known

    def definition(self, x: Expression | None) -> Equation | None:
        """The equation of a symbol, also of one that stands transposed."""
        if isinstance(x, Apply) and x.op.name in ("transpose", "reshape"):
            x = x.operands[0]
        return x.variable.equation if isinstance(x, Symbol) else None

    def value(self, x: Expression) -> Any:
        """What an expression was when it was recorded."""
        return evaluate(x, self.recorded)

    def is_positive(self, x: Expression) -> bool:
        """Above 0, by what it is (a softmax, a sigmoid y or 1 - y, an exponential) and in every recorded number."""
        inner = x
        if isinstance(x, Count):
            return True
        if isinstance(x, Sum) and len(x.terms) == 2 and x.terms[0] == ONE:
            coefficient, inner = split(x.terms[1])
            if coefficient != -1:
                return False
        names = ("softmax", "sigmoid", "exp")[: 2 if inner is not x else 3]
        equation = self.definition(inner)
        op = equation.op.name if equation else inner.op.name if isinstance(inner, Apply) else ""
        return op in names and bool(np.all(self.value(x) > 0))

    def is_distribution(self, x: Expression) -> bool:
        """Constant rows that sum to one in the recorded numbers (up to rounding); a softmax always does."""
        if any(isinstance(y, Symbol) and y.variable not in self.constant for y in walk(x)):
            return False
        value = np.asarray(self.value(x))
        tolerance = 8 * np.finfo(value.dtype).eps if value.dtype.kind == "f" else 0
        return bool(np.all(np.abs(np.sum(value, axis=-1) - 1) <= tolerance))

    def error_of(self, x: Expression) -> tuple[str, Expression, Expression] | None:
        """Is this y - t, up to a constant, with y a softmax or a sigmoid?  Then which of them, y, and t."""
        if isinstance(x, Product) and len([f for f in x.above if f.shape]) == 1 and not any(f.shape for f in x.below):
            x = next(f for f in x.above if f.shape)
        if not isinstance(x, Sum) or len(x.terms) != 2:
            return None
        y, (coefficient, t) = x.terms[0], split(x.terms[1])
        equation = self.definition(y)
        if coefficient != -1 or equation is None or not isinstance(t, Symbol | Apply):
            return None
        name = "softmax" if equation.target in self.names.auxiliary and equation.op.name == "exp" else equation.op.name
        return (name, y, t) if name in ("softmax", "sigmoid") else None

    def proof(self, x: Expression) -> tuple[Step, ...]:
        """Of (y - t)/n, which a fused loss has computed in one step: how the chain rule leads there."""
        found = self.error_of(x)
        if found is None:
            return ()
        name, y, t = found
        whole = x if isinstance(x, Product) else Product(1, (x,))
        scale = make_product(whole.coefficient, tuple(f for f in whole.above if not f.shape), whole.below)
        self.log, log = [], self.log
        inner: Expression
        if name == "softmax":
            axis = (0 if isinstance(y, Symbol) and y.flipped else len(y.shape) - 1,)
            ones = tuple(1 if i == axis[0] else n for i, n in enumerate(y.shape))
            g = self.product(-1, [scale, t], [y])
            inner = apply("multiply", g, y, shape=y.shape)
            before = apply("sum", inner, shape=ones, axis=axis, keepdims=True)
            before = apply("multiply", y, apply("subtract", g, before, shape=y.shape), shape=y.shape)
            total = apply("sum", self.apply(inner), shape=ones, axis=axis, keepdims=True)
            self.log.append(Step("rows sum to one", total, self.shaped(self.product(-1, [scale]), ones)))
            difference = self.sum([g, scale])
            self.apply(apply("multiply", y, difference, shape=y.shape))
        else:
            slope = self.product(1, [y, self.sum([ONE, self.product(-1, [y])])])
            g = self.product(1, [whole], [slope], note=False)
            before = apply("multiply", g, slope, shape=y.shape)
            self.apply(before)
        steps = (Step(f"chain rule through the {name}", x, before), *self.log)
        self.log = log
        return steps

    # -------------------------------------------------------------------------------- transposes

    def turn(self, x: Expression) -> Expression:
        """The transpose; of a vector, which is a row, the column.  It is pushed towards the symbols."""
        if x.shape == ():
            return x
        shape = (x.shape[0], 1) if len(x.shape) == 1 else x.shape[::-1]
        if len(x.shape) > 2:
            return apply("transpose", x, shape=shape)
        if isinstance(x, Sum):
            return self.sum([self.turn(t) for t in x.terms])
        if isinstance(x, Product):
            return self.product(x.coefficient, [self.turn(t) for t in x.above], [self.turn(t) for t in x.below])
        if isinstance(x, Apply):
            found = self._turn_operation(x, shape)
            if found is not None:
                return found
        return apply("reshape" if len(x.shape) == 1 else "transpose", x, shape=shape)

    def _turn_operation(self, x: Apply, shape: tuple[int, ...]) -> Expression | None:
        inner = x.operands[0] if x.operands else None
        name = x.op.name
        if inner is None:
            return None
        if is_transpose(x) or (name == "reshape" and inner.shape == shape):
            return inner
        if name == "reshape" and len(inner.shape) == 1 and 1 in shape:
            return apply("reshape", inner, shape=shape)
        if name == "broadcast_to" and inner.shape == ():
            return apply("broadcast_to", inner, shape=shape)
        if name == "matmul" and len(x.shape) == 2 and all(y is not None and len(y.shape) == 2 for y in x.operands):
            a, b = x.operands
            assert a is not None
            assert b is not None
            return Apply(x.op, (self.turn(b), self.turn(a)), {}, shape)
        if _is_elementwise(x) and all(y is not None for y in x.operands):
            return self.apply(Apply(x.op, tuple(self.turn(y) for y in x.operands if y), x.params, shape))
        axis = x.params.get("axis")
        if name in ("softmax", "log_softmax") and len(x.shape) == 2:
            return Apply(x.op, (self.turn(inner),), {**x.params, "axis": 0 if axis in (-1, 1) else -1}, shape)
        if name == "sum" and len(inner.shape) == 2 and single_axis(axis) is not None:
            along = single_axis(axis) % 2  # type: ignore[operator]
            if x.params["keepdims"] or along == 0:
                return Apply(x.op, (self.turn(inner),), {"axis": (1 - along,), "keepdims": True}, shape)
        return None


# Rules that only tidy up: they are part of every derivation, and no step that a reader wants to see.
SILENT = frozenset(
    {
        "arithmetic",
        "small power",
        "layer",
        "mean",
        "no change",
        "write out the loss",
        "no change of shape",
        "whole sum",
        "double transpose",
    }
)


# --------------------------------------------------------------------------------------------- tools


def make_product(coefficient: Any, above: tuple[Expression, ...], below: tuple[Expression, ...]) -> Expression:
    """A product, unless it is a single factor, or a number."""
    if not above and not below:
        return Number(coefficient)
    if coefficient == 1 and not below and len(above) == 1:
        return above[0]
    return Product(coefficient, above, below)


def split(x: Expression) -> tuple[Any, Expression]:
    """A term as its coefficient and the rest."""
    if isinstance(x, Number):
        return _exact(x.value), ONE
    if isinstance(x, Product) and x.coefficient != 1:
        return _exact(x.coefficient), make_product(1, x.above, x.below)
    return 1, x


def _exact(value: Any) -> Any:
    """A whole number as int, so that it is computed with exactly; any other as it is, or as a float."""
    if type(value) is int or isinstance(value, Fraction):
        return value
    number = float(value)
    return int(number) if math.isfinite(number) and number == int(number) else number


def tidy(value: Any) -> Any:
    """A whole number as int, anything else as float."""
    return int(value) if math.isfinite(value) and value == int(value) and abs(value) < 2**53 else float(value)


def _same(a: Sequence[Expression], b: Sequence[Expression]) -> bool:
    return len(a) == len(b) and sorted(hash(x) for x in a) == sorted(hash(x) for x in b) and all(x in b for x in a)


def unbroadcast(x: Expression) -> Expression:
    """Element by element, broadcasting happens of itself."""
    while isinstance(x, Apply) and x.op.name == "broadcast_to" and x.operands[0] is not None:
        x = x.operands[0]
    return x


def operation_is(x: Expression | None, name: str) -> bool:
    return isinstance(x, Apply) and x.op.name == name


def is_vector(x: Expression | None) -> bool:
    return x is not None and len(x.shape) == 1


def single_axis(axis: Any) -> int | None:
    if isinstance(axis, tuple):
        return axis[0] if len(axis) == 1 else None
    return axis if isinstance(axis, int) else None


def axes_of(axis: Any, count: int) -> tuple[int, ...]:
    """The axes that are meant, as numbers from 0."""
    given = range(count) if axis is None else axis if isinstance(axis, tuple) else (axis,)
    return tuple(a % max(count, 1) for a in given)


def is_transpose(x: Expression) -> bool:
    if not isinstance(x, Apply) or x.op.name != "transpose" or len(x.shape) != 2:
        return False
    axes = x.params.get("axes")
    return axes is None or tuple(a % 2 for a in axes) == (1, 0)


def transposes(x: Expression) -> int:
    return sum(isinstance(y, Apply) and y.op.name in ("transpose", "reshape") for y in walk(x))


def _is_elementwise(x: Apply) -> bool:
    function = x.op.forward
    return (
        (isinstance(function, np.ufunc) and function.signature is None)
        or x.op.name in (ACTIVATIONS - {"softmax"})
        or x.op.name in ("where", "greater", "maximum", "minimum", "clip", "square")
    )
