"""Batches that are loaded in a background thread while the one before is used."""

from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

if TYPE_CHECKING:
    import torch
    from torch import Tensor

Item = TypeVar("Item")


class BatchCopier(Protocol):
    """Copies batches from main memory to a device, as `dlnotes_cli.device.CopyStream`."""

    def buffer(self, shape: tuple[int, ...], dtype: "torch.dtype") -> "Tensor":
        """Memory to gather one batch in."""

    def start(self, pinned: "Tensor") -> Any:
        """Begin to copy a filled buffer."""

    def finish(self, started: Any) -> "Tensor":
        """The copy, on the device."""


class Prefetcher(Generic[Item]):
    """Loads the items 0 to `count` - 1, each while the one before is used: at most one ahead, all in one thread."""

    def __init__(self, load: Callable[[int], Item], count: int) -> None:
        self._load, self._count = load, count
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="dlnotes-prefetch")
        self._next: tuple[int, Future[Item]] | None = None

    def take(self, index: int) -> Item:
        """Item `index`; from then on the next one is loaded. Raises what loading the item raised."""
        prefetched, self._next = self._next, None
        if prefetched is not None and prefetched[0] == index:
            item = prefetched[1].result()
        else:  # the first one, or that of a resumed run
            item = self._thread.submit(self._load, index).result()
        if index + 1 < self._count:
            self._next = index + 1, self._thread.submit(self._load, index + 1)
        return item

    def close(self) -> None:
        """End the thread, after the item that it loads."""
        self._thread.shutdown(cancel_futures=True)


class SampleBatches:
    """The samples of consecutive batches on their device: all are there, or a copier brings them one batch ahead."""

    def __init__(self, samples: "Tensor", indices: "Sequence[Tensor]", copier: BatchCopier | None) -> None:
        self._samples, self._indices, self._copier = samples, indices, copier
        self._copies = None if copier is None else Prefetcher(self._start_copy, len(indices))

    def take(self, index: int) -> "Tensor":
        """The samples of batch `index`, in the order of its indices, not normalized."""
        if self._copier is None or self._copies is None:
            return self._samples.index_select(0, self._indices[index])
        return self._copier.finish(self._copies.take(index))

    def close(self) -> None:
        """End the thread that loads batches, if there is one."""
        if self._copies is not None:
            self._copies.close()

    def _start_copy(self, index: int) -> Any:
        """Gather a batch, as memory-mapped samples are read from disk, and begin to copy it."""
        import torch

        if self._copier is None:
            raise ValueError("samples on the device are not copied")
        indices = self._indices[index]
        buffer = self._copier.buffer((len(indices), *self._samples.shape[1:]), self._samples.dtype)
        torch.index_select(self._samples, 0, indices, out=buffer)
        return self._copier.start(buffer)
