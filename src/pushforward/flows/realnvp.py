r"""RealNVP (Dinh et al. 2017): a density by change of variables, with a map that is as fast backward as forward.

.. math:: \log p(x \mid c) = \log N(z; 0, I) + \log \left| \det \frac{\partial f}{\partial x} \right|,
          \quad z = f(x, c); \qquad \text{a sample is } x = f^{-1}(z, c), \quad z \sim N(0, I).

f is an affine map followed by affine couplings. In closed form (the first stage), the affine map whitens the training
examples, and the couplings start as the identity: training starts at the best Gaussian and goes on from there.

* *Vectors.* A triangular matrix, then couplings in which one half of the entries transforms the other, in turn.
  In one dimension a coupling has nothing to depend on but the condition: there the model is affine in x.
* *Images.* A scale and shift per pixel; twice a squeeze of 2 x 2 pixels into channels, each followed by couplings
  between the two colours of the checkerboard. Odd sides are not squeezed; two of them leave the checkerboard as it is.
"""

from collections.abc import Iterator, Sequence
from typing import Any, ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from pushforward.core.capabilities import HasDensity, HasLatent
from pushforward.core.data import Batch, Condition
from pushforward.core.errors import InputError
from pushforward.core.model import model
from pushforward.core.noise import Noise
from pushforward.core.stages import Phase, Stage
from pushforward.core.units import Space
from pushforward.flows.base import CONDITION, log_normal
from pushforward.flows.bijections import Bijection, Chain, Diagonal, Squeeze, Triangular
from pushforward.flows.coupling import CheckerboardCoupling, Coupling
from pushforward.nn.conditioning import Conditioner
from pushforward.nn.convnet import ConvResNet
from pushforward.nn.mlp import MLP

__all__ = ["RealNVP"]


#: Squeezes of an image: at a quarter of its size, the 9 x 9 field of a network of one block covers 36 pixels a side.
SCALES = 2


