"""Decode images of every kind, and refuse damaged files."""

import io
import math
import tracemalloc
import warnings
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageOps

from dlnotes_cli.data.images import decode
from dlnotes_cli.data.images.decode import decode_all, decode_chunks, decode_image, read_header
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


def luma(colors: NDArray[Any]) -> NDArray[np.float64]:
    """Luma by ITU-R BT.601, as in Pillow's mode L."""
    return np.asarray(colors.astype(np.float64) @ np.array([0.299, 0.587, 0.114]))


def over_white(values: NDArray[Any], alphas: Pixels) -> NDArray[np.float64]:
    share = (alphas / 255).reshape(alphas.shape + (1,) * (values.ndim - 2))
    return np.asarray(values * share + 255 * (1 - share), np.float64)


# --- modes and formats ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("extension", ["png", "bmp", "tif", "ppm", "webp", "pgm", "gif"])
def test_images_without_loss_are_decoded_exactly(extension: str, tmp_path: Path) -> None:
    if extension not in {"pgm", "gif"}:
        path = saved(tmp_path / f"c.{extension}", COLORS, **({"lossless": True} if extension == "webp" else {}))
        np.testing.assert_array_equal(read(path), COLORS)
        assert np.abs(read(path, channels=1) - luma(COLORS)).max() <= 1
    if extension not in {"ppm", "webp"}:
        path = saved(tmp_path / f"g.{extension}", GRAYS)
        np.testing.assert_array_equal(read(path, channels=1), GRAYS)
        np.testing.assert_array_equal(read(path), np.repeat(GRAYS[:, :, None], 3, axis=2))


def test_transparent_palette_entries_are_composited_over_white(tmp_path: Path) -> None:
    palette = Image.fromarray(COLORS).quantize(16)
    opaque = bytes(255 * (entry != 3) for entry in range(16))
    for transparency, alphas in ((None, bytes([255] * 16)), (3, opaque), *[(bytes(range(0, 256, 17)),) * 2]):
        details = {} if transparency is None else {"transparency": transparency}
        shares = np.frombuffer(alphas, np.uint8)[np.asarray(palette)]
        found = read(saved(tmp_path / "a.png", palette, **details))
        assert np.abs(found - over_white(np.asarray(palette.convert("RGB")), shares)).max() <= 1


@pytest.mark.parametrize("channels", [1, 3])
def test_alpha_and_a_transparent_color_are_composited_over_white(channels: int, tmp_path: Path) -> None:
    colors = saved(tmp_path / "rgba.png", np.dstack([COLORS, ALPHAS]))
    expected = over_white(COLORS, ALPHAS)
    assert np.abs(read(colors, channels) - (expected if channels == 3 else luma(expected))).max() <= 1.5
    grays = saved(tmp_path / "la.png", np.dstack([GRAYS, ALPHAS]))
    difference = read(grays, channels) - over_white(GRAYS, ALPHAS).reshape(HEIGHT, WIDTH, *(1,) * (channels == 3))
    assert np.abs(difference).max() <= 1
    whitened = np.where((COLORS[4, 5] == COLORS).all(axis=2, keepdims=True), 255, COLORS)
    np.testing.assert_array_equal(read(saved(colors, COLORS, transparency=tuple(COLORS[4, 5].tolist()))), whitened)


