"""Tables: reading CSV and Excel, encoding columns, missing cells, and errors with line and column."""

import csv
import gzip
import io
import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dlnotes_cli.data.preprocessing import Column, TablePreprocessing, preprocessing_from_json, preprocessing_to_json
from dlnotes_cli.data.table import Table, has_fewer_lines, read_table, select_rows
from dlnotes_cli.data.table_columns import (
    describe_columns,
    encode,
    encode_raw,
    fit_preprocessing,
    read_labels,
    standardize,
    without_missing,
)
from dlnotes_cli.shell.codec import to_json
from dlnotes_cli.shell.errors import InputError

STUDENTS = "admit,gre,gpa,rank\n0,380,3.61,3\n1,660,3.67,3\n1,800,4,1\n0,640,3.19,4\n1,520,2.93,4\n0,760,3,2\n"
PREPROCESSING = TablePreprocessing("t", (Column("x", 2.0, 4.0), Column("k", categories=("", "a", "b"))))


def table_of(tmp_path: Path, text: str | bytes, name: str = "t.csv") -> Table:
    path = tmp_path / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return read_table(path)


def fitted(table: Table, target: str = "t", categorical: tuple[str, ...] = (), **missing: object) -> TablePreprocessing:
    return fit_preprocessing(table, target, categorical, np.arange(len(table.rows)), **missing)  # type: ignore[arg-type]


CELLS = st.text(st.characters(codec="utf-8", exclude_characters="\0\ufeff"), max_size=8).map(str.strip)
NAMES = st.lists(st.text("abcxyz é", min_size=1).map(str.strip).filter(bool), min_size=2, max_size=4, unique=True)


@given(
    header=NAMES, separator=st.sampled_from(",;\t|"), ending=st.sampled_from(["\n", "\r\n", "\r"]),
    has_mark=st.booleans(), is_compressed=st.booleans(), data=st.data(),
)  # fmt: skip
def test_reads_files_of_the_csv_module(
    header: list[str], separator: str, ending: str, data: st.DataObject,
    tmp_path_factory: pytest.TempPathFactory, *, has_mark: bool, is_compressed: bool,
) -> None:  # fmt: skip
    row = st.lists(CELLS, min_size=len(header), max_size=len(header)).filter(any)
    rows = data.draw(st.lists(row, min_size=1, max_size=4))
    stream = io.StringIO(newline="")
    csv.writer(stream, delimiter=separator, lineterminator=ending, quoting=csv.QUOTE_ALL).writerows([header, *rows])
    content = stream.getvalue().encode("utf-8-sig" if has_mark else "utf-8")
    table = table_of(tmp_path_factory.getbasetemp(), gzip.compress(content) if is_compressed else content)
    assert (table.header, table.rows) == (tuple(header), tuple(map(tuple, rows)))


