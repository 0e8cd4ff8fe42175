"""Find the mistake: a backward pass written by hand, one line of it wrong, and what the diagnosis says about it.

A small network, 4-5-5-3 with tanh and softmax, and a few others where a mistake needs them.  Each wrong line is one
that people write.  The last chapters have the three slips that are printed in an article on backpropagation, and
mistakes that are on no list: those are described, not named.
"""

import argparse
from pathlib import Path

import numpy as np

import tinygrad_edu as tg
from common import wrote
from tinygrad_edu.check import compare_gradients

NETWORK = """
def backward(X, t, W1, b1, W2, b2, W3, b3):
    n, C = t.shape
    U1 = X @ W1 + b1
    H1 = {phi}
    U2 = H1 @ W2 + b2
    H2 = np.tanh(U2)
    U3 = H2 @ W3 + b3
    {output}
    L = {loss}
    d3 = {delta}
    dW3 = H2.T @ d3
    db3 = d3.sum(axis=0)
    d2 = (d3 @ W3.T) * (1 - H2 ** 2)
    dW2 = H1.T @ d2
    db2 = d2.sum(axis=0)
    d1 = (d2 @ W2.T) * {slope}
    dW1 = X.T @ d1
    db1 = d1.sum(axis=0)
    return L, {{"d3": d3, "dW3": dW3, "db3": db3, "d2": d2, "dW2": dW2, "db2": db2, "d1": d1, "dW1": dW1, "db1": db1}}
"""
SOFTMAX = {
    "output": "y = np.exp(U3) / np.exp(U3).sum(axis=1, keepdims=True)",
    "loss": "-np.sum(t * np.log(y)) / n",
    "delta": "(y - t) / n",
}
SQUARES = {"output": "y = U3", "loss": "np.sum((y - t) ** 2) / (2 * n)", "delta": "(y - t) / n"}
PHI = {
    "tanh": {"phi": "np.tanh(U1)", "slope": "(1 - H1 ** 2)"},
    "relu": {"phi": "np.maximum(U1, 0)", "slope": "(U1 > 0)"},
    "sigmoid": {"phi": "1 / (1 + np.exp(-U1))", "slope": "H1 * (1 - H1)"},
}

RESIDUAL = """
def backward(X, t, W1, b1, W2, b2):
    n = len(X)
    H1 = np.tanh(X @ W1 + b1)
    S = H1 + X
    y = S @ W2 + b2
    d2 = (y - t) / n
    dS = d2 @ W2.T
    dX = dS
    d1 = dS * (1 - H1 ** 2)
    dX = dX + d1 @ W1.T
    return {"dX": dX, "dW2": S.T @ d2, "db2": d2.sum(axis=0), "dW1": X.T @ d1, "db1": d1.sum(axis=0)}
"""
NORMALISED = """
def backward(X, t, W1, b1, gain, shift, W2, b2):
    n = len(X)
    U1 = X @ W1 + b1
    r = 1 / np.sqrt(U1.var(axis=0) + 1e-5)
    Z = (U1 - U1.mean(axis=0)) * r
    H1 = np.tanh(gain * Z + shift)
    y = H1 @ W2 + b2
    d2 = (y - t) / n
    g = (d2 @ W2.T) * (1 - H1 ** 2)
    dgain = (g * Z).sum(axis=0)
    dshift = g.sum(axis=0)
    dZ = g * gain
    d1 = r * (dZ - dZ.mean(axis=0) - Z * (dZ * Z).mean(axis=0))
    return {"dW2": H1.T @ d2, "db2": d2.sum(axis=0), "dgain": dgain, "dshift": dshift, "d1": d1, "dW1": X.T @ d1,
            "db1": d1.sum(axis=0)}
"""
SCALED = """
def backward(X, t, W1, b1, W2, b2):
    n = len(X)
    E = np.exp(X @ W1 + b1)
    s = E.{reduce}(axis=1, keepdims=True)
    y = (E / s) @ W2 + b2
    d2 = (y - t) / n
    dH = d2 @ W2.T
    ds = -(dH * E / s ** 2).sum(axis=1, keepdims=True)
    dE = dH / s + ds * {where}
    d1 = dE * E
    return {{"dW2": (E / s).T @ d2, "db2": d2.sum(axis=0), "d1": d1, "dW1": X.T @ d1, "db1": d1.sum(axis=0)}}
"""
DECAYED = """
def backward(X, t, W1, b1):
    n = len(X)
    d1 = (X @ W1 + b1 - t) / n
    dW1 = X.T @ d1 + 0.1 * W1
    return {"d1": d1, "dW1": dW1, "db1": d1.sum(axis=0)}
"""

