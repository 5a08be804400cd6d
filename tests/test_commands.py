"""Every command: help, options, exit code of an unknown option, schema, names for Python, and each way of its output.

`pytest tests/test_commands.py --update` writes golden/commands.txt again, which has what the commands print, with # for
each number. JSON is compared with the schema that docs/json.md shows.
"""

import json
import re
import shlex
import sys
from collections.abc import Iterator
from contextlib import nullcontext, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import sklearn
from builders import Command
from jsonschema import Draft202012Validator

from dlnotes_cli import api
from dlnotes_cli.cli import COMMANDS, GROUPS, load_command, main
from dlnotes_cli.schema import document_schema
from dlnotes_cli.shell import output, show
from dlnotes_cli.shell.binding import ARGUMENTS
from dlnotes_cli.shell.errors import InputError
from dlnotes_cli.shell.option import PANELS, REQUIRED, flag, options_of

ROOT = Path(__file__).parent.parent
GOLDEN = Path(__file__).parent / "golden" / "commands.txt"
README, PYTHON_PAGE = (ROOT / "README.md").read_text(), (ROOT / "docs" / "python.md").read_text()
NEEDED = {"loss": {"scores": "2 1 0"}, "trace": {"layers": "Linear(3, 2)"}, "perceptron": {"gate": "and"}}
OTHER_PANELS = {  # options whose panel differs between commands, and why
    "--dtype": "the type that conv-shape assumes for training, and that of an exported file",
    "--init": "the initialization of a network, and the first line of the perceptron's training",
    "--loss": "what loss calculates, and what trace differentiates",
    "--sort": "the order of the rows of a series, and that of a list of runs",
    "--start": "the initial image of an optimization, and the point on a surface",
    "--time": "the column of times of a series, and whether export measures the speed",
    "--top-k": "classes that evaluate counts, and characters that char-rnn sample draws from",
}


