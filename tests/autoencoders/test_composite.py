"""Several codebooks for one vector: the sum of levels, the parts of a product, and what they are worth."""

import pytest
import torch

from pushforward.autoencoders.codebook import Codebook, k_means
from pushforward.autoencoders.composite import Product, Residual
from pushforward.core.errors import InputError
from pushforward.core.noise import Noise


def learned(count: int, z: torch.Tensor, *, size: int = 16) -> Residual:
    """Each level started by k-means on what is left."""
    residual = Residual([Codebook(size, z.shape[1]) for _ in range(count)])
    residual(z)
    residual.learn()
    return residual.eval()


def test_indices_and_vectors_belong_to_each_other():
    z = Noise(0, rows=300).normal(4)
    for quantizer in (learned(3, z), Product([Codebook(16, 2), Codebook(16, 2)])):
        quantizer.train()(z)
        quantizer.eval()
        found = quantizer(z)
        assert found.indices.shape == (300, quantizer.count) and quantizer.size == 16
        assert torch.allclose(quantizer.vectors(found.indices), found.vectors, atol=1e-6)
        again = quantizer(found.vectors.detach())
        if isinstance(quantizer, Product):  # of a residual one only the first level need choose the same
            assert torch.equal(again.indices, found.indices)


def test_the_residual_error_falls_with_every_level():
    z = Noise(0, rows=2000).normal(4)
    residual = learned(4, z)
    errors, q = [z.square().sum(1).mean().item()], torch.zeros_like(z)
    indices = residual(z).indices
    for i, level in enumerate(residual.levels):
        q = q + level.vectors(indices[:, i : i + 1])
        errors.append((z - q).square().sum(1).mean().item())
    # Sixteen means of four dimensions take away a share of 1 - 16^(-2/4) = 3/4 at best, for a Gaussian about 0.6.
    assert all(after < 0.6 * before for before, after in zip(errors, errors[1:], strict=False)), errors


def test_one_level_is_the_codebook():
    z = Noise(0, rows=100).normal(3)
    codebook = Codebook(8, 3)
    codebook(z)
    codebook.eval()
    for other in (Residual([codebook]), Product([codebook])):
        one, two = codebook(z), other(z)
        assert torch.equal(one.indices, two.indices) and torch.allclose(one.loss, two.loss)
        assert torch.allclose(one.vectors, two.vectors, atol=1e-6)


@pytest.mark.parametrize("gradient", ["straight-through", "rotation"])
def test_the_gradient_passes_the_whole_sum_once(gradient):
    z = Noise(0, rows=50).normal(4)
    residual = learned(2, z)
    residual.gradient = gradient
    z.requires_grad_()
    (jacobian,) = torch.autograd.grad(residual(z).vectors.sum(), z)
    if gradient == "straight-through":
        assert torch.equal(jacobian, torch.ones_like(z))
    else:  # the gradient of ones, turned and stretched
        q = residual(z).vectors.detach()
        stretch = q.norm(dim=1) / z.detach().norm(dim=1)
        assert torch.allclose(jacobian.norm(dim=1), 2 * stretch, rtol=1e-4)


def test_every_group_of_a_product_is_a_codebook_of_its_own():
    z = Noise(0, rows=100).normal(4)
    product = Product([Codebook(8, 2), Codebook(8, 2)])
    product(z)
    product.eval()
    found = product(z)
    for group, part, index in zip(product.groups, z.chunk(2, 1), found.indices.T, strict=True):
        assert torch.equal(group(part).indices[:, 0], index)
    assert len(k_means(z, 8)) == 8 and product.dim == 4


def test_what_does_not_go_together_is_refused():
    with pytest.raises(InputError, match="codebooks: got sizes and lengths"):
        Residual([Codebook(8, 2), Codebook(4, 2)])
    with pytest.raises(InputError, match="codebooks: got sizes and lengths"):
        Product([])
    with pytest.raises(InputError, match="cosine: got True for a residual quantiser"):
        Residual([Codebook(8, 2, cosine=True)])
