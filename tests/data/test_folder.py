"""Image folders: listing, choice of a shape, reading, and errors."""

import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dlnotes_cli.data import folder
from dlnotes_cli.data.folder import choose_shape, list_folder, read_folder
from dlnotes_cli.data.folder_samples import DecodeSettings
from dlnotes_cli.data.images.decode import ImageHeader, read_header
from dlnotes_cli.data.listing import FolderListing
from dlnotes_cli.data.preprocessing import ImageShape
from dlnotes_cli.shell.errors import InputError
from dlnotes_cli.shell.option_groups import MAX_PIXELS


def put(root: Path, *names: str, color: object = 7, mode: str = "L", size: tuple[int, int] = (4, 3)) -> Path:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new(mode, size, color).save(path)  # type: ignore[arg-type]  # a number or three
    return root


def shown(listing: FolderListing) -> list[tuple[str, str, str]]:
    return [
        (path.relative_to(listing.root).as_posix(), listing.classes[label], split)
        for path, label, split in zip(listing.files, listing.labels, listing.splits, strict=True)
    ]


def test_a_flat_folder(tmp_path: Path) -> None:
    put(tmp_path, "dog/b.png", "dog/a.jpg", "cat/1.gif")
    listing = list_folder(tmp_path)
    assert listing.classes == ("cat", "dog")
    assert shown(listing) == [("cat/1.gif", "cat", "all"), ("dog/a.jpg", "dog", "all"), ("dog/b.png", "dog", "all")]


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
    listing = list_folder(tmp_path)
    assert listing.classes == ("cat", "dog")
    assert set(shown(listing)) == {
        (f"{name}/{kind}", kind[:3], split)
        for name, split in zip(names, splits, strict=True)
        for kind in ("cat/1.png", "dog/2.png")
    }


def test_a_class_can_be_in_one_split_alone(tmp_path: Path) -> None:
    put(tmp_path, "train/cat/1.png", "train/dog/1.png", "test/ape/1.png", "test/dog/1.png")
    listing = list_folder(tmp_path)
    assert listing.classes == ("ape", "cat", "dog")
    assert [label for label, split in zip(listing.labels, listing.splits, strict=True) if split == "train"] == [1, 2]


def test_a_class_can_have_the_name_of_a_split(tmp_path: Path) -> None:
    put(tmp_path, "train/1.png", "bus/1.png")
    assert list_folder(tmp_path).classes == ("bus", "train")


def test_split_folders_next_to_other_folders_are_refused(tmp_path: Path) -> None:
    put(tmp_path, "train/cat/1.png", "test/cat/1.png", "unsorted/1.png")
    with pytest.raises(InputError, match=r"has split folders \(test, train\) and other folders \(unsorted\); expected"):
        list_folder(tmp_path)


def test_hidden_entries_and_other_files_are_ignored(tmp_path: Path) -> None:
    put(
        tmp_path, "cat/1.png", "dog/1.png", ".ipynb_checkpoints/1.png", "cat/.ipynb_checkpoints/1.png", "cat/.2.png",
        "__MACOSX/1.png", "loose.png",
    )  # fmt: skip
    for name in (".DS_Store", "cat/.DS_Store", "cat/Thumbs.db", "cat/notes.txt", "cat/png", "README.md"):
        (tmp_path / name).write_bytes(b"x")
    listing = list_folder(tmp_path)
    assert [name for name, _, _ in shown(listing)] == ["cat/1.png", "dog/1.png"]


def test_nested_images_belong_to_their_class_folder(tmp_path: Path) -> None:
    put(tmp_path, "cat/b/x/1.png", "cat/a/2.png", "cat/3.png", "dog/1.PNG")
    assert shown(list_folder(tmp_path)) == [
        ("cat/3.png", "cat", "all"), ("cat/a/2.png", "cat", "all"), ("cat/b/x/1.png", "cat", "all"),
        ("dog/1.PNG", "dog", "all"),
    ]  # fmt: skip


def test_classes_are_sorted_with_numbers_by_value(tmp_path: Path) -> None:
    names = ["10", "9", "0", "b", "A", "7b", "007"]
    put(tmp_path, *(f"{name}/1.png" for name in names))
    listing = list_folder(tmp_path)
    assert listing.classes == ("0", "007", "9", "10", "7b", "A", "b")
    assert listing.labels == tuple(range(7))


