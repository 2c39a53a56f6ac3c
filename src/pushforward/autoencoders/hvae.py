r"""Hierarchical VAE: several layers of latent variables, each given those above it, inferred from the top down.

.. math:: p(x, z_1, \dots, z_L \mid c) = p(x \mid z_1, \dots, z_L, c) \prod_{l=1}^{L} p(z_l \mid z_{>l}, c), \qquad
          q(z \mid x, c) = \prod_{l=1}^{L} q(z_l \mid z_{>l}, x, c)

A single layer of independent normals is a poor prior for what varies in a picture: where the strokes are is global, how
an edge runs is local and depends on it. Here the coarsest layer is one vector, and finer ones are maps whose prior is
computed from everything above. The posterior goes down the same path as the prior (the *ladder*): at every layer it
sees the state of the way down and what the data say at that scale, so that a layer only has to encode what its prior
does not know yet. That keeps the lower layers from being switched off, as they are in a plain stack of VAEs.

In units of its own prior, :math:`z_l = \mu_l(z_{>l}) + \sigma_l(z_{>l})\, u_l`, every latent variable is standard
normal, and the bound is that of a VAE,

.. math:: \mathbb{E}_q\Big[\log p(x \mid u, c) - \sum_l \mathrm{KL}(q(u_l \mid u_{>l}, x, c) \,\|\, N(0, I))\Big]
          \;\le\; \log p(x \mid c).

Reference:
    Sonderby, Raiko, Maaloe, Sonderby and Winther 2016, "Ladder Variational Autoencoders"; Kingma et al. 2016,
    "Improved Variational Inference with Inverse Autoregressive Flow", section 4 and appendix C (top-down inference in
    maps); Child 2021, "Very Deep VAEs Generalize Autoregressive Models".
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, ClassVar, Literal, NamedTuple

import torch
from jaxtyping import Float, Shaped
from torch import Tensor, nn

from pushforward.autoencoders.annealing import kl_weight
from pushforward.autoencoders.ladder import BottomUp, Gaussian, Map, TopDownLayer, Upward, scale_steps
from pushforward.autoencoders.start import has_scales, mean_over, take_scales_
from pushforward.core.capabilities import HasDensity, HasPosterior
from pushforward.core.data import Batch, Condition
from pushforward.core.errors import InputError
from pushforward.core.modality import Image, Modality
from pushforward.core.model import model
from pushforward.core.noise import Noise
from pushforward.core.stages import Phase, Stage
from pushforward.core.units import Space
from pushforward.nn.conditioning import conditioner
from pushforward.probability.likelihoods import LikelihoodName, likelihood_of, space_of

__all__ = ["HVAE"]

#: Length of the vector a condition becomes: room for a hundred classes to differ.
CONDITION_WIDTH = 32

#: Channels as multiples of ``width``, from the finest scale: arithmetic falls fourfold with each halving, so the next
#: map may have twice as many; vectors cost nearly nothing.
WIDER = (1, 2)
TOP = 16

#: The size of the maps at the top, and of a vector.
ONE = (1, 1)

#: Importance samples for which noise is made at a time, whatever the batch, so that a score does not depend on it.
LOT = 16


class Layer(NamedTuple):
    """What happened at one layer of the way down, in units of its prior."""

    posterior: Gaussian
    u: Map


@model
class HVAE(HasDensity, HasPosterior):
    r"""Hierarchical variational autoencoder with top-down inference.

    At the top are ``layers`` vectors of latent variables; below, images have maps of them at a quarter and at half of
    their size. A code u is all latent variables in a row, the coarsest first, in units of
    their priors: standard normal.

    The loss is ``reconstruction + kl``, minus the bound at one draw. The KL term of the top comes in over the first
    ``warm_up`` of the training, that of maps counts from the start: otherwise maps learn sooner, each pixel for itself,
    and the vectors, which could say the same for less, stay silent. With ``free_bits`` a layer whose KL term is below
    that many nats is not pushed further down (Kingma et al. 2016, eq. 15, for each example). ``log_prob`` with K
    samples is the importance bound of Burda et al. 2016.

    ``depth=0`` leaves linear maps only: with ``likelihood="gaussian"`` a linear hierarchy whose marginal is a Gaussian.

    Raises:
        InputError: if a number is out of range, or the likelihood does not go with the examples.

    Example:
        >>> from pushforward.core.modality import Points
        >>> hvae = HVAE(example=Points(dim=2), latent_dim=1, width=4)
        >>> sorted(hvae.terms(torch.zeros(5, 2), None, noise=Noise(0, rows=5)))
        ['kl', 'reconstruction']
        >>> hvae.sample(3, seed=0).shape
        torch.Size([3, 2])
    """

    kind: ClassVar[Literal["exact", "bound", "estimate"]] = "bound"

    latent_dim: int = 16  # Latent variables of each layer at the top, which are vectors.
    layers: int = 3  # Stochastic layers at the top.
    maps: int = 2  # Sizes of an image with maps of latent variables: half of it, a quarter, ...
    map_layers: int = 1  # Stochastic layers at each of these sizes.
    latent_channels: int = 2  # Latent variables per pixel of a map.
    width: int = 16  # Channels of the finest maps; coarser ones have twice, vectors sixteen times as many.
    depth: int = 1  # Residual blocks after each stochastic layer, and at each scale of the way up; 0 is linear.
    likelihood: LikelihoodName = "auto"  # Of x given z; auto: what suits the data.
    components: int = 1  # Logistics in the mixture, for likelihoods that are one.
    beta: float = 1.0  # Weight of the KL term; other than 1 the loss is no bound (Higgins et al. 2017).
    warm_up: float = 0.1  # Share of the training over which the KL term of the top comes in.
    free_bits: float = 0.0  # Nats of a layer below which its KL term is not reduced.

    @classmethod
    def space_for(cls, example: Modality, fields: Mapping[str, Any]) -> Space:
        return space_of(fields.get("likelihood", "auto"), example)

    def build(self) -> None:
        self._check()
        self.observed = likelihood_of(self.likelihood, self.example, self.fitted, components=self.components)
        size, inputs, outputs = self._geometry()
        steps = scale_steps(size, self.maps)
        counts = [self.map_layers] * (len(steps) - 1) + [self.layers]
        widths = [self.width * (TOP if step.size == ONE else WIDER[min(i, 1)]) for i, step in enumerate(steps)]
        # Each residual block adds its share, so that the sum over all of them is of order one.
        common = {"depth": self.depth, "scale": 1 / math.sqrt(max(sum(counts) * self.depth, 1))}
        self.encoder = BottomUp(inputs, size, steps, widths, **common)
        self.start = nn.Parameter(torch.zeros(1, widths[-1], 1, 1))
        self.down, self.upward = nn.ModuleList(), nn.ModuleList()  # both from the top
        above = [(size, outputs), *((step.size, width) for step, width in zip(steps, widths, strict=True))]
        for i in reversed(range(len(steps))):
            latent = self.latent_dim if steps[i].size == ONE else self.latent_channels
            layers = (TopDownLayer(widths[i], latent, steps[i].size, **common) for _ in range(counts[i]))
            self.down.append(nn.ModuleList(layers))
            kernel = 3 if i == 0 and steps[i].size != ONE else 1
            self.upward.append(Upward(widths[i], above[i][1], steps[i], size=above[i][0], kernel=kernel))
        self.activation = nn.SiLU() if self.depth else nn.Identity()
        self.embed = None if self.condition is None else conditioner(self.condition, CONDITION_WIDTH)
        if self.embed is not None:
            self.condition_up = nn.Linear(CONDITION_WIDTH, widths[-1])
            self.condition_down = nn.Linear(CONDITION_WIDTH, widths[-1])

    # -- the way down -----------------------------------------------------------------------------------------------

    def way_down(
        self, n: int, c: Float[Tensor, "n width"] | None, choose: Callable[[TopDownLayer, Map, int], Map]
    ) -> Float[Tensor, "n *theta"]:
        """The parameters of p(x | u, c), where ``choose(layer, state, scale)`` says what u is at every layer."""
        s = self.start.expand(n, -1, -1, -1)
        if c is not None:
            s = s + self.condition_down(c)[:, :, None, None]
        down: Any = self.down
        for scale, (layers, upward) in enumerate(zip(down, self.upward, strict=True)):
            for layer in layers:
                s = layer.take_in(s, choose(layer, s, scale))
            last = scale == len(self.down) - 1
            s = upward(self.activation(s) if last else s)
        return s.reshape(n, *self.observed.theta).to(self.dtype)

    def way_up(
        self, x: Shaped[Tensor, "batch *units"], c: Float[Tensor, "batch width"] | None
    ) -> list[Float[Tensor, "batch channels height width"]]:
        """What x says at every scale, the coarsest first."""
        inputs = self.observed.inputs(x)
        maps = self.encoder(inputs if isinstance(self.example, Image) else inputs.flatten(1)[:, :, None, None])[::-1]
        if c is not None:
            maps[0] = maps[0] + self.condition_up(c)[:, :, None, None]
        return maps

    def passed(
        self,
        maps: list[Map],
        c: Float[Tensor, "batch width"] | None,
        choose: Callable[[TopDownLayer, Gaussian], Map],
    ) -> tuple[Float[Tensor, "batch *theta"], list[Layer]]:
        """The way down in the company of x: at every layer ``choose(layer, q)`` picks u given its posterior."""
        visited: list[Layer] = []

        def visit(layer: TopDownLayer, s: Map, scale: int) -> Map:
            posterior = layer.posterior(s, maps[scale])
            visited.append(Layer(posterior, choose(layer, posterior)))
            return visited[-1].u

        return self.way_down(len(maps[0]), c, visit), visited

    # -- the bound --------------------------------------------------------------------------------------------------

    def terms(
        self, x: Shaped[Tensor, "batch *units"], condition: Condition | None, *, noise: Noise
    ) -> dict[str, Float[Tensor, "batch"]]:
        c = self._embedded(condition, len(x))
        theta, visited = self.passed(self.way_up(x, c), c, drawn(noise))
        layers = torch.stack([layer.posterior.kl().flatten(1).sum(1) for layer in visited])
        cost = layers.clamp(min=self.free_bits) if self.free_bits else layers
        weight = kl_weight(self.progress, warm_up=self.warm_up, cycles=1)
        counted = weight * cost[: self.layers].sum(0) + cost[self.layers :].sum(0)
        return {"reconstruction": -self.observed.log_prob(x, theta), "kl": self.beta * counted}

    def log_likelihood(
        self, x: Shaped[Tensor, "batch *units"], condition: Condition | None, *, noise: Noise
    ) -> Float[Tensor, "batch"]:
        """The logarithm of p(x, u | c) / q(u | x, c) at one u drawn from q: its exponential has mean p(x | c)."""
        return self.log_weights(x, condition, samples=1, noise=noise)[0]

    def log_weights(
        self, x: Shaped[Tensor, "batch *units"], condition: Condition | None, *, samples: int, noise: Noise
    ) -> Float[Tensor, "samples batch"]:
        c = self._embedded(condition, len(x))
        maps = self.way_up(x, c)
        weights = []
        for first in range(0, samples, LOT):
            k = min(LOT, samples - first)
            repeated = [h.repeat_interleave(k, 0) for h in maps]
            given = None if c is None else c.repeat_interleave(k, 0)
            theta, visited = self.passed(repeated, given, drawn(noise, k))
            each = self.observed.log_prob(x.repeat_interleave(k, 0), theta)
            for q, u in visited:
                each = each + log_standard(u) - q.log_prob(u)
            weights.append(each.unflatten(0, (len(x), k)).T)
        return torch.cat(weights)

    # -- samples and codes ------------------------------------------------------------------------------------------

    def draw(
        self, n: int, condition: Condition | None, *, noise: Noise, sampler: Any | None
    ) -> Shaped[Tensor, "n *units"]:
        def choose(layer: TopDownLayer, s: Map, scale: int) -> Map:
            return noise.normal(*layer.shape, like=s)

        return self.observed.draw(self.way_down(n, self._embedded(condition, n), choose), noise)

    def infer(self, x: Shaped[Tensor, "batch *units"], condition: Condition | None) -> Float[Tensor, "batch latent"]:
        """The mean of every layer given the means above it."""
        c = self._embedded(condition, len(x))
        return code_of(self.passed(self.way_up(x, c), c, lambda layer, q: q.mean)[1])

    def generate(self, z: Float[Tensor, "batch latent"], condition: Condition | None) -> Shaped[Tensor, "batch *units"]:
        pieces = self._pieces(z)
        theta = self.way_down(len(z), self._embedded(condition, len(z)), lambda layer, s, scale: next(pieces))
        return self.observed.mean(theta)

    def sample_code(
        self, x: Shaped[Tensor, "batch *units"], condition: Condition | None, *, noise: Noise
    ) -> Float[Tensor, "batch latent"]:
        c = self._embedded(condition, len(x))
        return code_of(self.passed(self.way_up(x, c), c, drawn(noise))[1])

    def log_posterior(
        self, z: Float[Tensor, "codes latent"], x: Shaped[Tensor, "batch *units"], condition: Condition | None
    ) -> Float[Tensor, "codes batch"]:
        """The states of the way down are those of the code alone, unless a condition enters them for every example."""
        c = self._embedded(condition, len(x))
        maps = self.way_up(x, c)
        if c is not None:
            return torch.stack([self._log_each(code.expand(len(x), -1), maps, c) for code in z])
        pieces, found = self._pieces(z), torch.zeros(len(z), len(x), dtype=z.dtype, device=z.device)

        def visit(layer: TopDownLayer, s: Map, scale: int) -> Map:
            u = next(pieces)
            for m in range(len(z)):
                q = layer.posterior(s[m : m + 1], maps[scale])
                found[m] += q.log_prob(u[m : m + 1])
            return u

        self.way_down(len(z), None, visit)
        return found

    def _log_each(self, z: Tensor, maps: list[Map], c: Tensor | None) -> Float[Tensor, "batch"]:
        """log q(z_b | x_b, c_b)."""
        pieces = self._pieces(z)
        visited = self.passed(maps, c, lambda layer, q: next(pieces))[1]
        return torch.stack([q.log_prob(u) for q, u in visited]).sum(0)

    def log_prior(self, z: Float[Tensor, "codes latent"], condition: Condition | None = None) -> Float[Tensor, "codes"]:
        """log N(z; 0, I): codes are in units of the prior of their layer."""
        return log_standard(z)

    def kl_each(
        self, x: Shaped[Tensor, "batch *units"], condition: Condition | None, *, noise: Noise
    ) -> Float[Tensor, "batch units"]:
        """The exact KL of every latent variable, given one draw of the layers above it."""
        c = self._embedded(condition, len(x))
        visited = self.passed(self.way_up(x, c), c, drawn(noise))[1]
        return torch.cat([layer.posterior.kl().flatten(1) for layer in visited], 1)

    def stages(self) -> Sequence[Stage]:
        # One nat per number: on black-and-white digits a usual gradient is a tenth of that, and one bad draw of a
        # narrow layer can give a thousand times as much.
        clip = 1.0 * math.prod(self.shape)
        phase = Phase(name="fit", terms=self.terms, parameters=list(self.parameters()), lr=2e-3, clip=clip)
        fit = Stage(name="fit", phases=[phase])
        return [Stage(name="start", solve=self.take_scales), fit] if has_scales(self.embed) else [fit]

    def take_scales(self, train: Batch, valid: Batch, *, noise: Noise) -> Iterator[float]:
        """Take the scales of a condition's numbers from training examples; the figure is the bound."""
        with torch.no_grad():
            take_scales_(self.embed, train)
            yield -float(mean_over(lambda part, own: self.log_likelihood(*part, noise=own), valid, noise))

    # -- the parts --------------------------------------------------------------------------------------------------

    def _check(self) -> None:
        least = {"latent_dim": 1, "layers": 1, "maps": 0, "map_layers": 1, "latent_channels": 1, "width": 1, "depth": 0}
        for name, low in (least | {"beta": 0, "warm_up": 0, "free_bits": 0}).items():
            if not low <= (number := getattr(self, name)) < math.inf:
                raise InputError(f"{name}: got {number}, expected at least {low}")
        if self.warm_up > 1:
            raise InputError(f"warm_up: got {self.warm_up}, expected a share from 0 to 1")

    def _geometry(self) -> tuple[tuple[int, int], int, int]:
        """Size of the finest map, channels that go in and numbers per pixel that come out; a vector is one pixel."""
        size = (self.example.height, self.example.width) if isinstance(self.example, Image) else ONE
        pixels = math.prod(size)
        return size, math.prod(self.observed.input_shape) // pixels, math.prod(self.observed.theta) // pixels

    def _pieces(self, z: Float[Tensor, "batch latent"]) -> Iterator[Map]:
        """A code cut into the maps of its layers."""
        down: Any = self.down
        shapes = [layer.shape for layers in down for layer in layers]
        return (
            piece.unflatten(1, shape)
            for piece, shape in zip(z.split([math.prod(s) for s in shapes], 1), shapes, strict=True)
        )

    def _embedded(self, condition: Condition | None, n: int) -> Float[Tensor, "n width"] | None:
        return None if self.embed is None else self.embed(condition, n)


def drawn(noise: Noise, samples: int = 1) -> Callable[[TopDownLayer, Gaussian], Map]:
    """A choice of u from its posterior: ``samples`` rows for every row of the noise, next to each other."""

    def choose(layer: TopDownLayer, q: Gaussian) -> Map:
        return q.at(noise.normal(samples, *layer.shape, like=q.mean).flatten(0, 1))

    return choose


def code_of(visited: list[Layer]) -> Float[Tensor, "batch latent"]:
    """All latent variables in a row, the coarsest first."""
    return torch.cat([layer.u.flatten(1) for layer in visited], 1)


def log_standard(u: Map) -> Float[Tensor, "batch"]:
    """log N(u; 0, I), in nats."""
    return -0.5 * (u**2 + math.log(2 * math.pi)).flatten(1).sum(1)
