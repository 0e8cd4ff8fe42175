"""LaTeX formulas as MathML, which browsers and screen readers understand without any script.

It reads the LaTeX that this package writes and what operations use in their notation; a command that it does not know
is shown by its name.
"""

from __future__ import annotations

import html
import re

from tinygrad_edu.derivation.names import LETTERS

__all__ = ["mathml"]

OPERATORS = {
    "odot": "⊙", "top": "⊤", "partial": "∂", "sum": "∑", "prod": "∏", "times": "×", "cdot": "⋅", "star": "⋆",
    "ge": "≥", "le": "≤", "ne": "≠", "approx": "≈", "land": "∧", "lor": "∨", "oplus": "⊕", "lvert": "|", "rvert": "|",
    "lVert": "‖", "rVert": "‖", "lfloor": "⌊", "rfloor": "⌋", "lceil": "⌈", "rceil": "⌉", "infty": "∞", "bmod": "mod",
    "leftarrow": "←", "backprime": "‵", "wedge": "∧", "sim": "∼", "{": "{", "}": "}", "&": "&", "%": "%", "#": "#",
    "$": "$", "_": "_", "pm": "±", "mapsto": "↦",
}  # fmt: skip
SPACES = {",", ";", ":", " ", "!", "quad", "qquad"}
FENCES = {
    "(": "(",
    ")": ")",
    "[": "[",
    "]": "]",
    "|": "|",
    ".": "",
    r"\lfloor": "⌊",
    r"\rfloor": "⌋",
    r"\{": "{",
    r"\}": "}",
}
STYLES = {"mathbf": "bold", "mathrm": "normal", "operatorname": "normal", "text": "normal", "mathbin": "normal"}
BOLD = {ord("0") + i: 0x1D7CE + i for i in range(10)}
TOKEN = re.compile(r"\\[a-zA-Z]+|\\.|\d+(?:\.\d+)?|\s+|.", re.DOTALL)


def mathml(latex: str, display: bool = False) -> str:
    r"""A formula as a <math> element, with its LaTeX as the text for those who can't see it.

    >>> print(mathml(r"H^{\top} \delta"))
    <math alttext="H^{\top} \delta"><mrow><msup><mi>H</mi><mo>⊤</mo></msup><mi>δ</mi></mrow></math>
    """
    block = ' display="block"' if display else ""
    return f'<math{block} alttext="{html.escape(latex)}">{_Reader(latex).row()}</math>'


class _Reader:
    def __init__(self, latex: str) -> None:
        self.tokens = TOKEN.findall(latex)
        self.position = 0

    @property
    def next(self) -> str:
        """The token that comes; spaces mean nothing in mathematics."""
        while self.position < len(self.tokens) and self.tokens[self.position].isspace():
            self.position += 1
        return self.tokens[self.position] if self.position < len(self.tokens) else ""

    def take(self) -> str:
        token = self.next
        self.position += 1
        return token

    def row(self, *ends: str) -> str:
        """Everything up to one of some tokens."""
        items: list[str] = []
        while self.next and self.next not in ends:
            if self.next in ("^", "_"):
                base = items.pop() if items else "<mrow></mrow>"
                items.append(self.scripts(base))
            else:
                items.append(self.item())
        return items[0] if len(items) == 1 else f"<mrow>{''.join(items)}</mrow>"

    def scripts(self, base: str) -> str:
        found: dict[str, str] = {}
        while self.next in ("^", "_") and self.next not in found:
            kind = self.take()
            found[kind] = self.item()
        if len(found) == 2:
            return f"<msubsup>{base}{found['_']}{found['^']}</msubsup>"
        ((kind, script),) = found.items()
        tag = "msup" if kind == "^" else "msub"
        return f"<{tag}>{base}{script}</{tag}>"

    def item(self) -> str:
        token = self.take()
        if token == "{":
            inner = self.row("}")
            self.take()
            return inner
        if token.startswith("\\"):
            return self.command(token[1:])
        if token[0].isdigit():
            return f"<mn>{token}</mn>"
        if token.isalpha():
            return f"<mi>{token}</mi>"
        return f"<mo>{html.escape({'-': '−', chr(39): '′'}.get(token, token))}</mo>" if token else ""

    def command(self, name: str) -> str:
        if name in LETTERS:
            return f"<mi>{LETTERS[name]}</mi>"
        if name in OPERATORS:
            return f"<mo>{html.escape(OPERATORS[name])}</mo>"
        if name in SPACES:
            return '<mspace width="0.2em"></mspace>'
        if name == "frac":
            return f"<mfrac>{self.item()}{self.item()}</mfrac>"
        if name == "sqrt":
            degree = ""
            if self.next == "[":
                self.take()
                degree = self.row("]")
                self.take()
            inside = self.item()
            return f"<mroot>{inside}{degree}</mroot>" if degree else f"<msqrt>{inside}</msqrt>"
        if name == "bar":
            return f'<mover accent="true">{self.item()}<mo>¯</mo></mover>'
        if name == "left":
            return self.fenced()
        if name == "begin":
            return self.table()
        if name in STYLES:
            return self.word(STYLES[name])
        space = "" if self.next in ("", "(", "^", "_", r"\left") else '<mspace width="0.2em"></mspace>'  # log y
        return f'<mi mathvariant="normal">{html.escape(name)}</mi>{space}'

    def fenced(self) -> str:
        left = FENCES.get(self.next, self.next)
        self.take()
        inner = self.row(r"\right")
        self.take()
        right = FENCES.get(self.next, self.next)
        self.take()
        fences = [f"<mo>{html.escape(x)}</mo>" if x else "" for x in (left, right)]
        return f"<mrow>{fences[0]}{inner}{fences[1]}</mrow>"

    def table(self) -> str:
        """Cases, behind a brace, or the rows of an aligned formula."""
        kind = self.text()
        if self.next == "[":
            self.row("]")
            self.take()
        rows, cells = [], []
        while self.next and self.next != r"\end":
            cells.append(f"<mtd>{self.row('&', chr(92) * 2, chr(92) + 'end')}</mtd>")
            if self.next in (r"\\", r"\end"):
                rows.append(f"<mtr>{''.join(cells)}</mtr>")
                cells = []
            if self.next != r"\end":
                self.take()
        self.take()
        self.text()
        table = f"<mtable>{''.join(rows)}</mtable>"
        return f"<mrow><mo>{{</mo>{table}</mrow>" if kind == "cases" else table

    def text(self) -> str:
        """What stands in braces, as characters."""
        self.take()
        depth, text = 1, ""
        while self.position < len(self.tokens) and depth:
            token = self.tokens[self.position]
            self.position += 1
            depth += (token == "{") - (token == "}")
            if depth and token not in ("{", "}"):
                text += self.character(token)
        return text

    def character(self, token: str) -> str:
        name = token[1:]
        if not token.startswith("\\"):
            return token
        return LETTERS.get(name) or OPERATORS.get(name) or (" " if name in SPACES else name.replace("backslash", "\\"))

    def word(self, style: str) -> str:
        text = html.escape(self.text())
        if text.isdigit():  # browsers know no bold but that of the letters themselves
            return f"<mn>{text.translate(BOLD) if style == 'bold' else text}</mn>"
        return f'<mi mathvariant="{style}">{text}</mi>'
