"""A classifier from an ONNX file, which runs in ONNX Runtime, without torch."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dlnotes_cli.data.dataset import DataSet
from dlnotes_cli.data.images.augment_parser import is_flippable
from dlnotes_cli.data.preprocessing import TablePreprocessing
from dlnotes_cli.data.table import Table, encode_raw
from dlnotes_cli.device import RuntimeInfo
from dlnotes_cli.shell.errors import InputError
from dlnotes_cli.shell.files import user_path
from dlnotes_cli.training.engine.distributed import ALONE, Processes
from dlnotes_cli.training.inference.classifier import Classifier
from dlnotes_cli.training.inference.foreign_onnx import ForeignClassifier, open_foreign_classifier
from dlnotes_cli.training.inference.options import ClassifierOptions
from dlnotes_cli.training.inference_batch import inference_batch_size
from dlnotes_cli.training.metrics import Evaluation, Predictions
from dlnotes_cli.training.model_data import ChosenSplit
from dlnotes_cli.training.model_metadata import Metadata
from dlnotes_cli.training.onnx_container import read_metadata
from dlnotes_cli.training.onnx_file import DTYPES, OnnxClassifier, check_runtime_of_onnx, load_onnx_classifier
from dlnotes_cli.training.softmax import softmax

_SMALLEST = float(np.finfo(np.float32).tiny)  # a probability of 0 in float32 has an infinite logarithm


SampleProbabilities = Callable[[NDArray[np.generic]], NDArray[np.float32]]  # of samples (N, ...), (N, classes)


@dataclass(frozen=True, kw_only=True)
class OnnxRuntimeClassifier(Classifier):
    """A classifier from an ONNX file, exported by dlnotes or by another program."""

    reads_raw_rows = True

    run: SampleProbabilities
    tta: bool = False

    def encode(self, table: Table, preprocessing: TablePreprocessing) -> NDArray[np.float64]:
        """Rows as samples (N, F), not standardized. Raises InputError naming line and column of an invalid cell."""
        return encode_raw(table, preprocessing)

    def probabilities(self, samples: NDArray[np.generic]) -> NDArray[np.float32]:
        """SampleProbabilities (N, classes) of samples (N, ...). Raises InputError where they are not finite."""
        return (
            tta_probabilities(self.run, samples, mirror=is_flippable(self.classes)) if self.tta else self.run(samples)
        )

    def evaluate(
        self, dataset: DataSet, split: ChosenSplit, top: tuple[int, ...], poll: Callable[[], None], *,
        keep_predictions: bool, processes: Processes = ALONE,
    ) -> Evaluation:  # fmt: skip
        """The evaluation on a split of a data set. SampleProbabilities below the smallest float32 count as that."""
        count, indices = len(self.classes), split.indices
        step = inference_batch_size(dataset.samples.shape[1:])
        starts = range(0, len(indices), step)
        losses, within_top = np.zeros(len(starts)), np.zeros((len(starts), len(top)), np.int64)
        labels = dataset.labels[indices]
        predicted, largest = np.zeros(len(indices), np.int64), np.zeros(len(indices), np.float32)
        for batch, start in list(enumerate(starts))[processes.rows]:
            poll()
            rows = slice(start, start + step)
            probabilities = self.probabilities(dataset.samples[indices[rows]])
            true = probabilities[np.arange(len(probabilities)), labels[rows]]
            losses[batch] = -np.log(np.maximum(true, _SMALLEST), dtype=np.float64).sum()
            within_top[batch] = [(_most_probable(probabilities, k) == labels[rows, None]).sum() for k in top]
            predicted[rows], largest[rows] = probabilities.argmax(1), probabilities.max(1)
        _sum_in_place(processes, losses, within_top, predicted, largest)
        loss = math.fsum(losses.tolist()) / len(indices) if len(indices) else math.nan
        confusion = np.zeros((count, count), np.int64)
        np.add.at(confusion, (labels, predicted), 1)
        predictions = Predictions(labels, predicted, largest) if keep_predictions and len(indices) else None
        return Evaluation(loss, confusion, dict(zip(top, within_top.sum(0).tolist(), strict=True)), predictions)


def open_onnx_classifier(options: ClassifierOptions) -> OnnxRuntimeClassifier:
    """The classifier in an ONNX file, on the CPU.

    Raises InputError as `load_onnx_classifier` and `open_foreign_classifier` do, and for another device or precision.
    """
    if options.arch is not None:
        raise InputError("--arch", "an ONNX file has its own network", "drop --arch")
    threads = options.thread_count
    model: OnnxClassifier | ForeignClassifier
    if read_metadata(user_path(options.model)).is_ours:
        options.check_for_model_file("an ONNX file")
        model = load_onnx_classifier(options.model, threads)
    else:
        model = open_foreign_classifier(options, options.model, threads)
    check_runtime_of_onnx(options, _dtype(model.metadata))
    options.check_tta(model.preprocessing)
    return OnnxRuntimeClassifier(
        path=model.path, classes=model.classes, preprocessing=model.preprocessing, metadata=model.metadata,
        runtime=RuntimeInfo("cpu", DTYPES[_dtype(model.metadata)], threads), run=model.probabilities, tta=options.tta,
    )  # fmt: skip


def _dtype(metadata: Metadata) -> str:
    """The element type of the weights; float32 for a file of another program, which does not say."""
    return str(metadata.get("dtype", "float32"))


def tta_probabilities(
    probabilities: SampleProbabilities, images: NDArray[np.generic], *, mirror: bool
) -> NDArray[np.float32]:
    """The probabilities (N, K) of images (N, C, H, W) with the test-time augmentation of `TtaNetwork`.

    It averages logits. Their logarithms of probabilities differ from them by a constant per image and view, which has
    no effect on the softmax of the mean.
    """
    height, width = images.shape[2:]
    padded = np.pad(images, ((0, 0), (0, 0), (1, 1), (1, 1)), mode="edge")
    views = ((0.5, images), (0.25, padded[..., :height, :width]), (0.25, padded[..., 2:, 2:]))
    mean = np.zeros((), np.float64)
    for weight, view in views:
        variants = (view, view[..., ::-1]) if mirror else (view,)
        for variant in variants:
            logarithms = np.log(np.maximum(probabilities(variant), _SMALLEST), dtype=np.float64)
            mean = mean + weight / len(variants) * logarithms
    return softmax(mean).astype(np.float32)


def _sum_in_place(processes: Processes, *arrays: NDArray[np.generic]) -> None:
    """Replace arrays by their sums over all processes; of one alone, torch is not loaded."""
    if processes.is_alone:
        return
    import torch

    for array in arrays:
        processes.sum(torch.from_numpy(array))


def _most_probable(probabilities: NDArray[np.float32], k: int) -> NDArray[np.int64]:
    """The k most probable classes of each sample, (N, k), in no order."""
    return np.argpartition(probabilities, -k, axis=1)[:, -k:]
