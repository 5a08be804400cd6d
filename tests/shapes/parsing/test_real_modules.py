"""Modules as people write them, compared with torch, which builds and runs the same code."""

import ast
from typing import Any

import pytest
import torch
from shapes.parsing.construct_modules import CONSTRUCTS
from shapes.parsing.real_modules import MODULES
from shapes.torch_oracle import multiply_adds
from torch import nn
from torch.nn import functional

from dlnotes_cli.shapes import analyze

LAYERS = (nn.Linear, nn.LSTM, nn.Conv2d, nn.ConvTranspose2d)


def torch_module(code: str) -> nn.Module:
    """The module that the code makes, or one of its last class."""
    tree = ast.parse(code)
    tree.body = [node for node in tree.body if not isinstance(node, ast.If) and "optim" not in ast.unparse(node)]
    names: dict[str, Any] = {"torch": torch, "nn": nn, "F": functional}
    exec(compile(tree, "<module>", "exec"), names)  # noqa: S102  # code of the tests themselves
    made = [
        value
        for value in names.values()
        if isinstance(value, nn.Module) and not isinstance(value, nn.modules.loss._Loss)
    ]
    classes = [value for value in names.values() if isinstance(value, type) and issubclass(value, nn.Module)]
    module = made[-1] if made else classes[-1]()
    assert isinstance(module, nn.Module)
    return module.eval()


@pytest.mark.parametrize(
    ("name", "code", "shape"), MODULES + CONSTRUCTS, ids=[name for name, _, _ in MODULES + CONSTRUCTS]
)
def test_a_module_has_the_shapes_parameters_and_macs_of_torch(name: str, code: str, shape: tuple[int, ...]) -> None:
    module = torch_module(code)
    macs: list[int] = []
    shapes: list[tuple[int, ...]] = []

    def record(layer: nn.Module, inputs: tuple[torch.Tensor, ...], output: Any) -> None:
        macs.append(multiply_adds(layer, inputs, output))
        shapes.append(tuple((output[0] if isinstance(output, tuple) else output).shape))

    for layer in module.modules():
        if isinstance(layer, LAYERS):
            layer.register_forward_hook(record)
    has_indices = any(isinstance(layer, nn.Embedding) for layer in module.modules())
    with torch.no_grad():
        output = module(torch.zeros(1, *shape, dtype=torch.long if has_indices else torch.float32))
    output = output[0] if isinstance(output, tuple) else output
    report = analyze(code, shape)
    expected = tuple(output.shape)
    assert report.output == (expected[1:] if expected[0] == 1 else expected)
    assert report.parameters == sum(parameter.numel() for parameter in module.parameters())
    assert report.buffers == sum(buffer.numel() for buffer in module.buffers())
    assert report.macs == sum(macs)
    names = {kind.__name__ for kind in LAYERS}
    traced = [one.output for one in report.traced if one.layer.name in names]
    assert traced == [one[1:] if one[0] == 1 else one for one in shapes], name
