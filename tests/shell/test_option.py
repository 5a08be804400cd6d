"""Options: ranges, conversion, validation, names, and JSON."""

import json
import math
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dlnotes_cli.classify.evaluation_options import EvaluateConfig, PredictConfig
from dlnotes_cli.classify.options import TrainMlpConfig
from dlnotes_cli.cli import COMMANDS, load_command
from dlnotes_cli.shell.codec import to_json
from dlnotes_cli.shell.errors import InputError
from dlnotes_cli.shell.option import Config, Range, choices_of, flag, option, options_of
from dlnotes_cli.shell.parse import items

NUMBERS = st.one_of(st.floats(), st.integers(-100, 100))


@given(low=st.integers(-9, 9), span=st.integers(0, 9), value=NUMBERS)
@pytest.mark.parametrize("left", "[(")
@pytest.mark.parametrize("right", "])")
def test_an_interval_contains_what_its_notation_says(low: int, span: int, value: float, left: str, right: str) -> None:
    high = low + span
    above = value > low or (left == "[" and value == low)
    below = value < high or (right == "]" and value == high)
    assert (value in Range(f"{left}{low}, {high}{right}")) == (above and below)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("notation", ["(0, inf)", "(-inf, inf)", "[0, inf]", "[-inf, 1]"])
def test_nan_and_infinity_are_in_no_interval(value: float, notation: str) -> None:
    assert value not in Range(notation)


@pytest.mark.parametrize(
    ("notation", "words"),
    [
        ("[0, 1)", "at least 0 and below 1"),
        ("(0, 1]", "above 0 and at most 1"),
        ("(0, inf)", "above 0"),
        ("[-inf, 2.5]", "at most 2.5"),
        ("(-inf, inf)", "finite"),
    ],
)
def test_an_interval_in_words(notation: str, words: str) -> None:
    assert str(Range(notation)) == words


@pytest.mark.parametrize("notation", ["0, 1", "[0 1]", "[0,1]", "[0, 1", "[a, b]", ""])
def test_text_that_is_not_an_interval_is_refused(notation: str) -> None:
    with pytest.raises(ValueError, match=r"not an interval|could not convert"):
        assert 0 in Range(notation)


@pytest.mark.parametrize(
    ("options", "line"),
    [
        ({"epochs": 0}, "--epochs: 0 is out of range; give a value of at least 1 and at most 1,000,000"),
        ({"batch_size": -1}, "--batch-size: -1 is out of range; give a value of at least 0 and at most 1,000,000"),
        ({"lr": math.nan}, "--lr: nan is out of range; give a value above 0"),
        ({"lr": math.inf}, "--lr: inf is out of range; give a value above 0"),
        (
            {"seed": 2**70},
            (
                "--seed: 1180591620717411303424 is out of range; "
                "give a value of at least 0 and at most 9,000,000,000,000,000"
            ),
        ),
        ({"val_split": 1.5}, "--val-split: 1.5 is out of range; give a value of at least 0 and below 1"),
        ({"dropout": 1.0}, "--dropout: 1.0 is out of range; give a value of at least 0 and below 1"),
        ({"hidden": (512, 0)}, "--hidden: 0 is out of range; give a value of at least 1 and at most 1,000,000"),
        ({"time_budget": 0.0}, "--time-budget: 0.0 is out of range; give a value above 0 and at most 10,000,000"),
        (
            {"schedule": "cosin"},
            "--schedule: unknown value 'cosin'; did you mean 'cosine'? choose from one-cycle, cosine, step, constant",
        ),
        (
            {"init": "what"},
            "--init: 'what' is none of default, zeros, ones, uniform, normal, constant, xavier, he; see --help",
        ),
    ],
)
def test_a_bad_value_names_the_option_the_value_and_the_range(options: dict[str, Any], line: str) -> None:
    with pytest.raises(InputError) as caught:
        TrainMlpConfig(**options)
    assert str(caught.value) == line


@pytest.mark.parametrize("command", COMMANDS)
def test_every_number_has_a_range_that_contains_its_default(command: str) -> None:
    for name, described in options_of(load_command(command).config_type).items():
        if type(described.default) in {int, float}:
            assert described.within is not None, name
            assert described.default in described.within, name


def test_choices_of_a_literal_that_may_be_none() -> None:
    assert choices_of(TrainMlpConfig, "color") == ("gray", "rgb")
    assert choices_of(TrainMlpConfig, "precision") == ("auto", "fp32", "bf16", "fp16")
    assert choices_of(TrainMlpConfig, "seed") == ()


def test_the_name_of_an_option_in_the_shell() -> None:
    described = options_of(TrainMlpConfig)
    assert flag("batch_size", described["batch_size"]) == "--batch-size"
    assert flag("batch_norm", described["batch_norm"]) == "--batch-norm"
    assert flag("quiet", described["quiet"]) == "--quiet"
    assert flag("model", options_of(PredictConfig)["model"]) == "MODEL"


EXAMPLES: list[Config] = [
    TrainMlpConfig(),
    TrainMlpConfig(
        data="some folder", hidden=(), data_root=Path("/data"), lr=0.5, batch_norm=False, categorical=("rank", "a b"),
        color="gray", epochs=3, resume=Path("runs/x"), quiet=True,
    ),
    PredictConfig(model=Path("m.safetensors"), paths=("a.png", "b c.jpg"), files_from="-", top=2),
    EvaluateConfig(model=Path("run"), data="digits", top=(1, 3), csv="-", out=Path("images"), min_accuracy=0.5),
]  # fmt: skip


