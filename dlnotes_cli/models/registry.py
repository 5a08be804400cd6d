"""The closed registry of networks: a model file names one of these and nothing else."""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any, Literal, get_args, get_origin, get_type_hints

import torch
from torch import nn

from dlnotes_cli.models.backbones import BackboneConfig, build_backbone
from dlnotes_cli.models.char_rnn import CharRnnConfig, build_char_rnn
from dlnotes_cli.models.cnn import CnnConfig, build_cnn
from dlnotes_cli.models.mlp import MlpConfig, build_mlp


@dataclass(frozen=True)
class RegisteredModel:
    """One kind of network: its purpose, the type of its configuration, and its builder."""

    purpose: Literal["classifier", "language"]
    config_type: type[Any]
    build: Callable[[Any], nn.Module]


REGISTRY: dict[str, RegisteredModel] = {
    "mlp": RegisteredModel("classifier", MlpConfig, build_mlp),
    "cnn": RegisteredModel("classifier", CnnConfig, build_cnn),
    "char_rnn": RegisteredModel("language", CharRnnConfig, build_char_rnn),
    "backbone": RegisteredModel("classifier", BackboneConfig, build_backbone),
}

CLASSIFIERS = tuple(name for name, model in REGISTRY.items() if model.purpose == "classifier")
LANGUAGE_MODELS = tuple(name for name, model in REGISTRY.items() if model.purpose == "language")


def build(name: str, config: object) -> nn.Module:
    """The network `name` with newly initialized weights."""
    return REGISTRY[name].build(config)


def build_on_meta(name: str, config: object) -> nn.Module:
    """The network `name` on the meta device, without memory for its weights."""
    with torch.device("meta"):
        return build(name, config)


def config_from_json(name: str, stored: dict[str, Any]) -> Any:
    """The configuration of a `name` network from the JSON values of a file.

    Raises KeyError, TypeError or ValueError where `stored` is not such a configuration.
    """
    config_type = REGISTRY[name].config_type
    hints = get_type_hints(config_type)
    return config_type(**{key: _checked(key, value, hints[key]) for key, value in dict(stored).items()})


def build_from_json(name: str, stored: dict[str, Any]) -> nn.Module:
    """The network of a file's configuration on the meta device. Raises errors as `config_from_json` does."""
    return build_on_meta(name, config_from_json(name, stored))


def config_to_json(config: Any) -> dict[str, Any]:
    """A configuration as JSON values."""
    return {key: list(value) if isinstance(value, tuple) else value for key, value in asdict(config).items()}


def count_parameters(network: nn.Module) -> int:
    """The number of parameters of a network, trained or frozen."""
    return sum(parameter.numel() for parameter in network.parameters())


def _checked(key: str, value: Any, hint: Any) -> Any:
    if get_origin(hint) is tuple:
        if not isinstance(value, list) or not all(type(item) is int and item > 0 for item in value):
            raise TypeError(key)
        return tuple(value)
    if get_origin(hint) is not None:
        if value not in get_args(hint):
            raise ValueError(key)
    elif type(value) is not hint and (hint, type(value)) != (float, int):
        raise TypeError(key)
    return value
