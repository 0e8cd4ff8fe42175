"""The hand-derived gradients beside the automatic ones: for each whether it agrees, and for what is wrong, why."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, Literal, NamedTuple, Protocol

import numpy as np
from numpy.typing import ArrayLike

from tinygrad_edu.check.agreement import Array, floats, relative_error
from tinygrad_edu.check.diagnosis.calling import Answer, answer_of, caller, can_be_called
from tinygrad_edu.check.diagnosis.diagnosing import diagnose
from tinygrad_edu.check.diagnosis.evidence import Evidence, evidence_of
from tinygrad_edu.check.diagnosis.naming import matched_names
from tinygrad_edu.check.diagnosis.report import Diagnosis, Mistake
from tinygrad_edu.check.diagnosis.search import fitting, matches, roundings
from tinygrad_edu.check.layers import gradients_of
from tinygrad_edu.program import Variable
from tinygrad_edu.tensor import Tensor

__all__ = ["Comparison", "Row", "assert_gradients_match", "compare_gradients"]

WHOLE = ("the loss", "the weights", "the parameters")  # where a mistake is made that is no single gradient's
TITLE = "gradients against the hand-derived equations"


class Named(Protocol):
    """What knows its gradients by name, as `tinygrad_edu.manual.Gradients` does."""

    def named(self) -> Mapping[str, ArrayLike]: ...


Gradients = Mapping[str, Any] | Named
Manual = Gradients | Callable[..., Any] | Any  # or an object with `backward`
Convention = Literal["rows", "columns"]


class Row(NamedTuple):
    """One line of a Comparison: a gradient, and how it compares.

    Examples
    --------
    >>> Row("dW2", (3, 4), 2.2e-16, True, "").symbol
    'dL/dW2'
    """

    name: str
    shape: tuple[int, ...]  # of the automatic gradient, where there is one
    error: float  # relative_error; inf where there are no two arrays to compare
    ok: bool
    note: str

    @property
    def symbol(self) -> str:
        """The name as the mathematics writes it: delta3, dL/dW3, dL/db3."""
        if re.fullmatch(r"delta\d*", self.name):
            return self.name
        return f"dL/{self.name}" if re.fullmatch(r"d[Wb]\d*", self.name) else f"dL/d{self.name}"


class Comparison(NamedTuple):
    """The outcome of `compare_gradients`: true if every gradient agrees; printed, it is a table and the diagnosis.

    Examples
    --------
    >>> print(Comparison((Row("delta1", (4, 2), 1e-16, True, ""), Row("db1", (2,), 0.75, False, "")), 1e-10))
    gradients against the hand-derived equations
              shape   error    verdict
      delta1  (4, 2)  1.0e-16  ok
      dL/db1  (2,)    7.5e-01  WRONG
    1 of 2 agree to 1e-10
    """

    rows: tuple[Row, ...]
    rtol: float
    diagnosis: Diagnosis = Diagnosis()

    @property
    def ok(self) -> bool:
        """Do all gradients agree, is there at least one, and was no other mistake found?"""
        return all(row.ok for row in self.rows) and len(self.rows) > 0 and not self.diagnosis

    @property
    def mistakes(self) -> tuple[Mistake, ...]:
        """The mistakes, in the order of the sweep."""
        return self.diagnosis.mistakes

    def __bool__(self) -> bool:
        return self.ok

    def __str__(self) -> str:
        cells = [("", "shape", "error", "verdict")]
        for row in self.rows:
            error = "-" if row.error == np.inf else "0" if row.error == 0 else f"{row.error:.1e}"
            verdict = "ok" if row.ok else "" if row.note.startswith("follows from") else "WRONG"
            cells.append((row.symbol, str(row.shape), error, f"{verdict}  {row.note}".strip()))
        widths = [max(map(len, column)) for column in zip(*cells)]
        lines = ["  " + "  ".join(cell.ljust(width) for cell, width in zip(line, widths)) for line in cells]
        agree = sum(row.ok for row in self.rows)
        closing = f"{agree} of {len(self.rows)} agree to {self.rtol:g}"
        table = "\n".join([TITLE, *(line.rstrip() for line in lines), closing])
        return f"{table}\n\n{self.diagnosis}" if self.diagnosis else table


def compare_gradients(
    manual: Manual,
    automatic: Mapping[str, Any] | Tensor,
    rtol: float = 1e-10,
    *,
    convention: Convention = "rows",
    updated: Mapping[str, Any] | None = None,
) -> Comparison:
    r"""Compare gradients that were derived by hand with those of the graph, name by name; say which mistake is in them.

    Two arrays agree if max |a - b| <= rtol max(max |a|, max |b|); `relative_error` says what holds for zeros,
    infinities and NaN.  Gradients that only one side has count as wrong (but for deltas, which you may leave out), and
    so do shapes that differ, unless one side just lacks an axis of size one: (1, m) agrees with (m,), and (n, 1) with
    (n,), but not (1, m) with (m, 1).

    If `automatic` is a loss, what is wrong is explained.  The mistakes that people make are tried one by one at each
    step before the first wrong gradient: what would this mistake have yielded, from the true gradient that arrives at
    the step, and the forward values?  A mistake that yields just your numbers is named, with the line that would be
    right; several that do are named together.  If none does, it is only described how your numbers differ.

    Parameters
    ----------
    manual : mapping of str to array_like; or an object whose method `named()` returns one; or what computes one
        "delta2", "dW2", "db2", "delta1", ..., as in `tinygrad_edu.manual`; against a loss also d2, δ2, W2, dL/dW2,
        grad_W2, fc2.weight, dH1, ...

        A function is called with the graph's inputs by the names of its parameters, `def backward(X, t, W1, b1, W2,
        b2)`, and returns a mapping, or `(loss, mapping)`.  An object may have `forward(X)` and `backward(t)`, which
        returns a mapping or sets attributes dW1, db1, ...  Then the diagnosis can run it on data that tell mistakes
        apart which yield the same numbers on yours.
    automatic : Tensor, or mapping of str to array_like
        From a loss the gradients are taken by `gradients_of`: the graph stays alive, `.grad` as it is.
    rtol : float
        The relative error that counts as agreement.  1e-10 is for float64, where two right derivations differ by
        roundings only: some 1e-16, times the numbers that are added up.  Gradients computed in float32 need 1e-5.
    convention : "rows" or "columns"
        "columns" transposes what is in `manual` first: there delta is (out, n), dW (out, in) and db (out, 1).
        If the graph, too, was computed as W @ x + b, nothing needs to be transposed.
    updated : mapping of str to array_like, optional
        Your parameters after one step of descent, "W1", "b1", ...: does it go downhill?

    Raises
    ------
    GraphError
        If the graph of the loss was freed.
    DtypeError
        For text, objects and complex numbers.
    TypeError, ValueError
        If `manual` is none of these things; for a convention that does not exist.

    Examples
    --------
    >>> import numpy as np, tinygrad_edu as tg
    >>> X, T = np.array([[1.0, 2.0], [3.0, 4.0], [5.0, 7.0]]), np.array([[1.0], [0.0], [1.0]])
    >>> W = tg.Tensor([[1.0], [1.0]], requires_grad=True)
    >>> b = tg.Tensor([0.0], requires_grad=True)
    >>> Y = tg.linear(X, W, b)
    >>> delta = Y.numpy() - T
    >>> mine = {"delta1": delta, "dW1": X.T @ delta, "db1": delta.mean(axis=0)}
    >>> print(compare_gradients(mine, ((Y - T) ** 2).sum() / 2))
    gradients against the hand-derived equations
              shape   error    verdict
      delta1  (3, 1)  0        ok
      dL/dW1  (2, 1)  0        ok
      dL/db1  (1,)    6.7e-01  WRONG  bias averaged over the batch
    2 of 3 agree to 1e-10
    <BLANKLINE>
    1 mistake:
      db1: bias averaged over the batch (fits to 1e-16)
        b was added to every row, so its gradient is the sum of the rows. (The 1/n of a mean is in delta already.)
        right: db1 = delta1.sum(axis=0)
    """
    if convention not in ("rows", "columns"):
        raise ValueError(f'compare_gradients: convention {convention!r}: "rows" or "columns" is expected')
    if isinstance(automatic, Tensor):
        return _with_graph(manual, automatic, rtol, convention, updated)
    if updated is not None:
        raise ValueError("compare_gradients: updated is compared with a graph; pass the loss itself, not a mapping")
    yours = _turned(answer_of(manual), convention).gradients
    if not isinstance(automatic, Mapping):
        raise TypeError(f"compare_gradients: a {type(automatic).__name__} given; a mapping or a loss is expected")
    true = {name: floats(array) for name, array in automatic.items() if array is not None}
    names = [*true, *(name for name in yours if name not in true)]
    return Comparison(tuple(_row(name, yours.get(name), true.get(name), rtol) for name in names), rtol)


def assert_gradients_match(
    manual: Manual,
    automatic: Mapping[str, Any] | Tensor,
    rtol: float = 1e-10,
    *,
    convention: Convention = "rows",
    updated: Mapping[str, Any] | None = None,
) -> None:
    """Assert in a test that `compare_gradients`, with the same arguments, finds everything right.

    Raises
    ------
    AssertionError
        If a gradient is wrong; its message is the table, and the diagnosis.

    Examples
    --------
    >>> import tinygrad_edu as tg
    >>> W = tg.Tensor([[1.0], [2.0]], requires_grad=True)
    >>> loss = tg.linear([[3.0, 4.0]], W, [0.0]).sum()
    >>> assert_gradients_match({"delta1": [[1.0]], "dW1": [[3.0], [4.0]]}, loss)
    """
    __tracebackhide__ = True  # pytest then shows the line that has called, not this one
    comparison = compare_gradients(manual, automatic, rtol, convention=convention, updated=updated)
    if not comparison:
        raise AssertionError(str(comparison))


def _with_graph(
    manual: Manual, loss: Tensor, rtol: float, convention: Convention, updated: Mapping[str, Any] | None
) -> Comparison:
    """Gradients by hand beside those of a recorded loss, and the diagnosis of what is wrong."""
    true: dict[str, Array] = {name: floats(array) for name, array in gradients_of(loss).items()}
    e = evidence_of(loss)
    call = None
    if can_be_called(manual):
        run, depends = caller(manual, e)

        def again(values: Mapping[Variable, Any]) -> Answer:
            return _turned(run(values), convention)

        answer = again({x: x.value for x in e.program.inputs})
        call = again if depends else None
    else:
        answer = _turned(answer_of(manual), convention)
    yours, unknown = _matched(e, answer.gradients)
    for name, variable in e.targets.items():  # dH1, dy: what was given and is no layer's
        true.setdefault(name, e.sweep.totals.get(variable, np.zeros(variable.shape)))
    wanted = {name for name, x in e.targets.items() if x.kind == "parameter"}
    names = [name for name in true if name in yours or name in wanted]
    rows = [_row(name, yours.get(name), true[name], rtol, e.sweep.magnitude(e.targets[name])) for name in names]
    rows += [_row(name, array, None, rtol) for name, array in unknown.items()]
    told = answer.value is not None or updated is not None or call is not None
    if not told and all(row.ok for row in rows):
        return Comparison(tuple(rows), rtol)
    steps = _turned(Answer({name: floats(x) for name, x in (updated or {}).items()}), convention).gradients
    moved, strange = _matched(e, steps)
    if strange:
        raise ValueError(f"compare_gradients: updated has {', '.join(strange)}, which the graph does not know")
    wrong = {row.name for row in rows if not row.ok}
    suspect = wrong & set(yours)
    columns = convention == "columns"
    diagnosis = Diagnosis()
    if suspect or told:
        diagnosis = diagnose(e, yours, rtol, call, answer.value, moved, columns)
    return Comparison(tuple(_explained(row, diagnosis) for row in rows), rtol, diagnosis)


def _matched(e: Evidence, given: Mapping[str, Array]) -> tuple[dict[str, Array], dict[str, Array]]:
    """What was given under the graph's own names for it; and what the graph does not know."""
    names = matched_names(e, given)
    yours: dict[str, Array] = {}
    meant: dict[str, str] = {}
    for name, own in names.items():
        if own in yours:
            raise ValueError(f"compare_gradients: {meant[own]!r} and {name!r} are two names of one gradient, {own}")
        yours[own], meant[own] = given[name], name
    return yours, {name: array for name, array in given.items() if name not in names}


def _turned(answer: Answer, convention: Convention) -> Answer:
    """An answer with samples as rows."""
    if convention == "rows":
        return answer
    return Answer({name: array.T for name, array in answer.gradients.items()}, answer.value)


def _explained(row: Row, diagnosis: Diagnosis) -> Row:
    """A row with the name of its mistake, or that of the one that it follows from."""
    if row.ok:
        return row
    for mistake in diagnosis.mistakes:
        if mistake.name == row.name:
            if mistake.where != row.name and mistake.where not in WHOLE:
                return row._replace(note=f"follows from {mistake.where}: {mistake.title}")
            return row._replace(note=mistake.title)
    for mistake in diagnosis.mistakes:
        if row.name in mistake.follows:
            if mistake.where in WHOLE:
                return row._replace(note=f"as {mistake.name}")
            return row._replace(note=f"follows from {mistake.where}")
    return row


def _row(name: str, yours: Array | None, true: Array | None, rtol: float, magnitude: float = 0.0) -> Row:
    """One gradient of yours beside the true one.

    Where large numbers have cancelled, what is left are their roundings: then `magnitude`, the size of these numbers,
    is the unit of the error.
    """
    if yours is None or true is None:
        present = true if yours is None else yours
        assert present is not None
        note = "missing: only the graph has it" if yours is None else "unknown: the graph has no such gradient"
        return Row(name, present.shape, np.inf, False, note)
    if not fitting(yours.shape, true.shape):
        return Row(name, true.shape, np.inf, False, f"shape {yours.shape} vs {true.shape}")
    error = relative_error(yours.reshape(true.shape), true)
    note = " and ".join(side for side, a in (("yours", yours), ("the automatic one", true)) if np.isnan(a).any())
    if rtol < error < np.inf and matches(yours, true, rtol, roundings(magnitude, rtol)):
        error = float(np.abs(yours.reshape(true.shape) - true).max()) / magnitude
    return Row(name, true.shape, error, error <= rtol, f"NaN in {note}" if note else "")
