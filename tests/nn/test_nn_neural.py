"""Convolutions, normalising layers, embeddings, recurrent networks and attention as modules, against PyTorch's."""

from __future__ import annotations

import math
import os
import re
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tinygrad_edu as tg
from tinygrad_edu import ShapeError, nn

try:
    import torch
except ImportError:  # a skip nobody reads would be a hole in the gate: there the oracle has to be
    if os.environ.get("CI"):
        raise
    pytest.skip("PyTorch is the oracle here: pip install tinygrad_edu[oracle]", allow_module_level=True)

torch.set_num_threads(1)
torch.manual_seed(0)


def transposed(name: str) -> bool:
    """Is this a matrix of the row-vector convention, which PyTorch holds the other way round?"""
    return bool(re.match(r"(weight_(ih|hh)|in_proj_weight|out_proj.weight)", name))


def like_torch(name: str, array: np.ndarray) -> np.ndarray:
    return array.T if transposed(name) else array


def copy(ours: nn.Module, theirs: Any) -> None:
    """PyTorch's numbers into our module, by name."""
    state = theirs.state_dict()
    ours.load_state_dict({name: like_torch(name, state[name].numpy()) for name in ours.state_dict()})
    assert ours.state_dict().keys() == state.keys()


def assert_close(got: Any, expected: Any, what: str = "") -> None:
    got = got.data if isinstance(got, tg.Tensor) else np.asarray(got)
    expected = expected.detach().numpy()
    assert got.shape == expected.shape, what
    np.testing.assert_allclose(got, expected, rtol=1e-10, atol=1e-12, err_msg=what)


def flat(result: Any) -> list[Any]:
    """The tensors of a result, which may be nested."""
    if isinstance(result, tuple):
        return [tensor for part in result for tensor in flat(part)]
    return [] if result is None else [result]


def compare(ours: nn.Module, theirs: Any, *inputs: Any, call: Callable[..., Any] | None = None, **options: Any) -> None:
    """Outputs, gradients of inputs and of parameters, and the second derivatives of the parameters."""
    call = call or (lambda module, *inputs: module(*inputs, **options))
    rng = np.random.default_rng(1)
    xs = [tg.Tensor(x, requires_grad=x.dtype.kind == "f") for x in inputs]
    ts = [torch.tensor(x, requires_grad=x.dtype.kind == "f") for x in inputs]
    with torch.nn.attention.sdpa_kernel(
        torch.nn.attention.SDPBackend.MATH
    ):  # of attention, the only one that PyTorch differentiates twice
        mine, right = flat(call(ours, *xs)), flat(call(theirs, *ts))
    assert len(mine) == len(right)
    for got, expected in zip(mine, right):
        assert_close(got, expected, "output")
    cotangents = [rng.normal(size=y.shape) for y in mine]
    loss = sum((y * y * g).sum() for y, g in zip(mine, cotangents))
    right_loss = sum((y * y * torch.tensor(g)).sum() for y, g in zip(right, cotangents))
    parameters, right_parameters = dict(ours.named_parameters()), dict(theirs.named_parameters())
    leaves = [x for x in xs if x.requires_grad] + list(parameters.values())
    right_leaves = [t for t in ts if t.requires_grad] + [right_parameters[name] for name in parameters]
    names = ["input"] * (len(leaves) - len(parameters)) + list(parameters)
    first = tg.grad(loss, leaves, create_graph=True)
    right_first = torch.autograd.grad(right_loss, right_leaves, create_graph=True)
    for name, got, expected in zip(names, first, right_first):
        assert_close(like_torch(name, got.data), expected, f"gradient of {name}")
    directions = [rng.normal(size=g.shape) for g in first]
    total = sum((g * d).sum() for g, d in zip(first, directions))
    right_total = sum(
        (g * torch.tensor(np.ascontiguousarray(like_torch(name, d)))).sum()
        for name, g, d in zip(names, right_first, directions)
    )
    second = tg.grad(total, leaves, allow_unused=True)
    right_second = torch.autograd.grad(right_total, right_leaves, allow_unused=True)
    for name, got, expected in zip(names, second, right_second):
        if got is not None and expected is not None:
            assert_close(like_torch(name, got.data), expected, f"second derivative by {name}")
        else:
            assert got is None or not got.data.any()
            assert expected is None or not expected.any()


