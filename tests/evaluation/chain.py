"""A model of codes whose every figure can be added up by hand."""

import math

import torch
from torch import nn

from pushforward.core.capabilities import HasCompletion, HasDensity
from pushforward.core.model import model


@model
class MarkovChain(HasCompletion, HasDensity):
    """A fixed Markov chain that begins uniformly: its log-likelihood can be added up by hand."""

    space = "codes"

    def build(self) -> None:
        size = self.fitted.sizes[0]
        weights = torch.arange(1.0, size * size + 1).view(size, size)
        self.log_p = nn.Parameter((weights / weights.sum(1, keepdim=True)).log())

    def log_likelihood_each(self, x, condition):
        first = x.new_zeros(len(x), 1).to(self.log_p.dtype) - math.log(len(self.log_p))
        return torch.cat([first, self.log_p[x[:, :-1], x[:, 1:]]], dim=1)

    def log_likelihood(self, x, condition, *, noise):
        return self.log_likelihood_each(x, condition).sum(1)

    def terms(self, x, condition, *, noise):
        return {"nll": -self.log_likelihood(x, condition, noise=noise)}

    def draw(self, n, condition, *, noise, sampler):
        raise AssertionError("not needed here")

    def complete(self, prompt, n, *, length, condition=None, seed=None, start=0, sampler=None):
        raise AssertionError("not needed here")
