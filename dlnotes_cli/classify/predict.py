"""What a trained classifier says of new images or rows, each answer beside its own name."""

import csv
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from dlnotes_cli.classify.options import PredictConfig
from dlnotes_cli.data.batches import Normalizer
from dlnotes_cli.data.images.decode import decode_all, decode_image
from dlnotes_cli.data.paths import expand_paths, read_list
from dlnotes_cli.data.preprocessing import ImagePreprocessing, TablePreprocessing
from dlnotes_cli.data.table import encode, read_table, select_rows
from dlnotes_cli.device import Runtime, default_threads
from dlnotes_cli.shell import files
from dlnotes_cli.shell.errors import DlnotesError, InputError
from dlnotes_cli.training.checkpoint import TrainedModel, load_classifier
from dlnotes_cli.training.metrics import predict_logits, with_views
from dlnotes_cli.training.model_runtime import runtime_for_model

_CHUNK = 256  # items decoded and answered together


@dataclass(frozen=True)
class Prediction:
    """The answer for one item: its most probable classes, or why there is none."""

    item: str
    top: tuple[tuple[str, float], ...] = ()
    error: str = ""

    def as_json(self) -> dict[str, Any]:
        """One entry of `--json`, one line of `--jsonl`."""
        if self.error:
            return {"item": self.item, "error": self.error}
        name, probability = self.top[0]
        top = [{"class": c, "probability": p} for c, p in self.top]
        return {"item": self.item, "class": name, "probability": probability, "top": top}


@dataclass(frozen=True)
class _Batch:
    """Items made ready: samples for those that could be read, in order, and the errors of the others."""

    items: Sequence[str]
    samples: NDArray[np.generic]
    errors: dict[int, DlnotesError]


class Predictor:
    """A model made ready to answer; answers come as they are made, in the order of the items."""

    def __init__(self, config: PredictConfig) -> None:
        """Check everything that can be checked. Raises InputError for a bad model file, output or list of paths."""
        if config.csv not in {None, "-"}:
            files.check_output_file("--csv", files.user_path(str(config.csv)), overwrite=config.overwrite)
        self._config = config
        self.model: TrainedModel = load_classifier(config.model)
        self.runtime: Runtime = runtime_for_model(self.model.metadata, config)
        self._network = self.model.network.to(self.runtime.device)
        if config.tta:
            self._network = with_views(self._network, self.model.preprocessing, self.model.classes)
        self._normalizer = Normalizer(self.model.preprocessing, self.runtime.device)
        listed = read_list(str(config.files_from)) if config.files_from else []
        self.paths = expand_paths(
            [*config.paths, *listed], tables=isinstance(self.model.preprocessing, TablePreprocessing)
        )

    def __iter__(self) -> Iterator[Prediction]:
        """The predictions. An item that cannot be read raises InputError, or with `skip_bad` is its own answer."""
        preprocessing = self.model.preprocessing
        batches: Iterator[_Batch]
        if isinstance(preprocessing, TablePreprocessing):
            batches = (self._rows(path, preprocessing) for path in self.paths)
        else:
            batches = self._images(preprocessing)
        for batch in batches:
            yield from self._answers(batch)

    def _images(self, preprocessing: ImagePreprocessing) -> Iterator[_Batch]:
        def decode(path: Path) -> NDArray[np.uint8]:
            return decode_image(path, preprocessing.image_shape, self._config.max_pixels)

        threads = self._config.threads or default_threads()
        for start in range(0, len(self.paths), _CHUNK):
            paths = self.paths[start : start + _CHUNK]
            decoded = decode_all(paths, decode, threads=threads, skip_bad=self._config.skip_bad)
            errors = {i: answer for i, answer in enumerate(decoded) if isinstance(answer, DlnotesError)}
            pixels = [answer for answer in decoded if not isinstance(answer, DlnotesError)]
            samples = np.stack(pixels) if pixels else np.empty((0, *preprocessing.shape), np.uint8)
            yield _Batch([str(path) for path in paths], samples, errors)

    def _rows(self, path: Path, preprocessing: TablePreprocessing) -> _Batch:
        table = read_table(path)
        errors: dict[int, DlnotesError] = {}
        if self._config.skip_bad:
            for row in range(len(table.rows)):
                try:
                    encode(select_rows(table, [row]), preprocessing)
                except InputError as error:
                    errors[row] = error
        good = select_rows(table, [row for row in range(len(table.rows)) if row not in errors])
        items = [f"{path}:{line}" for line in table.lines]
        return _Batch(items, encode(good, preprocessing), errors)

    @torch.no_grad()
    def _answers(self, batch: _Batch) -> Iterator[Prediction]:
        k = min(self._config.top, len(self.model.classes))
        x = self._normalizer(torch.from_numpy(batch.samples).to(self.runtime.device))
        probabilities, indices = predict_logits(self._network, x, self.runtime).softmax(1).topk(k, dim=1)
        answers = iter(zip(indices.tolist(), probabilities.tolist(), strict=True))
        for position, item in enumerate(batch.items):
            if position in batch.errors:
                yield Prediction(item, error=batch.errors[position].fault)
                continue
            classes, shares = next(answers)
            yield Prediction(item, tuple((self.model.classes[c], p) for c, p in zip(classes, shares, strict=True)))


def predictions_csv(predictions: Sequence[Prediction], top: int) -> str:
    """A row for each item: its name, its classes with their probabilities, and the error of one that was skipped."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    ranks = ["" if k == 1 else f"_{k}" for k in range(1, top + 1)]
    writer.writerow(["item", *(f"{name}{rank}" for rank in ranks for name in ("class", "probability")), "error"])
    for prediction in predictions:
        cells = [cell for pair in prediction.top for cell in pair] or [""] * (2 * top)
        writer.writerow([prediction.item, *cells, prediction.error])
    return stream.getvalue()
