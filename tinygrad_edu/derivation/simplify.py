"""The rules by which a recorded equation becomes what a person would write.

Every rule has a name, and a docstring that says what it proves and when it holds.  Rules that depend on numbers (rows
that sum to one, a bound that does nothing) look at the recorded values, and leave alone what does not hold for them.
"""

from __future__ import annotations

import math

import numpy as np

from tinygrad_edu.derivation.algebra import (
    ONE,
    RULES,
    Algebra,
    axes_of,
    is_transpose,
    is_vector,
    make_product,
    operation_is,
    rule,
    single_axis,
    split,
    tidy,
    transposes,
    unbroadcast,
)
from tinygrad_edu.derivation.expressions import Apply, Count, Expression, Number, Product, Sum, Symbol, apply

__all__ = ["RULES"]

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


@rule("power")
def small_power(algebra: Algebra, node: Apply) -> Expression | None:
    """x to the power of 1 is x, and of 2 its square."""
    x, exponent = node.operands
    assert x is not None
    if not isinstance(exponent, Number) or exponent.value not in (1, 2) or x.shape != node.shape:
        return None
    return x if exponent.value == 1 else apply("square", x, shape=node.shape)


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
    if operation_is(h, "reshape"):
        return None
    u = algebra.symbol(equation.operands[0])
    if isinstance(h, Symbol) and h.flipped:
        u = algebra.turn(u)
    return Apply(node.op, (u, zero), {}, node.shape)


@rule("exp")
def softmax_from_its_logarithm(algebra: Algebra, node: Apply) -> Expression | None:
    """e^{log softmax(u)} is softmax(u), since e to the power of a logarithm is what the logarithm was taken of."""
    x = node.operands[0]
    equation = algebra.definition(x)
    if equation is None or equation.op.name != "log_softmax" or operation_is(x, "reshape"):
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
    if single_axis(node.params["axis"]) not in (-1, len(x.shape) - 1) or not x.shape:
        return None
    coefficient, rest = split(unbroadcast(x))
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
    if node.shape == () and len(x.shape) == 2 and transposes(x):
        other = algebra.turn(x)  # the order of the elements does not matter
        if transposes(other) < transposes(x):
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
    inner = make_product(1, above, below)
    if inner.shape != x.shape:
        return None
    return algebra.product(x.coefficient, [*scalars, Apply(node.op, (inner,), node.params, node.shape)], divisors)


@rule("sum")
def sum_of_a_sum(algebra: Algebra, node: Apply) -> Expression | None:
    """To add up along one axis, then along another, is to add up along both."""
    x = node.operands[0]
    if not isinstance(x, Apply) or x.op.name != "sum" or x.params["keepdims"] or node.params["keepdims"]:
        return None
    inner = x.operands[0]
    assert inner is not None
    first = axes_of(x.params["axis"], len(inner.shape))
    left = [i for i in range(len(inner.shape)) if i not in first]
    both = tuple(sorted({*first, *(left[i] for i in axes_of(node.params["axis"], len(x.shape)))}))
    return Apply(node.op, (inner,), {"axis": both, "keepdims": False}, node.shape)


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
        if isinstance(b, Apply) and b.op.name == "reshape" and b.shape[1] == 1 and is_vector(b.operands[0]):
            return algebra.apply(Apply(x.op, (a, b.operands[0]), {}, node.shape))
        if isinstance(a, Apply) and a.op.name == "reshape" and a.shape[0] == 1 and is_vector(a.operands[0]):
            return algebra.apply(Apply(x.op, (a.operands[0], b), {}, node.shape))
    if isinstance(x, Apply) and x.op.name == "sum" and not x.params["keepdims"]:
        inner = x.operands[0]
        assert inner is not None
        axes = axes_of(x.params["axis"], len(inner.shape))
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
    if not is_transpose(node):
        return None
    found = algebra.turn(x)
    return found if transposes(found) <= transposes(x) else None


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
    coefficient, rest = split(each)
    below: list[Expression] = []
    if isinstance(rest, Product) and rest.below:
        below, rest = list(rest.below), make_product(1, rest.above, ())
    if node.params.get("reduction", "mean") == "mean" and count != 1:
        name = algebra.names.counts.get(count)
        below.append(Number(count) if name is None else Count(name, count))
    if rest.shape != ():
        total = apply("sum", rest, shape=(), axis=None, keepdims=False)
        rest = whole_sum(algebra, total) or total
    return make_product(tidy(coefficient), (rest,), tuple(below))


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
