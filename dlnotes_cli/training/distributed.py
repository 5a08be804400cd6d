"""The processes that share the training of one network: the only module that uses torch.distributed.

Every process runs the same command on a share of each batch. What one process sums here, all have to sum: the calls are
in the same order everywhere. torchrun starts the processes, here or on many machines; `--devices` has it start them on
this machine. One process alone is `ALONE`, for which every method returns its argument.
"""

import os
import re
import signal
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar, cast

from dlnotes_cli import __version__
from dlnotes_cli.device import Runtime, check_devices, choose_device, choose_runtime
from dlnotes_cli.shell import output
from dlnotes_cli.shell.codec import to_json
from dlnotes_cli.shell.cores import default_threads
from dlnotes_cli.shell.errors import DlnotesError, ExitCode, InputError, SeveralProcessesError, UnfinishedError

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

    from dlnotes_cli.training.options import TrainingConfig

_TIMEOUT = timedelta(hours=2)  # after which a process that does not answer is given up
_VARIABLES = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE")  # torchrun sets all of them
_SAVE_S = 600  # within which processes that are stopped have to save the run
_MAY_DIFFER = {"out", "resume", "overwrite", "json", "quiet", "verbose", "threads", "devices"}
_LOST = re.compile("gloo|nccl|connection|socket|rendezvous|TCPStore", re.IGNORECASE)  # in errors of torch.distributed
_START = "start every process with the same command, or all with --devices"
_SIGNALS = {signal.SIGINT: ExitCode.INTERRUPTED, signal.SIGTERM: ExitCode.TERMINATED}
Value = TypeVar("Value")


class LostProcessError(UnfinishedError):
    """Another process of the run ended, or cannot be reached."""


