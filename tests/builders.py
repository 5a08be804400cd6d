"""Small data sets, commands and helpers that several tests share."""

import hashlib
import http.server
import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import pytest
from PIL import Image

if TYPE_CHECKING:
    from torch import nn

    from dlnotes_cli.data.preprocessing import Preprocessing, TextPreprocessing
    from dlnotes_cli.training.fit import TrainingRun
    from dlnotes_cli.training.task import StepLoss, Task

T = TypeVar("T")
AnyTask = TypeVar("AnyTask", bound="Task[Any]")

COLORS = {"blue": (30, 40, 200), "green": (20, 180, 60), "red": (210, 30, 30)}


@dataclass(frozen=True)
class Outcome:
    """Exit code and output of a command."""

    code: int
    out: str
    err: str


Command = Callable[..., Outcome]


def build_from_json(name: str, stored: dict[str, Any]) -> "nn.Module":
    """The network `name` on the meta device, from the JSON values of a model file."""
    from dlnotes_cli.networks.registry import build_on_meta, config_from_json

    return build_on_meta(name, config_from_json(name, stored))


def small_training(out: Path, *more: object) -> list[str]:
    """A training command that takes about a second."""
    arguments = ["train-mlp", "--hidden", 16, "--epochs", 2, "--limit", 256, "--threads", 1, "--out", out, *more]
    return [str(argument) for argument in arguments]


def make_images(root: Path, *, count: int = 12, size: tuple[int, int] = (12, 10), seed: int = 0) -> Path:
    """An image folder with a class for each color, of noisy PNG files in that color."""
    generator = np.random.default_rng(seed)
    for name, color in COLORS.items():
        (root / name).mkdir(parents=True)
        for i in range(count):
            noise = generator.integers(-20, 21, (*size, 3))
            pixels = np.clip(np.array(color) + noise, 0, 255).astype(np.uint8)
            Image.fromarray(pixels).save(root / name / f"{i}.png")
    return root


def make_table(path: Path, *, rows: int = 120, seed: int = 0) -> Path:
    """A CSV of two numeric columns and a categorical one; the class is the sign of the sum of the numbers."""
    generator = np.random.default_rng(seed)
    lines = ["length,width,kind,label"]
    for length, width in generator.normal(size=(rows, 2)):
        kind = generator.choice(["a", "b"])
        lines.append(f"{length:.4f},{width:.4f},{kind},{'yes' if length + width > 0 else 'no'}")
    path.write_text("\n".join(lines) + "\n")
    return path


def folder_digest(root: Path) -> str:
    """A digest of every file below a folder: names and contents."""
    digest = hashlib.sha256()
    for path in sorted(root.rglob("*")):
        digest.update(str(path.relative_to(root)).encode() + b"\0")
        if path.is_file():
            digest.update(path.read_bytes())
    return digest.hexdigest()


@contextmanager
def stopped_after(steps: int) -> Iterator[None]:
    """Send this process SIGTERM after so many training steps."""
    from dlnotes_cli.training.fit import TrainingRun

    step = TrainingRun._step

    def step_then_signal(run: "TrainingRun", *arguments: Any) -> None:
        if run.progress.step + 1 == steps:
            os.kill(os.getpid(), signal.SIGTERM)  # the step that is under way is completed
        step(run, *arguments)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(TrainingRun, "_step", step_then_signal)
        yield


def assert_same_run(one: Path, other: Path) -> None:
    """Assert that two run folders have the same model, history and checkpoint, bit for bit."""
    from dlnotes_cli.training.tensor_file import read_tensors

    for name in ("model.safetensors", "metrics.jsonl"):
        assert (one / name).read_bytes() == (other / name).read_bytes(), name
    weights, others = (read_tensors(folder / "last.safetensors")[0] for folder in (one, other))
    assert {name: t.tolist() for name, t in weights.items()} == {name: t.tolist() for name, t in others.items()}


def at_first_epoch(task: AnyTask, batch_size: int) -> AnyTask:
    """A task with its data and a network of seed 0, on the CPU, at the start of its first epoch."""
    from dlnotes_cli.device import choose_runtime
    from dlnotes_cli.networks.registry import build
    from dlnotes_cli.seeding import seed_everything

    task.load()
    seed_everything(0)
    task.runtime = choose_runtime("cpu", "fp32", 1, bf16_pays=False)
    task.network = build(task.model_name, task.network_config)
    task.initialize(task.network)
    task.prepare(batch_size)
    task.start_epoch(1, None)
    return task


def losses(task: "Task[Any]", index: int) -> "list[StepLoss]":
    """The losses of the parts of a batch, without those that do not count."""
    batch = task.batch(index)
    computed = [task.loss(task.network, part) for part in batch.parts]
    return computed if batch.counts else []


def assert_shares_add_up(alone: "Task[Any]", tasks: "Sequence[Task[Any]]", steps: int) -> None:
    """Assert that the losses of several processes add up to those of one, and that their states are its rows."""
    import torch

    for index in range(steps):
        for task in tasks if index == steps // 2 else []:
            task.state = dict(alone.state)  # of all rows, as a checkpoint has it
        whole, parts = losses(alone, index), [loss for task in tasks for loss in losses(task, index)]
        for expected, values in zip(zip(*whole, strict=True), zip(*parts, strict=True), strict=True):
            torch.testing.assert_close(torch.stack(values).sum(), torch.stack(expected).sum(), rtol=1e-4, atol=1e-6)
        for task in tasks:
            assert task.batch(index).samples == alone.batch(index).samples
            for name, state in task.state.items():
                rows = task.processes.rows
                torch.testing.assert_close(state[:, rows], alone.state[name][:, rows], rtol=1e-4, atol=1e-6)


def write_model(
    path: Path, name: str, config: object, preprocessing: "Preprocessing | TextPreprocessing", classes: tuple[str, ...]
) -> Path:
    """A model file with the random weights that a network starts with."""
    import torch

    from dlnotes_cli.data.preprocessing import preprocessing_to_json
    from dlnotes_cli.networks.registry import build
    from dlnotes_cli.shell.codec import to_json
    from dlnotes_cli.training.tensor_file import write_tensors

    torch.manual_seed(0)
    metadata = {
        "kind": "model",
        "model": name,
        "configuration": to_json(config),
        "classes": list(classes),
        "format": preprocessing_to_json(preprocessing),
        "data": {"name": str(path.parent / "absent")},
    }
    write_tensors(path, dict(build(name, config).state_dict()), metadata)
    return path


def run_in_threads(count: int, run: Callable[[int], T]) -> list[T]:
    """What `run` returns for each number below `count`, all at the same time."""
    found: dict[int, T] = {}

    def act(number: int) -> None:
        found[number] = run(number)

    threads = [threading.Thread(target=act, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return [found[number] for number in range(count)]


class QuietFiles(http.server.SimpleHTTPRequestHandler):
    """Serves the files of a folder and logs nothing."""

    def log_message(self, *_: object) -> None:
        """Log nothing."""


@contextmanager
def serving(handler: "Callable[..., http.server.BaseHTTPRequestHandler] | Path") -> Iterator[str]:
    """The address of a server on this machine, with a request handler or the files of a folder."""
    if isinstance(handler, Path):
        handler = partial(QuietFiles, directory=str(handler))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()
