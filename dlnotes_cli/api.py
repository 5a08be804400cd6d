"""dlnotes from Python: each command as a function of its Config, whose fields have the shell's names and defaults.

Train, evaluate and predict:

>>> import tempfile
>>> import numpy as np
>>> from dlnotes_cli.api import EvaluateConfig, PredictConfig, Predictor, TrainMlpConfig
>>> from dlnotes_cli.api import evaluate_model, output, train_mlp
>>> output.configure(quiet=True)
>>> folder = tempfile.TemporaryDirectory()
>>> out = f"{folder.name}/run"
>>> trained = train_mlp(TrainMlpConfig(data="digits", epochs=2, hidden="32", out=out))
>>> evaluate_model(EvaluateConfig(model=out)).metrics.samples
359
>>> predictor = Predictor(PredictConfig(model=out, top=1))
>>> [prediction.item for prediction in predictor.predict([np.zeros((8, 8), np.uint8)])]
['0']
>>> output.configure(quiet=False)
>>> folder.cleanup()

Each command works in this way; shapes, for example, need no data:

>>> from dlnotes_cli.api import ConvShapeConfig, conv_shape, to_json
>>> to_json(conv_shape(ConvShapeConfig(layers=("Conv2d(3, 10, 3)",), input=(3, 130, 130))))["parameters"]
280

A Config converts and validates its values when it is created; text works as in the shell (`epochs="5"`,
`out="runs/digits"`). Errors that the user can fix are raised as `DlnotesError`: its text is the line that the command
prints, its `exit_code` the code that the command ends with. Notes and progress go to stderr;
`output.configure(quiet=True)` silences them. `resumed_config(TrainMlpConfig, {"resume": "runs/digits", "epochs": 80})`
returns the options with which an interrupted run resumes.
"""

from functools import cache
from importlib import import_module
from typing import Any

from dlnotes_cli.cli import COMMANDS, load_command

_SHARED = {  # public names that belong to no command, by module
    "shapes.report": ("analyze",),
    "shapes.sliding_window": ("SlidingWindow", "TransposedWindow"),
    "shapes.solver": ("Axis", "solve"),
    "shell": ("output",),
    "shell.codec": ("to_json",),
    "shell.errors": ("DlnotesError", "GateError", "InputError", "StoppedError", "UnfinishedError"),
    "training.model_file": (
        "LanguageModel", "SeriesModel", "TextModel", "TrainedModel",
        "load_classifier", "load_language_model", "load_series_model", "load_text_model",
    ),
    "training.resumed_options": ("resumed_config",),
}  # fmt: skip


@cache
def modules() -> dict[str, str]:
    """The module of each public name, in the order of the names."""
    found = {name: f"dlnotes_cli.{module}" for module, names in _SHARED.items() for name in names}
    for command in COMMANDS:
        found |= load_command(command).public
    return dict(sorted(found.items()))


def __getattr__(name: str) -> Any:
    if name == "__all__":
        return [*modules()]
    if name.startswith("_") or name not in modules():
        raise AttributeError(f"module {__name__} has no attribute {name}")
    value = globals()[name] = getattr(import_module(modules()[name]), name)
    return value


def __dir__() -> list[str]:
    return [*modules()]
