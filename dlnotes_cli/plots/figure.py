"""Figures, and their files: PNG and animated GIF."""

import io
import warnings
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from dlnotes_cli.plots import fonts

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from matplotlib.figure import Figure
    from numpy.typing import NDArray
    from PIL.Image import Image as PillowImage

# Blue and orange of Okabe and Ito, distinct for any color vision; red is always combined with bold type or a symbol.
BLUE, ORANGE, RED, GRAY = "#0072B2", "#E69F00", "#CC0000", "#666666"
COLORS = (BLUE, ORANGE, "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#F0E442", "#000000")  # of Okabe and Ito
FRAME = "#909090"
DPI = 120
POINTS = 72  # per inch
_COMPRESSION = 3  # of zlib: half the time of its default level 6
_GIF_DPI, _GIF_GRAYS = 80, 40
_LAST_FRAME_MS = 2000


def new_figure(width: float, height: float, layout: Literal["constrained"] | None = "constrained") -> "Figure":
    """A figure of a size in inches."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), dpi=DPI, layout=layout)


@contextmanager
def with_fonts(figure: "Figure") -> "Iterator[None]":
    """Choose fonts that have all characters of a figure, whose texts have their final sizes inside the block."""
    from matplotlib.text import Text

    texts = figure.findobj(Text)
    families = fonts.families(text.get_text() for text in texts)
    for text in texts:
        text.set_fontfamily(families)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing", UserWarning)  # `fonts` has warned
        yield


def png(figure: "Figure", margin: float | None = None) -> bytes:
    """The PNG file of a figure, the same bytes for the same figure.

    With a `margin`, in inches, it is cropped or extended to what is drawn; `bbox_inches="tight"` of `Figure.savefig`
    would lay out all texts twice for that.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    canvas, stream = FigureCanvasAgg(figure), io.BytesIO()
    settings: dict[str, Any] = {"metadata": {"Software": None}, "pil_kwargs": {"compress_level": _COMPRESSION}}
    with with_fonts(figure):
        if margin is not None:
            if figure.get_layout_engine() is not None:
                figure.draw_without_rendering()  # which moves the axes
            drawn = figure.get_tightbbox(canvas.get_renderer())  # type: ignore[no-untyped-call]
            settings["bbox_inches"] = drawn.padded(margin)
        figure.savefig(stream, format="png", **settings)
    return stream.getvalue()


def gif(frames: "Iterable[Figure]", seconds: float) -> bytes:
    """Figures of one size as an animated GIF that shows each for `seconds`, the last one longer, and repeats."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from PIL import Image

    images, palette = [], Image.new("P", (1, 1))
    palette.putpalette(_gif_palette())
    for frame in frames:
        frame.set_dpi(_GIF_DPI)
        canvas = FigureCanvasAgg(frame)
        canvas.draw()  # type: ignore[no-untyped-call]
        pixels = np.asarray(canvas.buffer_rgba())  # type: ignore[no-untyped-call]
        images.append(Image.fromarray(pixels).convert("RGB").quantize(palette=palette, dither=Image.Dither.NONE))
    return _gif_file(images, seconds)


def image_gif(frames: "Sequence[NDArray[np.uint8]]", seconds: float) -> bytes:
    """Images (H, W, 3) of one size as an animated GIF that shows each for `seconds`, the last one longer, and repeats.

    The palette is that of the last frame and the first, so that flat areas do not flicker.
    """
    from PIL import Image

    both = np.concatenate([frames[0], frames[-1]])
    palette = Image.fromarray(both).quantize(256, Image.Quantize.MEDIANCUT)
    images = [Image.fromarray(frame).quantize(palette=palette, dither=Image.Dither.FLOYDSTEINBERG) for frame in frames]
    return _gif_file(images, seconds)


def _gif_file(images: "Sequence[PillowImage]", seconds: float) -> bytes:
    """Images with one palette as an animated GIF that shows each for `seconds`, the last one longer, and repeats."""
    stream = io.BytesIO()
    durations = [round(1000 * seconds)] * (len(images) - 1) + [_LAST_FRAME_MS]
    images[0].save(stream, "GIF", save_all=True, append_images=images[1:], duration=durations, loop=0)
    return stream.getvalue()


def _gif_palette() -> list[int]:
    """Grays, and the colors of lines blended with white, gray and black; the light ones only of regions.

    A palette that is computed from the pixels would give lines of few pixels the color of others.
    """
    colors = [[round(255 * i / (_GIF_GRAYS - 1))] * 3 for i in range(_GIF_GRAYS)]
    for k, color in enumerate(COLORS[:-1]):
        rgb = [int(color[i : i + 2], 16) for i in (1, 3, 5)]
        blends = [(alpha, 255) for alpha in (1, 0.85, 0.7, 0.5, 0.35, *([] if k > 1 else [0.2, 0.12, 0.06]))] + [
            (alpha, 128) for alpha in (0.75, 0.5, 0.25)
        ]
        blends += [(0.6, 0), (0.3, 0)]
        colors += [[round(alpha * value + (1 - alpha) * base) for value in rgb] for alpha, base in blends]
    return [value for color in colors for value in color]
