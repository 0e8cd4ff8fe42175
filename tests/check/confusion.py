"""How often is a mistake called by its name?  `python -m tests.check.confusion [--seeds 20] [--out out]`

All mistakes of `hand_written`, put into the source of hand-written backward passes, in all networks, with all
activations and losses; for each seed other weights and data, and in turn with and without the deltas, with fused and
composed losses.  The function goes to `compare_gradients`, which may run it on a probe; `--dict` hands in its numbers
only.
"""

from __future__ import annotations

import argparse
import itertools
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

import tinygrad_edu as tg
from tests.check.hand_written import SPECIAL, SPECIAL_MISTAKES, Case, compiled, mistakes
from tinygrad_edu.check import compare_gradients

NETWORKS = {"2-3-1": ((2, 3, 1), 5), "20-8-5": ((20, 8, 5), 7), "6-6-6-6-3": ((6, 6, 6, 6, 3), 6)}
OUTCOMES = ("named", "synonyms", "described", "missed", "misnamed")


def draw(case: Case, rng: np.random.Generator) -> tuple[dict[str, Any], np.ndarray, np.ndarray]:
    """Parameters, X and t."""
    parameters = {}
    for i, (a, b) in enumerate(itertools.pairwise(case.sizes), start=1):
        parameters[f"W{i}"] = rng.normal(size=(a, b)) * np.sqrt(2 / a)
        parameters[f"b{i}"] = 0.3 * rng.normal(size=b)
    C = case.sizes[-1]
    t = {
        "mse": lambda: rng.uniform(0.1, 0.9, size=(case.n, C)),
        "bce": lambda: (rng.random((case.n, C)) < 0.5).astype(float),
        "ce": lambda: np.eye(C)[rng.integers(C, size=case.n)],
    }[case.loss]()
    return parameters, rng.normal(size=(case.n, case.sizes[0])), t


def recorded(case: Case, parameters: dict[str, Any], X: np.ndarray, t: np.ndarray, fused: bool) -> Any:
    """The same network as a graph."""
    p = {name: tg.Tensor(x, requires_grad=True, name=name) for name, x in parameters.items()}
    H: Any = tg.Tensor(X, name="X")
    T = tg.Tensor(t, name="t")
    phi = getattr(tg, case.phi)
    for i in range(1, case.depth + 1):
        U = tg.linear(H, p[f"W{i}"], p[f"b{i}"])
        H = phi(U)
    if case.loss == "mse":
        return tg.half_mse_loss(tg.sigmoid(U), T)
    if case.loss == "bce":
        if fused:
            return tg.binary_cross_entropy_with_logits(U, T)
        return tg.binary_cross_entropy(tg.sigmoid(U), T)
    return tg.cross_entropy(U, T) if fused else -(T * tg.log(tg.softmax(U))).sum(axis=1).mean()


def special(kind: str, rng: np.random.Generator) -> tuple[Any, dict[str, Any]]:
    """A graph with a residual connection, a penalty, a normalisation, ...; and the values of its inputs."""
    shapes = {"W1": (4, 6), "b1": (6,), "W2": (6, 3), "b2": (3,)}
    if kind == "residual":
        shapes = {"W1": (4, 6), "b1": (6,), "W2": (6, 6), "b2": (6,), "W3": (6, 3), "b3": (3,)}
    if kind == "norm":
        shapes = {"W1": (4, 6), "b1": (6,), "gain": (6,), "shift": (6,), "W2": (6, 3), "b2": (3,)}
    p: Any = {name: tg.Tensor(0.5 * rng.normal(size=s), requires_grad=True, name=name) for name, s in shapes.items()}
    X, t = tg.Tensor(rng.normal(size=(5, 4)), name="X"), tg.Tensor(rng.normal(size=(5, 3)), name="t")
    U: Any = tg.linear(X, p["W1"], p["b1"])
    if kind == "residual":
        H = tg.tanh(U)
        loss = tg.half_mse_loss(tg.linear(H + tg.tanh(tg.linear(H, p["W2"], p["b2"])), p["W3"], p["b3"]), t)
    elif kind == "norm":
        H = tg.tanh(tg.batch_norm(U, weight=p["gain"], bias=p["shift"], training=True))
        loss = tg.half_mse_loss(tg.linear(H, p["W2"], p["b2"]), t)
    elif kind == "decay":
        loss = tg.half_mse_loss(tg.linear(tg.tanh(U), p["W2"], p["b2"]), t)
        loss = loss + 0.05 * ((p["W1"] ** 2).sum() + (p["W2"] ** 2).sum())
    else:
        E = tg.exp(U)
        by = E.max(axis=1, keepdims=True) if kind == "maximum" else E.sum(axis=1, keepdims=True)
        loss = tg.half_mse_loss(tg.linear(E / by, p["W2"], p["b2"]), t)
    return loss, {"X": X.data, "t": t.data, **{name: x.data for name, x in p.items()}}