def normal(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).normal(size=shape)


# --------------------------------------------------------------------------------- images and sequences

CONVOLUTIONS: dict[str, list[dict[str, Any]]] = {
    "Conv1d": [{}, {"stride": 2, "padding": 1, "groups": 2}, {"padding": "same", "dilation": 2, "bias": False}],
    "Conv2d": [{}, {"stride": (2, 1), "padding": (1, 2), "groups": 2}, {"padding": "same", "bias": False}],
    "ConvTranspose1d": [{}, {"stride": 2, "padding": 1, "output_padding": 1, "groups": 2}, {"dilation": 2}],
    "ConvTranspose2d": [{}, {"stride": (2, 3), "padding": (1, 0), "output_padding": (1, 2), "groups": 2}],
}


@pytest.mark.parametrize(("name", "options"), [(n, o) for n, many in CONVOLUTIONS.items() for o in many])
def test_convolutions(name: str, options: dict[str, Any]) -> None:
    theirs = getattr(torch.nn, name)(4, 6, kernel_size=3, dtype=torch.float64, **options)
    ours = getattr(nn, name)(4, 6, kernel_size=3, rng=0, **options)
    copy(ours, theirs)
    compare(ours, theirs, normal(2, 4, 7) if name.endswith("1d") else normal(2, 4, 7, 6))


@pytest.mark.parametrize("name", ["MaxPool1d", "MaxPool2d", "AvgPool1d", "AvgPool2d"])
@pytest.mark.parametrize("options", [{}, {"stride": 1, "padding": 1}, {"ceil_mode": True}])
def test_pools(name: str, options: dict[str, Any]) -> None:
    theirs, ours = getattr(torch.nn, name)(2, **options), getattr(nn, name)(2, **options)
    compare(ours, theirs, normal(2, 3, 7) if name.endswith("1d") else normal(2, 3, 7, 5))


def test_flatten_and_unflatten() -> None:
    x = normal(2, 3, 4, 5)
    for options in ({}, {"start_dim": 0}, {"start_dim": -2}, {"start_dim": 1, "end_dim": 2}):
        compare(nn.Flatten(**options), torch.nn.Flatten(**options), x)
    y = normal(6, 12)
    for axis, sizes in ((1, (3, 4)), (-1, (2, -1, 3)), (0, (3, 2))):
        compare(nn.Unflatten(axis, sizes), torch.nn.Unflatten(axis, sizes), y)
    with pytest.raises(ShapeError, match=re.escape("Unflatten: axis 1 of an input of shape (6, 12) does not split")):
        nn.Unflatten(1, (5, 2))(y)
    with pytest.raises(ShapeError, match=re.escape("Unflatten: axis 1 of an input of shape (6, 12) does not split")):
        nn.Unflatten(1, (5, -1))(y)
    with pytest.raises(ShapeError, match="Unflatten: axis 2"):
        nn.Unflatten(2, (5, 2))(y)
    with pytest.raises(ShapeError, match="flatten: axis 1"):
        nn.Flatten()(normal(4))


def test_a_small_network_learns() -> None:
    """Images with a bar, standing or lying: convolution, normalisation, pooling and a linear layer, in float32."""
    rng = np.random.default_rng(0)
    images = rng.normal(0, 0.3, size=(64, 1, 8, 8)).astype(np.float32)
    labels = np.arange(64) % 2
    for image, label, place in zip(images, labels, rng.integers(1, 7, size=64)):
        image[0][(slice(None), place) if label else (place, slice(None))] += 2
    net = nn.Sequential(
        nn.Conv2d(1, 4, 3, padding=1, rng=1, dtype=np.float32),
        nn.BatchNorm2d(4, dtype=np.float32),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(64, 2, rng=2, dtype=np.float32),
    )
    optimizer = tg.optim.Adam(net.parameters(), lr=0.01)
    for _ in range(30):
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(net(images), labels)
        loss.backward()
        optimizer.step()
    assert loss.dtype == np.float32
    assert loss.item() < 0.05
    net.eval()
    assert (net(images).data.argmax(axis=1) == labels).mean() > 0.95


