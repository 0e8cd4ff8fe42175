"""The rules by which a recorded equation becomes what a person would write.

An expression is built from the inside out, so each rule looks at one operation whose operands are simple already.
Every rule has a name, and a docstring that says what it proves and when it holds.  Rules that depend on numbers (rows
that sum to one, a bound that does nothing) look at the recorded values, and leave alone what does not hold for them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
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
    walk,
)
from tinygrad_edu.derivation.naming import ACTIVATIONS, Names
from tinygrad_edu.program import Equation, Variable

__all__ = ["LARGEST", "RULES", "Algebra", "Step"]

LARGEST = 40  # the size at which an expression is cut: it gets a name, and a line of its own
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

    def __init__(self, names: Names, simplify: bool = True) -> None:
        self.names = names
        self.simplify = simplify
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
        if not self.simplify:
            return node
        if equation is not None and node.op.name == "divide" and isinstance(node.operands[1], Number):
            name = self.names.count(node.operands[1].value, equation)
            if name is not None:
                node = Apply(node.op, (node.operands[0], Count(name, int(node.operands[1].value))), {}, node.result)
        for each in RULES.get(node.op.name, ()):
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
        shape = np.broadcast_shapes(*(x.shape for x in terms))
        collected: dict[Any, tuple[Fraction | float, Expression]] = {}
        waiting = list(reversed(terms))
        while waiting:
            term = _unbroadcast(waiting.pop())
            if isinstance(term, Sum):
                waiting.extend(reversed(term.terms))
                continue
            if isinstance(term, Product) and not term.below and len(term.above) == 1 and isinstance(term.above[0], Sum):
                if abs(term.coefficient) == 1:
                    inner = term.above[0].terms
                    waiting.extend(reversed([self.product(term.coefficient, [x]) for x in inner]))
                    continue
            coefficient, rest = _split(term)
            before = collected.get(rest.key, (0, rest))[0]
            collected[rest.key] = (before + coefficient, rest)
        kept = [self._times(c, rest) for c, rest in collected.values() if c != 0]
        if not kept:
            return self.shaped(Number(0), shape)
        kept.sort(key=lambda x: _split(x)[0] < 0)  # what is added first, then what is subtracted
        result = kept[0] if len(kept) == 1 else self._factored(kept)
        return self.shaped(result, shape)

    def _times(self, coefficient: Any, rest: Expression) -> Expression:
        if isinstance(rest, Number):
            return Number(_tidy(coefficient * rest.value))
        above, below = (rest.above, rest.below) if isinstance(rest, Product) else ((rest,), ())
        return _product(_tidy(coefficient), above, below)

    def _factored(self, terms: list[Expression]) -> Expression:
        """a/n - b/n is (a - b)/n."""
        split = [_split(x) for x in terms]
        first = split[0][0]
        products = [x if isinstance(x, Product) else Product(1, (x,)) for _, x in split]
        below = products[0].below
        scalars = [x for x in products[0].above if x.shape == () and all(x in p.above for p in products)]
        same = all(_same(p.below, below) for p in products) and all(abs(c) == abs(first) for c, _ in split)
        if not same or (not below and not scalars and abs(first) == 1):
            return Sum(tuple(terms))
        inner: list[Expression] = []
        for (c, _), p in zip(split, products):
            above = list(p.above)
            for x in scalars:
                above.remove(x)
            inner.append(_product(1 if c * first > 0 else -1, tuple(above), ()))
        whole = Sum(tuple(inner))
        return _product(_tidy(first), (*scalars, whole), below)

    def product(
        self, coefficient: Any, above: Sequence[Expression], below: Sequence[Expression] = (), note: bool = True
    ) -> Expression:
        """The product of some factors, over some divisors, with numbers multiplied and equal factors cancelled."""
        shape = np.broadcast_shapes(*(x.shape for x in (*above, *below)))
        numerator, denominator = Fraction(1), Fraction(1)
        rough: float = 1.0
        tops: list[Expression] = []
        bottoms: list[Expression] = []
        waiting: list[tuple[Any, bool]] = [
            (Number(coefficient), True), *((x, True) for x in above), *((x, False) for x in below)
        ]  # fmt: skip
        waiting.reverse()
        while waiting:
            x, up = waiting.pop()
            x = _unbroadcast(x)
            if isinstance(x, Product):
                waiting.extend((y, not up) for y in reversed(x.below))
                waiting.extend((y, up) for y in reversed(x.above))
                x = Number(x.coefficient)
            if isinstance(x, Number):
                value = _exact(x.value)
                if isinstance(value, float) or not up and value == 0:
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
                    self.note("cancel", before, _product(1, tuple(tops), tuple(bottoms)))
        exact = numerator / denominator
        value: Any = exact if rough == 1 else float(exact) * rough
        if value == 0:
            return self.shaped(Number(0), shape)
        if isinstance(value, Fraction) and value.denominator != 1:
            bottoms.append(Number(value.denominator))
            value = value.numerator
        value = _tidy(value)
        if value < 0 and not (bottoms and len(bottoms) > 1):
            for i, x in enumerate(tops):
                if isinstance(x, Sum) and any(_split(t)[0] < 0 for t in x.terms):
                    tops[i] = self.sum([self._times(-_split(t)[0], _split(t)[1]) for t in x.terms])
                    value = -value
                    break
        return self.shaped(_product(value, tuple(tops), tuple(bottoms)), shape)

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
                coefficient, rest = _split(term)
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
            coefficient, inner = _split(x.terms[1])
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
        y, (coefficient, t) = x.terms[0], _split(x.terms[1])
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
        scale = _product(whole.coefficient, tuple(f for f in whole.above if not f.shape), whole.below)
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
        if _is_transpose(x) or (name == "reshape" and inner.shape == shape):
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
        if name == "sum" and len(inner.shape) == 2 and _axis(axis) is not None:
            along = _axis(axis) % 2  # type: ignore[operator]
            if x.params["keepdims"] or along == 0:
                return Apply(x.op, (self.turn(inner),), {"axis": (1 - along,), "keepdims": True}, shape)
        return None


# Rules that only tidy up: they are part of every derivation, and no step that a reader wants to see.
SILENT = frozenset({"arithmetic", "layer", "mean", "no change", "write out the loss", "no change of shape", "whole sum", "double transpose"})


# ------------------------------------------------------------------------------------------- the rules


@rule("add", "subtract", "negative", "multiply", "divide", "positive", "divide_or_zero")
def arithmetic(algebra: Algebra, node: Apply) -> Expression | None:
    """Sums and products are flattened, numbers multiplied, the seed of ones left out: all by the laws of a ring.

    A factor above and below a fraction cancels only where it is known to be positive, and was in every recorded number.
    """
    a, *rest = [x for x in node.operands if x is not None]
    name = node.op.name
    if name == "divide_or_zero":
        return None
    if name == "positive":
        return a
    if name == "negative":
        return algebra.product(-1, [a])
    (b,) = rest
    if name == "add":
        return algebra.sum([a, b])
    if name == "subtract":
        return algebra.sum([a, algebra.product(-1, [b])])
    if name == "divide":
        return algebra.product(1, [a], [b])
    found = algebra.product(1, [a, b])
    smaller = algebra.distributed(found)
    if smaller is not found:
        algebra.note("multiply out", found, smaller)
    return smaller


@rule("mean")
def mean(algebra: Algebra, node: Apply) -> Expression | None:
    """A mean is a sum over a count."""
    x = node.operands[0]
    assert x is not None
    total = apply("sum", x, shape=node.shape, axis=node.params["axis"], keepdims=node.params["keepdims"])
    count = math.prod(x.shape) // max(math.prod(node.shape), 1)
    if not math.prod(x.shape):
        return None
    name = algebra.names.counts.get(count)
    found = whole_sum(algebra, total) or total
    return algebra.product(1, [found], [Number(count) if name is None or count == 1 else Count(name, count)])


@rule("linear")
def layer(algebra: Algebra, node: Apply) -> Expression | None:
    """linear(x, W, b) is x W + 1 b: that is its definition."""
    x, weight, bias = node.operands
    assert x is not None
    assert weight is not None
    assert bias is not None
    product = apply("matmul", x, weight, shape=(*x.shape[:-1], weight.shape[1]))
    return Sum((product, bias))


@rule("maximum")
def bound_that_does_nothing(algebra: Algebra, node: Apply) -> Expression | None:
    """max(y (1 - y), 1e-12) is y (1 - y) where that is the larger one: which all recorded numbers must show.

    Binary cross-entropy bounds its divisor so that a saturated probability divides by no zero.  Where the bound is at
    work the gradient is another one, and the rule does not hold.
    """
    a, bound = node.operands
    if not isinstance(bound, Number) or not 0 < bound.value <= 1e-6 or not isinstance(a, Product):
        return None
    if not all(algebra.is_positive(x) for x in a.above):
        return None
    return a if np.all(algebra.value(a) > bound.value) else None


@rule("greater")
def relu_mask(algebra: Algebra, node: Apply) -> Expression | None:
    """Where relu(u) > 0, there u > 0, and the other way round: so the mask can be written with u."""
    h, zero = node.operands
    equation = algebra.definition(h)
    if equation is None or equation.op.name != "relu" or not isinstance(zero, Number) or zero.value != 0:
        return None
    if _is(h, "reshape"):
        return None
    u = algebra.symbol(equation.operands[0])
    if isinstance(h, Symbol) and h.flipped:
        u = algebra.turn(u)
    return Apply(node.op, (u, zero), {}, node.shape)


@rule("exp")
def softmax_from_its_logarithm(algebra: Algebra, node: Apply) -> Expression | None:
    """e^{log softmax(u)} is softmax(u)."""
    x = node.operands[0]
    equation = algebra.definition(x)
    if equation is None or equation.op.name != "log_softmax" or _is(x, "reshape"):
        return None
    logits = algebra.symbol(equation.operands[0])
    found = apply("softmax", logits, shape=logits.shape, axis=equation.params["axis"])
    return algebra.turn(found) if isinstance(x, Symbol) and x.flipped else found


@rule("log_softmax")
def logarithm_of_softmax(algebra: Algebra, node: Apply) -> Expression | None:
    """log_softmax(u) is log(y), y = softmax(u), where the derivation has a name for that y."""
    found = _probability(algebra, node.operands[0])
    return apply("log", found, shape=node.shape) if found is not None else None


@rule("sum")
def rows_sum_to_one(algebra: Algebra, node: Apply) -> Expression | None:
    """The sum over the classes of a distribution is 1; constant factors stand before it.

    One-hot rows sum to one exactly.  Of other targets the recorded numbers are added up: targets that do not sum to
    one (or that depend on a parameter) keep their sum, and the gradient is then y sum(t) - t.
    """
    x = node.operands[0]
    assert x is not None
    if _axis(node.params["axis"]) not in (-1, len(x.shape) - 1) or not x.shape:
        return None
    coefficient, rest = _split(_unbroadcast(x))
    above = list(rest.above) if isinstance(rest, Product) else [rest]
    below = rest.below if isinstance(rest, Product) else ()
    matrices = [y for y in above if y.shape != ()]
    if len(matrices) != 1 or any(y.shape != () for y in below) or matrices[0].shape != x.shape:
        return None
    if not algebra.is_distribution(matrices[0]):
        return None
    above.remove(matrices[0])
    return algebra.product(coefficient, [*above, ONE], below)


@rule("sum")
def whole_sum(algebra: Algebra, node: Apply) -> Expression | None:
    """A number in front of all terms may stand in front of their sum."""
    x = node.operands[0]
    assert x is not None
    if node.shape == () and len(x.shape) == 2 and _transposes(x):
        other = algebra.turn(x)  # the order of the elements does not matter
        if _transposes(other) < _transposes(x):
            total = Apply(node.op, (other,), node.params, ())
            return whole_sum(algebra, total) or total
    if not isinstance(x, Product):
        return None
    scalars = [y for y in x.above if y.shape == ()]
    divisors = [y for y in x.below if y.shape == ()]
    if x.coefficient == 1 and not scalars and not divisors:
        return None
    above = tuple(y for y in x.above if y.shape != ())
    below = tuple(y for y in x.below if y.shape != ())
    if not above and not below:
        return None
    inner = _product(1, above, below)
    if inner.shape != x.shape:
        return None
    return algebra.product(x.coefficient, [*scalars, Apply(node.op, (inner,), node.params, node.shape)], divisors)


@rule("reshape")
def no_change_of_shape(algebra: Algebra, node: Apply) -> Expression | None:
    """A reshape to the shape that is there already does nothing, and of two in a row the last one counts."""
    x = node.operands[0]
    assert x is not None
    if x.shape == node.shape:
        return x
    if x.shape == () or isinstance(x, Number):
        return apply("broadcast_to", x, shape=node.shape)
    if isinstance(x, Apply) and x.op.name == "broadcast_to" and x.operands[0] is not None and x.operands[0].shape == ():
        return apply("broadcast_to", x.operands[0], shape=node.shape)
    if isinstance(x, Apply) and x.op.name == "reshape":
        inner = x.operands[0]
        assert inner is not None
        return inner if inner.shape == node.shape else Apply(node.op, (inner,), node.params, node.shape)
    if isinstance(x, Apply) and x.op.name == "matmul" and len(x.shape) == 2 and len(node.shape) == 1:
        a, b = x.operands  # a product with a vector that was made a matrix for it
        if isinstance(b, Apply) and b.op.name == "reshape" and b.shape[1] == 1 and _is_vector(b.operands[0]):
            return algebra.apply(Apply(x.op, (a, b.operands[0]), {}, node.shape))
        if isinstance(a, Apply) and a.op.name == "reshape" and a.shape[0] == 1 and _is_vector(a.operands[0]):
            return algebra.apply(Apply(x.op, (a.operands[0], b), {}, node.shape))
    if isinstance(x, Apply) and x.op.name == "sum" and not x.params["keepdims"]:
        inner = x.operands[0]
        assert inner is not None
        axes = x.params["axis"]
        axes = tuple(range(len(inner.shape))) if axes is None else axes if isinstance(axes, tuple) else (axes,)
        axes = tuple(a % max(len(inner.shape), 1) for a in axes)
        if node.shape == tuple(1 if i in axes else n for i, n in enumerate(inner.shape)):
            return Apply(x.op, (inner,), {"axis": axes, "keepdims": True}, node.shape)
    return None


@rule("broadcast_to", "astype", "copy", "squeeze", "expand_dims")
def no_change(algebra: Algebra, node: Apply) -> Expression | None:
    """Broadcasting to the shape that is there already, or twice in a row, and copies: the numbers are the same."""
    x = node.operands[0]
    assert x is not None
    if node.op.name == "astype" and node.params["dtype"] != np.float64:
        return None
    if x.shape == node.shape:
        return x
    if node.op.name == "broadcast_to" and isinstance(x, Apply) and x.op.name == "broadcast_to":
        return Apply(node.op, x.operands, node.params, node.shape)
    if node.op.name == "broadcast_to" and math.prod(x.shape) == 1 and isinstance(x, Product):
        return None
    return None


@rule("matmul")
def vector_on_the_other_side(algebra: Algebra, node: Apply) -> Expression | None:
    """W' x, with a vector x, is x W, and the other way round: in the other convention it is written so."""
    a, b = node.operands
    assert a is not None
    assert b is not None
    if not algebra.names.turned or len(node.shape) != 1:
        return None
    columns = algebra.names.convention == "columns"
    if len(b.shape) == 1 and len(a.shape) == 2 and not columns:
        return Apply(node.op, (b, algebra.turn(a)), {}, node.shape)
    if len(a.shape) == 1 and len(b.shape) == 2 and columns:
        return Apply(node.op, (algebra.turn(b), a), {}, node.shape)
    return None


