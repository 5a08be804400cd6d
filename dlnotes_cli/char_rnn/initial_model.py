"""Training that starts from the weights of a trained character model, whose characters are matched."""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from dlnotes_cli.data.preprocessing import TextPreprocessing
from dlnotes_cli.networks.char_rnn import CharRnnConfig
from dlnotes_cli.shell import output
from dlnotes_cli.shell.errors import InputError
from dlnotes_cli.training.initial_model import WHERE, matched_names
from dlnotes_cli.training.model_file import load_language_model

_SAME = {
    "cell": "--cell", "layers": "--num-layers", "hidden": "--hidden-size", "embed": "--embed", "tied": "--tied",
    "residual": "--residual",
}  # fmt: skip
_OF_SEVERAL_LAYERS = {"residual"}  # what changes nothing in a network of one layer
_ROWS = ("embedding.weight", "output.weight", "output.bias")  # with a row for each character
_COLUMNS = "layers.0.weight_ih_l0"  # without an embedding, has a column for each character


@torch.no_grad()
def start_from_language_model(
    path: Path, network: nn.Module, config: CharRnnConfig, preprocessing: TextPreprocessing
) -> None:
    """Copy the weights of a trained model into a network of the same architecture.

    The weights of a character that the model knows are its own; those of new characters keep their initialization, as a
    note says. Raises InputError for another architecture, and for a model of bytes and a network of characters.
    """
    model = load_language_model(path)
    other: Any = model.network.config
    for name, option in _SAME.items():
        if name in _OF_SEVERAL_LAYERS and config.layers == 1:
            continue
        mine, its = getattr(config, name), getattr(other, name)
        if mine != its:
            raise InputError(
                WHERE, f"{path} has {option} {_text(its)}, and this network {_text(mine)}", _fix(option, its)
            )
    if model.preprocessing.unit != preprocessing.unit:
        what = f"{path} predicts {model.preprocessing.unit}, and this network {preprocessing.unit}"
        raise InputError(WHERE, what, f"use --vocab {model.preprocessing.unit}, or drop {WHERE}")
    own, known = _tokens(preprocessing), _tokens(model.preprocessing)
    into = torch.tensor([i for i, token in enumerate(own) if token in known], dtype=torch.int64)
    source = torch.tensor([known.index(token) for token in own if token in known], dtype=torch.int64)
    state, stored = network.state_dict(), model.network.state_dict()
    for name, tensor in state.items():
        _copy(name, tensor, stored[name], into, source, is_one_hot=not config.embed)
    units = ("byte", "bytes") if preprocessing.unit == "bytes" else ("character", "characters")
    output.note(f"starts from {model.path}: {matched_names(list(map(repr, own)), list(map(repr, known)), *units)}")


def _copy(name: str, tensor: Tensor, stored: Tensor, into: Tensor, source: Tensor, *, is_one_hot: bool) -> None:
    """Copy one tensor of the state, of which some have a row or a column for each character."""
    if name in _ROWS:
        tensor[into] = stored[source]
    elif name == _COLUMNS and is_one_hot:
        tensor[:, into] = stored[:, source]
    else:
        tensor.copy_(stored)


def _tokens(preprocessing: TextPreprocessing) -> list[str]:
    """The characters, or the bytes as numbers, by token."""
    return list(preprocessing.characters) if preprocessing.unit == "chars" else list(map(str, range(256)))


def _text(value: object) -> str:
    return {True: "on", False: "off"}[value] if isinstance(value, bool) else str(value)


def _fix(option: str, value: object) -> str:
    if isinstance(value, bool):
        turn_off = "use --no-residual" if option == "--residual" else f"drop {option}"
        return f"{f'add {option}' if value else turn_off}, or drop {WHERE}"
    return f"use {option} {value}, or drop {WHERE}"
