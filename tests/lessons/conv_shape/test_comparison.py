"""`conv-shape --compare` and networks by name."""

import json
import sys
from pathlib import Path

import pytest
from builders import Command


def test_names_runs_files_and_layers_side_by_side(dlnotes: Command, digits_run: Path, tmp_path: Path) -> None:
    file = tmp_path / "net.py"
    file.write_text("class Net(nn.Linear):\n    def __init__(self, units=10):\n        super().__init__(64, units)")
    words = (digits_run, digits_run / "model.safetensors", f"{file}:Net(9)", "Flatten(); Linear(64, 10)")
    outcome = dlnotes("conv-shape", "--compare", *words, "--input", "1x64", "--json", "--batch", 4)
    run, model, code, layers = json.loads(outcome.out)["networks"]
    result = json.loads((digits_run / "result.json").read_text())
    assert run["parameters"] == model["parameters"] == result["model"]["parameters"]
    assert (code["macs"], layers["macs"]) == (4 * 64 * 9, 4 * 64 * 10)
    assert "layers" not in run


TIMM = """
from torch import nn
def list_models():
    return ["tiny_net"]
def is_model(name):
    return name in list_models()
def create_model(name):
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU())
    network.default_cfg = {"input_size": (3, 9, 9)}
    return network
"""


def test_networks_of_timm_where_it_is_installed(
    dlnotes: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "timm", None)
    monkeypatch.setattr("dlnotes_cli.lessons.conv_shape.options.has_package", lambda _name: False)
    assert "pip install 'dlnotes-cli[timm]' adds those of timm" in dlnotes("conv-shape", "--network", "tiny_net").err
    monkeypatch.undo()
    monkeypatch.delitem(sys.modules, "timm", raising=False)
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "timm.py").write_text(TIMM)
    document = json.loads(dlnotes("conv-shape", "--network", "tiny_net", "--json").out)
    assert (document["input"], document["output"], document["parameters"]) == ([3, 9, 9], [4, 7, 7], 112)
    assert "unknown value 'tiny_ne'; did you mean 'tiny_net'?" in dlnotes("conv-shape", "--network", "tiny_ne").err
