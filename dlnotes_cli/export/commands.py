"""`dlnotes export`."""

from typing import TYPE_CHECKING

from dlnotes_cli.export.options import ExportConfig
from dlnotes_cli.shell import output
from dlnotes_cli.shell.binding import command

if TYPE_CHECKING:
    from dlnotes_cli.export.results import ExportResult, ModelTiming


@command(
    panel="Use",
    task="export.export:export_model -> ExportResult",
    also=("export.results:Parity",),
    examples=(
        "dlnotes export runs/digits --overwrite",
        "dlnotes export runs/digits --dtype float16 --out digits-16.onnx --overwrite",
    ),
)
def export(config: ExportConfig) -> None:
    """Export a trained model to ONNX or PyTorch, with its preprocessing inside, and prove that it answers the same.

    The file runs on real samples first: where a class or a probability differs, no file is written, and the exit code
    is 3.
    """
    from dlnotes_cli.export.export import export_model

    result = export_model(config)
    if config.json:
        output.document(config.command, result.as_json())
    else:
        _print(result, is_quiet=config.quiet)


def _print(result: "ExportResult", *, is_quiet: bool) -> None:
    if not is_quiet:
        for label, text in _rows(result):
            output.line(f"{label:<8} {text}")
        output.line()
        if result.timings:
            numeric = ("ms per sample", "in batches", "accuracy", "same class", "file")
            output.table(("", *numeric), [_timing_row(timing) for timing in result.timings], numeric)
            output.line()
        if result.load_with:
            output.line("To load it:")
            for line in result.load_with.splitlines():
                output.line(f"    {line}")
            output.line()
    output.line(str(result.out))


def _rows(result: "ExportResult") -> list[tuple[str, str]]:
    parts = [result.format, result.dtype, output.size(result.nbytes)]
    parts += [f"opset {result.opset}"] if result.opset else []
    parts += [output.counted(result.nodes, "node")] if result.nodes else []
    rows = [("file", ", ".join(parts))]
    for label, tensors in (("input", result.inputs), ("output", result.outputs)):
        rows += [(label, "; ".join(map(str, tensors)))] if tensors else []
    rows.append(("check", str(result.parity)))
    return rows + ([("latency", str(result.latency))] if result.latency else [])


def _timing_row(timing: "ModelTiming") -> tuple[str, ...]:
    times = (f"{timing.ms:.3f}", f"{timing.batch_ms:.3f}")
    return timing.name, *times, f"{timing.accuracy:.4f}", f"{timing.same_class:.4f}", output.size(timing.nbytes)
