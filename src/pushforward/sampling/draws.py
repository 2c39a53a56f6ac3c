"""The draws of a run, with what is needed to judge them."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pandas as pd
from jaxtyping import Bool, Float, Shaped
from torch import Tensor

from pushforward.core.errors import InputError
from pushforward.sampling.diagnosis import diagnose
from pushforward.sampling.diagnostics import ess, mean_error, rhat
from pushforward.sampling.method import Chains

if TYPE_CHECKING:
    from arviz import InferenceData

__all__ = ["Draws"]


@dataclass(frozen=True, eq=False)
class Draws:
    r"""What ``sample`` returns.

    Args:
        values: the draws in the user's space.
        chains: the run in the coordinates the chains moved in, which are unconstrained.
        method: its name.
        seconds: of wall-clock, warm-up included.
        asked: draws per chain that were asked for; there are fewer after an interrupt.
        target_acceptance: the mean acceptance the method tunes for; None if it has none.
        invalid: how often the log-density was NaN or plus infinity.

    Example:
        >>> from pushforward.sampling.chains import sample
        >>> import torch
        >>> generator = torch.Generator().manual_seed(0)
        >>> normal = torch.distributions.Normal(torch.zeros(2), torch.ones(2))
        >>> draws = sample(normal, chains=64, warmup=100, draws=100, generator=generator)
        >>> draws.values.shape, draws.summary().round(1).loc["x[1]", ["mean", "sd"]].abs().tolist()
        (torch.Size([64, 100, 2]), [0.0, 1.0])
    """

    values: Shaped[Tensor, "chains draws *event"]
    chains: Chains
    method: str
    seconds: float
    asked: int
    target_acceptance: float | None = None
    invalid: int = 0

    @property
    def log_density(self) -> Float[Tensor, "chains draws"]:
        """The unnormalised log-density of the draws, in the coordinates the chains moved in."""
        return self.chains.log_density

    @property
    def acceptance(self) -> Float[Tensor, "chains draws"]:
        """Of the proposals, in [0, 1]."""
        return self.chains.acceptance

    @property
    def divergent(self) -> Bool[Tensor, "chains draws"]:
        """Whether the trajectory that led there diverged."""
        return self.chains.divergent

    @property
    def gradients(self) -> int:
        """Gradients each chain paid for its draws."""
        return self.chains.gradients

    @property
    def warmup_gradients(self) -> int:
        """Gradients each chain paid for warm-up."""
        return self.chains.warmup_gradients

    @property
    def settings(self) -> dict[str, float | Tensor]:
        """What warm-up found."""
        return self.chains.settings

    def flat(self) -> Shaped[Tensor, "n *event"]:
        """The draws of all chains, one after another."""
        return self.values.flatten(0, 1)

    def summary(self) -> pd.DataFrame:
        """One row per coordinate: mean, sd, standard error of the mean, effective sample sizes, R-hat.

        Raises:
            InputError: if there are fewer than 4 draws per chain.
        """
        x = self.values.double().flatten(2) if self.values.ndim > 2 else self.values.double()[..., None]
        columns = {
            "mean": x.mean((0, 1)),
            "sd": x.flatten(0, 1).std(0),
            "mean_error": mean_error(x),
            "ess_bulk": ess(x, "bulk"),
            "ess_tail": ess(x, "tail"),
            "rhat": rhat(x),
        }
        names = _names(tuple(self.values.shape[2:]))
        return pd.DataFrame({name: column.cpu().numpy() for name, column in columns.items()}, index=names)

    def diagnosis(self) -> list[str]:
        """Sentences that name what is wrong and what to try next; a single one if nothing was found."""
        event = tuple(self.values.shape[2:])
        dim = self.chains.positions.shape[2]
        same = len(_names(event)) == dim
        names = _names(event) if same else [f"unconstrained x[{i}]" for i in range(dim)]
        return diagnose(
            self.chains, names, target_acceptance=self.target_acceptance, asked=self.asked, invalid=self.invalid
        )

    def to_inference_data(self) -> InferenceData:
        """For arviz: the draws as ``posterior`` with one variable x, and ``sample_stats``.

        Raises:
            InputError: if arviz is not installed.
        """
        try:
            import arviz
        except ImportError as error:
            raise InputError(
                'to_inference_data: needs arviz, install it with pip install "pushforward[sampling]"'
            ) from error
        return arviz.from_dict(
            posterior={"x": self.values.cpu().numpy()},
            sample_stats={
                "lp": self.log_density.cpu().numpy(),
                "acceptance_rate": self.acceptance.cpu().numpy(),
                "diverging": self.divergent.cpu().numpy(),
            },
        )

    def __repr__(self) -> str:
        chains, draws = self.values.shape[:2]
        return (
            f"Draws({self.method}: {chains} chains of {draws} draws of shape {tuple(self.values.shape[2:])}, "
            f"{self.seconds:.2f} s, {self.gradients} gradients per chain after {self.warmup_gradients} in warm-up)"
        )


def _names(event: tuple[int, ...]) -> list[str]:
    if not event:
        return ["x"]
    return [f"x[{', '.join(map(str, place))}]" for place in itertools.product(*map(range, event))]