@rule("transpose")
def double_transpose(algebra: Algebra, node: Apply) -> Expression | None:
    """(x')' is x; and a transpose goes inside, (a + b)' = a' + b', (a b)' = b' a', where that leaves fewer of them."""
    x = node.operands[0]
    assert x is not None
    if not _is_transpose(node):
        return None
    found = algebra.turn(x)
    return found if _transposes(found) <= _transposes(x) else None


@rule("cross_entropy", "nll_loss")
def write_out_the_loss(algebra: Algebra, node: Apply) -> Expression | None:
    """Cross-entropy is - sum t log y over the classes, y = softmax(u): its mean, or its sum, over the samples."""
    scores, targets = node.operands
    assert scores is not None
    assert targets is not None
    if scores.shape == () or node.params["reduction"] == "none" or len(scores.shape) > 2:
        return None
    if isinstance(targets, Symbol) and targets.variable.dtype.kind in "iu":
        rows = algebra.names.indicator.get(targets.variable)
        targets = (
            apply("one_hot", targets, shape=scores.shape, classes=scores.shape[-1])
            if rows is None
            else algebra.symbol(rows)
        )
    if node.op.name == "cross_entropy":
        y = _probability(algebra, scores)
        if y is None:
            return None
        logs = apply("log", y, shape=y.shape)
    else:
        logs = scores  # type: ignore[assignment]
    return _reduced(algebra, node, algebra.product(-1, [targets, logs]), math.prod(scores.shape[:-1]))


