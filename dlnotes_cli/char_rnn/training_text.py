"""The text that a character model is trained on: read, checked, and split into training and validation text."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from dlnotes_cli.char_rnn.options import CharRnnTrainConfig
from dlnotes_cli.data.paths import is_same
from dlnotes_cli.data.preprocessing import TextPreprocessing
from dlnotes_cli.data.texts.characters import Text, decode_tokens, read_and_build_vocabulary
from dlnotes_cli.data.texts.files import find_text_sources, python_help
from dlnotes_cli.shell.errors import InputError


@dataclass(frozen=True)
class TrainingText:
    """A text, its preprocessing, and its splits: the start is for training, the end for validation."""

    text: Text
    preprocessing: TextPreprocessing
    train: Text
    validation: Text

    @property
    def counts(self) -> dict[str, int]:
        """Number of tokens in each split."""
        return {"train": len(self.train), "val": len(self.validation)}


def read_training_text(options: CharRnnTrainConfig, seq_len: int) -> TrainingText:
    """Read the texts that the options name and split them.

    Raises InputError for a text that cannot be read, a text in the run folder, and a text that is too short for
    chunks of `seq_len` tokens.
    """
    sources = find_text_sources(options.texts) if options.texts else [python_help()]
    _check_paths([source.path for source in sources if source.path is not None], options.out)
    newline = "keep" if options.vocab == "bytes" else options.newline
    preprocessing = TextPreprocessing(options.vocab, "", options.lower, newline)
    text, preprocessing = read_and_build_vocabulary(sources, preprocessing, options.encoding)
    end = int(len(text) * (1 - options.val_split))
    texts = TrainingText(text, preprocessing, text.slice(0, end), text.slice(end, len(text)))
    _check_text(text, preprocessing)
    _check_splits(texts, seq_len)
    return texts


def _check_paths(paths: Sequence[Path], out: Path | None) -> None:
    """Refuse a text in the run folder, which the run could replace, and a text that would be in both splits."""
    seen = set()
    for path in paths:
        if out is not None and is_same(path.parent, out):
            raise InputError("--out", f"{out} contains the training text {path}", "choose another folder")
        if path.resolve() in seen:
            what = "is listed twice, so that the same text could be used for training and validation"
            raise InputError(path, what, "list each text once")
        seen.add(path.resolve())


def _check_text(text: Text, preprocessing: TextPreprocessing) -> None:
    if len(text) == 0:
        raise InputError(_name(text), "is empty", "give a text with content")
    if text.tokens.min() == text.tokens.max():
        what = f"has one distinct character, {decode_tokens(text.tokens[:1], preprocessing)!r}"
        raise InputError(_name(text), what, "give a text with two or more")


def _check_splits(texts: TrainingText, seq_len: int) -> None:
    unit = "bytes" if texts.preprocessing.unit == "bytes" else "characters"
    total, train, validation = len(texts.text), len(texts.train), len(texts.validation)
    if train <= seq_len or not texts.train.predicted:
        what = f"has {train:,} {unit} for training, but --seq-len {seq_len} needs {seq_len + 1:,} from one text"
        fix = f"give a longer text (it has {total} in all), or lower --seq-len or --val-split"
        raise InputError(_name(texts.text), what, fix)
    if not texts.validation.predicted:
        what = f"leaves {validation} {unit} for validation, which needs 2 from one text"
        raise InputError("--val-split", what, "raise it, or give a longer text")


def _name(text: Text) -> str:
    return text.names[0] if len(text.names) == 1 else "TEXT"
