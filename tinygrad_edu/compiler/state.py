"""What a step can reach and change: found, saved, put back, compared.

A step is run several times before its compiled form is trusted, and each run must begin where the first one did.
"""

from __future__ import annotations

import copy
import types
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from tinygrad_edu.anomaly import OURS
from tinygrad_edu.nn.module import Module
from tinygrad_edu.optim import Optimizer
from tinygrad_edu.record import Node
from tinygrad_edu.tensor import Tensor

__all__ = ["Reach", "Saved", "contents", "difference", "same_attributes"]

SMALL = 1 << 20  # numbers: larger arrays of the user's, that no Tensor holds, are taken not to be written to
LIMIT = 100_000  # objects
MANY = 1_000  # entries: longer lists and dicts are data, and not looked through at each call


class Reach:
    """All Tensors, arrays, generators, optimisers and modules that a function can get at by its names and arguments."""

    def __init__(self, function: Callable[..., Any], arguments: Any) -> None:
        self.tensors: dict[int, Tensor] = {}
        self.arrays: dict[int, np.ndarray] = {}
        self.generators: dict[int, np.random.Generator] = {}
        self.optimizers: dict[int, Optimizer] = {}
        self.modules: dict[int, Module] = {}
        self.holders: list[tuple[str, Any, Any]] = []  # lists, dicts and objects of the user's, and what they held
        self.names: list[tuple[Any, str, Any]] = []  # (dict of globals, name, value)
        self.cells: list[tuple[Any, Any]] = []  # (cell, value)
        seen: set[int] = set()
        for start in (function, arguments):
            waiting: list[Any] = [start]
            while waiting and len(seen) < LIMIT:
                x = waiting.pop()
                if id(x) in seen:
                    continue
                seen.add(id(x))
                if start is function:
                    self.hold("", x)
                waiting += self.inside(x)

    def inside(self, x: Any) -> Iterable[Any]:
        """Note one object; what it leads to."""
        if isinstance(x, Tensor):
            self.tensors[id(x)] = x
        elif isinstance(x, np.ndarray):
            self.arrays[id(x)] = x
        elif isinstance(x, np.random.Generator):
            self.generators[id(x)] = x
        elif isinstance(x, Optimizer):
            self.optimizers[id(x)] = x
            return list(x.params)
        elif isinstance(x, Module):
            self.modules[id(x)] = x
            return list(vars(x).values())
        elif isinstance(x, dict):
            return list(x.values())
        elif isinstance(x, list | tuple | set | frozenset):
            return list(x)
        elif isinstance(x, types.MethodType):
            return [x.__self__, x.__func__]
        elif isinstance(x, types.FunctionType):
            return self.of_function(x)
        elif hasattr(x, "__wrapped__") and not isinstance(x, type):
            return [x.__wrapped__]
        elif hasattr(x, "__dict__") and not isinstance(x, type | types.ModuleType | types.BuiltinFunctionType):
            return list(vars(x).values())
        return []

    def of_function(self, function: types.FunctionType) -> list[Any]:
        if function.__code__.co_filename.startswith(OURS):
            return []
        found: list[Any] = list(function.__defaults__ or ())
        codes = [function.__code__]
        while codes:
            code = codes.pop()
            codes += [c for c in code.co_consts if isinstance(c, types.CodeType)]
            for name in code.co_names:
                if name in function.__globals__:
                    value = function.__globals__[name]
                    self.names.append((function.__globals__, name, value))
                    found.append(value)
                    self.hold(name, value)
        for name, cell in zip(function.__code__.co_freevars, function.__closure__ or ()):
            try:
                value = cell.cell_contents
            except ValueError:  # not yet assigned
                continue
            self.cells.append((cell, value))
            found.append(value)
            self.hold(name, value)
        return found

    def hold(self, name: str, x: Any) -> None:
        """A list, a dict or an object: if it changes, the function that was compiled may be out of date."""
        content = contents(x)
        if content is not None and len(content) <= MANY and not any(holder is x for _, holder, _ in self.holders):
            self.holders.append((name, x, content.copy()))

    def unchanged(self) -> bool:
        """Do all of them hold what they held?"""
        return all(_same_contents(contents(x), before) for _, x, before in self.holders)

    def forget(self) -> None:
        """Let go of what was only needed to compile."""
        self.tensors, self.arrays, self.generators, self.optimizers, self.modules = {}, {}, {}, {}, {}

    @property
    def leaves(self) -> list[Node]:
        """The Nodes of leaves that may have a gradient."""
        tensors = [*self.tensors.values(), *(p for o in self.optimizers.values() for p in o.params)]
        found = {t._node: None for t in tensors if t._node is not None and t._node.op is None and t.dtype.kind == "f"}
        return list(found)

    def known(self) -> dict[int, Any]:
        """By the id of an array, who holds it."""
        found: dict[int, Any] = dict(self.arrays)
        for tensor in self.tensors.values():
            found[id(tensor._data)] = tensor
        return found

    def side_effect(self) -> str | None:
        """What the step has changed that a compiled one would not change again."""
        for name, x, before in self.holders:
            if not _same_contents(contents(x), before):
                what = name or f"a {type(x).__name__}"
                return f"{what} has changed: a compiled step cannot write to it; return the value"
        for names, name, value in self.names:
            if names.get(name) is not value:
                return f"the global {name} was assigned to; return the value"
        for cell, value in self.cells:
            if cell.cell_contents is not value:
                return "a nonlocal variable was assigned to; return the value"
        return None

    def undo(self) -> None:
        """Take such changes back: the step will run again."""
        for _, x, before in self.holders:
            content = contents(x)
            if not _same_contents(content, before):
                content.clear()
                content.extend(before) if isinstance(content, list) else content.update(before)
        for names, name, value in self.names:
            names[name] = value
        for cell, value in self.cells:
            if cell.cell_contents is not value:
                cell.cell_contents = value