# ---------------------------------------------------------------------------------------- normalisation


@pytest.mark.parametrize("options", [{}, {"momentum": None}, {"affine": False}, {"track_running_stats": False}])
@pytest.mark.parametrize(
    ("name", "shape"), [("BatchNorm1d", (5, 3)), ("BatchNorm1d", (4, 3, 6)), ("BatchNorm2d", (4, 3, 5, 2))]
)
def test_batch_norm(name: str, shape: tuple[int, ...], options: dict[str, Any]) -> None:
    """Three steps of training, then use: outputs, gradients and running statistics."""
    theirs = getattr(torch.nn, name)(3, dtype=torch.float64, **options)
    ours = getattr(nn, name)(3, **options)
    if theirs.affine:
        with torch.no_grad():
            theirs.weight.normal_()
            theirs.bias.normal_()
    copy(ours, theirs)
    rng = np.random.default_rng(0)
    for step in range(4):
        if step == 3:
            ours.eval()
            theirs.eval()
        compare(ours, theirs, rng.normal(step, 1 + step, size=shape))
        for key, value in theirs.state_dict().items():
            assert_close(ours.state_dict()[key], value, key)
    assert {n for n, _ in ours.named_parameters()} == {n for n, _ in theirs.named_parameters()}


def test_running_statistics_are_saved_and_loaded() -> None:
    net, twin = (nn.Sequential(nn.Linear(3, 4, rng=i), nn.BatchNorm1d(4)) for i in (0, 1))
    for _ in range(3):
        net(normal(6, 3))
    assert net[1].num_batches_tracked.item() == 3
    twin.load_state_dict(net.state_dict())
    assert twin[1].num_batches_tracked.item() == 3
    np.testing.assert_array_equal(net.eval()(normal(2, 3)).data, twin.eval()(normal(2, 3)).data)
    assert sum(p.size for p in net.parameters()) == 12 + 4 + 8


def test_layer_norms() -> None:
    for sizes in (4, (3, 4)):
        for options in ({}, {"bias": False}, {"elementwise_affine": False}, {"eps": 0.1}):
            theirs = torch.nn.LayerNorm(sizes, dtype=torch.float64, **options)
            ours = nn.LayerNorm(sizes, **options)
            for parameter in theirs.parameters():
                torch.nn.init.normal_(parameter)
            copy(ours, theirs)
            compare(ours, theirs, normal(2, 3, 4))
        theirs, ours = torch.nn.RMSNorm(sizes, dtype=torch.float64), nn.RMSNorm(sizes)
        torch.nn.init.normal_(theirs.weight)
        copy(ours, theirs)
        compare(ours, theirs, normal(2, 3, 4))
    for groups in (1, 3, 6):
        theirs, ours = torch.nn.GroupNorm(groups, 6, dtype=torch.float64), nn.GroupNorm(groups, 6)
        torch.nn.init.normal_(theirs.weight)
        copy(ours, theirs)
        compare(ours, theirs, normal(2, 6, 4))
    assert nn.GroupNorm(2, 4, affine=False).weight is None
    assert nn.RMSNorm(4, elementwise_affine=False).weight is None


# ------------------------------------------------------------------------------------------- embedding


@pytest.mark.parametrize("padding", [None, 2, -1])
def test_embedding(padding: int | None) -> None:
    theirs, ours = torch.nn.Embedding(6, 3, padding, dtype=torch.float64), nn.Embedding(6, 3, padding, rng=0)
    assert ours.padding_idx == theirs.padding_idx
    if padding is not None:
        np.testing.assert_array_equal(ours.weight.data[padding], np.zeros(3))
    copy(ours, theirs)
    compare(ours, theirs, np.array([[0, 2, 5], [5, 5, 1]]))


