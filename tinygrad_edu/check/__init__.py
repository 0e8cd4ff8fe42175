"""Are these gradients right?  Three witnesses: central differences, the graph, and the equations derived by hand.

* `gradcheck` and `gradgradcheck` ask differences about any function, `check_op` about an operation;
* `compare_gradients` puts a derivation by hand beside the graph, gradient by gradient and delta by delta, and calls
  the mistakes in it by their names;
* `grade` compares a file of functions with a reference, for teachers;
* `numerical_gradient`, `gradients_of` and `relative_error` are what they are made of.

>>> import numpy as np, tinygrad_edu as tg
>>> from tinygrad_edu import check, manual
>>> rng = np.random.default_rng(0)
>>> X, T = rng.normal(size=(4, 2)), np.array([[0.0], [1.0], [1.0], [0.0]])
>>> W, b = tg.Tensor(rng.normal(size=(2, 1)), requires_grad=True), tg.Tensor([0.0], requires_grad=True)
>>> loss = tg.binary_cross_entropy_with_logits(tg.linear(X, W, b), T)
>>> net = manual.Network([W.data], [b.data], ["sigmoid"], "binary_cross_entropy_mean")
>>> bool(check.compare_gradients(net.backward(net.forward(X), T), loss))
True
"""

from tinygrad_edu.check.agreement import relative_error
from tinygrad_edu.check.compare import Comparison, Row, assert_gradients_match, compare_gradients
from tinygrad_edu.check.diagnosis.report import Diagnosis, Mistake
from tinygrad_edu.check.differences import numerical_gradient
from tinygrad_edu.check.grade import CaseGrade, FunctionGrade, GradeReport, grade
from tinygrad_edu.check.kinks import Kink
from tinygrad_edu.check.layers import gradients_of
from tinygrad_edu.check.numerical import GradcheckReport, GradientMismatch, WrongEntry, gradcheck, gradgradcheck
from tinygrad_edu.check.operations import OperationReport, check_op

__all__ = [
    "CaseGrade",
    "Comparison",
    "Diagnosis",
    "FunctionGrade",
    "GradcheckReport",
    "GradeReport",
    "GradientMismatch",
    "Kink",
    "Mistake",
    "OperationReport",
    "Row",
    "WrongEntry",
    "assert_gradients_match",
    "check_op",
    "compare_gradients",
    "gradcheck",
    "grade",
    "gradgradcheck",
    "gradients_of",
    "numerical_gradient",
    "relative_error",
]
