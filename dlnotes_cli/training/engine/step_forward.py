"""The forward pass of training steps: that of the network, or compiled by torch.compile where that pays."""

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any, Self

import torch
from torch import nn

from dlnotes_cli.device import Runtime
from dlnotes_cli.shell import output

MEASURED_STEPS = 60  # after which the duration of a run is estimated
PAYS_AFTER_S = 300.0  # of training that remain: compilation takes about a minute and then saves a fifth of the time
_MOST_SHAPES = 2  # of batches that are compiled: full ones, and parts or a last batch of another size


class StepForward:
    """Calls a network in training steps, eagerly or compiled; the network itself, its weights and names do not change.

    Batches of a third shape run eagerly, so that no number of shapes leads to more compilations. Without a compiler
    that works, everything does, after a note.
    """

    def __init__(self, network: nn.Module, requested: bool | None = False) -> None:  # noqa: FBT002  # as the option
        """With `requested` None, `decide` may start compilation later."""
        self._network, self._requested = network, requested
        self._compiled: Any = None  # until the first step
        self._shapes: set[torch.Size] = set()  # that are compiled
        self.is_held = False  # while layers are unfrozen, after each of which a network would be compiled again
        self.is_compiled = False  # whether steps have run compiled, the last ones included

    @classmethod
    def of(cls, network: nn.Module, option: bool | None, runtime: Runtime) -> Self:
        """The forward pass as `--compile` sets it; None decides later on CUDA devices, and never compiles elsewhere."""
        requested = False if option is None and runtime.device.type != "cuda" else option
        return cls(network, requested)

    def __call__(self, *inputs: Any) -> Any:
        """The outputs of the network; the first input is a batch, which decides over the shape."""
        shape = inputs[0].shape
        is_new = shape not in self._shapes
        if not self._requested or self.is_held or (is_new and len(self._shapes) == _MOST_SHAPES):
            return self._network(*inputs)
        try:
            with _silence() if is_new else nullcontext():
                outputs = self._compilable()(*inputs)
        except torch.OutOfMemoryError:
            raise
        except Exception as error:  # noqa: BLE001  # compilers fail in many ways; other errors occur again eagerly
            reason = str(error).strip().partition("\n")[0] or type(error).__name__
            output.note(f"--compile: the network cannot be compiled here, so that it runs without ({reason:.200})")
            self._requested = self.is_compiled = False
            return self._network(*inputs)
        self._shapes.add(shape)
        self.is_compiled = True
        return outputs

    @property
    def is_undecided(self) -> bool:
        """Whether `decide` may still start compilation."""
        return self._requested is None

    def decide(self, remaining_s: float) -> None:
        """Compile from here on, if so many seconds of training remain that it pays."""
        self._requested = remaining_s >= PAYS_AFTER_S
        if self._requested:
            output.status(
                "compiling", "the forward and backward pass, which takes about a minute (--no-compile: never)"
            )

    def _compilable(self) -> Any:
        """The network, which is compiled when it is called first; dropout draws the same numbers as without."""
        if self._compiled is None:
            torch.compiler.reset()  # so that the networks of other runs do not count towards the limit of compilations
            self._compiled = torch.compile(self._network, dynamic=False, options={"fallback_random": True})
        return self._compiled


@contextmanager
def _silence() -> Iterator[None]:
    """Keep what compilers warn and log off standard error; their exceptions still come."""
    loggers = [logging.getLogger(name) for name in ("torch._dynamo", "torch._inductor", "torch._functorch")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
