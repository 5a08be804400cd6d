"""Completion in bash and zsh: commands, options, and values of options."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from dlnotes_cli import cli

ENVIRONMENT = os.environ | {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
CASES = {
    "tr": "train-mlp train-cnn transfer train-text trace",
    "char-rnn s": "sample score",
    "train-cnn --pat": "--patience",
    "train-cnn --data fa": "fashion-mnist",
    "train-mlp --optimizer ada": "adam adamw adagrad adadelta",
    "data info cifar1": "cifar10 cifar100",
    "filter --kernel sobel": "sobel sobel-x sobel-y",
    "transfer --backbone densenet1": "densenet121 densenet161 densenet169",
    "style-transfer --backbone vgg": "vgg16 vgg19",
    "predict ru": "runs/digits",
    "char-rnn sample runs/digits/": "runs/digits/model.safetensors",
    "predict runs/digits/mod": "runs/digits/model.onnx runs/digits/model.safetensors",
    "explain runs/digits/mod": "runs/digits/model.safetensors",
    "predict no-such": "",
}
BASH = """
    eval "$(dlnotes --show-completion)"
    COMP_WORDS=(dlnotes predict ru); COMP_CWORD=2
    _dlnotes_completion dlnotes
    printf '%s\\n' "${COMPREPLY[@]}"
"""
ZSH = """
    autoload -U compinit; compinit -u -D
    eval "$(dlnotes --show-completion)"
    _arguments() { print -r -- "$@" }
    words=(dlnotes predict ru) CURRENT=3
    _dlnotes_completion
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a run, a folder without a model, and a run whose name needs shell quotes."""
    for name in ("digits/model.safetensors", "digits/last.safetensors", "digits/model.onnx", "a b/model.safetensors"):
        (tmp_path / "runs" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "runs" / name).touch()
    (tmp_path / "runs" / "empty").mkdir()
    return tmp_path


def output(command: list[str], folder: Path, **environment: str) -> str:
    done = subprocess.run(
        command, cwd=folder, env=ENVIRONMENT | environment, capture_output=True, text=True, check=True
    )
    assert done.stderr == ""
    return done.stdout


@pytest.mark.parametrize("words", CASES)
def test_a_shell_gets_the_completions(
    words: str, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(folder)
    monkeypatch.setenv("_DLNOTES_COMPLETE", "complete_zsh")
    monkeypatch.setenv("_TYPER_COMPLETE_ARGS", f"dlnotes {words}")
    with pytest.raises(SystemExit) as end:
        cli.main([])
    assert not end.value.code
    printed, errors = capsys.readouterr()
    assert errors == ""
    assert sorted(re.findall(r'"([^"]+)"(?::"[^"]*"|\n|\))', printed)) == sorted(CASES[words].split())
    assert "[dim]" not in printed


@pytest.mark.parametrize(("program", "script"), [(["bash"], BASH), (["zsh", "-f"], ZSH)], ids=["bash", "zsh"])
def test_a_shell_runs_the_script_and_completes(program: list[str], script: str, folder: Path) -> None:
    if shutil.which(program[0]) is None:
        pytest.skip("the shell is not installed")
    found = output([*program, "-c", script], folder)
    assert "runs/digits" in found
    assert "empty" not in found


def test_completion_loads_nothing_heavy() -> None:
    at_the_end = "import atexit, sys; atexit.register(lambda: print('LOADED', *sys.modules))"
    printed = output(
        [sys.executable, "-c", f"{at_the_end}; from dlnotes_cli.cli import main; main([])"], Path.cwd(),
        _DLNOTES_COMPLETE="complete_bash", COMP_WORDS="dlnotes transfer --backbone res", COMP_CWORD="3",
    )  # fmt: skip
    assert "resnet18" in printed
    assert not {"torch", "torchvision", "numpy", "PIL"} & set(printed.partition("LOADED")[2].split())
