"""A learner that writes down what the loop does to it, and helpers that run the loop on it."""

import json
from pathlib import Path

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from pushforward.core.data import Data
from pushforward.core.model import Model, model
from pushforward.core.stages import Phase, Stage
from pushforward.training.loop import Loop
from pushforward.training.progress import Bar
from pushforward.training.settings import Settings

__all__ = ["Watched", "make_loop", "metrics"]


@model
class Watched(Model):
    """Two points drawn to the data, each by a phase of its own, the second one twice as often."""

    explodes: bool = False  # Whether a term becomes NaN in the second half of the training.
    rounds: int = 1  # How many stages of the same name and the same phases there are.
    clip: float | None = None  # Largest gradient norm of both phases.

    def build(self) -> None:
        self.first, self.second = nn.Parameter(torch.zeros(self.shape)), nn.Parameter(torch.ones(self.shape))
        #: What every call of a loss saw: its phase, which parameters were to be changed, and the batch.
        self.calls: list[tuple[str, dict[str, bool], Tensor, Tensor | None]] = []
        #: The weights after every step.
        self.steps: list[dict[str, Tensor]] = []

    def _see(self, phase, x, condition):
        changing = {name: p.requires_grad for name, p in self.named_parameters()}
        present = None if condition is None else condition.present.clone()
        self.calls.append((phase, changing, x.clone(), present))

    def terms(self, x, condition, *, noise):
        self._see("one", x, condition)
        pull = ((x - self.first) ** 2).flatten(1).sum(1)
        return {"pull": pull * float("nan") if self.explodes and self.progress >= 0.5 else pull, "constant": 0 * pull}

    def other_terms(self, x, condition, *, noise):
        self._see("two", x, condition)
        return {"push": (x - self.second + 0.1 * noise.normal(*self.shape, like=x)).abs().flatten(1).sum(1)}

    def stages(self):
        phases = [
            Phase(name="one", terms=self.terms, parameters=[self.first], clip=self.clip),
            Phase(name="two", terms=self.other_terms, parameters=[self.second], repeats=2, clip=self.clip),
        ]
        return [Stage(name="pull", phases=phases)] * self.rounds

    def after_step(self) -> None:
        self.steps.append({name: tensor.clone() for name, tensor in self.state_dict().items()})

    def draw(self, n, condition, *, noise, sampler):
        return self.first + noise.normal(*self.shape, like=self.first)


def make_loop(trained: Model, data: Data, *, folder: Path | None = None, validate=None, **chosen) -> Loop:
    """The loop on one thread of a CPU, with the given settings; the newest weights are the best unless it is told."""
    precision = {"32": "32-true", "64": "64-true", "bf16": "bf16-mixed"}[chosen.get("precision", "32")]
    fabric = Fabric(accelerator="cpu", devices=1, precision=precision)
    settings = Settings(threads=1, device="cpu", **chosen)
    loop = Loop(
        trained,
        data,
        settings,
        fabric=fabric,
        validate=validate or (lambda model: -loop.position.step),
        bar=Bar("test", show=False),
    )
    loop.folder = folder
    return loop


def metrics(folder: Path) -> list[dict]:
    """The lines of the metrics, without the times."""
    lines = (folder / "metrics.jsonl").read_text().splitlines()
    return [{key: value for key, value in json.loads(line).items() if key != "seconds"} for line in lines]
