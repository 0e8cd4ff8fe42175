"""Breaks one rule after another, and looks whether the tests of the operations notice.

    python -m tests.mutate [--op NAME ...] [--jobs 2] [--list]

A test suite that has never failed proves little.  Here every vjp of the table is replaced by a wrong one, in
memory (no file is touched), and `check_operation` of `tests/ops/test_ops_table.py` has to fail.  Wrong rules are:

* the right result spoilt: negated, doubled, zeroed, half of it zeroed, transposed, reversed, the cotangent as it is,
  and, where an input was broadcast, a slice or the mean instead of the sum;
* the right source spoilt, in the rule and in each private function that it calls: + for -, * for /, one factor
  dropped, the operands of @ exchanged, a comparison turned round or moved to its border, 1 for 2, a sign lost,
  `and` for `or`, the branches of a condition exchanged, a call replaced by its argument.

Exit status 1 if a mutant survives that is not in `EQUIVALENT`.
"""

from __future__ import annotations

import argparse
import ast
import copy
import functools
import inspect
import itertools
import multiprocessing
import sys
import time
import types
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

if __package__ in (None, ""):  # started as a file: the repository is not on the path then
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import numpy as np

from tests.ops.test_ops_table import check_operation
from tinygrad_edu.op import OPS, Each, Op

