"""viz: pictures of recorded graphs, and of training.

>>> import tinygrad_edu as tg, viz
>>> x = tg.Tensor(3.0, requires_grad=True, name="x")
>>> picture = viz.draw(x * x)  # viz.page(x * x, "backprop.html") writes a page on which one steps through the sweep
"""

from viz import training
from viz.draw import draw
from viz.layout import LayoutError
from viz.page import page
from viz.render import render

__all__ = ["LayoutError", "draw", "page", "render", "training"]
