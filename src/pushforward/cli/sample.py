"""``pushforward sample``: draw from a run, into a file by its ending, or onto the screen."""

import dataclasses
import sys
from pathlib import Path
from typing import Annotated, Any

import tyro

from pushforward.cli.place import open_run

__all__ = ["sample_command"]


@dataclasses.dataclass(kw_only=True)
class Sample:
    """What ``sample`` takes besides the fields of the model's sampler."""

    n: Annotated[int, tyro.conf.arg(aliases=["-n"])] = 16  # How many.
    condition: str | None = None  # The class to draw: one name, or several with commas between.
    seed: int | None = None  # Which draws; a fresh seed unless given.
    start: int = 0  # Index of the first sample of the seed.
    prompt: str | None = None  # For text: what the samples begin with.
    length: int | None = None  # For text: how many characters to add.
    out: Path | None = None  # File to write; its ending (.png .npy .npz .csv .parquet .txt) says how.
    trust: tuple[str, ...] = ()  # Classes of models from outside that may be imported, as module:Class.
    device: str = "cpu"  # Where to compute: cpu or cuda.
    threads: int = 0  # CPU threads; 0 takes as many as torch does.


def sample_command(rest: list[str]) -> int:
    """Draw samples from a run; prints text and tables, writes the rest beside the run unless told where.

    Raises:
        InputError: if an argument cannot be used.
    """
    run, given, sampler = open_run(rest, Sample, verb="sample", description="Draw new examples from a run.")
    condition = given.condition.split(",") if given.condition and "," in given.condition else given.condition
    drawn = run.draw(
        given.n,
        condition=condition,
        seed=given.seed,
        start=given.start,
        sampler=sampler,
        prompt=given.prompt,
        length=given.length,
    )
    return _write(run, drawn, given.out)


def _write(run: Any, drawn: Any, out: Path | None) -> int:
    from pushforward.core.table import Table
    from pushforward.core.text import Text
    from pushforward.datasets.save import write_samples

    if out is None and isinstance(run.example, Text):
        print("\n\n".join(run.example.string(row) for row in drawn.tolist()))
        return 0
    if out is None and isinstance(run.example, Table):
        run.example.unpack(drawn).to_csv(sys.stdout, index=False)
        return 0
    path = out or run.path / "drawn.png"
    write_samples(run.example, drawn, path)
    print(path)
    return 0
