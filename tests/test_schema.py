"""`dlnotes schema` describes every command; the fixture `dlnotes` compares each document of `--json` with it."""

import json
import re
import shlex
from pathlib import Path
from typing import Any

import pytest
from builders import Command
from jsonschema import Draft202012Validator

from dlnotes_cli.cli import COMMANDS, load_command, main
from dlnotes_cli.shell.option import flag, options_of

ROOT = Path(__file__).parent.parent
DOCUMENTS = {
    "predict": "{digits} {digits}/predictions.png",
    "evaluate": "{digits}",
    "evaluate --shift-test": "shift:1 {digits}",
    "runs early-stopping": "{digits}",
    "export": "{digits} --out {folder}/model.onnx --time",
    "explain": "--check",
    "visualize layers": "",
    "visualize filters": "--sheet {folder}/filters.png",
    "visualize activations": "--layer relu1 --sheet {folder}/activations.png",
    "visualize maximize": "--unit cat --steps 2 --sheet {folder}/maximize.png",
    "visualize dream": "--octaves 1 --steps 1 --out {folder}/dream.png",
    "visualize patches": "--top 1 --sheet {folder}/patches.png",
    "visualize neighbors": "--sheet {folder}/neighbors.png",
    "visualize embedding": "--sheet {folder}/embedding.png",
    "char-rnn sample": "{text} --length 3",
    "char-rnn score": "{text} {text}/config.json",
    "series forecast": "{series} --horizon 3",
    "series backtest": "{series} --folds 2",
    "filter": "--out {folder}/edges.png",
    "style-transfer": "--size 64 --steps 1 --scales 1 --out {folder}/stylized.png",
    "conv-shape": "--input 3x8x8 'Conv2d(3, 4, 3)'",
    "conv-shape --compare": "resnet18 alexnet",
    "loss": "--scores '2 1 0; 0 3 1' --true '0 2'",
    "perceptron": "--gate and",
    "perceptron --line": "3,4,-10 --point 4,5 --label 0",
    "descend": "--steps 3",
    "data list": "",
    "data info": "digits",
    "data preview": "digits --out {folder}/sheet.png",
    "data preview --text": "'a b c' --tokens words",
    "data cache list": "",
    "data cache clear": "",
    "transfer --list": "",
    "style-transfer --list-layers": "",
    "filter --list": "",
    "filter --patch": "'1 2; 3 4'",
    "doctor": "",
}


@pytest.fixture(scope="module")
def text_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("text") / "run"
    words = ["--hidden-size", "4", "--embed", "2", "--max-steps", "1", "--sample", "0", "--val-split", "0.001"]
    assert main(["char-rnn", "train", *words, "--out", str(out), "-q"]) == 0
    return out


@pytest.fixture(scope="module")
def series_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("series") / "run"
    assert main(["series", "train", "--recipe", "notes", "--max-steps", "2", "--out", str(out), "-q"]) == 0
    return out


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


@pytest.mark.usefixtures("blank_figures")
@pytest.mark.parametrize("words", DOCUMENTS)
def test_every_command_prints_a_document(
    words: str, digits_run: Path, text_run: Path, series_run: Path, tmp_path: Path, dlnotes: Command
) -> None:
    more = DOCUMENTS[words].format(digits=digits_run, text=text_run, series=series_run, folder=tmp_path)
    outcome = dlnotes(*words.split(), *shlex.split(more), "--json")
    assert outcome.code == 0, outcome.err
    document = json.loads(outcome.out)
    assert document["schema_version"] == 1
    assert words.startswith(document["command"])


def test_a_training_result_has_only_documented_fields(digits_run: Path, text_run: Path, series_run: Path) -> None:
    page = (ROOT / "docs" / "scripting.md").read_text()
    rows = re.findall(r"^\|([^|]*)\|", page[page.index("## JSON fields") :], re.MULTILINE)
    named = set(re.findall(r"`(\w+)`", "".join(rows))) | {"schema_version", "command"}
    for run in (digits_run, text_run, series_run):
        assert set(json.loads((run / "result.json").read_text())) <= named