@pytest.mark.parametrize(
    ("text", "header", "rows", "lines"),
    [
        ('\n a , b\n\n1, "x, y"\n , \n2,z\n\n', ("a", "b"), (("1", "x, y"), ("2", "z")), (4, 6)),
        ('a,b\n1,"x\ny"\n2,w\r\n3,"p\r\nq"\n4,r\n', ("a", "b"),
         (("1", "x\ny"), ("2", "w"), ("3", "p\r\nq"), ("4", "r")), (2, 4, 5, 7)),
        *((end.join(["a,b", "p;q;r,s;t", ""]), ("a", "b"), (("p;q;r", "s;t"),), (2,)) for end in ("\r", "\n", "\r\n")),
    ],
)  # fmt: skip
def test_rows_have_the_number_of_their_first_line(
    text: str, header: tuple[str, ...], rows: object, lines: object, tmp_path: Path
) -> None:
    table = table_of(tmp_path, text)
    assert (table.header, table.rows, table.lines) == (header, rows, lines)
    assert select_rows(table, [len(table.rows) - 1]).lines == (table.lines[-1],)
    assert table_of(tmp_path, text).fingerprint == table.fingerprint != table_of(tmp_path, text + "1,2").fingerprint


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("\n  \n,,\n", "the file is empty"),
        ("a,b,a\n1,2,3\n", "column name a is empty or repeated; give each column its own name"),
        ("a,,b\n1,2,3\n", r"column name \(empty\) is empty or repeated"),
        ("a,b\n1,2\n\n3\n", "line 4 has 1 cells, the header 2; fix the line"),
        ('a,b\n"1\n\n",2\n3,4,5\n', "line 5 has 3 cells, the header 2; fix the line"),
        ('a,b\n1,2\n3,"never\nclosed,4\n5,6\n', "line 3: unexpected end of data; fix the line"),
        ('a,b\n1,2\n3,"x"y\n', "line 3: .*expected after"),
        (b"a,b\n1,\x92\n", "line 2: byte 0x92 at offset 6 is not UTF-8; save the file as UTF-8"),
        (b"\xef\xbb\xbfa,b\n1,\x93\n", "line 2: byte 0x93 at offset 9 is not UTF-8"),
        (gzip.compress(b"a,b\n1,2\n", mtime=0)[:-9], "is truncated; compress it again"),
    ],
)
def test_an_invalid_table_is_refused_with_the_reason(text: str | bytes, reason: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=f"t.csv: {reason}"):
        table_of(tmp_path, text)


def test_a_byte_order_mark_names_the_encoding(tmp_path: Path) -> None:
    assert table_of(tmp_path, "a,b\n\u00e9,2\n".encode("utf-16")).rows == (("\u00e9", "2"),)


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    (tmp_path / "long.csv").write_text("x,y\n")
    os.truncate(tmp_path / "long.csv", 2 << 30)  # without blocks on the disk
    reasons = {
        "none.csv": "no such file; check the path", "": r"cannot be read \(is a directory\)",
        "long.csv": "is longer than 1,073,741,824 bytes; use a part",
    }  # fmt: skip
    for name, reason in reasons.items():
        with pytest.raises(InputError, match=reason):
            read_table(tmp_path / name)


def test_excel_files_have_the_cells_of_csv_files(tmp_path: Path) -> None:
    pandas, _ = pytest.importorskip("pandas"), pytest.importorskip("openpyxl")
    frame = pandas.DataFrame({"a": [1, 2.5, None], "day": pandas.to_datetime(["2024-01-31"] * 3), "k": ["x", "NA", ""]})
    frame.to_excel(tmp_path / "t.xlsx", index=False)
    table = read_table(tmp_path / "t.xlsx")
    assert (table.header, table.column("a"), table.column("k")) == (
        ("a", "day", "k"),
        ["1", "2.5", ""],
        ["x", "NA", ""],
    )
    assert table.column("day")[0].startswith("2024-01-31")
    assert table.lines == (2, 3, 4)
    with pytest.raises(InputError, match=r"bad\.xlsx: is no Excel file .*; save it again"):
        table_of(tmp_path, b"no archive", "bad.xlsx")
    assert [has_fewer_lines(tmp_path / "t.xlsx", count) for count in (4, 5)] == [False, True]


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
    indices, names = read_labels(table_of(tmp_path, "f,t\n" + "".join(f"1,{cell}\n" for cell in cells)), "t")
    assert (names, indices.tolist(), indices.dtype.name) == (classes, labels, "int64")


@pytest.mark.parametrize(
    ("text", "target", "reason"),
    [
        ("f,t\n1,a\n2,\n", "t", "t.csv: line 3: column 't' is empty; fill the cell or drop the row"),
        ("f,t\n" + "".join(f"1,{i}\n" for i in range(1500)), "t", "'t' has 1500 distinct values in 1500 rows; choose"),
    ],
)
def test_a_target_without_classes_is_refused(text: str, target: str | None, reason: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=reason):
        read_labels(table_of(tmp_path, text), target)


