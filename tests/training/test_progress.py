"""The bar is quiet when piped and shows the figures when it is asked for."""

import pytest

from pushforward.training.progress import Bar


def test_it_is_silent_unless_shown(capfd):
    with Bar("fit bell") as bar:  # standard error is no terminal here
        bar.update(1, 10, loss=0.5, validation="1.2 nats")
        bar.say("a line")
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("total", [10, None])
def test_it_shows_what_it_was_given(total, capfd):
    with Bar("fit bell", show=True) as bar:
        bar.update(1, total, loss=0.5)
        bar.update(2, total, validation="1.2 nats")
        bar.say("a line")
    out, err = capfd.readouterr()
    assert out == ""
    assert "fit bell" in err and "loss 0.5" in err and "valid 1.2 nats" in err and "a line" in err
