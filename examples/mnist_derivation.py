"""784-64-10 as in "Build a Neural Network from Scratch Using Numpy": row vectors, softmax, summed cross-entropy.

Weights and biases from N(0, 1), pixels in [-0.5, 0.5], batches of 16, SGD with learning rate 0.005.  The article's test
accuracy is 0.807 after the first epoch and 0.919 after the tenth.
"""

import numpy as np

import tinygrad_edu as tg
import viz
from common import DATA, accuracy, arguments, folder, images, train, wrote
from tinygrad_edu.nn.functional import cross_entropy


def main():
    args = arguments(__doc__, epochs=10, quick=1, data=DATA)
    split = images(args, dtype=np.float32, scale=(-0.5, 0.5))
    rng = np.random.default_rng(args.seed)
    widths = [split.x_train.shape[1], 64, split.classes]
    net = tg.nn.MLP(widths, weight_init="normal", bias_init="normal", rng=rng, dtype=np.float32)
    history = train(
        net,
        lambda net, x, t: cross_entropy(net(x), t, reduction="sum"),
        tg.optim.SGD(net.parameters(), lr=0.005),
        split.x_train,
        split.t_train,
        args.epochs,
        batch=16,
        rng=rng,
        measures={"test": lambda: accuracy(net, split.x_test, split.t_test)},
    )
    print("test accuracy by epoch:", " ".join(f"{a:.3f}" for a in history["test"]))
    wrote(viz.training.loss_curve(history, folder(args, "mnist_derivation") / "loss.png"))


if __name__ == "__main__":
    main()
