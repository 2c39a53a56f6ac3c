"""The report: one HTML file that holds all it shows, opens offline, and needs no script.

Everything is escaped by the template, pictures are data: addresses, and nothing outside the file is asked for.
"""

import base64
import math
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from pushforward.comparison.entries import Entry, first_seeds, models_of
from pushforward.comparison.figures import Drawing, costs, curves
from pushforward.comparison.table import TOPICS, Cell, Column, conditions_said, interval_said, value_said
from pushforward.comparison.words import Remark, listed
from pushforward.evaluation.score import Score

__all__ = ["Picture", "command", "html"]


#: Pixels: sheets of small images are no wider than this, plots are.
SMALL = 480


class Picture(NamedTuple):
    """An image as a data: address, or a text; one of them is empty. A small one may be set beside many others."""

    title: str
    image: str
    text: str
    alt: str
    small: bool = False


@dataclass(frozen=True)
class Breakup:
    """A table that takes one figure apart: a row per class or column, a column per model."""

    title: str
    shared: tuple[str, ...]
    models: tuple[str, ...]
    rows: tuple[tuple[str, tuple[str, ...]], ...]


def html(
    entries: Sequence[Entry],
    table: Sequence[Column],
    words: Sequence[Remark],
    *,
    data: Mapping[str, Any],
    settings: Mapping[str, Any],
    real: Path | None = None,
) -> str:
    """The report as text.

    Args:
        entries: the runs.
        table: as ``table.columns`` decided it.
        words: as ``words.summary`` put it.
        data: the record of the data: name, fingerprint, recipe, numbers of examples, a description.
        settings: of the comparison: budget, steps, seeds, jobs, n, features.
        real: a picture (or text) of held-out examples to set beside the samples.
    """
    shown = first_seeds(entries)
    beside = [] if real is None else [picture(real, "real (held out)", f"Held-out examples of {data['name']}")]
    samples = [*beside, *_pictures(shown, ("evaluated", "samples"), "Samples of {}")]
    return (
        _environment()
        .get_template("page.html.jinja")
        .render(
            title=f"{listed([e.model for e in shown if not e.baseline] or models_of(entries))} on {data['name']}",
            models=models_of(entries),
            baselines={entry.model for entry in entries if entry.baseline},
            samplers={e.model: e.card.sampler for e in entries if e.card is not None and e.card.sampler},
            words=words,
            topics=[(topic, columns) for topic in TOPICS if (columns := [c for c in table if c.topic == topic])],
            refusals=_numbered(table),
            absent=_absent(entries, table),
            faults=[entry for entry in entries if entry.fault],
            seeds=max((cell.seeds for column in table for cell in column.cells), default=1),
            samples=samples if len(samples) > len(beside) else [],
            nearest=_pictures(shown, ("nearest",), "Samples of {}, each beside its nearest training example"),
            latents=_pictures(shown, ("latents",), "The latent space of {}: what its code carries, and a map of it"),
            curves=[_drawn(drawing) for drawing in curves(entries)],
            costs=[_drawn(drawing) for drawing in costs(entries, table)],
            breakups=breakups(shown),
            command=command(entries, data, settings),
            steps=[(entry.model, entry.seed, entry.steps) for entry in entries if entry.steps],
            versions=_versions(entries),
            data=data,
            settings=settings,
        )
    )


