"""The smallest network, 2-3-1: its whole graph fits on one screen, with every value and every gradient.

Two features, three hidden ReLU units and a sigmoid, as in the article "Neural Networks from Scratch"; the loss is
binary cross-entropy.  It learns XOR and two moons.
"""

import numpy as np

import tinygrad_edu as tg
import viz
from common import arguments, folder, train, wrote
from tinygrad_edu.nn.functional import binary_cross_entropy


def main():
    args = arguments(__doc__, epochs=400, quick=20, seed=6)  # three ReLU units get stuck on XOR from many other seeds
    out = folder(args, "two_three_one")
    written = []
    for name, (x, t) in {"xor": tg.data.xor(), "moons": tg.data.moons(rng=args.seed)}.items():
        rng = np.random.default_rng(args.seed)
        net = tg.nn.MLP([2, 3, 1], "relu", output="sigmoid", weight_init="he_normal", bias_init="zeros", rng=rng)
        if name == "xor":
            print(net)
            written += pictures(net, x, t, out)
        print(name)
        history = train(
            net,
            lambda net, x, t: binary_cross_entropy(net(x), t),
            tg.optim.Adam(net.parameters(), lr=0.02),
            x,
            t,
            args.epochs,
            batch=min(len(x), 32),
            rng=rng,
            measures={"accuracy": lambda net=net, x=x, t=t: float(np.mean((predict(net, x) > 0.5) == t.ravel()))},
        )
        written.append(viz.training.loss_curve(history, out / f"{name}_loss.png"))
        boundary = viz.training.decision_boundary(lambda p, net=net: predict(net, p), x, t.ravel(), out / f"{name}.png")
        written.append(boundary)
    wrote(*written)


def predict(net, x):
    """The probability of class 1 for each row."""
    with tg.no_grad():
        return net(x).numpy().ravel()


def pictures(net, x, t, out):
    """The graph of one forward pass over all four points of XOR, before training, and the page that goes through it.

    The README's picture is the middle of its backward pass:
    python -m viz.screenshot "out/two_three_one/backprop.html#step=12" examples/pictures/backprop.png
    """
    loss = binary_cross_entropy(net(tg.Tensor(x, name="X")), tg.Tensor(t, name="t"))
    loss.name = "L"
    title = "2-3-1 on XOR, before training"
    return [
        viz.render(viz.draw(loss, title=title), out / "xor_graph.svg"),
        viz.page(loss, out / "backprop.html", title),
    ]


if __name__ == "__main__":
    main()
