"""Recurrent networks against the recursion they are, written out."""

import torch

from pushforward.nn.recurrent import RecurrentDecoder, RecurrentEncoder


def gru(net: torch.nn.GRU, x: torch.Tensor, h: torch.Tensor, suffix: str) -> torch.Tensor:
    """One layer of the formula over all steps; the states after each."""
    weight = {name.removesuffix(suffix): value for name, value in net.named_parameters() if name.endswith(suffix)}
    states = []
    for step in x.unbind(1):
        r_in, u_in, n_in = (step @ weight["weight_ih"].T + weight["bias_ih"]).chunk(3, dim=1)
        r_back, u_back, n_back = (h @ weight["weight_hh"].T + weight["bias_hh"]).chunk(3, dim=1)
        r, u = torch.sigmoid(r_in + r_back), torch.sigmoid(u_in + u_back)
        h = (1 - u) * torch.tanh(n_in + r * n_back) + u * h
        states.append(h)
    return torch.stack(states, 1)


def test_the_encoder_reads_both_ways():
    torch.manual_seed(0)
    net = RecurrentEncoder((3, 5), 4, width=6, depth=1).double()
    x, start = torch.randn(2, 3, 5).double(), torch.zeros(2, 6).double()
    steps = x.transpose(1, 2)
    forward = gru(net.net, steps, start, "_l0")[:, -1]
    backward = gru(net.net, steps.flip(1), start, "_l0_reverse")[:, -1]
    assert torch.allclose(net(x), net.head(torch.cat((forward, backward), 1)))


def test_the_decoder_unrolls_its_first_state():
    torch.manual_seed(0)
    net = RecurrentDecoder(2, (5,), parameters=3, width=6, depth=1).double()
    z = torch.randn(4, 2).double()
    states = gru(net.net, z[:, None].expand(-1, 5, -1), net.start(z), "_l0")
    assert torch.allclose(net(z), net.head(states).transpose(1, 2))


def test_without_hidden_layers_there_is_still_one():
    assert RecurrentEncoder((1, 5), 4, width=6, depth=0)(torch.zeros(2, 1, 5)).shape == (2, 4)
    assert RecurrentDecoder(4, (5,), parameters=1, width=6, depth=0)(torch.zeros(2, 4)).shape == (2, 1, 5)
