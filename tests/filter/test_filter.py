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
from PIL import Image
from scipy import ndimage

from dlnotes_cli.data.images.image_io import LoadedImage
from dlnotes_cli.filter.sheet import SheetRow, draw_sheet

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SOBEL = np.array([[-1.0, 0, 1], [-2, 0, 2], [-1, 0, 1]])
CAMERA = "120 140 120; 225 220 205; 255 250 230"


def random_image(size: tuple[int, int] = (30, 40), seed: int = 0) -> Image.Image:
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (*size, 3), dtype=np.uint8))


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory of the command, with `photo.png` in it."""
    monkeypatch.chdir(tmp_path)
    random_image().save(tmp_path / "photo.png")
    return tmp_path


def pixels(path: Path | str) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image)


def expected(path: Path | str, kernel: np.ndarray = SOBEL, mode: str = "nearest") -> np.ndarray:
    """The response from SciPy, channel by channel."""
    source = pixels(path).astype(np.float64)
    weights = kernel if source.ndim == 2 else kernel[:, :, None]
    return np.asarray(ndimage.correlate(source, weights, mode=mode))


# results


def test_sobel_of_an_image(home: Path, dlnotes: Command) -> None:
    outcome = dlnotes("filter", "photo.png", "--kernel", "sobel-x", "--out", "edges.png")
    assert outcome.code == 0
    assert re.fullmatch(r"edges\.png  sobel-x  40x30  from -\d+ to \d+\n", outcome.out)
    assert re.search(r"note: clipped values: sobel-x \d\d% below 0", outcome.err)
    assert np.array_equal(pixels(home / "edges.png"), expected("photo.png").clip(0, 255))


def test_without_arguments_a_photo_of_scikit_learn_is_filtered(home: Path, dlnotes: Command) -> None:
    outcome = dlnotes("filter", "-q")
    assert (outcome.code, outcome.err) == (0, "")
    assert pixels(home / "china-sobel-x.png").shape == (427, 640, 3)


def test_json_has_kernels_and_results(home: Path, dlnotes: Command) -> None:
    command = (
        "filter",
        "photo.png",
        "--kernel",
        "sobel-x",
        "--kernel",
        "box",
        "--edges",
        "crop",
        "--out",
        "{kernel}.npy",
    )
    document = json.loads(dlnotes(*command, "--json").out)
    assert (document["schema_version"], document["command"], document["edges"]) == (1, "filter", "crop")
    assert [(kernel["name"], kernel["sum"]) for kernel in document["kernels"]] == [("sobel-x", 0), ("box", 1)]
    first, second = document["results"]
    assert first["input_shape"] == [30, 40, 3]
    assert first["output_shape"] == [28, 38, 3]
    assert (first["file"], second["file"]) == ("sobel-x.npy", "box.npy")
    response = np.load(home / "sobel-x.npy")
    assert response.shape == (28, 38, 3)
    assert first["range"] == [response.min(), response.max()]
    assert np.array_equal(response, expected("photo.png")[1:-1, 1:-1])


def test_npy_of_gray_has_two_dimensions(home: Path, dlnotes: Command) -> None:
    dlnotes("filter", "photo.png", "--color", "gray", "--kernel", "gaussian", "--out", "blur.npy")
    response = np.load(home / "blur.npy")
    with Image.open("photo.png") as image:
        source = np.asarray(image.convert("L"), np.float64)
    assert (response.shape, response.dtype) == ((30, 40), np.float32)
    weights = np.exp(-(np.arange(-3, 4) ** 2) / 2)
    np.testing.assert_allclose(
        response, ndimage.correlate(source, np.outer(weights, weights) / weights.sum() ** 2, mode="nearest"), atol=1e-3
    )


@pytest.mark.parametrize(
    ("edges", "mode"), [("extend", "nearest"), ("pad", "constant"), ("reflect", "mirror"), ("wrap", "wrap")]
)
def test_border_modes(edges: str, mode: str, home: Path, dlnotes: Command) -> None:
    dlnotes("filter", "photo.png", "--edges", edges, "--out", "x.npy")
    np.testing.assert_allclose(np.load(home / "x.npy"), expected("photo.png", mode=mode), atol=1e-3)


def test_convolve_rotates_the_kernel(home: Path, dlnotes: Command) -> None:
    dlnotes("filter", "photo.png", "--convolve", "--out", "x.npy")
    np.testing.assert_array_equal(np.load(home / "x.npy"), -expected("photo.png"))


@pytest.mark.parametrize("result", ["clip", "abs", "rescale", "signed"])
def test_result_modes(result: str, home: Path, dlnotes: Command) -> None:
    dlnotes("filter", "photo.png", "--result", result, "--out", "x.png")
    response = expected("photo.png")
    low, high = response.min(), response.max()
    intensities = {
        "clip": response,
        "abs": np.abs(response),
        "rescale": (response - low) / (high - low) * 255,
        "signed": 127.5 + response / max(-low, high) * 127.5,
    }[result]
    assert np.abs(pixels(home / "x.png") - intensities.clip(0, 255)).max() <= 0.51


def test_gradient_and_threshold(home: Path, dlnotes: Command) -> None:
    dlnotes("filter", "photo.png", "--kernel", "gradient", "--threshold", 400, "--out", "x.png")
    magnitude = np.hypot(expected("photo.png"), expected("photo.png", SOBEL.T))
    assert np.array_equal(pixels(home / "x.png"), np.where(magnitude.clip(0, 255) > 400, 255, 0))
    dlnotes("filter", "photo.png", "--kernel", "gradient", "--threshold", 200, "--out", "y.png")
    assert np.array_equal(pixels(home / "y.png"), np.where(magnitude > 200, 255, 0))


def test_several_kernels_in_one_file_and_in_a_folder(home: Path, dlnotes: Command) -> None:
    command = ("filter", "photo.png", "--kernel", "sobel-x", "--kernel", "notes-5x5-y", "--edges", "crop")
    assert dlnotes(*command, "--out", "both.png").code == 0
    both = pixels(home / "both.png")
    assert both.shape == (28, 38 + 36, 3)
    assert np.array_equal(both[:, :38], expected("photo.png")[1:-1, 1:-1].clip(0, 255))
    assert not both[26:, 38:].any()
    assert dlnotes(*command, "--out", "separate/").code == 0
    assert sorted(path.name for path in (home / "separate").iterdir()) == ["photo-notes-5x5-y.png", "photo-sobel-x.png"]


def test_then_applies_kernels_without_rounding_in_between(home: Path, dlnotes: Command) -> None:
    dlnotes("filter", "photo.png", "--kernel", "box", "--then", "sobel-x", "--then", "0.5", "--out", "x.npy")
    blurred = expected("photo.png", np.full((3, 3), 1 / 9))
    response = ndimage.correlate(blurred, SOBEL[:, :, None] / 2, mode="nearest")
    np.testing.assert_allclose(np.load(home / "x.npy"), response, atol=1e-3)


def test_kernels_by_name_as_numbers_and_from_files(home: Path, dlnotes: Command) -> None:
    (home / "k.csv").write_text("-1,0,1\n-2,0,2\n-1,0,1\n")
    for i, kernel in enumerate(["-1 0 1; -2 0 2; -1 0 1", "k.csv", "sobel-x"]):
        dlnotes("filter", "photo.png", "--kernel", kernel, "--out", f"{i}.png")
    assert np.array_equal(pixels(home / "0.png"), pixels(home / "1.png"))
    assert np.array_equal(pixels(home / "0.png"), pixels(home / "2.png"))


# inputs


def test_folders_patterns_and_files(home: Path, dlnotes: Command) -> None:
    make_images(home / "in", count=2)
    random_image(seed=1).save(home / "in" / "top.jpg")
    (home / "in" / ".hidden.png").write_bytes(b"no image")
    outcome = dlnotes("filter", "in", "--out", "flat")
    assert outcome.code == 0
    assert [path.name for path in (home / "flat").rglob("*.*")] == ["top.jpg"]
    assert dlnotes("filter", "in", "--recursive", "--out", "deep", "--threads", 3).code == 0
    names = sorted(str(path.relative_to(home / "deep")) for path in (home / "deep").rglob("*.*"))
    assert names == sorted(
        str(path.relative_to(home / "in")) for path in (home / "in").rglob("*.*") if path.stem[0] != "."
    )
    outcome = dlnotes("filter", "in/*/*.png", "photo.png", "--out", "{index}-{name}-{kernel}.png")
    assert outcome.code == 0
    assert outcome.out.startswith("1-")
    assert (home / "7-photo-sobel-x.png").exists()


def test_stdin_to_stdout(home: Path, dlnotes: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO((home / "photo.png").read_bytes())))
    stdout = io.BytesIO()
    monkeypatch.setattr("dlnotes_cli.shell.output.raw_bytes", stdout.write)
    outcome = dlnotes("filter", "-", "--out", "-", "--format", "npy")
    assert (outcome.code, outcome.out) == (0, "")
    assert np.array_equal(np.load(io.BytesIO(stdout.getvalue())), expected("photo.png"))


def test_16_bit_gray_is_kept(home: Path, dlnotes: Command) -> None:
    source = np.random.default_rng(0).integers(0, 65_536, (20, 20), dtype=np.uint16)
    Image.fromarray(source).save(home / "gray16.png")
    assert dlnotes("filter", "gray16.png", "--kernel", "box", "--out", "x.png").code == 0
    response = ndimage.uniform_filter(source.astype(np.float64), 3, mode="nearest")
    assert np.abs(pixels(home / "x.png") - response).max() <= 0.51
    dlnotes("filter", "gray16.png", "--kernel", "box", "--out", "x.npy")
    np.testing.assert_allclose(np.load(home / "x.npy"), response / 257, atol=1e-3)
    dlnotes("filter", "gray16.png", "--kernel", "box", "--out", "x.jpg")
    assert pixels(home / "x.jpg").dtype == np.uint8


def test_transparency_is_kept_and_cropped(home: Path, dlnotes: Command) -> None:
    image = random_image().convert("RGBA")
    alpha = np.random.default_rng(1).integers(0, 256, (30, 40), dtype=np.uint8)
    image.putalpha(Image.fromarray(alpha))
    image.save(home / "transparent.png")
    dlnotes("filter", "transparent.png", "--edges", "crop", "--kernel", "box", "--kernel-size", 4, "--out", "x.png")
    assert np.array_equal(pixels(home / "x.png")[..., 3], alpha[2:-1, 2:-1])
    dlnotes("filter", "transparent.png", "--pool", "max", "--kernel-size", 3, "--out", "pooled.png")
    assert np.array_equal(pixels(home / "pooled.png")[..., 3], alpha[1::3, 1:-1:3])  # of the middle of each window
    outcome = dlnotes("filter", "transparent.png", "--kernel", "box", "--out", "x.jpg")
    assert "transparent.png: transparency is dropped, JPEG has none" in outcome.err
    assert pixels(home / "x.jpg").shape == (30, 40, 3)


def test_exif_orientation_is_applied_and_the_color_profile_kept(home: Path, dlnotes: Command) -> None:
    from PIL import ImageCms

    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    exif = Image.Exif()
    exif[0x0112] = 6
    random_image().save(home / "rotated.jpg", exif=exif, icc_profile=profile)
    dlnotes("filter", "rotated.jpg", "--kernel", "identity", "--out", "x.png")
    with Image.open("x.png") as image:
        assert image.size == (30, 40)
        assert image.info["icc_profile"] == profile
        assert image.getexif().get(0x0112, 1) == 1


# printed output


def test_patch_prints_numbers(dlnotes: Command) -> None:
    outcome = dlnotes("filter", "--patch", CAMERA, "--kernel", "high-pass", "--edges", "crop")
    assert (outcome.code, outcome.out, outcome.err) == (0, "60\n", "")


def test_patch_as_json(dlnotes: Command) -> None:
    document = json.loads(
        dlnotes("filter", "--patch", "5 3 1; 8 2 5; 9 4 3", "--pool", "mean", "--stride", 1, "--json").out
    )
    assert document["kernels"] == []
    assert document["results"] == [{"kernel": None, "shape": [1, 2, 2], "values": [[4.5, 2.75], [5.75, 3.5]]}]
    command = ("filter", "--patch", CAMERA, "--kernel", "high-pass", "--kernel", "identity", "--edges", "crop")
    assert [result["values"] for result in json.loads(dlnotes(*command, "--json").out)["results"]] == [[[60]], [[220]]]
    assert dlnotes(*command).out == "high-pass\n60\n\nidentity\n220\n"


def test_pooling_without_a_kernel_keeps_the_channels(dlnotes: Command) -> None:
    assert dlnotes("filter", "--patch", "1 2; 3 4 | 5 6; 7 8", "--pool", "max").out == "4\n|\n8\n"


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
    outcome = dlnotes("filter", "photo.png", "--explain", "--out", "x.png")
    assert "direction  vertical edges" in outcome.out
    assert outcome.out.splitlines()[-1].startswith("x.png  sobel-x")


@pytest.mark.parametrize(
    ("options", "count", "also"),
    [
        ((), 5, ()),
        (("--spectrum",), 5, ("vertical frequency", "magnitude (dB, 0 = largest of the original)")),
        (("--result", "signed"), 2, ("sobel-x, signed",)),
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
    gray = LoadedImage(np.zeros((20, 30, 1), np.uint8))
    draw_sheet(gray, [SheetRow("k, raw", "", [], values, ())])
    *_, shown, bar = figures[-1].axes
    image = shown.get_images()[0]
    assert image.get_clim() == (-(high or 1), high or 1)
    first, zero, last = (image.to_rgba(np.array([[value]]))[0, 0] for value in (low, 0, high))
    assert zero[:3].min() > 0.95
    assert low == 0 or first[2] > first[0] + 0.1  # blue
    assert high == 0 or last[0] > last[2] + 0.2  # red
    assert bar.get_ylim() == limits


def test_a_signed_result_is_stretched_on_the_sheet_and_not_in_the_file(
    home: Path, dlnotes: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows: list[SheetRow] = []

    def draw(_: object, drawn: list[SheetRow]) -> bytes:
        rows.extend(drawn)
        return b""

    monkeypatch.setattr("dlnotes_cli.filter.sheet.draw_sheet", draw)
    values = np.random.default_rng(0).integers(118, 138, (40, 60)).astype(np.uint8)
    values[0, :2] = 0, 255  # one strong edge, next to which all others are nearly gray
    Image.fromarray(values).save("edge.png")
    command = ("filter", "edge.png", "--kernel", "0 0 0; -1 0 1; 0 0 0", "--result", "signed", "--overwrite")
    assert dlnotes(*command, "--sheet", "s.png", "--out", "o.png").code == 0
    written = pixels(home / "o.png").astype(int)
    assert np.abs(written - 128).mean() < 10
    (row,) = rows
    assert np.abs(row.result.astype(int) - 128).mean() > 30
    assert row.note.startswith("stretched: gray 0, black and white ±")
    assert dlnotes(*command, "--threshold", 100, "--sheet", "s.png").code == 0
    assert rows[-1].note == ""


def test_raw_keeps_the_numbers_and_the_sheet_has_a_row_for_each_channel(
    home: Path, dlnotes: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows: list[SheetRow] = []

    def draw(_: object, drawn: list[SheetRow]) -> bytes:
        rows.extend(drawn)
        return b""

    monkeypatch.setattr("dlnotes_cli.filter.sheet.draw_sheet", draw)
    outcome = dlnotes("filter", "photo.png", "--result", "raw")
    assert (outcome.code, outcome.out.split()[0], outcome.err) == (0, "photo-sobel-x.npy", "")
    response = expected("photo.png")
    assert np.array_equal(np.load(home / "photo-sobel-x.npy"), response)
    assert dlnotes("filter", "photo.png", "--result", "raw", "--sheet", "s.png").code == 0
    assert [row.name for row in rows] == [f"sobel-x, {color}, raw" for color in ("red", "green", "blue")]
    for i, row in enumerate(rows):
        assert np.array_equal(row.result, response[..., i])
        assert row.note == f"from {response[..., i].min():.4g} to {response[..., i].max():.4g}"
    dlnotes("filter", "photo.png", "--color", "gray", "--pool", "max", "--result", "raw", "--sheet", "t.png")
    assert (rows[-1].name, rows[-1].note.split(",")[0], len(rows[-1].kernels)) == ("max-pool, raw", "20x15", 0)


def test_the_same_command_gives_the_same_bytes(home: Path, dlnotes: Command) -> None:
    for threads in (1, 4):
        dlnotes("filter", "photo.png", "--out", f"{threads}.png", "--sheet", f"s{threads}.png", "--threads", threads)
    assert (home / "1.png").read_bytes() == (home / "4.png").read_bytes()
    assert (home / "s1.png").read_bytes() == (home / "s4.png").read_bytes()


# many images


def test_empty_stdin_is_refused(home: Path, dlnotes: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO()))
    outcome = dlnotes("filter", "-", "--out", "x.png")
    assert outcome.code == 2
    assert outcome.err.startswith("dlnotes: error: stdin: is empty; send an image")
    assert not (home / "x.png").exists()


@pytest.fixture
def batch(home: Path) -> Path:
    """A working directory with a bad image between two good ones."""
    for name in ("a", "b", "c"):
        random_image().save(home / f"{name}.jpg")
    (home / "b.jpg").write_bytes(b"no image")
    return home


@pytest.mark.parametrize("threads", [1, 2])
def test_a_bad_file_stops_the_batch_and_earlier_outputs_remain(threads: int, batch: Path, dlnotes: Command) -> None:
    outcome = dlnotes("filter", "?.jpg", "--out", "done/", "--threads", threads)
    assert outcome.code == 2
    assert outcome.err == "dlnotes: error: b.jpg: not an image; remove it or pass --skip-bad\n"
    assert pixels(batch / "done" / "a.jpg").shape == (30, 40, 3)
    assert not (batch / "done" / "b.jpg").exists()


def test_many_images_show_progress(home: Path, dlnotes: Command) -> None:
    for i in range(24):
        random_image((4, 4), seed=i).save(home / f"{i}.bmp")
    outcome = dlnotes("filter", "*.bmp", "--out", "done", "--result", "abs")
    assert len(outcome.out.splitlines()) == 24
    assert all(re.fullmatch(r"filter: +\d+%  \d+ of 24", line) for line in outcome.err.splitlines())


def test_nothing_readable_is_an_error(tmp_path: Path, dlnotes: Command) -> None:
    (tmp_path / "a.png").write_bytes(b"text")
    (tmp_path / "b.png").write_bytes(b"")
    outcome = dlnotes("filter", tmp_path / "a.png", tmp_path / "b.png", "--skip-bad", "--out", tmp_path / "out/")
    assert outcome.code == 2
    assert outcome.err.splitlines()[-1].startswith("dlnotes: error: PATH: none of 2 images could be filtered; check")


@pytest.mark.parametrize("json_", [False, True])
def test_bad_files_can_be_skipped(json_: bool, batch: Path, dlnotes: Command) -> None:
    outcome = dlnotes("filter", "?.jpg", "--out", "done/", "--skip-bad", "--result", "abs", *["--json"] * json_)
    assert outcome.code == 0
    assert "skipped b.jpg: not an image" in outcome.err
    assert outcome.err.endswith("1 skipped: b.jpg\n")
    assert sorted(path.name for path in (batch / "done").iterdir()) == ["a.jpg", "c.jpg"]
    if json_:
        assert json.loads(outcome.out)["skipped"] == ["b.jpg"]


def test_overwrite_replaces_a_file(home: Path, dlnotes: Command) -> None:
    Path("x.png").write_bytes(b"old")
    assert dlnotes("filter", "photo.png", "--out", "x.png", "--overwrite").code == 0
    assert pixels(home / "x.png").shape == (30, 40, 3)


@pytest.mark.usefixtures("home")
def test_filter_images_from_python() -> None:
    from dlnotes_cli.filter.filter import filter_images
    from dlnotes_cli.filter.options import FilterConfig

    (result,) = filter_images(FilterConfig(paths=("photo.png",), kernel=("box",), out="x.png")).results
    assert (result.file, result.kernel, result.output_shape) == ("x.png", "box", (30, 40, 3))


def test_clipping_is_noted_with_its_shares_above_one_percent(home: Path, dlnotes: Command) -> None:
    values = np.full((10, 10), 100, np.uint8)
    values[:, :3] = 200
    Image.fromarray(values).save(home / "gray.png")
    how = "--result rescale shows them; abs or signed show those below 0"
    for kernel, shares in (("2", "custom 30% above white"), ("-1", "custom 100% below 0"), ("1", "")):
        outcome = dlnotes("filter", "gray.png", "--kernel", kernel, "--out", f"{shares}.png")
        assert outcome.err == (f"dlnotes: note: clipped values: {shares}; {how}\n" if shares else "")
    for option in (("--result", "clip"), ("--threshold", "10")):
        assert dlnotes("filter", "gray.png", "--kernel", "2", "--out", f"{option[0]}.png", *option).err == ""
    values[:] = 100
    values[0, 0] = 200
    Image.fromarray(values).save(home / "one.png")
    assert dlnotes("filter", "one.png", "--kernel", "2", "--out", "x.png").err == ""


def test_the_explanation_of_a_large_kernel_is_short(dlnotes: Command) -> None:
    lines = dlnotes("filter", "--kernel", "gaussian", "--kernel-size", "25", "--explain").out.splitlines()
    assert len(lines) < 20
    assert max(map(len, lines)) < 250
