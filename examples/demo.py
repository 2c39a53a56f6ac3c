"""The main job on built-in data: one model of every family, fitted to real digits, sampled and drawn side by side.

    python examples/demo.py [--budget 20s] [--out demo]

Every model sees the same 1,437 scans with their labels for the same time; then each draws the ten digits on command.
"""

import argparse
import sys
from pathlib import Path

import torch
from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table

import pushforward as pf
from pushforward.plotting import draw_sheet
from pushforward.run.outline import parameters, said_time

#: One per family, baselines first.
MODELS = ("independent", "gaussian", "mixture", "vae", "realnvp", "gan", "ddpm", "gpt")


def main() -> int:
    """Fit, sample, draw, and print the table; exit status 2 with one sentence when a place cannot be used."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--budget", default="18s", help="training time of each model")
    parser.add_argument("--out", type=Path, default=Path("demo"), help="folder for the runs and the sheet")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    console = Console()
    data = pf.load_data("digits", seed=given.seed)
    for line in data.describe():
        console.print(line, highlight=False)

    rows = [("real", _one_of_each(data))]
    table = Table("model", "held-out (validation)", "parameters", "time", "run folder", box=SIMPLE)
    for name in MODELS:
        run = pf.fit(name, data, budget=given.budget, seed=given.seed, out=_free(given.out / name))
        drawn = run.model.sample(10, condition=torch.arange(10), seed=given.seed)
        rows.append((name, drawn))
        figure, seconds = run.training["said"], said_time(run.training["seconds"])
        table.add_row(name, figure, f"{parameters(run.model):,}", seconds, str(run.path))
        console.print(f"{name}: {figure}, {seconds}, {run.path}", highlight=False)
    sheet = draw_sheet(rows, data.example, given.out / "sheet.png")
    console.print(table)
    console.print(
        "Lower is better. A bound and an exact figure of the same measure can be read together: the true figure"
    )
    console.print("of a bound is no higher than shown. A distance of samples is another scale.", highlight=False)
    console.print(f"The digits 0 to 9, drawn by each model on command: {sheet}", highlight=False)
    return 0


def _one_of_each(data: pf.Data) -> torch.Tensor:
    """A held-out scan of every digit."""
    batch = data.valid.spread(len(data.valid))
    assert batch.condition is not None
    labels = batch.condition.value
    return torch.stack([batch.x[(labels == digit).nonzero()[0, 0]] for digit in range(10)])


def _free(path: Path) -> Path:
    """The path itself, or with the first number that is free."""
    number = 2
    wanted = path
    while path.exists():
        path, number = wanted.with_name(f"{wanted.name}-{number}"), number + 1
    return path


if __name__ == "__main__":
    try:
        sys.exit(main())
    except pf.InputError as error:
        print(f"demo: {error}", file=sys.stderr)
        sys.exit(2)
