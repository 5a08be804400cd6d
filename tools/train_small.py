"""Train the feature network of `style-transfer` that the package contains.

    python tools/train_small.py CIFAR10 [--steps 7400]

CIFAR10 is a folder of class folders, or `cifar10`. The metadata of the file record how it was trained.
"""

import argparse
import tempfile
from pathlib import Path

from dlnotes_cli.classify.options import TrainCnnConfig
from dlnotes_cli.classify.train_cnn import train_cnn
from dlnotes_cli.training.model_file import EMBEDDED_MODEL
from dlnotes_cli.training.tensor_file import read_tensors, write_tensors

LAYERS = "; ".join(
    """
Conv2d(3, 32, 3, padding=1, bias=False); BatchNorm2d(32); ReLU(); MaxPool2d(2)
Conv2d(32, 64, 3, padding=1, bias=False); BatchNorm2d(64); ReLU()
Conv2d(64, 64, 3, padding=1, bias=False); BatchNorm2d(64); ReLU(); MaxPool2d(2)
Conv2d(64, 128, 3, padding=1, bias=False); BatchNorm2d(128); ReLU()
Conv2d(128, 128, 3, padding=1, bias=False); BatchNorm2d(128); ReLU()
AdaptiveMaxPool2d(1); Flatten(); Linear(128, 10)
""".strip().splitlines()
)


def main() -> None:
    """Train, test, and write the model file with its provenance."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data")
    parser.add_argument("--steps", type=int, default=7400)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        run = Path(folder) / "run"
        result = train_cnn(TrainCnnConfig(data=options.data, layers=LAYERS, max_steps=options.steps, out=run))
        tensors, metadata = read_tensors(run / "model.safetensors")
    accuracy = result.test_accuracy
    seed = metadata["seed"]
    provenance = {
        "command": f"dlnotes train-cnn --data CIFAR10 --layers SMALL --max-steps {options.steps} --seed {seed}",
        "data": "CIFAR-10 (A. Krizhevsky 2009), 50,000 images",
        "data_fingerprint": metadata["data"]["fingerprint"],
        "test_accuracy": accuracy,
    }
    inherited = {name: value for name, value in metadata.items() if name not in {"sha256", "format_version", "data"}}
    write_tensors(EMBEDDED_MODEL, tensors, inherited | {"provenance": provenance})
    print(f"{EMBEDDED_MODEL}: {EMBEDDED_MODEL.stat().st_size:,} bytes, test accuracy {accuracy:.4f}")


if __name__ == "__main__":
    main()
