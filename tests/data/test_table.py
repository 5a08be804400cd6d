"""CSV tables: reading, encoding, and errors with line and column."""

import csv
import io
import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dlnotes_cli.data.preprocessing import Column, TablePreprocessing
from dlnotes_cli.data.table import (
    Table,
    describe_columns,
    encode,
    encode_raw,
    fit_preprocessing,
    read_labels,
    read_table,
    select_rows,
    standardize,
)
from dlnotes_cli.shell.codec import to_json
from dlnotes_cli.shell.errors import InputError

STUDENTS = """admit,gre,gpa,rank
0,380,3.61,3
1,660,3.67,3
1,800,4,1
0,640,3.19,4
1,520,2.93,4
0,760,3,2
"""


def table_of(tmp_path: Path, text: str | bytes) -> Table:
    path = tmp_path / "t.csv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return read_table(path)


def all_rows(table: Table) -> "np.ndarray[tuple[int], np.dtype[np.int64]]":
    return np.arange(len(table.rows))


# --- reading -----------------------------------------------------------------------------------------------------

CELLS = st.text(st.characters(codec="utf-8", exclude_characters="\0\ufeff"), max_size=8).map(str.strip)
NAMES = st.lists(st.text("abcxyz é", min_size=1).map(str.strip).filter(bool), min_size=2, max_size=4, unique=True)


@given(
    header=NAMES,
    separator=st.sampled_from(",;\t|"),
    ending=st.sampled_from(["\n", "\r\n", "\r"]),
    has_mark=st.booleans(),
    data=st.data(),
)
def test_reads_files_of_the_csv_module(
    header: list[str],
    separator: str,
    ending: str,
    data: st.DataObject,
    tmp_path_factory: pytest.TempPathFactory,
    *,
    has_mark: bool,
) -> None:
    row = st.lists(CELLS, min_size=len(header), max_size=len(header)).filter(any)
    rows = data.draw(st.lists(row, min_size=1, max_size=4))
    stream = io.StringIO(newline="")
    writer = csv.writer(stream, delimiter=separator, lineterminator=ending, quoting=csv.QUOTE_ALL)
    writer.writerows([header, *rows])
    path = tmp_path_factory.getbasetemp() / "round-trip.csv"
    path.write_bytes(stream.getvalue().encode("utf-8-sig" if has_mark else "utf-8"))
    table = read_table(path)
    assert table.header == tuple(header)
    assert table.rows == tuple(map(tuple, rows))


def test_white_space_around_cells_and_blank_lines_are_ignored(tmp_path: Path) -> None:
    table = table_of(tmp_path, '\n a , b\n\n1, "x, y"\n , \n2,z\n\n')
    assert table.header == ("a", "b")
    assert table.rows == (("1", "x, y"), ("2", "z"))
    assert table.lines == (4, 6)


def test_a_row_has_the_number_of_its_first_line(tmp_path: Path) -> None:
    table = table_of(tmp_path, 'a,b\n1,"x\ny\nz"\n2,w\r\n3,"p\r\nq"\n4,r\n')
    assert table.lines == (2, 5, 6, 8)
    assert table.rows[0] == ("1", "x\ny\nz")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "the file is empty; give a CSV with a header line and rows"),
        ("\n  \n,,\n", "the file is empty"),
        ("a,b\n", "a header line but no rows; add rows"),
        ("1,2.5,-3e4\n4,5,6\n", "the first line holds numbers, not column names; put a header line above them"),
        ("a,b,a\n1,2,3\n", "column name a is empty or repeated; give each column its own name"),
        ("a,,b\n1,2,3\n", r"column name \(empty\) is empty or repeated"),
        ("a,b\n1,2\n\n3\n", "line 4 has 1 cells, the header 2; fix the line"),
        ('a,b\n"1\n\n",2\n3,4,5\n', "line 5 has 3 cells, the header 2; fix the line"),
        ('a,b\n1,2\n3,"never\nclosed,4\n5,6\n', "line 3: unexpected end of data; fix the line"),
        ('a,b\n1,2\n3,"x"y\n', "line 3: .*expected after"),
        ("a,b\n1," + "x" * 140_000 + "\n", "line 2 has a cell of more than 131,072 characters; shorten it"),
        (b"a,b\n1,\x92\n", "line 2: byte 0x92 at offset 6 is not UTF-8; save the file as UTF-8"),
        (b"\xef\xbb\xbfa,b\n1,\x93\n", "line 2: byte 0x93 at offset 9 is not UTF-8"),
        ("a,b\n1,2\n".encode("utf-16"), "line 1: byte 0xff at offset 0 is not UTF-8"),
    ],
)
def test_an_invalid_table_is_refused_with_the_reason(text: str | bytes, reason: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=f"t.csv: {reason}"):
        table_of(tmp_path, text)


