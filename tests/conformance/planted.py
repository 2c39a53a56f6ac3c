"""Models with one fault each: what ``check`` must find, and name.

Most are a sound model with one method gone wrong; of such only tests may make subclasses.
"""

import math
from dataclasses import dataclass

import torch
from torch import nn

from pushforward.autoencoders.vae import VAE
from pushforward.conformance.subject import Subject
from pushforward.core.column_units import Bins, Scores
from pushforward.core.errors import InputError
from pushforward.core.model import model
from pushforward.core.noise import Noise
from pushforward.core.pixel_units import Pixels
from pushforward.core.point_units import Standardise
from pushforward.diffusion.ddpm import DDPM
from pushforward.flows import realnvp
from pushforward.flows.realnvp import RealNVP
from pushforward.gans.gan import GAN
from pushforward.probability.baselines import Gaussian
from pushforward.probability.mixture import Mixture
from pushforward.transformers.gpt import GPT

# --- 1. means instead of draws -------------------------------------------------------------------------------------


@model
class MeanVAE(VAE):
    """Returns the decoder's mean."""

    def draw(self, n, condition, *, noise, sampler):
        return self.generate(noise.normal(self.latent_dim, like=self._anchor()), condition)


@model
class MeanMixture(Mixture):
    """Returns the means of components, without their spread."""

    def draw(self, n, condition, *, noise, sampler):
        u = noise.uniform(1, like=self.weights.double())
        k = torch.searchsorted(self.weights[0].double().cumsum(0), u).squeeze(1).clamp(max=len(self.means) - 1)
        return self.means[k].unflatten(1, self.shape)


class _Silent:
    """Noise whose normals are zero after the first draw."""

    def __init__(self, noise):
        self.noise, self.count = noise, 0

    def normal(self, *event, like=None):
        self.count += 1
        return self.noise.normal(*event, like=like) * (self.count == 1)


@model
class MeanDDPM(DDPM):
    """Takes the mean of every reverse step."""

    def trajectory(self, n, condition, *, noise, sampler):
        yield from DDPM.trajectory(self, n, condition, noise=_Silent(noise), sampler=sampler)


@model
class GreedyGPT(GPT):
    """Draws at half the temperature."""

    def draw(self, n, condition, *, noise, sampler):
        return GPT.draw(self, n, condition, noise=noise, sampler=self.sampler_class(temperature=0.5))


# --- 2. a log-determinant with the wrong sign, and 3. one summed over the batch --------------------------------------


@model
class SignRealNVP(RealNVP):
    """Subtracts the log-determinant of its map."""

    def terms(self, x, condition, *, noise):
        return {"nll": -self.log_likelihood(x, condition, noise=noise)}

    def log_likelihood(self, x, condition, *, noise):
        z, log_det = self.flow(x, self._embedded(condition, len(x)))
        return realnvp.log_normal(z) - log_det


@model
class SignGaussian(Gaussian):
    """Adds the log-determinant of L where it is to be taken off."""

    def log_likelihood(self, x, condition, *, noise):
        log_det = self.scales[0].double().diagonal().log().sum()
        return Gaussian.log_likelihood(self, x, None, noise=noise) + 2 * log_det


@model
class SumRealNVP(RealNVP):
    """Sums the log-determinant over the batch."""

    def log_likelihood(self, x, condition, *, noise):
        z, log_det = self.flow(x, self._embedded(condition, len(x)))
        return realnvp.log_normal(z) + log_det.sum()


@model
class SumVAE(VAE):
    """Sums the log-variance of the decoder over the batch."""

    def log_likelihood(self, x, condition, *, noise):
        z = self.infer(x, condition)
        _, log_v = self.observation(z, self._embedded(condition, len(x)))
        own = log_v.flatten(1).sum(1)
        return VAE.log_likelihood(self, x, condition, noise=noise) + 0.5 * own - 0.5 * own.sum()


@model
class SumGaussian(Gaussian):
    """Takes off the log-determinant once for every example of the batch."""

    def log_likelihood(self, x, condition, *, noise):
        log_det = self.scales[0].double().diagonal().log().sum()
        return Gaussian.log_likelihood(self, x, condition, noise=noise) + log_det - len(x) * log_det


# --- 4. a loss averaged over dimensions, and 5. a KL with a hidden constant ------------------------------------------


def averaged(terms, shape):
    return {name: term / math.prod(shape) for name, term in terms.items()}


@model
class AverageVAE(VAE):
    """Averages its loss over the entries."""

    def terms(self, x, condition, *, noise):
        return averaged(VAE.terms(self, x, condition, noise=noise), self.shape)


@model
class AverageGPT(GPT):
    """Averages its loss over the codes."""

    def terms(self, x, condition, *, noise):
        return averaged(GPT.terms(self, x, condition, noise=noise), self.shape)


@model
class AverageDDPM(DDPM):
    """Averages its loss over the entries."""

    def terms(self, x, condition, *, noise):
        return averaged(DDPM.terms(self, x, condition, noise=noise), self.shape)


@model
class HalfVAE(VAE):
    """Gives the KL term half its weight."""

    def terms(self, x, condition, *, noise):
        terms = VAE.terms(self, x, condition, noise=noise)
        return {**terms, "kl": 0.5 * terms["kl"]}


@model
class ShiftVAE(VAE):
    """Adds a constant to the KL: forgets the - 1 of its formula."""

    def terms(self, x, condition, *, noise):
        terms = VAE.terms(self, x, condition, noise=noise)
        return {**terms, "kl": terms["kl"] + 0.5 * self.latent_dim}


