"""Bad input to `dlnotes filter`, one per row: exit code 2, a line with what is wrong and the fix, no file changed."""

import re
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from builders import Command, folder_digest
from PIL import Image


@dataclass(frozen=True)
class Fault:
    """Arguments with one mistake; `@name` is a path in the folder of the test. `message` is a pattern."""

    name: str
    arguments: Sequence[object]
    message: str


@pytest.fixture(scope="module")
def bad_inputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with good and bad inputs; no command may change anything in it."""
    folder = tmp_path_factory.mktemp("bad")
    photo = Image.fromarray(np.random.default_rng(0).integers(0, 256, (30, 40, 3), dtype=np.uint8))
    for name in ("good.jpg", "mix/a.jpg", "mix/c.jpg", "exists.png"):
        (folder / name).parent.mkdir(exist_ok=True)
        photo.save(folder / name)
    content = (folder / "good.jpg").read_bytes()
    (folder / "cut.jpg").write_bytes(content[: len(content) // 2])
    (folder / "text.jpg").write_bytes(b"this is no image")
    (folder / "zero.jpg").write_bytes(b"")
    Image.fromarray(np.array([[0.0, 1000.0]], np.float32)).save(folder / "deep.tif")
    Image.new("1", (30_000, 30_000)).save(folder / "bomb.png")
    (folder / "nothing").mkdir()
    shutil.copytree(folder / "mix", folder / "deep" / "er")
    for name, text in (
        ("ragged.txt", "1 2 3\n4 5\n"),
        ("words.csv", "1,2\n3,four\n"),
        ("nan.json", "[[1, NaN]]"),
        ("empty.txt", ""),
        ("binary.txt", "\0"),
        ("file", "a file"),
    ):
        (folder / name).write_text(text)
    return folder


PHOTO = "@good.jpg"
FAULTS = [
    Fault("ragged", (PHOTO, "--kernel", "@ragged.txt"), r"ragged\.txt: row 2 has 2 numbers, row 1 has 3 \(column 3\); make"),
    Fault("not numeric", (PHOTO, "--kernel", "@words.csv"), r"words\.csv: row 2, column 2: 'four' is not a number; write"),
    Fault("nan", (PHOTO, "--kernel", "@nan.json"), r"nan\.json: row 1, column 2: nan is not a finite number"),
    Fault("empty", (PHOTO, "--kernel", "@empty.txt"), r"empty\.txt: is empty: no row 1, column 1; write"),
    Fault("binary", (PHOTO, "--kernel", "@binary.txt"), r"binary\.txt: row 1, column 1: '\\x00' is not a number"),
    Fault("missing kernel file", (PHOTO, "--kernel", "@gone.txt"), r"gone\.txt: no such file"),
    Fault("inline ragged", (PHOTO, "--kernel", "1 2; 3"), r"--kernel: row 2 has 1 number, row 1 has 2 \(column 2\)"),
    Fault("inline empty", (PHOTO, "--kernel", ""), r"--kernel: is empty"),
    Fault("unknown kernel", (PHOTO, "--kernel", "sobel-z"), r"--kernel: unknown kernel 'sobel-z'; did you mean 'sobel-[xy]'\?"),
    Fault("unknown second", (PHOTO, "--then", "gausian"), r"--then: unknown kernel 'gausian'; did you mean 'gaussian'\?"),
    Fault("kernel too large", (PHOTO, "--kernel", "box", "--kernel-size", 31, "--edges", "crop"), r"good\.jpg: --edges: crop leaves no pixel of 30x40 .* under a kernel of 31x31; use"),
    Fault("chain too large", (PHOTO, "--kernel", "box", "--kernel-size", 20, "--then", "gaussian", "--edges", "crop"), r"good\.jpg: --edges: crop leaves no pixel of 11x21"),
    Fault("size without use", (PHOTO, "--kernel-size", 5), r"--kernel-size: applies to none of the kernels; leave it out, or use box"),
    Fault("size zero", (PHOTO, "--kernel", "box", "--kernel-size", 0), r"--kernel-size: 0 is out of range"),
    Fault("sigma", (PHOTO, "--kernel", "gaussian", "--sigma", "nan"), r"--sigma: nan is out of range"),
    Fault("text", ("@text.jpg",), r"text\.jpg: not an image; remove"),
    Fault("truncated", ("@cut.jpg",), r"cut\.jpg: image is truncated; remove"),
    Fault("zero bytes", ("@zero.jpg",), r"zero\.jpg: not an image; remove"),
    Fault("bomb", ("@bomb.png",), r"bomb\.png: 30000x30000 = 900,000,000 pixels, over 178,956,970; raise --max-pixels"),
    Fault("missing", ("@gone.jpg",), r"gone\.jpg: no such file; check"),
    Fault("pattern", ("@*.xyz",), r"\*\.xyz: the pattern matches no file; check"),
    Fault("empty folder", ("@nothing", "--out", "@new/"), r"nothing: the folder has no images; name another folder, or add --recursive"),
    Fault("empty, recursive", ("@nothing", "-r", "--out", "@new/"), r"nothing: the folder has no images; name another"),
    Fault("nested folder", ("@deep", "--out", "@new/"), r"deep: the folder has no images; .*add --recursive"),
    Fault("file extension", (PHOTO, "--out", "@x.xyz"), r"--out: no image format has the file extension '\.xyz'; use \.png, \.jpg"),
    Fault("pattern without extension", (PHOTO, "--out", "@{name}"), r"--out: no image format has the file extension ''"),
    Fault("file as folder", (PHOTO, "--out", "@file"), r"--out: .*file is not a folder; give a folder"),
    Fault("extension of a pattern", (PHOTO, "--out", "@{name}.gif"), r"--out: no image format has the file extension '\.gif'"),
    Fault("placeholder of a pattern", (PHOTO, "--out", "@{nam}.png"), r"--out: unknown placeholder \{nam\}; use \{name\}, \{kernel\} and \{index\}"),
    Fault("exists", (PHOTO, "--out", "@exists.png"), r"--out: .*exists\.png exists; pass --overwrite"),
    Fault("exists in a folder", ("@mix", "--out", "@mix"), r"--out: .*mix/a\.jpg exists; pass --overwrite"),
    Fault("missing folder", (PHOTO, "--out", "@gone/x.png"), r"--out: no folder .*gone; make it first"),
    Fault("missing parent folder", (PHOTO, "--out", "@gone/new/"), r"--out: no folder .*gone; make it first"),
    Fault("not writable", (PHOTO, "--out", "/proc/x.png"), r"--out: cannot write in /proc"),
    Fault("one file for many", ("@mix", "--out", "@x.png"), r"--out: .*x\.png is one file for 2 images; use a folder"),
    Fault("two results of one path", ("@mix", "--out", "@x-{kernel}.png"), r"--out: two results have the path .*x-sobel-x\.png; use a pattern"),
    Fault("stdout for many", ("@mix", "--out", "-"), r"--out: - writes one image, got 2; use"),
    Fault("stdout and json", (PHOTO, "--out", "-", "--json"), r"--out -: cannot be combined with --json: both write to standard output; drop"),
    Fault("stdin twice", ("-", "-"), r"PATH: - is standard input, which can be read only once"),
    Fault("sheet of many", ("@mix", "--sheet", "@s.png"), r"--sheet: shows one image, got 2"),
    Fault("sheet exists", (PHOTO, "--sheet", "@exists.png"), r"--sheet: .*exists\.png exists; pass --overwrite"),
    Fault("sheet extension", (PHOTO, "--sheet", "@s.jpg"), r"--sheet: .*s\.jpg does not end in \.png; give"),
    Fault("sheet over the result", (PHOTO, "--out", "@s.png", "--sheet", "@s.png"), r"--sheet: .*s\.png is also the file of the result; name"),
    Fault("format and extension", (PHOTO, "--out", "@x.png", "--format", "jpg"), r"--format: jpg contradicts the file extension of .*x\.png; leave"),
    Fault("format and pattern", (PHOTO, "--out", "@{name}-x.png", "--format", "jpg"), r"--format: jpg contradicts the file extension of .*good-x\.png"),
    Fault("decimal numbers", ("@deep.tif",), r"deep\.tif: pixel values from 0 to 1000 are outside 0 to 255; rescale"),
    Fault("spectrum alone", (PHOTO, "--spectrum"), r"--spectrum: has no effect without --sheet; add it"),
    Fault("stride of 0", (PHOTO, "--stride", 0), r"--stride: 0 is out of range"),
    Fault("pool", (PHOTO, "--pool", "median"), r"--pool: unknown value 'median'; did you mean 'mean'"),
    Fault("pooling window", (PHOTO, "--pool", "max", "--kernel-size", 31), r"good\.jpg: --kernel-size: a pooling window of 31x31 does not fit into 30x40; use"),
    Fault("operation", (PHOTO, "--op", "median:4"), r"--op: median:4 is not an odd number of rows and columns; write median:3"),
    Fault("crop by operations", (PHOTO, "--op", "erode:31", "--edges", "crop"), r"good\.jpg: --edges: crop leaves no pixel of 30x40 .* under a kernel of 31x31"),
    Fault("raw pixels", (PHOTO, "--result", "raw", "--out", "@x.png"), r"--result: raw values do not fit into the pixels of PNG; use \.npy, show them with --sheet"),
    Fault("raw format", (PHOTO, "--result", "raw", "--out", "-", "--format", "jpg"), r"--result: raw values do not fit into the pixels of JPEG"),
    Fault("raw in a folder", ("@mix", "--result", "raw", "--out", "@new/", "--format", "png"), r"--result: raw values do not fit into the pixels of PNG"),
    Fault("raw and threshold", (PHOTO, "--result", "raw", "--threshold", 9), r"--threshold: cannot be combined with --result raw; drop one"),
    Fault("patch and path", (PHOTO, "--patch", "1"), r"PATHS: cannot be combined with --patch; drop"),
    Fault("patch and format", ("--patch", "1", "--format", "jpg"), r"--format: cannot be combined with --patch; drop"),
    Fault("patch and out", ("--patch", "1", "--out", "@x.png"), r"--out: cannot be combined with --patch; drop"),
    Fault("patch ragged", ("--patch", "1 2; 3"), r"--patch: row 2 has 1 number, row 1 has 2"),
    Fault("patch too small", ("--patch", "1", "--edges", "crop"), r"--edges: crop leaves no pixel of 1x1 .* under a kernel of 3x3"),
    Fault("unknown edges", (PHOTO, "--edges", "extent"), r"--edges: unknown value 'extent'; did you mean 'extend'\?"),
    Fault("unknown result", (PHOTO, "--result", "ab"), r"--result: unknown value 'ab'; did you mean 'abs'\?"),
    Fault("unknown format", (PHOTO, "--format", "gif"), r"--format: unknown value 'gif'"),
    Fault("threshold nan", (PHOTO, "--threshold", "nan"), r"--threshold: nan is out of range"),
]  # fmt: skip


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_bad_input_is_one_line_on_stderr_and_changes_no_file(
    fault: Fault, bad_inputs: Path, dlnotes: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(bad_inputs)
    before = folder_digest(bad_inputs)
    outcome = dlnotes("filter", *(str(argument).replace("@", f"{bad_inputs}/", 1) for argument in fault.arguments))
    assert outcome.code == 2, outcome
    assert outcome.out == ""
    assert re.fullmatch(rf"dlnotes: error: .*{fault.message}.*\n", outcome.err), outcome.err
    assert folder_digest(bad_inputs) == before
