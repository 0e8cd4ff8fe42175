"""The package as a whole: its examples run, its names are there, and it looks only downwards."""

import ast
import doctest
import importlib
import inspect
from pathlib import Path

import pytest

from tinygrad_edu import check

FOLDER = Path(check.__file__).parent
FILES = sorted(FOLDER.rglob("*.py"))
MODULES = [
    ".".join(f.relative_to(FOLDER.parents[1]).with_suffix("").parts).removesuffix(".__init__")
    for f in FILES
    if f.stem != "__main__"  # it runs when it is imported
    and f.parent.name != "diagnosis"  # its parts speak to each other; what they say is in compare's examples
]

ABOVE = ("viz", "examples", "tests")


@pytest.mark.parametrize("name", MODULES)
def test_examples_run(name):
    result = doctest.testmod(importlib.import_module(name))
    assert result.failed == 0
    assert result.attempted > 0


def test_every_public_name_has_an_example():
    assert check.__all__ == sorted(check.__all__)
    for name in check.__all__:
        thing = getattr(check, name)
        assert ">>>" in inspect.getdoc(thing), name


@pytest.mark.parametrize("file", FILES, ids=lambda f: f.name)
def test_imports_stand_at_the_top_and_look_down(file):
    tree = ast.parse(file.read_text())
    for node in ast.walk(tree):
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            assert node in tree.body, f"line {node.lineno} imports inside of a function"
            names = [node.module] if isinstance(node, ast.ImportFrom) else [alias.name for alias in node.names]
            assert not any(name.split(".")[0] in ABOVE for name in names), f"line {node.lineno}"


@pytest.mark.parametrize("file", FILES, ids=lambda f: f.name)
def test_a_file_says_its_idea_in_its_first_line(file):
    first = file.read_text().splitlines()[0]
    assert first.startswith('"""')
    assert first.rstrip(chr(34)).endswith((".", "?")), first
