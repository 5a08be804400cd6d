"""Pasted modules: their layers in the order of forward(), compared with running the module itself."""

from textwrap import dedent, indent
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional

from dlnotes_cli.shapes import analyze, parse_layers, trace
from dlnotes_cli.shell.errors import InputError

INIT = """
self.conv1 = nn.Conv2d(3, 16, 3, padding=1)
self.conv2 = nn.Conv2d(16, 8, 3)
self.features = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.MaxPool2d(2))
self.pool = nn.MaxPool2d(2, 2)
self.drop: nn.Module = nn.Dropout(0.25)
self.fc = nn.Linear(8 * 3 * 3, 10)
self.norm = nn.BatchNorm2d(16)
self.width = 8
"""


def module(forward: str, init: str = INIT) -> str:
    blocks = (
        "import torch.nn.functional as F\nfrom torch import nn\n\n\nclass Net(nn.Module):",
        "    def __init__(self):\n        super(Net, self).__init__()",
        indent(init.strip(), " " * 8),
        "\n    def forward(self, x):",
        indent(dedent(forward).strip(), " " * 8),
    )
    return "\n".join(blocks) + "\n"


def run_in_torch(source: str, size: tuple[int, ...]) -> tuple[int, ...]:
    names: dict[str, Any] = {"torch": torch}
    exec(source, names)  # noqa: S102  # code of the tests themselves
    with torch.no_grad():
        return tuple(names["Net"]().eval()(torch.zeros(1, *size)).shape)


@pytest.mark.parametrize(
    "forward",
    [
        "return self.pool(F.relu(self.conv1(x)))",
        """
        '''A docstring.'''
        x = self.pool(F.relu(self.norm(self.conv1(x))))
        y = self.pool(torch.relu(self.conv2(x)))
        y = y.view(-1, 8 * 3 * 3)
        return F.log_softmax(self.fc(self.drop(y)), dim=1)
        """,
        "x = self.conv1(x)\nx = F.max_pool2d(x, 4)\nx = self.conv2(x)\nreturn x.view(x.size(0), -1)",
        "return torch.flatten(self.features(x), 1)",
        "return self.features(x).flatten(1)",
        "return self.features(x).flatten(start_dim=2)",
        "x = self.features(x)\nreturn x.reshape(x.shape[0], 196)",
        "x = F.dropout(F.adaptive_avg_pool2d(self.features(x), (1, 2)), 0.2, self.training)\nreturn F.gelu(x)",
        "return F.softmax(F.leaky_relu(F.avg_pool2d(x, 3, 2, padding=1), 0.2), dim=-1)",
    ],
)
def test_forward_gives_the_shape_that_torch_computes(forward: str) -> None:
    source = module(forward)
    assert (1, *analyze(source, (3, 16, 16)).output) == run_in_torch(source, (3, 16, 16))


def test_the_order_is_that_of_forward_and_unused_layers_are_left_out() -> None:
    source = module("x = self.pool(F.relu(self.conv1(x)))\nreturn self.pool(self.norm(x))")
    layers = parse_layers(source)
    assert [layer.name for layer in layers] == ["Conv2d", "ReLU", "MaxPool2d", "BatchNorm2d", "MaxPool2d"]
    assert [layer.location for layer in layers] == ["line 8", "line 18", "line 11", "line 14", "line 11"]
    used = nn.Sequential(nn.Conv2d(3, 16, 3), nn.BatchNorm2d(16))
    assert analyze(source, (3, 16, 16)).parameters == sum(parameter.numel() for parameter in used.parameters())


@pytest.mark.parametrize("name", ["max_pool2d", "avg_pool2d"])
def test_positional_arguments_follow_the_function(name: str) -> None:
    source = module(f"return F.{name}(x, 3, 2, 1, ceil_mode=True)")
    assert (1, *analyze(source, (3, 16, 16)).output) == tuple(
        getattr(functional, name)(torch.zeros(1, 3, 16, 16), 3, 2, 1, ceil_mode=True).shape
    )


