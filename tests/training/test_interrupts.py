"""Signals are remembered, a second one stops at once, and other threads are left alone."""

import signal
import threading

import pytest
from lightning_fabric import Fabric

from pushforward.training.interrupts import Interrupts


@pytest.fixture
def interrupts() -> Interrupts:
    return Interrupts(Fabric(accelerator="cpu", devices=1))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_first_signal_is_remembered(interrupts, number):
    with interrupts:
        assert not interrupts.asked()
        signal.raise_signal(number)
        assert interrupts.asked()
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL


def test_the_second_signal_stops_at_once(interrupts):
    with pytest.raises(KeyboardInterrupt), interrupts:
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGTERM)
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL


def test_handlers_of_the_caller_come_back(interrupts):
    def own(number, frame):
        raise AssertionError("not within the block")

    before = signal.signal(signal.SIGTERM, own)
    try:
        with interrupts:
            signal.raise_signal(signal.SIGTERM)
        assert signal.getsignal(signal.SIGTERM) is own
    finally:
        signal.signal(signal.SIGTERM, before)


def test_in_another_thread_no_signal_is_watched(interrupts):
    seen = []

    def block():
        with interrupts:
            seen.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=block)
    thread.start()
    thread.join()
    assert seen == [signal.default_int_handler] and not interrupts.asked()
