r"""A codebook: K vectors learned with the encoder, as moving averages of what they stand for or by gradient.

*Moving averages.* Where n of the N vectors of a step, with sum s, have code e as their nearest,

.. math:: u \leftarrow \gamma u + (1 - \gamma) \tfrac{n K}{N}, \qquad
          e \leftarrow e + \tfrac{1 - \gamma}{u} \tfrac{K}{N} (s - n e).

u is how often the code is used, as a multiple of the even share, and e is then the exponentially weighted mean of the
vectors it stood for: the usual pair of averages of counts and of sums, with the sum written as u e. This is k-means on
a stream; its fixed points are those of k-means.

*Gradient.* The loss has :math:`\lVert \mathrm{sg}(z) - e \rVert^2`, which pulls the code to the vectors.

Either way it has the *commitment* :math:`\beta \lVert z - \mathrm{sg}(e) \rVert^2`, which keeps the encoder near its
codes. The codes start at the means that k-means finds in the first batch. A code used less than a tenth of the even
share is dead: it is moved to a vector of the batch, drawn with probability proportional to its squared distance from
its code (as k-means++ picks its means), and its use u restarts at 1. Of moving averages there is no other statistic to
forget; with the gradient, what Adam remembers of a code's slope has faded while nobody used it.

Reference:
    van den Oord, Vinyals and Kavukcuoglu 2017, "Neural Discrete Representation Learning", eq. 3 and appendix A.1;
    Arthur and Vassilvitskii 2007, "k-means++", algorithm 1; Yu et al. 2022, "Vector-quantized Image Modeling with
    Improved VQGAN", section 3.1 (the cosine).
"""

from typing import Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from pushforward.autoencoders.quantizer import Pass, Quantized, Quantizer, passed
from pushforward.core.errors import InputError
from pushforward.core.noise import Noise
from pushforward.nn.processes import gathered, summed

__all__ = ["Codebook", "k_means", "nearest", "seeded_rows"]

#: A code with less than this share of the even use is dead. A tenth: with 60 uses for every code of a split on average
#: (the cats), a code at the limit is still used six times there.
DEAD = 0.1

#: Memory of the averages: about thirty steps, a few hundred vectors of each code where a batch is thousands. A code
#: that is used no more is dead after 76 steps, early enough to be moved several times in a training of a minute.
DECAY = 0.97

#: Passes of k-means over the first batch. The encoder moves on from there, so its last digits are of no use.
PASSES = 10

#: Vectors that k-means sees per code: more hardly move the means.
PER_CODE = 32


