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
_VOICE = {"json", "quiet", "verbose"}  # said anew by each command
_MAY_DIFFER = {"epochs", "time_budget", "device", "threads", "resume", "out", "overwrite", *_VOICE}


def resumed_config(config_type: type[AnyRun], given: Mapping[str, Any]) -> AnyRun:
    """The options of the run that `given["resume"]` names, with the few that may change taken from `given`.

    Raises InputError where the folder holds no run of this command, or a given option differs from the run's.
    """
    given = config_type.converted(given)
    folder = given["resume"]
    stored = _stored_config(folder, config_type.command)
    run = config_type.from_json({name: value for name, value in stored.items() if name not in _VOICE})
    for name, value in given.items():
        if name not in _MAY_DIFFER and getattr(run, name) != value:
            where = flag(name, options_of(config_type)[name])
            what = f"{_shown(value)} given, but the run in {folder} has {_shown(getattr(run, name))}"
            raise InputError(where, what, "drop the option, or start a new run in another --out")
    if Path(given.get("out", folder)) != folder:
        raise InputError("--out", f"{given['out']} is not the run that --resume names", "drop --out")
    kept = {name: value for name, value in given.items() if name in _MAY_DIFFER}
    return replace(run, **kept | {"resume": folder, "out": folder, "overwrite": False})


def check_same_options(folder: Path, options: Config) -> None:
    """Refuse options that are not those of the run, as a caller may give who did not ask `resumed_config`."""
    stored, given = _stored_config(folder, options.command), options.as_json()
    for name in sorted((stored.keys() & given.keys()) - _MAY_DIFFER):
        if stored[name] != given[name]:
            what = f"{name} is {_shown(given[name])}, but {_shown(stored[name])} in the run"
            raise InputError("--resume", what, "take the options from resumed_config")


def _stored_config(folder: Path, command: str) -> dict[str, Any]:
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


def _shown(value: object) -> str:
    shown = ",".join(map(str, value)) if isinstance(value, tuple | list) else str("" if value is None else value)
    return shown or "none"