@pytest.mark.parametrize("name", ["", *GROUPS, *COMMANDS])
def test_help_fits_80_columns_and_shows_each_panel_once_and_no_types(
    name: str, dlnotes: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    text = dlnotes(*name.split(), "--help").out
    lines = [line.rstrip() for line in text.splitlines()]
    assert max(map(len, lines)) <= 80
    assert not re.search(r"<(str|bool|int|float|list)|\[\[|Usage.*{", text)
    if name in COMMANDS:
        declared = load_command(name)
        assert {f" $ {example}" for example in declared.examples} <= set(lines)
        used = [ARGUMENTS if one.is_argument else one.panel for one in options_of(declared.config_type).values()]
        assert used == sorted(used, key=(ARGUMENTS, *PANELS).index)
        shown = [panel for panel in re.findall(r"╭─ (\S+) ─", text) if panel in {ARGUMENTS, *PANELS}]
        assert [panel for panel in shown if panel in used] == [*dict.fromkeys(used)]


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_examples_options_and_names_for_python(name: str, dlnotes: Command) -> None:
    declared = load_command(name)
    assert len(declared.examples) >= 2
    assert all(example.startswith(f"dlnotes {name.split(maxsplit=1)[0]}") for example in declared.examples)
    assert f"`{name}`" in README
    options = options_of(declared.config_type)
    for field, described in options.items():
        assert described.help, field
        assert described.panel in PANELS, field
        if type(described.default) in {int, float}:
            assert described.within is not None, field
            assert described.default in described.within, field
    outcome = dlnotes(*name.split(), "--no-such-option")
    assert (outcome.code, outcome.out) == (2, "")
    assert re.fullmatch(r"dlnotes: error: --no-such-option: no such option; .*\n", outcome.err)
    assert declared.config_type.command == name
    assert len(declared.public) >= 2, "the command names no task"
    for public in declared.public:
        assert getattr(api, public).__name__ == public
        assert f"`{public}" in PYTHON_PAGE


@pytest.mark.parametrize("name", COMMANDS)
def test_every_option_may_be_text(name: str) -> None:
    """A Config made from the text of its defaults has the values of its defaults."""
    config_type = load_command(name).config_type
    defaults = {field: described.default for field, described in options_of(config_type).items()}
    values = {
        field: value for field, value in defaults.items() if type(value) in {int, float, str} or isinstance(value, Path)
    }
    given: dict[str, Any] = {field: str(value) for field, value in values.items()} | NEEDED.get(name, {})
    given |= {field: "x" for field, value in defaults.items() if value is REQUIRED or field == "texts"}
    made = config_type(**given)
    found = {field: getattr(made, field) for field in values}
    assert found == values
    assert [*map(type, found.values())] == [*map(type, values.values())]


def test_an_option_has_one_panel_in_every_command() -> None:
    panels: dict[str, set[str]] = {}
    for command in COMMANDS:
        for field, described in options_of(load_command(command).config_type).items():
            if not described.is_argument:
                panels.setdefault(flag(field, described), set()).add(described.panel)
    assert {name for name, found in panels.items() if len(found) > 1} == OTHER_PANELS.keys()


def test_every_public_name_exists() -> None:
    assert {name for command in COMMANDS for name in load_command(command).public} < {*api.__all__}
    assert all(hasattr(api, name) for name in api.__all__)
    assert dir(api) == api.__all__
    assert not hasattr(api, "no_such_name")


def described(dlnotes: Command, *words: str) -> dict[str, dict[str, Any]]:
    outcome = dlnotes("schema", *words, "--json")
    assert outcome.code == 0, outcome.err
    return {command["name"]: command for command in json.loads(outcome.out)["commands"]}


def test_the_schema_describes_every_command_and_option(dlnotes: Command) -> None:
    commands = described(dlnotes)
    assert [*commands] == [*COMMANDS]
    for name, command in commands.items():
        options = options_of(load_command(name).config_type)
        assert [one["name"] for one in command["options"]] == [flag(*option) for option in options.items()]
        if command["result"] is not None:
            Draft202012Validator.check_schema(command["result"])
    of_mlp = {one["name"]: one for one in commands["train-mlp"]["options"]}
    hidden = of_mlp["--hidden"]
    assert (hidden["type"], hidden["several"], hidden["range"]) == ("integer", True, "[1, 1e6]")
    assert (hidden["default"], hidden["default_text"][:9]) == (None, "512,512; ")
    assert of_mlp["--color"]["choices"] == ["gray", "rgb"]
    assert of_mlp["--json"]["conflicts"] == []
    model = commands["evaluate"]["options"][0]
    assert (model["name"], model["type"], model["required"]) == ("MODEL", "path", True)


@pytest.mark.parametrize(("words", "count"), [(["char-rnn"], 3), (["data", "cache"], 2), (["series", "train"], 1)])
def test_the_schema_of_a_group_has_its_commands(words: list[str], count: int, dlnotes: Command) -> None:
    assert len(described(dlnotes, *words)) == count


DOCUMENTS = {  # command lines, which are run once
    "predict": "{digits} {digits}/predictions.png",
    "evaluate": "{digits}",
    "evaluate --shift-test": "shift:1 {digits}",
    "runs early-stopping": "{digits}",
    "export": "{digits} --out {folder}/model.onnx --time",
    "explain": "--check --out {folder}/heat.png",
    "visualize layers": "",
    "visualize filters": "--sheet {folder}/filters.png",
    "visualize activations": "--layer relu1 --sheet {folder}/activations.png",
    "visualize maximize": "--unit cat --steps 2 --sheet {folder}/maximize.png",
    "visualize dream": "--octaves 1 --steps 1 --out {folder}/dream.png",
    "visualize patches": "--top 1 --sheet {folder}/patches.png",
    "visualize neighbors": "--sheet {folder}/neighbors.png",
    "visualize embedding": "--method pca --sheet {folder}/embedding.png",
    "char-rnn sample": "{text} --length 3",
    "char-rnn score": "{text} {text}/config.json",
    "series forecast": "{series} --horizon 3",
    "series backtest": "{series} --folds 2",
    "filter": "--out {folder}/edges.png",
    "style-transfer": "--size 64 --steps 1 --scales 1 --out {folder}/stylized.png",
    "conv-shape": "--input 3x8x8 'Conv2d(3, 4, 3)'",
    "conv-shape --compare": "resnet18 alexnet",
    "conv-shape -W": "130 -F 3",
    "loss": "--scores '2 1 0; 0 3 1' --true '0 2'",
    "trace": "'Linear(2, 1)' --input '1 2' --weights ones",
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
    "train-mlp": "--hidden 4 --max-steps 2 --out {folder}/run",
    "train-cnn": "--max-steps 1 --limit 64 --out {folder}/run",
    "train-text": "--max-steps 1 --out {folder}/run",
    "transfer": "--backbone small --limit 60 --epochs 1 --out {folder}/run",
    "char-rnn train": "--hidden-size 4 --embed 2 --max-steps 1 --sample 0 --val-split 0.001 --out {folder}/run",
    "series train": "--recipe notes --max-steps 2 --out {folder}/run",
}
WITHOUT_TEXT = {
    "char-rnn sample",
    "data list",
    "data cache list",
    "data cache clear",
    "doctor",
}  # what they print depends on the machine


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory, digits_run: Path) -> dict[str, Path]:
    """Run folders by the name that they have in DOCUMENTS."""
    folder = tmp_path_factory.mktemp("runs")
    for name in ("char-rnn train", "series train"):
        words = DOCUMENTS[name].replace("{folder}/run", str(folder / name.split()[0]))
        assert main([*name.split(), *words.split(), "-q"]) == 0
    return {"digits": digits_run, "text": folder / "char-rnn", "series": folder / "series"}


