"""The decode cache: always the pixels that decoding gives, and no more decoding than changed files need."""

import fcntl
import json
import os
import shutil
import threading
import time
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dlnotes_cli.data import folder
from dlnotes_cli.data.cache import entries, image_files
from dlnotes_cli.data.cache import read as cache_read
from dlnotes_cli.data.cache.entries import CacheEntry, CacheIndex, known_headers, list_entries
from dlnotes_cli.data.cache.request import DecodeSettings
from dlnotes_cli.data.dataset import LabeledSamples
from dlnotes_cli.data.folder import choose_shape, list_folder, read_folder
from dlnotes_cli.data.images.decode import ImageHeader, decode_image, decode_stream, read_header
from dlnotes_cli.data.preprocessing import ImageShape
from dlnotes_cli.shell import files, output
from dlnotes_cli.shell.errors import InputError, UnfinishedError
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
    """The names of the decoded files, in order."""
    names: list[str] = []
    decode = decode_stream

    def count(path: Path, *rest: object) -> object:
        names.append(path.name)
        return decode(path, *rest)  # type: ignore[arg-type]  # the arguments of decode_stream

    monkeypatch.setattr(image_files, "decode_stream", count)
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


def entry_of(root: Path, shape: ImageShape = SHAPE) -> CacheEntry:
    return CacheEntry.of(root, str(shape))


def samples_file(root: Path) -> Path:
    (path,) = entry_of(root).path.glob("samples-*")
    return path


