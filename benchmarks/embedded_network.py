"""`small` compared with SqueezeNet, its teacher: features of other images, and classes told apart from few images.

    python benchmarks/embedded_network.py --data CIFAR10 --teacher squeezenet1_0.pth --images FOLDER
        [--network FILE] [--classes cat dog deer horse] [--repeats 3] [--json FILE]

CIFAR10 and the teacher's weights are those of `tools/train_small.py`. Linear maps from the features of `small` to the
teacher's are fitted on crops of the larger images in FOLDER, and tested on crops of the two images of scikit-learn,
which neither network was trained on. Each pair of `--classes` is told apart with a logistic regression on the features
of 125 images of each, and tested on all test images. FILE is another file of the network: for classes that it was not
taught, train it with `tools/train_small.py --unlabeled cat dog deer horse --out FILE`.
"""

import argparse
import sys
from collections.abc import Callable, Sequence
from itertools import combinations
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F  # noqa: N812  # PyTorch's own abbreviation
from measure import Report
from PIL import Image
from sklearn.datasets import load_sample_images
from sklearn.linear_model import LogisticRegression, RidgeCV
from sklearn.metrics import r2_score
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import Tensor

from dlnotes_cli.classify.options import TrainCnnConfig
from dlnotes_cli.data.dataset import DataSet, SplitRule
from dlnotes_cli.data.load import load_training_data
from dlnotes_cli.networks.embedded import TRANSFER_SIDE
from dlnotes_cli.training.model_file import EMBEDDED_MODEL, load_classifier

sys.path.insert(0, str(Path(__file__).parents[1] / "tools"))
from train_small import HINTS, Student, Teacher, normalized
from training_scenes import read_images

Pixels = npt.NDArray[np.uint8]  # (H, W, 3), or (N, 3, H, W) for several images
Values = npt.NDArray[np.float32]

SIDE = 160  # of a crop, in pixels
CROPS = 200, 24  # for the fit, and for the test
POSITIONS = 20_000  # of features at most, for the fit
PENALTIES = np.logspace(-3, 4, 8)  # of linear maps, for standardized features
IMAGES = 125  # of each class, to fit a classifier
TEACHER_SIDE = 128  # pixels to which images of CIFAR-10 are enlarged for the teacher
BATCH = 100


def crops(images: Sequence[Pixels], count: int, generator: np.random.Generator) -> Tensor:
    """Normalized random squares (count, 3, SIDE, SIDE) of the images in turn, reduced to half their size at most."""
    squares = []
    for i in range(count):
        pixels = images[i % len(images)]
        height, width = pixels.shape[:2]
        side = int(generator.integers(SIDE, min(height, width, 2 * SIDE) + 1))
        top, left = generator.integers(height - side + 1), generator.integers(width - side + 1)
        crop = Image.fromarray(pixels[top : top + side, left : left + side])
        squares.append(np.asarray(crop.resize((SIDE, SIDE), Image.Resampling.LANCZOS)))
    return normalized(torch.from_numpy(np.stack(squares)).permute(0, 3, 1, 2).float() / 255)


def by_position(features: Tensor) -> Values:
    """Features (N, C, H, W) as one row for each position (N*H*W, C)."""
    rows: Values = features.permute(0, 2, 3, 1).flatten(0, 2).numpy()
    return rows


def gram_distance(predicted: Tensor, targets: Tensor) -> float:
    """The norm of the difference of Gram matrices, relative to that of the targets' (N, C, H, W), mean over images."""
    flat = predicted.flatten(2), targets.flatten(2)
    first, second = (values @ values.transpose(1, 2) for values in flat)
    return float(((first - second).norm(dim=(1, 2)) / second.norm(dim=(1, 2))).mean())


@torch.no_grad()
def measure_features(report: Report, student: Student, teacher: Teacher, images: Sequence[Pixels]) -> None:
    """R2 of the teacher's features and the distance of their Gram matrices, predicted by linear maps."""
    generator = np.random.default_rng(0)
    networks = student.hint_features, teacher
    seen, others = crops(images, CROPS[0], generator), crops(load_sample_images().images, CROPS[1], generator)
    fitted, tested = ([network(batch) for network in networks] for batch in (seen, others))
    for name in HINTS:
        own, targets = (by_position(features[name]) for features in fitted)
        chosen = generator.permutation(len(own))[:POSITIONS]
        linear = make_pipeline(StandardScaler(), RidgeCV(PENALTIES)).fit(own[chosen], targets[chosen])
        own, targets = (by_position(features[name]) for features in tested)
        predicted = linear.predict(own)
        r2 = r2_score(targets, predicted, multioutput="variance_weighted")
        real = tested[1][name]
        count, channels, height, width = real.shape
        maps = torch.from_numpy(predicted).view(count, height, width, channels).permute(0, 3, 1, 2)
        report.add(f"{name}: R2 of the predicted features", r2, "")
        report.add(f"{name}: relative distance of Gram matrices", gram_distance(maps, real), "")


