"""`explain` compared with a plain forward and backward pass.

    python benchmarks/explain.py --weights squeezenet1_0.pth [--repeats 9] [--json FILE]

LayerCAM of 20 images of 480x320 pixels, made from the sample images of scikit-learn, with SqueezeNet: ours reads the
files, chooses the class, and computes map, region and center of mass. The plain loop runs the network forward and the
predicted score backward for each image, all of it, with the same images already decoded. The weights are torchvision's
for squeezenet1_0.
"""

import argparse
import os
import tempfile
from functools import partial
from pathlib import Path

from measure import Report, alternating
from PIL import Image
from torch import Tensor

from dlnotes_cli.data.folder import DecodeSettings
from dlnotes_cli.data.images.image_io import sample_image
from dlnotes_cli.explain.explain import Explainer
from dlnotes_cli.explain.options import ExplainConfig
from dlnotes_cli.inference.inspected_network import InspectedNetwork
from dlnotes_cli.inference.inspection import read_batches
from dlnotes_cli.shell.cores import default_threads

IMAGES, SIZE = 20, (480, 320)
SETTINGS = DecodeSettings(default_threads(), 10**7)


def make_images(home: Path) -> None:
    """Write the images: crops of two photos at different places."""
    samples = [Image.open(sample_image(name, "IMAGE")) for name in ("china.jpg", "flower.jpg")]
    for i in range(IMAGES):
        left, top = 8 * i, 5 * i
        samples[i % 2].crop((left, top, left + SIZE[0], top + SIZE[1])).save(home / f"{i:02}.jpg", quality=92)


def explain_folder(explainer: Explainer, config: ExplainConfig) -> None:
    """Map, region and center of mass of every image, from the files."""
    for batch in read_batches(config.images, explainer.network, SETTINGS, explainer.batch_size):
        for _ in explainer.explain(batch):
            pass


def plain_passes(network: InspectedNetwork, x: Tensor) -> None:
    """A forward and backward pass for each image."""
    for image in x.split(1):
        inputs = image.clone().requires_grad_()
        network(inputs).max().backward()


def measure_layercam(report: Report, home: Path, weights: Path, repeats: int) -> None:
    """LayerCAM of a folder and the plain passes, alternating."""
    config = ExplainConfig(model="squeezenet1_0", weights=str(weights), images=(str(home),))
    explainer = Explainer(config)
    (batch,) = read_batches(config.images, explainer.network, SETTINGS, IMAGES)
    x = explainer.network.prepare(batch.samples())
    sides: dict[str, partial[None]] = {
        "ours": partial(explain_folder, explainer, config),
        "plain": partial(plain_passes, explainer.network, x),
    }
    seconds = alternating(sides, repeats)
    report.add(f"LayerCAM of {IMAGES} images, decoding included", seconds["ours"], "s", n=repeats)
    report.add("forward and backward pass for each, decoded before", seconds["plain"], "s", n=repeats)
    report.add("LayerCAM / the plain passes", seconds["ours"] / seconds["plain"], "times", target="<= 1.3", n=repeats)


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
    report.close(options.json)


if __name__ == "__main__":
    main()
