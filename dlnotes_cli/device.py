"""Devices, precision, threads and memory: what this machine has, and what a command runs on."""

import ctypes
import os
import platform
import re
import shutil
import sys
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from dlnotes_cli.shell.cores import available_cores, control_groups, default_threads
from dlnotes_cli.shell.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable

    import torch

_CUDA_BF16 = 8  # major compute capability from which CUDA devices have bf16 arithmetic
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # of glibc's malloc.h
_LARGEST_REUSED = 1 << 30  # bytes; larger blocks are returned to the system
_ALLOCATOR_VARIABLES = ("MALLOC_", "GLIBC_TUNABLES", "LD_PRELOAD")
_CUDA_FP16 = 7  # likewise fast fp16 arithmetic; torch.cuda.is_bf16_supported() also counts emulation
_DATA_FRACTION = 0.3  # of the free memory that data may take; a batch of `--batch-size auto` takes up to 0.6
_SELECTOR = "the selector at pytorch.org/get-started/locally"


@dataclass(frozen=True)
class RuntimeInfo:
    """What a command ran on, as every result has it."""

    device: str
    precision: str
    threads: int


@dataclass(frozen=True)
class Runtime:
    """The device, precision and number of threads that a command runs on."""

    device: "torch.device"
    precision: str
    threads: int

    def autocast(self) -> AbstractContextManager[Any]:
        """The context of forward passes: autocast to bf16 or fp16, or a null context with fp32."""
        import torch

        return nullcontext() if self.half is None else torch.autocast(self.device.type, self.half)

    @property
    def half(self) -> "torch.dtype | None":
        """The type of the products in mixed precision; None with fp32."""
        import torch

        return {"bf16": torch.bfloat16, "fp16": torch.float16}.get(self.precision)

    def to_device(self, tensor: "torch.Tensor") -> "torch.Tensor":
        """A tensor of the CPU on the device.

        The host does not wait for a copy to a CUDA device. MPS would read memory that is freed meanwhile (PyTorch
        issue 189690).
        """
        return tensor.to(self.device, non_blocking=self.device.type == "cuda")

    @property
    def info(self) -> RuntimeInfo:
        """The fields as a result has them."""
        return RuntimeInfo(str(self.device), self.precision, self.threads)


class Hardware(NamedTuple):
    """The processor and the devices that torch can use."""

    devices: tuple[str, ...]
    cuda: tuple[str, ...]  # names of the CUDA devices
    processor: str
    instructions: str  # instruction set that torch uses, AVX2 for example
    bf16: dict[str, bool]  # by device: bf16 arithmetic in hardware
    amx: bool
    cores: int
    auto: dict[str, str]  # the device and precision of `auto`


class GpuReport(NamedTuple):
    """The vendors of the GPUs found, whether torch can use a GPU, and what to install if it cannot."""

    present: tuple[str, ...]
    usable: bool
    advice: str | None = None

    def __str__(self) -> str:
        if self.advice is not None:
            return f"{', '.join(self.present)}, not usable: {self.advice}"
        return "usable" if self.usable else "none found"


def check_devices(name: str, count: int) -> None:
    """Raise InputError where `count` processes cannot each have a device of their own; a CPU has room for all."""
    import torch

    chosen = choose_device(name)
    if chosen.type == "mps":
        raise InputError("--devices", f"{name} is one device", "use --device cpu, or drop --devices")
    if chosen.type != "cuda":
        return
    if ":" in name:
        raise InputError("--device", f"{name} is one GPU, but there are {count} processes", "use --device cuda")
    present = torch.cuda.device_count()
    if count > present:
        what = f"{count} GPUs are more than the {present} of this machine"
        raise InputError("--devices", what, f"use --devices {present}, or --device cpu")


def choose_runtime(
    device: str, precision: str, threads: int | None, *, bf16_pays: bool, fp16_pays: bool = False
) -> Runtime:
    """Resolve device, precision and threads, and set torch's number of threads.

    `bf16_pays` says whether the model is faster in bf16; `fp16_pays` whether fp16 is an alternative, for which training
    has to scale the loss. Raises InputError for an unavailable device or precision.
    """
    import torch

    chosen = choose_device(device)
    _reuse_freed_memory()
    torch.set_num_threads(threads or default_threads())
    if precision == "bf16" and chosen.type == "mps":
        raise InputError("--precision", "bf16 is not available on mps", "use fp32")
    if precision == "fp16" and not has_fp16(chosen):
        what = f"fp16 needs a CUDA device of compute capability {_CUDA_FP16}.0 or higher, not {chosen}"
        raise InputError("--precision", what, "use bf16 or fp32" if chosen.type == "cpu" else "use fp32")
    if precision == "auto":
        precision = _fastest_precision(chosen, bf16_pays=bf16_pays, fp16_pays=fp16_pays)
    if chosen.type == "cpu":  # where oneDNN may not use bf16, its recurrent layers fail instead of leaving it to torch
        torch.backends.mkldnn.enabled = precision != "bf16" or _may_onednn_use_bf16()  # type: ignore[assignment]
    return Runtime(chosen, precision, torch.get_num_threads())


