r"""Autoencoder: a code for every example, and the example back from its code.

.. math:: h = f(x, c), \qquad z = \sigma(h), \qquad \hat p(x \mid z, c), \qquad
          \min_{f,\, p} \; \mathbb{E}_x\bigl[-\log p(x \mid z(x), c)\bigr]

For a Gaussian p of one variance this is the squared error in nats. The code is no random variable: nothing says how
often each is used, so the model cannot draw examples until a density of the codes is fitted, in a second stage, to what
the encoder makes of the training examples,

.. math:: h \sim \sum_k w_k\, N(\mu_k, \Sigma_k), \qquad x \sim p(x \mid \sigma(h), c).

With it samples are true draws from :math:`p(x) = \int p(h)\, p(x \mid \sigma(h))\, dh`, but that integral has no
estimate here that is worth its name: there is no q(z | x) to weigh codes by. So the model claims no likelihood of x.

Reference:
    Rumelhart, Hinton and Williams 1986, "Learning internal representations by error propagation"; Ghosh et al. 2020,
    "From Variational to Deterministic Autoencoders", section 4 (the density of the codes).
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal

import torch
from jaxtyping import Float, Shaped
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from pushforward.autoencoders.corruption import Corruption, check_corruption, corrupt
from pushforward.autoencoders.posteriors import widened
from pushforward.autoencoders.sparsity import Sparsity, activate, penalty
from pushforward.autoencoders.start import has_scales, mean_over, pieces, take_scales_
from pushforward.core.capabilities import HasLatent
from pushforward.core.data import Batch, Condition
from pushforward.core.errors import InputError
from pushforward.core.modality import Label, Modality, Points
from pushforward.core.model import model
from pushforward.core.noise import Noise
from pushforward.core.stages import Phase, Stage
from pushforward.core.units import Space
from pushforward.nn.backbones import decoder, encoder
from pushforward.nn.conditioning import conditioner
from pushforward.probability.entry_likelihoods import GaussianLikelihood
from pushforward.probability.likelihoods import LikelihoodName, likelihood_of, space_of
from pushforward.probability.mixture import Mixture

__all__ = ["Autoencoder", "squared_jacobian"]

#: Length of the vector a condition becomes: room for a hundred classes to differ, a fraction of the hidden units.
CONDITION_WIDTH = 32

#: A log-variance of its own has ten nats to travel, and Adam moves a parameter by about the learning rate a step, 1e-3:
#: as this multiple of the parameter it gets there in a few hundred steps.
STRIDE = 30.0

#: The largest image that "auto" gives to a perceptron: up to 32 x 32 grey pixels it learns more in a minute on a CPU.
MLP_UP_TO = 1024


@model
class Autoencoder(HasLatent):
    r"""Deterministic autoencoder: plain, sparse, denoising or contractive, and any of them at once.

    The loss is ``reconstruction``, minus log p(x | z) in nats, plus where they are asked for

    * ``sparsity``: the weight times the L1 norm of the code or the divergence of its rates from a target (top-k needs
      no term);
    * ``contraction``: the weight times the squared norm of the Jacobian,
      :math:`\sum_{ij} (\partial z_i / \partial x_j)^2` (Rifai et al. 2011, eq. 3), at one backward pass per unit.

    A ``corruption`` spoils what the encoder reads; the loss still asks for the clean example, so that the best answer
    to a spoiled one is :math:`\mathbb{E}[x \mid x']` (Vincent et al. 2010).

    ``network="linear"`` with the Gaussian likelihood of one variance finds the subspace of the principal components
    (Bourlard and Kamp 1988).

    Raises:
        InputError: if a number is out of range, or network or likelihood do not go with the examples.

    Example:
        >>> ae = Autoencoder(example=Points(dim=3), latent_dim=2, sparsity="l1", contraction=0.1)
        >>> list(ae.terms(torch.zeros(5, 3), None, noise=Noise(0, rows=5)))
        ['reconstruction', 'sparsity', 'contraction']
        >>> ae.encode(torch.zeros(5, 3).double()).shape, ae.sample(4, seed=0).shape
        (torch.Size([5, 2]), torch.Size([4, 3]))
    """

    latent_dim: int = 16  # Length of the code z.
    width: int = 256  # Hidden units of a layer; convolutions have an eighth as many channels, sequences half.
    depth: int = 2  # Hidden layers; convolutions have half as many residual blocks at each size.
    network: Literal["auto", "mlp", "conv", "recurrent", "transformer", "linear"] = "auto"  # linear: no hidden layer.
    likelihood: LikelihoodName = "auto"  # Of x given its code; "gaussian" is the squared error.
    components: int = 1  # Logistics mixed per number, for discretised-logistic and columns.
    variance: Literal["shared", "dimension", "network"] = "shared"  # Of the gaussian: one, one each, the decoder's.
    sparsity: Sparsity = "none"  # Of the code: few units answer to each example.
    sparsity_weight: float = 1.0  # Nats per unit of L1 norm, or per nat of the rates' divergence.
    rate: float = 0.05  # Mean that the rates of "kl" are drawn to.
    active: int = 4  # Units that "top-k" keeps.
    corruption: Corruption = "none"  # Of what the encoder reads.
    corruption_level: float = 0.3  # Its standard deviation, or the share of numbers that are lost.
    contraction: float = 0.0  # Weight of the squared norm of the encoder's Jacobian.
    mixture: int = 10  # Gaussians of the density that is fitted to the codes.

    @classmethod
    def space_for(cls, example: Modality, fields: Mapping[str, Any]) -> Space:
        return space_of(fields.get("likelihood", "auto"), example)

    def build(self) -> None:
        self._check()
        self.observed = likelihood_of(self.likelihood, self.example, self.fitted, components=self.components)
        self.embed = None if self.condition is None else conditioner(self.condition, CONDITION_WIDTH)
        sizes = self._sizes()
        parameters, *shape = self.observed.theta
        self.log_v = self._log_variance(shape)
        self.encoder = encoder(self.observed.input_shape, self.latent_dim, **sizes)
        given = 1 if self.log_v is not None else parameters
        self.decoder = decoder(self.latent_dim, tuple(shape), parameters=given, **sizes)
        # Of h rather than z: a draw then is sparse in the way that the codes of examples are. It knows classes; any
        # other condition reaches the decoder alone.
        known = self.condition if isinstance(self.condition, Label) else None
        self.prior = Mixture(example=Points(dim=self.latent_dim), condition=known, components=self.mixture)

    @property
    def couples_batch(self) -> bool:
        """Rates are means over the batch."""
        return self.sparsity == "kl"

    # -- the code and back ------------------------------------------------------------------------------------------

    def activate(self, h: Float[Tensor, "batch latent"]) -> Float[Tensor, "batch latent"]:
        """z, from what the encoder says."""
        return activate(h, self.sparsity, active=self.active)

    def decode_theta(
        self, z: Float[Tensor, "batch latent"], c: Float[Tensor, "batch width"] | None
    ) -> Float[Tensor, "batch *theta"]:
        """The parameters of p(x | z, c)."""
        theta = widened(self.decoder(z, c))
        return theta if self.log_v is None else torch.cat((theta, (STRIDE * self.log_v).expand_as(theta)), dim=1)

    def infer(self, x: Shaped[Tensor, "batch *units"], condition: Condition | None) -> Float[Tensor, "batch latent"]:
        return self.activate(self.encoder(self.observed.inputs(x), self._embedded(condition, len(x))))

    def generate(self, z: Float[Tensor, "batch latent"], condition: Condition | None) -> Shaped[Tensor, "batch *units"]:
        return self.observed.mean(self.decode_theta(z, self._embedded(condition, len(z))))

    def terms(
        self, x: Shaped[Tensor, "batch *units"], condition: Condition | None, *, noise: Noise
    ) -> dict[str, Float[Tensor, "batch"]]:
        c = self._embedded(condition, len(x))
        read = corrupt(self.observed.inputs(x), self.corruption, self.corruption_level, noise=noise)

        def code(some: Tensor) -> Tensor:
            return self.activate(self.encoder(some, c))

        z = code(read)
        terms = {"reconstruction": -self.observed.log_prob(x, self.decode_theta(z, c))}
        if self.sparsity in ("l1", "kl"):
            terms["sparsity"] = self.sparsity_weight * penalty(z, self.sparsity, rate=self.rate)
        if self.contraction:
            terms["contraction"] = self.contraction * squared_jacobian(code, read)
        return terms

    # -- the density of the codes -----------------------------------------------------------------------------------

    def draw(
        self, n: int, condition: Condition | None, *, noise: Noise, sampler: Any | None
    ) -> Shaped[Tensor, "n *units"]:
        h = self.prior.draw(n, self._classes(condition), noise=noise, sampler=None)
        theta = self.decode_theta(self.activate(h), self._embedded(condition, n))
        return self.observed.draw(theta, noise)

    def stages(self) -> Sequence[Stage]:
        phase = Phase(name="fit", terms=self.terms, parameters=list(self.parameters()), clip=self._clip())
        stages = [Stage(name="fit", phases=[phase]), Stage(name="codes", solve=self.solve)]
        return [Stage(name="start", solve=self.start), *stages] if has_scales(self.embed) else stages

    def start(self, train: Batch, valid: Batch, *, noise: Noise) -> Iterator[float]:
        """Take the scales of a condition's numbers from training examples; the figure is the reconstruction."""

        def reconstruction(part: Batch, _: Noise) -> Tensor:
            z, c = self.infer(*part), self._embedded(part.condition, len(part.x))
            return -self.observed.log_prob(part.x, self.decode_theta(z, c))

        with self.at_rest():
            take_scales_(self.embed, train)
            yield float(mean_over(reconstruction, valid, noise))

    def solve(self, train: Batch, valid: Batch, *, noise: Noise) -> Iterator[float]:
        """Fit the density of h by EM; yields its nats per held-out code after every pass."""
        with self.at_rest():
            codes = [Batch(self._codes(batch), self._classes(batch.condition)) for batch in (train, valid)]
        yield from self.prior.solve(*codes, noise=noise)

    def _codes(self, batch: Batch) -> Float[Tensor, "n latent"]:
        def h(x: Tensor, condition: Condition | None) -> Tensor:
            return self.encoder(self.observed.inputs(x), self._embedded(condition, len(x)))

        return torch.cat([h(*part) for part in pieces(batch)])

    def _classes(self, condition: Condition | None) -> Condition | None:
        return None if self.prior.condition is None else condition

    # -- the layers -------------------------------------------------------------------------------------------------

    def _embedded(self, condition: Condition | None, n: int) -> Float[Tensor, "n width"] | None:
        return None if self.embed is None else self.embed(condition, n)

    def _log_variance(self, shape: Sequence[int]) -> nn.Parameter | None:
        """That of x given z, where it is the same for all z."""
        if not isinstance(self.observed, GaussianLikelihood):
            return None
        match self.variance:
            case "shared":
                return nn.Parameter(torch.zeros(()))
            case "dimension":
                return nn.Parameter(torch.zeros(*shape))
            case "network":
                return None
            case _:
                raise InputError(f"variance: got {self.variance!r}, expected 'shared', 'dimension' or 'network'")

    def _clip(self) -> float:
        # An entry that hardly varies gets a tiny variance, and the first example in which it does is then a gradient
        # a thousand times the usual. Four per entry is about the usual size, so Adam sees little of the clipping.
        return 4.0 * math.prod(self.observed.theta[1:])

    def _sizes(self) -> dict[str, Any]:
        """What encoder and decoder have in common."""
        common = {"condition": 0 if self.embed is None else CONDITION_WIDTH}
        shape = self.observed.input_shape
        usual = {1: "mlp", 2: "transformer", 3: "mlp" if math.prod(shape) <= MLP_UP_TO else "conv"}[len(shape)]
        match usual if self.network == "auto" else self.network:
            case "mlp":
                return common | {"network": "mlp", "width": self.width, "depth": self.depth}
            case "linear":  # a perceptron without hidden layers
                return common | {"network": "mlp", "width": self.width, "depth": 0}
            case "conv":
                return common | {
                    "network": "conv",
                    "width": max(self.width // 8, 1),
                    "depth": max(self.depth // 2, 1),
                }
            case "recurrent" | "transformer" as chosen:  # a state for every step, so each can be smaller
                return common | {"network": chosen, "width": max(self.width // 2, 2), "depth": max(self.depth, 1)}
            case _:
                raise InputError(
                    f"network: got {self.network!r}, expected auto, mlp, conv, recurrent, transformer or linear"
                )

    def _check(self) -> None:
        for name, least in (("latent_dim", 1), ("width", 1), ("depth", 0), ("active", 1), ("mixture", 1)):
            if not (number := getattr(self, name)) >= least:
                raise InputError(f"{name}: got {number}, expected at least {least}")
        for name in ("sparsity_weight", "contraction"):
            if not 0 <= (number := getattr(self, name)) < math.inf:
                raise InputError(f"{name}: got {number}, expected a number of at least 0")
        activate(torch.zeros(1, self.latent_dim), self.sparsity, active=1)  # the name exists
        if self.sparsity == "top-k" and self.active > self.latent_dim:
            raise InputError(f"active: got {self.active}, expected at most the latent_dim, {self.latent_dim}")
        if not 0 < self.rate < 1:
            raise InputError(f"rate: got {self.rate}, expected a number between 0 and 1")
        check_corruption(self.corruption, self.corruption_level)


def squared_jacobian(function: Any, x: Float[Tensor, "batch *shape"]) -> Float[Tensor, "batch"]:
    r"""The squared Frobenius norm :math:`\sum_{ij} (\partial z_i / \partial x_j)^2` of every example, differentiable.

    One backward pass for each of the units i.

    Args:
        function: (B, \*shape) -> (B, units), no example depending on another.
        x: where.

    Example:
        >>> squared_jacobian(lambda x: x**2, torch.tensor([[1.0, 2.0]]))  # 2^2 + 4^2
        tensor([20.], grad_fn=<AddBackward0>)
    """
    # Fused attention has no second derivative, which the gradient of this is.
    with torch.enable_grad(), sdpa_kernel(SDPBackend.MATH):
        x = x.detach().requires_grad_()
        total = torch.zeros(len(x), dtype=x.dtype, device=x.device)
        for unit in function(x).unbind(1):
            (slope,) = torch.autograd.grad(unit.sum(), x, create_graph=True)
            total = total + slope.flatten(1).square().sum(1)
    return total
