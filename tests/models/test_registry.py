"""The registry of networks: closed, and strict about configurations from files."""

import json
import math
from typing import Any

import pytest
from builders import build_from_json
from hypothesis import given
from hypothesis import strategies as st

from dlnotes_cli.models.mlp import MlpConfig
from dlnotes_cli.models.registry import CLASSIFIERS, REGISTRY, build, count_parameters
from dlnotes_cli.shell.codec import to_json

STORED: dict[str, Any] = {
    "inputs": 6, "classes": 3, "hidden": [5, 4], "activation": "tanh", "dropout": 0.5, "batch_norm": True
}  # fmt: skip


def test_only_registered_names_are_built() -> None:
    assert set(CLASSIFIERS) <= set(REGISTRY)
    assert "mlp" in CLASSIFIERS
    for name in ("", "MLP", "torch.nn.Linear", "os.system"):
        with pytest.raises(KeyError):
            build_from_json(name, STORED)


CONFIGS = st.builds(
    MlpConfig,
    inputs=st.integers(1, 9),
    classes=st.integers(1, 9),
    hidden=st.lists(st.integers(1, 9), max_size=3).map(tuple),
    activation=st.sampled_from(["relu", "sigmoid", "tanh", "leaky-relu", "gelu"]),
    dropout=st.floats(0, 1, exclude_max=True),
    batch_norm=st.booleans(),
)


@given(config=CONFIGS)
def test_a_network_is_built_again_from_its_configuration(config: MlpConfig) -> None:
    stored = json.loads(json.dumps(to_json(config), allow_nan=False))
    empty, full = build_from_json("mlp", stored), build("mlp", config)
    assert {name: tensor.shape for name, tensor in empty.state_dict().items()} == {
        name: tensor.shape for name, tensor in full.state_dict().items()
    }
    assert count_parameters(empty) == count_parameters(full)


def test_a_network_from_a_file_is_on_the_meta_device_however_large() -> None:
    network = build_from_json("mlp", STORED | {"inputs": 50_000_000, "hidden": [1_000_000] * 3})
    assert all(tensor.device.type == "meta" for tensor in network.state_dict().values())
    assert count_parameters(network) > 10**13


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
