"""The predictions of a trained classifier for image files, table rows and texts, in the order of the input."""

import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from dlnotes_cli.classify.evaluation_options import PredictConfig
from dlnotes_cli.classify.word_html import explanations_html
from dlnotes_cli.data.images.decode import decode_all, decode_image, decode_memory, decode_stream, none_readable
from dlnotes_cli.data.labels import listed_images
from dlnotes_cli.data.options import TABLE_SUFFIXES
from dlnotes_cli.data.paths import check_not_input, expand_paths, read_image_from_stdin, read_list
from dlnotes_cli.data.preprocessing import ImagePreprocessing, TablePreprocessing
from dlnotes_cli.data.table import read_table, select_rows
from dlnotes_cli.data.texts.files import text_files
from dlnotes_cli.data.texts.inputs import NamedText, named_text, read_texts, text_paths
from dlnotes_cli.inference.classifier import AnyClassifier, Classifier
from dlnotes_cli.inference.opening import open_any_classifier
from dlnotes_cli.inference.predictions import Prediction, WordContributions, predict_samples
from dlnotes_cli.plots.images import MOST_BARS, MOST_SHEET_IMAGES, ClassBars, draw_class_bars
from dlnotes_cli.shell import files, output
from dlnotes_cli.shell.codec import HIDDEN, in_json
from dlnotes_cli.shell.cores import default_threads
from dlnotes_cli.shell.errors import DlnotesError, InputError
from dlnotes_cli.shell.show import Table, check_outputs, csv_file, csv_text
from dlnotes_cli.training.run_folder import run_files

_STDIN = "-"
_STRONGEST = 5  # words that an explanation lists on each side
_UNUSUAL_SHARE = 0.05  # of images that are less similar than usual, without a note
_CHUNK = 256  # images or texts that are read and classified together


class _Batch(NamedTuple):
    """Some items, and what was read of them."""

    items: Sequence[str]
    samples: NDArray[np.generic] | Sequence[str]  # (n, ...), or texts, of the items without an error, in order
    errors: Mapping[int, DlnotesError]  # by position in `items`


