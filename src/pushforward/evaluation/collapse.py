r"""Is the code used? What a latent-variable model tells about an example through z, in nats, unit by unit.

With q(z | x) the posterior, p(z) the prior and :math:`q(z) = \mathbb{E}_x\, q(z \mid x)` the aggregate posterior, what
the bound pays for the code falls into two parts (Hoffman and Johnson 2016):

.. math:: \mathbb{E}_x\, \mathrm{KL}(q(z \mid x) \,\|\, p(z)) = I(x; z) + \mathrm{KL}(q(z) \,\|\, p(z)),

what z says about x, and how far the codes of data lie from where samples are drawn. Posterior collapse is I near 0: the
decoder has learned to do without z. Over N examples, with one z drawn for each,

.. math:: \hat q(z) = \tfrac1N \sum_b q(z \mid x_b), \quad
          \hat I = \tfrac1N \sum_m \log \frac{q(z_m \mid x_m)}{\hat q(z_m)} \le \log N, \quad
          \widehat{\mathrm{KL}} = \tfrac1N \sum_m \log \frac{\hat q(z_m)}{p(z_m)}.

In expectation the first is a lower bound of I (it is the InfoNCE bound of Poole et al. 2019 with the best critic), the
second an upper bound of the mismatch, both the better the smaller I is beside log N: exact where a collapse is near.

A unit is *active* where the mean of its posterior moves with x, variance above 0.01 (Burda et al. 2016, section 4.2);
or where it carries more than 0.05 nats. The second is the stricter one: a mean that moves by a tenth of the deviation
of the prior is worth 0.005 nats. Under a prior whose units depend on each other (a mixture, a flow) nats belong to all
of them together, and units can be counted by their means alone.

For discrete codes, what counts is how many codes are used and how evenly (``autoencoders/code_use.py``).

Reference:
    Hoffman and Johnson 2016, "ELBO surgery"; Burda, Grosse and Salakhutdinov 2016; Poole et al. 2019, eq. 12.
"""

import math
from dataclasses import dataclass

from pushforward.autoencoders.annealing import RISE
from pushforward.autoencoders.code_use import code_use
from pushforward.autoencoders.vae_checks import has_effect
from pushforward.core.capabilities import SCORING, HasCodebook, HasPosterior
from pushforward.core.data import Batch, Rows, Split
from pushforward.core.errors import InputError
from pushforward.core.model import Model
from pushforward.core.noise import Noise
from pushforward.evaluation.collapse_words import advice
from pushforward.training.watch import Observation

__all__ = ["LatentUse", "latent_use", "observe"]

#: Examples looked at: the matrix of N^2 log-densities stays cheap, and log N = 5.5 nats is far above a collapse.
ROWS = 256

#: Examples whose discrete codes are counted: each has many places, so a thousand fill the largest codebooks.
CODE_ROWS = 1024

#: Variance of the posterior mean from which on a unit is active (Burda et al. 2016).
ACTIVE_VARIANCE = 0.01

#: Nats from which on a unit is active: a fourteenth of a bit.
ACTIVE_KL = 0.05

#: Below one bit a code does not even tell two halves of the data apart.
ONE_BIT = math.log(2)

#: Units a picture or a line of the metrics shows one by one.
SHOWN = 256


@dataclass(frozen=True)
class LatentUse:
    """How a model with a posterior uses its code, on average over held-out examples.

    Args:
        kl: nats per unit, E KL(q(z_j | x) || p(z_j)); one number for all units together where those of the prior are
            not independent.
        variance: of the posterior mean of every unit over the examples.
        information: I(x; z) in nats, at most the logarithm of ``rows``.
        mismatch: KL(q(z) || p(z)) in nats.
        needed: the fewer of units and numbers in an example: more units than these no model needs.
        rows: examples looked at.
    """

    kl: tuple[float, ...]
    variance: tuple[float, ...]
    information: float
    mismatch: float
    needed: int
    rows: int

    @property
    def units(self) -> int:
        """How many the code has."""
        return len(self.variance)

    @property
    def joint(self) -> bool:
        """Whether nats are known of all units together only."""
        return len(self.kl) != self.units

    @property
    def active(self) -> int:
        """Units whose posterior mean moves with x."""
        return sum(v > ACTIVE_VARIANCE for v in self.variance)

    @property
    def active_by_kl(self) -> int:
        """Units that carry nats; where these are known of all units together only, those whose mean moves."""
        return self.active if self.joint else sum(v > ACTIVE_KL for v in self.kl)

    @property
    def collapsed(self) -> bool:
        """Whether the code says less than one bit, or one unit of sixteen carries it all.

        A model with more units than its data has directions leaves most of them idle, and rightly so: the second
        condition therefore asks for few units of a few, not for a share of all.
        """
        return self.information < ONE_BIT or self.active_by_kl < min(self.needed, 16) / 8

    def __str__(self) -> str:
        """For people."""
        nats = f"{sum(self.kl):.2f} nats per example"
        do = f"have a mean that moves with the example, all together carry {nats}" if self.joint else f"carry {nats}"
        return (
            f"{self.active_by_kl} of {self.units} units {do}; "
            f"I(x; z) is {self.information:.2f} or more, KL(q(z) || p(z)) {self.mismatch:.2f} or less"
        )


