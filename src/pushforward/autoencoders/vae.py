r"""Variational autoencoder: a latent-variable model and its approximate posterior, trained together on a bound.

.. math:: z \sim N(0, I), \qquad x \mid z, c \sim N(m(z, c),\, v(z, c)), \qquad q(z \mid x, c) = N(\mu(x, c),\, s(x, c))

with diagonal covariances; the decoder gives m and v, the encoder mu and s. By Jensen's inequality log p(x | c) is at
least the *evidence lower bound*

.. math:: \mathbb{E}_{z \sim q}[\log p(x \mid z, c)] - \mathrm{KL}(q(z \mid x, c) \,\|\, p(z)), \qquad
          \mathrm{KL} = \tfrac{1}{2} \sum_j (\mu_j^2 + s_j - \ln s_j - 1),

in which a draw from q is made differentiable as :math:`z = \mu + \sqrt{s}\, \epsilon`, :math:`\epsilon \sim N(0, I)`.

Reference:
    Kingma and Welling 2014, "Auto-Encoding Variational Bayes", eq. 3 and 10.
"""

import math
from collections.abc import Sequence
from typing import Any, ClassVar, Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from pushforward.core.capabilities import HasDensity, HasLatent
from pushforward.core.data import Condition
from pushforward.core.errors import InputError
from pushforward.core.model import model
from pushforward.core.noise import Noise
from pushforward.core.stages import Phase, Stage
from pushforward.nn.backbones import decoder, encoder
from pushforward.nn.conditioning import Conditioner

__all__ = ["VAE"]

#: Length of the vector a class becomes: room for a hundred classes to differ, a fraction of the hidden units.
CLASS_WIDTH = 32

#: Log-variances stay within this. A dequantised 8-bit pixel that never varies has -12.2 in model units, so nothing that
#: data can ask for is out of reach, and a variance cannot run off to 0 or infinity in one bad step.
FARTHEST = 15.0

#: A log-variance of its own has ten nats to travel, and Adam moves a parameter by about the learning rate a step, 2e-3:
#: as this multiple of the parameter it gets there in a few hundred steps.
STRIDE = 30.0

#: Share of the training over which the KL term comes in, from nothing: a decoder that starts with more noise than
#: signal otherwise settles on ignoring z. On a ring in the plane the model stayed a Gaussian without it, at -2.17 nats,
#: and came to -1.2 with it, the best there is being -0.95. Afterwards the loss is the bound.
WARM_UP = 0.1

#: The largest example that "auto" gives to a perceptron: up to 32 x 32 grey pixels it learns more in a minute on a CPU.
MLP_UP_TO = 1024


