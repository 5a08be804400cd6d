"""The task of `export`: write a trained model as a file for other programs, if it answers the same."""

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

from dlnotes_cli import __version__
from dlnotes_cli.data.paths import check_not_input
from dlnotes_cli.data.preprocessing import ImagePreprocessing, TablePreprocessing
from dlnotes_cli.device import choose_runtime
from dlnotes_cli.export import formats
from dlnotes_cli.export.checks import OTHER_WAY, ClassifierCheck, LanguageModelCheck, median_ms
from dlnotes_cli.export.formats import AnyModel
from dlnotes_cli.export.graph import ExportedGraph, ExportGraph
from dlnotes_cli.export.options import DEFAULT_OPSET, FORMATS, ExportConfig
from dlnotes_cli.export.results import ExportResult, Latency, Parity
from dlnotes_cli.inference.course_checkpoint import load_named_model
from dlnotes_cli.inference.onnx_file import EXPORT_VERSION
from dlnotes_cli.shell import files, output
from dlnotes_cli.shell.cores import default_threads
from dlnotes_cli.shell.errors import InputError, UnfinishedError
from dlnotes_cli.training.model_file import LanguageModel, TextModel, load_classifier, load_model
from dlnotes_cli.training.model_metadata import Metadata
from dlnotes_cli.training.run_folder import run_files
from dlnotes_cli.training.tensor_file import write_tensors

AnyCheck = ClassifierCheck | LanguageModelCheck
_OF_MODEL_FILES = {"sha256", "format_version", "kind"}  # metadata that does not apply to an exported file


def export_model(config: ExportConfig) -> ExportResult:
    """Export a trained model, and compare the file with it before it gets its name.

    Raises InputError for an invalid model file, option, output or data, and UnfinishedError where PyTorch cannot export
    the network, or the file answers differently.
    """
    if config.model.suffix.lower() in {Path(entry.file).suffix for entry in FORMATS.values() if entry.has_graph}:
        raise InputError(config.model, "is an exported file", "name the run folder or the model file")
    if config.format == "onnx":
        formats.check_packages()
    model = load_named_model(config.model, config.arch, load_model)
    _check_kind(config, model)
    out = config.out or model.path.with_name(FORMATS[config.format].file)
    config = replace(config, out=out)
    files.check_output_file("--out", out, overwrite=config.overwrite)
    check_not_input("--out", out, run_files(model.path))
    choose_runtime("cpu", "fp32", config.threads, bf16_pays=False)
    output.status("export", f"{model.path} to {config.format}")
    check = LanguageModelCheck(config, model) if isinstance(model, LanguageModel) else ClassifierCheck(config, model)
    graph = check.graph() if FORMATS[config.format].has_graph else None
    verified: list[tuple[ExportedGraph | None, Parity]] = []

    def verify(temporary: Path) -> None:
        try:
            verified.append(_verified(config, model, check, graph, temporary))
        except InputError as error:
            if error.where != str(temporary):
                raise
            what = f"the exported file does not work ({error.what}); nothing was written"
            raise UnfinishedError(out, what, OTHER_WAY[config.dtype_name]) from error

    if config.format == "dlnotes":
        write_tensors(out, model.network.state_dict(), model.metadata, verify)
    elif graph is None:
        files.atomic_write(out, formats.state_dict_content(model), verify)
    elif config.format == "pt2":
        files.atomic_write(out, formats.pt2_content(out, graph, _metadata(config, model)), verify)
    else:
        opset, preprocessing = config.opset or DEFAULT_OPSET, model.preprocessing
        content = formats.onnx_content(out, graph, opset, _metadata(config, model), preprocessing)
        files.atomic_write(out, content, verify)
    exported, parity = verified[0]
    nbytes = out.stat().st_size
    result = ExportResult(model.path, out, config.format, nbytes, parity)
    if exported is None:
        code = formats.code_to_load(out, model) if config.format == "state-dict" else None
        return replace(result, load_with=code)
    calls = [lambda: exported.run(*check.one_sample), lambda: check.eager(model.network)(*check.one_sample)]
    (exported_ms, eager_ms), runs = median_ms(calls)
    timings = check.timings(exported, nbytes) if config.time and isinstance(check, ClassifierCheck) else ()
    return replace(
        result, dtype=config.dtype_name, dynamic=config.is_dynamic,
        opset=(config.opset or DEFAULT_OPSET) if config.format == "onnx" else None, nodes=exported.nodes,
        inputs=exported.inputs, outputs=exported.outputs, latency=Latency(exported_ms, eager_ms, runs),
        timings=timings,
    )  # fmt: skip


