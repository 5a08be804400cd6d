"""Every command of the course page runs as it is written, on small generated data."""

import hashlib
import json
import re
import shlex
import shutil
import struct
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from builders import Command, make_images
from numpy.typing import NDArray
from PIL import Image

from dlnotes_cli.cli import main
from dlnotes_cli.data.published import NAMED
from dlnotes_cli.networks import backbones
from dlnotes_cli.networks.backbones import PublishedWeights
from dlnotes_cli.networks.torch_imports import torchvision_models

COURSE = (Path(__file__).parent.parent / "examples" / "course.md").read_text()
LINES = sorted(set(re.findall(r"(?:`|^    )(dlnotes [^`\n]+)", COURSE, re.MULTILINE)))
SHORTER = {  # options that are appended to a command, so that it takes seconds
    "train-mlp": "--max-steps 2",
    "train-cnn": "--max-steps 2",
    "train-text": "--max-steps 2",
    "transfer": "--max-steps 2",
    "char-rnn train": "--max-steps 2",
    "series train": "--max-steps 2",
    "style-transfer": "--steps 2",
    "doctor --time": "--batch-size 2",
}
RUNS = {
    "digits": "train-mlp --hidden 16 --epochs 2",
    "mlp": "train-mlp --data mnist --hidden 16 --epochs 1",
    "cnn": "train-cnn --data mnist --max-steps 2",
    "photos": "train-cnn --data photos --max-steps 2",
    "students": "train-mlp --data student_data.csv --target admit --categorical rank --hidden '' --epochs 2",
    "small": "train-mlp --data points.csv --target label --hidden 1 --epochs 2",
    "medium": "train-mlp --data points.csv --target label --hidden 3 --epochs 2",
    "text": "char-rnn train book.txt --hidden-size 16 --max-steps 2",
}
DRAW = np.random.default_rng(0)


def idx(array: NDArray[np.uint8]) -> bytes:
    return bytes((0, 0, 8, array.ndim)) + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()


def write_named_sets(root: Path) -> None:
    """MNIST, Fashion-MNIST and CIFAR-10 of random images, in the formats and under the names of the published files."""
    for name in ("mnist", "fashion-mnist"):
        (root / name).mkdir(parents=True)
        for prefix, count in (("train", 200), ("t10k", 60)):
            images = DRAW.integers(0, 256, (count, 28, 28), np.uint8)
            (root / name / f"{prefix}-images-idx3-ubyte").write_bytes(idx(images))
            (root / name / f"{prefix}-labels-idx1-ubyte").write_bytes(idx(np.arange(count, dtype=np.uint8) % 10))
    cifar10 = NAMED["cifar10"]
    (root / cifar10.folder).mkdir()
    for name in cifar10.records:
        images = DRAW.integers(0, 256, (100, 3 * 32 * 32), np.uint8)
        labels = np.arange(100, dtype=np.uint8)[:, None] % 10
        (root / cifar10.folder / name).write_bytes(np.hstack([labels, images]).tobytes())
    (root / cifar10.folder / cifar10.names_file).write_text("\n".join(cifar10.classes))


def write_tables(home: Path) -> None:
    """The tables that the page names, with the columns of the course's files."""
    points = DRAW.uniform(size=(60, 2))
    rows = [f"{x:.3f},{y:.3f},{int(x + y > 1)}" for x, y in points]
    (home / "points.csv").write_text("\n".join(["x,y,label", *rows]) + "\n")
    (home / "data.csv").write_text("\n".join(rows) + "\n")
    gate = [f"{a},{b},{a ^ b}" for a in (0, 1) for b in (0, 1)] * 25
    (home / "xor.csv").write_text("\n".join(["x1,x2,y", *gate]) + "\n")
    students = [f"{i % 3 // 2},{300 + 20 * (i % 25)},{2 + i % 20 / 10:.2f},{1 + i % 4}" for i in range(80)]
    (home / "student_data.csv").write_text("\n".join(["admit,gre,gpa,rank", *students]) + "\n")
    start = datetime(2024, 1, 1)  # noqa: DTZ001  # local time, as such files have
    counts = [f"{start + timedelta(hours=i)},{50 + i % 24}" for i in range(600)]
    (home / "rentals.csv").write_text("\n".join(["hour,count", *counts]) + "\n")
    reviews = [f"a {('good', 'bad')[i % 2]} film number {i},{('positive', 'negative')[i % 2]}" for i in range(80)]
    (home / "reviews.csv").write_text("\n".join(["review,sentiment", *reviews]) + "\n")