class Codebook(Quantizer):
    """K vectors; each vector becomes the nearest of them.

    Args:
        size: K.
        dim: length of a vector.
        update: "ema" by moving averages, "gradient" by the optimiser.
        gradient: how it passes, see ``quantizer.py``.
        cosine: whether vectors and codes are put on the unit sphere first, so that the nearest is by angle.
        commitment: beta.
        decay: gamma of the averages.
        start: "k-means" on the first batch, or "normal": standard normal, as they are.
        revive: whether dead codes are moved.

    Raises:
        InputError: if a number is out of range or a choice unknown.

    Example:
        >>> codebook = Codebook(4, 2, start="normal").eval()
        >>> with torch.no_grad():
        ...     _ = codebook.codes.copy_(torch.tensor([[0.0, 0], [0, 1], [1, 0], [1, 1]]))
        >>> codebook(torch.tensor([[0.9, 0.2]])).vectors.tolist()
        [[1.0, 0.0]]
    """

    codes: Tensor
    use: Tensor
    step: Tensor

    def __init__(
        self,
        size: int,
        dim: int,
        *,
        update: Literal["ema", "gradient"] = "ema",
        gradient: Pass = "straight-through",
        cosine: bool = False,
        commitment: float = 0.25,
        decay: float = DECAY,
        start: Literal["k-means", "normal"] = "k-means",
        revive: bool = True,
    ) -> None:
        super().__init__()
        for name, value in (("size", size), ("dim", dim)):
            if value < 1:
                raise InputError(f"{name}: got {value}, expected at least 1")
        if not 0 <= decay < 1:
            raise InputError(f"decay: got {decay}, expected a number from 0 to below 1")
        if not commitment >= 0:
            raise InputError(f"commitment: got {commitment}, expected at least 0")
        self.size, self.dim, self.count = size, dim, 1
        self.gradient: Pass = gradient
        self.cosine, self.commitment, self.decay = cosine, commitment, decay
        self.revive = revive
        codes = self._placed(torch.randn(size, dim))
        match update:
            case "ema":
                self.register_buffer("codes", codes)
            case "gradient":
                self.codes = nn.Parameter(codes)
            case _:
                raise InputError(f"update: got {update!r}, expected 'ema' or 'gradient'")
        if start not in ("k-means", "normal"):
            raise InputError(f"start: got {start!r}, expected 'k-means' or 'normal'")
        #: How often each code is used, as a multiple of the even share.
        self.register_buffer("use", torch.ones(size))
        #: Steps learned from; -1 until k-means has seen a batch.
        self.register_buffer("step", torch.tensor(-1 if start == "k-means" else 0))
        self._seen: list[tuple[Tensor, Tensor]] = []

    def forward(self, z: Float[Tensor, "n dim"]) -> Quantized:
        found = self.assign(z)
        return found._replace(vectors=passed(self._placed(z), found.vectors, self.gradient))

    def assign(self, z: Float[Tensor, "n dim"]) -> Quantized:
        """The nearest codes as they are: quantisers made of several codebooks pass the gradient themselves."""
        z = self._placed(z)
        if self.training and self.step < 0:
            self._begin(z.detach())
        index = nearest(z.detach(), self._placed(self.codes.detach()))  # an optimiser does not keep the lengths
        q = self._placed(F.embedding(index, self.codes))
        loss = self.commitment * (z - q.detach()).square().sum(-1)
        if isinstance(self.codes, nn.Parameter):
            loss = loss + (z.detach() - q).square().sum(-1)
        if self.training:
            self._seen.append((z.detach(), index))
        return Quantized(q.detach(), index[:, None], loss)

    def vectors(self, indices: Int[Tensor, "n 1"]) -> Float[Tensor, "n dim"]:
        return self._placed(F.embedding(indices[:, 0], self.codes.detach()))

    @torch.no_grad()
    def learn(self) -> None:
        if not self._seen:
            return
        z, index = (torch.cat(parts) for parts in zip(*self._seen, strict=True))
        z, self._seen = z.to(self.codes.dtype), []
        n = summed(torch.bincount(index, minlength=self.size).to(z.dtype))
        even = n.sum() / self.size
        self.use.lerp_(n / even, 1 - self.decay)
        if not isinstance(self.codes, nn.Parameter):
            s = summed(torch.zeros_like(self.codes).index_add_(0, index, z))
            # A code that was used now has u of at least (1 - gamma) n K / N; for the others s - n e is zero.
            rate = (1 - self.decay) / (self.use * even).clamp(min=torch.finfo(z.dtype).tiny)
            self.codes += rate[:, None] * (s - n[:, None] * self.codes)
            self.codes.copy_(self._placed(self.codes))
        self.step += 1
        if self.revive:
            self._revive(z, index)

    def _revive(self, z: Float[Tensor, "n dim"], index: Int[Tensor, "n"]) -> None:
        """Move dead codes to vectors that are badly served, and forget how little they were used."""
        dead = (self.use < DEAD).nonzero().squeeze(1)
        if len(dead) == 0:
            return
        misfit = gathered((z - self._placed(self.codes[index])).square().sum(1))
        chosen = seeded_rows(misfit, len(dead), step=int(self.step))
        dead = dead[: len(chosen)]
        self.codes[dead] = gathered(z)[chosen]
        self.use[dead] = 1.0

    @torch.no_grad()
    def _begin(self, z: Float[Tensor, "n dim"]) -> None:
        """Start at the means of the first batch."""
        means = k_means(gathered(z.to(self.codes.dtype)), self.size)
        self.codes[: len(means)] = self._placed(means)
        self.step.zero_()

    def _placed(self, z: Float[Tensor, "n dim"]) -> Float[Tensor, "n dim"]:
        """On the unit sphere, where angles are compared."""
        return F.normalize(z, dim=-1) if self.cosine else z


