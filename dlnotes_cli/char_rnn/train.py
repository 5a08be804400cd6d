"""Training a character model: from options to a finished run folder."""

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, cast

import torch
import torch.nn.functional as F  # noqa: N812  # PyTorch's own abbreviation
from torch import Tensor, nn

from dlnotes_cli.char_rnn.initial_model import start_from_language_model
from dlnotes_cli.char_rnn.likelihood import negative_log_likelihood
from dlnotes_cli.char_rnn.options import CharRnnTrainConfig
from dlnotes_cli.char_rnn.recipes import CharRnnRecipe
from dlnotes_cli.char_rnn.sample import TokenSampler, default_prime
from dlnotes_cli.char_rnn.training_text import TrainingText, read_training_text
from dlnotes_cli.data.preprocessing import TextPreprocessing, preprocessing_to_json
from dlnotes_cli.device import Runtime, check_device
from dlnotes_cli.models.char_rnn import CharRnnConfig, RecurrentState, bf16_pays, build_char_rnn
from dlnotes_cli.models.registry import build
from dlnotes_cli.models.torch_imports import meta_device
from dlnotes_cli.plots.curves import draw_curves
from dlnotes_cli.seeding import derived_seed, seed_everything
from dlnotes_cli.shell import files, output
from dlnotes_cli.shell.errors import InputError
from dlnotes_cli.shell.stopping import StopRequest
from dlnotes_cli.training.engine.distributed import ALONE, Processes
from dlnotes_cli.training.engine.launch import announce_processes, check_batch_size, joined, runtime_of
from dlnotes_cli.training.engine.loop import Trainer
from dlnotes_cli.training.engine.memory import TrainingMemory
from dlnotes_cli.training.engine.run import TrainingRun, make_trainer, poll_of
from dlnotes_cli.training.engine.step_forward import StepForward
from dlnotes_cli.training.engine.step_values import StepOutput
from dlnotes_cli.training.history import HistoryEntry, history_to_json
from dlnotes_cli.training.metrics import Metrics
from dlnotes_cli.training.optimizers import make_optimizer
from dlnotes_cli.training.recipes import note_long_budget, with_recipe
from dlnotes_cli.training.record import DataSummary, ModelSummary, Outcome, RunRecord, TrainingResult
from dlnotes_cli.training.run_folder import FollowedFolder, RunFolder, has_checkpoint
from dlnotes_cli.training.sequence_batches import IGNORED, SequenceBatches, forward_batch, initial_state
from dlnotes_cli.training.stored_values import NAN_IF_NULL

_REGISTRY_NAME = "char_rnn"
_SAMPLE_INTERVAL_S = 10.0
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


def train_char_rnn(options: CharRnnTrainConfig) -> CharRnnResult:
    """Train a character model in its run folder, on the start of the texts, and validate on their end.

    Raises InputError before anything is written if options, folder or texts are invalid; UnfinishedError on
    divergence or a full disk; StoppedError after a signal, with a checkpoint saved.
    """
    recipe = options.resolved()
    _check_options(options, recipe)
    with joined(options, train_char_rnn) as processes:
        return _train(options, recipe, processes)


