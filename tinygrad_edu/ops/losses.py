"""Losses of classes and probabilities: cross-entropy, likelihood, binary cross-entropy, divergence, margin.

Softmax with cross-entropy, and sigmoid with binary cross-entropy, are one operation each: stable for any logits, and
their gradient is the famous p - t.  What the forward pass knows already (p) it keeps for the backward pass.

`reduction` is "mean" (over the samples; over all elements for binary cross-entropy and divergence), "sum" or "none".
"""

from __future__ import annotations

import math
from typing import Any, Literal

import numpy as np

from tinygrad_edu.errors import DtypeError, ShapeError
from tinygrad_edu.op import Notation, between, distinct, normal, operation, public, sample
from tinygrad_edu.ops.activations import log_softmax, relu, sigmoid, softmax, softmax_of_rows, starts, zero_beside
from tinygrad_edu.ops.shaping import moveaxis
from tinygrad_edu.record import Value, apply

__all__ = [
    "binary_cross_entropy", "binary_cross_entropy_with_logits", "cross_entropy", "kl_div", "multi_margin_loss",
    "nll_loss", "one_hot",
]  # fmt: skip

Operand = Any  # a Tensor, an array or a number
Reduction = Literal["mean", "sum", "none"]
HALF = np.dtype(np.float16)  # comparing with np.float16 itself takes six times as long
INDEX, UNSIGNED = np.dtype(np.intp), np.dtype(np.uintp)


def reduced(losses: Any, reduction: str) -> Any:
    """The losses of the samples as one number, or as they are."""
    if reduction == "mean":
        if losses.dtype == HALF:  # neither the sum nor the count may be too large for it
            return np.mean(losses)
        return np.add.reduce(losses, None) / losses.size
    if reduction == "sum":
        return np.add.reduce(losses, axis=None)
    if reduction == "none":
        return losses
    raise ValueError(f'reduction {reduction!r}: "mean", "sum" or "none" is expected')


def share(g: Any, count: int, reduction: str) -> Any:
    """What each of `count` losses receives of the gradient `g` of the reduced one."""
    if reduction != "mean":
        return g
    return (g.astype(np.float32) if g.dtype is HALF else g) / count


# ------------------------------------------------------------------------------- classes: cross-entropy


def _is_labels(targets: Any) -> bool:
    return targets.dtype.kind in "iu"


def as_index(labels: Any) -> Any:
    """Integers of any kind as NumPy takes them for places."""
    return labels if labels.dtype is INDEX else labels.astype(INDEX)


def are_inside(labels: Any, classes: int) -> bool:
    """Is each label one of 0..C-1?"""
    # A negative number, read as unsigned, is a very large one: so one comparison finds what is outside on both sides.
    # And the position of the largest is found in a quarter of the time of the largest itself.
    labels = as_index(labels).view(UNSIGNED)
    return not labels.size or bool(labels.item(labels.argmax()) < classes)


def _check_classes(scores: Any, targets: Any) -> None:
    """Class numbers (...) inside 0..C-1, or a distribution over the classes (..., C), for scores (..., C)."""
    shape = scores.shape
    if not shape:
        fits = False
    elif _is_labels(targets):
        fits = targets.shape == shape[:-1] and are_inside(targets, shape[-1])
    else:
        fits = targets.shape == shape and targets.dtype.kind == "f"
    if not fits:
        raise ValueError  # the door says why


def _classes_door(scores: Any, targets: Any, **_: Any) -> str | Exception | None:
    """What is wrong with targets that do not fit the scores."""
    shape = scores.shape
    if not shape:
        return "scores of shape () have no axis of classes; (samples, classes) is expected"
    if not _is_labels(targets):
        if targets.dtype.kind != "f":
            return DtypeError(f"targets of dtype {targets.dtype}: integer labels or float probabilities are expected")
        return (
            f"probabilities of shape {targets.shape} for scores of shape {shape}: the shapes must be equal "
            "(class numbers must be integers)"
        )
    if targets.shape != shape[:-1]:
        hint = "; one-hot rows must be floats" if targets.shape == shape else ""
        return f"labels of shape {targets.shape} for scores of shape {shape}: {shape[:-1]} is expected{hint}"
    return label_problem(targets, shape[-1], f" for scores of shape {shape}")


