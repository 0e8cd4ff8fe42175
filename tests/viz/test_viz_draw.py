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
    """(tensor name, operation name) and (operation name, tensor name), in the order of the program."""
    names = {box.key: box.name for box in [*drawing.boxes, *drawing.operations]}
    return [(names[arrow.tail], names[arrow.head]) for arrow in drawing.arrows]


def gradients(drawing) -> dict[str, np.ndarray]:
    return {box.name: box.gradient.value for box in drawing.boxes if box.gradient is not None}


def test_a_square_has_two_arrows_from_one_box() -> None:
    x = leaf(3.0, "x")
    drawing = collect([x * x])
    assert arrows(drawing) == [("x", "multiply"), ("x", "multiply"), ("multiply", "multiply1")]
    source = viz.draw(x * x).source
    assert len(re.findall(r"^\tt0 -> o0 .*class=forward", source, re.MULTILINE)) == 2
    assert len(re.findall(r"^\tt0 -> o0 .*class=backward .*dir=back .*style=dashed", source, re.MULTILINE)) == 2
    assert ">+ 3<" in source  # what each of them contributes to the gradient 6
    assert "\N{N-ARY SUMMATION} of 2" in source


def test_a_diamond_draws_the_shared_tensor_once() -> None:
    a = leaf(2.0, "a")
    b = a + a
    b.name = "b"
    c = b * b
    drawing = collect([c])
    assert [box.name for box in drawing.boxes] == ["a", "b", "multiply1"]
    assert gradients(drawing) == {"a": 16.0, "b": 8.0, "multiply1": 1.0}


def test_the_whole_small_network() -> None:
    _, loss = small_network()
    drawing = collect([loss])
    kinds = {box.name: box.kind for box in drawing.boxes}
    assert kinds == {
        "fc1.weight": "parameter", "fc1.bias": "parameter", "fc2.weight": "parameter", "fc2.bias": "parameter",
        "X": "data", "t": "data", "linear1": "result", "relu1": "result", "linear2": "result", "sigmoid1": "result",
        "L": "output",
    }  # fmt: skip
    assert [o.name for o in drawing.operations] == ["linear", "relu", "linear", "sigmoid", "binary_cross_entropy"]
    assert [o.formula for o in drawing.operations][:2] == ["X fc1.weight + 1 fc1.bias", "relu(linear1)"]


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
            np.testing.assert_array_equal(box.gradient.value, expected)
            assert table(expected, "#a33b00") in source
    loss.backward()
    with pytest.raises(tg.GraphError, match=r"already swept .*retain_graph=True"):
        viz.draw(loss)


def test_raw_arrays_and_numbers_are_data() -> None:
    w = leaf(np.ones((3, 2)), "W")
    x = np.arange(6.0).reshape(2, 3)
    loss = ((tg.matmul(x, w) * 2.5) ** 2).sum() + tg.matmul(x, w).sum()
    drawing = collect([loss])
    assert [box.name for box in drawing.boxes if box.kind == "data"] == ["a"]  # drawn once, though it is used twice
    assert [o.formula for o in drawing.operations][1:3] == ["matmul1 * 2.5", "multiply1^2"]
    labels = collect([cross_entropy(leaf(np.zeros((2, 3)), "z"), np.array([0, 2]))])
    assert [box.name for box in labels.boxes] == ["z", "targets", "cross_entropy1"]


def test_several_outputs() -> None:
    x = leaf([1.0, 2.0], "x")
    drawing = collect([x.sum(), (x * x).sum()])
    assert [box.kind for box in drawing.boxes].count("output") == 2
    np.testing.assert_array_equal(gradients(drawing)["x"], [3.0, 5.0])


def test_what_is_no_scalar_is_swept_as_its_sum() -> None:
    x = leaf([1.0, 2.0], "x")
    np.testing.assert_array_equal(gradients(collect(x * x))["x"], [2.0, 4.0])
    assert x.grad is None


def test_switches() -> None:
    _, loss = small_network()
    full = viz.draw(loss).source
    for part, sign in {
        "values": ">value</FONT>",
        "gradients": "class=backward",
        "shapes": "· 4×3",
        "rules": "<TD>g ⊙ y ⊙ (1",
    }.items():
        others = [other for other in ("values", "gradients", "rules", "shapes") if other != part]
        assert sign in full
        assert sign not in viz.draw(loss, show=others).source
    plain = viz.draw(loss, show=(), direction="TB", title="A & B", legend=False).source
    assert "rankdir=TB" in plain
    assert "A &amp; B" in plain
    assert "cluster_legend" in full
    assert "cluster_legend" not in plain
    with pytest.raises(ValueError, match='direction \'up\': "LR" or "TB"'):
        viz.draw(loss, direction="up")
    with pytest.raises(ValueError, match=r"show='values': a selection of \('values', "):
        viz.draw(loss, show="values")
    with pytest.raises(ValueError, match="a selection of"):
        viz.draw(loss, show=["colours"])


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
    """100,000 operations in a chain: drawn one by one if asked to, else rolled up."""
    y = x = leaf(1.0, "x")
    for _ in range(100_000):
        y = y + x
    picture = viz.draw(y)
    assert len(picture.drawing.boxes) < 10
    assert picture.drawing.rolled == (99_998, 1)
    assert "99,998 operations are rolled up into 1 box" in picture.source
    laid_out(picture.source, "svg")
    assert viz.draw(y, rollup=False, show=()).source.count("<B>add</B>") == 100_000


def test_jupyter_shows_an_svg() -> None:
    bundle = viz.draw(leaf(2.0) * 3.0)._repr_mimebundle_()
    assert ElementTree.fromstring(bundle["image/svg+xml"].encode()).tag.endswith("svg")
