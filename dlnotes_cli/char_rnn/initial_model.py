"""Training that starts from the weights of a trained character model, whose characters are matched."""

from pathlib import Path
from typing import Any

import torch
from torch import nn

from dlnotes_cli.data.preprocessing import TextPreprocessing
from dlnotes_cli.networks.char_rnn import CharRnnConfig
from dlnotes_cli.shell import output
from dlnotes_cli.shell.errors import InputError
from dlnotes_cli.shell.option import value_text
from dlnotes_cli.training.initial_model import WHERE, matched_names
from dlnotes_cli.training.model_file import load_language_model

_SAME = {
    "cell": "--cell", "layers": "--num-layers", "hidden": "--hidden-size", "embed": "--embed", "tied": "--tied",
    "residual": "--residual",
}  # fmt: skip
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
        mine, its = value_text(getattr(config, name)), value_text(getattr(other, name))
        if mine != its and (name != "residual" or config.layers > 1):  # which changes nothing in one layer
            what = f"{path} has {option} {its}, and this network {mine}"
            raise InputError(WHERE, what, f"use the options of that network, or drop {WHERE}")
    if model.preprocessing.unit != preprocessing.unit:
        what = f"{path} predicts {model.preprocessing.unit}, and this network {preprocessing.unit}"
        raise InputError(WHERE, what, f"use --vocab {model.preprocessing.unit}, or drop {WHERE}")
    own, known = _tokens(preprocessing), _tokens(model.preprocessing)
    into = torch.tensor([i for i, token in enumerate(own) if token in known], dtype=torch.int64)
    source = torch.tensor([known.index(token) for token in own if token in known], dtype=torch.int64)
    stored = model.network.state_dict()
    for name, tensor in network.state_dict().items():
        if name in _ROWS:
            tensor[into] = stored[name][source]
        elif name == _COLUMNS and not config.embed:
            tensor[:, into] = stored[name][:, source]
        else:
            tensor.copy_(stored[name])
    units = ("byte", "bytes") if preprocessing.unit == "bytes" else ("character", "characters")
    output.note(f"starts from {model.path}: {matched_names(list(map(repr, own)), list(map(repr, known)), *units)}")


def _tokens(preprocessing: TextPreprocessing) -> list[str]:
    """The characters, or the bytes as numbers, by token."""
    return list(preprocessing.characters) if preprocessing.unit == "chars" else list(map(str, range(256)))