def latent_use(model: HasPosterior, split: Split, *, rows: int = ROWS, seed: int = 0) -> LatentUse:
    """How a model uses its code, on at most ``rows`` examples of ``split``, with noise fixed by ``seed``.

    Raises:
        InputError: if the split has fewer than two examples.
    """
    x, condition = _encoded(model, split, rows, seed)
    noise = Noise(seed, SCORING + 1, rows=len(x))
    with model.at_rest():
        kl = model.kl_each(x, condition, noise=noise).double().mean(0)
        means = model.infer(x, condition).flatten(1).double()
        z = model.sample_code(x, condition, noise=noise)
        log_pairs = model.log_posterior(z, x, condition).double()
        log_prior = model.log_prior(z, condition).double()
    log_aggregate = log_pairs.logsumexp(1) - math.log(len(x))
    return LatentUse(
        kl=tuple(kl.tolist()),
        variance=tuple(means.var(0).tolist()),
        information=float((log_pairs.diagonal() - log_aggregate).mean()),
        mismatch=float((log_aggregate - log_prior).mean()),
        needed=min(means.shape[1], math.prod(model.shape)),
        rows=len(x),
    )


def observe(model: Model, split: Split) -> Observation | None:
    """What the loop records of a model's latent space at a validation; None for a model without a code of this kind.

    Example:
        >>> import torch
        >>> from pushforward.core.data import Rows
        >>> from pushforward.core.modality import Points
        >>> from pushforward.probability.baselines import Gaussian
        >>> observe(Gaussian(example=Points(dim=1)), Rows(torch.zeros(8, 1).double())) is None
        True
    """
    if len(split) < 2:
        return None
    if isinstance(model, HasCodebook):
        return _of_codebook(model, split)
    if isinstance(model, HasPosterior):
        use = latent_use(model, split)
        record = {
            "rows": use.rows,
            "units": use.units,
            "active": use.active,
            "active_by_kl": use.active_by_kl,
            "kl": sum(use.kl),
            "joint": use.joint,
            "information": use.information,
            "mismatch": use.mismatch,
            "kl_each": [] if use.joint or use.units > SHOWN else [round(v, 4) for v in use.kl],
        }
        said = advice(model, str(use)) if use.collapsed else ""
        settling = getattr(model, "warm_up", 0.0) if has_effect(model, "warm_up") else RISE
        return Observation(record, use.collapsed, said, settling=settling)
    return None


def _of_codebook(model: HasCodebook, split: Split) -> Observation:
    """A collapse: less than half of the codes occur that would if all were equally likely, 1 - (1 - 1/K)^n of them."""
    x, condition = split.spread(CODE_ROWS)
    given = () if condition is None or model.condition is None else (condition.value, condition.present)
    use = code_use(model, Rows(x, *given))
    used, perplexity = float(use.share.mean()), float(use.perplexity.mean())
    expected = 1 - (1 - 1 / model.codebook_size) ** int(use.counts[0].sum())
    said = f"{100 * used:.0f} % of the {model.codebook_size:,} codes occur, perplexity {perplexity:.3g}"
    collapsed = used < 0.5 * expected
    record = {"used": used, "perplexity": perplexity, "codes": model.codebook_size, "quantisers": len(use.counts)}
    return Observation(record, collapsed, advice(model, said) if collapsed else "")


def _encoded(model: Model, split: Split, rows: int, seed: int) -> Batch:
    """Evenly spaced examples in model units."""
    if len(split) < 2:
        raise InputError(f"split: got {len(split)} examples, expected at least 2")
    batch = split.spread(rows).to(model.device)
    x, _ = model.fitted.encode(batch.x, noise=Noise(seed, SCORING, rows=len(batch.x)), dtype=model.dtype)
    return Batch(x, None if model.condition is None else batch.condition)