def nearest(z: Float[Tensor, "n dim"], codes: Float[Tensor, "size dim"]) -> Int[Tensor, "n"]:
    r"""The index of the nearest code.

    It is the one of the largest :math:`z^\top e - \tfrac{1}{2} \lVert e \rVert^2`: the square of z is the same for all.

    Example:
        >>> nearest(torch.tensor([[0.4], [2.9]]), torch.tensor([[0.0], [1.0], [3.0]])).tolist()
        [0, 2]
    """
    # In place: a fused product and sum copies the squares to every row first, which costs half as much again.
    with torch.autocast(z.device.type, enabled=False):  # products of 16 bits confuse codes that lie close together
        return (z.to(codes.dtype) @ codes.T).sub_(0.5 * codes.square().sum(1)).argmax(1)


def k_means(z: Float[Tensor, "n dim"], size: int) -> Float[Tensor, "means dim"]:
    """Means of clusters, started by k-means++ with a fixed stream of random numbers; at most as many as vectors.

    Example:
        >>> z = torch.tensor([[0.0], [0.2], [5.0], [5.2]])
        >>> sorted(round(float(mean), 4) for mean in k_means(z, 2))
        [0.1, 5.1]
    """
    most = size * PER_CODE
    if len(z) > most:
        z = z[torch.arange(most, device=z.device) * len(z) // most]
    size = min(size, len(z))
    uniform = Noise(0, rows=1).uniform(size).double()[0]
    means = torch.empty(size, z.shape[1], dtype=z.dtype, device=z.device)
    far = torch.full((len(z),), torch.inf, dtype=z.dtype, device=z.device)
    for k in range(size):
        weight = torch.ones_like(far) if k == 0 else far
        below = weight.double().cumsum(0)
        means[k] = z[torch.searchsorted(below, uniform[k].to(below) * below[-1]).clamp(max=len(z) - 1)]
        far = torch.minimum(far, (z - means[k]).square().sum(1))
    for _ in range(PASSES):
        index = nearest(z, means)
        n = torch.bincount(index, minlength=size).to(z.dtype)[:, None]
        s = torch.zeros_like(means).index_add_(0, index, z)
        means = torch.where(n > 0, s / n.clamp(min=1), means)
    return means


def seeded_rows(weight: Float[Tensor, "n"], count: int, *, step: int) -> Int[Tensor, "rows"]:
    r"""Rows drawn without replacement in proportion to their weight: the largest of :math:`\ln w - \ln(-\ln u)`.

    The uniforms u are those of ``step``, so that a run that was stopped, or that is spread over processes, draws the
    same. A row of weight 0 is never drawn.

    Reference:
        Kool, van Hoof and Welling 2019, "Stochastic Beams and Where to Find Them", section 2.3 (Gumbel-top-k).

    Example:
        >>> sorted(seeded_rows(torch.tensor([0.0, 1.0, 2.0, 0.0]), 3, step=1).tolist())
        [1, 2]
    """
    uniform = Noise(0, step, rows=1).uniform(len(weight)).double()[0].to(weight.device)
    # The uniforms are multiples of 2**-24; half a step keeps them off 0.
    keys = weight.double().log() - (-(uniform + 2.0**-25).log()).log()
    return keys.topk(min(count, int((weight > 0).sum()))).indices
