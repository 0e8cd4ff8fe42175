"""Operations in smaller pieces: what a forward does in NumPy, read off by running it on Tensors that are traced.

So there is no second definition of any operation.  A forward that cannot be read (it looks at values, or writes into
its own arrays) stays one call.  Softmax of rows, alone and with cross-entropy, is written out here.
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

from tinygrad_edu.compiler.listing import Renaming, leaves_of, mapped
from tinygrad_edu.compiler.tracing import DELIVER, DETACH, UPDATE, Traced, Tracer
from tinygrad_edu.op import OPS, Op
from tinygrad_edu.ops.activations import is_rows, largest, starts
from tinygrad_edu.ops.losses import as_index, label_problem, reduced
from tinygrad_edu.program import Equation, Variable
from tinygrad_edu.record import Value, apply, leaf
from tinygrad_edu.sums import ones

__all__ = ["LARGEST", "OWN", "PICK", "ROW_SUMS", "TAKE_ONE", "lowered", "ufunc_of"]

# These are written as they are: a view, a sum, a product of matrices.
PLAIN = {
    "reshape", "transpose", "broadcast_to", "squeeze", "expand_dims", "getitem",
    "sum", "max", "min", "matmul", "astype", "to_dtype", "copy", "where", "power",
}  # fmt: skip

OPERATORS = {
    "add": np.add,
    "subtract": np.subtract,
    "multiply": np.multiply,
    "divide": np.divide,
    "negative": np.negative,
}


def ufunc_of(op: Op[Any]) -> np.ufunc | None:
    """The function of NumPy that works element by element, if the operation is one."""
    if op.name in OPERATORS and OPS[op.name] is op:
        return OPERATORS[op.name]
    forward = op.forward
    if isinstance(forward, np.ufunc) and forward.signature is None and forward.nout == 1 and forward.nin == op.arity:
        return forward
    return None


class Inner(Traced):
    """A Tensor inside of a forward that is read: there `y += b` changes an array that nobody else has seen."""

    __slots__ = ()

    def _becomes(self, result: Any) -> Any:
        return result if result.dtype == self.dtype else OPS["astype"](result, dtype=self.dtype)


class Reader(Tracer):
    """Records what one forward does."""

    result_class = Inner

    def __init__(self) -> None:
        super().__init__(lines=False)


# ---------------------------------------------------------------- softmax and cross-entropy, written out


def _own(labels: Any, classes: int) -> Any:
    """Where each sample's own class stands in the flattened scores, once it is known that all of them are classes."""
    problem = label_problem(labels, classes)
    if problem is not None:
        raise ValueError(f"cross_entropy: {problem}")
    return starts(labels.size * classes, classes) + as_index(labels).reshape(-1)


OWN: Op[Any] = Op(_own, vjps=[None], name="own")
PICK: Op[Any] = Op(lambda x, places: x.reshape(-1)[places], vjps=[None, None], name="pick")


def _take_one(p: Any, places: Any) -> Any:
    p = p.copy()
    p.reshape(-1)[places] -= 1
    return p


TAKE_ONE: Op[Any] = Op(_take_one, vjps=[None, None], name="take_one")


LARGEST: Op[Any] = Op(lambda rows: largest(rows).reshape(-1), vjps=[None], name="largest")
ROW_SUMS: Op[Any] = Op(lambda x: x.dot(ones(x.shape[-1], x.dtype)), vjps=[None], name="row_sums")


PARTS = (OWN, PICK, TAKE_ONE, LARGEST, ROW_SUMS)


def _softmax(z: Any) -> tuple[Any, Any, Any]:
    """Of each row: its numbers less the largest, the sum of their exponentials, and their shares of it."""
    shifted = z - apply(LARGEST, (z,)).reshape(-1, 1)
    e = np.exp(shifted)
    total = apply(ROW_SUMS, (e,))
    return shifted, total, e / total.reshape(-1, 1)


