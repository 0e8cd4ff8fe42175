"""Is the gradient of a function right, automatic or written by hand?  Asked of differences, for every entry.

`gradcheck` asks about first derivatives, `gradgradcheck` about second ones.  Both weigh the outputs with random
cotangents: under a plain sum a gradient that is transposed, or handed to the wrong row, may look right.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np

from tinygrad_edu.check.agreement import Array
from tinygrad_edu.check.byhand import gradients_by_hand
from tinygrad_edu.check.differences import Method, Slopes, differentiate
from tinygrad_edu.check.kinks import Kink
from tinygrad_edu.check.probing import (
    Experiment,
    Function,
    Inputs,
    label_of,
    listed,
    outputs_of,
    values_of,
    variables_of,
)
from tinygrad_edu.engine import mode
from tinygrad_edu.tensor import Tensor
from tinygrad_edu.transforms import grad

__all__ = ["GradcheckReport", "GradientMismatch", "WrongEntry", "gradcheck", "gradgradcheck"]

# Differences are right to about 4e-11 (see numerical_gradient), times what the function's third derivative and
# its internal rounding add.  RTOL leaves a factor of 10,000 for them, and is still far below any wrong formula;
# ATOL, where a gradient is zero or tiny, a factor of 250.
RTOL = 1e-6
ATOL = 1e-8

SHOWN = 5  # so many wrong entries are listed one by one


class WrongEntry(NamedTuple):
    """An entry of a gradient that is wrong: of which input, where, and the two numbers.

    Examples
    --------
    >>> print(WrongEntry("input 1 (W)", (2, 0), 0.31, 0.62))
    input 1 (W) entry (2, 0): automatic 0.31, numerical 0.62 (relative error 0.5)
    """

    input: str
    entry: tuple[int, ...]
    automatic: float  # or written by hand
    numerical: float
    kink: Kink | None = None  # where there is one, and the gradient lies not between its slopes

    def __str__(self) -> str:
        return self.says("automatic", "numerical")

    def says(self, found: str, expected: str) -> str:
        """The entry in words, with names for the two numbers."""
        size = max(abs(self.automatic), abs(self.numerical))
        error = abs(self.automatic - self.numerical) / size if np.isfinite(size) else size
        two = f"{found} {self.automatic + 0:.8g}, {expected} {self.numerical + 0:.8g}"  # + 0 makes 0 of -0
        why = f"relative error {error:.2g}"
        if self.kink is not None:
            why = f"{self.kink}; anything from {self.kink.low:.4g} to {self.kink.high:.4g} would be right here"
        return f"{self.input} entry {self.entry}: {two} ({why})"


class GradientMismatch(AssertionError):
    """A gradient that differences contradict.  `wrong` lists its wrong entries, the worst one first.

    Examples
    --------
    >>> GradientMismatch("gradcheck: ...", [WrongEntry("input 0", (0,), 1.0, 2.0)]).wrong[0].entry
    (0,)
    """

    def __init__(self, message: str, wrong: Sequence[WrongEntry] = ()) -> None:
        super().__init__(message)
        self.wrong = tuple(wrong)


class GradcheckReport(NamedTuple):
    """What a check that passed has seen: how many entries, and how far off an entry of each input was at most.

    Examples
    --------
    >>> print(GradcheckReport("gradcheck", 6, {"input 0 (x)": 2.5e-11}))
    gradcheck: all 6 entries are right; |automatic - numerical| is at most
      input 0 (x)  2.5e-11
    """

    title: str
    entries: int
    errors: dict[str, float]  # max |automatic - numerical| for each input
    kinks: tuple[Kink, ...] = ()  # entries without a slope, where the gradient lies between the two on either side
    source: str = "automatic"  # or "yours"

    def __str__(self) -> str:
        width = max(map(len, self.errors))
        lines = [f"  {label:{width}}  {error:.1e}" for label, error in self.errors.items()]
        right = f"{self.entries - len(self.kinks)} of {self.entries}" if self.kinks else f"all {self.entries}"
        first = f"{self.title}: {right} entries are right; |{self.source} - numerical| is at most"
        shown = [f"  {kink}" for kink in self.kinks[:SHOWN]]
        if len(self.kinks) > SHOWN:
            shown.append(f"  and {len(self.kinks) - SHOWN} more kinks")
        return "\n".join([first, *lines, *shown])


def gradcheck(
    function: Function,
    inputs: Inputs,
    *,
    eps: float | None = None,
    rtol: float = RTOL,
    atol: float = ATOL,
    rng: int | np.random.Generator | None = None,
    method: Method = "central",
    gradient: Callable[..., Any] | None = None,
) -> GradcheckReport:
    r"""Check the gradients of any function against differences: the automatic ones, or yours.

    With v a random cotangent of each output, and s = sum(v * function(*inputs)), the automatic ds/dx must equal
    (s(x + h) - s(x - h)) / 2h in every entry x of every input that requires a gradient (`numerical_gradient`
    says how h is chosen, and knows other methods).  An entry is right if

        |automatic - numerical| <= atol max(1, sum |v * output|) + rtol max(|automatic|, |numerical|)

    where the factor of atol is there because rounding errors grow with the outputs.  NaN and infinity are never
    right.  An input that gets no gradient counts as having a gradient of zeros.

    At a kink (relu at 0, a tie of max) there is no slope, but one on each side.  It is reported as what it is, and a
    gradient that lies between them is no mistake.

    A plain NumPy function can be checked, too, with the `gradient` that you have derived: all float64 arrays among
    the inputs are varied then.

    Parameters
    ----------
    function : callable
        `function(*inputs)` returns a Tensor or a tuple of Tensors, in float64.  Integer outputs are left out.
    inputs : Tensor, or sequence of Tensors and anything else
        Those that require a gradient are checked.  They hold the same values and memory afterwards.
    eps : float, optional
        The step of the differences where |x| <= 1, 6e-6 unless given.
    rtol, atol : float
        The error that is allowed.
    rng : int or numpy.random.Generator, optional
        Draws the cotangents; seed 0 unless given, so that a check that has failed fails again.
    method : "central", "richardson" or "complex"
        As in `numerical_gradient`.
    gradient : callable, optional
        Your own gradient.  Of a function that returns one number, `gradient(*inputs)` returns its gradient: an array,
        or a tuple of them, one for each array among the inputs; None for one that is not to be checked.  Of any other
        function, `gradient(*inputs, v)` gets a cotangent of the output's shape (of each output) and returns the
        gradient of sum(v * output).

    Raises
    ------
    GradientMismatch
        If entries are wrong: it names input and entry, the worst one first, and says how many there are.
    ValueError
        If the function is not deterministic, writes into its inputs, or returns numbers that are not finite; if
        no input requires a gradient.
    DtypeError, GraphError, ShapeError, TypeError
        As `numerical_gradient`; and if `gradient` returns something that belongs to no input.

    Examples
    --------
    >>> import tinygrad_edu as tg
    >>> x = tg.Tensor([[1.0, 2.0]], requires_grad=True, name="x")
    >>> gradcheck(tg.exp, x).entries
    2
    >>> square = tg.Op(lambda x: x * x, vjps=[lambda g, y, x: g * x], name="square")  # the 2 is missing
    >>> try:
    ...     gradcheck(square, x)
    ... except AssertionError as mismatch:
    ...     print(mismatch)
    gradcheck: input 0 (x) entry (0, 1): automatic -0.26420973, numerical -0.52841945 (relative error 0.5)
    gradcheck: input 0 (x) entry (0, 0): automatic 0.12573022, numerical 0.25146044 (relative error 0.5)
    2 of 2 entries are wrong: 2 of 2 in input 0 (x)
    >>> print(gradcheck(tg.relu, tg.Tensor([1.0, 0.0], requires_grad=True, name="x")).kinks[0])
    kink at x[1]: slope 0 on the left, 1 on the right
    >>> import numpy as np
    >>> gradcheck(lambda w: np.sum(w**2) / 2, np.array([1.0, 2.0]), gradient=lambda w: w).entries
    2
    """
    __tracebackhide__ = True  # pytest then shows the line of the test
    return check_first("gradcheck", function, inputs, eps, rtol, atol, rng, method, gradient)


def gradgradcheck(
    function: Function,
    inputs: Inputs,
    *,
    eps: float | None = None,
    rtol: float = RTOL,
    atol: float = ATOL,
    rng: int | np.random.Generator | None = None,
    method: Method = "central",
) -> GradcheckReport:
    r"""Check the automatic second derivatives of a function of Tensors against central differences.

    The gradient is itself a function, G(inputs, v) = d sum(v * function(*inputs)) / d inputs.  Computed with
    `create_graph=True` it is recorded, and `gradcheck` is applied to it: by the inputs, which are the second
    derivatives, and by the cotangents v, in which G must be linear.  This finds rules that are right as numbers,
    but leave the record (`t.detach()`, `t.data`).  First of all G must be the gradient of an ordinary sweep.

    Parameters, errors and the criterion are those of `gradcheck`.  The cotangents stand behind the inputs: with
    two inputs, "input 2 (cotangent)".

    Examples
    --------
    >>> import tinygrad_edu as tg
    >>> x = tg.Tensor([1.0, 2.0], requires_grad=True, name="x")
    >>> print(sorted(gradgradcheck(tg.exp, x).errors))
    ['input 0 (x)', 'input 1 (cotangent)']
    >>> def cut(g, y, x):
    ...     return g * (2 * x.detach() if isinstance(x, tg.Tensor) else 2 * x)
    >>> square = tg.Op(lambda x: x * x, vjps=[cut], name="square")
    >>> gradcheck(square, x).entries
    2
    >>> try:
    ...     gradgradcheck(square, x)
    ... except AssertionError as mismatch:
    ...     print(str(mismatch).splitlines()[-1])
    2 of 4 entries are wrong: 2 of 2 in input 0 (x)
    """
    __tracebackhide__ = True
    return check_second("gradgradcheck", function, inputs, eps, rtol, atol, rng, method)


def check_first(
    title: str,
    function: Function,
    inputs: Inputs,
    eps: float | None = None,
    rtol: float = RTOL,
    atol: float = ATOL,
    rng: int | np.random.Generator | None = None,
    method: Method = "central",
    gradient: Callable[..., Any] | None = None,
) -> GradcheckReport:
    """`gradcheck`, with a title for its messages."""
    __tracebackhide__ = True
    inputs = listed(inputs)
    variables = variables_of(title, inputs)
    tensors = any(isinstance(x, Tensor) for x in inputs)
    if gradient is None and not tensors:
        raise ValueError(
            f"{title}: there is no Tensor that requires a gradient; make one with requires_grad=True, or give the "
            "gradient of your NumPy function: gradient=..."
        )
    generator = np.random.default_rng(0 if rng is None else rng)
    with mode(recording=True):  # also inside of no_grad
        outputs = _outputs_checked(title, function, inputs)
        scalar = len(outputs) == 1 and outputs[0].shape == ()
        drawn = [np.asarray(generator.normal(size=y.shape)) for y in outputs]
        cotangents = drawn if gradient is None or not scalar else [np.ones(())]
        held = _arrays(inputs, outputs, cotangents)
        found: list[Array | None]
        if gradient is None:
            found = [g.data for g in gradients(outputs, list(variables.values()), cotangents)]
        else:
            found = gradients_by_hand(title, gradient, inputs, variables, [] if scalar else cotangents)
        _must_be_unchanged(title, "a rule" if gradient is None else "your gradient", held)
        experiment = Experiment(title, function, inputs, cotangents)
        for label, g in zip(variables, found):
            if g is None:
                del experiment.variables[label]
        present = [g for g in found if g is not None]
        words = ("automatic" if gradient is None else "yours", "numerical")
        _shapes_must_fit(title, experiment.variables, present, words[0])
        atol *= max(1.0, experiment.size)
        doubts = [lambda i, slope, g=g: not _agree(g[i], slope, rtol, atol) for g in present]
        slopes = differentiate(experiment, eps, method, doubts)
    compare(title, experiment.variables, present, slopes, rtol, atol, words)
    errors = {label: _largest(a, n) for label, a, n in zip(experiment.variables, present, slopes)}
    kinks = tuple(kink for each in slopes for kink in each.kinks.values())
    return GradcheckReport(title, sum(g.size for g in present), errors, kinks, words[0])


def check_second(
    title: str,
    function: Function,
    inputs: Inputs,
    eps: float | None = None,
    rtol: float = RTOL,
    atol: float = ATOL,
    rng: int | np.random.Generator | None = None,
    method: Method = "central",
) -> GradcheckReport:
    """`gradgradcheck`, with a title for its messages."""
    __tracebackhide__ = True
    inputs = listed(inputs)
    variables = variables_of(title, inputs)
    wanted = list(variables.values())
    if not any(isinstance(x, Tensor) for x in inputs):
        raise ValueError(
            f"{title}: there is no Tensor that requires a gradient. Of a NumPy function, check the gradient as a "
            "function of its own: gradcheck(gradient, x, gradient=second)"
        )
    generator = np.random.default_rng(0 if rng is None else rng)
    with mode(recording=True):
        outputs = _outputs_checked(title, function, inputs)
        names = ["cotangent"] if len(outputs) == 1 else [f"cotangent of output {i}" for i in range(len(outputs))]
        cotangents = [
            Tensor(generator.normal(size=y.shape), requires_grad=True, name=name) for y, name in zip(outputs, names)
        ]

        def first(*both: Any, create_graph: bool = True) -> list[Tensor]:
            outputs = outputs_of(title, function, both[: len(inputs)])
            return gradients(outputs, wanted, both[len(inputs) :], create_graph)

        recorded, ordinary = (
            [g.data for g in first(*inputs, *cotangents, create_graph=flag)] for flag in (True, False)
        )
        # The same rules on the same numbers: they may differ by roundings, for which rtol and atol are ample.
        words = ("under create_graph", "in an ordinary sweep")
        compare(title, variables, recorded, [Slopes(g, g, {}) for g in ordinary], rtol, atol, words)
        return check_first(title, first, [*inputs, *cotangents], eps, rtol, atol, generator, method)


def gradients(
    outputs: Sequence[Tensor], inputs: Sequence[Tensor], cotangents: Sequence[Any], create_graph: bool = False
) -> list[Tensor]:
    """The automatic gradients; zeros where there is none."""
    roots = [(y, v) for y, v in zip(outputs, cotangents) if y.requires_grad]
    found: Sequence[Tensor | None] = [None] * len(inputs)
    if roots:
        ys, vs = zip(*roots)
        found = grad(ys, inputs, vs, create_graph=create_graph, allow_unused=True)
    return [Tensor(np.zeros(x.shape, x.dtype)) if g is None else g for x, g in zip(inputs, found)]


def compare(
    title: str,
    labels: Iterable[str],
    found: Sequence[Array],
    expected: Sequence[Slopes],
    rtol: float,
    atol: float,
    words: tuple[str, str] = ("automatic", "numerical"),
) -> None:
    """Raise GradientMismatch unless all entries agree, or lie between the two slopes of a kink."""
    __tracebackhide__ = True
    wrong: list[tuple[float, WrongEntry]] = []
    counts: list[str] = []
    for label, a, slopes in zip(labels, found, expected):
        n, kinks = slopes.values, slopes.kinks
        right = _agree(a, n, rtol, atol)
        places = [tuple(map(int, place)) for place in np.argwhere(~right)]
        places = [i for i in places if i not in kinks or not kinks[i].admits(float(a[i]), atol)]
        with np.errstate(all="ignore"):
            excess = np.abs(a - n) / (atol + rtol * np.maximum(np.abs(a), np.abs(n)))
        wrong += [(float(excess[i]), WrongEntry(label, i, float(a[i]), float(n[i]), kinks.get(i))) for i in places]
        if places:
            counts.append(f"{len(places)} of {a.size} in {label}")
    if wrong:
        worst_first = sorted(wrong, key=lambda pair: -pair[0] if pair[0] < np.inf else -np.inf)  # NaN comes first, too
        entries = [entry for _, entry in worst_first]
        lines = [f"{title}: {entry.says(*words)}" for entry in entries[:SHOWN]]
        total = sum(a.size for a in found)
        lines.append(f"{len(wrong)} of {total} entries are wrong: {', '.join(counts)}")
        raise GradientMismatch("\n".join(lines), entries)


def _agree(a: Any, n: Any, rtol: float, atol: float) -> Any:
    """Do these agree, entry by entry?  What is not finite does not."""
    with np.errstate(all="ignore"):
        near = np.abs(a - n) <= atol + rtol * np.maximum(np.abs(a), np.abs(n))
    return near & np.isfinite(a) & np.isfinite(n)


def _shapes_must_fit(title: str, variables: dict[str, Any], found: Sequence[Array], word: str) -> None:
    __tracebackhide__ = True
    for (label, x), g in zip(variables.items(), found):
        if g.shape != x.shape:
            raise GradientMismatch(f"{title}: {label} has shape {x.shape}, the gradient ({word}) {g.shape}")


def _largest(a: Array, slopes: Slopes) -> float:
    """max |a - n|, kinks aside."""
    error = np.asarray(np.abs(a - slopes.values)).copy()
    for i in slopes.kinks:
        error[i] = 0
    return float(error.max(initial=0))


def _outputs_checked(title: str, function: Function, inputs: Sequence[Any]) -> list[Any]:
    """The outputs of the function, once it is sure that differences of it mean something."""
    before = _arrays(inputs)
    outputs = outputs_of(title, function, inputs)
    values = [np.array(values_of(y)) for y in outputs]
    again = [values_of(y) for y in outputs_of(title, function, inputs)]
    _must_be_unchanged(title, "the function", before)
    for i, (y, z) in enumerate(zip(values, again)):
        if not np.isfinite(y).all():
            raise ValueError(f"{title}: output {i} is not finite here, and has no slope; choose other inputs")
        if not np.array_equal(y, z):
            raise ValueError(
                f"{title}: the function is not deterministic: output {i} differs between two calls with equal inputs. "
                "Draw random numbers outside of it, or seed them anew in each call; switch dropout off."
            )
    return outputs


def _arrays(inputs: Sequence[Any], outputs: Sequence[Any] = (), cotangents: Sequence[Array] = ()) -> Any:
    """All arrays that nobody may write to, each with a copy: (what it is called, the array's holder, the copy)."""
    kinds = {"input": inputs, "output": outputs, "cotangent": cotangents}
    return [
        (label_of(kind, i, x), x, np.array(values_of(x)))
        for kind, holders in kinds.items()
        for i, x in enumerate(holders)
        if isinstance(x, (Tensor, np.ndarray))
    ]


def _must_be_unchanged(title: str, who: str, held: Any) -> None:
    for label, x, copy in held:
        if not np.array_equal(values_of(x), copy, equal_nan=copy.dtype.kind == "f"):
            raise ValueError(f"{title}: {who} wrote into {label}; it must leave it as it is and return new arrays")
