r"""MAF (Papamakarios et al. 2017): a Gaussian for each entry given those before it, several times over.

A block reads the entries of an example one after another and standardises each by what the earlier ones foretell,

.. math:: u_i = (x_i - \mu_i)\, e^{-\alpha_i}, \qquad (\alpha_i, \mu_i) = \text{MADE}(x_{<i}, c)_i, \qquad
          \log \left| \det \frac{\partial u}{\partial x} \right| = -\sum_i \alpha_i

(eq. 3-5). The next block does the same to u in the opposite order, and so on; the last u is the code z, with

.. math:: \log p(x \mid c) = \log N(z; 0, I) - \sum_{\text{blocks}} \sum_i \alpha_i.

MADE (Germain et al. 2015) gives every :math:`\alpha_i` and :math:`\mu_i` in one pass, so a density costs one pass per
block. A sample of D entries costs D, as x_i needs x_{<i} first: what RealNVP gives up flexibility to avoid.

An affine map stands before the blocks. In closed form (the first stage) it whitens the training examples, and the
blocks start as the identity: training starts at the best Gaussian and goes on from there. For images it is a scale and
shift per pixel, and the entries are the pixels row by row, channel after channel.
"""

import math
from collections.abc import Iterator, Sequence
from typing import Any, ClassVar

import torch
from jaxtyping import Float, Int
from torch import Tensor

from pushforward.core.capabilities import HasDensity, HasLatent
from pushforward.core.data import Batch, Condition
from pushforward.core.errors import InputError
from pushforward.core.model import model
from pushforward.core.noise import Noise
from pushforward.core.stages import Phase, Stage
from pushforward.core.units import Space
from pushforward.flows.base import CONDITION, log_normal
from pushforward.flows.bijections import Bijection, Chain, Diagonal, Triangular
from pushforward.flows.coupling import scale_and_shift
from pushforward.nn.conditioning import Conditioner
from pushforward.nn.made import MADE

__all__ = ["MAF", "Autoregressive"]


class Autoregressive(Bijection):
    """One block, u_i = (x_i - mu_i) exp(-alpha_i), with alpha bounded softly as in ``coupling.py``.

    The inverse finds x_i = u_i exp(alpha_i) + mu_i in the order of the degrees, one pass each; what is not found yet
    is 0, which no output that is used sees.

    Args:
        degrees: place of each entry in the order, from 1 on.
        width: hidden units of the MADE.
        depth: its hidden layers.
        condition: length of c; 0 for none.
    """

    degrees: Tensor

    def __init__(self, degrees: Int[Tensor, "dim"], *, width: int, depth: int, condition: int = 0) -> None:
        super().__init__()
        self.register_buffer("degrees", degrees, persistent=False)
        self.network = MADE(degrees, width=width, depth=depth, condition=condition)

    def forward(self, x: Tensor, c: Tensor | None = None) -> tuple[Tensor, Tensor]:
        alpha, mu = scale_and_shift(self.network(x, c))
        return (x - mu) * (-alpha).exp(), -alpha.sum(1)

    def inverse(self, y: Tensor, c: Tensor | None = None) -> Tensor:
        x = torch.zeros_like(y)
        for place in range(1, y.shape[1] + 1):
            alpha, mu = scale_and_shift(self.network(x, c))
            x = torch.where(self.degrees == place, y * alpha.exp() + mu, x)
        return x