def label_problem(labels: Any, classes: int, context: str = "") -> Exception | None:
    outside = np.flatnonzero((labels < 0) | (labels >= classes))
    if not outside.size:
        return None
    label, position = labels.reshape(-1)[outside[0]], outside[0]
    return ValueError(f"label {label} at position {position} is outside 0..{classes - 1}{context}")


def _labels_door(labels: Any, classes: int, **_: Any) -> Exception | None:
    """What is wrong with labels that cannot be written as one-hot rows."""
    labels = np.asarray(labels)
    if not _is_labels(labels):
        return DtypeError(f"labels of dtype {labels.dtype}: integers are expected")
    return label_problem(labels, classes)


def _indicator(labels: Any, classes: int, dtype: Any) -> Any:
    """A 1 at each label, 0 elsewhere; the labels have been checked."""
    out = np.zeros((labels.size, classes), dtype=dtype)
    out[np.arange(labels.size), labels.reshape(-1)] = 1
    return out.reshape((*labels.shape, classes))


@operation(vjps=[None], notation=Notation("onehot(<labels>)", r"\operatorname{onehot}(<labels>)"), door=_labels_door)
def one_hot(labels: Operand, classes: int, dtype: Any = np.float64) -> Any:
    r"""Rows with a 1 at the label and 0 elsewhere: (...) -> (..., classes).  No gradient.

    Raises ValueError for a label outside 0..classes-1.

    Examples
    --------
    >>> import numpy as np, tinygrad_edu as tg
    >>> tg.one_hot(np.array([0, 2]), 3)
    array([[1., 0., 0.],
           [0., 0., 1.]])
    """
    labels = np.asarray(labels)
    if not _is_labels(labels) or not are_inside(labels, classes):
        raise ValueError  # the door says why
    return _indicator(labels, classes, dtype)


def _distribution(targets: Any, scores: Any) -> Any:
    """The targets as distributions over the classes."""
    if not _is_labels(targets):
        return targets
    if isinstance(targets, np.ndarray):
        return _indicator(targets, scores.shape[-1], scores.dtype)
    return one_hot(targets, classes=scores.shape[-1], dtype=scores.dtype)  # a Tensor: let it be recorded


def _picked(scores: Any, labels: Any) -> Any:
    """The score of each sample's own class."""
    own = starts(scores.size, scores.shape[-1]) + as_index(labels).reshape(-1)
    return scores.take(own).reshape(labels.shape)


def _expected(scores: Any, targets: Any) -> Any:
    """sum_c t_c scores_c for each sample; what has probability 0 contributes 0, even 0 * -inf."""
    with np.errstate(invalid="ignore"):
        return np.add.reduce(np.where(targets == 0, 0, targets * scores), axis=-1)


def _each_class(g: Any, scores: Any, reduction: str) -> Any:
    """The share of each sample, with an axis for the classes."""
    if reduction == "none":
        return g.reshape((*g.shape, 1))
    return share(g, math.prod(scores.shape[:-1]) or 1, reduction)


def _error(p: Any, targets: Any) -> Any:
    """p sum(t) - t for each sample; a class number has sum(t) = 1, which leaves p - t."""
    if not _is_labels(targets):
        p = p * np.sum(targets, axis=-1, keepdims=True)
    return p - _distribution(targets, p)


@operation(
    name="cross_entropy",
    vjps=[
        lambda g, y, z, t, error, reduction: _each_class(g, z, reduction) * error,
        lambda g, y, z, t, error, reduction: -_each_class(g, z, reduction) * log_softmax(z),
    ],
    residual=lambda z, t, reduction: _error(softmax(z), t),
    door=_classes_door,
    notation=Notation(
        "-1/n sum[ <targets> log softmax(<logits>) ]",
        r"-\frac{1}{n} \sum <targets> \log \operatorname{softmax}(<logits>)",
    ),
    samples=[
        sample(normal(4, 3), np.array([0, 2, 1, 2]), reduction="mean"),
        sample(normal(4, 3), np.array([0, 2, 1, 2]), reduction="none"),
        sample(normal(2, 2, 3), np.array([[0, 2], [1, 2]]), reduction="sum"),
        sample(normal(4, 3), between(0, 1, 4, 3), reduction="sum"),
        sample(normal(3), between(0, 1, 3), reduction="mean"),
    ],
)
def _cross_entropy(logits: Any, targets: Any, reduction: str) -> Any:
    _check_classes(logits, targets)
    shape = logits.shape
    if len(shape) != 2:  # rows of any number of axes, or one alone
        rows, by_row = logits.reshape(-1, shape[-1]), targets.reshape(-1, *targets.shape[len(shape) - 1 :])
        losses, error = _of_rows(rows, by_row)
        return reduced(losses.reshape(shape[:-1]), reduction), error.reshape(shape)
    losses, error = _of_rows(logits, targets)
    return reduced(losses, reduction), error


