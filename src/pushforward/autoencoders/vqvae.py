r"""Vector-quantised variational autoencoder: codes on a map of places, and a model of those codes.

An encoder gives a vector for every place of a map, a quantiser replaces each by one of K codes, and a decoder reads the
map of codes. Training has two stages. First encoder, quantiser and decoder,

.. math:: -\log p(x \mid q(x)) + \text{what keeps vectors and codes together},

through a step that has no gradient of its own (``quantizer.py``). Then, with the codes fixed, a *prior* p(k) learns
which maps of codes there are: any model of codes will do, and an autoregressive one suits it. Together they are a
latent-variable model, whose likelihood is a sum over all maps of codes. The one map k(x) that the encoder chooses gives

.. math:: \log p(x \mid c) = \log \sum_k p(x \mid k)\, p(k \mid c) \;\ge\; \log p(x \mid k(x)) + \log p(k(x) \mid c),

a bound without noise. A sample is a map drawn from the prior, and an example drawn from p(x | k).

On request, a critic and a perceptual distance make reconstructions of images sharp (``judges.py``).

Reference:
    van den Oord, Vinyals and Kavukcuoglu 2017, "Neural Discrete Representation Learning"; Esser, Rombach and Ommer
    2021, "Taming Transformers for High-Resolution Image Synthesis", section 3.1 (critic and perceptual distance).
"""

import dataclasses
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar, Literal

import torch
from jaxtyping import Float, Int, Shaped
from torch import Tensor

from pushforward.autoencoders.judges import Judges
from pushforward.autoencoders.posteriors import widened
from pushforward.autoencoders.quantizer import Pass
from pushforward.autoencoders.quantizers import QuantizerName, code_counts, quantizer_of
from pushforward.core.audio import Audio
from pushforward.core.capabilities import HasCodebook, HasDensity
from pushforward.core.data import Batch, Condition
from pushforward.core.errors import InputError
from pushforward.core.modality import Image, Modality
from pushforward.core.model import Model, model
from pushforward.core.noise import Noise
from pushforward.core.stages import Phase, Stage
from pushforward.core.units import Space
from pushforward.nn.backbones import decoder, encoder
from pushforward.nn.maps import MapDecoder, MapEncoder, map_size
from pushforward.probability.baselines import Independent
from pushforward.probability.likelihoods import LikelihoodName, likelihood_of, space_of

__all__ = ["VQVAE"]

#: Examples encoded at a time where a whole split is.
ROWS = 256


def nothing() -> None:
    """No prior given: a default on the class itself would hide the module of that name."""


