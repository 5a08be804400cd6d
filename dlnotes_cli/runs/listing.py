"""`runs list`, `show`, `best` and `diff`: training runs side by side, without torch."""

import math
import operator
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from dlnotes_cli.runs.options import BestConfig, DiffConfig, ListConfig, ShowConfig
from dlnotes_cli.runs.records import (
    RunRecord,
    Status,
    find_runs,
    is_higher_better,
    known_names,
    read_history,
    read_run,
    text_of,
)
from dlnotes_cli.shell import output
from dlnotes_cli.shell.codec import flattened, named
from dlnotes_cli.shell.errors import InputError, nearest
from dlnotes_cli.shell.show import Table, csv_text

_COLUMNS = (
    "data.name", "model.name", "model.parameters", "epochs", "validation.loss", "validation.accuracy", "test.loss",
    "test.accuracy", "timing.total_s",
)  # fmt: skip
_OUTPUTS = {"out", "json", "quiet", "verbose", "overwrite", "resume"}  # options that do not change a run
_HEADER = {"schema_version", "command", "model_file", "plots"}  # of a result, which is not shown again
_LONGEST_LIST = 8  # items in a cell
_OPERATORS: Mapping[str, Callable[[Any, Any], bool]] = {
    "=": operator.eq, "!=": operator.ne, "<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge,
}  # fmt: skip
_CONDITION = re.compile(r"(?P<name>[^=!<>]+)(?P<operator>!=|<=|>=|=|<|>)(?P<value>.*)", re.DOTALL)


@dataclass(frozen=True)
class ListedRun:
    """A run in a list, with the values of the columns."""

    run: str
    command: str
    status: Status
    problem: str  # of a broken run
    values: dict[str, Any]  # by column; None where the run has none


@dataclass(frozen=True)
class RunList:
    """The runs below a folder."""

    folder: str
    columns: tuple[str, ...]
    runs: tuple[ListedRun, ...]

    def table(self) -> Iterator[Table | str]:
        """A row for each run, without columns that no run has a value of."""
        used = [name for name in self.columns if any(run.values[name] is not None for run in self.runs)]
        rows = [
            (run.run, run.command or "-", run.status, *(_cell(run.values[name], name) for name in used))
            for run in self.runs
        ]
        numeric = [name for name in used if all(isinstance(r.values[name], int | float | None) for r in self.runs)]
        yield Table(("run", "command", "status", *used), rows, numeric, is_result=True, is_plain=True)

    @property
    def notes(self) -> list[str]:
        """What is wrong with each broken run."""
        return [f"{run.run} is broken: {run.problem}" for run in self.runs if run.problem]

    def csv(self) -> str:
        """A CSV table with one row per run."""
        rows = [(r.run, r.command, r.status, *(_plain(r.values[name]) for name in self.columns)) for r in self.runs]
        return csv_text(("run", "command", "status", *self.columns), rows)


def list_runs(config: ListConfig) -> RunList:
    """The runs below a folder that meet all conditions, sorted.

    Raises InputError for a folder without runs, for a condition that cannot be read, and for a name that no run has.
    """
    records = [(run, run.values) for run in find_runs(config.folder)]
    known = known_names([values for _, values in records])
    chosen = [(run, values) for run, values in records if _meets_all(values, config.where, known)]
    columns = tuple(dict.fromkeys(config.columns or _COLUMNS))
    for name in config.columns:
        _check_name("--columns", name, known)
    if config.sort is not None:
        _check_name("--sort", config.sort, known)
        reverse = is_higher_better(config.sort) != config.reverse
        chosen = _sorted(chosen, config.sort, reverse=reverse)
    elif config.reverse:
        chosen.reverse()
    runs = tuple(
        ListedRun(str(run.path), run.command, run.status, run.problem, {name: values.get(name) for name in columns})
        for run, values in chosen
    )
    return RunList(str(config.folder), columns, runs)


@dataclass(frozen=True)
class BestRun:
    """The best of the finished runs below a folder."""

    run: str
    metric: str
    value: float
    runs: int  # that have the metric

    def table(self) -> Iterator[str]:
        """The path of the run alone."""
        yield self.run


def best_run(config: BestConfig) -> BestRun:
    """The finished run with the best value of a metric; of equal ones, the first by path.

    Raises InputError where there is no finished run that meets the conditions, and where none has the metric.
    """
    found = find_runs(config.folder)
    records = [(run, run.values) for run in found]
    known = known_names([values for _, values in records])
    chosen = [
        (run, values) for run, values in records if run.status == "done" and _meets_all(values, config.where, known)
    ]
    if not chosen:
        raise InputError(config.folder, "holds no finished run that meets the conditions", "see dlnotes runs list")
    numbers = [name for _, values in chosen for name, value in values.items() if _number(value) is not None]
    _check_name("--metric", config.metric, numbers, "metric")
    ranked = _sorted(chosen, config.metric, reverse=is_higher_better(config.metric))
    run, values = ranked[0]
    count = sum(_number(values.get(config.metric)) is not None for _, values in chosen)
    return BestRun(str(run.path), config.metric, float(values[config.metric]), count)


