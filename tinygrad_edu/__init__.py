"""tinygrad_edu: backpropagation that can be seen, derived and checked.

>>> import tinygrad_edu as tg
>>> x = tg.Tensor([1.0, 2.0], requires_grad=True)
>>> (x * x).sum().backward()
>>> x.grad
array([2., 4.])
"""

from typing import TYPE_CHECKING

from tinygrad_edu import ops
from tinygrad_edu.errors import AnomalyError, CompileError, DtypeError, GraphError, ShapeError
from tinygrad_edu.late import late
from tinygrad_edu.modes import mode as _mode
from tinygrad_edu.op import Notation, Op, operation, sample
from tinygrad_edu.porting import OF_PACKAGE
from tinygrad_edu.tensor import Tensor, as_tensor, backward

if TYPE_CHECKING:
    from tinygrad_edu import check, data, manual, nn, optim
    from tinygrad_edu.compiler import compile
    from tinygrad_edu.derivation import derive
    from tinygrad_edu.ops import *  # noqa: F403
    from tinygrad_edu.transforms import grad, hessian, hvp, jacobian, jvp, vjp

__all__ = [
    "AnomalyError", "CompileError", "DtypeError", "GraphError", "Notation", "Op", "ShapeError", "Tensor", "as_tensor",
    "backward", "check", "compile", "data", "derive", "detect_anomaly", "enable_grad", "grad", "hessian", "hvp",
    "jacobian", "jvp", "manual", "nn", "no_grad", "operation", "ops", "optim", "sample", "vjp",
    *ops.__all__,
]  # fmt: skip


def no_grad() -> _mode:
    """Record nothing: `with no_grad():`, or `@no_grad()` above a function (a coroutine function, too).

    It nests, ends with the block also after an exception, and holds for this thread and this asynchronous task only.

    Examples
    --------
    >>> import tinygrad_edu as tg
    >>> x = tg.Tensor(3.0, requires_grad=True)
    >>> with tg.no_grad():
    ...     y = x * x
    >>> y.requires_grad
    False
    """
    return _mode(recording=False)


def enable_grad() -> _mode:
    """Record again, inside of `no_grad`.

    Examples
    --------
    >>> import tinygrad_edu as tg
    >>> x = tg.Tensor(3.0, requires_grad=True)
    >>> with tg.no_grad(), tg.enable_grad():
    ...     y = x * x
    >>> y.requires_grad
    True
    """
    return _mode(recording=True)


def detect_anomaly() -> _mode:
    """Stop at the first NaN or infinity, forward or backward, with the operation and your line that made it.

    Each result is looked through, so it is slow: switch it on to find a mistake, and off again.

    Examples
    --------
    >>> import tinygrad_edu as tg
    >>> x = tg.Tensor([0.0, 4.0], requires_grad=True)
    >>> with tg.detect_anomaly():
    ...     tg.sqrt(x).sum().backward()  # doctest: +ELLIPSIS
    Traceback (most recent call last):
        ...
    tinygrad_edu.errors.AnomalyError: sqrt: the gradient for input 1 is an infinity (1 of 2 elements, the first at ...
    """
    return _mode(anomaly=True)


__getattr__ = late(
    __name__,
    {
        __name__: ["check", "data", "manual", "nn", "optim"],
        "tinygrad_edu.compiler": ["compile"],
        "tinygrad_edu.derivation": ["derive"],
        "tinygrad_edu.ops": ops.__all__,
        "tinygrad_edu.transforms": ["grad", "hessian", "hvp", "jacobian", "jvp", "vjp"],
    },
    OF_PACKAGE,
)


def __dir__() -> list[str]:
    return sorted(__all__)