def _cross_entropy(z: Any, labels: Any, reduction: str) -> Any:
    """As the operation's own forward, in the same order, for class numbers."""
    shape = z.shape
    shifted, total, p = _softmax(z.reshape(-1, shape[-1]))
    own = apply(OWN, (labels,), {"classes": shape[-1]})
    losses = np.log(total) - apply(PICK, (shifted, own))
    return reduced(losses.reshape(shape[:-1]), reduction), apply(TAKE_ONE, (p, own)).reshape(shape)


reduce: Any = np.add.reduce


def _mean(x: Any, axis: Any, keepdims: bool) -> Any:
    """As NumPy's, which divides a sum by the count."""
    total = reduce(x, axis=axis, keepdims=keepdims)
    return total / (x.size // max(1, total.size))


def _forward(equation: Equation) -> Any:
    """What to read instead of the operation's forward."""
    if equation.op.name == "mean" and equation.operands[0].dtype != np.float16:
        return _mean
    x = equation.operands[0]
    if not isinstance(x, Variable) or not x.value.flags.c_contiguous:
        return equation.op.forward
    if equation.op.name == "cross_entropy":
        labels = equation.operands[1]
        if isinstance(labels, Variable) and labels.dtype.kind in "iu":
            return _cross_entropy
    if equation.op.name == "softmax" and is_rows(x.value, equation.params["axis"]):
        return lambda z, axis: _softmax(z)[2]
    return equation.op.forward


# -------------------------------------------------------------------------------------------- reading


def lowered(equations: list[Equation], renaming: Renaming) -> tuple[list[Equation], dict[Equation, Equation]]:
    """The equations in smaller pieces, and which equation each piece is of."""
    origin: dict[Any, Equation] = {}
    found: list[Equation] = []
    whole: set[Any] = set()  # operations with inputs of some kind that could not be read
    inside: dict[Equation, frozenset[Any]] = {}  # for a piece, the operations that it is a piece of
    waiting = list(reversed(equations))
    while waiting:
        equation = waiting.pop()
        op = equation.op
        if op in (DELIVER, UPDATE, DETACH) or op.writes or op.name in PLAIN or ufunc_of(op) or op in PARTS:
            found.append(equation)
            continue
        key = _kind(equation)
        known = inside.get(equation, frozenset())
        pieces = None if key in whole or op in known else _read(equation, renaming)
        if pieces is None:
            whole.add(key)
            found.append(equation)
        else:
            for piece in pieces:
                origin[piece] = origin.get(equation, equation)
                inside[piece] = known | {op}
            waiting += reversed(pieces)
    return _without_one_hot(found), origin


def _without_one_hot(equations: list[Equation]) -> list[Equation]:
    """p - onehot(labels) as p with 1 taken from each sample's own class."""
    rows = {e.target: e for e in equations if e.op is OPS["one_hot"] and isinstance(e.operands[0], Variable)}
    found = []
    for e in equations:
        p, hot = e.operands if len(e.operands) == 2 else (None, None)
        if (
            e.op is OPS["subtract"]
            and isinstance(p, Variable)
            and hot in rows
            and (p.shape, p.dtype) == (hot.shape, hot.dtype)
        ):
            labels, classes = rows[hot].operands[0], rows[hot].params["classes"]
            places = Variable("", "result", OWN.forward(labels.value, classes))
            places.equation = Equation(places, OWN, (labels,), {"classes": classes}, e.call, e.of, False, e.where)
            found.append(places.equation)
            e.op, e.operands = TAKE_ONE, (p, places)
        found.append(e)
    return found


def _kind(equation: Equation) -> Any:
    operands = tuple(
        (x.shape, x.dtype, np.asarray(x.value).strides) if isinstance(x, Variable) else repr(x)
        for x in equation.operands
    )
    return equation.op, operands, repr(mapped(equation.params, lambda x: "array" if isinstance(x, Variable) else x))


def _read(equation: Equation, renaming: Renaming) -> list[Equation] | None:
    """The pieces of one equation, or None if its forward cannot be read."""
    reader = Reader()
    places: dict[Any, Any] = {}
    inputs = []
    for x in equation.operands:
        if isinstance(x, Variable):
            traced = reader.argument(x.value)
            traced = _inner(traced)
            places[traced._node] = x
            inputs.append(traced)
        else:
            inputs.append(x)
    if any(isinstance(x, Variable) for x in leaves_of(equation.params)) or "rng" in equation.params:
        return None
    op = equation.op
    try:
        with reader.mode(), np.errstate(all="ignore"):
            value = _forward(equation)(*inputs, **equation.params)
    except Exception:  # whatever a forward does with Tensors that it wasn't made for
        return None
    kept = None
    if op.residual is not None:
        value, kept = value
    records = reader.records
    if not isinstance(value, Value) or (len(records) == 1 and records[0].op is op) or not records:
        return None
    ids = {id(x.value): x for x in equation.operands if isinstance(x, Variable)}
    pieces = []
    for record in records:
        operands: list[Any] = []
        for arg, parent in zip(record.args, record.parents):
            if parent is not None and parent in places:
                operands.append(places[parent])
            elif isinstance(arg, np.ndarray | np.generic) and not isinstance(arg, np.bool_):
                if id(arg) in ids:
                    operands.append(ids[id(arg)])
                elif arg.size > 1:
                    return None  # an array that the forward has made by itself may depend on the inputs
                else:
                    operands.append(Variable("c", "constant", arg))
            elif parent is not None:
                return None
            else:
                operands.append(arg)
        target = Variable("", "result", record.value)
        piece = Equation(
            target, record.op, tuple(operands), record.params, equation.call, equation.of, False, equation.where
        )
        target.equation = piece
        if record.op.residual is not None:
            piece.kept = mapped(record.args[-1], functools.partial(_keep, piece=piece, ids=ids))
        places[record.node] = target
        if not isinstance(record.value, np.bool_):
            ids.setdefault(id(record.value), target)
        pieces.append(piece)
    ends = [(equation.target, value)]
    if op.residual is not None and not _pair(equation.kept, kept, ends):
        return None
    changes = {}
    for old, new in ends:
        variable = places.get(new._node) if isinstance(new, Value) else ids.get(id(new))
        if variable is None or not _equal(old.value, variable.value):
            return None
        changes[old] = variable
    for old, variable in changes.items():
        renaming.rename(old, variable)
        variable.name = variable.name or old.name
    for piece in pieces:
        same = piece.target.shape == equation.target.shape
        piece.target.name = piece.target.name or (equation.target.name if same else piece.op.name.strip("_"))
    return pieces


def _inner(traced: Traced) -> Inner:
    inner = Inner.__new__(Inner)
    inner._data, inner._node = traced._data, leaf(traced._data, False)
    return inner


def _keep(x: Any, piece: Equation, ids: dict[int, Variable]) -> Any:
    if not isinstance(x, np.ndarray | np.generic):
        return x
    variable = Variable("", "result", x, piece)
    ids.setdefault(id(x), variable)
    return variable


def _pair(old: Any, new: Any, ends: list[tuple[Any, Any]]) -> bool:
    """Note which new value stands for which Variable that was kept."""
    olds, news = leaves_of(old), leaves_of(new)
    if len(olds) != len(news):
        return False
    for a, b in zip(olds, news):
        if isinstance(a, Variable):
            ends.append((a, b))
    return True


def _equal(a: Any, b: Any) -> bool:
    """Bit for bit the same numbers, of one dtype, in one order of memory."""
    a, b = np.asarray(a), np.asarray(b)
    if a.shape != b.shape or a.dtype != b.dtype or a.strides != b.strides:
        return False
    return bool(np.array_equal(a, b, equal_nan=a.dtype.kind == "f"))
