"""The main job: an MLP learns handwritten digits, and every one of its gradients is verified.

A mini-batch's gradients, and the delta of each layer, are compared with the backpropagation equations derived by hand.
"""

import numpy as np

import tinygrad_edu as tg
import viz
from common import DATA, accuracy, arguments, folder, images, train, wrote
from tinygrad_edu.nn.functional import cross_entropy


def main():
    args = arguments(__doc__, epochs=30, quick=3, data=DATA)
    split = images(args, dtype=np.float32)
    rng = np.random.default_rng(args.seed)
    widths = [split.x_train.shape[1], 64, 32, split.classes]
    net = tg.nn.MLP(widths, activation="relu", weight_init="he_normal", bias_init="zeros", rng=rng, dtype=np.float32)
    count = sum(p.size for p in net.parameters())
    print(f"MLP {'-'.join(map(str, widths))}, {count:,} parameters, float32")

    by_layer = {}
    history = train(
        net,
        lambda net, x, t: cross_entropy(net(x), t),
        tg.optim.Adam(net.parameters(), lr=2e-3),
        split.x_train,
        split.t_train,
        args.epochs,
        batch=32,
        rng=rng,
        measures={
            "train": lambda: accuracy(net, split.x_train, split.t_train),
            "test": lambda: accuracy(net, split.x_test, split.t_test),
        },
        layers=by_layer,
    )

    comparison, loss = verify(net, split.x_train[:32], split.t_train[:32])
    print("one batch of 32, in float64:")
    print(comparison)

    out = folder(args, "digits")
    with tg.no_grad():
        predictions = net(split.x_test).argmax(axis=1).numpy()
    wrong = np.flatnonzero(predictions != split.t_test)[:24]
    pictures = split.x_test[wrong].reshape(-1, *split.image_shape)
    wrote(
        viz.render(viz.draw(loss), out / "graph.svg"),
        viz.page(loss, out / "backprop.html", "An MLP on 32 handwritten digits"),
        viz.training.loss_curve(history, out / "loss.png"),
        viz.training.gradient_norms(**by_layer, path=out / "gradients.png"),
        viz.training.weight_images(net.fc1.weight.data, split.image_shape, out / "weights.png"),
        viz.training.image_grid(pictures, split.t_test[wrong], predictions[wrong], out / "mistakes.png"),
    )
    assert comparison.ok


def verify(net, x, t):
    """Compare the automatic gradients of one mini-batch with the hand-derived ones, both in float64."""
    twin = tg.nn.MLP([layer.in_features for layer in layers(net)] + [net(x).shape[1]])
    twin.load_state_dict(net.state_dict())
    loss = cross_entropy(twin(x.astype(np.float64)), t)

    weights = [layer.weight.data for layer in layers(twin)]
    biases = [layer.bias.data for layer in layers(twin)]
    activations = ["relu"] * (len(weights) - 1) + ["softmax"]
    by_hand = tg.manual.Network(weights, biases, activations, "cross_entropy_mean")
    gradients = by_hand.backward(by_hand.forward(x), tg.manual.one_hot(t, weights[-1].shape[1]))
    return tg.check.compare_gradients(gradients, loss), loss


def layers(net):
    """The Linear layers of a network."""
    return [part for part in net.modules() if isinstance(part, tg.nn.Linear)]


if __name__ == "__main__":
    main()
