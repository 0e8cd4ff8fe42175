"""A labelled set of images, split into training and test, its pixels scaled to the range one trains with."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from .errors import DataError


@dataclass(frozen=True, eq=False, repr=False, slots=True)
class Split:
    """Images and their labels, for training and for testing.

    `x_train` (n_train, features) and `x_test` (n_test, features): one image per row, row-major, floats;
    `t_train` (n_train,) and `t_test` (n_test,): class numbers, int64, in 0..classes-1;
    `image_shape` (height, width) with height * width = features: `x[i].reshape(image_shape)` is a picture.

    >>> x, t = np.zeros((6, 4)), np.zeros(6, np.int64)
    >>> Split("tiny", x[:5], t[:5], x[5:], t[5:], classes=2, image_shape=(2, 2))
    Split(tiny: 6 images of 2x2, 5 train, 1 test, 2 classes, float64)
    """

    name: str
    x_train: NDArray[Any]
    t_train: NDArray[np.int64]
    x_test: NDArray[Any]
    t_test: NDArray[np.int64]
    classes: int
    image_shape: tuple[int, int]

    def __repr__(self) -> str:
        train, test = len(self.x_train), len(self.x_test)
        height, width = self.image_shape
        return (
            f"Split({self.name}: {train + test:,} images of {height}x{width}, "
            f"{train:,} train, {test:,} test, {self.classes} classes, {self.x_train.dtype})"
        )


def rows_of_pixels(images: NDArray[Any], darkest: float, dtype: DTypeLike, scale: tuple[float, float]) -> NDArray[Any]:
    """Images (n, height, width) with pixels in 0..darkest as rows (n, features) of floats in `scale`.

    The lowest pixel, 0, becomes scale[0] and the highest, `darkest`, becomes scale[1]. Raises DataError if
    `dtype` is not a floating-point one or `scale` is not two finite numbers.

    >>> rows_of_pixels(np.array([[[0, 255]]], np.uint8), 255, np.float32, (-0.5, 0.5))
    array([[-0.5,  0.5]], dtype=float32)
    """
    dtype = np.dtype(dtype)
    if dtype.kind != "f":
        raise DataError(f"dtype: pixels are scaled to floats, {dtype} cannot hold them.")
    if np.shape(scale) != (2,) or not np.isfinite(scale).all():
        raise DataError(f"scale: two finite numbers (lowest, highest) are expected, got {scale!r}.")
    low, high = scale
    # Divided first, then moved in place: pixels / 255 exactly as one writes it, and no second array.
    rows: NDArray[Any] = np.divide(images.reshape(len(images), -1), darkest, dtype=dtype)
    if high - low != 1:
        rows *= high - low
    if low != 0:
        rows += low
    return rows
