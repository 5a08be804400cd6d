"""The command `dlnotes filter`: inputs, outputs, kernels and what is printed."""

import io
import json
import re
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING

import numpy as np
import pytest
from builders import Command, make_images
from drawn import has_white_margin, texts
from PIL import Image, ImageCms
from scipy import ndimage

from dlnotes_cli.data.images.image_io import LoadedImage
from dlnotes_cli.filter.sheet import SheetRow, draw_sheet

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SOBEL = np.array([[-1.0, 0, 1], [-2, 0, 2], [-1, 0, 1]])


def random_image(size: tuple[int, int] = (30, 40), seed: int = 0) -> Image.Image:
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (*size, 3), dtype=np.uint8))


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory of the command, with `photo.png` in it."""
    monkeypatch.chdir(tmp_path)
    random_image().save("photo.png")
    return tmp_path


def pixels(path: Path | str) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image)


def expected(kernel: np.ndarray = SOBEL, mode: str = "nearest") -> np.ndarray:
    """The response to photo.png from SciPy, channel by channel."""
    source = pixels("photo.png").astype(np.float64)
    return np.asarray(ndimage.correlate(source, kernel[:, :, None], mode=mode))


# results


@pytest.mark.parametrize("result", ["", "clip", "abs", "rescale", "signed"])
def test_result_modes(result: str, home: Path, dlnotes: Command) -> None:
    words = ["--result", result] if result else []
    outcome = dlnotes("filter", "photo.png", "--kernel", "sobel-x", *words, "--out", "x.png")
    assert re.fullmatch(r"x\.png  sobel-x  40x30  from -\d+ to \d+\n", outcome.out)
    assert bool(re.search(r"note: clipped values: sobel-x \d\d% below 0", outcome.err)) == (not result)
    response = expected()
    low, high = response.min(), response.max()
    intensities = {
        "abs": np.abs(response),
        "rescale": (response - low) / (high - low) * 255,
        "signed": 127.5 + response / max(-low, high) * 127.5,
    }.get(result, response)
    assert np.abs(pixels(home / "x.png") - intensities.clip(0, 255)).max() <= 0.51


@pytest.mark.parametrize(
    ("words", "mode"),
    [
        ("", "nearest"), ("--edges pad", "constant"), ("--edges reflect", "mirror"), ("--edges wrap", "wrap"),
        ("--convolve", ""), ("--kernel box --then sobel-x --then 0.5", "then"), ("--color gray", "gray"),
        ("--kernel 9999.1", "large"),
    ],
)  # fmt: skip
def test_floats_are_the_responses(words: str, mode: str, home: Path, dlnotes: Command) -> None:
    assert dlnotes("filter", "photo.png", *words.split(), "--out", "x.npy").code == 0
    if mode == "gray":
        with Image.open("photo.png") as image:
            response = ndimage.correlate(np.asarray(image.convert("L"), np.float64), SOBEL, mode="nearest")
    elif mode == "then":  # without rounding in between
        response = ndimage.correlate(expected(np.full((3, 3), 1 / 9)), SOBEL[:, :, None] / 2, mode="nearest")
    elif mode == "large":  # which float32 would round
        response = 9999.1 * pixels("photo.png")
    else:
        response = expected(mode=mode) if mode else -expected()
    np.testing.assert_allclose(np.load(home / "x.npy"), response, rtol=0, atol=1e-3)


def test_json_has_kernels_and_results(home: Path, dlnotes: Command) -> None:
    command = ("filter", "photo.png", "--kernel", "sobel-x", "--kernel", "box", "--edges", "crop")
    document = json.loads(dlnotes(*command, "--out", "{kernel}.npy", "--json").out)
    assert (document["schema_version"], document["command"], document["edges"]) == (1, "filter", "crop")
    assert [(kernel["name"], kernel["sum"]) for kernel in document["kernels"]] == [("sobel-x", 0), ("box", 1)]
    first, second = document["results"]
    assert (first["input_shape"], first["output_shape"]) == ([30, 40, 3], [28, 38, 3])
    assert (first["file"], second["file"]) == ("sobel-x.npy", "box.npy")
    response = np.load(home / "sobel-x.npy")
    assert first["range"] == [response.min(), response.max()]
    assert np.array_equal(response, expected()[1:-1, 1:-1])


def test_gradient_and_threshold(home: Path, dlnotes: Command) -> None:
    magnitude = np.hypot(expected(), expected(SOBEL.T))
    for threshold, values in ((400, magnitude.clip(0, 255)), (200, magnitude)):
        words = ("--kernel", "gradient", "--threshold", threshold, "--out", "x.png", "--overwrite")
        assert dlnotes("filter", "photo.png", *words).code == 0
        assert np.array_equal(pixels(home / "x.png"), np.where(values > threshold, 255, 0))


def test_several_kernels_in_one_file_and_in_a_folder(home: Path, dlnotes: Command) -> None:
    command = ("filter", "photo.png", "--kernel", "sobel-x", "--kernel", "notes-5x5-y", "--edges", "crop")
    assert dlnotes(*command, "--out", "both.png").code == 0
    both = pixels(home / "both.png")
    assert both.shape == (28, 38 + 36, 3)
    assert np.array_equal(both[:, :38], expected()[1:-1, 1:-1].clip(0, 255))
    assert not both[26:, 38:].any()
    assert dlnotes(*command, "--out", "separate/").code == 0
    assert sorted(path.name for path in (home / "separate").iterdir()) == ["photo-notes-5x5-y.png", "photo-sobel-x.png"]


# inputs


def test_folders_patterns_and_files(home: Path, dlnotes: Command) -> None:
    make_images(home / "in", count=2)
    random_image(seed=1).save(home / "in" / "top.jpg")
    (home / "in" / ".hidden.png").write_bytes(b"no image")

    def found(folder: str) -> list[str]:
        return sorted(str(path.relative_to(folder)) for path in Path(folder).rglob("*.*") if path.stem[0] != ".")

    assert dlnotes("filter", "in", "--out", "flat").code == 0
    assert found("flat") == ["top.jpg"]
    assert dlnotes("filter", "in", "--recursive", "--out", "deep", "--threads", 3).code == 0
    assert found("deep") == found("in")
    outcome = dlnotes("filter", "in/*/*.png", "photo.png", "--out", "{index}-{name}-{kernel}.png")
    assert (outcome.code, outcome.out[:2]) == (0, "1-")
    assert (home / "7-photo-sobel-x.png").exists()
    assert (dlnotes("filter", "-q").out, pixels("china-sobel-x.png").shape) == ("china-sobel-x.png\n", (427, 640, 3))


def test_stdin_to_stdout(home: Path, dlnotes: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO((home / "photo.png").read_bytes())))
    stdout = io.BytesIO()
    monkeypatch.setattr("dlnotes_cli.shell.output.raw_bytes", stdout.write)
    outcome = dlnotes("filter", "-", "--out", "-", "--format", "npy")
    assert (outcome.code, outcome.out) == (0, "")
    assert np.array_equal(np.load(io.BytesIO(stdout.getvalue())), expected())
    outcome = dlnotes("filter", "-", "--out", "x.png")  # now it is empty
    assert (outcome.code, "error: stdin: is empty; send an image, as in" in outcome.err) == (2, True)


def test_16_bit_gray_is_kept(home: Path, dlnotes: Command) -> None:
    source = np.random.default_rng(0).integers(0, 65_536, (20, 20), dtype=np.uint16)
    Image.fromarray(source).save(home / "gray16.png")
    response = ndimage.uniform_filter(source.astype(np.float64), 3, mode="nearest")
    for suffix in ("png", "npy", "jpg"):
        assert dlnotes("filter", "gray16.png", "--kernel", "box", "--out", f"x.{suffix}").code == 0
    assert np.abs(pixels("x.png") - response).max() <= 0.51
    floats = np.load("x.npy")
    assert [floats.shape, str(floats.dtype), str(pixels("x.jpg").dtype)] == [(20, 20), "float32", "uint8"]
    np.testing.assert_allclose(floats, response / 257, atol=1e-3)


def test_transparency_orientation_and_color_profile_are_kept(dlnotes: Command) -> None:
    image, alpha = random_image(), np.random.default_rng(1).integers(0, 256, (30, 40), dtype=np.uint8)
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    exif = Image.Exif()
    exif[0x0112] = 6
    image.save("rotated.jpg", exif=exif, icc_profile=profile)
    image.putalpha(Image.fromarray(alpha))
    image.save("transparent.png")
    for words, shown in (
        ("--kernel box --kernel-size 4 --edges crop", alpha[2:-1, 2:-1]),
        ("--pool max --kernel-size 3", alpha[1::3, 1:-1:3]),  # of the middle of each window
        ("--op erode:5 --edges crop --stride 3", alpha[2:-2:3, 2:-2:3]),
    ):
        assert dlnotes("filter", "transparent.png", *words.split(), "--out", "x.png", "--overwrite").code == 0
        assert np.array_equal(pixels("x.png")[..., 3], shown)
    outcome = dlnotes("filter", "transparent.png", "--kernel", "box", "--out", "x.jpg")
    assert "transparent.png: transparency is dropped, JPEG has none" in outcome.err
    assert pixels("x.jpg").shape == (30, 40, 3)
    assert dlnotes("filter", "rotated.jpg", "--kernel", "identity", "--out", "rotated.png").code == 0
    with Image.open("rotated.png") as rotated:
        assert (rotated.size, rotated.info["icc_profile"]) == ((30, 40), profile)
        assert rotated.getexif().get(0x0112, 1) == 1


# printed output


def test_list_shows_every_named_kernel(dlnotes: Command) -> None:
    out = dlnotes("filter", "--list").out
    assert "sobel-x  3x3  sum 0  vertical edges, smoothed along the edge\n  -1  0  1\n  -2  0  2\n  -1  0  1\n" in out
    names = [kernel["name"] for kernel in json.loads(dlnotes("filter", "--list", "--json").out)["kernels"]]
    assert names == [line.split()[0] for line in out.splitlines() if "  sum " in line]
    assert len(names) == len(set(names)) >= 30


def test_explain_describes_the_kernel(home: Path, dlnotes: Command) -> None:
    outcome = dlnotes("filter", "--kernel", "-1 -2 -1; 0 0 0; 1 2 1", "--explain")
    assert outcome.out.splitlines() == [
        "custom  3x3  sum 0  custom weights",
        "  -1 -2 -1",
        "   0  0  0",
        "   1  2  1",
        "  passes     high-pass: flat areas give 0, high spatial frequencies remain: edges and detail",
        "  separable  column -1 0 1 times row 1 2 1",
        "  direction  horizontal edges; brighter to the bottom gives positive values",
    ]
    assert [path.name for path in home.iterdir()] == ["photo.png"]
    lines = dlnotes("filter", "--kernel", "gaussian", "--kernel-size", "25", "--explain").out.splitlines()
    assert (len(lines) < 20, max(map(len, lines)) < 250) == (True, True)
    outcome = dlnotes("filter", "photo.png", "--explain", "--out", "x.png")
    assert "direction  vertical edges" in outcome.out
    assert outcome.out.splitlines()[-1].startswith("x.png  sobel-x")


def test_clipping_is_noted_with_its_shares_above_one_percent(home: Path, dlnotes: Command) -> None:
    values = np.full((10, 10), 100, np.uint8)
    values[0, 0] = 200
    Image.fromarray(values).save(home / "one.png")
    values[:, :3] = 200
    Image.fromarray(values).save(home / "gray.png")
    Image.new("L", (9, 9), 255).save(home / "white.png")
    for words, shares in (
        ("gray.png --kernel 2", "custom 30% above white"), ("gray.png --kernel -1", "custom 100% below 0"),
        ("gray.png --kernel -1 --relu", ""), ("white.png --kernel 1", ""), ("one.png --kernel 2", ""),
        ("gray.png --kernel 2 --result clip", ""), ("gray.png --kernel 2 --threshold 10", ""),
    ):  # fmt: skip
        outcome = dlnotes("filter", *words.split(), "--out", "x.png", "--overwrite")
        how = "--result rescale shows them; abs or signed show those below 0"
        assert outcome.err == (f"dlnotes: note: clipped values: {shares}; {how}\n" if shares else "")


# sheets


@pytest.mark.parametrize(
    ("options", "count", "also"),
    [
        ((), 5, ()),
        (("--spectrum",), 5, ("vertical frequency", "magnitude (dB, 0 = largest of the original)")),
        (("--result", "raw", "--edges", "crop"), 1, ("sobel-x, red, raw",)),
    ],
)  # fmt: skip
def test_a_sheet_shows_the_original_once_and_is_the_only_file_without_out(
    options: tuple[str, ...], count: int, also: tuple[str, ...], home: Path, dlnotes: Command, figures: "list[Figure]"
) -> None:
    kernels = ["sobel-x", "gradient", "-2 1; 0 1", "box", "log"][:count]
    command = ("filter", "photo.png", *(word for one in kernels for word in ("--kernel", one)), *options)
    outcome = dlnotes(*command, "--sheet", "sheet.png")
    assert (outcome.code, outcome.out) == (0, "sheet.png\n")
    assert sorted(path.name for path in home.iterdir()) == ["photo.png", "sheet.png"]
    assert has_white_margin((home / "sheet.png").read_bytes())
    drawn = texts(figures[-1])
    titles = [axes.get_title() for axes in figures[-1].axes if axes.get_visible()]
    assert titles.count("original") == 1
    assert titles.count("spectrum of the original") == ("--spectrum" in options)
    assert {"sobel-x, sum 0", "-2", *also} <= set(drawn)
    assert ("gradient, matrix 2, sum 0" in titles) == (count > 1)
    boxes = [axes.get_tightbbox() for axes in figures[-1].axes if axes.get_visible()]
    for i, box in enumerate(boxes):
        assert box is not None
        assert not any(box.overlaps(other) for other in boxes[:i] if other is not None)


@pytest.mark.parametrize(("low", "high", "limits"), [(-500, 2040, (-500, 2040)), (0, 3, (0, 3)), (0, 0, (0, 1))])
def test_raw_values_have_a_scale_with_white_at_zero(
    low: int, high: int, limits: tuple[int, int], figures: "list[Figure]"
) -> None:
    values = np.zeros((20, 30), np.float32)
    values[:, :10], values[:, 20:] = low, high
    draw_sheet(LoadedImage(np.zeros((20, 30, 1), np.uint8)), [SheetRow("k, raw", "", [], values, ())])
    *_, shown, bar = figures[-1].axes
    image = shown.get_images()[0]
    assert image.get_clim() == (-(high or 1), high or 1)
    assert image.to_rgba(np.array([[0]]))[0, 0, :3].min() > 0.95
    assert bar.get_ylim() == limits


@pytest.fixture
def sheet_rows(monkeypatch: pytest.MonkeyPatch) -> list[SheetRow]:
    """The rows of the sheets, none of which is drawn."""
    rows: list[SheetRow] = []

    def draw(_: object, drawn: list[SheetRow]) -> bytes:
        rows.extend(drawn)
        return b""

    monkeypatch.setattr("dlnotes_cli.filter.sheet.draw_sheet", draw)
    return rows


def test_a_signed_result_is_stretched_on_the_sheet_and_not_in_the_file(
    dlnotes: Command, sheet_rows: list[SheetRow]
) -> None:
    values = np.random.default_rng(0).integers(118, 138, (40, 60)).astype(np.uint8)
    values[0, :2] = 0, 255  # one strong edge, next to which all others are nearly gray
    Image.fromarray(values).save("edge.png")
    command = ("filter", "edge.png", "--kernel", "0 0 0; -1 0 1; 0 0 0", "--result", "signed", "--overwrite")
    assert dlnotes(*command, "--sheet", "s.png", "--out", "o.png").code == 0
    assert np.abs(pixels("o.png").astype(int) - 128).mean() < 10
    assert np.abs(sheet_rows[0].result.astype(int) - 128).mean() > 30
    assert sheet_rows[0].note.startswith("stretched: gray 0, black and white ±")
    assert dlnotes(*command, "--threshold", 100, "--sheet", "s.png").code == 0
    assert sheet_rows[1].note == ""


def test_raw_keeps_the_numbers_and_the_sheet_has_a_row_for_each_channel(
    dlnotes: Command, sheet_rows: list[SheetRow]
) -> None:
    outcome = dlnotes("filter", "photo.png", "--result", "raw")
    assert (outcome.code, outcome.out.split()[0], outcome.err) == (0, "photo-sobel-x.npy", "")
    response = expected()
    assert np.array_equal(np.load("photo-sobel-x.npy"), response)
    assert dlnotes("filter", "photo.png", "--result", "raw", "--sheet", "s.png").code == 0
    assert [row.name for row in sheet_rows] == [f"sobel-x, {color}, raw" for color in ("red", "green", "blue")]
    for i, row in enumerate(sheet_rows):
        assert np.array_equal(row.result, response[..., i])
        assert row.note == f"from {response[..., i].min():.4g} to {response[..., i].max():.4g}"
    dlnotes("filter", "photo.png", "--color", "gray", "--pool", "max", "--result", "raw", "--sheet", "t.png")
    assert (sheet_rows[-1].name, sheet_rows[-1].note.split(",")[0]) == ("max-pool, raw", "20x15")


# many images


@pytest.mark.parametrize("is_skipped", [False, True])
def test_a_bad_file_stops_the_batch_and_earlier_outputs_remain_or_it_is_skipped(
    is_skipped: bool, home: Path, dlnotes: Command
) -> None:
    for name in ("a", "c"):
        random_image().save(f"{name}.jpg")
    (home / "b.jpg").write_bytes(b"no image")
    words = ["--skip-bad", "--json"] * is_skipped
    outcome = dlnotes("filter", "?.jpg", "--out", "done/", "--result", "abs", "--threads", 1, *words)
    assert outcome.code == (0 if is_skipped else 2)
    if is_skipped:
        assert "skipped b.jpg: not an image" in outcome.err
        assert outcome.err.endswith("1 skipped: b.jpg\n")
        assert json.loads(outcome.out)["skipped"] == ["b.jpg"]
        assert sorted(path.name for path in (home / "done").iterdir()) == ["a.jpg", "c.jpg"]
        outcome = dlnotes("filter", "b.jpg", "b.jpg", "--skip-bad", "--out", "none/")
        assert outcome.err.splitlines()[-1].startswith("dlnotes: error: PATH: none of 1 images could be filtered; chec")
    else:
        assert outcome.err == "dlnotes: error: b.jpg: not an image; remove it or pass --skip-bad\n"
        assert pixels(home / "done" / "a.jpg").shape == (30, 40, 3)
        assert not (home / "done" / "b.jpg").exists()


def test_many_images_show_progress_and_any_number_of_threads_gives_the_same_bytes(home: Path, dlnotes: Command) -> None:
    for i in range(24):
        random_image((4, 4), seed=i).save(f"{i}.bmp")
    for threads in (1, 4):
        outcome = dlnotes("filter", "*.bmp", "--out", f"{threads}/", "--result", "abs", "--threads", threads)
        assert len(outcome.out.splitlines()) == 24
        assert all(re.fullmatch(r"filter: +\d+%  \d+ of 24", line) for line in outcome.err.splitlines())
    assert all((home / "1" / f"{i}.bmp").read_bytes() == (home / "4" / f"{i}.bmp").read_bytes() for i in range(24))
