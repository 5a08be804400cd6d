"""A classifier from a model file, which runs in torch."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812  # PyTorch's own abbreviation
from numpy.typing import NDArray
from torch import Tensor, nn

from dlnotes_cli.data.batches import Normalizer, splits_on_device
from dlnotes_cli.data.dataset import DataSet
from dlnotes_cli.data.images.augment_parser import is_flippable
from dlnotes_cli.device import Runtime
from dlnotes_cli.inference.classifier import Classifier, check_tta
from dlnotes_cli.inference.options import ClassifierOptions
from dlnotes_cli.training.evaluation import evaluate, predict_logits
from dlnotes_cli.training.metrics import Evaluation
from dlnotes_cli.training.model_file import TrainedModel, check_finite, runtime_for_model
from dlnotes_cli.training.model_metadata import ChosenSplit


@dataclass(frozen=True, kw_only=True)
class TorchClassifier(Classifier):
    """A classifier from a model file."""

    reads_raw_rows = False

    network: nn.Module  # on its device, with test-time augmentation if that was asked for
    torch_runtime: Runtime

    @torch.no_grad()
    def probabilities(self, samples: NDArray[np.generic]) -> NDArray[np.float32]:
        """Probabilities (N, classes) of samples (N, ...). Raises InputError where they are not finite."""
        x = self._normalizer(torch.from_numpy(samples).to(self.torch_runtime.device))
        probabilities = predict_logits(self.network, x, self.torch_runtime).softmax(1)
        check_finite(self.path, probabilities)
        return np.asarray(probabilities.cpu().numpy())

    def evaluate(
        self, dataset: DataSet, split: ChosenSplit, top: tuple[int, ...], poll: Callable[[], None], *,
        keep_predictions: bool,
    ) -> Evaluation:  # fmt: skip
        """The evaluation on a split of a data set. Raises InputError where the loss is not finite."""
        only = replace(dataset, splits={split.name: split.indices})
        evaluation = evaluate(
            self.network, splits_on_device(only, self.torch_runtime.device)[split.name], self._normalizer,
            self.torch_runtime, classes=len(self.classes), top=top, keep_predictions=keep_predictions, poll=poll,
        )  # fmt: skip
        check_finite(self.path, torch.tensor(evaluation.loss))
        return evaluation

    @property
    def _normalizer(self) -> Normalizer:
        return Normalizer(self.preprocessing, self.torch_runtime.device)


def open_torch_classifier(options: ClassifierOptions, model: TrainedModel) -> TorchClassifier:
    """The classifier of a model file, on its device. Raises InputError for options that do not apply to it."""
    runtime = runtime_for_model(model.metadata, options)
    network = model.network.to(runtime.device)
    check_tta(model.preprocessing, is_set=options.tta)
    if options.tta:
        network = TtaNetwork(network, mirror=is_flippable(model.classes))
    return TorchClassifier(
        path=model.path, classes=model.classes, preprocessing=model.preprocessing, metadata=model.metadata,
        runtime=runtime.info, network=network, torch_runtime=runtime,
    )  # fmt: skip


class TtaNetwork(nn.Module):
    """A network whose logits are a weighted mean over an image and two shifted copies, as in airbench.

    (Jordan 2024, arXiv:2404.00498.) The image has weight 1/2; the image shifted by one pixel up and left and the one
    shifted down and right have 1/4 each. With `mirror`, each of them is averaged with its horizontal mirror image.
    Logits are averaged, not probabilities: a confident copy then counts for more.
    """

    def __init__(self, network: nn.Module, *, mirror: bool) -> None:
        super().__init__()
        self._network, self._mirror = network, mirror

    def forward(self, x: Tensor) -> Tensor:
        """Logits (N, K), float32, of images (N, C, H, W)."""
        height, width = x.shape[2:]
        padded = F.pad(x, (1, 1, 1, 1), mode="replicate")
        shifted = self._mirrored_mean(padded[..., :height, :width]) + self._mirrored_mean(padded[..., 2:, 2:])
        return 0.5 * self._mirrored_mean(x) + 0.25 * shifted

    def _mirrored_mean(self, x: Tensor) -> Tensor:
        logits: Tensor = self._network(x).float()
        return (logits + self._network(x.flip(3)).float()) / 2 if self._mirror else logits