@model
class MAF(HasDensity, HasLatent):
    """Masked autoregressive flow: exact density in one pass, exact codes, samples one entry after another.

    A code z has the shape of an example, and is N(0, I) over the data as far as the model fits.

    Raises:
        InputError: if a size is out of range, or the condition is not a class label.

    Example:
        >>> from pushforward.core.modality import Points
        >>> model = MAF(example=Points(dim=2), width=8)  # a standard normal before it is fitted
        >>> model.log_prob(torch.zeros(1, 2).double())  # -ln 2 pi
        tensor([-1.8379], dtype=torch.float64)

    Reference:
        Papamakarios et al. 2017, "Masked Autoregressive Flow for Density Estimation"; section 3.1 for a block, 3.4 for
        the condition. Its batch normalisation, which makes examples depend on each other, gives way to the affine map.
    """

    space: ClassVar[Space] = "logit"

    blocks: int = 5  # Autoregressive maps, in alternating order.
    width: int = 256  # Hidden units of a block's network.
    depth: int = 2  # Hidden layers of a block's network.

    def build(self) -> None:
        for name in ("blocks", "width", "depth"):
            if (size := getattr(self, name)) < 1:
                raise InputError(f"{name}: got {size}, expected at least 1")
        self.embed = None if self.condition is None else Conditioner(self.condition, CONDITION)
        dim, vector = math.prod(self.shape), len(self.shape) == 1
        order = torch.arange(1, dim + 1)
        options = {"width": self.width, "depth": self.depth, "condition": CONDITION * (self.embed is not None)}
        # In one dimension there is nothing below a diagonal, and a block has nothing to see but the condition.
        affine = Triangular(dim) if vector and dim > 1 else Diagonal((dim,))
        blocks = self.blocks if dim > 1 or self.embed is not None else 0
        turns = (order if block % 2 == 0 else order.flip(0) for block in range(blocks))
        self.flow = Chain([affine, *(Autoregressive(turn, **options) for turn in turns)])

    # -- the density ------------------------------------------------------------------------------------------------

    def log_likelihood(
        self, x: Float[Tensor, "batch *units"], condition: Condition | None, *, noise: Noise
    ) -> Float[Tensor, "batch"]:
        return -self.loss(x, condition, noise=noise)

    def terms(
        self, x: Float[Tensor, "batch *units"], condition: Condition | None, *, noise: Noise
    ) -> dict[str, Float[Tensor, "batch"]]:
        """Minus the log-likelihood in its two parts: how far z is from the origin, and how much the flow stretches."""
        z, log_det = self.flow(x.flatten(1), self._embedded(condition, len(x)))
        return {"latent": -log_normal(z), "volume": -log_det}

    def draw(
        self, n: int, condition: Condition | None, *, noise: Noise, sampler: Any | None
    ) -> Float[Tensor, "n *units"]:
        return self.generate(noise.normal(*self.shape, like=self._anchor()), condition)

    def infer(self, x: Float[Tensor, "batch *units"], condition: Condition | None) -> Float[Tensor, "batch *units"]:
        return self.flow(x.flatten(1), self._embedded(condition, len(x)))[0].view_as(x)

    def generate(self, z: Float[Tensor, "batch *units"], condition: Condition | None) -> Float[Tensor, "batch *units"]:
        return self.flow.inverse(z.flatten(1), self._embedded(condition, len(z))).view_as(z)

    def _embedded(self, condition: Condition | None, batch: int) -> Float[Tensor, "batch embedding"] | None:
        return None if self.embed is None else self.embed(condition, batch)

    # -- training ---------------------------------------------------------------------------------------------------

    def stages(self) -> Sequence[Stage]:
        """The Gaussian in closed form, then gradient descent on everything."""
        phase = Phase(name="fit", terms=self.terms, parameters=list(self.parameters()), lr=1e-3)
        return [Stage(name="whiten", solve=self.whiten), Stage(name="fit", phases=[phase])]

    def whiten(self, train: Batch, valid: Batch, *, noise: Noise) -> Iterator[float]:
        """Set the affine map from the moments of the training examples; the figure is that of this Gaussian."""
        affine = self.flow.links[0]
        assert isinstance(affine, Triangular | Diagonal)
        affine.whiten_(train.x.flatten(1))
        with torch.no_grad():
            z, log_det = affine(valid.x.flatten(1))
            yield -(log_normal(z) + log_det).mean().item()
