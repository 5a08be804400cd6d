"""The files of `explain`: the values of each map, the image with its heat, and the contact sheet."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from dlnotes_cli.data.array_files import write_npy
from dlnotes_cli.data.images.geometry import Region
from dlnotes_cli.data.images.image_io import LoadedImage, save_image
from dlnotes_cli.explain.heat import Floats, brightness, largest_part, overlay, smoothed, spread
from dlnotes_cli.explain.methods import PIXEL_METHODS, Wording
from dlnotes_cli.explain.options import CAM_METHODS, ExplainConfig
from dlnotes_cli.explain.outputs import OutputFiles, OutputPlan
from dlnotes_cli.explain.sheet import ClassMap, ExplanationPanels, ExplanationRow, draw_explanations, heat_colors
from dlnotes_cli.inference.inspection import PlacedImage, upright_pixels
from dlnotes_cli.shell import files, output

_MOST_ROWS = 24  # of a sheet
_WIDE = 0.5  # part of the input that a box must not exceed
_SQUARE = 4  # pixels of the image for one of the input, from which on it is drawn as a square
_LARGEST_SIDE, _SMALLEST_SIDE = 480, 160  # pixels of an image on the sheet


class Drawings:
    """Writes the files of each image as soon as it is explained, and collects the rows of the sheet."""

    def __init__(self, config: ExplainConfig, plan: OutputPlan) -> None:
        self._config, self._plan = config, plan
        self._rows: list[ExplanationRow] = []
        self._images = self._shown = 0

    def add(self, image: PlacedImage, maps: Sequence[ClassMap]) -> list[OutputFiles]:
        """Write the files of an image, and return their paths for each of its maps."""
        self._images += 1
        planned = [self._plan.files(image.path, one.requested) for one in maps]
        has_row = self._config.sheet_file is not None and len(self._rows) < _MOST_ROWS
        for one, paths in zip(maps, planned, strict=True):
            if paths.map is not None:
                self._plan.make_folder_of("--maps", paths.map)
                write_npy(paths.map, one.values)
        if self._config.out is None and not has_row:
            return planned
        upright = upright_pixels(image.path, self._config.max_pixels)
        for one, paths in zip(maps, planned, strict=True):
            if paths.out is not None:
                self._plan.make_folder_of("--out", paths.out)
                heat = self._heat(one.values, image, upright)
                save_image(paths.out, LoadedImage(overlay(upright, heat, heat_colors())))
        if has_row:
            self._shown += 1
            self._rows.append(self._row(image, _on_sheet(upright), maps))
        return planned

    def write_sheet(self, wording: Wording) -> Path | None:
        """Write the sheet, if there is one, and return its path; `wording` has its texts."""
        sheet = self._config.sheet_file
        if sheet is not None:
            if self._images > self._shown:
                output.note(f"{sheet} shows the first {self._shown} of {self._images} images")
            files.atomic_write(sheet, draw_explanations(self._rows, wording))
        return sheet

    def _heat(self, values: Floats, image: PlacedImage, pixels: NDArray[np.uint8]) -> Floats:
        """A map as brightness on the pixels (H, W, 3) of the image.

        Maps of single pixels are smoothed a little; the pixels of a small input stay squares, like those of the image.
        """
        method = self._config.method
        has_squares = method not in CAM_METHODS and max(pixels.shape) >= _SQUARE * max(values.shape)
        bright = brightness(smoothed(values) if method in PIXEL_METHODS and not has_squares else values)
        return spread(bright, image.geometry, pixels.shape[:2], smooth=not has_squares)

    def _row(self, image: PlacedImage, pixels: NDArray[np.uint8], maps: Sequence[ClassMap]) -> ExplanationRow:
        """An image on the sheet, and its maps, the most probable class first."""
        panels = []
        for one in sorted(maps, key=lambda found: -found.probability):
            heat = self._heat(one.values, image, pixels)
            box, is_part = self._box(one)
            on_pixels = None if box is None else _on_pixels(image, pixels, image.geometry.box_in_upright(box))
            randomized = None if one.randomized is None else self._heat(one.randomized, image, pixels)
            shown = overlay(pixels, heat, heat_colors())
            panels.append(ExplanationPanels(one, heat, shown, on_pixels, is_part, randomized))
        width, height = image.geometry.input
        seen = image.geometry.box_in_upright((0.0, 0.0, float(width), float(height)))
        return ExplanationRow("/".join(image.path.parts[-2:]), pixels, _on_pixels(image, pixels, seen), panels)

    def _box(self, one: ClassMap) -> tuple[Region | None, bool]:
        """The box to draw, of the network's input: of the highest 20%, or where it is wide, of their largest part."""
        if one.region is None:
            return None, False
        if not _is_wide(one.region.box, one.at_input):
            return one.region.box, False
        is_pixels = self._config.method in PIXEL_METHODS
        part = largest_part(smoothed(one.at_input) if is_pixels else one.at_input)
        return (None if part is None or _is_wide(part, one.at_input) else part), True


def _is_wide(box: Region, values: Floats) -> bool:
    x0, y0, x1, y1 = box
    return (x1 - x0) * (y1 - y0) > _WIDE * values.size


def _on_pixels(image: PlacedImage, pixels: NDArray[np.uint8], box: Region) -> tuple[float, ...]:
    """A box of the upright image in pixels of the image on the sheet."""
    scale = pixels.shape[1] / image.geometry.upright[0]
    return tuple(scale * edge for edge in box)


def _on_sheet(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """An image (H, W, 3) at its size on the sheet, where the pixels of a tiny image are squares."""
    height, width = pixels.shape[:2]
    longest = max(height, width)
    scale = min(max(longest, _SMALLEST_SIDE), _LARGEST_SIDE) / longest
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    method = Image.Resampling.NEAREST if scale > 1 else Image.Resampling.BOX
    return np.asarray(Image.fromarray(pixels).resize(size, method))
