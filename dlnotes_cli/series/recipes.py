"""Recipes of `series train`: hyperparameters that work together."""

from dataclasses import dataclass
from typing import Literal

from dlnotes_cli.data.series.choices import Scaling
from dlnotes_cli.models.choices import CellType
from dlnotes_cli.training.recipes import LengthDefaults, Recipe

Mode = Literal["direct", "free"]
AUTO = 0  # of a window or horizon: chosen from the season


@dataclass(frozen=True, kw_only=True)
class SeriesRecipe(Recipe):
    """What training a forecasting network decides as well."""

    cell: CellType
    hidden: int
    layers: int
    dropout: float
    window: int
    horizon: int
    mode: Mode
    normalize: Scaling
    val_split: float
    skip: bool  # add the last value and a linear map of the window; not an option of the command
    eval_every: int | None = None  # steps; None: once per epoch; not an option of the command
    is_carried: bool  # read the series in order, with the hidden state carried over; not an option of the command


BEST = SeriesRecipe(
    optimizer="adamw", lr=3e-3, momentum=0.9, schedule="one-cycle", weight_decay=0.05, ema=0.0, grad_clip=1.0,
    cell="gru", hidden=64, layers=1, dropout=0.0, window=AUTO, horizon=AUTO, mode="direct", normalize="standard",
    val_split=0.2, skip=True, is_carried=False,
    length=LengthDefaults(epochs=4, batch_size=64, min_steps=500),
)  # fmt: skip
# The course's notebook: a sine in 75 consecutive windows, each of one step of Adam.
NOTES = SeriesRecipe(
    optimizer="adam", lr=1e-2, momentum=0.0, schedule="constant", weight_decay=0.0, ema=0.0, grad_clip=0.0,
    cell="rnn", hidden=32, layers=1, dropout=0.0, window=20, horizon=20, mode="free", normalize="none",
    val_split=0.25, skip=False, is_carried=True, eval_every=15,
    length=LengthDefaults(epochs=1, batch_size=1, is_fixed=True),
)  # fmt: skip
