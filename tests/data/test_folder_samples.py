"""The decode cache: always the pixels that decoding gives, and no more decoding than changed files need."""

import hashlib
import os
import time
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import pytest
from builders import run_in_threads
from filelock import FileLock
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from dlnotes_cli.data import cache, folder, folder_samples
from dlnotes_cli.data.cache import CacheEntry, known_headers, list_entries
from dlnotes_cli.data.dataset import LabeledSamples
from dlnotes_cli.data.folder import choose_shape, read_folder
from dlnotes_cli.data.folder_samples import DecodeSettings, map_chunks
from dlnotes_cli.data.images.decode import decode_image, decode_stream, read_header
from dlnotes_cli.data.listing import list_folder
from dlnotes_cli.data.preprocessing import ImageShape
from dlnotes_cli.shell import files, output
from dlnotes_cli.shell.errors import ExitCode, InputError, StoppedError, UnfinishedError
from dlnotes_cli.shell.option_groups import MAX_PIXELS

SHAPE = ImageShape(3, 6, 8, "crop")
LONG_AGO = 1_600_000_000


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A new cache for each test."""
    monkeypatch.setenv("DLNOTES_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the decoded files."""
    names: list[str] = []

    def count(path: Path, *rest: object) -> object:
        names.append(path.name)
        return decode_stream(path, *rest)  # type: ignore[arg-type]  # the arguments of decode_stream

    monkeypatch.setattr(folder_samples, "decode_stream", count)
    return names


def draw(path: Path, seed: int, *, size: tuple[int, int] = (9, 7), when: int = LONG_AGO) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.random.default_rng(seed).integers(0, 256, (*size, 3), dtype=np.uint8)).save(path)
    os.utime(path, (when, when))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "images"
    for i in range(12):
        draw(root / "ab"[i % 2] / f"{i:02}.{'jpg' if i % 3 else 'png'}", i)
    return root


def read(
    root: Path, shape: ImageShape = SHAPE, *, skip_bad: bool = False, max_pixels: int = MAX_PIXELS
) -> LabeledSamples:
    return read_folder(list_folder(root), shape, DecodeSettings(2, max_pixels, skip_bad=skip_bad))


def assert_decoded(source: LabeledSamples, shape: ImageShape = SHAPE) -> None:
    """Assert that each sample equals its decoded file."""
    assert len(source.samples) == len(source.files)
    for sample, name in zip(source.samples, source.files, strict=True):
        np.testing.assert_array_equal(sample, decode_image(Path(name), shape, MAX_PIXELS))


def file_of(root: Path) -> Path:
    return CacheEntry.of(root, str(SHAPE)).path / "samples.npy"


@pytest.mark.parametrize("largest_read", [0, 1 << 26])
def test_a_second_read_maps_the_cache_and_opens_no_image(
    largest_read: int, root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def forbidden(*_: object) -> None:
        raise AssertionError("an image was opened")

    monkeypatch.setattr(cache, "_LARGEST_READ", largest_read)
    monkeypatch.setattr(folder_samples, "_READ_WHOLE", largest_read)  # bytes of a file
    monkeypatch.setattr(folder_samples, "_QUIET_S", -1.0)
    first = read(root)
    assert_decoded(first)
    assert "of 12\n" in capsys.readouterr().err
    contents = ((name.removeprefix(f"{root}/"), Path(name).read_bytes()) for name in first.files)
    digests = "".join(f"{name}\0{hashlib.blake2b(content, digest_size=16).hexdigest()}\0" for name, content in contents)
    assert first.fingerprint == hashlib.sha256(digests.encode()).hexdigest()
    monkeypatch.setattr(folder_samples, "image_errors", forbidden)
    monkeypatch.setattr(folder, "read_header", forbidden)
    second = read(root)
    choose_shape(list_folder(root), size=None, resize="crop", color=None, max_pixels=MAX_PIXELS)
    assert isinstance(second.samples, np.memmap) == (largest_read == 0)
    assert not second.samples.flags.writeable
    np.testing.assert_array_equal(first.samples, second.samples)
    assert (first.files, first.labels.tolist()) == (second.files, second.labels.tolist())
    assert first.fingerprint == second.fingerprint
    np.testing.assert_array_equal(np.load(file_of(root), mmap_mode="r"), first.samples)
    if largest_read:
        expected = np.array(second.samples)
        os.truncate(file_of(root), 0)  # by another program
        np.testing.assert_array_equal(second.samples, expected)


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
    change: Callable[[Path], None], count: int, root: Path, decoded: list[str]
) -> None:
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


