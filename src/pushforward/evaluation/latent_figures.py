"""Pictures of a latent space: what its units carry and where its codes lie, maps, traversals and interpolations."""

import io
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from pushforward.autoencoders.code_use import code_use
from pushforward.core.capabilities import HasCodebook, HasLatent, HasPosterior
from pushforward.core.data import Data, Rows
from pushforward.core.files import write_bytes
from pushforward.core.model import Model
from pushforward.evaluation.collapse import ACTIVE_KL, ACTIVE_VARIANCE, CODE_ROWS, LatentUse, latent_use
from pushforward.evaluation.latent_maps import latent_map
from pushforward.evaluation.latents import Codes, codes_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["draw_latents", "draw_map", "draw_use", "save_figure", "two_units"]

BLUE, ORANGE, GREY = "#2a6fb0", "#d1661c", "#9a9a9a"

#: Codes on a map: more of them hide each other.
POINTS = 1000

#: Square points that all points of a map cover together, and the least and the most of one: a thousand are 8 each; less
#: than 2 cannot be seen, and more than 36 is no point.
INK, LEAST_INK, MOST_INK = 8000, 2, 36

#: Units drawn one by one; of more, the first that carry most.
UNITS = 64


def draw_latents(model: Model, data: Data, folder: Path) -> Path | None:
    """Draw ``folder/latents.png``: what each unit (or code) carries, and a map of held-out codes.

    None for a model without a code, or too little data to see anything.
    """
    if not isinstance(model, HasLatent) or len(data.valid) < 3:
        return None
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 4), layout="constrained")
    left, right = figure.subplots(1, 2)
    codes = codes_of(model, data.valid, rows=POINTS, condition=data.condition)
    match model:
        case HasCodebook():
            _bars_of_codes(left, model, data)
        case HasPosterior():
            draw_use(left, latent_use(model, data.valid))
        case _:
            spread = np.sort(codes.z.double().numpy().var(0))[::-1][:UNITS]
            left.bar(range(len(spread)), spread, color=BLUE)
            left.set(xlabel="unit, by its variance", ylabel="variance of the code", title="What moves with x")
    plane, names = two_units(model, codes)
    draw_map(right, plane, codes)
    right.set(xlabel=names[0], ylabel=names[1], title="Codes of held-out examples")
    for axes in (left, right):
        axes.spines[["top", "right"]].set_visible(False)
    return save_figure(figure, folder / "latents.png")


def save_figure(figure: "Figure", path: Path) -> Path:
    """Write a figure as a PNG, whole or not at all."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=110)
    write_bytes(path, buffer.getvalue())
    return path


def two_units(model: Model, codes: Codes) -> tuple[Tensor, tuple[str, str]]:
    """Codes on a plane: their one or two units themselves, else the two principal components of all."""
    units = codes.z.shape[1]
    if units <= 2:
        plane = torch.nn.functional.pad(codes.z, (0, 2 - units))
        return plane, ("unit 0", "unit 1" if units == 2 else "")
    return latent_map(codes.z), ("first principal component", "second principal component")


def draw_map(axes: "Axes", plane: Tensor, codes: Codes) -> None:
    """A scatter of codes, coloured by class where there are classes; the fewer codes, the larger their points."""
    area = min(max(INK / len(plane), LEAST_INK), MOST_INK)
    if codes.labels is None:
        axes.scatter(*plane.numpy().T, s=area, lw=0, color=BLUE, alpha=0.6)
        return
    from matplotlib import colormaps

    kinds = codes.labels.unique().tolist()
    few = len(kinds) <= 10  # as many colours as can be told apart and named
    for place, kind in enumerate(kinds):
        colour = colormaps["tab10"](place) if few else colormaps["viridis"](place / len(kinds))
        chosen = plane[codes.labels == kind].numpy()
        label = str(codes.names[kind]) if few and codes.names else None
        axes.scatter(*chosen.T, s=area, lw=0, color=[colour], alpha=0.75, label=label)
    if few:
        alike = (MOST_INK / area) ** 0.5  # marks of one size, however large the points are
        axes.legend(fontsize=7, markerscale=alike, frameon=False, loc="center left", bbox_to_anchor=(1.0, 0.5))


def draw_use(axes: "Axes", use: LatentUse) -> None:
    """Nats of every unit; where these are known of all units together only, how far its posterior mean moves."""
    figures, least = (use.variance, ACTIVE_VARIANCE) if use.joint else (use.kl, ACTIVE_KL)
    name = "variance of the posterior mean" if use.joint else "KL (nats)"
    heights = np.array(figures)
    order = np.argsort(-heights)[:UNITS]
    colours = [BLUE if heights[unit] > least else ORANGE for unit in order]
    axes.bar(range(len(order)), heights[order], color=colours)
    axes.set_xticks(range(len(order)) if len(order) <= 20 else [], [str(u) for u in order] if len(order) <= 20 else [])
    axes.set(xlabel="unit, by what it carries", ylabel=name, title=f"{use.active_by_kl} of {use.units} units active")
    axes.axhline(least, color=GREY, lw=0.8)


def _bars_of_codes(axes: "Axes", model: HasCodebook, data: Data) -> None:
    x, condition = data.valid.spread(CODE_ROWS)
    given = () if condition is None or model.condition is None else (condition.value, condition.present)
    use = code_use(model, Rows(x, *given))
    for counts in use.counts.double():
        axes.plot((counts / counts.sum()).sort(descending=True).values.numpy(), color=BLUE, lw=1.2)
    axes.axhline(1 / model.codebook_size, color=GREY, lw=0.8)
    axes.set(xlabel="code, by its use", ylabel="share", ylim=(0, None))
    axes.set_title(f"{100 * float(use.share.mean()):.0f} % of {model.codebook_size:,} codes used")
