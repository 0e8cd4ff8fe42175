"""The errors that a user meets: each says the operation, the shapes or dtypes, and the way out."""

__all__ = ["AnomalyError", "CompileError", "DtypeError", "GraphError", "ShapeError"]


class ShapeError(ValueError):
    """Shapes that do not fit the operation."""


class DtypeError(TypeError):
    """A dtype that the operation, or a gradient, cannot have."""


class AnomalyError(ArithmeticError):
    """A NaN or an infinity that `tg.detect_anomaly()` has found, with the operation and the line that made it."""


class GraphError(RuntimeError):
    """A graph that cannot be swept: freed, edited after it was recorded, or never recorded."""


class CompileError(RuntimeError):
    """A step that `tg.compile` cannot write as one function, with the line that stands in the way."""
