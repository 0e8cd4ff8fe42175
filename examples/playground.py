"""Play with activation functions, architectures and datasets: three switches, and a grid of decision boundaries.

python examples/playground.py --activations relu tanh --architectures 8 8-8 --datasets moons spiral
"""

import numpy as np
from tqdm import tqdm

import tinygrad_edu as tg
import viz
from common import arguments, folder, wrote
from tinygrad_edu.nn.functional import binary_cross_entropy_with_logits

DATASETS = {"moons": tg.data.moons, "circles": tg.data.circles, "spiral": tg.data.spiral}


def main():
    args = arguments(
        __doc__.splitlines()[0],
        epochs=200,
        quick=5,
        activations={
            "nargs": "+",
            "default": ["identity", "relu", "tanh", "sigmoid"],
            "choices": list(tg.nn.ACTIVATIONS),
        },
        architectures={"nargs": "+", "default": ["3", "16", "16-16"], "help": "hidden widths, as 16-16"},
        datasets={"nargs": "+", "default": ["moons"], "choices": list(DATASETS)},
    )
    out = folder(args, "playground")
    written = []
    for dataset in args.datasets:
        x, t = DATASETS[dataset](rng=args.seed)
        cases = [(architecture, activation) for architecture in args.architectures for activation in args.activations]
        panels = []
        for architecture, activation in tqdm(cases, desc=dataset, ascii=" #", ncols=100):
            net, loss = fit([*map(int, architecture.split("-"))], activation, x, t, args)
            predict = lambda points, net=net: probability(net, points)
            right = np.mean((predict(x) > 0.5) == t.ravel())
            panels.append((f"{architecture}  {activation}\nloss {loss:.3f}  {right:.0%}", predict))
        columns = len(args.activations)
        path = out / f"{dataset}.png"
        written.append(viz.training.grid_of_boundaries(panels, x, t.ravel(), path, columns=columns, title=dataset))
    wrote(*written)


def fit(hidden, activation, x, t, args):
    """Train one network; return it and its last loss."""
    rng = np.random.default_rng(args.seed)
    net = tg.nn.MLP([2, *hidden, 1], activation, weight_init="glorot_uniform", bias_init="zeros", rng=rng)
    optimizer = tg.optim.Adam(net.parameters(), lr=0.02)
    for _ in range(args.epochs):
        for x_batch, t_batch in tg.data.batches(x, t, 32, rng):
            loss = binary_cross_entropy_with_logits(net(x_batch), t_batch)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    return net, loss.item()


def probability(net, points):
    """The probability of class 1 for each row."""
    with tg.no_grad():
        return tg.sigmoid(net(points)).numpy().ravel()


if __name__ == "__main__":
    main()
