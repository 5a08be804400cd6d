"""`dlnotes_cli.api` has the Config and the tasks of every command, documents them, and takes text for paths."""

import ast
import importlib
import inspect
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from dlnotes_cli import api
from dlnotes_cli.cli import COMMANDS, load_command
from dlnotes_cli.shell.option import REQUIRED, options_of

PYTHON_PAGE = (Path(__file__).parents[2] / "docs" / "python.md").read_text()
NOT_TASKS = {
    "options",
    "help_texts",
    "results",
    "plot",
    "explanation",
    "cells",
    "gradients",
    "stack",
}  # modules of a capability that its commands import for other things


def commands_module(name: str) -> ModuleType:
    return importlib.import_module(f"dlnotes_cli.{COMMANDS[name].partition(':')[0]}")


def functions_used(module: ModuleType, name: str) -> Iterator[ast.FunctionDef]:
    """A function of a module and, through it, every other function of the module that it calls."""
    tree = ast.parse(inspect.getsource(module))
    functions = {node.name: node for node in tree.body if isinstance(node, ast.FunctionDef)}
    waiting, seen = [name], set()
    while waiting:
        current = waiting.pop()
        if current in functions and current not in seen:
            seen.add(current)
            yield functions[current]
            waiting += [node.id for node in ast.walk(functions[current]) if isinstance(node, ast.Name)]


def tasks_of(name: str) -> set[str]:
    """What a command imports from its own capability to do its work."""
    module = commands_module(name)
    package = module.__name__.rpartition(".")[0]
    imports = [
        node
        for function in functions_used(module, load_command(name).function.__name__)
        for node in ast.walk(function)
        if isinstance(node, ast.ImportFrom)
    ]
    own = [node for node in imports if str(node.module).rpartition(".")[0] == package]
    return {alias.name for node in own if str(node.module).split(".")[-1] not in NOT_TASKS for alias in node.names}


def test_the_tasks_of_a_command_are_found() -> None:
    assert tasks_of("train-cnn") == {"train_cnn", "report_network"}
    assert tasks_of("data cache list") == {"list_cache"}


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_can_be_called_from_python(name: str) -> None:
    config_type, tasks = load_command(name).config_type, tasks_of(name)
    assert config_type.command == name
    assert tasks, "the command calls no task"
    for public in (config_type.__name__, *tasks):
        assert public in api.__all__
        assert f"`{public}" in PYTHON_PAGE
    assert getattr(api, config_type.__name__) is config_type


def test_every_public_name_exists_once_and_in_order() -> None:
    assert len(set(api.__all__)) == len(api.__all__)
    assert sorted(api.__all__) == api.__all__
    assert all(hasattr(api, name) for name in api.__all__)


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
