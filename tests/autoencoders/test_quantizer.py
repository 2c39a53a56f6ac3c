"""How a gradient passes a quantiser: as if it were the identity, or as the rotation that it is."""

import pytest
import torch

from pushforward.autoencoders.quantizer import passed, rotated
from pushforward.core.errors import InputError
from pushforward.core.noise import Noise


def pair(n: int, dim: int) -> tuple[torch.Tensor, torch.Tensor]:
    return Noise(0, rows=n).normal(dim).double(), 3 * Noise(1, rows=n).normal(dim).double()


@pytest.mark.parametrize("by", ["straight-through", "rotation"])
def test_the_numbers_are_those_of_the_code(by):
    z, q = pair(20, 5)
    assert torch.allclose(passed(z, q, by), q, rtol=1e-14, atol=1e-14)


def test_straight_through_has_the_gradient_of_the_identity():
    z, q = pair(1, 4)
    jacobian = torch.autograd.functional.jacobian(lambda v: passed(v[None], q, "straight-through")[0], z[0])
    assert torch.equal(jacobian, torch.eye(4).double())


def test_the_jacobian_of_the_rotation_trick_is_the_rotation_times_the_ratio_of_lengths():
    z, q = pair(6, 5)
    for here, there in zip(z, q, strict=True):
        jacobian = torch.autograd.functional.jacobian(
            lambda v, to=there: passed(v[None], to[None], "rotation")[0], here
        )
        turn = jacobian * here.norm() / there.norm()
        assert torch.allclose(turn @ turn.T, torch.eye(5).double(), atol=1e-12), "orthogonal"
        assert torch.linalg.det(turn).item() == pytest.approx(1), "a rotation, no reflection"
        assert torch.allclose(jacobian @ here, there), "it takes z to q"
        # What is at right angles to both stays where it is.
        basis, _ = torch.linalg.qr(torch.stack([here, there], 1), mode="complete")
        assert torch.allclose(turn @ basis[:, 2:], basis[:, 2:], atol=1e-12)


def test_an_angle_between_gradient_and_code_becomes_the_same_angle_at_z():
    z, q = pair(50, 3)
    gradient = Noise(2, rows=50).normal(3).double()
    z.requires_grad_()
    (passed(z, q, "rotation") * gradient).sum().backward()
    assert z.grad is not None
    at_code = torch.cosine_similarity(gradient, q)
    at_z = torch.cosine_similarity(z.grad, z.detach())
    assert torch.allclose(at_code, at_z)
    assert torch.allclose(z.grad.norm(dim=1), gradient.norm(dim=1) * q.norm(dim=1) / z.detach().norm(dim=1))


def test_the_rotation_keeps_the_length_of_the_code_where_directions_are_opposite_or_absent():
    q = torch.tensor([[0.0, 2.0]]).double()
    assert torch.allclose(rotated(-q, q).norm(), q.norm())
    zero = torch.zeros(1, 2, requires_grad=True)
    passed(zero, q.float(), "rotation").sum().backward()
    assert zero.grad is not None and zero.grad.isfinite().all()


def test_an_unknown_way_is_refused():
    with pytest.raises(InputError, match="gradient: got 'back', expected 'straight-through' or 'rotation'"):
        passed(torch.zeros(1, 2), torch.zeros(1, 2), "back")