def write_files(home: Path) -> None:
    """Every other file that the page names."""
    make_images(home / "photos", count=8, size=(40, 32))
    for name, target in (("blue", "1"), ("green", "2"), ("red", "3")):
        shutil.copytree(home / "photos" / name, home / "flowers" / target)
    (home / "cat_to_name.json").write_text(json.dumps({"1": "iris", "2": "fern", "3": "rose"}))
    for name, size in (("image.png", (8, 8)), ("octopus.jpg", (48, 32)), ("hockney.jpg", (40, 40))):
        Image.fromarray(DRAW.integers(0, 256, (size[1], size[0], 3), np.uint8)).save(home / name)
    for name, (width, height) in (("octopus", (48, 32)), ("hockney", (40, 40))):  # white on the right half
        mask = np.tile(np.repeat(np.array([0, 255], np.uint8), width // 2), (height, 1))
        Image.fromarray(mask).save(home / f"{name}-mask.png")
    text = "\n".join(f'"And Levin said {i}," she said. Stiva came to the river.' for i in range(500))
    for name in ("book.txt", "anna.txt"):
        (home / name).write_text(text)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with the files and runs that the page names, and `data` with the named sets."""
    home = tmp_path_factory.mktemp("course")
    write_named_sets(home / "data")
    write_tables(home)
    write_files(home)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(home)
        patch.setenv("DLNOTES_DATA", str(home / "data"))
        for name, command in RUNS.items():
            assert main([*shlex.split(command), "--out", f"runs/{name}", "-q"]) == 0, name
        yield home


@pytest.fixture(scope="module")
def random_weights() -> Iterator[Path]:
    """The folder of torch's downloads, in which each network's published weights are random ones."""
    import torch

    published_by_torchvision = backbones.published_weights

    @cache
    def published(backbone: str) -> tuple[PublishedWeights, ...]:
        network = torchvision_models().get_model(backbone, weights=None)
        path = folder / "random.pth"
        state = {
            name: value.half() if value.is_floating_point() else value for name, value in network.state_dict().items()
        }
        torch.save(state, path)  # in 16 bits, for VGG16 has 138 million
        name = f"{backbone}-{hashlib.sha256(path.read_bytes()).hexdigest()[:8]}.pth"
        path.rename(folder / name)
        return tuple(replace(entry, url=f"http://127.0.0.1:9/{name}") for entry in published_by_torchvision(backbone))

    with tempfile.TemporaryDirectory(prefix="dlnotes-weights-") as torch_home, pytest.MonkeyPatch.context() as patch:
        folder = Path(torch_home) / "hub" / "checkpoints"
        folder.mkdir(parents=True)
        patch.setattr(backbones, "published_weights", published)
        patch.setenv("TORCH_HOME", torch_home)
        yield folder


def shortened(line: str) -> list[str]:
    """The arguments of a line of the page, with options that shorten it; the last of two equal options counts."""
    more = next((options for start, options in SHORTER.items() if line.startswith(f"dlnotes {start}")), "")
    return [*shlex.split(line)[1:], *more.split()]


@pytest.mark.slow
@pytest.mark.usefixtures("random_weights", "blank_figures")
@pytest.mark.parametrize("line", LINES, ids=LINES)
def test_every_command_of_the_course_page_runs_as_written(
    line: str, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, dlnotes: Command
) -> None:
    """Run a line in a folder with the files and runs that the page names; the line itself is unchanged.

    Replaced are: the reader's files, by small generated ones; MNIST, Fashion-MNIST and CIFAR-10, by random images in
    $DLNOTES_DATA, in the published formats; the weights that torchvision publishes, by random ones in $TORCH_HOME under
    names with their SHA-256; the length of training and stylizing, by appended options of two steps; the batch of
    `doctor --time`, by two images.
    """
    work = tmp_path / "work"
    shutil.copytree(home, work, ignore=shutil.ignore_patterns("data"))
    monkeypatch.chdir(work)
    monkeypatch.setenv("DLNOTES_DATA", str(home / "data"))
    for out in re.findall(r"--out (runs/\w+)", line):
        shutil.rmtree(out, ignore_errors=True)
    before = set(work.rglob("*"))
    outcome = dlnotes(*shortened(line))
    assert outcome.code == 0, f"{line}\n{outcome.err}"
    assert outcome.out
    assert "Traceback" not in outcome.err
    named = re.findall(r"--(?:out|plot|sheet|csv|animate|export-features) (\S+)", line)
    assert all((work / name).exists() for name in named), line
    assert not named or set(work.rglob("*")) > before
