"""From gradients by hand and a recorded loss to a Diagnosis: search, probe, say what was found and how sure it is."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from tinygrad_edu.check.agreement import Array, relative_error
from tinygrad_edu.check.diagnosis.calling import Answer
from tinygrad_edu.check.diagnosis.describing import describe
from tinygrad_edu.check.diagnosis.evidence import Evidence
from tinygrad_edu.check.diagnosis.lines import right_line
from tinygrad_edu.check.diagnosis.naming import matched_names
from tinygrad_edu.check.diagnosis.probing import Probe, probes
from tinygrad_edu.check.diagnosis.report import Diagnosis, Mistake
from tinygrad_edu.check.diagnosis.search import Finding, find, fitting, matches
from tinygrad_edu.check.diagnosis.updating import wrong_updates
from tinygrad_edu.program import Variable

__all__ = ["diagnose"]

SEEN = "this is what is seen; no mistake that is known here yields these numbers"
Call = Callable[[Mapping[Variable, Any]], Answer]


def diagnose(
    e: Evidence,
    yours: Mapping[str, Array],
    rtol: float = 1e-10,
    call: Call | None = None,
    value: float | None = None,
    updated: Mapping[str, Array] | None = None,
    columns: bool = False,
) -> Diagnosis:
    """The mistakes in `yours`, gradients under the names of `e.targets`.

    `call` computes them anew from other inputs, for a probe; `value` is the loss that was handed in with them;
    `updated` are parameters after a step.  `columns` is how the right lines are written.
    """
    findings = find(e, yours, rtol)
    probe, there, probed = _probe(e, call, rtol) if findings and call is not None else (None, e, [])
    if not findings:
        mistakes = []
    elif (rounded := _roundings_only(e, yours, rtol)) is not None:
        mistakes = [rounded]
    elif probe is not None and not all(f.names for f in findings) and 0 < len(probed) <= len(findings):
        known = {name for finding in findings for name in finding.names}
        mistakes = [_mistake(there, _only(finding, known), rtol, columns, probe, probed) for finding in probed]
    else:
        mistakes = [_mistake(e, finding, rtol, columns, probe, probed) for finding in findings]
    if call is not None:
        mistakes += _not_zeroed(e, call, mistakes)
    if value is not None:
        mistakes = _two_losses(e, yours, value, rtol, mistakes)
    if updated:
        mistakes += wrong_updates(e, updated, yours, rtol)
    return Diagnosis(tuple(mistakes))


def given_names(e: Evidence, answer: Answer) -> dict[str, Array]:
    """An answer's gradients under the names of `e.targets`; what means nothing is left out."""
    names = matched_names(e, answer.gradients)
    return {names[name]: array for name, array in answer.gradients.items() if name in names}


def _only(finding: Finding, names: set[str]) -> Finding:
    """A finding on the probe without the names that do not fit on the data: there they were a coincidence."""
    finding.candidates = [guess for guess in finding.candidates if not guess.name or guess.name in names]
    return finding


def _roundings_only(e: Evidence, yours: Mapping[str, Array], rtol: float) -> Mistake | None:
    """Are all gradients right to six digits or more?  Then no derivation is wrong."""
    errors = {}
    for name, mine in yours.items():
        true = e.sweep.totals.get(e.targets[name])
        if true is None or not fitting(mine.shape, true.shape):
            return None
        errors[name] = relative_error(mine.reshape(true.shape), true)
    worst = max(errors, key=lambda name: errors[name])
    if errors[worst] > 3e-6:
        return None
    says = (
        f"All are right to {-np.log10(errors[worst]):.0f} digits or more, which is not {rtol:g}: roundings of float32, "
        "or a small number added to a denominator or a logarithm? Compute in float64, or compare with rtol=1e-5."
    )
    return Mistake(worst, "all gradients", (), SEEN, says, follows=tuple(x for x in errors if x != worst))


def _probe(e: Evidence, call: Call, rtol: float) -> tuple[Probe | None, Evidence, list[Finding]]:
    """The first probe on which the function runs, and what is wrong there."""
    for probe in probes(e):
        try:
            with np.errstate(all="ignore"):
                there = e.at(probe.values)
                if not np.isfinite(there.of(there.sweep.root)).all():
                    continue
                yours = given_names(there, call(there.values))
        except Exception:  # somebody else's code, on shapes that it was not written for
            continue
        found = find(there, yours, rtol)
        if found:
            return probe, there, found
    return None, e, []


