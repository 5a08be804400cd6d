"""The predictions of a trained classifier for image files, table rows and texts, in the order of the input."""

import csv
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from dlnotes_cli.classify.options import PredictConfig
from dlnotes_cli.data.images.decode import decode_chunks, decode_image, decode_memory, decode_stream, none_readable
from dlnotes_cli.data.paths import check_not_input, expand_paths, read_image_from_stdin, read_list
from dlnotes_cli.data.preprocessing import ImagePreprocessing, TablePreprocessing
from dlnotes_cli.data.table import read_table, select_rows
from dlnotes_cli.data.texts.inputs import NamedText, named_text, read_texts, text_files, text_paths
from dlnotes_cli.plots.class_bars import MOST_BARS, MOST_SHEET_IMAGES, ClassBars, draw_class_bars
from dlnotes_cli.shell import files
from dlnotes_cli.shell.errors import DlnotesError, InputError
from dlnotes_cli.training.inference.classifier import Classifier
from dlnotes_cli.training.inference.opening import open_any_classifier
from dlnotes_cli.training.inference.predictions import Prediction, predict_samples
from dlnotes_cli.training.run_folder import run_files

if TYPE_CHECKING:
    from dlnotes_cli.training.inference.text_classifier import TextClassifier

_STDIN = Path("-")  # compared by identity, as ./- is a file
_CHUNK = 256  # images that are decoded and classified together


@dataclass(frozen=True)
class _Batch:
    """Some items, and what was read of them."""

    items: Sequence[str]
    samples: NDArray[np.generic] | Sequence[str]  # (n, ...), or n texts, of the items without an error, in order
    errors: dict[int, DlnotesError]  # by position in `items`