def test_an_unreadable_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"none.csv: no such file; check the path"):
        read_table(tmp_path / "none.csv")
    with pytest.raises(InputError, match=r"cannot be read \(is a directory\)"):
        read_table(tmp_path)


def test_the_fingerprint_depends_on_the_content(tmp_path: Path) -> None:
    first = table_of(tmp_path, STUDENTS).fingerprint
    assert table_of(tmp_path, STUDENTS).fingerprint == first
    assert table_of(tmp_path, STUDENTS + "1,700,3.5,1\n").fingerprint != first


# --- labels ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("cells", "classes", "labels"),
    [
        (["10", "9", "-1", "9"], ("-1", "9", "10"), [2, 1, 0, 1]),
        (["b", "a", "B"], ("B", "a", "b"), [2, 1, 0]),
        (["x", "2", "10"], ("2", "10", "x"), [2, 0, 1]),
        (["1.5", "1", "nan"], ("1", "1.5", "nan"), [1, 0, 2]),
    ],
)
def test_classes_are_sorted_with_numbers_by_value(
    cells: list[str], classes: tuple[str, ...], labels: list[int], tmp_path: Path
) -> None:
    table = table_of(tmp_path, "f,t\n" + "".join(f"1,{cell}\n" for cell in cells))
    indices, names = read_labels(table, "t")
    assert names == classes
    assert indices.tolist() == labels
    assert indices.dtype == np.int64


def test_the_target_must_be_a_column(tmp_path: Path) -> None:
    table = table_of(tmp_path, STUDENTS)
    with pytest.raises(
        InputError, match=r"--target: does not name the column of .*t.csv to predict; choose from admit, gre, gpa, rank"
    ):
        read_labels(table, None)
    with pytest.raises(InputError, match="--target: unknown column 'admitt'; did you mean 'admit'"):
        read_labels(table, "admitt")


def test_an_empty_label_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"t.csv: line 3: column 't' is empty; fill the cell or drop the row"):
        read_labels(table_of(tmp_path, "f,t\n1,a\n2,\n"), "t")


def test_a_numeric_column_is_refused_as_target(tmp_path: Path) -> None:
    table = table_of(tmp_path, "f,t\n" + "".join(f"1,{i}\n" for i in range(1500)))
    with pytest.raises(
        InputError, match="--target: 't' has 1500 distinct values in 1500 rows; choose a column of classes"
    ):
        read_labels(table, "t")


# --- encoding ----------------------------------------------------------------------------------------------------


def test_students_are_encoded_as_the_course_does_but_standardized(tmp_path: Path) -> None:
    table = table_of(tmp_path, STUDENTS)
    training = np.array([0, 2, 3, 5])
    preprocessing = fit_preprocessing(table, "admit", ["rank"], training)
    assert [column.name for column in preprocessing.columns] == ["gre", "gpa", "rank"]
    assert preprocessing.shape == (6,)
    encoded = encode(table, preprocessing)
    assert encoded.dtype == np.float32
    numbers = np.array([[380, 3.61], [660, 3.67], [800, 4], [640, 3.19], [520, 2.93], [760, 3]])
    chosen = numbers[training]
    np.testing.assert_allclose(encoded[:, :2], (numbers - chosen.mean(axis=0)) / chosen.std(axis=0), rtol=1e-6)
    np.testing.assert_array_equal(encoded[:, 2:], np.eye(4)[[2, 2, 0, 3, 3, 1]])


def test_statistics_come_from_the_training_rows_alone(tmp_path: Path) -> None:
    text = "x,k,t\n1,a,0\n3,b,1\n1000,c,0\n"
    preprocessing = fit_preprocessing(table_of(tmp_path, text), "t", [], np.array([0, 1]))
    assert preprocessing.columns == (Column("x", 2.0, 1.0), Column("k", categories=("a", "b", "c")))


