"""A derivation as a document: text in columns, LaTeX that compiles as it is, Markdown, and HTML with MathML."""

from __future__ import annotations

import html
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from tinygrad_edu.derivation.expressions import Sum
from tinygrad_edu.derivation.mathml import mathml
from tinygrad_edu.derivation.names import latex_word, printable
from tinygrad_edu.derivation.printing import Latex, Text

if TYPE_CHECKING:
    from tinygrad_edu.derivation.derivation import Line

__all__ = ["as_html", "as_latex", "as_markdown", "as_text"]

LONG = 200  # characters of LaTeX
TITLES = {"forward": "Forward", "backward": "Backward"}


def _sections(lines: Sequence[Line]) -> Iterator[tuple[str, list[Line]]]:
    for part, title in TITLES.items():
        chosen = [line for line in lines if line.part == part]
        if chosen:
            yield title, chosen


# -------------------------------------------------------------------------------------------------- text


def as_text(
    lines: Sequence[Line], where: Sequence[tuple[str, str]], head: str, ascii: bool, steps: bool, numbers: bool
) -> str:
    """Plain text with aligned columns; below each line, if wanted, the rules that led to it, and its value."""
    texts = ["Chain rule", f"  {head}"] if head else []
    for title, chosen in _sections(lines):
        rows = []
        for line in chosen:
            write = Text(ascii, line.columns)
            middle = "" if line.also is None else f"{write(line.also)} = "
            rows.append((write(line.left), middle + write(line.right), line))
        left = max(_width(row[0]) for row in rows)
        right = max([_width(row[1]) for row in rows if _width(row[1]) <= 60], default=0)
        shapes = max([len(line.shapes) for line in chosen if line.note], default=0)
        texts.append(title)
        for a, b, line in rows:
            shown = line.shapes.replace("→", "->") if ascii else line.shapes
            said = "  ".join(filter(None, [f"{shown:<{shapes}}" if shown else "", line.note]))
            texts.append(f"  {_pad(a, left)} = {_pad(b, right)}  {said}".rstrip())
            if steps:
                write = Text(ascii, line.columns)
                texts += [f"      {x.rule}: {write(x.before)} = {write(x.after)}" for x in line.steps]
            if numbers:
                texts += [f"      {row}" for row in _value(line).splitlines()]
    if where:
        texts.append("where")
        width = max(len(name) for name, _ in where)
        texts += [f"  {name:<{width}} = {meaning}" for name, meaning in where]
    return "\n".join(texts)


def _value(line: Line) -> str:
    """The recorded value, oriented as it is written."""
    value = np.asarray(line.target.value)
    value = value if value.shape == line.left.shape else value.T if value.ndim == 2 else value.reshape(line.left.shape)
    return np.array2string(value, precision=4, suppress_small=True, threshold=60, edgeitems=3)


def _width(text: str) -> int:
    return len(text) - text.count("\N{COMBINING MACRON}")


def _pad(text: str, width: int) -> str:
    return text + " " * (width - _width(text))


# ------------------------------------------------------------------------------------------------- LaTeX

PREAMBLE = r"""\documentclass[11pt]{article}
\usepackage[T1]{fontenc}
\usepackage[a4paper,margin=22mm]{geometry}
\usepackage{amsmath,amssymb,graphicx}
\setlength{\parindent}{0pt}
\newlength{\sides}
\newlength{\room}
\newcommand{\widest}[1]{\settowidth{\room}{$\displaystyle #1$}\ifdim\room>\sides \setlength{\sides}{\room}\fi}
\newsavebox{\formula}
% a formula that is wider than the line is made smaller
\newcommand{\fit}[1]{\setlength{\room}{\linewidth}\addtolength{\room}{-\sides}\addtolength{\room}{-1em}%
  \savebox{\formula}{$\displaystyle #1$}%
  \ifdim\wd\formula>\room \resizebox{\room}{!}{\usebox{\formula}}\else\usebox{\formula}\fi}
% left side, right side, shapes, note
\newcommand{\equationline}[4]{\par\vspace{1.2ex}{\raggedright\parfillskip=0pt%
  \makebox[\sides][r]{$\displaystyle #1$}\fit{{}= #2}%
  \hspace{1.5em plus 1fill}\penalty0\hspace*{0pt plus 1fill}\mbox{\small\texttt{#3}}\par}%
  \ifx\relax#4\relax\else{\vspace{.6ex}\raggedright\small\leftskip=\sides\hspace{1.5em}#4\par}\fi}
\begin{document}
\raggedbottom"""


