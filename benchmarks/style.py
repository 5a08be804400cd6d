"""`style-transfer`: the notebook's recipe against L-BFGS from coarse to fine, the time of an image, bf16, memory.

    python benchmarks/style.py --images FOLDER --weights squeezenet1_0.pth [--steps 2000] [--json FILE]

FOLDER has octopus.jpg, space_needle.jpg and delaunay.jpg, the images of the course's notebook. The weights are
torchvision's for squeezenet1_0, or a state dict of the same form; vgg19 is random, for its speed alone.
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

from dlnotes_cli.style.feature_layers import DEFAULT_LAYERS, named_layers

PAIRS = (("octopus", "delaunay"), ("space_needle", "delaunay"), ("octopus", "space_needle"))
SIZE = 256
BETA = 1e6
STEPS = 15  # of vgg19, that are timed


def paint(*words: object) -> tuple[Ended, dict[str, Any], np.ndarray[Any, Any]]:
    """A whole process of `style-transfer`: how it ended, its first result, and the image in 0..1."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "painted.png"
        command = [*DLNOTES, "style-transfer", *map(str, words), "--out", str(out), "--json", "-q"]
        ended = whole_process(command)
        with Image.open(out) as image:
            pixels = np.asarray(image.convert("RGB"), np.float32) / 255
    return ended, json.loads(ended.out)["results"][0], pixels


class NotebookLoss:
    """The notebook's own loss, written plainly in fp32, of an image against a content and a style."""

    def __init__(self, weights: Path, content: Path, style: Path, shape: tuple[int, ...]) -> None:
        network = models.squeezenet1_0()
        network.load_state_dict(torch.load(weights, weights_only=True))
        self._layers = [(name, layer.eval()) for name, layer in named_layers(network.features)]
        self._chosen = DEFAULT_LAYERS["squeezenet1_0"]
        self._content, self._style = (self._features(self._read(path, shape)) for path in (content, style))

    def __call__(self, pixels: np.ndarray[Any, Any]) -> float:
        """The loss of an image (H, W, 3) in 0..1."""
        found = self._features(torch.from_numpy(pixels).permute(2, 0, 1)[None])
        name = self._chosen.content
        loss = (found[name] - self._content[name]).square().mean()
        for name, weight in self._chosen.style.items():
            _, channels, height, width = found[name].shape
            difference = self._gram(found[name]) - self._gram(self._style[name])
            loss = loss + BETA * weight * difference.square().mean() / (channels * height * width)
        return float(loss)

    @torch.no_grad()
    def _features(self, pixels: torch.Tensor) -> dict[str, torch.Tensor]:
        mean, std = (torch.tensor(v).view(1, 3, 1, 1) for v in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
        x, found = (pixels - mean) / std, {}
        for name, layer in self._layers:
            x = layer(x.clone())
            found[name] = x
        return {name: value.clone() for name, value in found.items()}

    def _read(self, path: Path, shape: tuple[int, ...]) -> torch.Tensor:
        with Image.open(path) as image:
            sized = image.convert("RGB").resize((shape[1], shape[0]), Image.Resampling.LANCZOS)
        return torch.from_numpy(np.asarray(sized, np.float32) / 255).permute(2, 0, 1)[None]

    def _gram(self, features: torch.Tensor) -> torch.Tensor:
        flat = features[0].flatten(1)
        return flat @ flat.T


def plain_step(size: list[int]) -> float:
    """Seconds of one Adam step of the notebook's loop, written plainly in fp32."""
    features = models.vgg19().features[:29].eval().requires_grad_(False)
    names = {0: 1.0, 5: 0.75, 10: 0.2, 19: 0.2, 28: 0.2}
    image = torch.rand(1, 3, *size, requires_grad=True)
    optimizer = torch.optim.Adam([image], lr=0.003)
    started = time.perf_counter()
    for _ in range(STEPS):
        x, found = image, {}
        for i, layer in enumerate(features):
            x = found[i] = layer(x)
        loss = found[21].square().mean()  # conv4_2
        for i, weight in names.items():
            flat = found[i][0].flatten(1)
            loss = loss + weight * (flat @ flat.T).square().mean() / flat.numel()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return (time.perf_counter() - started) / STEPS


def measure_against_notebook(report: Report, images: Path, weights: Path, steps: int) -> None:
    """The notebook's loss after all of its steps, and ours after a fifth of that time and after all of it."""
    for content, style in PAIRS:
        paths = images / f"{content}.jpg", images / f"{style}.jpg"
        words = ["--content", paths[0], "--style", paths[1], "--size", SIZE, "--recipe", "notes", "--pooling", "max"]
        words += ["--backbone", "squeezenet1_0", "--weights", weights]
        _, notebook, pixels = paint(*words, "--steps", steps, "--precision", "fp32")
        loss = NotebookLoss(weights, *paths, pixels.shape)
        seconds, reached = notebook["seconds"], loss(pixels)
        name = f"{content} in the style of {style}"
        report.add(f"{name}: the notebook's {steps} steps", seconds, "s")
        report.add(f"{name}: the notebook's loss", reached, "")
        ours = ["--optimizer", "lbfgs", "--lr", 1, "--scales", 3, "--steps", 10_000]
        for when, budget in (("a fifth of its time", seconds / 5), ("as much time", seconds)):
            _, _, pixels = paint(*words, *ours, "--time-budget", f"{budget:.2f}s")
            report.add(f"{name}: our loss after {when} / its loss", loss(pixels) / reached, "", target="<= 1")


def measure_speed(report: Report, images: Path, weights: Path) -> None:
    """Whole processes of an image at 384 pixels, a step of vgg19, and its memory."""
    pair = ["--content", images / "octopus.jpg", "--style", images / "delaunay.jpg"]
    for name, words in (("small", []), ("squeezenet1_0", ["--backbone", "squeezenet1_0", "--weights", weights])):
        taken = statistics.median(paint(*pair, *words)[0].seconds for _ in range(3))
        report.add(f"384 pixels, {name}: whole process", taken, "s", target="<= 15", n=3)
    vgg = [*pair, "--backbone", "vgg19", "--weights", "none"]
    seconds: dict[str, list[float]] = {"plain": [], "ours": []}
    for _ in range(3):
        _, result, _ = paint(*vgg, "--recipe", "notes", "--steps", STEPS, "--size", SIZE)
        seconds["ours"].append(result["seconds"] / STEPS)
        seconds["plain"].append(plain_step(result["size"]))
    plain, ours = (statistics.median(seconds[name]) for name in ("plain", "ours"))
    report.add(f"vgg19, {SIZE} pixels, one Adam step: plain fp32", plain, "s", n=3)
    report.add(f"vgg19, {SIZE} pixels, one Adam step: ours in bf16", ours, "s", n=3)
    report.add("vgg19: plain fp32 / ours", plain / ours, "times", target=">= 1.8", n=3)
    ended, _, _ = paint(*vgg, "--size", 512, "--scales", 1, "--steps", 5)
    report.add("vgg19, 512 pixels: peak memory", ended.peak_bytes / 1e6, "MB", target="< 1300")


def main() -> None:
    """Measure and print."""
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