def _reuse_freed_memory() -> None:
    """Keep the memory of freed tensors for the next ones, and ask Linux for pages of 2 MiB.

    By default glibc returns large blocks to the system, which clears each page of the next block. Without that, a
    training step is up to 1.4 times as fast. A process keeps the memory of its peak until it ends. Variables of the
    user that configure the allocator are respected.
    """
    os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")  # read by PyTorch at the first allocation
    if sys.platform != "linux" or any(name.startswith(_ALLOCATOR_VARIABLES) for name in os.environ):
        return
    with suppress(AttributeError):  # of C libraries other than glibc
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(_M_MMAP_THRESHOLD, _LARGEST_REUSED)
        mallopt(_M_TRIM_THRESHOLD, _LARGEST_REUSED)


def choose_device(name: str) -> "torch.device":
    """The device called `name`; `auto` is cuda if available, else mps, else cpu.

    Raises InputError for an unavailable device; never falls back to another.
    """
    import torch

    present = present_devices()
    if name == "auto":
        return torch.device(next(kind for kind in ("cuda", "mps", "cpu") if kind in present))
    if not re.fullmatch(r"cpu|mps|cuda(:\d+)?", name):
        raise InputError("--device", f"unknown device '{name}'", "use auto, cpu, cuda, cuda:N or mps")
    kind, _, index = name.partition(":")
    if kind not in present or int(index or 0) >= max(torch.cuda.device_count(), 1):
        raise InputError("--device", f"{name} is unavailable (available: {', '.join(present)})", "use auto or cpu")
    return torch.device(name)


def present_devices() -> list[str]:
    """The device types that torch can use: cpu, and cuda or mps if available."""
    import torch

    devices = ["cpu"]
    if torch.cuda.is_available():
        devices.append("cuda")
    if torch.backends.mps.is_available():
        devices.append("mps")
    return devices


def each_device() -> list[str]:
    """Every device that torch can use, each CUDA device by its number."""
    import torch

    names = [name for name in present_devices() if name != "cuda"]
    return [*names, *(f"cuda:{i}" for i in range(torch.cuda.device_count() if "cuda" in present_devices() else 0))]


def synchronize(device: "torch.device") -> None:
    """Wait until a device has done what it was told; a GPU otherwise runs on while the clock is read."""
    import torch

    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()


def _fastest_precision(device: "torch.device", *, bf16_pays: bool, fp16_pays: bool) -> str:
    if bf16_pays and has_bf16(device):
        return "bf16"
    return "fp16" if fp16_pays and has_fp16(device) else "fp32"


def has_bf16(device: "torch.device") -> bool:
    """Whether the device has bf16 arithmetic in hardware."""
    import torch

    if device.type == "cuda":
        return torch.cuda.get_device_capability(device)[0] >= _CUDA_BF16
    if device.type == "cpu":
        capabilities = torch.cpu.get_capabilities()
        return bool(capabilities.get("avx512_bf16") or capabilities.get("amx_bf16")) and _may_onednn_use_bf16()
    return False


def _may_onednn_use_bf16() -> bool:
    """Whether oneDNN computes in bf16, which $DNNL_MAX_CPU_ISA may forbid; True where torch does not say."""
    import torch

    try:
        return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())  # noqa: SLF001  # there is no public way
    except (AttributeError, RuntimeError):
        return True


def has_fp16(device: "torch.device") -> bool:
    """Whether fp16 arithmetic is fast on the device, and its range suffices because training scales the loss."""
    import torch

    return device.type == "cuda" and torch.cuda.get_device_capability(device)[0] >= _CUDA_FP16


def free_memory(device: "torch.device") -> int:
    """Bytes of a CUDA device that are free, or that torch has reserved and not used."""
    import torch

    unused = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    return int(torch.cuda.mem_get_info(device)[0]) + unused


def fits_on_device(nbytes: int, device: "torch.device") -> bool:
    """Whether data of so many bytes can stay on a device for the whole run, with room for the training steps.

    The memory of a CPU is where data is anyway.
    """
    return device.type != "cuda" or nbytes <= _DATA_FRACTION * free_memory(device)


