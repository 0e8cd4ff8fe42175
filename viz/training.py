"""Pictures of training: curves of loss and accuracy, gradients by layer, decision boundaries, fits, images, weights.

One function each, by matplotlib: it writes a file and returns its path.  The colours are Okabe and Ito's, which
colour-blind people can tell apart.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = [
    "decision_boundary", "gradient_norms", "grid_of_boundaries", "image_grid", "loss_curve", "regression_fits",
    "weight_images",
]  # fmt: skip

COLOURS = ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9"]
LINES = ["-", "--", "-.", ":"]

Predict = Callable[[NDArray[Any]], NDArray[Any]]


def _figure(rows: int, columns: int, width: float, height: float, **options: Any) -> tuple[Figure, list[Axes]]:
    """A figure that belongs to nobody else: matplotlib's global state stays as it is."""
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError:
        raise ImportError('training: matplotlib is missing: pip install "tinygrad_edu[examples]"') from None
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure, list(figure.subplots(rows, columns, squeeze=False, **options).ravel())


def _saved(figure: Figure, path: str | Path) -> Path:
    figure.savefig(path, dpi=150)
    return Path(path)


def loss_curve(history: Mapping[str, Sequence[float]], path: str | Path) -> Path:
    """What was measured after each epoch: what is named "loss..." on the left, accuracies (0 to 1) on the right.

    Examples
    --------
    >>> import tempfile, viz
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     viz.training.loss_curve({"loss": [2.0, 1.0], "test": [0.5, 0.9]}, folder + "/loss.png").name
    'loss.png'
    """
    losses = {name: values for name, values in history.items() if name.startswith("loss")}
    shares = {name: values for name, values in history.items() if name not in losses}
    panels = [(word, curves) for word, curves in (("loss", losses), ("accuracy", shares)) if curves]
    if not panels:
        raise ValueError("loss_curve: the history is empty")
    figure, axes = _figure(1, len(panels), 4.8 * len(panels), 3.6)
    for ax, (word, curves) in zip(axes, panels):
        for i, (name, values) in enumerate(curves.items()):
            style: dict[str, Any] = {"color": COLOURS[i % len(COLOURS)], "linestyle": LINES[i % len(LINES)]}
            marker = "o" if len(values) <= 20 else None
            ax.plot(range(1, len(values) + 1), values, label=name, marker=marker, markersize=3, **style)
        ax.set_xlabel("epoch")
        ax.set_ylabel(word)
        lowest, highest = (f(f(values) for values in curves.values()) for f in (min, max))
        if word == "loss" and 0 < 10 * lowest < highest:
            ax.set_yscale("log")
        ax.grid(alpha=0.3)
        ax.legend()
    return _saved(figure, path)


def gradient_norms(
    norms: Mapping[str, Sequence[float]], ratios: Mapping[str, Sequence[float]], path: str | Path
) -> Path:
    """Vanishing and exploding gradients at a glance: one curve for each layer, the first layer the darkest.

    Parameters
    ----------
    norms : mapping of str to sequence of float
        For each parameter ("fc1.weight"), the norm of its gradient after each epoch.
    ratios : mapping of str to sequence of float
        For each, the norm of its update divided by its own.  About 1e-3 is usual; 1e-5 hardly learns, 1e-1 leaps.

    Examples
    --------
    >>> import tempfile, viz
    >>> norms, ratios = {"fc1": [1.0, 0.5], "fc2": [2.0, 1.0]}, {"fc1": [1e-3, 1e-3], "fc2": [2e-3, 1e-3]}
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     viz.training.gradient_norms(norms, ratios, folder + "/norms.png").name
    'norms.png'
    """
    if not norms or norms.keys() != ratios.keys():
        raise ValueError(
            f"gradient_norms: norms of {list(norms)}, ratios of {list(ratios)}: the same layers are expected"
        )
    figure, axes = _figure(1, 2, 9.6, 3.6)
    for ax, word, curves in zip(
        axes, ("norm of the gradient", "norm of the update / norm of the weight"), (norms, ratios)
    ):
        for i, (name, values) in enumerate(curves.items()):
            shade = 0.75 * i / max(1, len(curves) - 1)  # from dark to light, so that the order of the layers is seen
            colour = tuple(shade + (1 - shade) * c for c in (0.0, 0.2, 0.4))
            ax.plot(range(1, len(values) + 1), values, label=name, color=colour, linestyle=LINES[i % len(LINES)])
        ax.set_xlabel("epoch")
        ax.set_ylabel(word)
        if any(value > 0 for values in curves.values() for value in values):
            ax.set_yscale("log", nonpositive="mask")
        ax.grid(alpha=0.3)
    axes[1].axhspan(10**-3.5, 10**-2.5, color=COLOURS[2], alpha=0.15, label="usual")
    axes[1].legend(fontsize=8)
    return _saved(figure, path)


