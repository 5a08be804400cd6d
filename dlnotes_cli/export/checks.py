"""What is compared between an exported file and its model file: answers to samples, or text step by step."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from dlnotes_cli.data.batches import Normalizer
from dlnotes_cli.data.preprocessing import Preprocessing, TablePreprocessing
from dlnotes_cli.data.table_columns import standardize
from dlnotes_cli.data.texts.preprocessing import SequencePreprocessing
from dlnotes_cli.device import Runtime
from dlnotes_cli.export.options import DEFAULT_SAMPLES, FORMATS, TOLERANCES, ExportConfig
from dlnotes_cli.export.parity import ROUNDING, Limits, check_classifier, check_language_model
from dlnotes_cli.export.results import ModelTiming, Parity
from dlnotes_cli.export.samples import CheckSamples, choose_samples
from dlnotes_cli.export.timing import TimedModel, quantized, time_table
from dlnotes_cli.export.wrapper import Answer, Arrays, ExportedGraph, ExportGraph, Run, classifier_graph, step_graph
from dlnotes_cli.inference.onnx_file import open_unverified
from dlnotes_cli.networks.char_rnn import CharRnn
from dlnotes_cli.shell.cores import default_threads
from dlnotes_cli.training.evaluation import predict_logits
from dlnotes_cli.training.metrics import inference_batch_size
from dlnotes_cli.training.model_file import LanguageModel, TextModel, TrainedModel, check_finite

OTHER_WAY = {  # by --dtype, after a check that failed
    "float32": "use another --format or --opset, or a larger --tolerance",
    "float16": "use --dtype float32, or a larger --tolerance",
}
_DTYPES = {"float32": torch.float32, "float16": torch.float16}
_TEXTS, _TOKENS = 16, 32  # of the check of a classifier of texts
_RUNTIMES = {"onnx": "ONNX Runtime", "pt2": "torch.export"}  # what runs a format


@dataclass(frozen=True)
class ModelCheck:
    """The comparison of an exported file with its model file."""

    graph: ExportGraph | None  # what is exported; None where that is the weights alone
    one_sample: Arrays  # the values of the inputs
    eager: Callable[[nn.Module], Run]  # what the graph computes, by PyTorch with the weights of a network
    compare: Callable[[Run], Parity]  # of a graph's outputs; raises UnfinishedError where they differ
    timings: Callable[[ExportedGraph, int], tuple[ModelTiming, ...]] = lambda _graph, _nbytes: ()


def check_of(config: ExportConfig, model: TrainedModel | LanguageModel | TextModel, out: Path) -> ModelCheck:
    """The check of a model. Raises InputError for samples that do not fit, and for outputs that are not finite."""
    if isinstance(model, LanguageModel):
        return _language_model_check(config, model, out)
    return _text_check(config, model, out) if isinstance(model, TextModel) else _classifier_check(config, model, out)


def _classifier_check(config: ExportConfig, model: TrainedModel, out: Path) -> ModelCheck:
    """The probabilities of a classifier for samples of its data."""
    chosen = choose_samples(config, model)

    def eager(network: nn.Module) -> Run:
        answer = eager_answer(network, model.preprocessing)
        return lambda samples: (answer(samples),)

    largest = inference_batch_size(chosen.samples.shape[1:]) if config.is_dynamic else 1
    check = _check_of_answers(config, model, out, (chosen.name, chosen.samples), eager, largest)
    if not FORMATS[config.format].has_graph:
        return check
    graph = classifier_graph(model, _DTYPES[config.dtype_name], is_dynamic=config.is_dynamic)
    return replace(check, graph=graph, timings=partial(_timings, config, model, chosen))


def _text_check(config: ExportConfig, model: TextModel, out: Path) -> ModelCheck:
    """The probabilities of a classifier of texts for tokens, or for features, that are drawn at random."""
    generator, count = np.random.default_rng(0), config.samples or _TEXTS
    if isinstance(model.preprocessing, SequencePreprocessing):
        shape = count, min(model.preprocessing.max_length, _TOKENS)
        samples: NDArray[Any] = generator.integers(1, max(model.preprocessing.vocabulary, 2), shape)
    else:
        samples = generator.random((count, model.preprocessing.features))
    return _check_of_answers(config, model, out, ("texts drawn at random", samples), _text_probabilities, count)


def _check_of_answers(
    config: ExportConfig,
    model: TrainedModel | TextModel,
    out: Path,
    named_samples: tuple[str, NDArray[Any]],
    eager: Callable[[nn.Module], Run],
    largest: int,
) -> ModelCheck:
    """The check of probabilities for samples, in batches of at most `largest`."""
    name, samples = named_samples
    expected = eager(model.network)(samples)[0]
    check_finite(model.path, torch.from_numpy(expected))

    def compare(run: Run) -> Parity:
        return check_classifier(out, name, _answer(run), samples, expected, largest, _limits(config))

    return ModelCheck(None, (samples[:1],), eager, compare)


def _language_model_check(config: ExportConfig, model: LanguageModel, out: Path) -> ModelCheck:
    """The probabilities of a language model for the characters of texts that it writes."""
    network = model.network
    if not isinstance(network, CharRnn):
        raise TypeError(type(network).__name__)
    one, five = (tuple(state.numpy() for state in network.initial_state(count)) for count in (1, 5))

    def compare(run: Run) -> Parity:
        count = config.samples or DEFAULT_SAMPLES
        return check_language_model(out, run, eager_step(network), (one, five), count, _limits(config))

    graph = step_graph(model, _DTYPES[config.dtype_name]) if FORMATS[config.format].has_graph else None
    return ModelCheck(graph, (np.zeros(1, np.int64), *one), eager_step, compare)


def _timings(
    config: ExportConfig, model: TrainedModel, chosen: CheckSamples, exported: ExportedGraph, nbytes: int
) -> tuple[ModelTiming, ...]:
    """Speed and accuracy of PyTorch in fp32 and bf16, of the exported file, and for ONNX in float32 of int8."""
    of_model_file = model.path.stat().st_size
    rows = [
        TimedModel(f"PyTorch {precision}", eager_answer(model.network, model.preprocessing, precision), of_model_file)
        for precision in ("fp32", "bf16")
    ]
    rows.append(TimedModel(f"{_RUNTIMES[config.format]} {config.dtype_name}", _answer(exported.run), nbytes))
    if config.format != "onnx" or config.dtype_name != "float32":
        return time_table(rows, chosen)
    with quantized(exported.path) as path:
        if path is not None:
            run = open_unverified(path, config.threads or default_threads()).run
            rows.append(TimedModel("ONNX Runtime int8", _answer(run), path.stat().st_size))
        return time_table(rows, chosen)


def eager_answer(network: nn.Module, preprocessing: Preprocessing, precision: str = "fp32") -> Answer:
    """The probabilities of a network on the CPU for images (N, C, H, W), or for rows (N, F) that are not standardized.

    The number of threads is PyTorch's.
    """
    cpu = torch.device("cpu")
    normalizer, runtime = Normalizer(preprocessing, cpu), Runtime(cpu, precision, torch.get_num_threads())

    @torch.no_grad()
    def answer(samples: NDArray[Any]) -> NDArray[np.float32]:
        if isinstance(preprocessing, TablePreprocessing):
            samples = standardize(samples, preprocessing)
        batches = torch.from_numpy(samples).split(inference_batch_size(samples.shape[1:]))
        logits = [predict_logits(network, normalizer(batch), runtime) for batch in batches]
        probabilities: NDArray[np.float32] = torch.cat(logits).softmax(1).numpy()
        return probabilities

    return answer


def eager_step(network: nn.Module) -> Run:
    """One step of a language model on the CPU, for arrays as its exported step takes them."""

    @torch.no_grad()
    def step(tokens: NDArray[np.int64], *states: NDArray[np.float32]) -> Arrays:
        logits, after = network(torch.from_numpy(tokens)[:, None], tuple(map(torch.from_numpy, states)))
        return (logits[:, 0].numpy(), *(state.numpy() for state in after))

    return step


def _text_probabilities(network: nn.Module) -> Run:
    @torch.no_grad()
    def answer(samples: NDArray[Any]) -> Arrays:
        return (network.eval()(torch.from_numpy(samples)).softmax(1).float().numpy(),)

    return answer


def _answer(run: Run) -> Answer:
    """The first output of a graph with one input."""
    return lambda samples: run(samples)[0]


def _limits(config: ExportConfig) -> Limits:
    tolerance = config.tolerance or TOLERANCES[config.dtype_name]
    return Limits(tolerance, ROUNDING[config.dtype_name], OTHER_WAY[config.dtype_name])
