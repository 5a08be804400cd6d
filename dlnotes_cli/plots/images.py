"""Sheets of images: predictions, augmented variants, images side by side."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dlnotes_cli.plots.figure import GRAY, RED, Sheet
from dlnotes_cli.plots.names import columns, distinct_names, plain, shortened, wrapped

PREDICTIONS_SHOWN = 24  # images in the grid of predictions, of which up to half are mistakes
_GRID_COLUMNS = 6
_SIDE, _GAP = 1.5, 0.14  # inches of an image and between two images
_LINE, _HEADING = 0.135, 0.34  # inches of a line of a caption, and of a heading
_CAPTION_COLUMNS = 22
_NAME_WIDTH, _NAME_COLUMNS, _NAME_LINES = 1.2, 14, 3  # of a row of variants, in inches, columns and lines
_LARGE_SIDE = 3.1  # inches of images side by side


@dataclass(frozen=True)
class ShownPrediction:
    """An image uint8 (C, H, W), its class, the predicted class and its probability."""

    image: NDArray[np.uint8]
    label: int
    predicted: int
    probability: float

    @property
    def is_correct(self) -> bool:
        """Whether the predicted class is the true one."""
        return self.label == self.predicted


def draw_predictions(shown: Sequence[ShownPrediction], classes: Sequence[str], mistakes: int, samples: int) -> bytes:
    """A grid of images, each with the caption "predicted (true)" and the probability: mistakes in red, correct ones.

    `mistakes` of all `samples` are wrong, of which `shown` has some.
    """
    names = distinct_names(classes, _CAPTION_COLUMNS)
    captioned = [(prediction, _caption(prediction, names)) for prediction in shown]
    wrong = [(prediction, caption) for prediction, caption in captioned if not prediction.is_correct]
    correct = [(prediction, caption) for prediction, caption in captioned if prediction.is_correct]
    sections = [
        (f"mistakes: {len(wrong):,} of {mistakes:,}, the most confident first", wrong),
        (f"correct: {len(correct):,} of {samples - mistakes:,}", correct),
    ]
    pitch = _SIDE + 0.16 + _LINE * max(len(caption) for _, caption in captioned)
    rows = sum(-(-len(section) // _GRID_COLUMNS) for _, section in sections)
    width = _GRID_COLUMNS * (_SIDE + _GAP) - _GAP
    sheet = Sheet(width, rows * pitch + 2 * _HEADING)
    sheet.text(width, 0, "predicted class (true class), probability", ha="right", color=GRAY)
    top = 0.0
    for heading, section in sections:
        if section:
            sheet.text(0, top, heading, fontsize=11)
            _draw_section(sheet, top + _HEADING, pitch, section)
            top += _HEADING + -(-len(section) // _GRID_COLUMNS) * pitch
    return sheet.png()


def _caption(prediction: ShownPrediction, names: Sequence[str]) -> list[str]:
    """The classes in one line, or in two where they are long, and the probability of the predicted one."""
    predicted, true = names[prediction.predicted], f"({names[prediction.label]})"
    classes = f"{predicted} {true}"
    return [
        *([classes] if columns(classes) <= _CAPTION_COLUMNS else [predicted, true]),
        f"{prediction.probability:.1%}",
    ]


def _draw_section(
    sheet: Sheet, top: float, pitch: float, section: Sequence[tuple[ShownPrediction, Sequence[str]]]
) -> None:
    for i, (prediction, caption) in enumerate(section):
        row, column = divmod(i, _GRID_COLUMNS)
        left, y = column * (_SIDE + _GAP), top + row * pitch
        sheet.image(prediction.image, left, y, _SIDE, _SIDE)
        color, weight = ("black", "normal") if prediction.is_correct else (RED, "bold")
        style = {"ha": "center", "fontsize": 8, "color": color, "fontweight": weight}
        sheet.text(left + _SIDE / 2, y + _SIDE + 0.04, "\n".join(map(plain, caption)), **style)


def draw_variants(
    rows: NDArray[np.uint8], names: Sequence[str], captions: Sequence[Sequence[str]], title: str
) -> bytes:
    """A sheet of images uint8 (N, 1 + V, C, H, W): each row has a name, an original and its V variants.

    `captions` (N, V) are lines below the variants, or empty.
    """
    count, width = rows.shape[:2]
    pitch = _SIDE + _GAP + 2 * _LINE * any(map(any, captions))
    left, top = _NAME_WIDTH, 0.62
    sheet = Sheet(left + width * (_SIDE + _GAP), top + count * pitch)
    sheet.text(0, 0, plain(shortened(title, 11 * (width + 1))), fontsize=11)
    shown = distinct_names(names, _NAME_COLUMNS * _NAME_LINES)
    for i, images in enumerate(rows):
        y = top + i * pitch
        name = "\n".join(map(plain, wrapped(shown[i], _NAME_COLUMNS, _NAME_LINES)))
        sheet.text(left - 0.1, y + _SIDE / 2, name, ha="right", va="center", fontsize=9)
        for j, image in enumerate(images):
            x = left + j * (_SIDE + _GAP)
            if i == 0:
                heading = "original" if j == 0 else f"variant {j}"
                sheet.text(x + _SIDE / 2, top - 0.06, heading, ha="center", va="bottom", fontsize=9)
            sheet.image(image, x, y, _SIDE, _SIDE)
            if j:
                sheet.text(x + _SIDE / 2, y + _SIDE + 0.04, captions[i][j - 1], ha="center", fontsize=8)
    return sheet.png()


def draw_side_by_side(images: Sequence[tuple[str, NDArray[np.uint8]]], per_row: int | None = None) -> bytes:
    """A grid of named images uint8 (H, W, C) with `per_row` columns, by default at most 6."""
    per_row = per_row or min(len(images), _GRID_COLUMNS)
    rows = -(-len(images) // per_row)
    # Rows of images that are wider than high are as high as these.
    height = _LARGE_SIDE * min(1.0, max(values.shape[0] / values.shape[1] for _, values in images))
    pitch = height + 0.4
    sheet = Sheet(per_row * (_LARGE_SIDE + _GAP), rows * pitch)
    for i, (name, values) in enumerate(images):
        row, column = divmod(i, per_row)
        left, top = column * (_LARGE_SIDE + _GAP), row * pitch + 0.26
        sheet.text(
            left + _LARGE_SIDE / 2, top - 0.06, plain(shortened(name, 42)), ha="center", va="bottom", fontsize=10
        )
        sheet.image(values.transpose(2, 0, 1), left, top, _LARGE_SIDE, height)
    return sheet.png()
