r"""A distance of pictures in the features of a small classifier trained on the same pictures.

The classifier's maps :math:`f^{(s)}` at scales s = 1 .. S are put on the unit sphere at every place, and compared:

.. math:: d(x, \hat x) = \sum_s \frac{1}{H_s W_s} \sum_{h, w}
          \Big\lVert \frac{f^{(s)}_{hw}(x)}{\lVert f^{(s)}_{hw}(x) \rVert}
          - \frac{f^{(s)}_{hw}(\hat x)}{\lVert f^{(s)}_{hw}(\hat x) \rVert} \Big\rVert^2 \in [0, 4S].

A blurred edge costs little in squared pixels and much here, since it turns the features of an edge into others. This is
LPIPS with all weights of the channels one and without a network from elsewhere: a distance of any pictures is learned
from the pictures at hand, by telling their classes apart or, where there are none, by telling which of four quarter
turns was given to the square at the centre, which takes knowing what stands upright there.

Reference:
    Zhang et al. 2018, "The Unreasonable Effectiveness of Deep Features as a Perceptual Metric", eq. 1; Larsen et al.
    2016, "Autoencoding beyond pixels using a learned similarity metric"; Gidaris, Singh and Komodakis 2018,
    "Unsupervised Representation Learning by Predicting Image Rotations", section 2.
"""

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from pushforward.autoencoders.held import held
from pushforward.autoencoders.posteriors import widened
from pushforward.core.errors import InputError
from pushforward.nn.convnet import ConvEncoder

__all__ = ["Features", "central_square", "turned"]

#: Channels at half size, as of the classifier that samples are measured with.
WIDTH = 16

#: Added to squared lengths: features are of order one, and a place without any has no direction.
SHORTEST = 1e-6


class Features(nn.Module):
    """The classifier, and the distance in its maps.

    Args:
        shape: (channels, height, width) of a picture.
        classes: how many it tells apart; 0 for quarter turns.

    Raises:
        InputError: if there are no classes and pictures are one pixel wide or high, so that turns cannot be told.

    Example:
        >>> features, x = Features((1, 28, 28), 10), torch.rand(2, 1, 28, 28)
        >>> [tuple(part.shape) for part in features(x)], features.distance(x, x).tolist()
        ([(2, 16, 14, 14), (2, 32, 7, 7), (2, 64, 4, 4)], [0.0, 0.0])
    """

    def __init__(self, shape: tuple[int, ...], classes: int) -> None:
        super().__init__()
        self.turns = classes == 0
        channels, height, width = shape
        if self.turns:
            classes, side = 4, min(height, width)
            if side < 2:
                raise InputError(
                    f"perceptual: got pictures of {height} x {width} pixels without classes, "
                    "expected at least 2 x 2, whose turns can be told apart"
                )
            height, width = side, side
        self.body = ConvEncoder((channels, height, width), classes, width=WIDTH)

    def forward(
        self, x: Float[Tensor, "batch channels height width"]
    ) -> list[Float[Tensor, "batch width rows columns"]]:
        """The maps of x at every scale, each of length one at every place."""
        maps = [widened(part) for part in self.body.maps(x)[1::2]]
        return [part * (part.square().sum(1, keepdim=True) + SHORTEST).rsqrt() for part in maps]

    def distance(
        self, x: Float[Tensor, "batch channels height width"], y: Float[Tensor, "batch channels height width"]
    ) -> Float[Tensor, "batch"]:
        """d(x, y); the weights are constants here."""
        with torch.no_grad():
            target = self(x)
        pairs = zip(target, held(self, y), strict=True)
        return torch.stack([(a - b).square().sum(1).mean((1, 2)) for a, b in pairs]).sum(0)

    def label_loss(
        self,
        x: Float[Tensor, "batch channels height width"],
        label: Int[Tensor, "batch"],
        present: Bool[Tensor, "batch"],
    ) -> Float[Tensor, "batch"]:
        """-log p(label | x), and 0 for examples whose label is not known."""
        return F.cross_entropy(widened(self.body(x)), label, reduction="none") * present

    def turn_loss(
        self, x: Float[Tensor, "batch channels height width"], uniform: Float[Tensor, "batch"]
    ) -> Float[Tensor, "batch"]:
        """-log p(turn | turned x), the turn being the quarter of [0, 1) in which the uniform number lies."""
        quarter = (4 * uniform).long()
        return F.cross_entropy(widened(self.body(turned(central_square(x), quarter))), quarter, reduction="none")


def central_square(x: Float[Tensor, "batch channels height width"]) -> Float[Tensor, "batch channels side side"]:
    """The largest square at the centre.

    Example:
        >>> central_square(torch.arange(4.0).view(1, 1, 1, 4)).flatten().tolist()
        [1.0]
    """
    height, width = x.shape[2:]
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    return x[:, :, top : top + side, left : left + side]


def turned(
    x: Float[Tensor, "batch channels side side"], quarter: Int[Tensor, "batch"]
) -> Float[Tensor, "batch channels side side"]:
    """Each picture turned to the left by its number of right angles.

    Example:
        >>> turned(torch.tensor([[[[1, 2], [3, 4]]]]), torch.tensor([1])).tolist()
        [[[[2, 4], [1, 3]]]]
    """
    every = torch.stack([torch.rot90(x, k, (2, 3)) for k in range(4)])
    return every[quarter, torch.arange(len(x), device=x.device)]
