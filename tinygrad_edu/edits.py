"""Was a value edited after it was recorded, and does a rule still read it?  Then its gradient would be wrong.

`memory` knows when an array was written to; which values a rule reads is asked by letting it record.
"""

from __future__ import annotations

import numpy as np

from tinygrad_edu.errors import GraphError
from tinygrad_edu.memory import edited_since
from tinygrad_edu.modes import mode
from tinygrad_edu.record import Node, Rule, Value, ancestors, leaf, ndarray, tensor_of


def check_unedited(node: Node, useful: set[Node] | None, create_graph: bool) -> None:
    """Raise if a value that this Node's rules are about to read is no longer the recorded one."""
    stale = [i for i, array in enumerate((node.value, *node.args)) if edited_since(array, node.order)]
    if not stale:
        return
    op = node.op
    for parent, rule in zip(node.parents, op.vjps):
        if parent is None or not parent.needs_grad or rule is None or (useful is not None and parent not in useful):
            continue
        read = read_by(rule, node)
        if create_graph and op.residual is not None:  # which is then computed again, from what it reads
            read |= read_by(lambda g, y, *args, **params: op.residual(*args[:-1], **params), node)
        for i in read.intersection(stale):
            which = "output" if i == 0 else f"input {i}" if i <= len(node.parents) else "saved value"
            raise GraphError(
                f"backward: {op.name}'s {which} was edited after it was recorded; its gradient needs the old value. "
                "Sweep before you edit, or edit a copy (an optimiser's step is an edit, too)."
            )


def read_by(rule: Rule, node: Node) -> set[int]:
    """Which values a rule reads, 0 for the output and i for input i.  It is asked by letting it record."""
    values = (node.value, node.value, *node.args)
    g, *places = [tensor_of(leaf(x, False), x) if isinstance(x, ndarray) else x for x in values]
    with mode(everything=True), np.errstate(all="ignore"):
        result = rule(g, *places, **(node.params or {}))
    used = ancestors([result._node]) if isinstance(result, Value) and result._node is not None else set()
    return {i for i, place in enumerate(places) if isinstance(place, Value) and place._node in used}