def _mistake(
    e: Evidence, finding: Finding, rtol: float, columns: bool, probe: Probe | None, probed: Sequence[Finding]
) -> Mistake:
    """A finding in words, its candidates narrowed down to those that fit on the probe, too."""
    names = finding.names
    there = _counterpart(finding, probed)
    confirmed = there is not None and bool(set(there.names) & set(names))
    if there is not None and confirmed:
        names = [name for name in names if name in there.names]
    assert finding.variable is not None
    assert finding.expected is not None
    line = right_line(e, e.targets.get(finding.where, finding.variable), columns)
    if not names:
        says = next((guess.why for guess in finding.candidates), None) or _described(e, finding, rtol)
        if finding in probed and probe is not None:
            says += f" (on a probe: {probe.words})"
        return Mistake(finding.name, finding.where, (), SEEN, says, line, tuple(finding.follows))
    why = next(guess.why for guess in finding.candidates if guess.name == names[0])
    remark = ""
    if len(names) > 1:
        sure = "they yield the same numbers here"
        remark = _ambiguity(e, names, probe)
        why = " ".join(dict.fromkeys(g.why for g in finding.candidates if g.name in names))
    elif confirmed and probe is not None:
        sure = f"certain: nothing else fits, also on a probe ({probe.words})"
    else:
        sure = f"fits to {max(finding.error, 1e-16):.0e}"
    if finding.elsewhere:
        remark = f"{remark} What is made from {finding.name} is right: the mistake is in this one alone.".strip()
    return Mistake(finding.name, finding.where, tuple(names), sure, why, line, tuple(finding.follows), remark)


def _described(e: Evidence, finding: Finding, rtol: float) -> str:
    """What can be seen of a gradient that no mistake in the tables explains."""
    variable, mine, true = finding.variable, finding.mine, finding.expected
    assert variable is not None
    assert mine is not None
    assert true is not None
    layer = e.layer_of(variable)
    inside = layer is not None and variable is layer.U
    others = {name: e.sweep.totals[x] for name, x in e.targets.items() if x is not variable and x in e.sweep.totals}
    if finding.variable is not e.targets[finding.name]:
        rtol = max(rtol, 1e-8)  # it was solved for
    seen = describe(mine, true, rtol, others, (e.symbol(variable), e.of(variable)) if inside else None)
    output = next((o for o in e.outputs if o.v is variable), None)
    if output is not None and mine.shape == true.shape and np.isfinite(mine).all() and seen.startswith("no pattern"):
        target = describe(output.a - mine / output.k, output.t, 1e-8)
        if not target.startswith("no pattern"):
            seen = f"as if the targets were others: {target}"
    return f"{finding.where}, which {finding.name} tells: {seen}" if variable is not e.targets[finding.name] else seen


def _counterpart(finding: Finding, probed: Sequence[Finding]) -> Finding | None:
    """The same mistake on the probe."""
    for key in ("where", "name"):
        for other in probed:
            if getattr(other, key) == getattr(finding, key) and set(other.names) & set(finding.names):
                return other
    return next((x for x in probed if set(x.names) & set(finding.names)), None)


def _ambiguity(e: Evidence, names: Sequence[str], probe: Probe | None) -> str:
    """Why several mistakes look alike."""
    if probe is not None:
        return f"They can't be told apart by numbers: not on a probe either ({probe.words})."
    reasons = []
    if e.n == 1:
        reasons.append("there is one sample")
    if e.n == 2:
        reasons.append("n = 2")
    if e.n == e.classes > 1:
        reasons.append(f"n = C = {e.n}")
    if any(len(set(W.shape)) == 1 and len(W.shape) == 2 for W in e.weights):
        reasons.append("a weight is square")
    if any(not e.of(W).any() for W in e.weights):
        reasons.append("a weight is zero")
    because = f" ({', '.join(reasons)})" if reasons else ""
    return f"Your data can't tell them apart{because}. Pass the function itself, and it is run on data that can."