def available_memory(device: "torch.device", *, swap: bool = False) -> int | None:
    """Bytes that this process can still allocate on a device, also in swap space if `swap` is set.

    None if the system does not report it.
    """
    if device.type == "cuda":
        return free_memory(device)
    limits = (_available_in_system(swap=swap), _available_in_control_groups(), _available_addresses())
    return min((limit for limit in limits if limit is not None), default=None)


def _available_in_system(*, swap: bool) -> int | None:
    """Bytes that Linux can allocate."""
    with suppress(OSError, ValueError, KeyError):
        lines = Path("/proc/meminfo").read_text().splitlines()
        kibibytes = {name: int(value.split()[0]) for name, value in (line.split(":") for line in lines)}
        return 1024 * (kibibytes["MemAvailable"] + swap * kibibytes["SwapFree"])
    return None


def _available_in_control_groups(root: Path = Path("/")) -> int | None:
    """Bytes left below the tightest memory limit of this process's control groups, as of a container.

    The cache of files, which Linux gives up when memory is short, counts as left.
    """
    left = map(_left_in_group, control_groups(root))
    return min((limit for limit in left if limit is not None), default=None)


def _left_in_group(group: Path) -> int | None:
    with suppress(OSError, ValueError):
        limit, used = (int((group / name).read_text()) for name in ("memory.max", "memory.current"))
        statistics = dict(line.split() for line in (group / "memory.stat").read_text().splitlines())
        return limit - used + int(statistics.get("active_file", 0)) + int(statistics.get("inactive_file", 0))
    return None


def _available_addresses() -> int | None:
    """Bytes left below the limit on the address space (`ulimit -v`)."""
    with suppress(ImportError, OSError, ValueError):
        import resource

        limit = resource.getrlimit(resource.RLIMIT_AS)[0]
        if limit != resource.RLIM_INFINITY:
            return limit - int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    return None


def peak_memory(device: "torch.device", run: "Callable[[], None]") -> int:
    """The peak number of bytes that torch allocates on a CUDA device during `run`."""
    import torch

    torch.cuda.reset_peak_memory_stats(device)
    run()
    return int(torch.cuda.max_memory_allocated(device))


def describe_hardware() -> Hardware:
    """The processor and the devices that torch can use."""
    import torch

    capabilities = torch.cpu.get_capabilities()
    devices = present_devices()
    auto = choose_device("auto")
    return Hardware(
        devices=tuple(devices),
        cuda=tuple(torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())),
        processor=str(capabilities.get("cpu_name", "unknown")),
        instructions=torch.backends.cpu.get_cpu_capability(),
        bf16={kind: has_bf16(torch.device(kind)) for kind in devices},
        amx=bool(capabilities.get("amx_bf16")),
        cores=available_cores(),
        auto={"device": str(auto), "precision": _fastest_precision(auto, bf16_pays=True, fp16_pays=True)},
    )


def report_gpu(root: Path = Path("/")) -> GpuReport:
    """Compare the GPUs of this machine with the devices of torch; `root` is the file system that is searched."""
    present = _gpu_vendors(root)
    usable = len(present_devices()) > 1
    return GpuReport(present, usable, _gpu_advice(present[0]) if present and not usable else None)


def _gpu_vendors(root: Path) -> tuple[str, ...]:
    """Vendors of the GPUs with a driver below `root`; on macOS Apple's, which every arm64 processor has."""
    search_path = os.pathsep.join(str(root / folder.lstrip("/")) for folder in os.get_exec_path())
    detected = {
        "NVIDIA": (root / "dev/nvidia0").exists()
        or (root / "proc/driver/nvidia").exists()
        or shutil.which("nvidia-smi", path=search_path) is not None,  # without device nodes in WSL
        "AMD": (root / "dev/kfd").exists(),
        "Apple": platform.system() == "Darwin" and platform.machine() == "arm64",
    }
    return tuple(vendor for vendor, is_present in detected.items() if is_present)


def _gpu_advice(vendor: str) -> str:
    """What to install so that torch can use a GPU that it cannot use now."""
    import torch

    if vendor == "Apple":
        return f"this torch cannot use MPS; install torch for macOS on arm64, see {_SELECTOR}"
    platform_name, build = ("CUDA", torch.version.cuda) if vendor == "NVIDIA" else ("ROCm", torch.version.hip)
    if build is None:
        what = f"torch {torch.__version__} is built without {platform_name}"
        return f"{what}; install a torch build for {platform_name}, see {_SELECTOR}"
    variable = "CUDA_VISIBLE_DEVICES" if vendor == "NVIDIA" else "HIP_VISIBLE_DEVICES"
    what = f"torch {torch.__version__} is built for {platform_name} {build} but finds no device"
    return f"{what}; check {variable} and the driver, or install a torch build for your driver, see {_SELECTOR}"