# ------------------------------------------------------------------------------------------- recurrent

SEQUENCES: dict[str, list[dict[str, Any]]] = {
    "RNN": [
        {},
        {"nonlinearity": "relu", "num_layers": 2},
        {"bidirectional": True, "batch_first": True, "bias": False},
    ],
    "LSTM": [{}, {"num_layers": 2, "bidirectional": True}, {"batch_first": True, "bias": False}],
    "GRU": [{}, {"num_layers": 2, "bidirectional": True}, {"batch_first": True, "bias": False}],
}


@pytest.mark.parametrize(("name", "options"), [(n, o) for n, many in SEQUENCES.items() for o in many])
@pytest.mark.parametrize("given_state", [True, False])
@pytest.mark.parametrize("single", [True, False])
def test_recurrent_networks(name: str, options: dict[str, Any], given_state: bool, single: bool) -> None:
    theirs = getattr(torch.nn, name)(3, 4, dtype=torch.float64, **options)
    ours = getattr(nn, name)(3, 4, rng=0, **options)
    copy(ours, theirs)
    x = normal(5, 2, 3) if not options.get("batch_first") else normal(2, 5, 3)
    states = options.get("num_layers", 1) * (2 if options.get("bidirectional") else 1)
    rng = np.random.default_rng(4)
    state = [rng.normal(size=(states, 2, 4)) for _ in range(2 if name == "LSTM" else 1)]
    if single:
        x, state = normal(5, 3), [part[:, 0] for part in state]
    if not given_state:
        compare(ours, theirs, x)
        return

    def with_state(module: Any, x: Any, *parts: Any) -> Any:
        return module(x, parts if len(parts) > 1 else parts[0])

    compare(ours, theirs, x, *state, call=with_state)


@pytest.mark.parametrize("name", ["RNNCell", "LSTMCell", "GRUCell"])
@pytest.mark.parametrize("bias", [True, False])
def test_cells(name: str, bias: bool) -> None:
    theirs = getattr(torch.nn, name)(3, 4, bias=bias, dtype=torch.float64)
    ours = getattr(nn, name)(3, 4, bias=bias, rng=0)
    copy(ours, theirs)
    compare(ours, theirs, normal(2, 3))
    compare(ours, theirs, normal(3))
    h, c = normal(2, 4), normal(2, 4) + 1
    state = (h, c) if name == "LSTMCell" else h
    right_state = tuple(map(torch.tensor, state)) if name == "LSTMCell" else torch.tensor(h)
    mine, right = flat(ours(normal(2, 3), state)), flat(theirs(torch.tensor(normal(2, 3)), right_state))
    for got, expected in zip(mine, right):
        assert_close(got, expected)
    relu = torch.nn.RNNCell(3, 4, nonlinearity="relu", dtype=torch.float64)
    mine = nn.RNNCell(3, 4, nonlinearity="relu", rng=0)
    copy(mine, relu)
    compare(mine, relu, normal(2, 3))


def test_a_cell_steps_through_a_sequence_as_the_network_does() -> None:
    network, cell = nn.GRU(3, 4, rng=0), nn.GRUCell(3, 4, rng=0)
    cell.load_state_dict({name: network.state_dict()[f"{name}_l0"] for name in cell.state_dict()})
    x, h = normal(6, 2, 3), None
    output, last = network(x)
    for t in range(6):
        h = cell(x[t], h)
        np.testing.assert_allclose(h.data, output.data[t], atol=1e-14)
    np.testing.assert_allclose(h.data, last.data[0], atol=1e-14)


def test_dropout_between_layers() -> None:
    network = nn.LSTM(3, 4, num_layers=2, dropout=0.5, rng=0)
    x = normal(6, 2, 3)
    first, second = network(x)[0].data, network(x)[0].data
    assert not np.array_equal(first, second)
    network.eval()
    np.testing.assert_array_equal(network(x)[0].data, network(x)[0].data)
    again = nn.LSTM(3, 4, num_layers=2, dropout=0.5, rng=0)
    np.testing.assert_array_equal(again(x)[0].data, first)  # one seed, one run


