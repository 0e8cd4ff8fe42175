"""How each operation is said in plain NumPy: a template, or a call of a small function that is written out with it.

In a template `{x}` is the operand of that name, `{axis}` a parameter.  An operation without a template is `np.<name>`.
"""

from __future__ import annotations

__all__ = ["HELPERS", "TEMPLATES"]

TEMPLATES = {
    # activations
    "relu": "np.maximum({x}, 0)",
    "leaky_relu": "np.where({x} > 0, {x}, {slope} * {x})",
    "elu": "elu({x}, {alpha})",
    "selu": "selu({x})",
    "sigmoid": "sigmoid({x})",
    "softplus": "softplus({x}, {beta})",
    "silu": "{x} * sigmoid({x})",
    "mish": "{x} * np.tanh(softplus({x}, 1))",
    "gelu": "gelu({x}, {approximate})",
    "softsign": "{x} / (1 + np.abs({x}))",
    "hardtanh": "np.clip({x}, {min_val}, {max_val})",
    "log_sigmoid": "-softplus(-{x}, 1)",
    "softmax": "softmax({x}, axis={axis})",
    "log_softmax": "log_softmax({x}, axis={axis})",
    # element by element
    "positive": "+{x}",
    "astype": "{x}.astype({dtype})",
    "to_dtype": "{x}.astype({dtype})",
    "square": "{x}**2",
    "rsqrt": "1 / np.sqrt({x})",
    "xlogy": "xlogy({x}, {y})",
    "erf": "erf({x})",
    "sinc_derivative": "sinc_derivative({x}, {order})",
    "lerp": "{start} + {weight} * ({end} - {start})",
    "clip": "np.clip({x}, {low}, {high})",
    "divide_or_zero": "divide_or_zero({a}, {b})",
    "scale_and_shift": "{weight} * {x} + {bias}",
    "standardize": "standardize({x}, axis={axis}, eps={eps})",
    "bitwise_and": "{a} & {b}",
    "bitwise_or": "{a} | {b}",
    "bitwise_xor": "{a} ^ {b}",
    # reductions, scans, order
    "median": "np.median({x}, axis={axis}, keepdims={keepdims})",
    "middle_two": "middle_two({x}, axis={axis})",
    "logsumexp": "logsumexp({x}, axis={axis}, keepdims={keepdims})",
    "vector_norm": "np.linalg.vector_norm({x}, axis={axis}, keepdims={keepdims}, ord={ord})",
    "cumsum": "np.cumsum({x}, axis={axis})",
    "cumprod": "np.cumprod({x}, axis={axis})",
    "recurrence": "recurrence({a}, {b}, axis={axis})",
    "sort": "np.sort({x}, axis={axis})",
    "argsort": "np.argsort({x}, axis={axis})",
    "topk": "topk({x}, {k}, axis={axis}, largest={largest})",
    # shapes
    "reshape": "{x}.reshape({shape})",
    "broadcast_to": "np.broadcast_to({x}, {shape})",
    "transpose": "np.transpose({x}, {axes})",
    "squeeze": "np.squeeze({x}, axis={axis})",
    "expand_dims": "np.expand_dims({x}, {axis})",
    "concatenate": "np.concatenate([{*}], axis={axis})",
    "stack": "np.stack([{*}], axis={axis})",
    "tile": "np.tile({x}, {reps})",
    "repeat": "np.repeat({x}, {repeats}, axis={axis})",
    "roll": "np.roll({x}, {shift}, axis={axis})",
    "flip": "np.flip({x}, axis={axis})",
    "pad": "np.pad({x}, {widths}, constant_values={values})",
    "setitem": "with_values({x}, {index}, {value})",
    "scatter_add": "scatter_add({x}, {index}, {shape})",
    "diagonal": "np.diagonal({x}, {offset}, {axis1}, {axis2})",
    "put_on_diagonal": "put_on_diagonal({x}, {shape}, {offset}, {axis1}, {axis2})",
    "embedding": "{weight}[{labels}]",
    "embedding_weight": "scatter_add({g}, {labels}, ({rows}, {g}.shape[-1]))",
    "one_hot": "np.eye({classes})[{labels}]",
    # products, matrices
    "einsum": "np.einsum({subscripts}, {*})",
    "pinv": "np.linalg.pinv({x})",
    "inv": "np.linalg.inv({x})",
    "det": "np.linalg.det({x})",
    "solve": "np.linalg.solve({a}, {b})",
    "slogdet": "np.stack(np.linalg.slogdet({x}), axis=-1)",
    "cholesky": "np.linalg.cholesky({x})",
    "eigh": "eigh({x}, {UPLO})",
    "svd": "svd({x})",
    "qr": "qr({x})",
    # losses that are not written out
    "cross_entropy": "cross_entropy({logits}, {targets}, {reduction})",
    "nll_loss": "nll_loss({log_probabilities}, {targets}, {reduction})",
    "binary_cross_entropy": "binary_cross_entropy({prediction}, {target}, {reduction})",
    "binary_cross_entropy_with_logits": "reduced(softplus({logits}, 1) - {logits} * {target}, {reduction})",
    "kl_div": "kl_div({log_probabilities}, {target}, {reduction}, {log_target})",
    "multi_margin_loss": "multi_margin_loss({scores}, {labels}, {p}, {margin}, {reduction})",
    "mse_loss": "reduced(({prediction} - {target}) ** 2, {reduction})",
    "half_mse_loss": "half_mse_loss({prediction}, {target})",
    "l1_loss": "reduced(np.abs({prediction} - {target}), {reduction})",
    "huber_loss": "huber_loss({prediction}, {target}, {reduction}, {delta})",
    # windows that slide over images
    "unfold": "unfold({x}, {kernel}, {stride}, {padding}, {dilation})",
    "fold": "fold({x}, {size}, {kernel}, {stride}, {padding}, {dilation})",
    "conv2d": "conv2d({x}, {weight}, {bias}, {stride}, {padding}, {dilation}, {groups})",
    "conv2d_weight": "conv2d_weight({x}, {g}, {kernel}, {stride}, {padding}, {dilation}, {groups})",
    "conv_transpose2d": (
        "conv_transpose2d({x}, {weight}, {bias}, {stride}, {padding}, {output_padding}, {dilation}, {groups})"
    ),
    "max_pool2d": "max_pool2d({x}, {kernel}, {stride}, {padding}, {dilation}, {ceil_mode})",
    "max_pool2d_winners": "max_pool2d_winners({x}, {kernel}, {stride}, {padding}, {dilation}, {ceil_mode})",
    "max_unpool2d": "max_unpool2d({g}, {winners}, {size})",
    "take_winners": "take_winners({x}, {winners})",
    "avg_pool2d": (
        "avg_pool2d({x}, {kernel}, {stride}, {padding}, {ceil_mode}, {count_include_pad}, {divisor})"
    ),
    "avg_unpool2d": (
        "avg_unpool2d({g}, {size}, {kernel}, {stride}, {padding}, {ceil_mode}, {count_include_pad}, {divisor})"
    ),
}  # fmt: skip

