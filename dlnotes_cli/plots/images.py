"""Sheets of images: predictions, augmented variants, images side by side."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dlnotes_cli.plots.figure import RED
from dlnotes_cli.plots.names import distinct_names
from dlnotes_cli.plots.sheet import Panel, Section, Sheet, gray_to_rgb

PREDICTIONS_SHOWN = 24  # images in the grid of predictions, of which up to half are mistakes
_PER_ROW = 6
_SIDE, _LARGE_SIDE = 180, 372  # pixels of an image, and of one of several side by side
_NAME_COLUMNS = 22


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


def draw_predictions(
    shown: Sequence[ShownPrediction], classes: Sequence[str], mistakes: int, samples: int, title: str = "Predictions"
) -> bytes:
    """A sheet of images with the predicted class and its probability: mistakes in red with their class, correct ones.

    `mistakes` of all `samples` are wrong, of which `shown` has some.
    """
    names = distinct_names(classes, _NAME_COLUMNS)
    wrong = [
        Panel(
            gray_to_rgb(one.image), f"{names[one.predicted]}\n({names[one.label]})", f"{one.probability:.1%}", color=RED
        )
        for one in shown
        if not one.is_correct
    ]
    correct = [
        Panel(gray_to_rgb(one.image), names[one.predicted], f"{one.probability:.1%}") for one in shown if one.is_correct
    ]
    sections = [
        Section(wrong, f"mistakes: {len(wrong):,} of {mistakes:,}, the most confident first"),
        Section(correct, f"correct: {len(correct):,} of {samples - mistakes:,}"),
    ]
    caption = "Below: the predicted class, of a mistake also the true class in brackets, and the probability."
    return Sheet(title, [one for one in sections if one.panels], caption, _PER_ROW, _SIDE).png()


def draw_variants(
    rows: NDArray[np.uint8], names: Sequence[str], captions: Sequence[Sequence[str]], title: str
) -> bytes:
    """A sheet of images uint8 (N, 1 + V, C, H, W): each row has a name, an original and its V variants.

    `captions` (N, V) are lines below the variants, or empty.
    """
    labels = ["original", *(f"variant {j}" for j in range(1, rows.shape[1]))]
    sections = [
        Section(
            [
                Panel(gray_to_rgb(image), label, note)
                for image, label, note in zip(images, labels, ["", *notes], strict=True)
            ],
            name,
        )
        for images, notes, name in zip(rows, captions, distinct_names(names, 60), strict=True)
    ]
    return Sheet(title, sections, columns=len(labels), side=_SIDE).png()


def draw_side_by_side(images: Sequence[tuple[str, NDArray[np.uint8]]], per_row: int | None = None) -> bytes:
    """A grid of named images uint8 (H, W, C) with `per_row` columns, by default at most 6."""
    panels = [Panel(gray_to_rgb(values.transpose(2, 0, 1)), name) for name, values in images]
    rows = [panels[start : start + (per_row or _PER_ROW)] for start in range(0, len(panels), per_row or _PER_ROW)]
    return Sheet(
        "", [Section(row) for row in rows], columns=per_row or _PER_ROW, side=_LARGE_SIDE, is_smooth=True
    ).png()
