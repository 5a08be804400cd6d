"""`dlnotes train-mlp`, `train-cnn`, `evaluate` and `predict`."""

from dlnotes_cli.classify.evaluation_options import EvaluateConfig, PredictConfig
from dlnotes_cli.classify.options import TrainCnnConfig, TrainMlpConfig
from dlnotes_cli.shell import output
from dlnotes_cli.shell.binding import command
from dlnotes_cli.shell.codec import to_json
from dlnotes_cli.shell.show import show


@command(
    panel="Train",
    task="classify.train_mlp:train_mlp -> MlpResult",
    examples=(
        "dlnotes train-mlp",
        "dlnotes train-mlp --recipe notes --epochs 5 --hidden 128,64 --out runs/notes",
    ),
)
def train_mlp(config: TrainMlpConfig) -> None:
    """Train a multi-layer perceptron (MLP) on images or a CSV table."""


@command(
    panel="Train",
    task="classify.train_cnn:train_cnn -> ClassifierResult",
    also=("classify.train_cnn:report_network -> NetworkReport",),
    examples=(
        "dlnotes train-cnn --epochs 10",
        "dlnotes train-cnn --recipe notes --arch fast --data digits --print",
    ),
)
def train_cnn(config: TrainCnnConfig) -> None:
    """Train a convolutional network (CNN) on images."""
    from dlnotes_cli.classify.train_cnn import report_network
    from dlnotes_cli.classify.train_cnn import train_cnn as task

    show(report_network(config) if config.print else task(config), config)


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
    from dlnotes_cli.classify.evaluate import evaluate_model
    from dlnotes_cli.classify.shift_test import shift_test

    show(evaluate_model(config) if config.shift_test is None else shift_test(config), config)


@command(
    panel="Use",
    task="classify.predict:Predictor -> PredictResult",
    also=(
        "classify.predict:predictions_csv",
        "classify.word_html:explanations_html",
        "inference.predictions:Prediction",
        "inference.predictions:WordContributions",
    ),
    examples=(
        "dlnotes predict runs/digits runs/digits/predictions.png",
        "dlnotes predict runs/digits 'runs/digits/*.png' --top 2 --json",
    ),
)
def predict(config: PredictConfig) -> None:
    """Classify images, texts or the rows of a CSV table with a trained model.

    For a model of texts, an argument that is the path of a file or folder stands for its texts: a .txt file is one
    text, each row of a CSV file another. Any other argument is a text itself, but one without a space that ends in
    .txt or .csv, or has a slash, must exist. With -, each line of standard input is a text.
    """
    from dlnotes_cli.classify.predict import Predictor

    predictor = Predictor(config)
    predictions = []
    for prediction in predictor:
        predictions.append(prediction)
        if config.jsonl:
            output.json_line(to_json(prediction))
    show(predictor.finish(predictions), config)
    for prediction in predictions:
        if prediction.error is not None:
            output.warn(f"skipped {prediction.error}")
