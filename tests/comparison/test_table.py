"""Which numbers are ranked, which are not, and that terminal, JSON and report agree on it."""

import csv
import io
import math
from dataclasses import replace

import pytest

from pushforward.comparison.entries import on_shared_machine
from pushforward.comparison.export import as_csv, as_records, as_text
from pushforward.comparison.page import html
from pushforward.comparison.table import apart, columns, proves
from pushforward.comparison.words import summary
from pushforward.evaluation.score import Score, missing
from tests.comparison.cards import DATA, SETTINGS, accuracy, entry, likelihood, read, seconds


def verdicts(column) -> dict[str, str]:
    return {cell.model: cell.verdict for cell in column.cells}


def test_apart_is_best():
    (column,) = columns([entry("a", accuracy(0.6)), entry("b", accuracy(0.7)), entry("c", accuracy(0.9))])
    assert verdicts(column) == {"a": "best", "b": "", "c": ""}


def test_intervals_that_meet_are_tied():
    (column,) = columns([entry("a", accuracy(0.60)), entry("b", accuracy(0.65)), entry("c", accuracy(0.9))])
    assert verdicts(column) == {"a": "tied", "b": "tied", "c": ""}


def test_distance_from_the_ideal_counts_not_the_number():
    # 0.48 is nearer to 0.5 than 0.6 is, and an accuracy of 0.2 is as far off as one of 0.8.
    (column,) = columns([entry("a", accuracy(0.48)), entry("b", accuracy(0.6)), entry("c", accuracy(0.2))])
    assert verdicts(column) == {"a": "best", "b": "", "c": ""}


def test_higher_is_better_where_it_is():
    scores = (
        Score(name="Inception-type score", value=v, low=v - 0.1, high=v + 0.1, ideal=math.inf) for v in (2.0, 5.0)
    )
    (column,) = columns([entry("a", next(scores)), entry("b", next(scores))])
    assert verdicts(column) == {"a": "", "b": "best"}


@pytest.mark.parametrize(
    "other",
    [likelihood(2.2, "exact", n=500), likelihood(2.2, "exact", measure="density"), likelihood(2.2, "bound")],
    ids=["n", "measure", "kind"],
)
def test_differing_conditions_are_never_ranked(other):
    mine = likelihood(2.9, "exact")
    assert apart(other, mine) == apart(mine, other) == 0
    table = columns([entry("a", mine), entry("b", other)])
    assert len(table) == 2
    assert all(not cell.verdict for column in table for cell in column.cells)
    assert all("not ranked against each other" in column.refusal for column in table)


def test_differing_features_are_never_ranked():
    table = columns([entry("a", accuracy(0.6)), entry("b", accuracy(0.9, features="pca"))])
    assert [verdicts(column) for column in table] == [{"a": "", "b": ""}] * 2
    assert "differ in features: classifier (a); pca (b)" in table[0].refusal


def test_no_interval_no_rank():
    (column,) = columns([entry("a", seconds(1.0)), entry("b", seconds(9.0))])
    assert verdicts(column) == {"a": "", "b": ""}


def test_among_bounds_the_lowest_is_called_that_and_not_best():
    table = columns([entry("a", likelihood(2.2, "bound")), entry("b", likelihood(2.6, "bound"))])
    assert verdicts(table[0]) == {"a": "lowest bound", "b": ""}


def test_a_bound_proves_only_from_below():
    exact = likelihood(2.4, "exact")
    assert proves(likelihood(2.2, "bound"), exact)
    assert not proves(likelihood(2.39, "bound"), exact)  # the intervals meet
    assert not proves(likelihood(2.6, "bound"), exact)
    assert not proves(likelihood(2.2, "bound", n=50), exact)
    assert not proves(likelihood(2.2, "estimate"), exact)


def test_seeds_give_a_mean_with_an_interval_that_holds_every_seed_and_a_spread():
    runs = [entry("a", accuracy(v, half=0.01), seed=s) for s, v in enumerate((0.6, 0.7, 0.8))]
    (column,) = columns([*runs, entry("b", accuracy(0.82, half=0.03))])
    cell = column.of("a")
    assert cell.seeds == 3 and cell.spread == (0.6, 0.8)
    assert cell.score.value == pytest.approx(0.7)
    assert (cell.score.low, cell.score.high) == pytest.approx((0.6, 0.8))
    assert verdicts(column) == {"a": "tied", "b": "tied"}  # one seed of a is as bad as b