# What the mistake is, the network, the right line, the wrong one.
MISTAKES = [
    ("At the loss", [
        ("sign", "tanh", "d3 = (y - t) / n", "d3 = (t - y) / n"),
        ("missing 1/n", "tanh", "d3 = (y - t) / n", "d3 = y - t"),
        ("1/n twice", "tanh", "d3 = (y - t) / n", "d3 = (y - t) / n / n"),
        ("factor 2", "squares", "d3 = (y - t) / n", "d3 = 2 * (y - t) / n"),
        ("mean over classes too", "tanh", "d3 = (y - t) / n", "d3 = (y - t) / (n * C)"),
        ("forgot minus target", "tanh", "d3 = (y - t) / n", "d3 = y / n"),
        ("softmax diagonal only", "tanh", "d3 = (y - t) / n", "d3 = -t / y / n * y * (1 - y)"),
        ("softmax Jacobian skipped", "tanh", "d3 = (y - t) / n", "d3 = -t / y / n"),
        ("path through the normaliser cut", "tanh", "d3 = (y - t) / n", "d3 = -t / n"),
    ]),
    ("Matrix products", [
        ("result transposed", "tanh", "dW3 = H2.T @ d3", "dW3 = d3.T @ H2"),
        ("weight not transposed", "tanh", "(d2 @ W2.T)", "(d2 @ W2)"),
        ("product in the wrong order", "square batch", "(d2 @ W2.T)", "(W2.T @ d2)"),
        ("pre-activation used for activation", "tanh", "dW2 = H1.T @ d2", "dW2 = U1.T @ d2"),
        ("first sample only", "tanh", "dW1 = X.T @ d1", "dW1 = np.outer(X[0], d1[0])"),
        ("outer product of sums", "tanh", "dW2 = H1.T @ d2", "dW2 = np.outer(H1.sum(axis=0), d2.sum(axis=0))"),
    ]),
    ("Biases and broadcasting", [
        ("bias not summed over the batch", "tanh", "db2 = d2.sum(axis=0)", "db2 = d2"),
        ("bias summed over the wrong axis", "tanh", "db2 = d2.sum(axis=0)", "db2 = d2.sum(axis=1)"),
        ("bias averaged over the batch", "tanh", "db2 = d2.sum(axis=0)", "db2 = d2.mean(axis=0)"),
        ("broadcast axis kept", "normalised", "dgain = (g * Z).sum(axis=0)", "dgain = g * Z"),
        ("broadcast axis lost", "normalised", "dgain = (g * Z).sum(axis=0)", "dgain = (g * Z).sum(axis=1)"),
    ]),
    ("Activations", [
        ("activation derivative missing", "tanh", " * (1 - H1 ** 2)", ""),
        ("activation derivative applied twice", "tanh", "* (1 - H1 ** 2)", "* (1 - H1 ** 2) ** 2"),
        ("activation derivative evaluated at the activation", "tanh", "(1 - H1 ** 2)", "(1 - np.tanh(H1) ** 2)"),
        ("activation derivative replaced by the activation", "tanh", "(1 - H1 ** 2)", "H1"),
        ("ReLU mask inverted", "relu", "(U1 > 0)", "(U1 <= 0)"),
        ("sigmoid's derivative as a", "sigmoid", "H1 * (1 - H1)", "H1"),
        ("sigmoid's derivative as 1 - a", "sigmoid", "H1 * (1 - H1)", "(1 - H1)"),
    ]),
    ("Values that are used more than once", [
        ("branch overwritten instead of added", "residual", "dX = dX + d1 @ W1.T", "dX = d1 @ W1.T"),
        ("path through the maximum cut", "scaled by the maximum", "dE = dH / s + ds * (E == s)", "dE = dH / s"),
        ("path through the normaliser cut", "scaled by the sum", "dE = dH / s + ds * 1", "dE = dH / s"),
        ("normalisation statistics held constant", "normalised", " - dZ.mean(axis=0) - Z * (dZ * Z).mean(axis=0)", ""),
    ]),
    ("Around the gradient", [
        ("accumulated twice or not zeroed", "tanh", "dW3 = H2.T @ d3", "dW3 = H2.T @ d3; dW3 += H2.T @ d3"),
        ("weight decay missing", "decayed", " + 0.1 * W1", ""),
        ("weight decay extra", "tanh", "dW1 = X.T @ d1", "dW1 = X.T @ d1 + 0.01 * W1"),
        ("stale values after an update", "tanh", "dW2 = H1.T @ d2", "dW2 = H1.T @ d2; W2 = W2 - 0.1 * dW2"),
    ]),
    ("The slips of an article", [
        ("weight not transposed", "one sample", "(d2 @ W2.T)", "(d2 @ W2)"),
        ("an update that climbs", "squares", "W = W - eta * dW", "W = W + eta * dW"),
        ("value and gradient of two different losses", "squares", "L = np.sum((y - t) ** 2) / (2 * n)",
         "L = np.sum((y - t) ** 2) / 2"),
    ]),
    ("On no list", [
        ("", "tanh", "d1 = (d2 @ W2.T)", "d1 = 0.73 * (d2 @ W2.T)"),
        ("", "relu", "(U1 > 0)", "np.where(U1 > 0, 1, 0.01)"),
        ("", "tanh", "d3 = (y - t) / n", "d3 = (y - t) / (n - 1)"),
        ("", "tanh", "dW2 = H1.T @ d2", "dW2 = np.clip(H1.T @ d2, -0.01, 0.01)"),
        ("", "tanh", "d3 = (y - t) / n", "d3 = (np.eye(C)[y.argmax(axis=1)] - t) / n"),
    ]),
]  # fmt: skip


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="the first two mistakes of each chapter")
    parser.add_argument("--seed", type=int, default=1, help="seed of weights and data (1)")
    parser.add_argument("--out", type=Path, default=Path("out"), help="folder for the table")
    args = parser.parse_args()
    table = ["| the mistake | right | wrong | what is said | how sure |", "|---|---|---|---|---|"]
    found = played = 0
    for chapter, mistakes in MISTAKES:
        print(f"\n{chapter}\n{'=' * len(chapter)}")
        for name, kind, right, wrong in mistakes[:2] if args.quick else mistakes:
            comparison = play(kind, right, wrong, args.seed)
            first = comparison.mistakes[0]
            played += 1
            found += name in first.names if name else not first.names
            print(f"\n{name or 'something else'} ({kind})\n  instead of  {right}\n  stands      {wrong or 'nothing'}\n")
            print("\n".join(f"    {line}" for line in str(comparison.diagnosis).splitlines()))
            cells = (name or "-", code(right), code(wrong), f"{first.where}: {first.title}", first.sure)
            table.append(f"| {' | '.join(cell.replace('|', '/') for cell in cells)} |")
    print(f"\n{found} of {played}: called by its name, or described where it has none")
    folder = args.out / "find_the_mistake"
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "mistakes.md"
    path.write_text("\n".join(table) + "\n", encoding="utf-8")
    wrote(path)


