"""Named sets: lookup, downloads, IDX and CIFAR files, warnings, and the reasons for refusing a file."""

import gzip
import hashlib
import io
import shutil
import struct
import subprocess
import sys
import tarfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from builders import serving
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from dlnotes_cli.data import named_sets
from dlnotes_cli.data.named_sets import NamedSetInfo, list_named, load_named, locate, read_idx
from dlnotes_cli.data.options import NAMED_SETS
from dlnotes_cli.data.published import NAMED, NamedFile
from dlnotes_cli.shell.errors import InputError

COUNTS = {"train": 6, "test": 4}
REPLACE = "replace it with a complete copy, or remove it"
Files = dict[str, bytes]


def idx(array: NDArray[np.uint8]) -> bytes:
    return bytes((0, 0, 8, array.ndim)) + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()


def random_files(seed: int) -> Files:
    draw = np.random.default_rng(seed)
    files = {}
    for prefix, count in (("train", 6), ("t10k", 4)):
        files[f"{prefix}-images-idx3-ubyte"] = idx(draw.integers(0, 256, (count, 28, 28), np.uint8))
        files[f"{prefix}-labels-idx1-ubyte"] = idx(draw.integers(0, 10, count, np.uint8))
    return files


MNIST, FASHION, UNPUBLISHED = random_files(1), random_files(2), random_files(3)


def publish(files: Files) -> tuple[NamedFile, ...]:
    published = []
    for name, content in files.items():
        zipped = gzip.compress(content, mtime=0)
        checksums = (hashlib.sha256(data).hexdigest() for data in (zipped, content))
        published.append(NamedFile(f"{name}.gz", len(zipped), *checksums))
    return tuple(published)


def put(folder: Path, files: Files, *, is_gzipped: bool = True) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        path = folder / (f"{name}.gz" if is_gzipped else name)
        path.write_bytes(gzip.compress(content, mtime=0) if is_gzipped else content)
    return folder


def images(files: Files) -> NDArray[np.uint8]:
    return np.frombuffer(b"".join(files[f"{prefix}-images-idx3-ubyte"][16:] for prefix in ("train", "t10k")), np.uint8)


def place_of(name: str, root: Path | None = None) -> str | None:
    location = locate(name, root)
    return None if location is None else location.found_in


