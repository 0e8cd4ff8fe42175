"""Reading a file that may be gzipped, whatever its name says; every way this can fail is a DataError."""

import gzip
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from io import BufferedReader
from pathlib import Path

from .errors import DataError

GZIP = b"\x1f\x8b"
CHUNK = 1 << 20

_BEGINNINGS = {
    b"": "the file is empty",
    GZIP: "this looks like gzip inside gzip",
    b"PK": "this looks like a zip archive: unpack it first",
    b"<": "this looks like a web page: did the download fail?",
    b"\0\0": "this looks like an IDX file: give the folder that holds all four",
}


@contextmanager
def opened(path: Path) -> Iterator[BufferedReader | gzip.GzipFile]:
    """The bytes of `path` as a stream, decompressed if they are gzip; failures become DataError.

    The first two bytes decide, not the name: browsers like to unpack a `.gz` and keep its name.
    """
    try:
        with path.open("rb") as raw:
            if raw.peek(2)[:2] == GZIP:
                with gzip.GzipFile(fileobj=raw) as unpacked:
                    yield unpacked
            else:
                yield raw
    except EOFError as error:
        raise DataError(f"{path.name}: the gzip stream ends early: truncated.") from error
    except (zlib.error, gzip.BadGzipFile) as error:
        raise DataError(f"{path.name}: the gzip stream is corrupt ({error}).") from error
    except OSError as error:
        raise DataError(f"{path}: {error.strerror or error}.") from error


def take(stream: BufferedReader | gzip.GzipFile, count: int) -> bytearray:
    """The next `count` bytes, or as many as there are; a gzip stream that is cut short ends where it ends.

    Memory grows with what is found, never with what a header promises. `read1` hands over what precedes the
    cut in a truncated stream; `read` would lose it.
    """
    found = bytearray()
    while len(found) < count:
        try:
            chunk = stream.read1(min(CHUNK, count - len(found)))
        except EOFError:
            break
        if not chunk:
            break
        found += chunk
    return found


def looks_like(beginning: bytes) -> str:
    """What a file that is not what it should be probably is, judged by its first bytes.

    >>> looks_like(b"label,pixel0")
    'this looks like text, perhaps a CSV file'
    """
    for start, meaning in _BEGINNINGS.items():
        if beginning.startswith(start) if start else not beginning:
            return meaning
    if beginning.isascii() and beginning.decode("ascii").isprintable():
        return "this looks like text, perhaps a CSV file"
    return "this is some other format"
