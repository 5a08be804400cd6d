"""The decode cache: never other pixels than decoding gives, and never more decoding than the changes ask for."""

import fcntl
import json
import os
import shutil
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dlnotes_cli.data import folder
from dlnotes_cli.data.cache import pixels
from dlnotes_cli.data.cache import entries as cache
from dlnotes_cli.data.cache.read import Reading
from dlnotes_cli.data.cache.entries import Entry, Index
from dlnotes_cli.data.dataset import Source
from dlnotes_cli.data.folder import choose_shape, list_folder, read_folder
from dlnotes_cli.data.images.decode import Header, decode_image, decode_stream, read_header
from dlnotes_cli.data.preprocessing import ImageShape
from dlnotes_cli.shell import files, output
from dlnotes_cli.shell.errors import InputError, UnfinishedError
from dlnotes_cli.shell.option_groups import MAX_PIXELS

SHAPE = ImageShape(3, 6, 8, "crop")
LONG_AGO = 1_600_000_000


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of its own for each test."""
    monkeypatch.setenv("DLNOTES_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the files that were decoded, as they are."""
    names: list[str] = []
    decode = decode_stream

    def count(path: Path, *rest: object) -> object:
        names.append(path.name)
        return decode(path, *rest)  # type: ignore[arg-type]  # handed on as they are

    monkeypatch.setattr(pixels, "decode_stream", count)
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


def read(root: Path, shape: ImageShape = SHAPE, *, skip_bad: bool = False, max_pixels: int = MAX_PIXELS) -> Source:
    return read_folder(list_folder(root), shape, Reading(2, max_pixels, skip_bad=skip_bad))


def assert_true(source: Source, shape: ImageShape = SHAPE) -> None:
    """Each sample is what decoding its file alone gives."""
    assert len(source.samples) == len(source.files)
    for sample, name in zip(source.samples, source.files, strict=True):
        np.testing.assert_array_equal(sample, decode_image(Path(name), shape, MAX_PIXELS))


def entry_of(root: Path, shape: ImageShape = SHAPE) -> Entry:
    return Entry.of(root, str(shape))


def samples_file(root: Path) -> Path:
    (path,) = entry_of(root).path.glob("samples-*")
    return path


def test_a_second_run_decodes_nothing_and_maps_the_same(root: Path, decoded: list[str]) -> None:
    first = read(root)
    assert len(decoded) == 12
    assert_true(first)
    decoded.clear()
    second = read(root)
    assert decoded == []
    assert isinstance(second.samples, np.memmap)
    assert not second.samples.flags.writeable
    np.testing.assert_array_equal(first.samples, second.samples)
    assert first.files == second.files
    np.testing.assert_array_equal(first.labels, second.labels)


