r"""Variational autoencoder: a latent-variable model and its approximate posterior, trained together on a bound.

.. math:: z \sim p(z), \qquad x \mid z, c \sim p(x \mid \theta(z, c)), \qquad q(z \mid x, c)

The decoder gives the parameters :math:`\theta` of a likelihood, the encoder those of q. By Jensen's inequality
log p(x | c) is at least the *evidence lower bound*

.. math:: \mathbb{E}_{z \sim q}[\log p(x \mid z, c)] - \mathrm{KL}(q(z \mid x, c) \,\|\, p(z)),

in which a draw from q is made differentiable as a function of standard normal noise. Likelihoods are in
``probability/likelihoods.py``, posteriors, priors and further objectives in the files of these names.

Reference:
    Kingma and Welling 2014, "Auto-Encoding Variational Bayes", eq. 3 and 10; Burda, Grosse and Salakhutdinov 2016,
    "Importance Weighted Autoencoders".
"""

import dataclasses
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, ClassVar, Literal

import torch
from jaxtyping import Float
from torch import Tensor

from pushforward.autoencoders.annealing import RISE, kl_weight, ramp
from pushforward.autoencoders.labels import LabelPrior, as_condition, sum_over_labels, unlabelled_last
from pushforward.autoencoders.networks import NetworkName, Observation, Variance, sizes
from pushforward.autoencoders.objectives import (
    importance_bound,
    kl_per_unit,
    maximum_mean_discrepancy,
    total_correlation,
)
from pushforward.autoencoders.posteriors import Diagonal, Posterior, PosteriorHead, PosteriorName
from pushforward.autoencoders.priors import (
    MixtureParameters,
    ModelPrior,
    NormalMixture,
    Prior,
    PseudoInputs,
    StandardNormal,
)
from pushforward.autoencoders.start import has_scales, mean_over, take_scales_
from pushforward.autoencoders.vae_checks import Absent, Gradient, Objective, PriorName, check_fields, has_effect
from pushforward.core.capabilities import HasDensity, HasPosterior
from pushforward.core.data import Batch, Condition
from pushforward.core.modality import Label, Modality, Points
from pushforward.core.model import model
from pushforward.core.noise import Noise
from pushforward.core.stages import Phase, Stage
from pushforward.core.units import Space
from pushforward.nn.backbones import encoder
from pushforward.nn.conditioning import conditioner
from pushforward.probability.entry_likelihoods import GaussianLikelihood
from pushforward.probability.likelihoods import LikelihoodName, likelihood_of, space_of

__all__ = ["VAE"]

#: Length of the vector a condition becomes: room for a hundred classes to differ, a fraction of the hidden units.
CONDITION_WIDTH = 32

#: Draws of z for which the noise is made at a time, whatever the batch, so that a score does not depend on it.
LOT = 16

#: Numbers of the decoder's output that are worked on at a time: 4 MB, which stay in the cache of a core.
AT_ONCE = 2**20


