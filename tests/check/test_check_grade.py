"""grade: right and wrong functions, and submissions that do their worst; a report comes back from all of them."""

import functools
import json
import os
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

from tinygrad_edu import check
from tinygrad_edu.check.grade import Limits, child
from tinygrad_edu.check.grade.child import run
from tinygrad_edu.check.grade.grading import difference
from tinygrad_edu.check.grade.worker import Unreadable, decode, encode

pytestmark = pytest.mark.skipif(os.name != "posix", reason="limits are POSIX")

grade = functools.partial(check.grade, seconds=60)  # a busy machine is no endless loop
ROOT = Path(__file__).resolve().parents[2]
REFERENCE = """
import numpy as np

def softmax(u):
    e = np.exp(u - u.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)

def relu(u):
    return np.maximum(u, 0)

rng = np.random.default_rng(0)
cases = {"softmax": [(rng.normal(size=(3, 4)),), (np.array([[1e4, 0.0]]),)], "relu": [(np.array([-1.0, 2.0, 0.5]),)]}
"""
RELU = "def relu(u): return np.maximum(u, 0)\n"


@pytest.fixture
def graded(tmp_path):
    """Grade a submission, given as text; the reference has softmax (two cases) and relu (one)."""
    (tmp_path / "right.py").write_text(REFERENCE)

    def graded(text, **options):
        (tmp_path / "mine.py").write_text("import numpy as np\n" + text)
        return grade(tmp_path / "mine.py", tmp_path / "right.py", **options)

    return graded


def softmax(report):
    return report.functions[0]


# ---------------------------------------------------------------------------------- right and wrong


def test_everything_right(graded):
    report = graded(REFERENCE)
    assert report
    assert report.score == 1
    assert str(report) == ("mine.py: 2 of 2 points\n  softmax  1  of 1  2 of 2 right\n  relu     1  of 1  1 of 1 right")
    assert [f.printed for f in report.functions] == ["", ""]


def test_partial_credit(graded):
    report = graded(
        RELU + "def softmax(u): e = np.exp(np.minimum(u, 700)); return e / e.sum(axis=-1, keepdims=True) + (u > 9)"
    )
    assert not report
    assert softmax(report).score == 0.5
    assert report.score == 0.75
    assert softmax(report).verdict == "1 of 2 right; case 2: relative error 0.5"


def test_points_weigh(tmp_path):
    (tmp_path / "right.py").write_text(REFERENCE + "points = {'softmax': 3}")
    (tmp_path / "mine.py").write_text("import numpy as np\n" + RELU)
    report = grade(tmp_path / "mine.py", tmp_path / "right.py")
    assert (report.score, report.points) == (0.25, 4)
    assert softmax(report).problem == "there is no function of this name"
    assert not any(case.ok for case in softmax(report).cases)


WRONG = {
    "return u.sum()": "shape () returned, (3, 4) is expected",
    "return np.exp(u).T": "shape (4, 3) returned, (3, 4) is expected",
    "return None": "None returned, an array of shape (3, 4) is expected",
    "return 'softmax'": "a str returned, an array of shape (3, 4) is expected",
    "return u.tolist()": "a list returned, an array of shape (3, 4) is expected",
    "return u * np.nan": "NaN in 12 of 12 entries",
    "return u * np.inf": "relative error inf",
    "return u + 1j": "complex numbers returned, real ones are expected",
    "return u.astype(object)": "returned an array of dtype object",
    "return (x for x in u)": "returned a generator",
    "return np.array(['a'])": "returned an array of dtype <U1",
    "a = []; a.append(a); return a": "returned lists that are nested more than 50 deep",
    "raise KeyError('W')": "raised KeyError: 'W'",
    "return softmax(u)": "raised RecursionError: maximum recursion depth exceeded",
    "import sys; sys.exit(3)": "raised SystemExit: 3",
    "raise KeyboardInterrupt": "raised KeyboardInterrupt",
    "return np.ones(10**12)": "raised numpy._core._exceptions._ArrayMemoryError: Unable to allocate 7.28 TiB for an "
    "array with shape (1000000000000,) and data type float64",
    "x = [0]\n    while True: x += x": "raised MemoryError",
    "return u @ np.ones(3)": "raised ValueError: matmul: Input operand 1 has a mismatch in its core dimension 0, with "
    "gufunc signature (n?,k),(k,m?)->(n?,m?) (size 3 is different from 4)",
}


@pytest.mark.parametrize("body", WRONG)
def test_what_is_wrong_is_said_and_the_others_are_graded(graded, body):
    report = graded(RELU + f"def softmax(u):\n    {body}\n", seconds=20)
    assert softmax(report).cases[0].problem == WRONG[body]
    assert softmax(report).score == 0
    assert report.functions[1].ok


