"""Early stopping, replayed on the validations of finished runs: where training would have ended, and what it kept."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from dlnotes_cli.plots.curves import StoppingPanel, draw_early_stopping
from dlnotes_cli.runs.options import EarlyStoppingConfig
from dlnotes_cli.shell import files
from dlnotes_cli.shell.codec import build, parse_object
from dlnotes_cli.shell.errors import InputError
from dlnotes_cli.shell.files import read_file
from dlnotes_cli.shell.show import Table, check_outputs
from dlnotes_cli.training.run_folder import METRICS

_LARGEST_FILE = 1 << 28  # bytes
_FIX = "name a run folder, or the metrics.jsonl of one"


@dataclass(frozen=True)
class Replay:
    """What training with one patience would have done."""

    patience: int
    stop_epoch: int | None  # None: it would not have stopped
    kept_epoch: int
    value: float  # of the monitored metric, in the epoch that is kept
    validations: int  # until it stopped


@dataclass(frozen=True)
class ReplayedRun:
    """The replays of one run."""

    run: str
    file: str
    epochs: int
    validations: int
    replays: tuple[Replay, ...]


@dataclass(frozen=True)
class EarlyStoppingResult:
    """Early stopping with several patiences on several runs."""

    monitor: str
    runs: tuple[ReplayedRun, ...]
    plot: Path | None

    @property
    def paths(self) -> list[Path]:
        """The plot, where there is one."""
        return [] if self.plot is None else [self.plot]

    def table(self) -> Iterator[Table]:
        """A row for each run and patience."""
        rows = [
            (
                run.run, replay.patience, "never" if replay.stop_epoch is None else replay.stop_epoch,
                replay.kept_epoch, f"{replay.value:.6g}", f"{replay.validations} of {run.validations}",
            )
            for run in self.runs
            for replay in run.replays
        ]  # fmt: skip
        columns = ("patience", "stops after epoch", "keeps epoch", self.monitor, "validations")
        yield Table(("run", *columns), rows, numeric=columns, is_result=True)


class _Validation(NamedTuple):
    """A line of metrics.jsonl: its epoch, the monitored metric, and the loss, which decides between equal ones."""

    epoch: int
    value: float
    rank: tuple[float, ...]


def replay_early_stopping(config: EarlyStoppingConfig) -> EarlyStoppingResult:
    """Replay early stopping on the validations of runs, and draw the plot.

    Raises InputError for a run without a history of the monitored metric, and for a plot that may not be written.
    """
    check_outputs(config)
    patiences, runs, panels = sorted(set(config.patience)), [], []
    for path in config.runs:
        file = path / METRICS if path.is_dir() else path
        history = _read(file, config.monitor)
        epochs, values = [entry.epoch for entry in history], [entry.value for entry in history]
        stops = [stopped_at([entry.rank for entry in history], patience) for patience in patiences]
        replays = tuple(
            Replay(
                patience, None if stop is None else epochs[stop], epochs[kept], values[kept],
                len(history) if stop is None else stop + 1,
            )
            for patience, (stop, kept) in zip(patiences, stops, strict=True)
        )  # fmt: skip
        runs.append(ReplayedRun(str(path), str(file), epochs[-1], len(history), replays))
        name = path.resolve().name if path.is_dir() else path.resolve().parent.name or path.stem
        axis, positions = "epoch", epochs
        if len(set(epochs)) < len(epochs):
            axis, positions = "validation", list(range(1, len(history) + 1))
        panels.append(StoppingPanel(name, positions, values, axis, patiences, stops))
    if config.plot is not None:
        files.atomic_write(config.plot, draw_early_stopping(panels, config.monitor))
    return EarlyStoppingResult(config.monitor, tuple(runs), config.plot)


def stopped_at(ranks: Sequence[tuple[float, ...]], patience: int) -> tuple[int | None, int]:
    """Where training stops and what it keeps, as positions in the ranks of its validations, the best one the largest.

    It stops after `patience` validations in a row without an improvement, as `--patience` does; None: it does not stop.

    >>> stopped_at([(1,), (3,), (2,), (2,), (4,)], 2), stopped_at([(1,), (3,), (2,), (2,), (4,)], 3)
    ((3, 1), (None, 4))
    """
    best = -1
    for i, rank in enumerate(ranks):
        if all(map(math.isfinite, rank)) and (best < 0 or rank > ranks[best]):
            best = i
        if i - best >= patience:
            return i, max(best, 0)
    return None, max(best, 0)


def _read(path: Path, monitor: str) -> list[_Validation]:
    """The validations of a history file, in order. Raises InputError naming a line that is invalid."""
    content = read_file(path, _LARGEST_FILE, _FIX)
    history = []
    for number, line in enumerate(content.decode("utf-8", "replace").splitlines(), start=1):
        try:
            entry = parse_object(line)
            metrics = [entry["validation"][name] for name in ("loss", monitor.replace("-", "_"))]
            epoch, numbers = build(int, entry["epoch"]), build(list[float | None], metrics)
        except (KeyError, TypeError, ValueError, RecursionError) as error:
            raise InputError(path, f"line {number} is no validation with {monitor}", _FIX) from error
        loss, value = (math.nan if one is None else float(one) for one in numbers)
        history.append(_Validation(epoch, value, (-loss,) if monitor == "loss" else (value, -loss)))
    if not any(math.isfinite(entry.value) for entry in history):
        raise InputError(path, f"has no validation with {monitor}", _FIX)
    return history
