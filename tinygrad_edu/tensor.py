"""Tensor: an array that remembers how it was computed.

Every operator is one line over `ops`; the methods (`t.exp()`, `t.sum()`) stand in `methods.py`.  NumPy's functions
come here through its two protocols: `np.exp(t)`, `t.exp()` and `tg.exp(t)` are one operation.
"""

from __future__ import annotations

import itertools
import operator
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from tinygrad_edu import memory, ops, record
from tinygrad_edu.engine import sweep
from tinygrad_edu.errors import DtypeError, GraphError, ShapeError
from tinygrad_edu.methods import Methods
from tinygrad_edu.modes import current_mode, mode
from tinygrad_edu.op import NUMPY, OPS, signature
from tinygrad_edu.ops import arithmetic
from tinygrad_edu.record import REFUSALS, Node, Value, apply2, leaf, plain

if TYPE_CHECKING:  # NumPy itself does not load it
    from numpy.typing import ArrayLike, DTypeLike, NDArray

__all__ = ["Tensor", "as_tensor", "backward", "sweep_from"]

Axis = int | tuple[int, ...] | None
Array: TypeAlias = "NDArray[Any]"


class Tensor(Value, Methods):
    """An array that remembers how it was computed, so that its gradients can be.

    Parameters
    ----------
    data : array_like
        Numbers or booleans of any shape.  They are copied; `tg.as_tensor` shares memory instead.
    requires_grad : bool
        Shall `backward` compute the gradient with respect to this tensor?  Only floats can have one.
    dtype : dtype, optional
        NumPy's choice unless given: float64 for Python floats, and arrays keep theirs.
    name : str, optional
        How it is called in pictures and derivations.

    Raises
    ------
    DtypeError
        For text, objects and complex numbers, and for `requires_grad=True` on integers or booleans.

    Examples
    --------
    >>> import tinygrad_edu as tg
    >>> x = tg.Tensor([1.0, 2.0, 3.0], requires_grad=True)
    >>> loss = (x * x).sum()
    >>> loss
    Tensor(14., from sum)
    >>> loss.backward()
    >>> x.grad
    array([2., 4., 6.])
    """

    __slots__ = ()

    def __init__(
        self,
        data: ArrayLike | Tensor,
        requires_grad: bool = False,
        dtype: DTypeLike | None = None,
        name: str | None = None,
    ) -> None:
        array = plain(np.array(data._data if isinstance(data, Value) else data, dtype=dtype))
        self._data = array if array.ndim else array[()]
        self._node = None
        tracer = current_mode().tracer
        if tracer is not None and isinstance(data, Value):
            tracer.copied(self._data, data)
        if name is not None or requires_grad:
            _check_name(name)
            self._node = leaf(self._data, False, name)
            self.requires_grad = requires_grad

    # ------------------------------------------------------------------------------ what it holds

    @property
    def data(self) -> Array:
        """The values, as an array that shares the tensor's memory.

        Assigning to it replaces the values of a leaf: `w.data = w.data - 0.1 * w.grad`, or `w.data -= ...`.
        """
        if type(self._data) is not np.ndarray:
            self._hold(np.array(self._data))
        return self._data

    @data.setter
    def data(self, values: ArrayLike) -> None:
        if self._node is not None and self._node.op is not None:
            raise GraphError(
                f"data: this tensor is the result of {self._node.op.name}; replacing its values would make its "
                "gradients wrong. Detach it first: t = t.detach()."
            )
        if values is self._data:  # `t.data -= step` has already written to this memory
            memory.edited(self.data)
            return
        array = np.asarray(values, dtype=self._data.dtype)
        if array.shape != self.shape:
            raise ShapeError(f"data: values of shape {array.shape} for a tensor of shape {self.shape}")
        self._hold(array)

    def _hold(self, array: Array) -> None:
        self._data = array
        if self._node is not None and self._node.op is None:
            self._node.value = array

    @property
    def shape(self) -> tuple[int, ...]:
        """The sizes of the axes."""
        return self._data.shape

    @property
    def ndim(self) -> int:
        """The number of axes."""
        return self._data.ndim

    @property
    def size(self) -> int:
        """The number of elements."""
        return self._data.size

    @property
    def dtype(self) -> np.dtype[Any]:
        """The type of the elements."""
        return self._data.dtype

    @property
    def name(self) -> str | None:
        """How it is called in pictures and derivations."""
        return self._node.notes.name if self._node is not None and self._node.notes is not None else None

    @name.setter
    def name(self, name: str | None) -> None:
        _check_name(name)
        if self._node is None:
            self._node = leaf(self._data, False)
        self._node.note().name = name

    @property
    def grad(self) -> Any:
        """The gradient that `backward` has added up here: an array, or None.

        After `backward(create_graph=True)` it is a Tensor, which can be differentiated again.
        """
        return self._node.notes.grad if self._node is not None and self._node.notes is not None else None

    @grad.setter
    def grad(self, gradient: ArrayLike | Tensor | None) -> None:
        if gradient is None:
            if self._node is not None and self._node.notes is not None:
                self._node.notes.grad = None
            return
        if self._node is None:
            raise GraphError("grad: this tensor needs no gradient; make it with requires_grad=True")
        if not isinstance(gradient, Tensor):
            gradient = np.asarray(gradient, dtype=self.dtype)
        if gradient.shape != self.shape:
            raise ShapeError(f"grad: a gradient of shape {gradient.shape} for a tensor of shape {self.shape}")
        self._node.note().grad = gradient

    @property
    def requires_grad(self) -> bool:
        """Will `backward` carry a gradient here?  It can be set on a leaf."""
        return self._node is not None and self._node.needs_grad

    @requires_grad.setter
    def requires_grad(self, flag: bool) -> None:
        if not self.is_leaf:
            if not flag:
                raise GraphError("requires_grad: this is the result of an operation; use t.detach() to cut the graph")
            return
        if flag and self.dtype.kind != "f":
            raise DtypeError(
                f"requires_grad: dtype {self.dtype} has no gradient, only floats have. Give floats "
                "(1.0 instead of 1) or dtype=float."
            )
        if self._node is None:
            self._node = leaf(self._data, flag)
        self._node.needs_grad = flag

    @property
    def is_leaf(self) -> bool:
        """Was it made by hand, not by a recorded operation?"""
        return self._node is None or self._node.op is None

    def numpy(self) -> Array:
        """The values as an array that shares memory, outside the graph."""
        return self.data

    def item(self) -> Any:
        """The value of a tensor of one element, as a Python number."""
        return self._data.item()

    def tolist(self) -> Any:
        """The values as nested lists of Python numbers."""
        return self._data.tolist()

    def detach(self) -> Tensor:
        """The same values (shared memory) without their history: no gradient flows through it."""
        return _constant(self.data)

    def copy(self) -> Tensor:
        """A new tensor with equal values, through which the gradient flows."""
        return arithmetic.copy(self)

    # ---------------------------------------------------------------------------------- gradients

    def backward(
        self, gradient: ArrayLike | Tensor | None = None, retain_graph: bool | None = None, create_graph: bool = False
    ) -> None:
        """Compute the gradients of this tensor with respect to all leaves it was made from, and add them to `.grad`.

        Parameters
        ----------
        gradient : array_like of this tensor's shape, optional
            The cotangent to start from; 1 for a scalar, and required for anything else.
        retain_graph : bool, optional
            Keep the graph for another sweep (otherwise it is freed on the way).  As `create_graph` unless given.
        create_graph : bool
            Record the sweep itself, so that the gradients are Tensors that can be differentiated.

        Raises
        ------
        GraphError
            If nothing here needs a gradient, the graph was freed, or a value that is needed was edited.
        ShapeError
            If `gradient` is missing for a non-scalar, or its shape is another.

        Examples
        --------
        >>> import tinygrad_edu as tg
        >>> x = tg.Tensor(3.0, requires_grad=True)
        >>> (x**2).backward()
        >>> x.grad
        array(6.)
        """
        if create_graph:
            backward([self], [gradient], retain_graph, create_graph)
            return
        # The short way, without lists and calls in between: it is worth 1 us.
        for node, g in sweep((_root(self, gradient, False),), None, retain_graph).items():
            notes = node.notes
            if notes is not None and notes.grad is None:
                notes.grad = g
            else:
                _deliver({node: g}, False)

    def retain_grad(self) -> None:
        """Keep the gradient of this intermediate result, too: `backward` will leave it in `.grad`."""
        self._tracked("retain_grad").note().retain = True

    def register_hook(self, hook: Callable[[Any], Any]) -> Callable[[], None]:
        """Call `hook(gradient)` in the sweep, once this tensor's gradient is complete; it may return another.

        Returns a function that removes the hook.

        Examples
        --------
        >>> import tinygrad_edu as tg
        >>> x = tg.Tensor([1.0, 2.0], requires_grad=True)
        >>> remove = x.register_hook(lambda g: g.clip(-1, 1))
        >>> (10 * x).sum().backward()
        >>> x.grad
        array([1., 1.])
        """
        hooks = self._tracked("register_hook").note().hooks
        key = next(_hook_numbers)
        hooks[key] = hook

        def remove() -> None:
            hooks.pop(key, None)

        return remove

    def _tracked(self, what: str) -> Node:
        if self._node is None or not self._node.needs_grad:
            raise GraphError(f"{what}: this tensor needs no gradient; make it with requires_grad=True")
        return self._node

    # ------------------------------------------------------------------------------------- NumPy

    def __array__(self, dtype: DTypeLike | None = None, copy: bool | None = None) -> Array:
        """`np.asarray(t)`: the values, if no gradient is lost by that."""
        if self.requires_grad:
            raise GraphError(
                "asarray: this tensor needs a gradient, and a plain array cannot carry it. Use t.numpy() or t.detach() "
                "for the values, or the function of tinygrad_edu that is called as the NumPy one."
            )
        return np.array(self._data, dtype=dtype, copy=copy)

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **kwargs: Any) -> Any:
        if method == "reduce" and ufunc in REDUCE:
            meaning = NUMPY.get(REDUCE[ufunc], REDUCE[ufunc])
            return _call_numpy(meaning, f"np.{ufunc.__name__}.reduce", inputs, {"axis": 0, **kwargs})
        function = NUMPY.known.get(ufunc) or NUMPY.get(ufunc) if method == "__call__" else None
        name = f"np.{ufunc.__name__}" + ("" if method == "__call__" else f".{method}")
        return _call_numpy(function, name, inputs, kwargs)

    def __array_function__(self, function: Any, types: Any, args: Any, kwargs: Any) -> Any:
        return _call_numpy(NUMPY.known.get(function) or NUMPY.get(function), f"np.{function.__name__}", args, kwargs)

    # --------------------------------------------------------------------------------- operators

    def __add__(self, other: Any) -> Tensor:
        return apply2(arithmetic.add, self, other)

    def __radd__(self, other: Any) -> Tensor:
        return apply2(arithmetic.add, other, self)

    def __sub__(self, other: Any) -> Tensor:
        return apply2(arithmetic.subtract, self, other)

    def __rsub__(self, other: Any) -> Tensor:
        return apply2(arithmetic.subtract, other, self)

    def __mul__(self, other: Any) -> Tensor:
        return apply2(arithmetic.multiply, self, other)

    def __rmul__(self, other: Any) -> Tensor:
        return apply2(arithmetic.multiply, other, self)

    def __truediv__(self, other: Any) -> Tensor:
        return apply2(arithmetic.divide, self, other)

    def __rtruediv__(self, other: Any) -> Tensor:
        return apply2(arithmetic.divide, other, self)

    def __pow__(self, other: Any) -> Tensor:
        return apply2(arithmetic.power, self, other)

    def __rpow__(self, other: Any) -> Tensor:
        return apply2(arithmetic.power, other, self)

    def __floordiv__(self, other: Any) -> Tensor:
        return apply2(ops.floor_divide, self, other)

    def __rfloordiv__(self, other: Any) -> Tensor:
        return apply2(ops.floor_divide, other, self)

    def __mod__(self, other: Any) -> Tensor:
        return apply2(ops.remainder, self, other)

    def __rmod__(self, other: Any) -> Tensor:
        return apply2(ops.remainder, other, self)

    def __matmul__(self, other: Any) -> Tensor:
        return apply2(ops.matmul, self, other)

    def __rmatmul__(self, other: Any) -> Tensor:
        return apply2(ops.matmul, other, self)

    def __neg__(self) -> Tensor:
        return arithmetic.negative(self)

    def __pos__(self) -> Tensor:
        return arithmetic.positive(self)

    def __abs__(self) -> Tensor:
        return ops.abs(self)

    # Comparisons and logic have no gradient; their results are Tensors of booleans.

    def __gt__(self, other: Any) -> Tensor:
        return ops.greater(self, other)

    def __ge__(self, other: Any) -> Tensor:
        return ops.greater_equal(self, other)

    def __lt__(self, other: Any) -> Tensor:
        return ops.less(self, other)

    def __le__(self, other: Any) -> Tensor:
        return ops.less_equal(self, other)

    def __eq__(self, other: object) -> Tensor:  # type: ignore[override]  # element by element, as in NumPy
        return ops.equal(self, other)

    def __ne__(self, other: object) -> Tensor:  # type: ignore[override]
        return ops.not_equal(self, other)

    def __and__(self, other: Any) -> Tensor:
        return ops.bitwise_and(self, other)

    __rand__ = __and__

    def __or__(self, other: Any) -> Tensor:
        return ops.bitwise_or(self, other)

    __ror__ = __or__

    def __xor__(self, other: Any) -> Tensor:
        return ops.bitwise_xor(self, other)

    __rxor__ = __xor__

    def __invert__(self) -> Tensor:
        return ops.invert(self)

    __hash__ = object.__hash__  # by identity, so that tensors can be keys although == compares elements

    def __getitem__(self, index: Any) -> Tensor:
        return ops.getitem(self, index=ops.plain_index(index))

    def __setitem__(self, index: Any, value: Any) -> None:
        """Write into the tensor's memory, as NumPy does; if a gradient is to flow, that is a recorded operation.

        Raises GraphError for a leaf that needs a gradient (write to `t.copy()`, or inside of `no_grad`).  Whoever
        shares the memory sees the new numbers; but gradients that need the old ones raise, and so does using another
        tensor that shares it and whose history does not know of the writing: u[0, 1] = v, not u[0][1] = v.
        """
        index = ops.plain_index(index)
        if not isinstance(value, Tensor):
            value = plain(value, OPS.known["setitem"])
        tracked = self.requires_grad or (isinstance(value, Tensor) and value.requires_grad)
        if tracked and current_mode().recording:
            self._write(index, value)
        else:
            self.data[index] = value._data if isinstance(value, Tensor) else value
            memory.edited(self.data)

    def _write(self, index: Any, value: Any) -> None:
        if self.is_leaf and self.requires_grad:
            raise GraphError(
                "setitem: this leaf needs a gradient, so writing into it cannot be recorded. Write to a copy "
                "(u = t.copy(); u[...] = v), or inside of tg.no_grad()."
            )
        if self.dtype.kind != "f":
            raise DtypeError(
                f"setitem: dtype {self.dtype} has no gradient, so a value that needs one cannot be written into "
                "it. Make it float: t.astype(float), or write value.detach()."
            )
        array = self.data
        if _is_view_of_leaf(self._node, array):
            raise GraphError(
                "setitem: this tensor shares memory with a leaf that needs a gradient, so writing into it cannot be "
                "recorded. Write to a copy (u = t.copy(); u[...] = v), or inside of tg.no_grad()."
            )
        node, values = (value._node, value._data) if isinstance(value, Tensor) else (None, value)
        try:
            array[index] = values
        except REFUSALS as error:
            raise OPS["setitem"].explain(error, [array, values], {"index": index}) from None
        memory.edited(array, recorded=True)
        self._node = Node(OPS["setitem"], (array, values), {"index": index}, (self._node, node), array, True)

    def _becomes(self, result: Tensor) -> Tensor:
        """What `t += u` and the like do with t + u: write it into the memory of t."""
        if not np.can_cast(result.dtype, self.dtype, "same_kind"):
            raise DtypeError(
                f"in place: {result.dtype} does not fit into {self.dtype}; use t = t + u, or t.astype(float)"
            )
        self[...] = result
        return self

    def __iadd__(self, other: Any) -> Tensor:
        return self._becomes(self + other)

    def __isub__(self, other: Any) -> Tensor:
        return self._becomes(self - other)

    def __imul__(self, other: Any) -> Tensor:
        old = _constant(self._data.copy())  # the rule of the product will read it
        old._node = self._node
        return self._becomes(old * other)

    def __itruediv__(self, other: Any) -> Tensor:
        return self._becomes(self / other)

    def __len__(self) -> int:
        return len(self._data)

    def __iter__(self) -> Iterator[Tensor]:
        if self.ndim == 0:
            raise TypeError("iteration over a scalar tensor: it has no axis")
        return (self[i] for i in range(len(self)))

    def __bool__(self) -> bool:
        return bool(self._data)

    def __format__(self, spec: str) -> str:
        """`f"{loss:.3f}"`: a tensor of one element is formatted as its number."""
        return format(self.item(), spec) if spec and self.size == 1 else format(repr(self), spec)

    def __float__(self) -> float:
        return float(self._data)

    def __int__(self) -> int:
        return int(self._data)

    def __index__(self) -> int:
        return operator.index(self._data)

    # ------------------------------------------------------------------------------- shown, copied

    def __repr__(self) -> str:
        prefix = "Tensor("
        with np.printoptions(threshold=40, edgeitems=2):
            text = np.array2string(np.asarray(self._data), separator=", ", prefix=prefix)
        if self._data.size > 40 or (self._data.size == 0 and self.ndim > 1):
            text += f", shape={self.shape}"
        if self.dtype not in (np.float64, np.int64, np.bool_):
            text += f", dtype={self.dtype}"
        if self.name is not None:
            text += f", name={self.name!r}"
        if self._node is not None and self._node.op is not None:
            text += f", from {self._node.op.name}"
        elif self.requires_grad:
            text += ", requires_grad=True"
        return f"{prefix}{text})"

    def __reduce__(self) -> Any:
        """Copying and pickling keep data, dtype, name and flag of a leaf; its gradient stays behind."""
        if self._node is not None and self._node.op is not None:
            raise GraphError(
                f"copy: this tensor is the result of {self._node.op.name}, and a copy would lose its history. "
                "Copy t.detach(), or use t.copy() to stay in the graph."
            )
        return _restore, (type(self), self.data, self.requires_grad, self.name)


