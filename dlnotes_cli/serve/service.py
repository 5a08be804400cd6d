"""What a request asks for: the predictions for images or table rows."""

import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from dlnotes_cli import __version__
from dlnotes_cli.data.images.decode import decode_stream, without_skipping
from dlnotes_cli.data.preprocessing import ImagePreprocessing, TablePreprocessing, preprocessing_to_json
from dlnotes_cli.data.table import Table
from dlnotes_cli.inference.classifier import Classifier
from dlnotes_cli.inference.predictions import Prediction, predict_samples
from dlnotes_cli.shell.errors import InputError

_SCALARS = (str, int, float, bool)  # JSON values that a cell may have


@dataclass(frozen=True)
class PredictionService:
    """A classifier, and how requests to it are read and answered."""

    classifier: Classifier
    top: int
    max_pixels: int

    def health(self) -> dict[str, Any]:
        """What `GET /health` answers."""
        classifier = self.classifier
        return {
            "status": "ok",
            "version": __version__,
            "model_file": str(classifier.path),
            "classes": list(classifier.classes),
            "preprocessing": preprocessing_to_json(classifier.preprocessing),
        }

    def predict_images(self, uploads: Sequence[tuple[str, bytes]]) -> list[Prediction]:
        """The predictions for image files, each with its name. Raises InputError naming one that cannot be read."""
        preprocessing = self.classifier.preprocessing
        if not isinstance(preprocessing, ImagePreprocessing):
            raise InputError("body", "the model reads table rows, not images", 'send JSON such as {"rows": [{...}]}')
        shape = preprocessing.image_shape
        with without_skipping():
            pixels = [decode_stream(Path(name), io.BytesIO(file), shape, self.max_pixels)[0] for name, file in uploads]
        return predict_samples(self.classifier, [name for name, _ in uploads], np.stack(pixels), self.top)

    def predict_rows(self, body: Any) -> list[Prediction]:
        """The predictions for a JSON document, `{"rows": [...]}` with an object of cells by column in each row.

        Raises InputError naming the row for a missing column, and for a cell that the model cannot read.
        """
        preprocessing = self.classifier.preprocessing
        if not isinstance(preprocessing, TablePreprocessing):
            raise InputError("body", "the model reads images, not table rows", "send images as form files")
        rows = body.get("rows") if isinstance(body, dict) else None
        if not isinstance(rows, list) or not rows or not all(isinstance(row, dict) for row in rows):
            raise InputError("body", "is not a list of rows", 'send JSON such as {"rows": [{"column": 1}]}')
        names, lines = tuple(column.name for column in preprocessing.columns), tuple(range(1, len(rows) + 1))
        cells = tuple(tuple(_cell(line, row, name) for name in names) for line, row in zip(lines, rows, strict=True))
        samples = self.classifier.encode(Table(Path("rows"), names, cells, lines, ""), preprocessing)
        return predict_samples(self.classifier, [f"rows:{line}" for line in lines], samples, self.top)


def _cell(line: int, row: dict[str, Any], name: str) -> str:
    """The cell of a row as a CSV file would have it."""
    value = row.get(name)
    if name not in row or not isinstance(value, _SCALARS):
        what = f"column '{name}' is missing" if name not in row else f"column '{name}' is neither text nor a number"
        raise InputError("rows", f"line {line}: {what}", "send a value for each column that the model was trained on")
    return str(value)