@model
class VQVAE(HasDensity, HasCodebook):
    """Autoencoder with discrete codes, and a prior over them that makes it a generative model with a bound.

    An image becomes a map of codes, halved ``halvings`` times; anything else becomes ``places`` codes in a row. The
    quantiser is a codebook, several ("residual", "product"), or a grid of numbers ("fsq", "lfq"). The zoo makes the
    prior by its name, a transformer unless told otherwise; made by hand without one, the codes are independent.

    Raises:
        InputError: if a number is out of range, or the prior is no model of codes with a density.

    Example:
        >>> digits = Image(height=8, width=8, levels=17)
        >>> vqvae = VQVAE(example=digits, codes=16)
        >>> x = vqvae.sample(2, seed=0)
        >>> vqvae.encode_indices(x).shape, vqvae.codebook_size  # 4 x 4 places, one quantiser
        (torch.Size([2, 16, 1]), 16)
    """

    kind: ClassVar[Literal["exact", "bound", "estimate"]] = "bound"
    #: The sum over maps is bounded by one of its parts, so its exponential is below the likelihood on average too.
    unbiased: ClassVar[bool] = False
    parts: ClassVar[Mapping[str, str]] = {"prior": "gpt"}
    #: Half the usual: an example has many places, so that a batch of 64 images shows a codebook thousands of vectors.
    batch_size: ClassVar[int] = 64

    quantizer: QuantizerName = "codebook"  # One codebook, several (residual, product), or a grid (fsq, lfq).
    codes: int = 512  # Codes of each codebook; a grid has as many or a few less.
    code_dim: int = 16  # Length of the vector a code stands for; a grid has a length of its own.
    levels: int = 2  # Codebooks of residual and product.
    update: Literal["ema", "gradient"] = "ema"  # Codebooks learn by moving averages or by the optimiser.
    gradient: Pass = "straight-through"  # What the gradient of codebooks takes the step for.
    cosine: bool = False  # Whether codes are compared by angle.
    commitment: float = 0.25  # Weight of the squared distance between vectors and codes.
    start: Literal["k-means", "normal"] = "k-means"  # Where codebooks begin.
    revive: bool = True  # Whether codes nobody uses are moved to where they are needed.
    halvings: int = 2  # How often an image is halved on the way to its map of codes.
    places: int = 4  # Codes of an example that is no image.
    width: int = 128  # Hidden units; convolutions have a quarter as many channels at first.
    depth: int = 2  # Hidden layers; convolutions have half as many residual blocks at each size.
    likelihood: LikelihoodName = "auto"  # Of an example given its codes.
    prior: HasDensity | None = dataclasses.field(default_factory=nothing)  # Name of the model of the codes.
    prior_share: float = 0.5  # Share of the training steps that the prior gets.
    adversarial: float = 0.0  # Weight of a critic of patches of images, in nats per entry: sharper, less exact.
    perceptual: float = 0.0  # Weight of the distance in features of images, in nats per entry.

    def build(self) -> None:
        for name, least in (("code_dim", 1), ("halvings", 0), ("places", 1), ("width", 1), ("depth", 0)):
            if not (number := getattr(self, name)) >= least:
                raise InputError(f"{name}: got {number}, expected at least {least}")
        if not 0 < self.prior_share < 1:
            raise InputError(f"prior_share: got {self.prior_share}, expected a number between 0 and 1")
        self.observed = likelihood_of(self.likelihood, self.example, self.fitted)
        self.quantize = quantizer_of(
            self.quantizer,
            codes=self.codes,
            dim=self.code_dim,
            levels=self.levels,
            update=self.update,
            gradient=self.gradient,
            cosine=self.cosine,
            commitment=self.commitment,
            start=self.start,
            revive=self.revive,
        )
        self.codebook_size = self.quantize.size
        self.codes_are = self.part_example("prior", self.example, fields_of(self))
        self.encoder, self.decoder = self._networks()
        self.prior = self._prior()
        # Last, so that all other weights start as they do without.
        weights = {"adversarial": self.adversarial, "perceptual": self.perceptual}
        self.judges = Judges(self.example, self.condition, **weights)

    @classmethod
    def space_for(cls, example: Modality, fields: Mapping[str, Any]) -> Space:
        return space_of(fields.get("likelihood", cls.likelihood), example)

    @classmethod
    def part_example(cls, field: str, example: Modality, fields: Mapping[str, Any]) -> Image:
        """The map of codes: an image whose levels are codes, with a channel per quantiser."""

        def value(name: str) -> Any:
            return fields.get(name, getattr(cls, name, None))

        size, count = code_counts(value("quantizer"), codes=value("codes"), levels=value("levels"))
        match example:
            case Image():
                rows, columns = map_size((example.height, example.width), value("halvings"))
            case Audio():
                rows, columns = map_size((1, example.length), value("halvings"))
            case _:
                rows, columns = 1, value("places")
        return Image(height=rows, width=columns, channels=count, levels=size)

    @property
    def couples_batch(self) -> bool:
        """Only the entropy of a lookup-free quantiser is one of the batch."""
        return self.quantize.couples_batch

    # -- training ---------------------------------------------------------------------------------------------------

    def stages(self) -> Sequence[Stage]:
        own = [p for name, p in self.named_parameters() if not name.startswith(("prior.", "judges."))]
        # An entry that hardly varies gets a tiny variance, and the first example in which it does is then a gradient
        # a thousand times the usual. Four per entry is about the usual size, so Adam sees little of the clipping.
        clip = 4.0 * math.prod(self.shape)
        codes = Phase(name="codes", terms=self.fit_codes, parameters=own, lr=1e-3, clip=clip)
        judged = {"pictures": self.fit_pictures, "critic": self.fit_critic, "features": self.fit_features}
        first = self.judges.stages(codes, **judged, share=1 - self.prior_share)
        return [*first, *map(self._of_prior, self._prior_model().stages())]

    def fit_codes(
        self, x: Shaped[Tensor, "batch *units"], condition: Condition | None, *, noise: Noise
    ) -> dict[str, Float[Tensor, "batch"]]:
        """What the first stage descends on: -log p(x | q(x)), and the loss of the quantiser summed over places."""
        return self._fitted(x)[0]

    def fit_pictures(
        self, x: Shaped[Tensor, "batch *units"], condition: Condition | None, *, noise: Noise
    ) -> dict[str, Float[Tensor, "batch"]]:
        """The same, and what the judges have against the mean of p(x | q(x))."""
        terms, theta = self._fitted(x)
        return terms | self.judges.terms(self.observed.inputs(x), self._mean_picture(theta))

    def fit_critic(
        self, x: Shaped[Tensor, "batch *units"], condition: Condition | None, *, noise: Noise
    ) -> dict[str, Float[Tensor, "batch"]]:
        """What the critic descends on: examples told from their reconstructions."""
        with torch.no_grad():
            mean = self._mean_picture(self.decode_theta(self._of_codes(self._codes(x))))
        return self.judges.critic_terms(self.observed.inputs(x), mean)

    def fit_features(
        self, x: Shaped[Tensor, "batch *units"], condition: Condition | None, *, noise: Noise
    ) -> dict[str, Float[Tensor, "batch"]]:
        """What the features of the perceptual distance descend on: classes, or quarter turns."""
        return self.judges.feature_terms(self.observed.inputs(x), condition, noise=noise)

    def fit_prior(
        self, x: Shaped[Tensor, "batch *units"], condition: Condition | None, *, noise: Noise
    ) -> dict[str, Float[Tensor, "batch"]]:
        """What the second stage descends on: the loss of the prior, codes given."""
        return self._prior_model().terms(self._codes(x), condition, noise=noise)

    def solve_prior(self, train: Batch, valid: Batch, *, noise: Noise) -> Iterator[float]:
        """The second stage of a prior in closed form."""
        (stage,) = self._prior_model().stages()
        assert stage.solve is not None
        of_codes = [Batch(self._codes(batch.x), batch.condition) for batch in (train, valid)]
        yield from stage.solve(*of_codes, noise=noise)

    def after_step(self) -> None:
        self.quantize.learn()

    def terms(
        self, x: Shaped[Tensor, "batch *units"], condition: Condition | None, *, noise: Noise
    ) -> dict[str, Float[Tensor, "batch"]]:
        """Minus the bound in its two parts."""
        found = self.quantize(self._vectors(x))
        codes = found.indices.reshape(len(x), -1)
        reconstruction = -self.observed.log_prob(x, self.decode_theta(found.vectors.reshape(len(x), -1)))
        prior = -self._prior_model().log_likelihood(codes, condition, noise=noise)
        return {"reconstruction": reconstruction, "prior": prior.to(reconstruction.dtype)}

    # -- the bound, samples and codes --------------------------------------------------------------------------------

    def log_likelihood(
        self, x: Shaped[Tensor, "batch *units"], condition: Condition | None, *, noise: Noise
    ) -> Float[Tensor, "batch"]:
        """log p(x | k(x)) + log p(k(x) | c), one part of the sum that p(x | c) is."""
        codes = self._codes(x)
        given_codes = self.observed.log_prob(x, self.decode_theta(self._of_codes(codes)))
        return given_codes + self._prior_model().log_likelihood(codes, condition, noise=noise).to(given_codes.dtype)

    def draw(
        self, n: int, condition: Condition | None, *, noise: Noise, sampler: Any | None
    ) -> Shaped[Tensor, "n *units"]:
        codes = self._prior_model().draw(n, condition, noise=noise, sampler=None)
        return self.observed.draw(self.decode_theta(self._of_codes(codes)), noise)

    def indices(
        self, x: Shaped[Tensor, "batch *units"], condition: Condition | None
    ) -> Int[Tensor, "batch places quantisers"]:
        return self._codes(x).reshape(len(x), -1, self.quantize.count)

    def encode_indices(self, x: Shaped[Tensor, "batch *shape"]) -> Int[Tensor, "batch places quantisers"]:
        """The codes of storage examples.

        Raises:
            InputError: if x is not of the model's modality.
        """
        self.example.check(x)
        with self.at_rest():
            y, _ = self.fitted.encode(x.to(self.device), noise=Noise(0, rows=len(x)), dtype=self.dtype)
            return self.indices(y, None)

    def infer(self, x: Shaped[Tensor, "batch *units"], condition: Condition | None) -> Float[Tensor, "batch latent"]:
        """The vectors of the codes, place after place."""
        return self._of_codes(self._codes(x))

    def generate(self, z: Float[Tensor, "batch latent"], condition: Condition | None) -> Shaped[Tensor, "batch *units"]:
        return self.observed.mean(self.decode_theta(z))

    def decode_theta(self, z: Float[Tensor, "batch latent"]) -> Float[Tensor, "batch *theta"]:
        """The parameters of p(x | k) from the vectors of the codes, place after place."""
        if isinstance(self.decoder, MapDecoder):
            grid = (self.codes_are.height, self.codes_are.width)
            z = z.unflatten(1, (-1, self.quantize.dim)).transpose(1, 2).unflatten(2, grid)
        return widened(self.decoder(z))

    # -- the parts --------------------------------------------------------------------------------------------------

    def _fitted(self, x: Shaped[Tensor, "batch *units"]) -> tuple[dict[str, Tensor], Float[Tensor, "batch *theta"]]:
        """The terms of the codes, and the parameters of p(x | q(x))."""
        found = self.quantize(self._vectors(x))
        theta = self.decode_theta(found.vectors.reshape(len(x), -1))
        terms = {
            "reconstruction": -self.observed.log_prob(x, theta),
            "quantisation": found.loss.reshape(len(x), -1).sum(1),
        }
        return terms, theta

    def _mean_picture(self, theta: Float[Tensor, "batch *theta"]) -> Float[Tensor, "batch channels height width"]:
        """The mean of p(x | theta) as an encoder reads it."""
        return self.observed.inputs(self.observed.mean(theta))

    def _vectors(self, x: Shaped[Tensor, "batch *units"]) -> Float[Tensor, "places dim"]:
        """What the encoder makes of x: a row for every place of every example."""
        h = self.encoder(self.observed.inputs(x))
        if h.ndim == 4:
            h = h.flatten(2).transpose(1, 2)
        return h.reshape(-1, self.quantize.dim)

    @torch.no_grad()
    def _codes(self, x: Shaped[Tensor, "batch *units"]) -> Int[Tensor, "batch codes"]:
        """The indices of x as the prior reads them: in reading order, the quantisers of one place side by side."""
        parts = [self.quantize.indices(self._vectors(rows)).reshape(len(rows), -1) for rows in x.split(ROWS)]
        return torch.cat(parts)

    def _of_codes(self, codes: Int[Tensor, "batch codes"]) -> Float[Tensor, "batch latent"]:
        vectors = self.quantize.vectors(codes.reshape(-1, self.quantize.count))
        return vectors.to(self.dtype).reshape(len(codes), -1)

    def _of_prior(self, stage: Stage) -> Stage:
        """A stage of the prior as one of this model."""
        share = self.prior_share / len(self._prior_model().stages())
        if stage.solve is not None:
            return replace(stage, name="prior", solve=self.solve_prior)
        phases = [replace(phase, name="prior", terms=self.fit_prior) for phase in stage.phases]
        return replace(stage, name="prior", phases=phases, share=share)

    def _networks(self) -> tuple[torch.nn.Module, torch.nn.Module]:
        shape, (k, *rest), dim = self.observed.input_shape, self.observed.theta, self.quantize.dim
        if len(shape) == 3:
            steps, width, depth = self.halvings, max(self.width // 4, 1), max(self.depth // 2, 1)
            out = (rest[0], rest[1], rest[2])
            return (
                MapEncoder((shape[0], shape[1], shape[2]), dim, steps=steps, width=width, depth=depth),
                MapDecoder(dim, out, steps=steps, parameters=k, width=width, depth=depth),
            )
        length = self.places * dim
        return (
            encoder(shape, length, width=self.width, depth=self.depth),
            decoder(length, tuple(rest), parameters=k, width=self.width, depth=self.depth),
        )

    def _prior(self) -> HasDensity:
        """The given prior, made anew where it is for other codes; without one, codes that are independent."""
        if self.prior is None:
            return Independent(example=self.codes_are, condition=self.condition)
        given: Any = self.prior
        if not isinstance(given, HasDensity) or given.space != "codes":
            what = type(given).__name__ if isinstance(given, Model) else repr(given)
            raise InputError(f"prior: got {what}, expected a model of codes with a density, such as gpt")
        if any(len(stage.phases) > 1 for stage in given.stages()) or len(given.stages()) > 1:
            raise InputError(f"prior: got {type(given).__name__}, expected a model that is trained in one phase")
        if (given.example, given.condition) == (self.codes_are, self.condition):
            return given
        return type(given)(example=self.codes_are, condition=self.condition, **fields_of(given))

    def _prior_model(self) -> HasDensity:
        assert self.prior is not None
        return self.prior


def fields_of(made: Model) -> dict[str, Any]:
    """The hyper-parameters of a model."""
    names = [f.name for f in dataclasses.fields(made) if f.init and f.name not in ("example", "condition", "units")]
    return {name: getattr(made, name) for name in names}
