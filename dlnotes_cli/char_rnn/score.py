"""How surprised a character model is by texts."""

import math
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from dlnotes_cli import plots
from dlnotes_cli.char_rnn.likelihood import Surprise, surprise
from dlnotes_cli.char_rnn.options import CharRnnScoreConfig
from dlnotes_cli.data.paths import is_same
from dlnotes_cli.data.preprocessing import TextPreprocessing
from dlnotes_cli.data.text import Text, decoded, encode_text, find_sources
from dlnotes_cli.shell import files
from dlnotes_cli.shell.errors import InputError
from dlnotes_cli.shell.stopping import StopRequest
from dlnotes_cli.training.checkpoint import load_language_model, runtime_for_model

_HEAT_CHARACTERS = 4000


@dataclass(frozen=True)
class Scores:
    """What was scored; `fields` is what `--json` shows."""

    fields: dict[str, Any]


def score_texts(config: CharRnnScoreConfig) -> Scores:
    """Score each text, or each of its lines, from a fresh state; the first character of each is not predicted.

    Runs in the precision of the training. Raises InputError for a model file or texts that are not right, and for
    unknown characters unless they are skipped.
    """
    if not config.texts:
        raise InputError("TEXT", "no text given", "name files or folders, or - for stdin")
    if config.heat is not None:
        files.check_png("--heat", config.heat)
        files.check_output_file("--heat", config.heat, overwrite=config.overwrite)
    model = load_language_model(config.model)
    if model.preprocessing.unit == "bytes" and config.encoding:
        raise InputError("--encoding", "is for characters, and the model reads bytes", "drop it")
    runtime = runtime_for_model(model.metadata, config)
    sources = find_sources(config.texts)
    read = [model.path, *(source.path for source in sources if source.path is not None)]
    if config.heat is not None and any(is_same(config.heat, path) for path in read):
        raise InputError("--heat", f"{config.heat} is what is read", "give another name")
    text = encode_text(sources, model.preprocessing, config.encoding, on_unknown=config.on_unknown)
    text = _by_lines(text, model.preprocessing) if config.lines else text
    if not text.predicted:
        raise InputError("TEXT", "has no character to predict; the first of each text is not", "give a longer one")
    kept = _HEAT_CHARACTERS if config.heat else 0
    with StopRequest() as stop:
        found = surprise(model.network.to(runtime.device), text, runtime, stop.poll, first=kept)
    fields: dict[str, Any] = {
        "model_file": str(model.path),
        **runtime.as_json(),
        "unit": model.preprocessing.unit,
        "texts": [
            {"name": name, "characters": stop - start, "predicted": int(found.predicted[i]), **found.measures(i)}
            for i, (name, (start, stop)) in enumerate(zip(text.names, pairwise(text.bounds), strict=True))
        ],
        "total": {"characters": len(text), "predicted": text.predicted, **found.measures()},
        "heat": None,
    }
    if config.heat is not None:
        files.atomic_write(config.heat, _heat(text, found, model.preprocessing))
        fields["heat"] = str(config.heat)
    return Scores(fields)


def _by_lines(text: Text, form: TextPreprocessing) -> Text:
    """Each line as a text of its own, its end included; named as compilers name them."""
    end = ord("\n") if form.unit == "bytes" else form.characters.find("\n")
    if end < 0:
        raise InputError("--lines", "the model knows no end of line", "leave it out, or give each line as a text")
    bounds, names = [0], []
    for name, (start, stop) in zip(text.names, pairwise(text.bounds), strict=True):
        ends = (start + 1 + np.flatnonzero(text.tokens[start:stop] == end)).tolist()
        edges = ends if ends and ends[-1] == stop else [*ends, stop]
        edges = [edge for edge in edges if edge > bounds[-1]]
        bounds += edges
        names += [f"{name}:{number}" for number in range(1, len(edges) + 1)]
    return Text(text.tokens, tuple(bounds), tuple(names))


def _heat(text: Text, found: Surprise, form: TextPreprocessing) -> bytes:
    tokens = text.tokens[: len(found.first)]
    if form.unit == "bytes":  # one sign for each
        shown = "".join(chr(byte) if chr(byte).isprintable() or byte == ord("\n") else "·" for byte in tokens)
    else:
        shown = decoded(tokens, form)
    bits = found.first / math.log(2)
    more = sum(bound < len(tokens) for bound in text.bounds[1:-1])
    name = f"{text.names[0]} and {more} more" if more else text.names[0]
    part = f", first {len(tokens):,} characters" if len(tokens) < len(text) else ""
    return plots.heat(shown, bits, f"{name}{part}: {np.nanmean(bits):.2f} bits per {form.unit.removesuffix('s')}")
