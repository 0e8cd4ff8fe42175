"""The gradient of a function from its values alone, without any derivation: three methods, entry by entry."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple, overload

import numpy as np
from numpy.typing import ArrayLike

from tinygrad_edu.check.agreement import Array
from tinygrad_edu.check.complex_step import ComplexStep
from tinygrad_edu.check.kinks import Kink, slope_or_kink
from tinygrad_edu.check.probing import Experiment, Function, Inputs, Probe
from tinygrad_edu.check.richardson import extrapolate
from tinygrad_edu.tensor import Tensor

__all__ = ["Method", "Slopes", "differentiate", "numerical_gradient"]

Method = Literal["central", "richardson", "complex"]

STEP = float(np.finfo(np.float64).eps ** (1 / 3))  # 6.1e-6; numerical_gradient says why

# A complex step that differs from differences by more than this is no derivative.  Differences themselves are right
# to 4e-11 of the function's size, times what its third derivative adds.
BELIEVED = 1e-6


class Slopes(NamedTuple):
    """The slopes of s by one variable, how far off they may be, and its kinks by their entry.

    Examples
    --------
    >>> import numpy as np
    >>> Slopes(np.zeros(3), np.full(3, np.nan), {}).values.shape
    (3,)
    """

    values: Array
    errors: Array  # NaN from a method that does not know
    kinks: dict[tuple[int, ...], Kink]


@overload
def numerical_gradient(
    function: Function,
    inputs: Inputs,
    cotangents: Sequence[ArrayLike] | None = None,
    eps: float | None = None,
    *,
    method: Method = "central",
    return_error: Literal[False] = False,
) -> tuple[Array, ...]: ...
@overload
def numerical_gradient(
    function: Function,
    inputs: Inputs,
    cotangents: Sequence[ArrayLike] | None = None,
    eps: float | None = None,
    *,
    method: Method = "central",
    return_error: Literal[True],
) -> tuple[tuple[Array, ...], tuple[Array, ...]]: ...
def numerical_gradient(
    function: Function,
    inputs: Inputs,
    cotangents: Sequence[ArrayLike] | None = None,
    eps: float | None = None,
    *,
    method: Method = "central",
    return_error: bool = False,
) -> tuple[Array, ...] | tuple[tuple[Array, ...], tuple[Array, ...]]:
    r"""The gradient of sum(v * function(*inputs)) without any derivation, entry by entry.

    "central"
        df/dx = (f(x + h) - f(x - h)) / 2h,  h = eps max(1, |x|): two evaluations for each entry.  What it leaves out
        is h^2 f'''/6 (the even terms of Taylor's series cancel).  What it loses to rounding is about u |f| / h, with
        u = 2.2e-16.  The first grows with h and the second shrinks; they balance near h = u^(1/3) = 6e-6, and both
        are then of the order u^(2/3) = 4e-11.  The step grows with |x|, because x itself is only known to u |x|.
    "richardson"
        Central differences over many steps, from a quarter down, extrapolated to the step zero: right to some 1e-13,
        and it says how far off it may be.  Some forty evaluations.
    "complex"
        Im f(x + ih) / h, h = 1e-20: right to the last digits, three evaluations; for functions that are analytic
        (the module `complex_step` says how Tensors go with that).

    A kink within the step is stepped over with smaller ones.  At a kink the result of each method is the mean of the
    two slopes; `gradcheck` reports it.

    While this lasts, a Tensor holds a scratch copy of its values, and an array is edited in its own memory, so the
    function may also reach it otherwise (`net.W1`); afterwards all is as it was.  (The complex step hands a complex
    copy to the function.)

    Parameters
    ----------
    function : callable
        `function(*inputs)` returns a Tensor or a tuple of Tensors, in float64.  Integer outputs are left out.  If no
        input is a Tensor, it is a plain NumPy function: it gets arrays and returns arrays or numbers.
    inputs : Tensor, array, number, or sequence of Tensors or arrays and anything else
        Tensors that require a gradient are varied; they are float64 leaves of any shape.  If there are no Tensors,
        all float64 arrays are.
    cotangents : sequence of array_like, optional
        v, one array for each float output, of its shape; not needed if the only output is a scalar.
    eps : float, optional
        The step of central differences for |x| <= 1.
    method : "central", "richardson" or "complex"
    return_error : bool
        Return `(gradients, errors)`, with an estimate of each entry's error; for "richardson".

    Returns
    -------
    tuple of float64 arrays
        One for each input that is varied, of its shape.

    Raises
    ------
    DtypeError
        If an input that is varied, or an output, is a float32: its rounding errors, divided by h, would drown the
        slope.
    GraphError
        If an input is the result of an operation.
    ShapeError
        If cotangents are needed, or do not fit.
    TypeError
        If the function returns something else than Tensors.
    ValueError
        If no input can be varied, eps is not positive, or the function is not analytic and "complex" was asked for.

    Examples
    --------
    >>> import numpy as np, tinygrad_edu as tg
    >>> x = tg.Tensor([1.0, 2.0], requires_grad=True)
    >>> (slope,) = numerical_gradient(lambda x: (x**3).sum(), [x])
    >>> slope.round(6)
    array([ 3., 12.])
    >>> (slope,) = numerical_gradient(lambda x: np.sum(x**3), np.array([1.0, 2.0]), method="complex")
    >>> slope
    array([ 3., 12.])
    >>> (slope,), (error,) = numerical_gradient(np.exp, 1.0, method="richardson", return_error=True)
    >>> bool(abs(slope - np.e) < error < 1e-11)
    True
    """
    title = "numerical_gradient"
    if return_error and method != "richardson":
        raise ValueError(f'{title}: return_error needs method="richardson"; {method!r} does not know its error')
    found = differentiate(Experiment(title, function, inputs, cotangents), eps, method)
    gradients = tuple(slopes.values for slopes in found)
    return (gradients, tuple(slopes.errors for slopes in found)) if return_error else gradients


def differentiate(
    experiment: Experiment,
    eps: float | None = None,
    method: Method = "central",
    doubts: Sequence[Callable[[tuple[int, ...], float], bool]] | None = None,
) -> list[Slopes]:
    """The slopes by each variable.

    `doubts` says, for each variable, whether somebody contradicts the slope at an entry: it is then looked at closely.

    Examples
    --------
    >>> import numpy as np
    >>> (slopes,) = differentiate(Experiment("example", lambda x: np.abs(x).sum(), np.array([0.0, 2.0])))
    >>> print(slopes.kinks[0,])
    kink at input 0[0]: slope -1 on the left, 1 on the right
    """
    title = experiment.title
    eps = STEP if eps is None else eps
    if not eps > 0:
        raise ValueError(f"{title}: eps is {eps}; a positive step is needed")
    if method not in ("central", "richardson", "complex"):
        raise ValueError(f'{title}: method {method!r}: "central", "richardson" or "complex" is expected')
    refined = ComplexStep(experiment) if method == "complex" else None
    found = []
    for n, (label, x) in enumerate(experiment.variables.items()):
        values, errors = np.empty(x.shape), np.full(x.shape, np.nan)
        kinks: dict[tuple[int, ...], Kink] = {}
        with experiment.turning(label) as probes:
            for probe in probes:
                i = probe.index
                step = eps * max(1.0, abs(probe.x))
                doubted = doubts is not None and doubts[n](i, probe.slope(probe.x - step, probe.x + step))
                place = _place(label, x, i)
                values[i], kink = slope_or_kink(probe, step, place, doubted)
                if kink is not None:
                    kinks[i] = kink
                    errors[i] = max(kink.high - values[i], values[i] - kink.low)
                elif method == "richardson":
                    values[i], errors[i] = extrapolate(probe)
                elif refined is not None:
                    values[i] = _believed(refined.slope(label, i), float(values[i]), probe, place)
        found.append(Slopes(values, errors, kinks))
    return found


def _believed(found: float, difference: float, probe: Probe, place: str) -> float:
    """A complex step, if differences don't contradict it."""
    size = max(abs(found), abs(difference))
    if not abs(found - difference) <= BELIEVED * (size + probe.experiment.size):
        raise ValueError(
            f"{probe.experiment.title}: at {place} the complex step gives {found:.6g}, and differences give "
            f"{difference:.6g}: the function is not analytic here (abs, norm, std, conj, .real, a matrix square root) "
            'or reaches its input otherwise (a network\'s own W, t.data, t.detach()). Use method="richardson".'
        )
    return found


def _place(label: str, x: Tensor | Array, index: tuple[int, ...]) -> str:
    """An entry as a person writes it: x[3], W[2, 0]."""
    name = x.name if isinstance(x, Tensor) and x.name else label
    return f"{name}[{', '.join(map(str, index))}]" if index else name
