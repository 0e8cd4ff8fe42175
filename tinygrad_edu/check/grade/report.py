"""The outcome of grading, for a person to read and for a program: text, Markdown, JSON."""

from __future__ import annotations

import json
from typing import NamedTuple

__all__ = ["CaseGrade", "FunctionGrade", "GradeReport"]


class CaseGrade(NamedTuple):
    """One call of a function: was the value right, and if not, what was wrong with it.

    Examples
    --------
    >>> CaseGrade(False, "relative error 0.5").ok
    False
    """

    ok: bool
    problem: str = ""


class FunctionGrade(NamedTuple):
    """One function: its cases, what was printed while it ran, and room for a remark.

    Examples
    --------
    >>> half = FunctionGrade("softmax", (CaseGrade(True), CaseGrade(False, "relative error 0.5")), points=2.0)
    >>> half.score, half.verdict
    (1.0, '1 of 2 right; case 2: relative error 0.5')
    """

    name: str
    cases: tuple[CaseGrade, ...]
    points: float = 1.0
    problem: str = ""  # what ended the function as a whole
    printed: str = ""  # with the tracebacks
    note: str = ""  # what a diagnosis has to say

    @property
    def score(self) -> float:
        """The points that were reached: the share of the cases that are right."""
        return self.points * sum(case.ok for case in self.cases) / len(self.cases)

    @property
    def ok(self) -> bool:
        """Is everything right?"""
        return all(case.ok for case in self.cases)

    @property
    def verdict(self) -> str:
        """The outcome in one line: how many cases are right, and what is wrong with the first other one."""
        right = f"{sum(case.ok for case in self.cases)} of {len(self.cases)} right"
        if self.problem:
            return f"{right}; {self.problem}"
        wrong = [f"; case {i}: {case.problem}" for i, case in enumerate(self.cases, start=1) if not case.ok]
        return right + (wrong[0] if wrong else "")


class GradeReport(NamedTuple):
    """The grades of a submission; true if everything is right.

    Examples
    --------
    >>> right, wrong = CaseGrade(True), CaseGrade(False, "relative error 0.5")
    >>> report = GradeReport("mine.py", (FunctionGrade("relu", (right,)), FunctionGrade("softmax", (right, wrong))))
    >>> print(report)
    mine.py: 1.5 of 2 points
      relu     1    of 1  1 of 1 right
      softmax  0.5  of 1  1 of 2 right; case 2: relative error 0.5
    >>> report.score, bool(report)
    (0.75, False)
    """

    submission: str
    functions: tuple[FunctionGrade, ...]

    @property
    def points(self) -> float:
        """The points that can be reached."""
        return sum(each.points for each in self.functions)

    @property
    def score(self) -> float:
        """The share of the points that was reached, from 0 to 1."""
        return sum(each.score for each in self.functions) / self.points

    def __bool__(self) -> bool:
        return all(each.ok for each in self.functions)

    def __str__(self) -> str:
        rows = [(each.name, f"{each.score:.4g}", f"of {each.points:g}", each.verdict) for each in self.functions]
        widths = [max(map(len, column)) for column in zip(*rows)]
        lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip() for row in rows]
        notes = [each.note and f"\n    {each.note}" for each in self.functions]
        return "\n".join([self._title(), *(f"  {line}{note}" for line, note in zip(lines, notes))])

    def _title(self) -> str:
        return f"{self.submission}: {sum(each.score for each in self.functions):.4g} of {self.points:g} points"

    def json(self) -> str:
        """Everything, for a program: {"submission", "score", "points", "functions": [{"name", "cases", ...}]}."""
        functions = [
            {
                "name": each.name,
                "score": each.score,
                "points": each.points,
                "verdict": each.verdict,
                "problem": each.problem,
                "note": each.note,
                "printed": each.printed,
                "cases": [case._asdict() for case in each.cases],
            }
            for each in self.functions
        ]
        summary = {"submission": self.submission, "score": self.score, "points": self.points}
        return json.dumps({**summary, "functions": functions}, indent=2)

    def markdown(self) -> str:
        """A table, and what each function printed or raised, for a student to read."""
        lines = [f"# {_cell(self._title())}", "", "| function | points | verdict |", "|---|---|---|"]
        for each in self.functions:
            verdict = " ".join(filter(None, [each.verdict, each.note and f"({each.note})"]))
            lines.append(f"| {_code(each.name)} | {each.score:.4g} of {each.points:g} | {_cell(verdict)} |")
        for each in self.functions:
            if each.printed.strip():
                fence = "`" * max(3, 1 + _longest_run(each.printed))
                lines += ["", f"## {_cell(each.name)} printed", "", f"{fence}text", each.printed.rstrip("\n"), fence]
        return "\n".join(lines) + "\n"


def _code(text: str) -> str:
    return f"`{text}`"


def _cell(text: str) -> str:
    """Text in a table: nothing in it is markup."""
    for mark in "\\`*_[]<>|#":
        text = text.replace(mark, f"\\{mark}")
    return " ".join(text.split())


def _longest_run(text: str) -> int:
    """How many backticks stand in a row somewhere: a fence must be longer."""
    longest = run = 0
    for letter in text:
        run = run + 1 if letter == "`" else 0
        longest = max(longest, run)
    return longest