def _restore(cls: type[Tensor], data: Array, requires_grad: bool, name: str | None) -> Tensor:
    tensor = cls.__new__(cls)
    Tensor.__init__(tensor, data, requires_grad=requires_grad, name=name)
    return tensor


record.result_class = Tensor
_hook_numbers = itertools.count()


def _is_view_of_leaf(node: Node | None, array: Array) -> bool:
    """Does this memory belong to a leaf that needs a gradient?  Views hang together by their first inputs."""
    memory_owner = memory.owner(array)
    while node is not None and memory.owner(np.asarray(node.value)) is memory_owner:
        if node.op is None:
            return node.needs_grad
        node = node.parents[0] if node.parents else None
    return False


def _check_name(name: object) -> None:
    if name is not None and not isinstance(name, str):
        raise TypeError(f"name: {type(name).__name__} given; a string is expected")


def _constant(array: Any) -> Tensor:
    tensor = Tensor.__new__(Tensor)
    tensor._data = array
    tensor._node = None
    return tensor


def as_tensor(data: ArrayLike | Tensor, dtype: DTypeLike | None = None) -> Tensor:
    """A Tensor that shares memory with `data` where it can: itself, if it is one already.

    Examples
    --------
    >>> import numpy as np, tinygrad_edu as tg
    >>> a = np.zeros(2)
    >>> t = tg.as_tensor(a)
    >>> a[0] = 5
    >>> t
    Tensor([5., 0.])
    """
    if isinstance(data, Tensor):
        return data if dtype is None or data.dtype == dtype else data.astype(dtype)
    return _constant(plain(np.asarray(data, dtype=dtype)))


