"""The same training with several seeds: what of a result is chance."""

import math
import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

from dlnotes_cli.shell import output
from dlnotes_cli.shell.codec import flattened, to_json
from dlnotes_cli.shell.show import Table
from dlnotes_cli.training.options import TrainingConfig
from dlnotes_cli.training.results import check_accuracy
from dlnotes_cli.training.run_folder import RunFolder

AnyConfig = TypeVar("AnyConfig", bound=TrainingConfig)
_SPLITS = ("train", "validation", "test")


@dataclass(frozen=True)
class SeedRun:
    """The run with one seed."""

    seed: int
    out: str
    metrics: Mapping[str, float | None]  # by dotted names such as test.accuracy; None where it is not finite


@dataclass(frozen=True)
class SeedsResult:
    """The metrics of runs that differ in their seeds, and over the runs their mean and sample standard deviation."""

    out: str
    runs: tuple[SeedRun, ...]
    mean: Mapping[str, float | None]  # None where a run has no value
    std: Mapping[str, float | None]

    @property
    def paths(self) -> list[str]:
        """The folders of the runs."""
        return [run.out for run in self.runs]

    def table(self) -> Iterator[Table]:
        """A row for each run, and the mean and standard deviation below them."""
        names = [name for name, value in self.mean.items() if value is not None and not name.endswith("samples")]
        rows: list[Sequence[str]] = [(str(run.seed), *_cells(run.metrics, names)) for run in self.runs]
        rows += [("mean", *_cells(self.mean, names)), ("std", *_cells(self.std, names))]
        yield Table(("seed", *names), rows, ("seed", *names), is_result=True)

    def check(self, config: TrainingConfig) -> None:
        """Check `--min-accuracy` for the mean, if the command has it. Raises GateError."""
        check_accuracy(self.mean.get("test.accuracy"), getattr(config, "min_accuracy", None))


def train_seeds(train: Callable[[AnyConfig], Any], config: AnyConfig) -> SeedsResult:
    """Train with `config.seeds` seeds from `config.seed` on, each in the folder `seed-N` of `config.out`.

    `train` is the task of the command, such as `train_mlp`. Raises what it raises, and InputError before the first run
    for any folder that may not be written.
    """
    parent, seeds = config.out or Path("runs"), range(config.seed, config.seed + config.seeds)
    configs = [replace(config, seed=seed, seeds=1, out=parent / f"seed-{seed}") for seed in seeds]
    for one in configs:
        RunFolder(one)
    runs = []
    for i, one in enumerate(configs):
        output.status("seed", f"{one.seed}, {i + 1} of {len(configs)}")
        result = to_json(train(one))
        metrics = dict(flattened({split: result.get(split) or {} for split in _SPLITS}))
        runs.append(SeedRun(one.seed, result["out"], metrics))
    names = [name for name in runs[0].metrics if all(name in run.metrics for run in runs)]
    values = {name: [math.nan if (v := run.metrics[name]) is None else v for run in runs] for name in names}
    summaries = [
        {name: None if math.isnan(sum(found)) else summary(found) for name, found in values.items()}
        for summary in (statistics.fmean, statistics.stdev)
    ]
    return SeedsResult(str(parent), tuple(runs), *summaries)


def _cells(values: Mapping[str, float | None], names: Sequence[str]) -> list[str]:
    return [output.number(values[name]) for name in names]
