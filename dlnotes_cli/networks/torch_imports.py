"""Calls of PyTorch without its compiler, which three of them import and none needs; each has a public way beside it.

`import torchvision` imports the compiler for one function of object detection, the meta device for random numbers,
and an optimizer to exclude one of its methods. Seconds of the call without and with the compiler (PyTorch 2.13, two
cores of a Xeon, medians of 3): 0.15 and 0.87 for torchvision, 0.00 and 0.79 on the meta device, 0.01 and 0.79 for an
optimizer. CPU seconds of whole commands: 2.1 and 3.0 for `transfer --list`, 1.7 and 2.8 for `char-rnn sample`. Where
the compiler is imported already, or PyTorch has changed, the public call runs, with the same result.
"""

import importlib
import inspect
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from functools import cache
from types import ModuleType
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

_COMPILER = "torch._dynamo"
_OF_TORCHVISION = "torch._dynamo.utils"  # the module of the compiler that torchvision imports
_RANDOM = {Tensor.normal_, Tensor.uniform_}  # which initializations call
_UNTRACED = "__dynamo_disable"  # the attribute in which PyTorch keeps the function that its compiler does not trace


@cache
def torchvision_models() -> ModuleType:
    """The module `torchvision.models`.

    While torchvision loads, a stand-in for a module of PyTorch's compiler is in place, which loads that module when one
    of its functions is called. Afterwards the import of the compiler works as always.
    """
    if not {_COMPILER, _OF_TORCHVISION, "torchvision"} & sys.modules.keys():
        sys.modules[_OF_TORCHVISION] = _StandIn(_OF_TORCHVISION)
        with suppress(Exception):  # a torchvision that needs more of the compiler than its functions
            importlib.import_module("torchvision.models")
        if isinstance(sys.modules.get(_OF_TORCHVISION), _StandIn):
            del sys.modules[_OF_TORCHVISION]
    return importlib.import_module("torchvision.models")


class _StandIn(ModuleType):
    """A module whose functions are those of the real module, which is imported at their first call."""

    def __getattr__(self, name: str) -> Any:
        """A function that calls the real one; every name that is imported from the module must be a function."""
        if name.startswith("__"):
            raise AttributeError(name)

        def call(*args: Any, **kwargs: Any) -> Any:
            return getattr(importlib.import_module(self.__name__), name)(*args, **kwargs)

        return call


@contextmanager
def meta_device() -> Iterator[None]:
    """Create tensors on the meta device, as `torch.device("meta")` does, and initialize none."""
    with torch.device("meta"), _Uninitialized():
        yield


def uninitialized() -> TorchFunctionMode:
    """A context in which tensors on the meta device, which have no values, are not initialized."""
    return _Uninitialized()


class _Uninitialized(TorchFunctionMode):
    """Leaves tensors as they are where `torch.nn.init` would initialize them, or draw random numbers."""

    def __torch_function__(  # the name is PyTorch's
        self, function: Any, _types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        is_init = function in _RANDOM or getattr(function, "__module__", None) == torch.nn.init.__name__
        tensor = kwargs.get("tensor", args[0] if args else None)
        return tensor if is_init and tensor is not None and tensor.is_meta else function(*args, **kwargs)


def make_lbfgs(parameters: Iterable[nn.Parameter], **settings: Any) -> torch.optim.LBFGS:
    """The optimizer `torch.optim.LBFGS` with these settings."""
    method = inspect.unwrap(torch.optim.Optimizer.add_param_group)
    if _COMPILER in sys.modules or hasattr(method, _UNTRACED):
        return torch.optim.LBFGS(parameters, **settings)
    setattr(method, _UNTRACED, method)
    try:
        return torch.optim.LBFGS(parameters, **settings)
    finally:
        delattr(method, _UNTRACED)
