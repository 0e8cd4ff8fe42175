"""What each reduction, scan and sorting operation is in PyTorch."""


def _axes(x, axis):
    return tuple(range(x.ndim)) if axis is None else (axis,) if isinstance(axis, int) else axis


def _reduction(name):
    """A reduction of torch over NumPy's axes; torch takes axis=() for all of them, or refuses it."""

    def reduce(torch, x, axis=None, keepdims=False, **params):
        function, axes = getattr(torch, name), _axes(x, axis)
        if "ddof" in params:
            params = {"correction": params["ddof"]}
        if not axes:
            return function(x[None], dim=(0,), **params)
        return function(x, dim=axes, keepdim=keepdims, **params)

    return reduce


def _variance(name):
    reduce = _reduction(name)
    return lambda torch, x, axis=None, ddof=0, keepdims=False: reduce(torch, x, axis, keepdims, ddof=ddof)


def _rows(x, axis):
    """The axes that are reduced, flattened into one at the end."""
    axes = [i % x.ndim for i in _axes(x, axis)]
    rest = [i for i in range(x.ndim) if i not in axes]
    return x.permute([*rest, *axes]).reshape([*(x.shape[i] for i in rest), -1])


def _kept(y, x, axis, keepdims):
    axes = [i % x.ndim for i in _axes(x, axis)]
    return y.reshape([1 if i in axes else n for i, n in enumerate(x.shape)]) if keepdims else y


def _prod(torch, x, axis=None, keepdims=False):
    rows = _rows(x, axis)
    y = rows[..., 0] * 1
    for i in range(1, rows.shape[-1]):  # torch.prod itself is not exact at second order with zeros
        y = y * rows[..., i]
    return _kept(y, x, axis, keepdims)


def _median(torch, x, axis=None, keepdims=False):
    return _kept(torch.quantile(_rows(x, axis), 0.5, dim=-1), x, axis, keepdims)


def _scan(torch, step, x, axis):
    """A scan spelled out, so that every derivative of it is right."""
    if axis is None or not x.ndim:
        x, axis = x.reshape(-1), 0
    results = []
    for part in torch.unbind(x, axis):
        results.append(step(results[-1], part) if results else part * 1)
    return torch.stack(results, axis)


def _recurrence(torch, a, b, axis=-1):
    results = []
    for factor, summand in zip(torch.unbind(a, axis), torch.unbind(b, axis), strict=True):
        results.append(factor * results[-1] + summand if results else summand + 0 * factor)
    return torch.stack(results, axis)


def _vector_norm(torch, x, axis=None, keepdims=False, ord=2):
    return torch.linalg.vector_norm(x, ord, dim=axis, keepdim=keepdims)


TORCH = {
    "sum": _reduction("sum"),
    "mean": _reduction("mean"),
    "prod": _prod,
    "max": _reduction("amax"),
    "min": _reduction("amin"),
    "median": _median,
    "var": _variance("var"),
    "std": _variance("std"),
    "logsumexp": _reduction("logsumexp"),
    "cumsum": lambda torch, x, axis=None: _scan(torch, lambda y, part: y + part, x, axis),
    "cumprod": lambda torch, x, axis=None: _scan(torch, lambda y, part: y * part, x, axis),
    "recurrence": _recurrence,
    "sort": lambda torch, x, axis=-1, kind=None, stable=None: torch.sort(x, dim=axis).values,
    "topk": lambda torch, x, k, axis=-1, largest=True: torch.topk(x, k, dim=axis, largest=largest).values,
    "vector_norm": _vector_norm,
}
