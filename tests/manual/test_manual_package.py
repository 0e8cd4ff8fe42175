"""The package is a witness of its own: it imports NumPy and nothing of the framework. Its examples run."""

import ast
import doctest
import importlib
import inspect
import sys
from pathlib import Path

import pytest

import tinygrad_edu.manual

FOLDER = Path(tinygrad_edu.manual.__file__).parent
FILES = sorted(FOLDER.rglob("*.py"))
MODULES = ["tinygrad_edu.manual"] + [f"tinygrad_edu.manual.{f.stem}" for f in FILES if f.stem != "__init__"]


def test_the_files_are_found():
    assert {"__init__.py", "rows.py", "columns.py", "mlp.py", "losses.py"} <= {f.name for f in FILES}


@pytest.mark.parametrize("file", FILES, ids=lambda f: f.name)
def test_imports_are_numpy_the_standard_library_and_itself(file):
    for node in ast.walk(ast.parse(file.read_text())):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            # One dot is this folder. Two would climb out of it.
            assert node.level <= 1, f"line {node.lineno} imports from outside of manual/"
            names = [node.module or ""] if node.level == 0 else []
        for name in names:
            top = name.partition(".")[0]
            assert top == "numpy" or (top in sys.stdlib_module_names and top != "importlib"), (
                f"line {node.lineno}: {name}"
            )


@pytest.mark.parametrize("name", MODULES)
def test_doctests_run(name):
    result = doctest.testmod(importlib.import_module(name))
    assert result.failed == 0
    assert result.attempted > 0


@pytest.mark.parametrize("name", MODULES)
def test_every_public_function_and_class_has_an_example(name):
    module = importlib.import_module(name)
    for member_name, member in inspect.getmembers(module, lambda m: inspect.isfunction(m) or inspect.isclass(m)):
        if member.__module__ == name and not member_name.startswith("_"):
            assert ">>>" in (member.__doc__ or ""), f"{name}.{member_name}"


def test_all_is_what_there_is():
    assert sorted(tinygrad_edu.manual.__all__) == sorted(set(tinygrad_edu.manual.__all__))
    assert all(hasattr(tinygrad_edu.manual, name) for name in tinygrad_edu.manual.__all__)
