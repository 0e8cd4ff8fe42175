"""784-10-10 with column vectors, z = W a + b, and full-batch gradient descent: "Neural Network from Scratch".

Weights and biases from U(-0.5, 0.5), pixels / 255, the first 1,000 shuffled rows held out, 100 steps with eta = 1.  The
result depends on the draw, so several seeds are run; the article reports about 85 %.
"""

import numpy as np
from tqdm import tqdm

import tinygrad_edu as tg
import viz
from common import DATA, arguments, folder, images, wrote


class Columns(tg.nn.Module):
    """Two layers in the column convention: one column for each sample, W (out, in), b (out, 1)."""

    def __init__(self, widths, rng):
        super().__init__()
        draw = lambda *shape: rng.uniform(-0.5, 0.5, shape).astype(np.float32)
        m, hidden, classes = widths
        self.W1, self.b1 = tg.nn.Parameter(draw(hidden, m)), tg.nn.Parameter(draw(hidden, 1))
        self.W2, self.b2 = tg.nn.Parameter(draw(classes, hidden)), tg.nn.Parameter(draw(classes, 1))

    def forward(self, x):
        return self.W2 @ tg.relu(self.W1 @ x + self.b1) + self.b2


def main():
    args = arguments(
        __doc__, epochs=100, quick=5, data=DATA, seeds={"type": int, "default": 3, "help": "how many seeds to run"}
    )
    split = images(args, dtype=np.float32)
    x, t = split.x_train.T, split.t_train  # a column for each sample
    curves = {}
    for seed in range(args.seed, args.seed + (1 if args.quick else args.seeds)):
        rng = np.random.default_rng(seed)
        order = rng.permutation(x.shape[1])
        held_out, rest = order[:1000], order[1000:]
        net = Columns([x.shape[0], 10, split.classes], rng)
        losses = descend(net, np.ascontiguousarray(x[:, rest]), t[rest], args.epochs)
        print(
            f"seed {seed}: loss {losses[-1]:.4f}  train {accuracy(net, x[:, rest], t[rest]):.3f}  "
            f"held out {accuracy(net, x[:, held_out], t[held_out]):.3f}"
        )
        curves[f"loss, seed {seed}"] = losses
    wrote(viz.training.loss_curve(curves, folder(args, "mnist_columns") / "loss.png"))


def descend(net, x, t, steps, eta=1.0):
    """Full-batch gradient descent: W <- W - eta dL/dW, L the mean over the samples."""
    optimizer = tg.optim.SGD(net.parameters(), lr=eta)
    losses = []
    for _ in tqdm(range(steps), desc="step", ascii=" #", ncols=100):
        loss = tg.nn.functional.cross_entropy(net(x).T, t)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


def accuracy(net, x, t):
    """The share of columns whose largest output is at their label."""
    with tg.no_grad():
        return (net(x).argmax(axis=0) == t).mean().item()


if __name__ == "__main__":
    main()