def _verified(
    config: ExportConfig, model: AnyModel, check: AnyCheck, graph: ExportGraph | None, path: Path
) -> tuple[ExportedGraph | None, Parity]:
    """Open a file that was written, and compare it with its model."""
    if graph is None:
        is_model_file = config.format == "dlnotes"
        network = load_classifier(path).network if is_model_file else formats.open_state_dict(path, model)
        return None, check.compare(check.eager(network))
    if config.format == "pt2":
        exported = formats.open_pt2(path, graph.outputs)
    else:
        threads = config.threads or default_threads()
        exported = formats.open_onnx(path, threads, is_language_model=isinstance(model, LanguageModel))
    return exported, check.compare(exported.run)


def _check_kind(config: ExportConfig, model: AnyModel) -> None:
    """Raise InputError for an option that has no effect on a model of texts, or a format that it does not have."""
    kind, unused = "", dict[str, object]()
    if isinstance(model, TextModel):
        if FORMATS[config.format].has_graph:
            what = f"{model.path} classifies texts, whose words become numbers outside of any graph"
            raise InputError(f"--format {config.format}", what, "use --format state-dict, or predict")
        kind, unused = "a classifier of texts", {"--data": config.data}
    elif isinstance(model, LanguageModel):
        kind = "a language model"
        unused = {"--data": config.data, "--time": config.time, "--no-dynamic": not config.is_dynamic}
    for name, is_set in unused.items():
        if is_set:
            raise InputError(name, f"has no effect on {kind}, which {model.path} holds", "drop it")


def _metadata(config: ExportConfig, model: AnyModel) -> Metadata:
    """The metadata of an exported file: that of its model file, how its inputs are made, and how it was exported."""
    stored = {key: value for key, value in model.metadata.items() if key not in _OF_MODEL_FILES}
    if isinstance(model.preprocessing, TablePreprocessing):
        stored["inputs"] = model.preprocessing.inputs
    if isinstance(model.preprocessing, ImagePreprocessing):
        stored["image"] = _image_steps(model.preprocessing)
    return {
        "export_version": EXPORT_VERSION, "exported_by": f"dlnotes {__version__}", "dtype": config.dtype_name,
        "model_sha256": model.metadata["sha256"], **stored,
    }  # fmt: skip


def _image_steps(preprocessing: ImagePreprocessing) -> dict[str, Any]:
    """How another program makes the input of the graph from an image file, exactly as `decode_image` does with Pillow.

    `decode_side` is that of `Image.draft`, by which Pillow reads a large JPEG at 1/2, 1/4 or 1/8 of its size.
    """
    mode = "L" if preprocessing.channels == 1 else "RGB"
    resizing: dict[str, dict[str, Any]] = {
        "crop": {
            "box": "centered, as large as fits in this shape, times crop_pct; its edges are not rounded",
            "crop_pct": preprocessing.crop_pct,
            "pillow": {"ImageOps.fit": {"bleed": (1 - preprocessing.crop_pct) / 2}},
        },
        "squash": {"box": "all", "pillow": {"Image.resize": {"reducing_gap": 2.0}}},
        "letterbox": {
            "box": "all, to the largest rounded size that fits; then black on both sides",
            "pillow": {"Image.resize": {}, "ImageOps.pad": {}},
        },
    }
    return {
        "decode": {
            "decode_side": math.ceil(max(preprocessing.shape[1:]) / preprocessing.crop_pct), "orientation": "EXIF",
            "transparency": "over white", "mode": mode,
        },
        "resize": {
            "size": [preprocessing.width, preprocessing.height], "filter": preprocessing.interpolation,
            "antialias": True, "steps": 1, **resizing[preprocessing.resize],
        },
        "input": {"dtype": "uint8", "layout": "NCHW", "channels": mode},
        "inside": {"scale": 1 / 255, "mean": list(preprocessing.mean), "std": list(preprocessing.std)},
    }  # fmt: skip