@dataclass(frozen=True)
class Processes:
    """The processes of a run, seen from one of them."""

    rank: int = 0
    count: int = 1
    local_rank: int = 0  # on this machine
    local_count: int = 1

    @classmethod
    def from_environment(cls) -> "Processes":
        """The place that torchrun gave to this process. Raises InputError for variables that are not valid."""
        rank, count, local_rank, local_count = (os.environ.get(name, "") for name in _VARIABLES)
        if not rank or count in {"", "1"}:
            return ALONE
        texts = (rank, count, local_rank or rank, local_count or count)  # other launchers set the first two only
        try:
            numbers = [int(text) for text in texts]
        except ValueError as error:
            raise InputError("$RANK", f"{', '.join(texts)} are not numbers of processes", _START) from error
        for name, number, limit in zip(_VARIABLES[::2], numbers[::2], numbers[1::2], strict=True):
            if not 0 <= number < limit:
                raise InputError(f"${name}", f"{number} is not below the number of processes, {limit}", _START)
        return cls(*numbers)

    @property
    def is_main(self) -> bool:
        """Whether this is the one that prints, draws, writes and decides."""
        return self.rank == 0

    @property
    def is_alone(self) -> bool:
        """Whether there is no other process."""
        return self.count == 1

    @property
    def rows(self) -> slice:
        """The rows of a batch that this process computes: every `count`-th."""
        return slice(self.rank, None, self.count)

    def runtime(self, options: "TrainingConfig", *, bf16_pays: bool) -> Runtime:
        """The device of this process, precision, and its share of the threads; raises errors as `choose_runtime`."""
        device, threads = options.device, options.threads
        if not self.is_alone:
            threads = max(1, (options.threads or default_threads()) // self.local_count)
            if choose_device(device).type == "cuda":
                device = f"cuda:{self.local_rank}"
        return choose_runtime(device, options.precision, threads, bf16_pays=bf16_pays, fp16_pays=bf16_pays)

    def _together(self, operation: Callable[[Any], object]) -> None:
        """Call an operation of torch.distributed, if there are several processes, which all do so."""
        if not self.is_alone:
            import torch.distributed as dist

            with lost():
                operation(dist)

    def sum(self, tensor: "Tensor") -> "Tensor":
        """The sum of the tensors of all processes, in place and with the same bits in each of them."""
        self._together(lambda dist: dist.all_reduce(tensor))
        return tensor

    def maximum(self, *numbers: float) -> list[float]:
        """The largest value of each number in all processes."""
        import torch

        values = torch.tensor(numbers, dtype=torch.float64)
        self._together(lambda dist: dist.all_reduce(values, dist.ReduceOp.MAX))
        return values.tolist()

    def broadcast(self, value: Value) -> Value:
        """The value of the main process, in all of them."""
        values = [value]
        self._together(lambda dist: dist.broadcast_object_list(values, 0))
        return values[0]

    def gather(self, value: Value) -> list[Value]:
        """The values of all processes, in all of them."""
        values = [value] * self.count
        self._together(lambda dist: dist.all_gather_object(values, value))
        return values

    def main_first(self, prepare: Callable[[], Value]) -> Value:
        """The result of `prepare` in this process, which the others call after the main one has, as it may write files.

        Raises the error of the first process that fails, in all of them.
        """
        if self.is_alone:
            return prepare()
        value, error = None, None
        for is_turn in (self.is_main, not self.is_main):
            failure = None
            if is_turn:
                try:
                    value = prepare()
                except Exception as raised:  # noqa: BLE001  # whatever it is, the others wait to be told
                    error, failure = raised, _failure(raised)
            for rank, failed in enumerate(self.gather(failure)):
                if failed is not None:
                    if error is not None and not isinstance(error, DlnotesError):
                        raise error
                    kind, where, what, fix = failed
                    raise kind(where, f"{what} (process {rank})" if rank else what, fix) from error
        return cast("Value", value)

    def check_same(self, what: str, value: object, fix: str) -> None:
        """Raise InputError, in all processes, if one has another value."""
        values = self.gather(value)
        for rank, other in enumerate(values):
            if other != values[0]:
                raise InputError("processes", f"process {rank} has other {what} than process 0", fix)

    def check_batch(self, samples: int) -> None:
        """Raise InputError for a batch of fewer samples than there are processes."""
        if samples < self.count:
            what = f"a batch of {samples} is smaller than the number of processes, {self.count}"
            raise InputError("--batch-size", what, "use fewer --devices, or a larger batch and data set")

    def on_device(self, network: "nn.Module", device: "torch.device") -> "nn.Module":
        """The network on its device; with synchronized batch norm on several GPUs."""
        network = network.to(device)
        if self.is_alone:
            return network
        from torch import nn

        backend = "gloo" if device.type == "cpu" else "NCCL"
        output.status("processes", f"{self.count}, connected with {backend}; each takes a share of every batch")
        if not any("BatchNorm" in type(module).__name__ for module in network.modules()):
            return network
        if device.type == "cuda":
            output.note("batch normalization uses the statistics of the whole batch (SyncBatchNorm)")
            synchronized: nn.Module = nn.SyncBatchNorm.convert_sync_batchnorm(network)
            return synchronized
        output.note(
            "batch normalization uses the statistics of the share of each process, and running statistics are those of "
            "the first one, so that the result differs from that of one process"
        )
        return network

    def broadcast_statistics(self, tensors: "Mapping[str, Tensor]") -> None:
        """Set the running statistics of batch norm among a network's tensors to those of the main process."""
        for name, tensor in tensors.items():
            if name.endswith(("running_mean", "running_var")):
                self._together(partial(_broadcast, tensor))


def _broadcast(tensor: "Tensor", dist: Any) -> None:
    dist.broadcast(tensor, 0)


ALONE = Processes()


def _failure(error: Exception) -> tuple[type[DlnotesError], str, str, str]:
    """The error that tells other processes of one: a file or option that is wrong is, whatever else ends this one."""
    if isinstance(error, DlnotesError):
        kind = InputError if error.exit_code is ExitCode.BAD_INPUT else UnfinishedError
        return kind, error.where, error.what, error.fix
    return UnfinishedError, "processes", f"{type(error).__name__}: {error!s:.200}", _START


@contextmanager
def process_group(options: "TrainingConfig") -> Iterator[Processes]:
    """The processes of the run for the duration of the block, connected with gloo, on CUDA devices with NCCL.

    Raises InputError for more devices than there are, and for processes with other options or code;
    SeveralProcessesError for `--devices` in a process that torchrun has not started.
    """
    processes = Processes.from_environment()
    if options.devices not in {1, processes.local_count}:
        if not processes.is_alone:
            what = f"torchrun has started {processes.local_count} processes here"
            raise InputError("--devices", what, "drop --devices")
        check_devices(options.device, options.devices)
        raise SeveralProcessesError(options.devices)
    if processes.is_alone:
        yield processes
        return
    import torch.distributed as dist

    warnings.filterwarnings("ignore", "Grad strides do not match", UserWarning)  # of 1x1 filters, in channels-last
    check_devices(options.device, processes.local_count)
    if not processes.is_main:
        output.mute()
    backend = "gloo" if choose_device(options.device).type == "cpu" else "cpu:gloo,cuda:nccl"
    try:
        dist.init_process_group(backend, timeout=_TIMEOUT)
    except (RuntimeError, ValueError) as error:
        reason = str(error).partition("\n")[0]
        raise LostProcessError("processes", f"cannot be connected ({reason:.200})", _START) from error
    try:
        import torch

        relevant = {name: value for name, value in to_json(options).items() if name not in _MAY_DIFFER}
        processes.check_same("options", relevant, "start all with the same command line")
        processes.check_same("code", (__version__, torch.__version__), "install the same versions everywhere")
        yield processes
    finally:
        with suppress(RuntimeError):
            dist.destroy_process_group()


@contextmanager
def lost(what: str = "the connection to another process was lost") -> Iterator[None]:
    """Raise LostProcessError for an error of torch.distributed in the block."""
    try:
        yield
    except RuntimeError as error:
        if not _LOST.search(str(error)):
            raise
        raise LostProcessError("processes", what, _START) from error


def run_processes(arguments: Sequence[str], count: int) -> int:
    """Run the program with the same command line in `count` processes of this machine; returns the exit code.

    torchrun's launcher ends all when one has failed. The main process has printed what is wrong, unless it was killed.
    """
    import logging
    import tempfile

    from torch.distributed.elastic.multiprocessing import DefaultLogsSpecs
    from torch.distributed.elastic.multiprocessing.api import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.launcher.api import LaunchConfig, elastic_launch

    os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo0" if sys.platform == "darwin" else "lo")
    logging.disable(logging.CRITICAL)  # the launcher reports signals and failures in many lines
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, sys.path))
    stop: dict[str, Any] = (
        {"shutdown_timeout": _SAVE_S} if "shutdown_timeout" in LaunchConfig.__dataclass_fields__ else {}
    )
    try:
        with tempfile.TemporaryDirectory(prefix="dlnotes-") as logs:
            config = LaunchConfig(
                1, 1, count, run_id=str(os.getpid()), rdzv_backend="c10d", rdzv_endpoint="127.0.0.1:0",
                local_addr="127.0.0.1", max_restarts=0, monitor_interval=0.1, logs_specs=DefaultLogsSpecs(logs), **stop,
            )  # fmt: skip
            elastic_launch(config, sys.executable)("-P", "-m", "dlnotes_cli", *arguments)
    except SignalException as stopped:
        return _SIGNALS.get(stopped.sigval, ExitCode.UNFINISHED)
    except ChildFailedError as failed:
        rank, failure = failed.get_first_failure()
        if failure.exitcode > 0:
            return failure.exitcode
        if rank == 0 or 0 not in failed.failures:
            what = f"process {rank} was killed by {signal.Signals(-failure.exitcode).name}"
            output.error(UnfinishedError("--devices", what, "continue with --resume"))
        return ExitCode.UNFINISHED
    return ExitCode.DONE