def test_a_long_sequence_costs_no_square() -> None:
    """Of an input that needs a gradient: each step's gradient is cut out of halves, not out of the whole."""

    def seconds(steps: int) -> float:
        network, x = nn.RNN(64, 2, rng=0), tg.Tensor(np.zeros((steps, 16, 64)), requires_grad=True)
        best = math.inf
        for _ in range(3):
            start = time.perf_counter()
            network(x)[0].sum().backward()
            best = min(best, time.perf_counter() - start)
        return best

    assert seconds(800) < 9 * seconds(200)  # 4 times the steps; a square would be 16 times as long


# ------------------------------------------------------------------------------------------- attention


def _attention(**options: Any) -> tuple[nn.MultiheadAttention, Any]:
    theirs = torch.nn.MultiheadAttention(6, 2, dtype=torch.float64, **options)
    for parameter in theirs.parameters():  # its biases start as 0, which hides them
        torch.nn.init.normal_(parameter, std=0.5)
    ours = nn.MultiheadAttention(6, 2, rng=0, **options)
    copy(ours, theirs)
    return ours, theirs


@pytest.mark.parametrize("batch_first", [True, False])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("options", [{}, {"need_weights": False}, {"average_attn_weights": False}])
def test_multihead_attention(batch_first: bool, bias: bool, options: dict[str, Any]) -> None:
    ours, theirs = _attention(batch_first=batch_first, bias=bias)
    q, k, v = (np.random.default_rng(i).normal(size=(3, n, 6)) for i, n in enumerate((4, 5, 5)))
    if not batch_first:
        q, k, v = (x.swapaxes(0, 1).copy() for x in (q, k, v))
    compare(ours, theirs, q, k, v, **options)
    alone = [x[0] if batch_first else x[:, 0].copy() for x in (q, k, v)]
    compare(ours, theirs, *alone, **options)
    x, t = tg.Tensor(q, requires_grad=True), torch.tensor(q, requires_grad=True)  # self-attention: one product for all
    y, right = ours(x, x, x)[0], theirs(t, t, t)[0]
    assert_close(y, right)
    g = normal(*y.shape)
    for got, expected in zip(
        tg.grad(y, [x, ours.in_proj_weight], g), torch.autograd.grad(right, [t, theirs.in_proj_weight], torch.tensor(g))
    ):
        assert_close(got.data if got.shape == x.shape else got.data.T, expected)


def test_masks_of_multihead_attention() -> None:
    """True forbids, as in PyTorch's module; floats are added; both masks work together."""
    ours, theirs = _attention(batch_first=True)
    rng = np.random.default_rng(0)
    q, k = rng.normal(size=(3, 4, 6)), rng.normal(size=(3, 5, 6))
    padding = np.arange(5) >= np.array([[5], [3], [2]])
    mask, each = rng.random((4, 5)) < 0.4, rng.random((6, 4, 5)) < 0.4
    mask[:, 0] = each[:, :, 0] = False
    added = np.where(mask, -np.inf, rng.normal(size=(4, 5)))
    cases: list[dict[str, Any]] = [
        {"key_padding_mask": padding},
        {"attn_mask": mask},
        {"attn_mask": each},
        {"attn_mask": added},
        {"attn_mask": mask, "key_padding_mask": padding},
        {"attn_mask": each, "key_padding_mask": padding},
        {"attn_mask": added, "key_padding_mask": np.where(padding, -np.inf, 0.5)},
    ]
    for case in cases:
        for need_weights in (True, False):
            mine = flat(ours(q, k, k, need_weights=need_weights, **case))
            right = flat(
                theirs(
                    *map(torch.tensor, (q, k, k)),
                    need_weights=need_weights,
                    **{name: torch.tensor(m) for name, m in case.items()},
                )
            )
            for got, expected in zip(mine, right):
                assert_close(got, expected, str(case.keys()))
    causal = np.triu(np.ones((4, 4), bool), 1)
    np.testing.assert_array_equal(ours(q, q, q, is_causal=True)[0].data, ours(q, q, q, attn_mask=causal)[0].data)
    mixed = ours(q, k, k, attn_mask=added, key_padding_mask=padding)[0]  # PyTorch wants equal kinds; here both are
    both = np.where(padding[:, None, None, :] | mask, -np.inf, added)
    np.testing.assert_allclose(
        mixed.data, ours(q, k, k, attn_mask=np.repeat(both, 2, axis=1).reshape(6, 4, 5))[0].data, atol=1e-14
    )
    nowhere = ours(q, k, k, key_padding_mask=np.ones((3, 5), bool))
    np.testing.assert_array_equal(nowhere[1].data, np.zeros((3, 4, 5)))
    alone = ours(q[0], k[0], k[0], key_padding_mask=padding[1])[0]
    right = theirs(*map(torch.tensor, (q[0], k[0], k[0])), key_padding_mask=torch.tensor(padding[1]))[0]
    assert_close(alone, right)