def test_students_are_encoded_as_the_course_does_but_standardized_by_the_training_rows(tmp_path: Path) -> None:
    table, training = table_of(tmp_path, STUDENTS), np.array([0, 2, 3, 5])
    preprocessing = fit_preprocessing(table, "admit", ["rank"], training)
    assert preprocessing.inputs == ["gre", "gpa", "rank=1", "rank=2", "rank=3", "rank=4"]
    encoded, raw = encode(table, preprocessing), encode_raw(table, preprocessing)
    numbers = np.array([[380, 3.61], [660, 3.67], [800, 4], [640, 3.19], [520, 2.93], [760, 3]])
    np.testing.assert_array_equal(raw, np.concatenate([numbers, np.eye(4)[[2, 2, 0, 3, 3, 1]]], axis=1))
    chosen = numbers[training]
    np.testing.assert_allclose(encoded[:, :2], (numbers - chosen.mean(axis=0)) / chosen.std(axis=0), rtol=1e-6)
    np.testing.assert_array_equal(encoded, standardize(raw, preprocessing))
    assert encoded.dtype == np.float32


@pytest.mark.parametrize("cells", ["12pq", "123q"])
def test_a_column_is_numeric_if_most_of_its_cells_are(cells: str, tmp_path: Path) -> None:
    table = table_of(
        tmp_path, "x,t\n" + "".join(f"{cell},{label}\n" for cell, label in zip(cells, "abab", strict=True))
    )
    names = () if cells == "12pq" else ("x",)
    assert fitted(table, categorical=names).columns[0].categories == tuple(cells)


@pytest.mark.parametrize(
    ("cell", "what"),
    [*((cell, "is not a number") for cell in ("inf", "-Infinity", "1_0", "\u0661", "1e1_0", "1.234,5", "1e400", "x")),
     *((cell, "is too large") for cell in ("1e31", "-1e308"))],
)  # fmt: skip
def test_a_cell_that_is_no_number_is_named(cell: str, what: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=f"line 5: column 'x': '{cell}' {what}; fix the cell, or pass --categorical x"):
        fitted(table_of(tmp_path, f"x;t\n1;a\n2;b\n3;a\n{cell};b\n"))


def test_decimals_may_have_a_comma_between_semicolons_unless_some_have_a_point(tmp_path: Path) -> None:
    table = table_of(tmp_path, "x;t\n1,5;a\n-2;b\n3,25e1;a\n")
    assert encode_raw(table, fitted(table)).tolist() == [[1.5], [-2], [32.5]]
    with pytest.raises(InputError, match="line 2: column 'x': '1,5' is not a number"):
        fitted(table_of(tmp_path, "x;t\n1,5;a\n-2.5;b\n3.25;a\n"))
    with pytest.raises(InputError, match="line 2: column 'x': '1,5' is not a number"):
        fitted(table_of(tmp_path, 'x,t\n"1,5",a\n2,b\n3,a\n'))