def test_a_file_changed_within_the_clock_resolution_is_decoded_next_time(root: Path, decoded: list[str]) -> None:
    now = int(time.time())
    path = root / "a" / "young.bmp"  # whose size does not depend on its content
    draw(path, 1, when=now)
    read(root)
    decoded.clear()
    draw(path, 2, when=now)
    assert_decoded(read(root))
    assert set(decoded) == {"young.bmp"}


def test_swapped_files_of_equal_size_and_time_are_recognized_by_inode(tmp_path: Path) -> None:
    root = tmp_path / "swapped"
    for name, level in (("a", 0), ("b", 255)):
        for i in range(3):
            (root / name).mkdir(parents=True, exist_ok=True)
            Image.new("L", (5, 5), level).save(path := root / name / f"{i}.bmp")
            os.utime(path, (LONG_AGO, LONG_AGO))
    first = read(root)
    (root / "a").rename(root / "moved")
    (root / "b").rename(root / "a")
    (root / "moved").rename(root / "b")
    again = read(root)
    assert again.samples.reshape(6, -1).max(1).tolist() == [255, 255, 255, 0, 0, 0]
    assert again.fingerprint != first.fingerprint


def test_each_shape_has_its_own_entry_and_a_folder_its_real_path(
    root: Path, decoded: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    shapes = [SHAPE, ImageShape(1, 6, 8, "crop"), ImageShape(3, 6, 8, "squash"), ImageShape(3, 5, 5, "letterbox")]
    for shape in shapes * 2:
        assert_decoded(read(root, shape), shape)
    assert len(decoded) == 48
    (root.parent / "link").symlink_to(root)
    linked = read(root.parent / "link")
    monkeypatch.chdir(root)
    here = read(Path())
    assert len(decoded) == 48
    assert (linked.files[0], here.files[0]) == (str(root.parent / "link" / "a" / "00.png"), "a/00.png")
    (file_of(root).parent.parent / "note").write_text("not an entry")
    assert len(list_entries()) == len(list_entries(root)) == 4


def test_bad_files_are_decoded_again_and_never_cached(root: Path, decoded: list[str]) -> None:
    broken = root / "a" / "02.jpg"
    content = broken.read_bytes()
    broken.write_bytes(content[:200])
    read(root, skip_bad=True)
    written = file_of(root).stat().st_ino
    decoded.clear()
    again = read(root, skip_bad=True)
    assert again.bad_files == (str(broken),)
    assert decoded == ["02.jpg"]
    assert file_of(root).stat().st_ino == written
    assert_decoded(again)
    with pytest.raises(InputError, match=r"02.jpg: image is truncated"):
        read(root)
    broken.write_bytes(content)
    assert_decoded(fixed := read(root))
    assert len(fixed.samples) == 12


def test_a_smaller_pixel_limit_applies_to_cached_images(root: Path) -> None:
    draw(big := root / "b" / "big.png", 50, size=(40, 30))
    assert len(read(root).samples) == 13
    with pytest.raises(InputError, match="30x40 = 1,200 pixels, over 1,199"):
        read(root, max_pixels=1199)
    source = read(root, skip_bad=True, max_pixels=1199)
    assert source.bad_files == (str(big),)
    assert_decoded(source)
    assert len(read(root, max_pixels=1200).samples) == 13


def test_an_image_removed_or_changed_after_listing_is_named(root: Path) -> None:
    listing = list_folder(root)
    draw(root / "a" / "02.jpg", 77, when=LONG_AGO + 9)
    with pytest.raises(InputError, match=r"a/02.jpg: changed while the folder was read; run again"):
        read_folder(listing, SHAPE, DecodeSettings(1, MAX_PIXELS))
    (root / "a" / "02.jpg").unlink()
    with pytest.raises(InputError, match=r"a/02.jpg: no such file"):
        read_folder(listing, SHAPE, DecodeSettings(1, MAX_PIXELS))
    assert list_entries() == []


@pytest.mark.parametrize("name", ["t.jpg", "t.png", "t.webp", "t.tif"])
def test_cached_headers_equal_those_of_the_files(name: str, root: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # rotated
    Image.new("RGB", (10, 4)).save(root / "a" / name, exif=exif)
    Image.new("L", (5, 5)).save(root / "b" / "gray.png")
    for path in (root / "a" / name, root / "b" / "gray.png"):
        os.utime(path, (LONG_AGO, LONG_AGO))
    assert_decoded(read(root))
    listing = list_folder(root)
    assert known_headers(listing) == {i: read_header(path, MAX_PIXELS) for i, path in enumerate(listing.files)}


# --- damage ------------------------------------------------------------------------------------------------------


def edited(content: bytes, position: int, new: bytes) -> bytes:
    position %= len(content)
    return content[:position] + new + content[position + len(new) :]


def foreign(_: bytes) -> bytes:
    from io import BytesIO

    np.save(stream := BytesIO(), np.zeros((12, 3, 6, 8), np.uint8))
    return stream.getvalue()


DAMAGE: dict[str, Callable[[bytes], bytes]] = {
    "first sample": lambda content: edited(content, 128, bytes([content[128] ^ 1])),
    "last sample": lambda content: edited(content, 128 + 12 * 144 - 1, bytes([content[128 + 12 * 144 - 1] ^ 1])),
    "index": lambda content: content.replace(b"02.jpg", b"02.png"),
    "last byte": lambda content: edited(content, -1, bytes([content[-1] ^ 1])),
    "length of the index": lambda content: edited(content, -12, b"\xff" * 8),
    "cut": lambda content: content[:-1],
    "half": lambda content: content[: len(content) // 2],
    "longer": lambda content: content + b"x",
    "empty": lambda _: b"",
    "no header": lambda content: b"\0" * 128 + content[128:],
    "fewer samples": lambda content: content.replace(b"(12, 3, 6, 8)", b"(10, 3, 6, 8)"),
    "other shape": lambda content: content.replace(b"(12, 3, 6, 8)", b"(12, 3, 8, 6)"),
    "other type": lambda content: content.replace(b"'|u1'", b"'|i1'"),
    "text": lambda _: b"<!DOCTYPE html>" * 99,
    "an array without index": foreign,
}


@pytest.mark.parametrize("how", DAMAGE)
def test_a_damaged_file_is_built_again(
    how: str, root: Path, decoded: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    read(root)
    decoded.clear()
    content = file_of(root).read_bytes()
    damaged = DAMAGE[how](content)
    assert damaged != content
    file_of(root).write_bytes(damaged)
    assert_decoded(read(root))
    assert len(decoded) == 12
    assert capsys.readouterr().err == ""
    decoded.clear()
    assert_decoded(read(root))
    assert decoded == []


def test_a_file_of_another_version_is_built_again(
    root: Path, decoded: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(cache, "_FORMAT", "0")
    read(root)
    monkeypatch.undo()
    monkeypatch.setenv("DLNOTES_CACHE", str(root.parent / "cache"))
    output.configure(verbose=True)
    assert_decoded(read(root))
    assert len(decoded) == 12
    assert "cannot be used (written by another version)" in capsys.readouterr().err


def test_files_of_killed_processes_are_removed(root: Path) -> None:
    path = file_of(root).parent
    path.mkdir(parents=True)
    (path / f"{files.TEMPORARY_PREFIX}samples-1.partial").write_bytes(b"half")
    assert len(list_entries()) == 1
    assert_decoded(read(root))
    assert sorted(file.name for file in path.iterdir() if file.stat().st_size) == ["samples.npy"]


def test_an_error_keeps_the_previous_entry(root: Path, decoded: list[str]) -> None:
    read(root)
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


# --- a cache that cannot be written ------------------------------------------------------------------------------


def full(*_: object) -> None:
    raise UnfinishedError("cache", "the disk is too full", "free space")


@pytest.mark.parametrize("how", ["a file at the path", "full", "full while writing"])
def test_a_folder_is_decoded_into_memory_if_it_is_small(
    how: str, root: Path, home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    if how == "a file at the path":
        home.write_text("not a folder")
    elif how == "full":
        monkeypatch.setattr(files, "check_room", full)
    else:
        monkeypatch.setattr(os, "fsync", lambda _: (_ for _ in ()).throw(OSError(28, "No space left on device")))
    monkeypatch.setattr(cache, "_LARGEST_READ", 0)
    assert_decoded(read(root))
    warning = capsys.readouterr().err
    assert warning.startswith("dlnotes: warning: ")
    assert warning.endswith("decoding into memory\n")
    assert not home.is_dir() or not list(home.rglob("samples*"))
    monkeypatch.setattr(folder_samples, "_IN_MEMORY", 12 * SHAPE.nbytes - 1)
    with pytest.raises(UnfinishedError):
        read(root)


def test_a_read_only_cache_is_used(
    root: Path, decoded: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    read(root)
    decoded.clear()
    monkeypatch.setattr(os, "utime", lambda *_: (_ for _ in ()).throw(OSError(30, "Read-only file system")))
    monkeypatch.setattr(files, "atomic_stream", full)
    assert_decoded(read(root))
    assert decoded == []
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("has_locks", [True, False])
def test_concurrent_reads_decode_once_or_without_locks_at_least_correctly(
    has_locks: bool, root: Path, decoded: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_locks(*_: object, **__: object) -> None:
        raise OSError(37, "No locks available")

    if not has_locks:
        monkeypatch.setattr(FileLock, "acquire", no_locks)
    for source in run_in_threads(4 if has_locks else 2, lambda _: read(root)):
        assert_decoded(source)
    assert len(decoded) == 12 or not has_locks
    assert_decoded(read(root))


def test_clearing_deletes_only_the_files_of_the_entry(root: Path, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = read(root)
    before = np.array(source.samples)
    (entry,) = list_entries()
    assert entry.nbytes() > 12 * SHAPE.nbytes
    (home / "mnist").mkdir()

    def refuse(_: Path) -> None:
        raise PermissionError(13, "Permission denied")

    with monkeypatch.context() as patch:
        patch.setattr(files, "remove", refuse)
        with pytest.raises(UnfinishedError, match=r"samples.npy: cannot be deleted \(permission denied\); check"):
            entry.clear()
    entry.clear()
    np.testing.assert_array_equal(source.samples, before)
    assert list_entries() == []
    assert not list(home.glob("decoded/*"))
    read(root)
    (entry.path / "mine.txt").write_text("keep")
    entry.clear()
    assert [path.name for path in entry.path.iterdir()] == ["mine.txt"]
    assert (home / "mnist").is_dir()


# --- chunks ------------------------------------------------------------------------------------------------------


@given(count=st.integers(0, 300), threads=st.integers(1, 5), size=st.integers(1, 400))
def test_every_position_is_processed_once_and_in_order_with_few_ahead(count: int, threads: int, size: int) -> None:
    started: list[range] = []

    def process(positions: range) -> list[int]:
        started.append(positions)
        if 250 in positions:
            raise ValueError("250")
        return list(positions)

    found: list[int] = []
    with pytest.raises(ValueError, match="250") if count > 250 else nullcontext():
        for done, chunk in enumerate(map_chunks(process, count, size, threads)):
            found += chunk
            assert len(chunk) == min(size, count - len(found) + len(chunk))
            assert len(started) <= done + 2 * threads
    assert found == list(range(len(found)))
    assert len(found) == count or count > 250
