"""Classifiers from ONNX files, which run in ONNX Runtime, without torch."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dlnotes_cli.data.images.augment_parser import is_flippable
from dlnotes_cli.data.preprocessing import ImagePreprocessing, TextPreprocessing, preprocessing_from_json
from dlnotes_cli.device import RuntimeInfo
from dlnotes_cli.inference.classifier import SMALLEST, Classifier
from dlnotes_cli.inference.onnx_file import (
    DTYPES,
    EXPORT_AGAIN,
    OnnxGraph,
    check_tensors,
    kind_of_export,
    open_graph,
)
from dlnotes_cli.shell.errors import InputError
from dlnotes_cli.training.metrics import inference_batch_size, softmax
from dlnotes_cli.training.model_metadata import check_data, class_names, metadata_errors


@dataclass(frozen=True, kw_only=True)
class OnnxClassifier(Classifier):
    """An exported classifier, which reads samples as `data` does: uint8 images, or float64 rows of `encode_raw`."""

    reads_raw_rows = True

    graph: OnnxGraph
    tta: bool = False

    def probabilities(self, samples: NDArray[np.generic]) -> NDArray[np.float32]:
        """Probabilities (N, classes) of samples (N, ...). Raises InputError where they are not finite."""
        if self.tta:
            return tta_probabilities(self.plain_probabilities, samples, mirror=is_flippable(self.classes))
        return self.plain_probabilities(samples)

    def plain_probabilities(self, samples: NDArray[np.generic]) -> NDArray[np.float32]:
        """As `probabilities`, without test-time augmentation."""
        outputs = [np.empty((0, len(self.classes)), np.float32)]
        outputs += [
            self.run(padded)[:count] for padded, count in padded_batches(samples, self.graph.inputs[0].shape[0])
        ]
        values = np.concatenate(outputs)
        if not np.isfinite(values).all():
            fix = "use the model file, or export it again from a model that was trained with a lower --lr"
            raise InputError(self.path, "its outputs are not finite for this input", fix)
        return values

    def run(self, batch: NDArray[np.generic]) -> NDArray[np.float32]:
        """The outputs (n, classes) of the graph for a batch."""
        return self.graph.run(np.ascontiguousarray(batch))[0]


def load_onnx_classifier(path: str | Path, threads: int) -> OnnxClassifier:
    """Open a classifier that dlnotes exported. Raises InputError as `open_graph` and `exported_classifier` do."""
    return exported_classifier(open_graph(path, threads))


def exported_classifier(graph: OnnxGraph) -> OnnxClassifier:
    """The classifier in a file of dlnotes.

    Raises InputError for the file of another program or of a language model, and for metadata that is incomplete or
    contradicts the graph.
    """
    path, metadata = graph.path, graph.export_metadata()
    if kind_of_export(metadata) == TextPreprocessing.kind:
        raise InputError(path, "holds a language model, but this command needs a classifier", "use another model file")
    with metadata_errors(path, EXPORT_AGAIN):
        preprocessing = preprocessing_from_json(metadata["format"])
        if not isinstance(metadata["model"], str):
            raise TypeError("model")
        check_data(metadata)
        dtype = "uint8" if isinstance(preprocessing, ImagePreprocessing) else "double"
        check_tensors(graph.inputs, [(dtype, (None, *preprocessing.shape))])
        outputs = graph.outputs[0].shape[-1]
        classes = class_names(metadata["classes"], outputs or 0)
        check_tensors(graph.outputs, [("float", (None, outputs))])
    precision = DTYPES[str(metadata.get("dtype", "float32"))]
    return OnnxClassifier(
        path=path, classes=classes, preprocessing=preprocessing, metadata=metadata, graph=graph,
        runtime=RuntimeInfo("cpu", precision, graph.threads),
    )  # fmt: skip


def padded_batches(samples: NDArray[np.generic], fixed: int | None) -> list[tuple[NDArray[np.generic], int]]:
    """Batches of samples, each with its number of samples; a graph with a `fixed` batch size gets zeros after them."""
    step = fixed or inference_batch_size(samples.shape[1:])
    batches = [samples[start : start + step] for start in range(0, len(samples), step)]
    if fixed is None:
        return [(batch, len(batch)) for batch in batches]
    rest = ((0, 0),) * (samples.ndim - 1)
    return [(np.pad(batch, ((0, fixed - len(batch)), *rest)), len(batch)) for batch in batches]


def tta_probabilities(
    probabilities: Callable[[NDArray[np.generic]], NDArray[np.float32]], images: NDArray[np.generic], *, mirror: bool
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
