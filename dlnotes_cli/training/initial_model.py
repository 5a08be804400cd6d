"""Training that starts from the weights of a trained classifier, whose classes are matched by name."""

from collections.abc import Sequence
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


def start_from(path: Path, network: nn.Module, name: str, dataset: DataSet, seed: int) -> None:
    """Copy the weights of a trained model into a network of the same architecture, a `name` of the registry.

    The rows of the output layer are matched by class name; those of new classes keep their initialization, as a note
    says. Raises InputError for another architecture, and for a table with other columns.
    """
    model = load_classifier(path)
    if model.name != name:
        raise InputError(WHERE, f"{path} is a model of kind {model.name}, and this one is {name}", _FIX)
    _check_columns(path, model, dataset)
    own, other = _modules(network), _modules(model.network)
    head = max(i for i, module in enumerate(own) if isinstance(getattr(module, "weight", None), nn.Parameter))
    if len(_rows(own[head])["weight"]) != len(dataset.classes):
        what = f"the last layer with weights, {_text(own[head])}, has no output per class"
        raise InputError(WHERE, what, _FIX)
    _check_architecture(path, own, other, head)
    for position, (into, source) in enumerate(zip(own, other, strict=True)):
        if position == head:
            _copy_rows(into, source, dataset.classes, model.classes)
        elif not list(into.children()):
            into.load_state_dict(source.state_dict())
    output.note(f"starts from {model.path}: {matched_names(dataset.classes, model.classes, 'class', 'classes')}")
    data, seed_of_model = model.metadata.get("data", {}), model.metadata.get("seed")
    if data.get("fingerprint") == dataset.fingerprint and seed_of_model != seed:
        output.warn(
            f"{WHERE}: {model.path} was trained on {dataset.name} with --seed {seed_of_model}, so that "
            "samples held out here may be among its training samples"
        )


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


def _modules(network: nn.Module) -> list[nn.Module]:
    """All modules but dropout, which has no weights."""
    return [module for module in network.modules() if not isinstance(module, nn.Dropout)]


def _text(module: nn.Module) -> str:
    """A layer as PyTorch prints it, and how many modules others contain."""
    children = [child for child in module.children() if not isinstance(child, nn.Dropout)]
    return f"{type(module).__name__} of {len(children)} layers" if children else repr(module)


def _check_architecture(path: Path, own: Sequence[nn.Module], other: Sequence[nn.Module], head: int) -> None:
    """Raise InputError naming the first module that differs, but for the number of outputs."""
    if len(own) != len(other):
        layers, its = (sum(not list(module.children()) for module in modules) for modules in (own, other))
        raise InputError(WHERE, f"{path} has a network of {its} layers, and this one has {layers}", _FIX)
    for position, (mine, its_module) in enumerate(zip(own, other, strict=True)):
        if position == head and type(mine) is type(its_module):
            inputs = ({name: rows.shape[1:] for name, rows in _rows(one).items()} for one in (mine, its_module))
            is_same = next(inputs) == next(inputs)
        else:
            is_same = _text(mine) == _text(its_module)
        if not is_same:
            raise InputError(WHERE, f"{path} has {_text(its_module)}, and this network {_text(mine)}", _FIX)


def _rows(layer: nn.Module) -> dict[str, nn.Parameter]:
    """The parameters of a layer, which have a row for each output."""
    return dict(layer.named_parameters())


@torch.no_grad()
def _copy_rows(into: nn.Module, source: nn.Module, classes: Sequence[str], known: Sequence[str]) -> None:
    """Copy the weights of the outputs whose classes both layers have."""
    for name, parameter in _rows(into).items():
        for i, class_name in enumerate(classes):
            if class_name in known:
                parameter[i] = source.get_parameter(name)[known.index(class_name)]


def _check_columns(path: Path, model: TrainedModel, dataset: DataSet) -> None:
    own, other = dataset.preprocessing, model.preprocessing
    if type(own) is not type(other):
        raise InputError(WHERE, f"{path} was trained on other data, {other.kind} and not {own.kind}", _FIX)
    if isinstance(own, TablePreprocessing) and isinstance(other, TablePreprocessing) and own.inputs != other.inputs:
        differing = [name for name in (*own.inputs, *other.inputs) if (name in own.inputs) != (name in other.inputs)]
        what = f"{path} was trained on other columns or categories ({(differing or own.inputs)[0]})"
        raise InputError(WHERE, what, "use the same table")
