"""Devices of machines that the tests do not run on, their memory and copies; the memory of freed tensors."""

import os
import platform
import subprocess
import sys
from unittest import mock

import pytest
import torch

from dlnotes_cli import device
from dlnotes_cli.device import Runtime, choose_runtime, fits_on_device
from dlnotes_cli.shell.errors import InputError

CPU, CUDA = torch.device("cpu"), torch.device("cuda")


@pytest.fixture
def cuda(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    """A machine with a CUDA device of the capability that the test has as parameter; torch claims bf16 for all."""
    capability = getattr(request, "param", (8, 0))
    monkeypatch.setattr(device, "present_devices", lambda: ["cpu", "cuda"])
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _device: capability)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda: True)
    monkeypatch.setattr(device, "default_threads", torch.get_num_threads)


@pytest.mark.parametrize(
    ("cuda", "in_training", "elsewhere"),
    [((6, 1), "fp32", "fp32"), ((7, 0), "fp16", "fp32"), ((7, 5), "fp16", "fp32"), ((8, 0), "bf16", "bf16"),
     ((9, 0), "bf16", "bf16"), ((12, 0), "bf16", "bf16")],
    indirect=["cuda"],
)  # fmt: skip
@pytest.mark.usefixtures("cuda")
def test_auto_is_bf16_by_capability_and_else_fp16_in_training(in_training: str, elsewhere: str) -> None:
    training = choose_runtime("auto", "auto", None, bf16_pays=True, fp16_pays=True)
    assert (training.device, training.precision) == (CUDA, in_training)
    assert choose_runtime("auto", "auto", None, bf16_pays=True).precision == elsewhere
    assert choose_runtime("auto", "auto", None, bf16_pays=False).precision == "fp32"
    assert choose_runtime("cpu", "auto", None, bf16_pays=False, fp16_pays=True).precision == "fp32"


@pytest.mark.parametrize("cuda", [(7, 0), (8, 6)], indirect=True)
@pytest.mark.usefixtures("cuda")
def test_fp16_can_be_chosen_on_cuda_devices_that_have_it() -> None:
    runtime = choose_runtime("cuda", "fp16", None, bf16_pays=False)
    assert (runtime.precision, runtime.half) == ("fp16", torch.float16)
    assert runtime.info.precision == "fp16"


@pytest.mark.parametrize("cuda", [(6, 1)], indirect=True)
@pytest.mark.parametrize(("name", "fix"), [("cpu", "use bf16 or fp32"), ("cuda", "use fp32")])
@pytest.mark.usefixtures("cuda")
def test_fp16_is_refused_elsewhere(name: str, fix: str) -> None:
    what = rf"--precision: fp16 needs a CUDA device of compute capability 7\.0 or higher, not {name}; {fix}"
    with pytest.raises(InputError, match=what):
        choose_runtime(name, "fp16", None, bf16_pays=True)


@pytest.mark.parametrize(
    ("nbytes", "fits"), [(0, True), (299, True), (300, True), (301, False), (10_000, False)]
)  # of 1,000 bytes
def test_data_fits_if_it_takes_little_of_the_memory_that_is_free_or_unused(
    nbytes: int, fits: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda _device: (600, 2000))
    monkeypatch.setattr(torch.cuda, "memory_reserved", lambda _device: 900)
    monkeypatch.setattr(torch.cuda, "memory_allocated", lambda _device: 500)
    assert fits_on_device(nbytes, CUDA) is fits
    assert fits_on_device(nbytes, CPU)


@pytest.mark.parametrize(("kind", "non_blocking"), [("cuda", True), ("mps", False), ("cpu", False)])
def test_the_host_waits_for_copies_to_every_device_but_cuda(kind: str, non_blocking: bool) -> None:
    tensor, chosen = mock.Mock(), torch.device(kind)
    assert Runtime(chosen, "fp32", 1).to_device(tensor) is tensor.to.return_value
    tensor.to.assert_called_once_with(chosen, non_blocking=non_blocking)


# Minor page faults of a second tensor of 100 MB, whose memory the first one has freed.
FAULTS = """
import resource, torch
from dlnotes_cli.device import choose_runtime
choose_runtime("cpu", "fp32", 1, bf16_pays=False)
torch.ones(25_000_000)
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
torch.ones(25_000_000)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the settings are those of glibc")
def test_memory_of_freed_tensors_is_used_again_unless_the_user_configures_the_allocator() -> None:
    faults = {}
    for threshold in (None, "1000000"):
        variables = {name: value for name, value in os.environ.items() if not name.startswith("MALLOC_")}
        variables |= {"THP_MEM_ALLOC_ENABLE": "0"} | ({"MALLOC_MMAP_THRESHOLD_": threshold} if threshold else {})
        command = [sys.executable, "-c", FAULTS]
        faults[threshold] = int(subprocess.run(command, env=variables, capture_output=True, check=True).stdout)
    assert faults[None] < 100
    assert faults["1000000"] > 10_000
