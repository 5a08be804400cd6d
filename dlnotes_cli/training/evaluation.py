"""A network applied to many samples on its device: its evaluation, its logits, and cached features."""

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812  # PyTorch's own abbreviation
from numpy.typing import NDArray
from torch import Tensor, nn

from dlnotes_cli.data.folder import FeatureExtractor
from dlnotes_cli.device import Runtime
from dlnotes_cli.training.distributed import ALONE, Processes
from dlnotes_cli.training.metrics import Evaluation, inference_batch_size

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
    """The evaluation of a network on a split, batch by batch, in evaluation mode; `poll` is called before each batch.

    `top` and `keep_predictions` are those of `Evaluation.of`. Of several `processes` each takes some of the batches,
    and all return loss and confusion of the whole split.
    """

    def batches() -> Iterator[tuple[NDArray[np.int64], NDArray[np.float32]]]:
        for samples, labels in split.in_order(inference_batch_size(split.samples.shape[1:]), processes.rows):
            poll()
            logits = predict_logits(network, normalizer(samples), runtime)
            yield labels.cpu().numpy(), F.log_softmax(logits, 1).cpu().numpy()

    was_training = network.training
    network.eval()
    try:
        evaluation = Evaluation.of(batches(), classes, top=top, keep_predictions=keep_predictions)
    finally:
        network.train(was_training)
    if processes.is_alone:
        return evaluation
    loss_sum = evaluation.loss * evaluation.samples if evaluation.samples else 0.0
    sums = torch.tensor([loss_sum, *evaluation.confusion.ravel()], dtype=torch.float64)
    loss_sum, *counts = processes.sum(sums).tolist()
    confusion = np.array(counts, np.int64).reshape(classes, classes)
    return Evaluation(loss_sum / len(split), confusion, evaluation.within_top, evaluation.predictions)


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
