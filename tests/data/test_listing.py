"""Folders of classes: listing, names of classes from a JSON file, and errors."""

import json
import os
from pathlib import Path

import pytest
from builders import Command, make_images, small_training
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from dlnotes_cli.data.folder import DecodeSettings, read_folder
from dlnotes_cli.data.listing import FolderListing, list_folder, natural_order, with_class_names
from dlnotes_cli.data.preprocessing import ImageShape
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
        (("train", "val", "test"), ("train", "val", "test")), (("train", "valid"), ("train", "val")),
        (("training", "validation", "testing"), ("train", "val", "test")), (("Train", "TEST"), ("train", "test")),
        (("test",), ("test",)),
    ],
)  # fmt: skip
def test_split_folders(names: tuple[str, ...], splits: tuple[str, ...], tmp_path: Path) -> None:
    expected = {(f"{names[0]}/ape/1.png", "ape", splits[0])}  # a class of one split alone
    for name, split in zip(names, splits, strict=True):
        expected |= {(f"{name}/{kind}/1.png", kind, split) for kind in ("cat", "dog")}
    put(tmp_path, *(name for name, _, _ in expected))
    assert list_folder(tmp_path).classes == ("ape", "cat", "dog")
    assert set(shown(list_folder(tmp_path))) == expected


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


@given(st.sets(st.integers(0, 10**6), min_size=1), st.sets(st.text("abcxyz", min_size=1)))
def test_numbers_sort_by_value_before_words(numbers: set[int], words: set[str]) -> None:
    assert sorted(["b", "A", "7b", "007"], key=natural_order) == ["007", "7b", "A", "b"]
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


# --- names of classes --------------------------------------------------------------------------------------------

NAMES = {"1": "pink primrose", "10": "globe thistle", "2": "canterbury bells", "102": "blackberry lily"}


@pytest.fixture
def flowers(tmp_path: Path) -> Path:
    """A folder whose classes are numbers, as in the course's flowers, beside a file of their names."""
    make_images(tmp_path / "flowers", count=10)
    for color, number in (("blue", "10"), ("green", "2"), ("red", "1")):
        (tmp_path / "flowers" / color).rename(tmp_path / "flowers" / number)
    (tmp_path / "names.json").write_text(json.dumps(NAMES))
    return tmp_path / "flowers"


def test_classes_keep_the_order_of_their_folders(flowers: Path) -> None:
    listing = list_folder(flowers)
    named = with_class_names(listing, flowers.parent / "names.json")
    assert listing.classes == ("1", "2", "10") == named.folders
    assert named.classes == ("pink primrose", "canterbury bells", "globe thistle")
    assert named.labels == listing.labels
    assert with_class_names(listing, None) is listing


@pytest.mark.usefixtures("blank_figures")
def test_a_model_has_the_names_and_is_evaluated_on_the_folders(flowers: Path, tmp_path: Path, dlnotes: Command) -> None:
    names = ("--class-names", tmp_path / "names.json")
    outcome = dlnotes(*small_training(tmp_path / "run", "--data", flowers, "--limit", 20, *names), "--json")
    assert outcome.code == 0, outcome.err
    result = json.loads(outcome.out)
    assert result["data"]["classes"] == ["pink primrose", "canterbury bells", "globe thistle"]
    evaluated = json.loads(dlnotes("evaluate", tmp_path / "run", "--json").out)
    assert evaluated["accuracy"] == pytest.approx(result["test"]["accuracy"])
    assert [one["name"] for one in evaluated["classes"]] == result["data"]["classes"]
    predicted = json.loads(dlnotes("predict", tmp_path / "run", flowers / "1" / "0.png", "--json").out)
    assert predicted["predictions"][0]["class"] in NAMES.values()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("[]", "is not a JSON object of names"),
        ("{", "is not a JSON object of names"),
        ('{"1": "a", "1": "b"}', "is not a JSON object of names"),
        ('{"1": 5}', "has no text for the class folder '1'; give it a name"),
        ('{"1": " "}', "has no text for the class folder '1'"),
        ('{"1": "rose"}', "has no name for the class folder '2', '10'; add it to the file"),
        ('{"1": "rose", "2": "lily", "10": "rose"}', "gives the class folders '1' and '10' the name 'rose'; use dif"),
    ],
)
def test_invalid_names_are_refused(content: str, message: str, flowers: Path, tmp_path: Path) -> None:
    (tmp_path / "names.json").write_text(content)
    with pytest.raises(InputError, match=message):
        with_class_names(list_folder(flowers), tmp_path / "names.json")