@model
class VAE(HasDensity, HasLatent):
    r"""Variational autoencoder with a Gaussian decoder that predicts its own variance.

    The loss is ``reconstruction + kl``, minus the bound at one draw of z; the KL term comes in over the first tenth of
    the training. ``log_prob`` with K samples is the importance bound
    :math:`\log \tfrac{1}{K} \sum_k p(x, z_k \mid c) / q(z_k \mid x, c)`, which grows to log p(x | c) with K (Burda et
    al. 2016, eq. 8).

    ``network="linear"`` with ``variance="shared"`` is probabilistic PCA, whose solution is known
    (``pushforward.probability.ppca``); with ``variance="dimension"`` it is factor analysis.

    Raises:
        InputError: if a number is out of range, or the network does not go with the examples.

    Example:
        >>> from pushforward.core.modality import Points
        >>> vae = VAE(example=Points(dim=2), latent_dim=1)
        >>> sorted(vae.terms(torch.zeros(5, 2), None, noise=Noise(0, rows=5)))
        ['kl', 'reconstruction']
        >>> vae.sample(3, seed=0).shape
        torch.Size([3, 2])

    Reference:
        Burda, Grosse and Salakhutdinov 2016, "Importance Weighted Autoencoders".
    """

    kind: ClassVar[Literal["exact", "bound", "estimate"]] = "bound"

    latent_dim: int = 16  # Length of the code z.
    width: int = 256  # Hidden units of a layer; convolutions have an eighth as many channels.
    depth: int = 2  # Hidden layers; convolutions have half as many residual blocks at each size.
    beta: float = 1.0  # Weight of the KL term; other than 1 the loss is no bound (Higgins et al. 2017).
    network: Literal["auto", "mlp", "conv", "linear"] = "auto"  # auto: conv above 1,024 numbers; linear: pPCA.
    variance: Literal["shared", "dimension", "network"] = "network"  # Of x given z: one, one each, or the decoder's.

    def build(self) -> None:
        for name, least in (("latent_dim", 1), ("width", 1), ("depth", 0), ("beta", 0)):
            if not (number := getattr(self, name)) >= least:
                raise InputError(f"{name}: got {number}, expected at least {least}")
        self.embed = None if self.condition is None else Conditioner(self.condition, CLASS_WIDTH)
        self.encoder, self.log_s = self._encoder()
        self.decoder, self.log_v = self._decoder()

    # -- the two distributions --------------------------------------------------------------------------------------

    def posterior(
        self, x: Float[Tensor, "batch *units"], c: Float[Tensor, "batch width"] | None
    ) -> tuple[Float[Tensor, "batch latent"], Float[Tensor, "*batch latent"]]:
        """Mean and log-variance of q(z | x, c)."""
        if self.log_s is not None:
            return self.encoder(x, c), bounded(STRIDE * self.log_s)
        mean, log_s = self.encoder(x, c).chunk(2, dim=1)
        return mean, bounded(log_s)

    def observation(
        self, z: Float[Tensor, "batch latent"], c: Float[Tensor, "batch width"] | None
    ) -> tuple[Float[Tensor, "batch *units"], Float[Tensor, "*broadcast"]]:
        """Mean and log-variance of p(x | z, c)."""
        if self.log_v is not None:
            return self.decoder(z, c).squeeze(1), bounded(STRIDE * self.log_v)
        mean, log_v = self.decoder(z, c).unbind(1)
        return mean, bounded(log_v)

    # -- the bound --------------------------------------------------------------------------------------------------

    def terms(
        self, x: Float[Tensor, "batch *units"], condition: Condition | None, *, noise: Noise
    ) -> dict[str, Float[Tensor, "batch"]]:
        c = self._embedded(condition, len(x))
        mean, log_s = self.posterior(x, c)
        std = (0.5 * log_s).exp()
        z = mean + std * noise.normal(self.latent_dim, like=mean)
        kl = 0.5 * (mean**2 + std**2 - log_s - 1).sum(1)
        weight = self.beta * min(1.0, self.progress / WARM_UP)
        return {"reconstruction": -log_normal(x, *self.observation(z, c)), "kl": weight * kl}

    def log_likelihood(
        self, x: Float[Tensor, "batch *units"], condition: Condition | None, *, noise: Noise
    ) -> Float[Tensor, "batch"]:
        """The logarithm of p(x, z | c) / q(z | x, c) at one z drawn from q: its exponential has mean p(x | c)."""
        c = self._embedded(condition, len(x))
        mean, log_s = self.posterior(x, c)
        epsilon = noise.normal(self.latent_dim, like=mean)
        z = mean + (0.5 * log_s).exp() * epsilon
        # log p(z) - log q(z | x, c): the constants of the two normals cancel.
        prior_to_posterior = 0.5 * (epsilon**2 + log_s - z**2).sum(1)
        return log_normal(x, *self.observation(z, c)) + prior_to_posterior

    # -- samples and codes ------------------------------------------------------------------------------------------

    def draw(
        self, n: int, condition: Condition | None, *, noise: Noise, sampler: Any | None
    ) -> Float[Tensor, "n *units"]:
        z = noise.normal(self.latent_dim, like=self._anchor())
        mean, log_v = self.observation(z, self._embedded(condition, n))
        return mean + (0.5 * log_v).exp() * noise.normal(*self.shape, like=mean)

    def infer(self, x: Float[Tensor, "batch *units"], condition: Condition | None) -> Float[Tensor, "batch latent"]:
        return self.posterior(x, self._embedded(condition, len(x)))[0]

    def generate(self, z: Float[Tensor, "batch latent"], condition: Condition | None) -> Float[Tensor, "batch *units"]:
        return self.observation(z, self._embedded(condition, len(z)))[0]

    def stages(self) -> Sequence[Stage]:
        # Twice the usual rate: on digits and MNIST it reached a better bound in the same number of steps.
        # An entry that hardly varies gets a tiny variance, and the first example in which it does is then a gradient
        # a thousand times the usual. Four per entry is about the usual size, so Adam sees little of the clipping.
        clip = 4.0 * math.prod(self.shape)
        phase = Phase(name="fit", terms=self.terms, parameters=list(self.parameters()), lr=2e-3, clip=clip)
        return [Stage(name="fit", phases=[phase])]

    # -- the layers -------------------------------------------------------------------------------------------------

    def _encoder(self) -> tuple[nn.Module, nn.Parameter | None]:
        """A network, and the log-variance of z where it is the same for all x."""
        if self.network != "linear":
            return encoder(self.shape, 2 * self.latent_dim, **self._sizes()), None
        # So it is in the exact posterior of a linear Gaussian model.
        return encoder(self.shape, self.latent_dim, **self._sizes()), nn.Parameter(torch.zeros(self.latent_dim))

    def _decoder(self) -> tuple[nn.Module, nn.Parameter | None]:
        """A network, and the log-variance of x where it is the same for all z."""
        match self.variance:
            case "network":
                return decoder(self.latent_dim, self.shape, parameters=2, **self._sizes()), None
            case "dimension":
                return decoder(self.latent_dim, self.shape, **self._sizes()), nn.Parameter(torch.zeros(self.shape))
            case "shared":
                return decoder(self.latent_dim, self.shape, **self._sizes()), nn.Parameter(torch.zeros(()))
            case _:
                raise InputError(f"variance: got {self.variance!r}, expected 'shared', 'dimension' or 'network'")

    def _sizes(self) -> dict[str, Any]:
        """What encoder and decoder have in common."""
        condition = 0 if self.embed is None else CLASS_WIDTH
        small = len(self.shape) == 1 or math.prod(self.shape) <= MLP_UP_TO
        match "mlp" if self.network == "auto" and small else self.network:
            case "mlp":
                return {"network": "mlp", "width": self.width, "depth": self.depth, "condition": condition}
            case "linear":  # a perceptron without hidden layers
                return {"network": "mlp", "width": self.width, "depth": 0, "condition": condition}
            case "conv" | "auto":
                width, depth = max(self.width // 8, 1), max(self.depth // 2, 1)
                return {"network": "conv", "width": width, "depth": depth, "condition": condition}
            case _:
                raise InputError(f"network: got {self.network!r}, expected 'auto', 'mlp', 'conv' or 'linear'")

    def _embedded(self, condition: Condition | None, n: int) -> Float[Tensor, "n width"] | None:
        return None if self.embed is None else self.embed(condition, n)


def bounded(raw: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """A log-variance kept within its limits: the identity near 0, flat far out, so that gradients never vanish."""
    return FARTHEST * torch.tanh(raw / FARTHEST)


def log_normal(
    x: Float[Tensor, "batch *units"], mean: Float[Tensor, "batch *units"], log_variance: Float[Tensor, "*broadcast"]
) -> Float[Tensor, "batch"]:
    """log N(x; mean, exp(log_variance)), summed over entries."""
    squares = (x - mean) ** 2 * (-log_variance).exp() + log_variance
    return -0.5 * squares.flatten(1).sum(1) - 0.5 * math.prod(x.shape[1:]) * math.log(2 * math.pi)
