"""Mistakes at the two ends of the sweep: where it starts, at the loss, and where it ends, at the parameters."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from tinygrad_edu.check.agreement import Array
from tinygrad_edu.check.diagnosis.backward import Change
from tinygrad_edu.check.diagnosis.evidence import Evidence, Output, sigmoid
from tinygrad_edu.check.diagnosis.hypotheses import Guess, Hypothesis, Step, guesses
from tinygrad_edu.check.diagnosis.slopes import ELEMENTWISE, SOFTMAX
from tinygrad_edu.program import Variable

__all__ = ["at_the_output", "constants", "decay", "stale"]

# --------------------------------------------------------------------------------- dL/dU = k (a - t)


def at_the_output(e: Evidence, output: Output) -> Iterator[Guess]:
    """What is made of k (a - t): target forgotten, pre-activation instead of activation, a long way that goes wrong."""
    v, a, t, k = output.v, output.a, output.t, output.k
    true = e.sweep.totals[v]
    table = [
        Hypothesis("forgot minus target", "The error is what came out minus what should have: a - t.", lambda s: k * a)
    ]
    if output.activation:
        table.append(
            Hypothesis(
                "pre-activation used for activation",
                "The error compares the target with the output a, not with the pre-activation u.",
                lambda s: k * (e.of(v) - t),
            )
        )
    yield from guesses(table, Step(e, v, true))
    yield from _first_samples(e, v, true)
    if output.activation == "sigmoid" and not output.recorded:
        yield from _long_way(e, output, true, ELEMENTWISE, k * (a - t) / (a * (1 - a)))
    if output.activation == "softmax" and not output.recorded:
        yield from _long_way(e, output, true, SOFTMAX, -k * t / a)


class _Inside(Step):
    """The step through an activation that a fused operation hides: the mistakes that are made at it are the same."""

    @property
    def operation(self) -> str:
        return "sigmoid" if self.e.output is not None and self.e.output.activation == "sigmoid" else "softmax"

    def apply(self, x: Array) -> Array:
        return sigmoid(x)

    @property
    def x(self) -> Array:
        return np.asarray(self.args[0])

    def slope(self, y: Array, x: Array) -> Array:
        return y * (1 - y)


def _long_way(e: Evidence, output: Output, true: Array, table: list[Hypothesis], g: Array) -> Iterator[Guess]:
    yield from guesses(table, _Inside(e, output.v, true, None, g, output.a, (e.of(output.v),)))


def _first_samples(e: Evidence, v: Variable, true: Array) -> Iterator[Guess]:
    if e.n < 2 or true.ndim != 2:
        return
    why = "The loss of a batch is made of all its samples, and so is its gradient."
    for row in (0, -1):
        only = np.zeros_like(true)
        only[row] = true[row]
        for factor in (1, e.n):
            yield Guess("first sample only", why, v, Change(totals={v: factor * only}))


# ------------------------------------------------------------------------------------ constant factors


def constants(e: Evidence, at_parameter: bool) -> list[tuple[float, str, str]]:
    """Factors that mistakes have: the number, the mistake's name, and why it is one."""
    n, C = float(e.n), float(e.classes)
    whole = "the 1/n of the loss" if e.mean else "the loss is a sum, so there is no 1/n"
    found = [
        (2.0, "factor 2", "d(u^2)/du = 2u, and the 1/2 of the loss is there to cancel the 2."),
        (0.5, "factor 2", "d(u^2)/du = 2u, unless a 1/2 in the loss cancels the 2."),
    ]
    if n > 1:
        if e.mean:
            found.append((n, "missing 1/n", "The loss is a mean over n samples; its gradient is one, too."))
            found.append((1 / n, "1/n twice", "The 1/n of the loss is in delta already; it must not come in again."))
        else:
            found.append((1 / n, "1/n too many", f"Divided by n, but {whole}."))
            found.append((n, "n times too large", f"Multiplied by n, but {whole}."))
    if C > 1:
        found.append((1 / C, "mean over classes too", "The loss is divided by the number of samples, not of numbers."))
        found.append(
            (C, "missing mean over classes", "This loss is a mean over all numbers, classes or outputs included.")
        )
        if e.mean and n > 1:
            found.append((n * C, "missing 1/n", "The loss is a mean over all n C numbers; so is its gradient."))
            found.append(
                (1 / (n * C), "1/n twice", "The 1/n of the loss is in delta already; it must not come in again.")
            )
    if at_parameter:
        found.append(
            (
                2.0,
                "accumulated twice or not zeroed",
                "Set gradients to zero before each sweep, and add each contribution once.",
            )
        )
    sign = "Gradients point uphill: of (a - t)^2/2 it is a - t. Descent subtracts them, later."
    signed = [(-1.0, "sign", sign)]
    signed += [(-c, f"sign, and {name}", why) for c, name, why in found]
    return [*found, *signed]


