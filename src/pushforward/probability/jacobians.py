r"""Jacobians of functions a user writes, how they stretch volume, and estimates of it that never form the matrix.

Here a *map* is a function of one point, (d,) -> (m,), or of one number, () -> (); ``torch.func`` differentiates it at
every row of a batch. With :math:`J = \partial g / \partial z`, a small volume grows by the factor

.. math:: |\det J| \;\; (m = d), \qquad \sqrt{\det J^T J} \;\; (m > d), \qquad \sqrt{\det J J^T} \;\; (m < d).

In d dimensions that costs d derivatives and :math:`d^3` operations. A product :math:`J^T v` costs one derivative, and
with :math:`E\,v v^T = I` (signs or normals; Hutchinson)

.. math:: \operatorname{tr} A = E\, v^T A v, \qquad
    \log \det (I + A) = \sum_{k=1}^{\infty} \frac{(-1)^{k+1}}{k} \operatorname{tr} A^k \quad (\rho(A) < 1).

The series is cut at a random place N and its terms are divided by :math:`P(N \ge k)`, so that nothing is lost in
expectation (Russian roulette).

Reference:
    Hutchinson 1990, "A stochastic estimator of the trace of the influence matrix for Laplacian smoothing splines";
    Chen, Behrmann, Duvenaud and Jacobsen 2019, "Residual Flows for Invertible Generative Modeling", theorem 1.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, get_args

import torch
from jaxtyping import Float
from torch import Tensor

from pushforward.core.errors import InputError, check_count
from pushforward.probability.weights import Estimate

__all__ = [
    "Map",
    "Probe",
    "apply_map",
    "divergence",
    "hutchinson_trace",
    "jacobian",
    "log_det_by_series",
    "log_volume",
    "log_volume_factor",
]

#: A function of one point, (d,) -> (m,), or of one number, () -> ().
Map = Callable[[Tensor], Tensor]

Probe = Literal["rademacher", "normal"]

#: The series keeps its first terms always and goes on with this probability after each further one. The variance is
#: finite while the spectral radius is below its square root, 0.89; on average there are 4 further terms.
CERTAIN, GO_ON = 3, 0.8

#: Products with the Jacobian until the growth of a vector over half of them is that of the spectral radius.
POWER_STEPS = 16


def apply_map(g: Map, z: Float[Tensor, "n *d"], name: str = "g") -> Float[Tensor, "n *m"]:
    """g at every row.

    Raises:
        InputError: if z is no batch of points or numbers, or g does not take one of them to a point or a number.

    Example:
        >>> apply_map(lambda z: torch.stack([z[0] + z[1], z[0] * z[1]]), torch.tensor([[2.0, 3.0]]))
        tensor([[5., 6.]])
    """
    if z.ndim not in (1, 2) or z.numel() == 0 or not z.is_floating_point():
        raise InputError(f"z: got {z.dtype} of shape {tuple(z.shape)}, expected floating-point points (n, d) or (n,)")
    x = _each(g, torch.func.vmap(g), z, name)
    if not isinstance(x, Tensor) or x.ndim not in (1, 2):
        got = f"a tensor of shape {tuple(x.shape[1:])}" if isinstance(x, Tensor) else type(x).__name__
        raise InputError(f"{name}: got {got} for one point {tuple(z.shape[1:])}, expected a tensor (m,) or a number")
    return x


def jacobian(g: Map, z: Float[Tensor, "n *d"], name: str = "g") -> Float[Tensor, "n m d"]:
    """The Jacobian of g at every row, by automatic differentiation; numbers count as points of one coordinate.

    Raises:
        InputError: as ``apply_map`` does, or if the Jacobian is not finite.

    Example:
        >>> jacobian(lambda z: torch.stack([z[0] * z[1], z[0]]), torch.tensor([[2.0, 3.0]]))
        tensor([[[3., 2.],
                 [1., 0.]]])
    """
    x = apply_map(g, z, name)
    j = _each(g, torch.func.vmap(torch.func.jacrev(g)), z, name)
    j = j.reshape(len(z), x[0].numel(), z[0].numel())
    if bool((wrong := ~j.isfinite().flatten(1).all(1)).any()):
        where = z[wrong][0].tolist()
        raise InputError(
            f"{name}: its Jacobian is not finite at z = {where}, expected a map that is differentiable there"
        )
    return j


def log_volume(j: Float[Tensor, "n m d"]) -> Float[Tensor, "n"]:
    r"""The logarithm of the volume factor of Jacobians of any shape; -inf where they lack full rank.

    A tall one is factored as J = QR: :math:`\sqrt{\det J^T J} = \prod_i |R_{ii}|`, without squaring its condition.

    Example:
        >>> log_volume(torch.tensor([[[3.0], [4.0]]])).exp()  # a curve of this velocity
        tensor([5.])
    """
    m, d = j.shape[-2:]
    if m == d:
        return torch.linalg.slogdet(j).logabsdet
    r = torch.linalg.qr(j if m > d else j.mT, mode="reduced").R
    return r.diagonal(dim1=-2, dim2=-1).abs().log().sum(-1)


def log_volume_factor(g: Map, z: Float[Tensor, "n *d"]) -> Float[Tensor, "n"]:
    r"""How g stretches volume (or length, or area) at z: log |det J|, or its like for maps between dimensions.

    Raises:
        InputError: as ``jacobian`` does.

    Example:
        The area of the unit sphere is the integral of the factor over the angles, :math:`\int \sin\theta = 4 \pi`.

        >>> sphere = lambda a: torch.stack([a[0].sin() * a[1].cos(), a[0].sin() * a[1].sin(), a[0].cos()])
        >>> log_volume_factor(sphere, torch.tensor([[0.5236, 1.0]])).exp()  # sin 30 degrees
        tensor([0.5000])
    """
    return log_volume(jacobian(g, z))


def hutchinson_trace(
    product: Callable[[Tensor], Tensor],
    like: Float[Tensor, "n d"],
    *,
    probes: int = 16,
    probe: Probe = "rademacher",
    generator: torch.Generator | None = None,
) -> Estimate:
    r"""The trace of n matrices that can be multiplied with vectors: the mean of :math:`v^T A v`.

    Unbiased. The variance for signs is :math:`\sum_{i \ne j} (A_{ij} + A_{ji})^2 / 2`, for normals larger by
    :math:`2 \sum_i A_{ii}^2`; the errors are those of the probes, :math:`s / \sqrt{\text{probes}}`.

    Args:
        product: v -> A v for vectors (n, d), or :math:`A^T v`.
        like: a tensor of that shape, for the dtype and the device.
        probes: how many v for each matrix, at least 2.
        probe: signs ("rademacher") or "normal".
        generator: source of the probes.

    Raises:
        InputError: if an argument is out of range, or the products have another shape or are not finite.

    Example:
        >>> a = torch.diag(torch.tensor([1.0, 2.0, 3.0]))
        >>> hutchinson_trace(lambda v: v @ a, torch.zeros(1, 3), probes=2)  # exact for a diagonal matrix
        Estimate(value=tensor([6.]), standard_error=tensor([0.]))
    """
    _check_probes(like, probes)
    quadratic = []
    for _ in range(probes):
        v = _draw(probe, like, generator)
        quadratic.append((v * _product(product, v)).sum(-1))
    return _mean(quadratic)


def divergence(
    f: Map,
    z: Float[Tensor, "n d"],
    *,
    probes: int = 16,
    probe: Probe = "rademacher",
    generator: torch.Generator | None = None,
) -> Estimate:
    r"""The divergence :math:`\sum_i \partial f_i / \partial z_i` of a vector field at every row, by Hutchinson's trace.

    It is what the log-density changes by along the flow of f: :math:`\frac{d}{dt} \log p = - \operatorname{div} f`.

    Args:
        f: a map (d,) -> (d,).
        z: points.
        probes: how many vectors each.
        probe: their distribution.
        generator: source of the probes.

    Raises:
        InputError: as ``hutchinson_trace`` and ``apply_map`` do.

    Example:
        >>> divergence(lambda z: -2 * z, torch.zeros(1, 3)).value
        tensor([-6.])
    """
    return hutchinson_trace(_transposed(f, z), z, probes=probes, probe=probe, generator=generator)


def log_det_by_series(
    f: Map,
    z: Float[Tensor, "n d"],
    *,
    terms: int | None = None,
    probes: int = 16,
    probe: Probe = "rademacher",
    generator: torch.Generator | None = None,
) -> Estimate:
    r"""log det of the Jacobian of :math:`z + f(z)`, a residual block whose f contracts, at every row.

    Args:
        f: a map (d,) -> (d,) whose Jacobian has a spectral radius below 1.
        z: points.
        terms: None cuts the series at random and is unbiased; a number K cuts it there, with less variance and a bias
            of at most :math:`d\, L^{K+1} / ((K + 1)(1 - L))` for a Lipschitz constant L.
        probes: how many vectors each.
        probe: their distribution.
        generator: source of the probes and of the cuts.

    Raises:
        InputError: if f does not contract, so that the series diverges; as ``hutchinson_trace`` and ``apply_map`` do.

    Example:
        >>> estimate = log_det_by_series(lambda z: 0.5 * z, torch.zeros(1, 2), terms=30)
        >>> estimate.value.exp()  # det(1.5 I)
        tensor([2.2500])
    """
    _check_probes(z, probes)
    if terms is not None:
        check_count(terms, "terms")
    product = _transposed(f, z)
    _check_contracts(product, _draw("normal", z, generator))
    sums = []
    for _ in range(probes):
        v = _draw(probe, z, generator)
        stop = _cuts(z, terms, generator)
        power, total = v, torch.zeros_like(z[:, 0])
        for k in range(1, int(stop.max()) + 1):
            power = _product(product, power)
            reached = 1.0 if terms is not None or k <= CERTAIN else GO_ON ** (k - CERTAIN)  # P(N >= k)
            total = total + (stop >= k) * (-1) ** (k + 1) / (k * reached) * (v * power).sum(-1)
        sums.append(total)
    return _mean(sums)


def _cuts(z: Tensor, terms: int | None, generator: torch.Generator | None) -> Tensor:
    """Where the series of each row ends: CERTAIN terms and a geometric number of further ones."""
    if terms is not None:
        return torch.full_like(z[:, 0], terms)
    u = torch.rand(len(z), dtype=torch.float64, generator=generator).to(z.device)
    return CERTAIN + ((1 - u).log() / torch.tensor(GO_ON, dtype=torch.float64).log()).floor()


def _transposed(f: Map, z: Tensor) -> Callable[[Tensor], Tensor]:
    """v -> J^T v at every row; v^T (J^T)^k v is v^T J^k v."""
    x = apply_map(f, z, "f")
    if x.shape != z.shape or z.ndim != 2:
        raise InputError(f"f: got a map {tuple(z.shape[1:])} -> {tuple(x.shape[1:])}, expected (d,) -> (d,)")
    pull = torch.func.vjp(torch.func.vmap(f), z)[1]
    return lambda v: pull(v, retain_graph=True)[0]


def _product(product: Callable[[Tensor], Tensor], v: Tensor) -> Tensor:
    result = product(v)
    if result.shape != v.shape:
        raise InputError(f"product: got shape {tuple(result.shape)} for vectors {tuple(v.shape)}, expected the same")
    if not bool(result.isfinite().all()):
        raise InputError("product: got a number that is not finite, expected a finite matrix times a vector")
    return result


def _check_contracts(product: Callable[[Tensor], Tensor], v: Tensor) -> None:
    """Power iteration: the growth over its second half tends to the spectral radius."""
    growth = torch.zeros_like(v[:, 0])
    for step in range(POWER_STEPS):
        size = torch.linalg.vector_norm(v, dim=-1)
        v = _product(product, v / size.clamp(min=torch.finfo(v.dtype).tiny)[:, None])
        if step >= POWER_STEPS // 2:
            growth = growth + torch.linalg.vector_norm(v, dim=-1).log() / (POWER_STEPS // 2)
    if bool((growth >= 0).any()):
        raise InputError(
            f"f: its Jacobian has a spectral radius of about {float(growth.max().exp()):.3g}, expected below 1, "
            "where the series converges; log_volume_factor has no such limit"
        )


def _draw(probe: Probe, like: Tensor, generator: torch.Generator | None) -> Tensor:
    match probe:
        case "rademacher":
            v = torch.randint(0, 2, like.shape, generator=generator, dtype=like.dtype) * 2 - 1
        case "normal":
            v = torch.randn(like.shape, generator=generator, dtype=like.dtype)
        case _:
            raise InputError(f"probe: got {probe!r}, expected one of {', '.join(get_args(Probe))}")
    return v.to(like.device)


def _check_probes(like: Tensor, probes: int) -> None:
    check_count(probes, "probes")
    if probes < 2:
        raise InputError("probes: got 1, expected at least 2, for the standard error")
    if like.ndim != 2 or not like.is_floating_point():
        raise InputError(f"z: got {like.dtype} of shape {tuple(like.shape)}, expected floating-point numbers (n, d)")


def _mean(rows: list[Tensor]) -> Estimate:
    values = torch.stack(rows)
    return Estimate(values.mean(0), values.std(0) / len(rows) ** 0.5)


def _each(g: Map, call: Callable[[Tensor], Tensor], z: Tensor, name: str) -> Tensor:
    """A call of torch.func, whose complaints about a user's function are put into words."""
    try:
        return call(z)
    except (RuntimeError, IndexError, TypeError) as problem:
        first = " ".join(str(problem).split("\n")[0].split())
        raise InputError(
            f"{name}: cannot be applied to one point of shape {tuple(z.shape[1:])} and differentiated ({first}), "
            "expected a function of one point made of torch operations"
        ) from problem