def _not_zeroed(e: Evidence, call: Call, mistakes: Sequence[Mistake]) -> list[Mistake]:
    """Does a second call add to what the first one has left?"""
    first, second = (given_names(e, call(e.values)) for _ in range(2))
    for name, before in first.items():
        after = second.get(name)
        if after is None or after.shape != before.shape or np.array_equal(after, before, equal_nan=True):
            continue
        says = (
            f"Called twice with the same inputs, it returns another {name} the second time: {describe(after, before)}."
        )
        names = () if name not in second or not _grows(before, after) else ("accumulated twice or not zeroed",)
        line = "set all gradients to zero before each sweep"
        return [Mistake(name, name, names, "certain: it was called twice", says, line)]
    return []


def _grows(before: Array, after: Array) -> bool:
    """k times, then k + 1 times the same."""
    if not before.any():
        return False
    ratio = float(np.sum(after * before) / np.sum(before * before))
    return ratio > 1 and relative_error(after, ratio * before) < 1e-9


TWO = "value and gradient of two different losses"


def _two_losses(
    e: Evidence, yours: Mapping[str, Array], value: float, rtol: float, mistakes: list[Mistake]
) -> list[Mistake]:
    """Compare the value that came with the gradients: are both those of this loss, or at least of one loss?"""
    true = float(e.of(e.sweep.root))
    ratio = value / true if true else np.inf
    of_gradient = _common_factor(e, yours, rtol)
    right = abs(ratio - 1) <= max(rtol, 1e-10)
    if right and (of_gradient is None or of_gradient == 1 or of_gradient <= 0):
        return mistakes
    if of_gradient is not None and np.isclose(ratio, of_gradient, rtol=1e-9):
        if not mistakes:
            return mistakes
        first = mistakes[0]
        remark = (
            f"Your value is {_times(e, ratio)} that of this graph, as your gradient is: both are of one other loss."
        )
        return [first._replace(remark=f"{first.remark} {remark}".strip()), *mistakes[1:]]
    if of_gradient is None and right:
        return mistakes
    if of_gradient is None:
        says = f"Your value is {value:.6g}, {_times(e, ratio)} that of this graph, {true:.6g}."
        return [*mistakes, Mistake("the loss", "the loss", ("value of another loss",), "certain", says)]
    if right:
        remark = f"Your value is that of this loss, your gradient is not: {TWO}."
        return [m._replace(remark=f"{m.remark} {remark}".strip()) if m is mistakes[0] else m for m in mistakes]
    says = (
        f"Your value, {value:.6g}, is {_times(e, ratio)} that of this graph's loss, {true:.6g}; your gradient is "
        f"{_times(e, of_gradient)} that of this loss. Differences of this value will not agree with this gradient, and "
        "a learning rate that suits the one does not suit the other."
    )
    return [*mistakes, Mistake("the loss", "the loss", (TWO,), "certain", says)]


def _common_factor(e: Evidence, yours: Mapping[str, Array], rtol: float) -> float | None:
    """c, if the gradients of all parameters are c times the true ones; None if there is no such number."""
    pairs = [(yours[name], e.sweep.totals[x]) for name, x in e.targets.items() if name in yours and x in e.parameters]
    if not pairs:
        return None
    if all(matches(mine, true, rtol) for mine, true in pairs):
        return 1.0
    mine, true = max(pairs, key=lambda pair: pair[1].size)
    if mine.size != true.size or not true.any():
        return None
    c = float(np.sum(mine.reshape(true.shape) * true) / np.sum(true * true))
    return c if all(matches(mine, c * true, rtol) for mine, true in pairs) else None


def _times(e: Evidence, ratio: float) -> str:
    """A factor as a person says it."""
    n, C = e.n, e.classes
    known = [(1.0, "exactly"), (n, f"n = {n} times"), (1 / n, f"1/n = 1/{n} times"), (2.0, "twice"), (0.5, "half of")]
    known += [(n / 2, f"n/2 = {n / 2:g} times"), (2 / n, f"2/n = {2 / n:g} times"), (n * C, f"n C = {n * C} times")]
    known += [(-1.0, "minus")]
    return next((text for number, text in known if np.isclose(ratio, number, rtol=1e-9)), f"{ratio:.6g} times")
