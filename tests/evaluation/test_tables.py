"""Scores of tables against numbers worked out by hand and against samples whose faults are known."""

import math

import numpy as np
import pytest
import torch
from scipy.stats import ks_2samp, spearmanr

from pushforward.core.data import Batch, Condition, Data, Rows
from pushforward.core.modality import Label
from pushforward.core.table import Column, Table
from pushforward.evaluation.tables import table_scores
from tests.small_data import table

COLUMNS = (
    Column(name="a"),
    Column(name="b", missing=True),
    Column(name="kind", categories=("x", "y", "z", "rare"), missing=True),
    Column(name="sign", categories=("no", "yes")),
)


def rows(n: int, seed: int) -> torch.Tensor:
    """b follows a, sign says whether their sum is positive, kind is cut from a; one in twenty-five rows is rare."""
    rng = np.random.default_rng(seed)
    a = rng.normal(size=n)
    b = 0.8 * a + 0.6 * rng.normal(size=n)
    kind = np.where(rng.random(n) < 0.04, 3, np.digitize(a, [-0.5, 0.5])).astype(float)
    sign = (a + b > 0).astype(float)
    b[rng.random(n) < 0.1] = np.nan
    kind[rng.random(n) < 0.03] = np.nan
    return torch.from_numpy(np.stack([a, b, kind, sign], 1))


def data(train: torch.Tensor, columns: tuple[Column, ...] = COLUMNS) -> Data:
    few = Rows(train[:1])
    return Data(name="made", example=Table(columns=columns), train=Rows(train), valid=few, test=few)


def scores_of(drawn: torch.Tensor, held_out: torch.Tensor | None = None, n: int = 400) -> dict:
    held_out = rows(n, 1) if held_out is None else held_out
    found, _ = table_scores(data(rows(2 * n, 0)), Batch(held_out), drawn)
    return {score.name: score for score in found}


def shuffled(x: torch.Tensor) -> torch.Tensor:
    order = torch.Generator().manual_seed(0)
    return torch.stack([x[torch.randperm(len(x), generator=order), i] for i in range(x.shape[1])], 1)


def test_fresh_rows_are_as_good_as_it_gets():
    found = scores_of(rows(400, 2))
    assert list(found) == [
        "column shape",
        "column trend",
        "distance to closest record",
        "rare categories kept",
        "downstream utility",
    ]
    for score in found.values():
        assert score.low <= score.value <= score.high and score.ideal == 1.0
        assert score.conditions["n"] == 400 and score.conditions["split"] == "test"
    assert found["column shape"].value > 0.93 and found["column trend"].value > 0.85
    assert found["distance to closest record"].low < 1 < found["distance to closest record"].high
    assert found["rare categories kept"].value == 1.0
    utility = found["downstream utility"]
    assert utility.value == pytest.approx(utility.details["train on real"], abs=0.02) and utility.value > 0.9


def test_the_held_out_rows_themselves_are_perfect():
    held_out = rows(200, 1)
    found = scores_of(held_out, held_out)
    assert found["column shape"].value == found["column trend"].value == 1.0
    assert found["distance to closest record"].value == 1.0


def test_shape_by_hand():
    """Numbers as scipy has it where nothing is missing; shares of categories with the missing one among them."""
    held_out, drawn = rows(300, 1), rows(300, 2)
    drawn[:, 0] += 0.5
    drawn[:100, 1] = math.nan
    found, breakdown = table_scores(data(rows(600, 0)), Batch(held_out), drawn)
    by_name = {row["name"]: row for row in breakdown.rows}
    assert by_name["a"]["shape"] == pytest.approx(1 - ks_2samp(held_out[:, 0], drawn[:, 0]).statistic)
    # A missing number lies below all others: with minus infinity in its place it is scipy's again.
    filled = [x[:, 1].nan_to_num(nan=-1e9) for x in (held_out, drawn)]
    assert by_name["b"]["shape"] == pytest.approx(1 - ks_2samp(*filled).statistic)
    codes = [x[:, 2].nan_to_num(nan=4.0).long().bincount(minlength=5) / 300 for x in (held_out, drawn)]
    assert by_name["kind"]["shape"] == pytest.approx(1 - float((codes[0] - codes[1]).abs().sum()) / 2)
    assert found[0].value == pytest.approx(np.mean([row["shape"] for row in breakdown.rows]))


def test_shuffled_columns_keep_their_shape_and_lose_their_trend():
    held_out = rows(400, 1)
    found = scores_of(shuffled(held_out), held_out)
    assert found["column shape"].value == 1.0
    assert found["column trend"].high < 0.8 < scores_of(rows(400, 2), held_out)["column trend"].low