def _of_rows(z: Any, targets: Any) -> tuple[Any, Any]:
    """The loss of each row of logits, and p sum(t) - t."""
    shifted, total, p = softmax_of_rows(z)
    losses = np.log(total)
    if _is_labels(targets):
        own = starts(z.size, z.shape[1]) + as_index(targets)
        losses -= shifted.take(own)
        p.put(own, p.take(own) - 1)  # p - t, in place
        return losses, p
    return np.add.reduce(targets, axis=-1) * losses - _expected(shifted, targets), _error(p, targets)


@public(_cross_entropy)
def cross_entropy(logits: Operand, targets: Operand, reduction: Reduction = "mean") -> Any:
    r"""Softmax of the logits, then cross-entropy -sum_c t_c log p_c, in one step that cannot overflow.

    Parameters
    ----------
    logits : (classes,), (samples, classes) or (samples, classes, ...)
        Pre-activations, any finite numbers.
    targets : integers without the axis of classes, or floats of the shape of the logits
        Class numbers 0..C-1, or a distribution for each sample (one-hot or any other).
    reduction : "mean", "sum" or "none"
        Mean over the samples (the default), sum over them, or one loss for each.

    Gradient: dL/dz = (p - t) g / n, p = softmax(z); in general (p sum(t) - t) g / n for targets that do not sum
    to 1.  dL/dt = -log(p) g / n.

    Raises
    ------
    ValueError
        For a class number outside 0..C-1.
    ShapeError
        For targets whose shape does not go with the logits.

    Examples
    --------
    >>> import numpy as np, tinygrad_edu as tg
    >>> z = tg.Tensor([[2.0, 0.0], [0.0, 0.0]], requires_grad=True)
    >>> loss = tg.nn.functional.cross_entropy(z, np.array([0, 1]))
    >>> round(loss.item(), 4)
    0.41
    >>> loss.backward()
    >>> z.grad.round(4)
    array([[-0.0596,  0.0596],
           [ 0.25  , -0.25  ]])
    """
    if not isinstance(logits, Value):
        logits = as_array(logits)
    if not isinstance(targets, np.ndarray):
        targets = as_array(targets)
    if logits.ndim > 2:  # as in PyTorch, the classes stand along axis 1
        if targets.ndim == logits.ndim:
            targets = moveaxis(targets, 1, -1)
        logits = moveaxis(logits, 1, -1)
    return apply(_cross_entropy, (logits, targets), {"reduction": reduction})


def as_array(x: Any) -> Any:
    """A Tensor or an array: lists are welcome, too."""
    return x if hasattr(x, "dtype") else np.asarray(x)


@operation(
    name="nll_loss",
    door=_classes_door,
    vjps=[
        lambda g, y, q, t, reduction: -_each_class(g, q, reduction) * _distribution(t, q),
        lambda g, y, q, t, reduction: -_each_class(g, q, reduction) * q,
    ],
    notation=Notation("-1/n sum[ <targets> <log_probabilities> ]", r"-\frac{1}{n} \sum <targets> <log_probabilities>"),
    samples=[
        sample(normal(4, 3), np.array([0, 2, 1, 2]), reduction="mean"),
        sample(normal(4, 3), np.array([0, 2, 1, 2]), reduction="none"),
        sample(normal(4, 3), between(0, 1, 4, 3), reduction="sum"),
    ],
)
def _nll(log_probabilities: Any, targets: Any, reduction: str) -> Any:
    _check_classes(log_probabilities, targets)
    pick = _picked if _is_labels(targets) else _expected
    return reduced(-pick(log_probabilities, targets), reduction)