@pytest.mark.parametrize(("extension", "tolerance"), [("tif", 1), ("jpg", 6)])
def test_cmyk_is_converted_to_rgb(extension: str, tolerance: float, tmp_path: Path) -> None:
    planes = [*smooth(HEIGHT, WIDTH).transpose(2, 0, 1), GRAYS // 9]
    cmyk = Image.merge("CMYK", [Image.fromarray(plane) for plane in planes])
    details = {"quality": 100, "subsampling": 0} if extension == "jpg" else {}
    values = np.asarray(cmyk).astype(float)
    expected = (255 - values[:, :, :3]) * (255 - values[:, :, 3:]) / 255
    assert np.abs(read(saved(tmp_path / f"a.{extension}", cmyk, **details)) - expected).max() <= tolerance


@pytest.mark.parametrize("extension", ["png", "tif", "pgm"])
def test_sixteen_bits_are_reduced_to_eight(extension: str, tmp_path: Path) -> None:
    deep = GENERATOR.integers(0, 65536, (HEIGHT, WIDTH), np.uint16)
    deep[0, :4] = 0, 65535, 128, 65407
    path = saved(tmp_path / f"a.{extension}", deep)
    np.testing.assert_array_equal(read(path, channels=1), np.floor(deep / 257 + 0.5))
    np.testing.assert_array_equal(read(path)[:, :, 2], np.floor(deep / 257 + 0.5))
    assert read_header(path, MAX_PIXELS).is_gray


@pytest.mark.parametrize("white", [1, 255])
def test_white_is_1_in_floating_point_images_without_larger_values(white: int, tmp_path: Path) -> None:
    Image.fromarray(np.array([[0.0, 0.25, 1.0]], np.float32) * white).save(tmp_path / "a.tif")
    np.testing.assert_array_equal(read(tmp_path / "a.tif", 1, (1, 3)), [0, 64, 255])


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


@pytest.mark.parametrize("details", [{}, {"compression": "group4"}])
def test_one_bit_images_are_black_and_white(details: dict[str, str], tmp_path: Path) -> None:
    path = saved(tmp_path / "a.tif", Image.fromarray(GRAYS > 99), **details)
    np.testing.assert_array_equal(read(path, channels=1), (GRAYS > 99) * 255)
    np.testing.assert_array_equal(read(path)[:, :, 1], (GRAYS > 99) * 255)
    assert read_header(path, MAX_PIXELS).is_gray


@pytest.mark.parametrize("extension", ["gif", "webp"])
def test_the_first_frame_of_an_animation_is_decoded(extension: str, tmp_path: Path) -> None:
    frames = [Image.new("RGB", (WIDTH, HEIGHT), color) for color in ("red", "blue")]
    path = saved(tmp_path / f"a.{extension}", frames[0], save_all=True, append_images=frames[1:], lossless=True)
    np.testing.assert_array_equal(read(path), np.full((HEIGHT, WIDTH, 3), (255, 0, 0)))


# --- orientation--------------------------------------------------------------------------------------------------


def oriented(orientation: int) -> Image.Exif:
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    return exif


KINDS: dict[str, tuple[str, Callable[[], Image.Image], dict[str, Any]]] = {
    "png": ("png", lambda: Image.fromarray(COLORS), {}),
    "jpeg": ("jpg", lambda: Image.fromarray(smooth(HEIGHT, WIDTH)), {"quality": 100, "subsampling": 0}),
    "webp": ("webp", lambda: Image.fromarray(COLORS), {"lossless": True}),
    "tiff": ("tif", lambda: Image.fromarray(COLORS), {}),
    "palette": ("png", lambda: Image.fromarray(COLORS).quantize(16), {}),
    "transparent": ("png", lambda: Image.fromarray(np.dstack([COLORS, ALPHAS])), {}),
    "gray tiff": ("tif", lambda: Image.fromarray(GRAYS), {}),
    "sixteen-bit png": ("png", lambda: Image.fromarray(GRAYS.astype(np.uint16) * 257), {}),
    "sixteen-bit tiff": ("tif", lambda: Image.fromarray(GRAYS.astype(np.uint16) * 257), {}),
    "one-bit": ("png", lambda: Image.fromarray(GRAYS > 99), {}),
}


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", KINDS)
def test_images_are_rotated_by_their_orientation(kind: str, orientation: int, tmp_path: Path) -> None:
    extension, make, details = KINDS[kind]
    plain = saved(tmp_path / f"plain.{extension}", make(), **details)
    rotated = saved(tmp_path / f"rotated.{extension}", make(), exif=oriented(orientation), **details)
    unrotated = Image.fromarray(read(plain))
    unrotated.getexif()[ORIENTATION] = orientation
    upright = np.asarray(ImageOps.exif_transpose(unrotated))
    size = upright.shape[:2]
    np.testing.assert_array_equal(read(rotated, size=size), upright)
    invalid = saved(tmp_path / f"invalid.{extension}", make(), exif=oriented(orientation + 8), **details)
    np.testing.assert_array_equal(read(invalid), read(plain))
    header = read_header(rotated, MAX_PIXELS)
    assert (header.height, header.width) == size == ((WIDTH, HEIGHT) if orientation > 4 else (HEIGHT, WIDTH))


@pytest.mark.parametrize(
    ("mode", "is_gray"),
    [("L", True), ("LA", True), ("1", True), ("RGB", False), ("RGBA", False), ("P", False), ("I;16", True)],
)
def test_a_header_has_size_and_color(mode: str, is_gray: bool, tmp_path: Path) -> None:
    path = saved(tmp_path / "a.png", Image.new(mode, (7, 5)))
    header = read_header(path, MAX_PIXELS)
    assert (header.width, header.height, header.is_gray) == (7, 5, is_gray)


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
@pytest.mark.parametrize("whole", [(40, 61), (61, 40), (50, 50), (9, 17)])
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
def test_a_jpeg_draft_is_never_smaller_than_the_target(
    size: tuple[int, int], orientation: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drafted: list[tuple[int, int]] = []

    def note(image: Image.Image, *rest: Any) -> Image.Image:
        drafted.append(image.size)
        return resized(image, *rest)

    resized = decode._resized
    monkeypatch.setattr(decode, "_resized", note)
    path = saved(tmp_path / "a.jpg", smooth(300, 400), quality=95, exif=oriented(orientation))
    found = decode_image(path, ImageShape(3, *size, "crop"), MAX_PIXELS)
    sides = (400, 300) if orientation == 1 else (300, 400)
    for have, original, need in zip(drafted[0], sides, reversed(size), strict=True):
        assert have >= need
        assert have in {math.ceil(original / factor) for factor in (1, 2, 4, 8)}
    png = saved(tmp_path / "a.png", Image.open(path), exif=oriented(orientation))
    whole = decode_image(png, ImageShape(3, *size, "crop"), MAX_PIXELS)
    assert np.abs(found.astype(int) - whole).mean() < 4


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


@pytest.mark.parametrize(
    "text", [b"", b"hello\n", b"<!DOCTYPE html><html><body>404</body></html>", b"\xff\xd8", b"%PDF-1.7", bytes(500)]
)
@pytest.mark.parametrize("decoder", [read_header, decode_small])
def test_a_file_that_is_not_an_image_is_named(decoder: Decoder, text: bytes, tmp_path: Path) -> None:
    path = tmp_path / "photo.jpg"
    path.write_bytes(text)
    Image.new("RGB", (16, 16)).save(icon := tmp_path / "a.ico")  # of a format that is not supported
    for file in (path, icon):
        with pytest.raises(InputError, match=rf"{file.name}: not an image; remove it or pass --skip-bad"):
            decoder(file, MAX_PIXELS)


def test_a_file_with_damaged_metadata_is_named(tmp_path: Path) -> None:
    path = tmp_path / "a.webp"
    path.write_bytes(content("WEBP", exif=oriented(6)).replace(b"MM\0*\0\0", b"MMxx\0\0"))
    for decoder in (lambda: read_header(path, MAX_PIXELS), lambda: read(path)):
        with pytest.raises(InputError, match=r"a.webp: image is damaged \(not a TIFF file"):
            decoder()


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


def test_a_decompression_bomb_is_refused_by_its_header(tmp_path: Path) -> None:
    path = tmp_path / "bomb.png"
    side = 30_000
    row = bytes(side // 8 + 1)
    squeeze = zlib.compressobj(9)
    squeezed = b"".join([squeeze.compress(row) for _ in range(side)]) + squeeze.flush()

    def chunk(name: bytes, data: bytes) -> bytes:
        return len(data).to_bytes(4, "big") + name + data + zlib.crc32(name + data).to_bytes(4, "big")

    header = side.to_bytes(4, "big") * 2 + bytes([1, 0, 0, 0, 0])
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", squeezed) + chunk(b"IEND", b""))
    assert path.stat().st_size < 200_000
    tracemalloc.start()
    for decoder in (lambda: read_header(path, MAX_PIXELS), lambda: read(path)):
        with pytest.raises(InputError, match="30000x30000 = 900,000,000 pixels, over 178,956,970; raise --max-pixels"):
            decoder()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2_000_000


def test_the_pixel_limit_is_inclusive(tmp_path: Path) -> None:
    path = saved(tmp_path / "a.png", COLORS)
    assert decode_image(path, ImageShape(3, 4, 4, "crop"), HEIGHT * WIDTH).shape == (3, 4, 4)
    with pytest.raises(InputError, match="30x20 = 600 pixels, over 599"):
        decode_image(path, ImageShape(3, 4, 4, "crop"), HEIGHT * WIDTH - 1)
    path.write_bytes(path.read_bytes()[:80])  # the header alone
    assert read_header(path, HEIGHT * WIDTH).pixels == HEIGHT * WIDTH


def test_an_unreadable_file_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def forbid(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    long = tmp_path / ("x" * 300 + ".png")
    for path, line in ((tmp_path / "none.png", "no such file; check the path"), (tmp_path, "is a directory"),
                       (long, "file name too long")):  # fmt: skip
        with pytest.raises(InputError, match=line):
            read(path)
    monkeypatch.setattr(Image, "open", forbid)
    with pytest.raises(InputError, match=r"a.png: cannot be read \(permission denied\); check .* permissions"):
        read(tmp_path / "a.png")


# --- many files --------------------------------------------------------------------------------------------------


def test_chunks_hold_images_and_errors_by_position(tmp_path: Path) -> None:
    paths = [saved(tmp_path / f"{i}.png", np.full((2, 2), i, np.uint8)) for i in range(5)]
    for bad in (0, 3):
        paths[bad].write_bytes(b"no image")

    def decode_pixel(path: Path) -> int:
        return int(decode_image(path, ImageShape(1, 1, 1, "crop"), MAX_PIXELS)[0, 0, 0])

    chunks = list(decode_chunks(paths, decode_pixel, 2, where="--data", threads=2, skip_bad=True))
    assert [chunk.images for chunk in chunks] == [{1: 1}, {2: 2}, {4: 4}]
    assert [list(chunk.errors) for chunk in chunks] == [[0], [3], []]
    with pytest.raises(InputError, match=r"0.png: not an image"):
        list(decode_chunks(paths, decode_pixel, 2, where="--data", threads=2, skip_bad=False))
    with pytest.raises(InputError, match=r"--data: none of 2 inputs could be read \(.*0.png: not an image\)"):
        list(decode_chunks([paths[0], paths[3]], decode_pixel, 1, where="--data", threads=1, skip_bad=True))


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


@pytest.mark.parametrize("resize", ["crop", "squash", "letterbox"])
@pytest.mark.parametrize("size", [(1, 3000), (3000, 1)])
def test_a_very_thin_image_keeps_at_least_one_pixel(size: tuple[int, int], resize: Resize, tmp_path: Path) -> None:
    path = saved(tmp_path / "a.png", Image.new("L", size, 200))
    pixels = read(path, 1, (16, 16), resize)
    assert (pixels > 0).any(axis=0).all() or (pixels > 0).any(axis=1).all()
