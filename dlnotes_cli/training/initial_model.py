"""Training that starts from the weights of a trained classifier, whose classes are matched by name."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from dlnotes_cli.data.dataset import DataSet
from dlnotes_cli.data.preprocessing import TablePreprocessing
from dlnotes_cli.shell import output
from dlnotes_cli.shell.errors import InputError
from dlnotes_cli.training.model_file import TrainedModel, load_classifier

WHERE = "--init-from"
_FIX = "use the options of its network, or drop --init-from"
_SHOWN = 8  # names in a note


@dataclass(frozen=True)
class _Part:
    """A module of a network, and its description in an architecture; dropout, which has no weights, is left out."""

    module: nn.Module
    text: str


def start_from(path: Path, network: nn.Module, name: str, dataset: DataSet, seed: int) -> None:
    """Copy the weights of a trained model into a network of the same architecture, a `name` of the registry.

    The rows of the output layer are matched by class name; those of new classes keep their initialization, as a note
    says. Raises InputError for another architecture, and for a table with other columns.
    """
    model = load_classifier(path)
    if model.name != name:
        raise InputError(WHERE, f"{path} is a model of kind {model.name}, and this one is {name}", _FIX)
    _check_columns(path, model, dataset)
    own, other = list(_parts(network)), list(_parts(model.network))
    head = _head(own, len(dataset.classes))
    _check_architecture(path, own, other, head)
    for position, (into, source) in enumerate(zip(own, other, strict=True)):
        if position == head:
            _copy_rows(into.module, source.module, dataset.classes, model.classes)
        elif not any(True for _ in into.module.children()):
            into.module.load_state_dict(source.module.state_dict())
    output.note(f"starts from {model.path}: {matched_names(dataset.classes, model.classes, 'class', 'classes')}")
    _warn_about_leaks(model, dataset, seed)


def matched_names(own: Sequence[str], known: Sequence[str], one: str, several: str) -> str:
    """How many names of a new model the old one knows, and which are new or left out."""
    new = [name for name in own if name not in known]
    left_out = [name for name in known if name not in own]
    text = f"{len(own) - len(new)} of {output.counted(len(own), one, several)} known"
    for label, names in (("new", new), ("left out", left_out)):
        if names:
            more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
            text += f"; {label}: {', '.join(names[:_SHOWN])}{more}"
    return text


def _parts(network: nn.Module) -> Iterator[_Part]:
    for module in network.modules():
        if isinstance(module, nn.Dropout):
            continue
        children = [child for child in module.children() if not isinstance(child, nn.Dropout)]
        text = f"{type(module).__name__} of {len(children)} layers" if children else repr(module)
        yield _Part(module, text)


def _head(parts: Sequence[_Part], classes: int) -> int:
    """The position of the output layer: the last one with weights, whose outputs are the classes."""
    position = max(i for i, part in enumerate(parts) if isinstance(getattr(part.module, "weight", None), nn.Parameter))
    if len(parts[position].module.weight) != classes:  # type: ignore[arg-type]  # a parameter
        raise InputError(WHERE, f"the last layer with weights, {parts[position].text}, has no output per class", _FIX)
    return position


def _check_architecture(path: Path, own: Sequence[_Part], other: Sequence[_Part], head: int) -> None:
    """Raise InputError naming the first part that differs, but for the number of outputs."""
    if len(own) != len(other):
        raise InputError(
            WHERE, f"{path} has a network of {_layers(other)} layers, and this one has {_layers(own)}", _FIX
        )
    for position, (mine, its) in enumerate(zip(own, other, strict=True)):
        if mine.text == its.text or (position == head and _inputs(mine.module) == _inputs(its.module)):
            continue
        raise InputError(WHERE, f"{path} has {its.text}, and this network {mine.text}", _FIX)


def _layers(parts: Sequence[_Part]) -> int:
    """The number of modules that do not consist of others."""
    return sum(not any(True for _ in part.module.children()) for part in parts)


def _inputs(layer: nn.Module) -> tuple[object, ...]:
    """The type of a layer with weights, and what one of its outputs reads."""
    weight = getattr(layer, "weight", None)
    return type(layer), None if weight is None else weight.shape[1:], getattr(layer, "bias", None) is None


@torch.no_grad()
def _copy_rows(into: nn.Module, source: nn.Module, classes: Sequence[str], known: Sequence[str]) -> None:
    """Copy the weights of the outputs whose classes both layers have."""
    for name, parameter in into.named_parameters():
        rows = source.get_parameter(name)
        for i, class_name in enumerate(classes):
            if class_name in known:
                parameter[i] = rows[known.index(class_name)]


def _check_columns(path: Path, model: TrainedModel, dataset: DataSet) -> None:
    own, other = dataset.preprocessing, model.preprocessing
    if type(own) is not type(other):
        raise InputError(WHERE, f"{path} was trained on other data, {other.kind} and not {own.kind}", _FIX)
    if not isinstance(own, TablePreprocessing) or not isinstance(other, TablePreprocessing):
        return
    if own.inputs != other.inputs:
        differing = next((name for name in (*own.inputs, *other.inputs) if own.inputs != other.inputs and (
            name not in own.inputs or name not in other.inputs)), own.inputs[0])  # fmt: skip
        raise InputError(
            WHERE, f"{path} was trained on other columns or categories ({differing})", "use the same table"
        )


def _warn_about_leaks(model: TrainedModel, dataset: DataSet, seed: int) -> None:
    """Warn if the model was trained on the same data with another split: its training samples may be held out here."""
    data = model.metadata.get("data", {})
    if data.get("fingerprint") == dataset.fingerprint and model.metadata.get("seed") != seed:
        output.warn(
            f"{WHERE}: {model.path} was trained on {dataset.name} with --seed {model.metadata.get('seed')}, so that "
            "samples held out here may be among its training samples"
        )
