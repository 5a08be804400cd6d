"""The baseline that is trained: ridge regression from a window to the next rows."""

import torch
from torch import Tensor

from dlnotes_cli.series.evaluation import evenly_spaced
from dlnotes_cli.series.frames import Frames

_PENALTY = 1.0  # of scikit-learn's Ridge
_MOST_VALUES = 1 << 23  # of the windows and targets that it is fitted to, in 64-bit floating point


def fit_linear(frames: Frames, window: int, horizon: int) -> tuple[Tensor, Tensor]:
    """Weight (horizon, window) and bias (horizon,) of ridge regression on the target column of the training rows.

    It is fitted to all training windows, or to evenly spaced ones if they are very many.
    """
    from sklearn.linear_model import Ridge

    origins = frames.origins("train", window, horizon)
    origins = evenly_spaced(origins, max(_MOST_VALUES // (window + horizon), 1))
    windows = frames.targets(origins - window, window)
    ridge = Ridge(alpha=_PENALTY).fit(windows, frames.targets(origins, horizon))
    weight, bias = torch.from_numpy(ridge.coef_).float(), torch.from_numpy(ridge.intercept_).float()
    return weight.view(horizon, window), bias.view(horizon)
