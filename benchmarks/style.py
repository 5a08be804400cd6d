"""`style-transfer`: L-BFGS from coarse to fine compared with the notebook's recipe, time per image, bf16, memory.

    python benchmarks/style.py --images FOLDER --weights squeezenet1_0.pth [--steps 2000] [--json FILE]

FOLDER has octopus.jpg, space_needle.jpg and delaunay.jpg, the images of the course's notebook. The weights are
torchvision's for squeezenet1_0, or a state dict with the same names and shapes; vgg19 has random weights, because only
its speed matters.
"""

import argparse
import json
import os
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from measure import DLNOTES, Ended, Report, whole_process
from PIL import Image
from torchvision import models

from dlnotes_cli.style.network import DEFAULT_LAYERS, named_layers

PAIRS = (("octopus", "delaunay"), ("space_needle", "delaunay"), ("octopus", "space_needle"))
SIZE = 256
BETA = 1e6
STEPS = 15  # of vgg19 that are timed


def stylize(*arguments: object) -> tuple[Ended, dict[str, Any], np.ndarray[Any, Any]]:
    """A whole process of `style-transfer`, its first JSON result, and the image with values from 0 to 1."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "stylized.png"
        command = [*DLNOTES, "style-transfer", *map(str, arguments), "--out", str(out), "--json", "-q"]
        ended = whole_process(command)
        with Image.open(out) as image:
            pixels = np.asarray(image.convert("RGB"), np.float32) / 255
    return ended, json.loads(ended.out)["results"][0], pixels


class NotebookLoss:
    """The loss of the notebook in plain PyTorch, in fp32: content and style loss of an image."""

    def __init__(self, weights: Path, content: Path, style: Path, shape: tuple[int, ...]) -> None:
        network = models.squeezenet1_0()
        network.load_state_dict(torch.load(weights, weights_only=True))
        self._layers = [(name, layer.eval()) for name, layer in named_layers(network.features).items()]
        self._loss_layers = DEFAULT_LAYERS["squeezenet1_0"]
        self._content, self._style = (self._features(self._read(path, shape)) for path in (content, style))

    def __call__(self, pixels: np.ndarray[Any, Any]) -> float:
        """The loss of an image (H, W, 3) with values from 0 to 1."""
        features = self._features(torch.from_numpy(pixels).permute(2, 0, 1)[None])
        name = self._loss_layers.content
        loss = (features[name] - self._content[name]).square().mean()
        for name, weight in self._loss_layers.style.items():
            _, channels, height, width = features[name].shape
            difference = self._gram(features[name]) - self._gram(self._style[name])
            loss = loss + BETA * weight * difference.square().mean() / (channels * height * width)
        return float(loss)

    @torch.no_grad()
    def _features(self, pixels: torch.Tensor) -> dict[str, torch.Tensor]:
        mean, std = (torch.tensor(v).view(1, 3, 1, 1) for v in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
        x, features = (pixels - mean) / std, {}
        for name, layer in self._layers:
            x = layer(x.clone())
            features[name] = x
        return {name: value.clone() for name, value in features.items()}

    def _read(self, path: Path, shape: tuple[int, ...]) -> torch.Tensor:
        with Image.open(path) as image:
            resized = image.convert("RGB").resize((shape[1], shape[0]), Image.Resampling.LANCZOS)
        return torch.from_numpy(np.asarray(resized, np.float32) / 255).permute(2, 0, 1)[None]

    def _gram(self, features: torch.Tensor) -> torch.Tensor:
        flat = features[0].flatten(1)
        return flat @ flat.T


def plain_step(size: list[int]) -> float:
    """Seconds of one Adam step of the notebook's loop, in fp32."""
    features = models.vgg19().features[:29].eval().requires_grad_(False)
    style_weights = {0: 1.0, 5: 0.75, 10: 0.2, 19: 0.2, 28: 0.2}
    image = torch.rand(1, 3, *size, requires_grad=True)
    optimizer = torch.optim.Adam([image], lr=0.003)
    started = time.perf_counter()
    for _ in range(STEPS):
        x, outputs = image, {}
        for i, layer in enumerate(features):
            x = outputs[i] = layer(x)
        loss = outputs[21].square().mean()  # conv4_2
        for i, weight in style_weights.items():
            flat = outputs[i][0].flatten(1)
            loss = loss + weight * (flat @ flat.T).square().mean() / flat.numel()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return (time.perf_counter() - started) / STEPS