def outcome(comparison: Any, name: str) -> tuple[str, str]:
    """What became of a mistake: how it was called, in a word, and what was said."""
    if comparison.ok:
        return "missed", "ok"
    if not comparison.mistakes:
        return "described", "no mistake"
    first = comparison.mistakes[0]
    if name in first.names:
        return ("named" if len(first.names) == 1 else "synonyms"), " | ".join(first.names)
    if not first.names:
        return "described", first.says
    return "misnamed", " | ".join(first.names)


def cases(seeds: int) -> Iterator[tuple[str, str, str, str, int, Any, Any, Any]]:
    """Network, activation, loss, mistake ("" for none), seed, function, graph, arguments."""
    for (network, (sizes, n)), phi, loss in itertools.product(
        NETWORKS.items(), ("relu", "tanh", "sigmoid"), OUTCOME_LOSSES
    ):
        if loss == "ce" and sizes[-1] == 1:
            sizes = (*sizes[:-1], 2)
        for seed in range(seeds):
            rng = np.random.default_rng(seed)
            case = Case(sizes, phi, loss, n, 1 + seed % (len(sizes) - 2), deltas=seed % 2 == 0)
            parameters, X, t = draw(case, rng)
            graph = recorded(case, parameters, X, t, fused=seed % 4 < 2)
            given = {"X": X, "t": t, **parameters}
            yield network, phi, loss, "", seed, compiled(case.write()), graph, given
            for name, changes in mistakes(case):
                yield network, phi, loss, name, seed, compiled(case.write(changes)), graph, given
    for kind, source in SPECIAL.items():
        for seed in range(seeds):
            graph, given = special(kind, np.random.default_rng(seed))
            yield kind, "", "mse", "", seed, compiled(source), graph, given
            for which, name, old, new in SPECIAL_MISTAKES:
                if which == kind:
                    assert old in source
                    yield kind, "", "mse", name, seed, compiled(source.replace(old, new)), graph, given


CLIMBS = "an update that climbs"


def step(function: Any, given: dict[str, Any], eta: float) -> dict[str, Any]:
    """The parameters after W + eta dL/dW."""
    _, found = function(**given)
    return {name[1:]: given[name[1:]] + eta * g for name, g in found.items() if name[1:] in given}


OUTCOME_LOSSES = ("mse", "bce", "ce")


def run(seeds: int, numbers_only: bool = False) -> tuple[dict[str, Counter[str]], Counter[str], list[str]]:
    """Outcomes by mistake; of right functions how many were called right and wrong; what was said that is not right."""
    table: dict[str, Counter[str]] = defaultdict(Counter)
    right: Counter[str] = Counter()
    said: list[str] = []
    for network, phi, loss, name, seed, function, graph, given in cases(seeds):
        handed: Any = function(**{k: np.array(v) for k, v in given.items()}) if numbers_only else function
        with np.errstate(all="ignore"):
            comparison = compare_gradients(handed, graph)
        place = f"{network} {phi} {loss} seed {seed}"
        if not name:
            right["right" if comparison.ok else "WRONG"] += 1
            if not comparison.ok:
                said.append(f"{place}: a right gradient was called wrong\n{comparison}")
            for eta in (0.1, -0.1):
                stepped = compare_gradients(handed, graph, updated=step(function, given, eta))
                if eta > 0:
                    table[CLIMBS][outcome(stepped, CLIMBS)[0]] += 1
                else:
                    right["right" if stepped.ok else "WRONG"] += 1
            continue
        result, words = outcome(comparison, name)
        table[name][result] += 1
        if result not in ("named", "synonyms"):
            said.append(f"{place}: {name}: {result}: {words}")
    return table, right, said


def written(table: dict[str, Counter[str]], right: Counter[str]) -> str:
    """The matrix as Markdown."""
    total: Counter[str] = sum(table.values(), Counter())
    lines = [f"| mistake | cases | {' | '.join(OUTCOMES)} |", "|---" * (len(OUTCOMES) + 2) + "|"]
    for name, counts in [*sorted(table.items()), ("**all**", total)]:
        lines.append(f"| {name} | {counts.total()} | {' | '.join(str(counts[o]) for o in OUTCOMES)} |")
    share = (total["named"] + total["synonyms"]) / max(1, total.total())
    lines += ["", f"named or among synonyms: {share:.2%} of {total.total():,}"]
    lines += [f"right gradients: {right.total():,}, of which called wrong: {right['WRONG']}"]
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=20, help="how many draws of weights and data (20)")
    parser.add_argument("--out", type=Path, default=Path("out"), help="folder for the matrix")
    parser.add_argument("--dict", action="store_true", help="hand in numbers, not the function: no probe")
    args = parser.parse_args()
    table, right, said = run(args.seeds, args.dict)
    text = written(table, right)
    print(text)
    print(*said[:40], sep="\n")
    args.out.mkdir(parents=True, exist_ok=True)
    path = args.out / ("confusion_dict.md" if args.dict else "confusion.md")
    path.write_text(text + "\n")
    print(f"wrote {path}")


if __name__ == "__main__":
    main()
