"""Optimisers' updates as lines of NumPy, for those of tg.optim; any other optimiser's own `update` is called.

`{p}`, `{g}` and `{s}` stand for the parameter, its gradient and scratch.  Rates are read from the optimiser at each
call; its other settings are numbers that stand above the function, since with others the step is compiled anew.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from tinygrad_edu.blocks import BLOCK, LARGE, in_blocks
from tinygrad_edu.compiler.buffers import Piece, order_of
from tinygrad_edu.compiler.tracing import UPDATE
from tinygrad_edu.optim import SGD, Adam, AdamW, Optimizer
from tinygrad_edu.program import Equation
from tinygrad_edu.together import Together

if TYPE_CHECKING:
    from tinygrad_edu.compiler.source import Source

__all__ = ["Update", "settings", "update_of", "with_updates_together", "write_together", "write_update"]


class Update(NamedTuple):
    """The lines of one update, the arrays of state they change, the numbers they need, and the equation."""

    lines: list[str]
    state: dict[str, str]  # name -> expression of the optimiser {o} and the parameter's number {i}
    numbers: dict[str, str]  # such as change: name -> expression
    settled: dict[str, float]
    equation: str


def update_of(optimizer: Optimizer) -> Update | None:
    """How to write an optimiser's update, or None if it is none of ours."""
    if isinstance(optimizer, SGD) and type(optimizer) is SGD:
        return _sgd(optimizer)
    if isinstance(optimizer, Adam) and type(optimizer) in (Adam, AdamW) and type(optimizer.betas) is tuple:
        return _adam(optimizer)
    return None


def _sgd(optimizer: SGD) -> Update:
    lines, g, state, numbers = [], "{g}", {}, {"lr": "{o}.rates[{i}]"}
    settled = {"decay": optimizer.weight_decay, "mu": optimizer.momentum}
    equation = "p <- p - lr g"
    if optimizer.weight_decay:
        lines += ["np.multiply({p}, {decay}, out={s})", "np.add({s}, {g}, out={s})"]
        g, equation = "{s}", "g <- g + decay p;  " + equation
    if optimizer.momentum:
        lines += ["{v} *= {mu}", f"{{v}} += {g}"]
        state["v"] = "velocity({o}, {i})"
        equation = equation.replace("p <- p - lr g", "v <- mu v + g;  p <- p - lr v")
        if optimizer.nesterov:
            lines += [f"np.multiply({g}, {{lr}}, out={{s}})", "{p} -= {s}"]
            numbers["rate"] = "{o}.lr * {o}.momentum"
            equation = equation.replace("p <- p - lr v", "p <- p - lr (g + mu v)")
        g = "{v}"
    rate = "{rate}" if optimizer.nesterov else "{lr}"
    lines += [f"np.multiply({g}, {rate}, out={{s}})", "{p} -= {s}"]
    return Update(lines, state, numbers, settled, equation)


def _adam(optimizer: Adam) -> Update:
    lines, g, numbers = [], "{g}", {}
    b1, b2 = optimizer.betas
    settled = {"b1": b1, "a1": 1 - b1, "b2": b2, "a2": 1 - b2, "decay": optimizer.weight_decay}
    if type(optimizer) is AdamW:
        lines.append("{p} *= {shrink}")
        numbers["shrink"] = "1 - {o}.lr * {o}.weight_decay"
    elif optimizer.weight_decay:
        lines += ["np.multiply({decay}, {p}, out={d})", "np.add({g}, {d}, out={d})"]
        g = "{d}"
    lines += [
        "{m} *= {b1}", f"np.multiply({g}, {{a1}}, out={{s}})", "{m} += {s}",
        f"np.multiply({g}, {g}, out={{s}})", "{s} *= {a2}", "{v} *= {b2}", "{v} += {s}",
        "np.sqrt({v}, out={s})", "{s} += {eps}", "np.divide({m}, {s}, out={s})", "{s} *= {rate}", "{p} -= {s}",
    ]  # fmt: skip
    numbers |= {"rate, eps": "corrected({o}, {i})"}
    equation = "m <- b1 m + (1 - b1) g;  v <- b2 v + (1 - b2) g^2;  p <- p - lr m' / (sqrt(v') + eps)"
    return Update(lines, {"m": "{o}.m[{i}]", "v": "{o}.v[{i}]"}, numbers, settled, equation)