def test_a_wrong_signature(graded):
    report = graded(RELU + "def softmax(): pass")
    assert (
        softmax(report).cases[0].problem == "raised TypeError: softmax() takes 0 positional arguments but 1 was given"
    )


def test_no_function_but_a_value(graded):
    assert softmax(graded(RELU + "softmax = 3")).problem == "there is no function of this name"


def test_the_traceback_begins_at_the_students_line(graded):
    printed = softmax(graded(RELU + "def softmax(u):\n    print('here')\n    return u / undefined")).printed
    assert printed.startswith("here\nTraceback (most recent call last):\n")
    assert "return u / undefined" in printed
    assert printed.rstrip().endswith("NameError: name 'undefined' is not defined")
    assert "worker.py" not in printed
    assert 'File "submission.py", line 5, in softmax' in printed


def test_a_case_that_raises_does_not_cost_the_others(graded):
    report = graded(REFERENCE + "\nright = softmax\ndef softmax(u): return right(u) if u.max() > 9 else 1 / 0")
    assert [case.ok for case in softmax(report).cases] == [False, True]


@pytest.mark.parametrize("text", ["def softmax(u:\n", "import nothing_of_this_name", "raise ValueError('no')", "1/0"])
def test_a_file_that_does_not_import(graded, text):
    report = graded(text)
    assert report.score == 0
    for function in report.functions:
        assert function.problem.startswith("the file cannot be imported: ")
        assert "Error" in function.problem
        assert function.cases[0].problem == "not reached"


# ------------------------------------------------------------------------------------ doing its worst


def test_an_endless_loop(graded):
    report = graded(RELU + "def softmax(u):\n    print('round and round')\n    while True: pass", seconds=1)
    assert softmax(report).problem == "stopped after 1 s (an endless loop?)"
    assert softmax(report).printed == "round and round\n"
    assert report.functions[1].ok


def test_an_endless_loop_in_the_file_itself_is_waited_for_once(graded):
    report = graded("import os\nprint(os.getpid())\nwhile True: pass", seconds=1)
    assert [f.problem for f in report.functions] == [
        "while the file was imported: stopped after 1 s (an endless loop?)"
    ] * 2
    assert report.functions[0].printed == report.functions[1].printed, "of one and the same process"


def test_cases_before_the_endless_loop_count(graded):
    report = graded(
        REFERENCE + "\nright = softmax\ndef softmax(u):\n    while u.max() > 9: pass\n    return right(u)", seconds=1
    )
    assert softmax(report).score == 0.5
    assert softmax(report).verdict == "1 of 2 right; stopped after 1 s (an endless loop?)"


@pytest.mark.parametrize("code", [0, 3])
def test_leaving_without_a_word(graded, code):
    report = graded(RELU + f"import os\ndef softmax(u): os._exit({code})")
    assert softmax(report).problem == f"ended the process with exit code {code} instead of returning"
    assert report.functions[1].ok


def test_a_crash(graded):
    report = graded(RELU + "import ctypes\ndef softmax(u): ctypes.string_at(0)")
    assert softmax(report).problem == "ended by SIGSEGV"


def test_a_flood_of_text_is_cut(graded):
    report = graded(
        RELU + "def softmax(u):\n    print('first')\n    print('x' * 10**7)\n    print('last')\n    return u"
    )
    printed = softmax(report).printed
    assert len(printed) < 10_000
    assert printed.startswith("first\nxxx")
    assert "[...]" in printed
    assert printed.endswith("last\n")


def test_a_flood_without_an_end(graded):
    report = graded(RELU + "def softmax(u):\n    while True: print('x' * 1000)", seconds=1)
    assert softmax(report).problem.startswith("stopped after 1 s")
    assert len(softmax(report).printed) < 10_000


def test_printing_what_looks_like_an_answer_is_printing(graded):
    forged = json.dumps({"case": 0, "value": encode(np.ones((3, 4)))})
    report = graded(RELU + f"def softmax(u):\n    print('''{forged}'''); return u")
    assert softmax(report).score == 0
    assert forged in softmax(report).printed


FORGERIES = ["ready", '{"case": 0, "ok": true}', '{"case": 0, "value": {"array": "O", "shape": [1], "data": ""}}',
    "[" * 100_000, '{"done": true}', "null", '{"case": {}, "value": null}',
    '{"case": 0, "value": {"float": 1}}']  # fmt: skip


