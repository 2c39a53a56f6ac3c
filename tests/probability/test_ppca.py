"""The closed form against the density it claims to maximise."""

import pytest
import torch
from torch.distributions import MultivariateNormal

from pushforward.core.capabilities import Density
from pushforward.core.errors import InputError
from pushforward.core.modality import Image, Label, Points
from pushforward.core.noise import Noise
from pushforward.probability.ppca import PPCA, LinearGaussian, fit_ppca
from tests.probability.solving import solved


def examples(n: int = 400, dim: int = 6) -> torch.Tensor:
    mix = Noise(1, rows=dim).normal(dim).double()
    return Noise(0, rows=n).normal(dim).double() @ mix + torch.arange(dim)


@pytest.mark.parametrize("latent_dim", [0, 2, 5])
def test_its_log_likelihood_is_that_of_its_gaussian(latent_dim: int):
    x = examples()
    solution = fit_ppca(x, latent_dim)
    exact = MultivariateNormal(solution.mean, solution.covariance).log_prob(x).mean().item()
    assert solution.log_likelihood == pytest.approx(exact, abs=1e-9)


def test_with_all_directions_but_one_it_is_the_maximum_likelihood_gaussian():
    x = examples()
    assert torch.allclose(fit_ppca(x, 5).covariance, torch.cov(x.T, correction=0), atol=1e-9)


def test_nothing_near_it_is_more_likely():
    x = examples()
    solution = fit_ppca(x, 2)
    for seed in range(20):
        moved = solution._replace(
            weights=solution.weights + 0.05 * Noise(seed, rows=6).normal(2).double(),
            variance=solution.variance * (1.1 if seed % 2 else 0.9),
        )
        assert MultivariateNormal(moved.mean, moved.covariance).log_prob(x).mean() < solution.log_likelihood


@pytest.mark.parametrize("latent_dim", [-1, 6])
def test_a_latent_dim_out_of_range_is_refused(latent_dim: int):
    with pytest.raises(InputError, match=f"latent_dim: got {latent_dim}, expected 0 to 5"):
        fit_ppca(examples(), latent_dim)


def test_too_few_examples_are_refused():
    with pytest.raises(InputError, match="x: 3 examples leave no variance beyond 3 directions"):
        fit_ppca(examples(n=3), 3)


# --- as a model -------------------------------------------------------------------------------------------------------

LABEL = Label(names=("a", "b", "never seen"))


def gaussian(solution: LinearGaussian) -> MultivariateNormal:
    return MultivariateNormal(solution.mean, solution.covariance)


@pytest.mark.parametrize("latent_dim", [0, 2, 5])
def test_the_model_is_the_closed_form(latent_dim: int):
    x, fresh = examples(), examples(n=50) + 0.3
    model = solved(PPCA, Points(dim=6), x, latent_dim=latent_dim, double=True)
    # In units of the standard deviations, which scale every direction: the solution is that of the scaled examples.
    std = x.std(0, correction=0)
    exact = gaussian(fit_ppca(x / std, latent_dim)).log_prob(fresh / std) - std.log().sum()
    assert torch.allclose(model.log_prob(fresh), exact, atol=1e-8)
    assert model.density() == Density("exact", "density") and model.latent_dim == latent_dim


def test_as_many_directions_as_entries_are_the_whole_gaussian():
    x = examples()
    model = solved(PPCA, Points(dim=6), x, latent_dim=64, double=True)
    exact = MultivariateNormal(x.mean(0), torch.cov(x.T, correction=0)).log_prob(x)
    assert torch.allclose(model.log_prob(x), exact, atol=1e-8)


