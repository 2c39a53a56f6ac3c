r"""Denoising diffusion in discrete time (Sohl-Dickstein et al. 2015; Ho et al. 2020), trained on its variational bound.

An example is noised in T steps, :math:`z_t = \alpha_t x + \sigma_t \varepsilon` (``schedules.py``), and a chain of
Gaussians learns to go back. Minus the evidence lower bound is, in nats,

.. math:: \underbrace{KL(q(z_T \mid x) \,\|\, N(0, I))}_{\text{prior}}
          + \sum_{t=2}^{T} \underbrace{KL(q(z_{t-1} \mid z_t, x) \,\|\, p(z_{t-1} \mid z_t))}_{\text{diffusion}}
          \underbrace{- \ln p(x \mid z_1)}_{\text{reconstruction}}

*The network* predicts the velocity :math:`v = \alpha_t \varepsilon - \sigma_t x` (Salimans & Ho 2022), from which
follow :math:`\hat x = \alpha_t z_t - \sigma_t \hat v` and :math:`\hat\varepsilon = \sigma_t z_t + \alpha_t \hat v`.
For data of variance 1 this is the preconditioning of Karras et al. 2022: input and target have variance 1 at every
noise level, and :math:`\hat v = 0`, where the network starts, is the best denoiser of N(0, I).

*The model.* :math:`p(z_s \mid z_t)`, s = t - 1, has the mean of :math:`q(z_s \mid z_t, \hat x)` and the variance
:math:`\lambda_t^2`: that of the noise added, :math:`\beta_{t|s}` (the default; best for data N(0, I), for which the
bound is then exact), or that of q, :math:`\tilde\beta_{s|t}` (best for data concentrated on one point).
:math:`p(x \mid z_1) = N(\hat x, \sigma_1^2 I)`.

*The bound* is then a weighted sum of squared errors. With :math:`r_t = \tilde\beta_{s|t} / \lambda_t^2`,

.. math:: KL_t = \tfrac{D}{2} (r_t - 1 - \ln r_t) + w_t \lVert v - \hat v \rVert^2, \qquad
          w_t = \tfrac12 r_t \alpha_t^2 \left(e^{\gamma_t - \gamma_s} - 1\right), \qquad w_1 = \tfrac12.

One t is drawn per example with probability :math:`w_t / \sum w`, so that every draw has the weight :math:`\sum w`.
(:math:`\alpha_t \lVert v - \hat v \rVert = \lVert \varepsilon - \hat\varepsilon \rVert`, so on the default schedule all
errors of the predicted noise weigh the same.) To scatter less, what is known is not sampled: in
:math:`\lVert v - \hat v \rVert^2 = \lVert v \rVert^2 + \hat v \cdot (\hat v - 2 v)` the first part has the expectation
:math:`\sum_t w_t (\alpha_t^2 D + \sigma_t^2 \lVert x \rVert^2)` over t and noise, which stands in for it.
"""

import math
from collections import deque
from collections.abc import Iterator, Sequence
from typing import ClassVar, Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from pushforward.core.capabilities import HasDensity, HasPath
from pushforward.core.data import Condition
from pushforward.core.errors import InputError
from pushforward.core.model import model
from pushforward.core.noise import Noise
from pushforward.core.stages import Phase, Stage
from pushforward.diffusion.samplers import DiffusionSampler, ReverseVariance, reverse_chain
from pushforward.diffusion.schedules import Schedule, added_variance, alpha, gammas, posterior_variance, sigma
from pushforward.nn.backbones import denoiser
from pushforward.nn.conditioning import Conditioner

__all__ = ["DDPM"]

#: Length of the vector a class is embedded in.
CONDITION = 64

#: Noise levels that score an example, one from each of as many equally heavy parts of the bound: four passes of the
#: network for a fifth of the scatter of one (digits: 23 nats, not 112; four independent levels would leave 56).
LEVELS = 4

#: Steps of a quick look: the shape of a sample shows, its finish does not.
PREVIEW = 25