@pytest.mark.parametrize("line", FORGERIES, ids=range(len(FORGERIES)))
def test_writing_into_the_channel_of_the_answers_gains_nothing(graded, line):
    code = f"""
import os
def softmax(u):
    for fd in range(3, 20):
        try: os.write(fd, {line!r}.encode() + b"\\n")
        except OSError: pass
    os._exit(0)
"""
    report = graded(RELU + code)
    assert softmax(report).score == 0
    assert report.functions[1].ok


def test_patching_numpy_and_the_worker_gains_nothing(graded):
    report = graded("""
import sys
class Always:
    def __eq__(self, other): return True
np.abs = np.isfinite = np.allclose = lambda *a, **k: True
for name in ("relative_error", "difference", "compare", "grade"):
    setattr(sys.modules["__main__"], name, lambda *a: "")
def softmax(u): return Always()
def relu(u): return np.zeros(3)
""")
    assert report.score == 0
    assert softmax(report).cases[0].problem == "returned a Always"


def test_the_child_does_not_know_the_reference(graded):
    report = graded("""
import os, sys
def relu(u): return u
def softmax(u):
    print(sys.argv, os.getcwd(), *os.environ.values(), *sys.path, open(sys.argv[1]).read() if sys.argv[1:] else "")
    try: import reference
    except ImportError: print("not there")
    try: import right
    except ImportError: print("not there either")
    return u
""")
    printed = softmax(report).printed
    assert "right.py" not in printed
    assert "not there\nnot there either\n" in printed


def test_a_flood_of_answers(graded, monkeypatch):
    monkeypatch.setattr(child, "ANSWERS", 1_000_000)
    report = graded(RELU + "def softmax(u): return np.ones(10**6)")
    assert softmax(report).problem == "returned more than 1 MB"
    assert report.functions[1].ok


def test_deleting_everything_in_its_folder(graded, tmp_path):
    report = graded("import os, shutil\nshutil.rmtree(os.getcwd())\n" + REFERENCE)
    assert report.score == 1
    assert (tmp_path / "mine.py").exists()


def test_a_large_file_is_not_written(graded):
    report = graded(RELU + "def softmax(u):\n    open('large', 'wb').write(bytes(20_000_000)); return u")
    assert not softmax(report).ok
    assert "File too large" in softmax(report).cases[0].problem or "SIGXFSZ" in softmax(report).problem


def test_a_process_that_it_leaves_behind_is_ended(graded, tmp_path):
    mark = tmp_path / "pid"
    report = graded(
        RELU
        + f"""
import os, time
def softmax(u):
    if os.fork() == 0:
        open({str(mark)!r}, "w").write(str(os.getpid()))
        time.sleep(600)
    while not os.path.exists({str(mark)!r}): time.sleep(0.01)
    time.sleep(0.1)
    return u
"""
    )
    assert softmax(report).cases[0].problem.startswith("relative error")
    assert softmax(report).problem == "", "the pipes that it holds open are not waited for"
    state = Path(f"/proc/{mark.read_text()}/stat")
    assert not state.exists() or state.read_text().rsplit(")", 1)[1].split()[0] in ("Z", "X")


def test_threads_and_exit_functions_are_not_waited_for(graded):
    report = graded("import threading, time, atexit\natexit.register(time.sleep, 600)\n"
        "threading.Thread(target=time.sleep, args=(600,)).start()\n" + REFERENCE, seconds=20)  # fmt: skip
    assert report.score == 1
    assert softmax(report).problem == ""


def test_memory_is_limited(graded):
    report = graded(RELU + "def softmax(u): return np.zeros(50 * 2**20).sum()", megabytes=300)
    assert "MemoryError" in softmax(report).cases[0].problem
    report = graded(RELU + "def softmax(u): return np.zeros(50 * 2**20).sum()", megabytes=2000)
    assert softmax(report).cases[0].problem == "shape () returned, (3, 4) is expected"