def contents(x: Any) -> Any:
    """The list or dict behind a list, a dict or an object of the user's."""
    if isinstance(x, list | dict):
        return x
    ours = isinstance(x, Tensor | Module | Optimizer) or type(x).__module__.split(".")[0] in ("tinygrad_edu", "numpy")
    if ours or isinstance(x, type | types.ModuleType | types.FunctionType | types.MethodType):
        return None
    return getattr(x, "__dict__", None)


def _same_contents(now: Any, before: Any) -> bool:
    if len(now) != len(before):
        return False
    if isinstance(before, dict):
        return all(now.get(name, now) is x for name, x in before.items())
    return all(a is b for a, b in zip(now, before))


class Saved:
    """The numbers of all that a step may change, to be put back."""

    def __init__(self, reach: Reach) -> None:
        self.tensors = [
            (t, t._data, np.array(t._data)) for t in reach.tensors.values() if t._node is None or t._node.op is None
        ]
        held = {id(data) for _, data, _ in self.tensors}
        self.arrays = [(a, a.copy()) for a in reach.arrays.values() if a.size <= SMALL and id(a) not in held]
        self.generators = [(g, copy.deepcopy(g.bit_generator.state)) for g in reach.generators.values()]
        self.optimizers = [(o, _optimizer(o)) for o in reach.optimizers.values()]
        nodes = [t._node for t, _, _ in self.tensors if t._node is not None]
        nodes += [p._node for o in reach.optimizers.values() for p in o.params if p._node is not None]
        self.grads = [(n, n.notes.grad, _copied(n.notes.grad)) for n in dict.fromkeys(nodes) if n.notes is not None]
        self.attributes = [(m, dict(vars(m))) for m in reach.modules.values()]

    def restore(self) -> None:
        """Put everything back as it was, into the same memory."""
        for tensor, data, numbers in self.tensors:
            if isinstance(data, np.ndarray):
                if data.flags.writeable:
                    data[...] = numbers
                if tensor._data is not data:
                    tensor._hold(data)
            else:
                tensor._hold(
                    numbers[()] if not isinstance(tensor._data, np.ndarray) else _filled(tensor._data, numbers)
                )
        for array, numbers in self.arrays:
            if array.flags.writeable:
                array[...] = numbers
        for generator, state in self.generators:
            generator.bit_generator.state = copy.deepcopy(state)
        for optimizer, attributes in self.optimizers:
            _put_back(optimizer, attributes)
        for node, grad, numbers in self.grads:
            if isinstance(grad, np.ndarray):
                grad[...] = numbers
            node.note().grad = grad
        for module, attributes in self.attributes:
            if not same_attributes(module, attributes):
                vars(module).clear()
                vars(module).update(attributes)

    def now(self) -> list[tuple[str, Any]]:
        """The numbers as they are now, with names."""
        found: list[tuple[str, Any]] = []
        for i, (tensor, _, _) in enumerate(self.tensors):
            found.append((tensor.name or f"tensor {i}", np.array(tensor._data)))
        found += [("an array", array.copy()) for array, _ in self.arrays]
        found += [("a generator", copy.deepcopy(g.bit_generator.state)) for g, _ in self.generators]
        for optimizer, _ in self.optimizers:
            found.append((type(optimizer).__name__, _optimizer(optimizer)))
        for node, _, _ in self.grads:
            name = node.notes.name if node.notes is not None and node.notes.name else "a leaf"
            found.append((f"the gradient of {name}", _copied(node.notes.grad if node.notes is not None else None)))
        return found


