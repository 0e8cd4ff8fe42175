"""What `viz.draw` draws: boxes, arrows, names, numbers; the same bytes each time; nothing broken by a name."""

import os
import re
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest

import tinygrad_edu as tg
import viz
from tinygrad_edu.nn.functional import binary_cross_entropy, cross_entropy
from viz.graph import collect, formula
from viz.labels import escape, number, table
from viz.layout import laid_out

ROOT = Path(__file__).parents[2]


def leaf(data, name=None) -> tg.Tensor:
    return tg.Tensor(data, requires_grad=True, name=name)


def small_network() -> tuple[tg.nn.MLP, tg.Tensor]:
    x, t = tg.data.xor()
    net = tg.nn.MLP([2, 3, 1], output="sigmoid", rng=0)
    loss = binary_cross_entropy(net(tg.Tensor(x, name="X")), tg.Tensor(t, name="t"))
    loss.name = "L"
    return net, loss


def arrows(drawing) -> list[tuple[str, str]]:
    """(tensor name, operation name) and (operation name, tensor name), in the order of creation."""
    names = {box.key: box.name for box in drawing.boxes}
    pairs = []
    for operation in drawing.operations:
        pairs += [(names[key], operation.name) for key in operation.inputs]
        pairs.append((operation.name, names[operation.output]))
    return pairs


def test_a_square_has_two_arrows_from_one_box() -> None:
    x = leaf(3.0, "x")
    drawing = collect([x * x])
    assert arrows(drawing) == [("x", "multiply"), ("x", "multiply"), ("multiply", "t1")]
    source = viz.draw(x * x).source
    assert len(re.findall(r"^\tt0 -> o0$", source, re.MULTILINE)) == 2


def test_a_diamond_draws_the_shared_tensor_once() -> None:
    a = leaf(2.0, "a")
    b = a + a
    b.name = "b"
    c = b * b
    drawing = collect([c])
    assert [box.name for box in drawing.boxes] == ["a", "b", "t1"]
    gradients = {box.name: float(box.gradient) for box in drawing.boxes}
    assert gradients == {"a": 16.0, "b": 8.0, "t1": 1.0}


def test_the_whole_small_network() -> None:
    _, loss = small_network()
    drawing = collect([loss])
    kinds = {box.name: box.kind for box in drawing.boxes}
    assert kinds == {
        "fc1.weight": "parameter", "fc1.bias": "parameter", "fc2.weight": "parameter", "fc2.bias": "parameter",
        "X": "data", "t": "data", "t1": "result", "t2": "result", "t3": "result", "t4": "result", "L": "output",
    }  # fmt: skip
    assert [o.name for o in drawing.operations] == ["linear", "relu", "linear", "sigmoid", "binary_cross_entropy"]
    assert [o.formula for o in drawing.operations][:2] == ["X fc1.weight + 1 fc1.bias", "relu(t1)"]


def test_numbers_are_the_engines() -> None:
    """Values and gradients on the picture equal those of a sweep; nobody's .grad changes, and the graph stays."""
    net, loss = small_network()
    source = viz.draw(loss).source
    drawing = collect([loss])
    assert all(p.grad is None for p in net.parameters())
    loss.backward(retain_graph=True)
    for box in drawing.boxes:
        if box.kind == "parameter":
            expected = dict(net.named_parameters())[box.name].grad
            np.testing.assert_array_equal(box.gradient, expected)
            assert table(expected, "#a33b00") in source
    loss.backward()
    with pytest.raises(tg.GraphError, match=r"draw: .*retain_graph=True"):
        viz.draw(loss)


def test_raw_arrays_and_numbers_are_data() -> None:
    w = leaf(np.ones((3, 2)), "W")
    x = np.arange(6.0).reshape(2, 3)
    loss = ((tg.matmul(x, w) * 2.5) ** 2).sum() + tg.matmul(x, w).sum()
    drawing = collect([loss])
    assert [box.name for box in drawing.boxes if box.kind == "data"] == ["a"]  # drawn once, though it is used twice
    assert [box.name for box in drawing.boxes if box.kind == "number"] == ["2.5", "2"]
    labels = collect([cross_entropy(leaf(np.zeros((2, 3)), "z"), np.array([0, 2]))])
    assert [box.name for box in labels.boxes] == ["z", "targets", "t1"]


def test_several_outputs() -> None:
    x = leaf([1.0, 2.0], "x")
    drawing = collect([x.sum(), (x * x).sum()])
    assert [box.kind for box in drawing.boxes].count("output") == 2
    np.testing.assert_array_equal(drawing.boxes[0].gradient, [3.0, 5.0])


def test_without_a_scalar_the_kept_gradients_are_shown() -> None:
    x = leaf([1.0, 2.0], "x")
    y = x * x
    assert collect([y]).boxes[0].gradient is None
    y.backward([1.0, 10.0], retain_graph=True)
    np.testing.assert_array_equal(collect([y]).boxes[0].gradient, [2.0, 40.0])


