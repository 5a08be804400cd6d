"""A classifier of images or tables from a model file, which runs in torch."""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from dlnotes_cli.data.batches import Normalizer
from dlnotes_cli.device import Runtime
from dlnotes_cli.inference.classifier import Classifier
from dlnotes_cli.inference.options import OpensClassifier
from dlnotes_cli.training.evaluation import predict_logits
from dlnotes_cli.training.model_file import TrainedModel, runtime_for_model
from dlnotes_cli.training.similarity import output_layer, with_features


@dataclass(frozen=True, kw_only=True)
class TorchClassifier(Classifier):
    """A classifier from a model file."""

    network: nn.Module  # on its device
    torch_runtime: Runtime

    def probabilities_and_similarities(
        self, samples: NDArray[np.generic]
    ) -> tuple[NDArray[np.floating], NDArray[np.floating] | None]:
        """Probabilities (N, classes) and, where the file has features of training samples, similarities (N,)."""
        layer = output_layer(self.network)
        if self.similarity is None or layer is None:
            return super().probabilities_and_similarities(samples)
        probabilities, features = with_features(layer, lambda: self.probabilities(samples))
        return probabilities, self.similarity.of(features).cpu().numpy()

    @torch.no_grad()
    def compute(self, samples: NDArray[np.generic]) -> NDArray[np.floating]:
        """Probabilities (N, classes) of samples (N, ...), in float64."""
        device = self.torch_runtime.device
        x = Normalizer(self.preprocessing, device)(torch.from_numpy(samples).to(device))
        return np.asarray(predict_logits(self.network, x, self.torch_runtime).cpu().double().softmax(1).numpy())


def open_torch_classifier(options: OpensClassifier, model: TrainedModel) -> TorchClassifier:
    """The classifier of a model file, on its device. Raises InputError for options that do not apply to it."""
    runtime = runtime_for_model(model.metadata, options)
    return TorchClassifier(
        path=model.path, classes=model.classes, preprocessing=model.preprocessing, metadata=model.metadata,
        runtime=runtime.info, network=model.network.to(runtime.device), similarity=model.similarity,
        torch_runtime=runtime, tta=options.tta,
    )  # fmt: skip