# Mutants that are no mistakes: (operation or "*", what was changed) -> why the result is the same.
_SHORTCUT = "a shortcut: the general way that it avoids gives the same, only slower"
_SEQUENCE = "NumPy takes any sequence, and any integer, for it"
_ENGINE = "the engine sums over the axes that are left"
_TIES = "which of the two is compared with which means nothing"
_SIGN = "the same sign"
_SQUARE = "the matrices are square"
_DIAGONAL = "0 divided by anything, 0 or not"
_DIGITS = "how near to singular counts as singular is a matter of digits; the polynomial is right on both sides"
_OUTSIDE = "what lies outside is 0 where there is no outside, but for rounding"
_NO_PART = "the first factor plays no part in a recurrence"
_ZEROS = "zeros, whichever is chosen"
_LEGS = "the order of the legs means nothing"
_ONES = "a factor of ones for an axis that is there already changes nothing"
EQUIVALENT: dict[tuple[str, str], str] = {
    ("standardize", "rule 0: _dot(g, y, axis)  ->  _dot(y, g, axis)"): "a sum of products is symmetric",
    (
        "standardize",
        "_dot: np.einsum(f'{names},{names}->{rest}', a, b)  ->  np.einsum(f'{names},{names}->{rest}', b, a)",
    ): "a sum of products is symmetric",
    (
        "scale_and_shift",
        "rule 1: np.einsum(f'{names},{names}->{names[x.ndim - weight.ndim:]}', g, x)  ->  "
        "np.einsum(f'{names},{names}->{names[x.ndim - weight.ndim:]}', x, g)",
    ): "a sum of products is symmetric",
    ("*", "_each_class: math.prod(scores.shape[:-1]) or 1  ->  math.prod(scores.shape[:-1]) or 2"): (
        "of no samples there is no gradient that could be wrong"
    ),
    ("relu", "rule 0: as_numbers(y > zero_beside(y), y.dtype)  ->  y > zero_beside(y)"): _SHORTCUT,
    ("power", "rule 0: if isinstance(b, (int, float))  ->  if False"): _SHORTCUT,
    ("power", "rule 0: g * np.zeros_like(a)  ->  np.zeros_like(a)"): "zero times any finite g",
    ("power", "rule 0: np.where(b == 0, 1, b - 1)  ->  np.where(b == 0, 2, b - 1)"): "times b, which is 0 there",
    ("matmul", "rule 0: if a.ndim == b.ndim == 2  ->  if False"): _SHORTCUT,
    ("matmul", "rule 0: a.ndim == b.ndim == 2  ->  a.ndim != b.ndim == 2"): _SHORTCUT,
    ("matmul", "rule 1: if a.ndim == b.ndim == 2  ->  if False"): _SHORTCUT,
    ("matmul", "rule 0: da if a.ndim > 1 else da.reshape((*da.shape[:-2], da.shape[-1]))  ->  da"): _ENGINE,
    ("matmul", "rule 0: da.reshape((*da.shape[:-2], da.shape[-1]))  ->  da"): _ENGINE,
    ("matmul", "rule 0: a.ndim > 1  ->  a.ndim >= 1"): _ENGINE,
    ("linear", "rule 1: if x.ndim != 2  ->  if True"): "_flat leaves a matrix as it is",
    (
        "transpose",
        "_inverse: tuple(np.argsort([i % len(axes) for i in axes]).tolist())"
        "  ->  np.argsort([i % len(axes) for i in axes]).tolist()",
    ): _SEQUENCE,
    (
        "transpose",
        "_inverse: np.argsort([i % len(axes) for i in axes]).tolist()  ->  np.argsort([i % len(axes) for i in axes])",
    ): _SEQUENCE,
    ("concatenate", "rule 0: int(bounds[i])  ->  bounds[i]"): _SEQUENCE,
    ("concatenate", "rule 0: int(bounds[i + 1])  ->  bounds[i + 1]"): _SEQUENCE,
    ("*", "_distribution: if isinstance(targets, np.ndarray)  ->  if False"): _SHORTCUT,
    (
        "*",
        "_distribution: if isinstance(targets, np.ndarray)  ->  if True",
    ): "the same numbers; only a program laid out from the record would miss where they come from",
    ("std", "rule 0: np.where(y == 0, 1, y)  ->  np.where(y == 0, 2, y)"): "times 0",
    ("std", "_freedom: free if free > 0 else math.nan  ->  free"): "y is NaN then, and the gradient with it",
    ("std", "_freedom: free > 0  ->  free >= 0"): "y is NaN then, and the gradient with it",
    (
        "logsumexp",
        "rule 0: np.where(np.isfinite(y), y, 0)  ->  np.where(np.isfinite(y), y, 1)",
    ): "e^(-inf - 1) is 0 as well, and e^(inf - 1) inf",
    ("*", "rule 0: np.where(False, g, 0)  ->  np.where(g, False, 0)"): _ZEROS,
    ("*", "rule 1: np.where(False, g, 0)  ->  np.where(g, False, 0)"): _ZEROS,
    (
        "sinc",
        "rule 0: order + 1  ->  1",
    ): "the order of sinc itself is 0; sinc_derivative, which has others, has the same rule",
    ("softplus", "_scaled: x if beta == 1 else beta * x  ->  beta * x"): _SHORTCUT,
    (
        "gelu",
        "residual: if approximate == 'tanh'  ->  if True",
    ): "there are two words, any other is refused: tests/ops/test_elementwise.py",
    ("gelu", "residual: np.minimum(x * x, FAR)  ->  x * x"): "e^-87 and less in either case: of 0 and 1 it is no digit",
    ("scatter_add", "_as_value: np.ndim(value) - c.ndim  ->  np.ndim(value) + c.ndim"): _ENGINE,
    ("scatter_add", "_as_value: np.ndim(value) - c.ndim  ->  np.ndim(value)"): _ENGINE,
    ("setitem", "_as_value: np.ndim(value) - c.ndim  ->  np.ndim(value) + c.ndim"): _ENGINE,
    ("setitem", "_as_value: np.ndim(value) - c.ndim  ->  np.ndim(value)"): _ENGINE,
    ("setitem", "rule 1: if not _is_distinct(index)  ->  if True"): _SHORTCUT,
    ("repeat", "rule 0: if axis == x.ndim - 1  ->  if False"): _SHORTCUT,
    ("repeat", "rule 0: x.ndim - 1  ->  x.ndim + 1"): _SHORTCUT,
    ("repeat", "rule 0: x.ndim - 1  ->  x.ndim"): _SHORTCUT,
    ("repeat", "rule 0: x.ndim - 1  ->  1 - x.ndim"): _SHORTCUT,
    (
        "setitem",
        "_is_distinct: not isinstance(part, np.ndarray) or _is_mask(part)"
        "  ->  not isinstance(part, np.ndarray) and _is_mask(part)",
    ): _SHORTCUT,
    (
        "setitem",
        "_is_distinct: not isinstance(part, np.ndarray) or _is_mask(part)  ->  not isinstance(part, np.ndarray)",
    ): _SHORTCUT,
    ("setitem", "_is_distinct: not isinstance(part, np.ndarray) or _is_mask(part)  ->  _is_mask(part)"): _SHORTCUT,
    ("median", "rule 0: _share(g, x, lower, axis)  ->  _share(g, lower, x, axis)"): _TIES,
    ("median", "rule 0: _share(g, x, upper, axis)  ->  _share(g, upper, x, axis)"): _TIES,
    (
        "max",
        "rule 0: _share(kept(g, x.shape, axis), x, kept(y, x.shape, axis), axis)"
        "  ->  _share(kept(g, x.shape, axis), kept(y, x.shape, axis), x, axis)",
    ): _TIES,
    (
        "min",
        "rule 0: _share(kept(g, x.shape, axis), x, kept(y, x.shape, axis), axis)"
        "  ->  _share(kept(g, x.shape, axis), kept(y, x.shape, axis), x, axis)",
    ): _TIES,
    ("cumprod", "_collected: _previous(flipped(a, axis), axis, 0)  ->  _previous(flipped(a, axis), axis, 1)"): _NO_PART,
    (
        "recurrence",
        "_collected: _previous(flipped(a, axis), axis, 0)  ->  _previous(flipped(a, axis), axis, 1)",
    ): _NO_PART,
    (
        "cumprod",
        "_previous: np.ones_like(x[part(x.ndim, axis, slice(0, 1))]) * first"
        "  ->  np.ones_like(x[part(x.ndim, axis, slice(0, 1))])",
    ): "1 is asked for by the rule, and the 0 in `_collected` plays no part",
    (
        "vector_norm",
        "rule 0: np.where(zero, 1, y)  ->  np.where(zero, 2, y)",
    ): "where the norm is 0, x is made 0 as well",
    ("vector_norm", "_signed_power: p > 0  ->  p >= 0"): "0 is not odd",
    (
        "vector_norm",
        "_signed_power: np.where(x == 0, 1, np.abs(ratio))  ->  np.where(x == 0, 2, np.abs(ratio))",
    ): "times sign(0) = 0",
    ("einsum", "rule 0: zip(term, factor.shape)  ->  zip(factor.shape, term)"): _ONES,
    ("einsum", "rule 0: if name not in full  ->  if True"): _ONES,
    (
        "det",
        "_cofactors: if x.shape[-1] > LARGEST_SINGULAR  ->  if False",
    ): "an error instead of rounded numbers: tests/ops/test_linalg.py",
    ("det", "_cofactors: x.shape[-1]  ->  x.shape[-2]"): _SQUARE,
    ("det", "_adjugate: x.shape[-1]  ->  x.shape[-2]"): _SQUARE,
    (
        "det",
        "_is_regular: np.linalg.cond(x, 'fro') * np.finfo(x.dtype).eps > 0.001"
        "  ->  np.linalg.cond(x, 'fro') * np.finfo(x.dtype).eps >= 0.001",
    ): _DIGITS,
    (
        "det",
        "_is_regular: np.linalg.cond(x, 'fro') * np.finfo(x.dtype).eps > 0.001"
        "  ->  np.linalg.cond(x, 'fro') * np.finfo(x.dtype).eps > 0.002",
    ): _DIGITS,
    ("det", "_adjugate: x @ m  ->  m @ x"): "m is a polynomial in x, so they commute",
    ("det", "_adjugate: m * (-1) ** (n - 1)  ->  m / (-1) ** (n - 1)"): _SIGN,
    ("det", "_adjugate: n - 1  ->  n + 1"): _SIGN,
    ("det", "_adjugate: n - 1  ->  1 - n"): _SIGN,
    (
        "eigh",
        "_opened: gaps + np.eye(gaps.shape[-1], dtype=gaps.dtype)  ->  gaps - np.eye(gaps.shape[-1], dtype=gaps.dtype)",
    ): _DIAGONAL,
    ("eigh", "_opened: gaps.shape[-1]  ->  gaps.shape[-2]"): _SQUARE,
    (
        "svd",
        "_opened: gaps + np.eye(gaps.shape[-1], dtype=gaps.dtype)  ->  gaps - np.eye(gaps.shape[-1], dtype=gaps.dtype)",
    ): _DIAGONAL,
    ("svd", "_opened: gaps.shape[-1]  ->  gaps.shape[-2]"): _SQUARE,
    ("svd", "rule 0: if n > m  ->  if True"): _OUTSIDE,
    ("svd", "rule 0: n > m  ->  n >= m"): _OUTSIDE,
    ("svd", "rule 0: if m > n  ->  if True"): _OUTSIDE,
    ("svd", "rule 0: m > n  ->  m >= n"): _OUTSIDE,
    (
        "copysign",
        "rule 0: np.sign(a) * np.copysign(1, b)  ->  np.sign(a) / np.copysign(1, b)",
    ): "times 1 or -1, or divided by it",
    ("fmod", "rule 1: np.rint((a - y) / b)  ->  (a - y) / b"): "a whole number, but for rounding",
    ("arctan2", "rule 0: _turn(g, b, a, b)  ->  _turn(g, b, b, a)"): _LEGS,
    ("arctan2", "rule 1: _turn(g, a, a, b)  ->  _turn(g, a, b, a)"): _LEGS,
    ("scale_and_shift", "rule 1: x.ndim - weight.ndim  ->  weight.ndim - x.ndim"): _ENGINE,
}


