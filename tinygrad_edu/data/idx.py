"""The IDX format: one n-dimensional array behind a header of a few bytes. MNIST comes in it."""

import gzip
import math
import os
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .errors import DataError
from .files import looks_like, opened, take

IMAGES, LABELS = 2051, 2049  # 0x0803 and 0x0801: unsigned bytes in three dimensions, in one

_TYPES = {
    code: np.dtype(name)
    for code, name in {0x08: ">u1", 0x09: ">i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}.items()
}


def magic_number(array: NDArray[Any]) -> int:
    """The first four bytes of `array` as an IDX file: 256 * (code of the element type) + dimensions.

    Raises DataError if the format has no such element type.

    >>> magic_number(np.zeros((60, 28, 28), np.uint8))
    2051
    """
    for code, dtype in _TYPES.items():
        if dtype == array.dtype.newbyteorder(">"):
            return code << 8 | array.ndim
    known = ", ".join(dtype.name for dtype in _TYPES.values())
    raise DataError(f"write_idx: IDX has no element type for {array.dtype}; convert to one of {known}.")


def read_idx(path: str | os.PathLike[str]) -> NDArray[Any]:
    """Read the array in an IDX file, gzipped or not.

    Returns a writable C-ordered array in native byte order; its shape and dtype (uint8, int8, int16, int32,
    float32 or float64) are the file's. Raises DataError if the file is missing, is not IDX, is truncated or
    corrupt, or goes on behind its last element.

    Source: "The IDX file format" at yann.lecun.com/exdb/mnist: two zero bytes, one byte for the element type,
    one for the number of dimensions, the size of each as a big-endian 32-bit integer, then the elements,
    big-endian, last index fastest.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_idx(folder + "/squares.gz", np.arange(4, dtype=np.int16) ** 2)
    ...     read_idx(folder + "/squares.gz")
    array([0, 1, 4, 9], dtype=int16)
    """
    path = Path(path)
    with opened(path) as stream:
        magic = take(stream, 4)
        if not magic.startswith(b"\0\0"):
            raise DataError(
                f"{path.name}: an IDX file begins with 00 00; found {magic.hex(' ') or 'nothing'}: "
                f"{looks_like(bytes(magic))}."
            )
        if len(magic) < 4:
            raise DataError(f"{path.name}: a header of 4 bytes expected, {len(magic)} found: truncated.")
        code, ndim = magic[2], magic[3]
        if code not in _TYPES:
            known = ", ".join(f"{known:#04x}" for known in _TYPES)
            raise DataError(f"{path.name}: element type {code:#04x} is not one of IDX's ({known}).")
        dtype = _TYPES[code]
        sizes = take(stream, 4 * ndim)
        if len(sizes) < 4 * ndim:
            raise DataError(f"{path.name}: {ndim} sizes of 4 bytes expected, {len(sizes)} bytes found: truncated.")
        shape = tuple(np.frombuffer(sizes, ">u4").tolist())
        expected = math.prod(shape) * dtype.itemsize
        data = take(stream, expected)
        if len(data) < expected:
            raise DataError(
                f"{path.name}: {expected:,} bytes expected for {_contents(code, shape)}, "
                f"{len(data):,} found: truncated."
            )
        if stream.read(1):  # for gzip, this is also what verifies the checksum
            raise DataError(
                f"{path.name}: {expected:,} bytes expected for {_contents(code, shape)}, more follow: "
                "the header is wrong, or the file ends in garbage."
            )
    try:
        array: NDArray[Any] = np.ndarray(shape, dtype, data)
    except ValueError as error:  # more dimensions than NumPy has, or enormous ones next to a zero
        raise DataError(f"{path.name}: NumPy cannot hold {_contents(code, shape)} ({error}).") from error
    return array.astype(dtype.newbyteorder("="), copy=False)


def write_idx(path: str | os.PathLike[str], array: ArrayLike) -> None:
    """Write an array as an IDX file (format: see `read_idx`), gzipped if the name ends in `.gz`.

    `array` may have any shape, memory order and byte order; its dtype must be uint8, int8, int16, int32,
    float32 or float64: nothing is converted behind your back, and any other dtype raises DataError. The same
    array always gives the same bytes.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_idx(folder + "/labels", np.array([7, 2, 1], np.uint8))
    ...     Path(folder, "labels").read_bytes().hex(" ")
    '00 00 08 01 00 00 00 03 07 02 01'
    """
    array = np.asarray(array)
    magic = magic_number(array)
    if max(array.shape, default=0) > 0xFFFF_FFFF:
        raise DataError(f"write_idx: a size of IDX has 32 bits; the shape is {array.shape}.")
    header = np.array([magic, *array.shape], ">u4").tobytes()
    data = header + array.astype(array.dtype.newbyteorder(">"), copy=False).tobytes()
    if Path(path).suffix == ".gz":
        data = gzip.compress(data, compresslevel=6, mtime=0)  # no time stamp: same array, same file
    Path(path).write_bytes(data)


def _contents(code: int, shape: tuple[int, ...]) -> str:
    """What a header promises, in words: MNIST's two kinds of file by name."""
    magic = code << 8 | len(shape)
    if magic == IMAGES:
        return f"{shape[0]:,} images of {shape[1]}x{shape[2]}"
    if magic == LABELS:
        return f"{shape[0]:,} labels"
    return f"{_TYPES[code].name} of shape {shape}"
