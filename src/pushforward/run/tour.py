"""A walk through the latent space of a run: pictures of it, and a report in words."""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from pushforward.core.capabilities import HasCodebook, HasLatent, require
from pushforward.core.data import Data
from pushforward.core.errors import InputError
from pushforward.core.files import write_bytes
from pushforward.core.modality import Label
from pushforward.core.text import Text
from pushforward.evaluation.collapse import observe
from pushforward.evaluation.latent_figures import draw_latents, draw_map, save_figure
from pushforward.evaluation.latent_maps import cluster, latent_map
from pushforward.evaluation.latent_quality import completeness, linear_probe, smoothness
from pushforward.evaluation.latent_sheets import draw_paths
from pushforward.evaluation.latents import (
    Codes,
    codes_of,
    decoded,
    interpolate,
    moved,
    nearest_codes,
    traverse,
    unit_range,
)
from pushforward.run.judge import data_of
from pushforward.run.loaded import Run, load

__all__ = ["Tour", "tour"]

#: Rows of a sheet, and examples in one: what fits a screen.
ROWS, STEPS = 8, 9


@dataclass(frozen=True)
class Tour:
    """What was found on the way.

    Args:
        lines: the report, one statement each.
        files: what was written.
    """

    lines: tuple[str, ...]
    files: tuple[Path, ...]

    def __str__(self) -> str:
        """The report and the names of the files."""
        return "\n".join([*self.lines, "", *map(str, self.files)])


def tour(
    run: Run | str | Path,
    data: Data | None = None,
    *,
    out: str | Path | None = None,
    how: Literal["pca", "tsne", "umap"] = "pca",
    seed: int = 0,
) -> Tour:
    """Walk through the latent space of a run on its held-out test split.

    Writes a map of the codes, traversals of the units that vary most, interpolations, arithmetic between classes,
    neighbours, and ``report.txt``.

    Args:
        run: a run or its folder, of a model with a code.
        data: what the run was fitted to, where that was an object.
        out: a folder, made if need be; None takes ``latent`` in the run folder.
        how: the kind of map.
        seed: of the pairs that are shown and of everything random in the measurements.

    Raises:
        InputError: if the model has no code, or the data is not that of the run.
    """
    run = run if isinstance(run, Run) else load(run)
    require(run.model, HasLatent, "show a latent space")
    model: Any = run.model
    data = data_of(run) if data is None else data
    if len(data.test) < 4:
        raise InputError(f"data: its test split has {len(data.test)} examples, expected at least 4")
    folder = run.path / "latent" if out is None else Path(out)
    folder.mkdir(parents=True, exist_ok=True)
    codes = codes_of(model, data.test, condition=data.condition)
    files = [file for file in (draw_latents(model, data, folder),) if file is not None]
    files += _pictures(model, codes, data, folder, how, seed)
    lines = tuple(_report(model, codes, data, seed))
    write_bytes(folder / "report.txt", ("\n".join(lines) + "\n").encode())
    return Tour(lines, (*files, folder / "report.txt"))


# -- pictures ----------------------------------------------------------------------------------------------------------


def _pictures(model: Any, codes: Codes, data: Data, folder: Path, how: Any, seed: int) -> list[Path]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.5, 5.2), layout="constrained")
    axes = figure.subplots()
    draw_map(axes, latent_map(codes.z, how, seed=seed), codes)
    axes.set(xticks=[], yticks=[], title=f"Codes of {len(codes):,} held-out examples, by {how.upper()}")
    files = [save_figure(figure, folder / "map.png")]
    sheets = {"interpolations": _interpolations(model, codes, seed), "neighbours": _neighbours(codes)}
    if not isinstance(model, HasCodebook):  # half-way between two codes of a codebook there is none
        sheets = {"traversals": _traversals(model, codes), **sheets}
    if codes.labels is not None and len(codes.labels.unique()) > 1:
        sheets["arithmetic"] = _arithmetic(model, codes)
    return files + [draw_paths(rows, data.example, folder / name, real=codes.x) for name, rows in sheets.items()]


def _shown(model: Any, codes: Codes, z: Tensor, like: int | Tensor) -> Tensor:
    """Codes decoded under the condition of one example for all of them, or of one example each."""
    given = None if codes.given is None else codes.given[like].expand(len(z), *codes.given.shape[1:])
    return decoded(model, z, codes.shape, given)


def _traversals(model: Any, codes: Codes) -> list[tuple[str, Tensor]]:
    """The code nearest to the mean, moved along the units that vary most."""
    centre = int((codes.z - codes.z.mean(0)).norm(dim=1).argmin())
    rows = []
    for unit in codes.z.var(0).argsort(descending=True)[:ROWS].tolist():
        low, high = unit_range(model, codes, unit)
        values = torch.linspace(low, high, STEPS).tolist()
        path = traverse(codes.z[centre], unit, values)
        rows.append((f"unit {unit}: {low:.2g} to {high:.2g}", _shown(model, codes, path, centre)))
    return rows