def test_nothing_is_opened_where_sizes_and_times_are_as_they_were(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read(root)
    monkeypatch.setattr(pixels, "damage_named", _forbidden)
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
def test_only_what_changed_is_decoded(change: Callable[[Path], None], root: Path, decoded: list[str]) -> None:
    read(root)
    decoded.clear()
    change(root)
    assert_true(read(root))
    assert len(set(decoded)) == 1
    decoded.clear()
    assert_true(read(root))
    assert decoded == []


def test_two_files_that_change_places(root: Path) -> None:
    read(root)
    one, two = root / "a" / "02.jpg", root / "a" / "04.jpg"
    one.rename(root / "x")
    two.rename(one)
    (root / "x").rename(two)
    assert_true(read(root))


def test_a_removed_file_drops_out_and_comes_back(root: Path, tmp_path: Path, decoded: list[str]) -> None:
    read(root)
    decoded.clear()
    (root / "a" / "02.jpg").rename(tmp_path / "away.jpg")
    source = read(root)
    assert len(source.samples) == 11
    assert_true(source)
    assert decoded == []
    (tmp_path / "away.jpg").rename(root / "a" / "02.jpg")
    assert_true(read(root))
    assert set(decoded) == {"02.jpg"}


def test_a_touched_file_is_compared_and_not_decoded(root: Path, decoded: list[str]) -> None:
    read(root)
    samples = samples_file(root)
    decoded.clear()
    os.utime(root / "a" / "02.jpg", (LONG_AGO + 5, LONG_AGO + 5))
    assert_true(read(root))
    assert decoded == []
    assert samples_file(root) == samples
    index = entry_of(root).read()
    assert index is not None
    assert index.rows(list_folder(root)) == list(range(12))


def test_a_file_younger_than_a_tick_of_the_clock_is_compared_next_time(root: Path, decoded: list[str]) -> None:
    now = int(time.time())
    path = root / "a" / "young.bmp"  # whose size tells nothing of its content
    draw(path, 1, when=now)
    read(root)
    decoded.clear()
    draw(path, 2, when=now)
    assert_true(read(root))
    assert set(decoded) == {"young.bmp"}


def test_two_forms_lie_side_by_side(root: Path, decoded: list[str]) -> None:
    forms = [SHAPE, ImageShape(1, 6, 8, "crop"), ImageShape(3, 6, 8, "squash"), ImageShape(3, 5, 5, "letterbox")]
    for form in forms:
        assert_true(read(root, form), form)
    assert len(decoded) == 48
    for form in forms:
        assert_true(read(root, form), form)
    assert len(decoded) == 48
    assert len(cache.entries(root)) == 4


def test_the_folder_is_known_by_its_real_path(root: Path, decoded: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
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


def test_bad_files_are_tried_again_and_never_counted_as_good(root: Path, decoded: list[str]) -> None:
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
    assert_true(again)
    with pytest.raises(InputError, match=r"02.jpg: image is truncated"):
        read(root)
    broken.write_bytes(content)
    assert_true(mended := read(root))
    assert len(mended.samples) == 12


@pytest.mark.parametrize("skip_bad", [False, True])
def test_a_smaller_limit_says_the_same_as_without_a_cache(skip_bad: bool, root: Path) -> None:
    draw(root / "b" / "big.png", 50, size=(40, 30))
    assert len(read(root).samples) == 13
    if skip_bad:
        source = read(root, skip_bad=True, max_pixels=1199)
        assert source.bad_files == (str(root / "b" / "big.png"),)
        assert_true(source)
        assert len(read(root, max_pixels=1200).samples) == 13
    else:
        with pytest.raises(InputError, match="30x40 = 1,200 pixels, over 1,199"):
            read(root, max_pixels=1199)


def test_a_image_that_goes_or_changes_after_the_scan_is_named(root: Path) -> None:
    listing = list_folder(root)
    draw(root / "a" / "02.jpg", 77, when=LONG_AGO + 9)
    with pytest.raises(InputError, match=r"a/02.jpg: changed while the folder was read; run again"):
        read_folder(listing, SHAPE, Reading(1, MAX_PIXELS))
    (root / "a" / "02.jpg").unlink()
    with pytest.raises(InputError, match=r"a/02.jpg: no such file"):
        read_folder(listing, SHAPE, Reading(1, MAX_PIXELS))
    assert cache.entries() == []


def test_files_too_large_to_hold_are_decoded_from_disk(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pixels, "_READ_WHOLE", 10)
    assert_true(read(root))
    large = entry_of(root).read()
    shutil.rmtree(entry_of(root).path)
    monkeypatch.undo()
    monkeypatch.setenv("DLNOTES_CACHE", str(root.parent / "other"))
    assert_true(read(root))
    whole = entry_of(root).read()
    assert large is not None
    assert whole is not None
    assert (large.digests, large.headers) == (whole.digests, whole.headers)


# --- headers -----------------------------------------------------------------------------------------------------


def turned(path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (10, 4)).save(path, exif=exif)
    os.utime(path, (LONG_AGO, LONG_AGO))


@pytest.mark.parametrize("name", ["t.jpg", "t.png", "t.webp", "t.tif"])
def test_cached_headers_are_those_of_the_files(name: str, root: Path) -> None:
    turned(root / "a" / name)
    Image.new("L", (5, 5)).save(root / "b" / "gray.png")
    os.utime(root / "b" / "gray.png", (LONG_AGO, LONG_AGO))
    assert_true(read(root))
    listing = list_folder(root)
    assert cache.known_headers(listing) == [read_header(path, MAX_PIXELS) for path in listing.files]


def test_the_choice_of_a_shape_is_the_same_with_a_cache(root: Path) -> None:
    def chosen() -> ImageShape:
        return choose_shape(list_folder(root), size=None, resize="crop", color=None, max_pixels=MAX_PIXELS)

    before = chosen()
    assert (before.height, before.width) == (9, 7)
    read(root, before)
    assert chosen() == before
    draw(root / "a" / "02.jpg", 3, size=(8, 8))
    assert (chosen().height, chosen().width) == (32, 32)


# --- damage ------------------------------------------------------------------------------------------------------


def rewrite(path: Path, **fields: object) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | fields))


