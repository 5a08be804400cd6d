"""The import of torchvision: without PyTorch's compiler, which is imported as usual afterwards."""

import subprocess
import sys

SCRIPT = """
import sys
from dlnotes_cli.models.torchvision_models import torchvision_models
models = torchvision_models()
assert models is sys.modules["torchvision.models"]
assert not [name for name in sys.modules if name.startswith("torch._dynamo")]
from torchvision.ops import roi_align
stand_in = roi_align.__globals__["is_compile_supported"]
import torch
from dlnotes_cli.transfer.head_fit import HeadOptions, fit_heads
list(fit_heads(torch.randn(8, 3), torch.arange(8) % 2, HeadOptions(classes=2), (0.1,)))
assert "torch._dynamo" not in sys.modules, "the head imported the compiler"
answer = stand_in("cpu")
import torch._dynamo.utils
assert torch._dynamo.utils is sys.modules["torch._dynamo.utils"]
assert answer == torch._dynamo.utils.is_compile_supported("cpu")
"""


def test_the_compiler_of_pytorch_is_imported_only_when_it_is_needed() -> None:
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
