"""The options of a stored run, which `--resume` continues."""

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

from dlnotes_cli.shell.codec import to_json
from dlnotes_cli.shell.errors import InputError
from dlnotes_cli.shell.files import TEMPORARY_PREFIX
from dlnotes_cli.shell.option import Config, flag, options_of

AnyRun = TypeVar("AnyRun", bound=Config)
CONFIG, LOCK = "config.json", ".lock"
_FIX = "restore the file, or start a new run in another --out"
_OUTPUT_OPTIONS = {"json", "quiet", "verbose"}  # never resumed
_MAY_CHANGE = {
    "epochs", "time_budget", "device", "devices", "threads", "compile", "accumulate", "resume", "out", "overwrite",
    *_OUTPUT_OPTIONS,
}  # fmt: skip


def resumed_config(config_type: type[AnyRun], options: Mapping[str, Any]) -> AnyRun:
    """The options of the run in the folder `options["resume"]`; the few that may change are taken from `options`.

    Raises InputError where the folder has no run of this command, or another option differs from the run's.
    """
    options = config_type.converted(options)
    folder = options["resume"]
    stored = stored_options(folder, config_type.command)
    try:
        run = config_type.from_json({name: value for name, value in stored.items() if name not in _OUTPUT_OPTIONS})
    except InputError as error:
        raise InputError(folder / CONFIG, error.fault, _FIX) from error
    except (TypeError, ValueError, OverflowError) as error:
        raise InputError(folder / CONFIG, f"is invalid ({error})", _FIX) from error
    for name, value in options.items():
        if name not in _MAY_CHANGE and getattr(run, name) != value:
            where = flag(name, options_of(config_type)[name])
            what = f"{_as_text(value)} differs from {_as_text(getattr(run, name))} of the run in {folder}"
            raise InputError(where, what, "drop the option, or start a new run in another --out")
    if Path(options.get("out", folder)) != folder:
        raise InputError("--out", f"{options['out']} is not the run that --resume names", "drop --out")
    changed = {name: value for name, value in options.items() if name in _MAY_CHANGE}
    return replace(run, **changed | {"resume": folder, "out": folder, "overwrite": False})


def check_same_options(folder: Path, stored: Mapping[str, Any], options: Config) -> None:
    """Refuse options that differ from those that a file of the run in `folder` has; `resumed_config` returns these.

    Raises InputError naming the first option that differs and may not change.
    """
    requested = to_json(options)
    for name in sorted((stored.keys() & requested.keys()) - _MAY_CHANGE):
        if stored[name] != requested[name]:
            what = f"{name} is {_as_text(requested[name])}, but {_as_text(stored[name])} in the run"
            fix = f"use the options that resumed_config returns, or restore {folder / CONFIG} if it was edited"
            raise InputError("--resume", what, fix)


def has_started(folder: Path, command: str) -> bool:
    """Whether a folder holds a run, of any command, that has a checkpoint or a model."""
    return (folder / CONFIG).exists() and not is_unstarted(folder, command)


def is_unstarted(folder: Path, command: str) -> bool:
    """Whether a folder only holds what a run of `command` leaves that was killed before its first checkpoint."""
    try:
        names = {entry.name for entry in folder.iterdir() if not entry.name.startswith(TEMPORARY_PREFIX)}
        return names <= {LOCK} or (names <= {LOCK, CONFIG} and read_json(folder / CONFIG).get("command") == command)
    except (OSError, InputError):
        return False


def stored_options(folder: Path, command: str) -> dict[str, Any]:
    """The content of config.json in the folder of a run of `command`. Raises InputError where there is no such run."""
    path = folder / CONFIG
    try:
        stored = read_json(path)
    except OSError:
        raise InputError("--resume", f"{folder} holds no run (no {CONFIG})", "give the folder of a run") from None
    found = stored.get("command")
    if not isinstance(found, str):
        raise InputError(path, "names no command", _FIX)
    if found != command:
        raise InputError("--resume", f"{folder} is a run of {found}", f"use dlnotes {found}")
    return stored


def read_json(path: Path) -> dict[str, Any]:
    """The JSON object in a file of a run. Raises OSError where it cannot be read, InputError for other content."""
    try:
        content = json.loads(path.read_text())
    except (ValueError, RecursionError):
        raise InputError(path, "is not valid JSON", _FIX) from None
    if not isinstance(content, dict):
        raise InputError(path, "is not a JSON object", _FIX)
    return content


def _as_text(value: object) -> str:
    """A value as it is typed on the command line; "none" for None and for nothing."""
    text = ",".join(map(str, value)) if isinstance(value, tuple | list) else str("" if value is None else value)
    return text or "none"
