"""tinygrad_edu: backpropagation that can be seen, derived and checked.

>>> import tinygrad_edu as tg
>>> x = tg.Tensor([1.0, 2.0], requires_grad=True)
>>> (x * x).sum().backward()
>>> x.grad
array([2., 4.])
"""

from tinygrad_edu import nn, ops, optim
from tinygrad_edu.engine import mode as _mode
from tinygrad_edu.errors import DtypeError, GraphError, ShapeError
from tinygrad_edu.op import Notation, Op, operation, sample
from tinygrad_edu.ops import *  # noqa: F403
from tinygrad_edu.tensor import Tensor, as_tensor, backward
from tinygrad_edu.transforms import grad


def no_grad() -> _mode:
    """Record nothing: `with no_grad():`, or `@no_grad()` above a function."""
    return _mode(recording=False)


def enable_grad() -> _mode:
    """Record again, inside of `no_grad`."""
    return _mode(recording=True)
