"""Kaggle's CSV form of MNIST: a header, then one image per line, its label first."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from .errors import DataError
from .files import looks_like, opened

SIDE = 28
COLUMNS = [b"label", *(b"pixel%d" % i for i in range(SIDE * SIDE))]
LONGEST_LINE = 1 << 14  # twice the header; a file without line ends must not be swallowed whole

# A look-up is twice as quick as int(), and refuses what int() is lenient about: " 5", "1_0", "+7".
_VALUES = {b"%d" % value: value for value in range(256)}


def read_kaggle(path: Path) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Images (n, 28, 28) and labels (n,), both uint8, of a `.csv` or `.csv.gz` with the columns
    `label,pixel0,...,pixel783`; a byte-order mark, CRLF and blank lines do no harm.

    Raises DataError, with the number of the line, for anything else.
    """
    rows = bytearray()
    width = len(COLUMNS)
    with opened(path) as stream:
        _check_header(path.name, stream.readline(LONGEST_LINE))
        for number, line in enumerate(iter(lambda: stream.readline(LONGEST_LINE), b""), start=2):
            fields = line.rstrip(b"\r\n").split(b",")
            if fields == [b""]:
                continue
            if len(fields) != width:
                raise DataError(f"{path.name}: line {number}: {width} values expected, {len(fields)} found.")
            try:
                rows += bytes(map(_VALUES.__getitem__, fields))
            except KeyError as error:
                bad: bytes = error.args[0]
                raise DataError(
                    f"{path.name}: line {number}: {COLUMNS[fields.index(bad)].decode()} is {_shown(bad)}; "
                    "a whole number in 0..255 is expected."
                ) from None
            if rows[-width] > 9:
                raise DataError(f"{path.name}: line {number}: label {rows[-width]} is outside 0..9.")
    if not rows:
        raise DataError(f"{path.name}: a header, but no images under it.")
    table = np.frombuffer(rows, np.uint8).reshape(-1, width)
    return table[:, 1:].reshape(-1, SIDE, SIDE), table[:, 0]


def _check_header(name: str, line: bytes) -> None:
    header = line.removeprefix(b"\xef\xbb\xbf").rstrip(b"\r\n")
    columns = header.split(b",")
    if columns == COLUMNS:
        return
    if columns == COLUMNS[1:]:
        raise DataError(
            f"{name}: there is no label column: this looks like Kaggle's test.csv, which has no labels "
            "to learn from or to test against. Give train.csv."
        )
    if columns[0] == b"label":
        meaning = f"{len(columns)} columns in all"
    elif all(field in _VALUES for field in columns):
        meaning = "it is missing, the first line holds numbers"
    else:
        meaning = looks_like(header[:4])
    raise DataError(f"{name}: the header must be label,pixel0,...,pixel783; found {_shown(header)}: {meaning}.")


def _shown(text: bytes) -> str:
    return repr(text[:20]).removeprefix("b") + ("..." if len(text) > 20 else "")
