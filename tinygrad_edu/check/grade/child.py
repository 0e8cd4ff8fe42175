"""Running one function of a submission in a child process, with limits: whatever it does, an Outcome comes back."""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from tinygrad_edu.check.grade import worker
from tinygrad_edu.check.grade.worker import decode, encode

__all__ = ["Answer", "Limits", "Outcome", "run"]

STARTING = 60.0  # seconds for Python and NumPy to load: the student's time begins afterwards
PRINTED = 6000  # bytes that are kept of what is printed
ANSWERS = 64_000_000  # and of what is returned
CUT = b"\n[...]\n"


class Limits(NamedTuple):
    """What one function may use, the import of its file included.

    Examples
    --------
    >>> Limits().seconds
    5.0
    """

    seconds: float = 5.0
    megabytes: float = 1024.0


class Answer(NamedTuple):
    """What a call has come to: a value, or the reason why there is none.

    Examples
    --------
    >>> Answer(1.0).problem
    ''
    """

    value: Any = None
    problem: str = ""


class Outcome(NamedTuple):
    """What a child process has come to.

    Examples
    --------
    >>> Outcome({0: Answer(1.0)}, "", "").answers[0].value
    1.0
    """

    answers: dict[int, Answer]  # by the number of the case
    problem: str  # why answers are missing
    printed: str
    loaded: bool = True  # did the file at least import?


def run(file: Path, function: str, cases: Sequence[Sequence[Any]], limits: Limits) -> Outcome:
    """Call `function` of `file` with each case's arguments.

    Examples
    --------
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     file = Path(folder) / "mine.py"
    ...     _ = file.write_text("def f(x): return x.sum()")
    ...     outcome = run(file, "f", [(np.array([1.0, 2.0]),)], Limits())
    >>> outcome.answers[0].value
    array(3.)
    """
    job = {
        "function": function,
        "cases": [encode(tuple(arguments)) for arguments in cases],
        "seconds": limits.seconds,
        "megabytes": limits.megabytes,
    }
    with tempfile.TemporaryDirectory(prefix="grade-", ignore_cleanup_errors=True) as folder:
        copy, order = Path(folder) / "submission.py", Path(folder) / "job.json"  # its own, to be deleted as it likes
        shutil.copyfile(file, copy)
        order.write_text(json.dumps({**job, "file": str(copy)}), encoding="utf-8")
        process = subprocess.Popen(
            [sys.executable, "-I", "-u", "-X", "utf8", "-c", START, worker.__file__, str(order)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd=folder,
            env=_environment(folder),
            start_new_session=True,
        )
        with process:
            try:
                texts, late = _follow(process, limits)
            finally:  # it, and whatever it has started
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.killpg(process.pid, signal.SIGKILL)
                process.kill()
    for text in texts.values():  # the name of the folder is another one each time
        text[:] = text.replace(f"{folder}{os.sep}".encode(), b"")
    return _outcome(texts, late, process.returncode, limits)


# Isolated from the environment and from this folder; but NumPy is to be found where it was found here.
NUMPY = str(Path(np.__file__).resolve().parents[1])
START = f"""
import runpy, sys
sys.argv = sys.argv[1:]
sys.path.append({NUMPY!r})
runpy.run_path(sys.argv[0], run_name="__main__")
"""


def _environment(folder: str) -> dict[str, str]:
    """Nothing of the grader's own; one thread, since each reserves memory."""
    threads = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS")
    kept = {name: os.environ[name] for name in ("PATH", "LD_LIBRARY_PATH", "OPENBLAS_CORETYPE") if name in os.environ}
    return {**kept, **dict.fromkeys(threads, "1"), "HOME": folder, "TMPDIR": folder}


def _follow(process: subprocess.Popen[bytes], limits: Limits) -> tuple[dict[str, bytearray], bool]:
    """What the child writes, answers and prints, until it has ended; and whether it had to be stopped."""
    texts = {"answers": bytearray(), "printed": bytearray()}
    deadline = time.monotonic() + STARTING
    ready = ended = False
    with selectors.DefaultSelector() as reading:
        reading.register(process.stdout, selectors.EVENT_READ, "answers")  # type: ignore[arg-type]  # it is a pipe
        reading.register(process.stderr, selectors.EVENT_READ, "printed")  # type: ignore[arg-type]
        while time.monotonic() < deadline:
            events = reading.select(0 if ended else 0.1)
            if ended and not events:  # a pipe that a grandchild holds open is not waited for
                return texts, False
            for key, _ in events:
                chunk = os.read(key.fd, 65536)
                if not chunk:
                    reading.unregister(key.fileobj)
                _keep(texts[key.data], chunk, ANSWERS if key.data == "answers" else PRINTED)
            if not ready and b"\n" in texts["answers"]:  # NumPy is there: now the student's time begins
                ready = True
                deadline = time.monotonic() + limits.seconds
            ended = process.poll() is not None
    return texts, True


def _keep(text: bytearray, chunk: bytes, most: int) -> None:
    """Add to a text; of one that grows too long the middle is dropped, since errors stand at the end."""
    text += chunk
    if len(text) > most:
        text[most // 2 : len(text) - most // 2 + len(CUT)] = CUT


def _outcome(texts: dict[str, bytearray], late: bool, code: int, limits: Limits) -> Outcome:
    """What the messages say, and why there are no more of them."""
    printed = texts["printed"].decode("utf-8", "replace")
    answers: dict[int, Answer] = {}
    said: dict[str, Any] = {}
    for line in texts["answers"].split(b"\n"):
        try:
            message = json.loads(line)
            case = message.get("case")
            if case is None:
                said.update(message)
            elif "value" in message:
                answers[int(case)] = Answer(decode(message["value"]))
            else:
                answers[int(case)] = Answer(None, str(message["problem"]))
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
            continue  # a line that was cut off, or forged
    if "broken" in said:
        return Outcome({}, f"the file cannot be imported: {said['broken']}", printed, loaded=False)
    if "missing" in said:
        return Outcome({}, "there is no function of this name", printed)
    loaded = "loaded" in said
    problem = ""
    if late:
        problem = f"stopped after {limits.seconds:g} s (an endless loop?)"
    elif code < 0:
        problem = f"ended by {signal.Signals(-code).name}"
    elif CUT in texts["answers"]:
        problem = f"returned more than {ANSWERS // 1_000_000} MB"
    elif "done" not in said:
        problem = f"ended the process with exit code {code} instead of returning"
    return Outcome(answers, problem if loaded else f"while the file was imported: {problem}", printed, loaded)
