"""From a wrong gradient to the mistakes that would yield exactly it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from tinygrad_edu.check.agreement import Array, relative_error
from tinygrad_edu.check.diagnosis.backward import Change, Edge, Sweep, Unsuitable
from tinygrad_edu.check.diagnosis.endings import at_the_output, constants, decay, stale
from tinygrad_edu.check.diagnosis.evidence import Evidence
from tinygrad_edu.check.diagnosis.hypotheses import Guess, Hypothesis, Step, guesses
from tinygrad_edu.check.diagnosis.products import INPUT, MULTIPLY, WEIGHT
from tinygrad_edu.check.diagnosis.slopes import ELEMENTWISE, LOG_SOFTMAX, SOFTMAX, STANDARDIZE, is_elementwise
from tinygrad_edu.check.diagnosis.sums import BIAS, BROADCAST, cuts, joins, summed_axes
from tinygrad_edu.program import Variable

__all__ = ["Finding", "find", "fitting", "matches", "roundings"]


@dataclass(eq=False)
class Finding:
    """What was found out about the first gradient that is wrong: candidates that all fit equally well, or none.

    `name` is that of the gradient, `where` that of the step that the mistake was made at; `follows` are the names of
    the gradients that the mistake explains, and `error` how well it does.
    """

    name: str
    where: str
    candidates: list[Guess] = field(default_factory=list)
    follows: list[str] = field(default_factory=list)
    error: float = 0.0
    variable: Variable | None = None  # the gradient's, and what it should be, given the mistakes before this one
    mine: Array | None = None
    expected: Array | None = None
    elsewhere: bool = False  # is the mistake in this gradient only, since what is made from it is right?

    @property
    def names(self) -> list[str]:
        """The names of the candidates, each once; none for what can only be described."""
        return list(dict.fromkeys(guess.name for guess in self.candidates if guess.name))


def matches(yours: Array, predicted: Array, rtol: float, noise: float = 0.0) -> bool:
    """Do they agree, but for axes of size one, and for roundings of this size?"""
    if not fitting(yours.shape, predicted.shape):
        return False
    yours = yours.reshape(predicted.shape)
    return relative_error(yours, predicted) <= rtol or bool(np.abs(yours - predicted).max(initial=0) <= noise)


def roundings(magnitude: float, rtol: float) -> float:
    """How far two right results may lie apart, since the numbers of this size that were added up were rounded."""
    return 100 * float(np.finfo(np.float64 if rtol < 1e-7 else np.float32).eps) * magnitude


def fitting(a: tuple[int, ...], b: tuple[int, ...]) -> bool:
    """Are these one shape, but for axes of size one that only the longer one has?"""
    return a == b or (len(a) != len(b) and [n for n in a if n != 1] == [n for n in b if n != 1])


def find(e: Evidence, yours: Mapping[str, Array], rtol: float) -> list[Finding]:
    """The mistakes in gradients, in the order of the sweep, each taken to be made upon those before it."""
    given = {name: _shaped(yours[name], np.shape(e.values[x])) for name, x in e.targets.items() if name in yours}
    variables = {name: e.targets[name] for name in given}
    noise = {name: roundings(e.sweep.magnitude(x), rtol) for name, x in variables.items()}
    original = e.sweep
    findings: list[Finding] = []
    done: set[str] = set()
    try:
        while True:
            wrong = [
                name
                for name in _in_order(e, given)
                if name not in done and not matches(given[name], _total(e, variables[name]), rtol, noise[name])
            ]
            if not wrong or len(findings) >= MOST:
                return findings
            finding, change = _explain(e, wrong, given, variables, rtol, noise, done)
            if finding.variable is None:
                finding.variable, finding.mine = variables[finding.name], given[finding.name]
            finding.expected = _total(e, finding.variable)
            findings.append(finding)
            done.update([finding.name])
            if change is not None:
                e.sweep = e.sweep.after(change)
                finding.follows = [
                    name
                    for name in wrong
                    if name != finding.name and matches(given[name], _total(e, variables[name]), rtol, noise[name])
                ]
    finally:
        e.sweep = original


NEAR = 20  # places at which a constant factor is looked for, where there are no layers


def _shaped(array: Array, shape: tuple[int, ...]) -> Array:
    """An array without the axes of size one that only it has."""
    return array.reshape(shape) if fitting(array.shape, shape) else array


MOST = 20  # mistakes; whoever has made more begins with the first


def _in_order(e: Evidence, given: Mapping[str, Array]) -> list[str]:
    """The order in which the sweep completes them."""

    def key(name: str) -> tuple[int, int]:
        variable = e.targets[name]
        completed = min((e.sweep.position[q.target] for q, _ in e.sweep.uses.get(variable, [])), default=-1)
        return -completed, list(e.targets).index(name)

    return sorted(given, key=key)


def _total(e: Evidence, variable: Variable) -> Array:
    return e.sweep.totals.get(variable, np.zeros(np.shape(e.values[variable])))


def _explain(
    e: Evidence,
    wrong: Sequence[str],
    given: Mapping[str, Array],
    variables: Mapping[str, Variable],
    rtol: float,
    noise: Mapping[str, float],
    done: set[str],
) -> tuple[Finding, Change | None]:
    """The candidates for the first of the gradients that are wrong, and the change that goes on with it."""
    name = wrong[0]
    first, mine = variables[name], given[name]
    right = [x for x in given if x not in wrong and x not in done]
    known = {variables[x] for x in right if variables[x] in e.made_by} | {variables[x] for x in done}

    def weighed(tried: Iterator[Guess]) -> list[tuple[int, int, Guess]]:
        """The guesses that fit: how many right gradients each would make wrong, and how many wrong ones it explains."""
        fits: list[tuple[int, int, Guess]] = []
        for guess in tried:
            try:
                new = e.sweep.changed(guess.change, first)
                if first not in new or not matches(mine, new[first], rtol, noise[name]):
                    continue
                new = e.sweep.changed(guess.change)
            except (Unsuitable, ValueError):  # a shape with which nobody could go on: then it ends here
                own = _own(guess, first)
                if own is None or not matches(mine, own, rtol):
                    continue
                new = {first: own}
            broken = sum(
                variables[x] in new and not matches(given[x], new[variables[x]], rtol, noise[x]) for x in right
            )
            explained = sum(variables[x] in new and matches(given[x], new[variables[x]], rtol, noise[x]) for x in wrong)
            fits.append((broken, -explained, guess))
        return fits

    fits = weighed(_guesses(e, first, mine, known))
    if not fits:  # a second pass, rather than to keep all these arrays
        fits = weighed(_multiples(e, first, mine, _guesses(e, first, mine, known)))
    if not fits:
        fits = weighed(_unknown_scale(e, first, mine, known))
    if not fits and (found := _implied(e, first, given, variables, noise, wrong, rtol)) is not None:
        return found
    if not fits:
        change = (
            Change(totals={first: mine}) if first in e.made_by and mine.shape == np.shape(e.values[first]) else None
        )
        return Finding(name, name), change
    best = min((broken, explained) for broken, explained, _ in fits)
    chosen = [guess for broken, explained, guess in fits if (broken, explained) == best]
    special = [guess for guess in chosen if not guess.name.startswith("branch")]
    chosen = special or chosen  # whoever cuts a path overwrites a branch, too; the special name says more
    places = [_place(e, guess.where, variables) for guess in chosen if guess.where is not None]
    where = places[0] if places else _everywhere(e, chosen[0])
    if best[0]:  # what is made from it is right: the mistake is in this gradient alone, as it was handed in
        return Finding(name, name, chosen, elsewhere=True), None
    try:
        predicted = e.sweep.changed(chosen[0].change, first)[first]
        change = chosen[0].change if predicted.shape == np.shape(e.values[first]) or first in e.parameters else None
    except Unsuitable:
        predicted, change = mine, None
    return Finding(name, where, chosen, error=relative_error(mine.reshape(predicted.shape), predicted)), change


def _implied(
    e: Evidence,
    first: Variable,
    given: Mapping[str, Array],
    variables: Mapping[str, Variable],
    noise: Mapping[str, float],
    wrong: Sequence[str],
    rtol: float,
) -> tuple[Finding, Change] | None:
    """A delta that nobody has shown, from the gradients that were made of it: H^T delta = dW and 1^T delta = db.

    With fewer samples than features there is at most one, and that there is one shows where the mistake is.
    """
    layer = e.layer_of(first)
    names = {x: name for name, x in variables.items()}
    if layer is None or layer.W not in names or layer.U in names or layer.H is None or len(e.sweep.uses[layer.W]) > 1:
        return None
    H, dW = e.of(layer.H), given[names[layer.W]]
    if H.ndim != 2 or dW.shape != np.shape(e.values[layer.W]) or dW.shape[0] != H.shape[1]:
        return None
    if not np.isfinite(dW).all():
        return None
    A, B = H.T, dW
    if layer.b in names and given[names[layer.b]].size == dW.shape[1] and len(e.sweep.uses[layer.b]) == 1:
        A, B = np.vstack([A, np.ones(len(H))]), np.vstack([dW, given[names[layer.b]].reshape(1, -1)])
    if A.shape[0] <= A.shape[1]:
        return None
    delta, _, rank, singular = np.linalg.lstsq(A, B, rcond=None)
    if rank < A.shape[1] or singular[-1] < 1e-4 * singular[0] or not matches(A @ delta, B, max(rtol, 1e-10)):
        return None
    where = e.gradient(layer.U)
    finding = Finding(names[first], where, variable=layer.U, mine=delta)
    # The true line computes dW from delta: a dW that was handed in is a little closer than one from the solution.
    edges = {
        edge: given[names[x]].reshape(np.shape(e.values[x]))
        for x in (layer.W, layer.b)
        if x in names
        for edge in e.sweep.uses[x]
    }
    return finding, Change(edges, {layer.U: delta})


def _multiples(e: Evidence, first: Variable, mine: Array, tried: Iterable[Guess]) -> Iterator[Guess]:
    """Two mistakes at once: one with a name, and a constant factor."""
    plain = {name for ending in (True, False) for _, name, _ in constants(e, ending)}
    for guess in tried:
        if guess.name in plain:
            continue  # of constant factors enough products are known
        try:
            predicted = e.sweep.changed(guess.change, first).get(first)
        except (Unsuitable, ValueError):
            continue
        if predicted is None or predicted.size < 2 or predicted.shape != mine.shape:
            continue
        with np.errstate(all="ignore"):
            c = float(np.sum(mine * predicted) / np.sum(predicted * predicted))
        for factor, name, why in constants(e, first in e.parameters):
            if np.isclose(c, factor, rtol=1e-6):
                change = Change(
                    {edge: factor * part for edge, part in guess.change.parts.items()},
                    {x: factor * total for x, total in guess.change.totals.items()},
                )
                yield Guess(f"{guess.name}, and {name}", f"{guess.why} {why}", guess.where, change)


def _unknown_scale(e: Evidence, first: Variable, mine: Array, known: set[Variable]) -> Iterator[Guess]:
    """A constant factor that has no name: it is described, not named."""
    true = e.sweep.totals.get(first)
    if true is None or mine.shape != true.shape or mine.size < 2 or not true.any() or not mine.any():
        return
    c = float(np.sum(mine * true) / np.sum(true * true))
    above = e.sweep.above(first, known)
    behind = [first, *(edge[0].target for edge in above)]
    for variable in (e.sweep.root, *(layer.U for layer in reversed(e.layers)), first):
        if variable in behind and variable not in known:
            where = None if variable is e.sweep.root else variable
            change = Change(totals={variable: c * e.sweep.totals[variable]})
            yield Guess("", f"scale {c:.6g}{_written(c, e.n)}, the same for all entries", where, change)


def _everywhere(e: Evidence, guess: Guess) -> str:
    """Where a mistake is made that is no single gradient's."""
    changed = set(guess.change.totals)
    if changed and changed <= set(e.parameters):
        return "the weights" if changed <= set(e.weights) else "the parameters"
    return "the loss"