def test_the_median_of_the_training_rows_stands_for_missing_numbers(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table = table_of(tmp_path, "x,y,t\n1,1,a\n,2,b\n3,3,a\n11,4,b\nNA,5,a\n1000,6,b\n")
    preprocessing = fit_preprocessing(table, "t", (), np.array([0, 1, 2, 3]))
    assert "t.csv: 2 missing cells of column 'x' taken as its median, 3; an input says where" in capsys.readouterr().err
    assert preprocessing.inputs == ["x", "x is missing", "y"]
    filled = [1, 3, 3, 11]
    assert preprocessing.columns[0] == Column("x", float(np.mean(filled)), float(np.std(filled)), median=3.0)
    assert preprocessing_from_json(preprocessing_to_json(preprocessing), TablePreprocessing) == preprocessing
    newer = table_of(tmp_path, "x,y\nnan,1\n7,2\n")
    assert encode_raw(newer, preprocessing).tolist() == [[3, 1, 1], [7, 0, 2]]
    np.testing.assert_allclose(encode(newer, preprocessing)[:, 1], [1, 0])
    assert without_missing(table, {"t"}, ()).lines == (2, 4, 5, 7)
    for refused in (lambda: fitted(table, missing="refuse"), lambda: encode(table, PREPROCESSING)):
        with pytest.raises(InputError, match="line 3: column 'x' is empty; fill the cell or drop the row"):
            refused()
    with pytest.raises(InputError, match="every row has a missing cell; drop a column, or use --missing indicator"):
        without_missing(table_of(tmp_path, "x,y,t\n1,,a\n,2,b\n"), {"t"}, ())


@pytest.mark.parametrize("value", ["5", "0.1", "-1e20", "1e-310"])
def test_a_constant_column_is_encoded_as_zero(value: str, tmp_path: Path) -> None:
    table = table_of(tmp_path, "x,t\n" + f"{value},a\n{value},b\n{value},a\n" * 7)
    assert fitted(table).columns[0].std == 1.0
    np.testing.assert_allclose(encode(table, fitted(table)), 0, atol=abs(float(value)) * 1e-15)


@pytest.mark.parametrize(
    ("text", "categorical", "reason"),
    [
        ("name,t\n" + "".join(f"p {i},{i % 2}\n" for i in range(1001)), (), "'name' has 1001 distinct .* most 1000"),
        ("t\na\nb\n", (), "the target 't' is the only column; add feature columns"),
        ("x,t\n1,a\n", ("y",), "--categorical: unknown column 'y'"),
    ],
)
def test_columns_that_cannot_be_encoded_are_refused(
    text: str, categorical: tuple[str, ...], reason: str, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=reason):
        fitted(table_of(tmp_path, text), categorical=categorical)


def test_new_rows_are_encoded_with_the_stored_preprocessing(tmp_path: Path) -> None:
    table = table_of(tmp_path, "extra,k,x\n?,a,10\n?,,2\n")
    np.testing.assert_array_equal(encode(table, PREPROCESSING), np.array([[2, 0, 1, 0], [0, 1, 0, 0]], np.float32))
    assert encode(select_rows(table, []), PREPROCESSING).shape == (0, 4)
    faults = {
        "x,k\n1,a\n2,c\n": r"line 3: column 'k': 'c' does not occur in the training data; use one of \(empty\), a, b",
        "x,k\n1,a\n\none,b\n": "line 4: column 'x': 'one' is not a number",
        "y,k\n1,a\n": "unknown column 'x'; choose from y, k",
    }
    for text, reason in faults.items():
        with pytest.raises(InputError, match=f"t.csv: {reason}"):
            encode(table_of(tmp_path, text), PREPROCESSING)


def test_columns_are_described(tmp_path: Path) -> None:
    numeric, text = map(to_json, describe_columns(table_of(tmp_path, "x,k\n1,a\n2,\n4,b\noops,a\n")))
    assert numeric == {
        "name": "x", "distinct": 4, "empty": 0, "kind": "numeric", "not_numbers": 1, "min": 1.0, "max": 4.0,
        "mean": pytest.approx(7 / 3), "std": pytest.approx(np.std([1, 2, 4])),
    }  # fmt: skip
    assert text == {"name": "k", "distinct": 3, "empty": 1, "kind": "categorical", "values": ["", "a", "b"]}


def test_columns_of_identifiers_and_empty_categories_are_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = "".join(f"name{i},{i % 3},{'ab'[i % 2]}\n" for i in range(30))
    fitted(table_of(tmp_path, f"name,kind,t\n{rows}"))
    assert "column 'name' has 30 distinct values in 30 rows, each a network input" in capsys.readouterr().err
    assert fitted(table_of(tmp_path, "k,t\np,a\n,b\nq,a\n")).columns[0].categories == ("", "p", "q")
    assert "column 'k' is empty in 1 of 3 rows; empty is a category of its own" in capsys.readouterr().err