def code(line):
    """A line for a cell of the table."""
    return f"`{line.strip()}`" if line.strip() else "nothing"


def play(kind, right, wrong, seed):
    """Put the wrong line into the backward pass of a network, and compare it with the graph of this network."""
    source, loss, given = network(kind, np.random.default_rng(seed))
    if right.startswith("W = W"):
        gradients = function(source)(**given)[1]
        new = {name: given[name] + 0.1 * gradients[f"d{name}"] for name in ("W1", "b1", "W2", "b2", "W3", "b3")}
        return compare_gradients(gradients, loss, updated=new)
    assert right in source
    return compare_gradients(function(source.replace(right, wrong)), loss)


def function(source):
    """The function that a source defines."""
    namespace = {"np": np}
    exec(source, namespace)
    return namespace["backward"]


def network(kind, rng):
    """A backward pass as source, the loss of the same network as a graph, and the values of its inputs."""
    n = {"one sample": 1, "square batch": 5}.get(kind, 6)
    sizes = {
        "residual": {"W1": (4, 4), "b1": 4, "W2": (4, 3), "b2": 3},
        "normalised": {"W1": (4, 5), "b1": 5, "gain": 5, "shift": 5, "W2": (5, 3), "b2": 3},
        "scaled by the maximum": {"W1": (4, 5), "b1": 5, "W2": (5, 3), "b2": 3},
        "scaled by the sum": {"W1": (4, 5), "b1": 5, "W2": (5, 3), "b2": 3},
        "decayed": {"W1": (4, 3), "b1": 3},
    }.get(kind, {"W1": (4, 5), "b1": 5, "W2": (5, 5), "b2": 5, "W3": (5, 3), "b3": 3})
    p = {name: tg.Tensor(0.7 * rng.normal(size=size), requires_grad=True, name=name) for name, size in sizes.items()}
    X = tg.Tensor(rng.normal(size=(n, 4)), requires_grad=kind == "residual", name="X")
    one_hot = np.eye(3)[rng.integers(3, size=n)]
    squares = kind in ("squares", "one sample", *SPECIAL)
    t = tg.Tensor(rng.normal(size=(n, 3)) if squares else one_hot, name="t")
    given = {"X": X.data, "t": t.data, **{name: x.data for name, x in p.items()}}
    U1 = tg.linear(X, p["W1"], p["b1"])
    if kind in SPECIAL:
        source, output = SPECIAL[kind]
        return source, output(U1, X, t, p), given
    phi = kind if kind in PHI else "tanh"
    U2 = tg.linear(getattr(tg, phi)(U1), p["W2"], p["b2"])
    U3 = tg.linear(tg.tanh(U2), p["W3"], p["b3"])
    loss = tg.half_mse_loss(U3, t) if squares else tg.cross_entropy(U3, t)
    return NETWORK.format(**PHI[phi], **(SQUARES if squares else SOFTMAX)), loss, given


def after(H, t, p):
    """The last layer, and half the mean squared error."""
    return tg.half_mse_loss(tg.linear(H, p["W2"], p["b2"]), t)


def normalised(U1, X, t, p):
    return after(tg.tanh(tg.batch_norm(U1, weight=p["gain"], bias=p["shift"], training=True)), t, p)


def scaled(reduce):
    def loss(U1, X, t, p):
        E = tg.exp(U1)
        return after(E / getattr(E, reduce)(axis=1, keepdims=True), t, p)

    return loss


SPECIAL = {
    "residual": (RESIDUAL, lambda U1, X, t, p: after(tg.tanh(U1) + X, t, p)),
    "normalised": (NORMALISED, normalised),
    "scaled by the maximum": (SCALED.format(reduce="max", where="(E == s)"), scaled("max")),
    "scaled by the sum": (SCALED.format(reduce="sum", where="1"), scaled("sum")),
    "decayed": (DECAYED, lambda U1, X, t, p: tg.half_mse_loss(U1, t) + 0.05 * (p["W1"] ** 2).sum()),
}


if __name__ == "__main__":
    main()
