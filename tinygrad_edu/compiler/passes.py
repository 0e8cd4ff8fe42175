"""What a list of equations does not need: what is constant, what changes nothing, what is computed twice, what is dead.

Only what is exact is left out: x * 1, but not x + 0, which makes 0 of -0.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from tinygrad_edu.compiler.listing import Renaming, leaves_of, reads, variables_in
from tinygrad_edu.compiler.lowering import ufunc_of
from tinygrad_edu.compiler.tracing import DELIVER, UPDATE
from tinygrad_edu.op import OPS
from tinygrad_edu.program import Equation, Variable

__all__ = [
    "is_kept", "simplified", "with_float_masks", "without_copies", "without_dead", "without_signs",
    "without_turned_products",
]  # fmt: skip

FEW = 65_536  # numbers


def is_kept(equation: Equation) -> bool:
    """Does it do more than compute: draw, write, hand over?"""
    return bool(equation.op.writes) or equation.op is DELIVER or "rng" in equation.params


def simplified(equations: list[Equation], renaming: Renaming, constants: set[Variable]) -> list[Equation]:
    """Without what is constant, changes nothing or is computed twice.

    `constants` are Variables whose value is known; those that are found are added.  What is written to has versions:
    two equations are equal only if nothing was written in between.
    """
    written = {renaming.memory(x) for e in equations for i in e.op.writes for x in (renaming(e.operands[i]),)}
    versions: dict[Any, int] = {}
    seen: dict[Any, Equation] = {}
    found: list[Equation] = []
    for equation in equations:
        renaming.apply(equation)
        if is_kept(equation):
            for i in equation.op.writes:
                memory = renaming.memory(equation.operands[i])
                versions[memory] = versions.get(memory, 0) + 1
            found.append(equation)
            continue
        needed = reads(equation)
        if all(x in constants for x in needed):
            constants.add(equation.target)
            constants.update(variables_in(equation.kept))
            _shrink(equation.target)
            continue
        same = _unchanged(equation, constants)
        if same is not None and renaming.memory(same) not in written:
            renaming.rename(equation.target, same)
            continue
        key = _key(equation, versions, renaming)
        if key is not None and key in seen:
            twin = seen[key]
            renaming.rename(equation.target, twin.target)
            _pair_kept(equation.kept, twin.kept, renaming)
            continue
        if key is not None:
            seen[key] = equation
        found.append(equation)
    return found


SOON = 4096  # numbers: so many are compared whenever `uniform` asks


def uniform(x: Any) -> Any:
    """The number that all elements of a constant are (as a 0-d array of its dtype), or None."""
    value = np.asarray(x.value)
    if value.size and all(stride == 0 or size == 1 for stride, size in zip(value.strides, value.shape)):
        return value[(0,) * value.ndim]
    if value.size <= SOON and _are_equal(value):
        return value.flat[0]
    return None


def _are_equal(value: Any) -> bool:
    """Are all elements one number?  (0 and -0 are two numbers.)"""
    return bool(value.size and value.flat[0] != 0 and (value == value.flat[0]).all())


def _shrink(x: Variable) -> None:
    """A computed constant that is one number everywhere needs the memory of one: what a sum sends back, for example."""
    if np.size(x.value) > SOON and _are_equal(x.value):
        x.value = np.broadcast_to(x.value.flat[0], x.value.shape)


def _unchanged(equation: Equation, constants: set[Variable]) -> Variable | None:
    """The Variable that this equation's target equals, if it does nothing."""
    name, operands, target = equation.op.name, equation.operands, equation.target
    first = operands[0] if operands else None
    if name in (
        "detach",
        "positive",
        "copy",
        "astype",
        "to_dtype",
        "reshape",
        "broadcast_to",
        "squeeze",
        "expand_dims",
    ):
        if not isinstance(first, Variable) or (first.shape, first.dtype) != (target.shape, target.dtype):
            return None
        return first if _layout(first) == _layout(target) or name in ("detach", "copy") else None
    if name in ("multiply", "divide") and ufunc_of(equation.op) is not None:
        for one, other in ((operands[1], operands[0]), (operands[0], operands[1])):
            if isinstance(other, Variable) and other.shape == target.shape and other.dtype == target.dtype:
                number = one if isinstance(one, int | float) else uniform(one) if one in constants else None
                if number is not None and number == 1:
                    return other
            if name == "divide":
                return None
    return None


