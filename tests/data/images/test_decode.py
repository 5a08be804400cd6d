"""Decode images of every kind, find their pixels in the file again, and refuse damaged files."""

import io
import math
import warnings
from collections.abc import Callable
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image, ImageOps

from dlnotes_cli.data.images.decode import Geometry, decode_all, decode_chunks, decode_image, decode_placed, read_header
from dlnotes_cli.data.options import Resize
from dlnotes_cli.data.preprocessing import ImageShape, Interpolation
from dlnotes_cli.shell.errors import InputError
from dlnotes_cli.shell.option_groups import MAX_PIXELS

Pixels = NDArray[np.uint8]
GENERATOR = np.random.default_rng(0)
HEIGHT, WIDTH = 20, 30
COLORS: Pixels = GENERATOR.integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8)
GRAYS: Pixels = GENERATOR.integers(0, 256, (HEIGHT, WIDTH), np.uint8)
ALPHAS: Pixels = GENERATOR.integers(0, 256, (HEIGHT, WIDTH), np.uint8)
ORIENTATION = 0x0112


def read(path: Path, channels: int = 3, size: tuple[int, int] = (HEIGHT, WIDTH), resize: Resize = "crop") -> Pixels:
    """Decoded as (H, W, C), or (H, W) for one channel."""
    pixels = decode_image(path, ImageShape(channels, *size, resize), MAX_PIXELS)
    assert pixels.dtype == np.uint8
    assert pixels.shape == (channels, *size)
    return pixels.transpose(1, 2, 0).squeeze()


def saved(path: Path, image: Image.Image | Pixels | NDArray[np.uint16], **details: Any) -> Path:
    (image if isinstance(image, Image.Image) else Image.fromarray(image)).save(path, **details)
    return path


def smooth(height: int, width: int) -> Pixels:
    """An image whose neighbors differ little, so that ways of resizing agree."""
    y, x = np.mgrid[:height, :width] / max(height, width)
    waves = np.stack([np.sin(5 * x + 1), np.cos(4 * y), np.sin(3 * (x + y))], axis=-1)
    return np.rint(127.5 + 120 * waves).astype(np.uint8)


LUMA = np.array([0.299, 0.587, 0.114])  # by ITU-R BT.601, as in Pillow's mode L


def over_white(values: NDArray[Any], alphas: Pixels) -> NDArray[np.float64]:
    share = (alphas / 255).reshape(alphas.shape + (1,) * (values.ndim - 2))
    return np.asarray(values * share + 255 * (1 - share), np.float64)


# --- modes, formats and orientation -----------------------------------------------------------------------------


class File(NamedTuple):
    """An image file, and the pixels (H, W) or (H, W, 3) that it shows over white."""

    extension: str
    image: Image.Image
    expected: NDArray[Any]
    details: dict[str, Any] = {}  # noqa: RUF012  # never changed
    tolerance: float = 0


def drawn(values: NDArray[Any]) -> Image.Image:
    return Image.fromarray(values)