def as_latex(lines: Sequence[Line], where: Sequence[tuple[str, str]], head: str) -> str:
    """A document: pdflatex turns it into pages as it is."""
    texts = [PREAMBLE]
    if head:
        texts += [r"\section*{Chain rule}", rf"\fit{{{head}}}"]
    for title, chosen in _sections(lines):
        texts += [rf"\section*{{{title}}}", r"\setlength{\sides}{0pt}"]
        rows = [_sides(line) for line in chosen]
        texts += [rf"\widest{{{a}}}" for a in dict.fromkeys(a for a, _ in rows) if len(a) < 120]
        for (a, b), line in zip(rows, chosen):
            shapes = line.shapes.replace("→", r"$\to$")
            texts.append(rf"\equationline{{{a}}}{{{b}}}{{{shapes}}}{{{_words(line.note)}}}")
    if where:
        texts += [r"\section*{Where}", r"\begin{itemize}"]
        texts += [rf"\item ${name}$: {_words(meaning)}" for name, meaning in where]
        texts.append(r"\end{itemize}")
    return "\n".join([*texts, r"\end{document}", ""])


def _sides(line: Line) -> tuple[str, str]:
    """Both sides of a line in LaTeX; a long sum stands in several rows, one for each term."""
    write = Latex(line.columns)
    also = f"{write(line.also)} = " if line.also is not None else ""
    right = write(line.right)
    if isinstance(line.right, Sum) and len(right) > LONG:
        rows = write.added(line.right, glue=r" \\ &")
        right = rf"\begin{{aligned}}[t] &{rows} \end{{aligned}}"
    return write(line.left), also + right


def _words(text: str) -> str:
    """Words of a note, in LaTeX."""
    return " ".join(
        rf"${latex_word(x)}$" if not x.isascii() or set(x) & set("\\{}$&#%_^~<>") else x for x in text.split()
    )


# ---------------------------------------------------------------------------------------- Markdown, HTML


def as_markdown(lines: Sequence[Line], where: Sequence[tuple[str, str]], head: str) -> str:
    """Markdown with $$ mathematics, as GitHub and Jupyter show it."""
    texts = ["### Chain rule", f"$$\n{head}\n$$"] if head else []
    for title, chosen in _sections(lines):
        texts.append(f"### {title}")
        for line in chosen:
            texts.append(f"$$\n{line.latex()}\n$$")
            said = ", ".join(filter(None, [f"`{line.shapes}`" if line.shapes else "", _marked(line.note)]))
            if said:
                texts.append(said)
    if where:
        texts.append("### Where")
        texts.append("\n".join(f"- ${name}$: {_marked(meaning)}" for name, meaning in where))
    return "\n\n".join(texts) + "\n"


def _marked(text: str) -> str:
    return "".join(f"\\{c}" if c in "\\`*_{}[]<>#|$" else c for c in printable(text)) if text else ""


STYLE = (
    ".derivation table{border-collapse:collapse}.derivation td{padding:.35em .6em;vertical-align:middle}"
    ".derivation td:first-child{text-align:right}.derivation code,.derivation small{white-space:nowrap}"
)


def as_html(lines: Sequence[Line], where: Sequence[tuple[str, str]], head: str) -> str:
    """A fragment that stands for itself: MathML in a table, well-formed XML, with no script and nothing to load."""
    texts = [f'<div class="derivation"><style>{STYLE}</style>']
    if head:
        texts.append(f"<p>{mathml(head, display=True)}</p>")
    for title, chosen in _sections(lines):
        texts.append(f"<table><caption>{title}</caption><tbody>")
        for line in chosen:
            a, b = _sides(line)
            cells = (mathml(a), mathml(f"= {b}"), f"<code>{html.escape(line.shapes)}</code>")
            note = f"<small>{html.escape(printable(line.note))}</small>" if line.note else ""
            texts.append(f"<tr>{''.join(f'<td>{cell}</td>' for cell in (*cells, note))}</tr>")
        texts.append("</tbody></table>")
    if where:
        items = "".join(f"<dt>{mathml(name)}</dt><dd>{html.escape(printable(meaning))}</dd>" for name, meaning in where)
        texts.append(f"<dl>{items}</dl>")
    return "\n".join([*texts, "</div>"])
