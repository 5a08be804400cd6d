"""Model files: a tensor file whose metadata is all that is needed to use the weights in it.

After the checks of the tensor file, a model file is checked in this order: registry name, configuration, classes and
preprocessing against the configuration, then names, shapes and types of the tensors against the network, which has no
memory until then. Nothing in a file names code.
"""

from dataclasses import dataclass
from operator import lt
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from dlnotes_cli.data.preprocessing import (
    ImagePreprocessing,
    Preprocessing,
    TablePreprocessing,
    TextPreprocessing,
    preprocessing_from_json,
)
from dlnotes_cli.data.series.preprocessing import SeriesPreprocessing
from dlnotes_cli.data.texts.preprocessing import DocumentPreprocessing, SequencePreprocessing, TfidfPreprocessing
from dlnotes_cli.device import Runtime, choose_runtime
from dlnotes_cli.networks.backbones import load_state
from dlnotes_cli.networks.registry import REGISTRY, Purpose, build_on_meta, check_input, config_from_json
from dlnotes_cli.networks.series_rnn import SeriesRnn
from dlnotes_cli.shell import files
from dlnotes_cli.shell.errors import InputError
from dlnotes_cli.shell.option_groups import OnDevice
from dlnotes_cli.training.model_metadata import MOST_SHOWN, Metadata, check_data, class_names, metadata_errors
from dlnotes_cli.training.similarity import Similarity, take_similarity
from dlnotes_cli.training.tensor_file import fix_for, read_tensors

EMBEDDED_MODEL = Path(__file__).parent.parent / "weights" / "small.safetensors"  # trained by tools/train_small.py
_TRAIN_AGAIN = "train the model again"
_VARIANCE = "running_var"  # of batch normalization


@dataclass(frozen=True)
class StoredModel:
    """A trained model, in evaluation mode, and the metadata of its file."""

    path: Path
    network: Any  # a module
    name: str  # in the registry
    classes: tuple[str, ...]  # empty unless it is a classifier
    preprocessing: Any
    metadata: Metadata
    similarity: Similarity | None = None  # None: the file has no features of training samples


class TrainedModel(StoredModel):
    """A trained classifier of images or tables."""

    network: nn.Module
    preprocessing: Preprocessing


class LanguageModel(StoredModel):
    """A trained character-level language model."""

    network: nn.Module
    preprocessing: TextPreprocessing


class SeriesModel(StoredModel):
    """A trained forecasting network."""

    network: SeriesRnn
    preprocessing: SeriesPreprocessing


class TextModel(StoredModel):
    """A trained classifier of texts; its network is a TextRnn or a TextLinear."""

    network: nn.Module
    preprocessing: DocumentPreprocessing


def load_classifier(path: str | Path) -> TrainedModel:
    """Load a trained classifier of images or tables, in evaluation mode, on the CPU.

    A run folder stands for its model.safetensors. Raises InputError as `read_tensors` does, and for a network of
    another kind, metadata that is incomplete or contradicts the network, and a tensor that does not fit it.
    """
    model: TrainedModel = _load(path, TrainedModel)
    return model


def load_language_model(path: str | Path) -> LanguageModel:
    """Load a trained language model, in evaluation mode, on the CPU. Raises InputError as `load_classifier` does."""
    model: LanguageModel = _load(path, LanguageModel)
    return model


def load_series_model(path: str | Path) -> SeriesModel:
    """Load a trained forecasting network, in evaluation mode, on the CPU. Raises InputError as `load_classifier`."""
    model: SeriesModel = _load(path, SeriesModel)
    return model


def load_text_model(path: str | Path) -> TextModel:
    """Load a trained classifier of texts, in evaluation mode, on the CPU. Raises InputError as `load_classifier`."""
    model: TextModel = _load(path, TextModel)
    return model


def load_any_classifier(path: str | Path) -> TrainedModel | TextModel:
    """Load a trained classifier of images, tables or texts. Raises InputError as `load_classifier` does."""
    model: TrainedModel | TextModel = _load(path, TrainedModel, TextModel)
    return model


def load_model(path: str | Path) -> TrainedModel | LanguageModel | TextModel:
    """Load a trained model of any kind but a forecasting network. Raises InputError as `load_classifier` does."""
    model: TrainedModel | LanguageModel | TextModel = _load(path, TrainedModel, LanguageModel, TextModel)
    return model


