"""pushforward: one contract for every generative model. Fit it, sample it, score it, compare it, and see why it works.

    import pushforward as pf

    data = pf.load_data("digits")
    run = pf.fit("vae", data, budget="20s", seed=0)
    run.sample(16, seed=0)
    run.model.log_prob(data.test.x)
    pf.evaluate(run)
    pf.check(run.model)
    pf.compare(["vae", "realnvp", "gan", "ddpm", "gpt"], data, budget="1min")

Public names are loaded when they are first used: importing the package does not import torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

#: Where each public name lives.
_HOME = {
    "Data": "core.data",
    "Diverged": "training.metrics",
    "InputError": "core.errors",
    "LatentEncoder": "run.encoder",
    "Model": "core.model",
    "Run": "run.loaded",
    "Score": "evaluation.score",
    "Scorecard": "evaluation.scorecard",
    "Settings": "training.settings",
    "Stopped": "training.loop",
    "anomaly_scores": "uses.anomalies",
    "check": "conformance.report",
    "compare": "comparison.runs",
    "compress": "uses.compression",
    "datasets_available": "datasets.catalogue",
    "decompress": "uses.compression",
    "denoise": "uses.denoising",
    "evaluate": "run.judge",
    "fit": "run.verbs",
    "impute": "uses.imputation",
    "load": "run.loaded",
    "load_data": "datasets.load",
    "model": "core.model",
    "models": "zoo",
    "plan": "run.verbs",
    "resume": "run.verbs",
    "score_examples": "run.judge",
    "tour": "run.tour",
}

__all__ = [
    "Data",
    "Diverged",
    "InputError",
    "LatentEncoder",
    "Model",
    "Run",
    "Score",
    "Scorecard",
    "Settings",
    "Stopped",
    "anomaly_scores",
    "check",
    "compare",
    "compress",
    "datasets_available",
    "decompress",
    "denoise",
    "evaluate",
    "fit",
    "impute",
    "load",
    "load_data",
    "model",
    "models",
    "plan",
    "resume",
    "score_examples",
    "tour",
]

if TYPE_CHECKING:
    from pushforward.comparison.runs import compare
    from pushforward.conformance.report import check
    from pushforward.core.data import Data
    from pushforward.core.errors import InputError
    from pushforward.core.model import Model, model
    from pushforward.datasets.catalogue import datasets_available
    from pushforward.datasets.load import load_data
    from pushforward.evaluation.score import Score
    from pushforward.evaluation.scorecard import Scorecard
    from pushforward.run.encoder import LatentEncoder
    from pushforward.run.judge import evaluate, score_examples
    from pushforward.run.loaded import Run, load
    from pushforward.run.tour import tour
    from pushforward.run.verbs import fit, plan, resume
    from pushforward.training.loop import Stopped
    from pushforward.training.metrics import Diverged
    from pushforward.training.settings import Settings
    from pushforward.uses.anomalies import anomaly_scores
    from pushforward.uses.compression import compress, decompress
    from pushforward.uses.denoising import denoise
    from pushforward.uses.imputation import impute
    from pushforward.zoo import models


def __getattr__(name: str) -> Any:
    """Import a public name when it is first asked for."""
    if name in _HOME:
        return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
    if name == "__version__":
        return import_module("importlib.metadata").version(__name__)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    """The public names, for completion."""
    return [*globals(), *__all__]
