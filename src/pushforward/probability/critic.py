r"""A classifier that tells two samples apart, and so learns the logarithm of the ratio of their densities.

If p and q are equally likely beforehand, the probability that x came from p is :math:`\sigma(\ln p(x) - \ln q(x))`.
A function T that minimises the logistic loss

.. math:: \tfrac{1}{2} E_p \ln(1 + e^{-T(x)}) + \tfrac{1}{2} E_q \ln(1 + e^{T(x)})

is therefore the log-ratio :math:`\ln p / q`; at the minimum the loss is ln 2 less the Jensen-Shannon divergence.

The function is a quadratic one plus a network, :math:`T(x) = a + b^\top x + x^\top C x + f(x)`: the quadratic part is
the log-ratio of any two Gaussians, and what is not of this form is left to f. Training stops by the loss on held-out
samples.

Held-out samples calibrate it as well, by Platt's scaling :math:`\alpha T + \beta` (two numbers, the same loss).

Reference:
    Sugiyama, Suzuki and Kanamori 2012, "Density Ratio Estimation in Machine Learning", chapter 4; Platt 1999,
    "Probabilistic Outputs for Support Vector Machines"; Guo et al. 2017, "On Calibration of Modern Neural Networks".
"""

from __future__ import annotations

import copy
import math

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from pushforward.nn.mlp import MLP

__all__ = ["Critic", "logistic_loss", "platt_scaling", "train_critic"]

#: Units of the two hidden layers: enough for a curve in a few dimensions, seconds on a processor.
WIDTH = 64

#: Passes at most, passes without a better held-out loss that end the training, and examples of each side per step.
PASSES, PATIENCE, BATCH = 40, 10, 256

#: Of AdamW; the rate falls as a cosine. With less decay the network learned the noise of 6,000 Gaussians in 10 and 50
#: dimensions, and its values were 3 to 8 % too far apart.
RATE, DECAY = 2e-3, 1.0

#: Newton's method doubles its digits with every step; the clamp of a step to 1 may cost a few more.
NEWTON_STEPS = 20


class Critic(nn.Module):
    r"""T(x), and with :math:`\alpha T + \beta` its calibrated form.

    Args:
        mean: of the samples of both sides.
        std: theirs, of each entry.
        generator: of the initial weights.
    """

    def __init__(
        self, mean: Float[Tensor, "dim"], std: Float[Tensor, "dim"], generator: torch.Generator | None
    ) -> None:
        super().__init__()
        dim = len(mean)
        self.mean, self.std = nn.Buffer(mean), nn.Buffer(std)
        self.alpha, self.beta = nn.Buffer(mean.new_ones(())), nn.Buffer(mean.new_zeros(()))
        self.linear = nn.Parameter(mean.new_zeros(dim))
        self.offset = nn.Parameter(mean.new_zeros(()))
        self.square = nn.Parameter(mean.new_zeros(dim, dim))
        with torch.random.fork_rng(devices=[]):  # layers are born with numbers of torch's default generator
            self.network = MLP(dim, 1, width=WIDTH, zero_init=True).to(mean.dtype)
        for layer in [layer for layer in self.network.layers if isinstance(layer, nn.Linear)][:-1]:
            bound = 1 / math.sqrt(layer.in_features)
            for weight in layer.parameters():
                nn.init.uniform_(weight, -bound, bound, generator=generator)

    def forward(self, x: Float[Tensor, "n dim"]) -> Float[Tensor, "n"]:
        z = (x - self.mean) / self.std
        quadratic = self.offset + z @ self.linear + ((z @ self.square) * z).sum(1)
        return self.alpha * (quadratic + self.network(z)[:, 0]) + self.beta


