"""Images below a folder are found by suffix, in a fixed order."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dlnotes_cli.data.walk import find_images, natural_order
from dlnotes_cli.shell.errors import InputError


def _touch(root: Path, *names: str) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()


def test_a_folders_own_images_come_before_those_of_its_sub_folders(tmp_path: Path) -> None:
    _touch(tmp_path, "b.PNG", "a.jpg", "10/x.jpg", "9/x.jpg", "words/x.jpg", "words/deeper/y.webp")
    names = [path.relative_to(tmp_path).as_posix() for path in find_images(tmp_path)]
    assert names == ["a.jpg", "b.PNG", "9/x.jpg", "10/x.jpg", "words/x.jpg", "words/deeper/y.webp"]


def test_hidden_entries_other_files_and_folders_named_like_images_are_skipped(tmp_path: Path) -> None:
    _touch(tmp_path, ".hidden.jpg", ".thumbs/a.jpg", "notes.txt", "a.jpg/inside.png", "jpg")
    assert list(find_images(tmp_path)) == [tmp_path / "a.jpg" / "inside.png"]


def test_subfolders_may_be_left_out(tmp_path: Path) -> None:
    _touch(tmp_path, "b.png", "a.png", "deeper/c.png")
    assert list(find_images(tmp_path, recursive=False)) == [tmp_path / "a.png", tmp_path / "b.png"]


def test_links_to_folders_are_not_followed(tmp_path: Path) -> None:
    _touch(tmp_path, "a.png")
    (tmp_path / "again").symlink_to(tmp_path, target_is_directory=True)
    assert list(find_images(tmp_path)) == [tmp_path / "a.png"]


def test_a_folder_that_cannot_be_listed_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"none: no such file; check the path"):
        list(find_images(tmp_path / "none"))


@given(st.sets(st.integers(0, 10**6), min_size=1), st.sets(st.text("abcxyz", min_size=1)))
def test_numbers_sort_by_value_before_words(numbers: set[int], words: set[str]) -> None:
    mixed = sorted([*words, *map(str, numbers)], key=natural_order)
    assert mixed == [*map(str, sorted(numbers)), *sorted(words)]
