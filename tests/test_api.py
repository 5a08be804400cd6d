"""`dlnotes_cli.api` has the Config and the tasks of every command, documents them, and takes text for paths."""

from pathlib import Path
from typing import Any

import pytest

from dlnotes_cli import api
from dlnotes_cli.cli import COMMANDS, load_command
from dlnotes_cli.shell.option import REQUIRED, options_of

PYTHON_PAGE = (Path(__file__).parents[1] / "docs" / "python.md").read_text()


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_can_be_called_from_python(name: str) -> None:
    declared = load_command(name)
    assert declared.config_type.command == name
    assert len(declared.public) >= 2, "the command names no task"
    assert getattr(api, declared.config_type.__name__) is declared.config_type
    for public in declared.public:
        assert public in api.__all__
        assert getattr(api, public).__name__ == public
        assert f"`{public}" in PYTHON_PAGE


def test_every_public_name_exists() -> None:
    assert all(hasattr(api, name) for name in api.__all__)
    assert dir(api) == api.__all__
    assert not hasattr(api, "no_such_name")


def test_paths_may_be_text(digits_run: Path) -> None:
    classes = api.load_classifier(digits_run).classes
    assert api.load_classifier(str(digits_run)).classes == classes
    result = api.evaluate_model(api.EvaluateConfig(model=str(digits_run), quiet=True))  # type: ignore[arg-type]
    assert result.classes == classes
    resumed = api.resumed_config(api.TrainMlpConfig, {"resume": str(digits_run), "hidden": "16", "epochs": "3"})
    assert (resumed.resume, resumed.hidden, resumed.epochs) == (digits_run, (16,), 3)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_option_may_be_text(name: str) -> None:
    """A Config made from the text of its defaults has the values of its defaults."""
    config_type = load_command(name).config_type
    defaults = {field: config_type.__dataclass_fields__[field].default for field in options_of(config_type)}
    values: dict[str, Any] = {
        field: value for field, value in defaults.items() if type(value) in {int, float, str} or isinstance(value, Path)
    }
    required = {field: "x" for field, value in defaults.items() if value is REQUIRED or field == "texts"}
    needed = {"loss": {"scores": "2 1 0"}, "trace": {"layers": "Linear(3, 2)"}, "perceptron": {"gate": "and"}}
    required |= needed.get(name, {})
    made = config_type(**{field: str(value) for field, value in values.items()}, **required)
    for field, value in values.items():
        assert getattr(made, field) == value
        assert isinstance(getattr(made, field), type(value))
