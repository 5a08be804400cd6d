"""How a training command runs on several processes: started here by `--devices`, or elsewhere by torchrun.

The process of the command is the main one. It starts the others with its options, and gives each a pipe as standard
input that stays open as long as it lives: a process that finds its pipe closed ends at once, so that none is orphaned.
"""

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import dlnotes_cli
from dlnotes_cli.device import Runtime, check_devices, choose_device, choose_runtime
from dlnotes_cli.shell import output
from dlnotes_cli.shell.errors import DlnotesError, ExitCode, InputError, UnfinishedError
from dlnotes_cli.training.engine.distributed import (
    ALONE,
    RENDEZVOUS_S,
    LostProcessError,
    Place,
    Processes,
    ProcessesTogether,
    local_store,
    rendezvous,
)

if TYPE_CHECKING:
    from torch import nn

_PROGRAM = "from dlnotes_cli.training.engine.worker import run; run()"
_MAY_DIFFER = {"out", "resume", "overwrite", "json", "quiet", "verbose", "threads", "devices"}
_POLL_S = 0.02
_EXPLAIN_S = 5.0  # within which a process that is lost ends
_GRACE_S = 1.0  # for the others to end by themselves
_END_S = 10.0  # after a run that is done
_INTERFACE = "GLOO_SOCKET_IFNAME"
_LOOPBACK = "lo0" if sys.platform == "darwin" else "lo"

Task = Callable[[Any], object]  # of a config


class ProcessOptions(Protocol):
    """The options that decide over the processes of a run."""

    @property
    def devices(self) -> int:
        """How many processes to start."""

    @property
    def device(self) -> str:
        """The device of each process, or `auto`."""

    @property
    def precision(self) -> str:
        """The precision, or `auto`."""

    @property
    def threads(self) -> int | None:
        """The threads of all processes together; None where `thread_count` is a default."""

    @property
    def thread_count(self) -> int:
        """The threads of all processes together."""

    def as_json(self) -> dict[str, Any]:
        """Every option as a JSON value."""


@contextmanager
def joined(options: ProcessOptions, task: Task) -> Iterator[Processes]:
    """The processes of the run for the duration of the block, in which `task` trains with `options`.

    With `--devices` this process starts the others, each of which calls `task`. Raises InputError for more devices than
    there are, and for processes with other options or code; UnfinishedError where another process fails.
    """
    place = Place.from_environment()
    if place is None and options.devices == 1:
        yield ALONE
        return
    if place is not None and options.devices not in {1, place.local_count}:
        raise InputError("--devices", f"torchrun has started {place.local_count} processes here", "drop --devices")
    check_devices(options.device, options.devices if place is None else place.local_count)
    if place is None:
        with _loopback(), _started_here(options, task) as processes:
            yield processes
    else:
        if place.rank:
            output.mute()
        store = rendezvous()
        store.set(started_key(place.rank), "1")
        processes = ProcessesTogether(place, store, choose_device(options.device).type)
        try:
            _check_same(processes, options)
            yield processes
        finally:
            processes.disconnect()


@contextmanager
def _started_here(options: ProcessOptions, task: Task) -> Iterator[Processes]:
    """Start the other processes on this machine, connect with them, and end them with the block."""
    place = Place(0, options.devices, 0, options.devices)
    device_type = choose_device(options.device).type
    store, port = local_store()
    workers = Workers(place.count, port, options, task)
    processes = None
    try:
        workers.wait_for(store.check)
        processes = ProcessesTogether(place, store, device_type)
        _check_same(processes, options)
        yield processes
        workers.end(_END_S)
    except LostProcessError as lost:
        raise workers.explain(lost) from lost
    finally:
        workers.end(_GRACE_S)
        if processes is not None:
            processes.disconnect()


def runtime_of(processes: Processes, options: ProcessOptions, *, bf16_pays: bool) -> Runtime:
    """The device of this process, the precision, and its share of the threads; raises errors as `choose_runtime`."""
    device, threads = options.device, options.threads
    if not processes.is_alone:
        threads = processes.threads(options.thread_count)
        if choose_device(device).type == "cuda":
            device = f"cuda:{processes.place.local_rank}"
    return choose_runtime(device, options.precision, threads, bf16_pays=bf16_pays, fp16_pays=bf16_pays)


def check_batch_size(processes: Processes, samples: int) -> None:
    """Refuse a batch of fewer samples than there are processes. Raises InputError."""
    if samples < processes.count:
        what = f"a batch of {samples} is smaller than the number of processes, {processes.count}"
        raise InputError("--batch-size", what, "use fewer --devices, or a larger batch and data set")


def announce_processes(processes: Processes, network: "nn.Module", runtime: Runtime) -> "nn.Module":
    """Print how many processes there are; returns the network, on CUDA devices with synchronized batch norm."""
    if processes.is_alone:
        return network
    from torch import nn

    backend = "gloo" if runtime.device.type == "cpu" else "NCCL"
    output.status("processes", f"{processes.count}, connected with {backend}; each takes a share of every batch")
    if not any(isinstance(module, nn.modules.batchnorm._BatchNorm) for module in network.modules()):  # noqa: SLF001
        return network
    if runtime.device.type == "cuda":
        output.note("batch normalization uses the statistics of the whole batch (SyncBatchNorm)")
        synchronized: nn.Module = nn.SyncBatchNorm.convert_sync_batchnorm(network)
        return synchronized
    output.note(
        "batch normalization uses the statistics of the share of each process; running statistics are their mean, so "
        "that the result differs from that of one process"
    )
    return network


