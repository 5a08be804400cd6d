"""The processes that share the training of one network: the only module that uses torch.distributed.

Every process runs the same program on a share of each batch. What one process sums here, all have to sum: the calls are
in the same order everywhere. One process alone is `ALONE`, for which every method returns its argument. Importing this
module does not load torch, which ONNX files do not need.
"""

import hashlib
import json
import os
import socket
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from dlnotes_cli.shell.errors import InputError, UnfinishedError

if TYPE_CHECKING:
    from torch import Tensor
    from torch.distributed import ProcessGroup, Store  # type: ignore[attr-defined]  # documented, but not in its stubs

    from dlnotes_cli.training.engine.joined_sum import JoinedSum
    from dlnotes_cli.training.engine.shared_memory import SharedSums

RENDEZVOUS_S = 60.0  # within which all processes have to start
_COLLECTIVE = timedelta(minutes=30)  # after which a process that does not answer is given up
_RETRY_S = 0.1
_VARIABLES = ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")  # that torchrun sets
_START = "start every process with the same command, or all with --devices"
_FIXES = {
    "options": "start all with the same command line",
    "code": "install the same versions of dlnotes and torch everywhere",
    "data": "give all the same data",
}


class LostProcessError(UnfinishedError):
    """Another process of the run ended, or cannot be reached."""


@dataclass(frozen=True)
class Place:
    """Which one of several processes this one is, on all machines together and on its own."""

    rank: int
    count: int
    local_rank: int
    local_count: int

    @classmethod
    def from_environment(cls) -> "Place | None":
        """The place that torchrun or a parent process gave to this process; None if it is the only one.

        Raises InputError for variables that are not valid.
        """
        if any(not os.environ.get(name) for name in _VARIABLES) or os.environ["WORLD_SIZE"] == "1":
            return None
        rank, count, _ = (_variable(name, 0) for name in ("RANK", "WORLD_SIZE", "MASTER_PORT"))
        place = cls(rank, count, _variable("LOCAL_RANK", rank), _variable("LOCAL_WORLD_SIZE", count))
        if not 0 <= place.rank < place.count or not 0 <= place.local_rank < place.local_count:
            raise InputError("$RANK", f"{place.rank} is not below WORLD_SIZE {place.count}", _START)
        return place