@dataclass(frozen=True)
class RunDetails:
    """One run."""

    run: str
    command: str = field(metadata=named("run_command"))  # that trained it
    status: Status
    validations: int
    options: dict[str, Any]
    result: dict[str, Any]

    def table(self) -> Iterator[Table | str]:
        """What ran, the metrics of each split, other numbers, and the options that are set."""
        validations = output.counted(self.validations, "validation")
        yield f"{self.run}: {self.command}, {self.status}, {validations}"
        splits = {name: self.result.get(name) for name in ("train", "validation", "test")}
        metrics = {name: dict(flattened(split)) for name, split in splits.items() if isinstance(split, dict)}
        names = known_names(list(metrics.values()))
        if names:
            rows = [
                (split, *(_cell(values.get(name), "test.loss") for name in names)) for split, values in metrics.items()
            ]
            yield Table(("split", *names), rows, numeric=names, is_result=True)
        others = {name: value for name, value in flattened(self.result) if name.partition(".")[0] not in splits}
        for title, values in (("result", others), ("option", self.options)):
            rows = [
                (name, _cell(value, name))
                for name, value in values.items()
                if not (value is None or value is False or value in ("", []) or name in _HEADER | _OUTPUTS)
            ]
            yield Table((title, "value"), rows)


def show_run(config: ShowConfig) -> RunDetails:
    """One run. Raises InputError for a folder without a run, and for a broken one."""
    run = read_run(config.run)
    count = len(read_history(run))
    return RunDetails(str(run.path), run.command, run.status, count, dict(run.options), dict(run.result))


@dataclass(frozen=True)
class DifferingOption:
    """An option that not all runs have the same value of."""

    name: str
    values: tuple[Any, ...]  # of each run; None, too, where its command does not have the option


@dataclass(frozen=True)
class RunDifferences:
    """The options that differ between runs."""

    runs: tuple[str, ...]
    options: tuple[DifferingOption, ...]

    def table(self) -> Iterator[Table | str]:
        """A row for each option."""
        if self.options:
            rows = [(one.name, *map(_cell, one.values)) for one in self.options]
            yield Table(("option", *self.runs), rows, is_result=True)
        else:
            yield "the runs have the same options"


def diff_runs(config: DiffConfig) -> RunDifferences:
    """The options that differ between runs, except for those about output.

    Raises InputError for a folder without a run, for a broken run, and for a single one.
    """
    if len(config.runs) < 2:  # noqa: PLR2004
        raise InputError("RUNS", "names one run", "name two or more")
    runs = [read_run(path) for path in config.runs]
    names = [name for name in known_names([run.options for run in runs]) if name not in _OUTPUTS]
    values = {name: tuple(run.options.get(name) for run in runs) for name in names}
    differing = tuple(
        DifferingOption(name, found) for name, found in values.items() if any(one != found[0] for one in found)
    )
    return RunDifferences(tuple(str(path) for path in config.runs), differing)


def _meets_all(values: Mapping[str, Any], conditions: Sequence[str], known: Sequence[str]) -> bool:
    """Whether values meet conditions such as `arch=fast`. Raises InputError for an invalid condition."""
    for text in conditions:
        match = _CONDITION.fullmatch(text)
        if match is None:
            raise InputError("--where", f"'{text}' is not a condition", "write NAME=VALUE, or with !=, <, <=, > or >=")
        name = match["name"].strip()
        _check_name("--where", name, known)
        if not _compares(values.get(name), match["operator"], match["value"].strip()):
            return False
    return True


def _compares(value: Any, sign: str, wanted: str) -> bool:
    """Whether a value of a run meets a condition: as numbers where both are, and as text for equality otherwise."""
    try:
        limit = float(wanted)
    except ValueError:
        limit = math.nan
    number = _number(value)
    if number is not None and not math.isnan(limit):
        return _OPERATORS[sign](number, limit)
    return sign in {"=", "!="} and _OPERATORS[sign](text_of(value), wanted)


def _check_name(where: str, name: str, known: Sequence[str], kind: str = "column") -> None:
    if name not in known:
        known = list(dict.fromkeys(known))
        near = nearest(name, known) or next((one for one in known if one.rpartition(".")[2] == name), None)
        hint = f"did you mean '{near}'? " if near else ""
        raise InputError(where, f"unknown {kind} '{name}'", f"{hint}dlnotes runs show RUN lists the names")


def _sorted(
    records: Sequence[tuple[RunRecord, dict[str, Any]]], name: str, *, reverse: bool
) -> list[tuple[RunRecord, dict[str, Any]]]:
    """Runs by a value: numbers, then texts, then runs without one; equal ones keep their order."""
    groups: dict[Literal["number", "text", "none"], list[Any]] = {"number": [], "text": [], "none": []}
    for record in records:
        value = record[1].get(name)
        kind: Any = "none" if value is None else "text" if _number(value) is None else "number"
        groups[kind].append(record)
    groups["number"].sort(key=lambda record: record[1][name], reverse=reverse)
    groups["text"].sort(key=lambda record: text_of(record[1][name]), reverse=reverse)
    return [record for group in groups.values() for record in group]


def _number(value: Any) -> float | None:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def _cell(value: Any, name: str = "") -> str:
    """A value in a table: a number of a result as people read it, a long list cut short."""
    if value is None:
        return "-"
    if isinstance(value, float) and "." in name:
        return output.number(value)
    if isinstance(value, list) and len(value) > _LONGEST_LIST:
        return f"{text_of(value[:_LONGEST_LIST])},… ({len(value):,})"
    return text_of(value)


def _plain(value: Any) -> Any:
    """A value in a cell of CSV: numbers in full, nothing where there is none."""
    return "" if value is None else value if _number(value) is not None else text_of(value)
