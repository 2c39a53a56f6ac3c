"""Tables: rows of a DataFrame to storage and back."""

import numpy as np
import pandas as pd
import pytest
import torch

from pushforward.core.errors import InputError
from pushforward.core.table import Column, Table

TABLE = Table(
    columns=(
        Column(name="age", resolution=1.0, whole=True, missing=True),
        Column(name="price", resolution=0.01),
        Column(name="pet", categories=("cat", "dog"), missing=True),
        Column(name="flag", categories=(False, True)),
        Column(name="one", categories=(7,)),
    )
)
FRAME = pd.DataFrame(
    {
        "age": pd.array([3, None, 5], dtype="Int64"),
        "price": [0.1, 2.5, 3.0],
        "pet": ["dog", None, "cat"],
        "flag": [True, False, True],
        "one": [7, 7, 7],
    }
)


def test_rows_come_back():
    storage = TABLE.pack(FRAME)
    assert storage.dtype == torch.float64 and storage[0].tolist() == [3.0, 0.1, 1.0, 1.0, 0.0]
    back = TABLE.unpack(storage)
    assert back["age"].dtype == "Int64" and back["age"].isna().tolist() == [False, True, False]
    assert back["pet"].isna().tolist() == [False, True, False] and back["pet"][0] == "dog"
    assert back["flag"].tolist() == [True, False, True] and back["one"].tolist() == [7, 7, 7]
    assert TABLE.unpack(storage[:1])["age"].dtype == np.int64
    assert torch.equal(TABLE.pack(back).nan_to_num(-1), storage.nan_to_num(-1))


def test_other_columns_and_another_order_do_not_matter():
    frame = FRAME[FRAME.columns[::-1]].assign(more=1)
    assert torch.equal(TABLE.pack(frame).nan_to_num(-1), TABLE.pack(FRAME).nan_to_num(-1))


@pytest.mark.parametrize("dtype", ["category", object, "string"])
def test_words_of_any_type(dtype):
    storage = TABLE.pack(FRAME.assign(pet=FRAME["pet"].astype(dtype)))
    assert torch.equal(storage.nan_to_num(-1), TABLE.pack(FRAME).nan_to_num(-1))


def test_numbers_as_words():
    assert torch.equal(
        TABLE.pack(FRAME.assign(price=["0.1", "2.5", "3"])).nan_to_num(-1), TABLE.pack(FRAME).nan_to_num(-1)
    )


def test_columns_without_names_are_counted():
    table = Table(columns=(Column(name="0"), Column(name="1")))
    x = np.array([[0.1, 0.2], [0.3, 0.4]])
    assert np.array_equal(table.pack(pd.DataFrame(x)), x)


def test_a_row_of_no_columns():
    assert Table(columns=()).pack(FRAME).shape == (3, 0)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"pet": ["dog", "cow", "cat"]}, "'pet': holds 'cow', expected one of 'cat', 'dog'"),
        ({"price": [0.1, "cheap", 3.0]}, "'price': holds 'cheap', expected numbers"),
        ({"price": [0.1, np.inf, 3.0]}, "infinite"),
        ({"price": [0.1, np.nan, 3.0]}, "'price' has a missing cell"),
        ({"flag": [True, None, True]}, "'flag' has a missing cell"),
    ],
)
def test_rows_that_do_not_fit(change, message):
    with pytest.raises(InputError, match=message):
        TABLE.pack(FRAME.assign(**change))


def test_a_column_that_is_not_there():
    with pytest.raises(InputError, match="has no column 'price'"):
        TABLE.pack(FRAME.drop(columns="price"))


def test_columns_say_what_they_are():
    assert [column.describe() for column in TABLE.columns] == [
        "age: numbers in steps of 1, some missing",
        "price: numbers in steps of 0.01",
        "pet: 2 categories, some missing",
        "flag: 2 categories",
        "one: constant",
    ]
