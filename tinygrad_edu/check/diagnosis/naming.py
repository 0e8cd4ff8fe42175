"""Under what names people hand in gradients, and what their functions call their arguments."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Mapping
from typing import Any

from tinygrad_edu.check.diagnosis.evidence import Evidence
from tinygrad_edu.program import Variable

__all__ = ["arguments_of", "matched_names", "shown_arguments", "values_of"]

_GREEK = str.maketrans({"δ": "delta", "Δ": "delta", "∂": "d", "∇": "grad_"})
_PREFIX = re.compile(r"(?i)^(d[a-z]/d|d[a-z]_d|dloss/d|dloss_d|grad(?:ient)?_?|d_|d|g_)")
_SUFFIX = re.compile(r"(?i)([._]grad(?:ient)?)$")


def _plain(name: str) -> str:
    """A name in ASCII: subscripts and superscripts as digits, Greek letters written out."""
    return (
        unicodedata.normalize("NFKC", name)
        .translate(_GREEK)
        .replace(" ", "")
        .replace("^", "")
        .replace("{", "")
        .replace("}", "")
    )


def _spellings(e: Evidence) -> dict[str, Variable]:
    """Every name of a value whose gradient may be given, in small letters, as far as it is unambiguous."""
    found: dict[str, Variable] = {}
    unclear: set[str] = set()

    def add(name: str, variable: Variable) -> None:
        key = name.lower()
        if found.setdefault(key, variable) is not variable:
            unclear.add(key)

    single = len(e.layers) == 1
    for layer in e.layers:
        for letters, variable in (("w", layer.W), ("b", layer.b), ("u", layer.U), ("z", layer.U)):
            if variable is not None:
                for number in [str(layer.number), *([""] if single else [])]:
                    add(f"{letters}{number}", variable)
                    add(f"{letters}_{number}", variable)
                    add(f"{'weight' if letters == 'w' else 'bias' if letters == 'b' else letters}{number}", variable)
        for letter in ("h", "a"):
            if layer.number > 1 and layer.H is not None:
                add(f"{letter}{layer.number - 1}", layer.H)
    if e.layers:
        first, last = e.layers[0], e.layers[-1]
        if first.H is not None:
            add("x", first.H)
        for variable, symbol in e.symbols.items():
            if symbol == "y":
                add("y", variable)
                add(f"h{last.number}", variable)
                add(f"a{last.number}", variable)
    for variable in e.program.variables():
        if variable.named:
            add(variable.name, variable)
    return {name: variable for name, variable in found.items() if name not in unclear}


def matched_names(e: Evidence, given: Iterable[str]) -> dict[str, str]:
    """For each name that is given, that of the gradient which it means (a key of `e.targets`, extended as needed).

    A name that means nothing here is left out.  Known are delta2, d2, δ2, dU2, dW2, W2, dL/dW2, ∂L/∂W², grad_W2,
    fc2.weight, d_fc2.weight, dH1, dy, and the like.
    """
    spellings = _spellings(e)
    by_variable = {variable: name for name, variable in reversed(e.targets.items())}
    own = {x.name: x for x in e.program.variables() if x.named}  # the names that the tensors themselves have come first
    found: dict[str, str] = {}
    for name in given:
        variable = own.get(name) or own.get(_PREFIX.sub("", _SUFFIX.sub("", _plain(name)), count=1))
        if variable is None and name in e.targets:
            found[name] = name
            continue
        variable = variable or _meant(_plain(name), spellings, e)
        if variable is None or variable not in e.sweep.totals:
            continue
        if variable not in by_variable:  # dH1, dy, dX: not asked for, but as true as the others
            by_variable[variable] = f"d{e.symbol(variable)}"
            e.targets[by_variable[variable]] = variable
        found[name] = by_variable[variable]
    return found


def _meant(name: str, spellings: Mapping[str, Variable], e: Evidence) -> Variable | None:
    delta = re.fullmatch(r"(?i)(?:delta|d)_?(\d*)", name)
    if delta:
        if not delta[1]:
            return e.layers[0].U if len(e.layers) == 1 and name.lower() != "d" else None
        return next((layer.U for layer in e.layers if layer.number == int(delta[1])), None)
    core = _SUFFIX.sub("", name).lower()
    return spellings.get(core) or spellings.get(_PREFIX.sub("", core, count=1))


def arguments_of(e: Evidence) -> dict[str, Variable]:
    """What a hand-written function may call the inputs of the program: X, t, W1, b1, fc1_weight, ..."""
    inputs = set(e.program.inputs)
    found = {name: variable for name, variable in _spellings(e).items() if variable in inputs}
    for variable in e.program.inputs:
        if variable.kind in ("parameter", "data"):
            found.setdefault(variable.name.lower(), variable)
            found.setdefault(variable.name.replace(".", "_").lower(), variable)
    first = e.layers[0].H if e.layers else None
    data = [x for x in e.program.inputs if x.kind == "data"]
    if first in inputs and first is not None:
        for name in ("x", "inputs", "input", "a0", "h0", "features"):
            found.setdefault(name, first)
    targets = [x for x in data if x is not first and (x.value.ndim or x.dtype.kind in "iu")]
    outs = [x for x in targets if x.name.startswith(("t", "y", "label", "T"))] or targets
    if len(outs) == 1 or (outs and e.output is not None):
        for name in ("t", "y", "target", "targets", "labels", "y_true", "truth", "onehot", "t_onehot"):
            found.setdefault(name, outs[0])
    return found


def shown_arguments(e: Evidence) -> str:
    """The names that a function may use, for an error."""
    order = [x for x in e.program.inputs if x.kind == "data"] + e.program.parameters
    names: dict[Variable, str] = {}
    for name, variable in arguments_of(e).items():
        symbol = e.symbol(variable)
        names.setdefault(variable, symbol if symbol.lower() == name else name)
    return ", ".join(names[x] for x in order if x in names)


def values_of(e: Evidence, values: Mapping[Variable, Any]) -> dict[str, Any]:
    """The arguments with their values, each under all of its names."""
    return {name: values[variable] for name, variable in arguments_of(e).items()}