@pytest.fixture(autouse=True)
def small_sets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Replace the published sets by small ones, on a machine without any copy."""
    monkeypatch.setenv("DLNOTES_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("DLNOTES_DATA", raising=False)
    monkeypatch.setenv("no_proxy", "*")
    monkeypatch.setattr(named_sets, "_SYSTEM_FOLDER", tmp_path / "system")
    for name, files in (("mnist", MNIST), ("fashion-mnist", FASHION)):
        small = replace(NAMED[name], files=publish(files), counts=COUNTS, urls=("http://127.0.0.1:9/",))
        monkeypatch.setitem(NAMED, name, small)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "root").mkdir()
    return tmp_path / "root"


def test_digits_equal_those_of_scikit_learn_which_is_not_imported() -> None:
    from sklearn.datasets import load_digits

    source = load_named("digits", offline=True)
    values, labels = load_digits(return_X_y=True)
    assert (source.samples.shape, source.samples.dtype.name) == ((1797, 1, 8, 8), "uint8")
    np.testing.assert_array_equal(
        source.samples.reshape(1797, 64), [[round(v * 255 / 16) for v in row] for row in values]
    )
    np.testing.assert_array_equal(source.labels, labels)
    np.testing.assert_array_equal(source.splits["all"], np.arange(1797))
    load = "from dlnotes_cli.data import named_sets; named_sets.load_named('digits')"
    script = f"import sys; {load}; print('sklearn' in sys.modules)"
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert ran.stdout == "False\n"


# --- lookup ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("is_gzipped", [True, False])
@pytest.mark.parametrize("folder", ["fashion-mnist", ".", "FashionMNIST/raw"])
def test_idx_sets_are_read_from_every_place(
    folder: str, root: Path, capsys: pytest.CaptureFixture[str], *, is_gzipped: bool
) -> None:
    put(root / folder, FASHION, is_gzipped=is_gzipped)
    source = load_named("fashion-mnist", data_root=root, offline=True)
    assert (source.samples.shape, source.samples.dtype.name) == ((10, 1, 28, 28), "uint8")
    np.testing.assert_array_equal(source.samples.ravel(), images(FASHION))
    labels = b"".join(FASHION[f"{prefix}-labels-idx1-ubyte"][8:] for prefix in ("train", "t10k"))
    assert (source.labels.tolist(), source.labels.dtype.name) == (list(labels), "int64")
    assert source.classes[9] == "Ankle boot"
    splits = {split: indices.tolist() for split, indices in source.splits.items()}
    assert splits == {"train": [0, 1, 2, 3, 4, 5], "test": [6, 7, 8, 9]}
    assert capsys.readouterr().err == ""


def test_the_roots_are_searched_in_order(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DLNOTES_DATA", str(tmp_path / "variable"))
    for place, found_in in zip(
        ("cache", "system", "variable", "root"), ("cache", "system", "$DLNOTES_DATA", "--data-root"), strict=True
    ):
        folder = put(tmp_path / place / "mnist", MNIST)
        assert place_of("mnist", root) == found_in
    (folder / "t10k-labels-idx1-ubyte.gz").unlink()
    assert place_of("mnist", root) == "$DLNOTES_DATA"
    with pytest.raises(InputError, match=r"--data: unknown data set 'cifar1O'; did you mean 'cifar10'\?"):
        locate("cifar1O")


@pytest.mark.parametrize(
    ("files", "folder", "expected"),
    [
        (MNIST, "raw", ["mnist"]),
        (FASHION, "raw", ["fashion-mnist"]),
        (FASHION, "mnist", ["fashion-mnist"]),
        (UNPUBLISHED, "raw", []),
        (UNPUBLISHED, "mnist", ["mnist"]),
        (UNPUBLISHED, "fashion-mnist", ["fashion-mnist"]),
        (UNPUBLISHED | {"t10k-labels-idx1-ubyte": b"damaged"}, "raw", []),
    ],
)
def test_files_in_the_root_itself_are_identified(files: Files, folder: str, expected: list[str], root: Path) -> None:
    put(root / folder, files)
    assert [name for name in ("mnist", "fashion-mnist") if locate(name, root / folder)] == expected


def test_a_root_without_the_set_is_refused_instead_of_a_download(
    root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files = r"train-images\S+, train-labels\S+, t10k-images\S+, t10k-labels\S+"
    fix = "name the folder that has it, or drop the option to download it"
    with pytest.raises(InputError, match=rf"--data-root: {root} does not have mnist \({files}\); {fix}"):
        load_named("mnist", data_root=root)
    what = r"does not have cifar10 \(cifar-10-binary.tar.gz or the folder cifar-10-batches-bin\)"
    with pytest.raises(InputError, match=rf"--data-root: {root} {what}; {fix}"):
        load_named("cifar10", data_root=root, offline=True)
    for folder in (root / "cifar10", root):
        (folder / "cat").mkdir(parents=True)
        (folder / "cat" / "1.png").touch()
        with pytest.raises(InputError, match=rf"; pass --data {folder} to read its class folders, or drop the option"):
            load_named("cifar10", data_root=root)
        shutil.rmtree(folder)
    put(tmp_path / "system/mnist", MNIST)
    root.mkdir()
    load_named("mnist", data_root=root)
    place = f"{tmp_path}/system/mnist (system)"
    assert capsys.readouterr().err == f"dlnotes: note: mnist is not in {root}; it is read from {place}\n"


def test_summaries_name_where_each_set_was_found(root: Path) -> None:
    put(root / "mnist", MNIST)
    by_name = {one.name: one for one in list_named(root)}
    assert tuple(by_name) == NAMED_SETS
    digits, mnist = by_name["digits"], by_name["mnist"]
    assert (digits.found, digits.counts, digits.download_bytes) == ("embedded", {"all": 1797}, 0)
    assert (mnist.found, mnist.path) == ("--data-root", str(root / "mnist"))
    expected = NamedSetInfo("cifar100", None, None, 100, (3, 32, 32), {"train": 50_000, "test": 10_000}, 168_513_733)
    assert by_name["cifar100"] == expected


# --- other copies ------------------------------------------------------------------------------------------------


def test_a_different_copy_is_used_with_one_warning_and_its_own_fingerprint(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fingerprints = []
    for number, files in enumerate((MNIST, UNPUBLISHED, FASHION)):
        put(root / str(number) / "mnist", files)
        source = load_named("mnist", data_root=root / str(number))
        np.testing.assert_array_equal(source.samples.ravel(), images(files))
        fingerprints.append(source.fingerprint)
        what = f"warning: {root}/{number}/mnist/train-images-idx3-ubyte.gz differs from the published mnist; used as is"
        assert capsys.readouterr().err == (f"dlnotes: {what}\n" if number else "")
    assert fingerprints[0] == "named:mnist"
    assert len(set(fingerprints)) == 3
    assert all(fingerprint.startswith("named:mnist") for fingerprint in fingerprints)


@pytest.mark.parametrize("changed", list(MNIST))
def test_a_different_copy_in_the_cache_is_refused(changed: str, tmp_path: Path) -> None:
    put(tmp_path / "cache/mnist", MNIST | {changed: UNPUBLISHED[changed]})
    what = rf"mnist/{changed}\.gz: is not the published file of mnist: its SHA-256 differs; remove it, so that"
    with pytest.raises(InputError, match=what):
        load_named("mnist", offline=True)


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("train-labels-idx1-ubyte", idx(np.zeros(5, np.uint8)), "5 labels for 6 images"),
        ("train-labels-idx1-ubyte", idx(np.zeros((6, 1), np.uint8)), "6 labels for 6 images"),
        ("t10k-labels-idx1-ubyte", idx(np.full(4, 10, np.uint8)), "label 10, but 10 classes"),
        ("t10k-images-idx3-ubyte", idx(np.zeros((4, 28, 27), np.uint8)), "images of 28x28 expected, 28x27 found"),
        ("t10k-images-idx3-ubyte", idx(np.zeros(4, np.uint8)), "images of 28x28 expected, numbers found"),
        ("train-images-idx3-ubyte", b"<html>", "not an IDX file of bytes"),
    ],
)
def test_files_that_do_not_match_are_named(name: str, content: bytes, reason: str, root: Path) -> None:
    put(root / "mnist", MNIST | {name: content})
    with pytest.raises(InputError, match=rf"mnist/{name}\.gz: {reason}; {REPLACE}"):
        load_named("mnist", data_root=root)


# --- downloads ---------------------------------------------------------------------------------------------------


def test_missing_files_are_downloaded_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pairs = list(MNIST.items())
    put(tmp_path / "cache/mnist", dict(pairs[:2]))
    with pytest.raises(InputError) as caught:
        load_named("mnist", offline=True)
    assert str(caught.value) == (
        "--data: mnist is not on this machine, and --offline forbids downloading it; put t10k-images-idx3-ubyte.gz, "
        f"t10k-labels-idx1-ubyte.gz from http://127.0.0.1:9/ into {tmp_path}/cache/mnist, or name the folder that has "
        "them with --data-root"
    )
    with serving(put(tmp_path / "site", dict(pairs[2:]))) as url:
        monkeypatch.setitem(NAMED, "mnist", replace(NAMED["mnist"], urls=("http://127.0.0.1:9/", f"{url}/")))
        np.testing.assert_array_equal(load_named("mnist").samples.ravel(), images(MNIST))
    assert {path.name for path in (tmp_path / "cache/mnist").iterdir()} == {f"{name}.gz" for name in MNIST}
    np.testing.assert_array_equal(load_named("mnist", offline=True).samples.ravel(), images(MNIST))


# --- IDX files ---------------------------------------------------------------------------------------------------

IMAGES = np.arange(24, dtype=np.uint8).reshape(2, 3, 4)
ZIPPED = gzip.compress(idx(IMAGES), mtime=0)


@given(array=hnp.arrays(np.uint8, hnp.array_shapes(max_dims=4, max_side=5)), is_gzipped=st.booleans())
def test_arrays_round_trip(
    array: NDArray[np.uint8], tmp_path_factory: pytest.TempPathFactory, *, is_gzipped: bool
) -> None:
    path = tmp_path_factory.getbasetemp() / "round-trip"  # gzip is detected by content
    path.write_bytes(gzip.compress(idx(array), 1, mtime=0) if is_gzipped else idx(array))
    found, checksum = read_idx(path)
    np.testing.assert_array_equal(found, array)
    assert (found.dtype.name, checksum) == ("uint8", hashlib.sha256(idx(array)).hexdigest())


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "not an IDX file of bytes"),
        (b"\0\0\x0d" + idx(IMAGES)[3:], "not an IDX file of bytes"),
        (b"\0\0\x08\5" + bytes(20), "not an IDX file of bytes"),
        (idx(IMAGES)[:9], "not an IDX file of bytes"),
        (idx(IMAGES)[:-1], "23 values, its header says 24"),
        (idx(IMAGES) + b"x", "25 values, its header says 24"),
        (idx(np.zeros((0, 3), np.uint8)), "0 values, its header says 0"),
        (b"\0\0\x08\3" + b"\xff" * 12, "0 values, its header says 79,228,162,458,924,105,385,300,197,375"),
        (ZIPPED[:-9], "is truncated"),
        (ZIPPED[:-8] + bytes(8), r"is damaged \(CRC check failed"),
        (ZIPPED[:10] + b"\xff" * 30, "is damaged"),
        (gzip.compress(idx(IMAGES) + bytes(2_000_000), 1, mtime=0), "has more than 1,048,576 bytes uncompressed"),
    ],
)
def test_the_error_names_the_damage_of_an_idx_file(
    content: bytes, reason: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(named_sets, "_LARGEST", 1 << 20)
    (tmp_path / "images").write_bytes(content)
    with pytest.raises(InputError, match=f"images: {reason}.*; {REPLACE}"):
        read_idx(tmp_path / "images")


# --- CIFAR -------------------------------------------------------------------------------------------------------

RECORDS = {"one.bin": range(3), "two.bin": range(3, 5), "test.bin": range(5, 7)}
SAMPLES = np.random.default_rng(0).integers(0, 256, (7, 3, 32, 32), np.uint8)
LABELS = [0, 1, 2, 2, 1, 0, 1]
NAMES = {"names.txt": b"ant\nbee\r\ncat\n\n", "readme.html": b"<html>"}


def records(coarse: bytes = b"") -> Files:
    return {
        name: b"".join(coarse + bytes([LABELS[i]]) + SAMPLES[i].tobytes() for i in span)
        for name, span in RECORDS.items()
    }


def unpack(folder: Path, files: Files) -> Path:
    return put(folder / "small-bin", files, is_gzipped=False)


def pack(folder: Path, files: Files) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "small.tar.gz"
    with tarfile.open(path, "w:gz", compresslevel=1) as archive:
        for name, content in [*files.items(), ("one.bin", b"")]:  # the first of a name is read
            member = tarfile.TarInfo(f"small-bin/{name}")
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return path


@pytest.fixture
def archive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The archive of a small set in place of CIFAR-10."""
    path = pack(tmp_path / "published", records())
    file = NamedFile("small.tar.gz", path.stat().st_size, hashlib.sha256(path.read_bytes()).hexdigest())
    small = replace(
        NAMED["cifar10"], files=(file,), folder="small-bin", records=tuple(RECORDS), names_file="names.txt",
        classes=("x", "y", "z"), counts={"train": 5, "test": 2},
    )  # fmt: skip
    monkeypatch.setitem(NAMED, "cifar10", small)
    return path


