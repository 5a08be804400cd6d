"""The predictions of a trained classifier for image files, table rows and texts, in the order of the input."""

import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from dlnotes_cli.classify.evaluation_options import PredictConfig
from dlnotes_cli.classify.predict_texts import predict_texts, texts_in_memory
from dlnotes_cli.classify.word_html import explanations_html
from dlnotes_cli.data.images.decode import decode_all, decode_image, decode_memory, decode_stream, none_readable
from dlnotes_cli.data.paths import check_not_input, expand_paths, read_image_from_stdin, read_list
from dlnotes_cli.data.preprocessing import ImagePreprocessing, TablePreprocessing
from dlnotes_cli.data.table import read_table, select_rows
from dlnotes_cli.data.texts.inputs import read_texts, text_files, text_paths
from dlnotes_cli.inference.classifier import Classifier
from dlnotes_cli.inference.opening import open_any_classifier
from dlnotes_cli.inference.predictions import Prediction, WordContributions, predict_samples
from dlnotes_cli.plots.class_bars import MOST_BARS, MOST_SHEET_IMAGES, ClassBars, draw_class_bars
from dlnotes_cli.shell import files, output
from dlnotes_cli.shell.codec import HIDDEN, in_json
from dlnotes_cli.shell.cores import default_threads
from dlnotes_cli.shell.errors import DlnotesError, InputError
from dlnotes_cli.shell.show import Table, check_outputs, csv_file, csv_text
from dlnotes_cli.training.run_folder import run_files

if TYPE_CHECKING:
    from dlnotes_cli.inference.text_classifier import TextClassifier

_STDIN = Path("-")  # compared by identity, as ./- is a file
_STRONGEST = 5  # words that an explanation lists on each side
_CHUNK = 256  # images that are decoded and classified together


@dataclass(frozen=True)
class _Batch:
    """Some items, and what was read of them."""

    items: Sequence[str]
    samples: NDArray[np.generic]  # (n, ...) of the items without an error, in order
    errors: dict[int, DlnotesError]  # by position in `items`


class Predictor:
    """A loaded model and the paths to classify; iterating over it yields a Prediction for each item, in order.

    `predict` classifies images in memory or files that are named later; the Config then needs no paths.
    """

    def __init__(self, config: PredictConfig) -> None:
        """Load the model and list the paths. Raises InputError for an invalid model file, output or path."""
        check_outputs(config)
        self._config = config
        self._shown: list[ClassBars] = []  # the first predictions, for `--sheet`
        self.classifier = open_any_classifier(config)
        self._check_options(self.classifier)
        listed = read_list(str(config.files_from)) if config.files_from else []
        self._stdin = b""
        self.paths: list[Path] = []
        self._texts: list[str | Path] = []
        if isinstance(self.classifier, Classifier):
            self._list_paths([*config.paths, *listed])
        else:
            self._texts = [*text_paths(config.paths), *(path for name in listed for path in text_files(name))]
            self.paths = [source for source in self._texts if isinstance(source, Path)]
        lists = [files.user_path(config.files_from)] if config.files_from else []
        outputs = {"--csv": csv_file(config), "--sheet": config.sheet, "--explain-html": config.explain_html}
        for option, path in outputs.items():
            if path is not None:
                named_files = (path for path in self.paths if path is not _STDIN)
                check_not_input(option, path, [*run_files(self.classifier.path), *lists, *named_files])

    def _check_options(self, classifier: "Classifier | TextClassifier") -> None:
        """Raise InputError for an option that has no effect on this kind of model."""
        config = self._config
        if config.sheet is not None and not isinstance(classifier.preprocessing, ImagePreprocessing):
            kind = "tables" if self._reads_tables else "texts"
            raise InputError("--sheet", f"the model reads {kind}, which have no images", "drop --sheet")
        for option, is_set, fix in (
            ("--explain", config.explain, "use dlnotes explain for images"),
            ("--explain-html", config.explain_html, "use dlnotes explain for images"),
            ("--text-column", config.text_column, "drop it"),
        ):
            if is_set and isinstance(classifier, Classifier):
                raise InputError(option, f"{classifier.path} reads no texts", fix)

    def _list_paths(self, named: list[str]) -> None:
        """List the images or tables to classify."""
        config = self._config
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
        is_any_read, skipped, first = False, 0, ""
        for prediction in self._predictions():
            is_any_read = is_any_read or prediction.error is None
            skipped, first = skipped + (prediction.error is not None), first or prediction.error or ""
            yield prediction
        if not is_any_read and skipped:
            raise none_readable("PATH", skipped, first)
        if not is_any_read and self._texts:
            raise InputError("PATH", "no text in the input", "give a text, or one per line on standard input")

    def _predictions(self) -> Iterator[Prediction]:
        if isinstance(self.classifier, Classifier):
            for batch in self._batches(self.classifier):
                yield from self._predict(batch)
        else:
            column = self._config.text_column or self.classifier.preprocessing.text_column
            yield from predict_texts(self.classifier, read_texts(self._texts, column), self._config)

    def _batches(self, classifier: Classifier) -> Iterator[_Batch]:
        """The images in batches, or the rows of one table after the other."""
        preprocessing = classifier.preprocessing
        if isinstance(preprocessing, TablePreprocessing):
            for path in self.paths:
                yield self._read_rows(path, classifier, preprocessing)
            return
        for start in range(0, len(self.paths), _CHUNK):
            yield self._read_images(self.paths[start : start + _CHUNK], preprocessing)

    def predict(self, images: Sequence[str | Path | Image.Image | NDArray[Any]]) -> list[Prediction]:
        """The predictions for image files, images of Pillow, or uint8 arrays (H, W) or (H, W, C), in order.

        The item of an image in memory is its position. For a model of texts, text stands for itself. Raises InputError
        for an image that cannot be read, for a text that is empty, and for a model that reads tables.
        """
        if not isinstance(self.classifier, Classifier):
            return list(predict_texts(self.classifier, texts_in_memory(images), self._config))
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

    def finish(self, predictions: Sequence[Prediction]) -> "PredictResult":
        """The result for all predictions, after the files of `--sheet` and `--explain-html` are written."""
        config = self._config
        if config.sheet is not None:
            files.atomic_write(config.sheet, self.sheet())
        if config.explain_html is not None:
            files.write_text(config.explain_html, explanations_html(predictions))
        return PredictResult(self.classifier.path, predictions, config.sheet, config, len(self.classifier.classes))

    @property
    def _reads_tables(self) -> bool:
        return isinstance(self.classifier.preprocessing, TablePreprocessing)

    def _read_images(self, paths: Sequence[Path], preprocessing: ImagePreprocessing) -> _Batch:
        def decode(path: Path) -> NDArray[np.uint8]:
            if path is _STDIN:
                stream = io.BytesIO(self._stdin)
                return decode_stream(path, stream, preprocessing.image_shape, self._config.max_pixels)[0]
            return decode_image(path, preprocessing.image_shape, self._config.max_pixels)

        decoded = decode_all(
            paths, decode, threads=self._config.threads or default_threads(), skip_bad=self._config.skip_bad
        )
        images = [image for image in decoded if not isinstance(image, DlnotesError)]
        samples = np.stack(images) if images else np.empty((0, *preprocessing.shape), np.uint8)
        errors = {i: error for i, error in enumerate(decoded) if isinstance(error, DlnotesError)}
        return _Batch([str(path) for path in paths], samples, errors)

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
        top, has_sheet = self._config.top, self._config.sheet is not None
        predicted = predict_samples(self.classifier, readable, batch.samples, max(top, MOST_BARS) if has_sheet else top)
        if has_sheet:
            count = MOST_SHEET_IMAGES - len(self._shown)
            self._shown += map(self._class_bars, predicted[:count], batch.samples)
        predictions = (replace(prediction, top=prediction.top[:top]) for prediction in predicted)
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