def test_a_column_is_numeric_if_most_of_its_cells_are(tmp_path: Path) -> None:
    half = table_of(tmp_path, "x,t\n1,a\n2,b\np,a\nq,b\n")
    assert fit_preprocessing(half, "t", [], all_rows(half)).columns[0].categories == ("1", "2", "p", "q")
    most = table_of(tmp_path, "x,t\n1,a\n2,b\n3,a\nq,b\n")
    with pytest.raises(
        InputError, match=r"t.csv: line 5: column 'x': 'q' is not a number; fix the cell, or pass --categorical x"
    ):
        fit_preprocessing(most, "t", [], all_rows(most))
    assert fit_preprocessing(most, "t", ["x"], all_rows(most)).columns[0].categories == ("1", "2", "3", "q")


@pytest.mark.parametrize("cell", ["nan", "inf", "-Infinity", "1e400", "1e31", "12,5", "NA"])
def test_a_cell_that_is_not_a_finite_number_is_named(cell: str, tmp_path: Path) -> None:
    table = table_of(tmp_path, f"x;t\n1;a\n2;b\n3;a\n{cell};b\n")
    with pytest.raises(InputError, match=f"line 5: column 'x': '{cell}' is not a number"):
        fit_preprocessing(table, "t", [], all_rows(table))


def test_an_empty_numeric_cell_is_named(tmp_path: Path) -> None:
    table = table_of(tmp_path, "x,t\n1,a\n,b\n3,a\n")
    with pytest.raises(InputError, match="line 3: column 'x' is empty; fill the cell or drop the row"):
        fit_preprocessing(table, "t", [], all_rows(table))


@pytest.mark.parametrize("value", ["5", "0.1", "-1e20"])
def test_a_constant_column_is_encoded_as_zero(value: str, tmp_path: Path) -> None:
    table = table_of(tmp_path, "x,t\n" + f"{value},a\n{value},b\n{value},a\n" * 7)
    preprocessing = fit_preprocessing(table, "t", [], all_rows(table))
    assert preprocessing.columns[0].std == 1.0
    np.testing.assert_allclose(encode(table, preprocessing), 0, atol=abs(float(value)) * 1e-15)


def test_a_column_with_too_many_categories_is_refused(tmp_path: Path) -> None:
    table = table_of(tmp_path, "name,t\n" + "".join(f"person {i},{i % 2}\n" for i in range(1001)))
    with pytest.raises(
        InputError, match=r"t.csv: column 'name' has 1001 distinct values, but at most 1000 .*; drop the column"
    ):
        fit_preprocessing(table, "t", [], all_rows(table))


def test_a_table_without_feature_columns_is_refused(tmp_path: Path) -> None:
    table = table_of(tmp_path, "t\na\nb\n")
    with pytest.raises(InputError, match=r"t.csv: the target 't' is the only column; add feature columns"):
        fit_preprocessing(table, "t", [], all_rows(table))


def test_a_categorical_column_must_exist(tmp_path: Path) -> None:
    table = table_of(tmp_path, STUDENTS)
    with pytest.raises(InputError, match="--categorical: unknown column 'ranks'; did you mean 'rank'"):
        fit_preprocessing(table, "admit", ["ranks"], all_rows(table))


PREPROCESSING = TablePreprocessing("t", (Column("x", 2.0, 4.0), Column("k", categories=("", "a", "b"))))


def test_new_rows_are_encoded_with_the_stored_preprocessing(tmp_path: Path) -> None:
    table = table_of(tmp_path, "extra,k,x\n?,a,10\n?,,2\n")
    np.testing.assert_array_equal(encode(table, PREPROCESSING), np.array([[2, 0, 1, 0], [0, 1, 0, 0]], np.float32))
    none = encode(select_rows(table, []), PREPROCESSING)
    assert none.shape == (0, 4)
    assert none.dtype == np.float32


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (
            "x,k\n1,a\n2,c\n",
            "t.csv: line 3: column 'k': 'c' does not occur in the training data; use one of \\(empty\\), a, b",
        ),
        ("x,k\n1,a\n\none,b\n", "t.csv: line 4: column 'x': 'one' is not a number"),
        ("y,k\n1,a\n", "t.csv: unknown column 'x'; choose from y, k"),
    ],
)
def test_new_rows_that_do_not_match_are_named(text: str, reason: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=reason):
        encode(table_of(tmp_path, text), PREPROCESSING)


