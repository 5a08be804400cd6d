"""Calls without PyTorch's compiler, which is imported as usual afterwards, and the public calls beside them."""

import subprocess
import sys

import pytest
import torch
from torch import nn

from dlnotes_cli.networks.torch_imports import make_lbfgs, meta_device

WITHOUT_COMPILER = """
import sys
from dlnotes_cli.networks.torch_imports import meta_device, torchvision_models
models = torchvision_models()
assert models is sys.modules["torchvision.models"]
assert not [name for name in sys.modules if name.startswith("torch._dynamo")]
from torchvision.ops import roi_align
stand_in = roi_align.__globals__["is_compile_supported"]
import torch
from dlnotes_cli.training.head_fit import HeadOptions, fit_heads
list(fit_heads(torch.randn(8, 3), torch.arange(8) % 2, HeadOptions(classes=2), (0.1,)))
assert "torch._dynamo" not in sys.modules, "the head imported the compiler"
with meta_device():
    models.resnet18()
assert "torch._dynamo" not in sys.modules, "the meta device imported the compiler"
answer = stand_in("cpu")
import torch._dynamo.utils
assert torch._dynamo.utils is sys.modules["torch._dynamo.utils"]
assert answer == torch._dynamo.utils.is_compile_supported("cpu")
"""
BROKEN = """
import sys
from dlnotes_cli.networks import torch_imports
def refuse(*_):
    raise AttributeError("not a function")
torch_imports._StandIn.__getattr__ = refuse
models = torch_imports.torchvision_models()
"""
COMPILER_FIRST = """
import sys
import torch._dynamo.utils
from dlnotes_cli.networks.torch_imports import torchvision_models
models = torchvision_models()
"""
PUBLIC = """
import torch._dynamo.utils
import torchvision.ops
assert models is sys.modules["torchvision.models"]
assert torchvision.ops.roi_align.__globals__["is_compile_supported"] is torch._dynamo.utils.is_compile_supported
assert models.get_model("squeezenet1_1", weights=None)(torch.zeros(1, 3, 32, 32)).shape == (1, 1000)
"""


@pytest.mark.parametrize(
    "script",
    [WITHOUT_COMPILER, BROKEN + PUBLIC, COMPILER_FIRST + PUBLIC],
    ids=["without the compiler", "a stand-in that does not suffice", "after the compiler"],
)
def test_torchvision_is_imported(script: str) -> None:
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_networks_on_the_meta_device_have_shapes_and_no_values_and_draw_no_random_number() -> None:
    def build() -> nn.ModuleList:
        return nn.ModuleList(
            [nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Embedding(5, 3), nn.LSTM(3, 4), nn.MultiheadAttention(4, 2)]
        )

    before = torch.random.get_rng_state()
    with meta_device():
        found, layer = build().state_dict(), nn.Linear(3, 4)
        assert nn.init.constant_(tensor=layer.weight, val=1.0) is layer.weight
        assert layer(torch.empty(2, 3)).shape == (2, 4)
    assert torch.equal(torch.random.get_rng_state(), before)
    with torch.device("meta"):  # the public way
        expected = build().state_dict()
    described = [{name: (t.device, t.shape, t.dtype) for name, t in state.items()} for state in (found, expected)]
    assert described[0] == described[1]


@pytest.mark.parametrize("is_imported", [False, True])
def test_lbfgs_is_that_of_torch(is_imported: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    import torch._dynamo

    if not is_imported:
        monkeypatch.delitem(sys.modules, "torch._dynamo")
    x = nn.Parameter(torch.tensor([-1.0, 2.0]))
    optimizer = make_lbfgs([x], max_iter=40, line_search_fn="strong_wolfe")
    assert type(optimizer) is torch.optim.LBFGS

    def rosenbrock() -> torch.Tensor:
        optimizer.zero_grad()
        value = (1 - x[0]) ** 2 + 100 * (x[1] - x[0] ** 2) ** 2
        value.backward()
        return value

    optimizer.step(rosenbrock)
    torch.testing.assert_close(x.detach(), torch.ones(2), rtol=1e-3, atol=1e-3)
