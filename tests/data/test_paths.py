"""Arguments to input files, lists of paths, and the cache folder."""

import io
import os
import sys
from pathlib import Path

import pytest

from dlnotes_cli.data.paths import InputFile, cache_folder, expand_argument, expand_paths, kind_of, read_list
from dlnotes_cli.shell.errors import InputError


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    names = "in/b.png in/a.jpg in/deep/c.png in/.hidden.png in/notes.txt odd[1].png x.csv y.tsv"
    for name in names.split():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path


@pytest.mark.parametrize(
    ("arguments", "files"),
    [
        (["in"], ["in/a.jpg", "in/b.png", "in/deep/c.png"]),
        (["in/*.png", "in/a.jpg", "in/*.png"], ["in/b.png", "in/a.jpg", "in/b.png"]),
        (["in/**/*.png"], ["in/b.png", "in/deep/c.png"]),
        (["i*/**"], ["in/a.jpg", "in/b.png", "in/deep/c.png", "in/notes.txt"]),
        (["odd[1].png", "in/.hidden.png", "not there.png"], ["odd[1].png", "in/.hidden.png", "not there.png"]),
    ],
)
@pytest.mark.usefixtures("home")
def test_arguments_become_files_in_their_order(arguments: list[str], files: list[str]) -> None:
    assert expand_paths(arguments, tables=False) == [Path(file) for file in files]


def test_a_tilde_is_the_home_folder(home: Path) -> None:
    assert expand_paths(["~/in/*.jpg", "~/in/deep"], tables=False) == [home / "in/a.jpg", home / "in/deep/c.png"]
    assert expand_paths(["~no-such-user/x.png"], tables=False) == [Path("~no-such-user/x.png")]


@pytest.mark.usefixtures("home")
def test_tables_and_images_must_match_the_model() -> None:
    assert expand_paths(["x.csv", "y.tsv", "*.csv"], tables=True) == [Path("x.csv"), Path("y.tsv"), Path("x.csv")]
    with pytest.raises(
        InputError, match=r"x.csv: is a CSV table; the model .* on images; .* --image-column if the table"
    ):
        expand_paths(["in", "x.csv"], tables=False)
    with pytest.raises(InputError, match=r"in/b.png: is not a CSV table; the model was trained on rows of a CSV table"):
        expand_paths(["x.csv", "in/b.png"], tables=True)


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["in", "empty"], "empty: the folder has no images; name another folder"),
        (["x" * 300], r"x: cannot be read \(file name too long\); check the path"),
    ],
)
@pytest.mark.usefixtures("home")
def test_arguments_without_files_are_refused(arguments: list[str], line: str) -> None:
    with pytest.raises(InputError, match=line):
        expand_paths(arguments, tables=False)


@pytest.mark.usefixtures("home")
def test_subfolders_and_folders_of_a_pattern_may_be_left_out() -> None:
    assert list(expand_argument("in"))[1:] == [
        InputFile(Path("in/b.png")), InputFile(Path("in/deep/c.png"), Path("deep"))
    ]  # fmt: skip
    assert [file.path.name for file in expand_argument("in", recursive=False)] == ["a.jpg", "b.png"]
    assert [file.path.name for file in expand_argument("in/*", only_files=True)] == ["a.jpg", "b.png", "notes.txt"]
    with pytest.raises(InputError, match="empty: the folder has no images; name another folder, or add --recursive"):
        list(expand_argument("empty", recursive=False))
    with pytest.raises(InputError, match=r"in/d\*: the pattern matches no file; check it"):
        list(expand_argument("in/d*", only_files=True))


@pytest.mark.parametrize(
    "text", [b"a.png\nin/\xff c.png\n", b"\n a.png \r\n\r\nin/\xff c.png", b"\xef\xbb\xbfa.png\nin/\xff c.png"]
)
def test_a_list_is_read_line_by_line(text: bytes, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (home / "list.txt").write_bytes(text)
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(text), encoding="utf-8"))
    assert read_list("~/list.txt") == read_list("-") == ["a.png", os.fsdecode(b"in/\xff c.png")]


@pytest.mark.usefixtures("home")
def test_a_list_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    faults = {"none.txt": "no such file", "in": "cannot be read .is a directory", "pipe": "is not a file; pass - to"}
    for source, reason in faults.items():
        with pytest.raises(InputError, match=f"{source}: {reason}"):
            read_list(source)


def test_the_cache_folder_follows_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DLNOTES_CACHE", "/a/b")
    monkeypatch.setenv("XDG_CACHE_HOME", "/x")
    monkeypatch.setenv("HOME", "/somewhere")
    assert cache_folder() == Path("/a/b")
    monkeypatch.delenv("DLNOTES_CACHE")
    assert cache_folder() == Path("/x/dlnotes")
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    assert cache_folder() == Path("/somewhere/.cache/dlnotes")


def test_kinds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "digits").mkdir()
    for name in ("x.csv", "Y.TSV"):
        (tmp_path / name).touch()
    assert kind_of("digits") == "named"
    assert kind_of("./digits") == kind_of("~/digits") == kind_of(str(tmp_path)) == "folder"
    assert kind_of("x.csv") == kind_of("~/Y.TSV") == "table"
    with pytest.raises(InputError, match=r"~no-such-user/photos: no such file or folder; check the path"):
        kind_of("~no-such-user/photos")
