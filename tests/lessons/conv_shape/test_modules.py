"""Networks that run on the meta device: written modules and torchvision's, compared with torchinfo and FlopCounterMode.

torchinfo and PyTorch run the same code on the CPU.
"""

import io
import json
import sys
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import torch
from builders import Command
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode
from torchinfo import summary

from dlnotes_cli.api import ConvShapeConfig, conv_shape, to_json
from dlnotes_cli.networks.backbones import build_torchvision
from dlnotes_cli.networks.choices import BACKBONES
from dlnotes_cli.networks.torch_imports import meta_device

Refused = Callable[[str, str], None]
HERE = Path(__file__).parent
FEW = ("resnet18", "vit_b_16", "densenet121", "mobilenet_v3_small")
MANY = [name for name in BACKBONES if name not in FEW][::2]


def written_modules() -> list[Any]:
    text = (HERE / "written_modules.txt").read_text()
    blocks = [block.partition("\n") for block in text.split("### ")[1:]]
    heads = [(*head.split(" @ "), code) for head, _, code in blocks]
    return [pytest.param(code, sizes.split(), id=name) for name, sizes, code in heads]


def build(code: str) -> nn.Module:
    names: dict[str, Any] = {"torch": torch, "nn": nn, "F": nn.functional, "__name__": "imported"}
    exec(code, names)  # noqa: S102  # code of the tests themselves
    model: nn.Module = names["model"] if "model" in names else names["Net"]()
    return model.eval()


def first_tensor(output: Any) -> Tensor:
    while not isinstance(output, Tensor):
        output = next(iter(output.values() if isinstance(output, dict) else output))
    return output


def check(document: dict[str, Any], model: nn.Module, inputs: list[Tensor]) -> None:
    """Compare the JSON document of a network with torchinfo's summary of it, and with a count of its operations."""
    counted_model, counted_inputs = model, inputs
    if any(isinstance(one, nn.RNNBase | nn.MultiheadAttention) or hasattr(one, "position") for one in model.modules()):
        counted_model, counted_inputs = deepcopy(model).to("meta"), [x.to("meta") for x in inputs]  # not fused there
    torch.backends.mha.set_fastpath_enabled(False)
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        output = tuple(first_tensor(counted_model(*counted_inputs)).shape)
    assert tuple(document["output"]) == (output[1:] if output[0] == 1 else output)
    assert document["flops"] == counter.get_total_flops()
    found = summary(model, input_data=inputs, verbose=0, device=inputs[0].device)
    total = sum(parameter.numel() for parameter in model.parameters())
    assert document["parameters"] == total
    assert document.get("trainable", total) == sum(p.numel() for p in model.parameters() if p.requires_grad)
    assert document["buffers"] == sum(buffer.numel() for buffer in model.buffers())
    counted = sum(row["parameters"] for row in [*document["layers"], *document.get("unused", [])])
    assert counted == total
    leaves = [one for one in found.summary_list if one.is_leaf_layer and one.executed]
    runs = [(one.class_name, tuple(one.output_size)[1:]) for one in leaves if one.class_name in {"Conv2d", "Linear"}]
    rows = [(row["layer"].partition("(")[0], tuple(row["output"])) for row in document["layers"]]
    assert not set(runs) - set(rows)


@pytest.mark.parametrize(("code", "sizes"), written_modules())
def test_written_modules(code: str, sizes: list[str], tmp_path: Path, dlnotes: Command) -> None:
    net = tmp_path / "net.py"
    net.write_text(code)
    arguments = [word for size in sizes for word in ("--input", size)]
    outcome = dlnotes("conv-shape", net, *arguments, "--json", "--explain")
    assert outcome.code == 0, outcome.err
    kind = torch.long if "Embedding" in code else torch.float32
    inputs = [torch.zeros(1, *map(int, size.split("x")), dtype=kind) for size in sizes]
    check(json.loads(outcome.out), build(code), inputs)
    assert not torch.nn.modules.module._has_any_global_hook()


@pytest.mark.parametrize("name", [*FEW, *(pytest.param(name, marks=pytest.mark.slow) for name in MANY)])
def test_networks_of_torchvision(name: str) -> None:
    document = to_json(conv_shape(ConvShapeConfig(network=name)))
    with meta_device():
        model = build_torchvision(name).eval()
    check(document, model, [torch.empty(1, *document["input"], device="meta")])


def test_a_class_on_standard_input(dlnotes: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    code = "class Net(nn.Linear):\n    def __init__(self):\n        super().__init__(4, 2)"
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(code.encode())))
    assert dlnotes("conv-shape", "-", "--input", 4, "--field", "parameters").out == "10\n"


@pytest.mark.parametrize("block", (HERE / "wrong_modules.txt").read_text().split("### ")[1:])
def test_errors_of_code_have_their_line(
    block: str, tmp_path: Path, refused: Refused, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dlnotes_cli.networks.module_trace.MAX_LAYERS", 1000)
    message, _, code = block.partition("\n")
    (tmp_path / "net.py").write_text(code)
    refused(f"conv-shape {tmp_path / 'net.py'} --input 4", message)


def test_only_a_file_is_executed(tmp_path: Path, refused: Refused) -> None:
    """Neither text of an argument nor a layer list for training runs."""
    target = tmp_path / "made"
    code = f"open({str(target)!r}, 'w')\nclass Net(nn.Module):\n    def forward(self, x):\n        return x"
    for words in ("conv-shape --input 4", "trace --input '1 2'"):
        refused(f'{words} "{code}"', "the order of layers in forward() is not known")
    (tmp_path / "net.py").write_text(code)
    refused(f"train-cnn --layers {tmp_path / 'net.py'}", "the order of layers in forward() is not known")
    refused(f"trace --input '1 2' {tmp_path / 'net.py'}", "the order of layers in forward() is not known")
    assert not target.exists()
