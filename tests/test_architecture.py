"""Rules that the code relies on, read from its source: layers, no circles, few dependencies, no hidden state."""

from __future__ import annotations

import ast
import graphlib
import importlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import tinygrad_edu as tg

ROOT = Path(__file__).resolve().parent.parent
STANDARD = sys.stdlib_module_names

# Who may import whom: only what stands in the same line or in one further up.
LAYERS = [
    {"errors", "porting", "late", "memory", "blocks", "together", "sums", "manual"},
    {"modes", "anomaly", "record", "edits", "engine"},
    {"op"},
    {"ops"},
    {"methods"},
    {"tensor"},
    {"transforms", "program", "nn", "optim", "data", "serialization"},
    {"derivation", "compiler", "check", "reference"},
    {"viz"},
    {"examples"},
]
LEVEL = {name: i for i, names in enumerate(LAYERS) for name in names}


def _modules() -> dict[str, Path]:
    """Every module of the repository by its dotted name; a package stands for its `__init__`."""
    found = {}
    for top in ("tinygrad_edu", "viz", "examples"):
        for file in sorted((ROOT / top).rglob("*.py")):
            parts = file.relative_to(ROOT).with_suffix("").parts
            found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = file
    return found


MODULES = _modules()
TREES = {name: ast.parse(file.read_text(encoding="utf-8")) for name, file in MODULES.items()}


def _walk(node: ast.AST, in_function: bool = False) -> Iterator[tuple[ast.AST, bool]]:
    """All nodes that run, and whether they stand in a function; what is there for type checkers is left out."""
    yield node, in_function
    for child in ast.iter_child_nodes(node):
        if isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING") and child in node.body:
            continue
        inside = in_function or isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        yield from _walk(child, inside)


def _imports(name: str) -> Iterator[tuple[str, bool]]:
    """What a module imports, as dotted names, and whether it does so inside of a function."""
    package = MODULES[name].name == "__init__.py"
    for node, in_function in _walk(TREES[name]):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name, in_function
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                parts = name.split(".")
                parts = parts[: len(parts) - node.level + package]
                base = ".".join([*parts, base] if base else parts)
            for alias in node.names:  # `from package import module` is an import of the module
                yield (f"{base}.{alias.name}" if f"{base}.{alias.name}" in MODULES else base), in_function


def _layer(module: str) -> str | None:
    """The name under which a module stands in LAYERS; None for the package itself, which collects them all."""
    parts = module.split(".")
    if parts[0] == "tinygrad_edu":
        return parts[1] if len(parts) > 1 else None
    return parts[0]


def test_every_module_has_a_layer() -> None:
    """A new file says where it stands, and its first line says what it is."""
    unknown = {_layer(name) for name in MODULES} - LEVEL.keys() - {None}
    assert not unknown, f"add {unknown} to LAYERS"
    for name, tree in TREES.items():
        if MODULES[name].read_text(encoding="utf-8").strip():
            assert ast.get_docstring(tree), f"{name} does not say what it is"


@pytest.mark.parametrize("name", MODULES)
def test_imports_run_one_way(name: str) -> None:
    own = _layer(name)
    for imported, _ in _imports(name):
        top = imported.split(".")[0]
        if top not in ("tinygrad_edu", "viz", "examples"):
            continue
        other = _layer(imported)
        if own is None:  # tinygrad_edu/__init__.py: everything but what is built upon it
            assert other not in ("viz", "examples")
            continue
        if other is None:  # the package itself, and with it everything in it: for those above it
            assert LEVEL[own] > LEVEL["check"], (
                f"{name} imports all of tinygrad_edu instead of the module that it needs"
            )
            continue
        assert LEVEL[other] <= LEVEL[own], f"{name} imports {imported}, which stands above it"


def test_there_is_no_circle() -> None:
    graph: dict[str, set[str]] = {}
    for name in MODULES:
        graph[name] = {i for i, _ in _imports(name) if i in MODULES and i != name}
    for late in ("tinygrad_edu.ops", "tinygrad_edu.nn"):  # they load what is in them, if not at once
        graph[late] |= {name for name in MODULES if name.startswith(f"{late}.")}
    list(graphlib.TopologicalSorter(graph).static_order())  # raises CycleError, with the circle


@pytest.mark.parametrize("name", [n for n in MODULES if n.startswith("tinygrad_edu")])
def test_no_import_hides_in_a_function(name: str) -> None:
    """A function-level import dodges a circle; only an optional extra may be imported where it is used."""
    if name == "tinygrad_edu":
        return  # loads rarely used parts when they are asked for
    hidden = [i for i, in_function in _imports(name) if in_function and i.split(".")[0] == "tinygrad_edu"]
    assert not hidden, f"{name} imports {hidden} inside of a function"


