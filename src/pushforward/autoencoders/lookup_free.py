r"""Quantisers without a codebook: the codes are a grid that is written down, so none of them can die.

Vectors that lie in one corner of the grid would still leave most of it unused. So they are *whitened* first, with
running averages of their mean m and covariance :math:`C = A A^\top`, which plays the part of the k-means start and of
revival: :math:`z \leftarrow A^{-1} (z - m)` has entries of unit variance that tell nothing of each other.

*Finite scalar* (FSQ). Entry i is squashed and rounded to one of :math:`L_i` levels, evenly spaced on [-1, 1]:

.. math:: y_i = \tanh z_i, \qquad m_i = \mathrm{round}\Big(\frac{L_i - 1}{2} (y_i + 1)\Big), \qquad
          q_i = \frac{2 m_i}{L_i - 1} - 1,

and the index is the number whose digits are the m, in the mixed base L: :math:`\prod_i L_i` codes.

*Lookup-free* (LFQ). Two levels: :math:`q_i = \operatorname{sign} z_i`, the bits of the index. Here the encoder has to
be told to use all codes and to be sure of each: with :math:`p(q \mid z) = \prod_i \sigma(4 q_i z_i)` (the softmax
of minus squared distances) and averages over the batch,

.. math:: \text{loss} = \beta \lVert z - \mathrm{sg}(q) \rVert^2
          + \lambda \big( \mathbb{E}\, H[p(q \mid z)] - H[\mathbb{E}\, p(q \mid z)] \big).

Reference:
    Mentzer et al. 2024, "Finite Scalar Quantization: VQ-VAE Made Simple", section 3; Yu et al. 2024, "Language Model
    Beats Diffusion: Tokenizer is Key to Visual Generation", eq. 3 to 5.
"""

import math
from typing import ClassVar

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from pushforward.autoencoders.quantizer import Quantized, Quantizer
from pushforward.core.errors import InputError
from pushforward.nn.processes import summed

__all__ = ["FiniteScalar", "LookupFree", "Whitening", "even_levels"]

#: Memory of the running averages: about thirty steps, as of a codebook.
DECAY = 0.97

#: Steps between two looks. Averages over thirty steps lose little by seeing every eighth batch, which has hundreds of
#: vectors for each of a few dozen covariances, and the whitening then costs next to nothing.
EVERY = 8

#: The least variance of a direction, relative to the average one and absolutely: what varies less is rounding.
FLAT, STILL = 1e-4, 1e-8

#: Bits whose joint distribution is averaged exactly, 512 numbers a vector; more bits are taken in groups of as many.
JOINT_BITS = 9

#: Levels about which an entry of a finite scalar quantiser has: fewer than 5 lose quality (Mentzer et al. 2024,
#: section 4.1), and 8 x 8 x 8 is their choice for 512 codes.
USUAL_LEVELS = 8


class Whitening(nn.Module):
    """Vectors to zero mean and unit covariance, by running averages that start at the first batch.

    Args:
        dim: length of the vectors.

    Example:
        >>> z = torch.randn(1000, 2) @ torch.tensor([[3.0, 1.0], [0.0, 1.0]]) + 5
        >>> bool((Whitening(2)(z).T.cov() - torch.eye(2)).abs().max() < 0.01)
        True
    """

    mean: Tensor
    covariance: Tensor
    inverse: Tensor
    step: Tensor

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(dim))
        self.register_buffer("covariance", torch.eye(dim))
        self.register_buffer("inverse", torch.eye(dim))  # of the Cholesky factor, which turns as little as it can
        #: Steps since the first batch; -1 before it.
        self.register_buffer("step", torch.tensor(-1))
        self._seen: list[Tensor] = []

    def forward(self, z: Float[Tensor, "n dim"]) -> Float[Tensor, "n dim"]:
        """Whitened vectors; in training mode they are kept for ``learn``, and the first ones start the averages."""
        if self.training:
            if int(self.step) < 0:
                self._take(z.detach(), keep=0.0)
                self.step.zero_()
            self._seen.append(z.detach())
        # An entry at a time, not a vector at a time: with few entries this product is several times faster, and so is
        # all that follows, which keeps the layout.
        return (self.inverse @ (z - self.mean).T).T

    def learn(self) -> None:
        """After a step: every eighth time, take its vectors into the averages."""
        if not self._seen:
            return
        self.step += 1
        if int(self.step) % EVERY == 0:
            self._take(torch.cat(self._seen), keep=DECAY**EVERY)
        self._seen = []

    @torch.no_grad()
    def _take(self, z: Float[Tensor, "n dim"], *, keep: float) -> None:
        z = z.to(self.mean.dtype).T
        n = summed(z.new_tensor(float(z.shape[1])))
        mean = summed(z.sum(1)) / n
        apart = z - mean[:, None]
        covariance = summed(apart @ apart.T) / n
        self.mean.lerp_(mean, 1 - keep)
        self.covariance.lerp_(covariance, 1 - keep)
        c = self.covariance.double()  # a few numbers, of which the factor wants every digit
        identity = torch.eye(len(c), dtype=c.dtype, device=c.device)
        root = torch.linalg.cholesky(c + (FLAT * c.diagonal().mean() + STILL) * identity)
        self.inverse.copy_(torch.linalg.solve_triangular(root, identity, upper=False))