@pytest.mark.parametrize("largest_read", [0, 1 << 26])
def test_a_second_read_maps_the_cache_and_decodes_nothing(
    largest_read: int, root: Path, decoded: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(entries, "_LARGEST_READ", largest_read)
    first = read(root)
    assert len(decoded) == 12
    assert_decoded(first)
    decoded.clear()
    second = read(root)
    assert decoded == []
    assert isinstance(second.samples, np.memmap) == (largest_read == 0)
    assert not second.samples.flags.writeable
    np.testing.assert_array_equal(first.samples, second.samples)
    assert first.files == second.files
    np.testing.assert_array_equal(first.labels, second.labels)


def test_no_image_is_opened_if_sizes_and_times_are_unchanged(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read(root)
    monkeypatch.setattr(image_files, "image_errors", _forbidden)
    monkeypatch.setattr(folder, "read_header", _forbidden)
    read(root)
    choose_shape(list_folder(root), size=None, resize="crop", color=None, max_pixels=MAX_PIXELS)


def _forbidden(*_: object) -> None:
    raise AssertionError("an image was opened")


@pytest.mark.parametrize(
    "change",
    [
        lambda root: draw(root / "a" / "02.jpg", 99, when=LONG_AGO + 1),
        lambda root: draw(root / "a" / "02.jpg", 99, size=(30, 20)),
        lambda root: draw(root / "a" / "04.jpg", 99, when=LONG_AGO - 1),
        lambda root: draw(root / "a" / "zz.jpg", 99),
        lambda root: draw(root / "0" / "zz.jpg", 99),
        lambda root: (root / "a" / "02.jpg").rename(root / "a" / "2.jpg"),
    ],
    ids=["changed", "same time, other size", "replaced by an older one", "added", "new class", "renamed"],
)
def test_only_changed_files_are_decoded(change: Callable[[Path], None], root: Path, decoded: list[str]) -> None:
    read(root)
    decoded.clear()
    change(root)
    assert_decoded(read(root))
    assert len(set(decoded)) == 1
    decoded.clear()
    assert_decoded(read(root))
    assert decoded == []


def test_a_file_can_be_removed_and_restored(root: Path, tmp_path: Path, decoded: list[str]) -> None:
    read(root)
    decoded.clear()
    (root / "a" / "02.jpg").rename(tmp_path / "away.jpg")
    source = read(root)
    assert len(source.samples) == 11
    assert_decoded(source)
    assert decoded == []
    (tmp_path / "away.jpg").rename(root / "a" / "02.jpg")
    assert_decoded(read(root))
    assert set(decoded) == {"02.jpg"}


def test_a_touched_file_is_recognized_by_content(root: Path, decoded: list[str]) -> None:
    read(root)
    samples = samples_file(root)
    decoded.clear()
    os.utime(root / "a" / "02.jpg", (LONG_AGO + 5, LONG_AGO + 5))
    assert_decoded(read(root))
    assert decoded == []
    assert samples_file(root) == samples
    index = entry_of(root).read()
    assert index is not None
    assert index.rows(list_folder(root)) == list(range(12))


def test_a_file_changed_within_the_clock_resolution_is_compared_next_time(root: Path, decoded: list[str]) -> None:
    now = int(time.time())
    path = root / "a" / "young.bmp"  # whose size does not depend on its content
    draw(path, 1, when=now)
    read(root)
    decoded.clear()
    draw(path, 2, when=now)
    assert_decoded(read(root))
    assert set(decoded) == {"young.bmp"}


def test_each_shape_has_its_own_entry(root: Path, decoded: list[str]) -> None:
    shapes = [SHAPE, ImageShape(1, 6, 8, "crop"), ImageShape(3, 6, 8, "squash"), ImageShape(3, 5, 5, "letterbox")]
    for shape in shapes:
        assert_decoded(read(root, shape), shape)
    assert len(decoded) == 48
    for shape in shapes:
        assert_decoded(read(root, shape), shape)
    assert len(decoded) == 48
    assert len(list_entries(root)) == 4


def test_a_folder_is_identified_by_its_real_path(
    root: Path, decoded: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    read(root)
    decoded.clear()
    (root.parent / "link").symlink_to(root)
    source = read(root.parent / "link")
    monkeypatch.chdir(root)
    here = read(Path())
    assert decoded == []
    assert source.files[0] == str(root.parent / "link" / "a" / "00.png")
    assert here.files[0] == "a/00.png"


# --- bad files ---------------------------------------------------------------------------------------------------


def test_bad_files_are_decoded_again_and_never_cached(root: Path, decoded: list[str]) -> None:
    broken = root / "a" / "02.jpg"
    content = broken.read_bytes()
    broken.write_bytes(content[:200])
    first = read(root, skip_bad=True)
    assert first.bad_files == (str(broken),)
    samples = samples_file(root)
    decoded.clear()
    again = read(root, skip_bad=True)
    assert again.bad_files == (str(broken),)
    assert decoded == ["02.jpg"]
    assert samples_file(root) == samples
    assert_decoded(again)
    with pytest.raises(InputError, match=r"02.jpg: image is truncated"):
        read(root)
    broken.write_bytes(content)
    assert_decoded(fixed := read(root))
    assert len(fixed.samples) == 12


@pytest.mark.parametrize("skip_bad", [False, True])
def test_a_smaller_pixel_limit_applies_to_cached_images(skip_bad: bool, root: Path) -> None:
    draw(root / "b" / "big.png", 50, size=(40, 30))
    assert len(read(root).samples) == 13
    if skip_bad:
        source = read(root, skip_bad=True, max_pixels=1199)
        assert source.bad_files == (str(root / "b" / "big.png"),)
        assert_decoded(source)
        assert len(read(root, max_pixels=1200).samples) == 13
    else:
        with pytest.raises(InputError, match="30x40 = 1,200 pixels, over 1,199"):
            read(root, max_pixels=1199)


def test_an_image_removed_or_changed_after_listing_is_named(root: Path) -> None:
    listing = list_folder(root)
    draw(root / "a" / "02.jpg", 77, when=LONG_AGO + 9)
    with pytest.raises(InputError, match=r"a/02.jpg: changed while the folder was read; run again"):
        read_folder(listing, SHAPE, DecodeSettings(1, MAX_PIXELS))
    (root / "a" / "02.jpg").unlink()
    with pytest.raises(InputError, match=r"a/02.jpg: no such file"):
        read_folder(listing, SHAPE, DecodeSettings(1, MAX_PIXELS))
    assert list_entries() == []


def test_large_files_are_decoded_from_disk(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(image_files, "_READ_WHOLE", 10)
    assert_decoded(read(root))
    large = entry_of(root).read()
    shutil.rmtree(entry_of(root).path)
    monkeypatch.undo()
    monkeypatch.setenv("DLNOTES_CACHE", str(root.parent / "other"))
    assert_decoded(read(root))
    whole = entry_of(root).read()
    assert large is not None
    assert whole is not None
    assert (large.digests, large.headers) == (whole.digests, whole.headers)


# --- headers -----------------------------------------------------------------------------------------------------


def save_rotated(path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (10, 4)).save(path, exif=exif)
    os.utime(path, (LONG_AGO, LONG_AGO))


@pytest.mark.parametrize("name", ["t.jpg", "t.png", "t.webp", "t.tif"])
def test_cached_headers_equal_those_of_the_files(name: str, root: Path) -> None:
    save_rotated(root / "a" / name)
    Image.new("L", (5, 5)).save(root / "b" / "gray.png")
    os.utime(root / "b" / "gray.png", (LONG_AGO, LONG_AGO))
    assert_decoded(read(root))
    listing = list_folder(root)
    assert known_headers(listing) == [read_header(path, MAX_PIXELS) for path in listing.files]


def test_the_shape_is_chosen_from_cached_headers(root: Path) -> None:
    def chosen() -> ImageShape:
        return choose_shape(list_folder(root), size=None, resize="crop", color=None, max_pixels=MAX_PIXELS)

    before = chosen()
    assert (before.height, before.width) == (9, 7)
    read(root, before)
    assert chosen() == before
    draw(root / "a" / "02.jpg", 3, size=(8, 8))
    assert (chosen().height, chosen().width) == (32, 32)


# --- damage ------------------------------------------------------------------------------------------------------


def edit(path: Path, **fields: object) -> None:
    """Change fields of an index, whose checksum stays."""
    path.write_text(json.dumps(json.loads(path.read_text()) | fields))


def rewrite(path: Path, **fields: object) -> None:
    """Change fields of an index and its checksum, as another version of the program may write them."""
    edit(path, **fields)
    content = json.loads(path.read_text())
    del content["crc32"]
    path.write_text(entries._sealed(json.dumps(content)))


def flip(path: Path, position: int) -> None:
    content = bytearray(path.read_bytes())
    content[position] ^= 1
    path.write_bytes(content)


DAMAGE: dict[str, Callable[[Path, Path], object]] = {
    "samples cut": lambda _, samples: samples.write_bytes(samples.read_bytes()[:-1]),
    "first byte flipped": lambda _, samples: flip(samples, 0),
    "last byte flipped": lambda _, samples: flip(samples, -1),
    "checksums gone": lambda index, _: rewrite(index, checksums=[]),
    "samples longer": lambda _, samples: samples.write_bytes(samples.read_bytes() + b"x"),
    "samples gone": lambda _, samples: samples.unlink(),
    "samples renamed": lambda _, samples: samples.rename(samples.parent / "elsewhere"),
    "digest changed": lambda index, _: edit(index, digests=["0" * 64] * 12),
    "times changed": lambda index, _: edit(index, times=[0] * 12),
    "header changed": lambda index, _: index.write_text(index.read_text().replace('"kinds": [[', '"kinds": [[1')),
    "checksum gone": lambda index, _: index.write_text(entries._unsealed(index.read_text())),
    "index cut": lambda index, _: index.write_bytes(index.read_bytes()[:300]),
    "index empty": lambda index, _: index.write_text(""),
    "index not JSON": lambda index, _: index.write_bytes(b"\xff\xfe\0"),
    "index gone": lambda index, _: index.unlink(),
    "index a list": lambda index, _: index.write_text("[1]"),
    "index null": lambda index, _: index.write_text("null"),
    "other version": lambda index, _: rewrite(index, decoder="0"),
    "column short": lambda index, _: rewrite(index, sizes=[1]),
    "no rows": lambda index, _: rewrite(index, names=[], sizes=[], times=[], inodes=[], digests=[]),
    "other shape": lambda index, _: rewrite(index, shape=[3, 8, 6]),
    "shape not numbers": lambda index, _: rewrite(index, shape="abc"),
    "field missing": lambda index, _: index.write_text('{"names": []}'),
    "headers wrong": lambda index, _: rewrite(index, headers={"kinds": [], "kind": [0] * 12}),
    "samples elsewhere": lambda index, _: rewrite(index, samples="../other"),
}


@pytest.mark.parametrize("how", DAMAGE)
def test_a_damaged_cache_is_built_again(
    how: str, root: Path, decoded: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    read(root)
    decoded.clear()
    DAMAGE[how](entry_of(root).path / "index.json", samples_file(root))
    assert_decoded(read(root))
    assert len(decoded) == 12
    assert capsys.readouterr().err == ""
    decoded.clear()
    assert_decoded(read(root))
    assert decoded == []


def test_damage_is_reported_with_verbose(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    read(root)
    samples_file(root).write_bytes(b"")
    output.configure(verbose=True)
    read(root)
    assert "cannot be used (0 bytes of samples, 1,728 expected)" in capsys.readouterr().err


def test_samples_truncated_while_they_are_opened_are_built_again(
    root: Path, decoded: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    read(root)
    decoded.clear()
    monkeypatch.setattr(CacheEntry, "_check_samples", lambda *_: None)
    samples_file(root).write_bytes(b"")
    assert_decoded(read(root))
    assert len(decoded) == 12


@pytest.mark.parametrize("chunk", [7, 144, 1000])
def test_checksums_are_those_of_the_chunks_of_the_file(
    chunk: int, root: Path, decoded: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(entries, "CHECKSUM_CHUNK", chunk)
    read(root)
    content = samples_file(root).read_bytes()
    index = entry_of(root).read()
    assert index is not None
    assert index.checksums == tuple(zlib.crc32(content[i : i + chunk]) for i in range(0, len(content), chunk))
    draw(root / "a" / "12.png", 12)
    assert_decoded(read(root))
    decoded.clear()
    assert_decoded(read(root))
    assert decoded == []


def test_files_of_killed_processes_are_removed(root: Path) -> None:
    path = entry_of(root).path
    path.mkdir(parents=True)
    (path / f"{files.TEMPORARY_PREFIX}samples-1.partial").write_bytes(b"half")
    (path / "samples-0").write_bytes(b"complete, but without index")
    assert_decoded(read(root))
    assert sorted(file.name for file in path.iterdir()) == sorted(["index.json", samples_file(root).name])


def test_an_error_keeps_the_previous_entry(root: Path, decoded: list[str]) -> None:
    read(root)
    draw(root / "a" / "98.png", 98)
    (root / "b" / "99.jpg").write_bytes(b"no image")
    with pytest.raises(InputError, match=r"99.jpg: not an image"):
        read(root)
    assert not list(entry_of(root).path.glob(f"{files.TEMPORARY_PREFIX}*"))
    (root / "b" / "99.jpg").unlink()
    (root / "a" / "98.png").unlink()
    decoded.clear()
    assert_decoded(read(root))
    assert decoded == []


# --- a cache that cannot be written ------------------------------------------------------------------------------


def _full(*_: object) -> None:
    raise UnfinishedError("cache", "the disk is too full", "free space")


@pytest.fixture(params=["a file at the path", "full", "full while writing"])
def unwritable(request: pytest.FixtureRequest, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param == "a file at the path":
        home.write_text("not a folder")
    elif request.param == "full":
        monkeypatch.setattr(files, "check_room", _full)
    else:
        monkeypatch.setattr(os, "fsync", lambda _: (_ for _ in ()).throw(OSError(28, "No space left on device")))


@pytest.mark.usefixtures("unwritable")
def test_a_small_folder_is_decoded_into_memory(root: Path, home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = read(root)
    assert_decoded(source)
    assert not isinstance(source.samples, np.memmap)
    warning = capsys.readouterr().err
    assert warning.startswith("dlnotes: warning: ")
    assert warning.endswith("decoding into memory\n")
    assert not home.is_dir() or not list(home.rglob("samples-*"))


@pytest.mark.usefixtures("unwritable")
def test_a_large_folder_is_refused(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache_read, "_IN_MEMORY", 12 * SHAPE.nbytes - 1)
    with pytest.raises(UnfinishedError):
        read(root)


def test_a_read_only_cache_is_used(
    root: Path, decoded: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    read(root)
    decoded.clear()
    monkeypatch.setattr(os, "utime", lambda *_: (_ for _ in ()).throw(OSError(30, "Read-only file system")))
    monkeypatch.setattr(files, "atomic_stream", _full)
    assert_decoded(read(root))
    assert decoded == []
    assert capsys.readouterr().err == ""


# --- concurrent reads ---------------------------------------------------------------------------------------------


def test_concurrent_reads_decode_once(root: Path, decoded: list[str]) -> None:
    results: list[LabeledSamples] = []
    workers = [threading.Thread(target=lambda: results.append(read(root))) for _ in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert len(results) == 4
    for source in results:
        assert_decoded(source)
    assert len(decoded) == 12


def test_concurrent_reads_are_correct_without_locks(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_locks(*_: object) -> None:
        raise OSError(37, "No locks available")

    monkeypatch.setattr(fcntl, "flock", no_locks)
    start = threading.Barrier(2)
    results: list[LabeledSamples] = []

    def work() -> None:
        listing = list_folder(root)
        start.wait()
        results.append(read_folder(listing, SHAPE, DecodeSettings(2, MAX_PIXELS)))

    workers = [threading.Thread(target=work) for _ in range(2)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert len(results) == 2
    for source in results:
        assert_decoded(source)
    assert_decoded(read(root))


def test_mapped_samples_survive_changes_and_clearing(root: Path) -> None:
    source = read(root)
    before = np.array(source.samples)
    draw(root / "a" / "02.jpg", 99, size=(30, 20))
    assert_decoded(read(root))
    np.testing.assert_array_equal(source.samples, before)
    for entry in list_entries():
        entry.clear()
    np.testing.assert_array_equal(source.samples, before)


# --- list and clear ----------------------------------------------------------------------------------------------


def test_clearing_deletes_only_the_files_of_the_entry(root: Path, home: Path) -> None:
    read(root)
    (entry,) = list_entries()
    size = entry.nbytes()
    (home / "mnist").mkdir()
    assert entry.clear() == size > 12 * SHAPE.nbytes
    assert not entry.path.exists()
    assert sorted(path.name for path in home.iterdir()) == ["decoded", "mnist"]
    assert list_entries() == []
    read(root)
    (entry.path / "mine.txt").write_text("keep")
    entry.clear()
    assert [path.name for path in entry.path.iterdir()] == ["mine.txt"]


def test_a_file_that_cannot_be_deleted_is_named(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: Path) -> None:
        raise PermissionError(13, "Permission denied")

    read(root)
    monkeypatch.setattr(files, "remove", refuse)
    with pytest.raises(UnfinishedError, match=r"index.json: cannot be deleted \(permission denied\); check"):
        list_entries()[0].clear()


def test_swapped_files_of_equal_size_and_time_are_recognized_by_inode(tmp_path: Path) -> None:
    root = tmp_path / "swapped"
    for name, level in (("a", 0), ("b", 255)):
        for i in range(3):
            path = root / name / f"{i}.bmp"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.new("L", (5, 5), level).save(path)
            os.utime(path, (LONG_AGO, LONG_AGO))
    first = read(root)
    (root / "a").rename(root / "moved")
    (root / "b").rename(root / "a")
    (root / "moved").rename(root / "b")
    again = read(root)
    assert first.samples.reshape(6, -1).max(1).tolist() == [0, 0, 0, 255, 255, 255]
    assert again.samples.reshape(6, -1).max(1).tolist() == [255, 255, 255, 0, 0, 0]
    assert again.fingerprint != first.fingerprint


def test_other_files_in_the_cache_are_not_entries(root: Path, home: Path) -> None:
    read(root)
    (home / "decoded" / "note").write_text("")
    (entry_of(root).path.parent / "note").write_text("")
    assert len(list_entries()) == len(list_entries(root)) == 1


def test_an_index_round_trips_through_json() -> None:
    headers = (ImageHeader(3, 4, is_gray=True), ImageHeader(5, 6, is_gray=False), ImageHeader(3, 4, is_gray=True))
    names = ("a/1.png", os.fsdecode(b"\xff/\xfe.png"), "new\nline")
    index = CacheIndex(
        "/r",
        (3, 2, 1),
        "uint8",
        "samples-1",
        names,
        (1, 2, 3),
        (-1, 10**18, 5),
        (7, 8, 9),
        ("a", "b", "c"),
        headers,
        (1,),
    )
    assert CacheIndex.from_json(index.to_json()) == index
    assert index.nbytes == 18


def test_small_samples_outlive_the_truncation_of_their_file(root: Path) -> None:
    read(root)
    source = read(root)
    expected = np.array(source.samples)
    os.truncate(samples_file(root), 0)
    np.testing.assert_array_equal(source.samples, expected)
