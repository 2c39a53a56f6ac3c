r"""Denoising: what an example was before noise was added to it.

The best answer in squared error is the posterior mean :math:`\mathbb{E}[x \mid y]`, y being x with noise.

* *An autoencoder trained to denoise* learned it: decode what y encodes to.
* *A VAE* stands for it by :math:`\mathbb{E}_{z \sim q(z \mid y)}[m(z)]`: the code keeps what the noisy example has in
  common with the data, and noise does not fit in it. Draws of z are averaged.
* *A Gaussian, a mixture, probabilistic PCA* with noise of known standard deviation s have it in closed form. With
  responsibilities r of the components under the noisy covariances,

  .. math:: \mathbb{E}[x \mid y] = \sum_k r_k(y) \bigl(\mu_k + \Sigma_k (\Sigma_k + s^2 I)^{-1} (y - \mu_k)\bigr),

  the Wiener filter of each component.

Reference:
    Vincent et al. 2008, "Extracting and composing robust features with denoising autoencoders"; Wiener 1949,
    "Extrapolation, interpolation, and smoothing of stationary time series".
"""

from __future__ import annotations

import math

import torch
from jaxtyping import Float, Shaped
from torch import Tensor

from pushforward.core.capabilities import HasDensity, HasLatent, HasPosterior
from pushforward.core.data import Condition
from pushforward.core.errors import InputError, check_count
from pushforward.core.modality import Image, Points
from pushforward.core.model import Model
from pushforward.core.noise import Noise
from pushforward.core.pixel_units import Pixels
from pushforward.core.point_units import Standardise
from pushforward.probability.baselines import Gaussian
from pushforward.probability.mixture import Mixture
from pushforward.probability.ppca import PPCA
from pushforward.uses.conditionals import Parts, known_density, parts_of

__all__ = ["denoise", "has_bottleneck", "psnr"]

#: Codes averaged over: what is left of their spread in the mean is an eighth of it.
DRAWS = 64

#: Examples worked on at a time.
ROWS = 256


def denoise(
    model: Model,
    noisy: Shaped[Tensor, "batch *shape"],
    *,
    deviation: float | None = None,
    draws: int = DRAWS,
    seed: int = 0,
) -> Shaped[Tensor, "batch *shape"]:
    """Noisy examples as the model thinks they were without noise.

    Args:
        model: an autoencoder, vae or another model with a code; or, with ``deviation``, a gaussian, mixture or ppca.
        noisy: storage examples: images or points.
        deviation: standard deviation of the noise in units of the data (levels of a pixel), for closed forms.
        draws: codes of a VAE to average over.
        seed: of their noise.

    Raises:
        InputError: if the model has neither a code nor a closed form, or these examples are of another kind.

    Example:
        >>> model = Gaussian(example=Points(dim=1))  # a standard normal before it is solved
        >>> denoise(model, torch.tensor([[3.0]]).double(), deviation=1.0)  # half of it is noise
        tensor([[1.5000]], dtype=torch.float64)
    """
    check_count(draws, "draws")
    if not isinstance(model.example, (Image, Points)):
        raise InputError(f"model: works on {model.example.describe()}, noise is taken off images and points")
    model.example.check(noisy, "noisy")
    closed = isinstance(model, (Gaussian, Mixture, PPCA)) and deviation is not None
    if deviation is not None and not (closed and 0 < deviation < math.inf):
        expected = "a positive number" if closed else "none: only a gaussian, mixture or ppca is told the noise"
        raise InputError(f"deviation: got {deviation} for {type(model).__name__}, expected {expected}")
    if not closed and not has_bottleneck(model):
        raise InputError(f"model: {type(model).__name__} has no code that leaves noise out, expected an autoencoder")
    found = []
    with model.at_rest():
        for first in range(0, len(noisy), ROWS):
            rows = noisy[first : first + ROWS].to(model.device)
            noise = Noise(seed, rows=len(rows), start=first)
            y, _ = model.fitted.encode(rows, noise=noise, dtype=model.dtype)
            if isinstance(model, (Gaussian, Mixture, PPCA)) and deviation is not None:
                clean = _wiener(parts_of(model), y.flatten(1).double(), _scale(model, deviation)).view(y.shape).to(y)
            else:
                assert isinstance(model, HasLatent)
                clean = _through_code(model, y, model.given(None, len(rows)), draws, noise)
            found.append(model.fitted.decode(clean, noise=noise).cpu())
    return torch.cat(found) if found else noisy.clone()


def has_bottleneck(model: Model) -> bool:
    """Whether decoding what an example encodes to says anything: the code of a flow holds all of it, noise too.

    Example:
        >>> has_bottleneck(PPCA(example=Points(dim=3), latent_dim=1)), has_bottleneck(Gaussian(example=Points(dim=3)))
        (True, False)
    """
    invertible = isinstance(model, HasDensity) and model.kind == "exact" and not isinstance(model, PPCA)
    return isinstance(model, HasLatent) and not invertible


def psnr(
    clean: Shaped[Tensor, "batch *shape"], restored: Shaped[Tensor, "batch *shape"], *, peak: float
) -> Float[Tensor, "batch"]:
    r"""Peak signal-to-noise ratio of each example in decibel, :math:`10 \log_{10} (\text{peak}^2 / \text{MSE})`.

    Args:
        clean: what should have come.
        restored: what came.
        peak: the largest value, such as 255.

    Example:
        >>> psnr(torch.zeros(1, 4), torch.full((1, 4), 25.5), peak=255)  # off by a tenth of the peak
        tensor([20.], dtype=torch.float64)
    """
    error = (clean.double() - restored.double()).flatten(1).square().mean(1)
    return 10 * torch.log10(peak**2 / error)


def _through_code(model: HasLatent, y: Tensor, nobody: Condition | None, draws: int, noise: Noise) -> Tensor:
    """What y decodes to, averaged over draws of its code where it has a distribution."""
    if not isinstance(model, HasPosterior):
        return model.generate(model.infer(y, nobody), nobody)
    total = torch.zeros_like(y)
    for _ in range(draws):
        total += model.generate(model.sample_code(y, nobody, noise=noise), nobody)
    return total / draws


def _scale(model: Model, deviation: float) -> Float[Tensor, "dim"]:
    """The standard deviation of the noise in model units, of every entry."""
    match model.fitted:
        case Pixels(scale="affine") as units:
            return torch.full((math.prod(units.shape),), 2 * deviation / units.example.levels, dtype=torch.float64)
        case Standardise() as units:
            return deviation / torch.tensor(units.std, dtype=torch.float64)
        case units:
            raise InputError(f"model: noise has no closed form in {type(units).__name__} units, expected linear ones")


def _wiener(parts: Parts, y: Float[Tensor, "n dim"], scale: Float[Tensor, "dim"]) -> Float[Tensor, "n dim"]:
    """E[x | y] of a mixture of Gaussians."""
    noisy = parts._replace(covariances=parts.covariances + torch.diag(scale**2))
    shares = known_density(noisy, y, torch.ones(y.shape[1], dtype=torch.bool)).softmax(1)
    rest = y[None] - parts.means[:, None]  # (K, n, D)
    white = torch.linalg.solve(noisy.covariances, rest.mT)
    means = parts.means[:, None] + (parts.covariances @ white).mT
    return (shares.T[:, :, None] * means).sum(0)
