"""The weights of a linear classifier of a table: a network without hidden layers, which is a logistic regression."""

from dataclasses import dataclass

import numpy as np

from dlnotes_cli.data.preprocessing import TablePreprocessing
from dlnotes_cli.inference.classifier import AnyClassifier
from dlnotes_cli.inference.onnx_file import is_onnx
from dlnotes_cli.shell.show import Table


@dataclass(frozen=True)
class Coefficient:
    """The weights of one input, one for each class of `Coefficients`: by how much it changes the log-odds."""

    input: str
    weights: tuple[float, ...]  # for one standard deviation of a numeric column, or for a category
    per_unit: tuple[float, ...]  # for one unit of the column


@dataclass(frozen=True)
class Coefficients:
    """The weights of all inputs: for two classes the log-odds of the second; else of each class against their mean."""

    classes: tuple[str, ...]
    bias: tuple[float, ...]  # at the means of the numeric columns
    intercept: tuple[float, ...]  # at 0
    inputs: tuple[Coefficient, ...]

    def table(self) -> Table:
        """A row for each input: its weights for one standard deviation, and for one unit of a numeric column."""
        columns = [text for name in self.classes for text in (f"log-odds of {name}", f"per unit, {name}")]
        rows = [
            (one.input, *(f"{value:.4f}" for pair in zip(one.weights, one.per_unit, strict=True) for value in pair))
            for one in (*self.inputs, Coefficient("bias", self.bias, self.intercept))
        ]
        return Table(("input", *columns), rows, numeric=columns)


def coefficients_of(classifier: AnyClassifier) -> Coefficients | None:
    """The weights of a linear classifier of a table; None for any other."""
    preprocessing = classifier.preprocessing
    if not isinstance(preprocessing, TablePreprocessing) or is_onnx(classifier.path):
        return None
    from torch import nn

    from dlnotes_cli.inference.torch_classifier import TorchClassifier

    if not isinstance(classifier, TorchClassifier):
        return None
    linear = [layer for layer in classifier.network.modules() if isinstance(layer, nn.Linear)]
    if len(linear) != 1:
        return None
    weight = linear[0].weight.detach().double().cpu().numpy()  # (K, F)
    bias = linear[0].bias.detach().double().cpu().numpy()
    classes = classifier.classes
    if len(classes) == 2:  # noqa: PLR2004  # a binary classifier
        classes, weight, bias = classes[1:], weight[1:] - weight[:1], bias[1:] - bias[:1]
    else:
        weight, bias = weight - weight.mean(0), bias - bias.mean()
    means, deviations = map(np.asarray, preprocessing.scales)
    per_unit = weight / deviations
    inputs = tuple(
        Coefficient(name, tuple(weight[:, i].tolist()), tuple(per_unit[:, i].tolist()))
        for i, name in enumerate(preprocessing.inputs)
    )
    return Coefficients(classes, tuple(bias.tolist()), tuple((bias - per_unit @ means).tolist()), inputs)