HELPERS = {
    "sigmoid": '''
def sigmoid(x):
    """1 / (1 + e^-x); far out it is 0 or 1, without a warning."""
    with np.errstate(over="ignore"):
        return 1 / (1 + np.exp(-x))
''',
    "softmax": '''
def softmax(x, axis=-1):
    """e^x / sum(e^x); the largest x is subtracted first, so that nothing overflows."""
    e = np.exp(x - x.max(axis=axis, keepdims=True))
    return e / e.sum(axis=axis, keepdims=True)
''',
    "log_softmax": '''
def log_softmax(x, axis=-1):
    """The logarithm of softmax, exact also where softmax is almost 0."""
    x = x - x.max(axis=axis, keepdims=True)
    return x - np.log(np.exp(x).sum(axis=axis, keepdims=True))
''',
    "logsumexp": '''
def logsumexp(x, axis=None, keepdims=False):
    """log(sum(e^x)), without overflow."""
    top = np.max(x, axis=axis, keepdims=True)
    top = np.where(np.isfinite(top), top, 0)
    with np.errstate(divide="ignore"):
        y = np.log(np.exp(x - top).sum(axis=axis, keepdims=True)) + top
    return y if keepdims else y.reshape(np.sum(x, axis=axis).shape)
''',
    "softplus": '''
def softplus(x, beta):
    """log(1 + e^(beta x)) / beta, without overflow."""
    return np.maximum(x, 0) + np.log1p(np.exp(-np.abs(beta * x))) / beta
''',
    "elu": '''
def elu(x, alpha):
    """x where it is positive, else alpha (e^x - 1)."""
    return np.where(x > 0, x, alpha * np.expm1(np.minimum(x, 0)))
''',
    "selu": '''
def selu(x):
    """elu with the two numbers that keep mean 0 and variance 1."""
    return 1.0507009873554804934193349852946 * elu(x, 1.6732632423543772848170429916717)
''',
    "erf": '''
def erf(x):
    """The error function, number by number."""
    return np.vectorize(math.erf, otypes=[float])(x)
''',
    "gelu": '''
def gelu(x, approximate):
    """x times how much of the normal distribution lies below x."""
    if approximate == "tanh":
        return x * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3))) / 2
    return x * (1 + erf(x / np.sqrt(2))) / 2
''',
    "xlogy": '''
def xlogy(x, y):
    """x log(y), and 0 where x is 0."""
    return np.where(x == 0, 0, x * np.log(np.where(x == 0, 1, y)))
''',
    "divide_or_zero": '''
def divide_or_zero(a, b):
    """a / b, and 0 where both are 0."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where((a == 0) & (b == 0), 0, a / b)
''',
    "sinc_derivative": '''
def sinc_derivative(x, order):
    """A derivative of sin(pi x) / (pi x): the integral of cos(pi x t + order pi/2) (pi t)^order over t from 0 to 1."""
    t, weights = np.polynomial.legendre.leggauss(60)
    t, weights = (t + 1) / 2, weights / 2
    u = np.pi * np.asarray(x)[..., None]
    return np.cos(u * t + order * np.pi / 2) * (np.pi * t) ** order @ weights
''',
    "standardize": '''
def standardize(x, axis, eps):
    """Shifted and scaled to mean 0 and variance (almost) 1."""
    mean, variance = x.mean(axis=axis, keepdims=True), x.var(axis=axis, keepdims=True)
    return (x - mean) / np.sqrt(variance + eps)
''',
    "middle_two": '''
def middle_two(x, axis):
    """The one or two numbers in the middle, as a last axis of two."""
    axes = tuple(range(x.ndim)) if axis is None else tuple(a % x.ndim for a in np.atleast_1d(axis))
    others = [a for a in range(x.ndim) if a not in axes]
    rows = np.sort(x.transpose(*others, *axes).reshape(*(x.shape[a] for a in others), -1), axis=-1)
    count = rows.shape[-1]
    return rows[..., [(count - 1) // 2, count // 2]]
''',
    "recurrence": '''
def recurrence(a, b, axis):
    """y[i] = a[i] y[i-1] + b[i], beginning with y[0] = b[0]."""
    a, y = np.moveaxis(a, axis, 0), np.moveaxis(np.array(b, dtype=float), axis, 0)
    for i in range(1, len(y)):
        y[i] += a[i] * y[i - 1]
    return np.moveaxis(y, 0, axis)
''',
    "topk": '''
def topk(x, k, axis, largest):
    """The k largest numbers (or the smallest), the most extreme first."""
    ordered = np.sort(x, axis=axis)
    ordered = np.flip(ordered, axis=axis) if largest else ordered
    return np.take(ordered, np.arange(k), axis=axis)
''',
    "with_values": '''
def with_values(x, index, value):
    """A copy of x with other values at an index."""
    y = np.array(x)
    y[index] = value
    return y
''',
    "scatter_add": '''
def scatter_add(x, index, shape):
    """Zeros, with x added at an index; what is named twice receives both."""
    y = np.zeros(shape)
    np.add.at(y, index, np.reshape(x, np.shape(x)[max(0, np.ndim(x) - np.ndim(y[index])) :]))
    return y
''',
    "put_on_diagonal": '''
def put_on_diagonal(x, shape, offset, axis1, axis2):
    """Zeros, with x on a diagonal."""
    y = np.zeros(shape)
    view = np.moveaxis(y, (axis1, axis2), (-2, -1))
    i = np.arange(x.shape[-1])
    view[..., i + max(-offset, 0), i + max(offset, 0)] = x
    return y
''',
    "eigh": '''
def eigh(x, UPLO):
    """The eigenvalues in the first row, and below them the eigenvectors."""
    values, vectors = np.linalg.eigh((x + x.mT) / 2, UPLO)
    return np.concatenate([values[..., None, :], vectors], axis=-2)
''',
    "svd": '''
def svd(x):
    """The singular values in the first row, below them U, and below that V."""
    u, s, vt = np.linalg.svd(x, full_matrices=False)
    return np.concatenate([s[..., None, :], u, vt.mT], axis=-2)
''',
    "qr": '''
def qr(x):
    """Q, and below it R^T."""
    q, r = np.linalg.qr(x)
    return np.concatenate([q, r.mT], axis=-2)
''',
    "reduced": '''
def reduced(losses, reduction):
    """The mean of all losses, or their sum, or each of them."""
    return {"mean": np.mean, "sum": np.sum, "none": np.asarray}[reduction](losses)
''',
    "cross_entropy": '''
def cross_entropy(logits, targets, reduction):
    """- sum of t log softmax(logits) for each sample; targets are labels, or rows t."""
    return nll_loss(log_softmax(logits), targets, reduction)
''',
    "nll_loss": '''
def nll_loss(logs, targets, reduction):
    """- sum of t times the logarithms for each sample; targets are labels, or rows t."""
    t = np.eye(logs.shape[-1])[targets] if np.asarray(targets).dtype.kind in "iu" else targets
    return reduced(-(t * logs).sum(axis=-1), reduction)
''',
    "binary_cross_entropy": '''
def binary_cross_entropy(y, t, reduction):
    """- [t log y + (1 - t) log(1 - y)]; no logarithm is smaller than -100."""
    with np.errstate(divide="ignore"):
        losses = -(t * np.maximum(np.log(y), -100) + (1 - t) * np.maximum(np.log1p(-y), -100))
    return reduced(losses, reduction)
''',
    "kl_div": '''
def kl_div(logs, t, reduction, log_target):
    """The sum of t (log t - logs); where t is 0 it is 0."""
    t, log_t = (np.exp(t), t) if log_target else (t, np.log(np.where(t == 0, 1, t)))
    losses = np.where(t == 0, 0, t * (log_t - logs))
    return losses.sum() / len(losses) if reduction == "batchmean" else reduced(losses, reduction)
''',
    "multi_margin_loss": '''
def multi_margin_loss(scores, labels, p, margin, reduction):
    """How far wrong classes come within a margin of the right one."""
    classes = scores.shape[-1]
    own = np.eye(classes)[labels]
    excess = np.maximum(0, margin - (scores * own).sum(axis=-1, keepdims=True) + scores) * (1 - own)
    return reduced((excess**p).sum(axis=-1) / classes, reduction)
''',
    "half_mse_loss": '''
def half_mse_loss(y, t):
    """1/(2n) times the squared error, for n samples."""
    return ((y - t) ** 2).sum() / (2 * np.prod(y.shape[:-1]))
''',
    "huber_loss": '''
def huber_loss(y, t, reduction, delta):
    """Squared error for small errors, absolute error for large ones."""
    d = np.abs(y - t)
    return reduced(np.where(d <= delta, d**2 / 2, delta * (d - delta / 2)), reduction)
''',
    "edges": '''
def edges(padding):
    """Zeros to add: ((top, bottom), (left, right))."""
    return [(p, p) if isinstance(p, int) else p for p in padding]
''',
    "looks": '''
def looks(element, places, stride, dilation):
    """Which pixels of a padded image one element of every window sees."""
    return tuple(slice(d * e, d * e + s * (m - 1) + 1, s) for e, m, s, d in zip(element, places, stride, dilation))
''',
    "unfold": '''
def unfold(x, kernel, stride, padding, dilation):
    """Every window of the images as a column."""
    x = np.pad(x, [(0, 0), (0, 0), *edges(padding)])
    places = [(n - d * (k - 1) - 1) // s + 1 for n, k, s, d in zip(x.shape[2:], kernel, stride, dilation)]
    parts = [x[(..., *looks(e, places, stride, dilation))] for e in np.ndindex(*kernel)]
    return np.stack(parts, axis=2).reshape(len(x), -1, places[0] * places[1])
''',
    "fold": '''
def fold(x, size, kernel, stride, padding, dilation):
    """Every column added to the window that it belongs to."""
    (top, bottom), (left, right) = edges(padding)
    padded = top + size[0] + bottom, left + size[1] + right
    places = [(n - d * (k - 1) - 1) // s + 1 for n, k, s, d in zip(padded, kernel, stride, dilation)]
    windows = x.reshape(len(x), -1, kernel[0], kernel[1], *places)
    images = np.zeros((*windows.shape[:2], *padded))
    for e in np.ndindex(*kernel):
        images[(..., *looks(e, places, stride, dilation))] += windows[:, :, e[0], e[1]]
    return images[:, :, top : top + size[0], left : left + size[1]]
''',
    "conv2d": '''
def conv2d(x, weight, bias, stride, padding, dilation, groups):
    """Windows of weights slide over images: each output is a window's product with what it sees."""
    outputs, _, *kernel = weight.shape
    (top, bottom), (left, right) = edges(padding)
    size = x.shape[2] + top + bottom, x.shape[3] + left + right
    places = [(n - d * (k - 1) - 1) // s + 1 for n, k, s, d in zip(size, kernel, stride, dilation)]
    columns = unfold(x, kernel, stride, padding, dilation).reshape(len(x), groups, -1, places[0] * places[1])
    y = (weight.reshape(groups, outputs // groups, -1) @ columns).reshape(len(x), outputs, *places)
    return y if bias is None else y + bias.reshape(-1, 1, 1)
''',
    "conv2d_weight": '''
def conv2d_weight(x, g, kernel, stride, padding, dilation, groups):
    """The gradient of a convolution's weights: its images times the gradient of its outputs."""
    (top, bottom), (left, right) = edges(padding)
    reach = [s * (m - 1) + d * (k - 1) + 1 for s, m, d, k in zip(stride, g.shape[2:], dilation, kernel)]
    x = np.pad(x, [(0, 0), (0, 0), (top, bottom), (left, right)])[:, :, : reach[0], : reach[1]]
    columns = unfold(x, kernel, stride, (0, 0), dilation)
    columns = columns.reshape(len(x), groups, -1, columns.shape[-1])
    rows = g.reshape(len(g), groups, g.shape[1] // groups, -1)
    return (rows @ columns.mT).sum(axis=0).reshape(g.shape[1], x.shape[1] // groups, *kernel)
''',
    "conv_transpose2d": '''
def conv_transpose2d(x, weight, bias, stride, padding, output_padding, dilation, groups):
    """The transpose of conv2d: each number puts a copy of the window into the output."""
    channels, outputs, *kernel = weight.shape
    edge = edges(padding)
    size = [
        s * (m - 1) + d * (k - 1) + 1 - sum(p) + q
        for s, m, d, k, p, q in zip(stride, x.shape[2:], dilation, kernel, edge, output_padding)
    ]
    images = np.zeros((len(x), groups * outputs, size[0] + sum(edge[0]), size[1] + sum(edge[1])))
    w = weight.reshape(groups, channels // groups, outputs, *kernel)
    rows = x.reshape(len(x), groups, channels // groups, -1)
    for e in np.ndindex(*kernel):
        sent = w[..., e[0], e[1]].mT @ rows
        seen = looks(e, x.shape[2:], stride, dilation)
        images[(..., *seen)] += sent.reshape(len(x), groups * outputs, *x.shape[2:])
    y = images[:, :, edge[0][0] : edge[0][0] + size[0], edge[1][0] : edge[1][0] + size[1]]
    return y if bias is None else y + bias.reshape(-1, 1, 1)
''',
    "windows": '''
def windows(size, kernel, stride, padding, dilation, ceil_mode):
    """Which rows and columns each window of an image sees, all of them inside: lists of slices."""
    axes = []
    for n, k, s, p, d in zip(size, kernel, stride, padding, dilation):
        room = n + 2 * p - d * (k - 1) - 1
        m = (room + (s - 1 if ceil_mode else 0)) // s + 1
        if ceil_mode and (m - 1) * s >= n + p:
            m -= 1
        starts = [i * s - p for i in range(m)]
        axes.append([[j for j in range(a, a + d * (k - 1) + 1, d) if 0 <= j < n] for a in starts])
    return axes
''',
    "max_pool2d_winners": '''
def max_pool2d_winners(x, kernel, stride, padding, dilation, ceil_mode):
    """Where each window finds its largest number: the position in x.reshape(-1)."""
    rows, columns = windows(x.shape[2:], kernel, stride, padding, dilation, ceil_mode)
    positions = np.arange(x.size).reshape(x.shape)
    winners = np.empty((*x.shape[:2], len(rows), len(columns)), dtype=int)
    for i, r in enumerate(rows):
        for j, c in enumerate(columns):
            seen, where = (a[:, :, r][..., c].reshape(*x.shape[:2], -1) for a in (x, positions))
            best = seen.argmax(axis=-1, keepdims=True)
            winners[:, :, i, j] = np.take_along_axis(where, best, axis=-1)[..., 0]
    return winners
''',
    "take_winners": '''
def take_winners(x, winners):
    """The numbers of x at some positions in x.reshape(-1)."""
    return x.reshape(-1)[winners]
''',
    "max_pool2d": '''
def max_pool2d(x, kernel, stride, padding, dilation, ceil_mode):
    """The largest number in each window."""
    return take_winners(x, max_pool2d_winners(x, kernel, stride, padding, dilation, ceil_mode))
''',
    "max_unpool2d": '''
def max_unpool2d(g, winners, size):
    """Zeros, with each number added at its position, counted through all images."""
    images = np.zeros((*g.shape[:2], *size))
    np.add.at(images.reshape(-1), winners, g)
    return images
''',
    "window_counts": '''
def window_counts(size, kernel, stride, padding, ceil_mode, count_include_pad, divisor):
    """By what the sum over each window is divided."""
    places = windows(size, kernel, stride, padding, (1, 1), ceil_mode)
    if divisor:
        return np.full([len(axis) for axis in places], divisor)
    counts = []
    for n, k, s, p, axis in zip(size, kernel, stride, padding, places):
        edge = p if count_include_pad else 0
        counts.append([min(i * s - p + k, n + edge) - max(i * s - p, -edge) for i in range(len(axis))])
    return np.outer(*counts)
''',
    "avg_pool2d": '''
def avg_pool2d(x, kernel, stride, padding, ceil_mode, count_include_pad, divisor):
    """The mean of each window."""
    rows, columns = windows(x.shape[2:], kernel, stride, padding, (1, 1), ceil_mode)
    counts = window_counts(x.shape[2:], kernel, stride, padding, ceil_mode, count_include_pad, divisor)
    y = np.empty((*x.shape[:2], len(rows), len(columns)))
    for i, r in enumerate(rows):
        for j, c in enumerate(columns):
            y[:, :, i, j] = x[:, :, r][..., c].sum(axis=(-2, -1)) / counts[i, j]
    return y
''',
    "avg_unpool2d": '''
def avg_unpool2d(g, size, kernel, stride, padding, ceil_mode, count_include_pad, divisor):
    """The number of each window, divided by its count, added to all that the window sees."""
    rows, columns = windows(size, kernel, stride, padding, (1, 1), ceil_mode)
    counts = window_counts(size, kernel, stride, padding, ceil_mode, count_include_pad, divisor)
    images = np.zeros((*g.shape[:2], *size))
    for i, r in enumerate(rows):
        for j, c in enumerate(columns):
            images[:, :, r[0] : r[-1] + 1, c[0] : c[-1] + 1] += (g[:, :, i, j] / counts[i, j])[..., None, None]
    return images
''',
}
