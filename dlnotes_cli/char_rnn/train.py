"""The training of a character model."""

import math
import shlex
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple, cast

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812  # PyTorch's own abbreviation
from torch import Tensor, nn

from dlnotes_cli.char_rnn.initial_model import start_from_language_model
from dlnotes_cli.char_rnn.options import CharRnnTrainConfig
from dlnotes_cli.char_rnn.sample import TokenSampler, default_prime
from dlnotes_cli.char_rnn.score import Score, surprisals_of
from dlnotes_cli.char_rnn.training_text import read_training_text
from dlnotes_cli.networks.char_rnn import CharRnnConfig, RecurrentState, bf16_pays
from dlnotes_cli.seeding import derived_seed
from dlnotes_cli.shell import output
from dlnotes_cli.shell.codec import NAN_IF_NULL
from dlnotes_cli.shell.errors import InputError
from dlnotes_cli.shell.show import Table
from dlnotes_cli.training.distributed import process_group
from dlnotes_cli.training.fit import fit
from dlnotes_cli.training.metrics import Metrics
from dlnotes_cli.training.recipes import note_long_budget
from dlnotes_cli.training.results import DataSummary, HistoryEntry, RunProgress, TrainingResult
from dlnotes_cli.training.run_folder import RunFolder, has_checkpoint
from dlnotes_cli.training.sequence_batches import IGNORED, SequenceBatch, SequenceBatches, forward_batch, initial_state
from dlnotes_cli.training.task import Batch, Evaluated, Model, Poll, StepLoss, Task

_REPORT_INTERVAL_S = 10.0
_MOST_NAMES = 3  # texts that are listed by name


@dataclass(frozen=True, kw_only=True)
class ValidationMetrics(Metrics):
    """Means over the predicted characters of the validation text."""

    bits_per_char: float = field(metadata=NAN_IF_NULL)
    perplexity: float = field(metadata=NAN_IF_NULL)


@dataclass(frozen=True)
class TextData(DataSummary):
    """The training text of a character model."""

    texts: int
    unit: str  # "chars" or "bytes"
    vocabulary: int  # distinct characters, or 256
    counts: dict[str, int]  # tokens of each split


@dataclass(frozen=True)
class CharRnnResult(TrainingResult):
    """The result of training a character model."""

    data: TextData
    validation: ValidationMetrics
    best_step: int  # of the best validation

    def table(self) -> Iterator[Table | str]:
        """The metrics of both splits, and how long training took."""
        train, validation, timing, unit = self.train, self.validation, self.timing, self.data.unit
        numeric = (f"predicted {unit}", "loss", f"bits per {unit.removesuffix('s')}", "perplexity")
        measured = (f"{validation.bits_per_char:.4f}", f"{validation.perplexity:.3f}")
        rows = [
            ("train", f"{train.samples:,}", f"{train.loss:.4f}", "", ""),
            ("validation", f"{validation.samples:,}", f"{validation.loss:.4f}", *measured),
        ]
        yield Table(("split", *numeric), rows, numeric, is_result=True)
        yield (
            f"best epoch {self.best_epoch} of {self.epochs}, step {self.best_step:,} of {self.steps:,}; "
            f"{timing.train_s:.1f} s training, {timing.samples_per_s:,.0f} {unit}/s"
        )

    @property
    def next_command(self) -> str:
        """A command that uses the model."""
        return shlex.join(["dlnotes", "char-rnn", "sample", self.out])


class Share(NamedTuple):
    """The rows of a batch that are computed together."""

    rows: slice  # of the batch
    sequences: SequenceBatch
    state: RecurrentState  # before the step
    predicted: int  # targets of the whole batch


def train_char_rnn(options: CharRnnTrainConfig) -> CharRnnResult:
    """Train a character model on the start of the texts, and validate on their end.

    Raises InputError before anything is written where options, folder or data are invalid; UnfinishedError on
    divergence or a full disk; StoppedError after a signal, with the run saved.
    """
    recipe = options.resolved()
    if options.tied and not recipe.embed:
        raise InputError("--tied", "needs an embedding", "add --embed 64, or drop --tied")
    with process_group(options) as processes:
        return fit(CharRnnTask(options, recipe, processes))


