"""Animated GIF files, and those of images."""

import io
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from PIL import Image

_LAST_FRAME_MS = 2000


def image_gif(frames: Sequence[NDArray[np.uint8]], seconds: float) -> bytes:
    """Images (H, W, 3) of one size as an animated GIF that shows each for `seconds`, the last one longer, and repeats.

    The palette is that of the last frame and the first, so that flat areas do not flicker.
    """
    from PIL import Image

    both = np.concatenate([frames[0], frames[-1]])
    palette = Image.fromarray(both).quantize(256, Image.Quantize.MEDIANCUT)
    images = [Image.fromarray(frame).quantize(palette=palette, dither=Image.Dither.FLOYDSTEINBERG) for frame in frames]
    return gif_file(images, seconds)


def gif_file(images: "Sequence[Image.Image]", seconds: float) -> bytes:
    """Images with one palette as an animated GIF that shows each for `seconds`, the last one longer, and repeats."""
    stream = io.BytesIO()
    durations = [round(1000 * seconds)] * (len(images) - 1) + [_LAST_FRAME_MS]
    images[0].save(stream, "GIF", save_all=True, append_images=images[1:], duration=durations, loop=0)
    return stream.getvalue()