@pytest.mark.parametrize("name", [n for n in MODULES if n.startswith("tinygrad_edu.manual")])
def test_manual_stands_alone(name: str) -> None:
    """The hand-derived equations import NumPy, the standard library and themselves: they can judge the engine."""
    for imported, _ in _imports(name):
        top = imported.split(".")[0]
        assert top == "numpy" or top in STANDARD or imported.startswith("tinygrad_edu.manual"), imported


@pytest.mark.parametrize("name", [n for n in MODULES if n.startswith("tinygrad_edu")])
def test_tinygrad_edu_never_imports_viz(name: str) -> None:
    assert not [i for i, _ in _imports(name) if i.split(".")[0] in ("viz", "examples", "tests")]


@pytest.mark.parametrize("name", [n for n in MODULES if n.startswith("tinygrad_edu")])
def test_only_numpy_is_required(name: str) -> None:
    """At the head of a file stand NumPy, the standard library and the package; extras are imported where used."""
    for imported, in_function in _imports(name):
        top = imported.split(".")[0]
        allowed = {"numpy", "tinygrad_edu", *STANDARD}
        if name == "tinygrad_edu.check.pytest_plugin":
            allowed.add("pytest")  # which is who loads it
        assert in_function or top in allowed, f"{name} requires {imported}"


def test_importing_loads_nothing_but_numpy() -> None:
    """In a fresh interpreter: no optional package, and none of the parts that are loaded when asked for."""
    code = "import sys; before = set(sys.modules); import tinygrad_edu; print(*sorted(set(sys.modules) - before))"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True, timeout=60
    )
    loaded = set(done.stdout.split())
    assert "tinygrad_edu.engine" in loaded
    foreign = {m for m in loaded if m.split(".")[0] not in {"numpy", "tinygrad_edu"} | STANDARD}
    # NumPy's compiled parts bring helpers of Cython, which carry their version in their names
    assert not {m for m in foreign if not m.startswith(("cython_runtime", "_cython", "_cyutility"))}
    late = ("check", "data", "derivation", "manual")
    assert not {m for m in loaded if m.startswith(tuple(f"tinygrad_edu.{name}" for name in late))}


# All that `import tinygrad_edu` loads where NumPy is there: each module costs a tenth of a millisecond or more.
CORE = {"anomaly", "edits", "engine", "errors", "late", "memory", "methods", "modes", "op", "ops", "ops.arithmetic"}
CORE |= {"porting", "record", "sums", "tensor"}
HELPERS = {"__future__", "_heapq", "heapq"}


def test_importing_is_quick() -> None:
    """What not everybody needs is loaded when it is first used."""
    code = (
        "import sys, numpy; before = set(sys.modules); import tinygrad_edu; print(*sorted(set(sys.modules) - before))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True, timeout=60
    )
    expected = {"tinygrad_edu", *(f"tinygrad_edu.{name}" for name in CORE)}
    assert expected <= set(done.stdout.split()) <= expected | HELPERS


@pytest.mark.parametrize(
    ("package", "contents"),
    [
        ("ops", {f"tinygrad_edu.ops.{family}": names for family, names in tg.ops.FAMILIES.items()}),
        ("nn", tg.nn.CONTENTS),
    ],
)
def test_what_is_loaded_late_is_where_it_is_said_to_be(package: str, contents: dict[str, list[str]]) -> None:
    """A table says which module a name comes from: it names all of a module's `__all__`, and nothing else."""
    for module, names in contents.items():
        if module != f"tinygrad_edu.{package}":
            assert set(importlib.import_module(module).__all__) == set(names)
    files = {name for name in MODULES if name.startswith(f"tinygrad_edu.{package}.")}
    own = {f"tinygrad_edu.{package}.{name}" for name in contents.get(f"tinygrad_edu.{package}", [])}
    assert files - contents.keys() == own | ({"tinygrad_edu.ops.axes"} if package == "ops" else set())


