"""The task of `export`: write a trained model as a file for other programs, if it answers the same."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import nn

from dlnotes_cli import __version__
from dlnotes_cli.data.paths import check_not_input
from dlnotes_cli.data.preprocessing import TablePreprocessing
from dlnotes_cli.device import choose_runtime
from dlnotes_cli.export import onnx_format, pt2_format, state_dict_format
from dlnotes_cli.export.eager import Answer, eager_answer, eager_step
from dlnotes_cli.export.exported import Arrays, ExportedGraph
from dlnotes_cli.export.options import DEFAULT_SAMPLES, FORMATS, ExportConfig
from dlnotes_cli.export.parity import ROUNDING, Limits, check_classifier, check_language_model
from dlnotes_cli.export.results import ExportResult, Latency, ModelTiming, Parity
from dlnotes_cli.export.samples import choose_samples
from dlnotes_cli.export.timing import TimedModel, median_ms, quantized, time_table
from dlnotes_cli.export.wrapper import ExportGraph, classifier_graph, step_graph
from dlnotes_cli.models.char_rnn import CharRnn
from dlnotes_cli.shell import files, output
from dlnotes_cli.shell.errors import InputError, UnfinishedError
from dlnotes_cli.training.course_checkpoint import load_course_classifier
from dlnotes_cli.training.inference_batch import inference_batch_size
from dlnotes_cli.training.model_file import LanguageModel, TrainedModel, check_finite, load_classifier, load_model
from dlnotes_cli.training.model_metadata import Metadata
from dlnotes_cli.training.onnx_file import EXPORT_VERSION, open_graph
from dlnotes_cli.training.run_folder import run_files
from dlnotes_cli.training.tensor_file import write_tensors

_OTHER_WAY = {  # by --dtype, after a check that failed
    "float32": "use another --format or --opset, or a larger --tolerance",
    "float16": "use --dtype float32, or a larger --tolerance",
}
_DTYPES = {"float32": torch.float32, "float16": torch.float16}
_RUNTIMES = {"onnx": "ONNX Runtime", "pt2": "torch.export"}  # what runs a format
_OF_MODEL_FILES = {"sha256", "format_version", "kind"}  # metadata that does not apply to an exported file


def export_model(config: ExportConfig) -> ExportResult:
    """Export a trained model, and compare the file with it before it gets its name.

    Raises InputError for an invalid model file, option, output or data, and UnfinishedError where PyTorch cannot export
    the network, or the file answers differently.
    """
    if config.model.suffix.lower() in {Path(entry.file).suffix for entry in FORMATS.values() if entry.has_graph}:
        raise InputError(config.model, "is an exported file", "name the run folder or the model file")
    if config.format == "onnx":
        onnx_format.check_packages()
    model = load_course_classifier(config.model, config.arch) if config.arch else load_model(config.model)
    _check_kind(config, model)
    out = config.out or model.path.with_name(FORMATS[config.format].file)
    files.check_output_file("--out", out, overwrite=config.overwrite)
    check_not_input("--out", out, run_files(model.path))
    choose_runtime("cpu", "fp32", config.threads, bf16_pays=False)
    output.status("export", f"{model.path} to {config.format}")
    if isinstance(model, LanguageModel):
        return _write(config, model, out, _LanguageModelCheck(config, model, out))
    return _write(config, model, out, _ClassifierCheck(config, model, out))


class _Check(ABC):
    """The comparison of an exported file with its model file."""

    @abstractmethod
    def graph(self) -> ExportGraph:
        """What is exported."""

    @abstractmethod
    def parity(self, run: Callable[..., Arrays]) -> Parity:
        """Compare the outputs of an exported graph. Raises UnfinishedError where they differ."""

    @abstractmethod
    def one_sample(self) -> Arrays:
        """The values of the inputs for one sample."""

    def timings(self, exported: ExportedGraph, nbytes: int) -> tuple[ModelTiming, ...]:  # noqa: ARG002  # classifiers use it
        """Speed and accuracy of several ways to run the model; empty where they cannot be compared."""
        return ()

    @abstractmethod
    def eager(self, network: nn.Module) -> Callable[..., Arrays]:
        """What a graph computes, by PyTorch with the weights of `network`."""


class _ClassifierCheck(_Check):
    def __init__(self, config: ExportConfig, model: TrainedModel, out: Path) -> None:
        self._config, self._model, self._out = config, model, out
        self._chosen = choose_samples(config, model)

    def graph(self) -> ExportGraph:
        return classifier_graph(self._model, _DTYPES[self._config.dtype_name], is_dynamic=self._config.is_dynamic)

    def parity(self, run: Callable[..., Arrays]) -> Parity:
        samples = self._chosen.samples
        expected = eager_answer(self._model.network, self._model.preprocessing)(samples)
        check_finite(self._model.path, torch.from_numpy(expected))
        largest = inference_batch_size(samples.shape[1:]) if self._config.is_dynamic else 1
        return check_classifier(
            self._out, self._chosen.name, _answer(run), samples, expected, largest, _limits(self._config)
        )

    def one_sample(self) -> Arrays:
        return (self._chosen.samples[:1],)

    def timings(self, exported: ExportedGraph, nbytes: int) -> tuple[ModelTiming, ...]:
        network, preprocessing = self._model.network, self._model.preprocessing
        of_model_file = self._model.path.stat().st_size
        rows = [
            TimedModel(f"PyTorch {precision}", eager_answer(network, preprocessing, precision), of_model_file)
            for precision in ("fp32", "bf16")
        ]
        name = f"{_RUNTIMES[self._config.format]} {self._config.dtype_name}"
        rows.append(TimedModel(name, _answer(exported.run), nbytes))
        if self._config.format != "onnx" or self._config.dtype_name != "float32":
            return time_table(rows, self._chosen)
        with quantized(exported.path) as path:
            if path is not None:
                run = open_graph(path, self._config.thread_count).run
                rows.append(TimedModel("ONNX Runtime int8", _answer(run), path.stat().st_size))
            return time_table(rows, self._chosen)

    def eager(self, network: nn.Module) -> Callable[..., Arrays]:
        answer = eager_answer(network, self._model.preprocessing)
        return lambda samples: (answer(samples),)


class _LanguageModelCheck(_Check):
    def __init__(self, config: ExportConfig, model: LanguageModel, out: Path) -> None:
        self._config, self._model, self._out = config, model, out

    def graph(self) -> ExportGraph:
        return step_graph(self._model, _DTYPES[self._config.dtype_name])

    def parity(self, run: Callable[..., Arrays]) -> Parity:
        count, eager = self._config.samples or DEFAULT_SAMPLES, eager_step(self._model.network)
        starts = (self._states(1), self._states(5))
        return check_language_model(self._out, run, eager, starts, count, _limits(self._config))

    def one_sample(self) -> Arrays:
        return (np.zeros(1, np.int64), *self._states(1))

    def eager(self, network: nn.Module) -> Callable[..., Arrays]:
        return eager_step(network)

    def _states(self, count: int) -> Arrays:
        network = self._model.network
        if not isinstance(network, CharRnn):
            raise TypeError(type(network).__name__)
        return tuple(state.numpy() for state in network.initial_state(count))


def _write(config: ExportConfig, model: TrainedModel | LanguageModel, out: Path, check: _Check) -> ExportResult:
    """Write the file under a temporary name, check it, and rename it."""
    graph = check.graph() if FORMATS[config.format].has_graph else None
    checked: list[tuple[ExportedGraph | None, Parity]] = []

    def verify(temporary: Path) -> None:
        try:
            if config.format == "dlnotes":
                checked.append((None, check.parity(check.eager(load_classifier(temporary).network))))
            elif graph is None:
                network = state_dict_format.open_state_dict(temporary, model)
                checked.append((None, check.parity(check.eager(network))))
            else:
                exported = _open(config, model, graph, temporary)
                checked.append((exported, check.parity(exported.run)))
        except InputError as error:
            if error.where != str(temporary):
                raise
            what = f"the exported file does not work ({error.what}); nothing was written"
            raise UnfinishedError(out, what, _OTHER_WAY[config.dtype_name]) from error

    if config.format == "dlnotes":
        write_tensors(out, model.network.state_dict(), model.metadata, verify)
    else:
        files.atomic_write(out, _content(config, model, out, graph), verify)
    exported, parity = checked[0]
    result = ExportResult(model.path, out, config.format, out.stat().st_size, parity)
    if config.format == "dlnotes":
        return result
    if exported is None:
        return replace(result, load_with=state_dict_format.code_to_load(out, model))
    return replace(
        result, dtype=config.dtype_name, dynamic=config.is_dynamic,
        opset=config.opset_version if config.format == "onnx" else None, nodes=exported.nodes, inputs=exported.inputs,
        outputs=exported.outputs, latency=_latency(exported, check, model.network),
        timings=check.timings(replace(exported, path=out), result.nbytes) if config.time else (),
    )  # fmt: skip


def _content(config: ExportConfig, model: TrainedModel | LanguageModel, out: Path, graph: ExportGraph | None) -> bytes:
    if graph is None:
        return state_dict_format.state_dict_content(model)
    metadata = _metadata(config, model)
    if config.format == "pt2":
        return pt2_format.pt2_content(out, graph, metadata)
    return onnx_format.onnx_content(out, graph, config.opset_version, metadata, model.preprocessing)


def _open(config: ExportConfig, model: TrainedModel | LanguageModel, graph: ExportGraph, path: Path) -> ExportedGraph:
    if config.format == "pt2":
        return pt2_format.open_pt2(path, graph.outputs)
    return onnx_format.open_onnx(path, config.thread_count, is_language_model=isinstance(model, LanguageModel))


def _check_kind(config: ExportConfig, model: TrainedModel | LanguageModel) -> None:
    """Raise InputError for an option that has no effect on a language model."""
    if isinstance(model, LanguageModel):
        for name, is_set in (("--data", config.data), ("--time", config.time), ("--no-dynamic", not config.is_dynamic)):
            if is_set:
                raise InputError(name, f"has no effect on a language model, which {model.path} holds", "drop it")


def _metadata(config: ExportConfig, model: TrainedModel | LanguageModel) -> Metadata:
    """The metadata of an exported file: that of its model file, and how it was exported."""
    stored = {key: value for key, value in model.metadata.items() if key not in _OF_MODEL_FILES}
    if isinstance(model.preprocessing, TablePreprocessing):
        stored["inputs"] = model.preprocessing.inputs
    return {
        "export_version": EXPORT_VERSION, "exported_by": f"dlnotes {__version__}", "dtype": config.dtype_name,
        "model_sha256": model.metadata["sha256"], **stored,
    }  # fmt: skip


def _answer(run: Callable[..., Arrays]) -> Answer:
    """The first output of a graph with one input."""
    return lambda samples: run(samples)[0]


def _limits(config: ExportConfig) -> Limits:
    return Limits(config.largest_difference, ROUNDING[config.dtype_name], _OTHER_WAY[config.dtype_name])


def _latency(exported: ExportedGraph, check: _Check, network: nn.Module) -> Latency:
    one, eager = check.one_sample(), check.eager(network)
    (exported_ms, eager_ms), runs = median_ms([lambda: exported.run(*one), lambda: eager(*one)])
    return Latency(exported_ms, eager_ms, runs)
