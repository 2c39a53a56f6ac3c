"""Tables: what each column is taken to be, and that rows come back as they were."""

from decimal import Decimal

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pushforward.core.data import Data
from pushforward.core.errors import InputError
from pushforward.core.text import Text
from pushforward.datasets.options import Options
from pushforward.datasets.tables import load_table, understand_column

N = 40


def load(columns: dict, **options) -> Data:
    return load_table(pd.DataFrame(columns), Options(**options), "table")


def column(values, dtype=None):
    return understand_column("c", pd.Series(values, dtype=dtype))


@pytest.mark.parametrize(
    ("values", "dtype", "expected"),
    [
        ([1, 2, 3], None, (True, True, False)),
        ([1.0, 2.0, 3.0], None, (True, False, False)),
        ([1.5, 2.0, 3.0], None, (True, False, False)),
        ([1.0, 2.0, 3.0, np.nan], None, (True, True, True)),  # pandas keeps whole numbers with gaps as floats
        ([1, 2, 3, None], "Int64", (True, True, True)),
        ([1, 2, 3], "uint8", (True, True, False)),
        ([0.5, 2, 3, None], "Float32", (True, False, True)),
        ([Decimal("1.5"), Decimal("2.5"), Decimal("3.5")], object, (True, False, False)),
    ],
)
def test_numbers(values, dtype, expected):
    found, cells, note = column(values, dtype)
    assert (found.numeric, found.whole, found.missing) == expected and note is None
    assert cells.dtype == np.float64 and np.isnan(cells).sum() == found.missing


@pytest.mark.parametrize(
    ("values", "dtype", "categories", "missing"),
    [
        (["b", "a", None], None, ("a", "b"), True),
        ([True, False, True], None, (False, True), False),
        ([True, None, False], object, (False, True), True),
        ([0, 1, 1], None, (0, 1), False),
        ([0.0, 1.0, np.nan], None, (0, 1), True),
        ([7, 7, 7], None, (7,), False),
        (["x", "x"], None, ("x",), False),
        ([3, 1, 2, 3], "category", (1, 2, 3), False),
        (pd.Categorical(["lo", "hi", "lo"], ["lo", "mid", "hi"], ordered=True), None, ("lo", "hi"), False),
        (["1", "2", "3"], None, ("1", "2", "3"), False),
    ],
)
def test_categories(values, dtype, categories, missing):
    found, cells, _ = column(values, dtype)
    assert (found.categories, found.missing) == (categories, missing)
    known = [found.categories[int(code)] for code in cells if code == code]
    assert known == [
        value for value in pd.Series(values, dtype=dtype).astype(object) if value == value and value is not None
    ]


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ([None, None], "all its cells are missing"),
        ([np.nan] * 3, "all its cells are missing"),
        ([f"id-{i}" for i in range(30)], "30 distinct strings in 30 rows"),
        ([2**53 + 2 * i for i in range(1, 5)], "beyond 2"),
    ],
)
def test_left_out(values, reason):
    found, _, note = column(values)
    assert found is None and reason in note


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (pd.date_range("2020-01-01", periods=3), "holds dates"),
        ([1.0, np.inf, 2.0], "infinite in row 2"),
        (["a", 1, 2.5], "values of type float, int, str"),
        ([[1], [2], [3]], "values of type list"),
        ([1 + 2j, 3j], "values of type complex"),
        (pd.cut([1, 5, 9], 3), "holds a Interval"),
    ],
)
def test_refused(values, message):
    with pytest.raises(InputError, match=message):
        column(values)


def test_rows_come_back_as_they_were():
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(
        {
            "whole": rng.integers(0, 90, N),
            "gaps": pd.array(rng.integers(0, 90, N), dtype="Int64"),
            "real": rng.normal(size=N),
            "tenths": rng.integers(0, 99, N) / 10,
            "word": rng.choice(["a", "b", "c"], N),
            "flag": rng.choice([True, False], N),
            "constant": 3.5,
        }
    )
    frame.loc[3, "gaps"], frame.loc[5, "word"] = None, None
    data = load_table(frame, Options(), "t")
    steps = {c.name: c.resolution for c in data.example.columns}
    assert steps["whole"] == 1.0 and steps["real"] == 0.0 and steps["tenths"] == 0.1
    x = torch.cat([data.train.x, data.valid.x, data.test.x])
    back = data.example.unpack(x)
    order = frame["real"].argsort().to_numpy()[back["real"].argsort().argsort().to_numpy()]  # rows, as they were dealt
    for name in frame:
        pd.testing.assert_series_equal(
            back[name].astype(object).fillna("none"),
            frame[name].iloc[order].reset_index(drop=True).astype(object).fillna("none"),
        )
    assert back["whole"].dtype == np.int64 and back["gaps"].dtype == "Int64"
    # New rows of the same kind are packed by the same description.
    assert torch.equal(data.example.pack(back).nan_to_num(-1), x.nan_to_num(-1))


