"""Figures of a report as SVG on a transparent ground, in ink for a light and for a dark page.

A model keeps its colour and its marker in every figure; the baselines are grey.
"""

import io
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from pushforward.comparison.entries import Entry, first_seeds, models_of
from pushforward.comparison.table import Column
from pushforward.evaluation.score import Score

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["Drawing", "costs", "curves"]

#: Ink of text and axes on a light and on a dark page.
INKS = {"light": "#333333", "dark": "#c9c9c9"}

#: Middle tones that hold at least 3:1 against white and against near-black; told apart by colour-blind readers too,
#: and never by colour alone.
COLOURS = ("#0f7cc0", "#c8641a", "#1e9172", "#b65f9e", "#a8831a", "#5f6fd0", "#c9504f", "#3d8f3d")
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")
GREYS = ("#8a8a8a", "#777777", "#9a9a9a")
GREY_STYLES = (":", "--", "-.")

#: What quality is set against cost by: the first that the table has.
QUALITIES = (
    "two-sample accuracy (trees)",
    "two-sample accuracy (linear)",
    "Frechet distance",
    "energy distance",
    "bits per character",
    "negative log-likelihood",
)


class Drawing(NamedTuple):
    """A figure in both inks, what it shows, and the same in words."""

    light: bytes
    dark: bytes
    title: str
    alt: str


class Style(NamedTuple):
    """How a model is drawn."""

    colour: str
    marker: str
    line: str


def styles(entries: Sequence[Entry]) -> dict[str, Style]:
    """A colour, marker and line for every model."""
    baselines = {entry.model for entry in entries if entry.baseline}
    made, learned, cheap = {}, 0, 0
    for model in models_of(entries):
        if model in baselines:
            made[model] = Style(GREYS[cheap % len(GREYS)], "xph"[cheap % 3], GREY_STYLES[cheap % 3])
            cheap += 1
        else:
            made[model] = Style(COLOURS[learned % len(COLOURS)], MARKERS[learned % len(MARKERS)], "-")
            learned += 1
    return made


def curves(entries: Sequence[Entry]) -> tuple[Drawing, ...]:
    """The validation figure against training time: a panel for every unit, kind and measure, never two on one axis."""
    panels: dict[tuple[str, str, str], list[Entry]] = {}
    for entry in first_seeds(entries):
        figure = entry.training.get("figure", {})
        if entry.lines and figure:
            key = (str(figure.get("unit")), str(figure.get("kind")), str(figure.get("measure")))
            panels.setdefault(key, []).append(entry)
    look = styles(entries)
    return tuple(_curve(key, chosen, look) for key, chosen in panels.items())


def costs(entries: Sequence[Entry], table: Sequence[Column]) -> tuple[Drawing, ...]:
    """Quality against the time to train, and against the time to draw: one drawing each, where both were measured."""
    quality = next((c for name in QUALITIES for c in table if c.name == name and len(c.filled) > 1), None)
    if quality is None:
        return ()
    look = styles(entries)
    times = [c for name in ("training time", "seconds per 1,000 samples") for c in table if c.name == name]
    return tuple(_scatter(quality, time, look) for time in times if _pairs(quality, time))


