"""What the examples share: arguments, the folder for pictures, the training loop."""

import argparse
import os
import time
from pathlib import Path

import numpy as np
from tqdm import tqdm

import tinygrad_edu as tg


def arguments(description, epochs, quick, seed=1, **extra):
    """The switches of every example: --quick, --epochs, --seed, --out, and those in `extra`."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--quick", action="store_true", help=f"a short run of {quick} epochs")
    parser.add_argument("--epochs", type=int, default=epochs, help="passes over the training data")
    parser.add_argument("--seed", type=int, default=seed, help="seed of everything random")
    parser.add_argument("--out", type=Path, default=Path("out"), help="folder for pictures")
    for name, options in extra.items():
        parser.add_argument(f"--{name.replace('_', '-')}", **options)
    args = parser.parse_args()
    if args.quick:
        args.epochs = min(args.epochs, quick)
    return args


DATA = {
    "default": os.environ.get("TINYGRAD_EDU_MNIST"),
    "help": "MNIST: a folder of IDX files, or the Kaggle CSV (or set TINYGRAD_EDU_MNIST); else 8x8 digits",
}


def images(args, **options):
    """MNIST from `--data`, or scikit-learn's bundled digits."""
    split = tg.data.mnist(args.data, **options) if args.data else tg.data.digits(**options)
    shape = "x".join(map(str, split.image_shape))
    total = len(split.t_train) + len(split.t_test)
    source = args.data or "scikit-learn's bundled set; --data PATH for MNIST"
    counts = f"{total:,} images of {shape}, {len(split.t_train):,} train, {len(split.t_test):,} test"
    print(f"{split.name}: {counts} ({source})")
    return split


def folder(args, name):
    """Where this example's pictures go."""
    path = args.out / name
    path.mkdir(parents=True, exist_ok=True)
    return path


def accuracy(net, x, t):
    """The share of rows whose largest output is at their label."""
    with tg.no_grad():
        return float((net(x).argmax(axis=1) == t).mean().item())


def train(net, loss_of, optimizer, x, t, epochs, batch, rng, measures=None, layers=None):
    """Mini-batch training with a progress bar; returns the history, a list of numbers for each measure.

    `loss_of(net, x, t)` is the loss of a batch.  `measures` maps names to functions without arguments that are called
    after each epoch.  `layers`, a dict, receives of each weight the norm of its gradient ("norms") and of its update,
    divided by its own ("ratios"), for the last batch of each epoch.
    """
    history = {"loss": [], **{name: [] for name in measures or {}}}
    bar = tqdm(total=epochs, desc="epoch", ascii=" #", ncols=100, bar_format="{desc} {n}/{total} |{bar:20}| {postfix}")
    seconds = 0.0
    with bar:
        for _ in range(epochs):
            start = time.perf_counter()
            losses = []
            for x_batch, t_batch in tg.data.batches(x, t, batch, rng):
                loss = loss_of(net, x_batch, t_batch)
                optimizer.zero_grad()
                loss.backward()
                before = weights(net) if layers is not None else {}
                optimizer.step()
                losses.append(loss.item())
            seconds += time.perf_counter() - start
            history["loss"].append(float(np.mean(losses)))
            for name, measure in (measures or {}).items():
                history[name].append(measure())
            for name, (old, parameter) in before.items():
                norms, ratios = (layers.setdefault(word, {}).setdefault(name, []) for word in ("norms", "ratios"))
                norms.append(float(np.linalg.norm(parameter.grad)))
                ratios.append(float(np.linalg.norm(parameter.data - old) / np.linalg.norm(old)))
            bar.set_postfix_str(summary(history, seconds))
            bar.update()
    print(f"{epochs} epochs: {summary(history, seconds)} of training")
    return history


def weights(net):
    """Each weight matrix by name: a copy, and the parameter itself."""
    return {name: (p.data.copy(), p) for name, p in net.named_parameters() if p.ndim > 1}


def summary(history, seconds):
    """The last number of each measure, in one line."""
    shown = [
        f"{name} {values[-1]:.4f}" if "loss" in name else f"{name} {values[-1]:.1%}" for name, values in history.items()
    ]
    return "  ".join([*shown, f"{seconds:.1f} s"])


def wrote(*paths):
    """Say which files there are now."""
    print(f"wrote {paths[0].parent}/: {'  '.join(path.name for path in paths)}")
