r"""How good a latent space is to work in: smooth, complete, and telling.

* **Smoothness**: along a straight line between two codes in S steps, let :math:`d_s` be how far the decoded example
  moves. Their mean over their largest is 1 where the way is even, and 1/S where everything happens in one jump.
* **Completeness**: the share of codes drawn from the space whose examples lie among the data: inside the ball of some
  example, whose radius is the distance to its k-th neighbour (Kynkäänniemi et al. 2019). Codes with no data behind them
  are holes.
* **Linear probe**: how well a linear classifier tells the classes from the codes (Alain and Bengio 2017).
"""

import math

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from pushforward.core.capabilities import HasLatent
from pushforward.core.data import Split
from pushforward.core.errors import InputError, check_count
from pushforward.core.noise import Noise
from pushforward.evaluation.latents import Codes, decoded, interpolate
from pushforward.evaluation.neighbours import membership, radii
from pushforward.evaluation.vectors import fit_vectors

__all__ = ["completeness", "linear_probe", "smoothness"]

#: Neighbour whose distance is the radius of a ball; Kynkäänniemi et al. 2019 take the third.
NEIGHBOUR = 3


def smoothness(model: HasLatent, codes: Codes, *, pairs: int = 64, steps: int = 16, seed: int = 0) -> float:
    """Mean step over largest step of the decoded example, on lines between random pairs of codes.

    Args:
        model: whose decoder is judged, in its own units.
        codes: of data.
        pairs: how many lines.
        steps: S, of each line.
        seed: of the pairs.

    Returns:
        From 1 / steps to 1; NaN where the decoder gives the same for all codes.

    Raises:
        InputError: if there are fewer than two codes, or a count is below 1.
    """
    check_count(pairs, "pairs")
    check_count(steps, "steps")
    if len(codes) < 2:
        raise InputError(f"codes: got {len(codes)}, expected at least 2")
    rng = np.random.default_rng(seed)
    found = []
    with model.at_rest():
        for _ in range(pairs):
            first, last = rng.choice(len(codes), 2, replace=False)
            path = interpolate(codes.z[first], codes.z[last], steps + 1).reshape(-1, *codes.shape)
            given = model.given(None, len(path))
            y = model.generate(path.to(model.device, model.dtype), given).flatten(1).double()
            moves = (y[1:] - y[:-1]).norm(dim=1)
            if moves.max() > 0:
                found.append(float(moves.mean() / moves.max()))
    return float(np.mean(found)) if found else math.nan


def completeness(
    model: HasLatent, codes: Codes, real: Split, *, z: Float[Tensor, "m latent"] | None = None, seed: int = 0
) -> float:
    """The share of codes drawn from the space that decode to something among the data.

    Args:
        model: whose decoder is judged.
        codes: of data.
        real: examples to compare with, at most 2,000 of which are taken.
        z: codes to judge; None draws 500 from the normal distribution with mean and covariance of ``codes``, which is
            as much as is known of where to draw from without a prior.
        seed: of these draws.

    Raises:
        InputError: if examples have no form as vectors, or there are too few of them.
    """
    if z is None:
        centred = codes.z.double() - codes.z.double().mean(0)
        root = centred / math.sqrt(len(codes))
        weights = Noise(seed, rows=500).normal(len(codes), like=root)
        z = (codes.z.double().mean(0) + weights @ root).to(codes.z.dtype)  # covariance: root^T root
    batch = real.spread(2000)
    vectors = fit_vectors(model.example, batch.x)
    known, made = vectors(batch.x).flatten(1), vectors(decoded(model, z, codes.shape)).flatten(1)
    inside, _ = membership(known, made, radii(known, NEIGHBOUR), torch.zeros(len(made), dtype=torch.float64))
    return float((inside.balls_per_point > 0).double().mean())


def linear_probe(
    z: Float[Tensor, "n latent"],
    labels: Int[Tensor, "n"],
    held_z: Float[Tensor, "m latent"],
    held_labels: Int[Tensor, "m"],
) -> float:
    """Accuracy on held-out codes of a logistic regression on standardised codes.

    Raises:
        InputError: if there are fewer than two classes, or codes and labels are not of equal number.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    if len(z) != len(labels) or len(held_z) != len(held_labels):
        raise InputError(f"labels: got {len(labels)} and {len(held_labels)}, expected {len(z)} and {len(held_z)}")
    if len(labels.unique()) < 2:
        raise InputError("labels: all are equal, expected at least two classes")
    probe = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
    probe.fit(z.double().numpy(), labels.numpy())
    return float(probe.score(held_z.double().numpy(), held_labels.numpy()))
