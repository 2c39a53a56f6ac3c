r"""The generative adversarial network (Goodfellow et al. 2014) with the losses that make it converge.

A generator :math:`G(z, c)`, :math:`z \sim N(0, I)`, and a critic :math:`D(x, c)`, the log-odds that x is data. With
:math:`\mathrm{sp}(a) = \log(1 + e^a)`, so that :math:`\mathrm{sp}(-D) = -\log \sigma(D)`, they descend in turn on

.. math::

    L_D &= \mathrm{sp}(-D(x)) + \mathrm{sp}(D(G(z))) + \tfrac{\gamma}{2} \|\nabla_x D(x)\|^2

    L_G &= \mathrm{sp}(-D(G(z)))

:math:`L_G` is the non-saturating loss (section 3 of the paper): its gradient does not vanish while the critic wins.
The last term of :math:`L_D` is the R1 penalty (Mescheder et al. 2018, "Which training methods for GANs do actually
converge?", eq. 9): at the optimum D is flat on the data and the game comes to rest. A strong penalty finds every mode,
a weak one lets D see fine detail, so :math:`\gamma` falls geometrically over training. Spectral normalisation (Miyato
et al. 2018), which bounds the slope of D everywhere by bounding every layer, stands in for it on request.

At its best, :math:`D(x) = \log p(x) - \log q(x)`, the log-ratio of data and samples.
"""

from collections.abc import Sequence
from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import softplus
from torch.nn.utils.parametrizations import spectral_norm

from pushforward.core.data import Condition
from pushforward.core.model import Model, model
from pushforward.core.noise import Noise
from pushforward.core.stages import Phase, Stage
from pushforward.nn.backbones import decoder, encoder
from pushforward.nn.conditioning import Conditioner
from pushforward.nn.mlp import MLP

__all__ = ["GAN"]


@model
class GAN(Model):
    """Generative adversarial network: non-saturating loss, R1 or spectral normalisation, no likelihood.

    Samples are drawn from the moving average of the generator, which the training loop keeps.

    Example:
        >>> from pushforward.core.modality import Points
        >>> GAN(example=Points(dim=2), width=8).sample(3, seed=0).shape
        torch.Size([3, 2])
    """

    latent_dim: int = 0  # Dimension of z; 0 takes that of the data, at most 64.
    width: int = 128  # Units of hidden layers; for images a quarter of it is channels at full size.
    depth: int = 4  # Hidden layers of the critic (the generator has twice as many); for images one block a size.
    regularize: Literal["r1", "spectral", "none"] = "r1"  # What keeps the critic from growing too steep.
    gamma: float = 0.1  # Weight of R1 at the start of training; images take ten times as much.
    gamma_end: float = 0.01  # Weight of R1 at the end; images take ten times as much.
    lr: float = 2e-3  # Peak learning rate of both players on vectors; on images half of it.

    def build(self) -> None:
        image, width = len(self.shape) == 3, self.width
        latent = self.latent_dim or min(max(sum(self.shape) if not image else 64, 1), 64)
        self.latent = latent
        conditional = self.condition is not None
        c = 64 if conditional else 0
        if self.condition is not None:
            self.generator_condition = Conditioner(self.condition, c)
            self.critic_condition = Conditioner(self.condition, c)
        if image:
            channels = max(width // 4, 1)
            self.generator: nn.Module = decoder(latent, self.shape, width=channels, depth=1, condition=c)
            self.critic: nn.Module = encoder(self.shape, 1, width=channels, depth=1, condition=c, normalize=False)
        else:
            deeper, dim = 2 * self.depth, self.shape[0]
            act: Literal["leaky_relu"] = "leaky_relu"
            self.generator = _he(MLP(latent, dim, width=width, depth=deeper, condition=c, activation=act))
            self.critic = _he(MLP(dim, 1, width=width, depth=self.depth, condition=c, activation=act))
        if self.regularize == "spectral":
            for layer in list(self.critic.modules()):
                if isinstance(layer, (nn.Linear, nn.Conv2d)):
                    spectral_norm(layer)

    @property
    def batch_size(self) -> int:
        """Examples per update: many on vectors, which are cheap; on images steps count for more."""
        return 64 if len(self.shape) == 3 else 256

    def stages(self) -> Sequence[Stage]:
        """The critic moves, then the generator; no first moment in Adam, as for any game (Karras et al. 2018)."""
        critic = [p for name, p in self.named_parameters() if name.startswith("critic")]
        generator = [p for name, p in self.named_parameters() if name.startswith("generator")]
        lr = self.lr if len(self.shape) == 1 else self.lr / 2
        betas = (0.0, 0.99)
        return [
            Stage(
                name="game",
                phases=[
                    Phase(name="critic", terms=self.critic_terms, parameters=critic, lr=lr, betas=betas),
                    Phase(name="generator", terms=self.terms, parameters=generator, lr=lr, betas=betas),
                ],
            )
        ]

    def critic_terms(
        self, x: Float[Tensor, "batch *units"], condition: Condition | None, *, noise: Noise
    ) -> dict[str, Float[Tensor, "batch"]]:
        """L_D: data is real, samples are not, and D is flat on the data."""
        with torch.no_grad():
            fake = self._generate(len(x), condition, noise)
        penalized = self.regularize == "r1"
        real = x.detach().requires_grad_(penalized)
        real_odds, fake_odds = self._odds(real, condition), self._odds(fake, condition)
        terms = {"real": softplus(-real_odds), "fake": softplus(fake_odds)}
        if penalized:
            (slope,) = torch.autograd.grad(real_odds.sum(), real, create_graph=True)
            gamma = self.gamma * (self.gamma_end / self.gamma) ** self.progress if self.gamma else 0.0
            # An image set is small for the directions it spans: a critic free to be steep learns it by heart.
            gamma *= 10.0 if len(self.shape) == 3 else 1.0
            terms["r1"] = 0.5 * gamma * slope.flatten(1).square().sum(1)
        return terms

    def terms(
        self, x: Float[Tensor, "batch *units"], condition: Condition | None, *, noise: Noise
    ) -> dict[str, Float[Tensor, "batch"]]:
        """L_G: samples are taken for data."""
        return {"generator": softplus(-self._odds(self._generate(len(x), condition, noise), condition))}

    def draw(
        self, n: int, condition: Condition | None, *, noise: Noise, sampler: Any | None
    ) -> Float[Tensor, "n *units"]:
        """x = G(z, c)."""
        return self._generate(n, condition, noise)

    def _generate(self, n: int, condition: Condition | None, noise: Noise) -> Tensor:
        z = noise.normal(self.latent, like=self._anchor())
        c = None if self.condition is None else self.generator_condition(condition, n)
        if len(self.shape) == 3:
            return self.generator(z, c)[:, 0]
        return self.generator(z, c)

    def _odds(self, x: Tensor, condition: Condition | None) -> Float[Tensor, "batch"]:
        c = None if self.condition is None else self.critic_condition(condition, len(x))
        return self.critic(x, c).squeeze(1)


def _he(net: nn.Module) -> nn.Module:
    """Weights that keep the size of activations through rectified layers (He et al. 2015), the last one halved.

    With torch's smaller default the generator starts as almost one point and the critic as almost flat, and modes far
    from that point are found late or not at all.
    """
    layers = [layer for layer in net.modules() if isinstance(layer, nn.Linear)]
    for layer in layers:
        nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
        nn.init.zeros_(layer.bias)
    with torch.no_grad():
        layers[-1].weight.mul_(0.5)
    return net
