"""torchvision's networks, imported without PyTorch's compiler, which takes most of the time of `import torchvision`."""

import importlib
import sys
from functools import cache
from types import ModuleType
from typing import Any

_COMPILER = "torch._dynamo.utils"  # loads the compiler of PyTorch, for a function of operators for object detection


@cache
def torchvision_models() -> ModuleType:
    """The module `torchvision.models`.

    While torchvision loads, a stand-in for a module of PyTorch's compiler is in place, which loads that module when one
    of its functions is called. Afterwards the import of the compiler works as always.
    """
    if _COMPILER not in sys.modules and "torchvision" not in sys.modules:
        sys.modules[_COMPILER] = stand_in = _StandIn(_COMPILER)
        try:
            return importlib.import_module("torchvision.models")
        finally:
            if sys.modules.get(_COMPILER) is stand_in:
                del sys.modules[_COMPILER]
    return importlib.import_module("torchvision.models")


class _StandIn(ModuleType):
    """A module whose functions are those of the real module, which is imported at their first call."""

    def __getattr__(self, name: str) -> Any:
        """A function that calls the real one; every name that is imported from the module must be a function."""
        if name.startswith("__"):
            raise AttributeError(name)

        def call(*args: Any, **kwargs: Any) -> Any:
            return getattr(importlib.import_module(_COMPILER), name)(*args, **kwargs)

        return call
