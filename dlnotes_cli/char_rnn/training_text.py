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
    name = text.names[0] if len(text.names) == 1 else "TEXT"
    if len(text) == 0:
        raise InputError(name, "is empty", "give a text with content")
    if text.tokens.min() == text.tokens.max():
        what = f"has one distinct character, {decode_tokens(text.tokens[:1], preprocessing)!r}"
        raise InputError(name, what, "give a text with two or more")
    end = int(len(text) * (1 - options.val_split))
    train, validation = text.slice(0, end), text.slice(end, len(text))
    unit = "bytes" if preprocessing.unit == "bytes" else "characters"
    if len(train) <= seq_len or not train.predicted:
        what = f"has {len(train):,} {unit} for training, but --seq-len {seq_len} needs {seq_len + 1:,} from one text"
        fix = f"give a longer text (it has {len(text)} in all), or lower --seq-len or --val-split"
        raise InputError(name, what, fix)
    if not validation.predicted:
        what = f"leaves {len(validation)} {unit} for validation, which needs 2 from one text"
        raise InputError("--val-split", what, "raise it, or give a longer text")
    return TrainingText(text, preprocessing, train, validation)


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