def weight_images(weight: ArrayLike, shape: tuple[int, int], path: str | Path, columns: int = 16) -> Path:
    """What each unit of the first layer looks for: its weights (in, out), one image of `shape` for each unit.

    Orange raises the unit, purple lowers it, white does nothing; all images share one scale.

    Examples
    --------
    >>> import numpy as np, tempfile, viz
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     viz.training.weight_images(np.eye(16, 4), (4, 4), folder + "/weights.png").name
    'weights.png'
    """
    weight = np.asarray(weight)
    if weight.ndim != 2 or weight.shape[0] != shape[0] * shape[1]:
        raise ValueError(f"weight_images: a weight of shape {weight.shape} for images of {shape[0]}x{shape[1]} pixels")
    units = weight.shape[1]
    columns = min(columns, units)
    rows = -(-units // columns)
    figure, axes = _figure(rows, columns, 0.7 * columns + 0.9, 0.7 * rows + 0.4)
    largest = float(np.abs(weight).max()) or 1.0
    for ax in axes:
        ax.set_axis_off()
    for ax, unit in zip(axes, weight.T):
        shown = ax.imshow(unit.reshape(shape), cmap="PuOr_r", vmin=-largest, vmax=largest)
    figure.colorbar(shown, ax=axes, label="weight", shrink=0.9)
    return _saved(figure, path)


def decision_boundary(predict: Predict, x: ArrayLike, t: ArrayLike, path: str | Path) -> Path:
    """Where a classifier of points in the plane changes its mind.

    Parameters
    ----------
    predict : callable
        Takes points (m, 2), returns the probability of class 1 for each, (m,).
    x, t : arrays (n, 2) and (n,)
        The points, and their classes 0 and 1.

    Examples
    --------
    >>> import numpy as np, tempfile, viz
    >>> x = np.array([[0.0, 0.0], [1.0, 1.0]])
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     viz.training.decision_boundary(lambda p: p[:, 0], x, [0, 1], folder + "/plane.png").name
    'plane.png'
    """
    figure, (ax,) = _figure(1, 1, 5, 4.2)
    shading = _boundary(ax, predict, np.asarray(x), np.asarray(t))
    figure.colorbar(shading, ax=ax, label="probability of class 1")
    ax.set_xlabel("first feature")
    ax.set_ylabel("second feature")
    figure.legend(*ax.get_legend_handles_labels(), loc="outside upper center", ncols=2, fontsize=8)
    return _saved(figure, path)


def grid_of_boundaries(
    panels: Sequence[tuple[str, Predict]],
    x: ArrayLike,
    t: ArrayLike,
    path: str | Path,
    columns: int = 4,
    title: str | None = None,
) -> Path:
    """Several decision boundaries side by side, each with its headline: `panels` are pairs (headline, predict).

    Examples
    --------
    >>> import numpy as np, tempfile, viz
    >>> x = np.array([[0.0, 0.0], [1.0, 1.0]])
    >>> panels = [("left", lambda p: p[:, 0]), ("down", lambda p: p[:, 1])]
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     viz.training.grid_of_boundaries(panels, x, [0, 1], folder + "/grid.png", columns=2).name
    'grid.png'
    """
    columns = min(columns, len(panels))
    rows = -(-len(panels) // columns)
    figure, axes = _figure(rows, columns, 2.6 * columns, 2.7 * rows, sharex=True, sharey=True)
    for ax, (headline, predict) in zip(axes, panels):
        _boundary(ax, predict, np.asarray(x), np.asarray(t), size=9)
        ax.set_title(headline, fontsize=9)
    for ax in axes[len(panels) :]:
        ax.set_axis_off()
    if title:
        figure.suptitle(title)
    return _saved(figure, path)


def _boundary(ax: Axes, predict: Predict, x: NDArray[Any], t: NDArray[Any], size: float = 22) -> Any:
    """Probability as shading, 1/2 as a line, the points in two shapes."""
    low, high = x.min(axis=0), x.max(axis=0)
    margin = 0.15 * (high - low)
    across, up = (np.linspace(a, b, 160) for a, b in zip(low - margin, high + margin))
    points = np.stack(np.meshgrid(across, up), axis=-1).reshape(-1, 2)
    p = np.asarray(predict(points), dtype=float).reshape(len(up), len(across))
    shading = ax.contourf(across, up, p, levels=np.linspace(0, 1, 21), cmap="PuOr", alpha=0.75)
    if p.min() < 0.5 < p.max():
        ax.contour(across, up, p, levels=[0.5], colors="black", linewidths=1.2)
    for label, marker, colour in ((0, "o", COLOURS[4]), (1, "^", COLOURS[0])):
        chosen = x[t == label]
        ax.scatter(
            chosen[:, 0],
            chosen[:, 1],
            s=size,
            marker=marker,
            color=colour,
            edgecolor="black",
            linewidth=0.5,
            label=f"class {label}",
        )
    return shading


def regression_fits(
    x: ArrayLike, t: ArrayLike, grid: ArrayLike, fits: Mapping[str, ArrayLike], path: str | Path
) -> Path:
    """Noisy points (x, t), and one curve over `grid` for each fit.

    Examples
    --------
    >>> import tempfile, viz
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     viz.training.regression_fits([0, 1], [0, 1], [0, 1], {"line": [0, 1]}, folder + "/fits.png").name
    'fits.png'
    """
    figure, (ax,) = _figure(1, 1, 5.6, 4)
    ax.scatter(x, t, s=6, color="#999999", alpha=0.6, label="data")
    for i, (name, y) in enumerate(fits.items()):
        ax.plot(
            grid, y, color=COLOURS[(i + 1) % len(COLOURS)], linestyle=LINES[i % len(LINES)], linewidth=2, label=name
        )
    ax.set_xlabel("x")
    ax.set_ylabel("y")
    ax.grid(alpha=0.3)
    ax.legend()
    return _saved(figure, path)


def image_grid(
    images: ArrayLike, labels: Sequence[Any], predictions: Sequence[Any], path: str | Path, columns: int = 8
) -> Path:
    """Images (n, height, width), each with what it is and what was predicted.

    Examples
    --------
    >>> import numpy as np, tempfile, viz
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     viz.training.image_grid(np.zeros((2, 8, 8)), [3, 5], [3, 6], folder + "/images.png").name
    'images.png'
    """
    images = np.asarray(images)
    columns = max(1, min(columns, len(images)))
    rows = max(1, -(-len(images) // columns))
    figure, axes = _figure(rows, columns, 1.3 * columns + 0.4, 1.6 * rows + 0.3)
    for ax in axes:
        ax.set_axis_off()
    for ax, image, label, prediction in zip(axes, images, labels, predictions):
        ax.imshow(image, cmap="gray_r")
        ax.set_title(f"{label} taken for {prediction}" if label != prediction else f"{label}", fontsize=8)
    if not len(images):
        axes[0].text(0.5, 0.5, "none", ha="center", va="center")
    return _saved(figure, path)