def _curve(key: tuple[str, str, str], chosen: Sequence[Entry], look: Mapping[str, Style]) -> Drawing:
    unit, kind, measure = key
    how = ", ".join(filter(None, ({"bound": "upper bound", "samples": "of samples"}.get(kind, kind), measure)))
    title = f"{unit} ({how}), lower is better"
    ends = [f"{e.model} ends at {e.lines[-1]['validation']:.3g} after {e.lines[-1]['seconds']:.3g} s" for e in chosen]

    def draw(axes: "Axes", ink: str) -> None:
        for entry in chosen:
            style = look[entry.model]
            seconds = [line["seconds"] for line in entry.lines]
            values = [line["validation"] for line in entry.lines]
            if len(values) == 1:  # a closed form has no curve: its value is a level to read the others against
                axes.axhline(values[0], color=style.colour, linestyle=style.line, linewidth=1.2, label=entry.model)
            else:
                every = max(len(values) // 6, 1)
                axes.plot(seconds, values, color=style.colour, marker=style.marker, markevery=every, label=entry.model)
        low, high = _window([[line["validation"] for line in entry.lines] for entry in chosen])
        axes.set_ylim(low, high)
        axes.set_xlabel("seconds of training")

    return _both(draw, title, f"Validation figure in {unit} against seconds of training: {'; '.join(ends)}.")


def _window(curves: Sequence[Sequence[float]]) -> tuple[float, float]:
    """Where the curves end and most of their way there: the first steps, far off, would flatten the rest."""
    late = [value for curve in curves for value in curve[len(curve) // 10 :] if math.isfinite(value)]
    low, high = (min(late), max(late)) if late else (0.0, 1.0)
    room = 0.06 * (high - low) or 0.5
    return low - room, high + room


def _scatter(quality: Column, time: Column, look: Mapping[str, Style]) -> Drawing:
    pairs = list(_pairs(quality, time))
    shared = ", shared machine" if time.conditions.get("machine") == "shared" else ""
    # "training time" becomes "seconds of training", the other metric names its unit already.
    along = f"{'seconds of training' if time.name == 'training time' else time.name}{shared}"
    goal = "" if quality.ideal is None or math.isinf(quality.ideal) else f" (ideal {quality.ideal:g})"
    title = f"{quality.name}{goal}"

    def draw(axes: "Axes", ink: str) -> None:
        for model, good, cost in pairs:
            style = look[model]
            error = None
            if math.isfinite(good.low) and math.isfinite(good.high):
                error = [[max(good.value - good.low, 0.0)], [max(good.high - good.value, 0.0)]]
            look_of = {"color": style.colour, "marker": style.marker, "linestyle": "", "markersize": 6}
            axes.errorbar([cost.value], [good.value], yerr=error, label=model, **look_of)
        if quality.ideal is not None and math.isfinite(quality.ideal):
            axes.axhline(quality.ideal, color=ink, linewidth=0.8, linestyle=":")
        if quality.floor is not None and math.isfinite(quality.floor.low):
            axes.axhspan(quality.floor.low, quality.floor.high, color=ink, alpha=0.12, linewidth=0)
        if all(cost.value > 0 for _, _, cost in pairs):
            axes.set_xscale("log")
        axes.margins(x=0.08)
        axes.set_xlabel(along)

    said = "; ".join(f"{model}: {good.value:.3g} at {cost.value:.3g} s" for model, good, cost in pairs)
    return _both(draw, f"{title} against {along}", f"{title} against {along}: {said}.")


def _pairs(quality: Column, time: Column) -> list[tuple[str, Score, Score]]:
    costs = {cell.model: cell.score for cell in time.filled}
    found: Iterator[tuple[str, Score | None, Score | None]] = (
        (cell.model, cell.score, costs.get(cell.model)) for cell in quality.filled
    )
    return [(model, good, cost) for model, good, cost in found if good is not None and cost is not None]


def _both(draw: Callable[[Any, str], None], title: str, alt: str) -> Drawing:
    light, dark = (_svg(draw, ink) for ink in INKS.values())
    return Drawing(light, dark, title, alt)


def _svg(draw: Callable[[Any, str], None], ink: str) -> bytes:
    """One axes, drawn by ``draw(axes, ink)``: small enough to be read at the width of a phone."""
    import matplotlib
    from matplotlib.figure import Figure

    # Text stays text, and equal figures are equal files.
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": "pushforward", "font.family": "sans-serif"}):
        figure: Figure = Figure(figsize=(4.8, 3.7), layout="constrained")
        axes = figure.add_subplot()
        draw(axes, ink)
        axes.spines[["top", "right"]].set_visible(False)
        for spine in axes.spines.values():
            spine.set_color(ink)
        axes.tick_params(colors=ink, which="both", labelsize=8)
        axes.xaxis.label.set(color=ink, fontsize=9)
        axes.grid(axis="y", color=ink, alpha=0.15, linewidth=0.6)
        # Below the axes it hides nothing.
        figure.legend(loc="outside lower center", ncols=4, fontsize=8, frameon=False, labelcolor=ink)
        buffer = io.BytesIO()
        figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None})
    return buffer.getvalue()
