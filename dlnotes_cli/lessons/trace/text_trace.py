"""`trace MODEL --text`: every gate of a trained character model for every character of a text."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor

from dlnotes_cli.lessons.drawings import Plotted, drawn
from dlnotes_cli.lessons.options import TraceConfig
from dlnotes_cli.shell.codec import HIDDEN
from dlnotes_cli.shell.errors import InputError, require
from dlnotes_cli.shell.files import user_path
from dlnotes_cli.shell.show import Table

_FEATURES = {"quotes": '"“”„«»', "line ends": "\n", "spaces": " "}  # by their characters; an apostrophe is no quote
_LONGEST = 2000  # characters
_MOST_UNITS = 12  # unless --units says otherwise


@dataclass(frozen=True)
class Unit:
    """A unit of a layer, the feature of the text that its state follows most, and its gates (T,)."""

    layer: int
    unit: int
    follows: str
    correlation: float
    gates: dict[str, tuple[float, ...]]


@dataclass(frozen=True)
class TextTrace(Plotted):
    """The units that follow quotes, line ends or spaces most, the best first."""

    config: TraceConfig = field(metadata=HIDDEN)
    model_file: Path
    cell: str
    text: str
    units: tuple[Unit, ...]

    def table(self) -> Iterator[Table]:
        """A row for each unit."""
        rows = [[str(unit.layer), str(unit.unit), unit.follows, f"{unit.correlation:.3f}"] for unit in self.units]
        columns = ["layer", "unit", "follows", "correlation"]
        yield Table(columns, rows, {"layer", "unit", "correlation"}, is_result=True)


def names_a_model(config: TraceConfig) -> bool:
    """Whether the argument is a run folder or a model file in place of layers."""
    if len(config.layers) != 1 or "(" in config.layers[0]:
        return False
    path = user_path(config.layers[0])
    return path.suffix == ".safetensors" or path.is_dir()


@torch.no_grad()
def trace_text(config: TraceConfig) -> TextTrace:
    """Read a text with a trained model and rank its units. Raises InputError for another model or an unknown text."""
    from torch import nn

    from dlnotes_cli.data.texts.characters import Tokenizer, decode_tokens, without_surrogates
    from dlnotes_cli.lessons.trace.network import unrolled
    from dlnotes_cli.networks.char_rnn import CharRnn
    from dlnotes_cli.training.model_file import load_language_model

    model = load_language_model(config.layers[0])
    if not config.text:
        raise InputError("--text", "missing: the text whose gates are drawn", "add --text \"She said: 'no'\"")
    tokens = Tokenizer(model.preprocessing).encode(config.text, "--text", fix="remove them; the model cannot read them")
    require(1 < len(tokens) <= _LONGEST, "--text", f"{len(tokens):,} characters", f"use 2 to {_LONGEST:,}")
    network = model.network
    if not isinstance(network, CharRnn):
        raise TypeError(type(network))
    network = network.double()
    indices = torch.from_numpy(tokens).long()[None]
    text = without_surrogates(decode_tokens(tokens, model.preprocessing))
    if network.embedding is None:
        x = nn.functional.one_hot(indices, network.config.vocabulary).double()
    else:
        x = network.embedding(indices)
    features = _features(text, len(tokens))
    units: list[Unit] = []
    for number, layer in enumerate(network.layers):
        if not isinstance(layer, nn.RNNBase):
            raise TypeError(type(layer))
        zeros = torch.zeros(1, layer.hidden_size, dtype=torch.float64)
        outputs, steps = unrolled(layer, x, zeros, zeros)
        x = network.next_input(number, x, outputs)
        gates = {name: torch.cat([step[name] for step in steps]) for name in steps[0]}  # each (T, H)
        units += _units(number + 1, gates, features)
    units.sort(key=lambda unit: -abs(unit.correlation))
    shown = tuple(units[: config.units or _MOST_UNITS])
    return drawn(TextTrace(config, model.path, network.config.cell, text, shown), "trace.plot")


def _features(text: str, count: int) -> dict[str, Tensor]:
    """Numbers (T,) for each character: whether it is inside quotes, a line end, or a space; 0 for a byte of one."""
    padded = text[:count].ljust(count, "\0")
    features = {name: [c in wanted for c in padded] for name, wanted in _FEATURES.items()}
    numbers = {name: torch.tensor(values).double() for name, values in features.items()}
    return numbers | {"quotes": numbers["quotes"].cumsum(0) % 2}


def _units(layer: int, gates: dict[str, Tensor], features: dict[str, Tensor]) -> list[Unit]:
    """Each unit with the feature that its state follows most, by Pearson's correlation, which is 0 for constants."""
    states, names = gates.get("c", gates["h"]), list(features)
    count = states.shape[1]
    both = torch.cat([states, torch.stack(list(features.values()), 1)], 1)
    correlations = torch.corrcoef(both.T).nan_to_num()[:count, count:]
    units = []
    for unit, best in enumerate(correlations.abs().argmax(dim=1).tolist()):
        own = {name: tuple(values[:, unit].tolist()) for name, values in gates.items()}
        units.append(Unit(layer, unit, names[best], float(correlations[unit, best]), own))
    return units