@rule("binary_cross_entropy", "binary_cross_entropy_with_logits")
def write_out_binary_cross_entropy(algebra: Algebra, node: Apply) -> Expression | None:
    """Binary cross-entropy is - [t log y + (1 - t) log(1 - y)]: its mean, or its sum, over all elements.

    A logarithm below -100 counts as -100: where a recorded one does, the rule does not hold.
    """
    y, t = node.operands
    assert y is not None
    assert t is not None
    if node.params["reduction"] == "none":
        return None
    if node.op.name == "binary_cross_entropy_with_logits":
        y = _probability(algebra, y)
        if y is None:
            return None
    value = np.asarray(algebra.value(y))
    if not np.all((value > 1e-40) & (value < 1)):
        return None
    other = algebra.sum([ONE, algebra.product(-1, [y])])
    left = Product(1, (t, apply("log", y, shape=y.shape)))
    right = Product(1, (algebra.sum([ONE, algebra.product(-1, [t])]), apply("log", other, shape=y.shape)))
    return _reduced(algebra, node, Product(-1, (Sum((left, right)),)), math.prod(y.shape))


@rule("mse_loss", "half_mse_loss", "l1_loss")
def write_out_a_distance(algebra: Algebra, node: Apply) -> Expression | None:
    """Squared error is (y - t)^2, absolute error |y - t|: the mean, or the sum, by its definition."""
    y, t = node.operands
    assert y is not None
    assert t is not None
    if node.params.get("reduction") == "none":
        return None
    difference = algebra.sum([y, algebra.product(-1, [t])])
    name = "abs" if node.op.name == "l1_loss" else "square"
    each = apply(name, difference, shape=difference.shape)
    if node.op.name != "half_mse_loss":
        return _reduced(algebra, node, each, math.prod(y.shape))
    return _reduced(algebra, node, Product(1, (each,), (Number(2),)), math.prod(y.shape[:-1]))


