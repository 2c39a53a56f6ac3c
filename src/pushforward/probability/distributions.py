"""All distributions of this room in one place; beside torch's own they are what chapters, samplers and tests draw on.

``UniformDisk``, ``UniformBall`` and ``UniformAnnulus`` have a bounded support, ``Banana``, ``Funnel`` and ``Ring`` are
curved, ``NormalMixture`` has several modes, and ``EnergyBased`` is known up to its constant. All are
``torch.distributions.Distribution`` objects and go wherever those go: ``Independent``, ``kl_divergence``, ``expand``.

Example:
    >>> import torch
    >>> points = UniformDisk(radius=torch.tensor([1.0, 2.0])).sample((5,))
    >>> points.shape
    torch.Size([5, 2, 2])
"""

from pushforward.probability.curved import Banana, Funnel, Ring
from pushforward.probability.energy import EnergyBased
from pushforward.probability.normal_mixture import NormalMixture
from pushforward.probability.uniform_shapes import UniformAnnulus, UniformBall, UniformDisk

__all__ = [
    "Banana",
    "EnergyBased",
    "Funnel",
    "NormalMixture",
    "Ring",
    "UniformAnnulus",
    "UniformBall",
    "UniformDisk",
]
