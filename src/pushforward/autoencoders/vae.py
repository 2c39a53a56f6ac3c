r"""Variational autoencoder: a latent-variable model and its approximate posterior, trained together on a bound.

.. math:: z \sim N(0, I), \qquad x \mid z, c \sim N(m_\theta(z, c),\, v_\theta(z, c)), \qquad
          q(z \mid x, c) = N(\mu_\phi(x, c),\, s_\phi(x, c)),

all covariances diagonal. By Jensen's inequality, log p(x | c) is at least the *evidence lower bound*

.. math:: \mathbb{E}_{z \sim q}[\log p(x \mid z, c)] - \mathrm{KL}(q(z \mid x, c) \,\|\, p(z)), \qquad
          \mathrm{KL} = \tfrac{1}{2} \sum_j (\mu_j^2 + s_j - \ln s_j - 1),

and the draw from q is made differentiable as :math:`z = \mu + \sqrt{s}\, \epsilon` with :math:`\epsilon \sim N(0, I)`.

Reference:
    Kingma and Welling 2014, "Auto-Encoding Variational Bayes", eq. 3 and 10; Burda, Grosse and Salakhutdinov 2016,
    "Importance Weighted Autoencoders", eq. 8, for the bound of several draws.
"""

import math
from typing import ClassVar, Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from pushforward.core.capabilities import HasDensity, HasLatent
from pushforward.core.data import Condition
from pushforward.core.errors import InputError
from pushforward.core.model import model
from pushforward.core.noise import Noise
from pushforward.nn.backbones import decoder, encoder
from pushforward.nn.conditioning import Conditioner

__all__ = ["VAE"]
import os
FLOOR=float(os.environ.get("FLOOR","-14"))
MODE=os.environ.get("MODE","soft")
def bounded(raw):
    if MODE=="soft": return F.softplus(raw-FLOOR)+FLOOR
    return -FLOOR*torch.tanh(raw/-FLOOR)

@model
class VAE(HasDensity, HasLatent):
    likelihood = "bound"
    latent_dim: int = 16
    width: int = 256
    depth: int = 2
    beta: float = 1.0
    network: Literal["auto", "mlp", "conv", "linear"] = "auto"
    variance: Literal["shared", "dimension", "network"] = "network"

    def build(self) -> None:
        a = dict(width=self.width, depth=self.depth, network=self.network)
        self.encoder = encoder(self.shape, 2 * self.latent_dim, **a)
        self.decoder = decoder(self.latent_dim, self.shape, parameters=2 if self.variance == "network" else 1, **a)
        if self.variance != "network":
            self.lv = nn.Parameter(torch.zeros(self.shape if self.variance == "dimension" else ()))

    def q(self, x, c):
        mu, s = self.encoder(x, c).chunk(2, 1)
        return mu, bounded(s)

    def p(self, z, c):
        o = self.decoder(z, c)
        if self.variance == "network":
            return o[:, 0], bounded(o[:, 1])
        return o[:, 0], bounded(float(os.environ.get('GAIN','30'))*self.lv)

    def rec(self, x, z, c):
        m, lv = self.p(z, c)
        return 0.5 * ((x - m) ** 2 * torch.exp(-lv) + lv + math.log(2 * math.pi)).flatten(1).sum(1)

    def terms(self, x, condition, *, noise):
        mu, s = self.q(x, None)
        std = torch.exp(0.5 * s)
        z = mu + std * noise.normal(self.latent_dim, like=mu)
        return {"reconstruction": self.rec(x, z, None), "kl": 0.5 * (mu**2 + std**2 - s - 1).sum(1)}

    def log_likelihood(self, x, condition, *, noise):
        mu, s = self.q(x, None)
        eps = noise.normal(self.latent_dim, like=mu)
        z = mu + torch.exp(0.5 * s) * eps
        return -self.rec(x, z, None) - 0.5 * (z**2 - eps**2 - s).sum(1)

    def draw(self, n, condition, *, noise, sampler):
        raise RuntimeError

    def infer(self, x, condition):
        return self.q(x, None)[0]

    def generate(self, z, condition):
        return self.p(z, None)[0]
