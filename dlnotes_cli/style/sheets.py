"""The drawings of `style-transfer`: images side by side, heat maps of Gram matrices, and frames of an animation."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dlnotes_cli.plots.figure import image_gif
from dlnotes_cli.plots.sheet import ColorBar, Panel, Section, Sheet, colored, short_number
from dlnotes_cli.style.images import InputImage, Pixels

_SIDE, _RESULT_SIDE = 264, 372  # pixels of a heat map, and of an image
_PER_ROW = 6  # images
_PERCENTILE = 99.0  # of the magnitudes: where the colors end, since a few values on the diagonal are much larger
_CAPTION = (
    "Row i, column j: the product of channels i and j, averaged over the image. The colors of a layer end at the 99th "
    "percentile of its magnitudes. Difference: of a matrix from that of the style, in Frobenius norms, relative to it."
)
MAX_FRAME_SIDE = 400  # pixels of a frame's longer side
_MOST_FRAMES = 48  # when there are more, every second one is dropped
_FRAME_S = 0.12

TitledImages = Sequence[tuple[str, Pixels]]
GramMatrix = NDArray[np.float64]  # (C, C)


def draw_results(rows: Sequence[TitledImages], styles: Sequence[InputImage]) -> bytes:
    """A PNG: one content image in one row with styles and results; several in a row each, with the styles last.

    A row is a content image and the images made from it.
    """
    style_row = [("style", style.image.values) for style in styles]
    if len(rows) == 1:
        content, *results = rows[0]
        rows = [[content, *style_row, *results]]
    else:
        rows = [*rows, style_row]
    sections = [Section([Panel(values, title) for title, values in row]) for row in rows]
    return Sheet("Style transfer", sections, columns=_PER_ROW, side=_RESULT_SIDE, is_smooth=True).png()


def draw_grams(images: Sequence[tuple[str, Mapping[str, Tensor]]], regions: Sequence[str]) -> bytes:
    """A PNG with a row per layer and region, and a column per image; the first one is the style.

    `images` are titles with Gram matrices (R, C, C) by layer, `regions` the names of the regions.
    """
    sections = []
    for layer in images[0][1]:
        for index, region in enumerate(regions or [""]):
            matrices = [(title, grams[layer][index].double().cpu().numpy()) for title, grams in images]
            heading = f"{layer}, {region}" if region else layer
            sections.append(_section(f"{heading}: {matrices[0][1].shape[0]} channels", matrices))
    return Sheet("Gram matrices", sections, _CAPTION, columns=max(len(images), 1), side=_SIDE).png()


def _section(heading: str, matrices: Sequence[tuple[str, GramMatrix]]) -> Section:
    values = np.stack([matrix for _, matrix in matrices])
    limit = float(np.percentile(np.abs(values), _PERCENTILE)) or float(np.abs(values).max()) or 1.0
    low = -limit if (values < 0).any() else 0.0
    distances = np.linalg.norm(values - values[0], axis=(1, 2)) / (np.linalg.norm(values[0]) or 1.0)
    panels = [
        Panel(colored(matrix, low, limit), title, f"difference {distance:.0%}" if number else "")
        for number, ((title, matrix), distance) in enumerate(zip(matrices, distances, strict=True))
    ]
    return Section(panels, heading, bar=ColorBar(low, limit, short_number(low), short_number(limit)))


class AnimationFrames:
    """The frames of `--animate`, uint8 (H, W, 3): at step 0 and then every `interval` steps of all scales together."""

    def __init__(self) -> None:
        self.images: list[Pixels] = []
        self._interval, self._step = 1, 0

    def add(self, draw: Callable[[], Pixels]) -> None:
        """Count a step, and add the frame that `draw` returns if it is the turn of one."""
        if self._step % self._interval == 0:
            self.images.append(draw())
        if len(self.images) > _MOST_FRAMES:
            self.images = self.images[::2]
            self._interval *= 2
        self._step += 1

    def gif(self, result: Pixels) -> bytes:
        """The animation, which ends with the result."""
        return image_gif([*self.images, result], _FRAME_S)

    def state(self) -> tuple[Tensor, dict[str, int]]:
        """A tensor and JSON values from which `load_state` continues."""
        return torch.from_numpy(np.stack(self.images)), {"interval": self._interval, "step": self._step}

    def load_state(self, images: Tensor, numbers: Mapping[str, Any]) -> None:
        """Continue from a `state`."""
        self.images = list(images.numpy())
        self._interval, self._step = numbers["interval"], numbers["step"]
