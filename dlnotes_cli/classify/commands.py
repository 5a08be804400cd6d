"""`dlnotes train-mlp`, `train-cnn`, `evaluate` and `predict`."""

from typing import TYPE_CHECKING

from dlnotes_cli.classify.options import EvaluateConfig, PredictConfig, TrainCnnConfig, TrainMlpConfig
from dlnotes_cli.shell import files, output
from dlnotes_cli.shell.binding import command
from dlnotes_cli.shell.codec import to_json
from dlnotes_cli.training.report import check_accuracy, print_training

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dlnotes_cli.classify.coefficients import Coefficients
    from dlnotes_cli.classify.evaluate import EvaluateResult
    from dlnotes_cli.inference.predictions import Prediction

_STRONGEST = 5  # words that an explanation lists on each side
_SCORES = ("precision", "recall", "f1")


@command(
    panel="Train",
    task="classify.train_mlp:train_mlp -> ClassifierResult",
    examples=(
        "dlnotes train-mlp",
        "dlnotes train-mlp --recipe notes --epochs 5 --hidden 128,64 --out runs/notes",
    ),
)
def train_mlp(config: TrainMlpConfig) -> None:
    """Train a multi-layer perceptron (MLP) on images or a CSV table."""
    from dlnotes_cli.classify.train_mlp import train_mlp as task

    print_training(task(config), config)


@command(
    panel="Train",
    task="classify.train_cnn:train_cnn -> ClassifierResult",
    also=("classify.train_cnn:report_network",),
    examples=(
        "dlnotes train-cnn --epochs 10",
        "dlnotes train-cnn --recipe notes --arch fast --data digits --print",
    ),
)
def train_cnn(config: TrainCnnConfig) -> None:
    """Train a convolutional network (CNN) on images."""
    if config.print:
        _print_network(config)
        return
    from dlnotes_cli.classify.train_cnn import train_cnn as task

    print_training(task(config), config)


def _print_network(config: TrainCnnConfig) -> None:
    from dlnotes_cli.classify.train_cnn import report_network
    from dlnotes_cli.shapes.course import course_notes
    from dlnotes_cli.shapes.table import report_lines

    report = report_network(config)
    if config.json:
        output.document(config.command, to_json(report))
    else:
        for line in report_lines(report):
            output.line(line)
    for note in course_notes(report):
        output.note(note)


@command(
    panel="Use",
    task="classify.evaluate:evaluate_model -> EvaluateResult",
    also=("classify.shift_test:shift_test -> ShiftTestResult",),
    examples=(
        "dlnotes evaluate runs/digits",
        "dlnotes evaluate runs/digits --data digits --split val --json",
    ),
)
def evaluate(config: EvaluateConfig) -> None:
    """Evaluate a trained classifier on labeled data: accuracy, loss, and precision, recall and F1 per class."""
    if config.shift_test is not None:
        _test_shifts(config)
        return
    from dlnotes_cli.classify.evaluate import evaluate_model

    result = evaluate_model(config)
    if config.json:
        output.document(config.command, result.as_json())
    elif config.csv_to_stdout:
        output.raw(result.as_csv())
    else:
        _show_scores(config, result)
    check_accuracy(result.evaluation.accuracy, config.min_accuracy)


def _test_shifts(config: EvaluateConfig) -> None:
    from dlnotes_cli.classify.shift_test import shift_test

    result = shift_test(config)
    if config.json:
        output.document(config.command, result.as_json())
    elif config.csv_to_stdout:
        output.raw(result.as_csv())
    else:
        if not (config.quiet or config.csv):
            models = tuple(model.name for model in result.models)
            rows = [
                (name, f"{amount:g}", *(f"{accuracy:.4f}" for accuracy in accuracies))
                for name, amount, accuracies in result.rows()
            ]
            output.table(("change", "amount", *models), rows, numeric=("amount", *models))
            output.line()
        for model in result.models:
            samples = output.counted(result.samples, "sample")
            output.line(f"{model.name}: accuracy {model.accuracy:.4f} on {samples} of {result.data} ({result.split})")
        for path in (*([config.csv] if config.csv else []), *result.plots):
            output.line(str(path))


def _show_scores(config: EvaluateConfig, result: "EvaluateResult") -> None:
    evaluation = result.evaluation
    if not (config.quiet or config.csv):
        _show_scores_of_classes(result)
        if result.coefficients is not None:
            _show_coefficients(result.coefficients)
    tops = "".join(f", top-{k} {accuracy:.4f}" for k, accuracy in result.top_accuracies.items())
    majority = f" (always the most frequent class: {evaluation.majority:.4f})"
    totals = f"accuracy {evaluation.accuracy:.4f}{majority}{tops}, loss {evaluation.loss:.4f}"
    output.line(f"{totals} on {output.counted(evaluation.samples, 'sample')} of {result.data} ({result.split})")
    for path in (*([config.csv] if config.csv else []), *result.plots):
        output.line(str(path))