def _own(guess: Guess, first: Variable) -> Array | None:
    """What a guess predicts for the very gradient that it changes, whatever its shape."""
    if guess.where is not first:
        return None
    if first in guess.change.totals:
        return guess.change.totals[first]
    return next((part for (q, i), part in guess.change.parts.items() if q.operands[i] is first), None)


def _place(e: Evidence, variable: Variable, variables: Mapping[str, Variable]) -> str:
    """The name of the first gradient with a name that a change at a variable makes wrong."""
    named = {x: name for name, x in e.targets.items()}
    for _ in range(8):
        if variable in variables.values() or variable in named:
            return named.get(variable) or next(name for name, x in variables.items() if x is variable)
        made = e.made_by.get(variable)
        inner = [made.operands[i] for i in e.sweep.sends[made]] if made is not None else []
        if len(inner) != 1:
            break
        variable = inner[0]
    return e.gradient(variable)


def _written(c: float, n: int) -> str:
    """A factor as one may have written it."""
    forms = [(n / (n - 1), "n / (n - 1)"), ((n - 1) / n, "(n - 1) / n")] if n > 2 else []
    forms += [(1 / np.log(2), "1 / log 2"), (np.log(2), "log 2"), (n**0.5, "sqrt(n)"), (n**-0.5, "1 / sqrt(n)")]
    return next((f" = {text}" for number, text in forms if np.isclose(c, number, rtol=1e-9)), "")


