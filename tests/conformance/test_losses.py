"""The loss against the likelihood: what the cheapest mending change is called."""

import pytest
import torch

from pushforward.conformance.losses import _cause, _Sums
from pushforward.conformance.losses import loss_is_the_likelihood as asked
from pushforward.core.modality import Points
from pushforward.probability.baselines import Gaussian
from tests.conformance.planted import subject

TERMS = {"fit": torch.linspace(1, 9, 40).double(), "kl": torch.linspace(0, 2, 40).double() ** 2}
TRUE = TERMS["fit"] + TERMS["kl"]


@pytest.mark.parametrize(
    ("terms", "words"),
    [
        ({name: term / 5 for name, term in TERMS.items()}, "averaged over the 5 dimensions, not summed"),
        ({**TERMS, "kl": TERMS["kl"] / 5}, "the term 'kl' is averaged over the 5 dimensions"),
        ({**TERMS, "kl": 0.7 * TERMS["kl"]}, "a hidden constant: the term 'kl' has a factor of 0.7"),
        ({**TERMS, "fit": TERMS["fit"] - 3}, "a hidden constant: -3 nats are added to the loss"),
        ({name: 2 * term for name, term in TERMS.items()}, "the whole loss has a factor of 2"),
        ({"fit": TERMS["fit"], "kl": TERMS["kl"].flip(0)}, "nearest: "),
    ],
)
def test_the_change_is_named(terms, words):
    assert words in _cause(_Sums(terms, TRUE, torch.full((40,), 1e-3).double()), 5)


def test_a_likelihood_that_is_its_own_loss_holds():
    found = asked(subject(Gaussian(example=Points(dim=2))))
    assert found.outcome == "holds" and "(difference 0 ± 0)" in found.found
