"""The folder of a training run: where it is, who holds it, and what lies in it."""

import fcntl
import json
import os
import socket
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import IO, Any, Self, TypeVar

from dlnotes_cli import files, output
from dlnotes_cli.configs.groups import RunOptions
from dlnotes_cli.configs.option import Config, flag, options_of
from dlnotes_cli.errors import InputError

AnyRun = TypeVar("AnyRun", bound=Config)

MODEL, LAST, CONFIG, METRICS, RESULT = (
    "model.safetensors", "last.safetensors", "config.json", "metrics.jsonl", "result.json",
)  # fmt: skip
PICTURES = ("curves.png", "confusion.png", "predictions.png")
_LOCK = ".lock"
_VOICE = {"json", "quiet", "verbose"}  # said anew by each command
_MAY_DIFFER = {"epochs", "time_budget", "device", "threads", "resume", "out", "overwrite", *_VOICE}


def resumed_config(config_type: type[AnyRun], given: Mapping[str, Any]) -> AnyRun:
    """The options of the run that `given["resume"]` names, with the few that may change taken from `given`.

    Raises InputError where the folder holds no run of this command, or a given option differs from the run's.
    """
    folder = files.user_path(given["resume"])
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


class RunFolder:
    """A run's folder: checked when made, created and locked when entered, released when left."""

    def __init__(self, options: RunOptions) -> None:
        """Check everything that can be checked without writing. Raises InputError naming `--out`."""
        self.is_resumed = options.resume is not None
        self._command, self._overwrite = options.command, options.overwrite
        self._lock: IO[str] | None = None
        self._made: list[Path] = []
        self.path = options.resume or options.out or Path("runs")
        if self.is_resumed:
            _check_same_options(self.path, options)
            files.check_writable_folder("--resume", self.path)
        elif options.out is None:
            files.check_writable_folder("--out", self.path if self.path.exists() else Path())
        else:
            _check_unlocked(self.path)
            files.check_output_folder("--out", self.path, overwrite=options.overwrite)
        self._is_numbered = options.out is None and not self.is_resumed

    def __enter__(self) -> Self:
        self._made = [folder for folder in (self.path, *self.path.parents) if not folder.exists()]
        if self._is_numbered:
            self.path = _next_numbered(self.path, self._command)
            self._made.insert(0, self.path)
        files.make_folder("--out", self.path)
        self._lock = _take_lock(self.path)
        files.sweep_temporaries(self.path)
        return self

    def __exit__(self, *_: object) -> None:
        if self._lock is not None:
            files.remove(self.path / _LOCK)
            self._lock.close()
        for folder in self._made:  # a run that could not start leaves nothing
            files.remove_empty_folder(folder)

    def file(self, name: str) -> Path:
        """The path of one of the run's files."""
        return self.path / name

    def write_options(self, options: RunOptions) -> None:
        """Write config.json: the command and every option in force."""
        files.write_json(self.file(CONFIG), {"command": options.command, **options.as_json()})

    def check_same_data(self, card: Mapping[str, Any], name: str, fingerprint: str) -> None:
        """Refuse to go on where a card of the run has another sum over the data. Raises InputError."""
        if card["data"]["fingerprint"] != fingerprint:
            what = f"{name} has changed since {self.path} was begun"
            raise InputError("--resume", what, "restore the data, or start a new run in another --out")

    def clear_results(self) -> None:
        """Delete what an earlier run left here, and nothing else; its state and options are replaced already."""
        for name in (RESULT, METRICS, MODEL, *PICTURES):
            files.remove(self.path / name)

    def result(self) -> dict[str, Any] | None:
        """The result of a run that has finished."""
        with suppress(FileNotFoundError, ValueError):
            return dict(json.loads(self.file(RESULT).read_text()))
        return None

    def write_history(self, history: list[dict[str, Any]]) -> None:
        """Write metrics.jsonl: a line per epoch."""
        files.write_text(self.file(METRICS), "".join(json.dumps(entry) + "\n" for entry in history))


def _check_same_options(folder: Path, options: RunOptions) -> None:
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


def _next_numbered(parent: Path, command: str) -> Path:
    files.make_folder("--out", parent)
    number = 1
    while True:
        folder = parent / f"{command.replace(' ', '-')}-{number}"
        try:
            folder.mkdir()
        except FileExistsError:
            number += 1
        else:
            return folder


def _take_lock(folder: Path) -> IO[str]:
    path = folder / _LOCK
    try:
        stream = path.open("a+")
    except OSError as error:
        raise files.write_failed(path, 0, error) from error
    try:
        fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        stream.close()
        raise _locked(folder, _holder(folder)) from None
    if not path.exists() or path.stat().st_ino != os.fstat(stream.fileno()).st_ino:
        stream.close()  # its holder has just ended and deleted it
        return _take_lock(folder)
    stale = _holder(folder)
    if stale:
        output.note(f"took over a stale lock in {folder} ({stale} is gone)")
    stream.truncate(0)
    with suppress(OSError):  # the text is for people: a full disk is told by what needs the room
        os.write(stream.fileno(), f"pid {os.getpid()} on {socket.gethostname()}".encode())
    return stream


def _check_unlocked(folder: Path) -> None:
    if not (folder / _LOCK).exists():
        return
    with (folder / _LOCK).open("r") as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            raise _locked(folder, _holder(folder)) from None


def _locked(folder: Path, holder: str) -> InputError:
    return InputError("--out", f"{folder} is in use by another run ({holder})", "wait for it, or use another --out")


def _holder(folder: Path) -> str:
    return (folder / _LOCK).read_text().strip()


def _shown(value: object) -> str:
    shown = ",".join(map(str, value)) if isinstance(value, tuple | list) else str("" if value is None else value)
    return shown or "none"