@model
class VAE(HasDensity, HasPosterior):
    r"""Variational autoencoder with a likelihood, a prior, a posterior and an objective to choose.

    At its defaults the loss is ``reconstruction + kl``, minus the bound at one draw of z; the KL term comes in over the
    first tenth of the training, without which a decoder that starts with more noise than signal settles on ignoring z.
    ``log_prob`` with K samples is the importance bound :math:`\log \tfrac{1}{K} \sum_k p(x, z_k \mid c) / q(z_k \mid
    x, c)`, which grows to log p(x | c) with K (Burda et al. 2016, eq. 8), whatever the objective was.

    ``network="linear"`` with ``variance="shared"`` is probabilistic PCA, whose solution is known
    (``pushforward.probability.ppca``); with ``variance="dimension"`` it is factor analysis.

    Raises:
        InputError: if a number is out of range, or choices do not go with each other or with the examples.

    Example:
        >>> from pushforward.core.modality import Points
        >>> vae = VAE(example=Points(dim=2), latent_dim=1)
        >>> sorted(vae.terms(torch.zeros(5, 2), None, noise=Noise(0, rows=5)))
        ['kl', 'reconstruction']
        >>> vae.sample(3, seed=0).shape
        torch.Size([3, 2])
    """

    kind: ClassVar[Literal["exact", "bound", "estimate"]] = "bound"
    parts: ClassVar[Mapping[str, str]] = {"flow": ""}

    latent_dim: int = 16  # Length of the code z.
    width: int = 256  # Hidden units of a layer; convolutions have an eighth as many channels.
    depth: int = 2  # Hidden layers; convolutions have half as many residual blocks at each size.
    network: NetworkName = "auto"  # linear: pPCA.
    likelihood: LikelihoodName = "auto"  # Of x given z; auto takes what suits the data.
    components: int = 1  # Logistics in the mixture of a discretised-logistic or columns likelihood.
    variance: Variance = "network"  # Of a gaussian: one, one each, or the decoder's.
    prior: PriorName = "normal"  # Of z; vamp: a mixture of posteriors.
    prior_components: int = 100  # Of prior="mixture", or the pseudo-inputs of prior="vamp".
    flow: HasDensity | None = dataclasses.field(default_factory=lambda: None)  # Name of the model of prior="flow".
    posterior: PosteriorName = "diagonal"  # q(z | x): independent units, any Gaussian, or an autoregressive flow.
    objective: Objective = "elbo"  # What training descends on.
    samples: int = 1  # Draws of z for each example and update: the K of iwae; the others average over them.
    gradient: Gradient = "auto"  # Of iwae; auto is doubly reparameterised, for iaf and summed labels plain.
    beta: float = 1.0  # Weight of the KL term, of beta-tc that of the total correlation; not 1: no bound.
    gamma: float = 100.0  # Weight of the term that mmd adds and of the distance of the KL to the capacity.
    capacity: float = 25.0  # Nats of KL that objective="capacity" comes to half-way through the training.
    warm_up: float = 0.1  # Share of the training (of each cycle) over which the KL term comes in.
    cycles: int = 1  # How often the KL term comes in anew.
    free_bits: float = 0.0  # Nats of each unit of the code that the KL term does not count.
    absent: Absent = "null"  # No label: a condition of its own, or the sum over all labels.

    @property
    def couples_batch(self) -> bool:
        return self.objective in ("beta-tc", "mmd")

    @classmethod
    def space_for(cls, example: Modality, fields: Mapping[str, Any]) -> Space:
        return space_of(fields.get("likelihood", "auto"), example)

    @classmethod
    def part_example(cls, field: str, example: Modality, fields: Mapping[str, Any]) -> Modality:
        return Points(dim=fields.get("latent_dim", cls.latent_dim))

    def build(self) -> None:
        self.observed = likelihood_of(self.likelihood, self.example, self.fitted, components=self.components)
        check_fields(self, gaussian=isinstance(self.observed, GaussianLikelihood))
        self.embed = None if self.condition is None else conditioner(self.condition, CONDITION_WIDTH)
        self.head = PosteriorHead(self.posterior, self.latent_dim, shared=self.network == "linear")
        inputs, outputs = self.observed.input_shape, self.observed.theta[1:]
        self.encoder = encoder(inputs, self.head.outputs, **self._sizes(inputs))
        self.decoder = Observation(self.latent_dim, self.observed, self.variance, self._sizes(outputs))
        self.mixture = MixtureParameters(self.prior_components, self.latent_dim) if self.prior == "mixture" else None
        self.pseudo = PseudoInputs(self.prior_components, inputs) if self.prior == "vamp" else None
        given = self.condition
        self.labels = LabelPrior(given.size) if self.absent == "marginal" and isinstance(given, Label) else None
        self.eased = 0

    # -- the distributions ------------------------------------------------------------------------------------------

    def posterior_of(self, x: Float[Tensor, "batch *units"], condition: Condition | None) -> Posterior:
        """q(z | x, c); an example without its label has the likeliest one where labels are summed over."""
        return self._posterior(x, self._embedded(self._with_labels(x, condition), len(x)))

    def decode_theta(
        self, z: Float[Tensor, "batch latent"], condition: Condition | None
    ) -> Float[Tensor, "batch *theta"]:
        """The parameters of p(x | z, c), as ``self.observed`` takes them."""
        return self.decoder(z, self._embedded(condition, len(z)))

    def prior_now(self, condition: Condition | None = None) -> Prior:
        """p(z | c) with its parameters as they are; only a flow depends on c."""
        match self.prior:
            case "normal":
                return StandardNormal(self.latent_dim, self._anchor())
            case "mixture":
                assert self.mixture is not None
                return self.mixture()
            case "vamp":
                assert self.pseudo is not None
                q = self.head(self.encoder(self.pseudo.inputs, self._embedded(None, self.prior_components)))
                return NormalMixture(self.pseudo.logits, q.mean, q.log_variance.expand_as(q.mean))
            case "flow":
                assert self.flow is not None
                return ModelPrior(self.flow, condition)

    def _posterior(self, x: Tensor, c: Tensor | None) -> Posterior:
        return self.head(self.encoder(self.observed.inputs(x), c))

    def _log_observed(
        self, x: Float[Tensor, "batch *units"], z: Float[Tensor, "k batch latent"], c: Tensor | None
    ) -> Float[Tensor, "k batch"]:
        """log p(x | z_k, c), all K draws in one pass of the decoder."""
        if (k := len(z)) > 1:
            x = x.expand(k, *x.shape).flatten(0, 1)
            c = None if c is None else c.expand(k, *c.shape).flatten(0, 1)
        return self.observed.log_prob(x, self.decoder(z.flatten(0, 1), c)).view(k, -1)

    # -- what training descends on ------------------------------------------------------------------------------------

    def terms(
        self, x: Float[Tensor, "batch *units"], condition: Condition | None, *, noise: Noise
    ) -> dict[str, Float[Tensor, "batch"]]:
        eps = noise.normal(self.samples, self.latent_dim, like=self._anchor()).transpose(0, 1)
        if self.labels is None:
            return self._terms(x, condition, eps, noise)
        assert (given := condition or self.given(None, len(x))) is not None
        rows, every = unlabelled_last(given, len(self.labels.logits))
        found = self._terms(x[rows], every, eps[:, rows], noise)
        return sum_over_labels(found, self.labels.logits.log_softmax(0), given.present)

    def _terms(self, x: Tensor, condition: Condition | None, eps: Tensor, noise: Noise) -> dict[str, Tensor]:
        beta = min(self.beta, 1.0) if self.eased else self.beta
        warm_up = max(self.warm_up, 0.5) if self.eased else self.warm_up
        weight = kl_weight(self.progress, warm_up=warm_up, cycles=self.cycles)
        c, prior = self._embedded(condition, len(x)), self.prior_now(condition)
        q = self._posterior(x, c)
        z, log_q = q.draw(eps)
        observed = self._log_observed(x, z, c)
        if self.objective == "iwae":
            # The weights of a sum over labels depend on z as well: doubly reparameterised it would be biased.
            doubly = self.gradient != "plain" and self.posterior != "iaf" and self.labels is None
            scored = q.detached().log_prob(z) if doubly else log_q.sum(-1)
            log_weights = observed + weight * beta * (prior.log_prob(z) - scored)
            return {"bound": -importance_bound(log_weights, z, "dreg" if doubly else "plain", power=beta)}
        kl = kl_per_unit(q, prior, z, log_q)
        free = max(self.free_bits, 0.1 * (self.eased - 1)) * self.latent_dim / kl.shape[1]
        counted = (kl.clamp(min=free) if free else kl).sum(1)
        found = {"reconstruction": -observed.mean(0)}
        match self.objective:
            case "elbo":
                return {**found, "kl": weight * beta * counted}
            case "beta-tc":
                assert isinstance(q, Diagonal)
                excess = weight * (beta - 1) * torch.stack([total_correlation(each, q) for each in z]).mean(0)
                return {**found, "kl": weight * counted, "total_correlation": excess}
            case "mmd":
                distance = torch.stack([maximum_mean_discrepancy(each, prior.draw(noise)) for each in z]).mean()
                return {**found, "kl": weight * beta * counted, "mmd": self.gamma * distance.expand(len(x))}
            case "capacity":
                reach = ramp(self.progress, over=RISE) * self.capacity
                return {**found, "capacity": self.gamma * (counted - reach).abs()}

    def ease(self, times: int) -> str:
        """The KL term with weight 1 at most, over half of what is left, then with free bits; "" if it has no weight."""
        if not has_effect(self, "beta"):
            return ""
        self.eased = times
        free = f", free_bits={0.1 * (times - 1):.1f}" if times > 1 and self.objective != "iwae" else ""
        return f"beta={min(self.beta, 1.0):g}, warm_up={max(self.warm_up, 0.5):g}{free}"

    # -- the density ------------------------------------------------------------------------------------------------

    def log_likelihood(
        self, x: Float[Tensor, "batch *units"], condition: Condition | None, *, noise: Noise
    ) -> Float[Tensor, "batch"]:
        """The logarithm of p(x, z | c) / q(z | x, c) at one z drawn from q: its exponential has mean p(x | c)."""
        return self.log_weights(x, condition, samples=1, noise=noise)[0]

    def log_weights(
        self, x: Float[Tensor, "batch *units"], condition: Condition | None, *, samples: int, noise: Noise
    ) -> Float[Tensor, "samples batch"]:
        """Many draws of ``log_likelihood``: the encoder runs once, the decoder on as many draws as the cache holds."""
        score = self._scorer(x, condition)
        most = max(AT_ONCE // max(len(x) * math.prod(self.observed.theta), 1), 1)
        found = []
        for first in range(0, samples, LOT):
            eps = noise.normal(min(LOT, samples - first), self.latent_dim, like=self._anchor()).transpose(0, 1)
            found += [score(part) for part in eps.split(most)]
        return torch.cat(found)

    def _scorer(self, x: Tensor, condition: Condition | None) -> Callable[[Tensor], Tensor]:
        """eps (K, B, D) -> log p(x, z | c) - log q(z | x, c), z being what q makes of eps."""
        if self.labels is not None and not (condition is not None and bool(condition.present.all())):
            log_prior = self.labels.log_prob(condition, len(x))
            scores = [self._scorer(x, label) for label in self.labels.each(len(x))]
            return lambda eps: (torch.stack([score(eps) for score in scores], -1) + log_prior).logsumexp(-1)
        c, prior = self._embedded(condition, len(x)), self.prior_now(condition)
        q = self._posterior(x, c)

        def score(eps: Tensor) -> Tensor:
            z, log_q = q.draw(eps)
            return self._log_observed(x, z, c) + prior.log_prob(z) - log_q.sum(-1)

        return score

    # -- codes and samples --------------------------------------------------------------------------------------------

    def draw(
        self, n: int, condition: Condition | None, *, noise: Noise, sampler: Any | None
    ) -> Float[Tensor, "n *units"]:
        if self.labels is not None:
            condition = self.labels.draw(condition, n, noise)
        z = self.prior_now(condition).draw(noise)
        return self.observed.draw(self.decode_theta(z, condition), noise)

    def infer(self, x: Float[Tensor, "batch *units"], condition: Condition | None) -> Float[Tensor, "batch latent"]:
        """The mean of q(z | x, c); for an autoregressive flow the code that no noise gives."""
        return self.posterior_of(x, condition).centre()

    def generate(self, z: Float[Tensor, "batch latent"], condition: Condition | None) -> Float[Tensor, "batch *units"]:
        if self.labels is not None:
            condition = as_condition(self.labels.log_prob(condition, len(z)).argmax(1))
        return self.observed.mean(self.decode_theta(z, condition))

    def sample_code(
        self, x: Float[Tensor, "batch *units"], condition: Condition | None, *, noise: Noise
    ) -> Float[Tensor, "batch latent"]:
        return self.posterior_of(x, condition).draw(noise.normal(self.latent_dim, like=self._anchor()))[0]

    def log_posterior(
        self, z: Float[Tensor, "codes latent"], x: Float[Tensor, "batch *units"], condition: Condition | None
    ) -> Float[Tensor, "codes batch"]:
        return self.posterior_of(x, condition).log_prob_pairs(z)

    def log_prior(self, z: Float[Tensor, "codes latent"], condition: Condition | None = None) -> Float[Tensor, "codes"]:
        return self.prior_now(condition).log_prob(z)

    def kl_each(
        self, x: Float[Tensor, "batch *units"], condition: Condition | None, *, noise: Noise
    ) -> Float[Tensor, "batch units"]:
        """Nats of each unit, or of all together under a prior without independent units."""
        condition = self._with_labels(x, condition)
        q = self._posterior(x, self._embedded(condition, len(x)))
        z, log_q = q.draw(noise.normal(1, self.latent_dim, like=self._anchor()).transpose(0, 1))
        return kl_per_unit(q, self.prior_now(condition), z, log_q)

    def _embedded(self, condition: Condition | None, n: int) -> Float[Tensor, "n width"] | None:
        return None if self.embed is None else self.embed(condition, n)

    def _with_labels(self, x: Tensor, condition: Condition | None) -> Condition | None:
        """The condition, with the likeliest label in place of an absent one where labels are summed over."""
        if self.labels is None:
            return condition
        eps = x.new_zeros(1, len(x), self.latent_dim)
        joint = torch.stack([self._scorer(x, label)(eps)[0] for label in self.labels.each(len(x))], 1)
        return as_condition((joint + self.labels.log_prob(condition, len(x))).argmax(1))

    # -- training -----------------------------------------------------------------------------------------------------

    def stages(self) -> Sequence[Stage]:
        # Twice the usual rate: on digits and MNIST it reached a better bound in the same number of steps.
        # An entry that hardly varies gets a tiny variance, and the first example in which it does is then a gradient
        # a thousand times the usual. Four per entry is about the usual size, so Adam sees little of the clipping.
        clip = 4.0 * math.prod(self.shape)
        phase = Phase(name="fit", terms=self.terms, parameters=list(self.parameters()), lr=2e-3, clip=clip)
        fit = Stage(name="fit", phases=[phase])
        starts = self.pseudo is not None or self.labels is not None or has_scales(self.embed)
        return [Stage(name="start", solve=self.start), fit] if starts else [fit]

    def start(self, train: Batch, valid: Batch, *, noise: Noise) -> Iterator[float]:
        """Take scales and shares of conditions and the first pseudo-inputs from the data; the figure is the bound."""
        with torch.no_grad():
            take_scales_(self.embed, train)
            if self.labels is not None and train.condition:
                self.labels.start_(train.condition)
            if self.pseudo is not None:
                self.pseudo.start_(train.x, self.observed.inputs)
            yield -float(mean_over(lambda part, own: self.log_likelihood(*part, noise=own), valid, noise))

    def _sizes(self, shape: tuple[int, ...]) -> dict[str, Any]:
        condition = 0 if self.embed is None else CONDITION_WIDTH
        return sizes(shape, network=self.network, width=self.width, depth=self.depth, condition=condition)