class Predictor:
    """A loaded model and the paths to classify; iterating over it yields a Prediction for each item, in order.

    `predict` classifies images in memory or files that are named later; the Config then needs no paths.
    """

    def __init__(self, config: PredictConfig) -> None:
        """Load the model and list the paths. Raises InputError for an invalid model file, output or path."""
        check_outputs(config)
        self._config = config
        self._stdin = b""  # the image on standard input
        self._shown: list[ClassBars] = []  # the first predictions, for `--sheet`
        self.classifier = open_any_classifier(config)
        self._preprocessing = self.classifier.preprocessing
        _check_options(config, self.classifier)
        listed = read_list(config.files_from) if config.files_from else []
        self._sources: list[Any]  # paths, - for standard input, and texts themselves
        if isinstance(self.classifier, Classifier):
            self._sources = self._listed_paths([*config.paths, *listed])
        else:
            files_of_list = (path for name in listed for path in text_files(name))
            self._sources = [*text_paths(config.paths), *files_of_list, *config.text]
        self.paths = [source for source in self._sources if isinstance(source, Path)]
        inputs = [*run_files(self.classifier.path), *self.paths]
        inputs += [files.user_path(config.files_from)] if config.files_from else []
        outputs = {"--csv": csv_file(config), "--sheet": config.sheet, "--explain-html": config.explain_html}
        for option, path in outputs.items():
            if path is not None:
                check_not_input(option, path, inputs)

    def __iter__(self) -> Iterator[Prediction]:
        """The predictions. An unreadable item raises InputError; with `skip_bad` its Prediction has an error.

        Raises InputError at the end if none was readable.
        """
        if not self._sources:
            raise InputError("PATH", "no input given", "name files, folders or patterns, or pass --files-from")
        count, faults = 0, list[str]()
        for batch in self._batches():
            for prediction in self._predict(batch):
                count += 1
                faults += [prediction.error] if prediction.error is not None else []
                yield prediction
        if count == len(faults):
            if faults:
                raise none_readable("PATH", count, faults[0])
            raise InputError("PATH", "no text in the input", "give a text, or one per line on standard input")

    def predict(self, images: Sequence[str | Path | Image.Image | NDArray[Any]]) -> list[Prediction]:
        """The predictions for image files, images of Pillow, or uint8 arrays (H, W) or (H, W, C), in order.

        The item of an image in memory is its position. For a model of texts, text stands for itself. Raises InputError
        for an image that cannot be read, for a text that is empty, and for a model that reads tables.
        """
        if isinstance(self._preprocessing, TablePreprocessing):
            raise InputError("predict", "the model reads tables, not images", "name CSV files in the Config's paths")
        predictions: list[Prediction] = []
        for start in range(0, len(images), _CHUNK):
            chunk = images[start : start + _CHUNK]
            if isinstance(self._preprocessing, ImagePreprocessing):
                items, samples = zip(*map(self._image_in_memory, range(start, start + _CHUNK), chunk), strict=True)
                batch = _Batch(items, np.stack(samples), {})
            else:
                batch = self._text_batch([_text_in_memory(item) for item in chunk])
            predictions += self._predict(batch)
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
        count, similarity = len(self.classifier.classes), self.classifier.similarity
        return PredictResult(self.classifier.path, predictions, config.sheet, config, count, similarity)

    def _listed_paths(self, named: list[str]) -> list[Any]:
        """The images or tables to classify; an image on standard input in its place between files."""
        reads_tables, config = isinstance(self._preprocessing, TablePreprocessing), self._config
        if _STDIN in config.paths and not reads_tables:
            self._stdin = read_image_from_stdin(config.paths, "dlnotes predict MODEL -")
        sources: list[Any] = []
        for name in named:
            is_stdin = bool(self._stdin) and name == _STDIN
            if config.image_column is not None and Path(name).suffix.lower() in TABLE_SUFFIXES:
                sources += listed_images(files.user_path(name), config.image_column, config.image_root)
            else:
                sources += [name] if is_stdin else expand_paths([name], tables=reads_tables)
        return sources

    def _batches(self) -> Iterator[_Batch]:
        """The images or texts in batches, or the rows of one table after the other."""
        if isinstance(self._preprocessing, TablePreprocessing):
            yield from map(self._row_batch, self.paths)
        elif isinstance(self._preprocessing, ImagePreprocessing):
            for start in range(0, len(self._sources), _CHUNK):
                yield self._image_batch(self._sources[start : start + _CHUNK])
        else:
            texts = read_texts(self._sources, self._config.text_column, self._preprocessing)
            while chunk := list(islice(texts, _CHUNK)):
                yield self._text_batch(chunk)

    def _image_batch(self, sources: Sequence[Any]) -> _Batch:
        config, shape = self._config, self._preprocessing.image_shape

        def decode(source: Any) -> NDArray[np.uint8]:
            if isinstance(source, str):
                return decode_stream(Path(source), io.BytesIO(self._stdin), shape, config.max_pixels)[0]
            return decode_image(source, shape, config.max_pixels)

        decoded = decode_all(sources, decode, threads=config.threads or default_threads(), skip_bad=config.skip_bad)
        images = [image for image in decoded if not isinstance(image, DlnotesError)]
        errors = {i: error for i, error in enumerate(decoded) if isinstance(error, DlnotesError)}
        return _Batch([str(source) for source in sources], np.array(images), errors)

    def _image_in_memory(self, position: int, image: str | Path | Image.Image | NDArray[Any]) -> tuple[str, Any]:
        """The item and the pixels of an image that is in memory, or in a file."""
        shape = self._preprocessing.image_shape
        if isinstance(image, str | Path):
            return str(image), decode_image(files.user_path(image), shape, self._config.max_pixels)
        return str(position), decode_memory(f"image {position}", image, shape)

    def _row_batch(self, path: Path) -> _Batch:
        classifier: Any = self.classifier
        table, encode = read_table(path), partial(classifier.encode, preprocessing=self._preprocessing)
        errors: dict[int, DlnotesError] = {}
        for row in range(len(table.rows) if self._config.skip_bad else 0):
            try:
                encode(select_rows(table, [row]))
            except InputError as error:
                errors[row] = error
        readable = select_rows(table, [row for row in range(len(table.rows)) if row not in errors])
        return _Batch([f"{path}:{line}" for line in table.lines], encode(readable), errors)

    def _text_batch(self, texts: Sequence[NamedText]) -> _Batch:
        errors = {i: text.error for i, text in enumerate(texts) if text.error is not None}
        if errors and not self._config.skip_bad:
            raise next(iter(errors.values()))
        return _Batch([text.item for text in texts], [text.text for text in texts if text.error is None], errors)

    def _predict(self, batch: _Batch) -> Iterator[Prediction]:
        """The prediction or the error of each item of a batch."""
        config, samples = self._config, batch.samples
        readable = [item for position, item in enumerate(batch.items) if position not in batch.errors]
        top = config.top if config.sheet is None else max(config.top, MOST_BARS)
        predicted = predict_samples(self.classifier, readable, samples, top) if readable else []
        if config.sheet is not None:
            bars = zip(predicted[: MOST_SHEET_IMAGES - len(self._shown)], samples, strict=False)
            self._shown += [_class_bars(self.classifier.classes, *pair) for pair in bars]
        if config.explain or config.explain_html:
            predicted = [self._explained(*pair) for pair in zip(predicted, samples, strict=True)]
        predictions = (self._similar(replace(each, top=each.top[: config.top])) for each in predicted)
        for position, item in enumerate(batch.items):
            error = batch.errors.get(position)
            yield next(predictions) if error is None else Prediction(item, error=error.fault)

    def _similar(self, prediction: Prediction) -> Prediction:
        """The prediction, or with `skip_bad` an error for an image below `--min-similarity`. Raises InputError."""
        least, similarity = self._config.min_similarity, prediction.similarity
        if least is None or similarity is None or similarity >= least:
            return prediction
        what = f"its similarity to the training images is {similarity:.3f}"
        error = InputError(prediction.item, what, "lower --min-similarity, or pass --skip-bad")
        if not self._config.skip_bad:
            raise error
        return Prediction(prediction.item, error=error.fault)

    def _explained(self, prediction: Prediction, text: Any) -> Prediction:
        """The prediction for a text, with what its words contributed."""
        from dlnotes_cli.inference.text_explanation import explain_text

        classifier: Any = self.classifier  # of texts, as the options are checked
        position = classifier.classes.index(prediction.top[0][0])
        return replace(prediction, explanation=explain_text(classifier, text, position))


