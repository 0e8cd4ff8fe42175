"""A derivation as the source of a plain NumPy function, which runs without this package."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from tinygrad_edu.derivation.expressions import Apply, Count, Expression, Number, Product, Sum, Symbol, walk
from tinygrad_edu.derivation.numpy_forms import HELPERS, TEMPLATES
from tinygrad_edu.op import ATOM, OPS, POWER, PRODUCT, SUM
from tinygrad_edu.program import Variable

if TYPE_CHECKING:
    from tinygrad_edu.derivation.derivation import Derivation

__all__ = ["Source"]

OPERATORS = {
    "add": (" + ", SUM), "subtract": (" - ", SUM), "multiply": (" * ", PRODUCT), "divide": (" / ", PRODUCT),
    "matmul": (" @ ", PRODUCT), "power": ("**", POWER),
}  # fmt: skip
COMPARISONS = {
    "greater": ">", "greater_equal": ">=", "less": "<", "less_equal": "<=", "equal": "==", "not_equal": "!=",
}  # fmt: skip
LONGEST = 100  # elements of a constant array that is written out; a longer one becomes an argument


def _helpers(source: str) -> list[str]:
    """The helpers that some code calls, and those that they call, each before who calls it."""
    found: list[str] = []
    waiting = [source]
    while waiting:
        called = set(re.findall(r"(?<![\w.])(\w+)\(", waiting.pop())) & HELPERS.keys()
        for name in sorted(called):
            if name not in found:
                found.append(name)
                waiting.append(HELPERS[name])
    return sorted(found, key=list(HELPERS).index)


class Source:
    """Writes the function: its arguments, a line for each line of the derivation, and what it returns."""

    def __init__(self, derivation: Derivation) -> None:
        self.derivation = derivation
        self.names: dict[Variable, str] = {}
        self.taken = {"np", "math", "n", *HELPERS}
        self.lines = derivation.lines
        program = derivation.program
        own = [line for line in self.lines if line.right != derivation.symbol(line.target)]
        self.written = list({line.target: line for line in reversed(own)}.values())[::-1]  # each target once
        self.left = {line.target: line.left for line in self.written}
        self.targets = {line.target for line in self.written}
        mentioned = dict.fromkeys(x.variable for line in self.lines for x in walk(line.right) if isinstance(x, Symbol))
        given = [x for x in mentioned if x not in self.targets]
        self.constants = [x for x in given if x.kind in ("constant", "seed") and np.size(x.value) <= LONGEST]
        arguments = [x for x in given if x not in self.constants]
        self.given = [x for x in arguments if x.kind != "parameter"] + program.parameters
        for variable in [*self.given, *self.constants, *(line.target for line in self.written)]:
            self.identifier(variable)
        self.arguments = {self.names[x]: x for x in self.given}

    def identifier(self, variable: Variable) -> str:
        """The Python name of a variable."""
        if variable not in self.names:
            symbol = self.left.get(variable) or self.derivation.symbol(variable)
            assert isinstance(symbol, Symbol)
            name = symbol.name
            word = re.sub(r"^δ|^delta", "d", name.code()) if name.base == "δ" else name.code()
            base, count = word, 2
            while word in self.taken:
                word, count = f"{base}_{count}", count + 1
            self.taken.add(word)
            self.names[variable] = word
        return self.names[variable]

    def text(self) -> str:
        """The source of the function, with the helper functions that it calls above it."""
        body = self.function()
        helpers = _helpers(body)
        imports = (
            "import math\n\nimport numpy as np" if any("math." in HELPERS[x] for x in helpers) else "import numpy as np"
        )
        parts = [imports, *(HELPERS[name].strip() for name in helpers), body]
        return "\n\n\n".join(parts) + "\n"

    def function(self) -> str:
        """The function itself."""
        names, flipped = self.names, self.derivation.names.flipped
        lines = [f"def loss_and_gradients({', '.join(self.arguments)}):"]
        lines.append('    """The loss, and its gradient by each parameter."""')
        lines += [f"    {names[x]} = {_constant(x.value)}" for x in self.constants]
        given = [*self.given, *self.constants]
        lines += [f"    {names[x]} = {self.turned(names[x], x)}" for x in given if x in flipped]
        counted = dict.fromkeys(x for line in self.written for x in walk(line.right) if isinstance(x, Count))
        pending = [x for x in counted if isinstance(x, Count)]
        known = set(self.given)
        for line in self.written:
            for count in [x for x in pending if x in set(walk(line.right))]:
                pending.remove(count)
                lines.append(f"    {count.name.code()} = {self.counted(count, known)}")
            lines.append(f"    {names[line.target]} = {self.write(line.right)[0]}")
            known.add(line.target)
        outputs = [self.returned(x) for x in self.derivation.program.outputs]
        gradients = []
        for parameter in self.derivation.program.parameters:
            gradient = self.derivation.program.gradients.get(parameter)
            if gradient is not None:
                value = self.returned(gradient, parameter)
                gradients.append(f'"{names[parameter]}": {value}')
        loss = outputs[0] if len(outputs) == 1 else f"({', '.join(outputs)})"
        lines.append(f"    return {loss}, {{{', '.join(gradients)}}}")
        return "\n".join(lines)

    def turned(self, text: str, variable: Variable) -> str:
        """The other orientation of a value that is written transposed."""
        return f"{text}.reshape(-1, 1)" if len(variable.shape) == 1 else f"{text}.T"

    def returned(self, variable: Variable, of: Variable | None = None) -> str:
        """A value in the orientation of the program."""
        if variable not in self.names or (variable not in self.targets and variable not in self.given):
            symbol = self.derivation.symbol(variable)
            line = next((x for x in self.lines if x.target is variable), None)
            found = line.right if line is not None and line.right != symbol else None
            text = self.write(found)[0] if found is not None else _literal(variable.value)
        else:
            text = self.names[variable]
        if variable not in self.derivation.names.flipped:
            return text
        return f"{text}.reshape({variable.shape[0]})" if len(variable.shape) == 1 else f"{text}.T"

    def counted(self, count: Count, known: set[Variable]) -> str:
        """How many samples there are: the length of an argument, if one has it."""
        flipped = self.derivation.names.flipped
        name = self.derivation.names
        order = [x for x in self.given if x.kind != "parameter"] + [x for x in self.names if x in known]
        columns = name.convention == "columns"
        for x in order:
            shape = self.derivation.symbol(x).shape if x in flipped else x.shape
            if len(shape) == 2 and count.name.base == "n" and shape[columns] == count.value:
                return f"{self.names[x]}.shape[{int(columns)}]"
            if len(shape) == 1 and count.name.base == "n" and shape[0] == count.value and x.kind != "parameter":
                return f"{self.names[x]}.shape[0]"
        if count.name.base == "N":
            for x in order:
                if np.prod(x.shape) == count.value:
                    return f"{self.names[x]}.size"
        return str(count.value)

    # ------------------------------------------------------------------------------------ expressions

    def write(self, x: Expression | None) -> tuple[str, int]:
        """An expression as Python, and how tightly it binds."""
        if x is None:
            return "None", ATOM
        if isinstance(x, Symbol):
            return self.names[x.variable], ATOM
        if isinstance(x, Count):
            return x.name.code(), ATOM
        if isinstance(x, Number):
            text = _literal(x.value)
            return text, SUM if text.startswith("-") else ATOM
        if isinstance(x, Sum):
            return self.sum(x.terms), SUM
        if isinstance(x, Product):
            return self.product(x)
        assert isinstance(x, Apply)
        return self.operation(x)

    def part(self, x: Expression | None, binds: int) -> str:
        text, own = self.write(x)
        return text if own >= binds else f"({text})"

    def sum(self, terms: Sequence[Expression]) -> str:
        text = ""
        for term in terms:
            written = self.part(term, SUM) if not _is_comparison(term) else f"({self.write(term)[0]})"
            if not text:
                text = written
            elif written.startswith("-"):
                text += f" - {written[1:]}"
            else:
                text += f" + {written}"
        return text

    def product(self, x: Product) -> tuple[str, int]:
        factors: list[str] = []
        for y in dict.fromkeys(x.above):
            count = x.above.count(y)
            first = not factors and abs(x.coefficient) == 1
            factors.append(self.factor(y, first) if count == 1 else f"{self.part(y, ATOM)}**{count}")
        if abs(x.coefficient) != 1 or not factors:
            factors.insert(0, _literal(abs(x.coefficient)))
        text = " * ".join(factors)
        for y in x.below:
            text += f" / {self.part(y, ATOM)}"
        return (f"-{text}", PRODUCT) if x.coefficient < 0 else (text, PRODUCT)

    def factor(self, x: Expression, first: bool) -> str:
        text, binds = self.write(x)
        matrix = isinstance(x, Apply) and x.op.name == "matmul"
        return f"({text})" if binds < POWER and (not first or binds < PRODUCT or matrix) else text

    def operation(self, x: Apply) -> tuple[str, int]:
        name = x.op.name
        if name in OPERATORS:
            symbol, binds = OPERATORS[name]
            a, b = x.operands
            left = self.part(a, binds + (name == "power" or (name == "matmul" and not _is_matmul(a))))
            right = self.part(b, binds + 1)
            return f"{left}{symbol}{right}", binds
        if name in COMPARISONS:
            a, b = x.operands
            return f"{self.part(a, SUM + 1)} {COMPARISONS[name]} {self.part(b, SUM + 1)}", 0
        if name == "negative":
            return f"-{self.part(x.operands[0], POWER)}", PRODUCT
        if name == "linear":
            a, w, b = x.operands
            return f"{self.part(a, PRODUCT)} @ {self.part(w, POWER)} + {self.part(b, PRODUCT)}", SUM
        if name == "copy":
            return f"{self.part(x.operands[0], ATOM)}.copy()", ATOM
        if name == "getitem":
            return f"{self.part(x.operands[0], ATOM)}[{_index(x.params['index'])}]", ATOM
        if name == "transpose" and len(x.shape) == 2 and x.params.get("axes") in (None, (1, 0), (-1, -2)):
            return f"{self.part(x.operands[0], ATOM)}.T", ATOM
        if name in ("sum", "mean", "prod", "max", "min", "var", "std"):
            return self.reduction(x), ATOM
        return self.template(x)

    def reduction(self, x: Apply) -> str:
        settings = [
            f"{k}={_literal(v)}"
            for k, v in x.params.items()
            if v is not None and v is not False and (k, v) != ("ddof", 0)
        ]
        axis = x.params.get("axis")
        if isinstance(axis, tuple) and len(axis) == 1:
            settings[0] = f"axis={axis[0]}"
        inner, binds = self.write(x.operands[0])
        if binds == ATOM:
            return f"{inner}.{x.op.name}({', '.join(settings)})"
        return f"np.{x.op.name}({', '.join([inner, *settings])})"

    def template(self, x: Apply) -> tuple[str, int]:
        name = x.op.name
        if OPS.get(name) is not x.op and name not in HELPERS and name != "middle_two":
            raise NotImplementedError(
                f"to_numpy: {name} is an operation of your own, of which only its Python function is known; give its "
                "formula in operations of tinygrad_edu, or call the function yourself"
            )
        operands = [self.write(y) for y in x.operands]
        template = TEMPLATES.get(name)
        if template is None:
            if not hasattr(np, name):
                raise NotImplementedError(f"to_numpy: {name} has no form in plain NumPy")
            settings = [f"{k}={_literal(v)}" for k, v in x.params.items() if v is not None]
            return f"np.{name}({', '.join([*(text for text, _ in operands), *settings])})", ATOM
        words = dict(zip(x.op.inputs, operands))

        def fill(match: re.Match[str]) -> str:
            word = match[1]
            if word == "*":
                return ", ".join(text for text, _ in operands)
            if word not in words:
                return _literal(x.params[word])
            text, binds = words[word]
            before, after = template[: match.start()][-1:], template[match.end() :][:1]
            enclosed = (
                before in ("(", " ", "")
                and template[: match.start()].rstrip()[-1:] in ("(", ",")
                and after in (",", ")")
            )
            return text if binds == ATOM or enclosed else f"({text})"

        text = re.sub(r"\{([\w*]+)\}", fill, template)
        call = (re.match(r"[\w.]+\(", template) and template.endswith(")")) or template.endswith("]")
        return text, ATOM if call and " / " not in template.split("(")[0] else (POWER if name == "square" else 0)


def _is_matmul(x: Expression | None) -> bool:
    return isinstance(x, Apply) and x.op.name == "matmul"


def _is_comparison(x: Expression) -> bool:
    return isinstance(x, Apply) and x.op.name in COMPARISONS


def _index(index: Any) -> str:
    items: Iterable[Any] = index if isinstance(index, tuple) else (index,)
    return ", ".join(_slice(i) if isinstance(i, slice) else _literal(i) for i in items) or "()"


def _slice(i: slice) -> str:
    start, stop = ("" if x is None else str(x) for x in (i.start, i.stop))
    return f"{start}:{stop}" + ("" if i.step is None else f":{i.step}")


def _constant(value: Any) -> str:
    """A constant as something that can be indexed and reshaped, as arrays can."""
    return f"np.{np.asarray(value).dtype.name}({_literal(value)})" if not np.ndim(value) else _literal(value)


def _literal(value: Any) -> str:
    """A value as Python writes it."""
    if isinstance(value, np.dtype):
        return f'"{value.name}"'
    if isinstance(value, np.ndarray | np.generic) and np.ndim(value):
        array = np.asarray(value)
        if array.size and array.dtype.kind == "f" and (array == 1).all():
            return f"np.ones({array.shape if array.ndim > 1 else array.size})"
        return f"np.array({_literal(array.tolist())})" if array.size else f"np.zeros({array.shape})"
    if isinstance(value, np.ndarray | np.generic):
        return _literal(value.item())
    if isinstance(value, slice):
        return repr(value)
    if value is Ellipsis:
        return "..."
    if isinstance(value, tuple):
        inside = ", ".join(map(_literal, value))
        return f"({inside},)" if len(value) == 1 else f"({inside})"
    if isinstance(value, list):
        return f"[{', '.join(map(_literal, value))}]"
    if isinstance(value, float) and not np.isfinite(value):
        return "np.nan" if np.isnan(value) else "np.inf" if value > 0 else "-np.inf"
    if isinstance(value, str):
        return f'"{value}"'
    return repr(value)
