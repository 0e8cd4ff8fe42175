"""How many NumPy calls a step makes: `python -m tests.bench.counting KEY` prints them by hand and eager, as JSON.

NumPy tells nobody when an operator runs.  So the modules of this package and of the steps by hand are loaded with every
operator and every call wrapped in a function that looks at the result, or at what is called.
"""

from __future__ import annotations

import ast
import builtins
import collections
import importlib.abc
import importlib.machinery
import importlib.util
import json
import sys
from collections.abc import Sequence
from types import ModuleType
from typing import Any

import numpy as np

COUNTED = ("tinygrad_edu", "tests.bench.by_hand")
calls: collections.Counter[str] = collections.Counter()


def operator(name: str, result: Any) -> Any:
    """Note that an operator has been used, if an array came out."""
    if isinstance(result, np.ndarray):
        calls[name] += 1
    return result


def called(function: Any) -> Any:
    """Note that something is called, if it is a ufunc, a method of one or of an array, or a function of NumPy's."""
    owner, name = getattr(function, "__self__", None), getattr(function, "__name__", None)
    if isinstance(owner, (np.ufunc, np.ndarray)):
        calls[f"{getattr(owner, '__name__', 'array')}.{name}"] += 1
    elif name and not isinstance(function, type) and str(getattr(function, "__module__", "")).startswith("numpy"):
        calls[name] += 1
    return function


class _Wrap(ast.NodeTransformer):
    """a * b -> operator("Mult", a * b);  f(x) -> called(f)(x);  a *= b -> the same, then operator("Mult", a)."""

    def _operator(self, name: str, node: ast.expr) -> ast.expr:
        wrapped = ast.Call(ast.Name("__operator__", ast.Load()), [ast.Constant(name), node], [])
        return ast.copy_location(wrapped, node)

    def visit_BinOp(self, node: ast.BinOp) -> ast.expr:
        self.generic_visit(node)
        return self._operator(type(node.op).__name__, node)

    def visit_Compare(self, node: ast.Compare) -> ast.expr:
        self.generic_visit(node)
        return self._operator(type(node.ops[0]).__name__, node)

    def visit_UnaryOp(self, node: ast.UnaryOp) -> ast.expr:
        self.generic_visit(node)
        return self._operator(type(node.op).__name__, node)

    def visit_Call(self, node: ast.Call) -> ast.expr:
        self.generic_visit(node)
        if isinstance(node.func, ast.Name) and node.func.id in ("super", "__operator__"):
            return node
        node.func = ast.copy_location(ast.Call(ast.Name("__called__", ast.Load()), [node.func], []), node.func)
        return node

    def visit_AugAssign(self, node: ast.AugAssign) -> Any:
        self.generic_visit(node)
        if any(isinstance(part, ast.Call) for part in ast.walk(node.target)):  # must not be called again
            return node
        target = ast.parse(ast.unparse(node.target), mode="eval").body  # the same, to be read
        look = ast.Expr(self._operator(type(node.op).__name__, target))
        return [node, ast.copy_location(look, node)]


class _Loader(importlib.machinery.SourceFileLoader):
    def get_code(self, fullname: str) -> Any:  # never from a cache
        path = self.get_filename(fullname)
        tree = _Wrap().visit(ast.parse(self.get_data(path), path))
        return compile(ast.fix_missing_locations(tree), path, "exec")


class _Finder(importlib.abc.MetaPathFinder):
    def find_spec(self, name: str, path: Sequence[str] | None, target: ModuleType | None = None) -> Any:
        if not name.startswith(COUNTED):
            return None
        spec = importlib.machinery.PathFinder.find_spec(name, path)
        if spec is not None and spec.origin is not None:
            spec.loader = _Loader(name, spec.origin)
        return spec


def count(key: str) -> dict[str, dict[str, int]]:
    """The NumPy calls of the third step of a workload."""
    from tests.bench.systems import hand, ours
    from tests.bench.workloads import WORKLOADS

    found = {}
    for system in (hand.copies()[0], ours.systems()[0]):
        step = system.steps[key](WORKLOADS[key]())
        step.run()
        step.run()
        calls.clear()
        step.run()
        found[system.name] = dict(calls.most_common())
    return found


if __name__ == "__main__":
    from tests.bench import counting  # this very module under its own name, so that there is one Counter

    builtins.__operator__, builtins.__called__ = counting.operator, counting.called  # type: ignore[attr-defined]
    sys.meta_path.insert(0, _Finder())
    print(json.dumps(counting.count(sys.argv[1])))
