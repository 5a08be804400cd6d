"""The likelihood of texts under a trained character model: cross-entropy, bits per character and perplexity."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812  # PyTorch's own abbreviation
from numpy.typing import NDArray
from torch import nn

from dlnotes_cli.char_rnn.options import CharRnnScoreConfig
from dlnotes_cli.data.paths import check_not_input
from dlnotes_cli.data.preprocessing import TextPreprocessing
from dlnotes_cli.data.texts.characters import Text, decode_tokens, read_with_vocabulary
from dlnotes_cli.data.texts.files import find_text_sources
from dlnotes_cli.device import Runtime, RuntimeInfo
from dlnotes_cli.plots.heat_map import draw_heat_map
from dlnotes_cli.shell import files
from dlnotes_cli.shell.codec import INLINE, named
from dlnotes_cli.shell.errors import InputError
from dlnotes_cli.shell.show import Table
from dlnotes_cli.shell.stopping import StopRequest
from dlnotes_cli.training.distributed import ALONE, Processes
from dlnotes_cli.training.model_file import check_finite, load_language_model, runtime_for_model
from dlnotes_cli.training.sequence_batches import IGNORED, SequenceBatches, forward_batch, initial_state

_HEAT_CHARACTERS = 4000
_BATCH_SIZE, _SEQ_LEN = 64, 128
_WARM_UP_STEPS = 4  # chunks that each row reads before those it is scored on
_LARGEST_EXPONENT = 700.0  # of a float64


@dataclass(frozen=True)
class Score:
    """How well the model predicts one or more texts, as means over the predicted characters; nan if there are none."""

    characters: int
    predicted: int
    loss: float  # cross-entropy in nats
    bits_per_char: float
    perplexity: float

    @classmethod
    def of(cls, nats: NDArray[np.float32], predicted: int) -> "Score":
        """The score of characters with these surprisals (N,), of which so many are predicted; the others have 0."""
        loss = float(nats.sum(dtype=np.float64)) / predicted if predicted else math.nan
        return cls(len(nats), predicted, loss, loss / math.log(2), math.exp(min(loss, _LARGEST_EXPONENT)))

    def row(self, name: str) -> tuple[str, ...]:
        """A row of the printed table."""
        metrics = (self.loss, self.bits_per_char, self.perplexity)
        return name, f"{self.predicted:,}", *(f"{metric:.4f}" if self.predicted else "-" for metric in metrics)


@dataclass(frozen=True)
class TextScore:
    """The score of one text, or of one line of it."""

    name: str
    score: Score = field(metadata=INLINE)


@dataclass(frozen=True)
class ScoreResult:
    """The score of each text and of all together."""

    model_path: Path = field(metadata=named("model_file"))
    runtime: RuntimeInfo = field(metadata=INLINE)
    unit: str  # chars or bytes
    texts: tuple[TextScore, ...]
    total: Score
    heat: Path | None  # the heat map that was written

    def table(self) -> Iterator[Table | str]:
        """A row for each text, and one for all of them."""
        rows = [text.score.row(text.name) for text in self.texts]
        if len(rows) > 1:
            rows.append(self.total.row("all"))
        numeric = ("predicted", "loss", f"bits per {self.unit.removesuffix('s')}", "perplexity")
        yield Table(("text", *numeric), rows, numeric, is_result=True)

    @property
    def paths(self) -> tuple[Path, ...]:
        """The heat map, if there is one."""
        return () if self.heat is None else (self.heat,)


def score_texts(config: CharRnnScoreConfig) -> ScoreResult:
    """Score each text, or each of its lines, from a zero state; the first character of each is not predicted.

    Runs in the precision of the training. Raises InputError for an invalid model file or text, and for unknown
    characters unless they are skipped.
    """
    model = load_language_model(config.model)
    if model.preprocessing.unit == "bytes" and config.encoding:
        raise InputError("--encoding", "has no effect on a model of bytes", "drop it")
    runtime = runtime_for_model(model.metadata, config)
    sources = find_text_sources(config.texts)
    if config.heat is not None:
        check_not_input("--heat", config.heat, [model.path, *(source.path for source in sources if source.path)])
    text = read_with_vocabulary(sources, model.preprocessing, config.encoding, on_unknown=config.on_unknown)
    text = _split_lines(text, model.preprocessing) if config.lines else text
    if not text.predicted:
        what = "nothing to predict, because the first character of each text is not predicted"
        raise InputError("TEXT", what, "give a longer text")
    with StopRequest() as stop:
        nats = surprisals_of(model.network.to(runtime.device), text, runtime, stop.poll).nats
    check_finite(model.path, torch.from_numpy(nats))
    if config.heat is not None:
        files.atomic_write(config.heat, _heat_map(text, nats, model.preprocessing))
    pairs = zip(text.names, pairwise(text.bounds), strict=True)
    scores = tuple(
        TextScore(name, Score.of(nats[start:stop], max(stop - start - 1, 0))) for name, (start, stop) in pairs
    )
    total = Score.of(nats, text.predicted)
    return ScoreResult(model.path, runtime.info, model.preprocessing.unit, scores, total, config.heat)


def _split_lines(text: Text, preprocessing: TextPreprocessing) -> Text:
    """Each line, with its newline, as a text of its own, named FILE:LINE."""
    newline = ord("\n") if preprocessing.unit == "bytes" else preprocessing.characters.find("\n")
    if newline < 0:
        what = "the model's vocabulary has no newline"
        raise InputError("--lines", what, "drop the option, or pass each line as a text")
    bounds = np.union1d(text.bounds, np.flatnonzero(text.tokens == newline) + 1)
    first_lines = np.searchsorted(bounds, text.bounds)
    owners = np.searchsorted(text.bounds, bounds[:-1], side="right") - 1
    names = (f"{text.names[i]}:{line - first_lines[i] + 1}" for line, i in enumerate(owners))
    return Text(text.tokens, tuple(bounds.tolist()), tuple(names))


def _heat_map(text: Text, nats: NDArray[np.float32], preprocessing: TextPreprocessing) -> bytes:
    """A PNG of the first characters, each colored by its surprisal in bits."""
    tokens = text.tokens[:_HEAT_CHARACTERS]
    if preprocessing.unit == "bytes":  # one character for each byte
        shown = "".join(chr(byte) if chr(byte).isprintable() or byte == ord("\n") else "·" for byte in tokens)
    else:
        shown = decode_tokens(tokens, preprocessing)
    bits = nats[: len(tokens)] / math.log(2)
    bits[[bound for bound in text.bounds if bound < len(tokens)]] = math.nan  # not predicted
    more = sum(bound < len(tokens) for bound in text.bounds[1:-1])
    names = f"{text.names[0]} and {more} more" if more else text.names[0]
    extent = f", first {len(tokens):,} characters" if len(tokens) < len(text) else ""
    unit = preprocessing.unit.removesuffix("s")
    return draw_heat_map(shown, bits, f"{names}{extent}: {np.nanmean(bits):.2f} bits per {unit}")


class Surprisals(NamedTuple):
    """How surprising each character of a text is."""

    nats: NDArray[np.float32]  # (N,): the negative log-likelihoods; 0 for the first character of a text
    correct: int  # characters that were the most probable


def surprisals_of(
    network: nn.Module, text: Text, runtime: Runtime, poll: Callable[[], None] = lambda: None,
    processes: Processes = ALONE,
) -> Surprisals:  # fmt: skip
    """Read whole texts with carried state, from a zero state at the start of each.

    The rows of a batch read in parallel. Each row first reads the 512 characters in front of its own, from which it
    gets a state that no longer depends on the zeros it started with. `poll` is called after each batch and may raise to
    stop. Of several processes each reads some of the rows, and all return the surprisals of all.
    """
    network.eval()
    batches = SequenceBatches(text, _BATCH_SIZE, _SEQ_LEN)
    own_rows = len(range(batches.batch_size)[processes.rows])
    state = initial_state(network, own_rows)
    nats, correct = np.zeros(len(text), np.float32), np.zeros(1, np.int64)
    with torch.inference_mode():
        for step in range(-_WARM_UP_STEPS if batches.batch_size > 1 else 0, batches.steps if own_rows else 0):
            batch = batches.batch(step).rows(processes.rows)
            logits, state = forward_batch(network, batch, state, runtime)
            if step >= 0:
                targets = runtime.to_device(batch.targets).flatten()
                losses = F.cross_entropy(logits, targets, ignore_index=IGNORED, reduction="none")
                is_target = (batch.targets != IGNORED).numpy()
                nats[batch.target_positions[is_target]] = losses.view(batch.targets.shape).cpu().numpy()[is_target]
                correct += int((logits.argmax(1) == targets).sum())
            poll()
    for array in (nats, correct):
        processes.sum(torch.from_numpy(array))  # in place
    return Surprisals(nats, int(correct[0]))
