"""The closed table of networks: a model file names one of these and nothing else."""

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
class Entry:
    """What a network is for, how it is described and built."""

    purpose: Literal["classifier", "language"]
    config_type: type[Any]
    build: Callable[[Any], nn.Module]


REGISTRY: dict[str, Entry] = {
    "mlp": Entry("classifier", MlpConfig, build_mlp),
    "cnn": Entry("classifier", CnnConfig, build_cnn),
    "char_rnn": Entry("language", CharRnnConfig, build_char_rnn),
    "backbone": Entry("classifier", BackboneConfig, build_backbone),
}

CLASSIFIERS = tuple(name for name, entry in REGISTRY.items() if entry.purpose == "classifier")
LANGUAGE_MODELS = tuple(name for name, entry in REGISTRY.items() if entry.purpose == "language")


def build(name: str, config: object) -> nn.Module:
    """A network with fresh weights."""
    return REGISTRY[name].build(config)


def build_empty(name: str, stored: dict[str, Any]) -> nn.Module:
    """A network without memory for its weights, from a configuration that a file holds.

    Raises KeyError, TypeError or ValueError where `stored` is not the configuration of a `name` network.
    """
    entry = REGISTRY[name]
    config = entry.config_type(**{key: _checked(key, value, entry) for key, value in dict(stored).items()})
    with torch.device("meta"):
        return entry.build(config)


def config_to_json(config: Any) -> dict[str, Any]:
    """The configuration as JSON values."""
    return {key: list(value) if isinstance(value, tuple) else value for key, value in asdict(config).items()}


def count_parameters(model: nn.Module) -> int:
    """Parameters of a network, whether they are trained or frozen."""
    return sum(parameter.numel() for parameter in model.parameters())


def _checked(key: str, value: Any, entry: Entry) -> Any:
    hint = get_type_hints(entry.config_type)[key]
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
