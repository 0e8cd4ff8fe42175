"""Module: parameters and other modules, found by their attribute names."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from tinygrad_edu import memory
from tinygrad_edu.errors import ShapeError
from tinygrad_edu.memory import tick
from tinygrad_edu.modes import current_mode
from tinygrad_edu.tensor import Tensor

__all__ = ["Module", "Parameter"]


class Parameter(Tensor):
    """A Tensor that training changes: a leaf that needs a gradient, and that a Module finds among its attributes.

    Examples
    --------
    >>> import tinygrad_edu as tg
    >>> tg.nn.Parameter([1.0, 2.0], name="w")
    Tensor([1., 2.], name='w', requires_grad=True)
    """

    __slots__ = ()

    def __init__(self, data: ArrayLike | Tensor, dtype: DTypeLike | None = None, name: str | None = None) -> None:
        super().__init__(data, requires_grad=True, dtype=dtype, name=name)
        if self.ndim:
            self._hold(memory.aligned(self._data))


class Module:
    """A part of a network.  Subclasses set Parameters and Modules as attributes and define `forward`.

    Attributes that are Parameters, Modules, or lists, tuples and dicts of them are found by name: the weight of
    `self.fc1` is "fc1.weight".  A Tensor that is no Parameter (a running mean, say) is part of `state_dict`, too.

    Examples
    --------
    >>> import numpy as np, tinygrad_edu as tg
    >>> class Twice(tg.nn.Module):
    ...     def __init__(self):
    ...         super().__init__()
    ...         self.fc1 = tg.nn.Linear(2, 3, rng=0)
    ...     def forward(self, x):
    ...         return 2 * self.fc1(x)
    >>> net = Twice()
    >>> net(np.ones((5, 2))).shape
    (5, 3)
    >>> [name for name, _ in net.named_parameters()]
    ['fc1.weight', 'fc1.bias']
    """

    _name: str | None = None  # the attribute of another module under which this one stands
    changes = 0  # how often an attribute of any module was set: what was compiled before may be out of date

    def __init__(self) -> None:
        self.training = True

    def forward(self, *inputs: Any) -> Any:
        """What the module computes."""
        raise NotImplementedError(f"{type(self).__name__}.forward: define what the module computes")

    def __call__(self, *inputs: Any, **options: Any) -> Any:
        start = tick()
        tracer = current_mode().tracer
        if tracer is not None:
            tracer.modules[self] = None
        usual = len(inputs) == 1 and not options  # then without packing and unpacking
        out = self.forward(inputs[0]) if usual else self.forward(*inputs, **options)
        # All that was recorded since `start` is this call's; a note at its result says so.  (It holds names, not the
        # module: a module that keeps its result would make a circle.)
        if isinstance(out, Tensor):  # without the loop: it is a third of what a call costs
            node = out._node
            if node is not None and node.order > start:
                node.calls = (start, self._name, type(self), node.calls)
            return out
        for result in _results(out):
            node = result._node
            if node is not None and node.order > start:
                node.calls = (start, self._name, type(self), node.calls)
        return out

    def __setattr__(self, name: str, value: Any) -> None:
        super().__setattr__(name, value)
        Module.changes += 1
        for path, module in _children(name, value):
            if module._name is None:
                object.__setattr__(module, "_name", path)
        # Parameters get the name by which this module knows them, unless the user or another module has named them.
        for path, tensor in _tensors(name, value):
            if tensor.name is None or path.endswith(f".{tensor.name}"):
                tensor.name = path

    def named_parameters(self) -> Iterator[tuple[str, Parameter]]:
        """Each parameter once, with its path ("fc1.weight"), in the order of the attributes."""
        seen: set[int] = set()
        for path, tensor in self._named_tensors():
            if isinstance(tensor, Parameter) and id(tensor) not in seen:
                seen.add(id(tensor))
                yield path, tensor

    def parameters(self) -> Iterator[Parameter]:
        """Each parameter once."""
        return (parameter for _, parameter in self.named_parameters())

    def named_children(self) -> Iterator[tuple[str, Module]]:
        """The modules directly inside, with their names."""
        for name, value in vars(self).items():
            yield from _children(name, value)

    def named_modules(self, prefix: str = "") -> Iterator[tuple[str, Module]]:
        """This module ("") and all inside it, with their paths."""
        yield prefix, self
        for name, child in self.named_children():
            yield from child.named_modules(f"{prefix}.{name}" if prefix else name)

    def modules(self) -> Iterator[Module]:
        """This module and all inside it."""
        return (module for _, module in self.named_modules())

    def _named_tensors(self) -> Iterator[tuple[str, Tensor]]:
        for name, value in vars(self).items():
            yield from _tensors(name, value)

    def apply(self, function: Callable[[Module], object]) -> Self:
        """Call `function` with each module inside, and last with this one."""
        for _, child in self.named_children():
            child.apply(function)
        function(self)
        return self

    def train(self, mode: bool = True) -> Self:
        """Behave as in training (dropout drops)."""
        for module in self.modules():
            module.training = mode
        return self

    def eval(self) -> Self:
        """Behave as in use (dropout passes everything)."""
        return self.train(False)

    def zero_grad(self) -> None:
        """Forget the gradients of all parameters."""
        for parameter in self.parameters():
            parameter.grad = None

    def state_dict(self) -> dict[str, NDArray[Any]]:
        """Copies of all parameters and other tensors, by path."""
        return {path: tensor.data.copy() for path, tensor in self._named_tensors()}

    def load_state_dict(self, state: Mapping[str, ArrayLike]) -> None:
        """Copy the numbers of a `state_dict` into the parameters; nothing is changed if anything does not fit.

        Raises
        ------
        KeyError
            If a name is missing or unknown.
        ShapeError
            If a shape differs.
        """
        own = dict(self._named_tensors())
        missing, unknown = own.keys() - state.keys(), state.keys() - own.keys()
        if missing or unknown:
            raise KeyError(
                f"load_state_dict: missing {sorted(missing) or 'nothing'}, unknown {sorted(unknown) or 'nothing'}"
            )
        for path, tensor in own.items():
            if np.shape(state[path]) != tensor.shape:
                raise ShapeError(f"load_state_dict: {path} has shape {tensor.shape}, the state {np.shape(state[path])}")
        for path, tensor in own.items():
            tensor.data[...] = state[path]
            memory.edited(tensor.data)

    def extra_repr(self) -> str:
        """What stands between the parentheses of the repr."""
        return ""

    def __repr__(self) -> str:
        rows = list(self._rows())
        width = max(len(text) for text, _ in rows) + 4
        dtypes = sorted({str(p.dtype) for p in self.parameters()})
        total = f"{_counted(self)}, {' and '.join(dtypes)}" if dtypes else ""
        lines = [f"{text:<{width}}{count}".rstrip() for text, count in rows[:-1]]
        return "\n".join([*lines, f"{rows[-1][0]:<{width}}{total}".rstrip()])

    def _rows(self, name: str = "", depth: int = 0) -> Iterator[tuple[str, str]]:
        """Lines of the repr: the text, and how many parameters a module without children has."""
        indent, label = "  " * depth, f"({name}): " if name else ""
        children = list(self.named_children())
        if not children:
            inside = self.extra_repr()
            text = f"{type(self).__name__}({inside})" if inside else type(self).__name__
            yield f"{indent}{label}{text}", _counted(self)
            return
        yield f"{indent}{label}{type(self).__name__}(", ""
        for child_name, child in children:
            yield from child._rows(child_name, depth + 1)
        yield f"{indent})", ""


def _counted(module: Module) -> str:
    n = sum(parameter.size for parameter in module.parameters())
    return f"{n:,} parameter{'s' if n != 1 else ''}" if n else ""


def _members(path: str, value: Any) -> Iterator[tuple[str, Any]]:
    """The value itself, or the members of a list, tuple or dict, with their paths."""
    if isinstance(value, (Tensor, Module)):
        yield path, value
    elif isinstance(value, (list, tuple, dict)):
        for key, member in value.items() if isinstance(value, dict) else enumerate(value):
            yield from _members(f"{path}.{key}", member)


def _results(out: Any) -> Iterator[Tensor]:
    """The Tensors that a module's call has returned, alone or in tuples, lists and dicts."""
    return (member for _, member in _members("", out) if isinstance(member, Tensor))


def _children(path: str, value: Any) -> Iterator[tuple[str, Module]]:
    return ((name, member) for name, member in _members(path, value) if isinstance(member, Module))


def _tensors(path: str, value: Any) -> Iterator[tuple[str, Tensor]]:
    for name, member in _members(path, value):
        if isinstance(member, Tensor):
            yield name, member
        else:
            for inner, tensor in member._named_tensors():
                yield f"{name}.{inner}", tensor
