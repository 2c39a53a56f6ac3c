"""What the numbers of a comparison support, and what they do not, in plain sentences.

Every sentence about an order goes through ``table.apart`` or ``table.proves``; what they leave open is said to be open.
"""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from pushforward.comparison.entries import TIMINGS, Entry, models_of
from pushforward.comparison.table import Cell, Column, apart, interval_said, proves, value_said
from pushforward.evaluation.score import Score

__all__ = ["Remark", "listed", "said", "summary"]

#: Metrics that are put into words, where the table has them; the others are left to the table.
SPOKEN = (
    "two-sample accuracy (linear)",
    "two-sample accuracy (trees)",
    "Frechet distance",
    "coverage",
    "column shape",
    "downstream utility",
)

#: Metrics by which a model is set against the baselines as a whole.
JUDGED = ("two-sample accuracy (linear)", "two-sample accuracy (trees)", "Frechet distance")


class Remark(NamedTuple):
    """Some sentences on one question."""

    title: str
    sentences: tuple[str, ...]


def summary(entries: Sequence[Entry], table: Sequence[Column]) -> tuple[Remark, ...]:
    """The reading of a table, question by question; a question without an answer is left out."""
    baselines = [e.model for e in entries if e.baseline]
    spoken = [column for name in SPOKEN for column in table if column.name == name]
    judged = [column for column in table if column.name in JUDGED]
    remarks = (
        Remark("Likelihood", tuple(_likelihoods(table))),
        Remark("Samples", tuple(_order(column) for column in spoken if len(column.filled) > 1)),
        Remark("Against the baselines", tuple(_baselines(judged, baselines))),
        Remark("How far from real data", tuple(_floors(judged))),
        Remark("Copying", tuple(_copying(entries, table))),
        Remark("Training seeds", tuple(_seeds(entries, spoken))),
        Remark("Time", tuple(_times(table))),
        Remark("Missing", tuple(_missing(entries))),
        Remark("How to read the intervals", tuple(_reading(entries, table))),
    )
    return tuple(remark for remark in remarks if remark.sentences)


def listed(names: Iterable[str]) -> str:
    """Names as a sentence has them.

    Example:
        >>> listed(["vae"]), listed(["vae", "gan", "gpt"])
        ('vae', 'vae, gan and gpt')
    """
    names = list(names)
    return " and ".join(filter(None, (", ".join(names[:-1]), *names[-1:])))


def said(cell: Cell) -> str:
    """A model with its number: ``vae 2.43 [2.41, 2.45]``."""
    assert cell.score is not None
    return " ".join(filter(None, (cell.model, value_said(cell.score), interval_said(cell.score))))


def _order(column: Column) -> str:
    """Who leads a column, with whom it is tied, and who is behind beyond the intervals."""
    leaders = [cell for cell in column.filled if cell.verdict]
    others = [cell for cell in column.filled if not cell.verdict]
    name = f"{column.name[0].upper()}{column.name[1:]}"
    where = f"{name} (ideal {column.ideal:g})" if column.ideal in (0.0, 0.5, 1.0) else name
    if not leaders:
        return f"{where}: no order can be given, because not every number has an interval."
    if len(leaders) == 1:
        runner = min(others, key=lambda cell: _loss(cell))
        return f"{where}: {said(leaders[0])} is best, its interval apart from all others; next is {said(runner)}."
    if not others:
        return f"{where}: no model can be told apart from the best; they are {listed(map(said, leaders))}."
    behind = f"; behind them, intervals apart: {listed(c.model for c in others)}"
    return f"{where}: {listed(map(said, leaders))} lead and cannot be told apart from the best{behind}."