def test_the_number_of_directions_is_chosen_on_validation(tmp_path):
    w = Noise(5, rows=10).normal(3).double().sign()  # equal variances: units change no direction
    draws = [Noise(s, rows=2000).normal(3).double() @ w.T + Noise(s + 1, rows=2000).normal(10).double() for s in (1, 3)]
    model = solved(PPCA, Points(dim=10), *draws)
    assert model.latent_dim in (3, 4)  # one more direction of noise costs 10 / 4000 nats
    model.save_pretrained(tmp_path)
    again = PPCA.from_pretrained(tmp_path)
    assert torch.equal(again.log_prob(draws[1]), model.log_prob(draws[1]))
    assert torch.equal(again.sample(5, seed=1), model.sample(5, seed=1))


def test_a_direction_in_which_nothing_varies_is_passed_over():
    flat = torch.cat((examples(), torch.ones(400, 1)), 1)
    model = solved(PPCA, Points(dim=7), flat)
    assert model.log_prob(flat).isfinite().all()
    with pytest.raises(InputError, match="leave no variance beyond 6 directions"):
        solved(PPCA, Points(dim=7), flat, latent_dim=6)


def test_codes_are_posterior_means():
    model = solved(PPCA, Points(dim=6), examples(), latent_dim=2, double=True)
    y, _ = model.fitted.encode(examples(), noise=Noise(0, rows=400), dtype=torch.float64)
    w, mean, identity = model.maps[0], model.means[0], torch.eye(6).double()
    by_hand = (y - mean) @ torch.linalg.solve(w @ w.T + model.variances[0] * identity, w)
    z = model.infer(y, None)
    assert torch.allclose(z, by_hand, atol=1e-9)
    assert torch.allclose(model.generate(z, None), z @ w.T + mean)
    assert torch.allclose(
        model.decode(model.encode(examples())), model.fitted.decode(z @ w.T + mean, noise=Noise(0, rows=400))
    )


def test_samples_have_its_moments():
    model = solved(PPCA, Points(dim=6), examples(), latent_dim=2)
    solution = fit_ppca(examples() / examples().std(0, correction=0), 2)
    drawn = model.sample(20_000, seed=0, batch_size=5000) / examples().std(0, correction=0)
    std = solution.covariance.diagonal().sqrt()
    # Four standard errors of n = 20,000 draws: std / sqrt(n) of a mean, at most sqrt(2 / n) std std of a covariance.
    # But for the ends of the data's range, at which samples are cut off: a little more.
    assert ((drawn.mean(0) - solution.mean).abs() < 5 * std / 20_000**0.5).all()
    assert ((torch.cov(drawn.T) - solution.covariance).abs() < 5 * (2 / 20_000) ** 0.5 * std[:, None] * std).all()


def test_classes_have_their_own_means_and_share_the_rest():
    c = torch.arange(400) % 2
    x = examples() + 20 * c[:, None]
    model = solved(PPCA, Points(dim=6), x, labels=(c, c), condition=LABEL, latent_dim=2, double=True)
    assert torch.equal(model.maps[1], model.maps[2]) and not torch.equal(model.maps[0], model.maps[1])
    means = model.fitted.encode(x, noise=Noise(0, rows=400), dtype=torch.float64)[0]
    assert torch.allclose(model.means[1:3], torch.stack([means[c == k].mean(0) for k in (0, 1)]))
    assert (model.log_prob(x, c) - model.log_prob(x)).mean() > 1
    pooled = solved(PPCA, Points(dim=6), x, latent_dim=2, double=True)
    assert torch.allclose(model.log_prob(x), pooled.log_prob(x))
    assert torch.allclose(model.log_prob(x, 2), pooled.log_prob(x)), "a class without examples is everything"


def test_what_a_model_cannot_be_is_refused():
    with pytest.raises(InputError, match="latent_dim: got -1, expected a number from 0, or None"):
        PPCA(example=Points(dim=3), latent_dim=-1)
    with pytest.raises(InputError, match="^data: the covariance of 49,152 entries"):
        PPCA(example=Image(height=128, width=128, channels=3))
    with pytest.raises(InputError, match="accepts class labels"):
        PPCA(example=Points(dim=3), condition=Points(dim=1))
