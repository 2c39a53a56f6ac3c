import torch

from pushforward.transformers.vocabulary import Vocabulary

SIZES = (3, 1, 4, 2)


def test_a_code_of_one_position_is_another_at_the_next():
    vocabulary = Vocabulary(SIZES, 8, shared=False)
    assert vocabulary.embedding.num_embeddings == sum(SIZES)
    vectors = vocabulary(torch.zeros(1, len(SIZES), dtype=torch.int64))[0]
    assert torch.equal(vectors, vocabulary.embedding.weight[[0, 3, 4, 8]])


def test_logits_are_those_of_the_codes_a_position_has():
    vocabulary = Vocabulary(SIZES, 8, shared=False).double()
    torch.nn.init.normal_(vocabulary.head.bias)
    h = torch.randn(2, len(SIZES), 8, dtype=torch.float64)
    logits, every, row = vocabulary.logits(h), vocabulary.head(h), 0
    for position, size in enumerate(SIZES):
        expected = every[:, position, row : row + size]
        # One dot product of 8 numbers, summed in another order.
        assert torch.allclose(logits[:, position, :size], expected, rtol=0, atol=1e-13)
        assert logits[:, position, size:].isneginf().all()
        row += size


def test_a_single_position_is_a_slice_of_all():
    vocabulary = Vocabulary(SIZES, 8, shared=False).double()
    h = torch.randn(2, len(SIZES), 8, dtype=torch.float64)
    codes = torch.tensor([[2, 0, 3, 1], [0, 0, 1, 0]])
    for t in range(len(SIZES)):
        assert torch.allclose(vocabulary.logits(h[:, t : t + 1], t), vocabulary.logits(h)[:, t : t + 1], atol=1e-13)
        assert torch.equal(vocabulary(codes[:, t : t + 1], t), vocabulary(codes)[:, t : t + 1])


def test_a_shared_vocabulary_knows_no_position():
    vocabulary = Vocabulary((5,) * 4, 8, shared=True)
    assert vocabulary.embedding.num_embeddings == 5
    vectors = vocabulary(torch.full((1, 4), 3))[0]
    assert torch.equal(vectors, vocabulary.embedding.weight[3].expand(4, 8))
    assert vocabulary.logits(torch.randn(2, 4, 8)).shape == (2, 4, 5)


def test_codes_that_are_not_there_get_no_gradient():
    vocabulary = Vocabulary((2, 3), 4, shared=False)
    chosen = vocabulary.logits(torch.randn(6, 2, 4)).log_softmax(-1)[:, 0, 1]
    chosen.sum().backward()
    gradient = vocabulary.head.weight.grad
    assert gradient is not None and gradient.isfinite().all()
    assert gradient[:2].abs().sum() > 0 and gradient[2:].abs().sum() == 0