@pytest.mark.parametrize(
    ("forward", "message"),
    [
        ("return x + self.conv1(x)", "(line 18), x + self.conv1(x): combines 3x16x16 and 16x16x16, which do not have"),
        ("if x.size(2) > 0:\n    x = self.pool(x)\nreturn x", "line 18: 'x.size(2) > 0' depends on the input"),
        ("return self.lost(x)", "line 18: 'self.lost' has no value: __init__ does not set it; supported are calls of"),
        ("while True:\n    y = 1\nreturn x", "the code takes too many steps"),
        ("for size in x.shape[1:]:\n    y = size\nreturn x", "'x.shape[1:]' depends on the input, and only loops over"),
        ("for i in range(x.size(1)):\n    y = i\nreturn x", "'range(x.size(1))' depends on the input, and only loops"),
        ("y = [1]\nfor _ in range(60):\n    y = [y, y]\nif y == [y]:\n    return x", "makes a list that is too long"),
        ("return nn.Conv2d(3, 3, self.forward)(x)", "'nn.Conv2d(3, 3, self.forward)' has an argument without a value"),
        ("return nn.Transformer(3)(x)", "line 18: 'Transformer' is not a layer that is known"),
        ("return x @ x.chunk(2, 1)[0].flatten(1)", "multiplies matrices of 16x16 and 1x512"),
        ("a, b, c = x.chunk(2, 1)\nreturn a", "has 2 parts along dimension 1 of 3x16x16, and the code takes 3"),
        ("a, b = x.split(1, 1)\nreturn a", "has 3 parts along dimension 1 of 3x16x16, and the code takes 2"),
        ("return x.split([1, 1], 1)[0]", "parts of (1, 1) are not 3 together"),
        ("return x.chunk(2)[0]", "splits dimension 0, the batch; use dim=1"),
        ("return x.expand(-1, 4, -1, -1)", "cannot expand 3x16x16 to -1x4x-1x-1"),
        ("return x.repeat(2, 1, 1, 1)", "repeats dimension 0, the batch"),
        ("return torch.stack([x, x])", "stacks along dimension 0, before the batch; use dim=1"),
        ("return torch.stack([x, self.conv1(x)], 1)", "stacks 3x16x16 and 16x16x16, which do not have the same shape"),
        ("return torch.cat(x, [x])", "'torch.cat(x, [x])' in forward() is not supported"),
        ("return x[0]", "(line 18), x[0]: selects samples of the batch; start with a colon"),
        ("return torch.cat([x, self.conv1(x)])", "concatenates 3x16x16 and 16x16x16, which differ in more than"),
        ("return torch.cat([x, x])", "concatenates along dimension 0, the batch; use dim=1"),
        ("return x.mean()", "reduces the batch too; name the dimensions"),
        ("return x.mean([2, -2])", "dim=[2, -2] names a dimension twice; name each dimension once"),
        ("return x.squeeze(9)", "dim=9 is not a dimension of 3x16x16"),
        ("return x.permute(0, 1, 1, 2)", "is not an order of 4 dimensions"),
        ("return x.view(x.size(0), 5, -1)", "cannot make"),
        ("return x.view(-1, x.shape[7])", "its size cannot be computed"),
        ("for i in range(10**9):\n    x = F.relu(x)\nreturn x", "the code takes too many steps"),
        ("y = [1] * 10**6\nreturn x", "'[1] * 10**6' is not supported"),
        ("y = list(range(10**12))\nreturn x", "makes a list that is too long"),
        ("return self.forward(x)", "nested too deeply"),
        ("return self.pool(x, x)", "'self.pool(x, x)' in forward() is not supported"),
        ("return F.max_pool2d(x, 3, 2, 1, 1, True)", "is not supported"),
        (
            "return x.view(4, -1)",
            "'x.view(4, -1)' in forward() fixes the size of the batch; start with -1 or x.size(0)",
        ),
        ("return x.view(-1, n)", "line 18: 'n' has no value here; add a line such as n = 10"),
        ("return __import__('os').getpid()", "'__import__' has no value here"),
        ("x = self.pool(x)", "line 17: forward() returns nothing"),
        ("return self.fc(x.view(-1, 100))", "view(-1, 100): does not give 100, but 768"),
        ("return F.relu(torch.flatten(x))", "start_dim=0 is the batch"),
        ("return self.conv1(x)(x)", "is not supported"),
        ("return self.width(x)", "line 18: 'self.width(x)' is not supported"),
    ],
)
def test_other_code_is_an_error_with_its_line(forward: str, message: str) -> None:
    with pytest.raises(InputError) as raised:
        analyze(module(forward), (3, 16, 16))
    assert message in str(raised.value)


def test_a_shared_layer_counts_its_parameters_once_and_its_macs_each_time() -> None:
    source = module("return self.again(self.again(x))", "self.again = nn.Conv2d(3, 3, 3)")
    report = analyze(source, (3, 16, 16), explain=True)
    assert [layer.parameters for layer in report.layers] == [84, 0]
    assert report.macs == 3 * 3 * 9 * (14 * 14 + 12 * 12)
    assert "parameters" not in (report.layers[1].formulas or {})
    with pytest.raises(InputError, match=r"layer 2 .* runs a second time with the same weights"):
        trace(parse_layers(source), (3, 16, 16))


def test_a_condition_in_init_needs_a_value() -> None:
    source = module("return self.pool(x)", "self.pool = nn.MaxPool2d(2)\nif large:\n    self.pool = nn.MaxPool2d(4)")
    with pytest.raises(InputError, match="line 9: 'large' has no value here; add a line such as large = 10"):
        parse_layers(source)
    assert analyze("large = True\n" + source, (3, 16, 16)).output == (3, 4, 4)


def test_branches_are_no_layer_list() -> None:
    with pytest.raises(InputError, match=r"'x \+ self.drop\(x\)' makes the network a graph.*Residual\(\.\.\.\)"):
        parse_layers(module("return x + self.drop(x)"))


def test_a_name_stands_for_the_layers_that_were_listed_with_it() -> None:
    text = "head = nn.Sequential(nn.Linear(4, 3), nn.ReLU())\nmodel = head\nprint(model)\nmodel"
    assert [layer.name for layer in parse_layers(text)] == ["Linear", "ReLU"]


def test_a_constant_has_formulas_and_a_row() -> None:
    source = module("return x + self.gain", "self.gain = nn.Parameter(torch.zeros(3, 1, 1))")
    report = analyze(source, (3, 16, 16), explain=True)
    assert [(layer.parameters, layer.inputs) for layer in report.layers] == [(3, ()), (0, (0, 1))]
    assert [layer.formulas for layer in report.layers] == [{}, {}]
