"""Labeled texts of tables and folders, and what is refused."""

from pathlib import Path

import numpy as np
import pytest

from dlnotes_cli.data.dataset import SplitRule
from dlnotes_cli.data.texts.labeled import (
    TextColumns,
    TextDataSet,
    load_texts_for_model,
    load_training_texts,
    texts_kind,
)
from dlnotes_cli.data.texts.preprocessing import TfidfPreprocessing
from dlnotes_cli.shell.errors import InputError

RULE = SplitRule(val_split=0.25, test_split=0.25, seed=0)


def table(folder: Path, content: str | bytes) -> str:
    path = folder / "t.csv"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return str(path)


def load(data: str, column: str | None = "text", target: str | None = "label") -> TextDataSet:
    return load_training_texts(data, column, target, RULE)


def rows(count: int) -> str:
    return "".join(f"text {i},{'ab'[i % 2]}\n" for i in range(count))


def test_a_table_is_split_by_seed_and_stratified(tmp_path: Path) -> None:
    dataset = load(table(tmp_path, f"text,label\n{rows(32)}"))
    assert dataset.counts == {"train": 18, "val": 6, "test": 8}
    assert dataset.classes == ("a", "b")
    for indices in dataset.splits.values():
        assert abs(int(dataset.labels[indices].sum()) * 2 - len(indices)) <= 1
    assert sorted(np.concatenate(list(dataset.splits.values())).tolist()) == list(range(32))


def test_the_only_column_besides_the_target_has_the_texts_of_any_length(tmp_path: Path) -> None:
    long = "word " * 40_000 + "end"
    dataset = load(table(tmp_path, f"review,label\n{long},a\n{rows(16)}"), None)
    assert (dataset.text_column, dataset.texts[0]) == ("review", long)


def test_an_empty_text_is_left_out_with_its_label(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = table(tmp_path, f"text,label\n ,c\n,a\n{rows(16)}")
    dataset = load(path)
    assert (len(dataset.texts), len(dataset.labels), dataset.dropped, dataset.classes) == (16, 16, 2, ("a", "b"))
    assert sorted(np.concatenate(list(dataset.splits.values())).tolist()) == list(range(16))
    assert f"2 empty texts left out with the label: {path}:2, {path}:3" in capsys.readouterr().err


def test_a_folder_of_classes_with_and_without_splits(tmp_path: Path) -> None:
    for split in ("train", "valid", "test"):
        for name in ("pos", "neg"):
            folder = tmp_path / "split" / split / name
            folder.mkdir(parents=True)
            for i in range(3):
                (folder / f"{i}.txt").write_text(f"\ufeff{split} {name} {i}\n")
    dataset = load(str(tmp_path / "split"), None, None)
    assert dataset.counts == {"train": 6, "val": 6, "test": 6}
    assert dataset.texts[dataset.splits["val"][0]] == "valid neg 0"
    assert load(str(tmp_path / "split" / "train"), None, None).classes == ("neg", "pos")


@pytest.mark.parametrize(
    ("content", "column", "target", "message"),
    [
        ("text,label\na,b\n", "txet", "label", "--text-column: unknown column 'txet'; did you mean 'text'?"),
        ("text,other,label\na,x,b\n", None, "label", "does not name the column .* choose from text, other"),
        ("text,label\na,b\n", "text", None, "--target: does not name the column"),
        ("text,label\na,b\n", "text", "lable", "--target: unknown column 'lable'; did you mean 'label'?"),
        ("text,label\na,b\n", "label", "label", "--text-column: 'label' is the target too; choose from text"),
        ("text,label\na,b\nc,b\n", "text", "label", "has only one class, 'b'"),
        ("text,label\n,b\n ,c\n", "text", "label", "every text of .* is empty"),
        ("text,label\na\0b,c\n", "text", "label", "line 2: column 'text' has a NUL character"),
        (b"text,label\na,b\nc\xe9,d\n", "text", "label", "line 3: byte 0xe9 at offset 16 is not UTF-8"),
    ],
)  # fmt: skip
def test_bad_tables(content: str | bytes, column: str | None, target: str | None, message: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=message):
        load(table(tmp_path, content), column, target)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"fine\ncaf\xe9\n", "1.txt: line 2: byte 0xe9 at offset 8 is not UTF-8; save the file as UTF-8"),
        (b"one\n\0two", "1.txt: line 2 has a NUL character"),
        (b"x" * ((1 << 24) + 1), "1.txt: is longer than 16,777,216 bytes"),
        (None, r"class folder .*b has no texts"),
    ],
)
def test_bad_folders(content: bytes | None, message: str, tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        if name == "a" or content is not None:
            (tmp_path / name / "1.txt").write_bytes(content or b"one")
    with pytest.raises(InputError, match=message):
        load(str(tmp_path), None, None)
    with pytest.raises(InputError, match="--text-column: has no effect"):
        load(str(tmp_path), "text", None)


@pytest.mark.parametrize(
    ("data", "message"), [("remark", "did you mean 'remarks'"), ("none/here.csv", "no such file or folder")]
)
def test_unknown_data(data: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        texts_kind(data)


@pytest.mark.parametrize(("written", "named"), [("cp1252", "cp1252"), ("utf-16", None), ("utf-8-sig", None)])
def test_texts_are_read_in_their_encoding(written: str, named: str | None, tmp_path: Path) -> None:
    path = table(tmp_path, f"text,label\ncaf\u00e9,c\n{rows(16)}".encode(written))
    assert load_training_texts(path, "text", "label", RULE, named).texts[0] == "caf\u00e9"
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        for i in range(8):
            (tmp_path / name / f"{i}.txt").write_bytes(f"caf\u00e9 {i}".encode(written))
    assert load_training_texts(str(tmp_path), None, None, RULE, named).texts[0] == "caf\u00e9 0"
    stored = TfidfPreprocessing("text", "label", (), (), encoding=named)
    assert load_texts_for_model(str(tmp_path), TextColumns(), stored, ("a", "b")).texts[0] == "caf\u00e9 0"
