"""What the training loop trains: a recurrent network on batches of texts of similar length."""

from collections.abc import Callable, Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from dlnotes_cli.data.batches import batch_bounds, epoch_order
from dlnotes_cli.data.images.mix import TrainingBatch
from dlnotes_cli.data.texts.labeled import TextDataSet
from dlnotes_cli.data.texts.sequences import TokenSequences, bucketed_batches
from dlnotes_cli.device import Runtime
from dlnotes_cli.text.options import TrainTextConfig
from dlnotes_cli.text.recipes import TextRecipe
from dlnotes_cli.training.engine.step_forward import StepForward
from dlnotes_cli.training.engine.step_values import StepOutput
from dlnotes_cli.training.evaluation import predict_logits
from dlnotes_cli.training.inference.probability_evaluation import evaluate_probabilities
from dlnotes_cli.training.inference.text_classifier import probabilities_of, sequence_logits
from dlnotes_cli.training.metrics import Evaluation, Metrics
from dlnotes_cli.training.objective import Objective, balanced_weights

_CHUNK = 1024  # texts that are evaluated together, as by `evaluate`


class TextJob:
    """A network with its texts and objective, as a TrainingJob.

    The state of the network starts from zero for every text, so that nothing is carried from step to step.
    """

    metrics_type = Metrics

    def __init__(
        self, network: nn.Module, dataset: TextDataSet, sequences: TokenSequences, runtime: Runtime,
        options: TrainTextConfig, recipe: TextRecipe, batch_size: int,
    ) -> None:  # fmt: skip
        self.network, self.runtime = network, runtime
        self.forward = StepForward(network)  # batches have too many lengths to be compiled
        self.recurrent_state: dict[str, Tensor] = {}
        self.batch_samples = 0
        self._dataset, self._sequences, self._seed = dataset, sequences, options.seed
        self._batch_size, self._accumulate, self._train = batch_size, options.accumulate, dataset.splits["train"]
        self._labels = torch.from_numpy(dataset.labels).to(runtime.device)
        class_weights = None
        if options.class_weights == "balanced":
            class_weights = balanced_weights(self._labels[torch.from_numpy(self._train)], len(dataset.classes))
        self._objective = Objective(network, label_smoothing=recipe.label_smoothing, class_weights=class_weights)
        self._batches: list[NDArray[np.int64]] = []
        self.steps_per_epoch = len(batch_bounds(len(self._train), batch_size))
        self.validation_samples = len(dataset.splits["val"])

    def start_epoch(self, epoch: int) -> None:
        """Draw the batches of an epoch."""
        self._batches = self._drawn(epoch)

    def _drawn(self, epoch: int) -> list[NDArray[np.int64]]:
        if self._sequences.fixed_length:  # then sorting saves nothing
            order = epoch_order(torch.from_numpy(self._train), self._seed, epoch).numpy()
            return [order[start:stop] for start, stop in batch_bounds(len(order), self._batch_size)]
        return bucketed_batches(self._sequences.lengths, self._train, self._batch_size, self._seed, epoch)

    def step(self, index: int) -> Iterator[StepOutput]:
        """The forward passes of batch `index` of the epoch, one for each part that `--accumulate` makes."""
        chosen = self._batches[index]
        self.batch_samples = len(chosen)
        labels = self._labels[torch.from_numpy(chosen).to(self.runtime.device)]
        whole = TrainingBatch(self._sequences.batch(chosen).to(self.runtime.device), labels)
        for part in whole.parts(self._accumulate):
            logits = predict_logits(self.forward, part.samples, self.runtime)
            objective, loss = self._objective(logits, part, None if part is whole else whole)
            correct = (logits.detach().argmax(1) == part.labels).sum()
            yield StepOutput(objective, loss * len(part.labels), correct, len(part.labels))

    def complete_recurrent_state(self) -> None:
        """Nothing, since no state is carried."""

    def validate(self, poll: Callable[[], None]) -> Metrics:
        """Loss and accuracy on the validation split; `poll` is called between batches."""
        return self.evaluate("val", poll).metrics

    def rank(self, metrics: Metrics) -> tuple[float, ...]:
        """Rank by loss, which is less noisy than accuracy on a small validation split."""
        return (-metrics.loss,)

    def evaluate(self, split: str, poll: Callable[[], None], *, keep_predictions: bool = False) -> Evaluation:
        """The evaluation of the network on a split; `poll` is called between batches."""

        def answer(indices: NDArray[np.int64]) -> NDArray[np.floating]:
            return probabilities_of(sequence_logits(self.network, self._sequences.take(indices), self.runtime, poll))

        return evaluate_probabilities(
            answer, self._dataset.labels, self._dataset.splits[split], classes=len(self._dataset.classes),
            batch=_CHUNK, keep_predictions=keep_predictions, poll=poll,
        )  # fmt: skip
