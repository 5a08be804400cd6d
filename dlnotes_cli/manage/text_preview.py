"""`data preview` of a text: how char-rnn cuts it into batches of parallel rows."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from dlnotes_cli.data.preprocessing import TextPreprocessing
from dlnotes_cli.data.texts.characters import Text, decode_tokens, read_and_build_vocabulary
from dlnotes_cli.data.texts.files import find_text_sources
from dlnotes_cli.manage.options import DataPreviewConfig
from dlnotes_cli.shell import output
from dlnotes_cli.shell.errors import InputError
from dlnotes_cli.shell.show import Table
from dlnotes_cli.training.sequence_batches import IGNORED, SequenceBatches


@dataclass(frozen=True)
class PreviewedBatch:
    """Rows of tokens (B, T) as text, and the token after each; a row can be shorter at the end of the text."""

    inputs: tuple[tuple[str, ...], ...]
    targets: tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class TextPreview:
    """The first batches of a text."""

    data: str
    unit: str  # chars or words
    tokens: int
    vocabulary: int  # distinct tokens
    batch_size: int
    seq_len: int
    steps: int  # batches in all
    batches: tuple[PreviewedBatch, ...]

    def table(self) -> Iterator[Table | str]:
        """A row for each row of a batch, and the size of the text."""
        rows = [
            (f"{number}", f"{i}", self._shown(inputs), self._shown(targets))
            for number, batch in enumerate(self.batches, 1)
            for i, (inputs, targets) in enumerate(zip(batch.inputs, batch.targets, strict=True), 1)
        ]
        yield Table(("batch", "row", "inputs", "targets"), rows, is_result=True)
        batches = output.counted(self.steps, "batch", "batches")
        tokens = f"{self.tokens:,} {self.unit}, {self.vocabulary:,} distinct"
        yield f"{tokens}: {batches} of {self.batch_size} x {self.seq_len}"

    def _shown(self, tokens: Sequence[str]) -> str:
        return " ".join(tokens) if self.unit == "words" else repr("".join(tokens))


def preview_text(config: DataPreviewConfig) -> TextPreview:
    """Cut a text into batches. Raises InputError for a text that cannot be read, or is shorter than two tokens."""
    if not config.reads_text:
        raise InputError("TEXT", f"{config.data} is not a text", "call draw_preview")
    where = "--text" if config.text is not None else config.data
    text = config.text if config.text is not None else _read(config.data)
    units = text.split() if config.tokens == "words" else list(text)
    if len(units) < 2:  # noqa: PLR2004  # an input and its target
        what = f"has {len(units)} {config.tokens}, but a batch needs 2: an input and its target"
        raise InputError(where, what, "give a longer text, or --tokens chars")
    vocabulary, tokens = np.unique(np.array(units), return_inverse=True)
    names = vocabulary.tolist()
    batches = SequenceBatches(
        Text(tokens.astype(np.uint32), (0, len(tokens)), (where,)), config.batch_size, config.seq_len
    )
    if batches.batch_size != config.batch_size:
        rows = output.counted(batches.batch_size, "row")
        output.note(f"{len(tokens)} {config.tokens} are too few for {config.batch_size} rows; a batch has {rows}")
    shown = []
    for step in range(min(config.batches, batches.steps)):
        batch = batches.batch(step)
        kept = (batch.targets != IGNORED).tolist()
        shown.append(
            PreviewedBatch(_rows(batch.inputs.tolist(), kept, names), _rows(batch.targets.tolist(), kept, names))
        )
    return TextPreview(
        data=where, unit=config.tokens, tokens=len(tokens), vocabulary=len(names), batch_size=batches.batch_size,
        seq_len=config.seq_len, steps=batches.steps, batches=tuple(shown),
    )  # fmt: skip


def _rows(
    tokens: Sequence[Sequence[int]], kept: Sequence[Sequence[bool]], names: Sequence[str]
) -> tuple[tuple[str, ...], ...]:
    """The tokens of each row that are not padding, as text."""
    return tuple(
        tuple(names[token] for token, is_kept in zip(row, mask, strict=True) if is_kept)
        for row, mask in zip(tokens, kept, strict=True)
    )


def _read(path: str) -> str:
    """The text of a file, with every line end as a newline character."""
    text, preprocessing = read_and_build_vocabulary(
        find_text_sources([path]), TextPreprocessing("chars", "", lower=False, newline="translate"), None
    )
    return decode_tokens(text.tokens, preprocessing)
