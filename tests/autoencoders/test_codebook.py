"""The codebook is k-means: its fixed points, its statistics, and what becomes of a code that nobody uses."""

import pytest
import torch

from pushforward.autoencoders.codebook import DEAD, Codebook, k_means, nearest, seeded_rows
from pushforward.core.errors import InputError
from pushforward.core.noise import Noise

CENTRES = torch.tensor([[0.0, 0.0], [8.0, 0.0], [0.0, 8.0], [8.0, 8.0]]).double()


def clusters(n: int, seed: int = 0) -> torch.Tensor:
    """Four clusters of n points each, of unit variance, whose means are exactly the centres."""
    points = Noise(seed, rows=4 * n).normal(2).double().view(4, n, 2)
    return (points - points.mean(1, keepdim=True) + CENTRES[:, None]).view(-1, 2)


def by_corner(codes: torch.Tensor) -> torch.Tensor:
    """The codes in the order of the centres."""
    return codes[nearest(CENTRES, codes)]


def test_nearest_is_the_smallest_distance():
    z, codes = Noise(0, rows=200).normal(3), Noise(1, rows=17).normal(3)
    assert torch.equal(nearest(z, codes), torch.cdist(z, codes).argmin(1))


def test_k_means_finds_the_means_of_clusters():
    # 8 standard deviations apart: no point is nearer to another centre.
    assert torch.allclose(by_corner(k_means(clusters(30), 4)), CENTRES, atol=1e-12)
    assert torch.equal(k_means(torch.ones(2, 3), 5), torch.ones(2, 3)), "no more means than vectors"


@pytest.mark.parametrize("update", ["ema", "gradient"])
def test_the_codes_come_to_the_means_of_the_clusters(update):
    codebook = Codebook(4, 2, update=update, start="normal", decay=0.9).double()
    with torch.no_grad():
        codebook.codes.copy_(CENTRES + torch.tensor([2.0, 1.0]))  # each within the reach of its own cluster
    optimiser = torch.optim.SGD(codebook.parameters(), lr=0.2) if update == "gradient" else None
    z = clusters(200)
    for _ in range(100):
        loss = codebook(z).loss.mean()
        if optimiser is not None:
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
        codebook.learn()
    assert torch.allclose(codebook.codes, CENTRES, atol=0.02)
    assert torch.allclose(codebook.use, torch.ones(4).double(), atol=0.02)


def test_the_averages_are_those_of_counts_and_sums():
    """Against the usual pair of buffers, N and m, with e = m / N."""
    codebook = Codebook(5, 3, start="normal", revive=False).double()
    counts, sums = torch.ones(5).double(), codebook.codes.clone()
    for step in range(30):
        z = Noise(step, rows=40).normal(3).double()
        index = nearest(z, sums / counts[:, None])
        codebook(z)
        codebook.learn()
        one_hot = torch.nn.functional.one_hot(index, 5).double()
        counts = 0.97 * counts + 0.03 * one_hot.sum(0) * 5 / 40
        sums = 0.97 * sums + 0.03 * one_hot.T @ z * 5 / 40
    assert torch.allclose(codebook.use, counts)
    assert torch.allclose(codebook.codes, sums / counts[:, None])


def test_parts_of_a_batch_are_one_step():
    whole, parts = (Codebook(4, 2, start="normal").double() for _ in range(2))
    parts.load_state_dict(whole.state_dict())
    z = clusters(50)
    whole(z)
    for part in z.split(40):
        parts(part)
    for codebook in (whole, parts):
        codebook.learn()
        codebook.learn()  # nothing was seen since
    assert all(torch.allclose(a, b) for a, b in zip(whole.buffers(), parts.buffers(), strict=True))
    assert int(whole.step) == 1


@pytest.mark.parametrize("update", ["ema", "gradient"])
def test_a_dead_code_comes_back_and_its_statistics_are_reset(update):
    codebook = Codebook(4, 2, update=update, start="normal", decay=0.9).double()
    with torch.no_grad():
        codebook.codes.copy_(torch.cat([CENTRES[:3], torch.tensor([[100.0, 100.0]]).double()]))
    z, alone = clusters(100), []
    for _ in range(200):
        codebook(z)
        alone.append(float(codebook.use[3]))
        before = codebook.codes[3].clone()
        codebook.learn()
        if not torch.equal(codebook.codes[3], before):
            break
    assert 0.9 * alone[-1] < DEAD <= alone[-1], "it is moved as soon as its use falls below the limit"
    assert codebook.codes[3].tolist() in z.tolist() and codebook.use[3] == 1
    # The fourth cluster was served by a code 8 away, so nearly all of the squared distance is there.
    assert (codebook.codes[3] - CENTRES[3]).norm() < 5
    for _ in range(50):
        codebook(z)
        codebook.learn()
    assert (codebook.use > 0.5).all(), "it stays in use: no old average draws it back"
    if update == "ema":
        assert torch.allclose(by_corner(codebook.codes), CENTRES, atol=0.1)