def test_graders_may_run_side_by_side(graded, tmp_path):
    (tmp_path / "right.py").write_text(REFERENCE)
    (tmp_path / "mine.py").write_text(REFERENCE)
    found = []
    threads = [
        threading.Thread(
            target=lambda: found.append(grade(tmp_path / "mine.py", tmp_path / "right.py", seconds=60).score)
        )
        for _ in range(3)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [1, 1, 1]


# ---------------------------------------------------------------------------------------- the reference


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("def f(x): return x", "the reference says no cases"),
        ("cases = {'f': [(1,)]}", "cases for f, but the reference has no such function"),
        ("def f(x): return x\ncases = {'f': []}", "no list of calls"),
        ("def f(x): return x\ncases = {'f': [1.0]}", r"case 1 of f is a number; a tuple of arguments is expected"),
        ("def f(x): return x\ncases = {'f': [(object(),)]}", "has a object among its arguments"),
        ("def f(x): return 1 / x\ncases = {'f': [(0,)]}", "f, case 1, raises ZeroDivisionError"),
        ("def f(x): return object()\ncases = {'f': [(0,)]}", "returns a object"),
        ("def f(x): return float('nan')\ncases = {'f': [(0,)]}", "returns NaN"),
        ("def f(x): return x\ncases = {'f': [(0,)]}\npoints = {'g': 1}", "points for 'g', but no cases"),
        ("def f(x): return x\ncases = {'f': [(0,)]}\npoints = {'f': 0}", "points are positive"),
    ],
)
def test_mistakes_of_the_reference_are_not_the_submissions(tmp_path, text, message):
    (tmp_path / "right.py").write_text(text)
    (tmp_path / "mine.py").write_text("")
    with pytest.raises(ValueError, match=message):
        grade(tmp_path / "mine.py", tmp_path / "right.py")


def test_files_must_be_there(tmp_path):
    (tmp_path / "right.py").write_text(REFERENCE)
    with pytest.raises(FileNotFoundError, match=r"there is no file .*mine\.py"):
        grade(tmp_path / "mine.py", tmp_path / "right.py")


def test_cases_may_be_a_function_or_given(tmp_path):
    (tmp_path / "right.py").write_text("def f(x, y): return x + y\ndef cases(): return {'f': [(1, 2)]}")
    (tmp_path / "mine.py").write_text("def f(x, y): return x * y")
    assert grade(tmp_path / "mine.py", tmp_path / "right.py").functions[0].verdict == (
        "0 of 1 right; case 1: 2 returned, 3 is expected (relative error 0.33)"
    )
    assert grade(tmp_path / "mine.py", tmp_path / "right.py", cases={"f": [(2, 2)]}).score == 1


def test_a_reference_that_writes_into_its_arguments_does_not_change_those_of_the_submission(tmp_path):
    (tmp_path / "right.py").write_text(
        "import numpy as np\ndef f(x):\n    x *= 2\n    return x\ncases = {'f': [(np.ones(2),)]}"
    )
    (tmp_path / "mine.py").write_text("def f(x): return x + 1")
    assert grade(tmp_path / "mine.py", tmp_path / "right.py").score == 1


def test_explain_gets_the_first_wrong_value(graded):
    seen = []

    def explain(*arguments):
        seen.append(arguments)
        return "not normalised"

    report = graded(RELU + "def softmax(u): return np.exp(u - u.max(axis=-1, keepdims=True))", explain=explain)
    ((name, (u,), returned, expected),) = seen
    assert name == "softmax"
    np.testing.assert_allclose(returned / returned.sum(axis=-1, keepdims=True), expected, rtol=1e-12)
    assert u.shape == (3, 4)
    assert softmax(report).note == "not normalised"
    assert "not normalised" in str(report)
    assert "(not normalised)" in report.markdown()
    assert json.loads(report.json())["functions"][0]["note"] == "not normalised"


# ----------------------------------------------------------------------------------------- the reports


def test_json_and_markdown(graded):
    report = graded(RELU + "def softmax(u):\n    print('a | b', '```')\n    return u[0]")
    data = json.loads(report.json())
    assert (data["submission"], data["score"], data["points"]) == ("mine.py", 0.5, 2)
    assert data["functions"][0]["cases"][0] == {"ok": False, "problem": "shape (4,) returned, (3, 4) is expected"}
    assert data["functions"][0]["printed"] == "a | b ```\n" * 2
    lines = report.markdown().splitlines()
    assert lines[0] == "# mine.py: 1 of 2 points"
    assert lines[4] == "| `softmax` | 0 of 1 | 0 of 2 right; case 1: shape (4,) returned, (3, 4) is expected |"
    assert lines[5] == "| `relu` | 1 of 1 | 1 of 1 right |"
    assert lines[7:] == ["## softmax printed", "", "````text", "a | b ```", "a | b ```", "````"]


def test_reports_are_the_same_in_each_run(graded):
    text = RELU + "def softmax(u):\n    print(__file__)\n    return np.log(u - u) / open('no such file')"
    first, second = graded(text), graded(text)
    assert first.json() == second.json()
    assert first.markdown() == second.markdown()


def test_what_a_student_raises_is_no_markup(graded):
    report = graded(RELU + "def softmax(u): raise ValueError('<b>|*x*')")
    assert r"ValueError: \<b\>\|\*x\* |" in report.markdown()


