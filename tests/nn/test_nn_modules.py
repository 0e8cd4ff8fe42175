"""Modules: what they find among their attributes, how they are named, switched, saved and shown."""

import copy
import pickle

import numpy as np
import pytest

import tinygrad_edu as tg
from tinygrad_edu import nn


class Block(nn.Module):
    def __init__(self, rng: np.random.Generator) -> None:
        super().__init__()
        self.scale = nn.Parameter(np.ones(3))
        self.layers = [nn.Linear(3, 3, rng=rng), nn.Linear(3, 3, rng=rng)]
        self.heads = {"a": nn.Linear(3, 1, rng=rng)}
        self.running = tg.Tensor(np.zeros(3))

    def forward(self, x: np.ndarray) -> tg.Tensor:
        for layer in self.layers:
            x = layer(x) * self.scale
        return self.heads["a"](x)


def block() -> Block:
    return Block(np.random.default_rng(0))


def test_parameters_are_found_and_named() -> None:
    net = block()
    paths = ["scale", "layers.0.weight", "layers.0.bias", "layers.1.weight", "layers.1.bias", "heads.a.weight"]
    assert [path for path, _ in net.named_parameters()] == [*paths, "heads.a.bias"]
    assert [p.name for p in net.parameters()] == [*paths, "heads.a.bias"]
    assert [name for name, _ in net.named_modules()] == ["", "layers.0", "layers.1", "heads.a"]


def test_names_grow_with_the_nesting() -> None:
    class Outer(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = nn.MLP([2, 3, 1])

    outer = Outer()
    assert outer.inner.fc1.weight.name == "inner.fc1.weight"
    mine = nn.Parameter([1.0], name="mine")
    outer.extra = mine
    assert mine.name == "mine"
    assert dict(outer.named_parameters())["extra"] is mine


def test_a_shared_parameter_counts_once_and_keeps_its_first_name() -> None:
    net = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3))
    net[1].weight = net[0].weight
    assert len(list(net.parameters())) == 3
    assert net[1].weight.name == "0.weight"


def test_train_and_eval_reach_every_module() -> None:
    net = nn.Sequential(nn.Linear(2, 2), nn.Sequential(nn.Dropout(0.5)))
    assert net.eval() is net
    assert not any(m.training for m in net.modules())
    net.train()
    assert all(m.training for m in net.modules())


def test_apply_visits_children_first() -> None:
    seen = []
    block().apply(lambda m: seen.append(type(m).__name__))
    assert seen == ["Linear", "Linear", "Linear", "Block"]


def test_state_dict_copies_and_loads_all_or_nothing() -> None:
    net, other = block(), Block(np.random.default_rng(1))
    state = net.state_dict()
    assert "running" in state
    state["scale"][0] = 7.0
    assert net.scale.data[0] == 1.0
    before = other.state_dict()
    with pytest.raises(KeyError, match=r"missing \['scale'\], unknown \['more'\]"):
        other.load_state_dict({**{k: v for k, v in state.items() if k != "scale"}, "more": 1})
    with pytest.raises(tg.ShapeError, match=r"heads.a.bias has shape \(1,\), the state \(2,\)"):
        other.load_state_dict({**state, "heads.a.bias": np.zeros(2)})
    assert all(np.array_equal(before[k], v) for k, v in other.state_dict().items())
    other.load_state_dict(state)
    assert all(np.array_equal(state[k], v) for k, v in other.state_dict().items())


def test_loading_is_an_edit() -> None:
    layer = nn.Linear(2, 1, rng=0)
    loss = (layer(np.ones((3, 2))) ** 2).sum()
    layer.load_state_dict(nn.Linear(2, 1, rng=1).state_dict())
    (layer(tg.Tensor(np.ones((3, 2)))) ** 2).sum().backward()  # a new graph is fine
    x = tg.Tensor(np.ones((3, 2)), requires_grad=True)
    loss = (layer(x) ** 2).sum()
    layer.load_state_dict(nn.Linear(2, 1, rng=2).state_dict())
    with pytest.raises(tg.GraphError, match="linear"):  # the gradient of x needs the old weight
        loss.backward()


def test_deepcopy_and_pickle() -> None:
    net = nn.MLP([2, 3, 1], rng=0)
    for twin in (copy.deepcopy(net), pickle.loads(pickle.dumps(net))):
        assert [p.name for p in twin.parameters()] == [p.name for p in net.parameters()]
        assert all(isinstance(p, nn.Parameter) and p.requires_grad for p in twin.parameters())
        x = np.ones((4, 2))
        np.testing.assert_array_equal(twin(x).data, net(x).data)
        twin.fc1.weight.data[...] = 0
        assert net.fc1.weight.data.any()


def test_zero_grad() -> None:
    net = nn.MLP([2, 3, 1], rng=0)
    net(np.ones((4, 2))).sum().backward()
    assert all(p.grad is not None for p in net.parameters())
    net.zero_grad()
    assert all(p.grad is None for p in net.parameters())


def test_repr_of_nested_modules() -> None:
    net = nn.Sequential(nn.Linear(2, 3), nn.Sequential(nn.ReLU(), nn.Dropout(0.1)), nn.Linear(3, 1, bias=False))
    assert repr(net).splitlines() == [
        "Sequential(",
        "  (0): Linear(2, 3)                9 parameters",
        "  (1): Sequential(",
        "    (0): ReLU",
        "    (1): Dropout(p=0.1)",
        "  )",
        "  (2): Linear(3, 1, bias=False)    3 parameters",
        ")                                  12 parameters, float64",
    ]


def test_forward_must_be_defined() -> None:
    with pytest.raises(NotImplementedError, match=r"Module\.forward"):
        nn.Module()(1)
