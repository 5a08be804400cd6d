"""`doctor --time`: what is measured, within the limit, on which devices and with which weights."""

import json
from pathlib import Path

import pytest
import torch
from builders import Command

from dlnotes_cli import device
from dlnotes_cli.manage import doctor
from dlnotes_cli.manage.doctor import _measure
from dlnotes_cli.networks.backbones import BackboneConfig, build_backbone

SMALL = ("doctor", "--time", "squeezenet1_1", "--batch-size", 3, "--size", 33, "--time-budget", 0.1)
CPU = torch.device("cpu")


@pytest.mark.parametrize(
    ("overhead", "each", "batch", "limit", "expected"),
    [
        (0.02, 0.01, 8, 60.0, (8, 10, 0.02 + 8 * 0.01)),  # fits: measured whole and several times
        (0.0, 0.5, 64, 10.0, (10, 1, 64 * 0.5)),  # beyond the limit: extrapolated from fewer images
        (0.0, 1000.0, 64, 1.0, (1, 1, 64_000.0)),  # one image, however slow it is
    ],
)
def test_a_batch_is_measured_within_the_limit(
    overhead: float,
    each: float,
    batch: int,
    limit: float,
    expected: tuple[int, int, float],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = 0.0

    def run(count: int) -> None:
        nonlocal now
        now += overhead + each * count

    monkeypatch.setattr("dlnotes_cli.manage.doctor.time.perf_counter", lambda: now)
    found = _measure(run, batch, limit, CPU)
    assert (found.images, found.runs, found.seconds) == pytest.approx(expected)
    assert now <= max(limit, 3 * each)


def test_every_device_is_timed_and_reported(dlnotes: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "each_device", lambda: ["cpu", "cpu"])
    monkeypatch.setattr(doctor, "is_downloaded", lambda _weights: False)
    timing = json.loads(dlnotes(*SMALL, "--json").out)["timing"]
    assert (timing["backbone"], timing["weights"], timing["batch_size"], timing["size"]) == (
        "squeezenet1_1", "random", 3, 33,
    )  # fmt: skip
    assert [one["device"] for one in timing["devices"]] == ["cpu", "cpu"]
    for one in timing["devices"]:
        assert one["inference_s"] > 0
        assert one["head_s"] > 0
        assert one["images_per_s"] == pytest.approx(3 / one["inference_s"])
        assert one["estimated"] == (one["images"] < 3)
    outcome = dlnotes(*SMALL)
    assert outcome.out.splitlines()[-1].startswith("squeezenet1_1, 3 images of 33x33, fp32, random weights; the CPU")
    assert "note: the weights are random, since none are on this machine; the time is the same" in outcome.err
    assert json.loads(dlnotes("doctor", "--json").out)["timing"] is None
    assert "timing" not in dlnotes("doctor").out


def test_weights_on_this_machine_are_used(dlnotes: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    trained = build_backbone(BackboneConfig("squeezenet1_1", 1000, 33)).backbone.state_dict()
    read: list[Path] = []

    def read_weights(path: Path) -> dict[str, torch.Tensor]:
        read.append(path)
        return trained

    monkeypatch.setattr(doctor, "is_downloaded", lambda _weights: True)
    monkeypatch.setattr(doctor, "read_weights", read_weights)
    outcome = dlnotes(*SMALL)
    assert "IMAGENET1K_V1 weights" in outcome.out
    assert [path.name for path in read] == ["squeezenet1_1-b8a52dc0.pth"]


def test_cuda_devices_are_listed_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(device, "present_devices", lambda: ["cpu", "cuda"])
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert device.each_device() == ["cpu", "cuda:0", "cuda:1"]
    waited: list[object] = []
    monkeypatch.setattr(torch.cuda, "synchronize", waited.append)
    device.synchronize(torch.device("cuda:1"))
    device.synchronize(CPU)
    assert waited == [torch.device("cuda:1")]


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("--time", "resnet19"), 2, "--time: unknown network of torchvision 'resnet19'; did you mean 'resnet1"),
        (("--batch-size", 4), 2, "--batch-size: has no effect without --time; add it, or drop --batch-size"),
        (("--time", "alexnet", "--size", 16), 2, "--size: alexnet cannot read 16x16 pixels ("),
        (("--time", "squeezenet1_1", "--size", 33), 3, "--batch-size: 64 images of 33x33 do not fit into"),
    ],
)  # fmt: skip
def test_what_cannot_be_timed_is_one_line(
    arguments: tuple[object, ...], code: int, message: str, dlnotes: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    def exhausted(*_: object) -> None:
        raise torch.OutOfMemoryError

    monkeypatch.setattr(doctor, "each_device", lambda: ["cpu"])
    monkeypatch.setattr(doctor, "_infer", exhausted)
    outcome = dlnotes("doctor", *arguments)
    assert (outcome.code, outcome.out) == (code, "")
    assert message in outcome.err.splitlines()[-1], outcome.err
