"""`explain` compared with a plain forward and backward pass, and with one image at a time.

    python benchmarks/explain.py --weights squeezenet1_0.pth [--repeats 9] [--json FILE]

LayerCAM of 20 images of 480x320 pixels, made from the sample images of scikit-learn, with SqueezeNet: ours reads the
files, chooses the class, and computes map, region and center of mass. The plain loop runs the network forward and the
predicted score backward for each image, all of it, with the same images already decoded. Occlusion computes what each
window changes, in batches, in bf16 where the hardware has it and in fp32; the plain loop runs the whole network for one
window at a time in fp32. The weights are torchvision's for squeezenet1_0.
"""

import argparse
import os
import tempfile
from dataclasses import replace
from functools import partial
from itertools import product
from pathlib import Path

import numpy as np
import torch
from measure import Report, alternating
from PIL import Image
from torch import Tensor

from dlnotes_cli.api import TrainCnnConfig, output, train_cnn
from dlnotes_cli.data.images.sample_images import sample_image
from dlnotes_cli.explain.covered import window_starts
from dlnotes_cli.explain.explain import Explainer
from dlnotes_cli.explain.options import ExplainConfig
from dlnotes_cli.shell.cores import default_threads
from dlnotes_cli.training.inspection.images import read_batches
from dlnotes_cli.training.inspection.network import InspectedNetwork

IMAGES, SIZE = 20, (480, 320)


def make_images(home: Path) -> None:
    """Write the images: crops of two photos at different places."""
    samples = [Image.open(sample_image(name, "IMAGE")) for name in ("china.jpg", "flower.jpg")]
    for i in range(IMAGES):
        left, top = 8 * i, 5 * i
        samples[i % 2].crop((left, top, left + SIZE[0], top + SIZE[1])).save(home / f"{i:02}.jpg", quality=92)


def train_course_network(out: Path) -> str:
    """A run of the course's network for 32x32 color images; a single step, as only its speed matters here."""
    output.configure(quiet=True)
    generator = np.random.default_rng(0)
    for i in range(40):
        folder = out / "data" / f"{i % 10}"
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(generator.integers(0, 256, (32, 32, 3), dtype=np.uint8)).save(folder / f"{i}.png")
    train_cnn(TrainCnnConfig(data=str(out / "data"), arch="notes-cnn", max_steps=1, out=out / "run"))
    return str(out / "run")


def explain_folder(explainer: Explainer, config: ExplainConfig) -> None:
    """Map, region and center of mass of every image, from the files."""
    for batch in read_batches(config.images, explainer.network, config, explainer.batch_size):
        for _ in explainer.explain(batch):
            pass


def plain_passes(network: InspectedNetwork, x: Tensor) -> None:
    """A forward and backward pass for each image."""
    for image in x.split(1):
        inputs = image.clone().requires_grad_()
        network(inputs).max().backward()


@torch.no_grad()
def occlude_one_by_one(network: InspectedNetwork, x: Tensor, window: int, stride: int) -> None:
    """The plain loop over the windows of one image."""
    score = network(x)[0].max()
    starts = [window_starts(side, window, stride) for side in x.shape[2:]]
    total = torch.zeros(x.shape[2:])
    for top, left in product(*starts):
        covered = x.clone()
        covered[..., top : top + window, left : left + window] = 0
        total[top : top + window, left : left + window] += score - network(covered)[0].max()


def measure_layercam(report: Report, home: Path, weights: Path, repeats: int) -> None:
    """LayerCAM of a folder and the plain passes, alternating."""
    config = ExplainConfig(model="squeezenet1_0", weights=str(weights), images=(str(home),))
    explainer = Explainer(config)
    (batch,) = read_batches(config.images, explainer.network, config, IMAGES)
    x = explainer.network.prepare(batch.samples())
    sides: dict[str, partial[None]] = {
        "ours": partial(explain_folder, explainer, config),
        "plain": partial(plain_passes, explainer.network, x),
    }
    seconds = alternating(sides, repeats)
    report.add(f"LayerCAM of {IMAGES} images, decoding included", seconds["ours"], "s", n=repeats)
    report.add("forward and backward pass for each, decoded before", seconds["plain"], "s", n=repeats)
    report.add("LayerCAM / the plain passes", seconds["ours"] / seconds["plain"], "times", target="<= 1.3", n=repeats)


def measure_occlusion(report: Report, home: Path, model: str, weights: str | None, repeats: int) -> None:
    """Occlusion of one image, in two precisions and one window at a time, alternating."""
    config = ExplainConfig(model=model, weights=weights, images=(str(home / "00.jpg"),), method="occlusion")
    exact = replace(config, precision="fp32")
    plain = Explainer(exact)
    (batch,) = read_batches(config.images, plain.network, config, 1)
    name = "the course's CNN" if Path(model).exists() else model
    x = plain.network.prepare(batch.samples())
    window = round(min(x.shape[2:]) / 6)
    sides: dict[str, partial[None]] = {
        "ours": partial(explain_folder, Explainer(config), config),
        "fp32": partial(explain_folder, plain, exact),
        "plain": partial(occlude_one_by_one, plain.network, x, window, window // 2),
    }
    seconds = alternating(sides, repeats)
    report.add(f"occlusion with {name}", seconds["ours"], "s", n=repeats)
    report.add("the same in fp32", seconds["fp32"], "s", n=repeats)
    report.add("the same, one window at a time", seconds["plain"], "s", n=repeats)
    for side, how in (("ours", ""), ("fp32", " in fp32")):
        ratio = seconds["plain"] / seconds[side]
        report.add(f"one at a time / occlusion{how}, {name}", ratio, "times", target=">= 5", n=repeats)


def main() -> None:
    """Measure and report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--weights", type=Path, required=True)
    parser.add_argument("--repeats", type=int, default=9)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    print(f"load of the machine in the last minute: {os.getloadavg()[0]:.1f}")
    report = Report("explain", threads=default_threads())
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        make_images(home)
        measure_layercam(report, home, options.weights, options.repeats)
        measure_occlusion(report, home, train_course_network(home / "course"), None, options.repeats)
        measure_occlusion(report, home, "small", None, options.repeats)
        measure_occlusion(report, home, "squeezenet1_0", str(options.weights), max(1, options.repeats // 3))
    report.close(options.json)


if __name__ == "__main__":
    main()