def _likelihoods(table: Sequence[Column]) -> Iterable[str]:
    """Which likelihoods are exact, which are bounds, and what one proves about the other."""
    columns = [column for column in table if column.kind]
    # The same likelihood may stand in several units: one is enough for words.
    units = {(c.name, c.conditions.get("measure")): c.unit for c in reversed(columns)}
    columns = [c for c in columns if units[c.name, c.conditions.get("measure")] == c.unit]
    meaning = {
        "exact": "exact",
        "bound": "an upper bound, so that the true cost is at most the number shown",
        "estimate": "an estimate, neither exact nor a bound",
    }
    for column in columns:
        name = f"{column.name[0].upper()}{column.name[1:]}"
        what = f"{name} in {column.unit}, as a {column.conditions.get('measure', 'density')}"
        yield f"{what}: of {listed(c.model for c in column.filled)} it is {meaning.get(column.kind, column.kind)}."
        if len(column.filled) > 1:
            yield _bounds_order(column) if column.kind == "bound" else _order(column)
    for bounds in columns:
        for exact in columns:
            if bounds.kind == "bound" and exact.kind == "exact" and bounds.unit == exact.unit:
                yield from _proofs(bounds, exact)
    measures = {str(c.conditions.get("measure")) for c in columns}
    if len(measures) > 1:
        yield f"A {listed(sorted(measures)).replace(' and ', ' and a ')} are different quantities and are not compared."


def _bounds_order(column: Column) -> str:
    leaders = [cell for cell in column.filled if cell.verdict]
    caution = "which ranks the guarantees and not the true costs behind them"
    if len(leaders) == 1:
        return f"Among the bounds, {said(leaders[0])} is lowest, {caution}."
    if leaders:
        return f"Among the bounds, {listed(map(said, leaders))} are lowest and cannot be told apart, {caution}."
    return "The bounds have no order, because not every one has an interval."


def _proofs(bounds: Column, exact: Column) -> Iterable[str]:
    """The bounds below an exact value, which prove something about it, and the others, which do not."""
    rest = [{k: v for k, v in column.conditions.items() if k != "kind"} for column in (bounds, exact)]
    if rest[0] != rest[1]:
        return  # of other examples, or of another measure: one says nothing about the other
    open_: dict[tuple[str, ...], list[Cell]] = {}
    for cell in exact.filled:
        proven = [b for b in bounds.filled if proves(_score(b), _score(cell))]
        if proven:
            whose = "bounds" if len(proven) > 1 else "bound"
            verb = "lie" if len(proven) > 1 else "lies"
            below = f"{verb} below the exact {said(cell)}, intervals apart"
            yield f"The {whose} {listed(map(said, proven))} {below}: proven better on such data."
        open_.setdefault(tuple(b.model for b in bounds.filled if b not in proven), []).append(cell)
    for models, cells in open_.items():
        if models:
            whose = f"bound of {models[0]} proves" if len(models) == 1 else f"bounds of {listed(models)} prove"
            yield (
                f"The {whose} nothing against the exact {listed(map(said, cells))}: "
                "a true cost may lie anywhere below its bound."
            )


def _baselines(judged: Sequence[Column], baselines: Sequence[str]) -> Iterable[str]:
    """Which learned models beat every baseline in every judged column, and in which they do not."""
    columns = [c for c in judged if any(cell.model in baselines for cell in c.filled)]
    if not columns:
        return
    held = {m: [_beats_all(c, m, baselines) for c in columns] for m in dict.fromkeys(c.model for c in columns[0].cells)}
    held = {model: won for model, won in held.items() if model not in baselines and None not in won}
    names = listed(dict.fromkeys(column.name for column in columns))
    for title, chosen in (
        (f"Better than every baseline, intervals apart, by {names}", [m for m, won in held.items() if all(won)]),
        ("Better than every baseline by some of these only", [m for m, w in held.items() if any(w) and not all(w)]),
        ("Not shown to be better than every baseline by any of these", [m for m, won in held.items() if not any(won)]),
    ):
        if chosen:
            yield f"{title}: {listed(chosen)}."


def _beats_all(column: Column, model: str, baselines: Sequence[str]) -> bool | None:
    score = column.of(model).score
    if score is None:
        return None
    return all(apart(score, _score(cell)) < 0 for cell in column.filled if cell.model in baselines)


def _floors(judged: Sequence[Column]) -> Iterable[str]:
    """How each column stands to real training examples scored against the held-out ones."""
    open_ = False
    for column in judged:
        if column.floor is None or not column.filled:
            continue
        floor = f"{value_said(column.floor)} {interval_said(column.floor)}".strip()
        told = [cell.model for cell in column.filled if apart(column.floor, _score(cell)) < 0]
        rest = [cell.model for cell in column.filled if cell.model not in told]
        n = column.conditions.get("n")
        at = f" with {n} samples" if n else ""
        name = f"{column.name[0].upper()}{column.name[1:]}"
        start = f"{name}: real training examples score {floor} against the held-out ones (the floor)"
        if not rest:
            yield f"{start}; the samples of every model are still told from real data."
        else:
            yield f"{start}; not told from real data by it{at}: {listed(rest)}" + (
                f"; still told: {listed(told)}." if told else "."
            )
            open_ = True
    if open_:
        yield "Not told means that this measure with so many samples sees no difference, not that there is none."


