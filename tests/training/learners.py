"""Two of the smallest learners there are: a diagonal Gaussian by gradient, and a two-phase game."""

import math

import torch
from torch import nn

from pushforward.core.capabilities import HasDensity
from pushforward.core.model import Model, model
from pushforward.core.stages import Phase, Stage


@model
class Bell(HasDensity):
    """A diagonal Gaussian fitted by gradient descent; its optimum is the mean and the standard deviation."""

    start: float = 0.0  # Initial mean.
    dropout: float = 0.0  # Share of entries dropped from the loss, to exercise torch's own random state.

    def build(self) -> None:
        self.mean = nn.Parameter(torch.full(self.shape, self.start))
        self.log_std = nn.Parameter(torch.zeros(self.shape))

    def terms(self, x, condition, *, noise):
        each = 0.5 * ((x - self.mean) * torch.exp(-self.log_std)) ** 2 + self.log_std + 0.5 * math.log(2 * math.pi)
        if self.training and self.dropout:
            each = nn.functional.dropout(each, self.dropout)
        return {"nll": each.flatten(1).sum(1)}

    def log_likelihood(self, x, condition, *, noise):
        return -self.terms(x, condition, noise=noise)["nll"]

    def draw(self, n, condition, *, noise, sampler):
        return self.mean + self.log_std.exp() * noise.normal(*self.shape, like=self.mean)


@model
class Duel(Model):
    """Two players: a linear critic against a shifted normal; moves only through alternating phases."""

    def build(self) -> None:
        self.shift = nn.Parameter(torch.zeros(self.shape))
        self.critic = nn.Linear(self.shape[0], 1)

    def terms(self, x, condition, *, noise):
        fake = self.shift + noise.normal(*self.shape, like=x)
        return {"generator": nn.functional.softplus(-self.critic(fake)).squeeze(1)}

    def critic_terms(self, x, condition, *, noise):
        fake = (self.shift + noise.normal(*self.shape, like=x)).detach()
        real, made = nn.functional.softplus(-self.critic(x)), nn.functional.softplus(self.critic(fake))
        return {"critic": (real + made).squeeze(1)}

    def stages(self):
        critic = Phase(name="critic", terms=self.critic_terms, parameters=list(self.critic.parameters()), repeats=2)
        generator = Phase(name="generator", terms=self.terms, parameters=[self.shift])
        return [Stage(name="game", phases=[critic, generator])]

    def draw(self, n, condition, *, noise, sampler):
        return self.shift + noise.normal(*self.shape, like=self.shift)
