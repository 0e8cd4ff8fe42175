"""A curve through noisy points: without activations a straight line, with them a bell.

The toy regression of "Build a Neural Network from Scratch Using Numpy": 1-16-16-1, squared error
1/(2n) sum ||y - t||^2, batches of 16, learning rate 0.001; once without activations, once with ReLU and then sigmoid.
"""

import numpy as np

import tinygrad_edu as tg
import viz
from common import arguments, folder, train, wrote
from tinygrad_edu.nn.functional import half_mse_loss


def main():
    args = arguments(__doc__, epochs=300, quick=3)
    x, t = tg.data.article_regression(rng=args.seed)
    models = {"without activations": "identity", "ReLU, then sigmoid": ["relu", "sigmoid"]}
    fits, curves = {}, {}
    grid = np.linspace(x.min(), x.max(), 200)[:, None]
    for name, activation in models.items():
        rng = np.random.default_rng(args.seed)
        net = tg.nn.MLP([1, 16, 16, 1], activation, weight_init="normal", bias_init="normal", rng=rng)
        print(name)
        history = train(
            net,
            lambda net, x, t: half_mse_loss(net(x), t),
            tg.optim.SGD(net.parameters(), lr=0.001),
            x,
            t,
            args.epochs,
            batch=16,
            rng=rng,
        )
        with tg.no_grad():
            print(f"mean squared error {np.mean((net(x).numpy() - t) ** 2):.5f}")
            fits[name] = net(grid).numpy().ravel()
        curves[f"loss, {name}"] = history["loss"]
    out = folder(args, "regression")
    wrote(
        viz.training.regression_fits(x.ravel(), t.ravel(), grid.ravel(), {}, out / "data.png"),
        viz.training.regression_fits(x.ravel(), t.ravel(), grid.ravel(), fits, out / "fits.png"),
        viz.training.loss_curve(curves, out / "loss.png"),
    )


if __name__ == "__main__":
    main()