def test_without_revival_a_dead_code_stays_dead():
    codebook = Codebook(2, 2, start="normal", revive=False).double()
    with torch.no_grad():
        codebook.codes.copy_(torch.tensor([[0.0, 0.0], [100.0, 100.0]]))
    for _ in range(20):
        codebook(clusters(50))
        codebook.learn()
    assert codebook.codes[1].tolist() == [100, 100] and codebook.use[1].item() == pytest.approx(0.97**20)


def test_the_first_batch_gives_the_codes_and_evaluation_leaves_no_trace():
    codebook = Codebook(4, 2).double()
    z = clusters(30)
    kept = {name: t.clone() for name, t in codebook.state_dict().items()}
    codebook.eval()(z)
    codebook.train().indices(z)
    codebook.learn()
    assert codebook.training and all(torch.equal(t, kept[name]) for name, t in codebook.state_dict().items())
    found = codebook(z)
    assert torch.allclose(by_corner(codebook.codes), CENTRES, atol=0.1)
    assert torch.allclose(found.vectors, codebook.codes[found.indices[:, 0]])
    codebook(z + 100)
    assert torch.allclose(by_corner(codebook.codes), CENTRES, atol=0.1), "only the first one"


def test_the_loss_is_commitment_and_the_pull_on_the_codes():
    z = torch.tensor([[1.0, 2.0]], requires_grad=True)
    for update, weight in (("ema", 0.25), ("gradient", 1.25)):
        codebook = Codebook(1, 2, update=update, start="normal")
        with torch.no_grad():
            codebook.codes.zero_()
        found = codebook(z)
        assert found.loss.item() == pytest.approx(weight * 5)
        (gradient,) = torch.autograd.grad(found.loss.sum(), z, retain_graph=True)
        assert torch.allclose(gradient, 0.25 * 2 * z), "the encoder feels the commitment alone"
        if update == "gradient":
            (pull,) = torch.autograd.grad(found.loss.sum(), codebook.codes)
            assert torch.allclose(pull, -2 * z)
        assert found.vectors.requires_grad and found.vectors.tolist() == [[0, 0]]


@pytest.mark.parametrize("update", ["ema", "gradient"])
def test_by_cosine_codes_are_on_the_sphere_and_the_nearest_is_by_angle(update):
    codebook = Codebook(6, 3, update=update, cosine=True, decay=0.5)
    for step in range(5):
        found = codebook(5 * Noise(step, rows=60).normal(3))
        codebook.learn()
        if update == "gradient":
            with torch.no_grad():
                codebook.codes.mul_(torch.linspace(0.5, 2, 6)[:, None])  # an optimiser does not keep the lengths
    z = Noise(9, rows=40).normal(3)
    found = codebook.eval()(z)
    assert torch.allclose(found.vectors.norm(dim=1), torch.ones(40))
    codes = torch.nn.functional.normalize(codebook.codes.detach(), dim=1)
    assert torch.equal(found.indices[:, 0], (z @ codes.T).argmax(1))
    assert torch.allclose(codebook.vectors(found.indices), found.vectors, atol=1e-6)


def test_rows_are_drawn_in_proportion_to_their_weight():
    weight = torch.tensor([1.0, 2.0, 0.0, 5.0])
    counts = torch.zeros(4)
    for step in range(4000):
        counts[seeded_rows(weight, 1, step=step)] += 1
    # The standard error of a share is at most sqrt(1/4 / 4000) = 0.008.
    assert torch.allclose(counts / 4000, weight / 8, atol=0.032) and counts[2] == 0
    assert torch.equal(seeded_rows(weight, 2, step=7), seeded_rows(weight, 2, step=7))
    assert sorted(seeded_rows(weight, 9, step=0).tolist()) == [0, 1, 3]


def test_what_a_codebook_cannot_be_is_refused():
    for options, message in (
        ({"size": 0}, "size: got 0"),
        ({"dim": 0}, "dim: got 0"),
        ({"decay": 1.0}, "decay: got 1.0"),
        ({"commitment": -1.0}, "commitment: got -1.0"),
        ({"update": "adam"}, "update: got 'adam', expected 'ema' or 'gradient'"),
        ({"start": "zero"}, "start: got 'zero', expected 'k-means' or 'normal'"),
    ):
        with pytest.raises(InputError, match=message):
            Codebook(**{"size": 4, "dim": 2, **options})


def test_the_nearest_code_is_found_in_single_precision_whatever_the_training_computes_in():
    codes = 1 + torch.arange(64.0)[:, None] / 1000  # 16 bits tell numbers near 1 apart by 1/128
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(nearest(codes, codes), torch.arange(64))
