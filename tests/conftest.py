"""What tests and doctests may rely on: fixed threads, no display, a cache of their own, and real data where it is."""

import os
import shutil
import signal
import tempfile
from pathlib import Path

import pytest
import torch


def pytest_configure(config: pytest.Config) -> None:
    """Settles the process before anything is collected: the doctests of `src` stand outside the reach of fixtures."""
    # The order of a sum depends on the number of threads, so a fixed count makes results the same on every machine;
    # one, because the tensors of the tests are too small to be worth sharing out.
    torch.set_num_threads(1)
    os.environ["OMP_NUM_THREADS"] = "1"  # for the processes that tests start
    os.environ["MPLBACKEND"] = "Agg"
    # A shell that starts the tests in the background has Ctrl-C ignored; the tests of it need Python's own handler.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    # Downloads of a test neither use nor touch what the user has.
    cache = tempfile.mkdtemp(prefix="pushforward-tests-")
    os.environ["PUSHFORWARD_CACHE"] = cache
    config.add_cleanup(lambda: shutil.rmtree(cache, ignore_errors=True))


@pytest.fixture(scope="session")
def shared_data(pytestconfig: pytest.Config) -> Path:
    """The folder of real data sets: the one named by PUSHFORWARD_DATA, or ../shared/data beside the repository."""
    named = os.environ.get("PUSHFORWARD_DATA")
    folder = Path(named) if named else pytestconfig.rootpath.parent / "shared" / "data"
    if folder.is_dir():
        return folder
    if named:
        pytest.fail(f"PUSHFORWARD_DATA names {named}, which is no folder")
    pytest.skip("real data not found: set PUSHFORWARD_DATA to a folder with mnist, fashion-mnist, tinyshakespeare, ...")
