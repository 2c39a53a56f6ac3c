"""``pushforward latent``: walk through the latent space of a run."""

import dataclasses
from pathlib import Path
from typing import Literal

from pushforward.cli.examples import busy
from pushforward.cli.flags import parse
from pushforward.cli.place import named_run, place, trusted

__all__ = ["latent_command"]


@dataclasses.dataclass(kw_only=True)
class Latent:
    """What ``latent`` takes."""

    out: Path | None = None  # Folder for pictures and report; the folder latent of the run unless given.
    map: Literal["pca", "tsne", "umap"] = "pca"  # Map of the codes; umap needs the package umap-learn.
    seed: int = 0  # Of the pairs that are shown.
    trust: tuple[str, ...] = ()  # Classes of models from outside that may be imported, as module:Class.
    device: str = "cpu"  # Where to compute: cpu or cuda.
    threads: int = 0  # CPU threads; 0 takes as many as torch does.


def latent_command(rest: list[str]) -> int:
    """Write maps, traversals, interpolations and a report of a run's latent space; prints the report.

    Raises:
        InputError: if an argument cannot be used, or the run's model has no code.
    """
    description = "Walk through the latent space of a run: map, traversals, interpolations, and a report in words."
    name = named_run(rest, Latent, verb="latent", description=description)
    given = parse(Latent, rest[1:], prog=f"pushforward latent {name}", description=description)
    from pushforward.run.loaded import load
    from pushforward.run.tour import tour

    run = load(name, trust=trusted(rest))
    place(run, device=given.device, threads=given.threads)
    with busy(f"walking through the codes of {name}"):
        found = tour(run, out=given.out, how=given.map, seed=given.seed)
    print(found)
    return 0
