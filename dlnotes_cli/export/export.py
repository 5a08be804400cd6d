"""The task of `export`: write a trained model as a file for other programs, if it answers the same."""

from dataclasses import replace
from pathlib import Path

from torch import nn

from dlnotes_cli import __version__
from dlnotes_cli.data.paths import check_not_input
from dlnotes_cli.data.preprocessing import TablePreprocessing
from dlnotes_cli.device import choose_runtime
from dlnotes_cli.export import onnx_format, pt2_format, state_dict_format
from dlnotes_cli.export.checks import OTHER_WAY, ModelCheck, check_of
from dlnotes_cli.export.options import DEFAULT_OPSET, FORMATS, ExportConfig
from dlnotes_cli.export.results import ExportResult, Latency, Parity
from dlnotes_cli.export.timing import median_ms
from dlnotes_cli.export.wrapper import ExportedGraph, ExportGraph
from dlnotes_cli.inference.course_checkpoint import load_named_model
from dlnotes_cli.inference.onnx_file import EXPORT_VERSION
from dlnotes_cli.shell import files, output
from dlnotes_cli.shell.cores import default_threads
from dlnotes_cli.shell.errors import InputError, UnfinishedError
from dlnotes_cli.training.model_file import LanguageModel, TextModel, TrainedModel, load_classifier, load_model
from dlnotes_cli.training.model_metadata import Metadata
from dlnotes_cli.training.run_folder import run_files
from dlnotes_cli.training.tensor_file import write_tensors

AnyModel = TrainedModel | LanguageModel | TextModel
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
    model = load_named_model(config.model, config.arch, load_model)
    _check_kind(config, model)
    out = config.out or model.path.with_name(FORMATS[config.format].file)
    files.check_output_file("--out", out, overwrite=config.overwrite)
    check_not_input("--out", out, run_files(model.path))
    choose_runtime("cpu", "fp32", config.threads, bf16_pays=False)
    output.status("export", f"{model.path} to {config.format}")
    return _write(config, model, out, check_of(config, model, out))


def _write(config: ExportConfig, model: AnyModel, out: Path, check: ModelCheck) -> ExportResult:
    """Write the file under a temporary name, check it, and rename it."""
    checked: list[tuple[ExportedGraph | None, Parity]] = []

    def verify(temporary: Path) -> None:
        try:
            if config.format == "dlnotes":
                checked.append((None, check.compare(check.eager(load_classifier(temporary).network))))
            elif check.graph is None:
                network = state_dict_format.open_state_dict(temporary, model)
                checked.append((None, check.compare(check.eager(network))))
            else:
                exported = _open(config, model, check.graph, temporary)
                checked.append((exported, check.compare(exported.run)))
        except InputError as error:
            if error.where != str(temporary):
                raise
            what = f"the exported file does not work ({error.what}); nothing was written"
            raise UnfinishedError(out, what, OTHER_WAY[config.dtype_name]) from error

    if config.format == "dlnotes":
        write_tensors(out, model.network.state_dict(), model.metadata, verify)
    else:
        files.atomic_write(out, _content(config, model, out, check.graph), verify)
    exported, parity = checked[0]
    result = ExportResult(model.path, out, config.format, out.stat().st_size, parity)
    if config.format == "dlnotes":
        return result
    if exported is None:
        return replace(result, load_with=state_dict_format.code_to_load(out, model))
    return replace(
        result, dtype=config.dtype_name, dynamic=config.is_dynamic,
        opset=(config.opset or DEFAULT_OPSET) if config.format == "onnx" else None, nodes=exported.nodes,
        inputs=exported.inputs, outputs=exported.outputs, latency=_latency(exported, check, model.network),
        timings=check.timings(replace(exported, path=out), result.nbytes) if config.time else (),
    )  # fmt: skip


def _content(config: ExportConfig, model: AnyModel, out: Path, graph: ExportGraph | None) -> bytes:
    if graph is None or isinstance(model, TextModel):
        return state_dict_format.state_dict_content(model)
    metadata = _metadata(config, model)
    if config.format == "pt2":
        return pt2_format.pt2_content(out, graph, metadata)
    return onnx_format.onnx_content(out, graph, config.opset or DEFAULT_OPSET, metadata, model.preprocessing)


def _open(config: ExportConfig, model: AnyModel, graph: ExportGraph, path: Path) -> ExportedGraph:
    if config.format == "pt2":
        return pt2_format.open_pt2(path, graph.outputs)
    return onnx_format.open_onnx(
        path, config.threads or default_threads(), is_language_model=isinstance(model, LanguageModel)
    )


def _check_kind(config: ExportConfig, model: AnyModel) -> None:
    """Raise InputError for an option that has no effect on a model of texts, or a format that it does not have."""
    if isinstance(model, TextModel):
        if FORMATS[config.format].has_graph:
            what = f"{model.path} classifies texts, whose words become numbers outside of any graph"
            raise InputError(f"--format {config.format}", what, "use --format state-dict, or predict")
        if config.data is not None:
            raise InputError("--data", f"has no effect on a classifier of texts, which {model.path} holds", "drop it")
    if isinstance(model, LanguageModel):
        for name, is_set in (("--data", config.data), ("--time", config.time), ("--no-dynamic", not config.is_dynamic)):
            if is_set:
                raise InputError(name, f"has no effect on a language model, which {model.path} holds", "drop it")


def _metadata(config: ExportConfig, model: AnyModel) -> Metadata:
    """The metadata of an exported file: that of its model file, and how it was exported."""
    stored = {key: value for key, value in model.metadata.items() if key not in _OF_MODEL_FILES}
    if isinstance(model.preprocessing, TablePreprocessing):
        stored["inputs"] = model.preprocessing.inputs
    return {
        "export_version": EXPORT_VERSION, "exported_by": f"dlnotes {__version__}", "dtype": config.dtype_name,
        "model_sha256": model.metadata["sha256"], **stored,
    }  # fmt: skip


def _latency(exported: ExportedGraph, check: ModelCheck, network: nn.Module) -> Latency:
    one, eager = check.one_sample, check.eager(network)
    (exported_ms, eager_ms), runs = median_ms([lambda: exported.run(*one), lambda: eager(*one)])
    return Latency(exported_ms, eager_ms, runs)