# ------------------------------------------------------------------------------------ where to look


def _guesses(e: Evidence, first: Variable, mine: Array, known: set[Variable]) -> Iterator[Guess]:
    """Everything that may have gone wrong on the way to a gradient, the nearest steps first."""
    above = e.sweep.above(first, known)
    behind = list(dict.fromkeys([first, *(edge[0].target for edge in above if edge[0].target not in known)]))
    for edge in above:
        yield from _at(e, edge, first, mine)
    for variable in behind:
        yield from joins(e, variable)
    yield from cuts(e, above)
    for output in e.outputs:
        if output.v in behind:
            yield from at_the_output(e, output)
    if first in e.parameters:
        yield from decay(e, first, mine)
    yield from _scaled(e, first, mine, behind)


def _at(e: Evidence, edge: Edge, first: Variable, mine: Array) -> Iterator[Guess]:
    """The mistakes that can be made at one step."""
    equation, i = edge
    variable = equation.operands[i]
    sweep: Sweep = e.sweep
    if equation.target not in sweep.totals or edge not in sweep.raw:
        return
    step = Step(
        e,
        variable,
        sweep.parts[edge],
        edge,
        sweep.totals[equation.target],
        np.asarray(e.values[equation.target]),
        tuple(sweep.arguments(equation)),
        sweep.raw[edge],
    )
    table: list[Hypothesis] = []
    operation = equation.op.name
    if operation in ("linear", "matmul"):
        layer = e.layer_of(equation.target)
        table += [INPUT, WEIGHT][i] if i < 2 else []
        if i == 0 and layer is not None:
            yield from stale(e, step, first, mine)
    elif operation == "softmax":
        table += SOFTMAX
    elif operation == "log_softmax":
        table += LOG_SOFTMAX
    elif operation == "standardize":
        table += STANDARDIZE
    elif operation == "multiply":
        table += MULTIPLY
    if operation not in ("linear", "matmul", "softmax", "standardize", "log_softmax") and is_elementwise(step):
        table += ELEMENTWISE
    if operation == "scale_and_shift" and i == 1:
        step = replace(step, raw=step.g * step.args[0])  # its rule multiplies and sums at once
    if summed_axes(step) or step.raw.shape != step.true.shape:
        table += BIAS if variable in e.biases else BROADCAST
    yield from guesses(table, step)