@model
class DDPM(HasDensity, HasPath):
    """Denoising diffusion probabilistic model: a bound on the density, samples in T steps or fewer.

    A draw of the bound takes four noise levels per example; ``log_prob(x, samples=K)`` averages K such draws.

    Raises:
        InputError: if a size is out of range, or the condition is not a class label.

    Example:
        >>> from pushforward.core.modality import Points
        >>> model = DDPM(example=Points(dim=2), width=8)  # a standard normal before it is fitted
        >>> model.log_prob(torch.zeros(1, 2).double(), samples=100)  # about -ln 2 pi
        tensor([-1.8], dtype=torch.float64)

    Reference:
        Ho et al. 2020, "Denoising Diffusion Probabilistic Models"; Kingma et al. 2021, "Variational Diffusion Models",
        sections 3 and 4, for the bound and the default schedule.
    """

    kind: ClassVar[Literal["exact", "bound", "estimate"]] = "bound"
    unbiased: ClassVar[bool] = False
    sampler_class: ClassVar[type | None] = DiffusionSampler

    steps: int = 256  # T, the number of noise levels.
    schedule: Schedule = "log-snr"  # Of the noise; log-snr weighs all errors of the predicted noise alike.
    variance: ReverseVariance = "forward"  # Of the reverse steps: that of the noise added, or of the exact posterior.
    weighting: Literal["elbo", "simple"] = "elbo"  # Of the noise levels: the bound, or all alike (then it is no bound).
    width: int = 128  # Hidden units; for images an eighth of it is channels at full size.
    depth: int = 2  # Residual blocks; for images half as many at each size.

    def build(self) -> None:
        for name in ("width", "depth"):
            if (size := getattr(self, name)) < 1:
                raise InputError(f"{name}: got {size}, expected at least 1")
        image, condition = len(self.shape) == 3, 0 if self.condition is None else CONDITION
        width, depth = (self.width // 8, self.depth // 2) if image else (self.width, self.depth)
        self.embed = None if self.condition is None else Conditioner(self.condition, CONDITION)
        self.network = denoiser(self.shape, width=max(width, 1), depth=max(depth, 1), condition=condition)

        gamma = gammas(self.schedule, self.steps).float().double()  # what follows is exact for the numbers kept
        ratio = self._ratio(gamma[:-1], gamma[1:])
        later = 0.5 * ratio * torch.sigmoid(-gamma[1:]) * torch.expm1(gamma.diff())
        self.gamma = nn.Buffer(gamma.float(), persistent=False)
        self.weight = nn.Buffer(torch.cat((gamma.new_tensor([0.5]), later)).float(), persistent=False)
        self.widening = 0.5 * (ratio - 1 - ratio.log()).sum().item()

    def _ratio(self, s: Float[Tensor, "steps"], t: Float[Tensor, "steps"]) -> Float[Tensor, "steps"]:
        """r_t, the variance of the exact posterior as a share of the model's."""
        match self.variance:
            case "forward":
                return posterior_variance(s, t) / added_variance(s, t)
            case "posterior":
                return torch.ones_like(s)
        raise ValueError(f"variance: got {self.variance!r}, expected forward or posterior")

    # -- the bound --------------------------------------------------------------------------------------------------

    def terms(
        self, x: Float[Tensor, "batch *units"], condition: Condition | None, *, noise: Noise
    ) -> dict[str, Float[Tensor, "batch"]]:
        """Minus the bound in its three parts; or, for the weighting "simple", the mean of |eps - eps_hat|^2 over t."""
        u = noise.uniform(like=x)
        match self.weighting:
            case "elbo":
                return self._bound(x, condition, u, noise)
            case "simple":
                first, later = self._errors(x, condition, u, noise, torch.sigmoid(-self.gamma) / self.steps)
                return {"prior": self._prior(x), "diffusion": later, "reconstruction": first}
        raise ValueError(f"weighting: got {self.weighting!r}, expected elbo or simple")

    def log_likelihood(
        self, x: Float[Tensor, "batch *units"], condition: Condition | None, *, noise: Noise
    ) -> Float[Tensor, "batch"]:
        u = noise.uniform(like=x)
        draws = [self._bound(x, condition, (u + k) / LEVELS, noise) for k in range(LEVELS)]
        return -torch.stack([part for draw in draws for part in draw.values()]).sum(0) / LEVELS

    def _bound(self, x: Tensor, condition: Condition | None, u: Tensor, noise: Noise) -> dict[str, Tensor]:
        dim = x[0].numel()
        first, later = self._errors(x, condition, u, noise, self.weight)
        return {
            "prior": self._prior(x),
            "diffusion": later + dim * self.widening,
            "reconstruction": first + dim * (0.5 * math.log(2 * math.pi) + sigma(self.gamma[0]).log()),
        }

    def _prior(self, x: Tensor) -> Float[Tensor, "batch"]:
        """KL(q(z_T | x) || N(0, I))."""
        last, dim = self.gamma[-1], x[0].numel()
        return 0.5 * torch.sigmoid(-last) * (x.flatten(1).square().sum(1) - dim) - dim * sigma(last).log()

    def _errors(
        self, x: Tensor, condition: Condition | None, u: Tensor, noise: Noise, weight: Float[Tensor, "steps"]
    ) -> tuple[Float[Tensor, "batch"], Float[Tensor, "batch"]]:
        """One draw each of w_1 |v - v_hat|^2 and of the sum of w_t |v - v_hat|^2 over t > 1, at one t per example."""
        total = weight.sum()
        t = torch.searchsorted(weight.cumsum(0), total * u, right=True).clamp(max=self.steps - 1)
        gamma, eps = self.gamma[t], noise.normal(*self.shape, like=x)
        a, s = (part(gamma).view(-1, *[1] * (x.ndim - 1)) for part in (alpha, sigma))
        z, v = a * x + s * eps, a * eps - s * x
        guess = self._velocity(z, gamma, condition)
        excess = total * (guess * (guess - 2 * v)).flatten(1).sum(1)

        dim, size = x[0].numel(), x.flatten(1).square().sum(1)
        static = weight * torch.sigmoid(-self.gamma)  # w alpha^2: what eps has of v
        signal = weight - static  # w sigma^2: what x has of v
        first = static[0] * dim + signal[0] * size + torch.where(t == 0, excess, 0.0)
        later = static[1:].sum() * dim + signal[1:].sum() * size + torch.where(t == 0, 0.0, excess)
        return first, later

    def _velocity(
        self, z: Float[Tensor, "batch *units"], gamma: Float[Tensor, "batch"], condition: Condition | None
    ) -> Float[Tensor, "batch *units"]:
        """The network's v; it reads the noise level as a time from 0 to 1."""
        time = (gamma - self.gamma[0]) / (self.gamma[-1] - self.gamma[0])
        return self.network(z, time, None if self.embed is None else self.embed(condition, len(z)))

    # -- sampling ---------------------------------------------------------------------------------------------------

    def draw(
        self, n: int, condition: Condition | None, *, noise: Noise, sampler: DiffusionSampler | None
    ) -> Float[Tensor, "n *units"]:
        # Only the last state is kept: all of them would be T times the memory.
        return deque(self.trajectory(n, condition, noise=noise, sampler=sampler), maxlen=1).pop()

    def trajectory(
        self, n: int, condition: Condition | None, *, noise: Noise, sampler: DiffusionSampler | None
    ) -> Iterator[Float[Tensor, "n *units"]]:
        sampler = sampler or DiffusionSampler()
        guided = sampler.guidance != 1.0
        if guided and (condition is None or not condition.present.any()):
            raise InputError(f"guidance: got {sampler.guidance} for samples without condition, expected 1")

        def velocity(z: Tensor, index: int) -> Tensor:
            gamma = self.gamma[index].expand(len(z))
            v = self._velocity(z, gamma, condition)
            if not guided or condition is None:
                return v
            null = self._velocity(z, gamma, Condition(condition.value, torch.zeros_like(condition.present)))
            return null + sampler.guidance * (v - null)

        z = noise.normal(*self.shape, like=self._anchor())
        yield z
        yield from reverse_chain(velocity, self.gamma, z, sampler=sampler, variance=self.variance, noise=noise)

    @property
    def batch_size(self) -> int:
        """On vectors a large batch costs little and averages over noise levels; on images more steps are worth more."""
        return 64 if len(self.shape) == 3 else 256

    @property
    def preview(self) -> DiffusionSampler:
        """Deterministic and short, for looks at samples while training."""
        return DiffusionSampler(method="ddim", steps=min(PREVIEW, self.steps))

    def stages(self) -> Sequence[Stage]:
        phase = Phase(name="fit", terms=self.terms, parameters=list(self.parameters()), lr=2e-3)
        return [Stage(name="fit", phases=[phase])]
