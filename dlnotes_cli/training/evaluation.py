"""A network applied to many samples on its device: its evaluation, its logits, and cached features."""

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812  # PyTorch's own abbreviation
from numpy.typing import NDArray
from torch import Tensor, nn

from dlnotes_cli.data.folder import FeatureExtractor
from dlnotes_cli.device import Runtime
from dlnotes_cli.training.distributed import ALONE, Processes
from dlnotes_cli.training.metrics import Evaluation, Predictions, inference_batch_size

if TYPE_CHECKING:
    from dlnotes_cli.data.batches import Split


@torch.no_grad()
def evaluate(
    network: nn.Module,
    split: "Split",
    normalizer: Callable[[Tensor], Tensor],
    runtime: "Runtime",
    *,
    classes: int,
    top: tuple[int, ...] = (),
    keep_predictions: bool = False,
    poll: Callable[[], None] = lambda: None,
    processes: Processes = ALONE,
) -> Evaluation:
    """The evaluation of a network on a split, batch by batch, in evaluation mode.

    `top` are the k for which samples are counted whose class is among the k most probable. With `keep_predictions`
    the evaluation has the prediction for each sample. `poll` is called before each batch. Loss and counts are summed
    over the samples and divided once, so that the batch size has no effect. Of several `processes` each takes some of
    the batches, and all return loss and confusion of the whole split.
    """
    was_training = network.training
    network.eval()
    batch_size = inference_batch_size(split.samples.shape[1:])
    loss_sum = torch.zeros((), dtype=torch.float64, device=split.indices.device)
    confusion = torch.zeros(classes * classes, dtype=torch.int64, device=split.indices.device)
    within_top = dict.fromkeys(top, 0)
    kept: list[Predictions] = []
    try:
        for samples, labels in split.in_order(batch_size, processes.rows):
            poll()
            logits = predict_logits(network, normalizer(samples), runtime)
            loss_sum += F.cross_entropy(logits, labels, reduction="sum").double()
            confusion += torch.bincount(labels * classes + logits.argmax(1), minlength=classes * classes)
            if keep_predictions:
                kept.append(_predictions(labels, logits))
            for k in top:
                within_top[k] += int((logits.topk(k, dim=1).indices == labels[:, None]).sum())
    finally:
        network.train(was_training)
    loss_sum, confusion = processes.sum(loss_sum), processes.sum(confusion)
    mean = float(loss_sum) / len(split) if len(split) else math.nan
    matrix = confusion.view(classes, classes).cpu().numpy()
    return Evaluation(mean, matrix, within_top, Predictions.joined(kept) if kept else None)


def _predictions(labels: Tensor, logits: Tensor) -> Predictions:
    columns = (labels, logits.argmax(1), logits.softmax(1).amax(1))
    return Predictions(*(column.cpu().numpy() for column in columns))


def predict_logits(network: Callable[[Tensor], Tensor], x: Tensor, runtime: "Runtime") -> Tensor:
    """Logits (N, K) in float32 of normalized samples (N, ...), computed in the precision of the runtime."""
    with runtime.autocast():
        logits = network(x)
    return logits.float()


_BATCH = 16  # always as many images, so that the features of one do not depend on the others in its batch


def cached_features(
    name: str, width: int, compute: Callable[[Tensor, Tensor], Tensor], runtime: Runtime, *, suffix: str = ""
) -> FeatureExtractor:
    """The computation of features (n, width) from pixels (n, C, H, W), for the cache.

    `compute` maps samples uint8 (16, C, H, W) and a seed for each, both on the device, to features (16, width). The
    name of the cache entry is `name` with precision, device and `suffix`.
    """

    def batch(pixels: NDArray[np.uint8], seeds: Sequence[int]) -> NDArray[np.float32]:
        filled = np.zeros((_BATCH, *pixels.shape[1:]), np.uint8)
        filled[: len(pixels)] = pixels
        image_seeds = torch.zeros(_BATCH, dtype=torch.int64)
        image_seeds[: len(seeds)] = torch.tensor(list(seeds))
        outputs = compute(torch.from_numpy(filled).to(runtime.device), image_seeds.to(runtime.device))
        return outputs[: len(pixels)].float().cpu().numpy()

    @torch.no_grad()
    def run(pixels: NDArray[np.uint8], seeds: Sequence[int]) -> NDArray[np.float32]:
        starts = range(0, len(pixels), _BATCH)
        return np.concatenate([batch(pixels[i : i + _BATCH], seeds[i : i + _BATCH]) for i in starts])

    device = "" if runtime.device.type == "cpu" else f"-{runtime.device.type}"
    return FeatureExtractor(f"features-{name}-{runtime.precision}{device}{suffix}", width, _BATCH, run)
