"""How long models take, measured in this process, and what int8 costs."""

import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dlnotes_cli.export.results import ModelTiming
from dlnotes_cli.export.samples import CheckSamples
from dlnotes_cli.export.wrapper import Answer, silent
from dlnotes_cli.shell.errors import import_extra
from dlnotes_cli.training.metrics import inference_batch_size

_RUNS = 50
_WARM_UP_RUNS = 3
_MAX_S = 2.0  # for the runs of one function
_FEWEST_RUNS = 5
_INTEGER_OPERATORS = {"MatMulInteger", "ConvInteger", "DynamicQuantizeLSTM"}


def median_ms(functions: Sequence[Callable[[], object]]) -> tuple[list[float], int]:
    """Median milliseconds of a call of each function, and the number of calls; the functions take turns."""
    for function in functions:
        for _ in range(_WARM_UP_RUNS):
            function()
    seconds: list[list[float]] = [[] for _ in functions]
    started = time.perf_counter()
    for run in range(_RUNS):
        if run >= _FEWEST_RUNS and time.perf_counter() - started > _MAX_S * len(functions):
            break
        for function, measured in zip(functions, seconds, strict=True):
            before = time.perf_counter()
            function()
            measured.append(time.perf_counter() - before)
    return [1e3 * statistics.median(measured) for measured in seconds], len(seconds[0])


@dataclass(frozen=True)
class TimedModel:
    """One way to run a classifier, and the bytes of its file."""

    name: str
    answer: Answer
    nbytes: int


def time_table(models: Sequence[TimedModel], chosen: CheckSamples) -> tuple[ModelTiming, ...]:
    """Speed and accuracy of each way on labeled samples; the first one is what the others are compared with."""
    samples, labels = chosen.samples, chosen.labels
    if labels is None:
        raise TypeError("labels")
    predicted = [np.concatenate([model.answer(batch) for batch in _batches(samples)]).argmax(1) for model in models]
    batch = _batches(samples)[0]
    single_ms, _ = median_ms([partial(model.answer, samples[:1]) for model in models])
    batch_ms, _ = median_ms([partial(model.answer, batch) for model in models])
    return tuple(
        ModelTiming(
            model.name, single, whole / len(batch), float((classes == labels).mean()),
            float((classes == predicted[0]).mean()), model.nbytes,
        )
        for model, single, whole, classes in zip(models, single_ms, batch_ms, predicted, strict=True)
    )  # fmt: skip


def _batches(samples: NDArray[Any]) -> list[NDArray[Any]]:
    step = inference_batch_size(samples.shape[1:])
    return [samples[start : start + step] for start in range(0, len(samples), step)]


@contextmanager
def quantized(path: Path) -> Iterator[Path | None]:
    """An ONNX file with int8 weights, whose activations are quantized as they are computed, while the block runs.

    None for a graph without a layer to which that applies.
    """
    onnx, quantization = (import_extra(name, "onnx", "--time") for name in ("onnx", "onnxruntime.quantization"))
    with tempfile.TemporaryDirectory(prefix="dlnotes-") as folder:
        target = Path(folder, "int8.onnx")
        proto = onnx.load(path)
        del proto.metadata_props[:]  # whose checksum would differ
        with silent():
            quantization.quantize_dynamic(proto, target, weight_type=quantization.QuantType.QInt8)
        operators = {node.op_type for node in onnx.load(target).graph.node}
        yield target if operators & _INTEGER_OPERATORS else None