def test_seeds_that_agree_have_the_mean_of_the_ends_of_their_intervals():
    runs = [entry("a", accuracy(v, half=h), seed=s) for s, (v, h) in enumerate(((0.6, 0.02), (0.61, 0.08)))]
    (column,) = columns([*runs, entry("b", accuracy(0.7, half=0.03))])
    score = column.of("a").score
    assert (score.low, score.high) == pytest.approx((0.555, 0.655))
    assert verdicts(column) == {"a": "best", "b": ""}


def test_a_missing_number_is_a_marked_cell():
    gone = missing("two-sample accuracy (trees)", "a sample is not finite")
    (column,) = columns([entry("a", accuracy(0.6)), entry("b", gone), entry("c", fault="training: it diverged")])
    assert column.of("b").score is None and column.of("b").note == "a sample is not finite"
    assert column.of("c").note == "training: it diverged"
    assert verdicts(column) == {"a": "", "b": "", "c": ""}  # nothing to be better than


def test_a_shared_machine_is_a_condition():
    alone, shared = entry("a", seconds(1.0)), entry("b", seconds(1.0))
    shared = replace(shared, card=on_shared_machine(shared.card))
    table = columns([alone, shared])
    assert len(table) == 2 and "machine" in table[0].refusal


def test_the_floor_stands_only_in_the_column_of_its_conditions():
    floor = (accuracy(0.5),)
    table = columns([entry("a", accuracy(0.6), accuracy(0.6, features="pca"), floor=floor)])
    assert [column.floor for column in table] == [floor[0], None]


# --- the same in the terminal, the JSON, the CSV and the report -----------------------------------------------------

MIXED = [
    entry("gpt", likelihood(2.26, "exact")),
    entry("vae", likelihood(2.1, "bound")),
    entry("mixture", likelihood(2.6, "bound")),
]


def test_an_exact_value_and_a_bound_are_marked_as_not_ranked_everywhere():
    table = columns(MIXED)
    words = summary(MIXED, table)
    refusal = table[0].refusal
    assert refusal == (
        "negative log-likelihood: not ranked against each other, because they differ in kind: "
        "exact (gpt); bound (vae, mixture)"
    )
    terminal = as_text(MIXED, table, width=120)
    assert refusal in terminal and "<= 2.10" in terminal and "lowest bound" in terminal and "best" not in terminal
    record = as_records(MIXED, table, words)
    assert [column["not ranked"] for column in record["verdicts"]] == [refusal, refusal]
    assert "best" not in [cell["verdict"] for column in record["verdicts"] for cell in column["cells"]]
    page = read(html(MIXED, table, words, data=DATA, settings=SETTINGS))
    assert refusal in page.text and "≤ 2.10" in page.text


def test_csv_and_json_hold_the_numbers_of_the_table():
    entries = [*MIXED, entry("gan", fault="it diverged")]
    table = columns(entries)
    lines = list(csv.DictReader(io.StringIO(as_csv(entries, table))))
    assert [(line["model"], line["value"], line["verdict"]) for line in lines] == [
        ("gpt", "2.26", ""),
        ("vae", "2.1", "lowest bound"),
        ("mixture", "2.6", ""),
        ("gan", "", ""),
    ]
    assert lines[1]["comparable group"] == lines[2]["comparable group"] != lines[0]["comparable group"]
    assert lines[3]["note"] == "it diverged"
    cells = {
        (column["comparable group"], cell["model"]): cell["value"]
        for column in as_records(entries, table, ())["verdicts"]
        for cell in column["cells"]
        if cell["value"] is not None
    }
    assert cells == {(line["comparable group"], line["model"]): float(line["value"]) for line in lines[:3]}


def test_a_narrow_terminal_gets_the_columns_below_each_other():
    scores = (accuracy(0.6), accuracy(0.7, name="linear"), likelihood(2.2, "exact"), seconds(3.0))
    entries = [entry("realnvp", *scores), entry("ddpm", *scores)]
    text = as_text(entries, columns(entries), width=60)
    assert max(map(len, text.splitlines())) <= 60
    assert text.count("realnvp") > 1 and "0.700" in text and "2.20" in text
