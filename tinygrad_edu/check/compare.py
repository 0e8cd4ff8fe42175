"""The hand-derived gradients beside the automatic ones: a table that says for each whether they agree."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Literal, NamedTuple, Protocol

import numpy as np
from numpy.typing import ArrayLike

from tinygrad_edu.check.agreement import Array, floats, relative_error
from tinygrad_edu.check.layers import gradients_of
from tinygrad_edu.tensor import Tensor

__all__ = ["Comparison", "Row", "assert_gradients_match", "compare_gradients"]

TITLE = "gradients against the hand-derived equations"


class Named(Protocol):
    """What knows its gradients by name, as `tinygrad_edu.manual.Gradients` does."""

    def named(self) -> Mapping[str, ArrayLike]: ...


Gradients = Mapping[str, Any] | Named
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
    """The outcome of `compare_gradients`: true if every gradient agrees; printed, it is a table.

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

    @property
    def ok(self) -> bool:
        """Do all gradients agree, and is there at least one?"""
        return all(row.ok for row in self.rows) and len(self.rows) > 0

    def __bool__(self) -> bool:
        return self.ok

    def __str__(self) -> str:
        cells = [("", "shape", "error", "verdict")]
        for row in self.rows:
            error = "-" if row.error == np.inf else "0" if row.error == 0 else f"{row.error:.1e}"
            verdict = "ok" if row.ok else "WRONG"
            cells.append((row.symbol, str(row.shape), error, f"{verdict}  {row.note}".rstrip()))
        widths = [max(map(len, column)) for column in zip(*cells)]
        lines = ["  " + "  ".join(cell.ljust(width) for cell, width in zip(line, widths)) for line in cells]
        agree = sum(row.ok for row in self.rows)
        closing = f"{agree} of {len(self.rows)} agree to {self.rtol:g}"
        return "\n".join([TITLE, *(line.rstrip() for line in lines), closing])


def compare_gradients(
    manual: Gradients,
    automatic: Mapping[str, Any] | Tensor,
    rtol: float = 1e-10,
    *,
    convention: Convention = "rows",
) -> Comparison:
    r"""Compare gradients that were derived by hand with those of the graph, name by name.

    Two arrays agree if max |a - b| <= rtol max(max |a|, max |b|); `relative_error` says what holds for zeros,
    infinities and NaN.  Names that only one side has count as wrong, and so do shapes that differ, unless one side
    just lacks an axis of size one: (1, m) agrees with (m,), and (n, 1) with (n,), but not (1, m) with (m, 1).

    Parameters
    ----------
    manual : mapping of str to array_like, or an object whose method `named()` returns one
        "delta2", "dW2", "db2", "delta1", ..., as in `tinygrad_edu.manual`.
    automatic : mapping of str to array_like, or Tensor
        From a loss the gradients are taken by `gradients_of`: the graph stays alive, `.grad` as it is.
    rtol : float
        The relative error that counts as agreement.  1e-10 is for float64, where two right derivations differ by
        roundings only: some 1e-16, times the numbers that are added up.
    convention : "rows" or "columns"
        "columns" transposes what is in `manual` first: there delta is (out, n), dW (out, in) and db (out, 1).
        If the graph, too, was computed as W @ x + b, nothing needs to be transposed.

    Raises
    ------
    GraphError
        If the graph of the loss was freed.
    DtypeError
        For text, objects and complex numbers.
    TypeError, ValueError
        If `manual` is neither a mapping nor has `named()`; for a convention that does not exist.

    Examples
    --------
    >>> import numpy as np, tinygrad_edu as tg
    >>> X, T = np.array([[1.0, 2.0], [3.0, 4.0]]), np.array([[1.0], [0.0]])
    >>> W = tg.Tensor([[1.0], [1.0]], requires_grad=True)
    >>> b = tg.Tensor([0.0], requires_grad=True)
    >>> Y = tg.linear(X, W, b)
    >>> delta = Y.numpy() - T
    >>> mine = {"delta1": delta, "dW1": X.T @ delta, "db1": delta.mean(axis=0)}
    >>> print(compare_gradients(mine, ((Y - T) ** 2).sum() / 2))
    gradients against the hand-derived equations
              shape   error    verdict
      delta1  (2, 1)  0        ok
      dL/dW1  (2, 1)  0        ok
      dL/db1  (1,)    5.0e-01  WRONG
    2 of 3 agree to 1e-10
    """
    if convention not in ("rows", "columns"):
        raise ValueError(f'compare_gradients: convention {convention!r}: "rows" or "columns" is expected')
    yours = _arrays(manual)
    true = _arrays(gradients_of(automatic) if isinstance(automatic, Tensor) else automatic)
    if convention == "columns":
        yours = {name: array.T for name, array in yours.items()}
    names = [*true, *(name for name in yours if name not in true)]
    return Comparison(tuple(_row(name, yours.get(name), true.get(name), rtol) for name in names), rtol)


def assert_gradients_match(
    manual: Gradients,
    automatic: Mapping[str, Any] | Tensor,
    rtol: float = 1e-10,
    *,
    convention: Convention = "rows",
) -> None:
    """Assert in a test that `compare_gradients`, with the same arguments, finds everything right.

    Raises
    ------
    AssertionError
        If a gradient is wrong; its message is the table.

    Examples
    --------
    >>> import tinygrad_edu as tg
    >>> W = tg.Tensor([[1.0], [2.0]], requires_grad=True)
    >>> loss = tg.linear([[3.0, 4.0]], W, [0.0]).sum()
    >>> assert_gradients_match({"delta1": [[1.0]], "dW1": [[3.0], [4.0]]}, loss)
    """
    __tracebackhide__ = True  # pytest then shows the line that has called, not this one
    comparison = compare_gradients(manual, automatic, rtol, convention=convention)
    if not comparison:
        raise AssertionError(str(comparison))


def _arrays(gradients: Gradients) -> dict[str, Array]:
    """The gradients as float64 arrays; what is None is missing."""
    mapping = gradients.named() if hasattr(gradients, "named") else gradients
    if not isinstance(mapping, Mapping):
        raise TypeError(
            f"compare_gradients: a {type(gradients).__name__} given; a mapping of names to arrays is expected, or an "
            "object whose method named() returns one"
        )
    return {name: floats(array) for name, array in mapping.items() if array is not None}


def _row(name: str, yours: Array | None, true: Array | None, rtol: float) -> Row:
    """One gradient of yours beside the true one."""
    if yours is None or true is None:
        present = true if yours is None else yours
        assert present is not None
        note = "missing: only the graph has it" if yours is None else "unknown: the graph has no such gradient"
        return Row(name, present.shape, np.inf, False, note)
    if not _fit(yours.shape, true.shape):
        return Row(name, true.shape, np.inf, False, f"shape {yours.shape} vs {true.shape}")
    error = relative_error(yours.reshape(true.shape), true)
    note = " and ".join(side for side, a in (("yours", yours), ("the automatic one", true)) if np.isnan(a).any())
    return Row(name, true.shape, error, error <= rtol, f"NaN in {note}" if note else "")


def _fit(a: tuple[int, ...], b: tuple[int, ...]) -> bool:
    """Are these one shape, but for axes of size one that only the longer one has?"""
    return a == b or (len(a) != len(b) and [n for n in a if n != 1] == [n for n in b if n != 1])