def write_update(source: Source, e: Equation) -> None:
    """An optimiser's step for one parameter."""
    p, g = (source.text(x) for x in e.operands)
    optimizer, i = e.params["optimizer"], e.params["index"]
    name = source.constant(type(optimizer).__name__.lower(), optimizer)
    value = np.asarray(e.operands[0].value)
    if value.size == 0:
        return
    update = update_of(optimizer)
    if update is None:
        source.foreign = True
        source.line(f"{name}.update({i}, {p}, {g}, {name}.scratch[{i}])")
        return
    blocks = value.size >= LARGE and value.flags.c_contiguous
    scratch = {}
    for word in ("s", "d"):
        if f"{{{word}}}" in str(update.lines):
            own = optimizer.scratch[i] if word == "s" else None
            scratch[word] = _row(source, f"{word}_for_{p}", value, blocks, own)
    source.line(f"# {p}: {update.equation}")
    state, numbers = settings(source, e, update)
    numbers |= settled(source, e, update)
    if not blocks:
        for text in update.lines:
            source.line(text.format(p=p, g=g, **scratch, **state, **numbers))
        return
    words = ["p", "g", *state, *scratch, *numbers]
    function = f"{name}_block"
    if function not in source.blocks:
        lines = [f"    {text.format(**{word: word for word in words})}" for text in update.lines]
        source.blocks[function] = "\n".join([f"def {function}({', '.join(words)}):", *lines])
        source.fixed.add(function)
    call = source.constant("in_blocks", in_blocks)
    arrays = [p, g, *state.values()]
    parts = [f"({', '.join(x)}{',' * (len(x) == 1)})" for x in (arrays, [*scratch.values()], [*numbers.values()])]
    source.line(f"{call}({function}, {', '.join(parts)})")


def with_updates_together(groups: list[Equation | list[Equation]]) -> list[Equation | list[Equation]]:
    """The same, with the updates that an optimiser makes as one (see `Together`) as a list."""
    found: list[Equation | list[Equation]] = []
    run: list[Equation] = []  # of one optimiser

    def close() -> None:
        if not run:
            return
        shared = _shared(run[0].params["optimizer"])
        small = [e for e in run if shared is not None and e.params["index"] in shared.shapes]
        if shared is not None and len(small) == len(shared.shapes) == len({e.params["index"] for e in small}):
            found.extend([e for e in run if e not in small])
            found.append(small)
        else:
            found.extend(run)
        run.clear()

    for group in groups:
        if isinstance(group, list) or group.op is not UPDATE:
            close()
            found.append(group)
            continue
        if run and group.params["optimizer"] is not run[0].params["optimizer"]:
            close()
        run.append(group)
    close()
    return found


def _shared(optimizer: Optimizer) -> Together | None:
    """The parameters that this optimiser updates as one."""
    if not isinstance(optimizer, Adam) or update_of(optimizer) is None or not optimizer.are_together():
        return None
    together = optimizer.together
    return together if together is not None and together.change.size < LARGE else None


def write_together(source: Source, updates: list[Equation]) -> None:
    """One update for several small parameters: each line once, but where it speaks of the parameter or its gradient."""
    optimizer = updates[0].params["optimizer"]
    update, shared = update_of(optimizer), optimizer.together
    assert update is not None
    source.together.append(optimizer)
    words = [source.text(e.operands[0]) for e in updates]
    source.line(f"# {words[0]} to {words[-1]}, {len(words)} parameters side by side:")
    source.line(f"# {update.equation}")

    def piece(word: str, array: Any) -> str:
        name = source.unused(word)
        source.pieces[name] = array
        return name

    whole = {"d": piece("gradients", shared.gradient), "s": piece("changes", shared.change)}
    whole |= {word: piece(f"{word}_together", array) for word, array in zip(update.state, shared.state)}
    indices = [e.params["index"] for e in updates]
    parts = {
        i: {"d": piece(f"gradient_of_{p}", shared.gradients[i]), "s": piece(f"change_of_{p}", shared.changes[i])}
        for i, p in zip(indices, words)
    }
    numbers = changing(source, updates[0], update, indices) | settled(source, updates[0], update)
    lines = update.lines
    if "{d}" not in "".join(lines):  # the gradients are brought together as they are
        lines = ["{d}[...] = {g}", *[text.replace("{g}", "{d}") for text in lines]]
    for text in lines:
        if "{p}" in text or "{g}" in text:
            for e, p in zip(updates, words):
                source.line(text.format(p=p, g=source.text(e.operands[1]), **parts[e.params["index"]], **numbers))
        else:
            source.line(text.format(**whole, **numbers))


