"""Whoever types a name of PyTorch's is told the one that is used here."""

from __future__ import annotations

import inspect
import re

import numpy as np
import pytest

import tinygrad_edu as tg
from tinygrad_edu import porting


@pytest.mark.parametrize(
    ("owner", "table"),
    [
        (tg, porting.OF_PACKAGE),
        (tg.nn, porting.OF_NN),
        (tg.optim, porting.OF_OPTIM),
        (tg.Tensor([[1.0, 2.0]]), porting.OF_TENSOR),
    ],
    ids=["package", "nn", "optim", "tensor"],
)
def test_a_missing_name_says_what_stands_for_it(owner: object, table: dict[str, str]) -> None:
    for name, instead in table.items():
        with pytest.raises(AttributeError) as error:
            getattr(owner, name)
        assert str(error.value).endswith(f"has no attribute {name!r}; here it is {instead}")
    with pytest.raises(AttributeError, match=r"has no attribute 'nonsense'"):
        owner.nonsense  # type: ignore[attr-defined]  # noqa: B018


def test_what_is_named_instead_exists() -> None:
    """Each hint is carried out; a rest like (shape) or (...) is left away."""
    names = {"tg": tg, "nn": tg.nn, "np": np, "t": tg.Tensor([[1.0, 2.0], [3.0, 4.0]]), "u": np.ones((2, 2))}
    for instead in (*porting.OF_PACKAGE.values(), *porting.OF_NN.values(), *porting.OF_TENSOR.values()):
        code = re.split(r":|\(| itself|, or | of what", instead.removeprefix("tg.Tensor("))[0]
        if not code.startswith("rng="):
            assert eval(code, names) is not None, instead  # a table of ours, nothing that a user has typed


def test_hasattr_and_getattr_with_a_default_work_as_usual() -> None:
    t = tg.Tensor([1.0])
    assert not hasattr(t, "view")
    assert getattr(t, "view", 3) == 3
    assert not hasattr(tg, "cat")
    assert not hasattr(tg.nn, "MSELoss")


@pytest.mark.parametrize("keyword", ["dim", "keepdim"])
def test_methods_say_axis(keyword: str) -> None:
    t = tg.Tensor([[1.0, 2.0]])
    for method in ("sum", "mean", "max", "softmax", "argmax", "std", "flip"):
        with pytest.raises(TypeError, match=rf"^{method}: the keywords are axis \(not dim\)"):
            getattr(t, method)(**{keyword: 0})
    assert t.sum(axis=0, keepdims=True).shape == (1, 2)
    assert list(inspect.signature(tg.Tensor.sum).parameters)[:2] == ["self", "axis"]
