"""Every figure, drawn without a display and returned as PNG bytes that are the same for the same numbers."""

import io
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Okabe and Ito's blue and orange, told apart with any colour vision; red never stands without bold type or a star.
_BLUE, _ORANGE, _RED, _GREY = "#0072B2", "#E69F00", "#CC0000", "#666666"
_DPI = 120
SHOWN = 24  # pictures on the sheet of predictions
_COLUMNS = 6
_MOST_NUMBERED_CLASSES = 12  # classes up to which a confusion matrix has room for its counts
_LONGEST_NAME = 14


def curves(history: Sequence[dict[str, Any]], best_epoch: int | None) -> bytes:
    """Loss and accuracy of training and validation over the epochs, the chosen epoch marked."""
    from matplotlib.ticker import MaxNLocator

    figure = _figure(9.6, 4.0)
    epochs = [entry["epoch"] for entry in history]
    for position, name in enumerate(("loss", "accuracy")):
        axes = figure.add_subplot(1, 2, position + 1)
        for part, color, style in (("train", _ORANGE, "--"), ("validation", _BLUE, "-")):
            values = [entry[part].get(name) for entry in history]
            dot = "o" if len(epochs) <= 15 else None  # noqa: PLR2004  # few enough to mark
            axes.plot(
                epochs, [np.nan if v is None else v for v in values], style, color=color, label=part, marker=dot, ms=3
            )
        if best_epoch is not None:
            axes.axvline(best_epoch, color=_GREY, linewidth=1, linestyle=":")
            axes.plot(
                [best_epoch],
                [history[best_epoch - 1]["validation"][name]],
                "*",
                color=_RED,
                ms=11,
                label=f"chosen: epoch {best_epoch}",
                zorder=5,
            )
        axes.set_xlabel("epoch")
        axes.set_ylabel("cross-entropy (nats)" if name == "loss" else name)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.grid(alpha=0.3)
        axes.legend(frameon=False)
    return _png(figure)


def confusion(matrix: NDArray[np.int64], classes: Sequence[str]) -> bytes:
    """Confusion matrix (K, K): rows are true classes, shades their share, numbers the counts where there is room."""
    count = len(classes)
    side = min(max(3.2 + 0.42 * count, 4.2), 14.0)
    figure = _figure(side + 1.0, side)
    axes = figure.add_subplot()
    shares = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    image = axes.imshow(shares, cmap="cividis", vmin=0, vmax=1)
    figure.colorbar(image, ax=axes, label="share of the true class", fraction=0.046, pad=0.03)
    names = [_short(name) for name in classes]
    step = 1 if count <= 40 else 5  # noqa: PLR2004  # names that still fit
    size = 9 if count <= 20 else 6  # noqa: PLR2004  # likewise
    axes.set_xticks(range(0, count, step), names[::step], rotation=90 if count > 4 else 0, fontsize=size)  # noqa: PLR2004
    axes.set_yticks(range(0, count, step), names[::step], fontsize=size)
    axes.set_xlabel("predicted")
    axes.set_ylabel("true")
    axes.set_title(f"{int(np.trace(matrix)):,} of {int(matrix.sum()):,} right")
    if count <= _MOST_NUMBERED_CLASSES:
        for (row, column), value in np.ndenumerate(matrix):
            color = "black" if shares[row, column] > 0.6 else "white"  # noqa: PLR2004  # readable on the shade
            axes.text(column, row, f"{value}", ha="center", va="center", fontsize=8, color=color)
    return _png(figure)


def predictions(
    pictures: NDArray[np.uint8], labels: Sequence[int], predicted: Sequence[int], classes: Sequence[str]
) -> bytes:
    """A sheet of pictures uint8 (N, C, H, W), each titled "predicted (true)"; wrong ones in red."""
    rows = -(-len(pictures) // _COLUMNS)
    figure = _figure(9.6, 1.85 * rows)
    for i, picture in enumerate(pictures):
        axes = figure.add_subplot(rows, _COLUMNS, i + 1)
        _show(axes, picture)
        right = labels[i] == predicted[i]
        title = f"{_short(classes[predicted[i]])}\n({_short(classes[labels[i]])})"
        axes.set_title(title, fontsize=9, color="black" if right else _RED, fontweight="normal" if right else "bold")
    return _png(figure)


def _show(axes: "Axes", picture: NDArray[np.uint8]) -> None:
    pixels = picture[0] if len(picture) == 1 else picture.transpose(1, 2, 0)
    axes.imshow(pixels, cmap="gray", vmin=0, vmax=255, interpolation="nearest")
    axes.set_axis_off()


def _short(name: str) -> str:
    plain = name.replace("$", r"\$")
    return plain if len(plain) <= _LONGEST_NAME else plain[: _LONGEST_NAME - 1] + "…"


def _figure(width: float, height: float) -> "Figure":
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), dpi=_DPI, layout="constrained")


def _png(figure: "Figure") -> bytes:
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    FigureCanvasAgg(figure)
    stream = io.BytesIO()
    figure.savefig(stream, format="png", metadata={"Software": None})
    return stream.getvalue()
