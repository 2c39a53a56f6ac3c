"""Every bijection against the Jacobian that autograd finds, and back again."""

import math

import pytest
import torch
from torch import Tensor, nn

from pushforward.core.noise import Noise
from pushforward.flows.bijections import Bijection, Chain, Diagonal, Squeeze, Triangular
from pushforward.flows.coupling import LARGEST_LOG_SCALE, CheckerboardCoupling, Coupling
from pushforward.nn.convnet import ConvResNet
from pushforward.nn.mlp import MLP

C = 3  # length of the condition

BIJECTIONS = {
    "diagonal": (lambda: Diagonal((4,)), (4,)),
    "diagonal of an image": (lambda: Diagonal((2, 3, 1)), (2, 3, 1)),
    "triangular": (lambda: Triangular(4), (4,)),
    "triangular in one dimension": (lambda: Triangular(1), (1,)),
    "squeeze": (lambda: Squeeze((4, 2)), (2, 4, 2)),
    "squeeze of an odd height": (lambda: Squeeze((3, 4)), (2, 3, 4)),
    "squeeze of an odd width": (lambda: Squeeze((4, 3)), (1, 4, 3)),
    "coupling": (lambda: Coupling(2, MLP(2, 6, width=16, condition=C)), (5,)),
    "coupling that keeps nothing": (lambda: Coupling(0, MLP(0, 4, width=16, condition=C)), (2,)),
    "coupling of channels": (lambda: Coupling(1, ConvResNet(1, 6, width=8, depth=1, condition=C)), (4, 2, 3)),
    "checkerboard": (
        lambda: CheckerboardCoupling((3, 3), 1, ConvResNet(2, 4, width=8, depth=1, condition=C)),
        (2, 3, 3),
    ),
    "chain": (
        lambda: Chain([Triangular(3), Coupling(1, MLP(1, 4, condition=C)), Coupling(2, MLP(2, 2, condition=C))]),
        (3,),
    ),
}


def disturbed(bijection: Bijection) -> Bijection:
    """In float64, with parameters of order one in place of the initial ones."""
    bijection = bijection.double()
    for seed, parameter in enumerate(bijection.parameters()):
        parameter.data = 0.5 * Noise(seed, rows=len(parameter)).normal(*parameter.shape[1:]).double()
    return bijection


@pytest.mark.parametrize("name", BIJECTIONS)
def test_log_det_is_that_of_the_jacobian(name: str):
    make, shape = BIJECTIONS[name]
    bijection = disturbed(make())
    x, c = Noise(7, rows=4).normal(*shape).double(), Noise(8, rows=4).normal(C).double()
    _, log_det = bijection(x, c)
    assert log_det.shape == (4,)
    for row in range(4):

        def alone(flat: Tensor, row: int = row) -> Tensor:
            return bijection(flat.view(1, *shape), c[row : row + 1])[0].flatten()

        jacobian = torch.autograd.functional.jacobian(alone, x[row].flatten())
        assert torch.linalg.slogdet(jacobian).logabsdet.item() == pytest.approx(log_det[row].item(), abs=1e-10)


@pytest.mark.parametrize("name", BIJECTIONS)
def test_the_inverse_leads_back(name: str):
    make, shape = BIJECTIONS[name]
    bijection = disturbed(make())
    x, c = Noise(9, rows=6).normal(*shape).double(), Noise(10, rows=6).normal(C).double()
    y, _ = bijection(x, c)
    assert torch.allclose(bijection.inverse(y, c), x, rtol=0, atol=1e-10)
    assert not torch.equal(y.flatten(), x.flatten()), "the identity would pass, too"


def test_a_squeeze_splits_the_checkerboard_by_channels():
    rows, columns = torch.arange(6)[:, None], torch.arange(4)
    colours = ((rows + columns) % 2).float().expand(1, 3, 6, 4)
    halves = Squeeze((6, 4))(colours)[0].chunk(2, dim=1)
    assert halves[0].unique().tolist() == [0.0] and halves[1].unique().tolist() == [1.0]


@pytest.mark.parametrize("parity", [0, 1])
def test_a_checkerboard_keeps_its_colour(parity: int):
    coupling = disturbed(CheckerboardCoupling((3, 5), parity, ConvResNet(1, 2, width=8, depth=1)))
    x = Noise(1, rows=2).normal(1, 3, 5).double()
    kept = (torch.arange(3)[:, None] + torch.arange(5)) % 2 == parity
    assert torch.equal((coupling(x)[0] == x)[0, 0], kept)


def test_a_coupling_stretches_by_no_more_than_its_bound():
    network = MLP(1, 2, depth=0).double()
    for parameter in network.parameters():
        nn.init.constant_(parameter, 1e6 if parameter.ndim == 2 else 0.0)  # a network far out of hand
    coupling, x = Coupling(1, network), torch.tensor([[1.0, 1.0], [-1.0, 1.0]]).double()
    assert coupling(x)[1].tolist() == pytest.approx([LARGEST_LOG_SCALE, -LARGEST_LOG_SCALE])


def test_whitening_gives_mean_zero_and_covariance_one():
    x = Noise(3, rows=5000).normal(3).double() @ torch.tensor([[2.0, 1, 0], [0, 1.0, 3], [0, 0, 0.5]]).double() + 5
    triangular = Triangular(3).double()
    triangular.whiten_(x)
    y, log_det = triangular(x)
    # The variance added for safety is 1e-6, beside 1e-2 in the narrowest direction.
    assert torch.allclose(y.mean(0), torch.zeros(3).double(), atol=1e-9)
    assert torch.allclose(torch.cov(y.T, correction=0), torch.eye(3).double(), atol=2e-3)
    assert log_det[0].item() == pytest.approx(-0.5 * torch.logdet(torch.cov(x.T)).item(), abs=2e-3)


def test_entrywise_whitening_gives_mean_zero_and_variance_one():
    x = 3 * Noise(4, rows=5000).normal(1, 2, 3) - 7
    diagonal = Diagonal((1, 2, 3))
    diagonal.whiten_(x)
    y, _ = diagonal(x)
    assert torch.allclose(y.mean(0), torch.zeros(1, 2, 3), atol=1e-5)  # float32 of numbers up to 10
    assert torch.allclose(y.std(0, correction=0), torch.ones(1, 2, 3), atol=1e-5)


@pytest.mark.parametrize("affine", [Triangular(2), Diagonal((2,))], ids=["triangular", "diagonal"])
def test_whitening_survives_an_entry_that_never_varies(affine: Triangular | Diagonal):
    x = Noise(5, rows=100).normal(2)
    x[:, 1] = 0.25
    affine.whiten_(x)
    y, log_det = affine(x)
    assert torch.isfinite(y).all()
    # A standard deviation of 1e-3 in the constant entry.
    assert log_det[0].item() == pytest.approx(math.log(1e3) - x[:, 0].std(correction=0).log().item(), abs=1e-3)
