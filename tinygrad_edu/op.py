"""What an operation is: one definition, from which everything else about it follows.

    @operation(
        np.exp,                                       # the NumPy function that it is (np.exp(t) comes here)
        vjps=[lambda g, y, x: g * y],                 # one rule per input
        notation=Notation("exp(<x>)", r"e^{<x>}"),    # how a person writes it
        samples=[sample(normal(3, 4))],               # what the tests feed it
    )
    def exp(x):
        \"\"\"e to the power of each element.\"\"\"

A **vjp** (vector-Jacobian product) answers: given `g`, the gradient of the loss with respect to the output,
what is the gradient with respect to this input?  It gets `g`, the output `y`, the inputs and the parameters,
and is plain NumPy.  It never mentions broadcasting, dtypes or missing gradients: the engine sees to those.

In an ordinary sweep the rule gets arrays.  Under `create_graph=True` it gets Tensors, and since NumPy
functions record themselves on Tensors, the same line gives the second derivative, and the third.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Generic, NamedTuple, ParamSpec, TypeVar

import numpy as np

from tinygrad_edu.errors import DtypeError, ShapeError
from tinygrad_edu.record import Rule, apply

P = ParamSpec("P")
Forward = Callable[..., Any]

Key = TypeVar("Key")
Meaning = TypeVar("Meaning")


class Registry(Mapping[Key, Meaning]):
    """A table that the families of operations fill.  They are loaded late; whoever reads it finds it complete."""

    def __init__(self) -> None:
        self.known: dict[Key, Meaning] = {}  # what the families say that are loaded
        self.load: Callable[..., None] = lambda name=None: None  # loads all of them, or the one that has this name

    def __getitem__(self, key: Key) -> Meaning:
        for name in (getattr(key, "__name__", key), None):
            if key not in self.known:
                self.load(name)
        return self.known[key]

    def __iter__(self) -> Iterator[Key]:
        self.load()
        return iter(self.known)

    def __len__(self) -> int:
        self.load()
        return len(self.known)


OPS: Registry[str, Op[Any]] = Registry()  # every operation of the package, by name
NUMPY: Registry[Any, Callable[..., Any]] = Registry()  # what a NumPy function means when it is called on a Tensor


def _before(module: str) -> None:
    """Before a user's definition come all the package's own: no name is taken twice, and the user has the last word."""
    if not module.startswith(f"{__package__}."):
        OPS.load()


# How tightly a notation binds, loosest first: a part that binds looser than its surroundings gets parentheses.
SUM, PRODUCT, POWER, ATOM = 1, 2, 3, 4


class Notation(NamedTuple):
    """How a person writes an operation: `<x>` stands for the input named x, in text and in LaTeX."""

    text: str
    latex: str | None = None  # None: as in `text`
    binds: int = ATOM


class Sample(NamedTuple):
    """One call that the tests make: functions that draw the inputs, and the parameters."""

    inputs: tuple[Any, ...]
    params: dict[str, Any]

    def draw(self, rng: np.random.Generator) -> tuple[Any, ...]:
        """The inputs, drawn: a function is called with `rng`, anything else is used as it is."""
        return tuple(x(rng) if callable(x) else x for x in self.inputs)


def sample(*inputs: Any, **params: Any) -> Sample:
    """A Sample: `sample(normal(3, 4), axis=0)`."""
    return Sample(inputs, params)


def normal(*shape: int) -> Callable[[np.random.Generator], np.ndarray]:
    """Draws from N(0, 1), but at least 0.1 away from 0, where many functions have a kink."""

    def draw(rng: np.random.Generator) -> np.ndarray:
        x = rng.normal(size=shape)
        return np.asarray(x + np.copysign(0.1, x))

    return draw


def between(low: float, high: float, *shape: int) -> Callable[[np.random.Generator], np.ndarray]:
    """Draws uniformly from [low, high)."""
    return lambda rng: np.asarray(rng.uniform(low, high, size=shape))


def distinct(*shape: int) -> Callable[[np.random.Generator], np.ndarray]:
    """Draws numbers that lie at least 0.1 apart and away from 0: no ties for max, min and sort."""

    def draw(rng: np.random.Generator) -> np.ndarray:
        n = int(np.prod(shape))
        return np.asarray((rng.permutation(n) - n / 2 + 0.25 + rng.uniform(0, 0.4, n)) / 5).reshape(shape)

    return draw


REQUIRED = object()  # stands for the default of a parameter that has none
TAKES_KEYWORDS = 0x08  # in the flags of a function's code: it has a parameter **options


def signature(function: Callable[..., Any]) -> Any:
    """`inspect.signature`.  It is imported where it is needed: that takes a tenth of the time of importing NumPy."""
    import inspect

    return inspect.signature(function)


def _defaults(function: Callable[..., Any]) -> dict[str, Any]:
    """The parameters of a function by name, `*args` left out, with their defaults or REQUIRED."""
    code = getattr(function, "__code__", None)
    if code is None or code.co_flags & TAKES_KEYWORDS or hasattr(function, "__wrapped__"):
        found = signature(function).parameters.values()
        return {
            p.name: REQUIRED if p.default is p.empty else p.default for p in found if p.kind is not p.VAR_POSITIONAL
        }
    names = code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]
    given = function.__defaults__ or ()
    last = code.co_varnames[code.co_argcount - len(given) : code.co_argcount]
    return {
        **dict.fromkeys(names, REQUIRED),
        **dict(zip(last, given)),
        **(function.__kwdefaults__ or {}),
    }


class Each:
    """The rules of an operation with any number of inputs: `Each(rule)`, called as rule(i, g, y, *inputs)."""

    def __init__(self, rule: Rule) -> None:
        self.rule = rule

    def __iter__(self) -> Iterator[Rule]:
        return (functools.partial(self.rule, i) for i in itertools.count())


class Op(Generic[P]):
    """An operation.  Call it with Tensors, and it is recorded; call it with arrays, and it is just computed.

    Parameters
    ----------
    forward : callable
        `forward(*inputs, **params) -> array`, plain NumPy.  With `residual` it returns `(array, kept)`.
    vjps : sequence of callable or None
        One rule `(g, y, *inputs, **params) -> gradient` for each input; None where the output is constant in
        that input (labels, an index).  With `residual` the rules get what was kept behind the inputs.
        `Each(rule)` for any number of inputs.
    like : callable, optional
        A function with the signature and docstring to show; `forward` itself unless given.
    name : str, optional
        How the operation is called in pictures, derivations and errors; the function's name unless given.
    numpy : sequence, optional
        NumPy functions that mean this operation when they are called on a Tensor.
    notation : Notation, optional
        How a person writes it; `name(x, ...)` unless given.
    samples : sequence of Sample, optional
        Calls on which `tg.check.check_op` and the tests verify the rules.
    residual : callable, optional
        Of a fused operation: computes from the inputs what `forward` keeps for the rules.  An ordinary sweep uses
        what was kept; under `create_graph` this function recomputes it, so that derivatives flow through it.
    door : callable, optional
        `door(*inputs, **params)` returns one sentence about what is wrong with inputs that the forward has refused
        (for a ShapeError), an exception of its own choice, or None if it knows no more than NumPy has said.
    writes : tuple of int, optional
        Which inputs the forward writes to (a running mean): such an operation is kept, and keeps its place.
    into : callable, optional
        Of an operation that takes a part of its one input: `into(gradient, g, **params)` adds g to a gradient that is
        there already, where the rule would put it among zeros.  So all the parts of a tensor cost no more than it.

    Examples
    --------
    >>> import numpy as np, tinygrad_edu as tg
    >>> cube = tg.Op(lambda x: x**3, vjps=[lambda g, y, x: 3 * g * x**2], name="cube")
    >>> t = tg.Tensor([1.0, 2.0], requires_grad=True)
    >>> cube(t).sum().backward()
    >>> t.grad
    array([ 3., 12.])
    """

    def __init__(
        self,
        forward: Callable[P, Any],
        *,
        vjps: Sequence[Rule | None] | Each,
        like: Callable[..., Any] | None = None,
        name: str | None = None,
        numpy: Iterable[Any] = (),
        notation: Notation | None = None,
        samples: Sequence[Sample] = (),
        residual: Callable[..., Any] | None = None,
        door: Callable[..., str | Exception | None] | None = None,
        into: Callable[..., None] | None = None,
        writes: tuple[int, ...] = (),
    ) -> None:
        shown = like or forward
        if callable(vjps):
            raise TypeError(f"Op: vjps={vjps!r}: a list with one rule for each input is expected: vjps=[rule]")
        self.forward: Forward = forward
        self.vjps: Any = vjps if isinstance(vjps, Each) else tuple(vjps)
        self.residual = residual
        self.door = door
        self.writes = writes
        self.into = into
        self.samples = samples
        self.name = name or shown.__name__
        self.__name__ = self.name
        self.__doc__ = shown.__doc__
        self.__module__ = getattr(shown, "__module__", __name__)
        self.__wrapped__ = self.shown = shown  # where inspect.signature finds the signature; what users call
        self.arity = None if isinstance(vjps, Each) else len(vjps)
        self.differentiable = self.arity is None or any(self.vjps)
        defaults = _defaults(shown)
        self.inputs = list(defaults)[: self.arity or 0]
        self.defaults = {name: default for name, default in defaults.items() if name not in self.inputs} or None
        self.required = {name for name, default in (self.defaults or {}).items() if default is REQUIRED}
        self.notation = notation or Notation(f"{self.name}({', '.join(f'<{x}>' for x in self.inputs)})")
        for function in numpy:
            _before(self.__module__)
            NUMPY.known[function] = self

    def __call__(self, *inputs: P.args, **params: P.kwargs) -> Any:
        if len(inputs) == self.arity and not params and not self.required:  # the usual calls need no binding
            return apply(self, inputs, self.defaults and dict(self.defaults))
        return apply(self, *self.bind(inputs, params))

    def bind(self, inputs: tuple[Any, ...], params: dict[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any] | None]:
        """Tell inputs from parameters, however they were passed, and fill in the defaults."""
        defaults = self.defaults or {}
        count = len(inputs) if self.arity is None else self.arity
        if len(inputs) > count:  # parameters may be passed by position, too
            extra = inputs[count:]
            if len(extra) <= len(defaults) and not params.keys() & set(itertools.islice(defaults, len(extra))):
                inputs, params = inputs[:count], {**dict(zip(defaults, extra)), **params}
        if len(inputs) == count and self.required <= params.keys() <= defaults.keys():
            return inputs, {**defaults, **params} or None
        try:  # inputs by keyword, or a mistake
            bound = signature(self).bind(*inputs, **params)
        except TypeError as error:
            raise TypeError(f"{self.name}: {error}. It is called as {self.name}{signature(self)}") from None
        bound.apply_defaults()
        given = bound.arguments
        return tuple(given[name] for name in self.inputs), {name: given[name] for name in defaults} or None

    def __repr__(self) -> str:
        return f"<operation {self.name}{signature(self)}>"

    def explain(self, error: Exception, args: Sequence[Any], params: dict[str, Any] | None) -> Exception:
        """The error to raise for inputs that `forward` has refused: what was wrong, and what would work."""
        inputs = args[: self.arity]
        said = str(error)
        reason = self.door(*inputs, **(params or {})) if self.door else None
        if isinstance(reason, Exception):
            return type(reason)(f"{self.name}: {reason}")
        if reason is None and said.startswith(f"{self.name}:"):
            return error  # the forward has said it itself
        if reason is None and self.arity == 2 and not broadcastable(*map(np.shape, inputs)):
            reason = f"shapes {np.shape(inputs[0])} and {np.shape(inputs[1])} do not broadcast against each other"
        kind: type[Exception] = ShapeError
        if reason is None:
            kind = IndexError if isinstance(error, IndexError) else TypeError if isinstance(error, TypeError) else kind
            shapes = ", ".join(str(np.shape(x)) for x in inputs)
            settings = "".join(f", {k}={v!r}" for k, v in (params or {}).items() if v is not None)
            reason = f"{said} (inputs of shape {shapes}{settings})"
        return kind(f"{self.name}: {reason}")


def broadcastable(*shapes: tuple[int, ...]) -> bool:
    """Can arrays of these shapes be combined element by element?"""
    try:
        np.broadcast_shapes(*shapes)
    except ValueError:
        return False
    return True


def operation(
    forward: Forward | None = None, *, numpy: Iterable[Any] = (), **definition: Any
) -> Callable[[Callable[P, Any]], Op[P]]:
    """Make the decorated function an operation of the package, listed in `OPS`.

    The function is its forward; or, when a `forward` is given (a NumPy function, which then also dispatches
    here), only its signature and docstring.  Everything else is as in `Op`.
    """

    def define(function: Callable[P, Any]) -> Op[P]:
        _before(function.__module__)
        own = (forward,) if isinstance(forward, np.ufunc) else ()
        op: Op[P] = Op(forward or function, like=function, numpy=(*own, *numpy), **definition)
        if op.name in OPS.known:
            raise ValueError(f"operation: {op.name} is defined twice")
        OPS.known[op.name] = op
        return op

    return define


def public(op: Op[Any]) -> Callable[[Callable[P, Any]], Callable[P, Any]]:
    """The decorated function is how users call `op`: the operation shows its docstring and its signature."""

    def define(function: Callable[P, Any]) -> Callable[P, Any]:
        op.__doc__ = function.__doc__
        op.shown = function
        return function

    return define


def implements(*functions: Any) -> Callable[[Callable[P, Any]], Callable[P, Any]]:
    """Say what NumPy functions mean on Tensors when that is not one operation but a composition."""

    def register(function: Callable[P, Any]) -> Callable[P, Any]:
        _before(function.__module__)
        for each in functions:
            NUMPY.known[each] = function
        return function

    return register


__all__ = [
    "ATOM", "NUMPY", "OPS", "POWER", "PRODUCT", "SUM", "DtypeError", "Each", "Notation", "Op", "Sample", "between",
    "broadcastable", "distinct", "implements", "normal", "operation", "public", "sample",
]  # fmt: skip
