"""A classifier from an ONNX file, which runs in ONNX Runtime, without torch."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dlnotes_cli.data.dataset import DataSet
from dlnotes_cli.data.images.augment_parser import is_flippable
from dlnotes_cli.data.preprocessing import TablePreprocessing
from dlnotes_cli.data.table import Table, encode_raw
from dlnotes_cli.device import RuntimeInfo
from dlnotes_cli.inference.classifier import Classifier, check_tta
from dlnotes_cli.inference.foreign_onnx import ForeignClassifier, open_foreign_classifier
from dlnotes_cli.inference.onnx_container import METADATA_KEY, read_metadata
from dlnotes_cli.inference.onnx_file import DTYPES, OnnxClassifier, check_runtime_of_onnx, load_onnx_classifier
from dlnotes_cli.inference.options import ClassifierOptions, check_no_foreign_options
from dlnotes_cli.inference.probability_evaluation import SMALLEST, evaluate_probabilities
from dlnotes_cli.shell.cores import default_threads
from dlnotes_cli.shell.errors import InputError
from dlnotes_cli.shell.files import user_path
from dlnotes_cli.training.metrics import Evaluation, inference_batch_size, softmax
from dlnotes_cli.training.model_data import ChosenSplit
from dlnotes_cli.training.model_metadata import Metadata

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
        """Probabilities (N, classes) of samples (N, ...). Raises InputError where they are not finite."""
        return (
            tta_probabilities(self.run, samples, mirror=is_flippable(self.classes)) if self.tta else self.run(samples)
        )

    def evaluate(
        self, dataset: DataSet, split: ChosenSplit, top: tuple[int, ...], poll: Callable[[], None], *,
        keep_predictions: bool,
    ) -> Evaluation:  # fmt: skip
        """The evaluation on a split of a data set. Raises InputError as `probabilities` does."""
        return evaluate_probabilities(
            lambda indices: self.probabilities(dataset.samples[indices]), dataset.labels, split.indices,
            classes=len(self.classes), batch=inference_batch_size(dataset.samples.shape[1:]), top=top, poll=poll,
            keep_predictions=keep_predictions,
        )  # fmt: skip


def open_onnx_classifier(options: ClassifierOptions) -> OnnxRuntimeClassifier:
    """The classifier in an ONNX file, on the CPU.

    Raises InputError as `load_onnx_classifier` and `open_foreign_classifier` do, and for another device or precision.
    """
    if options.arch is not None:
        raise InputError("--arch", "an ONNX file has its own network", "drop --arch")
    threads = options.threads or default_threads()
    model: OnnxClassifier | ForeignClassifier
    if METADATA_KEY in read_metadata(user_path(options.model)):
        check_no_foreign_options(options, "an ONNX file")
        model = load_onnx_classifier(options.model, threads)
    else:
        model = open_foreign_classifier(options, threads)
    check_runtime_of_onnx(options, _dtype(model.metadata))
    check_tta(model.preprocessing, is_set=options.tta)
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
            logarithms = np.log(np.maximum(probabilities(variant), SMALLEST), dtype=np.float64)
            mean = mean + weight / len(variants) * logarithms
    return softmax(mean).astype(np.float32)