def same_attributes(module: Module, attributes: dict[str, Any]) -> bool:
    """Has a module the very attributes that it had?"""
    now = vars(module)
    return len(now) == len(attributes) and all(now.get(name) is value for name, value in attributes.items())


def _filled(array: np.ndarray, numbers: np.ndarray) -> np.ndarray:
    array[...] = numbers
    return array


def _copied(grad: Any) -> Any:
    return grad.copy() if isinstance(grad, np.ndarray) else grad


SHARED = ("params", "scratch", "arrays", "writes", "together")  # of an optimiser: not its state


def _optimizer(optimizer: Optimizer) -> dict[str, Any]:
    return {
        name: [_copied(x) for x in value] if isinstance(value, list) else value
        for name, value in vars(optimizer).items()
        if name not in SHARED
    }


def _put_back(optimizer: Optimizer, attributes: dict[str, Any]) -> None:
    for name, value in attributes.items():
        now = getattr(optimizer, name)
        if isinstance(value, list) and isinstance(now, list) and len(now) == len(value):
            for i, x in enumerate(value):
                if isinstance(x, np.ndarray) and isinstance(now[i], np.ndarray):
                    now[i][...] = x
                else:
                    now[i] = _copied(x)
        else:
            setattr(optimizer, name, value)


def difference(a: Any, b: Any, eps: float = 0.0) -> float | None:
    """How far apart two values are, in units of rounding errors of the largest; 0 if bit for bit equal, None if they
    do not compare at all.  A rounding error is at least `eps`: float64 may have been computed from float32.
    """
    if isinstance(a, Tensor):
        a = a._data
    if isinstance(b, Tensor):
        b = b._data
    if isinstance(a, dict) and isinstance(b, dict):
        return _worst(difference(a[k], b[k], eps) for k in a) if a.keys() == b.keys() else None
    if isinstance(a, list | tuple) and isinstance(b, list | tuple):
        return _worst(difference(x, y, eps) for x, y in zip(a, b)) if len(a) == len(b) else None
    if isinstance(a, np.ndarray | np.generic) and isinstance(b, np.ndarray | np.generic):
        return _apart(np.asarray(a), np.asarray(b), eps)
    try:
        return 0.0 if a is b or bool(a == b) else None
    except (TypeError, ValueError):
        return None


def _worst(differences: Iterable[float | None]) -> float | None:
    worst = 0.0
    for d in differences:
        if d is None:
            return None
        worst = max(worst, d)
    return worst


def _apart(a: np.ndarray, b: np.ndarray, eps: float) -> float | None:
    if a.shape != b.shape or a.dtype != b.dtype:
        return None
    if a.dtype.kind != "f":
        return 0.0 if np.array_equal(a, b) else None
    if np.array_equal(a, b, equal_nan=True):
        return 0.0
    with np.errstate(all="ignore"):
        if not np.array_equal(np.isfinite(a), np.isfinite(b)):
            return None
        finite = np.isfinite(a)
        if not np.array_equal(a[~finite], b[~finite], equal_nan=True):
            return None
        x, y = a[finite].astype(np.float64), b[finite].astype(np.float64)
        scale = max(float(np.abs(x).max(initial=0)), float(np.abs(y).max(initial=0)))
        return float(np.abs(x - y).max(initial=0) / (scale * max(eps, float(np.finfo(a.dtype).eps))))