class Mutant(NamedTuple):
    """One wrong version of an operation: what was changed, and a context in which it is.

    `touched` fills when the change has changed some result; None where that is not watched.
    """

    op: str
    change: str
    broken: Callable[[], Any]
    touched: list[bool] | None = None


# --------------------------------------------------------------------------- where the source stands


@functools.cache
def _module_tree(module: str) -> ast.Module:
    return ast.parse(inspect.getsource(sys.modules[module]))


def _span(node: Any) -> tuple[int, int, int, int]:
    return node.lineno, node.col_offset, node.end_lineno, node.end_col_offset


def _source_of(function: types.FunctionType) -> ast.Lambda | ast.FunctionDef | None:
    """The syntax of a function: for a lambda the smallest one around all positions of its bytecode.

    inspect.getsource does not tell two lambdas on one line apart; their columns do.
    """
    tree = _module_tree(function.__module__)
    if function.__name__ != "<lambda>":
        found = [n for n in ast.walk(tree) if isinstance(n, ast.FunctionDef) and n.name == function.__name__]
        return found[0] if len(found) == 1 else None
    body = [
        (line, column, end_line, end_column)
        for line, end_line, column, end_column in itertools.islice(function.__code__.co_positions(), 1, None)
        if line and column is not None and (line, column) != (end_line, end_column)
    ]
    around = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Lambda):
            first, start, last, end = _span(node.body)
            if all((first, start) <= (p[0], p[1]) and (p[2], p[3]) <= (last, end) for p in body):
                around.append(node)
    return min(
        around, key=lambda n: (n.end_lineno or 0) - n.lineno or (n.end_col_offset or 0) - n.col_offset, default=None
    )


