"""The heat map of a text."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from dlnotes_cli.plots.figure import new_figure, png
from dlnotes_cli.plots.names import plain

_TEXT_COLUMNS, _TEXT_LINES = 80, 200
_MOST_BITS, _DARK_BITS = 8.0, 4.0  # where the colors end; below which the background is dark


def draw_heat_map(text: str, values: NDArray[np.floating[Any]], title: str) -> bytes:
    """The first lines of a text, each character on a background colored by its value (N,) in bits; nan has no color."""
    lines = _wrapped(text, values)[:_TEXT_LINES]
    width = max(map(len, lines))
    figure = new_figure(0.115 * max(width, 30) + 1.6, 0.22 * len(lines) + 0.9)
    axes = figure.add_subplot()
    grid = np.full((len(lines), width), np.nan)
    for row, cells in enumerate(lines):
        for column, (character, value) in enumerate(cells):
            grid[row, column] = value
            shown = {"\n": "¶", " ": "", "\t": "→"}.get(character, character if character.isprintable() else "·")
            color = "white" if value < _DARK_BITS else "black"
            axes.text(column, row, plain(shown), ha="center", va="center", fontsize=8, color=color)
    image = axes.imshow(grid, cmap="cividis", vmin=0, vmax=_MOST_BITS, aspect="auto")
    figure.colorbar(image, ax=axes, label="surprisal (bits)", fraction=0.046, pad=0.02, extend="max")
    axes.set_axis_off()
    axes.set_title(plain(title), fontsize=10)
    return png(figure)


def _wrapped(text: str, values: NDArray[np.floating[Any]]) -> list[list[tuple[str, float]]]:
    """Pairs of character and value in lines that end at a newline or after 80 characters."""
    lines: list[list[tuple[str, float]]] = [[]]
    for character, value in zip(text, values.tolist(), strict=True):
        lines[-1].append((character, value))
        if character == "\n" or len(lines[-1]) == _TEXT_COLUMNS:
            lines.append([])
    return [line for line in lines if line]
