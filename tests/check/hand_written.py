"""Backward passes as people write them, as source, and the mistakes that people make, as changes of that source.

Nothing of the package is used here: the source is an independent witness.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

PHI = {"relu": "np.maximum({U}, 0)", "tanh": "np.tanh({U})", "sigmoid": "1 / (1 + np.exp(-{U}))"}
SLOPE = {"relu": "({U} > 0)", "tanh": "(1 - {H} ** 2)", "sigmoid": "{H} * (1 - {H})"}
SLOPE_AT_H = {
    "tanh": "(1 - np.tanh({H}) ** 2)",
    "sigmoid": "1 / (1 + np.exp(-{H})) * (1 - 1 / (1 + np.exp(-{H})))",
}
SLOPE_OF_U = {"tanh": "(1 - {U} ** 2)", "sigmoid": "{U} * (1 - {U})"}

OUTPUT = {
    "mse": ["y = 1 / (1 + np.exp(-{U}))", "L = np.sum((y - t) ** 2) / (2 * n)"],
    "bce": ["y = 1 / (1 + np.exp(-{U}))", "L = -np.mean(t * np.log(y) + (1 - t) * np.log(1 - y))"],
    "ce": ["E = np.exp({U} - {U}.max(axis=1, keepdims=True))", "y = E / E.sum(axis=1, keepdims=True)",
           "L = -np.sum(t * np.log(y)) / n"],
}  # fmt: skip
COUNT = {"mse": "n", "bce": "t.size", "ce": "n"}
TAIL = {"mse": " * y * (1 - y)", "bce": "", "ce": ""}


@dataclass
class Case:
    """A network, which layer a mistake is made in, and what the function hands out."""

    sizes: tuple[int, ...]
    phi: str
    loss: str
    n: int
    layer: int  # a hidden layer
    deltas: bool = True
    lines: dict[str, str] = field(default_factory=dict)

    @property
    def depth(self) -> int:
        return len(self.sizes) - 1

    def write(self, changes: dict[str, str] | None = None) -> str:
        """The source of `backward(X, t, W1, b1, ...)`, with some lines exchanged by their keys."""
        lines = self.right()
        for key, line in (changes or {}).items():
            assert key in lines, key
            lines[key] = line
        names = ", ".join(f"W{i}, b{i}" for i in range(1, self.depth + 1))
        body = "\n".join(f"    {line}" for text in lines.values() for line in text.split("\n"))
        return f"def backward(X, t, {names}):\n{body}\n"

    def right(self) -> dict[str, str]:
        """The lines by their keys."""
        last = self.depth
        lines = {"n": "n, C = t.shape"}
        for i in range(1, last + 1):
            H = f"H{i - 1}" if i > 1 else "X"
            lines[f"U{i}"] = f"U{i} = {H} @ W{i} + b{i}"
            if i < last:
                lines[f"H{i}"] = f"H{i} = {PHI[self.phi].format(U=f'U{i}')}"
        for k, text in enumerate(OUTPUT[self.loss]):
            lines[f"out{k}"] = text.format(U=f"U{last}")
        lines[f"d{last}"] = f"d{last} = (y - t) / {COUNT[self.loss]}{TAIL[self.loss]}"
        for i in range(last, 0, -1):
            H = f"H{i - 1}" if i > 1 else "X"
            lines[f"dW{i}"] = f"dW{i} = {H}.T @ d{i}"
            lines[f"db{i}"] = f"db{i} = d{i}.sum(axis=0)"
            if i > 1:
                lines[f"dH{i - 1}"] = f"dH{i - 1} = d{i} @ W{i}.T"
                lines[f"d{i - 1}"] = f"d{i - 1} = dH{i - 1} * {self.slope(SLOPE, i - 1)}"
        keys = [f"{kind}{i}" for i in range(last, 0, -1) for kind in ("dW", "db")]
        keys += [f"d{i}" for i in range(last, 0, -1)] if self.deltas else []
        lines["end"] = "found = {" + ", ".join(f'"{key}": {key}' for key in keys) + "}"
        lines["return"] = "return L, found"
        return lines

    def slope(self, table: dict[str, str], i: int) -> str:
        return table[self.phi].format(U=f"U{i}", H=f"H{i}")


def mistakes(case: Case) -> list[tuple[str, dict[str, str]]]:
    """The mistakes that make a difference in this network: the name of each, and the lines that it changes."""
    last, i, count, tail = case.depth, case.layer, COUNT[case.loss], TAIL[case.loss]
    D, H, U, below = f"d{last}", f"H{i}", f"U{i}", f"H{i - 1}" if i > 1 else "X"
    after = i + 1  # the layer that H_i goes into
    ends = [f"{kind}{k}" for k in range(1, last + 1) for kind in ("dW", "db")]
    right = case.right()

    def finally_(lines: list[str]) -> dict[str, str]:
        return {"end": "\n".join([*lines, right["end"]])}

    found: list[tuple[str, dict[str, str]]] = [
        ("sign", {D: f"{D} = (t - y) / {count}{tail}"}),
        ("sign", {f"d{i}": f"d{i} = -{right[f'd{i}'].split(' = ')[1]}"}),
        ("sign", {f"dW{after}": f"dW{after} = -{H}.T @ d{after}"}),
        ("missing 1/n", {D: f"{D} = (y - t){tail}"}),
        ("1/n twice", {D: f"{D} = (y - t) / {count} / {count}{tail}"}),
        ("1/n twice", finally_([f"{key} = {key} / {count}" for key in ends])),
        ("factor 2", {D: f"{D} = 2 * (y - t) / {count}{tail}"}),
        ("pre-activation used for activation", {f"dW{after}": f"dW{after} = {U}.T @ d{after}"}),
        ("bias not summed over the batch", {f"db{i}": f"db{i} = d{i}"}),
        ("bias summed over the wrong axis", {f"db{i}": f"db{i} = d{i}.sum(axis=1)"}),
        ("bias summed over all axes", {f"db{i}": f"db{i} = d{i}.sum()"}),
        ("bias averaged over the batch", {f"db{i}": f"db{i} = d{i}.mean(axis=0)"}),
        ("bias averaged over the batch", {f"db{last}": f"db{last} = d{last}.mean(axis=0)"}),
        ("activation derivative missing", {f"d{i}": f"d{i} = dH{i}"}),
        ("forgot minus target", {D: f"{D} = y / {count}{tail}"}),
        ("weight decay extra", finally_([f"dW{k} = dW{k} + 0.03 * W{k}" for k in range(1, last + 1)])),
        ("weight decay extra", {f"dW{i}": f"dW{i} = {below}.T @ d{i} + 0.2 * W{i}"}),
        ("accumulated twice or not zeroed", finally_([f"{key} = {key} + {key}" for key in ends])),
        ("first sample only", {f"dW{i}": f"dW{i} = np.outer({below}[0], d{i}[0])"}),
        ("first sample only", {f"db{i}": f"db{i} = d{i}[0]"}),
        ("first sample only", {D: f"{right[D]}\n{D} = np.where(np.arange(n)[:, None] == 0, {D}, 0)"}),
        ("outer product of sums", {f"dW{after}": f"dW{after} = np.outer({H}.sum(axis=0), d{after}.sum(axis=0))"}),
        (
            "stale values after an update",
            {f"dW{after}": f"dW{after} = {H}.T @ d{after}\nW{after} = W{after} - 0.1 * dW{after}"},
        ),
        ("value and gradient of two different losses", {"return": "return L * n, found"}),
    ]
    if case.sizes[-1] > 1 and case.loss != "bce":
        found.append(("mean over classes too", {D: f"{D} = (y - t) / (n * C){tail}"}))
    # A row for a column would be the same numbers, with an axis of size one elsewhere.
    k, values = (after, H) if min(case.sizes[i], case.sizes[after]) > 1 else (i, below)
    found.append(("result transposed", {f"dW{k}": f"dW{k} = d{k}.T @ {values}"}))
    if case.sizes[i] == case.sizes[after]:
        found.append(("weight not transposed", {f"dH{i}": f"dH{i} = d{after} @ W{after}"}))
        if case.n == case.sizes[i]:
            found.append(("product in the wrong order", {f"dH{i}": f"dH{i} = W{after}.T @ d{after}"}))
            found.append(("product in the wrong order", {f"dW{after}": f"dW{after} = d{after} @ {H}.T"}))

    def slopes(name: str, slope: str) -> None:
        found.append((name, {f"d{i}": f"d{i} = dH{i} * {slope}"}))

    if case.phi == "relu":
        slopes("ReLU mask inverted", f"({U} <= 0)")
    else:
        slopes("activation derivative applied twice", f"({case.slope(SLOPE, i)}) ** 2")
        slopes("activation derivative evaluated at the activation", case.slope(SLOPE_AT_H, i))
        slopes("pre-activation used for activation", case.slope(SLOPE_OF_U, i))
    if case.phi == "sigmoid":
        slopes("sigmoid's derivative as a", H)
        slopes("sigmoid's derivative as 1 - a", f"(1 - {H})")
    else:
        slopes("activation derivative replaced by the activation", H)
    if case.loss == "ce":
        found.append(("softmax diagonal only", {D: f"{D} = (-t / y / n) * y * (1 - y)"}))
        found.append(("softmax Jacobian skipped", {D: f"{D} = -t / y / n"}))
        found.append(("path through the normaliser cut", {D: f"{D} = (-t / y / n) * y"}))
    if case.loss == "mse":
        found.append(("activation derivative missing", {D: f"{D} = (y - t) / n"}))
    if case.loss == "bce":
        found.append(("activation derivative applied twice", {D: f"{D} = (y - t) / t.size * y * (1 - y)"}))
    return found


# ------------------------------------------------------------- networks with something special in them

SPECIAL = {
    "residual": '''
def backward(X, t, W1, b1, W2, b2, W3, b3):
    n, C = t.shape
    H1 = np.tanh(X @ W1 + b1)
    H2 = np.tanh(H1 @ W2 + b2)
    S = H1 + H2
    y = S @ W3 + b3
    L = np.sum((y - t) ** 2) / (2 * n)
    d3 = (y - t) / n
    dS = d3 @ W3.T
    d2 = dS * (1 - H2 ** 2)
    dH1 = dS + d2 @ W2.T
    d1 = dH1 * (1 - H1 ** 2)
    return L, {"dW3": S.T @ d3, "db3": d3.sum(axis=0), "dW2": H1.T @ d2, "db2": d2.sum(axis=0), "dW1": X.T @ d1,
               "db1": d1.sum(axis=0)}
''',
    "decay": '''
def backward(X, t, W1, b1, W2, b2):
    n, C = t.shape
    H1 = np.tanh(X @ W1 + b1)
    y = H1 @ W2 + b2
    L = np.sum((y - t) ** 2) / (2 * n) + 0.05 * (np.sum(W1 ** 2) + np.sum(W2 ** 2))
    d2 = (y - t) / n
    dW2 = H1.T @ d2 + 0.1 * W2
    d1 = (d2 @ W2.T) * (1 - H1 ** 2)
    dW1 = X.T @ d1 + 0.1 * W1
    return L, {"dW2": dW2, "db2": d2.sum(axis=0), "dW1": dW1, "db1": d1.sum(axis=0)}
''',
    "norm": '''
def backward(X, t, W1, b1, gain, shift, W2, b2):
    n, C = t.shape
    U1 = X @ W1 + b1
    r = 1 / np.sqrt(U1.var(axis=0) + 1e-5)
    Z = (U1 - U1.mean(axis=0)) * r
    H1 = np.tanh(gain * Z + shift)
    y = H1 @ W2 + b2
    L = np.sum((y - t) ** 2) / (2 * n)
    d2 = (y - t) / n
    g = (d2 @ W2.T) * (1 - H1 ** 2)
    dgain = (g * Z).sum(axis=0)
    dshift = g.sum(axis=0)
    dZ = g * gain
    d1 = r * (dZ - dZ.mean(axis=0) - Z * (dZ * Z).mean(axis=0))
    return L, {"dW2": H1.T @ d2, "db2": d2.sum(axis=0), "dgain": dgain, "dshift": dshift, "dW1": X.T @ d1,
               "db1": d1.sum(axis=0)}
''',
    "maximum": '''
def backward(X, t, W1, b1, W2, b2):
    n, C = t.shape
    E = np.exp(X @ W1 + b1)
    m = E.max(axis=1, keepdims=True)
    H1 = E / m
    y = H1 @ W2 + b2
    L = np.sum((y - t) ** 2) / (2 * n)
    d2 = (y - t) / n
    dH = d2 @ W2.T
    dm = -(dH * E / m ** 2).sum(axis=1, keepdims=True)
    dE = dH / m + dm * (E == m)
    d1 = dE * E
    return L, {"dW2": H1.T @ d2, "db2": d2.sum(axis=0), "dW1": X.T @ d1, "db1": d1.sum(axis=0)}
''',
    "normaliser": '''
def backward(X, t, W1, b1, W2, b2):
    n, C = t.shape
    E = np.exp(X @ W1 + b1)
    s = E.sum(axis=1, keepdims=True)
    H1 = E / s
    y = H1 @ W2 + b2
    L = np.sum((y - t) ** 2) / (2 * n)
    d2 = (y - t) / n
    dH = d2 @ W2.T
    ds = -(dH * E / s ** 2).sum(axis=1, keepdims=True)
    dE = dH / s + ds
    d1 = dE * E
    return L, {"dW2": H1.T @ d2, "db2": d2.sum(axis=0), "dW1": X.T @ d1, "db1": d1.sum(axis=0)}
''',
}  # fmt: skip

# The network, the mistake, and the text that is exchanged.
SPECIAL_MISTAKES = [
    ("residual", "branch overwritten instead of added", "dH1 = dS + d2 @ W2.T", "dH1 = d2 @ W2.T"),
    ("residual", "branch overwritten instead of added", "dH1 = dS + d2 @ W2.T", "dH1 = dS"),
    ("decay", "weight decay missing", " + 0.1 * W", " + 0 * W"),
    ("decay", "weight decay with another rate", " + 0.1 * W", " + 0.05 * W"),
    ("norm", "normalisation statistics held constant", " - dZ.mean(axis=0) - Z * (dZ * Z).mean(axis=0)", ""),
    ("norm", "broadcast axis kept", "dgain = (g * Z).sum(axis=0)", "dgain = g * Z"),
    ("norm", "broadcast axis lost", "dgain = (g * Z).sum(axis=0)", "dgain = (g * Z).sum(axis=1)"),
    ("maximum", "path through the maximum cut", "dE = dH / m + dm * (E == m)", "dE = dH / m"),
    ("normaliser", "path through the normaliser cut", "dE = dH / s + ds", "dE = dH / s"),
]  # fmt: skip


def compiled(source: str) -> object:
    """The function that a source defines."""
    namespace: dict[str, object] = {"np": np}
    exec(source, namespace)
    return namespace["backward"]
