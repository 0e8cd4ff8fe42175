"""The 8x8 digits that come with scikit-learn: a data set of real images that needs no download."""

import math

import numpy as np
from numpy.typing import DTypeLike

from .errors import DataError
from .optional import sklearn_datasets
from .split import Split, rows_of_pixels


def digits(
    test_fraction: float = 0.2,
    rng: int | np.random.Generator | None = 0,
    dtype: DTypeLike = np.float64,
    scale: tuple[float, float] = (0.0, 1.0),
) -> Split:
    """1,797 handwritten digits of 8x8 pixels, shuffled, then split: 1,437 to train and 360 to test.

    Pixels 0..16 are scaled linearly to `scale`; rows are (n, 64) of `dtype`, labels int64 in 0..9. `rng`
    shuffles: the same seed gives the same split. The test set takes `test_fraction` of them, rounded up.

    Raises DataError if `test_fraction` is not between 0 and 1, and ImportError without scikit-learn.

    Source: Alpaydin and Kaynak, "Optical Recognition of Handwritten Digits" (UCI, 1998), its test part, as
    `sklearn.datasets.load_digits` bundles it.

    >>> digits()
    Split(digits: 1,797 images of 8x8, 1,437 train, 360 test, 10 classes, float64)
    """
    if not 0 < test_fraction < 1:
        raise DataError(f"digits: test_fraction must lie between 0 and 1, got {test_fraction}.")
    bundled = sklearn_datasets("digits").load_digits()
    x = rows_of_pixels(bundled.images, 16, dtype, scale)
    t = bundled.target.astype(np.int64)
    order = np.random.default_rng(rng).permutation(len(x))
    n_train = max(1, len(x) - math.ceil(test_fraction * len(x)))
    train, test = order[:n_train], order[n_train:]
    return Split("digits", x[train], t[train], x[test], t[test], classes=10, image_shape=(8, 8))