def test_names_can_contain_any_character(tmp_path: Path) -> None:
    names = [
        "a b/c d.png",
        "été/ünï cödé.png",
        "日本/犬.png",
        "new\nline/1.png",
        "100%/{x}.png",
        os.fsdecode(b"\xff/\xfe.png"),
    ]
    put(tmp_path, *names)
    listing = list_folder(tmp_path)
    assert {name for name, _, _ in shown(listing)} == set(names)
    source = read_folder(listing, ImageShape(1, 3, 4, "crop"), DecodeSettings(1, MAX_PIXELS))
    assert len(source.fingerprint) == 64
    assert (source.samples == 7).all()


def test_a_class_folder_can_be_a_link(tmp_path: Path) -> None:
    put(tmp_path / "elsewhere", "1.png", "2.png")
    put(tmp_path / "root", "cat/1.png")
    (tmp_path / "root" / "dog").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "root" / "cat" / "again").symlink_to(tmp_path / "root")
    assert list_folder(tmp_path / "root").labels == (0, 1, 1)


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
def test_a_class_without_images_is_named(name: str, tmp_path: Path) -> None:
    put(tmp_path, f"{Path(name).parent}/cat/1.png")
    (tmp_path / name / "deeper").mkdir(parents=True)
    (tmp_path / name / "text.txt").touch()
    with pytest.raises(InputError, match=f"--data: class folder {tmp_path / name} has no images; add some, or remove"):
        list_folder(tmp_path)


def test_an_unreadable_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"none: no such file; check the path"):
        list_folder(tmp_path / "none")


# --- fingerprint -------------------------------------------------------------------------------------------------


def test_the_fingerprint_depends_on_the_files_and_not_on_the_location(tmp_path: Path) -> None:
    def fingerprint(root: Path) -> str:
        shape = ImageShape(1, 3, 4, "crop")
        return read_folder(list_folder(root), shape, DecodeSettings(1, MAX_PIXELS)).fingerprint

    put(tmp_path / "a", "cat/1.png", "dog/1.png")
    before = fingerprint(tmp_path / "a")
    shutil.copytree(tmp_path / "a", tmp_path / "b" / "c")
    assert fingerprint(tmp_path / "b" / "c") == before
    put(tmp_path / "a", "dog/1.png", size=(40, 30))
    assert fingerprint(tmp_path / "a") != before
    (tmp_path / "b" / "c" / "dog" / "1.png").rename(tmp_path / "b" / "c" / "dog" / "2.png")
    assert fingerprint(tmp_path / "b" / "c") != before


def test_a_broken_link_is_a_bad_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    put(tmp_path, "cat/1.png", "dog/1.png")
    (tmp_path / "cat" / "2.png").symlink_to(tmp_path / "nowhere")
    listing = list_folder(tmp_path)
    shape = choose_shape(listing, size=None, resize="crop", color=None, max_pixels=MAX_PIXELS)
    source = read_folder(listing, shape, DecodeSettings(1, MAX_PIXELS, skip_bad=True))
    assert len(source.samples) == 2
    assert len(source.fingerprint) == 64
    assert "no such file" in capsys.readouterr().err


# --- shape -------------------------------------------------------------------------------------------------------


def chosen(root: Path, size: int | None = None, color: str | None = None) -> tuple[int, int, int]:
    shape = choose_shape(list_folder(root), size=size, resize="squash", color=color, max_pixels=MAX_PIXELS)
    assert shape.resize == "squash"
    return shape.channels, shape.height, shape.width


def test_images_of_one_small_size_keep_it(tmp_path: Path) -> None:
    put(tmp_path, "a/1.png", "b/1.png", "b/2.png", size=(64, 48))
    assert chosen(tmp_path) == (1, 48, 64)
    assert chosen(tmp_path, size=10) == (1, 10, 10)
    assert chosen(tmp_path, color="rgb") == (3, 48, 64)
    assert chosen(tmp_path, size=10, color="rgb") == (3, 10, 10)


def test_images_of_several_or_large_sizes_are_reduced(tmp_path: Path) -> None:
    put(tmp_path / "several", "a/1.png", "b/1.png")
    put(tmp_path / "several", "b/2.png", size=(5, 3))
    put(tmp_path / "large", "a/1.png", "b/1.png", size=(65, 20))
    assert chosen(tmp_path / "several") == (1, 32, 32)
    assert chosen(tmp_path / "large") == (1, 32, 32)