def test_trend_of_two_columns_of_numbers_is_half_the_gap_of_rank_correlations():
    held_out, drawn = rows(400, 1)[:, :2], rows(400, 2)[:, :2]
    drawn[:, 1] = -drawn[:, 1]
    found, _ = table_scores(data(rows(400, 0)[:, :2], COLUMNS[:2]), Batch(held_out), drawn)
    trend = next(score for score in found if score.name == "column trend")
    rho = [spearmanr(*x[~x[:, 1].isnan()].T).statistic for x in (held_out, drawn)]
    # Ranks are of all values of a column there, of the rows with both here: a small difference.
    assert trend.value == pytest.approx(1 - abs(rho[0] - rho[1]) / 2, abs=0.005)
    assert trend.value < 0.35


def test_trend_of_two_categories_is_their_contingency():
    x = torch.tensor([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]]).double().repeat(5, 1)
    y = torch.tensor([[0.0, 0.0], [0.0, 0.0], [1.0, 1.0], [1.0, 1.0]]).double().repeat(5, 1)
    pair = tuple(Column(name=name, categories=(0, 1)) for name in "pq")
    found, _ = table_scores(data(x, pair), Batch(x), y)
    by_name = {score.name: score for score in found}
    # Half of the rows lie in cells (0, 1) and (1, 0) here, none there.
    assert by_name["column trend"].value == 0.5 and by_name["column shape"].value == 1.0
    assert "equal a training row" in by_name["distance to closest record"].note


def test_copies_of_training_rows_are_at_distance_zero():
    distance = scores_of(rows(800, 0)[:400])["distance to closest record"]
    assert (distance.value, distance.low, distance.high) == (0.0, 0.0, 0.0)
    assert distance.details["median of held-out rows"] > 0


def test_far_rows_are_at_a_larger_distance():
    far = rows(400, 2)
    far[:, 0] *= 5
    assert scores_of(far)["distance to closest record"].low > 1


def test_a_dropped_rare_category_is_missed():
    drawn = rows(400, 2)
    drawn[drawn[:, 2] == 3, 2] = 0
    score = scores_of(drawn)["rare categories kept"]
    # Of the two rare ones, "rare" and the missing cell, the second is still there.
    assert score.value == 0.5 and score.details["rare categories"] == 2
    assert 0 < score.low < 0.5 < score.high < 1


def test_rows_without_relations_are_of_no_use():
    """A tree that learned from labels tossed by chance ranks as chance does."""
    drawn = rows(2000, 2)
    drawn[:, 3] = drawn[torch.randperm(2000, generator=torch.Generator().manual_seed(1)), 3]
    utility = scores_of(drawn, n=1000)["downstream utility"]
    assert utility.conditions["metric"] == "AUROC" and utility.conditions["target"] == "sign"
    assert abs(utility.value - 0.5) < 0.2 and utility.details["train on real"] > 0.95


def test_one_class_only_is_chance():
    drawn = rows(400, 2)
    drawn[:, 3] = 1.0
    utility = scores_of(drawn)["downstream utility"]
    assert (utility.value, utility.low, utility.high) == (0.5, 0.5, 0.5)


def test_numbers_are_predicted_where_nothing_else_is():
    numbers = tuple(Column(name=name) for name in "ab")
    three = [rows(500, seed)[:, [0, 3]] + rows(500, seed)[:, [0, 0]] for seed in range(3)]
    found, _ = table_scores(data(three[0], numbers), Batch(three[1]), three[2])
    assert found[-1].conditions["metric"] == "R2" and found[-1].conditions["target"] == "b"
    assert 0.8 < found[-1].value <= 1.0 and found[-1].details["by chance"] == 0.0
    assert "no category" in found[3].note


def test_the_condition_is_predicted_where_there_is_one():
    made = table()
    test = made.test[torch.arange(len(made.test))]
    drawn = made.valid[torch.arange(len(made.valid))]
    found, breakdown = table_scores(made, test, drawn.x, labels=drawn.condition.value)
    utility = found[-1]
    assert (utility.conditions["target"], utility.conditions["metric"]) == ("region", "AUROC")
    assert utility.value == pytest.approx(0.5, abs=0.25)  # tossed by chance in the real rows, too
    assert utility.details["train on real"] == pytest.approx(0.5, abs=0.25)
    # A model that was given no condition, or rows of which some have none: a column is predicted instead.
    assert table_scores(made, test, drawn.x)[0][-1].conditions["target"] == "colour"
    some = Batch(test.x, Condition(test.condition.value, torch.arange(60) > 0))
    assert table_scores(made, some, drawn.x, labels=drawn.condition.value)[0][-1].conditions["target"] == "colour"
    assert [row["name"] for row in breakdown.rows] == ["age", "size", "kind", "colour", "unit"]
    assert len({tuple(row) for row in breakdown.rows}) == 1  # all rows have the same keys