@public(_nll)
def nll_loss(log_probabilities: Operand, targets: Operand, reduction: Reduction = "mean") -> Any:
    r"""Negative log-likelihood -sum_c t_c q_c of log-probabilities q (from log_softmax).

    Shapes, targets, reduction and errors are those of `cross_entropy`.

    Gradient: dL/dq = -t g / n.

    Examples
    --------
    >>> import numpy as np, tinygrad_edu as tg
    >>> q = tg.log_softmax(tg.Tensor([[2.0, 0.0], [0.0, 0.0]]))
    >>> round(tg.nn.functional.nll_loss(q, np.array([0, 1])).item(), 4)
    0.41
    """
    return _nll(as_array(log_probabilities), as_array(targets), reduction=reduction)


# --------------------------------------------------------------- probabilities: binary cross-entropy


def check_equal(name: str, prediction: Any, target: Any) -> None:
    """Predictions and targets of one shape: (n, 1) against (n,) would silently broadcast to (n, n)."""
    if prediction.shape != target.shape:
        raise ShapeError(
            f"{name}: prediction {prediction.shape} against target {target.shape}: the shapes must be equal; "
            "reshape one of them"
        )


@np.errstate(divide="ignore")
def _logit(y: Any) -> Any:
    return np.maximum(np.log(y), -100) - np.maximum(np.log(1 - y), -100)


@operation(
    name="binary_cross_entropy",
    vjps=[
        lambda g, loss, y, t, reduction: share(g, y.size, reduction) * ((y - t) / np.maximum(y * (1 - y), 1e-12)),
        lambda g, loss, y, t, reduction: share(g, y.size, reduction) * -_logit(y),
    ],
    notation=Notation(
        "-1/n sum[ <target> log <prediction> + (1 - <target>) log(1 - <prediction>) ]",
        r"-\frac{1}{n} \sum \left[ <target> \log <prediction> + (1 - <target>) \log (1 - <prediction>) \right]",
    ),
    samples=[
        sample(between(0.1, 0.9, 4, 3), between(0, 1, 4, 3), reduction="mean"),
        sample(between(0.1, 0.9, 4), between(0, 1, 4), reduction="sum"),
        sample(between(0.1, 0.9, 4), between(0, 1, 4), reduction="none"),
    ],
)
def _bce(prediction: Any, target: Any, reduction: str) -> Any:
    check_equal("binary_cross_entropy", prediction, target)
    y, t = prediction, target
    if np.any((y < 0) | (y > 1)):
        raise ValueError(
            "binary_cross_entropy: a prediction is outside 0..1; use binary_cross_entropy_with_logits for logits"
        )
    with np.errstate(divide="ignore"):
        losses = -(t * np.maximum(np.log(y), -100) + (1 - t) * np.maximum(np.log1p(-y), -100))
    return reduced(losses, reduction)


@public(_bce)
def binary_cross_entropy(prediction: Operand, target: Operand, reduction: Reduction = "mean") -> Any:
    r"""Binary cross-entropy -[t log y + (1 - t) log(1 - y)] of probabilities y, the mean over all elements.

    Shapes: prediction and target are equal; targets lie in 0..1.  A logarithm below -100 counts as -100, so that a
    confident mistake costs much, but not infinitely much (PyTorch does the same).

    Gradient: dL/dy = g/n (y - t) / (y (1 - y)), the denominator at least 1e-12; through the
    sigmoid that made y, this is (y - t)/n.

    Examples
    --------
    >>> import tinygrad_edu as tg
    >>> tg.nn.functional.binary_cross_entropy(tg.Tensor([0.5, 0.9]), [0.0, 1.0])
    Tensor(0.39925385)
    """
    return _bce(as_array(prediction), as_array(target), reduction=reduction)