DAMAGE: dict[str, Callable[[Path, Path], object]] = {
    "samples cut": lambda _, samples: samples.write_bytes(samples.read_bytes()[:-1]),
    "samples longer": lambda _, samples: samples.write_bytes(samples.read_bytes() + b"x"),
    "samples gone": lambda _, samples: samples.unlink(),
    "samples renamed": lambda _, samples: samples.rename(samples.parent / "elsewhere"),
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
def test_a_damaged_cache_is_noticed_and_made_again(
    how: str, root: Path, decoded: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    read(root)
    decoded.clear()
    DAMAGE[how](entry_of(root).path / "index.json", samples_file(root))
    assert_true(read(root))
    assert len(decoded) == 12
    assert capsys.readouterr().err == ""
    decoded.clear()
    assert_true(read(root))
    assert decoded == []


def test_damage_is_told_with_verbose(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    read(root)
    samples_file(root).write_bytes(b"")
    output.configure(verbose=True)
    read(root)
    assert "cannot be used (0 bytes of samples, 1,728 expected)" in capsys.readouterr().err


def test_what_a_killed_process_left_is_swept(root: Path) -> None:
    path = entry_of(root).path
    path.mkdir(parents=True)
    (path / f"{files.TEMPORARY_PREFIX}samples-1.partial").write_bytes(b"half")
    (path / "samples-0").write_bytes(b"whole, and no index")
    assert_true(read(root))
    assert sorted(file.name for file in path.iterdir()) == sorted(["index.json", samples_file(root).name])


def test_an_error_in_the_middle_leaves_the_earlier_cache_whole(root: Path, decoded: list[str]) -> None:
    read(root)
    draw(root / "a" / "98.png", 98)
    (root / "b" / "99.jpg").write_bytes(b"no image")
    with pytest.raises(InputError, match=r"99.jpg: not an image"):
        read(root)
    assert not list(entry_of(root).path.glob(f"{files.TEMPORARY_PREFIX}*"))
    (root / "b" / "99.jpg").unlink()
    (root / "a" / "98.png").unlink()
    decoded.clear()
    assert_true(read(root))
    assert decoded == []


# --- where nothing can be written --------------------------------------------------------------------------------


def _full(*_: object) -> None:
    raise UnfinishedError("cache", "the disk is too full", "free space")


@pytest.fixture(params=["a file in the way", "full", "full on the way"])
def unwritable(request: pytest.FixtureRequest, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param == "a file in the way":
        home.write_text("not a folder")
    elif request.param == "full":
        monkeypatch.setattr(files, "check_room", _full)
    else:
        monkeypatch.setattr(os, "fsync", lambda _: (_ for _ in ()).throw(OSError(28, "No space left on device")))


@pytest.mark.usefixtures("unwritable")
def test_a_small_set_stays_in_memory(root: Path, home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = read(root)
    assert_true(source)
    assert not isinstance(source.samples, np.memmap)
    warning = capsys.readouterr().err
    assert warning.startswith("dlnotes: warning: ")
    assert warning.endswith("decoding into memory\n")
    assert not home.is_dir() or not list(home.rglob("samples-*"))


@pytest.mark.usefixtures("unwritable")
def test_a_large_set_cannot_be_read(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pixels, "_IN_MEMORY", 12 * SHAPE.bytes - 1)
    with pytest.raises(UnfinishedError):
        read(root)


def test_a_cache_that_cannot_be_written_is_still_read(
    root: Path, decoded: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    read(root)
    decoded.clear()
    monkeypatch.setattr(os, "utime", lambda *_: (_ for _ in ()).throw(OSError(30, "Read-only file system")))
    monkeypatch.setattr(files, "atomic_stream", _full)
    assert_true(read(root))
    assert decoded == []
    assert capsys.readouterr().err == ""


# --- at the same time --------------------------------------------------------------------------------------------


def test_two_at_once_decode_once_and_both_are_right(root: Path, decoded: list[str]) -> None:
    found: list[Source] = []
    workers = [threading.Thread(target=lambda: found.append(read(root))) for _ in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert len(found) == 4
    for source in found:
        assert_true(source)
    assert len(decoded) == 12


def test_what_another_process_decoded_meanwhile_is_taken_over(root: Path, decoded: list[str]) -> None:
    touched = root / "a" / "02.jpg"
    os.utime(touched, (LONG_AGO + 5, LONG_AGO + 5))
    work = pixels._Work(list_folder(root), SHAPE, Reading(1, MAX_PIXELS), None)
    assert work.from_cache() is None
    os.utime(touched, (LONG_AGO, LONG_AGO))
    read(root)
    os.utime(touched, (LONG_AGO + 5, LONG_AGO + 5))
    decoded.clear()
    with work.entry.locked():
        found = work.from_renewed_cache()
    assert found is not None
    assert decoded == []
    assert_true(read(root))


def test_without_locks_two_at_once_are_right_all_the_same(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_locks(*_: object) -> None:
        raise OSError(37, "No locks available")

    monkeypatch.setattr(fcntl, "flock", no_locks)
    start = threading.Barrier(2)
    found: list[Source] = []

    def work() -> None:
        listing = list_folder(root)
        start.wait()
        found.append(read_folder(listing, SHAPE, Reading(2, MAX_PIXELS)))

    workers = [threading.Thread(target=work) for _ in range(2)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert len(found) == 2
    for source in found:
        assert_true(source)
    assert_true(read(root))


def test_samples_in_use_survive_a_change_and_a_clearing(root: Path) -> None:
    source = read(root)
    before = np.array(source.samples)
    draw(root / "a" / "02.jpg", 99, size=(30, 20))
    assert_true(read(root))
    np.testing.assert_array_equal(source.samples, before)
    for entry in cache.entries():
        entry.clear()
    np.testing.assert_array_equal(source.samples, before)


# --- list and clear ----------------------------------------------------------------------------------------------


def test_clearing_deletes_what_is_ours_and_nothing_else(root: Path, home: Path) -> None:
    read(root)
    (entry,) = cache.entries()
    size = entry.bytes()
    (home / "mnist").mkdir()
    assert entry.clear() == size > 12 * SHAPE.bytes
    assert not entry.path.exists()
    assert sorted(path.name for path in home.iterdir()) == ["decoded", "mnist"]
    assert cache.entries() == []
    read(root)
    (entry.path / "mine.txt").write_text("keep")
    entry.clear()
    assert [path.name for path in entry.path.iterdir()] == ["mine.txt"]


def test_what_may_not_be_deleted_is_named(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: Path) -> None:
        raise PermissionError(13, "Permission denied")

    read(root)
    monkeypatch.setattr(files, "remove", refuse)
    with pytest.raises(UnfinishedError, match=r"index.json: cannot be deleted \(permission denied\); check"):
        cache.entries()[0].clear()


def test_files_that_swap_names_are_told_apart_though_size_and_time_are_equal(tmp_path: Path) -> None:
    root = tmp_path / "swapped"
    for name, level in (("a", 0), ("b", 255)):
        for i in range(3):
            path = root / name / f"{i}.bmp"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.new("L", (5, 5), level).save(path)
            os.utime(path, (LONG_AGO, LONG_AGO))
    first = read(root)
    (root / "a").rename(root / "kept")
    (root / "b").rename(root / "a")
    (root / "kept").rename(root / "b")
    again = read(root)
    assert first.samples.reshape(6, -1).max(1).tolist() == [0, 0, 0, 255, 255, 255]
    assert again.samples.reshape(6, -1).max(1).tolist() == [255, 255, 255, 0, 0, 0]
    assert again.fingerprint != first.fingerprint


def test_other_files_in_the_cache_are_no_entries(root: Path, home: Path) -> None:
    read(root)
    (home / "decoded" / "note").write_text("")
    (entry_of(root).path.parent / "note").write_text("")
    assert len(cache.entries()) == len(cache.entries(root)) == 1


def test_an_index_survives_its_file() -> None:
    headers = (Header(3, 4, is_gray=True), Header(5, 6, is_gray=False), Header(3, 4, is_gray=True))
    names = ("a/1.png", os.fsdecode(b"\xff/\xfe.png"), "new\nline")
    index = Index(
        "/r", (3, 2, 1), "uint8", "samples-1", names, (1, 2, 3), (-1, 10**18, 5), (7, 8, 9), ("a", "b", "c"), headers
    )
    assert Index.from_json(index.to_json()) == index
    assert index.bytes == 18
