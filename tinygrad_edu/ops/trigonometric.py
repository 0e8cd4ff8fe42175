"""Angles and hyperbolas: sin, cos, tan, sinh, cosh, tanh, their inverses, and what belongs to a right triangle.

The rules avoid differences of nearly equal numbers and squares that overflow: `(1 - x) * (1 + x)` instead of
`1 - x * x`, and `hypot(x, 1)` instead of `sqrt(x * x + 1)`.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from tinygrad_edu.op import PRODUCT, Notation, between, normal, operation, sample

__all__ = [
    "arccos", "arccosh", "arcsin", "arcsinh", "arctan", "arctan2", "arctanh", "cos", "cosh", "deg2rad", "degrees",
    "hypot", "rad2deg", "radians", "sin", "sinh", "tan", "tanh",
]  # fmt: skip

Operand = Any  # a Tensor, an array or a number

at_singular_points = np.errstate(divide="ignore", invalid="ignore")

# ----------------------------------------------------------------------------------------------- angles


@operation(
    np.sin,
    vjps=[lambda g, y, x: g * np.cos(x)],
    notation=Notation("sin(<x>)", r"\sin(<x>)"),
    samples=[sample(normal(3, 4))],
)
def sin(x: Operand) -> Any:
    r"""Sine of each element (in radians).

    Gradient: dL/dx = g cos(x).

    Examples
    --------
    >>> import tinygrad_edu as tg
    >>> tg.sin(tg.Tensor([0.0, 1.0]))
    Tensor([0.        , 0.84147098])
    """


@operation(
    np.cos,
    vjps=[lambda g, y, x: -g * np.sin(x)],
    notation=Notation("cos(<x>)", r"\cos(<x>)"),
    samples=[sample(normal(3, 4))],
)
def cos(x: Operand) -> Any:
    r"""Cosine of each element (in radians).

    Gradient: dL/dx = -g sin(x).

    Examples
    --------
    >>> import tinygrad_edu as tg
    >>> tg.cos(tg.Tensor([0.0, 1.0]))
    Tensor([1.        , 0.54030231])
    """


@operation(
    np.tan,
    vjps=[lambda g, y, x: g * (1 + y * y)],
    notation=Notation("tan(<x>)", r"\tan(<x>)"),
    samples=[sample(between(-1.2, 1.2, 3, 4))],
)
def tan(x: Operand) -> Any:
    r"""Tangent of each element (in radians).

    Gradient: dL/dx = g (1 + y^2), y = tan(x).

    Examples
    --------
    >>> import tinygrad_edu as tg
    >>> tg.tan(tg.Tensor([0.0, 1.0]))
    Tensor([0.        , 1.55740772])
    """


@operation(
    np.arcsin,
    vjps=[at_singular_points(lambda g, y, x: g / np.sqrt((1 - x) * (1 + x)))],
    notation=Notation("arcsin(<x>)", r"\arcsin(<x>)"),
    samples=[sample(between(-0.9, 0.9, 3, 4))],
)
def arcsin(x: Operand) -> Any:
    r"""The angle in -pi/2..pi/2 whose sine is x; NaN outside of -1..1, with NumPy's warning.

    Gradient: dL/dx = g / sqrt(1 - x^2); inf at -1 and 1.

    Examples
    --------
    >>> import tinygrad_edu as tg
    >>> tg.arcsin(tg.Tensor([0.0, 1.0]))
    Tensor([0.        , 1.57079633])
    """


@operation(
    np.arccos,
    vjps=[at_singular_points(lambda g, y, x: -g / np.sqrt((1 - x) * (1 + x)))],
    notation=Notation("arccos(<x>)", r"\arccos(<x>)"),
    samples=[sample(between(-0.9, 0.9, 3, 4))],
)
def arccos(x: Operand) -> Any:
    r"""The angle in 0..pi whose cosine is x; NaN outside of -1..1, with NumPy's warning.

    Gradient: dL/dx = -g / sqrt(1 - x^2); -inf at -1 and 1.

    Examples
    --------
    >>> import tinygrad_edu as tg
    >>> tg.arccos(tg.Tensor([0.0, 1.0]))
    Tensor([1.57079633, 0.        ])
    """


@operation(
    np.arctan,
    vjps=[np.errstate(over="ignore")(lambda g, y, x: g / (1 + x * x))],
    notation=Notation("arctan(<x>)", r"\arctan(<x>)"),
    samples=[sample(normal(3, 4))],
)
def arctan(x: Operand) -> Any:
    r"""The angle in -pi/2..pi/2 whose tangent is x.

    Gradient: dL/dx = g / (1 + x^2).

    Examples
    --------
    >>> import tinygrad_edu as tg
    >>> tg.arctan(tg.Tensor([0.0, 1.0]))
    Tensor([0.        , 0.78539816])
    """


def _radius(r: Any) -> Any:
    """A radius to divide by.  At the origin, which has no direction, infinity makes all derivatives 0."""
    return np.where(r == 0, np.inf, r)


@at_singular_points
def _turn(g: Any, leg: Any, a: Any, b: Any) -> Any:
    r = _radius(np.hypot(a, b))
    return g * (leg / r / r)


@operation(
    np.arctan2,
    vjps=[lambda g, y, a, b: _turn(g, b, a, b), lambda g, y, a, b: -_turn(g, a, a, b)],
    notation=Notation("arctan2(<a>, <b>)", r"\operatorname{arctan2}(<a>, <b>)"),
    samples=[sample(normal(3, 4), normal(3, 4)), sample(normal(3, 1), normal(4)), sample(1.5, normal(3))],
)
def arctan2(a: Operand, b: Operand) -> Any:
    r"""The angle in -pi..pi of the point with height a and width b.

    Gradient: dL/da = g b / (a^2 + b^2), dL/db = -g a / (a^2 + b^2); 0 at the origin.

    Examples
    --------
    >>> import tinygrad_edu as tg
    >>> tg.arctan2(tg.Tensor([1.0, 0.0]), tg.Tensor([1.0, -1.0]))
    Tensor([0.78539816, 3.14159265])
    """


@operation(
    np.hypot,
    vjps=[
        np.errstate(invalid="ignore")(lambda g, y, a, b: g * (a / _radius(y))),
        np.errstate(invalid="ignore")(lambda g, y, a, b: g * (b / _radius(y))),
    ],
    notation=Notation("sqrt(<a>^2 + <b>^2)", r"\sqrt{<a>^2 + <b>^2}"),
    samples=[sample(normal(3, 4), normal(3, 4)), sample(normal(3, 1), normal(4)), sample(normal(3), 1.5)],
)
def hypot(a: Operand, b: Operand) -> Any:
    r"""sqrt(a^2 + b^2), the third side of a right triangle, without overflow in between.

    Gradient: dL/da = g a / y, dL/db = g b / y; 0 at the origin, as for every norm.

    Examples
    --------
    >>> import tinygrad_edu as tg
    >>> tg.hypot(tg.Tensor([3.0, 5e200]), tg.Tensor([4.0, 12e200]))
    Tensor([5.0e+000, 1.3e+201])
    """


@operation(
    np.deg2rad,
    numpy=[np.radians],
    vjps=[lambda g, y, x: np.deg2rad(g)],
    notation=Notation("pi/180 * <x>", r"\frac{\pi}{180} <x>", PRODUCT),
    samples=[sample(normal(3, 4))],
)
def deg2rad(x: Operand) -> Any:
    r"""Angles in degrees as radians, x pi/180.

    Gradient: dL/dx = g pi/180.

    Examples
    --------
    >>> import tinygrad_edu as tg
    >>> tg.deg2rad(tg.Tensor([90.0, 180.0]))
    Tensor([1.57079633, 3.14159265])
    """


@operation(
    np.rad2deg,
    numpy=[np.degrees],
    vjps=[lambda g, y, x: np.rad2deg(g)],
    notation=Notation("180/pi * <x>", r"\frac{180}{\pi} <x>", PRODUCT),
    samples=[sample(normal(3, 4))],
)
def rad2deg(x: Operand) -> Any:
    r"""Angles in radians as degrees, x 180/pi.

    Gradient: dL/dx = g 180/pi.

    Examples
    --------
    >>> import tinygrad_edu as tg
    >>> tg.rad2deg(tg.Tensor([0.0, 3.141592653589793]))
    Tensor([  0., 180.])
    """


radians, degrees = deg2rad, rad2deg  # NumPy has both names, too

# -------------------------------------------------------------------------------------------- hyperbolas


@operation(
    np.sinh,
    vjps=[lambda g, y, x: g * np.cosh(x)],
    notation=Notation("sinh(<x>)", r"\sinh(<x>)"),
    samples=[sample(normal(3, 4))],
)
def sinh(x: Operand) -> Any:
    r"""Hyperbolic sine (e^x - e^-x) / 2 of each element.

    Gradient: dL/dx = g cosh(x).

    Examples
    --------
    >>> import tinygrad_edu as tg
    >>> tg.sinh(tg.Tensor([0.0, 1.0]))
    Tensor([0.        , 1.17520119])
    """


@operation(
    np.cosh,
    vjps=[lambda g, y, x: g * np.sinh(x)],
    notation=Notation("cosh(<x>)", r"\cosh(<x>)"),
    samples=[sample(normal(3, 4))],
)
def cosh(x: Operand) -> Any:
    r"""Hyperbolic cosine (e^x + e^-x) / 2 of each element.

    Gradient: dL/dx = g sinh(x).

    Examples
    --------
    >>> import tinygrad_edu as tg
    >>> tg.cosh(tg.Tensor([0.0, 1.0]))
    Tensor([1.        , 1.54308063])
    """


@operation(
    np.tanh,
    vjps=[lambda g, y, x: g * (1 - y * y)],
    notation=Notation("tanh(<x>)", r"\tanh(<x>)"),
    samples=[sample(normal(3, 4))],
)
def tanh(x: Operand) -> Any:
    r"""Hyperbolic tangent of each element.

    Gradient: dL/dx = g (1 - y^2), y = tanh(x).

    Examples
    --------
    >>> import tinygrad_edu as tg
    >>> tg.tanh(tg.Tensor([0.0, 1.0]))
    Tensor([0.        , 0.76159416])
    """


@operation(
    np.arcsinh,
    vjps=[lambda g, y, x: g / np.hypot(x, 1)],
    notation=Notation("arcsinh(<x>)", r"\operatorname{arcsinh}(<x>)"),
    samples=[sample(normal(3, 4))],
)
def arcsinh(x: Operand) -> Any:
    r"""The number whose hyperbolic sine is x: it grows as log(2x), and is defined for all x.

    Gradient: dL/dx = g / sqrt(x^2 + 1).

    Examples
    --------
    >>> import tinygrad_edu as tg
    >>> tg.arcsinh(tg.Tensor([0.0, 1.0]))
    Tensor([0.        , 0.88137359])
    """


@operation(
    np.arccosh,
    vjps=[at_singular_points(lambda g, y, x: g / (np.sqrt(x - 1) * np.sqrt(x + 1)))],
    notation=Notation("arccosh(<x>)", r"\operatorname{arccosh}(<x>)"),
    samples=[sample(between(1.2, 3, 3, 4))],
)
def arccosh(x: Operand) -> Any:
    r"""The number whose hyperbolic cosine is x; NaN below 1, with NumPy's warning.

    Gradient: dL/dx = g / sqrt(x^2 - 1); inf at x = 1.

    Examples
    --------
    >>> import tinygrad_edu as tg
    >>> tg.arccosh(tg.Tensor([1.0, 2.0]))
    Tensor([0.       , 1.3169579])
    """


@operation(
    np.arctanh,
    vjps=[at_singular_points(lambda g, y, x: g / ((1 - x) * (1 + x)))],
    notation=Notation("arctanh(<x>)", r"\operatorname{arctanh}(<x>)"),
    samples=[sample(between(-0.8, 0.8, 3, 4))],
)
def arctanh(x: Operand) -> Any:
    r"""The number whose hyperbolic tangent is x; infinite at -1 and 1, NaN outside, with NumPy's warning.

    Gradient: dL/dx = g / (1 - x^2); inf at -1 and 1.

    Examples
    --------
    >>> import tinygrad_edu as tg
    >>> tg.arctanh(tg.Tensor([0.0, 0.5]))
    Tensor([0.        , 0.54930614])
    """
