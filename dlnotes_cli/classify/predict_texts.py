"""The predictions of a classifier of texts, in the order of the input."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import islice
from typing import TYPE_CHECKING

from dlnotes_cli.classify.evaluation_options import PredictConfig
from dlnotes_cli.data.texts.inputs import NamedText, named_text
from dlnotes_cli.inference.predictions import Prediction, predict_samples
from dlnotes_cli.shell.errors import InputError

if TYPE_CHECKING:
    from dlnotes_cli.inference.text_classifier import TextClassifier

_CHUNK = 256  # texts that are classified together


def predict_texts(
    classifier: "TextClassifier", texts: Iterator[NamedText], config: PredictConfig
) -> Iterator[Prediction]:
    """The predictions. A text that cannot be read raises InputError; with `skip_bad` its Prediction has an error."""
    while chunk := list(islice(texts, _CHUNK)):
        error = next((text.error for text in chunk if text.error is not None), None)
        if error is not None and not config.skip_bad:
            raise error
        predictions = iter(_predicted(classifier, [text for text in chunk if text.error is None], config))
        for text in chunk:
            yield next(predictions) if text.error is None else Prediction(text.item, error=text.error.fault)


def texts_in_memory(items: Sequence[object]) -> Iterator[NamedText]:
    """Texts that name themselves. Raises InputError for other objects."""
    for item in items:
        if not isinstance(item, str):
            raise InputError("predict", f"the model reads texts, not {type(item).__name__}", "give strings")
        yield named_text(item)


def _predicted(classifier: "TextClassifier", texts: Sequence[NamedText], config: PredictConfig) -> list[Prediction]:
    """The predictions for readable texts, with what their words contributed where that was asked for."""
    if not texts:
        return []
    items, contents = [text.item for text in texts], [text.text for text in texts]
    predictions = predict_samples(classifier, items, contents, config.top)
    if not (config.explain or config.explain_html):
        return predictions
    from dlnotes_cli.inference.text_explanation import explain_text

    classes = classifier.classes
    return [
        replace(prediction, explanation=explain_text(classifier, text, classes.index(prediction.top[0][0])))
        for prediction, text in zip(predictions, contents, strict=True)
    ]
