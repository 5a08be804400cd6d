"""The task of `export`: write a trained model as a file for other programs, if it answers the same."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from dlnotes_cli import __version__
from dlnotes_cli.data.batches import Normalizer
from dlnotes_cli.data.paths import check_not_input
from dlnotes_cli.data.preprocessing import TablePreprocessing
from dlnotes_cli.data.table import standardize
from dlnotes_cli.device import choose_runtime
from dlnotes_cli.export import onnx_format
from dlnotes_cli.export.options import FORMATS, ExportConfig
from dlnotes_cli.export.parity import ROUNDING, Answer, Limits, answer_in_batches, batch_sizes, check_answers
from dlnotes_cli.export.results import ExportResult, Latency, Parity, Tensors
from dlnotes_cli.export.samples import CheckSamples, choose_samples
from dlnotes_cli.export.timing import median_ms
from dlnotes_cli.export.wrapper import BATCH_AXIS, classifier_graph
from dlnotes_cli.shell import files, output
from dlnotes_cli.shell.errors import InputError
from dlnotes_cli.training.evaluation import predict_logits
from dlnotes_cli.training.inference_batch import inference_batch_size
from dlnotes_cli.training.model_file import TrainedModel, load_model
from dlnotes_cli.training.model_metadata import Metadata
from dlnotes_cli.training.onnx_file import EXPORT_VERSION, OnnxClassifier, TensorType, load_onnx_classifier
from dlnotes_cli.training.run_folder import run_files

_DTYPES = {"float32": torch.float32, "float16": torch.float16}
_NUMPY_NAMES = {"float": "float32", "double": "float64"}  # of ONNX's element types, where they differ


def export_model(config: ExportConfig) -> ExportResult:
    """Export a trained model, and compare the file with it before it gets its name.

    Raises InputError for an invalid model file, option, output or data, and UnfinishedError where the file answers
    differently.
    """
    if config.format == "onnx":
        onnx_format.check_packages()
    model = load_model(config.model)
    out = config.out or model.path.with_name(FORMATS[config.format].name)
    files.check_output_file("--out", out, overwrite=config.overwrite)
    check_not_input("--out", out, run_files(model.path))
    choose_runtime("cpu", "fp32", config.threads, bf16_pays=False)
    if not isinstance(model, TrainedModel):
        raise InputError("MODEL", "holds a language model", "not yet")
    return _export_classifier(config, model, out)


def _export_classifier(config: ExportConfig, model: TrainedModel, out: Path) -> ExportResult:
    graph = classifier_graph(model, _DTYPES[config.dtype_name], is_dynamic=config.is_dynamic)
    onnx_format.check_size(graph)
    chosen = choose_samples(config, model)
    expected = eager_answer(model)(chosen.samples)
    output.status("export", f"{model.name} to {config.format}, opset {config.opset_version}")
    props = onnx_format.metadata_props(_metadata(config, model), model.preprocessing)
    content = onnx_format.export_onnx(out, graph, config.opset_version, props)
    checked: list[tuple[OnnxClassifier, Parity]] = []

    def check(temporary: Path) -> None:
        exported = load_onnx_classifier(temporary, config.thread_count)
        checked.append((exported, _parity(config, out, exported.probabilities, chosen, expected)))

    files.atomic_write(out, content, check)
    exported, parity = checked[0]
    return ExportResult(
        model.path, out, config.format, len(content), parity, config.dtype_name, config.is_dynamic,
        config.opset_version, onnx_format.count_nodes(out), tuple(map(_described, exported.graph.inputs)),
        tuple(map(_described, exported.graph.outputs)), _latency(model, exported, chosen),
    )  # fmt: skip


def eager_answer(model: TrainedModel) -> Answer:
    """The probabilities of a model as `predict` computes them, in float32 on the CPU, for samples of the check."""
    normalizer = Normalizer(model.preprocessing, torch.device("cpu"))
    runtime = choose_runtime("cpu", "fp32", torch.get_num_threads(), bf16_pays=False)

    @torch.no_grad()
    def answer(samples: NDArray[Any]) -> NDArray[np.float32]:
        if isinstance(model.preprocessing, TablePreprocessing):
            samples = standardize(samples, model.preprocessing)
        batches = torch.from_numpy(samples).split(inference_batch_size(samples.shape[1:]))
        logits = [predict_logits(model.network, normalizer(batch), runtime) for batch in batches]
        probabilities: NDArray[np.float32] = torch.cat(logits).softmax(1).numpy()
        return probabilities

    return answer


def _parity(
    config: ExportConfig, out: Path, answer: Answer, chosen: CheckSamples, expected: NDArray[np.float32]
) -> Parity:
    largest = inference_batch_size(chosen.samples.shape[1:]) if config.is_dynamic else 1
    answered = answer_in_batches(answer, chosen.samples, largest)
    sizes = batch_sizes(len(chosen.samples), largest)
    limits = Limits(config.largest_difference, ROUNDING[config.dtype_name])
    return check_answers(out, chosen.name, expected, answered, sizes, limits)


def _metadata(config: ExportConfig, model: TrainedModel) -> Metadata:
    """The metadata of an exported file: that of its model file, which has another checksum, and of the export."""
    stored = {key: value for key, value in model.metadata.items() if key not in {"sha256", "format_version", "kind"}}
    if isinstance(model.preprocessing, TablePreprocessing):
        stored["inputs"] = model.preprocessing.inputs
    return {
        "export_version": EXPORT_VERSION, "exported_by": f"dlnotes {__version__}", "dtype": config.dtype_name,
        "model_sha256": model.metadata["sha256"], **stored,
    }  # fmt: skip


def _described(tensor: TensorType) -> Tensors:
    dtype = tensor.dtype.removeprefix("tensor(").removesuffix(")")
    shape = tuple(BATCH_AXIS if size is None else size for size in tensor.shape)
    return Tensors(tensor.name, _NUMPY_NAMES.get(dtype, dtype), shape)


def _latency(model: TrainedModel, exported: OnnxClassifier, chosen: CheckSamples) -> Latency:
    one, eager = chosen.samples[:1], eager_answer(model)
    (exported_ms, eager_ms), runs = median_ms([lambda: exported.probabilities(one), lambda: eager(one)])
    return Latency(exported_ms, eager_ms, runs)