@pytest.fixture
def shown_in_all_ways(monkeypatch: pytest.MonkeyPatch) -> None:
    """Print a result of `show` as JSON, as text, with --quiet, and as CSV where it has that."""
    show_once = show.show

    def show_in_all_ways(result: Any, config: Any) -> None:
        for way in ("json", "text", "quiet", "csv"):
            if way == "csv" and not hasattr(result, "csv"):
                continue
            values = {"csv": "-"} if way == "csv" else {way: True} if way != "text" else {}
            output.line(f"--{way}")
            with suppress(InputError) if way == "csv" else nullcontext():  # some results have no rows
                show_once(result, replace(config, **values))

    for module in [*sys.modules.values()]:
        if getattr(module, "show", None) is show_once:
            monkeypatch.setattr(module, "show", show_in_all_ways)


@pytest.fixture(scope="module")
def golden(request: pytest.FixtureRequest) -> Iterator[dict[str, str]]:
    """What each command line of DOCUMENTS prints; with --update, what it has printed now is written."""
    texts = dict(re.findall(r"^\$ (.+)\n((?:(?!\$ ).*\n)*)", GOLDEN.read_text(), re.MULTILINE))
    yield texts
    if request.config.getoption("--update"):
        GOLDEN.write_text("".join(f"$ {words}\n{texts[words]}" for words in DOCUMENTS if words in texts))


def masked(text: str, runs: dict[str, Path], folder: Path) -> str:
    """Text without what differs from machine to machine: numbers, folders, and the widths of columns."""
    for name, path in (*runs.items(), ("folder", folder), ("sklearn", Path(sklearn.__file__).parent)):
        text = text.replace(str(path), f"{{{name}}}")
    text = re.sub(r"-?\d[\d.,]*(?:e[-+]?\d+)?", "#", re.sub("─+|━+", "─", text))
    return "".join(" ".join(line.split()) + "\n" for line in text.splitlines())


@pytest.mark.usefixtures("blank_figures", "shown_in_all_ways")
@pytest.mark.parametrize("words", DOCUMENTS)
def test_every_command_prints_what_it_printed_before(
    words: str, runs: dict[str, Path], golden: dict[str, str], tmp_path: Path,
    dlnotes: Command, request: pytest.FixtureRequest,
) -> None:  # fmt: skip
    outcome = dlnotes(*words.split(), *shlex.split(DOCUMENTS[words].format(**runs, folder=tmp_path)))
    assert outcome.code == 0, outcome.err
    _, _, shown = outcome.out.partition("--json\n")
    document, _, text = shown.partition("--text\n")
    if words != "char-rnn sample":  # which prints character by character
        stored = json.loads(document)
        assert (stored["schema_version"], words.startswith(stored["command"])) == (1, True)
        Draft202012Validator(document_schema(stored["command"]) or {}).validate(stored)
    if words not in WITHOUT_TEXT:
        found = masked(text, runs, tmp_path)
        if request.config.getoption("--update"):
            golden[words] = found
        assert found == golden.get(words)


def test_a_training_result_has_only_documented_fields(runs: dict[str, Path]) -> None:
    page = (ROOT / "docs" / "scripting.md").read_text()
    rows = re.findall(r"^\|([^|]*)\|", page[page.index("## JSON fields") :], re.MULTILINE)
    named = set(re.findall(r"`(\w+)`", "".join(rows))) | {"schema_version", "command"}
    for run in runs.values():
        assert set(json.loads((run / "result.json").read_text())) <= named