def settings(source: Source, e: Equation, update: Update) -> tuple[dict[str, str], dict[str, str]]:
    """Lines that fetch the arrays of state and the numbers that change; what they are called."""
    p, optimizer, i = source.text(e.operands[0]), e.params["optimizer"], e.params["index"]
    name = source.constant(type(optimizer).__name__.lower(), optimizer)
    if any(velocity.__name__ in text for text in update.state.values()):
        source.constant(velocity.__name__, velocity)
    state = {}
    for word, text in update.state.items():
        state[word] = f"{word}_of_{p}"
        source.line(f"{state[word]} = {text.format(o=name, i=i)}")
    return state, changing(source, e, update, [i])


def settled(source: Source, e: Equation, update: Update) -> dict[str, str]:
    """The numbers of an update that stay as they are, written once above the function; what they are called."""
    optimizer, dtype, lines = e.params["optimizer"], e.operands[0].dtype, "".join(update.lines)
    found = {}
    for word, x in update.settled.items():
        if f"{{{word}}}" not in lines:
            continue
        key = optimizer, word, dtype
        if key not in source.numbers:
            wish = f"{type(optimizer).__name__.lower()}_{word}_{dtype.name}"
            source.numbers[key] = source.constant(wish, np.array(x, dtype))
            source.heads.append(f"{source.numbers[key]} = np.array({source.literal(float(x))}, np.{dtype.name})")
        found[word] = source.numbers[key]
    return found


def changing(source: Source, e: Equation, update: Update, indices: list[int]) -> dict[str, str]:
    """Lines that fetch the numbers of an update of the parameters with these indices; what they are called."""
    optimizer = e.params["optimizer"]
    name = source.constant(type(optimizer).__name__.lower(), optimizer)
    dtype = e.operands[0].dtype
    if any(corrected.__name__ in text for text in update.numbers.values()):
        source.constant(corrected.__name__, corrected)
    numbers = {}
    for word, text in update.numbers.items():
        for part in word.split(", "):
            numbers[part] = f"{name}_{part}_{dtype.name}"
        left = ", ".join(numbers[part] for part in word.split(", "))
        if left in source.read:
            continue
        text = text.format(o=name, i=", ".join(map(str, indices)))
        if "," not in left:
            source.read.add(left)
            text = text if word == "lr" else f"np.array({text}, np.{dtype.name})"
        source.line(f"{left} = {text}")
    return numbers


def _row(source: Source, name: str, value: np.ndarray, block: bool, own: np.ndarray | None) -> str:
    """Scratch for an update, as large as the parameter or as a block of it: the optimiser's own, if that fits."""
    shape, order = ((BLOCK,), (0,)) if block else (value.shape, order_of(value) or tuple(range(value.ndim)))
    name = source.unused(name)
    if own is not None and own.shape == shape:
        source.pieces[name] = own
        return name
    slot = source.scratch.take(math.prod(shape) * value.itemsize)
    source.scratch.busy_rows.append(slot)
    source.pieces[name] = Piece(slot, shape, value.dtype, order)
    return name


def velocity(optimizer: SGD, i: int) -> Any:
    """The velocity of parameter number i: 0 before the first step."""
    v = optimizer.velocity[i]
    if v is None:
        v = optimizer.velocity[i] = np.zeros_like(optimizer.params[i].data)
    return v


def corrected(optimizer: Adam, *indices: int) -> tuple[float, float]:
    """One more step of Adam for the parameters with these numbers, which have taken equally many: rate and eps."""
    for i in indices:
        optimizer.steps[i] += 1
    return optimizer.corrected(indices[0])
