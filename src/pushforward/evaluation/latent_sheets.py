"""Rows of examples, one row a path through the latent space, drawn or written in the way that suits the examples."""

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from pushforward.core.audio import Audio
from pushforward.core.files import write_bytes
from pushforward.core.modality import Image, Modality, Points
from pushforward.core.table import Table
from pushforward.core.text import Text
from pushforward.evaluation.latent_figures import save_figure
from pushforward.plotting import draw_examples, draw_sheet

__all__ = ["draw_paths"]

GREY = "#9a9a9a"


def draw_paths(
    rows: Sequence[tuple[str, Tensor]], example: Modality, path: Path, *, real: Tensor | None = None
) -> Path:
    """Write rows of storage examples with their titles.

    Images become a sheet, points in two or three dimensions curves over the data, waveforms plots, text a text file,
    and rows of a table or longer points a CSV with the columns ``path`` and ``step``.

    Args:
        rows: titles and examples.
        example: what they are.
        path: where to; its ending is replaced by the one that suits.
        real: data behind the curves of points.

    Returns:
        The file.
    """
    match example:
        case Image():
            return draw_sheet(rows, example, path.with_suffix(".png"))
        case Points() if example.dim in (2, 3):
            return _curves(rows, example, path.with_suffix(".png"), real)
        case Audio():
            return draw_examples(example, torch.cat([examples for _, examples in rows]), path.with_suffix(".png"))
        case Text():
            lines = []
            for title, found in rows:
                lines += [title, *(f"  {example.string(codes)!r}" for codes in found.tolist()), ""]
            write_bytes(path := path.with_suffix(".txt"), "\n".join(lines).encode())
            return path
        case Points() | Table():
            return _csv(rows, example, path.with_suffix(".csv"))
        case _:
            raise ValueError(f"example: there is no way to show {example.describe()}")


def _curves(rows: Sequence[tuple[str, Tensor]], example: Points, path: Path, real: Tensor | None) -> Path:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.2, 5), layout="constrained")
    axes = figure.add_subplot(projection="3d" if example.dim == 3 else None)
    if real is not None:
        axes.scatter(*real.cpu().numpy().T, s=3, lw=0, color=GREY, alpha=0.4)
    for title, found in rows:
        axes.plot(*found.cpu().numpy().T, marker="o", ms=3, lw=1.5, label=title)
    axes.legend(fontsize=7, frameon=False, loc="center left", bbox_to_anchor=(1.0, 0.5))
    return save_figure(figure, path)


def _csv(rows: Sequence[tuple[str, Tensor]], example: Points | Table, path: Path) -> Path:
    import pandas as pd

    parts = []
    for title, found in rows:
        user = example.unpack(found)
        frame = user if isinstance(user, pd.DataFrame) else pd.DataFrame(user, columns=_names(found.shape[1]))
        frame.insert(0, "path", title)
        frame.insert(1, "step", range(len(frame)))
        parts.append(frame)
    write_bytes(path, pd.concat(parts).to_csv(index=False).encode())
    return path


def _names(count: int) -> list[str]:
    return [f"x{i}" for i in range(count)]