@settings(max_examples=40, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.integers(-5, 5), st.floats(-1e6, 1e6), st.sampled_from(["x", "y", None]), st.none() | st.integers(0, 3)
        ),
        min_size=12,
        max_size=40,
    )
)
def test_pack_undoes_unpack(rows):
    frame = pd.DataFrame(rows, columns=["a", "b", "c", "d"])
    data = load_table(frame, Options(), "t")
    for split in (data.train, data.valid, data.test):
        again = data.example.pack(data.example.unpack(split.x))
        assert torch.equal(again.nan_to_num(-99.0), split.x.nan_to_num(-99.0))


def test_notes_say_what_was_understood():
    data = load({"age": range(N), "id": [f"p{i}" for i in range(N)], "empty": [None] * N, "one": ["k"] * N})
    assert data.notes[:2] == ("age: numbers in steps of 1", "one: constant")
    assert any(note.startswith("left out id") for note in data.notes)
    assert any(note.startswith("left out empty") for note in data.notes)
    wide = load({f"c{i}": np.arange(N) * (i + 1) for i in range(20)})
    assert "and 8 more columns" in wide.notes


def test_condition_column():
    data = load({"a": np.arange(N), "kind": ["x", "y", None, "x"] * (N // 4)}, condition_column="kind")
    assert [c.name for c in data.example.columns] == ["a"]
    assert data.condition.names == ("x", "y") and data.condition.title == "kind"
    for split in (data.train, data.valid, data.test):
        expected = [["x", "y", None, "x"][int(a) % 4] for a in split.x[:, 0]]
        found = [data.condition.names[c] if p else None for c, p in zip(split.condition, split.present, strict=True)]
        assert found == expected


def test_condition_column_of_numbers():
    data = load({"a": np.arange(N), "grade": np.arange(N) % 5}, condition_column="grade")
    assert data.condition.names == (0, 1, 2, 3, 4)


def test_resolution_is_an_argument():
    data = load({"a": np.arange(N) / 100, "b": np.arange(N)}, resolution={"a": 0.1, "b": 0})
    assert [c.resolution for c in data.example.columns] == [0.1, 0.0]
    assert set(np.unique(data.train.x[:, 0])) <= {0.0, 0.1, 0.2, 0.3, 0.4}
    with pytest.raises(InputError, match="resolution: got the name 'c', expected one of a, b"):
        load({"a": np.arange(N), "b": np.arange(N)}, resolution={"c": 1.0})


def test_a_single_column_of_distinct_strings_is_texts():
    data = load({"text": [f"sentence {i}" for i in range(N)], "kind": [0, 1] * (N // 2)}, condition_column="kind")
    assert isinstance(data.example, Text) and data.condition.names == (0, 1)
    text = data.example.unpack(data.test.x)[0]
    assert int(text.split()[1]) % 2 == data.test.condition[0]


def test_columns_named_by_numbers():
    frame = pd.DataFrame(np.random.default_rng(0).normal(size=(N, 3)))
    data = load_table(frame, Options(), "t")
    assert [c.name for c in data.example.columns] == ["0", "1", "2"]
    assert data.example.pack(frame).shape == (N, 3)


def test_own_test_rows():
    train, test = (pd.DataFrame({"a": np.arange(n), "c": ["u", "v"] * (n // 2)}) for n in (40, 6))
    data = load_table(train, Options(condition_column="c"), "t", test=test)
    assert (len(data.train), len(data.valid), len(data.test)) == (36, 4, 6)
    assert data.test.x[:, 0].tolist() == [0, 1, 2, 3, 4, 5] and data.test.condition.tolist() == [0, 1] * 3
