"""Every example in a docstring runs, and everything public has a docstring."""

import doctest
import importlib
import inspect
import pkgutil
import re
from pathlib import Path

import pytest

import tinygrad_edu as tg
import viz

ROOT = Path(__file__).parents[1]
MODULES = sorted(
    info.name for package in (tg, viz) for info in pkgutil.walk_packages(package.__path__, f"{package.__name__}.")
)


@pytest.mark.parametrize("name", ["tinygrad_edu", "viz", *(m for m in MODULES if not m.endswith("__main__"))])
def test_examples_run(name: str) -> None:
    module = importlib.import_module(name)
    assert module.__doc__, f"{name} does not say what it is"
    failures, _ = doctest.testmod(module)
    assert failures == 0


@pytest.mark.parametrize("name", [n for n in tg.__all__ if callable(getattr(tg, n))])
def test_public_names_are_documented(name: str) -> None:
    thing = getattr(tg, name)
    assert thing.__doc__
    if not (inspect.isclass(thing) and issubclass(thing, Exception)) and name != "Notation":
        assert len(thing.__doc__.split()) > 3


def test_readme_prints_what_it_says() -> None:
    """Each piece of Python with an output below it; they follow one another, as in one session."""
    text = (ROOT / "README.md").read_text()
    pieces = re.findall(r"```python\n(.*?)```(?:\n\n```\n(.*?)```)?", text, re.DOTALL)
    assert sum(bool(output) for _, output in pieces) >= 3
    lines: list[str] = []
    session = {"print": lambda *values: lines.append(" ".join(map(str, values)))}
    for code, output in pieces:
        lines.clear()
        exec(code, session)
        if output:
            assert "\n".join(lines).split() == output.split()


def test_readme_links_exist() -> None:
    targets = re.findall(r"\]\(([^)]+)\)", (ROOT / "README.md").read_text())
    assert len(targets) > 5
    for target in targets:
        assert (ROOT / target).exists(), target


def test_readme_has_two_commands() -> None:
    lines = (ROOT / "README.md").read_text().splitlines()
    commands = [line for line in lines if line.startswith("python3 -m venv")]
    assert len(commands) == 2
    assert "examples/digits.py" in commands[0]
    assert "pytest" in commands[1]