def _helpers(function: types.FunctionType) -> Iterator[types.FunctionType]:
    """The private functions of the same module that a function calls, directly or not."""
    seen: set[str] = set()
    stack = [function]
    while stack:
        code = inspect.unwrap(stack.pop()).__code__
        for name in code.co_names:
            helper = function.__globals__.get(name)
            if (
                name.startswith("_")  # `np.cumsum` names the attribute like a function of this module
                and name not in seen
                and isinstance(helper, types.FunctionType)
                and inspect.unwrap(helper).__module__ == function.__module__
            ):
                seen.add(name)
                stack.append(helper)
                yield helper


# ------------------------------------------------------------------------------- changes of the source

SWAPPED: dict[type, list[type]] = {
    ast.Add: [ast.Sub],
    ast.Sub: [ast.Add],
    ast.Mult: [ast.Div],
    ast.Div: [ast.Mult],
    ast.Mod: [ast.Add],
    ast.BitAnd: [ast.BitOr],
    ast.BitOr: [ast.BitAnd],
    ast.And: [ast.Or],
    ast.Or: [ast.And],
    ast.Lt: [ast.GtE, ast.LtE],
    ast.Gt: [ast.LtE, ast.GtE],
    ast.LtE: [ast.Gt, ast.Lt],
    ast.GtE: [ast.Lt, ast.Gt],
    ast.Eq: [ast.NotEq],
    ast.NotEq: [ast.Eq],
    ast.Is: [ast.IsNot],
    ast.IsNot: [ast.Is],
    ast.In: [ast.NotIn],
}