@torch.no_grad()
def pooled(network: Callable[[Tensor], Tensor], images: Pixels, side: int) -> Values:
    """Features (N, F) of images (N, 3, H, W) that are resized to a side."""
    found = []
    for batch in torch.from_numpy(images).split(BATCH):
        resized = F.interpolate(batch.float() / 255, (side, side), mode="bilinear")
        found.append(network(normalized(resized)))
    features: Values = torch.cat(found).numpy()
    return features


class Pairs:
    """Pairs of classes, told apart by the features that `extract` computes of images (N, 3, H, W)."""

    def __init__(self, dataset: DataSet, extract: Callable[[Pixels], Values]) -> None:
        self._dataset, self._extract = dataset, extract
        self._tested: dict[int, Values] = {}  # features of the test images by class

    def accuracy(self, classes: tuple[int, int], seed: int) -> float:
        """The test accuracy of a logistic regression that is fitted on IMAGES random images of each class."""
        generator = np.random.default_rng(seed)
        fitted = [self._features(generator.permutation(self._indices("train", label))[:IMAGES]) for label in classes]
        for label in classes:
            if label not in self._tested:
                self._tested[label] = self._features(self._indices("test", label))
        regression = make_pipeline(StandardScaler(), LogisticRegression(max_iter=300))
        model = GridSearchCV(regression, {"logisticregression__C": np.logspace(-4, 0, 5)}, cv=4)
        model.fit(*_joined(fitted))
        return float(model.score(*_joined([self._tested[label] for label in classes])))

    def _indices(self, split: str, label: int) -> npt.NDArray[np.int64]:
        indices = self._dataset.splits[split]
        chosen: npt.NDArray[np.int64] = indices[self._dataset.labels[indices] == label]
        return chosen

    def _features(self, indices: npt.NDArray[np.int64]) -> Values:
        return self._extract(np.asarray(self._dataset.samples[indices]))


def _joined(features: Sequence[Values]) -> tuple[Values, npt.NDArray[np.int64]]:
    """The features of two classes, and their labels 0 and 1."""
    return np.concatenate(features), np.repeat([0, 1], [len(rows) for rows in features])


def measure_pairs(
    report: Report, student: Student, teacher: Teacher, dataset: DataSet, names: Sequence[str], repeats: int
) -> None:
    """The accuracy for each pair of classes, with the features of both networks."""
    own = student.network[:-1]  # without the linear layer
    networks = {
        f"small at {TRANSFER_SIDE} pixels": Pairs(dataset, lambda images: pooled(own, images, TRANSFER_SIDE)),
        f"squeezenet1_0 at {TEACHER_SIDE} pixels": Pairs(
            dataset, lambda images: pooled(lambda x: teacher.layers(x).mean((2, 3)), images, TEACHER_SIDE)
        ),
    }
    for first, second in combinations(names, 2):
        classes = dataset.classes.index(first), dataset.classes.index(second)
        for name, pairs in networks.items():
            accuracies = [pairs.accuracy(classes, seed) for seed in range(repeats)]
            report.add(f"{first} or {second}, {name}: accuracy", float(np.mean(accuracies)), "", n=repeats)


def main() -> None:
    """Measure and report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True)
    parser.add_argument("--teacher", type=Path, required=True)
    parser.add_argument("--images", type=Path, required=True)
    parser.add_argument("--network", type=Path, default=EMBEDDED_MODEL)
    parser.add_argument("--classes", nargs="+", default=["cat", "dog", "deer", "horse"])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    dataset = load_training_data(TrainCnnConfig(data=options.data), SplitRule(0, 0, 0), "standard", threads=1)
    student, teacher = Student(len(dataset.classes)), Teacher(options.teacher)
    student.network.load_state_dict(load_classifier(options.network).network.state_dict())
    student.eval()
    report = Report("embedded_network", torch.get_num_threads())
    measure_features(report, student, teacher, read_images(options.images))
    measure_pairs(report, student, teacher, dataset, options.classes, options.repeats)
    report.close(options.json)


if __name__ == "__main__":
    main()
