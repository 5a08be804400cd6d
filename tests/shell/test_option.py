"""Options: ranges, conversion, validation, names, and JSON."""

import json
import math
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dlnotes_cli.classify.evaluation_options import PredictConfig
from dlnotes_cli.shell.codec import to_json
from dlnotes_cli.shell.errors import InputError
from dlnotes_cli.shell.option import Config, Range, choices_of, flag, option, options_of
from dlnotes_cli.shell.parse import duration, integers, items

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
    ("notation", "words", "in_help"),
    [
        ("[0, 1)", "at least 0 and below 1", "0 to below 1"), ("(0, 1]", "above 0 and at most 1", "above 0, at most 1"),
        ("(0, inf)", "above 0", "above 0"), ("[1, 1e6]", "at least 1 and at most 1,000,000", "at least 1"),
        ("[-inf, 2.5]", "at most 2.5", ""), ("(-inf, inf)", "finite", ""),
    ],
)  # fmt: skip
def test_an_interval_in_words(notation: str, words: str, in_help: str) -> None:
    assert (str(Range(notation)), Range(notation).help) == (words, in_help)


@dataclass(frozen=True, kw_only=True)
class RuledConfig(Config, command="ruled"):
    """Options of all types, some with rules."""

    undescribed: int = 3
    steps: int = option(1, "Steps.", panel="Training", within="[1, 1e6]")
    rate: float | None = option(None, "Rate.", panel="Training", within="(0, inf)")
    share: float = option(0.5, "Share.", panel="Training", within="[0, 1)")
    sizes: tuple[int, ...] = option((4,), "Sizes.", panel="Model", within="[1, 9]", parse=integers)
    budget: float | None = option(None, "Budget.", panel="Training", within="(0, 1e7]", parse=duration)
    optimizer: Literal["adam", "sgd", "nesterov"] = option("adam", "The optimizer.", panel="Training")
    momentum: float | None = option(
        None, "Momentum.", panel="Training", within="[0, 1)", needs=("optimizer=sgd|nesterov", "layers", "absent")
    )
    json: bool = option(False, "JSON.", panel="Output", conflicts=("csv=-", "absent"))
    csv: str | None = option(None, "CSV.", panel="Output", name="--csv-file", short="-c")
    layers: str | None = option(None, "Layers.", panel="Model")
    width: float | None = option(None, "Width.", panel="Model", unused_with=("layers", "optimizer=sgd|nesterov"))
    names: tuple[str, ...] = option((), "Names.", panel="Data", parse=items, conflicts=("names=c|d",))
    plot: Path | None = option(None, "Plot.", panel="Output", ends_in=".png")
    colors: tuple[str, ...] = option((), "Colors.", panel="Data", choices=("red", "blue"))


NO_EFFECT = "--momentum: has no effect without --optimizer sgd or nesterov or --layers; add it, or drop --momentum"


@pytest.mark.parametrize(
    ("options", "line"),
    [
        ({"steps": 0}, "--steps: 0 is out of range; give a value of at least 1 and at most 1,000,000"),
        ({"steps": 2**70}, "--steps: 1180591620717411303424 is out of range; give a value of at least 1 and"),
        ({"rate": math.nan}, "--rate: nan is out of range; give a value above 0"),
        ({"rate": math.inf}, "--rate: inf is out of range; give a value above 0"),
        ({"share": 1.0}, "--share: 1.0 is out of range; give a value of at least 0 and below 1"),
        ({"sizes": (5, 0)}, "--sizes: 0 is out of range; give a value of at least 1 and at most 9"),
        (
            {"optimizer": "nestrov"},
            "--optimizer: unknown value 'nestrov'; did you mean 'nesterov'? choose from adam, sgd, nesterov",
        ),
        ({"rate": "x"}, "--rate: 'x' is not a number; give a value above 0"),
        ({"sizes": "a"}, "--sizes: 'a' is not a comma-separated list of integers"),
        ({"sizes": [None]}, "--sizes: None is not an integer; give a value of at least 1"),
        ({"budget": "soon"}, "--budget: 'soon' is not a duration like 90s, 5m or 1h; see --help"),
        ({"steps": 1.5}, "--steps: 1.5 is not an integer; give a value of at least 1"),
        ({"steps": True}, "--steps: True is not an integer"),
        ({"steps": None}, "--steps: None is not an integer"),
        ({"json": "yes"}, "--json: 'yes' is neither True nor False"),
        ({"plot": 3}, "--plot: 3 is not a path"),
        ({"csv": 3}, "--csv-file: 3 is not text"),
        ({"csv": ""}, "--csv-file: is empty; give a value, or leave it out"),
        ({"momentum": 0.9}, NO_EFFECT),
        ({"json": True, "csv": "-"}, "--json: cannot be combined with --csv-file -; drop one of them"),
        ({"width": 1.0, "layers": "a"}, "--width: has no effect with --layers; drop --width"),
        ({"width": 1.0, "optimizer": "sgd"}, "--width: has no effect with --optimizer sgd; drop --width"),
        ({"names": ["b", "c"]}, "--names: cannot be combined with --names c or d; drop one of them"),
        ({"colors": ["red", "bleu"]}, "--colors: unknown value 'bleu'; did you mean 'blue'? choose from red, blue"),
        ({"plot": "a.gif"}, "--plot: a.gif does not end in .png; give the name of a .png file"),
    ],
    ids=str,
)
def test_a_bad_value_or_combination_names_the_option_the_fault_and_the_remedy(
    options: dict[str, Any], line: str
) -> None:
    with pytest.raises(InputError, match="^" + re.escape(line)):
        RuledConfig(**options)
    with pytest.raises(InputError, match="^" + re.escape(line)):
        RuledConfig.from_json(options)


GIVEN = {"optimizer": "nesterov", "momentum": 0.9, "json": True, "csv": "file", "plot": Path("a.png")}


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({}, {}),
        (GIVEN, GIVEN),
        ({"steps": "5", "rate": "1e-3", "sizes": "8,4"}, {"steps": 5, "rate": 0.001, "sizes": (8, 4)}),
        ({"sizes": ["8", 4], "budget": "5m", "names": "a,b"}, {"sizes": (8, 4), "budget": 300.0, "names": ("a", "b")}),
        ({"csv": Path("a"), "plot": "~/a.png", "names": "a"},
         {"csv": "a", "plot": Path("~/a.png").expanduser(), "names": ("a",)}),
    ],
)  # fmt: skip
def test_text_lists_and_json_are_converted_as_in_the_shell(values: dict[str, Any], expected: dict[str, Any]) -> None:
    made = RuledConfig(**values)
    assert made == RuledConfig(**expected)
    assert {name: getattr(made, name) for name in expected} == expected
    stored = json.loads(json.dumps(to_json(made), allow_nan=False))
    assert RuledConfig.from_json({**stored, "command": "ruled", "invented": 1}) == made


def test_options_are_in_the_order_of_panels_and_have_names_and_choices() -> None:
    described = options_of(RuledConfig)
    assert [*described][:5] == ["names", "colors", "sizes", "layers", "width"]
    assert "undescribed" not in described
    assert (flag("batch_size", described["steps"]), flag("csv", described["csv"])) == ("--batch-size", "--csv-file")
    assert flag("model", options_of(PredictConfig)["model"]) == "MODEL"
    assert choices_of(RuledConfig, "optimizer") == ("adam", "sgd", "nesterov")
    assert (choices_of(RuledConfig, "colors"), choices_of(RuledConfig, "csv")) == (("red", "blue"), ())