# Functions whose order of arguments means nothing, or is obvious: exchanging them is no mistake.
SYMMETRIC = {
    "swapaxes", "maximum", "minimum", "max", "min", "isinstance", "hypot", "logaddexp", "logaddexp2", "equal",
    "not_equal", "logical_and", "logical_or", "logical_xor", "fmax", "fmin", "array_equal", "sum_of_products",
}  # fmt: skip


def _variants(node: ast.AST) -> Iterator[ast.AST]:
    """Wrong versions of one piece of syntax."""
    match node:
        case ast.BinOp(left, operation, right):
            for other in SWAPPED.get(type(operation), []):
                yield ast.BinOp(left, other(), right)
            if isinstance(operation, ast.Mult | ast.Div | ast.MatMult | ast.Add | ast.Sub):
                yield left
            if isinstance(operation, ast.Mult | ast.MatMult | ast.Add):
                yield right
            if isinstance(operation, ast.MatMult | ast.Sub | ast.Div | ast.Pow):
                yield ast.BinOp(right, operation, left)
        case ast.BoolOp(operation, operands):
            yield ast.BoolOp(SWAPPED[type(operation)][0](), operands)
            yield from operands
        case ast.Compare(left, operations, operands):
            for i, operation in enumerate(operations):
                for other in SWAPPED.get(type(operation), []):
                    yield ast.Compare(left, [*operations[:i], other(), *operations[i + 1 :]], operands)
        case ast.UnaryOp(ast.USub() | ast.Not(), operand):
            yield operand
        case ast.IfExp(test, body, orelse):
            yield body
            yield orelse
            yield ast.IfExp(test, orelse, body)
        case ast.If(test, body, orelse):
            yield ast.If(ast.Constant(True), body, orelse)
            yield ast.If(ast.Constant(False), body, orelse)
        case ast.Constant(bool(value)):
            yield ast.Constant(not value)
        case ast.Constant(int(value)):
            yield ast.Constant(value + 1)
        case ast.Constant(float(value)):
            yield ast.Constant(value * 2)
        case ast.Call(function, arguments, keywords):
            if len(arguments) >= 2 and ast.unparse(function).split(".")[-1] not in SYMMETRIC:
                for i in range(len(arguments) - 1):
                    swapped = [*arguments[:i], arguments[i + 1], arguments[i], *arguments[i + 2 :]]
                    yield ast.Call(function, swapped, keywords)
            if arguments and not isinstance(arguments[0], ast.Starred | ast.GeneratorExp):
                yield arguments[0]
            if isinstance(function, ast.Attribute) and ast.unparse(function.value) not in ("np", "math", "ops"):
                yield function.value  # a method: the object as it is
        case ast.Attribute(value, "T" | "mT"):
            yield value