def test_dropout_of_multihead_attention() -> None:
    layer = nn.MultiheadAttention(6, 2, dropout=0.5, rng=0)
    x = normal(4, 3, 6)
    assert not np.array_equal(layer(x, x, x)[0].data, layer(x, x, x)[0].data)
    layer.eval()
    np.testing.assert_array_equal(layer(x, x, x)[0].data, layer(x, x, x)[0].data)


# ------------------------------------------------------------------------------- dtypes, seeds, texts

MODULES: dict[str, tuple[Callable[..., nn.Module], tuple[int, ...]]] = {
    "Conv1d": (lambda **o: nn.Conv1d(3, 4, 2, **o), (2, 3, 5)),
    "Conv2d": (lambda **o: nn.Conv2d(3, 4, 2, **o), (2, 3, 5, 5)),
    "ConvTranspose1d": (lambda **o: nn.ConvTranspose1d(3, 4, 2, **o), (2, 3, 5)),
    "ConvTranspose2d": (lambda **o: nn.ConvTranspose2d(3, 4, 2, **o), (2, 3, 5, 5)),
    "RNN": (lambda **o: nn.RNN(3, 4, **o), (5, 2, 3)),
    "LSTM": (lambda **o: nn.LSTM(3, 4, 2, bidirectional=True, **o), (5, 2, 3)),
    "GRU": (lambda **o: nn.GRU(3, 4, **o), (5, 2, 3)),
    "RNNCell": (lambda **o: nn.RNNCell(3, 4, **o), (2, 3)),
    "LSTMCell": (lambda **o: nn.LSTMCell(3, 4, **o), (2, 3)),
    "GRUCell": (lambda **o: nn.GRUCell(3, 4, **o), (2, 3)),
}
PLAIN: dict[str, tuple[Callable[..., nn.Module], tuple[int, ...]]] = {
    "BatchNorm1d": (lambda **o: nn.BatchNorm1d(3, **o), (5, 3)),
    "BatchNorm2d": (lambda **o: nn.BatchNorm2d(3, **o), (2, 3, 4, 4)),
    "LayerNorm": (lambda **o: nn.LayerNorm(3, **o), (5, 3)),
    "RMSNorm": (lambda **o: nn.RMSNorm(3, **o), (5, 3)),
    "GroupNorm": (lambda **o: nn.GroupNorm(3, 3, **o), (5, 3)),
}


@pytest.mark.parametrize("name", [*MODULES, *PLAIN])
def test_float32_stays_float32(name: str) -> None:
    make, shape = {**MODULES, **PLAIN}[name]
    module = make(dtype=np.float32)
    x = tg.Tensor(normal(*shape).astype(np.float32), requires_grad=True)
    for training in (True, False):
        outputs = flat(module.train(training)(x))
        assert all(y.dtype == np.float32 for y in outputs)
        sum((y * y).sum() for y in outputs).backward()
        assert x.grad.dtype == np.float32
        assert all(p.dtype == p.grad.dtype == np.float32 for p in module.parameters())
    for key, value in module.state_dict().items():
        assert value.dtype == (np.int64 if key == "num_batches_tracked" else np.float32)


