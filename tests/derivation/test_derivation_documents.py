"""Documents: LaTeX compiles as it is, HTML is well-formed, and names of any kind are escaped."""

from __future__ import annotations

import io
import shutil
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tinygrad_edu as tg
from tests.derivation.networks import NETWORKS, operations, smallest
from tinygrad_edu.derivation import Derivation
from tinygrad_edu.derivation.mathml import mathml
from tinygrad_edu.tensor import Tensor

NAMES = [
    "alpha", "\u03b2", "a_b", "W_1", "lambda", "50%", "x & y", "</script>", "<b>", "$x$", "\\input{x}", "{", "a^b",
    "~#", "\u4e2d", "\u00e9t\u00e9", "\u2202", "two\nlines", "\x00", "class", "]]>", '"quoted"', "x'", "`code`", "a|b",
    "*",
]  # fmt: skip


def named(name: str) -> Derivation:
    x = Tensor(np.array([[1.0, 2.0]]), requires_grad=True, name=name)
    return tg.derive(((x**2) @ x.T).sum())


@pytest.mark.parametrize("name", NETWORKS)
def test_html_is_well_formed(name: str) -> None:
    html = tg.derive(NETWORKS[name]()).html()
    root = ET.fromstring(html)
    formulas = list(root.iter("math"))
    assert len(formulas) >= 10
    assert all(x.get("alttext") for x in formulas)
    assert "<script" not in html


def test_every_operation_as_mathml() -> None:
    """Every command of its LaTeX is known: none is left as a word."""
    for name, case in operations():
        derivation = tg.derive(case()[0])
        ET.fromstring(derivation.html())
        for line in derivation.lines:
            words = {x.text for x in ET.fromstring(line.mathml()).iter() if x.text}
            commands = {"frac", "left", "right", "operatorname", "mathrm", "odot", "mathbf", "text", "begin"}
            assert not words & commands, (name, line.latex())
            assert not [x for x in words if "\\" in x], (name, line.latex())


@pytest.mark.parametrize(
    ("latex", "expected"),
    [
        ("x", "<mi>x</mi>"),
        (r"\frac{a}{b}", "<mfrac><mi>a</mi><mi>b</mi></mfrac>"),
        (r"U^{1}_{2}", "<msubsup><mi>U</mi><mn>2</mn><mn>1</mn></msubsup>"),
        (
            r"\left( W^{2} \right)^{\top}",
            "<msup><mrow><mo>(</mo><msup><mi>W</mi><mn>2</mn></msup><mo>)</mo></mrow><mo>⊤</mo></msup>",
        ),
        (r"\mathbf{1}", "<mn>𝟏</mn>"),
        (r"\mathrm{a\_b}", '<mi mathvariant="normal">a_b</mi>'),
        (r"\sqrt[3]{x}", "<mroot><mi>x</mi><mn>3</mn></mroot>"),
        ("a < b", "<mrow><mi>a</mi><mo>&lt;</mo><mi>b</mi></mrow>"),
    ],
)
def test_mathml(latex: str, expected: str) -> None:
    found = mathml(latex)
    assert found[found.index(">") + 1 : -len("</math>")] == expected


@pytest.mark.parametrize("name", NAMES)
def test_names_of_any_kind(name: str) -> None:
    derivation = named(name)
    ET.fromstring(derivation.html())
    assert "<script" not in derivation.html()
    assert derivation.text(ascii=True).isascii()
    assert derivation.latex().isascii()
    assert len(str(derivation).splitlines()) == len(derivation.lines) + 2
    compile(derivation.to_numpy(), name.replace("\x00", ""), "exec")
    assert derivation.markdown().count("$$") == 2 * len(derivation.lines)


def test_greek_names() -> None:
    assert named("alpha").lines[-1].text().startswith("∂L/∂α = ")
    assert named("alpha").lines[-1].latex().startswith(r"\frac{\partial L}{\partial \alpha } = ")
    assert named("beta").text(ascii=True).splitlines()[-1].strip().startswith("dL/dbeta = ")
    assert "<mi>α</mi>" in named("alpha").html()


def test_jupyter() -> None:
    derivation = tg.derive(smallest())
    assert derivation._repr_html_() == derivation.html()
    assert derivation._repr_markdown_() == derivation.markdown()
    assert derivation._repr_latex_().startswith("$$\\begin{aligned}\nU^{1} &= X W^{1} + ")


def test_where_the_terminal_cannot_show_it(monkeypatch: pytest.MonkeyPatch) -> None:
    derivation = tg.derive(smallest())
    assert "δ²" in str(derivation)
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(io.BytesIO(), encoding="ascii"))
    text = str(derivation)
    print(derivation)
    monkeypatch.undo()
    assert text == derivation.text(ascii=True)


# -------------------------------------------------------------------------------------------- pdflatex


@pytest.fixture(scope="module")
def pdflatex() -> str:
    found = shutil.which("pdflatex")
    if found is None:
        pytest.skip("pdflatex is not installed (apt-get install texlive-latex-base): the LaTeX was NOT compiled")
    return found


def compiled(pdflatex: str, source: str, folder: Path, name: str) -> str:
    """The log of a run that ended well."""
    (folder / f"{name}.tex").write_text(source, encoding="ascii")
    done: Any = subprocess.run(
        [pdflatex, "-interaction=nonstopmode", "-halt-on-error", f"{name}.tex"],
        cwd=folder,
        capture_output=True,
        text=True,
        errors="replace",
        timeout=120,
    )
    assert done.returncode == 0, done.stdout[-2000:]
    assert (folder / f"{name}.pdf").stat().st_size > 1000
    assert "Overfull" not in done.stdout, [x for x in done.stdout.splitlines() if "Overfull" in x]
    return str(done.stdout)


@pytest.mark.parametrize("name", NETWORKS)
def test_every_network_compiles(pdflatex: str, tmp_path: Path, name: str) -> None:
    compiled(pdflatex, tg.derive(NETWORKS[name]()).latex(), tmp_path, "network")


@pytest.mark.parametrize("form", [{"notation": "bar"}, {"convention": "columns"}, {"simplify": False}])
def test_other_forms_compile(pdflatex: str, tmp_path: Path, form: dict[str, Any]) -> None:
    compiled(pdflatex, tg.derive(smallest(), **form).latex(), tmp_path, "form")
    compiled(pdflatex, tg.derive(smallest(), **form).explain("fc1.weight").latex(), tmp_path, "path")


def bodies(documents: list[str]) -> str:
    """Several documents as one: a run of pdflatex for each would take minutes."""
    head = documents[0].partition("\\raggedbottom")[0]
    inner = (x.partition("\\raggedbottom")[2].partition("\\end{document}")[0] for x in documents)
    return f"{head}\\raggedbottom{''.join(inner)}\\end{{document}}\n"


def test_every_operation_compiles(pdflatex: str, tmp_path: Path) -> None:
    source = bodies([tg.derive(case()[0]).latex() for _, case in operations()])
    compiled(pdflatex, source, tmp_path, "operations")


def test_names_of_any_kind_compile(pdflatex: str, tmp_path: Path) -> None:
    compiled(pdflatex, bodies([named(name).latex() for name in NAMES]), tmp_path, "names")
