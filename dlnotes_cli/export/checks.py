"""The proof that an exported file answers as its model file does, sample by sample or step by step, and its speed."""

import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from dlnotes_cli.data.batches import Normalizer
from dlnotes_cli.data.preprocessing import TablePreprocessing
from dlnotes_cli.data.table_columns import standardize
from dlnotes_cli.device import Runtime
from dlnotes_cli.export.formats import silent
from dlnotes_cli.export.graph import Arrays, ExportedGraph, ExportGraph, Run, classifier_graph, step_graph
from dlnotes_cli.export.options import DEFAULT_SAMPLES, TOLERANCES, ExportConfig
from dlnotes_cli.export.results import ModelTiming, Parity
from dlnotes_cli.export.samples import CheckSamples, choose_samples
from dlnotes_cli.inference.onnx_file import open_unverified
from dlnotes_cli.networks.char_rnn import CharRnn
from dlnotes_cli.shell.cores import default_threads
from dlnotes_cli.shell.errors import UnfinishedError, import_extra
from dlnotes_cli.training.evaluation import predict_logits
from dlnotes_cli.training.metrics import inference_batch_size, softmax
from dlnotes_cli.training.model_file import LanguageModel, TextModel, TrainedModel, check_finite

OTHER_WAY = {  # by --dtype, after a check that failed
    "float32": "use another --format or --opset, or a larger --tolerance",
    "float16": "use --dtype float32, or a larger --tolerance",
}
_ROUNDING = {"float32": 1e-6, "float16": 2e-3}  # of probabilities: two that differ by less are a tie
_DTYPES = {"float32": torch.float32, "float16": torch.float16}
_RUNTIMES = {"onnx": "ONNX Runtime", "pt2": "torch.export"}  # what runs a format
_FIRST_BATCHES = (1, 5)
_RUNS = 50
_WARM_UP_RUNS = 3
_MAX_S = 2.0  # for the runs of one function
_FEWEST_RUNS = 5
_INTEGER_OPERATORS = {"MatMulInteger", "ConvInteger", "DynamicQuantizeLSTM"}

Probabilities = NDArray[np.float32]  # (N, classes)


class ClassifierCheck:
    """The comparison of the probabilities of a classifier for samples of its data, or for texts drawn at random."""

    def __init__(self, config: ExportConfig, model: TrainedModel | TextModel) -> None:
        """Raises InputError for samples that do not fit, and for outputs that are not finite."""
        self._config, self._model, self._chosen = config, model, choose_samples(config, model)
        self.one_sample: Arrays = (self._chosen.samples[:1],)
        (self._expected,) = self.eager(model.network)(self._chosen.samples)
        check_finite(model.path, torch.from_numpy(self._expected))

    def graph(self) -> ExportGraph:
        """What is exported."""
        if isinstance(self._model, TextModel):
            raise TypeError("a classifier of texts")
        dtype = _DTYPES[self._config.dtype_name]
        return classifier_graph(self._model, dtype, is_dynamic=self._config.is_dynamic)

    def eager(self, network: nn.Module, precision: str = "fp32") -> Run:
        """What the graph computes, by PyTorch on the CPU with the weights of a network."""
        cpu, preprocessing = torch.device("cpu"), self._model.preprocessing
        runtime = Runtime(cpu, precision, torch.get_num_threads())
        scaling: Any = nn.Identity()
        if isinstance(self._model, TrainedModel):
            scaling = Normalizer(self._model.preprocessing, cpu)

        @torch.no_grad()
        def run(samples: NDArray[Any]) -> Arrays:
            if isinstance(preprocessing, TablePreprocessing):
                samples = standardize(samples, preprocessing)
            batches = torch.from_numpy(samples).split(inference_batch_size(samples.shape[1:]))
            logits = [predict_logits(network.eval(), scaling(batch), runtime) for batch in batches]
            return (torch.cat(logits).softmax(1).numpy(),)

        return run

    def compare(self, run: Run) -> Parity:
        """Run a file on the samples, in batches of 1, of 5 and of many. Raises UnfinishedError as `compared` does."""
        name, samples, _ = self._chosen
        largest = inference_batch_size(samples.shape[1:]) if self._config.is_dynamic else 1
        bounds = list(batch_bounds(len(samples), largest))
        answered = np.concatenate([run(samples[start:stop])[0] for start, stop in bounds])
        sizes = tuple(dict.fromkeys(stop - start for start, stop in bounds))
        return compared(self._config, name, sizes, self._expected, answered)

    def timings(self, exported: ExportedGraph, nbytes: int) -> tuple[ModelTiming, ...]:
        """Speed and accuracy of PyTorch in fp32 and bf16, of the file, and for ONNX in float32 of int8."""
        config, network, of_model_file = self._config, self._model.network, self._model.path.stat().st_size
        ways = [
            TimedModel(f"PyTorch {precision}", self.eager(network, precision), of_model_file)
            for precision in ("fp32", "bf16")
        ]
        ways.append(TimedModel(f"{_RUNTIMES[config.format]} {config.dtype_name}", exported.run, nbytes))
        is_float_onnx = (config.format, config.dtype_name) == ("onnx", "float32")
        with quantized(config.out) if is_float_onnx and config.out else nullcontext() as path:
            if path is not None:
                run = open_unverified(path, config.threads or default_threads()).run
                ways.append(TimedModel("ONNX Runtime int8", run, path.stat().st_size))
            return time_table(ways, self._chosen)