def _load(path: str | Path, *accepted: type[StoredModel]) -> Any:
    """Load a model of one of some types."""
    path = files.user_path(path)
    path = path / "model.safetensors" if path.is_dir() else path
    tensors, metadata = read_tensors(path)
    if metadata.get("kind") == "checkpoint":
        fix = f"use {path.with_name('model.safetensors')}"
        raise InputError(path, "is the checkpoint of a run, not its model", fix)
    name = metadata.get("model")
    names = [known for known, registered in REGISTRY.items() if _KINDS[registered.purpose][0] in accepted]
    if not isinstance(name, str) or name not in names:
        needed = " or ".join(filter(None, [", ".join(names[:-1]), names[-1]]))
        what = f"holds a model of kind {name!s:.{MOST_SHOWN}}, but this command needs {needed}"
        raise InputError(path, what, "use another model file")
    model_type, kinds = _KINDS[REGISTRY[name].purpose]
    with metadata_errors(path):
        config: Any = config_from_json(name, metadata["configuration"])
        classes: tuple[str, ...] = ()
        if hasattr(config, "classes"):
            classes = class_names(metadata["classes"], config.classes)
            check_data(metadata)
        preprocessing = preprocessing_from_json(metadata["format"], *kinds)
        network = build_on_meta(name, config).eval()
        _check_input(name, network, config, preprocessing)
        similarity = take_similarity(tensors)
    load_weights(path, network, tensors)
    return model_type(path, network, name, classes, preprocessing, metadata, similarity)


_KINDS: dict[Purpose, tuple[type[StoredModel], tuple[Any, ...]]] = {  # and the classes of preprocessing
    "classifier": (TrainedModel, (ImagePreprocessing, TablePreprocessing)),
    "language": (LanguageModel, (TextPreprocessing,)),
    "series": (SeriesModel, (SeriesPreprocessing,)),
    "text": (TextModel, (SequencePreprocessing, TfidfPreprocessing)),
}


def _check_input(name: str, network: nn.Module, config: Any, preprocessing: Any) -> None:
    """Raise ValueError unless the network reads what the preprocessing writes."""
    match preprocessing:
        case ImagePreprocessing() | TablePreprocessing():
            check_input(name, network, config, preprocessing.shape)
        case TextPreprocessing():
            if preprocessing.vocabulary != config.vocabulary:
                raise ValueError(f"{preprocessing.vocabulary} characters for {config.vocabulary} outputs")
        case SeriesPreprocessing():
            _check_series(config, preprocessing)
        case TfidfPreprocessing():
            if preprocessing.features != getattr(config, "features", None):
                raise ValueError("features")
        case SequencePreprocessing():
            reads = getattr(config, "vocabulary", None), getattr(config, "reads_padding", None)
            if reads != (preprocessing.vocabulary, preprocessing.fixed_length):
                raise ValueError("vocabulary or padding")


def _check_series(config: Any, preprocessing: SeriesPreprocessing) -> None:
    sizes = preprocessing.channels, preprocessing.future, preprocessing.horizon
    if sizes != (config.channels, config.future, config.evaluated):
        raise ValueError("channels or horizon of series")
    rows = [group.rows for group in preprocessing.groups]
    if len(rows) != len(config.history) or any(map(lt, rows, config.history)):
        raise ValueError("rows of series")
    for group in preprocessing.groups:
        group.axis.shifted(group.rows + config.evaluated)


def runtime_for_model(metadata: Metadata, options: OnDevice) -> Runtime:
    """Device, precision and threads for a trained model.

    `--precision auto` is the precision of its training, so that the same samples get the same predictions, or fp32
    where the device does not have it.
    """
    trained = metadata.get("precision")
    return choose_runtime(
        options.device, options.precision, options.threads, bf16_pays=trained == "bf16", fp16_pays=trained == "fp16"
    )


def load_weights(
    path: Path, network: nn.Module, tensors: dict[str, Tensor], *, assign: bool = True, fix: str = _TRAIN_AGAIN
) -> None:
    """Load the tensors of a file into a network, as `load_state`. Raises InputError where one does not fit."""
    negative = [name for name, tensor in tensors.items() if name.endswith(_VARIANCE) and bool((tensor < 0).any())]
    if negative:
        raise InputError(path, f"tensor {negative[0]} has negative variances", fix_for(path))
    load_state(network, tensors, path, fix, assign=assign)


def check_finite(path: Path, outputs: Tensor) -> None:
    """Refuse a model whose finite weights give outputs that are not. Raises InputError naming its file."""
    if not bool(torch.isfinite(outputs).all()):
        fix = "train the model again, with a lower --lr, or use --precision fp32"
        raise InputError(path, "its outputs are not finite for this input", fix)