@operation(
    name="binary_cross_entropy_with_logits",
    vjps=[
        lambda g, y, z, t, error, reduction: share(g, z.size, reduction) * error,
        lambda g, y, z, t, error, reduction: share(g, z.size, reduction) * -z,
    ],
    residual=lambda z, t, reduction: sigmoid(z) - t,
    notation=Notation(
        "-1/n sum[ <target> log sigmoid(<logits>) + (1 - <target>) log(1 - sigmoid(<logits>)) ]",
        r"-\frac{1}{n} \sum \left[ <target> \log \sigma(<logits>) + (1 - <target>) \log (1 - \sigma(<logits>)) \right]",
    ),
    samples=[
        sample(normal(4, 3), between(0, 1, 4, 3), reduction="mean"),
        sample(normal(4), between(0, 1, 4), reduction="sum"),
        sample(normal(4), between(0, 1, 4), reduction="none"),
    ],
)
def _bce_logits(logits: Any, target: Any, reduction: str) -> Any:
    check_equal("binary_cross_entropy_with_logits", logits, target)
    zero = zero_beside(logits)
    e = np.exp(-np.abs(logits))  # at most 1
    losses = np.maximum(logits, zero) - logits * target + np.log1p(e)
    p = np.exp(np.minimum(logits, zero)) / (1 + e)  # the sigmoid, from what is known already
    return reduced(losses, reduction), p - target


@public(_bce_logits)
def binary_cross_entropy_with_logits(logits: Operand, target: Operand, reduction: Reduction = "mean") -> Any:
    r"""Sigmoid of the logits, then binary cross-entropy, in one step that cannot overflow.

    Shapes: logits and target are equal; targets lie in 0..1.  Computed as
    max(z, 0) - z t + log(1 + e^-|z|).

    Gradient: dL/dz = g/n (sigmoid(z) - t).

    Examples
    --------
    >>> import tinygrad_edu as tg
    >>> tg.nn.functional.binary_cross_entropy_with_logits(tg.Tensor([1000.0, -1000.0]), [0.0, 0.0])
    Tensor(500.)
    """
    return apply(_bce_logits, (as_array(logits), as_array(target)), {"reduction": reduction})


# --------------------------------------------------------------------- distributions: Kullback-Leibler


def _each_element(g: Any, q: Any, reduction: str) -> Any:
    if reduction == "batchmean":
        return share(g, _batch(q), "mean")
    return share(g, q.size, reduction)


def _batch(q: Any) -> int:
    return q.shape[0] if q.ndim else 1


def _kl_target(g: Any, loss: Any, q: Any, t: Any, reduction: str, log_target: bool) -> Any:
    g = _each_element(g, q, reduction)
    return g * np.exp(t) * (t - q + 1) if log_target else g * (np.log(t) - q + 1)


@operation(
    name="kl_div",
    vjps=[
        lambda g, loss, q, t, reduction, log_target: -_each_element(g, q, reduction) * (np.exp(t) if log_target else t),
        np.errstate(divide="ignore", invalid="ignore")(_kl_target),
    ],
    notation=Notation(
        "1/n sum[ <target> (log <target> - <log_probabilities>) ]",
        r"\frac{1}{n} \sum <target> \left( \log <target> - <log_probabilities> \right)",
    ),
    samples=[
        sample(normal(4, 3), between(0.1, 0.9, 4, 3), reduction="mean", log_target=False),
        sample(normal(4, 3), between(0.1, 0.9, 4, 3), reduction="batchmean", log_target=False),
        sample(normal(4), between(0.1, 0.9, 4), reduction="none", log_target=False),
        sample(normal(4, 3), normal(4, 3), reduction="batchmean", log_target=True),
        sample(normal(4, 3), normal(4, 3), reduction="sum", log_target=True),
    ],
)
def _kl(log_probabilities: Any, target: Any, reduction: str, log_target: bool) -> Any:
    check_equal("kl_div", log_probabilities, target)
    p = np.exp(target) if log_target else target
    none = p == 0  # contributes nothing, even where both logarithms are -inf
    log_p = target if log_target else np.log(np.where(none, 1, target))
    losses = np.where(none, 0, p * (np.where(none, 0, log_p) - np.where(none, 0, log_probabilities)))
    return reduced(losses, "sum") / _batch(losses) if reduction == "batchmean" else reduced(losses, reduction)