class LanguageModelCheck:
    """The comparison of the probabilities of a language model for the characters of texts that it writes.

    Each side keeps its own states, so that differences add up as they do in use.
    """

    def __init__(self, config: ExportConfig, model: LanguageModel) -> None:
        self._config, self._model = config, model
        if not isinstance(model.network, CharRnn):
            raise TypeError(type(model.network).__name__)
        starts = [model.network.initial_state(count) for count in _FIRST_BATCHES]
        self._starts: list[Arrays] = [tuple(state.numpy() for state in states) for states in starts]
        self.one_sample: Arrays = (np.zeros(1, np.int64), *self._starts[0])

    def graph(self) -> ExportGraph:
        """What is exported."""
        return step_graph(self._model, _DTYPES[self._config.dtype_name])

    def eager(self, network: nn.Module) -> Run:
        """One step of a language model on the CPU, for arrays as its exported step takes them."""

        @torch.no_grad()
        def step(tokens: NDArray[np.int64], *states: NDArray[np.float32]) -> Arrays:
            logits, after = network(torch.from_numpy(tokens)[:, None], tuple(map(torch.from_numpy, states)))
            return (logits[:, 0].numpy(), *(state.numpy() for state in after))

        return step

    def compare(self, run: Run) -> Parity:
        """Write one text and then five at once, some characters each. Raises UnfinishedError as `compared` does."""
        return compared_texts(self._config, run, self.eager(self._model.network), self._starts)