BOTH = pytest.mark.parametrize("make", [unpack, pack])


@BOTH
@pytest.mark.usefixtures("archive")
@pytest.mark.parametrize("label_bytes", [1, 2])
@pytest.mark.parametrize(("more", "classes"), [({}, ("x", "y", "z")), (NAMES, ("ant", "bee", "cat"))])
def test_cifar_is_read_in_any_order_of_its_files(
    make: Callable[[Path, Files], Path], label_bytes: int, more: Files, classes: tuple[str, ...], root: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setitem(NAMED, "cifar10", replace(NAMED["cifar10"], label_bytes=label_bytes))
    coarse = bytes([99] * (label_bytes - 1))  # which is not read
    make(root, dict([*records(coarse).items(), *more.items()][:: -1 if more else 1]))
    source = load_named("cifar10", data_root=root, offline=True)
    np.testing.assert_array_equal(source.samples, SAMPLES)
    assert (source.labels.tolist(), source.labels.dtype.name, source.classes) == (LABELS, "int64", classes)
    splits = {split: indices.tolist() for split, indices in source.splits.items()}
    assert splits == {"train": [0, 1, 2, 3, 4], "test": [5, 6]}


@pytest.mark.usefixtures("archive")
def test_unpacked_cifar_is_found_in_every_place(root: Path) -> None:
    put(root, records(), is_gzipped=False)  # which do not count: the folder does not have the name of the set
    assert locate("cifar10", root) is None
    for folder in ("cifar10", "cifar10/small-bin", "small-bin"):
        put(root / folder, records(), is_gzipped=False)
        found = [locate("cifar10", place) for place in (root, root / folder)]
        assert [location.folder for location in found if location] == [root / folder] * 2
        shutil.rmtree(root / folder)


@pytest.mark.parametrize("folder", ["root/cifar10", "root", "cache/cifar10"])
def test_the_cifar_archive_is_read_without_unpacking(
    folder: str, tmp_path: Path, root: Path, archive: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / folder / "small.tar.gz"
    path.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(archive, path)
    data_root = root if folder.startswith("root") else None
    source = load_named("cifar10", data_root=data_root, offline=True)
    assert (source.labels.tolist(), source.fingerprint) == (LABELS, "named:cifar10")
    assert list(path.parent.iterdir()) == [path]
    assert capsys.readouterr().err == ""
    path.write_bytes(gzip.compress(gzip.decompress(archive.read_bytes()), 1))
    if data_root is None:
        with pytest.raises(InputError, match=r"small\.tar\.gz: is not the published file of cifar10"):
            load_named("cifar10")
    else:
        np.testing.assert_array_equal(load_named("cifar10", data_root=root).samples, source.samples)
        assert "small.tar.gz differs from the published cifar10; used as is" in capsys.readouterr().err


@BOTH
@pytest.mark.usefixtures("archive")
@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("two.bin", bytes(6147), r"two\.bin.*: 6,147 bytes are not records of 3,073"),
        ("two.bin", b"", r"two\.bin.*: 0 bytes are not records of 3,073"),
        ("test.bin", b"\x03" + bytes(6145), r"test\.bin.*: label 3, but 3 classes"),
        ("names.txt", b"ant\nbee\nant\n", r"names\.txt.*: 2 class names, 3 expected"),
    ],
)
def test_the_error_names_the_damage_of_a_cifar_file(
    make: Callable[[Path, Files], Path], name: str, content: bytes, reason: str, root: Path
) -> None:
    make(root, records() | {name: content})
    with pytest.raises(InputError, match=f"{reason}; {REPLACE}"):
        load_named("cifar10", data_root=root)


