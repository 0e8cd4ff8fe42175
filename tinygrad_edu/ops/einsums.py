"""einsum: every product and sum over named axes, "ij,jk->ik", in one operation whose rule is einsum again."""

from __future__ import annotations

import functools
import math
import string
from collections.abc import Sequence
from typing import Any

import numpy as np

from tinygrad_edu.errors import ShapeError
from tinygrad_edu.op import Each, Notation, implements, normal, operation, public, sample
from tinygrad_edu.ops.axes import operand
from tinygrad_edu.ops.diagonals import diagonal
from tinygrad_edu.record import apply

__all__ = ["einsum"]

Operand = Any  # a Tensor, an array or a number

# Above this many multiplications, looking for a good order of them (some 10 us) pays.
WORTH_PLANNING = 30_000


def _split(subscripts: str) -> tuple[list[str], str]:
    inputs, output = subscripts.split("->")
    return inputs.split(","), output


def _sizes(terms: Sequence[str], operands: Sequence[Any]) -> dict[str, int]:
    """How long each named axis is, once axes of size one are repeated."""
    sizes: dict[str, int] = {}
    for term, x in zip(terms, operands):
        for name, n in zip(term, np.shape(x)):
            if sizes.get(name, 1) == 1:
                sizes[name] = n
    return sizes


def _door(*operands: Any, subscripts: str) -> str | None:
    terms, _ = _split(subscripts)
    sizes = _sizes(terms, operands)
    for i, (term, x) in enumerate(zip(terms, operands)):
        for name, n in zip(term, np.shape(x)):
            if n not in (1, sizes[name]):
                return f'"{subscripts}": axis {name} has size {n} in operand {i}, but {sizes[name]} in another'
    return None


# With the factors g and all operands but one, the gradient of that one is an einsum to its axes.  An axis that
# none of them has at its full size was summed (or repeated) for this operand alone: a factor of ones repeats g.
def _einsum_rule(i: int, g: Any, y: Any, *operands: Any, subscripts: str) -> Any:
    terms, output = _split(subscripts)
    x, own = operands[i], terms[i]
    factors = [g, *operands[:i], *operands[i + 1 :]]
    names = [output, *terms[:i], *terms[i + 1 :]]
    full = {name for term, factor in zip(names, factors) for name, n in zip(term, factor.shape) if n != 1}
    for name, n in zip(own, x.shape):
        if name not in full:
            factors.append(np.ones(n, dtype=x.dtype))
            names.append(name)
    return _einsum(*factors, subscripts=f"{','.join(names)}->{own}")


@operation(
    name="einsum",
    vjps=Each(_einsum_rule),
    notation=Notation("einsum(<subscripts>; <*>)", r"\operatorname{einsum}_{<subscripts>}(<*>)"),
    samples=[
        sample(normal(3, 4), normal(4, 5), subscripts="ij,jk->ik"),
        sample(normal(3, 4), subscripts="ij->ji"),
        sample(normal(3, 4), subscripts="ij->j"),
        sample(normal(3, 4), subscripts="ij->"),
        sample(normal(3), normal(4), subscripts="i,j->ij"),
        sample(normal(2, 3, 4), normal(2, 4, 5), subscripts="bij,bjk->bik"),
        sample(normal(3, 4), normal(4, 5), normal(5, 3), subscripts="ij,jk,ki->k"),
        sample(normal(3, 1), normal(1, 4), subscripts="ij,ij->i"),
        sample(normal(3, 4), normal(1, 1), subscripts="ij,ij->"),
        sample(normal(3), normal(), normal(2, 4), subscripts="i,,jk->k"),
    ],
    door=_door,
)
def _einsum(*operands: Any, subscripts: str) -> Any:
    terms, _ = _split(subscripts)
    multiplications = math.prod(_sizes(terms, operands).values()) if len(operands) > 1 else 0
    return np.einsum(subscripts, *operands, optimize=multiplications > WORTH_PLANNING)


