"""A package of an extra that is missing or broken is one line with the command that installs it."""

from typing import Any

import pytest

from dlnotes_cli.shell import extras
from dlnotes_cli.shell.errors import InputError


def test_a_package_that_cannot_be_loaded_is_named_with_the_cause(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_: str) -> Any:
        raise ImportError("libgomp.so.1: cannot open\nshared object file")

    monkeypatch.setattr(extras, "import_module", broken)
    with pytest.raises(InputError) as caught:
        extras.import_extra("onnxruntime", "onnx", "model.onnx")
    assert str(caught.value) == (
        "model.onnx: the package onnxruntime cannot be loaded (libgomp.so.1: cannot open shared object file); "
        "run pip install --force-reinstall 'dlnotes-cli[onnx]'"
    )
