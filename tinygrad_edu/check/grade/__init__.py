"""Grading a file of functions: each runs in a child process with limits, and is compared with a reference.

    reference.py                                            submission.py
        import numpy as np                                      import numpy as np

        def softmax(u):                                         def softmax(u):
            e = np.exp(u - u.max(axis=-1, keepdims=True))           e = np.exp(u)
            return e / e.sum(axis=-1, keepdims=True)                return e / e.sum()

        cases = {"softmax": [(np.array([[1.0, 2.0]]),), (np.eye(3),)]}

`cases` names the functions to be graded, with a list of argument tuples for each; or it is a function that returns
such a dict.  `points = {"softmax": 2}` weighs them, if the reference defines it.

This keeps an honest mistake, an endless loop, a crash, a flood of text from harming the grader or the others.  It is no
prison: a submission runs with your rights, and one that is out to harm can read files and end processes.  For
strangers' code, grade as a user who has nothing to lose.

>>> report = GradeReport("mine.py", (FunctionGrade("softmax", (CaseGrade(True), CaseGrade(False, "NaN in 1 of 3"))),))
>>> report.score
0.5
"""

from tinygrad_edu.check.grade.child import Limits
from tinygrad_edu.check.grade.grading import grade
from tinygrad_edu.check.grade.report import CaseGrade, FunctionGrade, GradeReport

__all__ = ["CaseGrade", "FunctionGrade", "GradeReport", "Limits", "grade"]
