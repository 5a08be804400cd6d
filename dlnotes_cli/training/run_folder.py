"""The folder of a training run: its path, its lock and its files."""

import fcntl
import json
import os
import socket
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Self

from dlnotes_cli.data.options import EMBEDDED_TEXTS, NAMED_SETS, SERIES_SETS
from dlnotes_cli.shell import files, output
from dlnotes_cli.shell.codec import to_json
from dlnotes_cli.shell.errors import InputError
from dlnotes_cli.shell.files import user_path
from dlnotes_cli.training.options import TrainingConfig
from dlnotes_cli.training.resumed_options import CONFIG, LOCK, check_same_options, is_unstarted, stored_options

if TYPE_CHECKING:
    from dlnotes_cli.training.results import DataSummary, HistoryEntry

MODEL, LAST, METRICS, RESULT = (
    "model.safetensors", "last.safetensors", "metrics.jsonl", "result.json",
)  # fmt: skip
PLOTS = (
    "curves.png", "confusion.png", "predictions.png", "boundary.png", "boundaries.png", "scatter.png", "forecast.png",
)  # fmt: skip
LINEAR, NETWORK = "linear.safetensors", "network.safetensors"  # the model of `train-text` that was not kept


def run_files(model: Path) -> list[Path]:
    """A model file and what belongs to its run, which no other output may replace."""
    return [model, *(model.with_name(name) for name in (LAST, CONFIG, METRICS, RESULT, LINEAR, NETWORK))]


class RunFolder:
    """The folder of a run: validated when constructed, created and locked on entry, unlocked on exit.

    Of several processes, only the main one does so; the others leave all files to it.
    """

    def __init__(self, options: TrainingConfig, *, is_main: bool = True) -> None:
        """Validate the folder without writing. Raises InputError naming `--out` or `--resume`."""
        if options.seeds > 1:
            raise InputError("--seeds", "is more than one run", "call train_seeds with the task")
        self.is_resumed, self._is_main = options.resume is not None, is_main
        self._command = options.command
        self._lock: IO[str] | None = None
        self._created: list[Path] = []
        self._threads: int | None = None  # of the run that is resumed
        self.path = options.resume or options.out or Path("runs")
        if not is_main:
            return
        where, fix = ("--resume", "move the run out of it") if self.is_resumed else ("--out", "")
        check_outside_data(where, self.path, data_folder(options), fix)
        if self.is_resumed:
            stored = stored_options(self.path, options.command)
            check_same_options(self.path, stored, options)
            self._threads = stored.get("threads")
            files.check_writable_folder("--resume", self.path)
        elif options.out is None:
            files.check_writable_folder("--out", self.path if self.path.exists() else Path())
        else:
            _check_unlocked(self.path)
            is_free = options.overwrite or is_unstarted(self.path, options.command)
            files.check_output_folder("--out", self.path, overwrite=is_free)
        self._is_numbered = options.out is None and not self.is_resumed

    def __enter__(self) -> Self:
        if not self._is_main:
            return self
        self._created = [folder for folder in (self.path, *self.path.parents) if not folder.exists()]
        if self._is_numbered:
            self.path = _create_numbered(self.path, self._command)
            self._created.insert(0, self.path)
        files.make_folder("--out", self.path)
        self._lock = _acquire_lock(self.path)
        files.sweep_temporaries(self.path)
        return self

    def __exit__(self, *_: object) -> None:
        if self._lock is not None:
            files.remove(self.path / LOCK)
            self._lock.close()
        for folder in self._created:  # a run that could not start leaves no empty folder
            files.remove_empty_folder(folder)

    def file(self, name: str) -> Path:
        """The path of one of the run's files."""
        return self.path / name

    def start(self, options: TrainingConfig, threads: int) -> None:
        """Write the options of a new run; an earlier run in the folder keeps its results, but not its checkpoint.

        The old checkpoint goes before the new options come, so that the two are never of different runs.
        """
        files.remove(self.path / LAST)
        self.write_options(options, threads)

    def write_options(self, options: TrainingConfig, threads: int) -> None:
        """Write config.json: the command, and every option with its resolved value; `threads` is how many it runs on.

        Warns if a resumed run had another number of threads, which changes the order of sums.
        """
        if self._threads is not None and self._threads != threads:
            what = f"the run had {self._threads} threads and continues with {threads}"
            output.warn(f"--threads: {what}; its weights will differ in rounding from those of an uninterrupted run")
        resolved = {"command": options.command, **to_json(options), "threads": threads}
        files.write_json(self.file(CONFIG), resolved)

    @property
    def name(self) -> str:
        """The name of the run: that of its folder."""
        return self.path.resolve().name or str(self.path)

    @property
    def has_model(self) -> bool:
        """Whether the folder holds a model file, of this run or of one that it replaces."""
        return self.file(MODEL).exists()

    def check_same_data(self, file: str, metadata: Mapping[str, Any], data: "DataSummary") -> None:
        """Refuse to resume a run if its data has another checksum than the metadata of one of its files.

        Raises InputError.
        """
        stored = metadata.get("data")
        if not isinstance(stored, Mapping) or not isinstance(stored.get("fingerprint"), str):
            raise InputError(self.file(file), "its metadata is invalid (data)", "start a new run in another --out")
        if stored["fingerprint"] != data.fingerprint:
            what = f"{data.name} has changed since {self.path} was started"
            raise InputError("--resume", what, "restore the data, or start a new run in another --out")

    def clear_results(self) -> None:
        """Delete the results of an earlier run, except its model; call it after that is replaced."""
        for name in (RESULT, METRICS, LINEAR, NETWORK, *PLOTS):
            files.remove(self.path / name)

    def write_result(self, result: dict[str, Any]) -> None:
        """Write result.json."""
        files.write_json(self.file(RESULT), result)

    def write_history(self, history: Sequence["HistoryEntry"]) -> None:
        """Write metrics.jsonl: one line per validation."""
        files.write_text(self.file(METRICS), "".join(json.dumps(to_json(entry)) + "\n" for entry in history))