@pytest.mark.usefixtures("archive")
@pytest.mark.parametrize(
    ("folder", "kind"),
    [
        *((folder, tarfile.REGTYPE) for folder in ("/small-bin", "../small-bin", "small-bin/small-bin", ".")),
        *(("small-bin", kind) for kind in (tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.DIRTYPE, tarfile.FIFOTYPE)),
    ],
)
def test_only_regular_members_of_the_exact_name_are_read(folder: str, kind: bytes, root: Path) -> None:
    with tarfile.open(path := root / "small.tar.gz", "w:gz") as archive:
        member = tarfile.TarInfo(f"{folder}/one.bin")
        member.type, member.linkname = kind, "/etc/passwd"
        archive.addfile(member)
    with pytest.raises(InputError, match=rf"small\.tar\.gz: one\.bin is missing; {REPLACE}"):
        load_named("cifar10", data_root=root)
    assert list(root.iterdir()) == [path]


@pytest.mark.usefixtures("archive")
@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (lambda whole: whole[: len(whole) // 2], "truncated"),
        (lambda whole: whole[:-8] + bytes(8), r"is damaged \(CRC check failed"),
        (lambda whole: whole[:20] + b"\xff" * 40 + whole[60:], "damaged"),
        (lambda _: b"", r"is damaged \(empty file\)"),
        (lambda _: b"<html>not found</html>", "is damaged"),
        (lambda _: gzip.compress(b"no archive" * 200), "damaged"),
        (lambda whole: gzip.compress(gzip.decompress(whole)[:9000]), r"one\.bin\): .* are not records|damaged"),
        (lambda _: gzip.compress(bytes(3_000_000)), "has more than 1,070,087 bytes uncompressed"),
    ],
)
def test_a_damaged_archive_is_named(damage: Callable[[bytes], bytes], reason: str, root: Path) -> None:
    path = pack(root, records())
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(InputError, match=rf"small\.tar\.gz.*({reason}).*; {REPLACE}"):
        load_named("cifar10", data_root=root)
