r"""Examples without their label: the label is summed over, so that they teach the model what the classes look like.

With a prior :math:`\pi` over labels and a loss :math:`\ell_y` (minus a bound on log p(x | y)) for every label,

.. math:: -\log \sum_y \pi_y e^{-\ell_y} = \sum_y \rho_y \ell_y + \mathrm{KL}(\rho \,\|\, \pi), \qquad
          \rho_y \propto \pi_y e^{-\ell_y}

is minus a bound on log p(x). The right-hand side is the loss of an unlabelled example in Kingma et al. 2014,
"Semi-supervised Learning with Deep Generative Models", eq. 7, with the best :math:`q(y \mid x) = \rho` there is in
place of a network: the classifier is the generative model read backwards, by Bayes' rule.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from jaxtyping import Bool, Float, Int, Shaped
from torch import Tensor, nn

from pushforward.core.capabilities import HasDensity
from pushforward.core.data import Condition
from pushforward.core.errors import InputError
from pushforward.core.modality import Label
from pushforward.core.noise import Noise

__all__ = ["LabelPrior", "as_condition", "class_posterior", "sum_over_labels", "unlabelled_last"]


def as_condition(labels: Int[Tensor, "rows"]) -> Condition:
    """Labels as a condition that every row has."""
    return Condition(labels, torch.ones_like(labels, dtype=torch.bool))


def unlabelled_last(condition: Condition, classes: int) -> tuple[Int[Tensor, "rows"], Condition]:
    """Indices of the labelled examples, then those of the others ``classes`` times each, with a label for every row.

    Example:
        >>> rows, c = unlabelled_last(Condition(torch.tensor([0, 1]), torch.tensor([False, True])), 2)
        >>> rows.tolist(), c.value.tolist()
        ([1, 0, 0], [1, 0, 1])
    """
    known, unknown = (part.nonzero()[:, 0] for part in (condition.present, ~condition.present))
    every = torch.arange(classes, device=known.device).repeat(len(unknown))
    rows = torch.cat((known, unknown.repeat_interleave(classes)))
    return rows, as_condition(torch.cat((condition.value[known], every)))


def sum_over_labels(
    terms: Mapping[str, Float[Tensor, "rows"]], log_prior: Float[Tensor, "classes"], present: Bool[Tensor, "batch"]
) -> dict[str, Float[Tensor, "batch"]]:
    """Terms of the rows of ``unlabelled_last`` as terms of the batch, with one more, "label", for KL(rho | pi).

    Example:
        >>> terms = {"bound": torch.tensor([1.0, 1.0])}  # one example, which either label explains as well
        >>> found = sum_over_labels(terms, torch.tensor([0.5, 0.5]).log(), torch.tensor([False]))
        >>> found["bound"].item(), found["label"].item()
        (1.0, 0.0)
    """
    known, classes = int(present.sum()), len(log_prior)
    loss = torch.stack(list(terms.values())).sum(0)[known:].view(-1, classes)
    log_share = (log_prior - loss).log_softmax(1)
    share = log_share.exp()
    divergence = (share * (log_share - log_prior)).sum(1)
    found = {}
    for name, term in terms.items():
        found[name] = _placed(term[:known], (share * term[known:].view(-1, classes)).sum(1), present)
    return {**found, "label": _placed(loss.new_zeros(known), divergence, present)}


class LabelPrior(nn.Module):
    """The prior over labels, and what is known of the label of each example before it is seen.

    It starts at the shares that the labels have among the labelled training examples; those without one teach it more.

    Args:
        classes: how many labels there are.

    Example:
        >>> labels = LabelPrior(2)
        >>> labels.log_prob(Condition(torch.tensor([0, 1]), torch.tensor([False, True])), 2).exp().tolist()
        [[0.5, 0.5], [0.0, 1.0]]
    """

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.logits = nn.Parameter(torch.zeros(classes))

    @torch.no_grad()
    def start_(self, condition: Condition) -> None:
        """Take the shares of the labels that are there, each counted half once more, so that none is impossible."""
        counts = condition.value[condition.present].bincount(minlength=len(self.logits)) + 0.5
        self.logits.copy_((counts / counts.sum()).log())

    def log_prob(self, condition: Condition | None, n: int) -> Float[Tensor, "n classes"]:
        """The logarithm of pi for each of n examples; of a known label, 0 for it and minus infinity elsewhere."""
        log_prior = self.logits.log_softmax(0).expand(n, -1)
        if condition is None:
            return log_prior
        labels = torch.arange(len(self.logits), device=log_prior.device)
        known = torch.where(labels == condition.value[:, None], 0.0, -math.inf).to(log_prior.dtype)
        return torch.where(condition.present[:, None], known, log_prior)

    def each(self, n: int) -> list[Condition]:
        """For every label the condition of n examples that have it."""
        return [as_condition(label.expand(n)) for label in torch.arange(len(self.logits), device=self.logits.device)]

    def draw(self, condition: Condition | None, n: int, noise: Noise) -> Condition:
        """Known labels, and draws from pi in place of the others."""
        below = self.log_prob(condition, n).exp().cumsum(1)
        chosen = (below <= noise.uniform(1, like=below)).sum(1)
        return as_condition(chosen.clamp(max=len(self.logits) - 1))


def class_posterior(
    model: HasDensity, x: Shaped[Tensor, "batch *shape"], *, samples: int = 1, seed: int = 0
) -> Float[Tensor, "batch classes"]:
    r"""log p(c | x) of storage examples under a model of p(x | c), by Bayes' rule: a classifier for nothing.

    Classes are equally likely beforehand, unless the model has learned a prior over them.

    Args:
        model: conditioned on class labels.
        x: storage examples.
        samples: draws for each log p(x | c).
        seed: of their noise.

    Raises:
        InputError: if the condition is not a class label.
    """
    if not isinstance(model.condition, Label):
        raise InputError(f"model: this {type(model).__name__} has no class label as condition, expected one that has")
    scores = [model.log_prob(x, c, samples=samples, seed=seed) for c in range(model.condition.size)]
    labels = getattr(model, "labels", None)
    prior = labels.log_prob(None, len(x)).detach().double().cpu() if isinstance(labels, LabelPrior) else 0.0
    return (torch.stack(scores, 1) + prior).log_softmax(1)


def _placed(known: Tensor, unknown: Tensor, present: Tensor) -> Tensor:
    """Numbers of labelled and unlabelled examples in the order of the batch."""
    order = torch.cat((present.nonzero()[:, 0], (~present).nonzero()[:, 0]))
    return torch.cat((known, unknown))[order.argsort()]