# What the reductions of a ufunc are called: np.add.reduce is a sum.
REDUCE: dict[np.ufunc, Callable[..., Any]] = {
    np.add: np.sum,
    np.multiply: np.prod,
    np.maximum: np.max,
    np.minimum: np.min,
    np.logical_and: np.all,
    np.logical_or: np.any,
    np.logaddexp: lambda x, axis, keepdims=False: x.logsumexp(axis, keepdims),
}


def _call_numpy(function: Callable[..., Any] | None, name: str, args: Any, kwargs: dict[str, Any]) -> Any:
    """Call what a NumPy function means here.  What would lose a gradient is refused."""
    if function is None:
        raise TypeError(
            f"{name} is not recorded: its gradient would be lost. Use an operation of tinygrad_edu, or t.numpy() "
            "for the values alone."
        )
    for keyword in kwargs.keys() & {"out", "where", "casting", "initial", "order", "subok", "dtype"}:
        if keyword not in signature(function).parameters:
            raise TypeError(f"{name}: {keyword}= cannot be recorded; use t.numpy() if no gradient is needed")
    return function(*args, **kwargs)


def backward(
    outputs: Sequence[Tensor],
    gradients: Sequence[ArrayLike | Tensor | None] | None = None,
    retain_graph: bool | None = None,
    create_graph: bool = False,
) -> None:
    """Sweep back from several outputs at once; `Tensor.backward` is this for one of them.

    The leaves receive their gradients when the sweep has come to its end: all of them, or after an error none.

    Examples
    --------
    >>> import tinygrad_edu as tg
    >>> x = tg.Tensor(3.0, requires_grad=True)
    >>> tg.backward([2 * x, x * x])
    >>> x.grad
    array(8.)
    """
    _deliver(sweep_from(outputs, gradients, None, retain_graph, create_graph), create_graph)