class CharRnnTask(Task[CharRnnResult]):
    """The training of a character model by truncated backpropagation through time."""

    model_name = "char_rnn"
    memory_options = "--hidden-size, --num-layers, --batch-size or --seq-len"
    metrics_type = ValidationMetrics
    result_type = CharRnnResult
    options: CharRnnTrainConfig
    data: TextData
    _next_report, _reported_step = -math.inf, -1

    def load(self) -> None:
        """Read the texts, and configure the network for their vocabulary."""
        options, recipe = self.options, self.recipe
        texts = self.texts = read_training_text(options, recipe.seq_len)
        names, preprocessing = texts.text.names, texts.preprocessing
        self.preprocessing = preprocessing
        self.data = TextData(
            ",".join(names) if len(names) <= _MOST_NAMES else f"{len(names)} texts",
            texts.text.fingerprint(preprocessing), len(names), preprocessing.unit, preprocessing.vocabulary,
            {"train": len(texts.train), "val": len(texts.validation)},
        )  # fmt: skip
        self.network_config = CharRnnConfig(
            preprocessing.vocabulary, options.cell, recipe.layers, recipe.hidden, recipe.embed, recipe.dropout,
            options.tied, recipe.residual,
        )  # fmt: skip
        self.eval_every = options.eval_every
        self.training_samples, self.validation_samples = len(texts.train) // recipe.seq_len, texts.validation.predicted

    def bf16_pays(self, batch_size: int) -> bool:
        """Whether bf16 is faster for this network: it is for wide layers and several sequences."""
        return bf16_pays(self.network_config, batch_size)

    def check_batches(self, batch_size: int) -> None:
        """Nothing: `prepare` knows how many rows a batch has."""

    def sample_inputs(self, network: nn.Module) -> tuple[Any, ...]:
        """A sequence and its state."""
        return torch.empty(1, self.recipe.seq_len, dtype=torch.int64, device="meta"), initial_state(network, 1)

    def initialize(self, network: nn.Module) -> None:
        """Apply the weights of `--init-from`."""
        path = self.options.init_from
        if path is not None and not has_checkpoint(self.options):
            start_from_language_model(path, network, self.network_config, self.texts.preprocessing)

    def prepare(self, batch_size: int) -> None:
        """Cut the text into rows, fewer than `batch_size` if it has too few chunks."""
        self._batch_size = batch_size
        self.start_epoch(1, None)
        self._rows, self.steps_per_epoch = self._batches.batch_size, self._batches.steps
        self.processes.check_batch(self._rows)

    def announce(self) -> None:
        """Print text, network, device, precision and threads on standard error."""
        counts = ", ".join(f"{count:,} {split}" for split, count in self.data.counts.items())
        unit = "bytes" if self.data.unit == "bytes" else "characters"
        output.status("text", f"{self.data.name}, {counts}; {self.data.vocabulary} distinct {unit}")
        super().announce()
        note_long_budget(self.options.long_run_defaults())
        if self._rows < self._batch_size:
            rows = output.counted(self._rows, "sequence")
            output.note(f"the batch size is reduced to the {rows} of --seq-len in the text")

    def start_epoch(self, epoch: int, epochs: int | None) -> None:  # noqa: ARG002  # the base's signature
        """Cut the text into the chunks of an epoch."""
        self._epoch, seq_len = epoch, self.recipe.seq_len
        offset = 1 + derived_seed(self.options.seed, epoch) % seq_len if self.recipe.random_offset else None
        self._batches = SequenceBatches(self.texts.train, self._batch_size, seq_len, offset)

    def batch(self, index: int) -> Batch:
        """Batch `index` of the epoch, in the shares of this process, each with the state of its rows."""
        batch = self._batches.batch(index)
        batch = batch._replace(reset=batch.reset | self._random_resets(index))
        own = np.arange(self._rows)[self.processes.rows]
        shares = []
        for part in np.array_split(own, min(self.options.accumulate, len(own))):
            rows = slice(int(part[0]), int(part[-1]) + 1, self.processes.count)
            shares.append(Share(rows, batch.rows(rows), self._state_before(index, rows), batch.predicted))
        return Batch(shares, batch.predicted)

    def _random_resets(self, index: int) -> Tensor:
        """Rows to reset with probability `reset_state`, bool (B,): a function of seed, epoch and step."""
        generator = torch.Generator().manual_seed(derived_seed(self.options.seed, self._epoch, index))
        return torch.rand(self._rows, generator=generator).lt(self.recipe.reset_state)

    def _state_before(self, index: int, rows: slice) -> RecurrentState:
        """The state of rows before a step; zeros at the start of an epoch."""
        if index == 0:
            return initial_state(self.network, len(range(self._rows)[rows]))
        return tuple(self.state[str(i)][:, rows] for i in range(len(self.state)))

    def loss(self, model: Model, share: Share) -> StepLoss:
        """Cross-entropy, as the mean over the targets of the batch."""
        logits, state = forward_batch(model, share.sequences, share.state, self.runtime)
        self.keep_state(share.rows, self._rows, state)
        targets = self.runtime.to_device(share.sequences.targets).flatten()
        loss_sum = F.cross_entropy(logits, targets, ignore_index=IGNORED, reduction="sum")
        correct = (logits.detach().argmax(1) == targets).sum()
        return StepLoss(loss_sum / max(share.predicted, 1), loss_sum, correct)

    def validate(self, poll: Poll) -> ValidationMetrics:
        """Loss, bits per character, perplexity and accuracy on the whole validation text."""
        text = self.texts.validation
        nats, correct = surprisals_of(self.network, text, self.runtime, poll, self.processes)
        score = Score.of(nats, text.predicted)
        return ValidationMetrics(
            loss=score.loss, accuracy=correct / score.predicted, samples=score.predicted,
            bits_per_char=score.bits_per_char, perplexity=score.perplexity,
        )  # fmt: skip

    def report(self, entry: HistoryEntry, poll: Poll) -> None:
        """Print a validation and a sample on standard error, unless another was printed a short time ago."""
        if time.monotonic() >= self._next_report:
            self._print(entry, poll)
            self._next_report = time.monotonic() + _REPORT_INTERVAL_S

    def finish(self, folder: RunFolder, progress: RunProgress, poll: Poll) -> Evaluated:
        """Print the best validation and a sample, and draw the curves."""
        self._print(progress.best, poll)
        return Evaluated(None, [self.draw_curves(folder, progress, over="step" if self.eval_every else "epoch")])

    def _print(self, entry: HistoryEntry, poll: Poll) -> None:
        """Print a validation and a sample, unless it was the last one printed."""
        metrics, options = cast("ValidationMetrics", entry.validation), self.options
        if options.quiet or not math.isfinite(metrics.loss) or entry.step == self._reported_step:
            return
        self._reported_step = entry.step
        unit = self.data.unit.removesuffix("s")
        output.status(
            f"epoch {entry.epoch}, step {entry.step:,}",
            f"validation loss {metrics.loss:.4f}, {metrics.bits_per_char:.4f} bits per {unit}, "
            f"perplexity {metrics.perplexity:.3f}",
        )
        if options.sample:
            runtime, preprocessing = replace(self.runtime, precision="fp32"), self.texts.preprocessing
            sampler = TokenSampler(self.network, preprocessing, runtime, seed=options.seed)
            output.sample(sampler.text(default_prime(preprocessing), options.sample, poll))

    def extra_fields(self, progress: RunProgress) -> dict[str, Any]:
        """The step of the best validation."""
        return {"best_step": progress.best.step}