class Workers:
    """The processes that the main process started."""

    def __init__(self, count: int, port: int, options: ProcessOptions, task: Task) -> None:
        kind = type(options)
        order = {"task": _name(task), "config": _name(kind), "options": options.as_json()}
        self._processes = [_start(rank, count, port, json.dumps(order)) for rank in range(1, count)]

    def wait_for(self, has: Callable[[list[str]], bool]) -> None:
        """Wait until all have started, as the keys say that they set. Raises the error of one that could not."""
        keys = [started_key(rank) for rank in range(1, len(self._processes) + 1)]
        deadline = time.monotonic() + RENDEZVOUS_S
        while not has(keys):
            failure = self._failure()
            if failure is not None:
                raise failure
            if time.monotonic() > deadline:
                raise LostProcessError("--devices", f"not all processes started within {RENDEZVOUS_S:g} s", "try again")
            time.sleep(_POLL_S)

    def explain(self, lost: LostProcessError) -> DlnotesError:
        """The error of the process that failed, in place of that of the connection to it."""
        deadline = time.monotonic() + _EXPLAIN_S
        while time.monotonic() < deadline:
            failure = self._failure(lost.fix)
            if failure is not None:
                return failure
            time.sleep(_POLL_S)
        return lost

    def end(self, wait_s: float) -> None:
        """Give all processes some seconds to end by themselves, then end them."""
        deadline = time.monotonic() + wait_s
        while time.monotonic() < deadline and any(process.poll() is None for process in self._processes):
            time.sleep(_POLL_S)
        for process in self._processes:
            for stream in (process.stdin, process.stdout):
                if stream is not None:
                    with suppress(OSError):
                        stream.close()
        for process in self._processes:
            try:
                process.wait(_GRACE_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def _failure(self, fix: str = "run again") -> DlnotesError | None:
        """The error of the first process that has ended with one; None if there is none."""
        for rank, process in enumerate(self._processes, 1):
            code = process.poll()
            if not code:
                continue
            if code < 0:
                what = f"process {rank} was killed by {signal.Signals(-code).name}"
                return UnfinishedError("--devices", what, fix)
            report = process.stdout.read() if process.stdout is not None and not process.stdout.closed else ""
            if report or code != ExitCode.UNFINISHED:  # else it has lost another one
                return _reported(rank, code, report, fix)
        return None


def started_key(rank: int) -> str:
    """The key in the store that process `rank` sets when it has started."""
    return f"started/{rank}"


def _start(rank: int, count: int, port: int, order: str) -> "subprocess.Popen[str]":
    """Start a process as `rank`, with its order as the first line of its standard input."""
    place = {"RANK": rank, "WORLD_SIZE": count, "LOCAL_RANK": rank, "LOCAL_WORLD_SIZE": count}
    variables = {name: str(value) for name, value in (place | {"MASTER_PORT": port}).items()}
    variables |= {"MASTER_ADDR": "127.0.0.1", "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    process = subprocess.Popen(  # noqa: S603  # this program
        [sys.executable, "-P", "-c", _PROGRAM],
        env=os.environ | variables, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    if process.stdin is not None:
        with suppress(BrokenPipeError):
            process.stdin.write(f"{order}\n")
            process.stdin.flush()
    return process


def _reported(rank: int, code: int, report: str, fix: str) -> DlnotesError:
    """The error that a process printed before it ended with `code`."""
    try:
        where, what, its_fix = json.loads(report.splitlines()[-1])["error"]
    except (ValueError, LookupError, TypeError):
        return UnfinishedError("--devices", f"process {rank} failed with exit code {code}", fix)
    kind = InputError if code == ExitCode.BAD_INPUT else UnfinishedError
    return kind(where, f"{what} (process {rank})", its_fix)


def _check_same(processes: Processes, options: ProcessOptions) -> None:
    """Refuse processes with other options or other code. Raises InputError."""
    import torch

    relevant = {name: value for name, value in options.as_json().items() if name not in _MAY_DIFFER}
    processes.check_same("options", json.dumps(relevant, sort_keys=True))
    processes.check_same("code", f"{dlnotes_cli.__version__} {torch.__version__} {_source_digest()}")


def _source_digest() -> str:
    """A digest of the source files of the package."""
    digest, root = hashlib.sha256(), Path(dlnotes_cli.__file__).parent
    for path in sorted(root.rglob("*.py")):
        digest.update(path.relative_to(root).as_posix().encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()


@contextmanager
def _loopback() -> Iterator[None]:
    """Let gloo connect processes of one machine without looking up its name, unless the user has chosen."""
    if os.environ.get(_INTERFACE):
        yield
        return
    os.environ[_INTERFACE] = _LOOPBACK
    try:
        yield
    finally:
        del os.environ[_INTERFACE]


def _name(named: Any) -> str:
    """The name by which another process imports a function or class."""
    return f"{named.__module__}:{named.__qualname__}"