@dataclass(frozen=True)
class PredictResult:
    """The predictions of `predict`, printed as its options say."""

    model_file: Path
    predictions: Sequence[Prediction]
    sheet: Path | None
    config: PredictConfig = field(metadata=HIDDEN)
    classes: int = field(metadata=HIDDEN)  # of the model

    @property
    @in_json
    def skipped(self) -> int:
        """The number of items that could not be read."""
        return sum(prediction.error is not None for prediction in self.predictions)

    @property
    def paths(self) -> list[Path]:
        """The files that were written, unless predictions are printed line by line."""
        return [] if self.config.jsonl else list(filter(None, (self.sheet, self.config.explain_html)))

    @property
    def notes(self) -> list[str]:
        """What the sheet leaves out."""
        count = len(self.predictions) - self.skipped
        is_cut = self.sheet is not None and count > MOST_SHEET_IMAGES
        return [f"{self.sheet} has the first {MOST_SHEET_IMAGES} of {count:,} images"] if is_cut else []

    def table(self) -> Iterator[Table | str]:
        """The predictions, with `--explain` also what the words contributed."""
        if self.config.jsonl or self.config.csv is not None:
            return
        if self.config.quiet:
            yield output.counted(len(self.predictions) - self.skipped, "prediction")
            return
        yield Table(("item", "class", "probability", "runner-up"), list(map(_row, self.predictions)), ("probability",))
        explained = [p.explanation for p in self.predictions if p.explanation is not None and self.config.explain]
        for number, words in enumerate(explained):
            yield from [""] if number else []
            yield from _word_lines(words)

    def csv(self) -> str:
        """A CSV table with a row for each prediction."""
        return predictions_csv(self.predictions, min(self.config.top, self.classes))


def _row(prediction: Prediction) -> tuple[str, ...]:
    if not prediction.top:
        return prediction.item, "not read", "-", ""
    (name, probability), *others = prediction.top
    return prediction.item, name, f"{probability:.4f}", ", ".join(f"{other} {p:.4f}" for other, p in others)


def _word_lines(words: WordContributions) -> Iterator[str]:
    """The words of a text, colored by what they contributed, and those that contributed most."""
    bias = "" if words.bias is None else f", of which {words.bias:+.3f} is the bias"
    yield f"{words.label}: logit {words.logit:+.3f}{bias}"
    output.weighed_words(words.shares)
    if words.unread:
        yield f"({words.unread:,} more words are not read)"
    for label, is_for in (("for", True), ("against", False)):
        strongest = words.strongest(_STRONGEST, is_for=is_for)
        yield f"  {label:<8} {', '.join(f'{word} {value:+.3f}' for word, value in strongest) or '-'}"


def predictions_csv(predictions: Sequence[Prediction], top: int) -> str:
    """A CSV table with a row for each prediction: its item, `top` classes with their probabilities, and its error."""
    ranks = ["" if k == 1 else f"_{k}" for k in range(1, top + 1)]
    columns = ["item", *(f"{name}{rank}" for rank in ranks for name in ("class", "probability")), "error"]
    rows = [(p.item, *(cell for pair in p.top or [("", "")] * top for cell in pair), p.error) for p in predictions]
    return csv_text(columns, rows)