def compared_texts(config: ExportConfig, step: Run, eager: Run, starts: list[Arrays]) -> Parity:
    """Compare the steps of a file with those of PyTorch, in batches that begin with the states in `starts`."""
    generator, sizes = np.random.default_rng(0), tuple(int(states[0].shape[1]) for states in starts)
    length = -(-(config.samples or DEFAULT_SAMPLES) // sum(sizes))
    expected, answered = [], []
    for size, initial in zip(sizes, starts, strict=True):
        tokens = np.zeros(size, np.int64)
        before: Sequence[Any] = initial
        given_before = before
        for _ in range(length):
            (wanted, *before), (given, *given_before) = eager(tokens, *before), step(tokens, *given_before)
            expected.append(softmax(wanted))
            answered.append(softmax(given))
            cumulative = expected[-1].cumsum(1)
            draws = generator.random((size, 1)) * cumulative[:, -1:]
            tokens = (cumulative < draws).sum(1).clip(max=cumulative.shape[1] - 1).astype(np.int64)
    data = "text that the model writes"
    return compared(config, data, sizes, np.concatenate(expected), np.concatenate(answered))


def batch_bounds(samples: int, largest: int) -> Iterator[tuple[int, int]]:
    """Start and stop of batches of 1, of 5 and then of at most `largest` samples.

    >>> list(batch_bounds(300, 128)), list(batch_bounds(4, 128)), list(batch_bounds(3, 1))
    ([(0, 1), (1, 6), (6, 134), (134, 262), (262, 300)], [(0, 1), (1, 4)], [(0, 1), (1, 2), (2, 3)])
    """
    first = [0]
    for size in _FIRST_BATCHES:
        if size <= largest and first[-1] + size < samples:
            first.append(first[-1] + size)
    yield from pairwise([*first, *range(first[-1] + largest, samples, largest), samples])


def compared(
    config: ExportConfig, data: str, batches: tuple[int, ...], expected: Probabilities, answered: Probabilities
) -> Parity:
    """The comparison of the probabilities of a file with the expected ones.

    Raises UnfinishedError for a class that changed, unless it was a tie, or a difference above the tolerance.
    """
    tolerance = config.tolerance or TOLERANCES[config.dtype_name]
    largest = float(np.abs(expected - answered).max())
    was, became, rows = expected.argmax(1), answered.argmax(1), np.arange(len(expected))
    is_tie = expected[rows, was] - expected[rows, became] <= _ROUNDING[config.dtype_name]
    changed = int((~is_tie).sum())
    if changed or not largest <= tolerance:
        what = (
            f"the exported model answers differently: {changed} of {len(rows)} classes changed, largest difference of "
            f"a probability {largest:.2g} (--tolerance {tolerance:g}); nothing was written"
        )
        raise UnfinishedError(config.out, what, OTHER_WAY[config.dtype_name])
    ties = int((was != became).sum())
    return Parity(data, len(rows), batches, largest, 1 - ties / len(rows), ties, tolerance)


def median_ms(functions: Sequence[Callable[[], object]]) -> tuple[list[float], int]:
    """Median milliseconds of a call of each function, and the number of calls; the functions take turns."""
    for function in functions:
        for _ in range(_WARM_UP_RUNS):
            function()
    seconds: list[list[float]] = []
    end = time.perf_counter() + _MAX_S * len(functions)
    while len(seconds) < _FEWEST_RUNS or (len(seconds) < _RUNS and time.perf_counter() <= end):
        times = [time.perf_counter()]
        for function in functions:
            function()
            times.append(time.perf_counter())
        seconds.append(np.diff(times).tolist())
    return [1e3 * statistics.median(measured) for measured in zip(*seconds, strict=True)], len(seconds)


class TimedModel(NamedTuple):
    """One way to run a classifier, and the bytes of its file."""

    name: str
    run: Run
    nbytes: int


def time_table(models: Sequence[TimedModel], chosen: CheckSamples) -> tuple[ModelTiming, ...]:
    """Speed and accuracy of each way on labeled samples; the first one is what the others are compared with."""
    samples, labels = chosen.samples, chosen.labels
    step = inference_batch_size(samples.shape[1:])
    batches = [samples[start : start + step] for start in range(0, len(samples), step)]
    predicted = [np.concatenate([model.run(batch)[0] for batch in batches]).argmax(1) for model in models]
    single_ms, _ = median_ms([partial(model.run, samples[:1]) for model in models])
    batch_ms, _ = median_ms([partial(model.run, batches[0]) for model in models])
    return tuple(
        ModelTiming(
            model.name, single, whole / len(batches[0]), float(np.mean(classes == labels)),
            float(np.mean(classes == predicted[0])), model.nbytes,
        )
        for model, single, whole, classes in zip(models, single_ms, batch_ms, predicted, strict=True)
    )  # fmt: skip


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
