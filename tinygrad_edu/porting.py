"""What is called otherwise in PyTorch: whoever types a name of PyTorch's is told the one that is used here."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

T = TypeVar("T")

# Names of PyTorch's that nothing here has, and what stands for each.
OF_TENSOR = {
    "add": "t + u",
    "clamp": "t.clip(low, high)",
    "contiguous": "t itself: operations make contiguous results where they need them",
    "cpu": "t itself: everything runs on the CPU",
    "dim": "t.ndim",
    "div": "t / u",
    "double": "t.astype(np.float64)",
    "expand": "t.broadcast_to(shape)",
    "float": "t.astype(np.float32)",
    "int": "t.astype(int)",
    "long": "t.astype(int)",
    "mm": "t @ u",
    "mul": "t * u",
    "neg": "-t",
    "numel": "t.size",
    "sub": "t - u",
    "t": "t.T",
    "to": "t.astype(dtype)",
    "unsqueeze": "t.expand_dims(axis)",
    "view": "t.reshape(...)",
}
OF_PACKAGE = {
    "cat": "tg.concatenate",
    "clamp": "tg.clip",
    "from_numpy": "tg.as_tensor",
    "manual_seed": "rng=0, or one np.random.Generator, where numbers are drawn",
    "mm": "tg.matmul",
    "unsqueeze": "tg.expand_dims",
    **{name: f"tg.Tensor(np.{name}(...))" for name in ("arange", "eye", "full", "linspace", "ones", "zeros")},
    **{name: "tg.Tensor of what an np.random.Generator draws" for name in ("rand", "randint", "randn", "randperm")},
}
OF_NN = {
    "BCELoss": "nn.functional.binary_cross_entropy",
    "BCEWithLogitsLoss": "nn.functional.binary_cross_entropy_with_logits",
    "CrossEntropyLoss": "nn.functional.cross_entropy",
    "HuberLoss": "nn.functional.huber_loss",
    "KLDivLoss": "nn.functional.kl_div",
    "L1Loss": "nn.functional.l1_loss",
    "MSELoss": "nn.functional.mse_loss",
    "NLLLoss": "nn.functional.nll_loss",
    "SmoothL1Loss": "nn.functional.smooth_l1_loss",
}
OF_OPTIM = {name: "SGD, Adam or AdamW" for name in ("Adagrad", "Adadelta", "LBFGS", "NAdam", "RAdam", "RMSprop")}


def missing(owner: str, name: str, table: Mapping[str, str]) -> AttributeError:
    """The error for a name that `owner` has not."""
    hint = f"; here it is {table[name]}" if name in table else ""
    return AttributeError(f"{owner} has no attribute {name!r}{hint}")


class _Missing:
    """An attribute that is not there, and says what is.  (With `__getattr__` every attribute of a Tensor is found more
    slowly, and a product of ten numbers with its gradient takes 1.15 times as long.)
    """

    def __init__(self, name: str) -> None:
        self.name = name

    def __get__(self, instance: object, owner: type) -> Any:
        raise missing("Tensor", self.name, OF_TENSOR)


def for_porters(cls: type[T]) -> type[T]:
    """A class decorator: methods with an `axis` say so when called with `dim`; missing ones say what is there."""
    for name in OF_TENSOR:
        setattr(cls, name, _Missing(name))
    for name, method in list(vars(cls).items()):
        code = getattr(method, "__code__", None)
        if code is not None and "axis" in code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]:
            setattr(cls, name, _says_axis(method))
    return cls


def _says_axis(method: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(method)
    def call(*args: Any, **kwargs: Any) -> Any:
        if "dim" in kwargs or "keepdim" in kwargs:
            raise TypeError(
                f"{method.__name__}: the keywords are axis (not dim) and keepdims (not keepdim), as in NumPy"
            )
        return method(*args, **kwargs)

    return call
