"""Folders of classes: listing, and errors."""

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from dlnotes_cli.data.folder import DecodeSettings, read_folder
from dlnotes_cli.data.listing import FolderListing, list_folder
from dlnotes_cli.data.preprocessing import ImageShape
from dlnotes_cli.data.walk import natural_order
from dlnotes_cli.shell.errors import InputError


def put(root: Path, *names: str) -> Path:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", (4, 3), 7).save(root / name)
    return root


def shown(listing: FolderListing) -> list[tuple[str, str, str]]:
    return [
        (path.relative_to(listing.root).as_posix(), listing.classes[label], split)
        for path, label, split in zip(listing.files, listing.labels, listing.splits, strict=True)
    ]


def test_files_of_a_class_come_before_those_in_its_subfolders(tmp_path: Path) -> None:
    put(tmp_path, "cat/b/x/1.png", "cat/a/2.png", "cat/9/1.gif", "cat/10/1.jpg", "cat/3.png", "dog/b.PNG", "dog/a.jpg")
    listing = list_folder(tmp_path)
    assert listing.classes == ("cat", "dog")
    names = ["cat/3.png", "cat/9/1.gif", "cat/10/1.jpg", "cat/a/2.png", "cat/b/x/1.png", "dog/a.jpg", "dog/b.PNG"]
    assert shown(listing) == [(name, name[:3], "all") for name in names]


@pytest.mark.parametrize(
    ("names", "splits"),
    [
        (("train", "val", "test"), ("train", "val", "test")),
        (("train", "valid"), ("train", "val")),
        (("training", "validation", "testing"), ("train", "val", "test")),
        (("Train", "Valid", "TEST"), ("train", "val", "test")),
        (("test",), ("test",)),
    ],
)
def test_split_folders(names: tuple[str, ...], splits: tuple[str, ...], tmp_path: Path) -> None:
    for name in names:
        put(tmp_path, f"{name}/cat/1.png", f"{name}/dog/2.png")
    put(tmp_path, f"{names[0]}/ape/1.png")  # a class of one split alone
    listing = list_folder(tmp_path)
    assert listing.classes == ("ape", "cat", "dog")
    assert set(shown(listing)) == {
        *((f"{name}/{kind}", kind[:3], split)
          for name, split in zip(names, splits, strict=True) for kind in ("cat/1.png", "dog/2.png")),
        (f"{names[0]}/ape/1.png", "ape", splits[0]),
    }  # fmt: skip


def test_a_class_can_have_the_name_of_a_split_unless_splits_have_classes(tmp_path: Path) -> None:
    put(tmp_path, "train/1.png", "bus/1.png")
    assert list_folder(tmp_path).classes == ("bus", "train")
    put(tmp_path, "train/cat/1.png")
    with pytest.raises(InputError, match=r"has split folders \(train\) and other folders \(bus\); expected"):
        list_folder(tmp_path)


def test_hidden_entries_and_other_files_are_ignored(tmp_path: Path) -> None:
    put(
        tmp_path, "cat/1.png", "dog/1.png", ".ipynb_checkpoints/1.png", "cat/.ipynb_checkpoints/1.png", "cat/.2.png",
        "__MACOSX/1.png", "loose.png", "cat/a.jpg/inside.png",
    )  # fmt: skip
    for name in (".DS_Store", "cat/.DS_Store", "cat/Thumbs.db", "cat/notes.txt", "cat/png", "README.md"):
        (tmp_path / name).write_bytes(b"x")
    assert [name for name, _, _ in shown(list_folder(tmp_path))] == ["cat/1.png", "cat/a.jpg/inside.png", "dog/1.png"]


def test_classes_are_sorted_with_numbers_by_value(tmp_path: Path) -> None:
    put(tmp_path, *(f"{name}/1.png" for name in ["10", "9", "0", "b", "A", "7b", "007"]))
    listing = list_folder(tmp_path)
    assert listing.classes == ("0", "007", "9", "10", "7b", "A", "b")
    assert listing.labels == tuple(range(7))


@given(st.sets(st.integers(0, 10**6), min_size=1), st.sets(st.text("abcxyz", min_size=1)))
def test_numbers_sort_by_value_before_words(numbers: set[int], words: set[str]) -> None:
    mixed = sorted([*words, *map(str, numbers)], key=natural_order)
    assert mixed == [*map(str, sorted(numbers)), *sorted(words)]


def test_names_can_contain_any_character(tmp_path: Path) -> None:
    names = [
        "a b/c d.png", "été/ünï cödé.png", "日本/犬.png", "new\nline/1.png", "100%/{x}.png",
        os.fsdecode(b"\xff/\xfe.png"),
    ]  # fmt: skip
    put(tmp_path, *names)
    listing = list_folder(tmp_path)
    assert {name for name, _, _ in shown(listing)} == set(names)
    for _ in ("decoded", "cached"):
        source = read_folder(listing, ImageShape(1, 3, 4, "crop"), DecodeSettings(1, 12))
        assert len(source.fingerprint) == 64
        assert (source.samples == 7).all()


def test_a_class_folder_can_be_a_link_but_links_below_it_are_not_followed(tmp_path: Path) -> None:
    put(tmp_path / "elsewhere", "1.png", "2.png")
    put(tmp_path / "root", "cat/1.png")
    (tmp_path / "root" / "dog").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "root" / "cat" / "again").symlink_to(tmp_path / "root")
    assert list_folder(tmp_path / "root").labels == (0, 1, 1)
    (tmp_path / "root" / "ape").symlink_to(tmp_path / "root")
    with pytest.raises(InputError, match="ape is a link to its parent folder"):
        list_folder(tmp_path / "root")


@pytest.mark.parametrize("names", [(), ("a.png",), ("train/a.png", "test/b.png"), (".hidden/a.png",)])
def test_a_folder_without_classes_is_refused_with_the_layout(names: tuple[str, ...], tmp_path: Path) -> None:
    put(tmp_path, *names)
    with pytest.raises(InputError) as caught:
        list_folder(tmp_path)
    assert str(caught.value) == (
        f"--data: {tmp_path} has no class folders; "
        "expected FOLDER/<class>/<image> or FOLDER/{train,val,test}/<class>/<image>"
    )


@pytest.mark.parametrize("name", ["dog", "train/dog"])
def test_a_class_without_images_and_an_unreadable_folder_are_named(name: str, tmp_path: Path) -> None:
    put(tmp_path, f"{Path(name).parent}/cat/1.png")
    (tmp_path / name / "deeper").mkdir(parents=True)
    (tmp_path / name / "text.txt").touch()
    with pytest.raises(InputError, match=f"--data: class folder {tmp_path / name} has no images; add some, or remove"):
        list_folder(tmp_path)
    with pytest.raises(InputError, match=r"none: no such file; check the path"):
        list_folder(tmp_path / "none")
