"""The child process in which a submission runs: it is told what to call, and writes what comes back.

It runs by itself, and imports nothing of this package.  The job comes in as JSON, and the answers go out as lines of
JSON: numbers, text and arrays, nothing that could be executed.  What the submission prints does not get among them.

The answers are what the submission has returned, no verdict: the comparison is made in the parent, which knows the
right values.  A submission that writes answers by itself can write nothing better than the right ones.
"""

from __future__ import annotations

import base64
import contextlib
import importlib
import importlib.util
import json
import math
import os
import sys
import traceback
from collections.abc import Callable
from typing import Any

import numpy as np

__all__ = ["Unreadable", "decode", "encode"]

DTYPES = {"b1", "f2", "f4", "f8", "c8", "c16", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8"}
DEEP = 50  # lists in lists in lists
WRITTEN = 10_000_000  # bytes that a submission may write into one file
TEXT = 3000  # characters of a traceback
LINE = 300  # and of its last line


class Unreadable(ValueError):
    """A value that cannot be passed between the processes, or a message that is none."""


def encode(value: Any, depth: int = 0) -> Any:
    """A value as JSON: numbers, text, None, arrays, and tuples, lists and dicts of them.

    Examples
    --------
    >>> decode(encode((1.5, {"W": np.array([1.0, 2.0])})))
    (1.5, {'W': array([1., 2.])})
    """
    if depth > DEEP:
        raise Unreadable(f"lists that are nested more than {DEEP} deep")
    if value is None or isinstance(value, (bool, str)):
        return value
    if isinstance(value, int) and not isinstance(value, np.generic):
        return {"int": hex(value)}
    if isinstance(value, float) and not isinstance(value, np.generic):
        return {"float": value.hex()}
    if isinstance(value, (np.ndarray, np.generic)):
        array = np.asarray(value)
        name = array.dtype.newbyteorder("=").str[1:]
        if name not in DTYPES:
            raise Unreadable(f"an array of dtype {array.dtype}")
        raw = np.ascontiguousarray(array, dtype=f"<{name}").tobytes()
        return {"array": name, "shape": list(array.shape), "data": base64.b64encode(raw).decode()}
    if isinstance(value, (tuple, list)):
        return {"tuple" if isinstance(value, tuple) else "list": [encode(x, depth + 1) for x in value]}
    if isinstance(value, dict):
        return {"dict": [[encode(k, depth + 1), encode(x, depth + 1)] for k, x in value.items()]}
    raise Unreadable(f"a {type(value).__name__}")


def decode(message: Any, depth: int = 0) -> Any:
    """The value that `encode` has made JSON of; anything else is Unreadable.

    Examples
    --------
    >>> decode({"array": "f8", "shape": [1000000], "data": ""})
    Traceback (most recent call last):
        ...
    tinygrad_edu.check.grade.worker.Unreadable: an answer that is none
    """
    try:
        if depth > DEEP + 1:
            raise ValueError
        if message is None or isinstance(message, (bool, str)):
            return message
        if "int" in message:
            return int(message["int"], 16)
        if "float" in message:
            return float.fromhex(message["float"])
        if "array" in message:
            if message["array"] not in DTYPES:
                raise ValueError
            raw = base64.b64decode(message["data"], validate=True)
            return np.frombuffer(raw, f"<{message['array']}").reshape([int(n) for n in message["shape"]]).copy()
        if "dict" in message:
            return {decode(k, depth + 1): decode(x, depth + 1) for k, x in message["dict"]}
        kind = tuple if "tuple" in message else list
        return kind(decode(x, depth + 1) for x in message[kind.__name__])
    except Unreadable:
        raise
    except Exception:  # it was written by who knows whom: whatever is wrong with it, it is no answer
        raise Unreadable("an answer that is none") from None


def main() -> None:
    """Run the job that the file named in the command line holds."""
    with open(sys.argv[1], encoding="utf-8") as file:
        job = json.load(file)
    channel = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what is printed goes to the same place as errors, in its own order, and not among the answers
    limit(job["seconds"], job["megabytes"])

    def say(**message: Any) -> None:
        channel.write(json.dumps(message) + "\n")
        channel.flush()

    say(ready=True)
    perform(job, say)
    with contextlib.suppress(BaseException):
        sys.stdout.flush()
    os._exit(0)  # no thread and no atexit function of the submission's is waited for


def perform(job: Any, say: Callable[..., None]) -> None:
    """Import the submission, call its function on each case, and say what has come of it."""
    try:
        specification = importlib.util.spec_from_file_location("submission", job["file"])
        assert specification is not None
        assert specification.loader is not None
        module = importlib.util.module_from_spec(specification)
        sys.modules["submission"] = module
        specification.loader.exec_module(module)
    except BaseException as error:
        say(broken=describe(error))
        return
    say(loaded=True)
    function = getattr(module, job["function"], None)
    if not callable(function):
        say(missing=True)
        return
    for i, arguments in enumerate(job["cases"]):
        try:
            value = function(*decode(arguments))
            say(case=i, value=encode(value))
        except Unreadable as error:
            say(case=i, problem=f"returned {error}")
        except BaseException as error:
            say(case=i, problem=f"raised {describe(error)}")
    say(done=True)


def limit(seconds: float, megabytes: float) -> None:
    """Bound what this process, and whatever it starts, may use."""
    resource = importlib.import_module("resource")  # POSIX only; the parent has asked
    most = {
        "RLIMIT_AS": int(megabytes * 2**20),
        "RLIMIT_CPU": math.ceil(seconds) + 2,  # for what escapes the parent's clock
        "RLIMIT_FSIZE": WRITTEN,
        "RLIMIT_CORE": 0,
    }
    for name, value in most.items():
        kind = getattr(resource, name)
        hard = resource.getrlimit(kind)[1]
        value = value if hard == resource.RLIM_INFINITY else min(value, hard)
        try:
            resource.setrlimit(kind, (value, value))
        except (ValueError, OSError):  # macOS knows no bound of the address space
            print(f"(grade: this system does not let {name} be set)", file=sys.stderr)


def describe(error: BaseException) -> str:
    """The error in one line; its traceback goes where it would go without a grader."""
    try:
        own = error.__traceback__
        while own is not None and (own.tb_frame.f_code.co_filename == __file__ or "importlib" in str(own.tb_frame)):
            own = own.tb_next
        text = "".join(traceback.format_exception(type(error), error, own, limit=-6))
        print(text[-TEXT:], end="", file=sys.stderr)
        return text.strip().rsplit("\n", 1)[-1][:LINE]
    except BaseException:  # out of memory, or an error that raises errors
        return type(error).__name__


if __name__ == "__main__":
    main()