def measure_against_notebook(report: Report, images: Path, weights: Path, steps: int) -> None:
    """The loss of the notebook's recipe, and of dlnotes after a fifth of its time and after the same time."""
    for content, style in PAIRS:
        paths = images / f"{content}.jpg", images / f"{style}.jpg"
        arguments = ["--content", paths[0], "--style", paths[1], "--size", SIZE]
        arguments += ["--recipe", "notes", "--pooling", "max"]
        arguments += ["--backbone", "squeezenet1_0", "--weights", weights]
        _, notebook, pixels = stylize(*arguments, "--steps", steps, "--precision", "fp32")
        loss = NotebookLoss(weights, *paths, pixels.shape)
        seconds, notebook_loss = notebook["seconds"], loss(pixels)
        name = f"{content} in the style of {style}"
        report.add(f"{name}: the notebook's {steps} steps", seconds, "s")
        report.add(f"{name}: the notebook's loss", notebook_loss, "")
        lbfgs = ["--optimizer", "lbfgs", "--lr", 1, "--scales", 3, "--steps", 10_000]
        for when, budget in (("a fifth of its time", seconds / 5), ("the same time", seconds)):
            _, _, pixels = stylize(*arguments, *lbfgs, "--time-budget", f"{budget:.2f}s")
            report.add(
                f"{name}: loss of dlnotes after {when} / its loss", loss(pixels) / notebook_loss, "", target="<= 1"
            )


def measure_speed(report: Report, images: Path, weights: Path) -> None:
    """The time of an image at 384 pixels as whole processes; the time of a step and the memory of vgg19."""
    pair = ["--content", images / "octopus.jpg", "--style", images / "delaunay.jpg"]
    for name, arguments in (("small", []), ("squeezenet1_0", ["--backbone", "squeezenet1_0", "--weights", weights])):
        total_s = statistics.median(stylize(*pair, *arguments)[0].seconds for _ in range(3))
        report.add(f"384 pixels, {name}: whole process", total_s, "s", target="<= 15", n=3)
    vgg = [*pair, "--backbone", "vgg19", "--weights", "none"]
    seconds: dict[str, list[float]] = {"plain": [], "dlnotes": []}
    for _ in range(3):
        _, result, _ = stylize(*vgg, "--recipe", "notes", "--steps", STEPS, "--size", SIZE)
        seconds["dlnotes"].append(result["seconds"] / STEPS)
        seconds["plain"].append(plain_step(result["size"]))
    plain, dlnotes = (statistics.median(seconds[name]) for name in ("plain", "dlnotes"))
    report.add(f"vgg19, {SIZE} pixels, one Adam step: plain fp32", plain, "s", n=3)
    report.add(f"vgg19, {SIZE} pixels, one Adam step: dlnotes in bf16", dlnotes, "s", n=3)
    report.add("vgg19: plain fp32 / dlnotes", plain / dlnotes, "times", target=">= 1.8", n=3)
    ended, _, _ = stylize(*vgg, "--size", 512, "--scales", 1, "--steps", 5)
    report.add("vgg19, 512 pixels: peak memory", ended.peak_bytes / 1e6, "MB", target="< 1300")


def main() -> None:
    """Measure and report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=Path, required=True)
    parser.add_argument("--weights", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=2000)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    report = Report("style", os.cpu_count() or 1)
    measure_speed(report, options.images, options.weights)
    measure_against_notebook(report, options.images, options.weights, options.steps)
    report.close(options.json)


if __name__ == "__main__":
    main()