@pytest.mark.parametrize("name", MODULES)
def test_a_seed_repeats_the_numbers(name: str) -> None:
    make, _ = MODULES[name]
    first, second, other = (make(rng=seed).state_dict() for seed in (1, 1, 2))
    for key in first:
        np.testing.assert_array_equal(first[key], second[key])
        assert not np.array_equal(first[key], other[key])


def test_numbers_are_drawn_as_in_pytorch() -> None:
    """The same distributions: bounds, and standard deviations within what a thousand draws leave open."""
    cases: list[tuple[nn.Module, Any]] = [
        (nn.Conv2d(8, 40, 5, groups=2, rng=0), torch.nn.Conv2d(8, 40, 5, groups=2)),
        (nn.ConvTranspose2d(8, 40, 5, groups=2, rng=0), torch.nn.ConvTranspose2d(8, 40, 5, groups=2)),
        (nn.Embedding(50, 40, rng=0), torch.nn.Embedding(50, 40)),
        (nn.LSTM(30, 40, rng=0), torch.nn.LSTM(30, 40)),
        (nn.GRUCell(30, 40, rng=0), torch.nn.GRUCell(30, 40)),
        (nn.MultiheadAttention(40, 4, rng=0), torch.nn.MultiheadAttention(40, 4)),
    ]
    for ours, theirs in cases:
        state = theirs.state_dict()
        for name, array in ours.state_dict().items():
            right = state[name].numpy()
            if array.size < 1000:
                assert abs(array).max() <= 1.2 * abs(right).max()
                continue
            assert math.isclose(array.std(), right.std(), rel_tol=0.1), name
            assert math.isclose(abs(array).max(), abs(right).max(), rel_tol=0.3), name