def logistic_loss(of_p: Float[Tensor, "n"], of_q: Float[Tensor, "m"]) -> Float[Tensor, ""]:
    """Of the values of T at samples of p and of q; ln 2 where it knows nothing.

    Example:
        >>> logistic_loss(torch.zeros(3), torch.zeros(5)).item()
        0.6931
    """
    return 0.5 * (F.softplus(-of_p).mean() + F.softplus(of_q).mean())


def train_critic(
    train: tuple[Tensor, Tensor], held_out: tuple[Tensor, Tensor], *, generator: torch.Generator | None
) -> Critic:
    """A calibrated critic of p and q.

    Args:
        train: samples of p, (n, dim), and of q, (m, dim).
        held_out: others, which stop the training and calibrate.
        generator: of the initial weights and the order of the samples.
    """
    both = torch.cat(train)
    std = both.std(0)
    critic = Critic(both.mean(0), torch.where(std > 0, std, 1.0), generator)
    optimiser = torch.optim.AdamW(critic.parameters(), lr=RATE, weight_decay=DECAY)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, PASSES)
    best, kept, waited = math.inf, copy.deepcopy(critic.state_dict()), 0
    with torch.enable_grad():
        for _ in range(PASSES):
            for p, q in _batches(train, generator):
                optimiser.zero_grad()
                logistic_loss(critic(p), critic(q)).backward()
                optimiser.step()
            schedule.step()
            with torch.no_grad():
                loss = float(logistic_loss(critic(held_out[0]), critic(held_out[1])))
            best, kept, waited = (
                (loss, copy.deepcopy(critic.state_dict()), 0) if loss < best else (best, kept, waited + 1)
            )
            if waited == PATIENCE:
                break
    critic.load_state_dict(kept)
    critic.requires_grad_(False)
    alpha, beta = platt_scaling(critic(held_out[0]), critic(held_out[1]))
    critic.alpha.fill_(alpha)
    critic.beta.fill_(beta)
    return critic


def _batches(train: tuple[Tensor, Tensor], generator: torch.Generator | None) -> list[tuple[Tensor, Tensor]]:
    """Both sides in random order, as many steps as the longer one needs; the shorter one begins again."""
    steps = max(1, -(-max(len(x) for x in train) // BATCH))
    sides = []
    for x in train:
        order = torch.cat([torch.randperm(len(x), generator=generator) for _ in range(-(-steps * BATCH // len(x)))])
        sides.append(x[order[: steps * BATCH]].split(BATCH))
    return list(zip(*sides, strict=True))


def platt_scaling(of_p: Float[Tensor, "n"], of_q: Float[Tensor, "m"]) -> tuple[float, float]:
    r"""The two numbers for which :math:`\alpha T + \beta` has the least logistic loss, by Newton's method.

    Args:
        of_p: T at samples of p that it was not learned from.
        of_q: of q.

    Example:
        >>> x = torch.linspace(-3, 3, 200)  # where nothing tells the sides apart, the scaling flattens T
        >>> alpha, beta = platt_scaling(5 * x, 5 * x)
        >>> abs(alpha) < 1e-6 and abs(beta) < 1e-6
        True
    """
    p, q = of_p.double(), of_q.double()
    t, label = torch.cat((p, q)), torch.cat((torch.ones_like(p), torch.zeros_like(q)))
    share = torch.cat((p.new_full((len(p),), 0.5 / len(p)), q.new_full((len(q),), 0.5 / len(q))))
    features = torch.stack((t, torch.ones_like(t)), 1)
    scaling = t.new_tensor([1.0, 0.0])
    for _ in range(NEWTON_STEPS):
        said = (features @ scaling).sigmoid()
        gradient = features.T @ (share * (said - label))
        curvature = (features * (share * said * (1 - said))[:, None]).T @ features
        # A millionth keeps the slope in bounds where a threshold divides the sides, and the best one is infinite.
        scaling = scaling - torch.linalg.solve(curvature + 1e-6 * torch.eye(2).to(curvature), gradient).clamp(-1, 1)
    return float(scaling[0]), float(scaling[1])
