"""The articles' derivations in each notation, as they stand in golden/; `python -m` this module writes them anew."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import tinygrad_edu as tg
from tests.derivation.networks import ARTICLES

FOLDER = Path(__file__).parent / "golden"
NOTATIONS = ("delta", "leibniz", "bar")


def derived(name: str, notation: Any) -> str:
    """Text with the steps, then the LaTeX of each line, then the NumPy function."""
    derivation = tg.derive(ARTICLES[name](), notation=notation)
    latex = "\n".join(line.latex() for line in derivation.lines)
    parts = [derivation.text(steps=True), derivation.text(ascii=True), latex, derivation.to_numpy()]
    return "\n\n".join(parts)


def file_of(name: str, notation: str) -> Path:
    return FOLDER / f"{name.replace(', ', '-').replace(' ', '-')}-{notation}.txt"


@pytest.mark.parametrize("notation", NOTATIONS)
@pytest.mark.parametrize("name", ARTICLES)
def test_golden(name: str, notation: str) -> None:
    expected = file_of(name, notation).read_text(encoding="utf-8")
    assert derived(name, notation) == expected, (
        "if this is what you want: python -m tests.derivation.test_derivation_golden"
    )


if __name__ == "__main__":
    for name in ARTICLES:
        for notation in NOTATIONS:
            file_of(name, notation).write_text(derived(name, notation), encoding="utf-8")
            print(f"wrote {file_of(name, notation).name}")
