"""MNIST by a path: the four IDX files in a folder, or Kaggle's CSV."""

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from .errors import DataError
from .idx import IMAGES, LABELS, magic_number, read_idx
from .kaggle import read_kaggle
from .split import Split, rows_of_pixels

_FILES = {"train-images": 3, "train-labels": 1, "t10k-images": 3, "t10k-labels": 1}  # and their dimensions
_CSV = ("train.csv", "train.csv.gz")
_KINDS = {IMAGES: "an image file", LABELS: "a label file"}

_Set = tuple[NDArray[Any], NDArray[Any]]


def mnist(
    path: str | os.PathLike[str],
    dtype: DTypeLike = np.float64,
    scale: tuple[float, float] = (0.0, 1.0),
    held_out: int = 1000,
    rng: int | np.random.Generator | None = 0,
) -> Split:
    """MNIST's handwritten digits, 28x28, from `path`, which is one of

    - a folder with the four IDX files, named `train-images-idx3-ubyte` or `train-images.idx3-ubyte` and so
      on, each gzipped (`.gz`) or not: 60,000 images to train and 10,000 to test, in the files' order;
    - Kaggle's `train.csv` or `train.csv.gz`, or a folder with one of them: 42,000 labelled images, which
      `rng` shuffles; the first `held_out` then become the test set. IDX files have a test set of their own
      and use neither parameter.

    Pixels 0..255 are scaled linearly to `scale`, (0.0, 1.0) being pixels / 255 and (-0.5, 0.5) the range of
    'Build a Neural Network from Scratch Using Numpy'; rows are (n, 784) of `dtype` (all of MNIST
    takes 0.44 GB as float64, half of that as float32), labels int64 in 0..9.

    Raises DataError, naming the file, if one is missing, of the wrong kind, truncated or corrupt, or if
    images and labels do not fit together.

    Sources: yann.lecun.com/exdb/mnist for the IDX files; Kaggle's "Digit Recognizer" for the CSV.

    >>> import tempfile
    >>> from tinygrad_edu.data.idx import write_idx
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     for part, n in ("train", 6), ("t10k", 2):
    ...         write_idx(f"{folder}/{part}-images-idx3-ubyte.gz", np.zeros((n, 28, 28), np.uint8))
    ...         write_idx(f"{folder}/{part}-labels-idx1-ubyte.gz", np.zeros(n, np.uint8))
    ...     mnist(folder, dtype=np.float32)
    Split(mnist: 8 images of 28x28, 6 train, 2 test, 10 classes, float32)
    """
    source = _find(Path(path))
    train, test = _from_idx(source) if isinstance(source, dict) else _from_csv(source, held_out, rng)
    return Split(
        "mnist",
        rows_of_pixels(train[0], 255, dtype, scale),
        train[1].astype(np.int64),
        rows_of_pixels(test[0], 255, dtype, scale),
        test[1].astype(np.int64),
        classes=10,
        image_shape=train[0].shape[1:],
    )


def _find(path: Path) -> dict[str, Path] | Path:
    """The four IDX files by what they hold, or the CSV."""
    if not path.exists():
        raise DataError(f"{path}: no such file or folder.")
    if not path.is_dir():
        return path
    names = {
        stem: [f"{stem}{mark}idx{ndim}-ubyte{gz}" for mark in "-." for gz in ("", ".gz")]
        for stem, ndim in _FILES.items()
    }
    found = {stem: file for stem in names if (file := _first(path, names[stem]))}
    if len(found) == len(names):
        return found
    missing = [name for stem in names if stem not in found for name in names[stem]]
    if found:
        raise DataError(f"{path}: part of MNIST is missing; looked for {', '.join(missing)}.")
    csv = _first(path, _CSV)
    if csv is None:
        raise DataError(f"{path}: MNIST is not here; looked for {', '.join([*missing, *_CSV])}.")
    return csv


def _first(folder: Path, names: Iterable[str]) -> Path | None:
    return next((folder / name for name in names if (folder / name).is_file()), None)


def _from_idx(files: dict[str, Path]) -> tuple[_Set, _Set]:
    train, test = (_labelled(files[f"{part}-images"], files[f"{part}-labels"]) for part in ("train", "t10k"))
    _, height, width = train[0].shape
    if test[0].shape[1:] != (height, width):
        raise DataError(
            f"{files['t10k-images'].name}: images of {test[0].shape[1]}x{test[0].shape[2]}, "
            f"but those of {files['train-images'].name} are {height}x{width}."
        )
    return train, test


def _labelled(images_file: Path, labels_file: Path) -> _Set:
    images, labels = _read(images_file, IMAGES), _read(labels_file, LABELS)
    if len(images) != len(labels):
        raise DataError(
            f"{images_file.name}: {len(images):,} images, but {labels_file.name} has {len(labels):,} labels."
        )
    if images.size == 0:
        raise DataError(f"{images_file.name}: there is no image in it.")
    if labels.max() > 9:
        at = int(np.argmax(labels > 9))
        raise DataError(f"{labels_file.name}: label {labels[at]} at position {at:,} is outside 0..9.")
    return images, labels


def _read(file: Path, expected: int) -> NDArray[Any]:
    array = read_idx(file)
    found = magic_number(array)
    if found != expected:
        kind = _KINDS.get(found, f"{array.dtype} in {array.ndim} dimensions")
        wanted = _KINDS[expected].split()[1] + "s"
        raise DataError(f"{file.name}: this is {kind} (magic {found}), {wanted} (magic {expected}) are expected.")
    return array


def _from_csv(file: Path, held_out: int, rng: int | np.random.Generator | None) -> tuple[_Set, _Set]:
    images, labels = read_kaggle(file)
    if not 0 < held_out < len(images):
        raise DataError(
            f"{file.name}: held_out={held_out:,} of {len(images):,} images; at least one must be left on either side."
        )
    order = np.random.default_rng(rng).permutation(len(images))
    test, train = order[:held_out], order[held_out:]
    return (images[train], labels[train]), (images[test], labels[test])