def _deliver(found: dict[Node, Any], create_graph: bool) -> None:
    """Add the gradients that a sweep has found to those that the leaves have already."""
    for node, g in found.items():
        notes = node.notes or node.note()
        if notes.grad is None:
            notes.grad = arithmetic.copy(g) if create_graph else g  # a copy: recorded gradients may share memory
        elif create_graph or isinstance(notes.grad, Tensor):
            notes.grad = notes.grad + g
        else:
            notes.grad += g


def sweep_from(
    outputs: Sequence[Tensor],
    gradients: Sequence[ArrayLike | Tensor | None] | None,
    targets: Sequence[Node] | None,
    retain_graph: bool | None,
    create_graph: bool,
    allow_unused: bool = True,
) -> dict[Node, Any]:
    """The engine's sweep, from Tensors and cotangents that are checked here."""
    if gradients is None:
        gradients = [None] * len(outputs)
    if len(gradients) != len(outputs):
        raise ShapeError(f"backward: {len(gradients)} gradients for {len(outputs)} outputs")
    tracer = current_mode().tracer
    on_tensors = create_graph or tracer is not None
    roots = [_root(output, gradient, on_tensors) for output, gradient in zip(outputs, gradients)]
    if not on_tensors:
        return sweep(roots, targets, bool(retain_graph), False, allow_unused)
    keep = create_graph if retain_graph is None else retain_graph
    watch = None if tracer is None else tracer.sweeping()
    with mode(recording=create_graph):  # a step that is traced records its sweeps, whether they are or not
        return sweep(roots, targets, keep, True, allow_unused, watch)


