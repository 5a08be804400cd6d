"""The heat maps of `trace MODEL --text`: a panel for each gate, a row for each unit, a column for each character."""

import numpy as np

from dlnotes_cli.lessons.trace.cells import LABELS
from dlnotes_cli.lessons.trace.text_trace import TextTrace
from dlnotes_cli.plots.figure import new_figure, png
from dlnotes_cli.plots.names import plain

_MOST_CHARACTERS = 150
_SIGMOIDS = "iforz"  # gates between 0 and 1; the others have both signs
_SPECIAL = {"\n": "¶", " ": "␣", "\t": "→"}


def draw_text(result: TextTrace) -> bytes:
    """The gates of the chosen units for the first characters of the text."""
    count = min(len(next(iter(result.units[0].gates.values()))), _MOST_CHARACTERS)
    names = list(result.units[0].gates)
    figure = new_figure(max(0.105 * count + 3.4, 7.5), len(names) * (0.17 * len(result.units) + 0.55) + 0.6)
    panels = figure.subplots(len(names), 1, squeeze=False, sharex=True)[:, 0]
    rows = [f"layer {unit.layer}, {unit.unit}: {unit.follows} {unit.correlation:+.2f}" for unit in result.units]
    shown = [_SPECIAL.get(c, c if c.isprintable() else "·") for c in result.text[:count].ljust(count)]
    for axes, name in zip(panels, names, strict=True):
        values = np.array([unit.gates[name][:count] for unit in result.units])
        if name in _SIGMOIDS:
            image = axes.imshow(values, aspect="auto", cmap="cividis", vmin=0, vmax=1, interpolation="nearest")
        else:
            largest = max(1.0, float(np.abs(values).max()))
            image = axes.imshow(
                values, aspect="auto", cmap="RdBu_r", vmin=-largest, vmax=largest, interpolation="nearest"
            )
        figure.colorbar(image, ax=axes, fraction=0.02, pad=0.01).ax.tick_params(labelsize=6)
        axes.set_yticks(range(len(rows)), rows, fontsize=7)
        axes.set_title(f"{LABELS[name]} {name}", fontsize=9, loc="left")
        axes.set_xticks(range(count), [plain(c) for c in shown], fontsize=6.5)
        axes.tick_params(axis="x", length=0, labelbottom=True)
    state = "cell state" if "c" in names else "hidden state"
    figure.suptitle(
        f"layer, unit, and the feature of the text that its {state} follows, with the correlation", fontsize=9
    )
    return png(figure)
