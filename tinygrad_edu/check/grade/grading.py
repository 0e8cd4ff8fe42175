"""The grader: what the reference says, what the submission says, and how they compare."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from tinygrad_edu.check.agreement import relative_error
from tinygrad_edu.check.grade.child import Limits, Outcome, run
from tinygrad_edu.check.grade.report import CaseGrade, FunctionGrade, GradeReport
from tinygrad_edu.check.grade.worker import Unreadable, decode, encode

__all__ = ["difference", "grade"]

Cases = Mapping[str, Sequence[tuple[Any, ...]]]
Explain = Callable[[str, tuple[Any, ...], Any, Any], str]


def grade(
    submission: str | Path,
    reference: str | Path,
    *,
    cases: Cases | None = None,
    seconds: float = 5.0,
    megabytes: float = 1024.0,
    rtol: float = 1e-6,
    atol: float = 1e-12,
    explain: Explain | None = None,
) -> GradeReport:
    r"""Grade a file of functions against a reference file, function by function.

    For each function that `cases` names, a child process imports the submission and calls it; what it returns is
    compared here with what the reference's function of the same name returns: structure, shapes, and values,
    max |a - b| <= max(rtol max(max |a|, max |b|), atol).  The share of right cases is the share of its points.

    Whatever the submission raises or prints is in the report; an endless loop, `sys.exit` or a crash costs it that
    function, never the report.  It gets a copy of its file in a folder of its own, and of the cases only the
    arguments.  (The package's docstring says what this does not protect from.)

    Parameters
    ----------
    submission, reference : path
        Python files.  The reference is trusted, and runs in this process.
    cases : mapping of str to a list of tuples, optional
        For each function the arguments of its calls: arrays, numbers, text, None, and tuples, lists and dicts of
        them.  The reference's own `cases` (such a dict, or a function that returns one) unless given.
    seconds, megabytes : float
        For each function, the import of the file included (NumPy's not).
    rtol, atol : float
        The difference that is allowed.
    explain : callable, optional
        `explain(name, arguments, returned, expected)` for the first wrong value of a function: its sentence becomes
        the `note` in the report.

    Returns
    -------
    GradeReport
        `print` it, or write its `.json()` and `.markdown()`; `.score` is the share of the points.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If the reference lacks cases or functions, raises, or returns NaN: that is no mistake of the submission's.
    OSError
        If the system cannot limit processes (Windows).

    Examples
    --------
    >>> import tempfile
    >>> folder = tempfile.TemporaryDirectory()
    >>> mine, right = Path(folder.name) / "mine.py", Path(folder.name) / "right.py"
    >>> _ = mine.write_text("def double(x):\n    return x + 2\n\ndef half(x):\n    return x / 0")
    >>> _ = right.write_text(
    ...     "def double(x):\n    return 2 * x\n\ndef half(x):\n    return x / 2\n\n"
    ...     "cases = {'double': [(2.0,), (3.0,)], 'half': [(1.0,)]}"
    ... )
    >>> print(grade(mine, right))
    mine.py: 0.5 of 2 points
      double  0.5  of 1  1 of 2 right; case 2: 5 returned, 6 is expected (relative error 0.17)
      half    0    of 1  0 of 1 right; case 1: raised ZeroDivisionError: float division by zero
    >>> folder.cleanup()
    """
    submission, reference = Path(submission), Path(reference)
    if os.name != "posix":
        raise OSError("grade: this system knows no limits for processes; grade on Linux or macOS (or in WSL)")
    for path in (submission, reference):
        if not path.is_file():
            raise FileNotFoundError(f"grade: there is no file {path}")
    module = _import(reference)
    calls = _cases(module, cases)
    points = _points(module, calls)
    expected = {name: [_expected(module, name, i, args) for i, args in enumerate(calls[name])] for name in calls}
    limits = Limits(seconds, megabytes)
    grades: list[FunctionGrade] = []
    outcome: Outcome | None = None
    for name, arguments in calls.items():
        if outcome is None or outcome.loaded:  # a file that does not import does not import the next time, either
            outcome = run(submission, name, arguments, limits)
        found, note = [], ""
        for i, right in enumerate(expected[name]):
            answer = outcome.answers.get(i)
            if answer is None:
                found.append(CaseGrade(False, "not reached"))
                continue
            problem = answer.problem or difference(answer.value, right, rtol, atol)
            found.append(CaseGrade(not problem, problem))
            if problem and not answer.problem and explain is not None and not note:
                note = explain(name, arguments[i], answer.value, right)
        grades.append(FunctionGrade(name, tuple(found), points[name], outcome.problem, outcome.printed, note))
    return GradeReport(submission.name, tuple(grades))


def difference(returned: Any, expected: Any, rtol: float = 1e-6, atol: float = 1e-12) -> str:
    """What is wrong with a value, in words; "" if nothing is.

    Examples
    --------
    >>> difference((1.0, np.zeros(3)), (1.0, np.zeros((3, 1))))
    'part 2: shape (3,) returned, (3, 1) is expected'
    """
    if isinstance(expected, dict):
        if not isinstance(returned, dict):
            return f"{_kind(returned)} returned, a dict is expected"
        if returned.keys() != expected.keys():
            return f"keys {_listed(returned)} returned, {_listed(expected)} are expected"
        parts = ((repr(key), returned[key], expected[key]) for key in expected)
    elif isinstance(expected, (tuple, list)):
        if not isinstance(returned, (tuple, list)):
            return f"{_kind(returned)} returned, a {type(expected).__name__} of {len(expected)} is expected"
        if len(returned) != len(expected):
            return f"{len(returned)} values returned, {len(expected)} are expected"
        parts = ((f"part {i}", a, b) for i, (a, b) in enumerate(zip(returned, expected), start=1))
    else:
        return _difference(returned, expected, rtol, atol)
    return next((f"{name}: {problem}" for name, a, b in parts if (problem := difference(a, b, rtol, atol))), "")


def _difference(returned: Any, expected: Any, rtol: float, atol: float) -> str:
    """The same for what has no parts."""
    if not _numeric(expected):
        same = type(returned) is type(expected) and returned == expected
        return "" if same else f"{_shown(returned)} returned, {_shown(expected)} is expected"
    if not _numeric(returned):
        return f"{_kind(returned)} returned, {_kind(expected)} is expected"
    a, b = np.asarray(returned), np.asarray(expected)
    if a.shape != b.shape:
        return f"shape {a.shape} returned, {b.shape} is expected"
    if a.dtype.kind == "c":
        return "complex numbers returned, real ones are expected"
    a, b = a.astype(float), b.astype(float)
    error = relative_error(a, b)
    if error <= rtol or (np.isfinite(a).all() and np.abs(a - b).max(initial=0) <= atol):
        return ""
    if np.isnan(a).any():
        return f"NaN in {int(np.isnan(a).sum())} of {a.size} entries"
    numbers = f"{a:.6g} returned, {b:.6g} is expected " if a.ndim == 0 else ""
    return f"{numbers}(relative error {error:.2g})" if numbers else f"relative error {error:.2g}"


def _numeric(x: Any) -> bool:
    return isinstance(x, (np.ndarray, np.generic, bool, int, float, complex))


def _kind(x: Any) -> str:
    """What a value is, in words."""
    if isinstance(x, np.ndarray) and x.ndim:
        return f"an array of shape {x.shape}"
    if x is None:
        return "None"
    return "a number" if _numeric(x) else f"a {type(x).__name__}"


def _shown(x: Any) -> str:
    text = _kind(x) if _numeric(x) else repr(x)
    return text if len(text) <= 60 else text[:57] + "..."


def _listed(keys: Any) -> str:
    return ", ".join(sorted(map(_shown, keys))) or "none"


def _import(path: Path) -> ModuleType:
    """The reference file as a module."""
    specification = importlib.util.spec_from_file_location("reference", path)
    if specification is None or specification.loader is None:
        raise ValueError(f"grade: {path} is no Python file")
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


def _cases(module: ModuleType, given: Cases | None) -> dict[str, list[tuple[Any, ...]]]:
    """The calls to make, by function; checked, so that the submission is not blamed for them."""
    cases = getattr(module, "cases", None) if given is None else given
    cases = cases() if callable(cases) else cases
    if not isinstance(cases, Mapping) or not cases:
        raise ValueError(
            "grade: the reference says no cases; let it define a dict with the arguments of the calls: "
            'cases = {"relu": [(np.array([-1.0, 2.0]),)]}'
        )
    for name, calls in cases.items():
        if not callable(getattr(module, name, None)):
            raise ValueError(f"grade: there are cases for {name}, but the reference has no such function")
        if not isinstance(calls, (list, tuple)) or not calls:
            raise ValueError(f"grade: the cases of {name} are no list of calls: [(x,), (y,)]")
        for i, arguments in enumerate(calls, start=1):
            if not isinstance(arguments, tuple):
                raise ValueError(
                    f"grade: case {i} of {name} is {_kind(arguments)}; a tuple of arguments is expected, (x,)"
                )
    return {name: list(calls) for name, calls in cases.items()}


def _points(module: ModuleType, names: Mapping[str, Any]) -> dict[str, float]:
    """The weight of each function: 1 unless the reference says otherwise."""
    said = dict(getattr(module, "points", {}))
    unknown = said.keys() - names.keys()
    if unknown:
        raise ValueError(f"grade: there are points for {_listed(unknown)}, but no cases")
    points = {name: float(said.get(name, 1)) for name in names}
    if not all(p > 0 for p in points.values()):
        raise ValueError(f"grade: points are positive numbers, {points} given")
    return points


def _expected(module: ModuleType, name: str, i: int, arguments: tuple[Any, ...]) -> Any:
    """What the reference returns, of arguments of its own: it may write into them."""
    where = f"grade: the reference's {name}, case {i + 1},"
    try:
        arguments = decode(encode(arguments))
    except Unreadable as error:
        raise ValueError(f"{where} has {error} among its arguments; arrays, numbers and text are expected") from None
    try:
        value = getattr(module, name)(*arguments)
    except Exception as error:
        raise ValueError(f"{where} raises {type(error).__name__}: {error}") from error
    try:
        value = decode(encode(value))
    except Unreadable as error:
        raise ValueError(f"{where} returns {error}; arrays, numbers and text are expected") from None
    if difference(value, value, 0, 0):
        raise ValueError(f"{where} returns NaN, or complex numbers, with which nothing can be compared")
    return value
