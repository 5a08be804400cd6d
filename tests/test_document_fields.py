"""The fields that docs/scripting.md names are those of the documents that `--json` prints."""

import json
import re
import shlex
from pathlib import Path
from typing import Any

import pytest
from builders import Command

pytestmark = pytest.mark.usefixtures("blank_figures")

PAGE = (Path(__file__).parent.parent / "docs/scripting.md").read_text()
TABLES = PAGE[PAGE.index("## JSON fields") :]
COMMANDS = {
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
    from dlnotes_cli.cli import main

    out = tmp_path_factory.mktemp("text") / "run"
    words = ["--hidden-size", "4", "--embed", "2", "--max-steps", "1", "--sample", "0", "--val-split", "0.001"]
    assert main(["char-rnn", "train", *words, "--out", str(out), "-q"]) == 0
    return out


@pytest.fixture(scope="module")
def series_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from dlnotes_cli.cli import main

    out = tmp_path_factory.mktemp("series") / "run"
    assert main(["series", "train", "--recipe", "notes", "--max-steps", "2", "--out", str(out), "-q"]) == 0
    return out


def documented_fields(command: str) -> dict[str, set[str]]:
    """The fields in a row of the README, each with the fields inside it."""
    row = re.search(rf"^\| `{command}` \| (.*) \|$", TABLES, re.MULTILINE)
    assert row is not None, command
    fields = re.findall(r"`(\w+)`(?: \(([^)]*)\))?", row[1])
    return {name: set(re.findall(r"`(\w+)`", inside)) for name, inside in fields}


@pytest.mark.parametrize("command", COMMANDS)
def test_a_document_has_the_documented_fields(
    command: str, digits_run: Path, text_run: Path, series_run: Path, tmp_path: Path, dlnotes: Command
) -> None:
    words = COMMANDS[command].format(digits=digits_run, text=text_run, series=series_run, folder=tmp_path)
    outcome = dlnotes(*command.split(), *shlex.split(words), "--json")
    assert outcome.code == 0, outcome.err
    document: dict[str, Any] = json.loads(outcome.out)
    assert document.pop("schema_version") == 1
    assert command.startswith(document.pop("command"))
    named = documented_fields(command)
    assert set(document) == set(named)
    for name, inside in named.items():
        if inside and document[name] and isinstance(document[name], list):
            assert set(document[name][0]) <= inside, name


def test_a_training_result_has_only_documented_fields(digits_run: Path, text_run: Path, series_run: Path) -> None:
    named = set(re.findall(r"`(\w+)`", "".join(re.findall(r"^\|([^|]*)\|", TABLES, re.MULTILINE))))
    for run in (digits_run, text_run, series_run):
        assert set(json.loads((run / "result.json").read_text())) <= named | {"schema_version", "command"}