def test_texts() -> None:
    shown = {
        nn.Conv2d(1, 8, 3): "Conv2d(1, 8, kernel_size=3)    80 parameters, float64",
        nn.Conv2d(2, 8, (3, 1), stride=2, padding="same", groups=2, bias=False): (
            "Conv2d(2, 8, kernel_size=(3, 1), stride=2, padding=same, groups=2, bias=False)    24 parameters, float64"
        ),
        nn.ConvTranspose1d(2, 3, 4, stride=2, output_padding=1): (
            "ConvTranspose1d(2, 3, kernel_size=4, stride=2, output_padding=1)    27 parameters, float64"
        ),
        nn.MaxPool2d(2): "MaxPool2d(kernel_size=2)",
        nn.AvgPool1d(3, stride=1, padding=1): "AvgPool1d(kernel_size=3, stride=1, padding=1)",
        nn.Flatten(): "Flatten",
        nn.Flatten(0): "Flatten(start_dim=0, end_dim=-1)",
        nn.Unflatten(1, (2, 3)): "Unflatten(1, (2, 3))",
        nn.BatchNorm2d(3): "BatchNorm2d(3)    6 parameters, float64",
        nn.LayerNorm((3, 4)): "LayerNorm(3, 4)    24 parameters, float64",
        nn.RMSNorm(3): "RMSNorm(3)    3 parameters, float64",
        nn.GroupNorm(2, 4): "GroupNorm(2, 4)    8 parameters, float64",
        nn.Embedding(5, 3, padding_idx=-1): "Embedding(5, 3, padding_idx=4)    15 parameters, float64",
        nn.GRUCell(3, 4, bias=False): "GRUCell(3, 4, bias=False)    84 parameters, float64",
        nn.LSTM(3, 4, num_layers=2, batch_first=True): (
            "LSTM(3, 4, num_layers=2, batch_first=True)    304 parameters, float64"
        ),
    }
    for module, text in shown.items():
        assert repr(module) == text


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda: nn.Conv2d(0, 3, 2), "Conv2d: in_channels=0: a positive integer is expected"),
        (lambda: nn.Conv2d(3, 3, 2, groups=2), "Conv2d: 3 and 3 channels cannot both be split into 2 groups"),
        (lambda: nn.Conv1d(3, 3, (2, 2)), "Conv1d: kernel_size=(2, 2): a positive integer is expected"),
        (lambda: nn.Conv2d(1, 2, 3)(np.zeros((4, 3, 8, 8))), "conv2d: input (4, 3, 8, 8) against weight (2, 1, 3, 3)"),
        (lambda: nn.BatchNorm2d(3)(np.zeros((4, 3))), "BatchNorm2d: input (4, 3): (samples, 3, height, width)"),
        (lambda: nn.BatchNorm1d(3)(np.zeros((4, 2))), "BatchNorm1d: input (4, 2): (samples, 3[, length]) is expected"),
        (lambda: nn.BatchNorm1d(3)(np.zeros((1, 3))), "training needs at least 2"),
        (lambda: nn.GroupNorm(2, 3), "GroupNorm: 3 channels in 2 groups of equal size"),
        (lambda: nn.Embedding(0, 3), "Embedding: num_embeddings=0: a positive integer is expected"),
        (lambda: nn.Embedding(3, 3, 3), "Embedding: padding_idx 3 is outside a table of 3 rows"),
        (lambda: nn.RNN(3, 0), "RNN: hidden_size=0: a positive integer is expected"),
        (lambda: nn.RNN(3, 4, nonlinearity="sin"), 'RNN: nonlinearity \'sin\': "tanh" or "relu" is expected'),
        (lambda: nn.LSTM(3, 4, num_layers=0), "LSTM: num_layers=0: a positive integer is expected"),
        (lambda: nn.LSTM(3, 4, dropout=2), "LSTM: dropout=2: a probability is expected"),
        (lambda: nn.LSTM(3, 4)(np.zeros((5, 2, 4))), "LSTM: input (5, 2, 4): (time, samples, 3) is expected"),
        (lambda: nn.GRU(3, 4)(np.zeros((0, 2, 3))), "GRU: input (0, 2, 3): (time, samples, 3) is expected"),
        (
            lambda: nn.GRU(3, 4)(np.zeros((5, 2, 3)), np.zeros((2, 4))),
            "GRU: a state of shape (2, 4): (1, 2, 4) is expected",
        ),
        (lambda: nn.LSTMCell(3, 4)(np.zeros((2, 4))), "LSTMCell: input (2, 4): (samples, 3) is expected"),
        (
            lambda: nn.LSTMCell(3, 4)(np.zeros((2, 3)), (np.zeros((2, 4)), np.zeros(4))),
            "LSTMCell: a state of shape (4,): (2, 4) is expected",
        ),
        (
            lambda: nn.LSTMCell(3, 4)(np.zeros((2, 3)), np.zeros((2, 4))),
            "LSTMCell: a state is a pair (h, c)",
        ),
        (lambda: nn.MultiheadAttention(6, 4), "MultiheadAttention: 6 features cannot be shared by 4 heads"),
        (
            lambda: nn.MultiheadAttention(6, 2)(np.zeros((4, 3, 6)), np.zeros((4, 3, 5)), np.zeros((4, 3, 6))),
            "MultiheadAttention: key (4, 3, 5): (length, samples, 6) is expected",
        ),
        (
            lambda: nn.MultiheadAttention(6, 2)(*[np.zeros((4, 3, 6))] * 3, attn_mask=np.zeros((3, 3), bool)),
            "MultiheadAttention: attn_mask of shape (3, 3): (4, 4) or (6, 4, 4) is expected",
        ),
    ],
)  # fmt: skip
def test_mistakes_get_a_sentence(call: Callable[[], Any], sentence: str) -> None:
    with pytest.raises(ValueError, match=re.escape(sentence)):
        call()
