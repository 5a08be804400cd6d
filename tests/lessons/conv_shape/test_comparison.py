"""`conv-shape --compare` and networks by name."""

import json
import sys
from pathlib import Path

import pytest
from builders import Command

DENSE = "Linear(16, 4, bias=False)"
LOCAL = "Unflatten(1, (16, 1)); Conv1d(16, 4, 1, groups=4, bias=False); Flatten()"


def test_dense_and_local_weights_of_the_course(dlnotes: Command) -> None:
    """A 4x4 image and four hidden units: 64 weights if each reads all of it, 16 if each reads its own quarter."""
    command = ("conv-shape", "--compare", DENSE, LOCAL, "--input", 16)
    networks = json.loads(dlnotes(*command, "--json").out)["networks"]
    assert [network["network"] for network in networks] == [DENSE, LOCAL]
    assert [(network["parameters"], network["macs"], network["output"]) for network in networks] == [
        (64, 64, [4]), (16, 16, [4]),
    ]  # fmt: skip
    header, *rows = dlnotes(*command).out.splitlines()
    assert header.split()[3:] == ["parameters", "ratio", "MACs", "ratio", "inference", "training"]
    assert [row.split()[-8:-4] for row in rows] == [["64", "1", "64", "1"], ["16", "0.25", "16", "0.25"]]


def test_names_runs_files_and_layers_side_by_side(dlnotes: Command, digits_run: Path, tmp_path: Path) -> None:
    file = tmp_path / "net.py"
    file.write_text("nn.Sequential(nn.Flatten(), nn.Linear(64, 10))")
    words = (digits_run, digits_run / "model.safetensors", file, "Flatten(); Linear(64, 10)", "--input", "1x8x8")
    outcome = dlnotes("conv-shape", "--compare", "resnet18", *words)
    assert outcome.code == 2
    assert "resnet18: resnet18: Conv2d(3, 64" in outcome.err
    outcome = dlnotes("conv-shape", "--compare", *words, "--json", "--batch", 4)
    run, model, text, layers = json.loads(outcome.out)["networks"]
    result = json.loads((digits_run / "result.json").read_text())
    assert run["parameters"] == model["parameters"] == result["model"]["parameters"]
    assert text["macs"] == layers["macs"] == 4 * 640
    assert "layers" not in run
    outcome = dlnotes("conv-shape", "--compare", "alexnet", "resnet18", "googlenet")
    assert "for one GPU" in outcome.err
    assert "without the two auxiliary heads" in outcome.err
    assert [line.split()[3] for line in outcome.out.splitlines()[1:]] == ["61,100,840", "11,689,512", "6,624,904"]


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


def test_a_network_has_two_option_names(dlnotes: Command) -> None:
    for option in ("--arch", "--network"):
        assert dlnotes("conv-shape", option, "resnet50", "--field", "parameters").out == "25557032\n"
    outcome = dlnotes("conv-shape", "--network", "alexnet-2gpu")
    assert "for two GPUs with 48/128/192/192/128 filters each" in outcome.err
    assert "Conv2d(96, 256, kernel_size=5, padding=2, groups=2)" in outcome.out
    assert "for one GPU, with 64/192/384/256/256 filters" in dlnotes("conv-shape", "--network", "alexnet").err