def _reduced(algebra: Algebra, node: Apply, each: Expression, count: int) -> Expression:
    """The sum of the losses of all samples, over their number unless it is to be their sum."""
    coefficient, rest = _split(each)
    below: list[Expression] = []
    if isinstance(rest, Product) and rest.below:
        below, rest = list(rest.below), _product(1, rest.above, ())
    if node.params.get("reduction", "mean") == "mean" and count != 1:
        name = algebra.names.counts.get(count)
        below.append(Number(count) if name is None else Count(name, count))
    if rest.shape != ():
        total = apply("sum", rest, shape=(), axis=None, keepdims=False)
        rest = whole_sum(algebra, total) or total
    return _product(_tidy(coefficient), (rest,), tuple(below))


def _probability(algebra: Algebra, logits: Expression | None) -> Expression | None:
    """The y = softmax(u), or sigmoid(u), of some logits, if the derivation has a name for it."""
    for variable, found in algebra.names.probability.items():
        equation = variable.equation
        transposed = equation is not None and equation.op.name == "transpose"
        if algebra.symbol(variable) == logits or (
            transposed and equation is not None and algebra.turn(algebra.symbol(equation.operands[0])) == logits
        ):
            return algebra.symbol(found)
    return None


# --------------------------------------------------------------------------------------------- tools