PALETTE = drawn(COLORS).quantize(16)
ENTRIES, SHOWN = np.asarray(PALETTE), np.asarray(PALETTE.convert("RGB"))
ONE_ENTRY, EACH_ENTRY = bytes(255 * (entry != 3) for entry in range(16)), bytes(range(0, 256, 17))
ONE_COLOR = tuple(COLORS[4, 5].tolist())
WHITENED = np.where((COLORS == ONE_COLOR).all(axis=2, keepdims=True), 255, COLORS)
SMOOTH, LOSSLESS, FINEST = smooth(HEIGHT, WIDTH), {"lossless": True}, {"quality": 100, "subsampling": 0}
CMYK = Image.merge("CMYK", [drawn(plane) for plane in (*SMOOTH.transpose(2, 0, 1), GRAYS // 9)])
INKS = np.asarray(CMYK).astype(float)
PRINTED = (255 - INKS[:, :, :3]) * (255 - INKS[:, :, 3:]) / 255
DEEP = GENERATOR.integers(0, 65536, (HEIGHT, WIDTH), np.uint16)
DEEP[0, :4] = 0, 65535, 128, 65407
BITS = GRAYS > 99
LEVELS = np.full((HEIGHT, WIDTH), 0.25, np.float32)
LEVELS[0, :2] = 0, 1
FRAMES = {"save_all": True, "append_images": [Image.new("RGB", (WIDTH, HEIGHT), "blue")], "lossless": True}
RED = Image.new("RGB", (WIDTH, HEIGHT), "red")

FILES = {
    **{extension: File(extension, drawn(COLORS), COLORS) for extension in ("png", "bmp", "tif", "ppm")},
    "webp": File("webp", drawn(COLORS), COLORS, LOSSLESS), "jpg": File("jpg", drawn(SMOOTH), SMOOTH, FINEST, 5),
    **{f"gray {extension}": File(extension, drawn(GRAYS), GRAYS) for extension in ("png", "bmp", "tif", "pgm", "gif")},
    "palette": File("png", PALETTE, SHOWN),
    "transparent entry": File(
        "png", PALETTE, over_white(SHOWN, np.frombuffer(ONE_ENTRY, np.uint8)[ENTRIES]), {"transparency": 3}, 1
    ),
    "entries": File(
        "png", PALETTE, over_white(SHOWN, np.frombuffer(EACH_ENTRY, np.uint8)[ENTRIES]), {"transparency": EACH_ENTRY}, 1
    ),
    "rgba": File("png", drawn(np.dstack([COLORS, ALPHAS])), over_white(COLORS, ALPHAS), {}, 1),
    "la": File("png", drawn(np.dstack([GRAYS, ALPHAS])), over_white(GRAYS, ALPHAS), {}, 1),
    "transparent color": File("png", drawn(COLORS), WHITENED, {"transparency": ONE_COLOR}),
    "cmyk tif": File("tif", CMYK, PRINTED, {}, 1), "cmyk jpg": File("jpg", CMYK, PRINTED, FINEST, 6),
    **{f"deep {ext}": File(ext, drawn(DEEP), np.floor(DEEP / 257 + 0.5)) for ext in ("png", "tif", "pgm")},
    "bits": File("png", drawn(BITS), BITS * 255),
    "fax": File("tif", drawn(BITS), BITS * 255, {"compression": "group4"}),
    "white is 1": File("tif", drawn(LEVELS), np.rint(LEVELS * 255)),
    "white is 255": File("tif", drawn(LEVELS * 255), np.rint(LEVELS * 255)),
    **{f"animated {ext}": File(ext, RED, np.asarray(RED), FRAMES) for ext in ("gif", "webp")},
}  # fmt: skip


@pytest.mark.parametrize("kind", FILES)
def test_images_of_every_mode_are_decoded_in_color_and_in_gray(kind: str, tmp_path: Path) -> None:
    extension, image, expected, details, tolerance = FILES[kind]
    path = saved(tmp_path / f"a.{extension}", image, **details)
    is_gray = expected.ndim == 2
    colors = np.repeat(expected[:, :, None], 3, axis=2) if is_gray else expected
    assert np.abs(read(path) - colors.astype(float)).max() <= tolerance
    grays, rounding = (expected, tolerance) if is_gray else (expected @ LUMA, tolerance + 1)
    assert np.abs(read(path, channels=1) - grays.astype(float)).max() <= rounding
    header = read_header(path, MAX_PIXELS)
    assert (header.width, header.height, header.is_gray) == (WIDTH, HEIGHT, is_gray and extension != "gif")


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ([-5.0, 9.0], r"from -5 to 9 are outside 0 to 255"),
        ([0.0, 300.0], r"from 0 to 300 are outside 0 to 255"),
        ([0.0, math.nan], "from nan to nan"),
        ([0, 254_000], r"from 0 to 254000 are outside 0 to 65,535"),
    ],
)
def test_values_outside_the_range_are_refused(values: list[float], message: str, tmp_path: Path) -> None:
    kind = np.float32 if isinstance(values[0], float) else np.int32
    Image.fromarray(np.array([values], kind)).save(tmp_path / "a.tif")
    with pytest.raises(InputError, match=rf"a\.tif: pixel values {message}.*; rescale them, or pass --skip-bad"):
        read(tmp_path / "a.tif", 1, (1, 2))


def oriented(orientation: int) -> Image.Exif:
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    return exif


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize(
    "kind", ["png", "jpg", "webp", "tif", "palette", "rgba", "gray tif", "deep png", "deep tif", "bits"]
)
def test_images_are_rotated_by_their_orientation(kind: str, orientation: int, tmp_path: Path) -> None:
    extension, image, _, details, _ = FILES[kind]
    plain = saved(tmp_path / f"plain.{extension}", image, **details)
    rotated = saved(tmp_path / f"rotated.{extension}", image, exif=oriented(orientation), **details)
    unrotated = Image.fromarray(read(plain))
    unrotated.getexif()[ORIENTATION] = orientation
    upright = np.asarray(ImageOps.exif_transpose(unrotated))
    size = upright.shape[:2]
    np.testing.assert_array_equal(read(rotated, size=size), upright)
    invalid = saved(tmp_path / f"invalid.{extension}", image, exif=oriented(orientation + 8), **details)
    np.testing.assert_array_equal(read(invalid), read(plain))
    header = read_header(rotated, MAX_PIXELS)
    assert (header.height, header.width) == size == ((WIDTH, HEIGHT) if orientation > 4 else (HEIGHT, WIDTH))


# --- resizing ----------------------------------------------------------------------------------------------------


def triangle(length: int, start: float, stop: float, count: int) -> NDArray[np.float64]:
    """Weights (count, length) of bilinear resampling with antialiasing from start..stop to `count` pixels."""
    scale = (stop - start) / count
    support = max(scale, 1.0)
    centers = start + (np.arange(count)[:, None] + 0.5) * scale
    weights = np.maximum(0, 1 - np.abs(np.arange(length) + 0.5 - centers) / support)
    return np.asarray(weights / weights.sum(axis=1, keepdims=True))


def resampled(pixels: Pixels, box: tuple[float, float, float, float], size: tuple[int, int]) -> NDArray[np.float64]:
    top, bottom, left, right = box
    rows = triangle(pixels.shape[0], top, bottom, size[0])
    columns = triangle(pixels.shape[1], left, right, size[1])
    return np.asarray(np.einsum("yh,hwc,xw->yxc", rows, pixels.astype(np.float64), columns))


def expected_pixels(pixels: Pixels, size: tuple[int, int], resize: Resize) -> NDArray[np.float64]:
    """An image cropped to its center, squashed or framed in black."""
    height, width = pixels.shape[:2]
    if resize == "squash":
        return resampled(pixels, (0, height, 0, width), size)
    if resize == "crop":
        scale = min(height / size[0], width / size[1])
        top, left = (height - size[0] * scale) / 2, (width - size[1] * scale) / 2
        return resampled(pixels, (top, height - top, left, width - left), size)
    scale = min(size[0] / height, size[1] / width)
    inner = max(1, round(height * scale)), max(1, round(width * scale))
    top, left = round((size[0] - inner[0]) / 2), round((size[1] - inner[1]) / 2)
    framed = np.zeros((*size, 3))
    framed[top : top + inner[0], left : left + inner[1]] = resampled(pixels, (0, height, 0, width), inner)
    return framed


@pytest.mark.parametrize("resize", ["crop", "squash", "letterbox"])
@pytest.mark.parametrize("size", [(16, 16), (13, 29), (29, 13), (90, 70), (1, 1)])
@pytest.mark.parametrize("whole", [(40, 61), (61, 40), (9, 17), (1, 900), (900, 1)])
def test_images_are_resized(resize: Resize, whole: tuple[int, int], size: tuple[int, int], tmp_path: Path) -> None:
    if resize == "squash" and size == (1, 1):
        return
    pixels = smooth(*whole)
    path = saved(tmp_path / "a.png", pixels)
    found = decode_image(path, ImageShape(3, *size, resize), MAX_PIXELS).transpose(1, 2, 0)
    tolerance = 4 if resize == "squash" else 1.1  # the image is first reduced by an integer factor
    assert np.abs(found - expected_pixels(pixels, size, resize)).max() <= tolerance


@pytest.mark.parametrize("size", [(16, 16), (75, 60), (150, 200), (31, 120)])
@pytest.mark.parametrize("orientation", [1, 6])
def test_a_jpeg_draft_is_never_smaller_than_the_target(size: tuple[int, int], orientation: int, tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (300, 400, 3), np.uint8)
    path = saved(tmp_path / "a.jpg", noise, quality=95, exif=oriented(orientation))
    png = saved(tmp_path / "a.png", Image.open(path), exif=oriented(orientation))
    found, whole = (decode_image(file, ImageShape(3, *size, "crop"), MAX_PIXELS) for file in (path, png))
    assert found.std() > 0.9 * whole.std()  # an enlarged draft has less noise


INTERPOLATIONS: list[Interpolation] = ["bilinear", "bicubic"]


@pytest.mark.parametrize("interpolation", INTERPOLATIONS)
@pytest.mark.parametrize(("height", "width"), [(300, 500), (500, 300), (70, 90)])
def test_crop_pct_matches_the_presets_of_torchvision(
    height: int, width: int, interpolation: Interpolation, tmp_path: Path
) -> None:
    from torchvision.transforms import functional

    pixels = smooth(height, width)
    path = saved(tmp_path / "a.png", pixels)
    found = decode_image(path, ImageShape(3, 224, 224, "crop", 224 / 256, interpolation), MAX_PIXELS)
    method = functional.InterpolationMode(interpolation)
    resized = functional.resize(Image.fromarray(pixels), [256], method, antialias=True)
    expected = np.asarray(functional.center_crop(resized, [224, 224])).transpose(2, 0, 1)
    assert np.abs(found.astype(int) - expected).mean() < 1.5


# --- damaged files ---------------------------------------------------------------------------------------------


def content(extension: str, **details: Any) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(GENERATOR.integers(0, 256, (60, 80, 3), np.uint8)).save(stream, extension, **details)
    return stream.getvalue()


Decoder = Callable[[Path, int], object]


def decode_small(path: Path, max_pixels: int) -> Pixels:
    return decode_image(path, ImageShape(3, 8, 8, "letterbox"), max_pixels)


def refusal(path: Path, decoder: Decoder) -> str:
    """The error of decoding a file, or an empty string."""
    try:
        decoder(path, MAX_PIXELS // 100)
    except InputError as error:
        return str(error)
    return ""


WHOLE = {
    "JPEG": content("JPEG"), "progressive": content("JPEG", progressive=True), "PNG": content("PNG"),
    "WEBP": content("WEBP"), "BMP": content("BMP"), "GIF": content("GIF"), "TIFF": content("TIFF"),
    "PPM": content("PPM"),
}  # fmt: skip


@pytest.mark.parametrize("kind", WHOLE)
def test_a_truncated_image_is_refused_in_one_line(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "cut.jpg"
    whole = WHOLE[kind]
    refused = 0
    for length in np.unique(np.linspace(0, len(whole) - 1, 60).astype(int)):
        path.write_bytes(whole[:length])
        line = refusal(path, decode_small)
        if line:
            refused += 1
            assert line.startswith(f"{path}: ")
            assert line.endswith("; remove it or pass --skip-bad")
            is_header = length < len(whole) * 0.3 or kind in {"WEBP", "TIFF"}
            assert is_header or "image is truncated" in line
    assert refused >= 58  # all but cuts after the pixels


@pytest.mark.parametrize("kind", WHOLE)
def test_changed_bytes_give_an_error_or_other_pixels(kind: str, tmp_path: Path) -> None:
    draw = np.random.default_rng(1)
    path = tmp_path / "changed"
    for _ in range(120):
        changed = bytearray(WHOLE[kind])
        for _ in range(draw.integers(1, 4)):
            changed[draw.integers(0, min(len(changed), int(draw.choice([40, 400, 100_000]))))] = draw.integers(0, 256)
        path.write_bytes(changed)
        for decoder in (read_header, decode_small):
            line = refusal(path, decoder)
            assert not line or line.startswith(f"{path}: ")


BROKEN = {
    **{
        repr(text[:12]): (text, "not an image; remove it or pass --skip-bad")
        for text in (b"", b"hello\n", b"<!DOCTYPE html>", b"\xff\xd8", b"%PDF-1.7", bytes(500), content("ICO"))
    },
    "metadata": (
        content("WEBP", exif=oriented(6)).replace(b"MM\0*\0\0", b"MMxx\0\0"), r"image is damaged \(not a TIFF file"
    ),
}  # fmt: skip


@pytest.mark.parametrize("kind", BROKEN)
@pytest.mark.parametrize("decoder", [read_header, decode_small])
def test_a_file_that_is_not_an_image_is_named(decoder: Decoder, kind: str, tmp_path: Path) -> None:
    (path := tmp_path / "photo.jpg").write_bytes(BROKEN[kind][0])
    with pytest.raises(InputError, match=rf"photo\.jpg: {BROKEN[kind][1]}"):
        decoder(path, MAX_PIXELS)


def test_settings_of_pillow_are_unchanged_after_decoding(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.tif"
    tag = (277).to_bytes(2, "little")
    path.write_bytes(content("TIFF").replace(tag + b"\3\0\1\0", tag + b"\3\0\2\0"))  # about which Pillow warns
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    paths = [saved(tmp_path / f"{i}.png", COLORS) for i in range(20)] + [path] * 20 + [tmp_path / "none.png"]
    with warnings.catch_warnings(record=True) as seen:
        results = decode_all(paths, lambda file: read_header(file, MAX_PIXELS), threads=4, skip_bad=True)
    assert not seen
    assert [isinstance(result, InputError) for result in results] == [False] * 40 + [True]
    with pytest.raises(Image.DecompressionBombError), Image.open(paths[0]):
        pass
    monkeypatch.undo()
    with pytest.warns(UserWarning, match="Metadata Warning"), Image.open(path):
        pass


def test_the_pixel_limit_is_inclusive_and_applies_to_the_header(tmp_path: Path) -> None:
    path = saved(tmp_path / "a.png", COLORS)
    assert decode_image(path, ImageShape(3, 4, 4, "crop"), HEIGHT * WIDTH).shape == (3, 4, 4)
    path.write_bytes(path.read_bytes()[:80])  # the header alone
    assert read_header(path, HEIGHT * WIDTH).width == WIDTH
    for decoder in (read_header, decode_small):
        with pytest.raises(InputError, match="30x20 = 600 pixels, over 599; raise --max-pixels if you trust it"):
            decoder(path, HEIGHT * WIDTH - 1)


def test_an_unreadable_file_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for path, line in (("none.png", "no such file; check the path"), ("", "is a directory"), ("x" * 300, "too long")):
        with pytest.raises(InputError, match=line):
            read(tmp_path / path)
    monkeypatch.setattr(Image, "open", lambda *_, **__: (_ for _ in ()).throw(PermissionError(13, "Denied")))
    with pytest.raises(InputError, match=r"a.png: cannot be read \(denied\); check .* permissions"):
        read(tmp_path / "a.png")


# --- many files --------------------------------------------------------------------------------------------------


def test_chunks_hold_the_images_that_can_be_read_by_position(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    paths = [saved(tmp_path / f"{i}.png", np.full((2, 2), i, np.uint8)) for i in range(7)]
    for bad in (0, 3, 4):
        paths[bad].write_bytes(b"no image")

    def decode_pixel(path: Path) -> int:
        return int(decode_image(path, ImageShape(1, 1, 1, "crop"), MAX_PIXELS)[0, 0, 0])

    chunks = decode_chunks(paths, decode_pixel, 2, where="--data", threads=2, skip_bad=True)
    assert list(chunks) == [{1: 1}, {2: 2}, {5: 5}, {6: 6}]
    skipped = [f"dlnotes: warning: skipped {paths[bad]}: not an image" for bad in (0, 3, 4)]
    assert capsys.readouterr().err.splitlines() == skipped
    with pytest.raises(InputError, match=r"0.png: not an image"):
        list(decode_chunks(paths, decode_pixel, 2, where="--data", threads=2, skip_bad=False))
    with pytest.raises(InputError, match=r"--data: none of 2 inputs could be read \(.*0.png: not an image\)"):
        list(decode_chunks([paths[0], paths[3]], decode_pixel, 1, where="--data", threads=1, skip_bad=True))


# --- the place of pixels in the file ----------------------------------------------------------------------------

STORED = (120, 90)  # width and height
MARKER = (70, 40)  # column and row of the center of a bright square, away from the center of the image


@pytest.mark.parametrize(
    ("orientation", "resize", "suffix"),
    [*product(range(1, 9), ("crop", "squash", "letterbox"), (".png",)), (6, "crop", ".jpg"), (6, "crop", ".tif")],
)
def test_the_bright_square_is_found_again_in_the_stored_file(
    tmp_path: Path, orientation: int, resize: Resize, suffix: str
) -> None:
    pixels, (x, y) = np.zeros((STORED[1], STORED[0], 3), np.uint8), MARKER
    pixels[y - 5 : y + 5, x - 5 : x + 5] = 255
    path = saved(tmp_path / f"marked{suffix}", pixels, exif=oriented(orientation))
    shape = ImageShape(3, 48, 64, resize, crop_pct=0.9 if resize == "crop" else 1.0)
    pixels, geometry = decode_placed(path, shape, 10**6)
    assert geometry.stored == STORED
    bright = np.argwhere(pixels.mean(axis=0) > 127)
    (top, left), (bottom, right) = bright.min(axis=0), bright.max(axis=0) + 1
    center = np.array([[(left + right) / 2, (top + bottom) / 2]])
    assert geometry.to_stored(center)[0] == pytest.approx(MARKER, abs=1.5)
    box = geometry.box_in_stored((left, top, right, bottom))
    assert box == pytest.approx((x - 5, y - 5, x + 5, y + 5), abs=2.5)


@given(
    upright=st.tuples(st.integers(1, 500), st.integers(1, 500)), size=st.tuples(st.integers(1, 64), st.integers(1, 64)),
    resize=st.sampled_from(["crop", "squash", "letterbox"]), crop_pct=st.floats(0.5, 1.0),
    orientation=st.integers(1, 8),
)  # fmt: skip
def test_boxes_stay_inside_the_image(
    upright: tuple[int, int], size: tuple[int, int], resize: Resize, crop_pct: float, orientation: int
) -> None:
    shape = ImageShape(3, size[1], size[0], resize, crop_pct if resize == "crop" else 1.0)
    geometry = Geometry.of_file(upright, orientation, shape)
    x0, y0, x1, y1 = geometry.box_in_stored((0, 0, *size))
    assert 0 <= x0 < x1 <= geometry.stored[0]
    assert 0 <= y0 < y1 <= geometry.stored[1]
    assert sorted(geometry.stored) == sorted(upright)
    x0, y0, x1, y1 = geometry.region
    if resize == "crop":  # as large as possible, of the shape of the input
        assert (x1 - x0) / (y1 - y0) == pytest.approx(size[0] / size[1])
        assert max((x1 - x0) / upright[0], (y1 - y0) / upright[1]) == pytest.approx(crop_pct)
    else:
        assert geometry.box_in_upright((0, 0, *size)) == pytest.approx((0, 0, *upright))