def test_one_color_image_makes_all_images_rgb(tmp_path: Path) -> None:
    put(tmp_path, "a/1.png", "b/1.png")
    put(tmp_path, "b/2.png", mode="RGB", color=(1, 2, 3))
    assert chosen(tmp_path) == (3, 3, 4)
    assert chosen(tmp_path, color="gray") == (1, 3, 4)
    assert chosen(tmp_path, size=9) == (3, 9, 9)


def test_bad_files_do_not_affect_the_shape(tmp_path: Path) -> None:
    put(tmp_path, "a/1.png", "b/1.png")
    (tmp_path / "a" / "0.png").write_text("no image")
    assert chosen(tmp_path) == (1, 3, 4)


def test_only_the_necessary_headers_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(tmp_path, *(f"a/{i}.png" for i in range(30)), mode="RGB", color=(1, 2, 3), size=(100, 100))
    put(tmp_path, *(f"b/{i}.png" for i in range(30)))
    seen: list[Path] = []

    def count(path: Path, limit: int) -> ImageHeader:
        seen.append(path)
        return read_header(path, limit)

    monkeypatch.setattr(folder, "read_header", count)
    assert chosen(tmp_path) == (3, 32, 32)
    assert len(seen) == 1


# --- reading -----------------------------------------------------------------------------------------------------


def test_samples_have_the_order_of_their_files(tmp_path: Path) -> None:
    for i in range(12):
        put(tmp_path, f"{i % 3}/{i:02}.png", color=i)
    listing = list_folder(tmp_path)
    source = read_folder(listing, ImageShape(1, 3, 4, "crop"), DecodeSettings(3, MAX_PIXELS))
    assert source.name == str(tmp_path)
    assert source.samples.dtype == np.uint8
    assert source.samples.shape == (12, 1, 3, 4)
    numbers = [int(Path(name).stem) for name in source.files]
    np.testing.assert_array_equal(source.samples, np.broadcast_to(np.reshape(numbers, (12, 1, 1, 1)), (12, 1, 3, 4)))
    np.testing.assert_array_equal(source.labels, np.array(numbers) % 3)
    assert source.labels.dtype == np.int64
    assert list(source.splits) == ["all"]
    np.testing.assert_array_equal(source.splits["all"], np.arange(12))
    assert source.bad_files == ()


def with_bad(root: Path) -> FolderListing:
    put(root, "train/a/1.png", "train/a/2.png", "train/b/1.png", "val/a/1.png", "val/b/1.png")
    (root / "train" / "a" / "2.png").write_bytes((root / "train" / "a" / "1.png").read_bytes()[:50])
    (root / "val" / "b" / "1.png").write_text("<html>")
    return list_folder(root)


SHAPE = ImageShape(1, 3, 4, "crop")


def test_a_bad_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"train/a/2.png: image is truncated; remove it or pass --skip-bad"):
        read_folder(with_bad(tmp_path), SHAPE, DecodeSettings(2, MAX_PIXELS))


def test_bad_files_are_skipped_named_and_counted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = read_folder(with_bad(tmp_path), SHAPE, DecodeSettings(2, MAX_PIXELS, skip_bad=True))
    assert [Path(name).relative_to(tmp_path).as_posix() for name in source.bad_files] == [
        "train/a/2.png",
        "val/b/1.png",
    ]
    assert [Path(name).relative_to(tmp_path).as_posix() for name in source.files] == [
        "train/a/1.png", "train/b/1.png", "val/a/1.png"
    ]  # fmt: skip
    assert source.labels.tolist() == [0, 1, 0]
    assert {split: indices.tolist() for split, indices in source.splits.items()} == {"train": [0, 1], "val": [2]}
    assert (source.samples == 7).all()
    assert len(source.samples) == 3
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 2
    assert lines[0].startswith(f"dlnotes: warning: skipped {tmp_path}/train/a/2.png: image is truncated")


def test_a_folder_of_bad_files_only_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "1.png").write_text("no image")
    with pytest.raises(InputError, match=r"--data: .* no image could be read; check the files"):
        read_folder(list_folder(tmp_path), SHAPE, DecodeSettings(1, MAX_PIXELS, skip_bad=True))