def has_checkpoint(options: TrainingConfig) -> bool:
    """Whether the run is resumed from a checkpoint."""
    return options.resume is not None and (options.resume / LAST).exists()


def data_folder(options: TrainingConfig) -> Path | None:
    """The path of the training data, in which nothing may be written; None for data that is generated or downloaded."""
    data: Any = getattr(options, "data", None)
    return None if data in {None, EMBEDDED_TEXTS, *NAMED_SETS, *SERIES_SETS} else user_path(data)


def check_outside_data(where: str, path: Path, root: Path | None, fix: str = "") -> None:
    """Refuse an output in the folder of images `root`, where the next command would take its plots for samples.

    `where` is the option that names the output. Links are followed, also those to class folders. Raises InputError.
    """
    folders: list[Path] = []
    with suppress(OSError):  # of a folder that cannot be listed, and of a file
        folders = [root, *(below for below in root.iterdir() if below.is_symlink())] if root else []
    for folder in folders:
        if Path(os.path.realpath(path)).is_relative_to(os.path.realpath(folder)):  # which allows loops of links
            raise InputError(where, f"{path} is inside the data {root}", fix or f"give {where} outside of it")


def _create_numbered(parent: Path, command: str) -> Path:
    """Create the folder of a command with the next free number."""
    files.make_folder("--out", parent)
    number = 1
    while True:
        folder = parent / f"{command.replace(' ', '-')}-{number}"
        try:
            files.create_folder(folder, must_be_new=True)
        except FileExistsError:
            number += 1
        else:
            return folder


def _acquire_lock(folder: Path) -> IO[str]:
    """Create and lock the lock file of a run; closing the stream unlocks it. Raises InputError if it is locked."""
    path = folder / LOCK
    stream = files.open_lock_file(path)
    try:
        fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        stream.close()
        raise _in_use(folder) from None
    if not path.exists() or path.stat().st_ino != os.fstat(stream.fileno()).st_ino:
        stream.close()  # the run that held it has just ended and deleted it
        return _acquire_lock(folder)
    ended = _holder(folder)
    if ended:
        output.note(f"replaced a stale lock in {folder} ({ended} has ended)")
    stream.truncate(0)
    with suppress(OSError):  # the holder is information only; on a full disk a larger file fails and is reported
        os.write(stream.fileno(), f"pid {os.getpid()} on {socket.gethostname()}".encode())
    return stream


def _check_unlocked(folder: Path) -> None:
    """Refuse a folder that another run has locked. Raises InputError."""
    if not (folder / LOCK).exists():
        return
    with (folder / LOCK).open("r") as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            raise _in_use(folder) from None


def _in_use(folder: Path) -> InputError:
    what = f"{folder} is in use by another run ({_holder(folder)})"
    return InputError("--out", what, "wait for it, or use another --out")


def _holder(folder: Path) -> str:
    """The process and machine that wrote the lock file of a run."""
    return (folder / LOCK).read_text().strip()