def _train(options: CharRnnTrainConfig, recipe: CharRnnRecipe, processes: Processes) -> CharRnnResult:
    """As `train_char_rnn`, in each of the processes of a run; the main one writes."""
    started = time.monotonic()
    folder = RunFolder(options) if processes.is_main else FollowedFolder(options)
    check_device(options.device)
    texts = read_training_text(options, recipe.seq_len)
    data_s = time.monotonic() - started
    length = options.run_length(recipe.length, len(texts.train) // recipe.seq_len)
    stored = with_recipe(with_recipe(options, recipe), length)
    network_config = _network_config(options, recipe, texts.preprocessing)
    share = -(-length.batch_size // processes.count)
    runtime = runtime_of(processes, options, bf16_pays=bf16_pays(network_config, share))
    _check_memory(network_config, recipe, -(-share // options.accumulate), runtime)
    seed_everything(options.seed)
    built = build(_REGISTRY_NAME, network_config)
    if options.init_from is not None and not has_checkpoint(options):
        start_from_language_model(options.init_from, built, network_config, texts.preprocessing)
    network = announce_processes(processes, built.to(runtime.device), runtime)
    job = LanguageModelJob(
        network, texts, recipe, length.batch_size, runtime, options.seed, options.accumulate, processes,
        StepForward(network, bool(options.compile)),  # auto: never, as cuDNN's recurrent layers are not compiled
    )  # fmt: skip
    check_batch_size(processes, job.batch_size)
    record = LanguageModelRecord(stored, ModelSummary.of(_REGISTRY_NAME, network_config, network), texts, runtime)
    processes.check_same("data", record.data.fingerprint)
    record.announce()
    note_long_budget(options.long_run_defaults())
    _note_lower_batch_size(job.batch_size, length.batch_size)
    with StopRequest() as stop, folder:
        optimizer = make_optimizer(network, recipe)
        trainer = make_trainer(recipe, length, job, optimizer, stop, options.eval_every, processes)
        run = TrainingRun(stored, folder, record, trainer, stop)
        finished = run.resume_or_start()
        if finished is not None:
            return finished
        report = ValidationReport(options, network, texts.preprocessing, runtime, poll_of(processes, stop))
        with run.saved_on_stop():
            run.train(report.show if processes.is_main else lambda _: None)
            if not processes.is_main:
                return run.followed()
            report.show_now(trainer.state.history[trainer.state.best_index or 0])
            plot = _plot_curves(folder, trainer, "step" if options.eval_every else "epoch")
            return run.finish(None, [plot], data_s, started)


class LanguageModelJob:
    """What the training loop trains: a network on batches of the training text."""

    metrics_type = ValidationMetrics

    def __init__(
        self, network: nn.Module, texts: TrainingText, recipe: CharRnnRecipe, batch_size: int, runtime: Runtime,
        seed: int, accumulate: int = 1, processes: Processes = ALONE, forward: StepForward | None = None,
    ) -> None:  # fmt: skip
        self.network, self.runtime, self.forward = network, runtime, forward or StepForward(network)
        self.recurrent_state: dict[str, Tensor] = {}  # the state after the last step, by its place in the tuple
        self._texts, self._recipe, self._seed = texts, recipe, seed
        self._rows, self._accumulate, self._processes = batch_size, accumulate, processes
        self.batch_samples = 0
        self._epoch = 1
        self._batches = self._cut(epoch=1)
        self.steps_per_epoch, self.validation_samples = self._batches.steps, texts.validation.predicted

    @property
    def batch_size(self) -> int:
        """Rows of a batch; fewer than the run asks for if the text has too few chunks."""
        return self._batches.batch_size

    def start_epoch(self, epoch: int) -> None:
        """Cut the text into the chunks of an epoch."""
        if epoch != self._epoch:
            self._epoch, self._batches = epoch, self._cut(epoch)

    def _cut(self, epoch: int) -> SequenceBatches:
        seq_len = self._recipe.seq_len
        offset = 1 + derived_seed(self._seed, epoch) % seq_len if self._recipe.random_offset else None
        return SequenceBatches(self._texts.train, self._rows, seq_len, offset)

    def step(self, index: int) -> Iterator[StepOutput]:
        """Run the network on one batch; the state carries over between steps, and starts from zero in each epoch.

        Of several processes each runs it on some of the rows.
        """
        batch = self._batches.batch(index)
        batch = batch._replace(reset=batch.reset | self._random_resets(index))
        self.batch_samples = batch.predicted
        own = batch if self._processes.is_alone else batch.rows(self._processes.rows)
        parts = own.parts(self._accumulate)
        before = [tensor.tensor_split(len(parts), dim=1) for tensor in self._state(index)]
        after: list[RecurrentState] = []
        for part, *states in zip(parts, *before, strict=True):
            logits, state = forward_batch(self.forward, part, tuple(states), self.runtime)
            after.append(tuple(tensor.detach() for tensor in state))
            targets = self.runtime.to_device(part.targets).flatten()
            loss_sum = F.cross_entropy(logits, targets, ignore_index=IGNORED, reduction="sum")
            correct = (logits.detach().argmax(1) == targets).sum()
            yield StepOutput(loss_sum / max(batch.predicted, 1), loss_sum.detach(), correct, part.predicted)
        self.recurrent_state = {str(i): torch.cat(rows, dim=1) for i, rows in enumerate(zip(*after, strict=True))}

    def _state(self, index: int) -> RecurrentState:
        """The state of the rows of this process before a step."""
        if index == 0:
            return initial_state(self.network, len(range(self.batch_size)[self._processes.rows]))
        state = tuple(self.recurrent_state[str(i)] for i in range(len(self.recurrent_state)))
        if self._processes.is_alone or not self._has_state_of_all_rows:
            return state
        return tuple(tensor[:, self._processes.rows] for tensor in state)

    @property
    def _has_state_of_all_rows(self) -> bool:
        return all(tensor.shape[1] == self.batch_size for tensor in self.recurrent_state.values())

    def complete_recurrent_state(self) -> None:
        """Collect the states of the rows of all processes, so that a checkpoint has them in the order of the text."""
        if self._has_state_of_all_rows:
            return
        for name, own in self.recurrent_state.items():
            state = own.new_zeros(own.shape[0], self.batch_size, *own.shape[2:])
            state[:, self._processes.rows] = own
            self.recurrent_state[name] = self._processes.sum(state)

    def _random_resets(self, index: int) -> Tensor:
        """Rows to reset with probability `reset_state`, bool (B,): a function of seed, epoch and step."""
        if not self._recipe.reset_state:
            return torch.zeros(self.batch_size, dtype=torch.bool)
        generator = torch.Generator().manual_seed(derived_seed(self._seed, self._epoch, index))
        return torch.rand(self.batch_size, generator=generator) < self._recipe.reset_state

    def validate(self, poll: Callable[[], None]) -> ValidationMetrics:
        """Loss, bits per character, perplexity and accuracy on the whole validation text."""
        text = self._texts.validation
        likelihood = negative_log_likelihood(self.network, text, self.runtime, poll, processes=self._processes)
        accuracy = likelihood.correct / text.predicted
        return ValidationMetrics(accuracy=accuracy, samples=text.predicted, **asdict(likelihood.metrics()))

    def rank(self, metrics: Metrics) -> tuple[float, ...]:
        """Rank by the loss."""
        return (-metrics.loss,)


class LanguageModelRecord(RunRecord[CharRnnResult]):
    """What the run of a character model records."""

    result_type = CharRnnResult

    def __init__(self, options: CharRnnTrainConfig, model: ModelSummary, texts: TrainingText, runtime: Runtime) -> None:
        super().__init__(options, model, runtime)
        self._val_split, self._texts = options.val_split, texts
        self._fingerprint = texts.text.fingerprint(texts.preprocessing)

    @property
    def data(self) -> TextData:
        """The texts: their names, or how many there are."""
        texts, names = self._texts, self._texts.text.names
        name = ",".join(names) if len(names) <= _MOST_NAMES else f"{len(names)} texts"
        preprocessing = texts.preprocessing
        return TextData(
            name, self._fingerprint, len(names), preprocessing.unit, preprocessing.vocabulary, dict(texts.counts)
        )

    def announce(self) -> None:
        """Print on stderr what the run will train, and on which text."""
        preprocessing = self._texts.preprocessing
        counts = ", ".join(f"{count:,} {split}" for split, count in self._texts.counts.items())
        unit = "bytes" if preprocessing.unit == "bytes" else "characters"
        output.status("text", f"{self.data.name}, {counts}; {preprocessing.vocabulary} distinct {unit}")
        super().announce()

    def identity(self) -> dict[str, Any]:
        """The metadata that model file and checkpoint share: network, preprocessing, data and versions."""
        metadata = super().identity()
        data = metadata["data"] | {"val_split": self._val_split}
        return metadata | {"format": preprocessing_to_json(self._texts.preprocessing), "data": data}

    def complete(self, result: TrainingResult, outcome: Outcome) -> CharRnnResult:
        """The result of a run, with the step of the best validation."""
        return CharRnnResult(**vars(result), best_step=outcome.history[outcome.best_index].step)


class ValidationReport:
    """Prints the metrics of a validation and a sample on stderr, at most once in ten seconds."""

    def __init__(
        self,
        config: CharRnnTrainConfig,
        network: nn.Module,
        preprocessing: TextPreprocessing,
        runtime: Runtime,
        poll: Callable[[], None],
    ) -> None:
        self._config, self._network, self._preprocessing, self._poll = config, network, preprocessing, poll
        self._runtime = replace(runtime, precision="fp32")
        self._next_time, self._last_step = -math.inf, -1

    def show(self, entry: HistoryEntry) -> None:
        """Print an entry of the history, unless another was printed a short time ago."""
        if time.monotonic() >= self._next_time:
            self.show_now(entry)
            self._next_time = time.monotonic() + _SAMPLE_INTERVAL_S

    def show_now(self, entry: HistoryEntry) -> None:
        """Print an entry of the history, unless it was the last one printed."""
        metrics = cast("ValidationMetrics", entry.validation)
        if self._config.quiet or not math.isfinite(metrics.loss) or entry.step == self._last_step:
            return
        self._last_step = entry.step
        output.status(
            f"epoch {entry.epoch}, step {entry.step:,}",
            f"validation loss {metrics.loss:.4f}, "
            f"{metrics.bits_per_char:.4f} bits per {self._preprocessing.unit.removesuffix('s')}, "
            f"perplexity {metrics.perplexity:.3f}",
        )
        if self._config.sample:
            self._print_sample()

    def _print_sample(self) -> None:
        sampler = TokenSampler(self._network, self._preprocessing, self._runtime, seed=self._config.seed)
        text = sampler.text(default_prime(self._preprocessing), self._config.sample, self._poll)
        output.sample(text)


def _check_options(config: CharRnnTrainConfig, recipe: CharRnnRecipe) -> None:
    if config.tied and not recipe.embed:
        raise InputError("--tied", "needs an embedding", "add --embed 64, or drop --tied")


def _check_memory(config: CharRnnConfig, recipe: CharRnnRecipe, batch_size: int, runtime: Runtime) -> None:
    """Refuse a network and a batch that cannot fit into memory together. Raises UnfinishedError."""
    with meta_device():
        network = build_char_rnn(config)
        sample = torch.empty(1, recipe.seq_len, dtype=torch.int64), network.initial_state(1)
    forecast = TrainingMemory.of(network, sample, batch_size, recipe, runtime.precision)
    forecast.check(runtime, "--hidden-size, --num-layers, --batch-size or --seq-len")


def _note_lower_batch_size(batch_size: int, requested: int) -> None:
    if batch_size < requested:
        output.note(
            f"the batch size is reduced to the {output.counted(batch_size, 'sequence')} of --seq-len in the text"
        )


def _network_config(
    config: CharRnnTrainConfig, recipe: CharRnnRecipe, preprocessing: TextPreprocessing
) -> CharRnnConfig:
    return CharRnnConfig(
        vocabulary=preprocessing.vocabulary,
        cell=config.cell,
        layers=recipe.layers,
        hidden=recipe.hidden,
        embed=recipe.embed,
        dropout=recipe.dropout,
        tied=config.tied,
        residual=recipe.residual,
    )


def _plot_curves(folder: RunFolder, trainer: Trainer, x_axis: str) -> Path:
    path, position = folder.file("curves.png"), trainer.state
    files.atomic_write(path, draw_curves(history_to_json(position.history), position.best_index, folder.name, x_axis))
    return path
