"""Errors that suggest what was meant: the nearest name, or the command that installs what is missing."""

import re
from typing import Any

import pytest
from builders import Command

from dlnotes_cli.shell import errors


@pytest.mark.parametrize(
    ("words", "near"),
    [
        (["filter", "--kern", "box"], "--kernel"),
        (["train-mlp", "--Epoch", "3"], "--epochs"),
        (["train"], "train-mlp"),
        (["evaluate", "--plot"], ""),
        (["train-mlp", "--early-stop"], ""),
        (["fit"], ""),
        (["model"], ""),
    ],
)
def test_a_misspelled_name_gets_the_nearest_as_a_suggestion_unless_none_is_near(
    words: list[str], near: str, dlnotes: Command
) -> None:
    hint = f"did you mean {near}? " if near else ""
    assert re.search(rf": no such (option|command); {re.escape(hint)}see dlnotes", dlnotes(*words).err)


def test_a_package_that_cannot_be_loaded_is_named_with_the_cause(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_: str) -> Any:
        raise ImportError("libgomp.so.1: cannot open\nshared object file")

    monkeypatch.setattr(errors, "import_module", broken)
    with pytest.raises(errors.InputError) as caught:
        errors.import_extra("onnxruntime", "onnx", "model.onnx")
    assert str(caught.value) == (
        "model.onnx: the package onnxruntime cannot be loaded (libgomp.so.1: cannot open shared object file); "
        "run pip install --force-reinstall 'dlnotes-cli[onnx]'"
    )