@model
class ConstantDDPM(DDPM):
    """Leaves the constant of the KL terms out of the loss."""

    def terms(self, x, condition, *, noise):
        terms = DDPM.terms(self, x, condition, noise=noise)
        return {**terms, "diffusion": terms["diffusion"] + x[0].numel() * 0.5}


@model
class WeightDDPM(DDPM):
    """Gives the KLs of the chain three times their weight."""

    def terms(self, x, condition, *, noise):
        terms = DDPM.terms(self, x, condition, noise=noise)
        return {**terms, "diffusion": 3 * terms["diffusion"]}


# --- 6. an unused parameter ------------------------------------------------------------------------------------------


@model
class IdleVAE(VAE):
    """Has a layer that nothing uses."""

    def build(self):
        VAE.build(self)
        self.spare = nn.Linear(2, 3)


@model
class IdleGAN(GAN):
    """Has a generator layer that nothing uses."""

    def build(self):
        GAN.build(self)
        self.generator_spare = nn.Linear(2, 3)


@model
class FrozenRealNVP(RealNVP):
    """Detaches the output of a coupling's network, so that it never learns."""

    def build(self):
        RealNVP.build(self)
        self.gate = nn.Parameter(torch.zeros(1))

    def terms(self, x, condition, *, noise):
        return RealNVP.terms(self, x + 0 * self.gate, condition, noise=noise)


# --- 7. a sampler that ignores its generator, and 8. one whose sample i depends on the batch size ---------------------


@model
class GlobalVAE(VAE):
    """Draws from torch's global random state."""

    def draw(self, n, condition, *, noise, sampler):
        return self.generate(torch.randn(n, self.latent_dim).to(self._anchor()), condition)


@model
class GlobalGAN(GAN):
    """Draws from torch's global random state."""

    def _generate(self, n, condition, noise):
        fresh = torch.randint(2**31, (1,)).item()
        return GAN._generate(self, n, condition, Noise(fresh, rows=n))


@model
class ConstantGPT(GPT):
    """Has a seed of its own."""

    def draw(self, n, condition, *, noise, sampler):
        return GPT.draw(self, n, condition, noise=Noise(7, rows=n, start=noise.start), sampler=sampler)


@model
class BatchRealNVP(RealNVP):
    """Centres its latent noise over the batch."""

    def draw(self, n, condition, *, noise, sampler):
        z = noise.normal(*self.latent_shape, like=self._anchor())
        return self.generate(z - z.mean(0) / 2, condition)


@model
class BatchGAN(GAN):
    """Starts the noise of every batch anew."""

    def _generate(self, n, condition, noise):
        return GAN._generate(self, n, condition, Noise(noise.seed, noise.step, rows=n))


@model
class BatchGPT(GPT):
    """Takes the noise of sample i in the order of the batch, last first."""

    def draw(self, n, condition, *, noise, sampler):
        return GPT.draw(self, n, condition, noise=noise, sampler=sampler).flip(0)


# --- 9. a bound above the exact value ---------------------------------------------------------------------------------


@model
class HighVAE(VAE):
    """Gives the KL half its weight, in the loss and in the bound."""

    def terms(self, x, condition, *, noise):
        terms = VAE.terms(self, x, condition, noise=noise)
        return {**terms, "kl": 0.5 * terms["kl"]}

    def log_weights(self, x, condition, *, samples, noise):
        return torch.stack([-sum(self.terms(x, condition, noise=noise).values()) for _ in range(samples)])


@model
class HighDDPM(DDPM):
    """Leaves the constants of the reconstruction out of the bound."""

    def _bound(self, x, condition, u, noise):
        found = DDPM._bound(self, x, condition, u, noise)
        return {**found, "reconstruction": found["reconstruction"] - 0.25 * x[0].numel() * math.log(2 * math.pi)}


# --- 10. units whose log-determinant is left out ----------------------------------------------------------------------


def without(log_det):
    return torch.zeros_like(log_det)


@dataclass(frozen=True, kw_only=True)
class FlatPixels(Pixels):
    """Pixels that count no volume."""

    def encode(self, x, *, noise, dtype=torch.float32):
        y, log_det = Pixels.encode(self, x, noise=noise, dtype=dtype)
        return y, without(log_det)


@dataclass(frozen=True, kw_only=True)
class FlatStandardise(Standardise):
    """Points that count no volume."""

    def encode(self, x, *, noise, dtype=torch.float32):
        y, log_det = Standardise.encode(self, x, noise=noise, dtype=dtype)
        return y, without(log_det)


@dataclass(frozen=True, kw_only=True)
class FlatBins(Bins):
    """Bins that count no density within them."""

    def encode(self, x, *, noise, dtype=torch.float32):
        y, log_det = Bins.encode(self, x, noise=noise, dtype=dtype)
        return y, without(log_det)


@dataclass(frozen=True, kw_only=True)
class FlatScores(Scores):
    """Columns that count no volume."""

    def encode(self, x, *, noise, dtype=torch.float32):
        y, log_det = Scores.encode(self, x, noise=noise, dtype=dtype)
        return y, without(log_det)


# --- and two more -----------------------------------------------------------------------------------------------------


@model
class BrokenGaussian(Gaussian):
    """Raises an error where it should draw."""

    def draw(self, n, condition, *, noise, sampler):
        raise ZeroDivisionError("of its own making")


@model
class PictureGaussian(Gaussian):
    """Sound, and takes nothing but images."""

    def build(self):
        if len(self.shape) != 3:
            raise InputError("data: got no images")
        Gaussian.build(self)


def subject(model) -> Subject:
    """A model under test, as a single question is asked of it."""
    return Subject(model, None, 0)
