"""Image folders: choice of a shape, reading, and the decode cache, which always has the pixels that decoding gives."""

import hashlib
import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from builders import run_in_threads
from filelock import FileLock
from PIL import Image

from dlnotes_cli.data import cache, folder
from dlnotes_cli.data.cache import CacheEntry, known_headers, list_entries
from dlnotes_cli.data.dataset import LabeledSamples
from dlnotes_cli.data.folder import DecodeSettings, choose_shape, map_chunks, read_folder
from dlnotes_cli.data.images.decode import decode_image, decode_stream, read_header
from dlnotes_cli.data.listing import list_folder
from dlnotes_cli.data.preprocessing import ImageShape
from dlnotes_cli.shell import files
from dlnotes_cli.shell.errors import ExitCode, InputError, StoppedError, UnfinishedError
from dlnotes_cli.shell.option_groups import MAX_PIXELS

SHAPE = ImageShape(3, 6, 8, "crop")
LONG_AGO = 1_600_000_000
LOW_LIMIT = 1199


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A new cache for each test."""
    monkeypatch.setenv("DLNOTES_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the decoded files."""
    names: list[str] = []

    def count(path: Path, *rest: Any) -> object:
        names.append(path.name)
        return decode_stream(path, *rest)

    monkeypatch.setattr(folder, "decode_stream", count)
    return names


def put(root: Path, *names: str, color: object = 7, mode: str = "L", size: tuple[int, int] = (4, 3)) -> Path:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new(mode, size, color).save(root / name)  # type: ignore[arg-type]  # a number or three
    return root


def draw(path: Path, seed: int, *, size: tuple[int, int] = (9, 7), when: float = LONG_AGO, **details: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(seed).integers(0, 256, (*size, 3), dtype=np.uint8)
    Image.fromarray(noise).save(path, **details)
    os.utime(path, (when, when))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "images"
    for i in range(12):
        draw(root / "ab"[i % 2] / f"{i:02}.{'jpg' if i % 3 else 'png'}", i)
    return root


def read(
    root: Path, shape: ImageShape = SHAPE, *, skip_bad: bool = False, max_pixels: int = MAX_PIXELS, threads: int = 2
) -> LabeledSamples:
    return read_folder(list_folder(root), shape, DecodeSettings(threads, max_pixels, skip_bad=skip_bad))


def assert_decoded(source: LabeledSamples, shape: ImageShape = SHAPE) -> None:
    """Assert that each sample equals its decoded file."""
    assert len(source.samples) == len(source.files)
    for sample, name in zip(source.samples, source.files, strict=True):
        np.testing.assert_array_equal(sample, decode_image(Path(name), shape, MAX_PIXELS))


def file_of(root: Path) -> Path:
    return CacheEntry.of(root, str(SHAPE)).path / "samples.npy"


# --- the shape, and reading --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sizes", "mode", "size", "color", "expected"),
    [
        (((64, 48), (64, 48)), "L", None, None, (1, 48, 64)), (((64, 48), (64, 48)), "L", 10, None, (1, 10, 10)),
        (((64, 48), (64, 48)), "L", None, "rgb", (3, 48, 64)), (((4, 3), (5, 3)), "L", None, None, (1, 32, 32)),
        (((65, 20), (65, 20)), "L", None, None, (1, 32, 32)), (((4, 3), (4, 3)), "RGB", None, None, (3, 3, 4)),
        (((4, 3), (4, 3)), "RGB", None, "gray", (1, 3, 4)), (((4, 3), (4, 3)), "RGB", 9, None, (3, 9, 9)),
    ],
)  # fmt: skip
def test_one_small_size_is_kept_and_color_is_that_of_all_images(
    sizes: tuple[tuple[int, int], ...], mode: str, size: int | None, color: str | None, expected: object, tmp_path: Path
) -> None:
    put(put(tmp_path, "a/1.png", size=sizes[0]), "b/1.png", mode=mode, color=1, size=sizes[1])
    (tmp_path / "a" / "0.png").write_text("no image")  # which does not count
    shape = choose_shape(list_folder(tmp_path), size=size, resize="squash", color=color, max_pixels=MAX_PIXELS)
    assert (shape.dimensions, shape.resize) == (expected, "squash")