def _interpolations(model: Any, codes: Codes, seed: int) -> list[tuple[str, Tensor]]:
    """From one example to another, on the line and on the circle.

    Of two classes, unless the model was told the class: then the code is what examples of one class differ in.
    """
    order = torch.randperm(len(codes), generator=torch.Generator().manual_seed(seed)).tolist()
    rows = []
    for first, last in zip(order[::2], order[1::2], strict=False):
        if codes.labels is not None and bool(codes.labels[first] == codes.labels[last]) != (codes.given is not None):
            continue
        for how in ("linear", "spherical"):
            path = interpolate(codes.z[first], codes.z[last], STEPS, how)
            rows.append((how, _shown(model, codes, path, first)))
        if len(rows) >= ROWS:
            break
    if rows:
        return rows
    first, last = order[:2]  # a single class
    return [("linear", _shown(model, codes, interpolate(codes.z[first], codes.z[last], STEPS), first))]


def _arithmetic(model: Any, codes: Codes) -> list[tuple[str, Tensor]]:
    """Examples of the first class, and what becomes of them by the difference to the means of others."""
    assert codes.labels is not None
    kinds = codes.labels.unique().tolist()
    chosen = (codes.labels == kinds[0]).nonzero().flatten()[:STEPS]
    name = codes.names[kinds[0]]
    rows = [(f"{name}, as they are", codes.x[chosen])]
    rows.append((f"{name}, decoded", _shown(model, codes, codes.z[chosen], chosen)))
    for kind in kinds[1 : ROWS - 1]:
        z = moved(codes.z[chosen], codes, start=kinds[0], to=kind)
        # A model that is told the class has it in the condition, not in the code: the condition has to change as well.
        like = chosen if codes.given is None else int((codes.labels == kind).nonzero()[0])
        rows.append((f"moved to {codes.names[kind]}", _shown(model, codes, z, like)))
    return rows


def _neighbours(codes: Codes) -> list[tuple[str, Tensor]]:
    """Examples, each before those whose codes are nearest to its own."""
    chosen = torch.arange(min(ROWS, len(codes))) * len(codes) // min(ROWS, len(codes))
    found = nearest_codes(codes.z[chosen], codes, k=min(STEPS, len(codes)))
    return [(f"no. {i} and its nearest", codes.x[row]) for i, row in zip(chosen.tolist(), found.indices, strict=True)]


# -- words -------------------------------------------------------------------------------------------------------------


def _report(model: Any, codes: Codes, data: Data, seed: int) -> list[str]:
    """Statements on the latent space, each with its number and what it would be at best and by chance."""
    units = codes.z.shape[1]
    lines = [f"{type(model).__name__} on {data.name}: codes of {units} numbers, {len(codes):,} held-out examples"]
    if (seen := observe(model, data.test)) is not None:
        lines += [f"use of the code: {text}" for text in _used(seen.record)]
        lines += [f"! {seen.said}"] if seen.said else []
    lines += _classes(model, codes, data, seed)
    even = smoothness(model, codes, seed=seed)
    lines.append(f"smoothness: {even:.2f} (the mean step of a decoded interpolation over its largest; at best 1)")
    if not isinstance(data.example, Text):
        lines += _holes(model, codes, data, seed)
    return lines


def _used(record: dict[str, Any]) -> list[str]:
    if "perplexity" in record:
        share, perplexity = 100 * record["used"], record["perplexity"]
        return [f"{share:.0f} % of {record['codes']:,} codes occur, perplexity {perplexity:.3g}"]
    do = "have a mean that moves with the example, all together carry" if record["joint"] else "carry"
    return [
        f"{record['active_by_kl']} of {record['units']} units {do} {record['kl']:.2f} nats per example",
        f"the code tells {record['information']:.2f} nats of the example or more, I(x; z); {record['rows']} examples "
        f"can show {math.log(record['rows']):.2f} at most",
        f"codes of data lie {record['mismatch']:.2f} nats or less from where samples are drawn, KL(q(z) || p(z))",
    ]


def _classes(model: Any, codes: Codes, data: Data, seed: int) -> list[str]:
    if codes.labels is None or not isinstance(data.condition, Label) or len(codes.labels.unique()) < 2:
        return []
    learned = codes_of(model, data.train, condition=data.condition)
    assert learned.labels is not None
    right = linear_probe(learned.z, learned.labels, codes.z, codes.labels)
    common = float(codes.labels.bincount().max()) / len(codes)
    kinds = len(codes.labels.unique())
    clusters = cluster(codes.z, kinds, labels=codes.labels, seed=seed)
    told = "" if codes.given is None else " (the model was told the class, so its code has no need to hold it)"
    return [
        f"linear probe: tells the class from the code in {100 * right:.0f} % of examples, the commonest class alone in "
        f"{100 * common:.0f} %{told}",
        f"clusters: {kinds} k-means clusters agree with the classes by {clusters.rand:.2f} (adjusted Rand index: 0 by "
        f"chance, 1 at best), silhouette {clusters.silhouette:.2f}",
    ]


def _holes(model: Any, codes: Codes, data: Data, seed: int) -> list[str]:
    try:
        full = completeness(model, codes, data.test, seed=seed)
        again = completeness(model, codes, data.test, z=codes.z, seed=seed)
    except InputError:  # too few examples for neighbours, or no form as vectors
        return []
    return [
        f"completeness: {100 * full:.0f} % of codes drawn about those of the data decode to something among the data "
        f"(of the codes of the data themselves {100 * again:.0f} %)"
    ]
