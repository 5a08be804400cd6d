"""Device, precision and threads: what there is, what was asked for, and what runs."""

import os
import re
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dlnotes_cli.shell.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable

    import torch

_CUDA_BF16 = 8  # compute capability from which CUDA cards have bf16 arithmetic


@dataclass(frozen=True)
class Runtime:
    """Where a task runs and in which precision."""

    device: "torch.device"
    precision: str
    threads: int

    def autocast(self) -> AbstractContextManager[Any]:
        """The context for forward passes: bf16 autocast, or nothing."""
        import torch

        if self.precision == "fp32":
            return nullcontext()
        return torch.autocast(self.device.type, torch.bfloat16)

    def as_json(self) -> dict[str, Any]:
        """The fields that every result shows."""
        return {"device": str(self.device), "precision": self.precision, "threads": self.threads}


def choose_runtime(device: str, precision: str, threads: int | None, *, bf16_pays: bool) -> Runtime:
    """Settle device, precision and threads, and set the process's thread count.

    `bf16_pays` is the model's own fixed rule. Raises InputError for a device or precision that is not there.
    """
    import torch

    chosen = choose_device(device)
    torch.set_num_threads(threads or default_threads())
    if precision == "bf16" and chosen.type == "mps":
        raise InputError("--precision", "bf16 is not available on mps", "use fp32")
    if precision == "auto":
        precision = "bf16" if bf16_pays and has_bf16(chosen) else "fp32"
    return Runtime(chosen, precision, torch.get_num_threads())


def choose_device(name: str) -> "torch.device":
    """The device that `name` asks for; `auto` takes cuda, then mps, then cpu. Never a silent fallback."""
    import torch

    present = present_devices()
    if name == "auto":
        return torch.device(next(kind for kind in ("cuda", "mps", "cpu") if kind in present))
    if not re.fullmatch(r"cpu|mps|cuda(:\d+)?", name):
        raise InputError("--device", f"unknown device '{name}'", "use auto, cpu, cuda, cuda:N or mps")
    kind, _, index = name.partition(":")
    if kind not in present or int(index or 0) >= max(torch.cuda.device_count(), 1):
        raise InputError(
            "--device", f"{name} is not on this machine (present: {', '.join(present)})", "use auto or cpu"
        )
    return torch.device(name)


def present_devices() -> list[str]:
    """The kinds of device on this machine."""
    import torch

    found = ["cpu"]
    if torch.cuda.is_available():
        found.append("cuda")
    if torch.backends.mps.is_available():
        found.append("mps")
    return found


def has_bf16(device: "torch.device") -> bool:
    """Whether the processor has bf16 arithmetic in hardware."""
    import torch

    if device.type == "cuda":
        return torch.cuda.get_device_capability(device)[0] >= _CUDA_BF16
    if device.type == "cpu":
        capabilities = torch.cpu.get_capabilities()
        return bool(capabilities.get("avx512_bf16") or capabilities.get("amx_bf16"))
    return False


def free_memory(device: "torch.device") -> int:
    """Bytes of a CUDA card that nobody uses."""
    import torch

    return int(torch.cuda.mem_get_info(device)[0])


def available_memory(device: "torch.device") -> int | None:
    """Bytes that a process may still take on a device; None where the system does not say."""
    if device.type == "cuda":
        return free_memory(device)
    limits = [limit for limit in (_free_of_machine(), _free_of_group()) if limit is not None]
    return min(limits, default=None)


def _free_of_machine() -> int | None:
    """What Linux says can be had without swapping."""
    with suppress(OSError, ValueError, IndexError):
        lines = Path("/proc/meminfo").read_text().splitlines()
        return int(next(line for line in lines if line.startswith("MemAvailable")).split()[1]) * 1024
    return None


def _free_of_group() -> int | None:
    """What a container's limit leaves."""
    group = Path("/sys/fs/cgroup")
    with suppress(OSError, ValueError):
        return int((group / "memory.max").read_text()) - int((group / "memory.current").read_text())
    return None


def peak_memory(device: "torch.device", run: "Callable[[], None]") -> int:
    """The most bytes that PyTorch holds on a CUDA card while `run` runs."""
    import torch

    torch.cuda.reset_peak_memory_stats(device)
    run()
    return int(torch.cuda.max_memory_allocated(device))


def available_cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def default_threads() -> int:
    """Threads where none are asked for: what OMP_NUM_THREADS says, as in PyTorch, else one for each core."""
    stated = os.environ.get("OMP_NUM_THREADS", "")
    return int(stated) if stated.isdigit() and int(stated) else available_cores()


def describe() -> dict[str, Any]:
    """What `doctor` says of the hardware."""
    import torch

    capabilities = torch.cpu.get_capabilities()
    auto = choose_device("auto")
    return {
        "devices": present_devices(),
        "cuda": [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())],
        "processor": str(capabilities.get("cpu_name", "unknown")),
        "instructions": torch.backends.cpu.get_cpu_capability(),
        "bf16": {kind: has_bf16(torch.device(kind)) for kind in present_devices()},
        "amx": bool(capabilities.get("amx_bf16")),
        "cores": available_cores(),
        "auto": {"device": str(auto), "precision": "bf16" if has_bf16(auto) else "fp32"},
    }