def _layout(x: Variable) -> Any:
    return np.asarray(x.value).strides


def _key(equation: Equation, versions: dict[Any, int], renaming: Renaming) -> Any:
    """Equal for equations that compute the same."""

    def plain(x: Any) -> Any:
        if isinstance(x, Variable):
            return x, versions.get(renaming.memory(x), 0)
        return type(x).__name__, x, repr(x) if isinstance(x, float) else ""  # 0.0 == -0.0, but x * 0.0 is not x * -0.0

    operands: Any = tuple(plain(x) for x in equation.operands)
    if equation.op in (OPS["add"], OPS["multiply"]):  # a b is b a, to the last bit
        operands = frozenset(operands), len(set(operands)), np.asarray(equation.target.value).strides
    key = (equation.op, operands, _frozen(equation.params, plain))
    try:
        hash(key)
    except TypeError:
        return None
    return key


def _frozen(tree: Any, plain: Any) -> Any:
    if isinstance(tree, dict):
        return tuple((key, _frozen(x, plain)) for key, x in tree.items())
    if isinstance(tree, tuple | list):
        return type(tree).__name__, tuple(_frozen(x, plain) for x in tree)
    if isinstance(tree, slice):
        return "slice", tree.start, tree.stop, tree.step
    return plain(tree)


def _pair_kept(old: Any, new: Any, renaming: Renaming) -> None:
    for a, b in zip(leaves_of(old), leaves_of(new)):
        if isinstance(a, Variable):
            renaming.rename(a, b)


def without_dead(equations: list[Equation], wanted: Iterable[Variable]) -> list[Equation]:
    """Without what nobody needs."""
    needed = set(wanted)
    found = []
    for equation in reversed(equations):
        targets = {equation.target, *variables_in(equation.kept)}
        if is_kept(equation) and (
            equation.op.writes or equation.op is UPDATE or "rng" in equation.params or equation.op is DELIVER
        ):
            pass
        elif needed.isdisjoint(targets):
            continue
        needed.update(reads(equation))
        found.append(equation)
    return found[::-1]


def without_signs(equations: list[Equation]) -> list[Equation]:
    """a + (-b) as a - b, a - (-b) as a + b, a (-b) as -(a b) where a b is known, and (-a) - a as -(a + a).

    All of that is exact.  A negative is dead then, if nobody else needs it.
    """
    negatives: dict[Any, Any] = {}  # -x -> x
    products: dict[Any, Variable] = {}
    found = []
    for equation in equations:
        (a, b), target = (*equation.operands, None, None)[:2], equation.target
        name = equation.op.name if ufunc_of(equation.op) is not None and target.dtype.kind == "f" else ""
        if name == "multiply":
            turned = [(negatives[a], b)] if a in negatives else [(a, negatives[b])] if b in negatives else []
            known = next((products[pair] for pair in map(frozenset, turned) if pair in products), None)
            if known is not None and known.dtype == target.dtype:
                equation.op, equation.operands = OPS["negative"], (known,)
            elif isinstance(a, Variable) and isinstance(b, Variable):
                products[frozenset([a, b])] = target
        elif name in ("add", "subtract") and b in negatives and isinstance(a, Variable):
            equation.op, equation.operands = OPS["subtract" if name == "add" else "add"], (a, negatives[b])
        elif name == "add" and a in negatives and isinstance(b, Variable):
            equation.op, equation.operands = OPS["subtract"], (b, negatives[a])
        if name and equation.op is OPS["subtract"] and negatives.get(equation.operands[0]) is equation.operands[1]:
            x: Any = equation.operands[1]
            twice = Variable(f"{x.name}_twice", "result", x.value + x.value)
            found.append(_beside(equation, twice, OPS["add"], (x, x), {}))
            equation.op, equation.operands = OPS["negative"], (twice,)
        if equation.op is OPS["negative"] and target.dtype.kind == "f":
            negatives[target] = equation.operands[0]
        if equation.op.writes:  # what is known was computed from what stood there before
            negatives.clear()
            products.clear()
        found.append(equation)
    return found