class FiniteScalar(Quantizer):
    """Every entry rounded to one of its levels.

    Args:
        levels: how many each entry has, at least 2.

    Raises:
        InputError: if there are none, or one has less than two.

    Example:
        >>> fsq = FiniteScalar((3, 2)).eval()
        >>> found = fsq(torch.tensor([[0.1, 4.0]]))
        >>> found.vectors.tolist(), found.indices.tolist()
        ([[0.0, 1.0]], [[4]])
    """

    top: Tensor
    base: Tensor

    def __init__(self, levels: tuple[int, ...]) -> None:
        super().__init__()
        if not levels or min(levels) < 2:
            raise InputError(f"levels: got {levels}, expected at least one number, each at least 2")
        self.dim, self.size, self.count = len(levels), math.prod(levels), 1
        self.whiten = Whitening(self.dim)
        counts = torch.tensor(levels)
        self.register_buffer("top", counts - 1, persistent=False)
        self.register_buffer("base", torch.cat([counts.new_ones(1), counts[:-1].cumprod(0)]), persistent=False)

    def forward(self, z: Float[Tensor, "n dim"]) -> Quantized:
        y = self.whiten(z).tanh()
        with torch.no_grad():
            half = 0.5 * self.top.to(y.dtype)
            m = torch.addcmul(half, half, y).round_()
            index = (m.long() * self.base).sum(1, keepdim=True)
            rounding = m.div_(half).sub_(1).sub_(y)
        return Quantized(y + rounding, index, z.new_zeros(len(z)))

    def vectors(self, indices: Int[Tensor, "n 1"]) -> Float[Tensor, "n dim"]:
        m = indices // self.base % (self.top + 1)
        return m * (2 / self.top) - 1

    def learn(self) -> None:
        self.whiten.learn()


class LookupFree(Quantizer):
    """Every entry becomes its sign: 2^dim codes.

    Args:
        dim: how many bits.
        commitment: beta.
        entropy: lambda; in a finite batch its estimate is the loss of the whole batch, the same for every vector.

    Raises:
        InputError: if a number is out of range.

    Example:
        >>> found = LookupFree(3).eval()(torch.tensor([[0.5, -2.0, 1.0]]))
        >>> found.vectors.tolist(), found.indices.tolist()
        ([[1.0, -1.0, 1.0]], [[5]])
    """

    couples_batch: ClassVar[bool] = True

    base: Tensor

    def __init__(self, dim: int, *, commitment: float = 0.25, entropy: float = 1.0) -> None:
        super().__init__()
        if not 1 <= dim <= 30:
            raise InputError(f"dim: got {dim}, expected 1 to 30 bits")
        for name, value in (("commitment", commitment), ("entropy", entropy)):
            if not value >= 0:
                raise InputError(f"{name}: got {value}, expected at least 0")
        self.dim, self.size, self.count = dim, 2**dim, 1
        self.commitment, self.entropy = commitment, entropy
        self.whiten = Whitening(dim)
        self.register_buffer("base", 2 ** torch.arange(dim), persistent=False)

    def forward(self, z: Float[Tensor, "n dim"]) -> Quantized:
        z = self.whiten(z)
        ones = z.detach() > 0
        q = 2.0 * ones.to(z.dtype) - 1
        loss = self.commitment * (z - q).square().sum(1)
        if self.entropy and self.training:  # a cost of learning alone, and most of the time
            loss = loss + self.entropy * (each_entropy(4 * z) - mean_entropy(4 * z))
        return Quantized(z + (q - z).detach(), (ones * self.base).sum(1, keepdim=True), loss)

    def vectors(self, indices: Int[Tensor, "n 1"]) -> Float[Tensor, "n dim"]:
        return 2.0 * (indices // self.base % 2).to(torch.get_default_dtype()) - 1

    def learn(self) -> None:
        self.whiten.learn()


def each_entropy(logits: Float[Tensor, "n bits"]) -> Float[Tensor, "n"]:
    """H[p(q | z)] of each vector in nats: a sum over independent bits.

    Example:
        >>> round(each_entropy(torch.zeros(1, 3)).item() / math.log(2), 5)
        3.0
    """
    p = logits.sigmoid()
    # H = -p log p - (1 - p) log(1 - p), with log p = -softplus(-l) and log(1 - p) = -softplus(l)
    h = p * F.softplus(-logits) + (1 - p) * F.softplus(logits)
    return h.sum(1)


def mean_entropy(logits: Float[Tensor, "n bits"]) -> Float[Tensor, ""]:
    """H[E p(q | z)] in nats; over more than nine bits, the sum over groups of nine, which is no less.

    Example:
        >>> round(mean_entropy(torch.tensor([[9.0, 9.0], [-9.0, -9.0]])).item() / math.log(2), 2)
        1.0
    """
    total = logits.new_zeros(())
    for bits in logits.sigmoid().split(JOINT_BITS, 1):
        joint = torch.ones_like(bits[:, :1])
        for p in bits.T[:, :, None]:
            joint = torch.cat([joint * (1 - p), joint * p], 1)
        mean = joint.mean(0)
        total = total - torch.xlogy(mean, mean).sum()
    return total


def even_levels(codes: int) -> tuple[int, ...]:
    """Levels, about eight and nearly equal, whose product comes up to ``codes``, or as near below it as such can.

    Raises:
        InputError: for fewer than two codes.

    Example:
        >>> even_levels(512), even_levels(1000), even_levels(100), even_levels(2)
        ((8, 8, 8), (10, 10, 10), (10, 10), (2,))
    """
    if codes < 2:
        raise InputError(f"codes: got {codes}, expected at least 2")
    count = max(round(math.log(codes) / math.log(USUAL_LEVELS)), 1)
    levels = [max(int(round(codes ** (1 / count), 9)), 2)] * count
    for i in range(count):
        if math.prod(levels) // levels[i] * (levels[i] + 1) <= codes:
            levels[i] += 1
    return tuple(levels)
