"""Labels that are missing: the sum over them, and a classifier learned from few."""

import math

import torch

from pushforward.autoencoders.labels import LabelPrior, class_posterior, sum_over_labels, unlabelled_last
from pushforward.autoencoders.vae import VAE
from pushforward.core.data import Batch, Condition
from pushforward.core.modality import Label, Points
from pushforward.core.noise import Noise
from pushforward.flows.maf import MAF

LABEL = Label(names=("left", "right"))


def test_the_terms_of_an_unlabelled_example_sum_to_the_loss_of_its_mixture():
    given = Condition(torch.tensor([1, 0, 0]), torch.tensor([False, True, False]))
    rows, labels = unlabelled_last(given, 2)
    assert rows.tolist() == [1, 0, 0, 2, 2] and labels.value.tolist() == [0, 0, 1, 0, 1]
    terms = {"reconstruction": torch.randn(5).double(), "kl": torch.rand(5).double()}
    log_prior = torch.tensor([0.3, 0.7]).double().log()
    found = sum_over_labels(terms, log_prior, given.present)
    loss = sum(terms.values())
    known = [-(log_prior - loss[1:3]).logsumexp(0), loss[0], -(log_prior - loss[3:5]).logsumexp(0)]
    assert torch.allclose(sum(found.values()), torch.stack(known))
    assert found["label"][1] == 0 and (found["label"][[0, 2]] > 0).all()


def test_unlabelled_examples_are_drawn_and_scored_as_the_mixture_of_the_classes():
    torch.manual_seed(0)
    vae = VAE(example=Points(dim=2), condition=LABEL, latent_dim=1, width=8, absent="marginal").double()
    with torch.no_grad():
        vae.labels.logits.copy_(torch.tensor([math.log(3.0), 0.0]))
    x = torch.randn(6, 2).double()
    each = torch.stack([vae.log_prob(x, c, samples=3) for c in (0, 1)], 1)
    one = torch.stack([vae.log_prob(x, c) for c in (0, 1)], 1) + torch.tensor([0.75, 0.25]).log()
    assert torch.allclose(vae.log_prob(x), one.logsumexp(1))
    assert torch.allclose(
        class_posterior(vae, x, samples=3), (each + torch.tensor([0.75, 0.25]).double().log()).log_softmax(1)
    )
    drawn = vae.labels.draw(None, 4000, Noise(0, rows=4000)).value
    assert abs((drawn == 0).double().mean() - 0.75) < 4 * math.sqrt(0.75 * 0.25 / 4000)
    known = Condition(torch.ones(5).long(), torch.ones(5).bool())
    assert (vae.labels.draw(known, 5, Noise(0, rows=5)).value == 1).all()
    assert vae.sample(3, seed=0).shape == (3, 2) and vae.encode(x).shape == (6, 1)
    assert torch.equal(vae.decode(vae.encode(x)), vae.decode(vae.encode(x), 0)), "the likelier class stands for both"


def test_an_example_has_its_terms_whatever_is_labelled_beside_it():
    torch.manual_seed(0)
    vae = VAE(example=Points(dim=2), condition=LABEL, latent_dim=1, width=8, absent="marginal").double()
    x, c = torch.randn(5, 2).double(), torch.tensor([0, 1, 0, 1, 1])
    some = torch.tensor([True, False, False, True, False])
    mixed = vae.terms(x, Condition(c, some), noise=Noise(0, rows=5))
    none = vae.terms(x, None, noise=Noise(0, rows=5))
    every = vae.terms(x, Condition(c, torch.ones(5).bool()), noise=Noise(0, rows=5))
    for name in ("reconstruction", "kl", "label"):
        assert torch.allclose(mixed[name], torch.where(some, every[name], none[name]))


def test_unlabelled_examples_teach_where_the_classes_are():
    """Two long stripes, labelled only at opposite ends: by the labels alone the border runs across both of them."""
    n = 300
    c = torch.arange(n) % 2
    along = 4 * Noise(0, rows=n).uniform().double() - 2
    x = torch.stack((along, 1.5 * c - 0.75 + 0.15 * Noise(1, rows=n).normal().double()), 1)
    present = torch.zeros(n, dtype=torch.bool)
    present[torch.where(c == 0, along, -along).argsort()[:20]] = True
    accuracy = {}
    for absent in ("null", "marginal"):
        torch.manual_seed(0)
        # A linear decoder makes one stripe of each class; a perceptron could make two stripes of either.
        linear = {"network": "linear", "variance": "dimension", "latent_dim": 1}
        vae = VAE(example=Points(dim=2), condition=LABEL, absent=absent, **linear)
        optimiser = torch.optim.AdamW(vae.parameters(), lr=1e-2)
        for step in range(300):
            vae.progress = step / 300
            loss = vae.loss(x.float(), Condition(c, present), noise=Noise(0, step + 1, rows=n)).mean()
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
        accuracy[absent] = (class_posterior(vae, x, samples=10).argmax(1) == c).double().mean().item()
    assert accuracy["marginal"] > 0.97  # 1.00
    assert accuracy["null"] < 0.85  # 0.67


def test_importance_weights_under_a_sum_over_labels_have_their_plain_gradient():
    """The weight of a label depends on z as well, which the doubly reparameterised gradient of one bound leaves out."""
    found = {}
    for gradient in ("auto", "plain"):
        torch.manual_seed(0)
        fields = {"objective": "iwae", "samples": 3, "gradient": gradient, "absent": "marginal"}
        vae = VAE(example=Points(dim=2), condition=LABEL, latent_dim=1, width=8, **fields).double()
        x = torch.linspace(-1, 1, 8).double().view(4, 2)
        vae.loss(x, noise=Noise(0, rows=4)).mean().backward()
        found[gradient] = [parameter.grad for parameter in vae.encoder.parameters()]
    assert all(torch.equal(a, b) for a, b in zip(*found.values(), strict=True))


def test_the_cost_of_a_code_without_its_label_is_that_of_the_likeliest():
    torch.manual_seed(0)
    flow = MAF(example=Points(dim=1), condition=LABEL, width=8)
    with torch.no_grad():
        for parameter in flow.parameters():
            parameter += 0.3 * torch.randn_like(parameter)
    fields = {"latent_dim": 1, "width": 8, "absent": "marginal", "prior": "flow", "flow": flow}
    vae = VAE(example=Points(dim=2), condition=LABEL, **fields).double()
    x = torch.randn(6, 2).double()
    label = vae._with_labels(x, None)
    absent, present = (vae.kl_each(x, c, noise=Noise(0, rows=6)) for c in (None, label))
    assert torch.equal(absent, present)


def test_a_prior_over_labels_starts_at_their_shares():
    vae = VAE(example=Points(dim=2), condition=LABEL, latent_dim=1, width=8, absent="marginal")
    given = Condition(torch.tensor([0, 1, 1, 1, 0]), torch.tensor([True, True, True, True, False]))
    batch = Batch(torch.randn(5, 2), given)
    assert [stage.name for stage in vae.stages()] == ["start", "fit"]
    list(vae.start(batch, batch, noise=Noise(0, rows=5)))
    assert torch.allclose(vae.labels.logits.softmax(0), torch.tensor([1.5, 3.5]) / 5)


def test_a_prior_over_labels_is_even_before_it_has_seen_any():
    labels = LabelPrior(3)
    assert torch.allclose(labels.log_prob(None, 2), torch.full((2, 3), -math.log(3.0)))
    assert [condition.value.tolist() for condition in labels.each(2)] == [[0, 0], [1, 1], [2, 2]]
