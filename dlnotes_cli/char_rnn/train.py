"""Training a character model: texts, the job of the loop, the run."""

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812  # PyTorch's own abbreviation
from torch import Tensor, nn

from dlnotes_cli import plots
from dlnotes_cli.char_rnn.likelihood import first_state, read_window, surprise
from dlnotes_cli.char_rnn.options import CharRnnTrainConfig
from dlnotes_cli.char_rnn.sample import Sampler, default_prime
from dlnotes_cli.char_rnn.streams import IGNORED, Streams
from dlnotes_cli.data.paths import is_same
from dlnotes_cli.data.preprocessing import TextPreprocessing, preprocessing_to_json
from dlnotes_cli.data.text import Text, decode_tokens, find_sources, python_help, read_text
from dlnotes_cli.device import Runtime, choose_device, choose_runtime
from dlnotes_cli.models.char_rnn import CharRnnConfig, bf16_pays
from dlnotes_cli.models.registry import build, config_to_json
from dlnotes_cli.seeding import derived_seed, seed_everything
from dlnotes_cli.shell import files, output
from dlnotes_cli.shell.errors import InputError
from dlnotes_cli.shell.stopping import StopRequest
from dlnotes_cli.training.engine.loop import StepOutput
from dlnotes_cli.training.engine.run import TrainingRun, tell_longer
from dlnotes_cli.training.optimizers import OptimizerOptions, make_optimizer
from dlnotes_cli.training.recipes import (
    BEST_CHAR_RNN,
    CHAR_RNN_LENGTH,
    LONG_CHAR_RNN,
    NOTES_CHAR_RNN,
    for_long,
    given,
    with_length,
    with_recipe,
)
from dlnotes_cli.training.record import RunRecord, TrainingResult
from dlnotes_cli.training.run_folder import RunFolder

_NAME = "char_rnn"  # in the registry
_SAMPLE_EVERY_S = 10.0
_MOST_NAMES = 3  # texts that are named one by one


