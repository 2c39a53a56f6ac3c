"""CSV and its relatives: delimiters, encodings, headers, quotes, missing cells, and errors with line numbers."""

import gzip

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pushforward.core.errors import InputError
from pushforward.datasets.delimited import parse_column, read_delimited, read_parquet


def read(tmp_path, text: str, encoding: str = "utf-8", name: str = "a.csv"):
    (tmp_path / name).write_bytes(text.encode(encoding))
    return read_delimited(tmp_path / name)


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_delimiters(tmp_path, delimiter):
    lines = [["a", "b", "c"], ["1", "x", "2.5"], ["3", "y", "4.5"]]
    frame, notes = read(tmp_path, "\n".join(delimiter.join(line) for line in lines))
    assert frame.columns.tolist() == ["a", "b", "c"] and notes == ()
    assert frame["a"].tolist() == [1, 3] and frame["b"].tolist() == ["x", "y"] and frame["c"].tolist() == [2.5, 4.5]
    assert frame["a"].dtype == np.int64


def test_spaces_around_cells_and_blank_lines(tmp_path):
    frame, _ = read(tmp_path, "a, b\n\n 1 ,  x \n2, y\n\n")
    assert frame.to_dict("list") == {"a": [1, 2], "b": ["x", "y"]}


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "latin-1", "utf-16"])
def test_encodings(tmp_path, encoding):
    frame, notes = read(tmp_path, "größe,n\nhöch,1\ntief,2\n", encoding)
    assert frame.columns[0] == "größe" and frame.iloc[0, 0] == "höch"
    assert any("Latin-1" in note for note in notes) == (encoding == "latin-1")


def test_gzip(tmp_path):
    (tmp_path / "a.csv.gz").write_bytes(gzip.compress(b"a,b\n1,2\n3,4\n"))
    assert read_delimited(tmp_path / "a.csv.gz")[0]["b"].tolist() == [2, 4]


def test_quotes_hold_delimiters_quotes_and_line_ends(tmp_path):
    frame, _ = read(tmp_path, 'name,n\n"Smith, J.",1\n"say ""hi""\nthere",2\n')
    assert frame["name"].tolist() == ["Smith, J.", 'say "hi"\nthere']


@pytest.mark.parametrize(
    ("text", "line", "cells"),
    [
        ("a,b\n1,2\n3\n4,5\n", 3, 1),
        ("a,b\n1,2\n\n3,4,5\n", 4, 3),
        ('a,b\n"x\ny",2\n3\n', 4, 1),  # line numbers count the line ends inside quotes
    ],
)
def test_ragged_rows_are_named_by_line(tmp_path, text, line, cells):
    with pytest.raises(InputError, match=f"line {line} has {cells} cells, expected 2"):
        read(tmp_path, text)


@pytest.mark.parametrize(
    ("text", "header"),
    [
        ("a,b\n1,2\n3,4\n", True),
        ("1,2\n3,4\n", False),
        ("x,1\ny,2\n", False),
        ("kind,colour\ncat,red\ndog,blue\n", True),
        ("cat,red\ndog,blue\ncat,green\n", False),  # the first line comes back below
        ("smiles\nCCO\nCC\n", True),
    ],
)
def test_headers(tmp_path, text, header):
    frame, notes = read(tmp_path, text)
    assert (frame.columns[0] != "column1") == header
    assert any("no header" in note for note in notes) == (not header)
    assert len(frame) == len(text.split()) - header


def test_row_numbers_in_front_are_left_out(tmp_path):
    frame, notes = read(tmp_path, pd.DataFrame({"a": [5, 7, 9], "b": [1, 1, 2]}).to_csv())
    assert frame.columns.tolist() == ["a", "b"] and "numbers the rows" in notes[0]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a,a\n1,2\n3,4\n", "two columns named 'a'"),
        ("a,,c\n1,x,3\n4,y,6\n", "column 2 has no name"),
        ("a,b\n", "a header and no rows"),
        ("   \n", "is empty"),
        ("PK\x03\x04\0\0,a\n", "zero bytes"),
    ],
)
def test_tables_that_cannot_be_read(tmp_path, text, message):
    with pytest.raises(InputError, match=message):
        read(tmp_path, text)


@pytest.mark.parametrize(
    ("cells", "values", "note"),
    [
        (["1", "2"], [1, 2], None),
        (["1", "", "nan", "2"], [1, None, None, 2], None),
        (["1", "NA", "3"], [1, None, 3], "'NA' taken as missing, in 1 cell"),
        (["?", "1.5", "?"], [None, 1.5, None], "'?' taken as missing, in 2 cell"),
        (["None", "Brick"], ["None", "Brick"], None),  # a category of its own
        (["a", "", "NaN"], ["a", None, None], None),
        (["007", "042"], ["007", "042"], None),  # names, not numbers
        (["1"] * 19 + ["x"], ["1"] * 19 + ["x"], "because row 20 says 'x'"),
        (["1e3", "-2.5E-1"], [1000, -0.25], None),
        (["1_000", "2"], ["1_000", "2"], None),
        (["9007199254740993", "1"], [9007199254740992.0, 1.0], None),  # beyond 2**53 a double it stays
    ],
)
def test_columns(cells, values, note):
    found, said = parse_column(cells)
    assert [None if v is None or v != v else v for v in found.tolist()] == values
    assert (said is None) == (note is None) and (note is None or note in said)


def test_decimal_commas_where_the_comma_is_no_delimiter(tmp_path):
    frame, _ = read(tmp_path, "a;b\n1,5;2\n2,25;3\n")
    assert frame["a"].tolist() == [1.5, 2.25]


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1, max_size=20))
def test_doubles_written_by_python_come_back(numbers):
    assert parse_column([repr(number) for number in numbers])[0].tolist() == numbers


#: What may stand in a cell; pandas writes a lone carriage return without quotes, which no reader can undo.
CELL = st.text(st.characters(codec="utf-8", exclude_categories=["Cc"]) | st.just("\n"), min_size=1)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(CELL, st.integers(0, 99)), min_size=2, max_size=8))
def test_what_pandas_writes_is_read(tmp_path_factory, rows):
    frame = pd.DataFrame(rows, columns=["words", "n"])
    path = tmp_path_factory.mktemp("csv") / "a.csv"
    frame.to_csv(path, index=False)
    found, _ = read_delimited(path)
    assert found["n"].tolist() == frame["n"].tolist()
    if found["words"].dtype.kind not in "if":
        known = [None if w.strip().lower() in ("", "nan") else w.strip() for w in frame["words"]]
        assert [None if w != w else w for w in found["words"].astype(object)] == known


def test_parquet_round_trip(tmp_path):
    frame = pd.DataFrame({"a": [1, 2], "b": ["x", None]})
    frame.to_parquet(tmp_path / "a.parquet")
    assert read_parquet(tmp_path / "a.parquet")["a"].tolist() == [1, 2]
    (tmp_path / "b.parquet").write_bytes((tmp_path / "a.parquet").read_bytes()[:-20])
    with pytest.raises(InputError, match="expected a Parquet file"):
        read_parquet(tmp_path / "b.parquet")
