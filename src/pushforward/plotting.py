"""Pictures of examples of any modality: images, scatters of points, histograms of columns, texts, waveforms."""

import io
import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from torch import Tensor

from pushforward.core.audio import LOUDEST, Audio
from pushforward.core.data import Data
from pushforward.core.files import write_bytes
from pushforward.core.modality import Image, Modality, Points
from pushforward.core.model import Model
from pushforward.core.table import Table
from pushforward.core.text import Text

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["draw_examples", "draw_pairs", "draw_samples", "draw_sheet", "image_grid"]

#: Images, texts and waveforms in a picture of samples, and points or rows in one.
FEW, MANY = 16, 1000

BLUE, GREY = "#2a6fb0", "#9a9a9a"


def image_grid(images: Tensor, levels: int, columns: int = 8) -> np.ndarray:
    """Storage images (B, C, H, W) as one array (rows, columns, 3) of 8-bit colour, one pixel of white between them.

    Example:
        >>> import torch
        >>> image_grid(torch.zeros(3, 1, 2, 2, dtype=torch.uint8), levels=17, columns=2).shape
        (7, 7, 3)
    """
    count, channels, height, width = images.shape
    columns = min(columns, count)
    rows = math.ceil(count / columns)
    grid = np.full((rows * (height + 1) + 1, columns * (width + 1) + 1, 3), 255, dtype=np.uint8)
    pixels = np.round(images.cpu().numpy().transpose(0, 2, 3, 1) * (255.0 / (levels - 1))).astype(np.uint8)
    if channels in (2, 4):  # alpha over white
        alpha = pixels[..., -1:] / 255.0
        pixels = np.round(pixels[..., :-1] * alpha + 255 * (1 - alpha)).astype(np.uint8)
    if pixels.shape[-1] != 3:
        pixels = np.repeat(pixels[..., :1], 3, axis=-1)
    for index in range(count):
        top, left = (index // columns) * (height + 1) + 1, (index % columns) * (width + 1) + 1
        grid[top : top + height, left : left + width] = pixels[index]
    return grid


def draw_examples(example: Modality, storage: Tensor, path: Path, *, real: Tensor | None = None) -> Path:
    """Draw storage examples into ``path`` (ending .png, or .txt for text), real ones behind them in grey."""
    match example:
        case Text():
            path = path.with_suffix(".txt")
            texts = (example.string(row) for row in storage.tolist())
            write_bytes(path, ("\n\n".join(texts) + "\n").encode())
            return path
        case Image():
            from PIL import Image as Picture

            grid = image_grid(storage, example.levels, columns=max(round(math.sqrt(len(storage))), 1))
            scale = max(1, 320 // grid.shape[1])
            picture = Picture.fromarray(grid.repeat(scale, axis=0).repeat(scale, axis=1))
            buffer = io.BytesIO()
            picture.save(buffer, format="PNG")
        case Points() | Table():
            buffer = _plot_rows(example, storage, real)
        case Audio():
            buffer = _plot_waveforms(example, storage)
        case _:
            raise ValueError(f"example: there is no picture of {example.describe()}")
    path = path.with_suffix(".png")
    write_bytes(path, buffer.getvalue())
    return path


def draw_samples(model: Model, data: Data, folder: Path, *, seed: int = 0) -> Path:
    """Draw fresh samples of a model into ``folder/samples.*``, with the model's quick sampler where it has one."""
    few = isinstance(data.example, (Image, Text, Audio))
    drawn = model.sample(FEW if few else MANY, seed=seed, sampler=model.preview)
    real = None if few else data.valid.spread(MANY).x
    return draw_examples(data.example, drawn, folder / "samples", real=real)


def draw_pairs(example: Modality, samples: Tensor, nearest: Tensor, path: Path) -> Path | None:
    """Draw samples above the training examples nearest to them; None where there is no picture of such a pair."""
    match example:
        case Image():
            return draw_sheet([("sample", samples), ("training", nearest)], example, path.with_suffix(".png"))
        case Text():
            path = path.with_suffix(".txt")
            pairs = zip(samples.tolist(), nearest.tolist(), strict=True)
            parts = (f"sample:   {example.string(a)!r}\ntraining: {example.string(b)!r}" for a, b in pairs)
            write_bytes(path, ("\n\n".join(parts) + "\n").encode())
            return path
    return None


def draw_sheet(rows: Sequence[tuple[str, Tensor]], example: Image, path: Path) -> Path:
    """Rows of images with their titles, one under the other: real examples beside those of several models."""
    from matplotlib.figure import Figure

    columns = max(len(images) for _, images in rows)
    figure = Figure(figsize=(1.9 + 0.55 * columns, 0.62 * len(rows) + 0.1), layout="constrained")
    for axes, (title, images) in zip(np.atleast_1d(figure.subplots(len(rows), 1)), rows, strict=True):
        axes.imshow(image_grid(images, example.levels, columns=columns), interpolation="nearest")
        axes.set_ylabel(title, rotation=0, ha="right", va="center", fontsize=11)
        axes.set(xticks=[], yticks=[])
        axes.spines[:].set_visible(False)
    return _save(figure, path)


def _plot_rows(example: Points | Table, storage: Tensor, real: Tensor | None) -> io.BytesIO:
    from matplotlib.figure import Figure

    if isinstance(example, Points) and example.dim in (2, 3):
        figure = Figure(figsize=(5, 5), layout="constrained")
        axes = figure.add_subplot(projection="3d" if example.dim == 3 else None)
        for points, colour, name in ((real, GREY, "data"), (storage, BLUE, "samples")):
            if points is not None:
                axes.scatter(*points.cpu().numpy().T, s=4, alpha=0.5, color=colour, label=name, linewidths=0)
        if example.dim == 2:
            axes.set_aspect("equal")
        axes.legend(loc="upper right", markerscale=3, frameon=False)
        return _png(figure)
    columns = example.columns if isinstance(example, Table) else ()
    names = [column.name for column in columns] or [f"x{i}" for i in range(storage.shape[1])]
    shown = min(len(names), 16)
    wide = min(shown, 4)
    figure = Figure(figsize=(2.6 * wide, 1.9 * math.ceil(shown / wide) + 0.3), layout="constrained")
    for index, axes in enumerate(figure.subplots(math.ceil(shown / wide), wide, squeeze=False).flat):
        if index >= shown:
            axes.set_visible(False)
            continue
        values = {"data": None if real is None else real[:, index], "samples": storage[:, index]}
        known = {name: v[~v.isnan()].cpu().numpy() for name, v in values.items() if v is not None}
        together = np.concatenate(list(known.values()))
        coded = bool(columns) and not columns[index].numeric
        low, high = (-0.5, len(columns[index].categories) - 0.5) if coded else _range(together)
        bins = np.linspace(low, high, (len(columns[index].categories) if coded else 30) + 1)
        for name, cells in known.items():
            share = np.full(len(cells), 1 / max(len(cells), 1))
            style = {"color": GREY, "alpha": 0.6} if name == "data" else {"color": BLUE, "histtype": "step", "lw": 1.5}
            axes.hist(cells, bins, weights=share, label=name, **style)
        axes.set_title(names[index], fontsize=9)
        axes.tick_params(labelsize=7)
    figure.axes[0].legend(fontsize=7, frameon=False)
    return _png(figure)


def _plot_waveforms(example: Audio, storage: Tensor) -> io.BytesIO:
    """Each waveform against its time, all on the scale of the loudest."""
    from matplotlib.figure import Figure

    wide = min(len(storage), 4)
    rows = math.ceil(len(storage) / wide)
    figure = Figure(figsize=(2.6 * wide, 1.1 * rows + 0.5), layout="constrained")
    seconds = np.arange(example.length) / example.rate
    loudest = max(float(storage.double().abs().max()) / LOUDEST, 1 / LOUDEST)
    for index, axes in enumerate(figure.subplots(rows, wide, squeeze=False, sharex=True, sharey=True).flat):
        if index < len(storage):
            axes.plot(seconds, storage[index].cpu().numpy() / LOUDEST, color=BLUE, lw=0.4)
        axes.set(ylim=(-loudest, loudest), xlim=(0, example.seconds), visible=index < len(storage))
        axes.tick_params(labelsize=7)
    figure.supxlabel("seconds", fontsize=8)
    return _png(figure)


def _range(values: np.ndarray) -> tuple[float, float]:
    """All but the outermost half per cent on each side, so that one outlier does not flatten the picture."""
    low, high = (float(q) for q in np.quantile(values, [0.005, 0.995])) if len(values) else (0.0, 1.0)
    return (low, high) if high > low else (low - 0.5, low + 0.5)


def _png(figure: "Figure") -> io.BytesIO:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=120)
    return buffer


def _save(figure: "Figure", path: Path) -> Path:
    write_bytes(path, _png(figure).getvalue())
    return path
