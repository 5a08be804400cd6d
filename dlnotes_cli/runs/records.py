"""What run folders hold, read without torch: options, result and history, also of broken and unfinished runs."""

import fcntl
import json
import os
from collections.abc import Container, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from dlnotes_cli.shell.codec import flattened, parse_object
from dlnotes_cli.shell.errors import DlnotesError, InputError, reason
from dlnotes_cli.shell.files import read_file
from dlnotes_cli.training.resumed_options import CONFIG, LOCK
from dlnotes_cli.training.run_folder import LAST, METRICS, RESULT

Status = Literal["done", "running", "unfinished", "broken"]
_LARGEST_FILE = 1 << 26  # bytes
_NAME_A_RUN = "name the folder that a training command wrote"
_HIGHER_IS_BETTER = (
    "accuracy", "matthews", "macro_f1", "f1", "precision", "recall", "r2", "auc", "average_precision", "samples_per_s",
)  # fmt: skip


@dataclass(frozen=True)
class RunRecord:
    """A run folder: the options of the run, its result, and what can be said about it."""

    path: Path
    command: str  # empty if unknown
    status: Status
    problem: str  # of a broken run
    options: Mapping[str, Any]  # of config.json
    result: Mapping[str, Any]  # of result.json; of a run without one, its last validation

    @property
    def values(self) -> dict[str, Any]:
        """Options, and numbers of the result by dotted names such as `test.accuracy`.

        Where both have a name, as `device`, the result says what ran; `epochs` are those that ran.
        """
        named = {"run": str(self.path), "command": self.command, "status": self.status}
        return {**self.options, "epochs": None, **dict(flattened(self.result)), **named}


def find_runs(folder: Path) -> list[RunRecord]:
    """The runs in a folder and below it, sorted by path; hidden folders and links to folders are left out.

    Raises InputError where the folder cannot be read or holds no run.
    """
    if not folder.is_dir():
        raise InputError(folder, "is not a folder" if folder.exists() else "no such folder", "name a folder of runs")
    found = []
    for path, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        if CONFIG in files or RESULT in files:
            found.append(_read(Path(path), files))
    runs = sorted((run for run in found if run is not None), key=lambda run: run.path)
    if not runs:
        raise InputError(folder, "holds no runs", "name a folder in which training commands wrote runs")
    return runs


def read_run(path: Path) -> RunRecord:
    """The run in a folder, or that of one of its files, which may be unfinished.

    Raises InputError for a folder without a run, and for a broken one.
    """
    folder = path if path.is_dir() else path.parent
    try:
        run = _read(folder, os.listdir(folder))  # noqa: PTH208  # names, as `os.walk` has them
    except OSError as error:
        raise InputError(path, reason(error), _NAME_A_RUN) from error
    if run is None or not path.exists():
        raise InputError(path, "holds no run" if path.exists() else "no such run", _NAME_A_RUN)
    if run.status == "broken":
        raise InputError(path, f"is a broken run ({run.problem})", "restore the file, or train again")
    return run


def read_history(run: RunRecord) -> list[dict[str, Any]]:
    """The validations of a run, in order; empty where there are none. Raises InputError for a broken file."""
    file = run.path / METRICS
    if not file.exists():
        return []
    try:
        entries = [parse_object(line) for line in _text(file).splitlines() if line]
    except (ValueError, RecursionError) as error:
        raise InputError(file, "is not valid JSON", "restore it, or train again") from error
    if not all(type(entry.get("epoch")) is int and isinstance(entry.get("validation"), dict) for entry in entries):
        raise InputError(file, "has a line that is no validation", "restore it, or train again")
    return entries


def _read(folder: Path, files: Iterable[str]) -> RunRecord | None:
    """The run in a folder with files of these names; None where they are of another program."""
    names, problems = set(files), []
    contents: dict[str, Mapping[str, Any]] = {CONFIG: {}, RESULT: {}}
    for name in sorted(contents.keys() & names):
        try:
            contents[name] = parse_object(_text(folder / name))
        except DlnotesError as error:
            problems.append(f"{name} {error.what}")
        except (ValueError, RecursionError):
            problems.append(f"{name} is not valid JSON")
    options, result = contents.values()
    command = next((one for c in (options, result) if isinstance(one := c.get("command"), str)), "")
    if not command and not (problems and names & {RESULT, METRICS, LAST}):
        return None
    if not problems and RESULT in names and "command" not in result:
        problems.append(f"{RESULT} names no command")
    if problems:
        return RunRecord(folder, command, "broken", "; ".join(problems), options, {})
    if LOCK in names and _is_locked(folder / LOCK):
        return RunRecord(folder, command, "running", "", options, _last_validation(folder, names))
    if RESULT in names:
        return RunRecord(folder, command, "done", "", options, result)
    return RunRecord(folder, command, "unfinished", "", options, _last_validation(folder, names))


def _text(path: Path) -> str:
    return read_file(path, _LARGEST_FILE, "shorten it").decode()


def _last_validation(folder: Path, names: Container[str]) -> dict[str, Any]:
    """The last line of the history, with the epoch under the name that a result has for it; empty without one."""
    if METRICS in names:
        with suppress(DlnotesError, ValueError, IndexError, RecursionError):
            entry = parse_object(_text(folder / METRICS).splitlines()[-1])
            return {name: entry[name] for name in ("train", "validation") if name in entry} | {
                "epochs": entry.get("epoch"), "steps": entry.get("step"),
            }  # fmt: skip
    return {}


def _is_locked(path: Path) -> bool:
    """Whether a process that trains has locked the file."""
    with suppress(OSError), path.open("r") as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def is_higher_better(name: str) -> bool:
    """Whether a larger value of a metric is better; other metrics, and times, are better where they are small.

    >>> is_higher_better("test.accuracy"), is_higher_better("validation.loss")
    (True, False)
    """
    return name.rpartition(".")[2] in _HIGHER_IS_BETTER


def text_of(value: Any) -> str:
    """A value of a run as text, in which lists are as on a command line.

    >>> text_of([64, 32]), text_of(None), text_of(0.5), text_of(True)
    ('64,32', 'none', '0.5', 'on')
    """
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, list | tuple):
        return ",".join(map(text_of, value)) or "none"
    if isinstance(value, dict):
        return json.dumps(value)
    return "none" if value is None else f"{value:.6g}" if isinstance(value, float) else str(value)


def known_names(records: Sequence[Mapping[str, Any]]) -> list[str]:
    """The names that any of some runs has a value of, in their order."""
    return list(dict.fromkeys(name for values in records for name in values))