def _edited(root: ast.AST, target: ast.AST, new: ast.AST) -> ast.AST:
    """A copy of the tree with one node replaced."""
    memo = {id(target): ast.copy_location(copy.copy(new), target)}
    return ast.fix_missing_locations(copy.deepcopy(root, memo))


def _code_nodes(source: ast.Lambda | ast.FunctionDef) -> Iterator[ast.AST]:
    """What runs: without annotations, docstrings and default values, and without what an error says."""
    bodies = [source.body] if isinstance(source, ast.Lambda) else source.body
    for body in bodies:
        said = {id(part) for node in ast.walk(body) if isinstance(node, ast.Raise) for part in ast.walk(node)}
        for node in ast.walk(body):
            if id(node) not in said and not isinstance(node, ast.JoinedStr | ast.FormattedValue):
                yield node


def _compiled(function: types.FunctionType, source: ast.AST) -> types.FunctionType:
    """The changed source as a function in the same module, behind the same np.errstate."""
    assert not function.__closure__, "a rule needs no closure"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SyntaxWarning)  # a mutant may index an int
        if isinstance(source, ast.Lambda):
            made = eval(compile(ast.Expression(source), "<mutant>", "eval"), function.__globals__)
        else:
            assert isinstance(source, ast.FunctionDef)
            source.decorator_list = []
            scope: dict[str, Any] = {}
            exec(compile(ast.Module([source], []), "<mutant>", "exec"), function.__globals__, scope)
            made = scope[source.name]
    made.__kwdefaults__, made.__defaults__ = function.__kwdefaults__, function.__defaults__
    return made


def _shown(node: ast.AST) -> str:
    return f"if {ast.unparse(node.test)}" if isinstance(node, ast.If) else ast.unparse(node)


def _is_unknown_size(node: ast.AST, parents: dict[ast.AST, ast.AST]) -> bool:
    """The 1 in reshape((..., -1)): NumPy takes any negative number for "work it out"."""
    sign = parents.get(node)
    if not isinstance(sign, ast.UnaryOp):
        return False
    call = parents.get(sign)
    call = parents.get(call) if isinstance(call, ast.Tuple) else call
    return isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute) and call.func.attr == "reshape"


def _source_mutants(function: Any) -> Iterator[tuple[str, Any]]:
    """(what was changed, the changed function) for every wrong version of a function's source."""
    inner = inspect.unwrap(function)
    source = _source_of(inner)
    if source is None:
        return
    parents = {child: node for node in ast.walk(source) for child in ast.iter_child_nodes(node)}
    right = ast.unparse(source)
    seen = {right}
    for node in _code_nodes(source):
        if _is_unknown_size(node, parents):
            continue
        around = node  # a number alone says little: show what it stands in
        while isinstance(around, ast.Constant | ast.Tuple | ast.Slice | ast.keyword) or (
            isinstance(around, ast.UnaryOp) and isinstance(around.operand, ast.Constant)
        ):
            around = parents[around]
        for new in _variants(node):
            changed = _edited(source, node, new)
            text = ast.unparse(changed)
            if text in seen:
                continue
            seen.add(text)
            made = _compiled(inner, changed)
            if function is not inner:  # a rule that silences NumPy is a wrapped one
                made = np.errstate(divide="ignore", invalid="ignore", over="ignore")(made)
            after = new if around is node else _edited(around, node, new)
            yield f"{_shown(around)}  ->  {_shown(after)}", made


# ------------------------------------------------------------------------------- changes of the result


def _alternate(r: Any) -> Any:
    return r * (np.arange(r.size) % 2).reshape(r.shape)