def _copying(entries: Sequence[Entry], table: Sequence[Column]) -> Iterable[str]:
    """Whose samples equal training examples, or lie nearer to them than held-out examples do, beyond the intervals."""
    measured = [c for c in table if c.name in ("copies", "nearest training example") and c.filled]
    if not measured:
        if any(entry.card for entry in entries):
            yield "Copying was not measured: good scores of samples may come from it."
        return
    for column in measured:
        least = 0.0 if column.ideal is None else column.ideal
        suspects = [cell for cell in column.filled if _score(cell).low > least]
        if suspects and column.name == "copies":
            yield (
                f"Samples of {listed(map(said, suspects))} equal training examples more often than chance explains "
                f"({least:.2g}): their scores may come from copying."
            )
        elif suspects:
            yield (
                f"Samples of {listed(map(said, suspects))} lie nearer to training examples than held-out data does "
                "(0.5 would be alike): they copy, or crowd into typical places; look at the nearest pairs."
            )
    if not any(_score(cell).low > (c.ideal or 0.0) for c in measured for cell in c.filled):
        names = listed(column.name for column in measured)
        yield f"Nothing points to copying: no model is beyond its interval ({names})."


def _seeds(entries: Sequence[Entry], spoken: Sequence[Column]) -> Iterable[str]:
    """Whether training again would change the picture."""
    count = max((sum(e.model == model for e in entries) for model in models_of(entries)), default=0)
    if count == 1:
        yield "Every model was trained once: how much another training seed would change is not known (--seeds 3)."
        return
    for column in spoken:
        wide = []
        for cell in column.filled:
            spread, width = cell.spread, _score(cell).high - _score(cell).low
            if spread is not None and spread[1] - spread[0] > width / 2:
                wide.append(f"{cell.model} ({spread[0]:.3g} to {spread[1]:.3g})")
        if wide:
            name = f"{column.name[0].upper()}{column.name[1:]}"
            yield f"{name} changes with the training seed about as much as its interval is wide: {listed(wide)}."
    yield f"Of {count} training seeds a number is the mean; its interval holds the value of every seed."


def _times(table: Sequence[Column]) -> Iterable[str]:
    times = [column for column in table if column.name in TIMINGS and column.filled]
    if any(column.conditions.get("machine") == "shared" for column in times):
        yield "Several models ran at once, so their times are those of a shared machine and are marked so."
    for column in times:
        if column.name == "seconds per 1,000 samples":
            fast = min(column.filled, key=lambda c: _score(c).value)
            slow = max(column.filled, key=lambda c: _score(c).value)
            if fast is not slow:
                ends = (f"{value_said(_score(cell))} s ({cell.model})" for cell in (fast, slow))
                yield f"1,000 samples take from {' to '.join(ends)}."


def _missing(entries: Sequence[Entry]) -> Iterable[str]:
    for entry in entries:
        if entry.fault:
            yield f"{entry.model}, seed {entry.seed}, has no numbers: {entry.fault.rstrip('.')}."
    yield from dict.fromkeys(note for e in entries if e.card is not None for note in e.card.notes)


def _reading(entries: Sequence[Entry], table: Sequence[Column]) -> Iterable[str]:
    if any(cell.score is not None and interval_said(cell.score) for column in table for cell in column.cells):
        yield (
            "Brackets hold 95 % intervals for the number of such a test set and sample; a model is called better only "
            "where the intervals do not meet. About one interval in twenty misses, and many are shown."
        )
    yield from dict.fromkeys(f"{c.refusal[0].upper()}{c.refusal[1:]}." for c in table if c.refusal)


def _score(cell: Cell) -> Score:
    assert cell.score is not None
    return cell.score


def _loss(cell: Cell) -> float:
    return _score(cell).loss
