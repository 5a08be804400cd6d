"""Devices and memory: what a command sets before it calculates."""

import os
import platform
import subprocess
import sys

import pytest

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