@model
class RealNVP(HasDensity, HasLatent):
    """Affine coupling flow: exact density in model units, exact codes, samples in one pass.

    A code z has as many numbers as an example, and is N(0, I) over the data as far as the model fits.

    Raises:
        InputError: if a size is out of range, or the condition is not a class label.

    Example:
        >>> from pushforward.core.modality import Points
        >>> model = RealNVP(example=Points(dim=2), width=8)  # a standard normal before it is fitted
        >>> model.log_prob(torch.zeros(1, 2).double())  # -ln 2 pi
        tensor([-1.8379], dtype=torch.float64)

    Reference:
        Dinh et al. 2017, "Density estimation using Real NVP"; section 3.4 for the checkerboard, 3.6 for the squeeze.
    """

    space: ClassVar[Space] = "logit"

    layers: int = 8  # Couplings; an image shares them out between its two scales.
    width: int = 128  # Hidden units of a coupling's network; for images a quarter of it is channels.
    depth: int = 2  # Hidden layers of a coupling's network; for images half as many residual blocks.

    def build(self) -> None:
        for name in ("layers", "width", "depth"):
            if (size := getattr(self, name)) < 1:
                raise InputError(f"{name}: got {size}, expected at least 1")
        self.embed = None if self.condition is None else Conditioner(self.condition, CONDITION)
        if len(self.shape) == 1:
            self.latent_shape = self.shape
            # One number has nothing below the diagonal.
            affine = Triangular(self.shape[0]) if self.shape[0] > 1 else Diagonal(self.shape)
            self.flow = Chain([affine, *self._vector_couplings()])
        else:
            self.latent_shape = self.shape
            self.flow = Chain([Diagonal(self.shape), *self._image_couplings()])

    # -- the density ------------------------------------------------------------------------------------------------

    def log_likelihood(
        self, x: Float[Tensor, "batch *units"], condition: Condition | None, *, noise: Noise
    ) -> Float[Tensor, "batch"]:
        z, log_det = self.flow(x, self._embedded(condition, len(x)))
        return log_normal(z) + log_det

    def terms(
        self, x: Float[Tensor, "batch *units"], condition: Condition | None, *, noise: Noise
    ) -> dict[str, Float[Tensor, "batch"]]:
        """Minus the log-likelihood in its two parts: how far z is from the origin, and how much f stretches."""
        z, log_det = self.flow(x, self._embedded(condition, len(x)))
        return {"latent": -log_normal(z), "volume": -log_det}

    def draw(
        self, n: int, condition: Condition | None, *, noise: Noise, sampler: Any | None
    ) -> Float[Tensor, "n *units"]:
        return self.generate(noise.normal(*self.latent_shape, like=self._anchor()), condition)

    def infer(self, x: Float[Tensor, "batch *units"], condition: Condition | None) -> Float[Tensor, "batch *latent"]:
        return self.flow(x, self._embedded(condition, len(x)))[0]

    def generate(self, z: Float[Tensor, "batch *latent"], condition: Condition | None) -> Float[Tensor, "batch *units"]:
        return self.flow.inverse(z, self._embedded(condition, len(z)))

    # -- training ---------------------------------------------------------------------------------------------------

    def stages(self) -> Sequence[Stage]:
        """The Gaussian in closed form, then gradient descent on everything."""
        phase = Phase(name="fit", terms=self.terms, parameters=list(self.parameters()), lr=1e-3)
        return [Stage(name="whiten", solve=self.whiten), Stage(name="fit", phases=[phase])]

    def whiten(self, train: Batch, valid: Batch, *, noise: Noise) -> Iterator[float]:
        """Set the affine map from the moments of the training examples; the figure is that of this Gaussian."""
        affine = self.flow.links[0]
        assert isinstance(affine, Triangular | Diagonal)
        affine.whiten_(train.x)
        with torch.no_grad():
            z, log_det = affine(valid.x)
            yield -(log_normal(z) + log_det).mean().item()

    # -- the layers -------------------------------------------------------------------------------------------------

    def _vector_couplings(self) -> Iterator[Bijection]:
        """Couplings that keep one half and the other in turn; none of those that would have nothing to do."""
        (dim,) = self.shape
        for layer in range(self.layers):
            kept = dim // 2 if layer % 2 == 0 else dim - dim // 2
            if kept == dim or (kept == 0 and self.embed is None):
                continue
            yield Coupling(kept, self._mlp(kept, 2 * (dim - kept)))

    def _image_couplings(self) -> Iterator[Bijection]:
        """Squeezes, each followed by its share of the couplings; a checkerboard where nothing can be squeezed."""
        channels, height, width = self.shape
        if height % 2 and width % 2:
            for layer in range(self.layers):
                yield CheckerboardCoupling((height, width), layer % 2, self._conv(channels, 2 * channels))
            return
        for scale in range(SCALES):
            squeeze = Squeeze((height, width))
            yield squeeze
            channels, height, width = self.latent_shape = squeeze.squeezed((channels, height, width))
            for _ in range(self.layers // SCALES + (scale < self.layers % SCALES)):
                yield Coupling(channels // 2, self._conv(channels // 2, channels))

    def _mlp(self, inputs: int, outputs: int) -> MLP:
        return MLP(
            inputs,
            outputs,
            width=self.width,
            depth=self.depth,
            condition=CONDITION * (self.embed is not None),
            activation="relu",  # which trained faster than SiLU on two moons and a census table, and costs less
            zero_init=True,
        )

    def _conv(self, inputs: int, outputs: int) -> ConvResNet:
        return ConvResNet(
            inputs,
            outputs,
            width=max(self.width // 4, 1),
            depth=max(self.depth // 2, 1),
            condition=CONDITION * (self.embed is not None),
            zero_init=True,
        )

    def _embedded(self, condition: Condition | None, batch: int) -> Float[Tensor, "batch embedding"] | None:
        return None if self.embed is None else self.embed(condition, batch)
