"""Model files: a tensor file whose metadata is all that is needed to use the weights in it.

After the checks of the tensor file, a model file is checked in this order: registry name, configuration, classes and
preprocessing against the configuration, then names, shapes and types of the tensors against the network, which has no
memory until then. Nothing in a file names code.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from dlnotes_cli.data.preprocessing import (
    Preprocessing,
    TextPreprocessing,
    preprocessing_from_json,
    text_preprocessing_from_json,
)
from dlnotes_cli.data.series.preprocessing import SeriesPreprocessing
from dlnotes_cli.data.texts.preprocessing import (
    DocumentPreprocessing,
    SequencePreprocessing,
    TfidfPreprocessing,
    document_preprocessing_from_json,
)
from dlnotes_cli.device import Runtime, RuntimeOptions, choose_runtime
from dlnotes_cli.networks.registry import (
    CLASSIFIERS,
    LANGUAGE_MODELS,
    SERIES_MODELS,
    TEXT_CLASSIFIERS,
    build_on_meta,
    check_input,
    config_from_json,
)
from dlnotes_cli.networks.series_rnn import SeriesRnn
from dlnotes_cli.networks.text_rnn import TextLinearConfig
from dlnotes_cli.shell import files
from dlnotes_cli.shell.codec import build
from dlnotes_cli.shell.errors import InputError
from dlnotes_cli.training.model_metadata import MOST_SHOWN, Metadata, check_data, class_names, metadata_errors
from dlnotes_cli.training.tensor_file import fix_for, read_tensors

EMBEDDED_MODEL = Path(__file__).parent.parent / "weights" / "small.safetensors"  # trained by tools/train_small.py
_VARIANCE = "running_var"  # of batch normalization


@dataclass(frozen=True)
class TrainedModel:
    """A trained classifier and the metadata of its file."""

    path: Path
    network: nn.Module
    name: str  # in the registry
    classes: tuple[str, ...]
    preprocessing: Preprocessing
    metadata: Metadata


@dataclass(frozen=True)
class LanguageModel:
    """A trained character-level language model and the metadata of its file."""

    path: Path
    network: nn.Module
    preprocessing: TextPreprocessing
    metadata: Metadata


@dataclass(frozen=True)
class SeriesModel:
    """A trained forecasting network and the metadata of its file."""

    path: Path
    network: SeriesRnn
    preprocessing: SeriesPreprocessing
    metadata: Metadata


@dataclass(frozen=True)
class TextModel:
    """A trained classifier of texts and the metadata of its file."""

    path: Path
    network: nn.Module  # a TextRnn or a TextLinear
    classes: tuple[str, ...]
    preprocessing: DocumentPreprocessing
    metadata: Metadata


class _Content(NamedTuple):
    """What a model file holds: the registry name of its network, its tensors and its metadata."""

    path: Path
    name: str
    tensors: dict[str, Tensor]
    metadata: Metadata


def load_model(path: str | Path) -> TrainedModel | LanguageModel | TextModel:
    """Load a trained model of any kind. Raises InputError as `load_classifier` does."""
    content = _read_model(files.user_path(path), (*CLASSIFIERS, *LANGUAGE_MODELS, *TEXT_CLASSIFIERS))
    if content.name in TEXT_CLASSIFIERS:
        return _text_model(content)
    return _language_model(content) if content.name in LANGUAGE_MODELS else _classifier(content)


def load_any_classifier(path: str | Path) -> TrainedModel | TextModel:
    """Load a trained classifier of images, tables or texts. Raises InputError as `load_classifier` does."""
    content = _read_model(files.user_path(path), (*CLASSIFIERS, *TEXT_CLASSIFIERS))
    return _text_model(content) if content.name in TEXT_CLASSIFIERS else _classifier(content)


def load_text_model(path: str | Path) -> TextModel:
    """Load a trained classifier of texts, in evaluation mode, on the CPU. Raises InputError as `load_classifier`."""
    return _text_model(_read_model(files.user_path(path), TEXT_CLASSIFIERS))


def load_classifier(path: str | Path) -> TrainedModel:
    """Load a trained classifier, in evaluation mode, on the CPU.

    A run folder stands for its model.safetensors. Raises InputError as `read_tensors` does, and for a network that is
    not a classifier, metadata that is incomplete or contradicts the network, and a tensor that does not fit it.
    """
    return _classifier(_read_model(files.user_path(path), CLASSIFIERS))


def load_language_model(path: str | Path) -> LanguageModel:
    """Load a trained language model, in evaluation mode, on the CPU. Raises InputError as `load_classifier` does."""
    return _language_model(_read_model(files.user_path(path), LANGUAGE_MODELS))


def load_series_model(path: str | Path) -> SeriesModel:
    """Load a trained forecasting network, in evaluation mode, on the CPU. Raises InputError as `load_classifier`."""
    path, name, tensors, metadata = _read_model(files.user_path(path), SERIES_MODELS)
    with metadata_errors(path):
        config = config_from_json(name, metadata["configuration"])
        stored = {key: value for key, value in metadata["format"].items() if key != "kind"}
        preprocessing = build(SeriesPreprocessing, stored)
        rows = [group.rows for group in preprocessing.groups]
        sizes = config.channels, config.future, config.evaluated
        if sizes != (preprocessing.channels, preprocessing.future, preprocessing.horizon):
            raise ValueError("channels or horizon of series")
        if len(config.history) != len(rows) or any(a > b for a, b in zip(config.history, rows, strict=True)):
            raise ValueError("rows of series")
        for group in preprocessing.groups:
            group.axis.shifted(group.rows + config.evaluated)
        network = build_on_meta(name, config)
        if not isinstance(network, SeriesRnn):
            raise TypeError(name)
    load_weights(path, network, tensors)
    return SeriesModel(path, network.eval(), preprocessing, metadata)


def _classifier(content: _Content) -> TrainedModel:
    path, name, tensors, metadata = content
    with metadata_errors(path):
        config = config_from_json(name, metadata["configuration"])
        classes = class_names(metadata["classes"], config.classes)
        preprocessing = preprocessing_from_json(metadata["format"])
        check_data(metadata)
        network = build_on_meta(name, config).eval()
        check_input(name, network, config, preprocessing.shape)
    load_weights(path, network, tensors)
    return TrainedModel(path, network, name, classes, preprocessing, metadata)


def _language_model(content: _Content) -> LanguageModel:
    path, name, tensors, metadata = content
    with metadata_errors(path):
        config = config_from_json(name, metadata["configuration"])
        preprocessing = text_preprocessing_from_json(metadata["format"])
        if preprocessing.vocabulary != config.vocabulary:
            raise ValueError(f"{preprocessing.vocabulary} characters for {config.vocabulary} outputs")
        network = build_on_meta(name, config)
    load_weights(path, network, tensors)
    return LanguageModel(path, network.eval(), preprocessing, metadata)


def _text_model(content: _Content) -> TextModel:
    path, name, tensors, metadata = content
    with metadata_errors(path):
        config = config_from_json(name, metadata["configuration"])
        classes = class_names(metadata["classes"], config.classes)
        preprocessing = document_preprocessing_from_json(metadata["format"])
        _check_text_input(config, preprocessing)
        check_data(metadata)
        network = build_on_meta(name, config)
    load_weights(path, network, tensors)
    return TextModel(path, network.eval(), classes, preprocessing, metadata)


def _check_text_input(config: Any, preprocessing: DocumentPreprocessing) -> None:
    """Raise ValueError unless the network reads what the preprocessing writes."""
    if isinstance(config, TextLinearConfig):
        if not isinstance(preprocessing, TfidfPreprocessing) or preprocessing.features != config.features:
            raise ValueError("features")
    elif not isinstance(preprocessing, SequencePreprocessing) or preprocessing.vocabulary != config.vocabulary:
        raise ValueError("vocabulary")
    elif preprocessing.fixed_length != config.reads_padding:
        raise ValueError("padding")


def runtime_for_model(metadata: Metadata, options: RuntimeOptions) -> Runtime:
    """Device, precision and threads for a trained model.

    `--precision auto` is the precision of its training, so that the same samples get the same predictions, or fp32
    where the device does not have it.
    """
    trained = metadata.get("precision")
    return choose_runtime(
        options.device, options.precision, options.threads, bf16_pays=trained == "bf16", fp16_pays=trained == "fp16"
    )


def load_weights(
    path: Path,
    network: nn.Module,
    tensors: dict[str, Tensor],
    *,
    assign: bool = True,
    fix: str = "train the model again",
) -> None:
    """Load the tensors of a file into a network. Raises InputError naming the first tensor that does not fit it.

    With `assign` the tensors replace the network's own, which may be on the meta device; without it they are copied.
    Tensors of float16, which takes half the bytes in a file, become float32 where the network has it.
    """
    state = network.state_dict()
    floats = {name for name, tensor in state.items() if tensor.dtype == torch.float32}
    tensors = {
        name: tensor.float() if tensor.dtype == torch.float16 and name in floats else tensor
        for name, tensor in tensors.items()
    }
    for name in sorted(set(state) | set(tensors)):
        in_file, in_network = (str(tuple(t[name].shape)) if name in t else "none" for t in (tensors, state))
        if in_file != in_network:
            what = f"tensor {name}: shape {in_file} in the file, {in_network} in the network"
            raise InputError(path, what, fix)
        if tensors[name].dtype != state[name].dtype:
            what = f"tensor {name}: {_dtype(tensors[name])} in the file, {_dtype(state[name])} in the network"
            raise InputError(path, what, fix)
        if name.endswith(_VARIANCE) and bool((tensors[name] < 0).any()):
            raise InputError(path, f"tensor {name} has negative variances", fix_for(path))
    state.update(tensors)  # a state dict also holds version numbers that some torchvision layers need
    network.load_state_dict(state, strict=True, assign=assign)


def check_finite(path: Path, outputs: Tensor) -> None:
    """Refuse a model whose finite weights give outputs that are not. Raises InputError naming its file."""
    if not bool(torch.isfinite(outputs).all()):
        fix = "train the model again, with a lower --lr, or use --precision fp32"
        raise InputError(path, "its outputs are not finite for this input", fix)


def _read_model(path: Path, accepted: tuple[str, ...]) -> _Content:
    """The content of a model file, whose network is one of the `accepted` names of the registry."""
    path = path / "model.safetensors" if path.is_dir() else path
    tensors, metadata = read_tensors(path)
    if metadata.get("kind") == "checkpoint":
        raise InputError(
            path, "is the checkpoint of a run, not its model", f"use {path.with_name('model.safetensors')}"
        )
    name = metadata.get("model")
    if not isinstance(name, str) or name not in accepted:
        needed = " or ".join([", ".join(accepted[:-1]), accepted[-1]]) if len(accepted) > 1 else accepted[0]
        what = f"holds a model of kind {name!s:.{MOST_SHOWN}}, but this command needs {needed}"
        raise InputError(path, what, "use another model file")
    return _Content(path, name, tensors, metadata)


def _dtype(tensor: Tensor) -> str:
    return str(tensor.dtype).removeprefix("torch.")
