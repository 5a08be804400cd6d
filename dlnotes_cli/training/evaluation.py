"""The evaluation of a network on labeled samples, on its device."""

import math
from collections.abc import Callable
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F  # noqa: N812  # PyTorch's own abbreviation
from torch import Tensor, nn

from dlnotes_cli.training.engine.distributed import ALONE, Processes
from dlnotes_cli.training.inference_batch import inference_batch_size
from dlnotes_cli.training.metrics import Evaluation, Predictions

if TYPE_CHECKING:
    from dlnotes_cli.data.batches import Split
    from dlnotes_cli.device import Runtime


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
    over the samples and divided once, so that the batch size has no effect. Of several processes each takes some of the
    batches, and all return the same as one process would.
    """
    was_training = network.training
    network.eval()
    batch_size = inference_batch_size(split.samples.shape[1:])
    losses: list[Tensor] = []  # summed over the samples of each batch
    confusion = torch.zeros(classes * classes, dtype=torch.int64, device=split.indices.device)
    within_top = dict.fromkeys(top, 0)
    kept: list[Predictions] = []
    try:
        for samples, labels in split.in_order(batch_size, processes.rows):
            poll()
            logits = predict_logits(network, normalizer(samples), runtime)
            losses.append(F.cross_entropy(logits, labels, reduction="sum").double())
            confusion += torch.bincount(labels * classes + logits.argmax(1), minlength=classes * classes)
            if keep_predictions:
                kept.append(_predictions(labels, logits))
            for k in top:
                within_top[k] += int((logits.topk(k, dim=1).indices == labels[:, None]).sum())
    finally:
        network.train(was_training)
    if not processes.is_alone:
        number = -(-len(split) // batch_size)
        losses, confusion, within_top = _of_all_processes(losses, confusion, within_top, number, processes)
    loss_sum = torch.zeros((), dtype=torch.float64, device=split.indices.device)
    for loss in losses:
        loss_sum += loss
    mean = float(loss_sum) / len(split) if len(split) else math.nan
    matrix = confusion.view(classes, classes).cpu().numpy()
    predictions = _of_all_samples(kept, split, batch_size, processes) if keep_predictions and len(split) else None
    return Evaluation(mean, matrix, within_top, predictions)


def _of_all_processes(
    losses: list[Tensor], confusion: Tensor, within_top: dict[int, int], batches: int, processes: Processes
) -> tuple[list[Tensor], Tensor, dict[int, int]]:
    """The losses of all batches in order, and the sums of the counts, of which this process has computed some.

    They are summed at once, as float64, which holds counts exactly.
    """
    every = torch.zeros(batches, dtype=torch.float64)
    if losses:
        every[processes.rows] = torch.stack(losses).cpu()
    counts = torch.tensor([*within_top.values()], dtype=torch.float64)
    pieces = [every, confusion.cpu().double(), counts]
    every, summed, counts = processes.sum(torch.cat(pieces)).split([len(piece) for piece in pieces])
    tops = zip(within_top, counts.long().tolist(), strict=True)
    return list(every.unbind()), summed.long(), dict(tops)


def _of_all_samples(kept: list[Predictions], split: "Split", batch_size: int, processes: Processes) -> Predictions:
    """The predictions for a whole split in order, of which this process has computed some batches."""
    if processes.is_alone:
        return Predictions.joined(kept)
    predicted, probabilities = torch.zeros(len(split), dtype=torch.int64), torch.zeros(len(split))
    starts = range(0, len(split), batch_size)[processes.rows]
    for start, batch in zip(starts, kept, strict=True):
        rows = slice(start, start + len(batch.labels))
        predicted[rows] = torch.from_numpy(batch.predicted)
        probabilities[rows] = torch.from_numpy(batch.probabilities)
    labels = split.labels.index_select(0, split.indices).cpu().numpy()
    return Predictions(labels, processes.sum(predicted).numpy(), processes.sum(probabilities).numpy())


def _predictions(labels: Tensor, logits: Tensor) -> Predictions:
    columns = (labels, logits.argmax(1), logits.softmax(1).amax(1))
    return Predictions(*(column.cpu().numpy() for column in columns))


def predict_logits(network: Callable[[Tensor], Tensor], x: Tensor, runtime: "Runtime") -> Tensor:
    """Logits (N, K) in float32 of normalized samples (N, ...), computed in the precision of the runtime."""
    with runtime.autocast():
        logits = network(x)
    return logits.float()