def test_three_classes_are_judged_by_accuracy():
    made = data(rows(400, 0))
    label = Label(names=("p", "q", "r"), title="third")
    splits = {}
    for seed, name in enumerate(("train", "test")):
        x = rows(400, seed)
        splits[name] = Rows(x, torch.bucketize(x[:, 0].clone(), torch.tensor([-0.4, 0.4]).double()))
    made = Data(name="m", example=made.example, condition=label, valid=splits["test"], **splits)
    everything = splits["test"][torch.arange(400)]
    utility = table_scores(made, everything, everything.x, labels=everything.condition.value)[0][-1]
    assert utility.conditions["metric"] == "accuracy" and utility.value > 0.97
    assert utility.details["by chance"] == pytest.approx(int(everything.condition.value.bincount().max()) / 400)


def test_the_same_seed_gives_the_same_scores():
    drawn = rows(200, 2)
    assert scores_of(drawn, n=200) == scores_of(drawn, n=200)


def test_as_many_rows_of_each():
    found = scores_of(rows(90, 2))
    assert found["column shape"].conditions["n"] == 90
    assert found["downstream utility"].conditions["rows to learn from"] == 90


def test_means_and_shares_stand_side_by_side():
    held_out, drawn = rows(300, 1), rows(300, 2)
    _, breakdown = table_scores(data(rows(300, 0)), Batch(held_out), drawn)
    b, kind = breakdown.rows[1], breakdown.rows[2]
    assert b["real mean"] == pytest.approx(float(held_out[:, 1].nanmean()))
    assert b["synthetic missing"] == pytest.approx(float(drawn[:, 1].isnan().double().mean()))
    assert kind["real mean"] is None and kind["kind"] == "categories"
    share = float((held_out[:, 2] == 1).double().mean())
    assert f"y {share:.1%}" in kind["real top"]


@pytest.mark.parametrize("n", [0, 9])
def test_too_few_rows_are_told(n):
    found, breakdown = table_scores(data(rows(50, 0)), Batch(rows(50, 1)), rows(50, 2)[:n])
    assert all(math.isnan(score.value) and f"there are {n} rows" in score.note for score in found)
    assert len(found) == 5 and list(breakdown.rows) == []


def test_a_constant_table_has_no_trend():
    constant = (Column(name="one", categories=("m",)), Column(name="zero", resolution=1.0))
    x = torch.zeros(20, 2).double()
    found, _ = table_scores(data(x, constant), Batch(x), x)
    by_name = {score.name: score for score in found}
    assert by_name["column shape"].value == 1.0
    assert "two columns that vary" in by_name["column trend"].note
    assert "same zero" in by_name["downstream utility"].note


def test_held_out_targets_of_one_kind_give_no_figure():
    held_out = rows(100, 1)
    held_out[:, 3] = 1.0
    utility = scores_of(rows(100, 2), held_out)["downstream utility"]
    assert math.isnan(utility.value) and "all held-out rows have the same sign" in utility.note


def test_a_generated_column_without_a_value():
    """Numbers and categories that are all missing: poor scores, and no error."""
    drawn = rows(100, 2)
    drawn[:, 1], drawn[:, 2] = math.nan, math.nan
    found, breakdown = table_scores(data(rows(200, 0)), Batch(rows(100, 1)), drawn)
    assert all(math.isfinite(score.value) for score in found)
    b, kind = breakdown.rows[1], breakdown.rows[2]
    assert b["synthetic mean"] is None and b["synthetic missing"] == 1.0
    assert b["shape"] == pytest.approx(b["real missing"]) and kind["shape"] == pytest.approx(kind["real missing"])


@pytest.mark.slow
@pytest.mark.parametrize("shift", [0.0, 0.8])
def test_the_intervals_of_shape_and_trend_hold(shift):
    """The expectation at n = 100, known from 400 repeats, lies in 95 % of their intervals, give or take 3 %."""
    ends = {"column shape": [], "column trend": []}
    for seed in range(400):
        drawn = rows(100, 2 * seed + 11)[:, :3]
        drawn[:, 0] += shift
        for score in similarities(rows(100, 2 * seed + 10)[:, :3], drawn, seed):
            ends[score.name].append((score.low, score.value, score.high))
    for values in ends.values():
        low, value, high = np.array(values).T
        assert 366 <= int(((low <= value.mean()) & (value.mean() <= high)).sum()) <= 392


def similarities(held_out, drawn, seed):
    """Shape and trend without the trees."""
    from pushforward.evaluation import tables

    columns = COLUMNS[:3]
    return [part(columns, held_out, drawn, {}, seed) for part in (tables._shape, tables._trend)]