class Predictor:
    """A loaded model and the paths to classify; iterating over it yields a Prediction for each item, in order.

    `predict` classifies images in memory or files that are named later; the Config then needs no paths.
    """

    def __init__(self, config: PredictConfig) -> None:
        """Load the model and list the paths. Raises InputError for an invalid model file, output or path."""
        outputs = {"--csv": config.csv_file, "--sheet": config.sheet, "--explain-html": config.explain_html}
        for option, path in outputs.items():
            if path is not None:
                files.check_output_file(option, path, overwrite=config.overwrite)
        self._config = config
        self._shown: list[ClassBars] = []  # the first predictions, for `--sheet`
        self.classifier = open_any_classifier(config)
        if config.sheet is not None and not isinstance(self.classifier.preprocessing, ImagePreprocessing):
            kind = "tables" if self._reads_tables else "texts"
            raise InputError("--sheet", f"the model reads {kind}, which have no images", "drop --sheet")
        listed = read_list(str(config.files_from)) if config.files_from else []
        self._stdin = b""
        self.paths: list[Path] = []
        self._texts: list[str | Path] = []
        if isinstance(self.classifier, Classifier):
            self._list_paths(self.classifier, [*config.paths, *listed])
        else:
            self._texts = [*text_paths(config.paths), *(path for name in listed for path in text_files(name))]
            self.paths = [source for source in self._texts if isinstance(source, Path)]
        lists = [files.user_path(config.files_from)] if config.files_from else []
        inputs = [*run_files(self.classifier.path), *lists, *(path for path in self.paths if path is not _STDIN)]
        for option, path in outputs.items():
            if path is not None:
                check_not_input(option, path, inputs)

    def _list_paths(self, classifier: Classifier, named: list[str]) -> None:
        """List the images or tables to classify. Raises InputError for options that only texts have."""
        config = self._config
        for option, is_set, fix in (
            ("--explain", config.explain, "use dlnotes explain for images"),
            ("--explain-html", config.explain_html, "use dlnotes explain for images"),
            ("--text-column", config.text_column, "drop it"),
        ):
            if is_set:
                raise InputError(option, f"{classifier.path} reads no texts", fix)
        if "-" in config.paths and not self._reads_tables:
            self._stdin = read_image_from_stdin(config.paths, "dlnotes predict MODEL -")
        if self._stdin:  # in its place between files
            for argument in named:
                self.paths += [_STDIN] if argument == "-" else expand_paths([argument], tables=False)
        else:
            self.paths = expand_paths(named, tables=self._reads_tables) if named else []

    def __iter__(self) -> Iterator[Prediction]:
        """The predictions. An unreadable item raises InputError; with `skip_bad` its Prediction has an error.

        Raises InputError at the end if none was readable.
        """
        if not self.paths and not self._texts:
            raise InputError("PATH", "no input given", "name files, folders or patterns, or pass --files-from")
        classifier = self.classifier
        batches: Iterator[_Batch]
        if not isinstance(classifier, Classifier):
            batches = self._read_texts(classifier)
        elif isinstance(classifier.preprocessing, TablePreprocessing):
            batches = self._read_tables(classifier, classifier.preprocessing)
        else:
            batches = self._read_images(classifier.preprocessing)
        for batch in batches:
            yield from self._predict(batch)

    def predict(self, images: Sequence[str | Path | Image.Image | NDArray[Any]]) -> list[Prediction]:
        """The predictions for image files, images of Pillow, or uint8 arrays (H, W) or (H, W, C), in order.

        The item of an image in memory is its position. For a model of texts, text stands for itself. Raises InputError
        for an image that cannot be read, for a text that is empty, and for a model that reads tables.
        """
        if not isinstance(self.classifier, Classifier):
            texts = [read_any_text(item) for item in images]
            return [prediction for batch in self._in_batches(iter(texts)) for prediction in self._predict(batch)]
        preprocessing = self.classifier.preprocessing
        if not isinstance(preprocessing, ImagePreprocessing):
            raise InputError("predict", "the model reads tables, not images", "name CSV files in the Config's paths")
        shape = preprocessing.image_shape
        predictions: list[Prediction] = []
        for start in range(0, len(images), _CHUNK):
            items, samples = [], []
            for position, image in enumerate(images[start : start + _CHUNK], start):
                if isinstance(image, str | Path):
                    items.append(str(image))
                    samples.append(decode_image(files.user_path(image), shape, self._config.max_pixels))
                else:
                    items.append(str(position))
                    samples.append(decode_memory(f"image {position}", image, shape))
            predictions += self._predict(_Batch(items, np.stack(samples), {}))
        return predictions

    def sheet(self) -> bytes:
        """The PNG file of `--sheet`, with the first images that were predicted."""
        return draw_class_bars(self._shown)

    @property
    def _most_bars(self) -> int:
        return 0 if self._config.sheet is None else MOST_BARS

    @property
    def _reads_tables(self) -> bool:
        return isinstance(self.classifier.preprocessing, TablePreprocessing)

    def _read_images(self, preprocessing: ImagePreprocessing) -> Iterator[_Batch]:
        def decode(path: Path) -> NDArray[np.uint8]:
            if path is _STDIN:
                stream = io.BytesIO(self._stdin)
                return decode_stream(path, stream, preprocessing.image_shape, self._config.max_pixels)[0]
            return decode_image(path, preprocessing.image_shape, self._config.max_pixels)

        threads = self._config.thread_count
        skip_bad = self._config.skip_bad
        for chunk in decode_chunks(self.paths, decode, _CHUNK, where="PATH", threads=threads, skip_bad=skip_bad):
            images = list(chunk.images.values())
            samples = np.stack(images) if images else np.empty((0, *preprocessing.shape), np.uint8)
            errors = {i - chunk.positions.start: error for i, error in chunk.errors.items()}
            yield _Batch([str(self.paths[i]) for i in chunk.positions], samples, errors)

    def _read_texts(self, classifier: "TextClassifier") -> Iterator[_Batch]:
        skipped: list[DlnotesError] = []
        is_any_read = False
        column = self._config.text_column or classifier.preprocessing.text_column
        for batch in self._in_batches(read_texts(self._texts, column)):
            yield batch
            skipped += batch.errors.values()
            is_any_read = is_any_read or len(batch.errors) < len(batch.items)
        if not is_any_read:
            raise none_readable("PATH", len(skipped), skipped[0]) if skipped else _no_text()

    def _in_batches(self, texts: Iterator[NamedText]) -> Iterator[_Batch]:
        """Texts by the hundred. The first one without a text raises its error, unless bad ones are skipped."""
        while chunk := list(islice(texts, _CHUNK)):
            errors = {i: text.error for i, text in enumerate(chunk) if text.error is not None}
            if errors and not self._config.skip_bad:
                raise errors[min(errors)]
            readable = [text.text for i, text in enumerate(chunk) if i not in errors]
            yield _Batch([text.item for text in chunk], readable, errors)

    def _read_tables(self, classifier: Classifier, preprocessing: TablePreprocessing) -> Iterator[_Batch]:
        skipped: list[DlnotesError] = []
        is_any_read = False
        for path in self.paths:
            batch = self._read_rows(path, classifier, preprocessing)
            yield batch
            skipped += batch.errors.values()
            is_any_read = is_any_read or len(batch.errors) < len(batch.items)
        if not is_any_read:
            raise none_readable("PATH", len(skipped), skipped[0])

    def _read_rows(self, path: Path, classifier: Classifier, preprocessing: TablePreprocessing) -> _Batch:
        table = read_table(path)
        errors: dict[int, DlnotesError] = {}
        if self._config.skip_bad:
            for row in range(len(table.rows)):
                try:
                    classifier.encode(select_rows(table, [row]), preprocessing)
                except InputError as error:
                    errors[row] = error
        readable = select_rows(table, [row for row in range(len(table.rows)) if row not in errors])
        items = [f"{path}:{line}" for line in table.lines]
        return _Batch(items, classifier.encode(readable, preprocessing), errors)

    def _predict(self, batch: _Batch) -> Iterator[Prediction]:
        readable = [item for position, item in enumerate(batch.items) if position not in batch.errors]
        top = self._config.top
        predicted = predict_samples(self.classifier, readable, batch.samples, max(top, self._most_bars))
        if self._config.sheet is not None:
            count = MOST_SHEET_IMAGES - len(self._shown)
            self._shown += map(self._class_bars, predicted[:count], batch.samples)
        shortened = [replace(prediction, top=prediction.top[:top]) for prediction in predicted]
        predictions = iter(self._explained(shortened, batch))
        for position, item in enumerate(batch.items):
            error = batch.errors.get(position)
            yield next(predictions) if error is None else Prediction(item, error=error.fault)

    def _class_bars(self, prediction: Prediction, sample: NDArray[np.generic]) -> ClassBars:
        """An image and its most probable classes, in the order of the classes if these are all."""
        classes = self.classifier.classes
        order = {name: i for i, name in enumerate(classes)}
        best = prediction.top[:MOST_BARS]
        pairs = best if len(classes) > MOST_BARS else sorted(best, key=lambda pair: order[pair[0]])
        return ClassBars(np.asarray(sample, np.uint8), prediction.item, tuple(pairs))

    def _explained(self, predictions: list[Prediction], batch: _Batch) -> list[Prediction]:
        """The predictions, with what their words contributed where that was asked for."""
        classifier = self.classifier
        if isinstance(classifier, Classifier) or not self._config.explains:
            return predictions
        from dlnotes_cli.training.inference.text_explanation import explain_text

        return [
            replace(
                prediction, explanation=explain_text(classifier, text, classifier.classes.index(prediction.top[0][0]))
            )
            for prediction, text in zip(predictions, batch.samples, strict=True)
        ]


def read_any_text(item: object) -> NamedText:
    """A text in memory. Raises InputError for other objects."""
    if not isinstance(item, str):
        raise InputError("predict", f"the model reads texts, not {type(item).__name__}", "give strings")
    return named_text(item)


def _no_text() -> InputError:
    return InputError("PATH", "no text in the input", "give a text, or one per line on standard input")


def predictions_csv(predictions: Sequence[Prediction], top: int) -> str:
    """A CSV table with a row for each prediction: its item, `top` classes with their probabilities, and its error."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    ranks = ["" if k == 1 else f"_{k}" for k in range(1, top + 1)]
    writer.writerow(["item", *(f"{name}{rank}" for rank in ranks for name in ("class", "probability")), "error"])
    for prediction in predictions:
        cells = [cell for pair in prediction.top for cell in pair] or [""] * (2 * top)
        writer.writerow([prediction.item, *cells, prediction.error])
    return stream.getvalue()