def test_the_command_line(tmp_path):
    (tmp_path / "right.py").write_text(REFERENCE)
    (tmp_path / "mine.py").write_text("import numpy as np\n" + RELU)

    def command(*arguments):
        return subprocess.run(
            [sys.executable, "-W", "error", "-m", "tinygrad_edu.check.grade", *arguments],
            capture_output=True, text=True, timeout=120, cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(ROOT)},
        )  # fmt: skip

    done = command("mine.py", "right.py", "--json", "out.json", "--markdown", "out.md", "--seconds", "20")
    assert (done.returncode, done.stderr) == (1, "")
    assert done.stdout.startswith("mine.py: 1 of 2 points\n")
    assert json.loads((tmp_path / "out.json").read_text())["score"] == 0.5
    assert (tmp_path / "out.md").read_text().startswith("# mine.py: 1 of 2 points\n")
    assert command("right.py", "right.py").returncode == 0
    done = command("none.py", "right.py")
    assert done.returncode == 2
    assert "there is no file none.py" in done.stderr


# ------------------------------------------------------------------------------ between the processes


@pytest.mark.parametrize(
    "value",
    [
        None, True, "text", 10**30, -3, 0.1, float("inf"), -0.0, (1, [2.5, "a"]), {"W": (1,), 2: None}, (), [], {},
        np.arange(6.0).reshape(2, 3), np.float32(0.1), np.zeros((0, 3)), np.array(True), np.arange(6)[::2],
        np.arange(4.0).reshape(2, 2).T, np.array([1 + 2j]), np.arange(3, dtype=">f8"),
    ],
    ids=repr,
)  # fmt: skip
def test_values_survive_the_journey(value):
    back = decode(json.loads(json.dumps(encode(value))))
    assert type(back) is type(value) or isinstance(value, np.generic)
    if isinstance(value, (np.ndarray, np.generic)):
        assert back.dtype == value.dtype.newbyteorder("=")
        np.testing.assert_array_equal(back, value)
    else:
        assert back == value
        assert repr(back) == repr(value)


@pytest.mark.parametrize(
    "message",
    [
        3, [], {}, {"float": "x"}, {"int": "12345678901x"}, {"array": "f8", "shape": [2], "data": "AAAA"},
        {"array": "O", "shape": [0], "data": ""}, {"array": "f8", "shape": [10**9, 10**9], "data": ""},
        {"array": "f8", "shape": "x", "data": ""}, {"dict": [[{"list": []}, None]]}, {"dict": 3}, {"list": 3},
    ],
    ids=repr,
)  # fmt: skip
def test_forged_messages_are_unreadable(message):
    with pytest.raises(Unreadable):
        decode(message)


def test_messages_that_are_nested_too_deep():
    message = None
    for _ in range(900):
        message = {"list": [message]}
    with pytest.raises(Unreadable):
        decode(message)


@pytest.mark.parametrize(
    ("returned", "expected", "problem"),
    [
        (1, 1.0, ""), (np.float32(1), 1, ""), (np.array(2.0), 2, ""), ([1, 2], (1, 2), ""), (True, np.True_, ""),
        (1 + 1e-7, 1.0, ""), (1e-13, 0.0, ""), ("a", "a", ""), (None, None, ""), ({}, {}, ""),
        (1.0, "a", "a number returned, 'a' is expected"),
        (1e-3, 0.0, "0.001 returned, 0 is expected (relative error 1)"),
        ((1, 2), (1, 3), "part 2: 2 returned, 3 is expected (relative error 0.33)"),
        ((1,), (1, 2), "1 values returned, 2 are expected"), (1, (1, 2), "a number returned, a tuple of 2 is expected"),
        ({"a": 1}, {"b": 1}, "keys 'a' returned, 'b' are expected"), (1, {}, "a number returned, a dict is expected"),
        ({"a": (1, np.zeros(2))}, {"a": (1, np.ones(2))}, "'a': part 2: relative error 1"),
        (np.array([1.0, np.nan]), np.ones(2), "NaN in 1 of 2 entries"), (np.inf, np.inf, ""),
        (np.ones((1, 3)), np.ones(3), "shape (1, 3) returned, (3,) is expected"),
    ],
    ids=repr,
)  # fmt: skip
def test_difference(returned, expected, problem):
    assert difference(returned, expected) == problem


def test_the_pipes_are_closed(tmp_path):
    (tmp_path / "mine.py").write_text("def f(): return 1")
    before = len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else 0
    run(tmp_path / "mine.py", "f", [()], Limits(20))
    assert (len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else 0) == before
