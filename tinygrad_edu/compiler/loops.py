"""One function of loops: equations as lines about single numbers, in as few loops as their order permits."""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, Any

import numpy as np

from tinygrad_edu.compiler.listing import identifier
from tinygrad_edu.compiler.lowering import ufunc_of
from tinygrad_edu.compiler.passes import uniform
from tinygrad_edu.compiler.source import COMPARED
from tinygrad_edu.compiler.threads import in_halves, pays
from tinygrad_edu.compiler.tracing import DELIVER, UPDATE
from tinygrad_edu.compiler.updates import settings, update_of
from tinygrad_edu.compiler.vectorised import helpers, jit, unlocked
from tinygrad_edu.program import Equation, Variable

if TYPE_CHECKING:
    from tinygrad_edu.compiler.looping import Looping

__all__ = ["FLOATS", "LARGE", "LETTERS", "REDUCED", "SLOW", "Loops", "form_of"]

FORMS = {
    "add": "{} + {}", "subtract": "{} - {}", "multiply": "{} * {}", "divide": "{} / {}", "negative": "-{}",
    "square": "{0} * {0}", "absolute": "abs({})", "sqrt": "np.sqrt({})", "reciprocal": "{one} / {}",
    "exp": "exp({})", "tanh": "tanh({})", "maximum": "maximum({}, {})", "minimum": "minimum({}, {})",
}  # fmt: skip
POWERS = {2: "{0} * {0}", 0.5: "np.sqrt({})", -1: "{one} / {}"}
COPIED = {"astype", "to_dtype", "copy"}
# These call the C library for each number: NumPy is quicker where there are many.
SLOW = {"log", "log1p", "log2", "log10", "expm1", "sin", "cos", "arctan", "sinh", "cosh"}
REDUCED = {"sum": "plus({}, {})", "max": "maximum({}, {})", "min": "minimum({}, {})"}

STARTS = {"sum": 0.0, "max": -np.inf, "min": np.inf}
SUMS = np.dtype(np.float64)  # in which sums are added up

FLOATS = (np.dtype(np.float32), np.dtype(np.float64))
LETTERS = "ijklmn"
FLAT = ["flat"]  # the place in an array of any shape that is gone through from the first number to the last
RESERVED = {"abs", "exp", "maximum", "min", "minimum", "plus", "start", "tanh"}  # in the lines
LARGE = 16_384  # numbers: above, it matters how they lie in memory
PART = 1024  # numbers of a part of a large sum


def form_of(e: Equation) -> str | None:
    """How the numbers of an element-wise operation are written, or None if loops can't say it."""
    name, dtype = e.op.name, e.target.dtype
    if name in COMPARED and ufunc_of(e.op) is not None:
        kinds = {x.dtype for x in e.operands if isinstance(x, Variable)}
        return f"{{}} {COMPARED[name]} {{}}" if len(kinds) == 1 else None
    if dtype not in FLOATS:
        return None
    if name in COPIED:
        return "{}"
    if name == "where" and len(e.operands) == 3 and isinstance(e.operands[0], Variable):
        return "{1} if {0} else {2}" if e.operands[0].dtype.kind == "b" else None
    if name == "power" and isinstance(e.operands[1], int | float):
        return POWERS.get(e.operands[1])
    ufunc = ufunc_of(e.op)
    if ufunc is None:
        return None
    return f"np.{ufunc.__name__}({{}})" if ufunc.__name__ in SLOW else FORMS.get(ufunc.__name__)


def is_total(e: Equation) -> bool:
    """Is it a sum (or a maximum) of all numbers, which other loops over them can compute along the way?"""
    return e.op.name in REDUCED and bool(e.target.value.size == 1)


class Nest:
    """Loops over one shape, and what is done at each place; `alone` if nothing else may join them."""

    def __init__(self, shape: tuple[int, ...], alone: bool) -> None:
        self.shape, self.alone = shape, alone
        self.equations: list[Equation] = []

    def has(self, x: Variable) -> bool:
        """Is a value made here, and known at each place?"""
        return not self.alone and any(e.target is x and not is_total(e) for e in self.equations)


