"""Image folders: choice of a shape, and reading."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dlnotes_cli.data import folder
from dlnotes_cli.data.folder import choose_shape, read_folder
from dlnotes_cli.data.folder_samples import DecodeSettings
from dlnotes_cli.data.images.decode import ImageHeader, read_header
from dlnotes_cli.data.listing import list_folder
from dlnotes_cli.data.preprocessing import ImageShape
from dlnotes_cli.shell.errors import InputError
from dlnotes_cli.shell.option_groups import MAX_PIXELS

SHAPE = ImageShape(1, 3, 4, "crop")


def put(root: Path, *names: str, color: object = 7, mode: str = "L", size: tuple[int, int] = (4, 3)) -> Path:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new(mode, size, color).save(path)  # type: ignore[arg-type]  # a number or three
    return root


def chosen(root: Path, size: int | None = None, color: str | None = None) -> tuple[int, int, int]:
    shape = choose_shape(list_folder(root), size=size, resize="squash", color=color, max_pixels=MAX_PIXELS)
    assert shape.resize == "squash"
    return shape.channels, shape.height, shape.width


def test_images_of_one_small_size_keep_it_and_others_are_reduced(tmp_path: Path) -> None:
    put(tmp_path / "one", "a/1.png", "b/1.png", "b/2.png", size=(64, 48))
    (tmp_path / "one" / "a" / "0.png").write_text("no image")  # which does not count
    assert chosen(tmp_path / "one") == (1, 48, 64)
    assert chosen(tmp_path / "one", size=10) == (1, 10, 10)
    assert chosen(tmp_path / "one", color="rgb") == (3, 48, 64)
    assert chosen(tmp_path / "one", size=10, color="rgb") == (3, 10, 10)
    put(tmp_path / "several", "a/1.png", "b/1.png")
    put(tmp_path / "several", "b/2.png", size=(5, 3))
    put(tmp_path / "large", "a/1.png", "b/1.png", size=(65, 20))
    assert chosen(tmp_path / "several") == chosen(tmp_path / "large") == (1, 32, 32)


def test_one_color_image_makes_all_images_rgb(tmp_path: Path) -> None:
    put(tmp_path, "a/1.png", "b/1.png")
    put(tmp_path, "b/2.png", mode="RGB", color=(1, 2, 3))
    assert chosen(tmp_path) == (3, 3, 4)
    assert chosen(tmp_path, color="gray") == (1, 3, 4)
    assert chosen(tmp_path, size=9) == (3, 9, 9)


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


def test_the_fingerprint_depends_on_the_files_and_not_on_the_location(tmp_path: Path) -> None:
    def fingerprint(root: Path) -> str:
        return read_folder(list_folder(root), SHAPE, DecodeSettings(1, MAX_PIXELS)).fingerprint

    put(tmp_path / "a", "cat/1.png", "dog/1.png")
    before = fingerprint(tmp_path / "a")
    shutil.copytree(tmp_path / "a", tmp_path / "b" / "c")
    assert fingerprint(tmp_path / "b" / "c") == before
    put(tmp_path / "a", "dog/1.png", size=(40, 30))
    assert fingerprint(tmp_path / "a") != before
    (tmp_path / "b" / "c" / "dog" / "1.png").rename(tmp_path / "b" / "c" / "dog" / "2.png")
    assert fingerprint(tmp_path / "b" / "c") != before


def test_samples_have_the_order_of_their_files(tmp_path: Path) -> None:
    for i in range(12):
        put(tmp_path, f"{i % 3}/{i:02}.png", color=i)
    source = read_folder(list_folder(tmp_path), SHAPE, DecodeSettings(3, MAX_PIXELS))
    assert (source.name, source.bad_files) == (str(tmp_path), ())
    assert (source.samples.dtype.name, source.labels.dtype.name) == ("uint8", "int64")
    numbers = [int(Path(name).stem) for name in source.files]
    np.testing.assert_array_equal(source.samples, np.broadcast_to(np.reshape(numbers, (12, 1, 1, 1)), (12, 1, 3, 4)))
    np.testing.assert_array_equal(source.labels, np.array(numbers) % 3)
    assert {name: indices.tolist() for name, indices in source.splits.items()} == {"all": list(range(12))}


def test_bad_files_are_skipped_named_and_counted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    names = ("train/a/1.png", "train/a/2.png", "train/b/1.png", "val/a/1.png", "val/b/1.png")
    put(tmp_path, *names)
    (tmp_path / names[1]).write_bytes((tmp_path / names[0]).read_bytes()[:50])
    (tmp_path / names[4]).write_text("<html>")
    (tmp_path / "val" / "b" / "2.png").symlink_to(tmp_path / "nowhere")
    listing = list_folder(tmp_path)
    with pytest.raises(InputError, match=r"train/a/2.png: image is truncated; remove it or pass --skip-bad"):
        read_folder(listing, SHAPE, DecodeSettings(2, MAX_PIXELS))
    source = read_folder(listing, SHAPE, DecodeSettings(2, MAX_PIXELS, skip_bad=True))
    assert source.bad_files == tuple(str(tmp_path / name) for name in (names[1], names[4], "val/b/2.png"))
    assert source.files == tuple(str(tmp_path / name) for name in (names[0], names[2], names[3]))
    assert source.labels.tolist() == [0, 1, 0]
    assert {split: indices.tolist() for split, indices in source.splits.items()} == {"train": [0, 1], "val": [2]}
    assert (source.samples == 7).all()
    lines = capsys.readouterr().err.splitlines()
    for line, reason in zip(lines, ("2.png: image is truncated", "1.png: not an image", "no such file"), strict=True):
        assert line.startswith(f"dlnotes: warning: skipped {tmp_path}/")
        assert reason in line
    for name in (names[0], names[2], names[3]):
        (tmp_path / name).write_text("no image")
    with pytest.raises(InputError, match=r"--data: .* no image could be read; check the files"):
        read_folder(list_folder(tmp_path), SHAPE, DecodeSettings(1, MAX_PIXELS, skip_bad=True))