def _environment() -> Any:
    """Templates that escape all they are given, and know how numbers are written."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("pushforward.comparison", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "value": _value,
        "interval": interval_said,
        "spread": _spread,
        "floor_value": _plain,
        "head": _head,
        "shared_conditions": _shared,
        "beyond": _beyond,
        "said": conditions_said,
    }
    return environment


def command(entries: Sequence[Entry], data: Mapping[str, Any], settings: Mapping[str, Any]) -> str:
    """The command that repeats the comparison, with the steps that the budget came to.

    Example:
        >>> trained = Entry(model="vae", training={"settings": {"steps": 70, "threads": 2}})
        >>> command([trained], {"recipe": {"source": "digits"}}, {"models": ["vae"], "seeds": 1, "out": "report"})
        'pushforward compare vae --data digits --steps vae=70 --seeds 1 --threads 2 --out report-again'
    """
    if settings.get("folders"):
        return shlex.join(["pushforward", "compare", *settings["folders"], "--out", f"{settings['out']}-again"])
    recipe = data.get("recipe") or {"source": "YOUR-DATA"}
    words = ["pushforward", "compare", *settings["models"], "--data", str(recipe["source"])]
    for key, value in recipe.items():
        match value:
            case bool():
                words.append(f"--{key}" if value else f"--no-{key}")
            case dict():
                words += ["--resolution", *(f"{column}={step}" for column, step in value.items())]
            case int() | str() if key in ("condition_column", "size", "length"):
                words += [f"--{key.replace('_', '-')}", str(value)]
    steps = {entry.model: entry.steps for entry in reversed(entries) if entry.steps}
    named = {name.split(":")[-1].lower(): name for name in settings["models"]}
    if steps:
        words += ["--steps", *(f"{named.get(m, m)}={steps[m]}" for m in models_of(entries) if m in steps)]
    words += ["--seeds", str(settings.get("seeds", 1))]
    threads = {entry.training["settings"].get("threads") for entry in entries if entry.training.get("settings")}
    if len(threads) == 1:
        words += ["--threads", str(threads.pop())]
    words += [] if settings.get("n") is None else ["--n", str(settings["n"])]
    words += [] if settings.get("features", "auto") == "auto" else ["--features", str(settings["features"])]
    words += [] if settings.get("baselines", True) else ["--no-baselines"]
    words += ["--jobs", str(settings["jobs"])] if settings.get("jobs", 1) > 1 else []
    return shlex.join([*words, "--out", f"{settings['out']}-again"])


def picture(path: Path, title: str, alt: str) -> Picture:
    """A PNG as a data: address, or a text."""
    if path.suffix == ".txt":
        return Picture(title, "", path.read_text(encoding="utf-8", errors="replace")[:2000], alt)
    contents = path.read_bytes()
    width = int.from_bytes(contents[16:20])  # where a PNG says it
    return Picture(title, _address(contents, "image/png"), "", alt, width <= SMALL)


def breakups(entries: Sequence[Entry]) -> tuple[Breakup, ...]:
    """The breakdowns of all models side by side: what is of the data once, the rest a table with a column per model."""
    carded = [(entry.model, b) for entry in entries if entry.card is not None for b in entry.card.breakdowns]
    made = []
    for title in dict.fromkeys(b.title for _, b in carded):
        of_model = {m: {str(r.get("name")): _joined(r) for r in b.rows} for m, b in carded if b.title == title}
        names = list(dict.fromkeys(name for rows in of_model.values() for name in rows))
        keys = list(dict.fromkeys(k for rows in of_model.values() for row in rows.values() for k in row if k != "name"))
        real = [key for key in keys if key.startswith("real ")]
        kinds = [key for key in keys if key not in real and _of_data([*of_model.values()], key)]
        for key in (key for key in keys if key not in real and key not in kinds):
            # "sample share" stands beside "real share".
            beside = kinds + [other for other in real if other.split()[1:] == key.split()[1:]]
            rows = []
            for name in names:
                held = [rows[name] for rows in of_model.values() if name in rows]
                own = (rows.get(name, {}).get(key, "") for rows in of_model.values())
                rows.append((name, (*(held[0].get(other, "") for other in beside), *own)))
            if any(text not in ("", "n/a") for _, cells in rows for text in cells[len(beside) :]):
                made.append(Breakup(f"{title}: {key}", tuple(beside), tuple(of_model), tuple(rows)))
    return tuple(made)


def _of_data(tables: Sequence[Mapping[str, Mapping[str, str]]], key: str) -> bool:
    """Whether this entry is a word that is the same for all models, such as the kind of a column."""
    rows = {(name, row.get(key, "")) for table in tables for name, row in table.items()}
    return len(rows) == len({name for name, _ in rows}) and all(text.isalpha() for _, text in rows)


def _joined(row: Mapping[str, Any]) -> dict[str, str]:
    """A row as texts: an interval goes with the number before it, and what is true with that too."""
    texts: dict[str, str] = {}
    number = ""
    for key, value in row.items():
        if number and key == "low":
            texts[number] += f" [{_cell(value)}, {_cell(row.get('high'))}]"
        elif number and (key == "high" or isinstance(value, bool)):
            texts[number] += f", {key}" if value is True else ""
        else:
            texts[key] = _cell(value)
            number = key if isinstance(value, float) else number
    return texts


def _cell(value: Any) -> str:
    if value is None or value != value:
        return "n/a"
    if isinstance(value, float):
        return f"{value:.3f}" if abs(value) < 10 else f"{value:,.4g}"
    return str(value)


def _pictures(entries: Sequence[Entry], stems: Sequence[str], alt: str) -> list[Picture]:
    found = []
    for entry in entries:
        for name in (f"{stem}{ending}" for stem in stems for ending in (".png", ".txt")):
            path = None if entry.folder is None else entry.folder / name
            if path is not None and entry.card is not None and path.is_file():
                found.append(picture(path, entry.model, alt.format(entry.model)))
                break
    return found


def _drawn(drawing: Drawing) -> dict[str, str]:
    return {
        "title": drawing.title,
        "alt": drawing.alt,
        "light": _address(drawing.light, "image/svg+xml"),
        "dark": _address(drawing.dark, "image/svg+xml"),
    }


def _address(contents: bytes, kind: str) -> str:
    return f"data:{kind};base64,{base64.b64encode(contents).decode()}"


def _value(cell: Cell) -> str:
    return "" if cell.score is None else _plain(cell.score)


def _plain(score: Score) -> str:
    return value_said(score).replace("<=", "≤")


def _head(column: Column) -> str:
    """Unit and direction of a column."""
    if column.ideal is None:
        goal = ""
    elif math.isinf(column.ideal):
        goal = "higher is better" if column.ideal > 0 else "lower is better"
    else:
        goal = f"ideal {column.ideal:.3g}"
    return ", ".join(filter(None, (column.unit, goal)))


def _shared(columns: Sequence[Column]) -> dict[str, object]:
    """The conditions of all columns, which are then said once."""
    first = columns[0].conditions
    return {k: v for k, v in first.items() if all(c.conditions.get(k) == v for c in columns)}


def _beyond(conditions: Mapping[str, object], common: Mapping[str, object]) -> dict[str, object]:
    return {key: value for key, value in conditions.items() if key not in common}


def _spread(cell: Cell) -> str:
    return "" if cell.spread is None else f"{cell.spread[0]:.3g} to {cell.spread[1]:.3g}"


def _numbered(table: Sequence[Column]) -> dict[str, int]:
    return {text: index for index, text in enumerate(dict.fromkeys(c.refusal for c in table if c.refusal), start=1)}


def _absent(entries: Sequence[Entry], table: Sequence[Column]) -> list[tuple[str, str, str]]:
    """(metric, models, why) of the numbers that could not be taken."""
    whys: dict[tuple[str, str], list[str]] = {}
    for entry in entries:
        for score in entry.scores:
            if score.value != score.value:
                whys.setdefault((score.name, score.note), []).append(entry.model)
    return [(name, ", ".join(dict.fromkeys(models)), why) for (name, why), models in whys.items()]


def _versions(entries: Sequence[Entry]) -> list[tuple[str, str]]:
    """What the results depend on besides the settings, every value that occurs."""
    found: dict[str, dict[str, None]] = {}
    for entry in entries:
        settings = entry.training.get("settings", {})
        items = {
            **entry.training.get("versions", {}),
            **{k: settings[k] for k in ("threads", "device") if k in settings},
        }
        for key, value in items.items():
            found.setdefault(key, {})[str(value)] = None
    return [(key, ", ".join(values)) for key, values in found.items()]
