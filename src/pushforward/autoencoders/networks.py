"""The networks of a variational autoencoder, and a decoder that gives all of a likelihood's parameters."""

from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from pushforward.autoencoders.posteriors import STRIDE, widened
from pushforward.nn.backbones import decoder
from pushforward.probability.likelihood import Likelihood

__all__ = ["NetworkName", "Observation", "Variance", "sizes"]

NetworkName = Literal["auto", "mlp", "conv", "recurrent", "transformer", "linear"]
Variance = Literal["shared", "dimension", "network"]

#: The largest example that "auto" gives to a perceptron: up to 32 x 32 grey pixels it learns more in a minute on a CPU.
MLP_UP_TO = 1024


def sizes(shape: tuple[int, ...], *, network: NetworkName, width: int, depth: int, condition: int) -> dict[str, Any]:
    """Arguments of ``encoder`` and ``decoder`` for data of a shape, from the fields of a model.

    Example:
        >>> sizes((3, 64, 64), network="auto", width=256, depth=2, condition=0)
        {'network': 'conv', 'width': 32, 'depth': 1, 'condition': 0}
    """
    pixels = torch.Size(shape).numel()
    if network == "linear":  # a perceptron without hidden layers
        return {"network": "mlp", "width": width, "depth": 0, "condition": condition}
    if network == "auto" and (len(shape) == 1 or pixels <= MLP_UP_TO):
        network = "mlp"
    if network == "conv" or (network == "auto" and len(shape) == 3):
        return {"network": "conv", "width": max(width // 8, 1), "depth": max(depth // 2, 1), "condition": condition}
    return {"network": network, "width": width, "depth": depth, "condition": condition}


class Observation(nn.Module):
    """Codes to the parameters theta of p(x | z, c).

    Args:
        latent_dim: length of z.
        likelihood: whose parameters they are.
        variance: "network" if the decoder gives all of them; of a Gaussian, it may give the mean alone, and the
            log-variances are parameters: one for all entries ("shared") or one each ("dimension").
        choices: what ``sizes`` gives.
    """

    def __init__(self, latent_dim: int, likelihood: Likelihood, variance: Variance, choices: dict[str, Any]) -> None:
        super().__init__()
        parameters, *rest = likelihood.theta
        shape = tuple(rest)
        self.log_v: nn.Parameter | None = None
        match variance:
            case "network":
                self.net = decoder(latent_dim, shape, parameters=parameters, **choices)
                return
            case "dimension":
                self.log_v = nn.Parameter(torch.zeros(1, *shape))
            case "shared":
                self.log_v = nn.Parameter(torch.zeros(1, *[1] * len(shape)))
        self.net = decoder(latent_dim, shape, **choices)

    def forward(
        self, z: Float[Tensor, "batch latent"], c: Float[Tensor, "batch width"] | None = None
    ) -> Float[Tensor, "batch *theta"]:
        theta = widened(self.net(z, c))
        if self.log_v is None:
            return theta
        return torch.cat((theta, (STRIDE * self.log_v).expand_as(theta)), dim=1)
