"""Which mistake is it?  A wrong gradient is compared with the gradient that each known mistake would have yielded.

backward      the sweep in NumPy, and what a changed step makes of everything behind it
evidence      a recorded graph's layers, their names, values and true gradients
hypotheses    what a hypothesis is; the tables of them stand in slopes, products, sums and endings
search        the hypotheses that reproduce a wrong gradient exactly, step by step along the sweep
describing    what is said where none does: what differs, and by what pattern
naming        under which names gradients and arguments are known
calling       a backward pass given as a function or an object
probing       other inputs, on which mistakes that look alike differ
lines         the line that would have been right
diagnosing    all of it together
report        the outcome
"""

from tinygrad_edu.check.diagnosis.diagnosing import diagnose
from tinygrad_edu.check.diagnosis.report import Diagnosis, Mistake

__all__ = ["Diagnosis", "Mistake", "diagnose"]