@pytest.mark.parametrize(
    "code",
    [
        "assert 'einsum' in tg.op.OPS and len(tg.op.OPS) > 150",
        "assert tg.op.NUMPY[np.linalg.det] is tg.op.NUMPY.get(np.linalg.det)",
        "import sys; np.exp(tg.Tensor([0.0])); np.add.reduce(tg.Tensor([1.0])); np.sum(tg.Tensor([1.0])); "
        "assert 'tinygrad_edu.ops.elementwise' in sys.modules and 'tinygrad_edu.ops.pooling' not in sys.modules",
        "assert 'nonsense' not in tg.op.OPS and tg.op.OPS['topk_indices'].name == 'topk_indices'",
        "assert np.exp(tg.Tensor([0.0])).data == 1 and np.logaddexp.reduce(tg.Tensor([0.0, 0.0])).data > 0",
        "from tinygrad_edu import *; assert exp is tg.exp and check is tg.check and compile is tg.compile",
        "import tinygrad_edu.compiler; assert callable(tg.compile) and callable(tg.derive)",
        "import pickle; assert pickle.loads(pickle.dumps(tg.nn.Linear)) is tg.nn.Linear",
        "own = tg.Op(lambda x: x, vjps=[lambda g, y, x: g], numpy=[np.exp], name='own'); tg.exp; "
        "assert tg.op.NUMPY[np.exp] is own",
        "def exp(x): return x\n"
        "try: tg.operation(vjps=[None])(exp)\n"
        "except ValueError: pass\n"
        "else: raise AssertionError",
    ],
)
def test_nobody_notices_what_is_loaded_late(code: str) -> None:
    """Each in a fresh interpreter, where nothing has been used yet; a user's definition is the last one."""
    code = f"import numpy as np, tinygrad_edu as tg\n{code}"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False, timeout=60
    )
    assert not done.returncode, done.stderr


def _calls(tree: ast.AST, function: str) -> list[ast.Call]:
    return [
        n
        for n in ast.walk(tree)
        if isinstance(n, ast.Call)
        and (n.func.id if isinstance(n.func, ast.Name) else n.func.attr if isinstance(n.func, ast.Attribute) else "")
        == function
    ]


@pytest.mark.parametrize("name", MODULES)
def test_nothing_is_named_by_its_address(name: str) -> None:
    """id() differs from run to run: as a key it may serve, but never in a text or an order."""
    for node in ast.walk(TREES[name]):
        makes_text = isinstance(node, ast.JoinedStr) or (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Name)
            and node.func.id in ("str", "hex", "format", "repr", "print", "sorted", "hash")
        )
        if makes_text:
            assert not _calls(node, "id"), f"{name}:{getattr(node, 'lineno', '?')} names something by its address"
        if isinstance(node, ast.Call) and any(k.arg == "key" and ast.unparse(k.value) == "id" for k in node.keywords):
            raise AssertionError(f"{name}:{node.lineno} sorts by address")


@pytest.mark.parametrize("name", MODULES)
def test_nobody_raises_the_recursion_limit(name: str) -> None:
    """Depth is handled by loops: a raised limit only moves the crash."""
    assert "setrecursionlimit" not in MODULES[name].read_text(encoding="utf-8")


@pytest.mark.parametrize("name", MODULES)
def test_no_legacy_random_state(name: str) -> None:
    """One seeded Generator, passed along; nothing draws from NumPy's or Python's global state."""
    modern = {"default_rng", "Generator", "BitGenerator", "SeedSequence", "PCG64"}
    for node in ast.walk(TREES[name]):
        if isinstance(node, ast.Attribute) and ast.unparse(node.value) in ("np.random", "numpy.random"):
            assert node.attr in modern, f"{name}:{node.lineno} uses np.random.{node.attr}"
    assert "random" not in {i for i, _ in _imports(name)}


def test_the_engine_knows_no_operation() -> None:
    """Neither by import nor by name: an operation is data to the record and to the sweep."""
    for module in ("tinygrad_edu.record", "tinygrad_edu.edits", "tinygrad_edu.engine"):
        compared = [n for n in ast.walk(TREES[module]) if isinstance(n, ast.Compare | ast.Subscript)]
        constants = [c for n in compared for c in ast.walk(n) if isinstance(c, ast.Constant)]
        assert not {c.value for c in constants if isinstance(c.value, str)} & tg.op.OPS.keys()
        assert not [i for i, _ in _imports(module) if i.startswith("tinygrad_edu.op")]


def test_what_is_exported_exists() -> None:
    for name in tg.__all__:
        assert getattr(tg, name) is not None
    assert len(set(tg.__all__)) == len(tg.__all__)
    for op in tg.ops.__all__:
        assert getattr(tg, op) is getattr(tg.ops, op)
    with pytest.raises(AttributeError, match="nonsense"):
        tg.nonsense  # noqa: B018
    assert set(tg.__all__) <= set(dir(tg))