def test_switches() -> None:
    _, loss = small_network()
    plain = viz.draw(loss, values=False, gradients=False, direction="TB", title="A & B").source
    assert ">value</FONT></TD>" not in plain
    assert ">gradient</FONT></TD>" not in plain
    assert ">gradient</FONT></TD>" in viz.draw(loss).source
    assert "rankdir=TB" in plain
    assert "A &amp; B" in plain
    with pytest.raises(ValueError, match='direction \'up\': "LR" or "TB"'):
        viz.draw(loss, direction="up")


def test_what_has_no_graph_is_refused() -> None:
    with pytest.raises(tg.GraphError, match="no recorded history"):
        viz.draw(tg.Tensor(1.0))
    with pytest.raises(TypeError, match="ndarray"):
        viz.draw([np.ones(2)])


PROGRAM = """
import numpy as np, tinygrad_edu as tg, viz
x, t = tg.data.xor()
net = tg.nn.MLP([2, 3, 1], output="sigmoid", rng=0)
loss = tg.nn.functional.binary_cross_entropy(net(x), t) + sum((p * p).sum() for p in net.parameters())
print(viz.draw(loss).source)
"""


def test_two_runs_give_the_same_bytes() -> None:
    def run(seed: str) -> bytes:
        env = {**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": str(ROOT)}
        return subprocess.run([sys.executable, "-c", PROGRAM], env=env, capture_output=True, check=True).stdout

    first = run("1")
    assert len(first) > 2000
    assert first == run("2")


NAMES = [
    "a < b > c",
    'say "hi" & go',
    "line\nbreak",
    "Δelta·ω",
    "back\\slash \\N \\G",
    "</TABLE>",
    "\x00\x07",
    " ",
    "%d {x}",
]


@pytest.mark.parametrize("name", NAMES)
def test_any_name_can_be_drawn(name: str) -> None:
    x = leaf([1.0, 2.0], name)
    svg = laid_out(viz.draw((x * x).sum(), title=name).source, "svg")
    text = " ".join(ElementTree.fromstring(svg).itertext())
    for word in re.sub(r"[\x00-\x1f]", " ", name).split():
        assert word in text
    assert "multiply" in text


def test_every_value_can_be_drawn() -> None:
    """Empty, 0-d, NaN, infinite, boolean, integer, float16, large and 5-D arrays."""
    arrays = [
        np.zeros((0, 3)), np.array(1.5), np.array([np.nan, np.inf, -np.inf]), np.full((9, 9), np.nan),
        np.ones((2, 3, 4, 5, 6)), np.ones(3, np.float16), np.full(70_000, 0.25, np.float16),
    ]  # fmt: skip
    total = sum((leaf(a, f"p{i}") * 1.0).sum() for i, a in enumerate(arrays))
    mask = np.arange(25).reshape(5, 5) > 7
    total = total + tg.where(mask, leaf(np.ones((5, 5)), "m"), 0.0).sum()
    total = total + leaf(np.ones((9, 2)), "r")[np.arange(9) % 2].sum()
    svg = laid_out(viz.draw(total).source, "svg").decode()
    for text in ("empty", "nan", "inf", "17 of 25", "2×3×4×5×6", "float16"):
        assert text in svg


def test_labels() -> None:
    assert number(-0.0) == "0"
    assert number(np.float32(0.1)) == "0.1"
    assert number(True) == "True"
    assert escape("") == " "
    assert "1.235" in table(np.array([[1.23456]]), "red")


def test_formulas_name_their_inputs() -> None:
    op = tg.sum
    assert formula(op, {"x": "h"}, {"axis": None, "keepdims": False}) == "sum(h)"
    assert formula(op, {"x": "h"}, {"axis": 0, "keepdims": True}) == "sum(h)  (axis=0, keepdims=True)"
    joined = tg.concatenate([leaf([1.0], "a"), leaf([2.0], "b")])
    assert collect([joined]).operations[0].formula == "[a, b]"
    joined = tg.concatenate([leaf([[1.0]], "a"), leaf([[2.0]], "b")], axis=1)
    assert collect([joined]).operations[0].formula == "[a, b]  (axis=1)"


def test_deep_graphs_need_no_recursion() -> None:
    """100,000 operations in a chain: a drawing of 100,001 tensors."""
    y = x = leaf(1.0, "x")
    for _ in range(100_000):
        y = y + x
    source = viz.draw(y).source
    assert source.count("<B>add</B>") == 100_000


def test_jupyter_shows_an_svg() -> None:
    bundle = viz.draw(leaf(2.0) * 3.0)._repr_mimebundle_()
    assert ElementTree.fromstring(bundle["image/svg+xml"].encode()).tag.endswith("svg")