@public(_einsum)
@implements(np.einsum)
def einsum(*operands: Any, optimize: Any = None) -> Any:
    r"""Sums of products over named axes, `einsum("ij,jk->ik", a, b)`, as in NumPy; any number of operands.

    Each axis gets a letter.  Elements with equal letters are multiplied, and letters that the output does not name
    are summed over.  A letter twice in one operand is its diagonal; `...` stands for any number of axes; axes of
    size one are repeated; without `->` the output has the letters that occur once, in alphabetical order.  NumPy's
    other form, `einsum(a, [0, 1], b, [1, 2], [0, 2])`, works, too.  `optimize` plays no part: the order of the
    products is planned where that pays.

    Gradient: an einsum again.  For the one above, dL/da = einsum("ik,jk->ij", g, b).

    Examples
    --------
    >>> import numpy as np, tinygrad_edu as tg
    >>> x = tg.Tensor([[1.0, 2.0], [3.0, 4.0]], requires_grad=True)
    >>> trace = tg.einsum("ii", x)
    >>> trace
    Tensor(5., from einsum)
    >>> trace.backward()
    >>> x.grad
    array([[1., 0.],
           [0., 1.]])
    """
    subscripts, given = _text_form(operands)
    terms, output = _explicit(subscripts, tuple(np.ndim(x) for x in given))
    pairs = [_without_repeats(subscripts, term, x) for term, x in zip(terms, given)]
    explicit = f"{','.join(term for term, _ in pairs)}->{output}"
    return apply(_einsum, [x for _, x in pairs], {"subscripts": explicit})


def _text_form(operands: Sequence[Any]) -> tuple[str, list[Any]]:
    """The subscripts as text, and the operands; NumPy also takes a list of axis numbers behind each operand."""
    if operands and isinstance(operands[0], str):
        return operands[0].replace(" ", ""), [operand(x) for x in operands[1:]]
    if len(operands) < 2:
        raise TypeError('einsum: call it as einsum("ij,jk->ik", a, b)')

    def letters(axes: Sequence[Any]) -> str:
        return "".join("..." if i is Ellipsis else string.ascii_letters[i] for i in axes)

    count = len(operands) // 2
    subscripts = ",".join(letters(operands[2 * i + 1]) for i in range(count))
    if len(operands) % 2:
        subscripts += "->" + letters(operands[-1])
    return subscripts, [operand(operands[2 * i]) for i in range(count)]


@functools.lru_cache(maxsize=256)
def _explicit(subscripts: str, ndims: tuple[int, ...]) -> tuple[list[str], str]:
    """One letter for each axis of each operand and of the output, with nothing left to be understood."""

    def refuse(reason: str) -> ShapeError:
        return ShapeError(f'einsum: "{subscripts}": {reason}')

    left, arrow, output = subscripts.partition("->")
    terms = left.split(",")
    if len(terms) != len(ndims):
        raise refuse(f"{len(terms)} operands are named, {len(ndims)} are given")
    named = [term.replace("...", "", 1) for term in terms]
    for text in (*named, output.replace("...", "", 1)):
        if not all(c in string.ascii_letters for c in text):
            raise refuse(f'"{text}" is not made of letters')
    for i, (term, letters, ndim) in enumerate(zip(terms, named, ndims)):
        if len(letters) > ndim or (len(letters) < ndim and letters == term):
            raise refuse(f"operand {i} has {ndim} axes, {len(letters)} are named")
    # The axes of the ellipses are aligned at their ends, as in broadcasting, and get letters of their own.
    hidden = [ndim - len(letters) for letters, ndim in zip(named, ndims)]
    free = [c for c in string.ascii_letters if c not in subscripts]
    if max(hidden) > len(free):
        raise refuse("there are not enough letters for all axes")
    dots = "".join(free[: max(hidden)])
    terms = [term.replace("...", dots[len(dots) - n :], 1) for term, n in zip(terms, hidden)]
    if not arrow:
        joined = "".join(named)
        output = "..." + "".join(sorted(c for c in set(joined) if joined.count(c) == 1))
    if dots and "..." not in output:
        raise refuse('the axes of "..." are missing from the output; sum over them afterwards')
    output = output.replace("...", dots, 1)
    for c in output:
        if output.count(c) > 1:
            raise refuse(f"{c} is twice in the output")
        if not any(c in term for term in terms):
            raise refuse(f"{c} is in the output, but in no operand")
    return terms, output


def _without_repeats(subscripts: str, term: str, x: Any) -> tuple[str, Any]:
    """A letter that an operand has twice means its diagonal there, whose axis comes last."""
    for c in term:
        while term.count(c) > 1:
            first, second = term.index(c), term.rindex(c)
            n, m = np.shape(x)[first], np.shape(x)[second]
            if n != m:
                raise ShapeError(f'einsum: "{subscripts}": axis {c} has sizes {n} and {m} in one operand')
            x = diagonal(x, axis1=first, axis2=second)
            term = "".join(d for i, d in enumerate(term) if i not in (first, second)) + c
    return term, x
