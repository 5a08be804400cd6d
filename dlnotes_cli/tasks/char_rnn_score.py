"""How surprised a character model is by texts."""

import math
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import torch

from dlnotes_cli import files, plots
from dlnotes_cli.configs.char_rnn import CharRnnScoreConfig
from dlnotes_cli.data.formats import TextFormat
from dlnotes_cli.data.text import Text, encode_text, find_sources
from dlnotes_cli.device import choose_machine
from dlnotes_cli.errors import InputError
from dlnotes_cli.models.registry import LANGUAGE_MODELS
from dlnotes_cli.stopping import StopRequest
from dlnotes_cli.tasks.char_rnn_sample import decoded
from dlnotes_cli.training.checkpoint import load_language_model
from dlnotes_cli.training.language import Surprise, of_loss, surprise

_HEAT_CHARACTERS = 4000


@dataclass(frozen=True)
class Scores:
    """What was scored; `fields` is what `--json` shows."""

    fields: dict[str, Any]


def score_texts(config: CharRnnScoreConfig) -> Scores:
    """Score each text, or each of its lines, from a fresh state; the first character of each is not predicted.

    Raises InputError for a model file or texts that are not right, and for unknown characters unless they are skipped.
    """
    if not config.texts:
        raise InputError("TEXT", "no text given", "name files or folders, or - for stdin")
    if config.heat is not None:
        files.check_png("--heat", config.heat)
        files.check_output_file("--heat", config.heat, overwrite=config.overwrite)
    machine = choose_machine(config.device, config.precision, config.threads, bf16_pays=False)
    model = load_language_model(config.model, needs=LANGUAGE_MODELS)
    text = encode_text(find_sources(config.texts), model.format, config.encoding, on_unknown=config.on_unknown)
    text = _by_lines(text, model.format) if config.lines else text
    if not any(stop - start > 1 for start, stop in pairwise(text.bounds)):
        raise InputError("TEXT", "has no character to predict; the first of each text is not", "give a longer one")
    with StopRequest() as stop:
        found = surprise(model.network.to(machine.device), text, machine, stop.poll)
    fields: dict[str, Any] = {
        "model_file": str(model.path),
        **machine.as_json(),
        "texts": [
            {"name": name, "characters": stop - start, **_scores(found, start, stop)}
            for name, (start, stop) in zip(text.names, pairwise(text.bounds), strict=True)
        ],
        "total": {"characters": len(text), **_scores(found, 0, len(text))},
        "heat": None,
    }
    if config.heat is not None:
        files.atomic_write(config.heat, _heat(text, found, model.format))
        fields["heat"] = str(config.heat)
    return Scores(fields)


def _scores(found: Surprise, start: int, stop: int) -> dict[str, Any]:
    """Means over the predicted characters of a text; none where there are none."""
    nats = found.nats[start:stop]
    count = int(np.isfinite(nats).sum())
    mean = float(np.nansum(nats, dtype=np.float64)) / count if count else math.nan
    return {"predicted": count, **of_loss(mean)}


def _by_lines(text: Text, form: TextFormat) -> Text:
    """Each line as a text of its own, its end included; named as compilers name them."""
    end = ord("\n") if form.unit == "bytes" else form.characters.find("\n")
    bounds, names = [0], []
    for name, (start, stop) in zip(text.names, pairwise(text.bounds), strict=True):
        ends = (start + 1 + np.flatnonzero(text.tokens[start:stop] == end)).tolist() if end >= 0 else []
        edges = ends if ends and ends[-1] == stop else [*ends, stop]
        edges = [edge for edge in edges if edge > bounds[-1]]
        bounds += edges
        names += [f"{name}:{number}" for number in range(1, len(edges) + 1)]
    return Text(text.tokens, tuple(bounds), tuple(names))


def _heat(text: Text, found: Surprise, form: TextFormat) -> bytes:
    count = min(len(text), _HEAT_CHARACTERS)
    shown = decoded(torch.from_numpy(text.tokens[:count].astype(np.int64)), form)
    if form.unit == "bytes":  # one sign for each
        shown = "".join(
            chr(byte) if chr(byte).isprintable() or byte == ord("\n") else "·" for byte in text.tokens[:count]
        )
    title = f"{text.names[0]}: {of_loss(float(np.nanmean(found.nats[:count])))['bits_per_char']:.2f} bits per character"
    return plots.heat(shown, found.nats[:count] / math.log(2), title)
