"""Recipes of `char-rnn train`: hyperparameters that work together, and how options change them."""

from dataclasses import asdict, dataclass, fields, replace
from typing import Any, Literal

from dlnotes_cli.char_rnn.options import CharRnnTrainConfig
from dlnotes_cli.training.recipes import LONG_S, Length


@dataclass(frozen=True)
class CharRnnSettings:
    """Every hyperparameter that a recipe decides; all have a value."""

    optimizer: Literal["adamw", "adam", "rmsprop"]
    lr: float
    schedule: Literal["one-cycle", "cosine", "step", "constant"]
    weight_decay: float
    ema: float  # decay of the moving average of the weights; 0: none
    grad_clip: float  # gradient-norm clipping threshold; 0: no clipping
    layers: int
    hidden: int
    embed: int  # embedding size; 0: one-hot
    dropout: float
    seq_len: int
    batch_size: int
    reset_state: float  # probability that a row starts a chunk with a zero state
    random_offset: bool  # cut the text at different positions in each epoch; not an option of the command


# A small batch gives a short run the many steps it needs.
BEST = CharRnnSettings(
    optimizer="adamw", lr=6e-3, schedule="one-cycle", weight_decay=0.05, ema=0.0, grad_clip=1.0,
    layers=2, hidden=384, embed=64, dropout=0.1, seq_len=64, batch_size=16, reset_state=0.02, random_offset=True,
)  # fmt: skip
# A long run can train a larger network, and reads the text so often that more dropout is needed against overfitting.
BEST_LONG = replace(BEST, hidden=512, dropout=0.3)
# The course's notebook on Anna Karenina.
NOTES = CharRnnSettings(
    optimizer="adam", lr=1e-3, schedule="constant", weight_decay=0.0, ema=0.0, grad_clip=5.0,
    layers=2, hidden=512, embed=0, dropout=0.5, seq_len=100, batch_size=128, reset_state=0.0, random_offset=False,
)  # fmt: skip
NOTES_EPOCHS = 20
BEST_LENGTH = Length(epochs=5, fewest_steps=1000, batch_size=BEST.batch_size)  # its samples are chunks of the text

# For an optimizer other than the recipe's. Only adamw decouples weight decay from the gradient.
_BY_OPTIMIZER: dict[str, dict[str, float]] = {
    "adam": {"lr": 3e-3, "weight_decay": 1e-4},
    "adamw": {"lr": 3e-3, "weight_decay": 0.05},
    "rmsprop": {"lr": 1e-3, "weight_decay": 0.0},
}
_OPTION_NAMES = {field.name for field in fields(CharRnnSettings)} - {"random_offset"}


def resolve(options: CharRnnTrainConfig) -> CharRnnSettings:
    """The settings of a run: the options where they have a value, the recipe elsewhere."""
    settings = _recipe(options)
    if options.optimizer not in {None, settings.optimizer}:
        settings = replace(settings, **_BY_OPTIMIZER[str(options.optimizer)])  # type: ignore[arg-type]  # floats
    requested = {name: value for name, value in vars(options).items() if name in _OPTION_NAMES and value is not None}
    return replace(settings, **requested)


def with_settings(options: CharRnnTrainConfig, settings: CharRnnSettings) -> CharRnnTrainConfig:
    """The options with the values of `settings`, as config.json stores them; only `epochs` may still be None."""
    epochs = NOTES_EPOCHS if options.recipe == "notes" and options.epochs is None else options.epochs
    values = {name: value for name, value in asdict(settings).items() if name in _OPTION_NAMES}
    return replace(options, epochs=epochs, **values)


def long_run_defaults(options: CharRnnTrainConfig) -> dict[str, Any]:
    """The defaults that a long time budget has changed, by option name."""
    if _recipe(options) is not BEST_LONG:
        return {}
    usual = asdict(BEST)
    changed = {name: value for name, value in asdict(BEST_LONG).items() if value != usual[name]}
    return {name: value for name, value in changed.items() if vars(options)[name] is None}


def _recipe(options: CharRnnTrainConfig) -> CharRnnSettings:
    if options.recipe == "notes":
        return NOTES
    return BEST_LONG if (options.time_budget or 0.0) >= LONG_S else BEST
