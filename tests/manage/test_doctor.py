"""`doctor`: versions, devices, and advice for a GPU that torch cannot use."""

import json
import platform
from pathlib import Path
from typing import Any

import pytest
import torch
from builders import Command

from dlnotes_cli import device
from dlnotes_cli.device import GpuReport, report_gpu
from dlnotes_cli.manage.doctor import examine
from dlnotes_cli.manage.options import DoctorConfig


@pytest.fixture(autouse=True)
def cpu_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """A torch build without GPU support, on a machine whose system is Linux."""
    monkeypatch.setattr(torch, "__version__", "2.99")
    monkeypatch.setattr(torch.version, "cuda", None)
    monkeypatch.setattr(torch.version, "hip", None)
    monkeypatch.setattr(device, "present_devices", lambda: ["cpu"])
    monkeypatch.setattr(platform, "system", lambda: "Linux")


def touch(root: Path, name: str) -> Path:
    (root / name).parent.mkdir(parents=True)
    (root / name).touch(mode=0o755)
    return root


def test_the_report_of_this_machine(dlnotes: Command) -> None:
    fields = json.loads(dlnotes("doctor", "--json").out)
    assert fields["packages"]["torch"]
    assert fields["devices"][0] == "cpu"
    assert set(fields["data_sets"]) == {"digits", "mnist", "fashion-mnist", "cifar10", "cifar100"}
    assert fields["cores"] >= 1
    assert list(fields["gpu"]) == ["present", "usable", "advice"]
    assert "bf16" in dlnotes("doctor").out


def test_a_machine_without_a_gpu_gets_no_advice(tmp_path: Path) -> None:
    report = report_gpu(tmp_path)
    assert (report, str(report)) == (GpuReport((), usable=False, advice=None), "none found")


@pytest.mark.parametrize(
    ("name", "cuda", "present", "advice"),
    [
        *(
            (name, None, "NVIDIA", "torch 2.99 is built without CUDA; install a torch build for CUDA, see")
            for name in ("dev/nvidia0", "proc/driver/nvidia/version", "usr/bin/nvidia-smi")
        ),
        ("dev/nvidia0", "12.8", "NVIDIA", "torch 2.99 is built for CUDA 12.8 but finds no device; check CUDA_"),
        ("dev/kfd", None, "AMD", "torch 2.99 is built without ROCm; install a torch build for ROCm"),
    ],
)
def test_a_gpu_needs_a_build_for_it(
    name: str, cuda: str | None, present: str, advice: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "/usr/local/bin:/usr/bin")
    monkeypatch.setattr(torch.version, "cuda", cuda)
    report = report_gpu(touch(tmp_path, name))
    assert (report.present, report.usable) == ((present,), False)
    shown: Any = next(iter(examine(DoctorConfig(), tmp_path).table()))
    assert dict(shown.rows)["gpu"] == str(report)
    assert str(report).startswith(f"{present}, not usable: {advice}")


def test_apple_silicon_needs_mps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "system", lambda: "Darwin")
    monkeypatch.setattr(platform, "machine", lambda: "arm64")
    report = report_gpu(tmp_path)
    assert report.present == ("Apple",)
    assert "cannot use MPS; install torch for macOS on arm64" in str(report)


def test_a_gpu_in_use_gets_no_advice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(device, "present_devices", lambda: ["cpu", "cuda"])
    report = report_gpu(touch(tmp_path, "dev/nvidia0"))
    assert (report, str(report)) == (GpuReport(("NVIDIA",), usable=True, advice=None), "usable")