ONES = {kind: kind(1) for kind in (np.float32, np.float64)}


def _root(output: Tensor, gradient: ArrayLike | Tensor | None, create_graph: bool) -> tuple[Node, Any]:
    """Where a sweep begins: the output's Node and its cotangent."""
    if not isinstance(output, Tensor):
        raise TypeError(f"backward: a {type(output).__name__} has no gradient; a Tensor is expected")
    node, value = output._node, output._data
    if node is None or not node.needs_grad:
        raise GraphError(
            "backward: this tensor does not depend on anything that needs a gradient. Make a leaf with "
            "requires_grad=True, and compute outside no_grad."
        )
    g: Any
    if gradient is None and type(value) in ONES:  # a loss, mostly
        g = ONES[type(value)]
    elif gradient is None:
        if value.size != 1:
            raise ShapeError(
                f"backward: the output has shape {value.shape}; only a scalar has a gradient by itself. "
                f"Reduce it (t.sum(), t.mean()) or give a gradient of shape {value.shape}."
            )
        g = np.ones(value.shape, value.dtype) if value.ndim else value.dtype.type(1)
    else:
        if type(gradient) is np.ndarray:
            g = gradient
        else:
            g = np.asarray(gradient._data if isinstance(gradient, Tensor) else gradient)
        if g.shape != value.shape:
            raise ShapeError(f"backward: a gradient of shape {g.shape} for an output of shape {value.shape}")
        if g.dtype is not value.dtype and g.dtype != value.dtype:
            g = plain(g).astype(value.dtype)
    if create_graph:
        g = gradient.astype(value.dtype) if isinstance(gradient, Tensor) else _constant(g)
    return node, g
