"""The package as a whole: its examples run, it stands alone, and it keeps off NumPy's global random state."""

import ast
import doctest
import importlib
import sys
from pathlib import Path

import numpy as np
import pytest

from tinygrad_edu import data

FILES = sorted(Path(data.__file__).parent.glob("*.py"))
EXAMPLES = {"batches", "digits", "errors", "files", "idx", "mnist", "optional", "split", "toys"}


@pytest.mark.parametrize("name", sorted(EXAMPLES))
def test_examples_in_docstrings(name):
    result = doctest.testmod(importlib.import_module(f"tinygrad_edu.data.{name}"))
    assert result.attempted > 0
    assert result.failed == 0


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_imports_numpy_the_standard_library_and_nothing_else(file):
    tree = ast.parse(file.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            if node.level == 1:
                continue  # a sibling in this package
            assert node.level == 0
            names = [node.module]
        else:
            continue
        for name in names:
            assert name.split(".")[0] in sys.stdlib_module_names | {"numpy"}
            assert name.split(".")[0] not in {"pickle", "shelve", "marshal"}


def test_public_names():
    assert sorted(data.__all__) == data.__all__
    for name in data.__all__:
        assert getattr(data, name).__doc__
    assert issubclass(data.DataError, ValueError)


def test_the_legacy_random_state_is_neither_read_nor_moved():
    before = np.random.get_state()
    results = []
    for seed in 1, 2:
        np.random.seed(seed)
        moved = np.random.get_state()
        points = [make(20, rng=0)[0] for make in (data.moons, data.circles, data.spiral, data.article_regression)]
        x, _ = next(data.batches(points[0], points[0], 5, rng=0))
        results.append([*points, x, data.digits().x_test])
        for old, new in zip(moved, np.random.get_state(), strict=True):
            np.testing.assert_array_equal(old, new)
    np.random.set_state(before)
    for first, second in zip(*results, strict=True):
        np.testing.assert_array_equal(first, second)


def test_split_cannot_be_reassigned_and_compares_by_identity():
    split = data.digits()
    with pytest.raises(AttributeError):
        split.classes = 3
    assert split == split
    assert split != data.digits()
