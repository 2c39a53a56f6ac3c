r"""Grey images as black and white ones: every pixel a bit that is 1 with the probability of its grey level.

With level l of L, numbered from 0,

.. math:: b \sim \mathrm{Bernoulli}\!\left(\frac{l}{L - 1}\right).

*Dynamic* binarisation draws new bits whenever a training example is seen, so that a model cannot learn one outcome of
the draw by heart; the bits it is judged on are drawn once. Log-likelihoods of MNIST are published for both this and
one fixed draw of the training bits, which give different numbers and must not be compared.

Reference:
    Salakhutdinov and Murray 2008, "On the Quantitative Analysis of Deep Belief Networks" (the bits); Burda,
    Grosse and Salakhutdinov 2016, "Importance Weighted Autoencoders", section 5 (drawn anew).
"""

import hashlib
from dataclasses import replace

import torch
from jaxtyping import Int
from torch import Tensor

from pushforward.core.data import Batch, Data, Rows, Split
from pushforward.core.errors import InputError
from pushforward.core.modality import Image
from pushforward.core.noise import Noise

__all__ = ["BITS_SEED", "Binarised", "binarise"]

#: The bits of validation and test are drawn from this seed, whatever the seed of the split: of two runs that are
#: compared, both are judged on the same ones.
BITS_SEED = 0

#: Images whose bits are drawn at a time: some ten megabytes of noise for images of 28 x 28.
CHUNK = 4096


class Binarised(Split):
    """Grey images whose bits are drawn anew for every update; looked up by index, they have the same bits every time.

    Args:
        grey: images in storage form, uint8.
        levels: how many values a pixel can take.
        seed: of the bits that stay.
        step: which of several splits this is, so that no two have the same noise.

    Example:
        >>> grey = Rows(torch.tensor([0, 100, 255], dtype=torch.uint8).view(1, 1, 1, 3))
        >>> split, row = Binarised(grey, levels=256), torch.zeros(1000, dtype=torch.int64)
        >>> split[row].x.float().mean(0).unique().tolist()
        [0.0, 1.0]
        >>> shares = split.fresh(row, Noise(0, rows=1000)).x.float().mean(0).flatten()  # 0, 100/255 and 1
        >>> [round(share, 1) for share in shares.tolist()]
        [0.0, 0.4, 1.0]
    """

    def __init__(self, grey: Rows, *, levels: int, seed: int = BITS_SEED, step: int = 0) -> None:
        self.grey, self.levels, self.seed, self.step = grey, levels, seed, step
        parts = grey.x.split(CHUNK)
        noises = (
            Noise(seed, step, rows=len(part), start=first)
            for part, first in zip(parts, range(0, len(grey), CHUNK), strict=True)
        )
        self.bits = torch.cat([self._draw(part, noise) for part, noise in zip(parts, noises, strict=True)])

    def __len__(self) -> int:
        return len(self.grey)

    def __getitem__(self, indices: Int[Tensor, "batch"]) -> Batch:
        return Batch(self.bits[indices], self.grey[indices].condition)

    def fresh(self, indices: Int[Tensor, "batch"], noise: Noise) -> Batch:
        x, condition = self.grey[indices]
        return Batch(self._draw(x, noise), condition)

    def digest(self) -> str:
        return hashlib.sha256(f"bits {self.levels} {self.seed} {self.step} {self.grey.digest()}".encode()).hexdigest()

    def _draw(self, grey: Tensor, noise: Noise) -> Tensor:
        """Bits with P(1) = level / (levels - 1): level 0 never gives one and the highest always, as 0 <= u < 1."""
        u = noise.uniform(*grey.shape[1:])
        return (u * (self.levels - 1) < grey).to(torch.uint8)


def binarise(data: Data) -> Data:
    """Grey images as dynamically binarised ones; labels and splits stay.

    Raises:
        InputError: if the data are not images held in memory.

    Example:
        >>> from pushforward.datasets.load import load_data
        >>> data = binarise(load_data("digits"))
        >>> data.example.levels, int(data.test.bits.max())
        (2, 1)
    """
    if not isinstance(data.example, Image):
        raise InputError(f"data: got {data.example.describe()}, only images can be binarised")
    splits = {}
    for step, name in enumerate(("train", "valid", "test")):
        grey = getattr(data, name)
        if not isinstance(grey, Rows):
            raise InputError(f"data: the {name} split is too large to be held in memory, as binarising it needs")
        splits[name] = Binarised(grey, levels=data.example.levels, step=step)
    said = f"a pixel is 1 with its grey level as probability, drawn anew for every update; held out: seed {BITS_SEED}"
    return replace(data, example=replace(data.example, levels=2), notes=(*data.notes, said), recipe=None, **splits)
