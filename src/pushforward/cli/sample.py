"""``pushforward sample``: draw from a run, into a file by its ending, or onto the screen."""

import dataclasses
import io
import sys
from pathlib import Path
from typing import Annotated, Any

import tyro

from pushforward.cli.examples import busy
from pushforward.cli.place import open_run
from pushforward.core.errors import InputError

__all__ = ["sample_command"]


@dataclasses.dataclass(kw_only=True)
class Sample:
    """What ``sample`` takes besides the fields of the model's sampler."""

    n: Annotated[int | None, tyro.conf.arg(aliases=["-n"])] = None  # How many: 16, or 1 filling of every row given.
    given: Path | None = None  # A table with empty cells, which are drawn given the others.
    condition: str | None = None  # The class to draw: one name, or several with commas between.
    seed: int | None = None  # Which draws; a fresh seed unless given.
    start: int = 0  # Index of the first sample of the seed.
    prompt: str | None = None  # For text: what the samples begin with.
    length: int | None = None  # For text: how many characters to add.
    out: Path | None = None  # File to write; its ending (.png .npy .npz .csv .parquet .txt .wav) says how.
    trust: tuple[str, ...] = ()  # Classes of models from outside that may be imported, as module:Class.
    device: str = "cpu"  # Where to compute: cpu or cuda.
    threads: int = 0  # CPU threads; 0 takes as many as torch does.


def sample_command(rest: list[str]) -> int:
    """Draw samples from a run; prints text and tables, writes the rest beside the run unless told where.

    Raises:
        InputError: if an argument cannot be used.
    """
    run, given, sampler = open_run(rest, Sample, verb="sample", description="Draw new examples from a run.")
    if given.given is not None:
        return _fill(run, given, sampler)
    from pushforward.datasets.save import check_ending

    condition = given.condition.split(",") if given.condition and "," in given.condition else given.condition
    if given.out is not None:
        check_ending(run.example, given.out)
    count = 16 if given.n is None else given.n
    with busy(f"drawing {count:,} examples"):
        drawn = run.draw(
            count,
            condition=condition,
            seed=given.seed,
            start=given.start,
            sampler=sampler,
            prompt=given.prompt,
            length=given.length,
        )
    return _write(run, drawn, given.out)


def _fill(run: Any, given: Any, sampler: Any) -> int:
    """Draw the empty cells of a table; writes its rows with every cell filled, once for each draw."""
    from pushforward.core.files import write_bytes
    from pushforward.datasets.delimited import read_delimited, read_parquet
    from pushforward.uses.imputation import impute, with_gaps

    beside = {
        "condition": given.condition,
        "prompt": given.prompt,
        "length": given.length,
        "sampler": None if sampler is None or sampler == type(sampler)() else sampler,
    }
    for name, value in beside.items():
        if value is not None:
            raise InputError(f"{name}: got {value} beside --given, expected one of them")
    if not given.given.exists():
        raise InputError(f"given: there is no file {given.given}, expected a table with empty cells")
    if given.out is not None and given.out.suffix.lower() not in (".csv", ".parquet"):
        raise InputError(f"out: got {given.out.name!r}, expected a name in .csv, .parquet")
    parquet = given.given.suffix.lower() in (".parquet", ".pq")
    rows = with_gaps(run.example, read_parquet(given.given) if parquet else read_delimited(given.given)[0])
    draws = 1 if given.n is None else given.n
    with busy(f"filling {int(rows.isnan().sum()):,} cells"):
        filled = impute(run.model, rows, draws=draws, seed=given.seed)
    frame = run.example.unpack(filled.flatten(0, 1))
    if draws > 1:
        frame.insert(0, "draw", [draw for draw in range(draws) for _ in range(len(rows))])
    if given.out is None:
        frame.to_csv(sys.stdout, index=False)
        return 0
    buffer = io.BytesIO()
    frame.to_csv(buffer, index=False) if given.out.suffix.lower() == ".csv" else frame.to_parquet(buffer, index=False)
    write_bytes(given.out, buffer.getvalue())
    print(f"{given.out}: {int(rows.isnan().sum()):,} cells filled, {draws} time{'s' if draws > 1 else ''}")
    return 0


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