def _check_options(config: PredictConfig, classifier: AnyClassifier) -> None:
    """Raise InputError for an option that has no effect on this kind of model."""
    if config.sheet is not None and not isinstance(classifier.preprocessing, ImagePreprocessing):
        kind = "tables" if isinstance(classifier.preprocessing, TablePreprocessing) else "texts"
        raise InputError("--sheet", f"the model reads {kind}, which have no images", "drop --sheet")
    if config.image_column is not None and not isinstance(classifier.preprocessing, ImagePreprocessing):
        raise InputError("--image-column", f"{classifier.path} reads no images", "drop --image-column")
    if config.min_similarity is not None and classifier.similarity is None:
        what = f"{classifier.path} has no features of training images"
        raise InputError("--min-similarity", what, "drop it, or train the model again, on images")
    for option, value, fix in (
        ("--explain", config.explain, "use dlnotes explain for images"),
        ("--explain-html", config.explain_html, "use dlnotes explain for images"),
        ("--text-column", config.text_column, "drop it"),
        ("--text", config.text, "drop it, or name images or tables"),
    ):
        if value and isinstance(classifier, Classifier):
            raise InputError(option, f"{classifier.path} reads no texts", fix)


def _text_in_memory(item: object) -> NamedText:
    """A text that names itself. Raises InputError for another object."""
    if not isinstance(item, str):
        raise InputError("predict", f"the model reads texts, not {type(item).__name__}", "give strings")
    return named_text(item)


def _class_bars(classes: tuple[str, ...], prediction: Prediction, sample: Any) -> ClassBars:
    """An image and its most probable classes, in the order of the classes if these are all."""
    best = prediction.top[:MOST_BARS]
    pairs = best if len(classes) > MOST_BARS else sorted(best, key=lambda pair: classes.index(pair[0]))
    return ClassBars(np.asarray(sample, np.uint8), prediction.item, tuple(pairs))


@dataclass(frozen=True)
class PredictResult:
    """The predictions of `predict`, printed as its options say."""

    model_file: Path
    predictions: Sequence[Prediction]
    sheet: Path | None
    config: PredictConfig = field(metadata=HIDDEN)
    classes: int = field(metadata=HIDDEN)  # of the model
    similarity: Any = field(default=None, metadata=HIDDEN)  # a Similarity to the training images, if it is known

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
        """What the sheet leaves out, and which images are unlike those of the training."""
        read = [prediction for prediction in self.predictions if prediction.error is None]
        notes = [] if self.similarity is None else _unlike(read, self.similarity.usual)
        if self.sheet is not None and len(read) > MOST_SHEET_IMAGES:
            notes.append(f"{self.sheet} has the first {MOST_SHEET_IMAGES} of {len(read):,} images")
        return notes

    def table(self) -> Iterator[Table | str]:
        """The predictions, with `--explain` also what the words contributed."""
        if self.config.jsonl or self.config.csv is not None:
            return
        rows = []
        for each in self.predictions:
            first, *others = [(name, f"{value:.4f}") for name, value in each.top] or [("not read", "-")]
            rows.append((each.item, *first, ", ".join(map(" ".join, others))))
        yield Table(("item", "class", "probability", "runner-up"), rows, numeric=("probability",), is_result=True)
        explained = [p.explanation for p in self.predictions if p.explanation is not None and self.config.explain]
        for number, words in enumerate(explained):
            yield from [""] if number else []
            yield from _word_lines(words)

    def csv(self) -> str:
        """A CSV table with a row for each prediction."""
        return predictions_csv(self.predictions, min(self.config.top, self.classes))


def _unlike(predictions: Sequence[Prediction], usual: float) -> list[str]:
    """A note where more images than chance explains are less similar to the training images than usual."""
    unlike = [similarity for one in predictions if (similarity := one.similarity) is not None and similarity < usual]
    if len(unlike) <= _UNUSUAL_SHARE * len(predictions):
        return []
    subject, similar = f"{len(unlike):,} of {len(predictions):,} images are", "the similarity of each is less than"
    if len(predictions) == 1:
        subject, similar = "the image is", f"its similarity is {unlike[0]:.2f}, less than"
    return [f"{subject} unlike the training images: {similar} {usual:.2f}, which 99% of the validation images have"]


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
