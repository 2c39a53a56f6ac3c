r"""Points in two and three dimensions whose density is known, to hold a model against.

| name | density of x |
|---|---|
| ``8gaussians`` | :math:`\frac18 \sum_k N(x; 2(\cos\frac{k\pi}{4}, \sin\frac{k\pi}{4}), 0.1^2)` |
| ``25grid`` | :math:`\frac1{25} \sum_{a, b \in \{-4,-2,0,2,4\}} N(x; (a, b), 0.05^2)` |
| ``rings`` | a uniform point on one of three circles of radius 1, 2, 3, plus N(0, 0.1²) noise |
| ``moons`` | a uniform point on one of two half circles, plus N(0, 0.1²) noise |
| ``checkerboard`` | uniform on 8 of the 16 fields of the board [-4, 4]² |
| ``spirals`` | a point on one of two arms, its angle with density in proportion to itself, plus N(0, 0.1²) noise |
| ``sombrero`` | (x, y) uniform on [-4, 4]², :math:`z = 3\,\frac{\sin 2r}{2r} + 0.1\,\epsilon`, r = length of (x, y) |

A curve c(t), t with density w(t), blurred by Gaussian noise has :math:`p(x) = \int w(t)\, N(x; c(t), \sigma^2 I)\,dt`,
in closed form for a circle (a Bessel function) and by Gauss-Legendre quadrature for the others, where the integrand is
smooth and the nodes lie many times closer than :math:`\sigma`: the error is far below 1e-6.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache, partial

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from torch.special import i0e

from pushforward.core.data import Data, Rows
from pushforward.core.modality import Points
from pushforward.datasets.catalogue import ENTRIES
from pushforward.datasets.options import Options

__all__ = ["TOYS", "Toy", "load_toy"]

#: Points drawn for train, validation and test.
SIZES = (10_000, 1_000, 1_000)

#: Rows times nodes of a quadrature held at once: 64 MB of doubles.
HELD = 2**23


@dataclass(frozen=True, kw_only=True)
class Toy:
    """A distribution to draw from and to score under.

    Args:
        dim: D.
        draw: (n, generator) -> (n, D) points.
        log_density: (B, D) -> (B,), exact, in nats.
        modes: centres (K, D) of the equally likely Gaussians of a mixture, or None.
        std: their standard deviation.
    """

    dim: int
    draw: Callable[[int, np.random.Generator], np.ndarray]
    log_density: Callable[[Tensor], Tensor]
    modes: np.ndarray | None = None
    std: float = 0.0

    def sample(self, n: int, seed: int | np.random.Generator = 0) -> Float[Tensor, "n dim"]:
        """n independent points, in doubles.

        Example:
            >>> TOYS["moons"].sample(5, seed=0).shape
            torch.Size([5, 2])
        """
        return torch.from_numpy(np.ascontiguousarray(self.draw(n, np.random.default_rng(seed))))


def load_toy(name: str, options: Options) -> Data:
    """Independent draws of a toy for train, validation and test, with its exact density."""
    options.allow(name)
    toy = TOYS[name]
    train, valid, test = (
        Rows(toy.sample(size, np.random.default_rng([options.seed, part]))) for part, size in enumerate(SIZES)
    )
    return Data(
        name=options.title(name),
        example=Points(dim=toy.dim),
        train=train,
        valid=valid,
        test=test,
        notes=(f"{ENTRIES[name].line}; drawn with seed {options.seed}, exact density known",),
        log_density=toy.log_density,
    )


# -- mixtures of Gaussians ----------------------------------------------------------------------------------------


def _draw_mixture(modes: np.ndarray, std: float, n: int, rng: np.random.Generator) -> np.ndarray:
    return modes[rng.integers(len(modes), size=n)] + std * rng.normal(size=(n, 2))


def _mixture_density(modes: np.ndarray, std: float, x: Tensor) -> Tensor:
    centres = torch.from_numpy(modes)
    return _blurred(x, centres, torch.zeros(len(modes), dtype=torch.float64) - math.log(len(modes)), std)


def _blurred(x: Tensor, centres: Tensor, log_weights: Tensor, std: float) -> Tensor:
    """log sum_k w_k N(x; c_k, std² I), some rows at a time."""
    x = x.double()
    parts = []
    # |x - c|² = |x|² - 2 x.c + |c|², as a product of matrices: no (rows, centres, D) tensor.
    at_zero = log_weights - centres.square().sum(1) / (2 * std**2)
    for rows in x.split(max(HELD // len(centres), 1)):
        exponents = torch.addmm(at_zero, rows, centres.T / std**2)
        parts.append(exponents.logsumexp(1) - rows.square().sum(1) / (2 * std**2))
    return torch.cat(parts) - x.shape[1] * math.log(std * math.sqrt(2 * math.pi))


def _mixture(modes: np.ndarray, std: float) -> Toy:
    draw, density = partial(_draw_mixture, modes, std), partial(_mixture_density, modes, std)
    return Toy(dim=2, draw=draw, log_density=density, modes=modes, std=std)


# -- blurred curves -----------------------------------------------------------------------------------------------

RADII = np.array([1.0, 2.0, 3.0])
BLUR = 0.1

#: The arms turn one and a half times: angles 0 to 3 pi, radius a third of the angle.
TURNS = 3 * np.pi


def _draw_rings(n: int, rng: np.random.Generator) -> np.ndarray:
    angle = rng.uniform(0, 2 * np.pi, size=n)
    circle = rng.choice(RADII, size=n)[:, None] * np.stack([np.cos(angle), np.sin(angle)], axis=1)
    return circle + BLUR * rng.normal(size=(n, 2))


def _rings_density(x: Tensor) -> Tensor:
    r"""With r = |x|: :math:`p(x) = \frac13\sum_R \frac{1}{2\pi\sigma^2} e^{-(r^2+R^2)/2\sigma^2} I_0(rR/\sigma^2)`."""
    radius = x.double().norm(dim=1)[:, None]
    rings = torch.from_numpy(RADII)
    # I_0(z) = e^z i0e(z), and -(r² + R²)/2 + rR = -(r - R)²/2.
    each = -((radius - rings) ** 2) / (2 * BLUR**2) + i0e(radius * rings / BLUR**2).log()
    return each.logsumexp(1) - math.log(len(RADII) * 2 * math.pi * BLUR**2)


def _moon_curves(angle: np.ndarray) -> np.ndarray:
    """The two half circles at angles in [0, pi]: (2, n, 2)."""
    upper = np.stack([np.cos(angle), np.sin(angle)], axis=-1)
    return np.stack([upper, np.array([1.0, 0.5]) - upper])


def _draw_moons(n: int, rng: np.random.Generator) -> np.ndarray:
    curves = _moon_curves(rng.uniform(0, np.pi, size=n))
    return curves[rng.integers(2, size=n), np.arange(n)] + BLUR * rng.normal(size=(n, 2))


def _spiral_curves(angle: np.ndarray) -> np.ndarray:
    """The two arms at angles in [0, 3 pi]: (2, n, 2)."""
    arm = angle[..., None] / 3 * np.stack([np.cos(angle), np.sin(angle)], axis=-1)
    return np.stack([arm, -arm])


def _draw_spirals(n: int, rng: np.random.Generator) -> np.ndarray:
    # Angle with density proportional to itself: about evenly spread along the arm.
    curves = _spiral_curves(TURNS * np.sqrt(rng.uniform(size=n)))
    return curves[rng.integers(2, size=n), np.arange(n)] + BLUR * rng.normal(size=(n, 2))


@lru_cache(maxsize=2)
def _moon_nodes(count: int = 256) -> tuple[Tensor, Tensor]:
    nodes, weights = np.polynomial.legendre.leggauss(count)
    curves = _moon_curves(np.pi * (nodes + 1) / 2)
    return _as_mixture(curves, weights / 2)


@lru_cache(maxsize=2)
def _spiral_nodes(count: int = 1024) -> tuple[Tensor, Tensor]:
    nodes, weights = np.polynomial.legendre.leggauss(count)
    share = (nodes + 1) / 2
    return _as_mixture(_spiral_curves(TURNS * share), weights / 2 * 2 * share)


def _as_mixture(curves: np.ndarray, weights: np.ndarray) -> tuple[Tensor, Tensor]:
    """Quadrature nodes on two curves as centres and log-weights of a mixture."""
    centres = torch.from_numpy(curves.reshape(-1, 2).copy())
    return centres, torch.from_numpy(np.log(np.concatenate([weights, weights]) / 2))


def _moons_density(x: Tensor) -> Tensor:
    return _blurred(x, *_moon_nodes(), BLUR)


def _spirals_density(x: Tensor) -> Tensor:
    return _blurred(x, *_spiral_nodes(), BLUR)


# -- a board and a hat --------------------------------------------------------------------------------------------

#: Half the side of the board, and of the square below the hat.
HALF = 4.0


def _draw_checkerboard(n: int, rng: np.random.Generator) -> np.ndarray:
    across, along = rng.integers(4, size=n), rng.integers(2, size=n)
    corner = np.stack([across, 2 * along + across % 2], axis=1)
    return 2.0 * (corner + rng.uniform(size=(n, 2))) - HALF


def _checkerboard_density(x: Tensor) -> Tensor:
    """-log 32 on the eight fields of area 4, minus infinity elsewhere."""
    x = x.double()
    field = ((x + HALF) / 2).floor()
    inside = ((field >= 0) & (field < 4)).all(1) & ((field.sum(1) % 2) == 0)
    return torch.where(inside, x.new_tensor(-math.log(32.0)), -math.inf)


def _hat(r: Tensor) -> Tensor:
    return 3.0 * torch.sinc(2 * r / math.pi)  # torch.sinc(t) = sin(pi t)/(pi t)


def _draw_sombrero(n: int, rng: np.random.Generator) -> np.ndarray:
    ground = rng.uniform(-HALF, HALF, size=(n, 2))
    height = _hat(torch.from_numpy(np.hypot(ground[:, 0], ground[:, 1]))).numpy() + BLUR * rng.normal(size=n)
    return np.concatenate([ground, height[:, None]], axis=1)


def _sombrero_density(x: Tensor) -> Tensor:
    r"""log p = -2 log 8 + log N(z; hat(r), 0.1²) above the square, minus infinity elsewhere."""
    x = x.double()
    ground, height = x[:, :2], x[:, 2]
    inside = ((ground >= -HALF) & (ground < HALF)).all(1)
    off = (height - _hat(ground.norm(dim=1))) / BLUR
    log_normal = -0.5 * off**2 - math.log(BLUR * math.sqrt(2 * math.pi))
    return torch.where(inside, log_normal - 2 * math.log(2 * HALF), -math.inf)


def _circle_of_eight() -> np.ndarray:
    angle = np.arange(8) * np.pi / 4
    return 2.0 * np.stack([np.cos(angle), np.sin(angle)], axis=1)


def _grid_of_25() -> np.ndarray:
    side = np.array([-4.0, -2.0, 0.0, 2.0, 4.0])
    return np.stack(np.meshgrid(side, side, indexing="ij"), axis=-1).reshape(-1, 2)


#: By name.
TOYS: dict[str, Toy] = {
    "8gaussians": _mixture(_circle_of_eight(), 0.1),
    "25grid": _mixture(_grid_of_25(), 0.05),
    "rings": Toy(dim=2, draw=_draw_rings, log_density=_rings_density),
    "moons": Toy(dim=2, draw=_draw_moons, log_density=_moons_density),
    "checkerboard": Toy(dim=2, draw=_draw_checkerboard, log_density=_checkerboard_density),
    "spirals": Toy(dim=2, draw=_draw_spirals, log_density=_spirals_density),
    "sombrero": Toy(dim=3, draw=_draw_sombrero, log_density=_sombrero_density),
}