def _first_of(r: Any, x: Any, combine: Callable[..., Any]) -> Any:
    """What a forgotten sum over the broadcast axes would leave."""
    extra = r.ndim - np.ndim(x)
    for _ in range(extra):
        r = combine(r, 0)
    for i, n in enumerate(np.shape(x)):
        if n == 1 and r.shape[i] != 1:
            r = combine(r, i).reshape((*r.shape[:i], 1, *r.shape[i + 1 :]))
    return r


# Each gets the right result, the cotangent and the input whose gradient it is.
RESULTS: dict[str, Callable[[Any, Any, Any], Any]] = {
    "negated": lambda r, g, x: -r,
    "doubled": lambda r, g, x: 2 * r,
    "zeroed": lambda r, g, x: r * 0,
    "every second element zeroed": lambda r, g, x: _alternate(r),
    "the cotangent as it is": lambda r, g, x: g,
    "transposed": lambda r, g, x: r.T.reshape(r.shape) if r.ndim > 1 else r,
    "reversed": lambda r, g, x: r.reshape((-1,))[::-1].reshape(r.shape) if r.size > 1 else r,
    "not summed over broadcast axes": lambda r, g, x: _first_of(r, x, lambda a, i: a[(slice(None),) * i + (0,)]),
    "averaged over broadcast axes": lambda r, g, x: _first_of(r, x, lambda a, i: a.mean(axis=i)),
}


def _spoilt(rule: Any, place: int | None, spoil: Callable[[Any, Any, Any], Any], touched: list[bool]) -> Any:
    """The rule with its result spoilt; with place=None an `Each` rule, which is told its place."""

    def wrong(*inputs: Any, **params: Any) -> Any:
        r = rule(*inputs, **params)
        i = inputs[0] if place is None else place
        g, *args = inputs[1:2] + inputs[3:] if place is None else inputs[:1] + inputs[2:]
        r = r if hasattr(r, "shape") else np.asarray(r)
        spoilt = spoil(r, g, args[i])
        if not touched:
            before, after = (np.asarray(x.detach() if hasattr(x, "detach") else x) for x in (r, spoilt))
            same = before.shape == after.shape and np.array_equal(before, after, equal_nan=True)
            if not same and (before.any() or after.any()):  # zeros of another shape are zeros all the same
                touched.append(True)
        return spoilt

    return wrong


# --------------------------------------------------------------------------------------------- mutants


@contextmanager
def _with_rules(op: Op[Any], rules: Any) -> Iterator[None]:
    kept = op.vjps
    op.vjps = rules
    try:
        yield
    finally:
        op.vjps = kept


@contextmanager
def _with_residual(op: Op[Any], residual: Any) -> Iterator[None]:
    kept = op.residual
    op.residual = residual
    try:
        yield
    finally:
        op.residual = kept


@contextmanager
def _with_helper(helper: Any, changed: Any) -> Iterator[None]:
    scope = inspect.unwrap(helper).__globals__
    name = helper.__name__
    scope[name] = changed
    try:
        yield
    finally:
        scope[name] = helper


def mutants(op: Op[Any]) -> Iterator[Mutant]:
    """Every wrong version of an operation."""
    many = isinstance(op.vjps, Each)
    rules = [op.vjps.rule] if many else list(op.vjps)

    def replaced(i: int, rule: Any) -> Any:
        return Each(rule) if many else (*rules[:i], rule, *rules[i + 1 :])

    helpers: dict[str, Any] = {}
    for i, rule in enumerate(rules):
        if rule is None:
            continue
        label = f"rule {i}"
        for name, spoil in RESULTS.items():
            touched: list[bool] = []
            wrong = _spoilt(rule, None if many else i, spoil, touched)
            yield Mutant(op.name, f"{label}: {name}", functools.partial(_with_rules, op, replaced(i, wrong)), touched)
        inner = inspect.unwrap(rule)
        if isinstance(inner, types.FunctionType):
            for change, made in _source_mutants(rule):
                yield Mutant(op.name, f"{label}: {change}", functools.partial(_with_rules, op, replaced(i, made)))
            helpers |= {h.__name__: h for h in _helpers(inner)}
    if op.residual is not None:
        for change, made in _source_mutants(op.residual):
            yield Mutant(op.name, f"residual: {change}", functools.partial(_with_residual, op, made))
        helpers |= {h.__name__: h for h in _helpers(inspect.unwrap(op.residual))}
    for name, helper in helpers.items():
        for change, made in _source_mutants(helper):
            yield Mutant(op.name, f"{name}: {change}", functools.partial(_with_helper, helper, made))


