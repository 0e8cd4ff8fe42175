"""What each operation of linear algebra is in PyTorch."""

import numpy as np


# Vectors are as good as their opposites: torch's get the signs that NumPy's have.
def _signs(torch, ours, theirs):
    return torch.sign((torch.from_numpy(ours) * theirs.detach()).sum(-2, keepdim=True))


def _eigh(torch, x, UPLO="L"):
    values, vectors = torch.linalg.eigh((x + x.mT) / 2)
    vectors = vectors * _signs(torch, np.linalg.eigh(x.detach().numpy()).eigenvectors, vectors)
    return torch.cat([values[..., None, :], vectors], dim=-2)


def _svd(torch, x):
    u, s, vh = torch.linalg.svd(x, full_matrices=False)
    signs = _signs(torch, np.linalg.svd(x.detach().numpy(), full_matrices=False).U, u)
    return torch.cat([s[..., None, :], u * signs, vh.mT * signs], dim=-2)


def _qr(torch, x):
    q, r = torch.linalg.qr(x)
    signs = _signs(torch, np.linalg.qr(x.detach().numpy()).Q, q)
    return torch.cat([q * signs, r.mT * signs], dim=-2)


def _solve(torch, a, b):
    if b.ndim == 1:
        return torch.linalg.solve(a, b[:, None].expand(*a.shape[:-2], -1, 1))[..., 0]
    return torch.linalg.solve(a, b)


def _put_on_diagonal(torch, x, shape, offset=0, axis1=0, axis2=1):
    return torch.diagonal_scatter(torch.zeros(shape, dtype=x.dtype), x, offset, axis1, axis2)


def _det(torch, x):
    """The sum over permutations: exact for singular matrices, too, and at every order."""
    n = x.shape[-1]
    if n == 1:
        return x[..., 0, 0]
    minors = [torch.cat([x[..., 1:, :i], x[..., 1:, i + 1 :]], dim=-1) for i in range(n)]
    return sum((-1) ** i * x[..., 0, i] * _det(torch, minors[i]) for i in range(n))


def _triangle(name):
    def triangle(torch, x, k=0):
        return getattr(torch, name)(x if x.ndim > 1 else x.expand(len(x), len(x)), k)

    return triangle


def _diagonal(torch, x, offset=0, axis1=0, axis2=1):
    n, m = x.shape[axis1], x.shape[axis2]
    if not -n <= offset <= m:  # PyTorch refuses, NumPy's diagonal is empty
        offset = m
    return torch.diagonal(x, offset, axis1, axis2)


TORCH = {
    "matmul": lambda torch, a, b: torch.matmul(a, b),
    "linear": lambda torch, x, weight, bias: torch.matmul(x, weight) + bias,
    "cross": lambda torch, a, b: torch.linalg.cross(*torch.broadcast_tensors(a, b)),
    "einsum": lambda torch, *operands, subscripts: torch.einsum(subscripts, *operands),
    "diagonal": _diagonal,
    "put_on_diagonal": _put_on_diagonal,
    "tril": _triangle("tril"),
    "triu": _triangle("triu"),
    "inv": lambda torch, x: torch.linalg.inv(x),
    "solve": _solve,
    "det": _det,
    "slogdet": lambda torch, x: torch.stack(list(torch.linalg.slogdet(x)), dim=-1),
    "pinv": lambda torch, x, rcond=None, hermitian=False: torch.linalg.pinv(x, rtol=rcond),
    "cholesky": lambda torch, x: torch.linalg.cholesky((x + x.mT) / 2),
    "divide_or_zero": lambda torch, a, b: a / b,
    "qr": _qr,
    "eigh": _eigh,
    "svd": _svd,
}
