"""The options of a stored run, which `--resume` continues."""

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

from dlnotes_cli.shell.errors import InputError
from dlnotes_cli.shell.option import Config, flag, options_of

AnyRun = TypeVar("AnyRun", bound=Config)
CONFIG = "config.json"
_OUTPUT_OPTIONS = {"json", "quiet", "verbose"}  # never resumed
_MAY_CHANGE = {"epochs", "time_budget", "device", "threads", "resume", "out", "overwrite", *_OUTPUT_OPTIONS}


def resumed_config(config_type: type[AnyRun], options: Mapping[str, Any]) -> AnyRun:
    """The options of the run in the folder `options["resume"]`; the few that may change are taken from `options`.

    Raises InputError where the folder has no run of this command, or another option differs from the run's.
    """
    options = config_type.converted(options)
    folder = options["resume"]
    stored = _stored_config(folder, config_type.command)
    run = config_type.from_json({name: value for name, value in stored.items() if name not in _OUTPUT_OPTIONS})
    for name, value in options.items():
        if name not in _MAY_CHANGE and getattr(run, name) != value:
            where = flag(name, options_of(config_type)[name])
            what = f"{_as_text(value)} differs from {_as_text(getattr(run, name))} of the run in {folder}"
            raise InputError(where, what, "drop the option, or start a new run in another --out")
    if Path(options.get("out", folder)) != folder:
        raise InputError("--out", f"{options['out']} is not the run that --resume names", "drop --out")
    changed = {name: value for name, value in options.items() if name in _MAY_CHANGE}
    return replace(run, **changed | {"resume": folder, "out": folder, "overwrite": False})


def check_same_options(folder: Path, options: Config) -> None:
    """Refuse options that differ from those of the run in `folder`; `resumed_config` returns options that do not.

    Raises InputError naming the first option that differs and may not change.
    """
    stored, requested = _stored_config(folder, options.command), options.as_json()
    for name in sorted((stored.keys() & requested.keys()) - _MAY_CHANGE):
        if stored[name] != requested[name]:
            what = f"{name} is {_as_text(requested[name])}, but {_as_text(stored[name])} in the run"
            raise InputError("--resume", what, "use the options that resumed_config returns")


def _stored_config(folder: Path, command: str) -> dict[str, Any]:
    """The content of config.json in the folder of a run of `command`."""
    path = folder / CONFIG
    try:
        stored = dict(json.loads(path.read_text()))
    except OSError:
        raise InputError("--resume", f"{folder} holds no run (no {CONFIG})", "give the folder of a run") from None
    except ValueError:
        raise InputError(path, "is not valid JSON", "start a new run in another --out") from None
    if stored.get("command") != command:
        raise InputError(
            "--resume", f"{folder} is a run of {stored.get('command')}", f"use dlnotes {stored.get('command')}"
        )
    return stored


def _as_text(value: object) -> str:
    """A value as it is typed on the command line; "none" for None and for nothing."""
    text = ",".join(map(str, value)) if isinstance(value, tuple | list) else str("" if value is None else value)
    return text or "none"