def killed(mutant: Mutant) -> bool:
    """Do the tests of the operation notice?"""
    with mutant.broken(), warnings.catch_warnings():
        warnings.simplefilter("error")  # as pytest is configured
        try:
            check_operation(OPS[mutant.op])
        except Exception:  # whatever fails is a failing test
            return True
    return False


def reason(mutant: Mutant) -> str | None:
    """Why a surviving mutant is no mistake; None if nobody has said so."""
    return EQUIVALENT.get((mutant.op, mutant.change)) or EQUIVALENT.get(("*", mutant.change))


class Outcome(NamedTuple):
    """What became of the mutants of one operation."""

    name: str
    count: int
    survivors: list[str]
    equivalent: list[tuple[str, str]]
    failure: str | None  # of the operation as it is: then nothing can be said about its mutants


def run(name: str) -> Outcome:
    """All mutants of one operation: how many, which survive, and which of those are no mistakes."""
    op = OPS[name]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            check_operation(op)  # the right one passes, or else every kill would be for nothing
        except Exception as error:
            return Outcome(name, 0, [], [], f"{type(error).__name__}: {error}")
    count = 0
    survivors, equivalent = [], []
    for mutant in mutants(op):
        dead = killed(mutant)
        if mutant.touched == []:
            continue  # it has changed nothing: no input of this rule is ever broadcast, or the result is 0 anyway
        count += 1
        if dead:
            continue
        why = reason(mutant)
        if why is None:
            survivors.append(mutant.change)
        else:
            equivalent.append((mutant.change, why))
    return Outcome(name, count, survivors, equivalent, None)


def _told(outcome: Outcome, everything: bool) -> Outcome:
    """Print what became of an operation's mutants as soon as it is known."""
    if outcome.failure is not None:
        print(f"FAILS UNCHANGED  {outcome.name}: {' '.join(outcome.failure.split())}", flush=True)
    for change in outcome.survivors:
        print(f"SURVIVED  {outcome.name}: {change}", flush=True)
    if everything:
        for change, why in outcome.equivalent:
            print(f"equivalent  {outcome.name}: {change}\n            {why}")
    return outcome


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--op", action="append", help="only this operation (may be given several times)")
    parser.add_argument("--jobs", type=int, default=1, help="processes at once")
    parser.add_argument("--list", action="store_true", help="show the equivalent mutants, too")
    options = parser.parse_args(arguments)
    names = options.op or [op.name for op in OPS.values() if op.differentiable]
    unknown = set(names) - OPS.keys()
    if unknown:
        parser.error(f"no such operation: {', '.join(sorted(unknown))}")
    start = time.perf_counter()
    if options.jobs > 1:
        with ProcessPoolExecutor(options.jobs, mp_context=multiprocessing.get_context("spawn")) as pool:
            results = [_told(outcome, options.list) for outcome in pool.map(run, names)]
    else:
        results = [_told(run(name), options.list) for name in names]
    total = sum(o.count for o in results)
    surviving = sum(len(o.survivors) for o in results)
    same = sum(len(o.equivalent) for o in results)
    seconds = time.perf_counter() - start
    print(
        f"{total} mutants of {len(names)} operations, {total - surviving - same} killed, {same} equivalent, "
        f"{surviving} survived, {seconds:.0f} s"
    )
    return 1 if surviving or any(o.failure is not None for o in results) else 0


if __name__ == "__main__":
    sys.exit(main())