def test_samples_have_the_order_and_the_fingerprint_of_their_files(root: Path, tmp_path: Path) -> None:
    source = read(root, threads=3)
    assert (source.name, source.bad_files) == (str(root), ())
    assert (source.samples.dtype.name, source.labels.dtype.name) == ("uint8", "int64")
    assert_decoded(source)
    assert source.labels.tolist() == ["ab".index(Path(name).parent.name) for name in source.files]
    assert {name: indices.tolist() for name, indices in source.splits.items()} == {"all": list(range(12))}
    pairs = ((Path(name).relative_to(root), Path(name).read_bytes()) for name in source.files)
    digests = "".join(f"{name}\0{hashlib.blake2b(content, digest_size=16).hexdigest()}\0" for name, content in pairs)
    assert source.fingerprint == hashlib.sha256(digests.encode()).hexdigest()
    shutil.copytree(root, tmp_path / "copy")
    assert read(tmp_path / "copy").fingerprint == source.fingerprint
    (tmp_path / "copy" / "a" / "02.jpg").rename(tmp_path / "copy" / "a" / "2.jpg")
    assert read(tmp_path / "copy").fingerprint != source.fingerprint


def test_bad_files_are_skipped_named_and_tried_again(
    root: Path, decoded: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    whole = (root / "a" / "02.jpg").read_bytes()
    (root / "a" / "02.jpg").write_bytes(whole[:50])
    (root / "b" / "05.jpg").write_text("<html>")
    (root / "b" / "99.jpg").symlink_to(root / "nowhere")
    for path in filter(Path.is_file, root.rglob("*.*")):
        os.utime(path, (LONG_AGO, LONG_AGO))
    reasons = {"a/02.jpg": "image is truncated", "b/05.jpg": "not an image", "b/99.jpg": "no such file"}
    with pytest.raises(InputError, match=r"a/02.jpg: image is truncated; remove it or pass --skip-bad"):
        read(root)
    for tries in (12, 2):  # the second time only those that are not cached
        decoded.clear()
        source = read(root, skip_bad=True)
        assert (source.bad_files, len(decoded)) == (tuple(str(root / name) for name in reasons), tries)
        assert_decoded(source)
        assert source.labels.tolist() == [0] * 5 + [1] * 5
        assert [indices.tolist() for indices in source.splits.values()] == [list(range(10))]
        expected = [f"dlnotes: warning: skipped {root / name}: {reason}" for name, reason in reasons.items()]
        assert capsys.readouterr().err.splitlines() == expected
    with pytest.raises(InputError, match=r"a/02.jpg: image is truncated"):
        read(root)
    (root / "a" / "02.jpg").write_bytes(whole)
    assert len(read(root, skip_bad=True).samples) == 11
    for path in root.rglob("*.*"):
        path.unlink()
        path.write_text("no image")
    with pytest.raises(InputError, match=r"--data: .* no image could be read; check the files"):
        read(root, skip_bad=True)


def test_an_image_removed_or_changed_after_listing_is_named(root: Path) -> None:
    listing = list_folder(root)
    draw(root / "a" / "02.jpg", 77, when=LONG_AGO + 9)
    with pytest.raises(InputError, match=r"a/02.jpg: changed while the folder was read; run again"):
        read_folder(listing, SHAPE, DecodeSettings(1, MAX_PIXELS))
    (root / "a" / "02.jpg").unlink()
    with pytest.raises(InputError, match=r"a/02.jpg: no such file"):
        read_folder(listing, SHAPE, DecodeSettings(1, MAX_PIXELS))
    assert list_entries() == []


# --- the cache ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("largest_read", [0, 1 << 26])
def test_a_second_read_maps_a_large_cache_and_opens_no_image(
    largest_read: int, root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (exif := Image.Exif())[0x0112] = 6
    for i, ending in enumerate(("jpg", "png", "webp", "tif")):
        draw(root / "b" / f"turned{i}.{ending}", 99, exif=exif)
    monkeypatch.setattr(cache, "_LARGEST_READ", largest_read)
    monkeypatch.setattr(folder, "_QUIET_S", -1.0)
    first = read(root)
    assert_decoded(first)
    assert "of 16\n" in capsys.readouterr().err
    listing = list_folder(root)
    headers = {i: read_header(path, MAX_PIXELS)[:3] for i, path in enumerate(listing.files)}
    assert {i: header[:3] for i, header in known_headers(listing, MAX_PIXELS).items()} == headers
    for name in ("image_errors", "read_header"):
        monkeypatch.setattr(folder, name, refused(AssertionError("an image was opened")))
    second = read(root)
    choose_shape(listing, size=None, resize="crop", color=None, max_pixels=MAX_PIXELS)
    assert isinstance(second.samples, np.memmap) == (largest_read == 0)
    assert not second.samples.flags.writeable
    np.testing.assert_array_equal(first.samples, second.samples)
    assert (first.files, first.labels.tolist()) == (second.files, second.labels.tolist())
    assert first.fingerprint == second.fingerprint
    np.testing.assert_array_equal(np.load(file_of(root), mmap_mode="r"), first.samples)
    if largest_read:
        os.truncate(file_of(root), 10)
        np.testing.assert_array_equal(first.samples, second.samples)  # and no SIGBUS


@pytest.mark.parametrize(
    ("change", "count"),
    [
        (lambda root: draw(root / "a" / "02.jpg", 99, when=LONG_AGO + 1), 1),
        (lambda root: draw(root / "a" / "02.jpg", 99, size=(30, 20)), 1),
        (lambda root: draw(root / "a" / "04.jpg", 99, when=LONG_AGO - 1), 1),
        (lambda root: draw(root / "a" / "zz.jpg", 99), 1),
        (lambda root: draw(root / "0" / "zz.jpg", 99), 1),
        (lambda root: (root / "a" / "02.jpg").rename(root / "a" / "2.jpg"), 1),
        (lambda root: (root / "a" / "02.jpg").unlink(), 0),
    ],
    ids=["changed", "same time, other size", "replaced by an older one", "added", "new class", "renamed", "removed"],
)
def test_only_changed_files_are_decoded(
    change: Callable[[Path], None], count: int, root: Path, decoded: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cache, "_LARGEST_READ", 0)
    before = read(root)
    copy = np.array(before.samples)
    decoded.clear()
    change(root)
    assert_decoded(read(root))
    assert len(set(decoded)) == count
    decoded.clear()
    assert_decoded(read(root))
    assert decoded == []
    np.testing.assert_array_equal(before.samples, copy)  # which are still mapped


def test_a_changed_file_of_equal_size_and_time_is_recognized(root: Path, decoded: list[str]) -> None:
    """Within the resolution of the clock, in which the file is decoded again next time, and by its inode."""
    now = int(time.time())
    draw(root / "a" / "young.bmp", 1, when=now)
    draw(root / "b" / "old.bmp", 1)
    read(root)
    decoded.clear()
    draw(root / "a" / "young.bmp", 2, when=now)
    draw(root / "b" / "new.bmp", 2)
    (root / "b" / "new.bmp").rename(root / "b" / "old.bmp")
    assert_decoded(read(root))
    assert set(decoded) == {"young.bmp", "old.bmp"}


def test_each_shape_has_its_own_entry_and_a_folder_its_real_path(
    root: Path, decoded: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    shapes = [SHAPE, ImageShape(1, 6, 8, "crop"), ImageShape(3, 6, 8, "squash"), ImageShape(3, 5, 5, "letterbox")]
    for shape in shapes * 2:
        assert_decoded(read(root, shape), shape)
    (root.parent / "link").symlink_to(root)
    linked = read(root.parent / "link")
    monkeypatch.chdir(root)
    here = read(Path())
    assert len(decoded) == 48
    assert (linked.files[0], here.files[0]) == (str(root.parent / "link" / "a" / "00.png"), "a/00.png")
    (file_of(root).parent.parent / "note").write_text("not an entry")
    assert len(list_entries()) == len(list_entries(root)) == 4


def test_a_smaller_pixel_limit_applies_to_cached_images(root: Path) -> None:
    draw(big := root / "b" / "big.png", 50, size=(40, 30))
    assert len(read(root).samples) == 13
    with pytest.raises(InputError, match="30x40 = 1,200 pixels, over 1,199"):
        read(root, max_pixels=LOW_LIMIT)
    source = read(root, skip_bad=True, max_pixels=LOW_LIMIT)
    assert source.bad_files == (str(big),)
    assert_decoded(source)
    assert len(read(root, max_pixels=LOW_LIMIT + 1).samples) == 13


def flipped(content: bytes, position: int) -> bytes:
    position %= len(content)
    return content[:position] + bytes([content[position] ^ 1]) + content[position + 1 :]


DAMAGE: dict[str, Callable[[bytes], bytes]] = {
    "first sample": lambda content: flipped(content, 128),
    "last sample": lambda content: flipped(content, 128 + 12 * 144 - 1),
    "index": lambda content: content.replace(b"02.jpg", b"02.png"),
    "cut": lambda content: content[:-1],
    "half": lambda content: content[: len(content) // 2],
    "empty": lambda _: b"",
    "no header": lambda content: b"\0" * 128 + content[128:],
    "fewer samples": lambda content: content.replace(b"(12, 3, 6, 8)", b"(10, 3, 6, 8)"),
    "other shape": lambda content: content.replace(b"(12, 3, 6, 8)", b"(12, 3, 8, 6)"),
    "other type": lambda content: content.replace(b"'|u1'", b"'|i1'", 1),
    "text": lambda _: b"<!DOCTYPE html>" * 99,
    "an array without index": lambda content: content[: 128 + 12 * 144],
    "another version": lambda content: content,
}


@pytest.mark.parametrize("how", DAMAGE)
def test_a_damaged_file_is_built_again(
    how: str, root: Path, decoded: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    read(root)
    content = file_of(root).read_bytes()
    file_of(root).write_bytes(damaged := DAMAGE[how](content))
    if damaged == content:
        monkeypatch.setattr(cache, "_FORMAT", "another")
    for count in (12, 0):
        decoded.clear()
        assert_decoded(read(root))
        assert len(decoded) == count
    assert capsys.readouterr().err == ""


def test_an_error_keeps_the_previous_entry_and_files_of_killed_processes_go(root: Path, decoded: list[str]) -> None:
    (path := file_of(root).parent).mkdir(parents=True)
    (path / f"{files.TEMPORARY_PREFIX}samples-1.partial").write_bytes(b"half")
    assert len(list_entries()) == 1
    read(root)
    assert sorted(file.name for file in path.iterdir() if file.stat().st_size) == ["samples.npy"]
    draw(root / "a" / "98.png", 98)
    (root / "b" / "99.jpg").write_bytes(b"no image")
    with pytest.raises(InputError, match=r"99.jpg: not an image"):
        read(root)
    (root / "b" / "99.jpg").unlink()
    (root / "a" / "98.png").unlink()
    decoded.clear()
    assert_decoded(read(root))
    assert decoded == []


@pytest.mark.parametrize(("stop_at", "again"), [(1, {"00.png", "10.jpg"}), (2, {"10.jpg"}), (4, set())])
def test_a_stop_keeps_what_was_decoded_and_what_was_cached(
    stop_at: int, again: set[str], root: Path, decoded: list[str]
) -> None:
    polls = iter(range(1, 100))

    def poll() -> None:
        if next(polls) == stop_at:
            raise StoppedError(ExitCode.INTERRUPTED, "saved")

    read(root)
    for name in ("00.png", "10.jpg"):
        draw(root / "a" / name, 77, when=LONG_AGO + 7)
    with pytest.raises(StoppedError):
        read_folder(list_folder(root), SHAPE, DecodeSettings(1, MAX_PIXELS, poll=poll))
    decoded.clear()
    assert_decoded(read(root))
    assert set(decoded) == again


def refused(error: Exception) -> Callable[..., None]:
    """A function that raises an error."""

    def refuse(*_: object, **__: object) -> None:
        raise error

    return refuse


FULL = refused(UnfinishedError("cache", "the disk is too full", "free space"))


@pytest.mark.parametrize("how", ["a file at the path", "full", "full while writing"])
def test_a_folder_is_decoded_into_memory_if_it_is_small(
    how: str, root: Path, home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    if how == "a file at the path":
        home.write_text("not a folder")
    elif how == "full":
        monkeypatch.setattr(files, "check_room", FULL)
    else:
        monkeypatch.setattr(os, "fsync", refused(OSError(28, "No space left on device")))
    assert_decoded(read(root))
    warning = capsys.readouterr().err
    assert warning.startswith("dlnotes: warning: ")
    assert warning.endswith("decoding into memory\n")
    assert not home.is_dir() or not list(home.rglob("samples*"))
    monkeypatch.setattr(folder, "_IN_MEMORY", 12 * SHAPE.nbytes - 1)
    with pytest.raises(UnfinishedError):
        read(root)


def test_a_read_only_cache_is_used(
    root: Path, decoded: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    read(root)
    decoded.clear()
    monkeypatch.setattr(os, "utime", refused(OSError(30, "Read-only file system")))
    monkeypatch.setattr(files, "atomic_stream", FULL)
    assert_decoded(read(root))
    assert (decoded, capsys.readouterr().err) == ([], "")


@pytest.mark.parametrize("has_locks", [True, False])
def test_concurrent_reads_decode_once_or_without_locks_at_least_correctly(
    has_locks: bool, root: Path, decoded: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    if not has_locks:
        monkeypatch.setattr(FileLock, "acquire", refused(OSError(37, "No locks available")))
    for source in run_in_threads(4 if has_locks else 2, lambda _: read(root)):
        assert_decoded(source)
    assert len(decoded) == 12 or not has_locks
    assert_decoded(read(root))


def test_clearing_deletes_only_the_files_of_the_entry(root: Path, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = read(root)
    before = np.array(source.samples)
    (entry,) = list_entries()
    assert entry.nbytes() > 12 * SHAPE.nbytes
    with monkeypatch.context() as patch:
        patch.setattr(files, "remove", refused(PermissionError(13, "Permission denied")))
        with pytest.raises(UnfinishedError, match=r"samples.npy: cannot be deleted \(permission denied\); check"):
            entry.clear()
    entry.clear()
    np.testing.assert_array_equal(source.samples, before)
    assert (list_entries(), list(home.glob("decoded/*"))) == ([], [])
    read(root)
    (entry.path / "mine.txt").write_text("keep")
    entry.clear()
    assert [path.name for path in entry.path.iterdir()] == ["mine.txt"]


@pytest.mark.parametrize(("count", "threads", "size"), [(0, 1, 1), (300, 3, 7), (251, 5, 400), (250, 2, 1)])
def test_every_position_is_processed_once_and_in_order_with_few_ahead(count: int, threads: int, size: int) -> None:
    started, found = list[range](), list[int]()

    def process(positions: range) -> range:
        started.append(positions)
        return positions

    for done, chunk in enumerate(map_chunks(process, count, size, threads)):
        found += chunk
        assert len(started) <= done + 2 * threads
    assert found == list(range(count))