def train_char_rnn(config: CharRnnTrainConfig) -> TrainingResult:
    """Train a character model in its run folder, on the beginning of the texts; their end validates.

    Raises InputError before anything is written where options, folder or texts are not right; UnfinishedError on
    divergence or a full disk; StoppedError after a signal, with the run saved.
    """
    started = time.monotonic()
    longer = for_long(config, LONG_CHAR_RNN)
    config = with_recipe(config, _recipe(config))
    _check_options(config)
    folder = RunFolder(config)
    choose_device(config.device)
    text, form = _read(config)
    split = int(len(text) * (1 - config.val_split))
    parts = {"train": text.slice(0, split), "val": text.slice(split, len(text))}
    _check_text(config, text, form, parts)
    data_s = time.monotonic() - started
    config = with_length(config, split // given(config.seq_len), CHAR_RNN_LENGTH)
    described = CharRnnConfig(
        form.vocabulary, config.cell, given(config.layers), given(config.hidden), given(config.embed),
        given(config.dropout), config.tied,
    )  # fmt: skip
    pays = bf16_pays(described, given(config.batch_size))
    runtime = choose_runtime(config.device, config.precision, config.threads, bf16_pays=pays)
    seed_everything(config.seed)
    network = build(_NAME, described).to(runtime.device)
    job = LanguageJob(config, network, parts, runtime)
    record = TextRecord(config, described, form, text, parts, runtime, network)
    record.announce()
    tell_longer(longer)
    if job.rows < given(config.batch_size):
        output.note(f"note   the batch shrinks to the {job.rows} windows that the text has")
    optimizer = OptimizerOptions(given(config.optimizer), given(config.lr), 0.0, given(config.weight_decay))
    with StopRequest() as stop, folder:
        samples = SampleReport(config, network, form, runtime, stop.poll)
        run = TrainingRun(
            config, folder, job, record, stop, make_optimizer(network, optimizer),
            after_validation=samples.show, eval_every=config.eval_every,
        )  # fmt: skip
        over = "step" if config.eval_every else "epoch"  # what tells entries of the history apart
        return TrainingResult(run.execute(data_s, started, lambda: _conclude(run, record, samples, over)))


class LanguageJob:
    """A network and the streams it reads, as the training loop sees them."""

    def __init__(
        self, config: CharRnnTrainConfig, network: nn.Module, parts: dict[str, Text], runtime: Runtime
    ) -> None:
        self.network, self.runtime = network, runtime
        self.carried: dict[str, Tensor] = {}
        self._parts, self._seed = parts, config.seed
        self._rows, self._seq_len = given(config.batch_size), given(config.seq_len)
        self._reset_state, self._epoch = given(config.reset_state), 1
        self._is_shifted = config.recipe == "best"  # windows begin elsewhere in each epoch; not in the course's way
        self._streams = self._cut(epoch=1)
        self.steps_per_epoch, self.validation_samples = self._streams.steps, parts["val"].predicted

    @property
    def rows(self) -> int:
        """Streams that are read side by side; fewer than were asked for where the text has no more windows."""
        return self._streams.rows

    def start_epoch(self, epoch: int) -> None:
        """Cut the text into the epoch's windows."""
        if epoch != self._epoch:
            self._epoch, self._streams = epoch, self._cut(epoch)

    def _cut(self, epoch: int) -> Streams:
        first = 1 + derived_seed(self._seed, epoch) % self._seq_len if self._is_shifted else None
        return Streams(self._parts["train"], self._rows, self._seq_len, first)

    def step(self, index: int) -> StepOutput:
        """Read a window; the state is carried on to the next one, and begins with zeros in each epoch."""
        if index == 0:
            state = first_state(self.network, self._streams.rows)
        else:
            state = tuple(self.carried[str(i)] for i in range(len(self.carried)))
        window = self._streams.window(index)
        if self._reset_state:
            draws = torch.Generator().manual_seed(derived_seed(self._seed, self._epoch, index))
            reset = torch.rand(len(window.fresh), generator=draws) < self._reset_state
            window = window._replace(fresh=window.fresh | reset)
        logits, state = read_window(self.network, window, state, self.runtime)
        self.carried = {str(i): part.detach() for i, part in enumerate(state)}
        targets = window.targets.to(self.runtime.device).flatten()
        loss_sum = F.cross_entropy(logits, targets, ignore_index=IGNORED, reduction="sum")
        correct = (logits.detach().argmax(1) == targets).sum()
        return StepOutput(loss_sum / max(window.predicted, 1), loss_sum.detach(), correct, window.predicted)

    def validate(self, poll: Callable[[], None]) -> dict[str, float]:
        """Loss, bits per character, perplexity and accuracy on the whole validation text."""
        val = self._parts["val"]
        found = surprise(self.network, val, self.runtime, poll)
        return {**found.measures(), "accuracy": found.correct / val.predicted, "samples": val.predicted}

    def rank(self, scores: dict[str, float]) -> tuple[float, ...]:
        """The loss decides."""
        return (-scores["loss"],)


class TextRecord(RunRecord):
    """What is written down of a run on texts."""

    def __init__(
        self,
        config: CharRnnTrainConfig,
        described: CharRnnConfig,
        form: TextPreprocessing,
        text: Text,
        parts: dict[str, Text],
        runtime: Runtime,
        network: nn.Module,
    ) -> None:
        super().__init__(config, _NAME, config_to_json(described), runtime, network)
        self._config, self._form, self._parts = config, form, parts
        self._names, self._fingerprint = text.names, text.fingerprint(form)

    @property
    def data_name(self) -> str:
        """The texts, or how many there are."""
        return ",".join(self._names) if len(self._names) <= _MOST_NAMES else f"{len(self._names)} texts"

    @property
    def fingerprint(self) -> str:
        """A sum over the texts."""
        return self._fingerprint

    def announce(self) -> None:
        """Say on stderr what is about to run."""
        counts = ", ".join(f"{len(part):,} {name}" for name, part in self._parts.items())
        unit = "bytes" if self._form.unit == "bytes" else "characters"
        output.note(f"text   {self.data_name}: {counts}; {self._form.vocabulary} different {unit}")
        super().announce()

    def identity(self) -> dict[str, Any]:
        """What makes this network usable and this run known."""
        found = super().identity()
        data = found["data"] | {"val_split": self._config.val_split}
        return found | {"format": preprocessing_to_json(self._form), "data": data}

    def result(self, history: list[dict[str, Any]], best: int, steps: int) -> dict[str, Any]:
        """The part of the result that the run's outcome decides; `best` counts the entries of `history` from 1."""
        data = {
            "texts": len(self._names),
            "unit": self._form.unit,
            "vocabulary": self._form.vocabulary,
            "counts": {name: len(part) for name, part in self._parts.items()},
        }
        return self.outcome(data, history, best, steps) | {"best_step": history[best - 1]["step"]}


def _recipe(config: CharRnnTrainConfig) -> dict[str, Any]:
    return NOTES_CHAR_RNN if config.recipe == "notes" else BEST_CHAR_RNN | for_long(config, LONG_CHAR_RNN)


def _check_options(config: CharRnnTrainConfig) -> None:
    if config.tied and not config.embed:
        raise InputError("--tied", "needs an embedding", "add --embed 64, or drop --tied")
    if config.vocab == "bytes" and (config.lower or config.encoding):
        option = "--lower" if config.lower else "--encoding"
        raise InputError(option, "is for characters; bytes are taken as they are", "drop it, or use --vocab chars")


def _read(config: CharRnnTrainConfig) -> tuple[Text, TextPreprocessing]:
    sources = find_sources(config.texts) if config.texts else [python_help()]
    _check_files([source.path for source in sources if source.path is not None], config.out)
    newline = "keep" if config.vocab == "bytes" else config.newline
    return read_text(sources, TextPreprocessing(config.vocab, "", config.lower, newline), config.encoding)


def _check_files(paths: Sequence[Path], out: Path | None) -> None:
    """Refuse a text that the run could replace, and one that would validate what it trained."""
    seen = set()
    for path in paths:
        if out is not None and is_same(path.parent, out):
            raise InputError("--out", f"{out} holds {path}, which is trained on", "give another")
        if path.resolve() in seen:
            what = "is given twice, so that what is validated would be trained on too"
            raise InputError(path, what, "give each text once")
        seen.add(path.resolve())


def _check_text(config: CharRnnTrainConfig, text: Text, form: TextPreprocessing, parts: dict[str, Text]) -> None:
    where = text.names[0] if len(text.names) == 1 else "TEXT"
    unit = "bytes" if form.unit == "bytes" else "characters"
    if len(text) == 0:
        raise InputError(where, "is empty", "give a text")
    if text.tokens.min() == text.tokens.max():
        what = f"has one distinct character, {decode_tokens(text.tokens[:1], form)!r}"
        raise InputError(where, what, "give a text that has more")
    need = given(config.seq_len) + 1
    if len(parts["train"]) < need or not parts["train"].predicted:
        what = f"has {len(parts['train']):,} {unit} to train on, --seq-len {config.seq_len} needs {need:,} of one text"
        raise InputError(where, what, f"give a longer text ({len(text)} in all), or a lower --seq-len or --val-split")
    if not parts["val"].predicted:
        what = f"leaves {len(parts['val'])} {unit} for validation, which needs 2 of one text"
        raise InputError("--val-split", what, "raise it, or give a longer text")


class SampleReport:
    """What the network would write, on stderr after a validation, but not more often than can be read."""

    def __init__(
        self,
        config: CharRnnTrainConfig,
        network: nn.Module,
        form: TextPreprocessing,
        runtime: Runtime,
        poll: Callable[[], None],
    ) -> None:
        self._config, self._network, self._form, self._poll = config, network, form, poll
        self._runtime = replace(runtime, precision="fp32")
        self._next, self._shown = -math.inf, -1

    def show(self, entry: dict[str, Any]) -> None:
        """Show the scores of a validation, and a sample below, where the last ones have stood for a while."""
        if time.monotonic() >= self._next:
            self.show_now(entry)
            self._next = time.monotonic() + _SAMPLE_EVERY_S

    def show_now(self, entry: dict[str, Any]) -> None:
        """Show the scores of a validation, and a sample below; not a second time."""
        scores, step = entry["validation"], entry["step"]
        if self._config.quiet or scores["loss"] is None or step == self._shown:
            return
        self._shown = step
        output.note(
            f"epoch {entry['epoch']}, step {step:,}: validation loss {scores['loss']:.4f}, "
            f"{scores['bits_per_char']:.4f} bits per {self._form.unit.removesuffix('s')}, "
            f"perplexity {scores['perplexity']:.3f}"
        )
        if not self._config.sample:
            return
        sampler = Sampler(self._network, self._form, self._runtime, seed=self._config.seed)
        text = sampler.text(default_prime(self._form), self._config.sample, self._poll)
        for line in text.strip("\n").splitlines():
            output.note(f"  | {line}")


def _conclude(
    run: TrainingRun, record: TextRecord, samples: SampleReport, over: str
) -> tuple[dict[str, Any], list[Path]]:
    position, path = run.trainer.position, run.folder.file("curves.png")
    best = position.best_entry or 0
    samples.show_now(position.history[best - 1])
    files.atomic_write(path, plots.curves(position.history, position.best_entry, over))
    return record.result(position.history, best, position.step), [path]
