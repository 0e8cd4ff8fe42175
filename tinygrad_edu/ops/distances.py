"""Losses that say how far numbers are from where they should be: squared, absolute, Huber, hinge, cosine.

`reduction` is "mean" (over all elements), "sum" or "none".
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from tinygrad_edu.op import Notation, between, distinct, normal, operation, public, sample
from tinygrad_edu.ops.activations import hardtanh, relu
from tinygrad_edu.ops.losses import Operand, Reduction, as_array, check_equal, reduced, share

__all__ = [
    "cosine_similarity", "half_mse_loss", "hinge_embedding_loss", "hinge_loss", "huber_loss", "l1_loss", "mse_loss",
    "smooth_l1_loss",
]  # fmt: skip


def _mse_prediction(g: Any, loss: Any, y: Any, t: Any, reduction: str) -> Any:
    return share(2 * g, y.size, reduction) * (y - t)


@operation(
    name="mse_loss",
    vjps=[_mse_prediction, lambda g, loss, y, t, reduction: -_mse_prediction(g, loss, y, t, reduction)],
    notation=Notation(
        "1/n sum[ (<prediction> - <target>)^2 ]", r"\frac{1}{n} \sum \left( <prediction> - <target> \right)^2"
    ),
    samples=[
        sample(normal(4, 3), normal(4, 3), reduction="mean"),
        sample(normal(4, 3), normal(4, 3), reduction="sum"),
        sample(normal(4), normal(4), reduction="none"),
    ],
)
def _mse(prediction: Any, target: Any, reduction: str) -> Any:
    check_equal("mse_loss", prediction, target)
    d = prediction - target
    return reduced(d * d, reduction)


@public(_mse)
def mse_loss(prediction: Operand, target: Operand, reduction: Reduction = "mean") -> Any:
    r"""Squared error (y - t)^2, the mean over all elements.

    Shapes: prediction and target are equal.

    Gradient: dL/dy = g 2 (y - t) / n with n elements.

    Examples
    --------
    >>> import tinygrad_edu as tg
    >>> tg.nn.functional.mse_loss(tg.Tensor([1.0, 2.0]), [0.0, 0.0])
    Tensor(2.5)
    """
    return _mse(as_array(prediction), as_array(target), reduction=reduction)


def _vectors(y: Any) -> int:
    """How many samples there are: a vector is one sample, and so is a number."""
    return math.prod(y.shape[:-1])


@operation(
    name="half_mse_loss",
    vjps=[lambda g, loss, y, t: g / _vectors(y) * (y - t), lambda g, loss, y, t: g / _vectors(y) * (t - y)],
    notation=Notation(
        "1/(2n) sum[ (<prediction> - <target>)^2 ]", r"\frac{1}{2n} \sum \left( <prediction> - <target> \right)^2"
    ),
    samples=[sample(normal(4, 3), normal(4, 3)), sample(normal(3), normal(3))],
)
def _half_mse(prediction: Any, target: Any) -> Any:
    check_equal("half_mse_loss", prediction, target)
    d = prediction - target
    return np.add.reduce(d * d, axis=None) / (2 * _vectors(d))


@public(_half_mse)
def half_mse_loss(prediction: Operand, target: Operand) -> Any:
    r"""E = 1/(2n) sum ||y - t||^2 over n samples, the squared error of the derivation: its gradient is (y - t)/n.

    Shapes: prediction and target are equal, (samples, outputs) or (outputs,) for a single sample.

    Gradient: dE/dy = g (y - t) / n.  (`mse_loss` divides by the number of elements instead, and has no 1/2.)

    Examples
    --------
    >>> import tinygrad_edu as tg
    >>> tg.nn.functional.half_mse_loss(tg.Tensor([[1.0, 2.0], [0.0, 1.0]]), [[0.0, 0.0], [0.0, 0.0]])
    Tensor(1.5)
    """
    return _half_mse(as_array(prediction), as_array(target))


def _l1_prediction(g: Any, loss: Any, y: Any, t: Any, reduction: str) -> Any:
    return share(g, y.size, reduction) * np.sign(y - t)


@operation(
    name="l1_loss",
    vjps=[_l1_prediction, lambda g, loss, y, t, reduction: -_l1_prediction(g, loss, y, t, reduction)],
    notation=Notation("1/n sum |<prediction> - <target>|", r"\frac{1}{n} \sum \lvert <prediction> - <target> \rvert"),
    samples=[
        sample(distinct(4, 3), between(-0.1, 0.1, 4, 3), reduction="mean"),
        sample(distinct(4, 3), between(-0.1, 0.1, 4, 3), reduction="sum"),
        sample(distinct(4), between(-0.1, 0.1, 4), reduction="none"),
    ],
)
def _l1(prediction: Any, target: Any, reduction: str) -> Any:
    check_equal("l1_loss", prediction, target)
    return reduced(np.abs(prediction - target), reduction)


@public(_l1)
def l1_loss(prediction: Operand, target: Operand, reduction: Reduction = "mean") -> Any:
    r"""Absolute error |y - t|, the mean over all elements.

    Shapes: prediction and target are equal.

    Gradient: dL/dy = g sign(y - t) / n with n elements; 0 where y = t.

    Examples
    --------
    >>> import tinygrad_edu as tg
    >>> tg.nn.functional.l1_loss(tg.Tensor([1.0, 2.0]), [0.0, 4.0])
    Tensor(1.5)
    """
    return _l1(as_array(prediction), as_array(target), reduction=reduction)


# hardtanh clips; where it begins to, its own slope is 0, as in PyTorch.
def _huber_prediction(g: Any, loss: Any, y: Any, t: Any, reduction: str, delta: float) -> Any:
    return share(g, y.size, reduction) * hardtanh(y - t, min_val=-delta, max_val=delta)


@operation(
    name="huber_loss",
    vjps=[
        _huber_prediction,
        lambda g, loss, y, t, reduction, delta: -_huber_prediction(g, loss, y, t, reduction, delta),
    ],
    notation=Notation(
        "1/n sum huber(<prediction> - <target>)", r"\frac{1}{n} \sum \operatorname{huber}(<prediction> - <target>)"
    ),
    samples=[
        sample(normal(4, 3), normal(4, 3), reduction="mean", delta=1.0),
        sample(normal(4, 3), normal(4, 3), reduction="sum", delta=0.7),
        sample(normal(6), normal(6), reduction="none", delta=1.3),
    ],
)
def _huber(prediction: Any, target: Any, reduction: str, delta: float) -> Any:
    check_equal("huber_loss", prediction, target)
    if not delta > 0:
        raise ValueError(f"huber_loss: delta={delta}: a positive number is expected")
    d = np.abs(prediction - target)
    inside = np.minimum(d, delta)
    return reduced(inside * (d - 0.5 * inside), reduction)


@public(_huber)
def huber_loss(prediction: Operand, target: Operand, reduction: Reduction = "mean", delta: float = 1.0) -> Any:
    r"""Squared error for small errors, absolute for large ones, the mean over all elements (Huber 1964).

    d^2 / 2 where d = |y - t| <= delta, else delta (d - delta / 2): an outlier pulls no harder than delta.

    Shapes: prediction and target are equal.

    Gradient: dL/dy = g clip(y - t, -delta, delta) / n with n elements.

    Examples
    --------
    >>> import tinygrad_edu as tg
    >>> tg.nn.functional.huber_loss(tg.Tensor([1.0, 10.0]), [0.0, 0.0], reduction="none")
    Tensor([0.5, 9.5])
    """
    return _huber(as_array(prediction), as_array(target), reduction=reduction, delta=delta)


def smooth_l1_loss(prediction: Operand, target: Operand, reduction: Reduction = "mean", beta: float = 1.0) -> Any:
    r"""Absolute error with a rounded corner: `huber_loss` with delta = beta, divided by beta.

    d^2 / (2 beta) where d = |y - t| <= beta, else d - beta / 2; for beta = 0 it is `l1_loss`.

    Gradient: dL/dy = g clip((y - t) / beta, -1, 1) / n with n elements.

    Examples
    --------
    >>> import tinygrad_edu as tg
    >>> tg.nn.functional.smooth_l1_loss(tg.Tensor([1.0, 10.0]), [0.0, 0.0], reduction="none", beta=2.0)
    Tensor([0.25, 9.  ])
    """
    if beta == 0:
        return l1_loss(prediction, target, reduction)
    if not beta > 0:
        raise ValueError(f"smooth_l1_loss: beta={beta}: 0 or a positive number is expected")
    return huber_loss(prediction, target, reduction, delta=beta) / beta


# ------------------------------------------------------------------------------------ sides: hinge losses


def _check_sides(name: str, target: Any) -> None:
    if not np.all((target == 1) | (target == -1)):
        raise ValueError(f"{name}: a target is neither 1 nor -1")


def hinge_loss(scores: Operand, target: Operand, margin: float = 1.0, reduction: Reduction = "mean") -> Any:
    r"""max(0, margin - t y), the loss of a support vector machine: a score y shall have the sign of t, and a distance.

    Shapes: scores and target are equal; each target is 1 or -1.  Its gradient is -t where t y < margin, else 0.

    Examples
    --------
    >>> import tinygrad_edu as tg
    >>> tg.nn.functional.hinge_loss(tg.Tensor([2.0, 0.5, 1.0]), [1, 1, -1], reduction="none")
    Tensor([0. , 0.5, 2. ])
    """
    scores, target = as_array(scores), as_array(target)
    check_equal("hinge_loss", scores, target)
    _check_sides("hinge_loss", target)
    return reduced(relu(margin - target * scores), reduction)


def hinge_embedding_loss(
    distances: Operand, target: Operand, margin: float = 1.0, reduction: Reduction = "mean"
) -> Any:
    r"""Of distances d of pairs: d for a pair that belongs together (t = 1), max(0, margin - d) for another (t = -1).

    Shapes: distances and target are equal; each target is 1 or -1.  Its gradient is 1 for t = 1, and for t = -1 it is
    -1 up to the margin, else 0.

    Examples
    --------
    >>> import tinygrad_edu as tg
    >>> tg.nn.functional.hinge_embedding_loss(tg.Tensor([0.2, 0.3, 5.0]), [1, -1, -1], reduction="none")
    Tensor([0.2, 0.7, 0. ])
    """
    distances, target = as_array(distances), as_array(target)
    check_equal("hinge_embedding_loss", distances, target)
    _check_sides("hinge_embedding_loss", target)
    return reduced(np.where(target == 1, distances, np.clip(margin - distances, 0, None)), reduction)


# ------------------------------------------------------------------------------------- directions: cosine


def cosine_similarity(a: Operand, b: Operand, axis: int = 1, eps: float = 1e-8) -> Any:
    r"""The cosine of the angle between vectors, a . b / (|a| |b|): 1 for one direction, 0 for a right angle.

    A length below `eps` counts as `eps`, so that the zero vector has similarity 0 with everything.

    Shapes: a and b broadcast; the vectors lie along `axis`, which is missing from the result.

    Examples
    --------
    >>> import tinygrad_edu as tg
    >>> tg.nn.functional.cosine_similarity(tg.Tensor([[1.0, 0.0], [1.0, 1.0]]), [[0.0, 5.0], [3.0, 3.0]])
    Tensor([0., 1.])
    """
    a, b = as_array(a), as_array(b)
    return np.sum(a * b, axis=axis) / (_length(a, axis, eps) * _length(b, axis, eps))


def _length(x: Any, axis: int, eps: float) -> Any:
    return np.sqrt(np.maximum(np.sum(x * x, axis=axis), eps**2))