class Processes:
    """The processes of a run, seen from one of them; this class is one process alone."""

    place = Place(0, 1, 0, 1)

    @property
    def count(self) -> int:
        """How many there are."""
        return self.place.count

    @property
    def is_main(self) -> bool:
        """Whether this is the one that prints, draws, writes and decides."""
        return self.place.rank == 0

    @property
    def is_alone(self) -> bool:
        """Whether there is no other process."""
        return self.place.count == 1

    @property
    def rows(self) -> slice:
        """The rows of a batch that this process computes: every `count`-th."""
        return slice(self.place.rank, None, self.place.count)

    def threads(self, total: int) -> int:
        """The threads of this process, of `total` on its machine."""
        return max(1, total // self.place.local_count)

    def sum(self, tensor: "Tensor") -> "Tensor":
        """The sum of the tensors of all processes, in place and with the same bits in each of them."""
        return tensor

    def joined_sum(self, like: "Sequence[Tensor]") -> "JoinedSum":
        """Sums over all processes of tensors of one type with these shapes, which can be repeated."""
        import torch

        from dlnotes_cli.training.engine.joined_sum import JoinedSum, views

        flat = torch.empty(sum(tensor.numel() for tensor in like), dtype=like[0].dtype, device=like[0].device)
        parts = views(flat, like)
        return JoinedSum(parts, parts, lambda: self.sum(flat), are_private=True)

    def sums(self, *numbers: float) -> list[float]:
        """The sum over all processes of each number."""
        import torch

        return self.sum(torch.tensor(numbers, dtype=torch.float64)).tolist()

    def share(self, value: Any = None) -> Any:
        """The JSON value of the main process, in all of them."""
        return value

    def share_tensors(self, tensors: "Mapping[str, Tensor]") -> "dict[str, Tensor]":
        """The tensors of the main process, in all of them, on the CPU."""
        return dict(tensors)

    def gather(self, value: Any = None) -> list[Any]:
        """The JSON values of all processes, in all of them, in the order of the processes."""
        return [value]

    @contextmanager
    def main_first(self, what: str) -> Iterator[None]:  # noqa: ARG002  # used by more than one process
        """Run the block in the main process, then in the others, which find in the cache what it has stored there."""
        yield

    def check_same(self, what: str, value: str) -> None:
        """Raise InputError, in all processes, if one has another value: of its options, code or data."""


ALONE = Processes()


class ProcessesTogether(Processes):
    """Several processes, connected with gloo on the CPU and with NCCL on CUDA devices."""

    def __init__(self, place: Place, store: "Store", device_type: str) -> None:
        """Connect. Raises LostProcessError if another process does not."""
        import torch.distributed as dist

        self.place, self._store, self._checks = place, store, 0
        backend = "gloo" if device_type == "cpu" else f"cpu:gloo,{device_type}:nccl"
        with _lost(f"did not start within {RENDEZVOUS_S:.0f} s"):
            dist.init_process_group(
                backend, store=store, rank=place.rank, world_size=place.count,
                timeout=timedelta(seconds=RENDEZVOUS_S),
            )  # fmt: skip
            self._group: ProcessGroup | None = dist.new_group(timeout=_COLLECTIVE)
        self._memory = self._shared_memory()

    def _shared_memory(self) -> "SharedSums | None":
        """Memory in which small tensors are summed, if all processes are on this machine."""
        from dlnotes_cli.training.engine.shared_memory import SharedSums

        self._memory = None
        if self.place.local_count < self.count or not SharedSums.is_possible(self.count):
            return None
        return SharedSums.among(
            self.place.rank, self.count, self.share, lambda number: int(self.sums(number)[0]),
            _COLLECTIVE.total_seconds(),
        )  # fmt: skip

    def disconnect(self) -> None:
        """Leave the other processes, which fail if they wait for this one."""
        import torch.distributed as dist

        if self._memory is not None:
            self._memory.close()
        with suppress(RuntimeError):
            dist.destroy_process_group()

    def sum(self, tensor: "Tensor") -> "Tensor":
        """The sum of the tensors of all processes, in place and with the same bits in each of them."""
        if self._memory is None or not self._memory.fits([tensor]):
            return self._all_reduce(tensor)
        joined = self._memory.joined([tensor])
        joined.places[0].copy_(tensor)
        with _lost():
            joined.add()
        return tensor.copy_(joined.totals[0])

    def joined_sum(self, like: "Sequence[Tensor]") -> "JoinedSum":
        """Sums over all processes of tensors of one type with these shapes, which can be repeated."""
        if self._memory is None or not self._memory.fits(like):
            return super().joined_sum(like)
        joined = self._memory.joined(like)
        return joined._replace(add=_lost()(joined.add))

    def sums(self, *numbers: float) -> list[float]:
        """The sum over all processes of each number."""
        import torch

        if self._memory is None or not self._memory.has_room(numbers):
            return self._all_reduce(torch.tensor(numbers, dtype=torch.float64)).tolist()
        with _lost():
            return self._memory.sum_numbers(numbers)

    def share(self, value: Any = None) -> Any:
        """The JSON value of the main process, in all of them."""
        return self._gathered(value if self.is_main else None, [0])[0]

    def gather(self, value: Any = None) -> list[Any]:
        """The JSON values of all processes, in all of them, in the order of the processes."""
        return self._gathered(value, range(self.count))

    def share_tensors(self, tensors: "Mapping[str, Tensor]") -> "dict[str, Tensor]":
        """The tensors of the main process, in all of them, on the CPU."""
        import torch

        kinds = self.share([[name, str(t.dtype).removeprefix("torch."), [*t.shape]] for name, t in tensors.items()])
        shared = {}
        for name, dtype, shape in kinds:
            tensor = tensors[name].detach().cpu() if self.is_main else torch.empty(shape, dtype=getattr(torch, dtype))
            flat = tensor.contiguous().reshape(-1)
            self._broadcast(flat.view(torch.uint8))
            shared[name] = flat.view(shape)
        return shared

    @contextmanager
    def main_first(self, what: str) -> Iterator[None]:
        """Run the block in the main process, then in the others, which find in the cache what it has stored there."""
        if self.is_main:
            yield
            with _lost():
                self._store.set(f"done/{what}", "1")
            return
        with _lost():
            while not self._store.check([f"done/{what}"]):  # `wait` would print a line each time it takes too long
                time.sleep(_RETRY_S)
        yield

    def check_same(self, what: str, value: str) -> None:
        """Raise InputError, in all processes, if one has another value: of its options, code or data."""
        import torch

        digests = torch.zeros(self.count, 32, dtype=torch.int64)
        digests[self.place.rank] = torch.tensor(list(hashlib.sha256(value.encode()).digest()))
        self.sum(digests)
        for rank, digest in enumerate(digests.tolist()):
            if digest != digests[0].tolist():
                raise InputError("processes", f"process {rank} has other {what} than process 0", _FIXES[what])

    def _gathered(self, value: Any, ranks: Sequence[int]) -> list[Any]:
        """The JSON values of some processes, in all of them."""
        import torch

        content = json.dumps(value).encode() if self.place.rank in ranks else b""
        lengths = torch.zeros(self.count, dtype=torch.int64)
        lengths[self.place.rank] = len(content)
        ends = self.sum(lengths).cumsum(0).tolist()
        every = torch.zeros(ends[-1], dtype=torch.uint8)
        if content:
            every[ends[self.place.rank] - len(content) : ends[self.place.rank]] = torch.frombuffer(
                bytearray(content), dtype=torch.uint8
            )
        text = self.sum(every).numpy().tobytes()
        return [json.loads(text[start:end]) for start, end in zip([0, *ends], ends, strict=False) if start < end]

    def _all_reduce(self, tensor: "Tensor") -> "Tensor":
        """The sum of the tensors of all processes through the connection, in place."""
        import torch.distributed as dist

        with _lost():
            dist.all_reduce(tensor, group=self._group)
        return tensor

    def _broadcast(self, tensor: "Tensor") -> "Tensor":
        import torch.distributed as dist

        if tensor.numel():
            with _lost():
                dist.broadcast(tensor, 0, group=self._group)
        return tensor


def rendezvous() -> "Store":
    """The store of the processes that torchrun or a parent process started. Raises LostProcessError."""
    from torch.distributed.rendezvous import rendezvous as torch_rendezvous

    host, port = os.environ["MASTER_ADDR"], _variable("MASTER_PORT", 0)
    with _lost(f"no rendezvous at {host}:{port} within {RENDEZVOUS_S:g} s"):
        if os.environ["RANK"] != "0":
            _wait_for_server(host, port)
        store: Store = next(torch_rendezvous("env://", timeout=timedelta(seconds=RENDEZVOUS_S)))[0]
    return store


def _wait_for_server(host: str, port: int) -> None:
    """Wait until the main process accepts connections; torch would wait, too, but print many lines if it does not."""
    deadline = time.monotonic() + RENDEZVOUS_S
    while True:
        try:
            with socket.create_connection((host, port), timeout=RENDEZVOUS_S):
                return
        except OSError:
            if time.monotonic() > deadline:
                raise
        time.sleep(_RETRY_S)


def local_store() -> "tuple[Store, int]":
    """A store for processes of this machine, and its port; it waits for none of them. Raises UnfinishedError."""
    from torch.distributed import TCPStore  # type: ignore[attr-defined]  # as above

    with _lost("cannot open a port"):
        store = TCPStore(
            "127.0.0.1", 0, is_master=True, wait_for_workers=False, timeout=timedelta(seconds=RENDEZVOUS_S)
        )
    return store, store.port


@contextmanager
def _lost(what: str = "the connection to another process was lost") -> Iterator[None]:
    """Raise LostProcessError for an error of torch.distributed in the block."""
    try:
        yield
    except (RuntimeError, OSError) as error:
        raise LostProcessError("processes", what, _START) from error


def _variable(name: str, default: int) -> int:
    text = os.environ.get(name, str(default))
    if not (text.isascii() and text.isdecimal()):
        raise InputError(f"${name}", f"'{text}' is not a number", _START)
    return int(text)
