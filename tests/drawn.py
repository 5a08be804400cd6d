"""What a figure shows."""

import io

import numpy as np
from matplotlib.figure import Figure
from matplotlib.text import Text
from numpy.typing import NDArray
from PIL import Image


def texts(figure: Figure) -> list[str]:
    """Every text of a figure."""
    return [text.get_text() for text in figure.findobj(Text) if isinstance(text, Text)]


def pixels(png: bytes) -> NDArray[np.uint8]:
    """The pixels (H, W, 3) of a PNG file."""
    with Image.open(io.BytesIO(png)) as image:
        return np.asarray(image.convert("RGB"))


def has_white_margin(png: bytes) -> bool:
    """Whether nothing is cut: the outermost pixels on all sides are white."""
    shown = pixels(png)
    return all(bool((side == 255).all()) for side in (shown[0], shown[-1], shown[:, 0], shown[:, -1]))
