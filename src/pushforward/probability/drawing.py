"""A generator for what takes none: the distributions of torch draw from its default generator only."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch

__all__ = ["drawing_from"]


@contextmanager
def drawing_from(generator: torch.Generator | None) -> Iterator[None]:
    """Within, what only knows torch's default generator draws from this one; afterwards the default is as it was.

    Objects of ``torch.distributions`` take no generator. The default one is set to a seed drawn from ``generator`` and
    put back at the end, so that nothing global changes.

    Args:
        generator: None changes nothing.

    Example:
        >>> with drawing_from(torch.Generator().manual_seed(0)):
        ...     a = torch.rand(2)
        >>> with drawing_from(torch.Generator().manual_seed(0)):
        ...     b = torch.rand(2)
        >>> bool((a == b).all())
        True
    """
    if generator is None:
        yield
        return
    seed = int(torch.randint(2**62, (), generator=generator, device=generator.device))
    with torch.random.fork_rng(devices=range(torch.cuda.device_count())):
        torch.manual_seed(seed)
        yield
