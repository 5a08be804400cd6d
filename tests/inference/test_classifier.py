"""Every classifier: its evaluation, and test-time augmentation against torchvision's transforms."""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torchvision.transforms.v2 import functional as TF  # noqa: N812  # torchvision's own abbreviation

from dlnotes_cli.data.preprocessing import ImagePreprocessing
from dlnotes_cli.device import RuntimeInfo
from dlnotes_cli.inference.classifier import Classifier, evaluate_probabilities


def squares(images: Tensor) -> Tensor:
    """Squares of weighted sums of pixels: no two views have the same logits, and a mean of inputs has others."""
    x = images.double() / 255
    weights = torch.linspace(0, 1, x[0].numel(), dtype=x.dtype).view(1, *x.shape[1:])
    return torch.stack([(x * weights).sum((1, 2, 3)), (x * weights**2).sum((1, 2, 3))], 1) ** 2 / 50


@dataclass(frozen=True, kw_only=True)
class Squares(Classifier):
    def compute(self, samples: Any) -> Any:
        return squares(torch.from_numpy(samples)).softmax(1).numpy()


@pytest.mark.parametrize("classes", [("3", "4"), ("cat", "dog")])
@pytest.mark.parametrize("shape", [(3, 1, 6, 5), (1, 3, 4, 7), (2, 1, 1, 1)])
def test_logits_are_averaged_over_shifts_and_mirror_images_but_digits_are_not_mirrored(
    shape: tuple[int, int, int, int], classes: tuple[str, ...]
) -> None:
    _, channels, height, width = shape
    preprocessing = ImagePreprocessing(channels, height, width, "crop", (0.0,) * channels, (1.0,) * channels)
    runtime = RuntimeInfo("cpu", "fp32", 1)
    classifier = Squares(
        path=Path("m"), classes=classes, preprocessing=preprocessing, metadata={}, runtime=runtime, tta=True
    )
    x = torch.randint(0, 256, shape, dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    padded = TF.pad(x, [1, 1, 1, 1], padding_mode="edge")
    expected = torch.zeros(shape[0], 2, dtype=torch.float64)
    for weight, view in (
        (0.5, x), (0.25, TF.crop(padded, 0, 0, height, width)), (0.25, TF.crop(padded, 2, 2, height, width)),
    ):  # fmt: skip
        variants = [view, TF.horizontal_flip(view)] if classes[0] == "cat" else [view]
        expected += weight * torch.stack(list(map(squares, variants))).mean(0)
    np.testing.assert_allclose(classifier.probabilities(x.numpy()), expected.softmax(1).numpy(), atol=1e-6)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_loss_of_an_impossible_class_is_finite(dtype: Any) -> None:
    def evaluate(*indices: int) -> Any:
        certain = np.tile(np.array([1, 0], dtype), (len(indices), 1))
        labels = np.array([0, 0, 1, 1])
        return evaluate_probabilities(lambda _: certain, labels, np.array(indices, np.int64), classes=2, batch=9)

    evaluation = evaluate(0, 1, 3)
    assert evaluation.loss == pytest.approx(-math.log(float(np.finfo(dtype).tiny)) / 3)
    assert evaluation.confusion.tolist() == [[2, 0], [1, 0]]
    assert math.isnan(evaluate().loss)
