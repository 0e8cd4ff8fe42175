"""viz: pictures of recorded graphs, and of training.

>>> import tinygrad_edu as tg, viz
>>> x = tg.Tensor(3.0, requires_grad=True, name="x")
>>> picture = viz.draw(x * x)
"""

from viz import training
from viz.draw import draw
from viz.page import page
from viz.layout import LayoutError
from viz.render import render

__all__ = ["LayoutError", "draw", "page", "render", "training"]