def without_copies(equations: list[Equation]) -> None:
    """x + 1 b as x + b: NumPy repeats what is smaller by itself."""
    repeated: dict[Any, Any] = {}
    for equation in equations:
        if _repeats(equation):
            repeated[equation.target] = repeated.get(equation.operands[0], equation.operands[0])
        if ufunc_of(equation.op) is None or len(equation.operands) != 2:
            continue
        a, b = equation.operands
        shape = equation.target.shape
        if b in repeated and isinstance(a, Variable) and a.shape == shape:
            equation.operands = a, repeated[b]
        elif a in repeated and isinstance(b, Variable) and b.shape == shape:
            equation.operands = repeated[a], b


def _repeats(equation: Equation) -> bool:
    """Does it repeat numbers, or put axes of length 1 in front?"""
    x, shape = (*equation.operands, None)[0], equation.target.shape
    if equation.op is OPS["reshape"] and isinstance(x, Variable):
        return shape == (1,) * (len(shape) - len(x.shape)) + x.shape
    return equation.op is OPS["broadcast_to"]


def with_float_masks(equations: list[Equation]) -> list[Equation]:
    """g * (h > 0) with the mask as 0.0 and 1.0: on few numbers a product of two dtypes takes 2.5 times as long."""
    masks: dict[Any, Variable] = {}
    found = []
    for equation in equations:
        for i, x in enumerate(equation.operands if equation.op is OPS["multiply"] else ()):
            target = equation.target
            if not isinstance(x, Variable) or x.dtype.kind != "b" or target.dtype.kind != "f" or not x.shape:
                continue
            if x.value.size > FEW or equation.operands[1 - i] is x:
                continue
            key = x, target.dtype
            if key not in masks:
                masks[key] = Variable(f"{x.name}_{target.dtype.name}", "result", x.value.astype(target.dtype))
                found.append(_beside(equation, masks[key], OPS["astype"], (x,), {"dtype": target.dtype}))
            operands = [*equation.operands]
            operands[i] = masks[key]
            equation.operands = tuple(operands)
        found.append(equation)
    return found


def without_turned_products(equations: list[Equation], wanted: Iterable[Variable]) -> list[Equation]:
    """(A B)^T as B^T A^T, which lies in memory as it is needed: in one order, NumPy adds up three times as quickly."""
    kept = set(wanted)
    users: dict[Variable, list[Equation]] = {}
    for equation in equations:
        for x in reads(equation):
            users.setdefault(x, []).append(equation)

    def turned(product: Equation) -> Equation | None:
        """What turns a product around, if nobody needs it as it is, and then it is only calculated with."""
        matrices = all(isinstance(x, Variable) and x.value.ndim == 2 for x in product.operands)
        turns = users.get(product.target, [])
        if product.op is not OPS["matmul"] or not matrices or len(turns) != 1 or product.target in kept:
            return None
        turn = turns[0]
        calculated = all(ufunc_of(e.op) is not None or e.op is OPS["matmul"] for e in users.get(turn.target, []))
        return turn if turn.op is OPS["transpose"] and calculated and turn.target not in kept else None

    found = []
    gone: set[Equation] = set()
    for equation in equations:
        turn = turned(equation)
        if turn is not None:
            operands = []
            for x in reversed(equation.operands):
                operands.append(Variable(f"{x.name}_T", "result", x.value.T))
                found.append(_beside(equation, operands[-1], OPS["transpose"], (x,), {"axes": None}))
            equation.target, equation.operands = turn.target, tuple(operands)
            equation.target.value, equation.target.equation = np.ascontiguousarray(turn.target.value), equation
            gone.add(turn)
        if equation not in gone:
            found.append(equation)
    return found


def _beside(
    equation: Equation, target: Variable, op: Any, operands: tuple[Any, ...], params: dict[str, Any]
) -> Equation:
    """Another equation, target = op(operands), at the place of this one."""
    target.equation = Equation(target, op, operands, params, equation.call, equation.of, False, equation.where)
    return target.equation
