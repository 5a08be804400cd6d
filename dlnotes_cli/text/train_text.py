"""The training of text classifiers: a recurrent network, and a linear baseline on the same texts."""

from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from dlnotes_cli.data.batches import TrainingBatch, batch_bounds, epoch_order
from dlnotes_cli.data.texts.labeled import TextDataSet
from dlnotes_cli.data.texts.preprocessing import UNKNOWN, SequencePreprocessing
from dlnotes_cli.data.texts.sequences import (
    bucketed_batches,
    choose_vocabulary,
    encode_texts,
    train_byte_pairs,
    words_of,
)
from dlnotes_cli.device import Runtime
from dlnotes_cli.inference.text_classifier import probabilities_of, sequence_logits
from dlnotes_cli.networks.text_rnn import TextRnn, TextRnnConfig
from dlnotes_cli.shell import files, output
from dlnotes_cli.text.description import DESCRIPTIONS, NAMES, TextDescription, TextResult
from dlnotes_cli.text.linear import LinearTask
from dlnotes_cli.text.options import TextRecipe, TrainTextConfig
from dlnotes_cli.training.distributed import process_group
from dlnotes_cli.training.evaluation import predict_logits
from dlnotes_cli.training.fit import fit
from dlnotes_cli.training.fit_at_once import fit_at_once
from dlnotes_cli.training.metrics import Metrics
from dlnotes_cli.training.objective import BatchPart, Objective, in_parts, weights_of_classes
from dlnotes_cli.training.results import RunProgress
from dlnotes_cli.training.run_folder import LINEAR, MODEL, NETWORK, RunFolder
from dlnotes_cli.training.task import Batch, Evaluated, Model, Poll, StepLoss, Task, own_rows
from dlnotes_cli.training.tensor_file import write_tensors

_LEAST_USES = 2  # of a word in the training texts; rarer ones train the token of all other words


def train_text(options: TrainTextConfig) -> TextResult:
    """Train text classifiers, test them and write the run folder, with the one that is kept as its model.

    Raises InputError before anything is written where options, folder or data are invalid; UnfinishedError on
    divergence or a full disk; StoppedError after a signal, with the run saved.
    """
    options = replace(options, test_split=options.held_out)  # as config.json has it
    if options.model == "linear":
        return fit_at_once(LinearTask(options))
    with process_group(options) as processes:
        return fit(TextTask(options, options.resolved(), processes))