def _product(coefficient: Any, above: tuple[Expression, ...], below: tuple[Expression, ...]) -> Expression:
    """A product, unless it is a single factor, or a number."""
    if not above and not below:
        return Number(coefficient)
    if coefficient == 1 and not below and len(above) == 1:
        return above[0]
    return Product(coefficient, above, below)


def _split(x: Expression) -> tuple[Any, Expression]:
    """A term as its coefficient and the rest."""
    if isinstance(x, Number):
        return _exact(x.value), ONE
    if isinstance(x, Product) and x.coefficient != 1:
        return _exact(x.coefficient), _product(1, x.above, x.below)
    return 1, x


def _exact(value: Any) -> Any:
    """A number as a fraction if it is a whole one, else as a float."""
    number = value if isinstance(value, Fraction) else float(value)
    return Fraction(int(number)) if math.isfinite(number) and number == int(number) else float(number)


def _tidy(value: Any) -> Any:
    """A whole number as int, anything else as float."""
    return int(value) if math.isfinite(value) and value == int(value) and abs(value) < 2**53 else float(value)


def _same(a: Sequence[Expression], b: Sequence[Expression]) -> bool:
    return len(a) == len(b) and sorted(hash(x) for x in a) == sorted(hash(x) for x in b) and all(x in b for x in a)


