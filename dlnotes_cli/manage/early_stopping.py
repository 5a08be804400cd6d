"""Early stopping, replayed on the validations of finished runs: where training would have ended, and what it kept."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dlnotes_cli.manage.options import EarlyStoppingConfig
from dlnotes_cli.plots.early_stopping import StoppingPanel, draw_early_stopping
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


@dataclass(frozen=True)
class _Validation:
    """A line of metrics.jsonl: its epoch, the monitored metric, and the loss, which decides between equal ones."""

    epoch: int
    value: float
    rank: tuple[float, ...]


def replay_early_stopping(config: EarlyStoppingConfig) -> EarlyStoppingResult:
    """Replay early stopping on the validations of runs, and draw the plot.

    Raises InputError for a run without a history of the monitored metric, and for a plot that may not be written.
    """
    check_outputs(config)
    patiences = tuple(sorted(set(config.patience)))
    runs, panels = [], []
    for path in config.runs:
        file = path / METRICS if path.is_dir() else path
        history = _read(file, config.monitor)
        name = path.resolve().name if path.is_dir() else path.resolve().parent.name or path.stem
        replays = tuple(_replay(history, patience) for patience in patiences)
        runs.append(ReplayedRun(str(path), str(file), history[-1].epoch, len(history), replays))
        panels.append(_panel(name, history, replays))
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


def _replay(history: Sequence[_Validation], patience: int) -> Replay:
    stop, kept = stopped_at([entry.rank for entry in history], patience)
    epoch = None if stop is None else history[stop].epoch
    count = len(history) if stop is None else stop + 1
    return Replay(patience, epoch, history[kept].epoch, history[kept].value, count)


def _read(path: Path, monitor: str) -> list[_Validation]:
    """The validations of a history file, in order. Raises InputError naming a line that is invalid."""
    content = read_file(path, _LARGEST_FILE, _FIX)
    history = []
    for number, line in enumerate(content.decode("utf-8", "replace").splitlines(), start=1):
        try:
            history.append(_validation(parse_object(line), monitor))
        except (KeyError, TypeError, ValueError, RecursionError) as error:
            what = f"line {number} is no validation with {monitor}"
            raise InputError(path, what, _FIX) from error
    if not history or not any(math.isfinite(entry.value) for entry in history):
        raise InputError(path, f"has no validation with {monitor}", _FIX)
    return history


def _validation(entry: dict[str, Any], monitor: str) -> _Validation:
    """A line of metrics.jsonl. Raises KeyError or TypeError where it lacks a field or has one of another type."""
    metrics = entry["validation"]
    loss, value = metrics["loss"], metrics[monitor.replace("-", "_")]
    build(int, entry["epoch"])
    build(list[float | None], [loss, value])
    loss, value = (math.nan if number is None else float(number) for number in (loss, value))
    return _Validation(entry["epoch"], value, (-loss,) if monitor == "loss" else (value, -loss))


def _panel(name: str, history: Sequence[_Validation], replays: Sequence[Replay]) -> StoppingPanel:
    positions = [stopped_at([entry.rank for entry in history], replay.patience) for replay in replays]
    epochs = [entry.epoch for entry in history]
    is_one_per_epoch = len(set(epochs)) == len(epochs)
    return StoppingPanel(
        name, epochs if is_one_per_epoch else range(1, len(history) + 1), [entry.value for entry in history],
        "epoch" if is_one_per_epoch else "validation", [replay.patience for replay in replays], positions,
    )  # fmt: skip