class Loops:
    """Writes one function of loops, and the line that calls it.

    Lines say `$3` for name number 3 until all are known.  So the lines without names tell whether there is such a
    function already: fifty steps of an LSTM are the same loops on other arrays.
    """

    def __init__(self, source: Looping, group: list[Equation], end: int) -> None:
        self.source, self.end = source, end
        self.delivered = [e for e in group if e.op is DELIVER]
        self.transposed = [e for e in group if e.op.name == "transpose"]
        self.other_names = {e.target: e.operands[0] for e in (*self.delivered, *self.transposed)}
        self.names: list[str] = []  # of $0, $1, ...
        self.texts: list[str] = []  # what is passed for them, or "" if they are assigned inside
        self.symbols: dict[Any, str] = {}  # what stands for what
        self.lines: list[str] = []
        self.comments: dict[int, str] = {}  # by the number of the line below
        self.local: dict[Variable, str] = {}  # values that are at hand
        self.nests: list[Nest] = []
        self.made: dict[Variable, Nest] = {}  # in which nest a value is made
        self.stored: set[Variable] = set()  # arrays that are needed in other nests, or outside
        self.range: tuple[str, str] | None = None  # of the places, in a function that two threads share
        for e in group:
            if e.target not in self.other_names:
                self.schedule(e)

    def write(self) -> None:
        """The function, and its call."""
        source, life = self.source, self.source.life
        outside = {x for x in self.made if life.last[life.of(x)] >= self.end or x in source.handed_over}
        self.stored |= outside
        for e in (e for nest in self.nests for e in nest.equations):
            if e.target in self.stored and isinstance(e.target.value, np.ndarray):
                name, has_memory = source.memory(e)
                if not has_memory:
                    source.line(f"{name} = np.empty({e.target.shape}, {source.literal(e.target.dtype)})")
        shared = self.is_shared()
        if shared:
            self.range = self.symbol("first", "first", "first"), self.symbol("last", "last", "last")
        for nest in self.nests:
            self.nest(nest)
        answers = [x for x in self.made if x in outside and x in self.local]
        if answers:
            self.line(0, f"return {', '.join(self.local[x] for x in answers)}")
        arguments = [text for text in self.texts if text]
        key = "\n".join([" ".join(str(bool(text)) for text in self.texts), *self.lines])
        if key not in source.compiled:
            source.compiled[key] = self.define("unlocked" if shared else "jit")
        call = f"{source.compiled[key]}({', '.join(arguments)})"
        if shared:
            size = math.prod(self.nests[0].shape)
            call = source.constant("in_halves", in_halves)
            call = f"{call}({', '.join([source.compiled[key], str(size), *arguments[2:]])})"
        names = [source.named(x) for x in answers]
        typed = [f"np.{x.dtype.name}({{}})" for x in answers]  # numba answers with numbers of Python
        if len(answers) == 1:
            source.line(f"{names[0]} = {typed[0].format(call)}")
        else:
            source.line(f"{', '.join(names)} = {call}" if answers else call)
            if answers:
                source.line(f"{', '.join(names)} = {', '.join(t.format(n) for t, n in zip(typed, names))}")
        for e in (*self.transposed, *self.delivered):
            source.equation(e)  # which are names for what has been computed

    def is_shared(self) -> bool:
        """Is it one large loop, of which two threads can each take a half, and add up what they return?"""
        nest, *others = self.nests
        if others or nest.alone or nest.equations[0].op is UPDATE or not self.source.is_alone:
            return False
        sums = all(e.op.name == "sum" and np.ndim(e.target.value) == 0 for e in nest.equations if is_total(e))
        return sums and self.is_one_loop(nest) and pays(math.prod(nest.shape), len(nest.equations))

    def define(self, decorator: str) -> str:
        """Add the function to the source."""
        source = self.source
        decorator = source.constant(decorator, {"jit": jit, "unlocked": unlocked}[decorator])
        name = f"loops{len(source.compiled) + 1}"
        source.fixed.add(name)
        arguments = [name for name, text in zip(self.names, self.texts) if text]
        lines = [f"@{decorator}", f"def {name}({', '.join(arguments)}):"]
        for i, line in enumerate(self.lines):
            if i in self.comments:
                lines.append(f"{line[: len(line) - len(line.lstrip())]}# {self.comments[i]}")
            lines.append(re.sub(r"\$(\d+)", lambda found: self.names[int(found[1])], line))
        source.blocks[name] = "\n".join(lines)
        return name

    # ---------------------------------------------------------------------------------------- the order

    def schedule(self, e: Equation) -> None:
        """An equation joins the first loops over its shape behind which all that it needs is known."""
        shape = e.operands[0].shape if e.op is UPDATE or is_total(e) else e.target.shape
        alone = e.op is UPDATE or e.op.name == "matmul" or (e.op.name in REDUCED and not is_total(e))
        first = max((i + 1 for i, n in enumerate(self.nests) if n.equations[0].op is UPDATE), default=0)
        for x in e.operands:
            made = self.made.get(self.base(x))
            if made is not None:
                here = not alone and shape == made.shape == x.shape and made.has(x)
                first = max(first, self.nests.index(made) + (not here))
        nest = next((n for n in self.nests[first:] if n.shape == shape and not n.alone), None)
        if nest is None or alone:
            nest = Nest(shape, alone)
            self.nests.append(nest)
        nest.equations.append(e)
        if e.op is not UPDATE:
            self.made[e.target] = nest
        self.stored.update(x for x in map(self.base, e.operands) if x in self.made and not nest.has(x))
        if e.op is not UPDATE and (alone or is_total(e)):
            self.stored.add(e.target)

    def base(self, x: Any) -> Any:
        """The value itself, for its transpose or another name of it."""
        while isinstance(x, Variable) and x in self.other_names:
            x = self.other_names[x]
        return x

    # ----------------------------------------------------------------------------------- names and places

    def line(self, depth: int, text: str) -> None:
        self.lines.append("    " * (depth + 1) + text)

    def symbol(self, key: Any, word: str, text: str = "") -> str:
        """$n for what is passed as `text`, or assigned inside."""
        if key not in self.symbols:
            word = name = identifier(word)
            if word.rstrip("0123456789") in RESERVED or word in LETTERS:
                name = word = f"{word}_"
            number = 0
            while name in self.names:
                number += 1
                name = f"{word}_{number}"
            self.symbols[key] = f"${len(self.names)}"
            self.names.append(name)
            self.texts.append(text)
        return self.symbols[key]

    def new(self, word: str) -> str:
        """$n for something that has no other key."""
        return self.symbol(object(), word)

    def element(self, x: Variable, places: list[str]) -> str:
        """A number of an array, at places of a shape to which it is repeated."""
        source, flipped = self.source, False
        while x in self.other_names:
            e = next(e for e in (*self.transposed, *self.delivered) if e.target is x)
            flipped ^= e.op is not DELIVER and e.params["axes"] in (None, (1, 0))
            x = self.other_names[x]
        shape = x.shape[::-1] if flipped else x.shape
        text, word = source.text(x), x.name or "x"
        if places is FLAT:
            return f"{self.symbol((x, 'flat'), word, f'{text}.reshape(-1)')}[i]"
        at = ["0" if n == 1 else place for n, place in zip(shape, places[len(places) - len(shape) :])]
        return f"{self.symbol(x, word, text)}[{', '.join(at[::-1] if flipped else at)}]"

    def value(self, x: Any, dtype: Any, places: list[str]) -> str:
        """An operand as a number of `dtype`, as NumPy would convert it."""
        source = self.source
        if not isinstance(x, Variable):
            return self.number(x, dtype)
        if x in source.constants and x.dtype.kind in "fiu":
            known = uniform(x)
            if known is not None:
                return self.number(known.item(), dtype)
        base = self.base(x)
        if base in self.local:
            text = self.local[base]
        elif x.value.ndim:
            text = self.element(x, places)
        else:
            text = self.symbol(base, base.name or "x", source.text(base))
        return text if x.dtype == dtype else f"np.{dtype.name}({text})"

    def number(self, x: Any, dtype: Any) -> str:
        if dtype.kind != "f":
            return self.source.literal(x)
        text = self.source.literal(float(x))
        return text if dtype == np.float64 else f"np.{dtype.name}({text})"

    def helper(self, form: str, dtype: Any) -> str:
        """A form with the name of the function that it calls."""
        known, name = helpers(np.dtype(dtype)), form.partition("(")[0]
        return self.source.constant(name, known[name]) + form[len(name) :] if name in known else form

    # ---------------------------------------------------------------------------------------- the loops

    def nest(self, nest: Nest) -> None:
        """The lines of one nest."""
        first = nest.equations[0]
        if first.op is UPDATE:
            self.update(first)
        elif first.op.name == "matmul":
            self.product(first)
        elif nest.alone:
            self.along_axes(first)
        else:
            self.everywhere(nest)

    def loops(self, shape: tuple[int, ...], depth: int = 0, letters: str = LETTERS) -> tuple[list[str], int]:
        """Loops over a shape: the places, and how far its lines are indented."""
        places = []
        for n, letter in zip(shape, letters):
            if n != 1:
                self.line(depth, f"for {letter} in range({n}):")
                depth += 1
            places.append("0" if n == 1 else letter)
        return places, depth

    def remark(self, e: Equation) -> None:
        note = self.source.remark(e)
        if note:
            self.comments[len(self.lines)] = note

    def everywhere(self, nest: Nest) -> None:
        """Element-wise operations, and sums of all numbers along the way."""
        totals, parts = {}, {}
        for e in filter(is_total, nest.equations):
            start, dtype = STARTS[e.op.name], SUMS if e.op.name == "sum" else e.target.dtype
            totals[e.target] = self.new("total")
            self.line(0, f"{totals[e.target]} = {self.number(start, dtype)}")
            if e.op.name == "sum" and math.prod(nest.shape) >= LARGE:
                parts[e.target] = self.new("part")
        places, middle, depth = self.loops_around(nest, parts)
        read = {self.base(x) for e in nest.equations for x in e.operands}
        for e in nest.equations:
            self.remark(e)
            target = e.target
            if target in totals:
                form = self.helper(REDUCED[e.op.name], target.dtype)
                total = parts.get(target, totals[target])
                self.line(depth, f"{total} = {form.format(total, self.value(e.operands[0], target.dtype, places))}")
                continue
            text, is_stored = self.expression(e, places), isinstance(target.value, np.ndarray) and target in self.stored
            if target in read or not is_stored:
                self.local[target] = self.new(target.name or "x")
                self.line(depth, f"{self.local[target]} = {text}")
                text = self.local[target]
            if is_stored:
                self.line(depth, f"{self.element(target, places)} = {text}")
        for target, part in parts.items():
            self.line(middle, f"{totals[target]} += {part}")
        for e in nest.equations:
            if isinstance(e.target.value, np.ndarray):
                self.local.pop(e.target, None)
        for target, total in totals.items():
            text = f"np.{target.dtype.name}({total})"
            if self.range:
                self.local[target] = total
            elif isinstance(target.value, np.ndarray):
                self.line(0, f"{self.element(target, ['0'] * target.value.ndim)} = {text}")
            else:
                self.local[target] = self.new(target.name or "x")
                self.line(0, f"{self.local[target]} = {text}")

    def loops_around(self, nest: Nest, parts: dict[Variable, str]) -> tuple[list[str], int, int]:
        """The loops of a nest: the places, and how far the lines before the last loop and those in it are indented.

        Large sums are added up in parts: each in its own dtype, so that vectors are full, and the parts in float64.
        """
        outer: list[str] = []
        first, last = self.range or ("0", str(math.prod(nest.shape)))
        middle, one_loop = 0, self.is_one_loop(nest)
        if parts and one_loop:
            self.line(0, f"for start in range({first}, {last}, {PART}):")
            middle = 1
        elif not one_loop and nest.shape:
            outer, middle = self.loops(nest.shape[:-1])
        for target, part in parts.items():
            self.line(middle, f"{part} = {self.number(0, target.dtype)}")
        if parts and one_loop:
            self.line(middle, f"for i in range(start, min(start + {PART}, {last})):")
        elif one_loop and (self.range or len(nest.shape) > 1):
            self.line(middle, f"for i in range({first}, {last}):")
        else:
            inner, depth = self.loops(nest.shape[-1:], middle, LETTERS[len(outer) :])
            return outer + inner, middle, depth
        return ["i"] if len(nest.shape) == 1 else FLAT, middle, middle + 1

    def is_one_loop(self, nest: Nest) -> bool:
        return len(nest.shape) == 1 or self.is_flat(nest)

    def is_flat(self, nest: Nest) -> bool:
        """Can large arrays be gone through from the first number to the last, whatever their shape?"""
        if len(nest.shape) < 2 or math.prod(nest.shape) < LARGE:
            return False
        arrays = {x for e in nest.equations for x in (*self.source.arrays(e), *(() if is_total(e) else (e.target,)))}
        return all(x.shape == nest.shape and x.value.flags.c_contiguous and self.base(x) is x for x in arrays)

    def expression(self, e: Equation, places: list[str]) -> str:
        """An element-wise operation of numbers."""
        dtype = e.target.dtype
        if dtype not in FLOATS:  # a comparison
            dtype = next(x.dtype for x in e.operands if isinstance(x, Variable))
        operands = list(e.operands)
        if e.op.name == "power":
            del operands[1]
        values = [self.value(x, dtype, places) for x in operands]
        if e.op.name == "where":
            values[0] = self.value(operands[0], operands[0].dtype, places)
        form = form_of(e)
        assert form is not None
        return self.helper(form, dtype).format(*values, one=self.number(1, dtype))

    def product(self, e: Equation) -> None:
        """A product of small matrices."""
        self.remark(e)
        a, b = e.operands
        (i, j), depth = self.loops(e.target.shape)
        total = self.new("total")
        self.line(depth, f"{total} = 0.0")
        (k,), inner = self.loops(a.shape[1:], depth, LETTERS[2:])
        left, right = self.element(a, [i, k]), self.element(b, [k, j])
        self.line(inner, f"{total} += {left} * {right}")
        self.line(depth, f"{self.element(e.target, [i, j])} = {total}")

    def along_axes(self, e: Equation) -> None:
        """A sum (or a maximum) along some axes."""
        self.remark(e)
        x, axis = e.operands[0], e.params["axis"]
        axes = {i % x.value.ndim for i in (axis if isinstance(axis, tuple) else (axis,))}
        kept = tuple(1 if i in axes else n for i, n in enumerate(x.shape))
        summed = tuple(n if i in axes else 1 for i, n in enumerate(x.shape))
        outer, depth = self.loops(kept)
        total, name = self.new("total"), e.op.name
        self.line(depth, f"{total} = {self.number(STARTS[name], SUMS if name == 'sum' else x.dtype)}")
        inner, innermost = self.loops(summed, depth)
        places = [b if i in axes else a for i, (a, b) in enumerate(zip(outer, inner))]
        form = self.helper(REDUCED[name], x.dtype)
        self.line(innermost, f"{total} = {form.format(total, self.value(x, x.dtype, places))}")
        at = outer if e.params["keepdims"] else [place for i, place in enumerate(outer) if i not in axes]
        self.line(depth, f"{self.element(e.target, at)} = {total}")

    def update(self, e: Equation) -> None:
        """An optimiser's step for one parameter: its lines for arrays, read as lines for numbers."""
        p, g = e.operands
        update = update_of(e.params["optimizer"])
        assert update is not None
        state, numbers = settings(self.source, e, update)
        self.comments[len(self.lines)] = f"{p.name}: {update.equation}"
        places, depth = self.loops(p.shape)
        at = f"[{', '.join(places)}]"
        arrays = {"p": self.element(p, places), "g": self.element(g, places)}
        arrays |= {word: self.symbol(text, f"{word}_of_{p.name}", text) + at for word, text in state.items()}
        pairs = {part for word in update.numbers if ", " in word for part in word.split(", ")}
        values = {**arrays, **{word: f"np.{p.dtype.name}({float(x)!r})" for word, x in update.settled.items()}}
        for word, text in numbers.items():
            symbol = self.symbol(text, word, text)
            values[word] = f"np.{p.dtype.name}({symbol})" if word in pairs else f"{symbol}[()]"
        changed: dict[str, str] = {}
        for text in update.lines:
            target, expression = _of_numbers(text)
            expression = expression.format(**values)
            values[target] = changed[target] = changed.get(target) or self.new(target)
            self.line(depth, f"{changed[target]} = {expression}")
        for word, symbol in changed.items():
            if word in arrays:
                self.line(depth, f"{arrays[word]} = {symbol}")


def _of_numbers(text: str) -> tuple[str, str]:
    """A line that changes an array, as what is changed and the expression for one number."""
    in_place = re.fullmatch(r"\{(\w+)\} (.)= (\{\w+\})", text)
    if in_place:
        name, sign, other = in_place.groups()
        return name, f"{{{name}}} {sign} {other}"
    call = re.fullmatch(r"np\.(\w+)\((.*), out=\{(\w+)\}\)", text)
    assert call is not None, text
    function, operands, name = call.groups()
    return name, FORMS[function].format(*operands.split(", "))
