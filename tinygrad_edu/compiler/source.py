"""Equations as NumPy source that a person can read: hand-written backpropagation, and where each line comes from."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from tinygrad_edu.compiler.blocks import grouped
from tinygrad_edu.compiler.buffers import FOREVER, Lifetimes, Piece, Scratch, order_of
from tinygrad_edu.compiler.chains import write_chain
from tinygrad_edu.compiler.listing import Renaming, mapped, variables_in
from tinygrad_edu.compiler.lowering import LARGEST, OWN, PICK, ROW_SUMS, TAKE_ONE, ufunc_of
from tinygrad_edu.compiler.order import with_late_products
from tinygrad_edu.compiler.parts import ASSEMBLE
from tinygrad_edu.compiler.threads import are_taken
from tinygrad_edu.compiler.tracing import DELIVER, UPDATE
from tinygrad_edu.compiler.updates import with_updates_together, write_together, write_update
from tinygrad_edu.compiler.words import SIGNS, SMALL, Words
from tinygrad_edu.ops.losses import are_inside, as_index
from tinygrad_edu.program import Equation, Variable
from tinygrad_edu.record import Node
from tinygrad_edu.sums import is_product

__all__ = ["Source"]

COMPARED = {"greater": ">", "greater_equal": ">=", "less": "<", "less_equal": "<=", "equal": "==", "not_equal": "!="}
LARGE_RESULT = 16_384  # bytes: such results are written to the memory of earlier ones that nobody has kept
LARGE_LOCAL = 65_536  # bytes: what a call has made of this size is deleted as soon as nobody reads it any more
REDUCED = {"sum": "np.add.reduce", "max": "np.maximum.reduce", "min": "np.minimum.reduce"}


class Source(Words):
    """Writes one function: its text, what its names mean, the scratch it needs.

    Parameters
    ----------
    equations, constants
        What is left of the step; the Variables whose value is known.
    results
        What it returns, in order.
    kept_gradients
        Leaves whose gradient is left behind in `.grad`.
    accumulated
        Leaves whose gradient is added to one from before the step.
    origin
        For the pieces of an operation, the equation that they were.
    """

    eps = 0.0  # by how much results may be rounded otherwise than their dtype says

    def __init__(
        self,
        equations: list[Equation],
        constants: set[Variable],
        inputs: list[Variable],
        results: list[Variable],
        kept_gradients: set[Node],
        accumulated: set[Node],
        origin: dict[Equation, Equation],
        renaming: Renaming,
    ) -> None:
        super().__init__(constants)
        self.equations, self.results = equations, results
        self.kept_gradients, self.accumulated, self.origin = kept_gradients, accumulated, origin
        self.inputs, self.renaming = inputs, renaming
        self.lines: list[str] = []
        self.wheres: list[str] = []  # the user's line, for each of `lines`
        self.pieces: dict[str, Piece | np.ndarray] = {}  # views of scratch, or an optimiser's own, by name
        self.gradient_buffers: dict[str, tuple[Node | None, Variable]] = {}  # and large results
        self.delivered: dict[Node, str] = {}  # the name of each leaf's gradient at the end
        self.scratch = Scratch()
        self.read: set[Any] = set()  # settings of optimisers that have been read
        self.blocks: dict[str, str] = {}  # functions of one block, by name
        self.slots: dict[Variable, int] = {}  # of a root
        self.locals: dict[Variable, list[str]] = {}  # of a root that a call has made: its name, and those of its views
        self.where = ""
        self.together: list[Any] = []  # optimisers that update several parameters at once
        self.foreign = False  # does it call anything but NumPy?
        self.write()

    # ------------------------------------------------------------------------------------------- lines

    def line(self, text: str) -> None:
        self.lines.append(f"    {text}")
        self.wheres.append(self.where)

    def write(self) -> None:
        """The whole function."""
        groups = self.groups()
        equations = self.equations = [e for group in groups for e in (group if isinstance(group, list) else [group])]
        self.deliveries = {e.operands[0]: e for e in equations if e.op is DELIVER}
        self.life = self.lifetimes(equations)
        self.is_alone = not are_taken(equations)  # is another core free?
        # A gradient that is left behind has memory of its own, which is not scratch.
        self.handed_over = {
            e.operands[0]: e.params["leaf"]
            for e in equations
            if e.op is DELIVER and isinstance(e.operands[0], Variable) and self.can_be_handed_over(e)
        }
        for x in self.inputs:
            self.named(x, memory=True)
        self.explained: Any = None
        releases: dict[int, list[Variable]] = {}
        for root, last in self.life.last.items():
            releases.setdefault(last, []).append(root)
        at = 0
        for group in groups:
            first = group[0] if isinstance(group, list) else group
            self.now, self.where = at, first.where or ""
            self.explain(first)
            if isinstance(group, list):
                self.group(group, at + len(group))
            else:
                self.equation(group)
            for i in range(at, at + (len(group) if isinstance(group, list) else 1)):
                for root in releases.get(i, ()):
                    if root in self.slots:
                        self.scratch.give_back(self.slots.pop(root))
                    elif root in self.locals:
                        self.line(f"del {', '.join(self.locals[root])}")
            at += len(group) if isinstance(group, list) else 1
        self.now = FOREVER - 1
        # (Constants are copied: what is returned is the caller's.)
        copied = [x in self.constants and isinstance(x.value, np.ndarray) for x in self.results]
        returned = [f"np.array({self.text(x)})" if c else self.text(x) for x, c in zip(self.results, copied)]
        returned += self.delivered.values()
        self.where = ""
        self.line(f"return {', '.join(returned)}{',' * (len(returned) == 1)}" if returned else "return ()")

    def lifetimes(self, equations: list[Equation]) -> Lifetimes:
        """How long values live, if the equations come in this order."""
        gradients = [e.target for e in equations if e.op is DELIVER]
        return Lifetimes(equations, [*self.results, *gradients, *self.constants], self.renaming)

    def groups(self) -> list[Equation | list[Equation]]:
        """The equations, with those that are written together as lists."""
        life = self.lifetimes(self.equations)
        return with_updates_together(grouped(with_late_products(self.equations, life), self.constants))

    def group(self, group: list[Equation], end: int) -> None:
        """What is written together; `end` is the number of the equation behind it."""
        if group[0].op is UPDATE:
            write_together(self, group)
        else:
            write_chain(self, group, end)

    def explain(self, equation: Equation) -> None:
        """A comment, where another operation begins."""
        note = self.remark(equation)
        if note:
            self.line(f"# {note}")

    def remark(self, equation: Equation) -> str:
        """Module and equation, where another operation begins."""
        whole = self.origin.get(equation, equation)
        about = equation.of or whole
        if about is self.explained:
            return ""
        self.explained = about
        return self.explanation(whole)

    def can_be_handed_over(self, delivery: Equation) -> bool:
        g = delivery.operands[0]
        i = self.life.made.get(g)
        if i is None or g in self.constants or self.life.of(g) is not g or not np.ndim(g.value) or g in self.results:
            return False
        if sum(e.op is DELIVER and e.operands[0] is g for e in self.equations) > 1:
            return False
        made = self.equations[i]
        return made.target is g and (ufunc_of(made.op) is not None or made.op.name in ("matmul", *REDUCED))

    def explanation(self, whole: Equation) -> str:
        """Module and equation, for a comment."""
        about = whole.of or whole
        if about.op is DELIVER or about.op is UPDATE:
            return ""
        path = about.call.path if about.call is not None else ""
        if whole.of is not None:
            return f"back through {path or about.op.name}{f' ({about.op.name})' if path else ''}"
        text = about.op.notation.text
        shown = dict(zip(about.op.inputs, about.operands))
        for name, x in [*shown.items(), *about.params.items()]:
            word = x.name if isinstance(x, Variable) else str(x)
            text = text.replace(f"<{name}>", " ".join(word.split())[:30])
        if "<" in text and ">" in text:
            text = f"{about.op.name}(...)"
        note = f"{path}: {about.target.name} = {text}" if path else f"{about.target.name} = {text}"
        return note if len(note) <= 110 else f"{note[:107]}..."

    # --------------------------------------------------------------------------------------- equations

    def equation(self, e: Equation) -> None:
        """One equation as a line or several."""
        op, target = e.op, e.target
        ufunc = ufunc_of(op)
        if op is DELIVER:
            self.deliver(e)
        elif op is UPDATE:
            write_update(self, e)
            for slot in self.scratch.busy_rows:
                self.scratch.give_back(slot)
            self.scratch.busy_rows.clear()
        elif op.name == "transpose" and target.value.ndim == 2:
            self.names[target] = self.scalar(e, None)
        elif not isinstance(target.value, np.ndarray) and op.residual is None and not op.writes:
            self.line(f"{self.named(target)} = {self.scalar(e, ufunc)}")
        elif ufunc is not None:
            self.elementwise(e, ufunc)
        elif op.name == "power":
            self.power(e)
        elif op.name == "matmul":
            a, b = (self.text(x) for x in e.operands)
            self.out(e, f"{a}.dot({b}" if _dot_will_do(e) else f"np.matmul({a}, {b}", [])
        elif op.name in REDUCED and isinstance(target.value, np.ndarray):
            self.reduction(e)
        elif op.name in ("astype", "to_dtype", "copy") and isinstance(target.value, np.ndarray):
            self.copy(e)
        elif op is ROW_SUMS:
            x = e.operands[0]
            self.out(e, f"{self.text(x)}.dot({self.ones(x.shape[1], x.dtype)}", [])
        elif op is ASSEMBLE:
            self.assemble(e)
        elif op is TAKE_ONE:
            p, places = e.operands
            name = self.taken_over(e, p) or self.copy(e)
            at = self.text(places)
            self.line(f"{name}.put({at}, {name}.take({at}) - {self.number(1, p)})")
        else:
            call = self.scalar(e, None)
            if e.kept is None:
                self.line(f"{self.named(target)} = {call}")
            else:
                name = self.named(target)
                kept = mapped(e.kept, lambda x: Named(self.named(x)) if isinstance(x, Variable) else Named("_"))
                self.line(f"{name}, {_pattern(kept)} = {call}")
            for x in (target, *variables_in(e.kept)):
                root = self.life.of(x)
                if root in self.locals:
                    self.locals[root].append(self.names[x])
                elif root is x and np.asarray(x.value).nbytes >= LARGE_LOCAL:
                    self.locals[x] = [self.names[x]]

    def scalar(self, e: Equation, ufunc: Any) -> str:
        """An equation as an expression."""
        op, operands = e.op, e.operands
        beside = next((x for x in operands if isinstance(x, Variable) and x not in self.constants), None)
        texts = [self.text(x, beside if ufunc else None) for x in operands]
        if ufunc is not None:
            sign = SIGNS.get(op.name) or COMPARED.get(op.name)
            if sign:
                return f"{texts[0]} {sign} {texts[1]}"
            return f"-{texts[0]}" if op.name == "negative" else f"np.{ufunc.__name__}({', '.join(texts)})"
        params = e.params
        if op.name == "matmul":
            return f"{texts[0]} @ {texts[1]}"
        if op.name == "power":
            return f"{texts[0]} ** {texts[1]}"
        if op.name in REDUCED:
            return f"{REDUCED[op.name]}({texts[0]}{self.axis(e)})"
        if op.name == "where":
            return f"np.where({', '.join(texts)})"
        if op.name == "transpose" and (params["axes"] is None or operands[0].value.ndim == 2):
            axes = params["axes"]
            if texts[0].endswith(".T"):
                return texts[0][:-2]
            return f"{texts[0]}.T" if axes is None or tuple(i % 2 for i in axes) == (1, 0) else texts[0]
        if op.name == "reshape":
            return f"{texts[0]}.reshape({self.literal(params['shape'])})"
        if op.name in ("transpose", "broadcast_to", "squeeze", "expand_dims"):
            return f"np.{op.name}({texts[0]}, {', '.join(self.literal(x) for x in params.values())})"
        if op.name in ("astype", "to_dtype"):
            return f"{texts[0]}.astype({self.literal(params['dtype'])})"
        if op.name == "copy":
            return f"np.array({texts[0]})"
        if op.name == "detach":
            return texts[0]
        if op.name == "getitem" and not any(isinstance(x, Variable) for x in variables_in(params)):
            index = params["index"]
            return (
                f"{texts[0]}[{', '.join(self.place(x) for x in (index if type(index) is tuple else (index,))) or '()'}]"
            )
        if op is LARGEST:
            return f"{texts[0]}.take({texts[0]}.argmax(1) + {self.starts(*operands[0].shape)})"
        if op is PICK:
            return f"{texts[0]}.take({texts[1]})"
        if op is OWN:
            classes = params["classes"]
            starts = self.starts(operands[0].value.size, classes)
            return f"{self.constant('own', own)}({texts[0]}, {classes}, {starts})"
        self.foreign = True
        name = self.constant(op.name.strip("_"), op.forward)
        return f"{name}({', '.join([*texts, *(f'{key}={self.literal(x)}' for key, x in params.items())])})"

    def copy(self, e: Equation) -> str:
        """The first operand, in memory and with the dtype of the target, which is named."""
        name, has_memory = self.memory(e)
        x = self.text(e.operands[0])
        self.line(f"{name}[...] = {x}" if has_memory else f"{name} = np.array({x}, {self.literal(e.target.dtype)})")
        return name

    def assemble(self, e: Equation) -> None:
        """Each part to its place (plus 0, as in a sum: that makes 0 of -0)."""
        name, has_memory = self.memory(e)
        whole = e.params["whole"]
        if not has_memory:
            made = "empty" if whole else "zeros"
            self.line(f"{name} = np.{made}({e.target.shape}, {self.literal(e.target.dtype)})")
        elif not whole:
            self.line(f"{name}[...] = 0")
        for part, place in zip(e.operands, e.params["places"]):
            texts = [self.place(x) for x in (place if isinstance(place, tuple) else (place,))]
            where = f"{name}[{', '.join(texts) or '()'}]"
            if isinstance(part.value, np.ndarray) and part.value.ndim:
                self.line(f"np.add({self.text(part)}, {self.number(0.0, part)}, out={where})")
            else:
                self.line(f"{where} = {self.text(part)} + 0")

    def place(self, x: Any) -> str:
        """A number or a slice of an index."""
        if not isinstance(x, slice):
            return self.literal(x)
        start, stop, step = ("" if part is None else self.literal(part) for part in (x.start, x.stop, x.step))
        return f"{start}:{stop}" + (f":{step}" if step else "")

    def axis(self, e: Equation) -> str:
        axis, keepdims = e.params["axis"], e.params["keepdims"]
        if isinstance(axis, tuple):
            axis = axis[0] if len(axis) == 1 else tuple(axis)
        return f", axis={self.literal(axis)}" + ", keepdims=True" * bool(keepdims)

    def power(self, e: Equation) -> None:
        x, n = e.operands
        short = {2: "np.square", 0.5: "np.sqrt", -1: "np.reciprocal"}
        if isinstance(n, int | float) and n in short and e.target.dtype.kind == "f":
            self.out(e, f"{short[n]}({self.text(x)}", [x])
        else:
            self.line(f"{self.named(e.target)} = {self.scalar(e, None)}")

    def elementwise(self, e: Equation, ufunc: np.ufunc) -> None:
        """In place of an operand that nobody needs any more, or into scratch."""
        sign = SIGNS.get(e.op.name)
        places = [x for x in e.operands if isinstance(x, Variable)]
        if sign:
            for i, x in enumerate(e.operands):
                if i and sign in "-/":
                    break
                if isinstance(x, Variable):
                    other = self.text(e.operands[1 - i], x)
                    name = self.taken_over(e, x)
                    if name is not None:
                        self.line(f"{name} {sign}= {other}")
                        if e.target.name.startswith("d_") and not name.startswith("d_"):
                            self.line(f"{self.named(e.target)} = {name}")
                        return
        beside = next((x for x in places if x not in self.constants), None)
        texts = ", ".join(self.text(x, beside) for x in e.operands)
        self.out(e, f"np.{ufunc.__name__}({texts}", places)

    def reduction(self, e: Equation) -> None:
        x = e.operands[0]
        if e.op.name == "sum" and is_product(x.value, e.params["axis"]):
            self.out(e, f"{self.ones(len(x.value), x.dtype)}.dot({self.text(x)}", [])
        else:
            self.out(e, f"{REDUCED[e.op.name]}({self.text(x)}{self.axis(e)}", [])

    def out(self, e: Equation, call: str, places: Iterable[Variable]) -> None:
        """`name = call, out=...)`."""
        for x in places:
            name = self.taken_over(e, x)
            if name is not None:
                again = self.named(e.target) if e.target.name != name else name
                self.line(f"{again} = {call}, out={name})" if again != name else f"{call}, out={name})")
                return
        name, has_memory = self.memory(e)
        self.line(f"{call}, out={name})" if has_memory else f"{name} = {call})")

    # ------------------------------------------------------------------------------------------ memory

    def taken_over(self, e: Equation, x: Variable) -> str | None:
        """The name of an operand whose memory the target takes over, if nobody needs it any more."""
        life, target = self.life, e.target
        root = life.of(x)
        if root not in self.slots or life.last[root] > self.now or target in self.handed_over or target in self.results:
            return None
        if x.shape != target.shape or x.dtype != target.dtype or _strides(x) != _strides(target):
            return None
        if life.last.get(target, 0) >= FOREVER or np.asarray(x.value).size != np.asarray(root.value).size:
            return None
        self.slots[target] = self.slots.pop(root)
        name = self.names[x]
        self.names[target] = name
        self.busy[name] = life.last[target]
        return name

    def memory(self, e: Equation) -> tuple[str, bool]:
        """A name for the target, and whether it stands for memory to write to (otherwise the call makes some)."""
        target = e.target
        order = order_of(np.asarray(target.value))
        if target in self.handed_over:
            name = self.named(target, memory=True)
            self.gradient_buffers[name] = self.handed_over[target], target
            return name, True
        if target in self.results and order is not None and target.value.nbytes >= LARGE_RESULT:
            name = self.named(target, memory=True)
            self.gradient_buffers[name] = None, target
            return name, True
        if order is None or target.value.size == 0 or self.life.last[self.life.of(target)] >= FOREVER:
            return self.named(target), False
        slot = self.slots[target] = self.scratch.take(target.value.nbytes)
        name = self.named(target, memory=True)
        self.pieces[name] = Piece(slot, target.shape, target.dtype, order)
        return name, True

    # ------------------------------------------------------------------------- gradients and updates

    def deliver(self, e: Equation) -> None:
        """A leaf's gradient is complete."""
        g, node = e.operands[0], e.params["leaf"]
        if g in self.handed_over:
            name = self.names[g]
        else:
            text = self.text(g)
            is_array = isinstance(e.target.value, np.ndarray) and e.target.value.ndim > 0
            name = self.named(e.target, memory=is_array)
            if is_array:
                self.gradient_buffers[name] = node, e.target
                self.line(f"{name}[...] = {text}")
            else:
                self.line(f"{name} = np.array({text})")
        if node in self.accumulated:
            old = self.constant(f"notes_of_{e.target.name}", node.note())
            total = self.named(e.target, f"total_{e.target.name}")
            self.line(f"{total} = {name} if {old}.grad is None else np.add({old}.grad, {name}, out={old}.grad)")
            name = total
        self.names[e.target] = name
        self.busy[name] = FOREVER
        if node in self.kept_gradients:
            self.delivered[node] = name


class Named(str):
    """A name in a pattern."""

    __slots__ = ()


def _dot_will_do(e: Equation) -> bool:
    """Is `a.dot(b)`, which takes half a microsecond less, right here: the very same result, and a small one?

    It fills its result with zeros first: 784x16 times 16x64 takes 1.3 of the time.
    """
    a, b = (x.value for x in e.operands)
    if a.ndim != 2 or b.ndim != 2 or e.target.value.size > SMALL or not e.target.value.flags.c_contiguous:
        return False
    return a.dtype == b.dtype and np.array_equal(a.dot(b), e.target.value)


def _pattern(tree: Any) -> str:
    if isinstance(tree, tuple | list):
        return f"({', '.join(_pattern(x) for x in tree)}{',' * (len(tree) == 1)})"
    return str(tree)


def _strides(x: Variable) -> Any:
    return np.asarray(x.value).strides


def own(labels: Any, classes: int, starts: Any) -> Any:
    """Where each sample's own class stands in the flattened scores, once it is known that all of them are classes."""
    if not are_inside(labels, classes):
        OWN.forward(labels, classes)  # says which
    return starts + as_index(labels).reshape(-1)