def _unbroadcast(x: Expression) -> Expression:
    """Element by element, broadcasting happens of itself."""
    while isinstance(x, Apply) and x.op.name == "broadcast_to" and x.operands[0] is not None:
        x = x.operands[0]
    return x


def _is(x: Expression | None, name: str) -> bool:
    return isinstance(x, Apply) and x.op.name == name


def _is_vector(x: Expression | None) -> bool:
    return x is not None and len(x.shape) == 1


def _axis(axis: Any) -> int | None:
    if isinstance(axis, tuple):
        return axis[0] if len(axis) == 1 else None
    return axis if isinstance(axis, int) else None


def _is_transpose(x: Expression) -> bool:
    if not isinstance(x, Apply) or x.op.name != "transpose" or len(x.shape) != 2:
        return False
    axes = x.params.get("axes")
    return axes is None or tuple(a % 2 for a in axes) == (1, 0)


def _transposes(x: Expression) -> int:
    return sum(isinstance(y, Apply) and y.op.name in ("transpose", "reshape") for y in walk(x))


def _is_elementwise(x: Apply) -> bool:
    function = x.op.forward
    return (
        (isinstance(function, np.ufunc) and function.signature is None)
        or x.op.name in (ACTIVATIONS - {"softmax"})
        or x.op.name in ("where", "greater", "maximum", "minimum", "clip", "square")
    )