# -------------------------------------------------------------------------------------- at the parameters


def decay(e: Evidence, variable: Variable, yours: Array) -> Iterator[Guess]:
    """lambda W, the gradient of lambda/2 ||W||^2: added though the loss has none, missing, or with another lambda."""
    W = e.of(variable)
    if yours.shape != W.shape or variable not in e.sweep.totals:
        return
    groups = [e.weights, e.parameters, [variable]]
    has = {x: [edge for edge in e.sweep.uses.get(x, []) if e.is_decay(edge)] for x in e.parameters}
    has = {x: edges for x, edges in has.items() if edges}
    if has:
        for group in (list(has), [variable]):
            without = {x: e.sweep.totals[x] - sum(e.sweep.parts[edge] for edge in has[x]) for x in group if x in has}
            why = "The loss contains a penalty on the weights: its gradient belongs to theirs."
            yield Guess("weight decay missing", why, None if len(without) > 1 else variable, Change(totals=without))
    bare = e.sweep.totals[variable] - sum((e.sweep.parts[edge] for edge in has.get(variable, [])), np.zeros(W.shape))
    size = float(np.sum(W * W))
    if W.size < 2 or size == 0:
        return
    rate = float(np.sum((yours - bare) * W)) / size
    right = float(np.sum((e.sweep.totals[variable] - bare) * W)) / size
    if abs(rate) <= 1e-9 * abs(right):
        return  # missing, and that was said
    why = (
        f"Yours contains {rate:.6g} W, where the penalty in the loss gives {right:.6g} W."
        if has
        else f"Yours contains {rate:.6g} W, the gradient of a penalty that this loss does not have."
    )
    seen: list[set[Variable]] = []
    for group in groups:
        if variable not in group or set(group) in seen:
            continue
        seen.append(set(group))
        totals = {
            x: e.sweep.totals[x]
            - sum((e.sweep.parts[edge] for edge in has.get(x, [])), np.zeros(e.of(x).shape))
            + rate * e.of(x)
            for x in group
            if x in e.sweep.totals
        }
        name = "weight decay with another rate" if has else "weight decay extra"
        yield Guess(name, why, None if len(totals) > 1 else variable, Change(totals=totals))


def stale(e: Evidence, step: Step, first: Variable, yours: Array) -> Iterator[Guess]:
    """dL/dH = delta W^T with a W that has already moved to W - eta dL/dW: eta is found by least squares."""
    W = step.equation.operands[1]
    if W not in e.sweep.totals or e.of(W).ndim != 2 or yours.size < 2:
        return
    true = e.sweep.totals[first]
    moved = e.sweep.changed(step.change(_through(step, e.sweep.totals[W])), first).get(first)
    if moved is None or moved.shape != true.shape or yours.shape != true.shape:
        return
    size = float(np.sum(moved * moved))
    if size == 0:
        return
    rate = float(np.sum((true - yours) * moved)) / size
    symbol = e.symbol(W)
    why = (
        f"{symbol} was updated before the gradient went back through it: what came back is delta ({symbol} - "
        f"{rate:.6g} d{symbol})^T. First all gradients, then the updates."
    )
    yield Guess("stale values after an update", why, step.variable, _all_stale(e, step, rate))
    alone = step.change(step.true - rate * _through(step, e.sweep.totals[W]))
    yield Guess("stale values after an update", why, step.variable, alone)


def _through(step: Step, V: Array) -> Array:
    """delta V^T, in the shape of H."""
    return (np.atleast_2d(step.g) @ V.T).reshape(step.true.shape)


def _all_stale(e: Evidence, first: Step, rate: float) -> Change:
    """Each layer from this one down is swept through after its own update."""
    change = Change()
    sweep = e.sweep
    for layer in reversed(e.layers):
        edge = next(
            (edge for edge in sweep.parts if layer.U is edge[0].target and layer.H is edge[0].operands[edge[1]]), None
        )
        if edge is None or layer.W is None or layer.W not in sweep.totals:
            continue
        if sweep.position[layer.U] > sweep.position[first.equation.target]:
            continue
        part = sweep.parts[edge]
        moved = (np.atleast_2d(sweep.totals[layer.U]) @ sweep.totals[layer.W].T).reshape(part.shape)
        new = Change(parts={edge: part - rate * moved})
        change = change | new
        sweep = sweep.after(new)
    return change