class TextTask(TextDescription, Task[TextResult]):
    """The training of a recurrent network on batches of texts of similar length, next to a linear baseline.

    The state of the network starts from zero for every text, so that nothing is carried from step to step.
    """

    model_name, short_name = "text_rnn", "rnn"
    memory_options = "--hidden-size, --vocab-size, --batch-size or --max-length"
    network_config: TextRnnConfig
    preprocessing: SequencePreprocessing

    def load(self) -> None:
        """Read the texts and their tokens."""
        dataset, recipe = self.read_texts(), self.recipe
        self.preprocessing = _preprocessing(recipe, dataset, self.options.encoding)
        self._sequences = encode_texts(dataset.texts, self.preprocessing)
        self.describe(dataset, self._sequences.cut)
        classes = len(dataset.classes)
        self.network_config = TextRnnConfig(
            vocabulary=self.preprocessing.vocabulary, classes=classes, cell=recipe.cell, layers=recipe.layers,
            hidden=recipe.hidden, embed=recipe.embed, bidirectional=recipe.bidirectional, pooling=recipe.pooling,
            embed_dropout=recipe.embed_dropout, dropout=recipe.dropout, head_dropout=recipe.head_dropout,
            single_output=recipe.is_course and classes == 2, reads_padding=recipe.is_course,  # noqa: PLR2004
        )  # fmt: skip
        self.training_samples, self.validation_samples = dataset.counts["train"], dataset.counts["val"]

    def bf16_pays(self, batch_size: int) -> bool:  # noqa: ARG002  # the base's signature
        """Recurrent layers are not faster in bf16."""
        return False

    def sample_inputs(self, network: nn.Module) -> tuple[Any, ...]:  # noqa: ARG002  # the base's signature
        """The tokens of the longest text."""
        return (torch.ones(1, int(self._sequences.widths.max()), dtype=torch.int64, device="meta"),)

    def initialize(self, network: nn.Module) -> None:
        """An unknown word means nothing until training texts have one."""
        if self.preprocessing.has_unknown and isinstance(network, TextRnn):
            nn.init.zeros_(network.embedding.weight[UNKNOWN])

    def prepare(self, batch_size: int) -> None:
        """Bring the labels to the device, and make the objective."""
        dataset = self.dataset
        self._batch_size, self._train = batch_size, dataset.splits["train"]
        self.steps_per_epoch = len(batch_bounds(len(self._train), batch_size))
        self._labels = torch.from_numpy(dataset.labels).to(self.runtime.device)
        is_balanced = self.options.class_weights == "balanced"
        weights = weights_of_classes(self._labels_at(self._train), len(dataset.classes), is_balanced=is_balanced)
        self._objective = Objective(self.network, label_smoothing=self.recipe.label_smoothing, class_weights=weights)

    def _labels_at(self, indices: NDArray[np.int64]) -> Tensor:
        return self._labels[self.runtime.to_device(torch.from_numpy(indices))]

    def announce(self) -> None:
        """Print texts, network, device, precision, threads and tokens on standard error."""
        super().announce()
        preprocessing, sequences = self.preprocessing, self._sequences
        kind = "words" if preprocessing.tokenization == "words" else "byte pairs"
        mean = float(sequences.lengths.mean())
        output.status("tokens", f"{preprocessing.vocabulary:,} {kind}, {mean:.0f} per text on average")
        if sequences.cut:
            texts = f"{sequences.cut:,} of {output.counted(len(self.dataset.texts), 'text')}"
            output.note(f"{texts} cut to the first {preprocessing.max_length:,} tokens (--max-length)")

    def begin(self, poll: Poll) -> None:
        """Fit the baseline, in the main process."""
        if self.processes.is_main:
            output.status("baseline", "logistic regression of TF-IDF features")
            self._linear = LinearTask(self.options)
            self._linear.stored = self.stored
            self._linear.runtime = Runtime(torch.device("cpu"), "fp32", self.runtime.threads)
            self._linear.describe(self.dataset)
            self._linear.solve(poll)

    def start_epoch(self, epoch: int, epochs: int | None) -> None:  # noqa: ARG002  # the base's signature
        """Draw the batches of an epoch."""
        seed = self.options.seed
        if self.preprocessing.fixed_length:  # then sorting saves nothing
            order = epoch_order(torch.from_numpy(self._train), seed, epoch).numpy()
            self._batches = [order[start:stop] for start, stop in batch_bounds(len(order), self._batch_size)]
        else:
            self._batches = bucketed_batches(self._sequences.widths, self._train, self._batch_size, seed, epoch)

    def batch(self, index: int) -> Batch:
        """Batch `index` of the epoch, in the shares of this process, each padded to the longest text of the process."""
        indices = self._batches[index]
        own = indices[own_rows(self.processes, len(indices))]
        part = TrainingBatch(self.runtime.to_device(self._sequences.batch(own)), self._labels_at(own))
        whole = TrainingBatch(part.samples[:0], self._labels_at(indices))
        return in_parts(part, whole, self.processes, self.options.accumulate)

    def loss(self, model: Model, part: BatchPart) -> StepLoss:
        """Cross-entropy with label smoothing and class weights, and the plain loss."""
        return self._objective(predict_logits(model, part.batch.samples, self.runtime), part)

    def validate(self, poll: Poll) -> Metrics:
        """Loss and accuracy on the validation split; the loss, which is less noisy, decides."""
        return self.evaluate("val", poll).metrics

    def probabilities(self, indices: NDArray[np.int64], poll: Poll) -> NDArray[np.floating]:
        """What the network predicts for some of the texts: probabilities (n, classes)."""
        return probabilities_of(sequence_logits(self.network, self._sequences.take(indices), self.runtime, poll))

    def finish(self, folder: RunFolder, progress: RunProgress, poll: Poll) -> Evaluated:
        """Evaluate the network, write the model that is kept and the other one, and draw curves and evaluation."""
        self.evaluated = [self.evaluate_all(progress.elapsed_s, poll), *self._linear.evaluated]
        kept = self.kept.scores
        self._write_models(folder, progress)
        network, linear = (f"{NAMES[name]} (kept)" if name == kept.name else NAMES[name] for name in ("rnn", "linear"))
        curves = self.draw_curves(
            folder, progress, f": {DESCRIPTIONS[kept.name]} is kept", model=network,
            others={linear: vars(self._linear.kept.scores.validation)},
        )  # fmt: skip
        return self.draw_kept(folder, [curves])

    def _write_models(self, folder: RunFolder, progress: RunProgress) -> None:
        """Write both models, and the one that is kept as the model of the run; the network is that already."""
        linear, best = self._linear, progress.best
        metadata = linear.model_metadata(replace(best, validation=linear.kept.scores.validation))
        if self.kept.scores.name == self.short_name:
            write_tensors(folder.file(LINEAR), linear.network.state_dict(), metadata)
            files.remove(folder.file(NETWORK))
        else:
            write_tensors(folder.file(NETWORK), self.network.state_dict(), self.model_metadata(best))
            write_tensors(folder.file(MODEL), linear.network.state_dict(), metadata)
            files.remove(folder.file(LINEAR))


def _preprocessing(recipe: TextRecipe, dataset: TextDataSet, encoding: str | None) -> SequencePreprocessing:
    """How the network reads texts, fitted to the training split."""
    texts = [dataset.texts[i] for i in dataset.splits["train"]]
    settings: dict[str, Any] = {
        "text_column": dataset.text_column, "target": dataset.target, "tokenization": recipe.tokenizer,
        "max_length": recipe.max_length, "encoding": encoding,
    }  # fmt: skip
    if recipe.tokenizer == "bpe":
        stored, size = train_byte_pairs(texts, recipe.vocab_size)
        return SequencePreprocessing(**settings, bpe=stored, bpe_size=size, has_unknown=False)
    if recipe.is_course:
        settings |= {"punctuation": "drop", "has_unknown": False, "fixed_length": True}
    least = _LEAST_USES if recipe.vocab_size and not recipe.is_course else 1
    words = (words_of(text, settings.get("punctuation", "keep")) for text in texts)
    return SequencePreprocessing(**settings, words=choose_vocabulary(words, recipe.vocab_size or None, least))
