"""Mathematical names: how a symbol is written in text, in ASCII, in LaTeX and in code."""

from __future__ import annotations

import keyword
import re
import unicodedata
from dataclasses import dataclass

__all__ = ["Derivative", "Name", "parse"]

SMALL = (
    "alpha", "beta", "gamma", "delta", "epsilon", "zeta", "eta", "theta", "iota", "kappa", "lambda", "mu", "nu", "xi",
    "pi", "rho", "sigma", "tau", "upsilon", "phi", "chi", "psi", "omega",
)  # fmt: skip
LARGE = ("Gamma", "Delta", "Theta", "Lambda", "Xi", "Pi", "Sigma", "Phi", "Psi", "Omega")


def _letter(kind: str, word: str) -> str:
    return unicodedata.lookup(f"GREEK {kind} LETTER {word.upper().replace('LAMBDA', 'LAMDA')}")


LETTERS = {**{x: _letter("SMALL", x) for x in SMALL}, **{x: _letter("CAPITAL", x) for x in LARGE}}
WORDS = {letter: word for word, letter in LETTERS.items()}
SPELLED = str.maketrans(WORDS)
ABOVE = str.maketrans("0123456789-", "⁰¹²³⁴⁵⁶⁷⁸⁹⁻")
BELOW = str.maketrans("0123456789-", "₀₁₂₃₄₅₆₇₈₉₋")
LATEX = {
    "\\": r"\backslash ", "{": r"\{", "}": r"\}", "$": r"\$", "&": r"\&", "#": r"\#", "%": r"\%", "_": r"\_",
    "^": r"\wedge ", "~": r"\sim ", " ": r"\ ", "<": "<", ">": ">", "`": r"{}^{\backprime}", '"': "''",
}  # fmt: skip


@dataclass(frozen=True)
class Name:
    """A letter or a word, with a layer's number above it and a counter below."""

    base: str
    above: str = ""
    below: str = ""

    def text(self, ascii: bool = False) -> str:
        """As plain text: U², or U2 in ASCII."""
        base = printable(LETTERS.get(self.base, self.base))
        if not ascii:
            return base + self.below.translate(BELOW) + self.above.translate(ABOVE)
        return ("d" if self.base == "δ" else plain(base)) + self.below + self.above

    def latex(self) -> str:
        """As LaTeX, with everything escaped that LaTeX would take for a command."""
        lower = f"_{{{self.below}}}" if self.below else ""
        upper = f"^{{{self.above}}}" if self.above else ""
        return latex_word(self.base) + lower + upper

    def code(self) -> str:
        """As a Python identifier."""
        base = WORDS.get(self.base, self.base)
        word = re.sub(r"\W", "_", base) + self.below + self.above
        word = word if word.isidentifier() else f"v_{word}"
        return f"{word}_" if keyword.iskeyword(word) else word


@dataclass(frozen=True)
class Derivative(Name):
    """The gradient of the loss by something: dL/dW; `bar` writes the adjoint, W with a bar."""

    loss: Name = Name("L")
    by: Name = Name("x")
    bar: bool = False

    def text(self, ascii: bool = False) -> str:
        """As plain text: ∂L/∂W², or dL/dW2 in ASCII."""
        part = f"|{self.below}" if self.below else ""
        if self.bar and ascii:
            return f"{self.by.text(True)}_bar{part}"
        if self.bar:
            whole = printable(LETTERS.get(self.by.base, self.by.base))
            return whole[0] + "\N{COMBINING MACRON}" + self.by.text()[1:] + part
        d = "d" if ascii else "∂"
        return f"{d}{self.loss.text(ascii)}/{d}{self.by.text(ascii)}{part}"

    def latex(self) -> str:
        """As LaTeX, a fraction; an adjoint as a letter with a bar."""
        if self.bar:
            lower = f"_{{{self.by.below}}}" if self.by.below else ""
            upper = f"^{{{self.by.above}}}" if self.by.above else ""
            whole = rf"\bar{{{latex_word(self.by.base)}}}{lower}{upper}"
        else:
            whole = rf"\frac{{\partial {self.loss.latex()}}}{{\partial {self.by.latex()}}}"
        return rf"\left.{whole}\right|_{{{self.below}}}" if self.below else whole

    def code(self) -> str:
        """As a Python identifier: dW2."""
        return f"d{self.by.code()}" + (f"_{self.below.replace('..', '_to_')}" if self.below else "")


def parse(word: str) -> Name:
    """The name that a user or a module gave: "W1" has a number above, "alpha" is a letter, "fc1.weight" a word.

    >>> parse("W1").text(), parse("alpha").text(), parse("fc1.weight").latex()
    ('W¹', 'α', '\\\\mathrm{fc1.weight}')
    """
    match = re.fullmatch(r"([^\W\d_]+?)_?(\d{1,3})", word)
    if match and (len(match[1]) == 1 or match[1] in LETTERS):
        return Name(match[1], str(int(match[2])))
    return Name(word)


def latex_word(word: str) -> str:
    """A letter as it is, a Greek one as its command, a word upright and escaped."""
    letter = WORDS.get(word, word)
    if letter in LETTERS:
        return f"\\{letter} "
    if len(word) == 1 and word.isascii() and word.isalpha():
        return word
    return rf"\mathrm{{{''.join(map(_latex_character, printable(word)))}}}"


def _latex_character(c: str) -> str:
    if c in LATEX:
        return LATEX[c]
    if c.isascii():
        return c
    if c in WORDS:
        return f"\\{WORDS[c]} "
    simple = unicodedata.normalize("NFKD", c).encode("ascii", "ignore").decode()
    return simple if simple.isalnum() else f"[U{{+}}{ord(c):04X}]"


def printable(word: str) -> str:
    """Without line breaks and control characters."""
    if word and word.isprintable():
        return word
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in " ".join(word.split("\n"))) or "?"


def plain(text: str) -> str:
    """In ASCII: a Greek letter as its word, anything else that is not ASCII as its number."""
    return text if text.isascii() else text.translate(SPELLED).encode("ascii", "backslashreplace").decode()
