"""Forecasting network: a recurrent network reads a window of a time series and forecasts the next steps."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from dlnotes_cli.networks.choices import CellType

_CELLS: dict[str, Any] = {"lstm": nn.LSTM, "gru": nn.GRU, "rnn": nn.RNN}
_MAX_SIZE, _MAX_LAYERS, _MAX_ROWS = 1 << 20, 64, 1 << 31


@dataclass(frozen=True)
class SeriesRnnConfig:
    """Everything needed to build the network; stored in the model file."""

    cell: CellType = "gru"
    hidden: int = 64
    layers: int = 1
    dropout: float = 0.0
    channels: int = 1  # values of a row: the target, inputs, and what is known about the future
    future: int = 0  # the last of them, which are known in the future
    window: int = 48  # rows that the network reads
    horizon: int = 24  # rows that it forecasts at once
    segment: int = 1  # rows that it reads in one step
    skip: bool = True  # add the last value and a linear map of the window
    carried: bool = False  # carry the hidden state over while a forecast of one row is fed back
    evaluated: int = 24  # rows that the stored linear autoregression forecasts
    history: tuple[int, ...] = ()  # stored rows of each group

    def __post_init__(self) -> None:
        """Raise ValueError if no network can have this configuration."""
        sizes = (self.hidden, self.channels, self.window, self.horizon, self.segment, self.evaluated)
        if not all(1 <= size <= _MAX_SIZE for size in sizes) or self.segment > self.window:
            raise ValueError("hidden size, channels, window, horizon or segment")
        if not 1 <= self.layers <= _MAX_LAYERS or not 0 <= self.future < self.channels:
            raise ValueError("number of layers or of future inputs")
        if not 0 <= self.dropout < 1:
            raise ValueError("dropout probability")
        if self.carried and (self.skip or self.segment > 1 or self.horizon > 1 or self.future + 1 < self.channels):
            raise ValueError("carried hidden state")
        if not all(rows >= 1 for rows in self.history) or sum(self.history) > _MAX_ROWS:
            raise ValueError("rows of the history")


class SeriesRnn(nn.Module):
    """Recurrent layers over the window, and a linear layer from the last hidden state to all steps of the horizon.

    With `skip`, the network reads differences from the last value, and its forecast is that value, plus a linear map
    of the window (the autoregressive part of LSTNet, Lai et al. 2018, arXiv:1703.07015, on the differences of NLinear,
    Zeng et al. 2022, arXiv:2205.13504), plus what the recurrent layers add. Before training the forecast is the last
    value. A long window is read in segments of several rows, which takes fewer steps (SegRNN, Lin et al. 2023,
    arXiv:2308.11200).

    The buffers are no part of the forecast: `history` has the last rows of each group, scaled, so that a model file can
    forecast on its own, and `linear_weight` and `linear_bias` are the baseline that the network is compared with.
    """

    history: Tensor  # float32 (rows, channels); 0 where `history_known` is 0
    history_known: Tensor  # uint8 (rows,)
    linear_weight: Tensor  # float32 (evaluated, window)
    linear_bias: Tensor  # float32 (evaluated,)

    def __init__(self, config: SeriesRnnConfig) -> None:
        super().__init__()
        self.config = config
        self.rnn = _CELLS[config.cell](
            config.channels * config.segment, config.hidden, num_layers=config.layers, batch_first=True
        )
        self.dropout = nn.Dropout(config.dropout)
        self.output = nn.Linear(config.hidden, config.horizon)
        self.linear = nn.Linear(config.window, config.horizon, bias=False) if config.skip else None
        reads_future = config.future > 0 and not config.carried
        self.step_state = nn.Linear(config.hidden, config.hidden) if reads_future else None
        self.step_future = nn.Linear(config.future, config.hidden, bias=False) if reads_future else None
        self.step_output = nn.Linear(config.hidden, 1, bias=False) if reads_future else None
        if self.linear is not None:
            for parameter in (self.linear.weight, self.output.weight, self.output.bias):
                nn.init.zeros_(parameter)
        self.register_buffer("history", torch.zeros(sum(config.history), config.channels))
        self.register_buffer("history_known", torch.zeros(sum(config.history), dtype=torch.uint8))
        self.register_buffer("linear_weight", torch.zeros(config.evaluated, config.window))
        self.register_buffer("linear_bias", torch.zeros(config.evaluated))

    def forward(self, window: Tensor, future: Tensor | None = None, state: Any = None) -> Any:
        """Forecasts (B, horizon) from windows (B, window, channels) and what is known (B, horizon, future).

        Without `future` the forecasts and the state of `every_step`, which training with a carried state takes.
        """
        if future is None:
            return self.every_step(window, state)
        level = window[:, -1:, 0]
        if self.linear is not None:
            window = torch.cat([window[..., :1] - level[..., None], window[..., 1:]], dim=2)
        states, _ = self.rnn(self._segments(window))
        state = self.dropout(states[:, -1])
        forecast: Tensor = self.output(state)
        if self.step_future is not None and self.step_state is not None and self.step_output is not None:
            steps = torch.relu(self.step_state(state)[:, None] + self.step_future(future))  # (B, horizon, hidden)
            forecast = forecast + self.step_output(steps)[..., 0]
        return forecast if self.linear is None else level + self.linear(window[..., 0]) + forecast

    def every_step(self, rows: Tensor, state: Any = None) -> tuple[Tensor, Any]:
        """Forecasts (B * T, 1) of the next row after each of (B, T, channels), and the state; for a horizon of 1."""
        states, state = self.rnn(rows, state)
        return self.output(states).view(-1, 1), state

    def free_run(self, window: Tensor, future: Tensor) -> Tensor:
        """Forecasts (B, T) of one row after the other, each fed back, from windows and what is known (B, T, future).

        The network reads the window once; from then on its hidden state is carried over. For a segment of 1 without
        `skip`.
        """
        states, state = self.rnn(window)
        forecasts = [self.output(states[:, -1])]
        for step in range(future.shape[1] - 1):
            row = torch.cat([forecasts[-1], future[:, step]], dim=1)[:, None]
            states, state = self.rnn(row, state)
            forecasts.append(self.output(states[:, -1]))
        return torch.cat(forecasts, dim=1)

    def _segments(self, window: Tensor) -> Tensor:
        """The window in steps (B, T, segment * channels); the first is padded in front with zeros."""
        size = self.config.segment
        if size == 1:
            return window
        padding = -window.shape[1] % size
        padded = nn.functional.pad(window, (0, 0, padding, 0))
        return padded.reshape(len(window), -1, size * window.shape[2])