@public(_kl)
def kl_div(
    log_probabilities: Operand,
    target: Operand,
    reduction: Literal["mean", "batchmean", "sum", "none"] = "mean",
    log_target: bool = False,
) -> Any:
    r"""Kullback-Leibler divergence sum t (log t - q) of log-probabilities q (from log_softmax) from a target t.

    Parameters
    ----------
    log_probabilities, target : equal shapes
        q, and the probabilities t; with `log_target` their logarithms.  What has probability 0 costs nothing.
    reduction : "mean", "batchmean", "sum" or "none"
        As in PyTorch, "mean" divides by the number of *elements*; the divergence as mathematics defines it, the
        mean over the samples, is "batchmean".

    Gradient: dL/dq = -g t / n; dL/dt = g (log t - q + 1) / n, or with `log_target` (t the logarithm)
    dL/dt = g e^t (t - q + 1) / n.

    Examples
    --------
    >>> import numpy as np, tinygrad_edu as tg
    >>> q = tg.Tensor(np.log([[0.5, 0.5], [0.9, 0.1]]))
    >>> tg.nn.functional.kl_div(q, [[0.5, 0.5], [0.5, 0.5]], reduction="batchmean")
    Tensor(0.25541281)
    """
    return _kl(as_array(log_probabilities), as_array(target), reduction=reduction, log_target=log_target)


# -------------------------------------------------------------------------------- classes: a margin


def _excess(scores: Any, labels: Any, margin: float) -> Any:
    """How far each wrong class comes within the margin of the right one; 0 for the right one."""
    others = 1 - one_hot(labels, classes=scores.shape[-1], dtype=scores.dtype)
    return relu(margin - np.expand_dims(_picked(scores, labels), -1) + scores) * others


def _margin_rule(g: Any, loss: Any, scores: Any, labels: Any, p: int, margin: float, reduction: str) -> Any:
    excess = _excess(scores, labels, margin)
    slope = 2 * excess if p == 2 else excess > 0
    own = one_hot(labels, classes=scores.shape[-1], dtype=scores.dtype)
    slope = slope - own * np.sum(slope, axis=-1, keepdims=True)
    return _each_class(g, scores, reduction) * (slope / scores.shape[-1])


@operation(
    name="multi_margin_loss",
    vjps=[_margin_rule, None],
    door=_classes_door,
    notation=Notation(
        "1/n sum max(0, margin - <scores>[<labels>] + <scores>)^<p> / C",
        r"\frac{1}{nC} \sum_{i \ne c} \max(0, m - <scores>_c + <scores>_i)^{<p>},\ c = <labels>",
    ),
    samples=[
        sample(distinct(4, 3), np.array([0, 2, 1, 2]), p=1, margin=1.0, reduction="mean"),
        sample(distinct(4, 3), np.array([0, 2, 1, 2]), p=2, margin=1.0, reduction="none"),
        sample(distinct(3), np.array(1), p=2, margin=0.7, reduction="sum"),
    ],
)
def _multi_margin(scores: Any, labels: Any, p: int, margin: float, reduction: str) -> Any:
    _check_classes(scores, labels)
    excess = _excess(scores, labels, margin)
    losses = np.add.reduce(excess * excess if p == 2 else excess, axis=-1)
    return reduced(losses / scores.shape[-1], reduction)


@public(_multi_margin)
def multi_margin_loss(
    scores: Operand, labels: Operand, p: int = 1, margin: float = 1.0, reduction: Reduction = "mean"
) -> Any:
    r"""Hinge loss of several classes: what it costs that wrong classes come within `margin` of the right one.

    Of a sample with scores x and label c it is sum_{i != c} max(0, margin - x_c + x_i)^p / C, p = 1 or 2.

    Shapes: scores (samples, classes) or (classes,), labels (samples,) or ().  Raises ValueError for a label outside
    0..classes-1.

    Gradient: with p = 1, g/(nC) for each wrong class within the margin (not at it), and for the right class minus their
    sum; with p = 2 each counts 2 max(0, margin - x_c + x_i) times.

    Examples
    --------
    >>> import numpy as np, tinygrad_edu as tg
    >>> tg.nn.functional.multi_margin_loss(tg.Tensor([[2.0, 1.5], [0.0, 3.0]]), np.array([0, 1]))
    Tensor(0.125)
    """
    if p not in (1, 2):
        raise ValueError(f"multi_margin_loss: p={p}: 1 or 2 is expected")
    scores, labels = as_array(scores), as_array(labels)
    if not _is_labels(labels):
        raise DtypeError(f"multi_margin_loss: labels of dtype {labels.dtype}: integers are expected")
    return _multi_margin(scores, labels, p=p, margin=margin, reduction=reduction)