def _show_coefficients(coefficients: "Coefficients") -> None:
    """Print a row for each input: its weights for one standard deviation, and for one unit of a numeric column."""
    names = coefficients.classes
    header = [text for name in names for text in (f"log-odds of {name}", f"per unit, {name}")]
    rows = [
        (one.input, *(f"{value:.4f}" for pair in zip(one.weights, one.per_unit, strict=True) for value in pair))
        for one in coefficients.inputs
    ]
    pairs = zip(coefficients.bias, coefficients.intercept, strict=True)
    rows.append(("bias", *(f"{value:.4f}" for pair in pairs for value in pair)))
    output.table(("input", *header), rows, numeric=header)
    output.line()


def _show_scores_of_classes(result: "EvaluateResult") -> None:
    evaluation, macro = result.evaluation, result.evaluation.macro_average()
    rows = [(s.name, f"{s.precision:.4f}", f"{s.recall:.4f}", f"{s.f1:.4f}", f"{s.support:,}") for s in result.scores]
    precision, recall, f1 = (f"{macro[name]:.4f}" for name in _SCORES)
    rows.append(("macro average", precision, recall, f1, f"{evaluation.samples:,}"))
    output.table(("class", *_SCORES, "support"), rows, numeric=(*_SCORES, "support"))
    output.line()


@command(
    panel="Use",
    task="classify.predict:Predictor",
    also=(
        "classify.predict:predictions_csv",
        "classify.word_html:explanations_html",
        "inference.predictions:Prediction",
        "inference.text_explanation:WordContributions",
    ),
    examples=(
        "dlnotes predict runs/digits runs/digits/predictions.png",
        "dlnotes predict runs/digits 'runs/digits/*.png' --top 2 --json",
    ),
)
def predict(config: PredictConfig) -> None:
    """Classify images, texts or the rows of a CSV table with a trained model."""
    from dlnotes_cli.classify.predict import Predictor, predictions_csv

    predictor = Predictor(config)
    predictions = []
    for prediction in predictor:
        predictions.append(prediction)
        if config.jsonl:
            output.json_line(prediction.as_json())
    if config.csv is not None:
        text = predictions_csv(predictions, min(config.top, len(predictor.classifier.classes)))
        if config.csv_file is None:
            output.raw(text)
        else:
            files.write_text(config.csv_file, text)
    if config.sheet is not None:
        from dlnotes_cli.plots.class_bars import MOST_SHEET_IMAGES

        files.atomic_write(config.sheet, predictor.sheet())
        if (count := sum(not prediction.error for prediction in predictions)) > MOST_SHEET_IMAGES:
            output.note(f"{config.sheet} has the first {MOST_SHEET_IMAGES} of {count:,} images")
    if config.explain_html is not None:
        from dlnotes_cli.classify.word_html import explanations_html

        files.write_text(config.explain_html, explanations_html(predictions))
    _show_predictions(config, predictions, str(predictor.classifier.path))


def _show_predictions(config: PredictConfig, predictions: "Sequence[Prediction]", model: str) -> None:
    skipped = [prediction for prediction in predictions if prediction.error]
    if config.json:
        sheet = None if config.sheet is None else str(config.sheet)
        entries = [prediction.as_json() for prediction in predictions]
        fields = {"model_file": model, "predictions": entries, "skipped": len(skipped), "sheet": sheet}
        output.document(config.command, fields)
    elif config.csv_file is not None:
        output.line(str(config.csv))
    elif config.quiet and config.csv is None and not config.jsonl:
        output.line(output.counted(len(predictions) - len(skipped), "prediction"))
    elif not config.jsonl and config.csv is None:
        rows = [_prediction_row(prediction) for prediction in predictions]
        output.table(("item", "class", "probability", "runner-up"), rows, numeric=("probability",))
        if config.explain:
            for prediction in predictions:
                _show_words(prediction)
    for path in (config.sheet, config.explain_html):
        if path is not None and not (config.json or config.jsonl or config.csv_to_stdout):
            output.line(str(path))
    for prediction in skipped:
        output.warn(f"skipped {prediction.error}")


def _prediction_row(prediction: "Prediction") -> tuple[str, ...]:
    if prediction.error:
        return prediction.item, "not read", "-", ""
    (name, probability), *others = prediction.top
    return prediction.item, name, f"{probability:.4f}", ", ".join(f"{other} {p:.4f}" for other, p in others)


def _show_words(prediction: "Prediction") -> None:
    """Print the words of a text, colored by what they contributed, and those that contributed most."""
    words = prediction.explanation
    if words is None:
        return
    output.line()
    bias = "" if words.bias is None else f", of which {words.bias:+.3f} is the bias"
    output.line(f"{words.label}: logit {words.logit:+.3f}{bias}")
    output.weighed_words(words.shares)
    if words.unread:
        output.line(f"({words.unread:,} more words are not read)")
    for label, is_for in (("for", True), ("against", False)):
        strongest = words.strongest(_STRONGEST, is_for=is_for)
        output.line(f"  {label:<8} {', '.join(f'{word} {value:+.3f}' for word, value in strongest) or '-'}")
