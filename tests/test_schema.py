"""`dlnotes schema` describes every command; the fixture `dlnotes` compares each document of `--json` with it."""

import json
from typing import Any

import pytest
from builders import Command
from jsonschema import Draft202012Validator

from dlnotes_cli.cli import COMMANDS, load_command
from dlnotes_cli.shell.option import flag, options_of


def described(dlnotes: Command, *words: str) -> dict[str, dict[str, Any]]:
    outcome = dlnotes("schema", *words, "--json")
    assert outcome.code == 0, outcome.err
    return {command["name"]: command for command in json.loads(outcome.out)["commands"]}


def test_every_command_and_option_is_described(dlnotes: Command) -> None:
    commands = described(dlnotes)
    assert [*commands] == [*COMMANDS]
    for name, command in commands.items():
        options = options_of(load_command(name).config_type)
        assert [one["name"] for one in command["options"]] == [flag(*option) for option in options.items()]
        if command["result"] is not None:
            Draft202012Validator.check_schema(command["result"])


def test_an_option_has_its_type_range_choices_and_rules(dlnotes: Command) -> None:
    options = {one["name"]: one for one in described(dlnotes, "train-mlp")["train-mlp"]["options"]}
    hidden = options["--hidden"]
    assert (hidden["type"], hidden["several"], hidden["range"]) == ("integer", True, "[1, 1e6]")
    assert hidden["default"] is None
    assert hidden["default_text"].startswith("512,512; ")
    assert options["--color"]["choices"] == ["gray", "rgb"]
    assert options["--threads"]["default"] is None
    assert options["--threads"]["default_text"].startswith("OMP_NUM_THREADS")
    model = described(dlnotes, "evaluate")["evaluate"]["options"][0]
    assert (model["name"], model["type"], model["required"]) == ("MODEL", "path", True)


@pytest.mark.parametrize(("words", "count"), [(["char-rnn"], 3), (["data", "cache"], 2), (["series", "train"], 1)])
def test_a_group_has_its_commands(words: list[str], count: int, dlnotes: Command) -> None:
    assert len(described(dlnotes, *words)) == count


def test_an_unknown_command_is_refused(dlnotes: Command) -> None:
    outcome = dlnotes("schema", "train-mpl")
    assert outcome.code == 2
    assert outcome.err.startswith("dlnotes: error: COMMAND: unknown value 'train-mpl'; did you mean 'train-mlp'?")