def test_text_and_lists_are_converted_as_in_the_shell() -> None:
    made = TrainMlpConfig(out="~/runs/x", hidden=[3, 4], time_budget="5m", categorical="a,b")  # type: ignore[arg-type]
    home = Path("~").expanduser()
    assert made == TrainMlpConfig(out=home / "runs/x", hidden=(3, 4), time_budget=300.0, categorical=("a", "b"))
    made = TrainMlpConfig(epochs="5", lr="1e-3", batch_size="auto", hidden="8,4")  # type: ignore[arg-type]
    assert made == TrainMlpConfig(epochs=5, lr=0.001, batch_size=0, hidden=(8, 4))
    made = TrainMlpConfig(data=Path("a"), hidden=["8", "4"])  # type: ignore[arg-type]
    assert made == TrainMlpConfig(data="a", hidden=(8, 4))
    assert PredictConfig(model="m", paths="a.png").paths == ("a.png",)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"lr": "x"}, "--lr: 'x' is not a number; give a value above 0"),
        ({"hidden": "a"}, "--hidden: 'a' is not a comma-separated list of integers"),
        ({"hidden": [None]}, "--hidden: None is not an integer; give a value of at least 1"),
        ({"time_budget": "soon"}, "--time-budget: 'soon' is not a duration like 90s, 5m or 1h; see --help"),
        ({"epochs": 1.5}, "--epochs: 1.5 is not an integer; give a value of at least 1"),
        ({"epochs": True}, "--epochs: True is not an integer"),
        ({"json": "yes"}, "--json: 'yes' is neither True nor False"),
        ({"out": 3}, "--out: 3 is not a path"),
        ({"data": 3}, "--data: 3 is not text"),
        ({"seed": None}, "--seed: None is not an integer"),
    ],
)
def test_a_value_of_the_wrong_type_is_refused(values: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=re.escape(message)):
        TrainMlpConfig(**values)


@pytest.mark.parametrize("config", EXAMPLES, ids=lambda config: type(config).__name__)
def test_a_config_survives_json(config: Config) -> None:
    stored = json.loads(json.dumps(to_json(config), allow_nan=False))
    assert type(config).from_json(stored) == config


def test_reading_a_config_keeps_defaults_and_ignores_unknown_fields() -> None:
    assert TrainMlpConfig.from_json({"command": "train-mlp", "epochs": 5, "invented": 1}) == TrainMlpConfig(epochs=5)


def test_a_stored_value_is_validated() -> None:
    with pytest.raises(InputError, match=r"--lr: -1\.0 is out of range"):
        TrainMlpConfig.from_json({"lr": -1})


@dataclass(frozen=True, kw_only=True)
class Small(Config):
    command: ClassVar[str] = "small"
    device: Literal["a", "b"] = option("a", "Last.", panel="Runtime")
    rate: float = option(0.5, "Third.", panel="Training", within="(0, 1)")
    network: str = option("net", "Second.", panel="Model", name="--net", short="-n")
    files: tuple[str, ...] = option((), "First.", panel="Data", parse=items)
    undescribed: int = 3


def test_only_declared_fields_are_options() -> None:
    assert list(options_of(Small)) == ["files", "network", "rate", "device"]
    assert flag("network", options_of(Small)["network"]) == "--net"
    assert Small(undescribed=-7).undescribed == -7


@dataclass(frozen=True, kw_only=True)
class RuledConfig(Config):
    """Options with rules."""

    command: ClassVar[str] = "ruled"
    optimizer: str = option("adam", "The optimizer.", panel="Training")
    momentum: float | None = option(
        None, "Momentum.", panel="Training", within="[0, 1)", needs=("optimizer=sgd|nesterov", "absent")
    )
    json: bool = option(False, "JSON.", panel="Data", conflicts=("csv=-", "absent"))
    csv: str | None = option(None, "CSV.", panel="Data")
    layers: str | None = option(None, "Layers.", panel="Model")
    width: float | None = option(
        None, "Width.", panel="Model", within="(0, 9]", unused_with=("layers", "optimizer=x|y")
    )
    names: tuple[str, ...] = option((), "Names.", panel="Data", conflicts=("names=c|d",))
    plot: Path | None = option(None, "Plot.", panel="Data", ends_in=".png")
    colors: tuple[str, ...] = option((), "Colors.", panel="Data", choices=("red", "blue"))


@pytest.mark.parametrize(
    ("options", "line"),
    [
        (
            {"momentum": 0.9},
            "--momentum: has no effect without --optimizer sgd or nesterov; add it, or drop --momentum",
        ),
        ({"json": True, "csv": "-"}, "--json: cannot be combined with --csv -; drop one of them"),
        ({"width": 1.0, "layers": "a"}, "--width: has no effect with --layers; drop --width"),
        ({"width": 1.0, "optimizer": "y"}, "--width: has no effect with --optimizer y; drop --width"),
        ({"names": ["b", "c"]}, "--names: cannot be combined with --names c or d; drop one of them"),
        ({"colors": ["red", "bleu"]}, "--colors: unknown value 'bleu'; did you mean 'blue'? choose from red, blue"),
        ({"plot": "a.gif"}, "--plot: a.gif does not end in .png; give the name of a .png file"),
    ],
)
def test_rules_about_two_options(options: dict[str, Any], line: str) -> None:
    with pytest.raises(InputError) as caught:
        RuledConfig(**options)
    assert str(caught.value) == line


def test_options_that_rules_allow() -> None:
    assert RuledConfig(momentum=0.9, optimizer="nesterov", json=True, csv="file", width=1.0).momentum == 0.9
