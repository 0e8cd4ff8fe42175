"""What can be said of a wrong gradient whose mistake has no name here: where it differs, and by what pattern."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np

from tinygrad_edu.check.agreement import Array, relative_error

__all__ = ["describe"]


def describe(
    mine: Array,
    true: Array,
    rtol: float = 1e-10,
    others: Mapping[str, Array] | None = None,
    pre_activation: tuple[str, Array] | None = None,
) -> str:
    """One phrase about how `mine` differs from `true`: what is seen, and no guess at its cause.

    Parameters
    ----------
    mine, true : array
    rtol : float
        What counts as equal.
    others : mapping of str to array, optional
        The other true gradients: `mine` may be one of them under a wrong name.
    pre_activation : (name, array), optional
        The U of this layer: differences may go with its sign.

    Examples
    --------
    >>> import numpy as np
    >>> true = np.array([[1.0, 2.0], [3.0, 5.0]])
    >>> describe(0.73 * true, true)
    'scale 0.73, the same for all entries'
    >>> describe(true + [[0.0, 0.0], [0.0, 1.0]], true)
    'differs in 1 of 4 entries only, at (1, 1): 6 instead of 5'
    """
    return next(_phrases(mine, true, rtol, others or {}, pre_activation))


def _phrases(
    mine: Array,
    true: Array,
    rtol: float,
    others: Mapping[str, Array],
    pre_activation: tuple[str, Array] | None,
) -> Iterator[str]:
    def close(a: Array, b: Array) -> bool:
        return a.shape == b.shape and relative_error(a, b) <= rtol

    for name, other in others.items():
        if other.any() and close(mine, other):
            yield f"is {name} itself, under the wrong name"
    if mine.shape != true.shape:
        yield from _other_shape(mine, true, rtol)
        yield f"shape {mine.shape}, where {true.shape} is expected"
    bad = ~np.isfinite(mine)
    if bad.any():
        kind = "NaN" if np.isnan(mine).any() else "infinity"
        rest = "" if bad.all() else "; the other entries are right" if _agree(mine, true, ~bad, rtol) else ""
        yield f"{kind} at {_places(bad)}{rest}"
        yield f"{kind} at {_places(bad)}"
    if not np.isfinite(true).all():
        yield "the true gradient is not finite there"
    if not mine.any():
        yield "zero everywhere"
    if not true.any():
        yield "should be zero everywhere"
    wrong = np.abs(mine - true) > rtol * max(float(np.abs(mine).max()), float(np.abs(true).max()))
    yield from _scales(mine, true, rtol, close)
    yield from _rearranged(mine, true, close)
    if pre_activation is not None and pre_activation[1].shape == true.shape:
        name, U = pre_activation
        for mask, sign in ((U < 0, "<"), (U > 0, ">")):
            if 0 < mask.sum() < mask.size and not (wrong & ~mask).any():
                where = "everywhere there" if (wrong | ~mask).all() else "there"
                how = _ratio(mine, true, wrong)
                yield f"differs only where {name} {sign} 0{how} ({int(wrong.sum())} entries, {where})"
    if wrong.sum() > 1:
        yield from _some_rows(mine, true, wrong)
    if wrong.sum() <= max(1, wrong.size // 4) and wrong.size > 1:
        at = tuple(int(i) for i in np.argwhere(wrong)[0])
        first = "first " if wrong.sum() > 1 else ""
        shown = f"{first}at {_place(at)}: {mine[at]:.6g} instead of {true[at]:.6g}"
        yield f"differs in {int(wrong.sum())} of {wrong.size} entries only{_ratio(mine, true, wrong)}, {shown}"
    cosine = float(np.sum(mine * true) / (np.linalg.norm(mine) * np.linalg.norm(true)))
    signs = float(np.mean(np.sign(mine) == np.sign(true)))
    yield (
        f"no pattern that has a name here: {int(wrong.sum())} of {wrong.size} entries differ, {signs:.0%} have the "
        f"right sign, the cosine with the true one is {cosine:.2f}"
    )


def _agree(mine: Array, true: Array, where: Array, rtol: float) -> bool:
    return relative_error(mine[where], true[where]) <= rtol


def _other_shape(mine: Array, true: Array, rtol: float) -> Iterator[str]:
    expected = f"shape {mine.shape}, where {true.shape} is expected"
    if mine.size == true.size:
        if relative_error(mine.ravel(), true.ravel()) <= rtol:
            yield f"{expected}: the numbers are right, reshape them"
        if relative_error(mine.ravel(), true.T.ravel()) <= rtol:
            yield f"{expected}: the numbers are those of the transpose"


def _scales(mine: Array, true: Array, rtol: float, close: object) -> Iterator[str]:
    if true.size < 2 or not np.isfinite(true).all():
        return
    tolerance = max(rtol, 1e-12) * max(float(np.abs(mine).max()), float(np.abs(true).max()))
    c = _least_squares(mine, true, None)
    if np.abs(mine - c * true).max() <= tolerance:
        length = ": its length is 1, it was normalised" if np.isclose(np.linalg.norm(mine), 1, rtol=1e-9) else ""
        yield f"scale {float(c):.6g}, the same for all entries{length}"
    d = mine - true
    if np.ptp(d) <= tolerance:
        yield f"{float(d.flat[0]):+.6g} in every entry"
    if np.ptp(np.abs(d)) <= tolerance:
        yield f"{float(np.abs(d).flat[0]):.6g} added to some entries, and subtracted from the others"
    top = float(np.abs(mine).max())
    cut = np.abs(true) > top * (1 + 1e-12)
    if cut.sum() > 1 and np.abs(mine - np.clip(true, -top, top)).max() <= tolerance:
        yield f"clipped at {top:.6g}: {int(cut.sum())} of {true.size} entries are larger"
    if true.ndim == 2 and min(true.shape) > 1:
        for axis, of in ((1, "row"), (0, "column")):
            c = _least_squares(mine, true, axis)
            if np.abs(mine - c * true).max() <= tolerance:
                factors = c.ravel()
                if np.isclose(factors, 1, rtol=1e-9).mean() > 0.5:
                    continue  # `_some_rows` says it better
                yield f"each {of} has a scale of its own: {_list(factors)}"
        for axis, of in ((1, "row"), (0, "column")):
            if np.ptp(d, axis=axis).max() <= tolerance:
                yield f"a constant added to each {of}: {_list(np.take(d, 0, axis=axis))}"
    if relative_error(np.abs(mine), np.abs(true)) <= rtol:
        signs = int((np.sign(mine) != np.sign(true)).sum())
        yield f"the right numbers, but {signs} of {true.size} with the wrong sign"


def _least_squares(mine: Array, true: Array, axis: int | None) -> Array:
    square = np.sum(true * true, axis=axis, keepdims=axis is not None)
    with np.errstate(all="ignore"):
        c = np.sum(mine * true, axis=axis, keepdims=axis is not None) / square
    return np.asarray(np.where(square == 0, 1.0, c))


def _rearranged(mine: Array, true: Array, close: object) -> Iterator[str]:
    if true.size < 2:
        return
    if true.ndim == 2:
        for axis, of in ((0, "rows"), (1, "columns")):
            order = _permutation(mine, true, axis)
            if order is not None:
                yield f"{of} permuted: {_list(np.array(order))} instead of {_list(np.arange(len(order)))}"
    if np.allclose(np.sort(mine.ravel()), np.sort(true.ravel()), rtol=1e-9, atol=0):
        yield "the right numbers in other places"


def _permutation(mine: Array, true: Array, axis: int) -> list[int] | None:
    a, b = np.moveaxis(mine, axis, 0), np.moveaxis(true, axis, 0)
    order: list[int] = []
    for row in a:
        same = [i for i, other in enumerate(b) if i not in order and np.allclose(row, other, rtol=1e-9, atol=0)]
        if not same:
            return None
        order.append(same[0])
    return order if order != list(range(len(order))) else None


def _some_rows(mine: Array, true: Array, wrong: Array) -> Iterator[str]:
    if true.ndim != 2:
        return
    for axis, of in ((1, "row"), (0, "column")):
        lines = np.flatnonzero(wrong.any(axis=axis))
        if 0 < len(lines) <= max(1, wrong.shape[1 - axis] // 2) and wrong.shape[1 - axis] > 1:
            many = "s" if len(lines) > 1 else ""
            yield f"wrong in {of}{many} {_list(lines)} only{_ratio(mine, true, wrong)}"


def _ratio(mine: Array, true: Array, wrong: Array) -> str:
    """By what the wrong entries differ, if that is simple."""
    a, b = mine[wrong], true[wrong]
    tiny = 1e-9 * max(float(np.abs(mine).max()), float(np.abs(true).max()))
    if np.abs(a).max() <= tiny:
        return ", where yours is 0"
    if np.abs(b).max() <= tiny:
        return ", where it should be 0"
    with np.errstate(all="ignore"):
        ratio = a / b
    if len(a) > 1 and np.isfinite(ratio).all() and np.allclose(ratio, ratio[0], rtol=1e-8):
        return f", where yours is {ratio[0]:.6g} times the true one"
    return ""


def _places(mask: Array) -> str:
    places = [_place(tuple(int(i) for i in index)) for index in np.argwhere(mask)]
    if mask.all():
        return "every entry"
    return ", ".join(places[:3]) + (f" and {len(places) - 3} more" if len(places) > 3 else "")


def _place(index: tuple[int, ...]) -> str:
    return f"({', '.join(map(str, index))})" if len(index) > 1 else f"[{index[0]}]" if index else "the number"


def _list(numbers: Array) -> str:
    shown = [f"{x:.4g}" for x in numbers[:6].tolist()]
    return ", ".join(shown) + (", ..." if len(numbers) > 6 else "")
