"""`dlnotes loss`."""

from typing import TYPE_CHECKING

from dlnotes_cli.lessons.loss.options import LossConfig
from dlnotes_cli.shell import files, output
from dlnotes_cli.shell.binding import command

if TYPE_CHECKING:
    from dlnotes_cli.lessons.loss.results import LossResult, SampleLoss

_MOST_ROWS = 20  # of a table


@command(
    panel="Calculate",
    task="lessons.loss.loss:calculate_loss -> LossResult",
    examples=(
        'dlnotes loss --scores "2 1 0" --true 0',
        'dlnotes loss --probabilities ".8 .7 .1" --true "1 1 0" --explain',
    ),
)
def loss(config: LossConfig) -> None:
    """Calculate losses, softmax, likelihood and gradients from scores or probabilities.

    Prints for each class or number: score, target, share of the sum, softmax or
    sigmoid, its logarithm, and the gradient of the loss with respect to the score.
    Losses agree with torch.nn.functional; logarithms are natural (nats), next to bits.
    Cross-entropy also takes distributions in --true, one number for each class.
    """
    from dlnotes_cli.lessons.loss.loss import calculate_loss

    if config.plot is not None:
        files.check_output_file("--plot", config.plot, overwrite=config.overwrite)
    result = calculate_loss(config)
    if config.plot is not None:
        from dlnotes_cli.lessons.loss.plot import draw

        files.atomic_write(config.plot, draw(result))
    if config.json:
        output.document(config.command, result.as_json() | (_formulas(result) if config.explain else {}))
    else:
        _print(result)
    for note in result.notes:
        output.note(note)


def _formulas(result: "LossResult") -> dict[str, list[str]]:
    from dlnotes_cli.lessons.loss.explanation import explained

    return {"formulas": explained(result)}


def _print(result: "LossResult") -> None:
    if result.loss is not None or result.samples[0].shares is not None or result.config.scores is not None:
        _print_samples(result)
        output.line()
    width = 12 if result.negative_log_likelihood is None else len("negative log-likelihood") + 2
    for name, value in (("mean", result.mean), ("sum", result.sum)):
        if value is not None and result.config.reduction != "none" and (name == "mean" or value != result.mean):
            output.line(f"{name:<{width}}{_with_unit(value, result)}")
    if result.negative_log_likelihood is not None:
        output.line(f"{'likelihood':<{width}}{output.number(result.likelihood)}")
        output.line(f"{'negative log-likelihood':<{width}}{output.number(result.negative_log_likelihood)}")
    if result.config.explain:
        output.line()
        for line in _formulas(result)["formulas"]:
            output.line(line)
    if result.config.plot is not None:
        output.line(str(result.config.plot))


def _with_unit(value: float, result: "LossResult") -> str:
    """A loss, with its unit and its value in bits if it is a logarithm."""
    from math import log

    text = f"{result.loss} {output.number(value)}"
    return f"{text} nats = {output.number(value / log(2))} bits" if result.is_logarithm else text


def _print_samples(result: "LossResult") -> None:
    if len(result.samples) > 1 and isinstance(result.samples[0].true, int):
        rows = [_summary(number, sample, result.classes) for number, sample in enumerate(result.samples, 1)]
    else:
        rows = [
            row
            for number, sample in enumerate(result.samples, 1)
            for row in _details(number if len(result.samples) > 1 else None, sample, result)
        ]
    columns = [name for name in rows[0] if any(name in row for row in rows)]
    cells = [[row.get(name, "") for name in columns] for row in rows[:_MOST_ROWS]]
    output.table(columns, cells, numeric=set(columns) - {"class", "true class", "highest"})
    if len(rows) > _MOST_ROWS:
        output.line(f"… {len(rows) - _MOST_ROWS:,} more; --json has all")


def _summary(number: int, sample: "SampleLoss", classes: tuple[str, ...]) -> dict[str, str]:
    """The row of a sample with a true class."""
    true = int(sample.true) if isinstance(sample.true, int) else 0
    highest = max(range(len(classes)), key=sample.values.__getitem__)
    row = {"row": str(number), "true class": classes[true], "highest": classes[highest]}
    if sample.probabilities:
        row["probability"] = output.number(sample.probabilities[true])
    return row | {"loss": output.number((sample.losses or (0.0,))[0])}


def _details(number: int | None, sample: "SampleLoss", result: "LossResult") -> list[dict[str, str]]:
    """A row for each number of a sample."""
    probability = "sigmoid" if result.loss == "bce" else "softmax"
    columns = {
        "score" if result.config.scores is not None else "probability": sample.values,
        "true": sample.targets,
        "share": sample.shares,
        probability: sample.probabilities if result.config.scores is not None else None,
        f"log-{probability}" if result.config.scores is not None else "ln": sample.log_probabilities,
        "loss": sample.losses if sample.losses and len(sample.losses) == len(sample.values) else None,
        "gradient": sample.gradient,
    }
    return [
        {
            **({} if number is None else {"row": str(number)}),
            "class": name,
            **{column: output.number(values[i]) for column, values in columns.items() if values is not None},
        }
        for i, name in enumerate(result.classes)
    ]
