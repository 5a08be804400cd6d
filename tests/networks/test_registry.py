"""The registry of networks: closed, and strict about configurations from files."""

import math
from typing import Any

import pytest
from builders import build_from_json

from dlnotes_cli.networks.registry import CLASSIFIERS, REGISTRY

STORED: dict[str, Any] = {
    "inputs": 6, "classes": 3, "hidden": [5, 4], "activation": "tanh", "dropout": 0.5, "batch_norm": True
}  # fmt: skip


def test_only_registered_names_are_built() -> None:
    assert set(CLASSIFIERS) <= set(REGISTRY)
    assert "mlp" in CLASSIFIERS
    for name in ("", "MLP", "torch.nn.Linear", "os.system"):
        with pytest.raises(KeyError):
            build_from_json(name, STORED)


CHANGES: list[dict[str, Any]] = [
    {"inputs": 6.0}, {"inputs": 0}, {"inputs": -6}, {"inputs": 10**30}, {"classes": 0}, {"classes": 1 << 40},
    {"hidden": [0]}, {"hidden": [-5]}, {"hidden": [True]}, {"hidden": [1 << 62] * 2}, {"activation": "__import__"},
    {"dropout": 1.0}, {"dropout": -0.5}, {"dropout": math.nan}, {"batch_norm": 1}, {"invented": 1},
]  # fmt: skip
BAD: list[Any] = [
    *({name: value for name, value in STORED.items() if name != missing} for missing in ("inputs", "classes")),
    *(STORED | change for change in CHANGES),
    None, [], "mlp",
]  # fmt: skip


@pytest.mark.parametrize("stored", BAD, ids=repr)
def test_an_invalid_configuration_is_refused(stored: Any) -> None:
    with pytest.raises((KeyError, TypeError, ValueError)):
        build_from_json("mlp", stored)