def test_the_separator_is_that_of_the_header_for_every_line_end(tmp_path: Path) -> None:
    for end in ("\r", "\n", "\r\n"):
        table = table_of(tmp_path, end.join(["a,b", "p;q;r,s;t", ""]))
        assert (table.header, table.rows) == (("a", "b"), (("p;q;r", "s;t"),))


def test_selected_rows_keep_their_line_numbers(tmp_path: Path) -> None:
    table = select_rows(table_of(tmp_path, STUDENTS), [3, 1])
    assert table.lines == (5, 3)
    assert table.column("gre") == ["640", "660"]


def test_columns_are_described(tmp_path: Path) -> None:
    table = table_of(tmp_path, "x,k\n1,a\n2,\n4,b\noops,a\n")
    numeric, text = (to_json(column) for column in describe_columns(table))
    assert numeric | {"std": 0.0} == {
        "name": "x", "distinct": 4, "empty": 0, "kind": "numeric", "not_numbers": 1, "min": 1.0, "max": 4.0,
        "mean": pytest.approx(7 / 3), "std": 0.0,
    }  # fmt: skip
    assert numeric["std"] == pytest.approx(np.std([1, 2, 4]))
    assert text == {"name": "k", "distinct": 3, "empty": 1, "kind": "categorical", "values": ["", "a", "b"]}


def test_a_column_of_identifiers_raises_a_warning(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = "".join(f"name{i},{i % 3},{'ab'[i % 2]}\n" for i in range(30))
    table = table_of(tmp_path, f"name,kind,t\n{rows}")
    fit_preprocessing(table, "t", (), np.arange(30))
    assert "column 'name' has 30 distinct values in 30 rows, each a network input" in capsys.readouterr().err


@pytest.mark.parametrize("cell", ["1_0", "\u0661", "1e1_0"])
def test_python_spellings_of_numbers_are_text(cell: str, tmp_path: Path) -> None:
    table = table_of(tmp_path, f"x,t\n1,a\n2,b\n{cell},a\n")
    with pytest.raises(InputError, match=f"line 4: column 'x': '{cell}' is not a number"):
        fit_preprocessing(table, "t", [], all_rows(table))


def test_empty_categorical_cells_are_a_category_with_a_note(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table = table_of(tmp_path, "k,t\np,a\n,b\nq,a\n")
    preprocessing = fit_preprocessing(table, "t", [], all_rows(table))
    assert preprocessing.columns[0].categories == ("", "p", "q")
    note = f"{table.path}: column 'k' is empty in 1 of 3 rows; empty is a category of its own"
    assert capsys.readouterr().err == f"dlnotes: note: {note}\n"
    full = table_of(tmp_path, "k,t\np,a\nq,b\n")
    with pytest.raises(InputError, match=r"line 3: column 'k' is empty, which does not occur in the training data"):
        encode(table, fit_preprocessing(full, "t", [], all_rows(full)))


def test_a_table_that_is_too_long_is_refused_before_it_is_read(tmp_path: Path) -> None:
    path = tmp_path / "long.csv"
    path.write_text("x,y\n")
    os.truncate(path, 5 << 30)  # without blocks on the disk
    with pytest.raises(InputError, match=r"long\.csv: 5,368,709,120 bytes, more than the 1,073,741,824 .*; use a part"):
        read_table(path)


def test_raw_rows_are_those_of_the_file_and_standardizing_them_encodes_them(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_text("size,kind\n1000000001,a\n1000000003,b\n")
    preprocessing = TablePreprocessing("label", (Column("size", 1e9, 2.0), Column("kind", categories=("a", "b"))))
    table = read_table(path)
    raw = encode_raw(table, preprocessing)
    assert raw.tolist() == [[1000000001, 1, 0], [1000000003, 0, 1]]
    assert preprocessing.inputs == ["size", "kind=a", "kind=b"]
    assert (
        standardize(raw, preprocessing).tolist() == encode(table, preprocessing).tolist() == [[0.5, 1, 0], [1.5, 0, 1]]
    )
