r"""A critic of patches: tells pictures from their reconstructions by small pieces of them.

D(x) is a map of log-odds, one for each of P overlapping patches, that this piece is of a picture and not of a
reconstruction :math:`\hat x`. With :math:`\mathrm{sp}(a) = \log(1 + e^a)` and means over the patches,

.. math::

    L_D &= \tfrac{1}{P} \sum_p \big[\mathrm{sp}(-D_p(x)) + \mathrm{sp}(D_p(\hat x))\big]
           + \tfrac{\gamma}{2P} \Big\lVert \nabla_x \sum_p D_p(x) \Big\rVert^2

    L_G &= \tfrac{1}{P} \sum_p \mathrm{sp}(-D_p(\hat x)),

the second for those who made the reconstruction. This is the logistic loss with its non-saturating half (Goodfellow et
al. 2014, section 3), not the hinge: at its best D is the log-ratio of the two densities of patches, a number with a
meaning and a known answer. A critic of patches judges texture and sharpness and leaves the layout, which the codes
hold, to the likelihood (Isola et al. 2017, section 3.2.2).

The last term of :math:`L_D` is the R1 penalty (Mescheder et al. 2018, eq. 9) on the slope of a patch: were the patches
side by side, it would be :math:`\gamma / 2` times the mean of their squared slopes.

Reference:
    Esser, Rombach and Ommer 2021, "Taming Transformers for High-Resolution Image Synthesis", section 3.1; Isola et al.
    2017, "Image-to-Image Translation with Conditional Adversarial Networks"; Mescheder, Geiger and Nowozin 2018,
    "Which Training Methods for GANs do actually Converge?".
"""

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from pushforward.autoencoders.held import held
from pushforward.autoencoders.posteriors import widened
from pushforward.nn.convnet import Halving, halvings

__all__ = ["PatchCritic"]

#: Channels of the first convolution, as many as a default autoencoder has at half size.
WIDTH = 32

#: Halvings at most: a patch is then 15 pixels a side, which are texture and edges rather than objects.
STEPS = 2

#: Weight of R1, far below the 10 of Mescheder et al. (2018): a critic that is too flat sees no fine detail. With 1, on
#: photographs of 32 x 32 pixels, its odds stayed at even for hundreds of steps, however blurred the reconstructions.
GAMMA = 0.05


class PatchCritic(nn.Module):
    """Convolutions from a picture to the log-odds of its patches, without normalisation.

    A norm of the picture would let one patch be judged by the others.

    Args:
        shape: (channels, height, width) of a picture.

    Example:
        >>> PatchCritic((3, 32, 32))(torch.zeros(2, 3, 32, 32)).shape
        torch.Size([2, 8, 8])
    """

    def __init__(self, shape: tuple[int, ...]) -> None:
        super().__init__()
        channels, height, width = shape
        size = (height, width)
        steps = halvings(size)[:STEPS] or [Halving((1, 1), size)]
        layers: list[nn.Module] = []
        for level, step in enumerate(steps):
            layers += [nn.Conv2d(channels, WIDTH * 2**level, 3, step.stride, padding=1), nn.LeakyReLU(0.2)]
            channels = WIDTH * 2**level
        layers += [nn.Conv2d(channels, channels, 3, padding=1), nn.LeakyReLU(0.2), nn.Conv2d(channels, 1, 1)]
        self.layers = nn.Sequential(*layers)

    def forward(self, x: Float[Tensor, "batch channels height width"]) -> Float[Tensor, "batch rows columns"]:
        return widened(self.layers(x))[:, 0]

    def terms(
        self, real: Float[Tensor, "batch channels height width"], fake: Float[Tensor, "batch channels height width"]
    ) -> dict[str, Float[Tensor, "batch"]]:
        """L_D: what it learns from pictures and their reconstructions, neither of which learns from it."""
        real = real.detach().requires_grad_()
        odds = self(real)
        (slope,) = torch.autograd.grad(odds.sum(), real, create_graph=True)
        patches = odds[0].numel()
        return {
            "real": F.softplus(-odds).mean((1, 2)),
            "fake": F.softplus(self(fake.detach())).mean((1, 2)),
            "r1": 0.5 * GAMMA / patches * widened(slope).square().flatten(1).sum(1),
        }

    def unconvinced(self, fake: Float[Tensor, "batch channels height width"]) -> Float[Tensor, "batch"]:
        """L_G: nats by which it does not take the patches for those of a picture; its weights are constants here."""
        return F.softplus(-held(self, fake)).mean((1, 2))