def _scaled(e: Evidence, first: Variable, mine: Array, behind: Sequence[Variable]) -> Iterator[Guess]:
    """A constant factor: at the gradient itself, at one that it comes from, or at all parameters at once."""
    places = [e.sweep.root, *(layer.U for layer in reversed(e.layers)), first]
    places = [x for x in dict.fromkeys(places) if x in behind and x in e.sweep.totals]
    if not e.layers:
        places = list(dict.fromkeys([*places, *(x for x in behind[:NEAR] if x in e.sweep.totals)]))
    true = _total(e, first)
    if mine.shape != true.shape:
        return
    bias = first in e.biases
    for variable in places:
        where = None if variable is e.sweep.root else variable
        total = e.sweep.totals[variable]
        slope = e.sweep.changed(Change(totals={variable: 2 * total}), first).get(first, true) - true
        square = float(np.sum(slope * slope))
        if not 0 < square < np.inf:
            continue
        c = 1 + float(np.sum((mine - true) * slope)) / square
        ending = variable in e.parameters
        for factor, name, why in constants(e, ending):
            if bias and ending and name in ("1/n twice", "1/n too many", "mean over classes too"):
                continue  # of a bias that is the average, which has a name of its own
            if np.isclose(c, factor, rtol=1e-3):
                yield Guess(name, why, where, Change(totals={variable: factor * total}))
    if first in e.parameters and len(e.parameters) > 1:
        for factor, name, why in constants(e, True):
            if name == "factor 2" and factor > 1:
                continue  # of all parameters, while what they are made from is right: they were added up twice
            totals = {x: factor * e.sweep.totals[x] for x in e.parameters}
            yield Guess(name, why, None, Change(totals=totals))
            if len(e.weights) > 1 and first in e.weights:
                yield Guess(name, why, None, Change(totals={x: totals[x] for x in e.weights if x in totals}))
