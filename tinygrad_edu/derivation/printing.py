"""Expressions as text, in Unicode or in ASCII, and as LaTeX: with parentheses exactly where they are needed."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from tinygrad_edu.derivation.expressions import Apply, Count, Expression, Number, Product, Sum, Symbol
from tinygrad_edu.derivation.names import latex_word
from tinygrad_edu.op import ATOM, POWER, PRODUCT, SUM

__all__ = ["Latex", "Printer", "Text"]

Written = tuple[str, int]  # and how tightly it binds
COMPARISONS = {"greater", "greater_equal", "less", "less_equal", "equal", "not_equal"}
FUNCTIONS = {"log", "log2", "log10", "sin", "cos", "tan", "exp"}


class Printer:
    """What text and LaTeX have in common; `columns` says that a vector stands upright."""

    minus, times, ones, space, thin = "-", " * ", "1", " ", " "

    def __init__(self, columns: bool = False) -> None:
        self.columns = columns
        self.special: dict[str, Callable[[Apply], Written | None]] = {
            "add": self.plus,
            "subtract": self.plus,
            "multiply": self.hadamard,
            "matmul": self.matmul,
            "linear": self.linear,
            "transpose": self.transpose,
            "reshape": self.reshape,
            "sum": self.sum,
            "broadcast_to": self.broadcast,
            "getitem": self.getitem,
            "scatter_add": self.scatter_add,
            "power": self.power,
            "square": self.square,
            "log": self.log,
            "concatenate": self.several,
            "stack": self.several,
            "einsum": self.several,
        }

    def __call__(self, x: Expression) -> str:
        """The expression as it is written."""
        return self.write(x)[0]

    def write(self, x: Expression | None) -> Written:
        """The expression, and how tightly it binds."""
        if x is None:
            return "None", ATOM
        if isinstance(x, Symbol | Count):
            return self.name(x), ATOM
        if isinstance(x, Number):
            return self.number(x.value)
        if isinstance(x, Sum):
            return self.added(x), SUM
        if isinstance(x, Product):
            return self.product(x)
        assert isinstance(x, Apply)
        found = self.special[x.op.name](x) if x.op.name in self.special else None
        return found or self.notation(x)

    def part(self, x: Expression | None, binds: int) -> str:
        """A part of something that binds so tightly, in parentheses if it binds looser itself."""
        text, own = self.write(x)
        return self.fenced(text) if own < binds else text

    # ---------------------------------------------------------------------------- differs by kind

    def name(self, x: Symbol | Count) -> str:
        raise NotImplementedError

    def fenced(self, text: str) -> str:
        raise NotImplementedError

    def fraction(self, above: str, below: Sequence[Expression], single: bool) -> Written:
        raise NotImplementedError

    def powered(self, x: Expression | None, exponent: str) -> Written:
        raise NotImplementedError

    def summed(self, inside: str, axis: str) -> str:
        raise NotImplementedError

    def template(self, x: Apply) -> tuple[str, int]:
        raise NotImplementedError

    def indexed(self, x: Expression | None, index: str) -> str:
        raise NotImplementedError

    def upright(self, x: Expression | None) -> Written:
        raise NotImplementedError

    # ------------------------------------------------------------------------------------- common

    def number(self, value: Any) -> Written:
        text = _digits(value)
        return (self.minus + text[1:], PRODUCT) if text.startswith("-") else (text, ATOM)

    def added(self, x: Sum, glue: str = " ") -> str:
        """The terms with their signs; `glue` stands before each sign."""
        text = ""
        for term in x.terms:
            written = self.term(term, x.shape)
            negative = written.startswith(self.minus)
            if text:
                sign, rest = (self.minus, written[len(self.minus) :].lstrip()) if negative else ("+", written)
                text += f"{glue}{sign} {rest}"
            else:
                text = written
        return text

    def term(self, x: Expression, shape: tuple[int, ...]) -> str:
        """A term; a row that is added to each row of a matrix has a column of ones before it."""
        if len(shape) == 2 and shape[0] > 1 and x.shape in ((shape[1],), (1, shape[1])) and isinstance(x, Symbol):
            return f"{self.ones} {self.part(x, POWER)}"
        if len(shape) == 2 and shape[1] > 1 and x.shape == (shape[0], 1) and isinstance(x, Symbol):
            return f"{self.part(x, POWER)} {self.ones_row}"
        return self.factor(x) if _is_mask(x) else self.part(x, SUM)

    ones_row = "1'"

    def factor(self, x: Expression) -> str:
        """A factor of an element-wise product: a condition counts 1 where it holds, a matrix product is fenced."""
        if _is_mask(x):
            return f"{self.ones}[{self.write(x)[0]}]"
        text, binds = self.write(x)
        return self.fenced(text) if binds < POWER and not self.is_call(x) else text

    def is_call(self, x: Expression) -> bool:
        return isinstance(x, Apply) and x.op.name == "log"

    def product(self, x: Product) -> Written:
        scalars = [y for y in x.above if y.shape == ()]
        arrays = [y for y in x.above if y.shape != ()]
        negative = x.coefficient < 0
        coefficient = _digits(abs(x.coefficient)) if abs(x.coefficient) != 1 else ""
        reduction = len(x.above) == 1 and _is_reduction(x.above[0])
        words = [self.factor(y) for y in scalars] if not reduction else []
        array = self.times.join(self._powers(arrays))
        if reduction:
            top = coefficient or "1"
            text, _ = self.fraction(top, x.below, True) if x.below else (coefficient, ATOM)
            text = self.space.join(filter(None, [text, self.write(x.above[0])[0]]))
            return (self.minus + text if negative else text), PRODUCT
        alone = len(arrays) == 1 and not coefficient and not scalars
        if alone and x.below and isinstance(arrays[0], Sum | Product) and self.bare_numerator:
            array = self.write(arrays[0])[0]
        top = self.space.join(filter(None, [coefficient, *words, array])) or "1"
        text, binds = self.fraction(top, x.below, len(x.above) <= 1 and not coefficient) if x.below else (top, PRODUCT)
        return (self.minus + text, PRODUCT) if negative else (text, binds)

    bare_numerator = False

    def _divisors(self, below: Sequence[Expression]) -> list[str]:
        """Numbers and counts first, then what divides element by element."""
        numbers = sorted((x for x in below if x.shape == ()), key=lambda x: not isinstance(x, Number))
        arrays = [x for x in below if x.shape != ()]
        return [*self._powers(numbers), *([self.times.join(self._powers(arrays))] if arrays else [])]

    def _powers(self, factors: list[Expression]) -> list[str]:
        """The factors, with equal ones gathered to a power."""
        texts: list[str] = []
        for x in dict.fromkeys(factors):
            count = factors.count(x)
            texts.append(self.factor(x) if count == 1 or _is_mask(x) else self.powered(x, str(count))[0])
        return texts

    def plus(self, x: Apply) -> Written:
        a, b = x.operands
        assert a is not None
        assert b is not None
        sign = "+" if x.op.name == "add" else self.minus
        left = self.factor(a) if _is_mask(a) else self.part(a, SUM)
        right = self.factor(b) if _is_mask(b) else self.part(b, SUM if sign == "+" else PRODUCT)
        return f"{left} {sign} {right}", SUM

    def hadamard(self, x: Apply) -> Written:
        a, b = x.operands
        assert a is not None
        assert b is not None
        return f"{self.factor(a)}{self.times}{self.factor(b)}", PRODUCT

    def matmul(self, x: Apply) -> Written:
        a, b = x.operands
        texts = [self.part(y, PRODUCT if _is(y, "matmul") else POWER) for y in (a, b)]
        return (self.thin if any("mathrm" in text for text in texts) else self.space).join(texts), PRODUCT

    def linear(self, x: Apply) -> Written:
        inner, weight, bias = x.operands
        ones = f"{self.ones} " if len(x.shape) > 1 and x.shape[0] > 1 else ""
        product = self.space.join((self.part(inner, POWER), self.part(weight, POWER)))
        return f"{product} + {ones}{self.part(bias, POWER)}", SUM

    def transpose(self, x: Apply) -> Written | None:
        axes = x.params.get("axes")
        count = len(x.shape)
        turned = tuple(a % count for a in axes) if axes is not None else tuple(range(count))[::-1]
        swapped = (*range(count - 2), count - 1, count - 2)
        if count > 1 and turned == swapped:
            return self.upright(x.operands[0])
        return self.call("transpose", str(axes) if axes is not None else "", x.operands[0])

    def reshape(self, x: Apply) -> Written | None:
        """A vector as a matrix of one row or one column: it is the vector itself, or its transpose."""
        (inner,) = x.operands
        assert inner is not None
        if len(inner.shape) == 1 and x.shape in ((inner.shape[0], 1), (1, inner.shape[0])):
            return self.write(inner) if (x.shape[-1] == 1) == self.columns else self.upright(inner)
        if len(x.shape) == 1 and inner.shape in ((x.shape[0], 1), (1, x.shape[0])):
            return self.write(inner)
        text = self.write(inner)[0]
        return f"{self.word('reshape')}({text})", ATOM

    def word(self, name: str) -> str:
        return name

    def sum(self, x: Apply) -> Written | None:
        inner, axis = x.operands[0], x.params["axis"]
        assert inner is not None
        axes = axis if isinstance(axis, tuple) or axis is None else (axis,)
        if len(inner.shape) == 2 and axes is not None and len(axes) == 1:
            text = self.part(inner, POWER if not _is(inner, "matmul") else PRODUCT)
            if axes[0] % 2 == 0:
                return f"{self.ones_row} {text}", PRODUCT
            return f"{text} {self.ones}", PRODUCT
        name = "" if axes is None or len(axes) == len(inner.shape) else ",".join(str(a) for a in axes)
        return self.summed(self.write(inner)[0], name), ATOM

    def broadcast(self, x: Apply) -> Written | None:
        (inner,) = x.operands
        assert inner is not None
        if isinstance(inner, Number) and inner.value == 1:
            return self.ones, ATOM
        if inner.shape == ():
            return f"{self.part(inner, PRODUCT)} {self.ones}", PRODUCT
        if len(x.shape) == 2 and inner.shape == (x.shape[0], 1):
            return f"{self.part(inner, POWER)} {self.ones_row}", PRODUCT
        return f"{self.ones} {self.part(inner, POWER)}", PRODUCT

    def getitem(self, x: Apply) -> Written:
        index = x.params["index"]
        inside = ", ".join(_index(i) for i in (index if isinstance(index, tuple) else (index,)))
        return self.indexed(x.operands[0], inside), ATOM

    def scatter_add(self, x: Apply) -> Written:
        """Zeros with something added at an index."""
        index = x.params["index"]
        inside = ", ".join(_index(i) for i in (index if isinstance(index, tuple) else (index,)))
        return self.call("scatter_add", inside, x.operands[0])

    def call(self, name: str, settings: str, inner: Expression | None) -> Written:
        """name[settings](inner)."""
        return f"{self.word(name)}{self.bracket(settings) if settings else ''}({self.write(inner)[0]})", ATOM

    def power(self, x: Apply) -> Written:
        return self.powered(x.operands[0], self.write(x.operands[1])[0])

    def square(self, x: Apply) -> Written:
        return self.powered(x.operands[0], "2")

    def log(self, x: Apply) -> Written:
        text, binds = self.write(x.operands[0])
        name = self.word("log")
        return (f"{name} {text}" if binds == ATOM else f"{name}{self.fenced(text)}"), POWER

    def several(self, x: Apply) -> Written:
        inside = ", ".join(self.write(y)[0] for y in x.operands)
        settings = self.settings(x, x.params)
        return (f"[{inside}]" if x.op.name == "concatenate" else f"{self.word(x.op.name)}{settings}({inside})"), ATOM

    def settings(self, x: Apply, params: dict[str, Any]) -> str:
        shown = [
            f"{k}={_short(v)}" for k, v in params.items()
            if v is not None and k not in SHAPES and not _equal(v, (x.op.defaults or {}).get(k))
            and not (self.columns and k == "axis" and v == 0 and "softmax" in x.op.name)
            and (k, v) not in USUAL
        ]  # fmt: skip
        return self.bracket(", ".join(shown)) if shown else ""

    def bracket(self, text: str) -> str:
        return f"[{text}]"

    def notation(self, x: Apply) -> Written:
        """As the operation says itself how it is written."""
        template, binds = self.template(x)
        if x.params.get("reduction") in ("sum", "none"):  # the notation speaks of the mean
            template = re.sub(
                r"1/n |\\frac\{1\}\{n\} |" + ("" if x.params["reduction"] == "sum" else r"sum|\\sum "), "", template
            )
        operands = dict(zip(x.op.inputs, x.operands))
        used = set(re.findall(r"<(\w+)>", template))

        def fill(match: re.Match[str]) -> str:
            name = match[1]
            if name in operands:
                free = _is_free(template, match)
                written = self.write(operands[name])[0] if free else self.part(operands[name], max(binds, PRODUCT))
                return self.grouped(written) if template[match.end() : match.end() + 1] in ("_", "^") else written
            return self.word_of(x.params.get(name))

        text = re.sub(r"<(\w+)>", fill, template)
        settings = self.settings(x, {k: v for k, v in x.params.items() if k not in used})
        if settings:
            text, binds = self.with_settings(text, settings, binds)
        return text, binds

    def word_of(self, value: Any) -> str:
        return _short(value)

    def grouped(self, text: str) -> str:
        """Text to which an index or an exponent is attached."""
        return text

    def with_settings(self, text: str, settings: str, binds: int) -> Written:
        name, found, rest = text.partition("(")
        if found and re.fullmatch(r"[\w\\{} ]+", name) and "left" not in name:
            return f"{self.grouped(name) if '_' in name else name}{settings}({rest}", binds
        return f"{self.fenced(text) if binds < ATOM else text}{settings}", ATOM


USUAL = [
    ("stride", (1, 1)), ("padding", (0, 0)), ("dilation", (1, 1)), ("output_padding", (0, 0)), ("groups", 1),
    ("ceil_mode", False), ("count_include_pad", True),
]  # fmt: skip
SHAPES = {"shape", "size", "dtype", "keepdims", "classes", "rows", "reduction"}


class Text(Printer):
    """Plain text: with superscripts and Greek letters, or in ASCII."""

    def __init__(self, ascii: bool = False, columns: bool = False) -> None:
        super().__init__(columns)
        self.ascii = ascii
        self.minus = "-" if ascii else "−"
        self.times = " * " if ascii else " ⊙ "
        self.prime = "'" if ascii else "ᵀ"
        self.ones = "1" if ascii else "𝟏"
        self.ones_row = self.ones + self.prime

    def name(self, x: Symbol | Count) -> str:
        return x.name.text(self.ascii)

    def fenced(self, text: str) -> str:
        return f"({text})"

    def fraction(self, above: str, below: Sequence[Expression], single: bool) -> Written:
        bottoms = self._divisors(below)
        text = " ".join(bottoms)
        slash = "/" if above.isdigit() and not any(x.shape for x in below) else " / "
        return f"{above}{slash}{text if len(bottoms) == 1 else f'({text})'}", PRODUCT

    def powered(self, x: Expression | None, exponent: str) -> Written:
        base = self.part(x, ATOM)
        if isinstance(x, Symbol) and x.name.above and not self.ascii:
            base = self.fenced(base)
        if not self.ascii and exponent.isdigit():
            return base + exponent.translate(str.maketrans("0123456789", "⁰¹²³⁴⁵⁶⁷⁸⁹")), POWER
        return f"{base}^{exponent if exponent.replace('.', '').isalnum() else self.fenced(exponent)}", POWER

    def summed(self, inside: str, axis: str) -> str:
        return f"{'sum' if self.ascii else 'Σ'}{f'_{axis}' if axis else ''}[ {inside} ]"

    def upright(self, x: Expression | None) -> Written:
        text, binds = self.write(x)
        plain = binds == ATOM and (self.ascii or not (isinstance(x, Symbol) and x.name.above))
        return f"{text if plain else self.fenced(text)}{self.prime}", POWER

    def indexed(self, x: Expression | None, index: str) -> str:
        return f"{self.part(x, ATOM)}[{index}]"

    def template(self, x: Apply) -> tuple[str, int]:
        notation = x.op.notation
        text = notation.text
        if not self.ascii:
            text = text.replace("sigmoid(", "σ(").replace(" >= ", " ≥ ").replace(" <= ", " ≤ ").replace(" != ", " ≠ ")
            text = text.replace(" * ", " ⊙ ").replace("-<", "−<").replace(" - ", " − ")
        else:
            text = text.replace("⋆", "*")
        return text, notation.binds


class Latex(Printer):
    """LaTeX, for inside of mathematics."""

    minus, times, ones, ones_row = "-", r" \odot ", r"\mathbf{1}", r"\mathbf{1}^{\top}"
    thin = r" \, "  # between words
    bare_numerator = True

    def name(self, x: Symbol | Count) -> str:
        return x.name.latex()

    def number(self, value: Any) -> Written:
        text, binds = super().number(value)
        if "e" in text:
            digits, exponent = text.split("e")
            return rf"{digits} \cdot 10^{{{int(exponent)}}}", PRODUCT
        return text.replace("inf", r"\infty ").replace("nan", r"\mathrm{NaN}"), binds

    def fenced(self, text: str) -> str:
        return rf"\left( {text} \right)"

    def fraction(self, above: str, below: Sequence[Expression], single: bool) -> Written:
        bottoms = [self.write(below[0])[0]] if len(below) == 1 else self._divisors(below)
        together = r" \, ".join(bottoms)
        return rf"\frac{{{above}}}{{{together}}}", PRODUCT

    def powered(self, x: Expression | None, exponent: str) -> Written:
        base = self.part(x, ATOM)
        if ("^" in base or "frac" in base) and not base.startswith(r"\left("):
            base = self.fenced(base)
        return f"{{{base}}}^{{{exponent}}}", POWER

    def summed(self, inside: str, axis: str) -> str:
        lower = rf"_{{\text{{axis {axis}}}}}" if axis else ""
        return rf"\sum{lower} \left[ {inside} \right]"

    def upright(self, x: Expression | None) -> Written:
        text, binds = self.write(x)
        plain = binds == ATOM and "^" not in text and "frac" not in text
        return f"{text if plain else self.fenced(text)}^{{\\top}}", POWER

    def indexed(self, x: Expression | None, index: str) -> str:
        return rf"{{{self.part(x, ATOM)}}}_{{[\mathrm{{{_escaped(index)}}}]}}"

    def word(self, name: str) -> str:
        return rf"\{name}" if name in FUNCTIONS else latex_word(name).replace("mathrm", "operatorname", 1)

    def grouped(self, text: str) -> str:
        return f"{{{text}}}"

    def word_of(self, value: Any) -> str:
        return self.number(value)[0] if isinstance(value, int | float) else rf"\mathrm{{{_escaped(_short(value))}}}"

    def bracket(self, text: str) -> str:
        return rf"_{{\mathrm{{{_escaped(text)}}}}}"

    def template(self, x: Apply) -> tuple[str, int]:
        notation = x.op.notation
        if notation.latex is not None:
            return notation.latex, notation.binds
        name, found, rest = notation.text.partition("(")
        if found and re.fullmatch(r"\w+", name):
            return f"{self.word(name)}({rest}", notation.binds
        return notation.text.replace("_", r"\_") if "_" not in "".join(x.op.inputs) else notation.text, notation.binds


def _escaped(text: str) -> str:
    return latex_word(f"  {text}")[len(r"\mathrm{") : -1].removeprefix(r"\ \ ")


def _is(x: Expression | None, name: str) -> bool:
    return isinstance(x, Apply) and x.op.name == name


def _is_mask(x: Expression | None) -> bool:
    return isinstance(x, Apply) and x.op.name in COMPARISONS


def _is_reduction(x: Expression) -> bool:
    return isinstance(x, Apply) and x.op.name == "sum" and x.shape == () and len(parts_shape(x)) != 1


def parts_shape(x: Apply) -> tuple[int, ...]:
    """The shape of what an operation works on."""
    inner = x.operands[0]
    return inner.shape if inner is not None else ()


def _is_free(template: str, match: re.Match[str]) -> bool:
    """Is a place in a notation fenced by itself: (<x>), {<x>}, |<x>|, or a whole argument?"""
    before = template[: match.start()].rstrip()[-1:]
    after = template[match.end() :].lstrip()[:1]
    if template.startswith("{<") and before == "{" and template[match.end() : match.end() + 2] == "}^":
        return False
    return (not before and not after) or (
        before in set("({[|,") and before != "" and after in set(")}]|,") and after != ""
    )


def _digits(value: Any) -> str:
    number = value.item() if isinstance(value, np.generic) else value
    if isinstance(number, bool):
        return str(int(number))
    if isinstance(number, int):
        return str(number)
    return f"{number:.6g}"


def _index(i: Any) -> str:
    if isinstance(i, slice):
        ends = ["" if x is None else str(x) for x in (i.start, i.stop)]
        return ":".join(ends) + ("" if i.step is None else f":{i.step}")
    return "..." if i is Ellipsis else _short(i)


def _short(value: Any) -> str:
    text = " ".join(str(value.tolist() if isinstance(value, np.ndarray | np.generic) else value).split())
    return text if len(text) <= 24 else f"{text[:21]}..."


def _equal(a: Any, b: Any) -> bool:
    return type(a) is type(b) and bool(np.all(a == b))
