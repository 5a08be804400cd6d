"""Train the embedded network `small`, whose features `style-transfer` compares, and write its model file.

    torchrun --nproc-per-node 2 tools/train_small.py CIFAR10 --teacher squeezenet1_0.pth --images FOLDER

Each process takes its share of every batch, rounded down; without torchrun there is one process. On two cores with AMX
it takes about 70 minutes.

CIFAR10 is `cifar10`, or a folder with `train` and `test`, each with a folder of images for each class. The teacher's
weights are torchvision's for SqueezeNet 1.0, or a state dict with the same names and shapes. FOLDER has larger images,
from which scenes are made (training_scenes.py).

The network learns two things at once. On scenes of 96 to 192 pixels, linear maps of its features predict the features
of the teacher, which was trained on ImageNet (knowledge distillation with hints, Romero et al. 2015, arXiv:1412.6550);
the maps are discarded afterwards. On the images of CIFAR-10, it learns their classes. The metadata of the file record
how it was trained. The file has no weights of the teacher, and no pixels.
"""

import argparse
import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
import torch.distributed as dist
import torch.nn.functional as F  # noqa: N812  # PyTorch's own abbreviation
from torch import Tensor, nn
from torchvision.models import SqueezeNet, squeezenet1_0
from training_scenes import Pixels, make_scenes, make_sources, read_images

from dlnotes_cli import __version__
from dlnotes_cli.classify.options import TrainCnnConfig
from dlnotes_cli.data.dataset import DataSet, SplitRule
from dlnotes_cli.data.load import load_training_data
from dlnotes_cli.data.preprocessing import ImagePreprocessing
from dlnotes_cli.networks.cnn import CnnConfig, build_cnn, initialize_cnn
from dlnotes_cli.networks.embedded import CHANNELS, FEATURES, MEAN, STD
from dlnotes_cli.seeding import seed_everything
from dlnotes_cli.training.model_file import EMBEDDED_MODEL
from dlnotes_cli.training.tensor_file import write_tensors

SCENES = 3000
SCENE_SIDES = (96, 128, 160, 192)  # of the batches, in pixels
SCENE_PIXELS = 3 << 16  # of a batch, of all processes: the smaller the sides, the more images
SMALLEST_SHARE = 0.5  # of a scene's side that a batch shows
IMAGES = 256  # of CIFAR-10 in a batch, of all processes
IMAGE_SIDE = 32  # of them, in pixels; the network reads larger images too
SHIFT = 4  # of these images at most, in pixels
ERASED = 10  # side of the square of each that is gray, in pixels
GRAY = 118  # of 255
IMAGE_SIDES = (32, 32, 32, 48, 64)  # to which a batch of them is enlarged, so that classes are known at several scales
LABEL_SMOOTHING = 0.1
CLASS_WEIGHT = 3.0  # of the cross-entropy, next to the sum of the feature losses
WARMUP, WEIGHT_DECAY = 200, 0.01  # steps of each phase
MAX_GRADIENT_NORM = 4.0
REPORT_EVERY = 100  # steps
RANK, PROCESSES = int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1"))  # torchrun sets them
CALIBRATION_BATCHES = 8  # of scenes, from which the scales of channels are computed
SMALLEST_DEVIATION = 0.5  # that a channel is divided by, relative to its layer's mean: some are hardly ever active
LARGEST_TARGET = 6.0  # of the teacher's standardized features
TEACHER_PADDING = 3  # pixels: with it, the features of both networks have the same sizes and nearly the same centers


def classifier_layers(classes: int) -> str:
    """The layer list of the network with a linear layer for a number of classes."""
    return f"{FEATURES}; Linear({CHANNELS}, {classes})"


Position = tuple[int, int]  # row and column


class Phase(NamedTuple):
    """A part of the training with a learning rate that falls to 0."""

    steps: int
    lr: float  # the highest
    is_varied: bool  # whether small images are erased in part and enlarged, and their labels smoothed


PHASES = Phase(15_000, 2e-3, is_varied=False), Phase(3_500, 1e-3, is_varied=True)


class Hint(NamedTuple):
    """A layer of the network whose features predict those of a layer of the teacher."""

    student: int  # index of the ReLU in the layer list
    teacher: int  # index in the teacher's `features`
    channels: int  # of the teacher's layer
    pooled: bool = False  # whether the network's features are averaged over 2x2 positions first


HINTS = {
    "conv1": Hint(6, 1, 96),
    "fire2": Hint(9, 3, 128),
    "fire3": Hint(11, 4, 128),
    "fire4": Hint(11, 5, 256),
    "fire5": Hint(14, 7, 256),
    "fire6": Hint(16, 8, 384),
    "fire7": Hint(18, 9, 384),
    "fire8": Hint(18, 10, 512),
    "fire9": Hint(18, 12, 512, pooled=True),
}


class Teacher(nn.Module):
    """SqueezeNet's features by layer of HINTS, each channel standardized; the statistics are those of `calibrate`."""

    def __init__(self, weights: Path) -> None:
        super().__init__()
        network: SqueezeNet = squeezenet1_0()
        network.load_state_dict(torch.load(weights, weights_only=True))
        self.layers = network.features.to(memory_format=torch.channels_last)
        self.layers.requires_grad_(requires_grad=False).eval()
        for layer in self.layers.modules():
            if isinstance(layer, nn.ReLU):
                layer.inplace = False
        self.statistics: dict[str, tuple[Tensor, Tensor]] = {}  # mean and standard deviation, each (1, C, 1, 1)

    @torch.no_grad()
    def forward(self, x: Tensor, first: Position = (0, 0)) -> dict[str, Tensor]:
        """Features of normalized images (N, 3, S, S), at every second position of S/2, S/4, S/8 or S/16 on a side."""
        x = F.pad(x, [TEACHER_PADDING] * 4, mode="reflect").contiguous(memory_format=torch.channels_last)
        names = {hint.teacher: name for name, hint in HINTS.items()}
        features = {}
        for i, layer in enumerate(self.layers):
            x = layer(x)
            if i in names:
                features[names[i]] = every_second(x, first)
        return {name: self._standardized(name, values) for name, values in features.items()}

    def calibrate(self, batches: Sequence[Tensor]) -> None:
        """Compute the statistics over batches of normalized images (N, 3, S, S)."""
        self.statistics = {}
        found = [self(batch) for batch in batches]
        for name in HINTS:
            values = torch.cat([features[name].float().transpose(0, 1).flatten(1) for features in found], dim=1)
            std = values.std(1)
            std = std.clamp(min=SMALLEST_DEVIATION * std.mean())
            self.statistics[name] = values.mean(1).view(1, -1, 1, 1), std.view(1, -1, 1, 1)

    def _standardized(self, name: str, values: Tensor) -> Tensor:
        if name not in self.statistics:
            return values
        mean, std = self.statistics[name]
        return ((values.float() - mean) / std).clamp(max=LARGEST_TARGET)


class Student(nn.Module):
    """The network with the linear maps that are discarded after training."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.network = build_cnn(CnnConfig(classifier_layers(classes), (3, IMAGE_SIDE, IMAGE_SIDE), classes))
        initialize_cnn(self.network)
        self.network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # missing in its stubs
        channels = output_channels(self.network)
        self.maps = nn.ModuleDict(
            {name: nn.Conv2d(channels[hint.student], hint.channels, 1) for name, hint in HINTS.items()}
        )

    def features(self, x: Tensor) -> dict[int, Tensor]:
        """Features of normalized images (N, 3, S, S) by index of a ReLU."""
        x = x.contiguous(memory_format=torch.channels_last)
        features = {}
        for i, layer in enumerate(self.network):
            if isinstance(layer, nn.AdaptiveAvgPool2d):
                break
            x = layer(x)
            if isinstance(layer, nn.ReLU):
                features[i] = x
        return features

    def hint_features(self, x: Tensor, first: Position = (0, 0)) -> dict[str, Tensor]:
        """Features of normalized images (N, 3, S, S) by layer of HINTS, at the same positions as the teacher's."""
        features = self.features(x)
        found = {}
        for name, hint in HINTS.items():
            values = features[hint.student]
            found[name] = every_second(F.avg_pool2d(values, 2) if hint.pooled else values, first)
        return found

    def predictions(self, x: Tensor, first: Position) -> dict[str, Tensor]:
        """The predicted features of the teacher by layer of HINTS."""
        return {name: self.maps[name](values) for name, values in self.hint_features(x, first).items()}


class Batches:
    """Random batches of scenes and of CIFAR-10, as normalized float32 images."""

    def __init__(
        self, scenes: Pixels, dataset: DataSet, unlabeled: Sequence[int], seed: int, *, is_varied: bool
    ) -> None:
        self.label_smoothing = LABEL_SMOOTHING if is_varied else 0.0
        self._is_varied = is_varied
        self._generator = torch.Generator().manual_seed(seed)
        self._scenes = torch.from_numpy(scenes).permute(0, 3, 1, 2)  # (N, 3, S, S)
        labels = dataset.labels[dataset.splits["train"]]
        chosen = dataset.splits["train"][~np.isin(labels, unlabeled)]
        self._images = F.pad(torch.from_numpy(np.asarray(dataset.samples[chosen])), [SHIFT] * 4)
        self._labels = torch.from_numpy(dataset.labels[chosen])

    def scenes(self) -> Tensor:
        """Random squares of scenes, flipped, in changed colors (N, 3, S, S); S is one of SCENE_SIDES."""
        side = SCENE_SIDES[self._integer(len(SCENE_SIDES))]
        count, full = max(1, SCENE_PIXELS // PROCESSES // side**2), self._scenes.shape[-1]
        shown = max(round(full * (SMALLEST_SHARE + (1 - SMALLEST_SHARE) * self._uniform(1).item())), min(side, full))
        crops = []
        for _ in range(count):
            top, left = self._integer(full - shown + 1), self._integer(full - shown + 1)
            crop = self._scenes[self._integer(len(self._scenes)), :, top : top + shown, left : left + shown]
            crops.append(crop.flip(-1) if self._integer(2) else crop)
        images = torch.stack(crops).float() / 255
        images = F.interpolate(images, (side, side), mode="bilinear", antialias=True)
        return normalized(self._recolored(images))

    def images(self) -> tuple[Tensor, Tensor]:
        """Shifted and flipped images (N, 3, S, S) of CIFAR-10, and their labels (N,)."""
        count = IMAGES // PROCESSES
        chosen = torch.randint(len(self._labels), (count,), generator=self._generator)
        shifts = torch.randint(2 * SHIFT + 1, (count, 2), generator=self._generator).tolist()
        flips = torch.randint(2, (count,), generator=self._generator).bool()
        images = torch.stack(
            [
                self._images[i, :, top : top + IMAGE_SIDE, left : left + IMAGE_SIDE]
                for i, (top, left) in zip(chosen.tolist(), shifts, strict=True)
            ]
        )
        images = torch.where(flips.view(-1, 1, 1, 1), images.flip(-1), images)
        if not self._is_varied:
            return normalized(images.float() / 255), self._labels[chosen]
        for image in images:
            top, left = self._integer(IMAGE_SIDE - ERASED + 1), self._integer(IMAGE_SIDE - ERASED + 1)
            image[:, top : top + ERASED, left : left + ERASED] = GRAY
        side = IMAGE_SIDES[self._integer(len(IMAGE_SIDES))]
        enlarged = F.interpolate(images.float() / 255, (side, side), mode="bilinear")
        return normalized(enlarged), self._labels[chosen]

    def position(self) -> Position:
        """One of the first 2x2 positions."""
        return self._integer(2), self._integer(2)

    def _recolored(self, images: Tensor) -> Tensor:
        """Images in 0..1 with random brightness, contrast, saturation and tint, clamped."""
        saturation, contrast, tint, brightness = (
            low + (high - low) * self._uniform(len(images), channels, 1, 1)
            for low, high, channels in ((0.0, 1.4, 1), (0.6, 1.4, 1), (0.9, 1.1, 3), (-0.15, 0.15, 1))
        )
        gray = images.mean(1, keepdim=True)
        colored = (gray + saturation * (images - gray)) * tint
        return ((colored - 0.5) * contrast + 0.5 + brightness).clamp(0, 1)

    def _integer(self, stop: int) -> int:
        return int(torch.randint(stop, (), generator=self._generator))

    def _uniform(self, *shape: int) -> Tensor:
        return torch.rand(shape, generator=self._generator)


@dataclass(frozen=True)
class Losses:
    """The losses of one step: of the features by layer of HINTS, and the cross-entropy."""

    hints: dict[str, Tensor]  # each 1 for a prediction of the mean, 0 for a perfect one
    classes: Tensor

    @property
    def total(self) -> Tensor:
        """The weighted sum."""
        return torch.stack([*self.hints.values()]).sum() + CLASS_WEIGHT * self.classes


def every_second(values: Tensor, first: Position) -> Tensor:
    """Features (N, C, H, W) at every second row and column: the loss of a quarter is as good, and faster."""
    top, left = first
    return values[:, :, top::2, left::2]


def normalized(images: Tensor) -> Tensor:
    """Images (N, 3, H, W) in 0..1 as both networks read them."""
    mean, std = (torch.tensor(values).view(1, 3, 1, 1) for values in (MEAN, STD))
    return (images - mean) / std


def output_channels(network: nn.Sequential) -> dict[int, int]:
    """The channels of each ReLU by its index."""
    channels, last = {}, 0
    for i, layer in enumerate(network):
        if isinstance(layer, nn.Conv2d):
            last = layer.out_channels
        elif isinstance(layer, nn.ReLU):
            channels[i] = last
    return channels


@torch.no_grad()
def scale_to_unit_variance(network: nn.Sequential, images: Tensor) -> None:
    """Scale each convolution so that its outputs have a variance of 1 (Mishkin and Matas 2016, arXiv:1511.06422)."""
    x = images
    for layer in network:
        if isinstance(layer, nn.Conv2d):
            layer.weight /= layer(x).std()
        x = layer(x)


@torch.no_grad()
def scale_to_equal_energy(student: Student, batches: Sequence[Tensor]) -> None:
    """Scale channels so that the squares of each have a mean of 1 over the batches, without changing the logits.

    The diagonals of the Gram matrices are then about 1, and no channel dominates the style loss. Gatys et al. (2016)
    scale to a mean of 1, which lets channels dominate that are rarely active.
    """
    found = [student.features(batch) for batch in batches]
    divisor: Tensor | None = None
    for i, layer in enumerate(student.network):
        if isinstance(layer, nn.Conv2d | nn.Linear) and divisor is not None:
            layer.weight *= divisor.view(1, -1, *[1] * (layer.weight.dim() - 2))
        if isinstance(layer, nn.Conv2d):
            energies = torch.stack([features[i + 1].square().mean((0, 2, 3)) for features in found]).mean(0)
            divisor = energies.sqrt().clamp(min=SMALLEST_DEVIATION * energies.sqrt().mean())
            layer.weight /= divisor.view(-1, 1, 1, 1)
            assert layer.bias is not None  # noqa: S101  # for mypy
            layer.bias /= divisor


def learning_rates(phase: Phase) -> Iterator[float]:
    """Linear warmup, then half a cosine to 0."""
    steps = phase.steps
    for step in range(steps):
        yield phase.lr * min(1.0, (step + 1) / WARMUP) * (1 + np.cos(np.pi * step / steps)) / 2


def train(student: Student, teacher: Teacher, batches: Batches, phase: Phase) -> None:
    """Train in place, printing a line every REPORT_EVERY steps."""
    optimizer = torch.optim.AdamW(student.parameters(), lr=phase.lr, betas=(0.9, 0.99), weight_decay=WEIGHT_DECAY)
    start = time.monotonic()
    for step, lr in enumerate(learning_rates(phase), 1):
        optimizer.param_groups[0]["lr"] = lr
        losses = step_losses(student, teacher, batches)
        optimizer.zero_grad()
        losses.total.backward()
        average_gradients(student)
        norm = nn.utils.clip_grad_norm_(student.parameters(), MAX_GRADIENT_NORM)
        optimizer.step()
        if RANK == 0 and (step % REPORT_EVERY == 0 or step == phase.steps):
            hints = " ".join(f"{name} {loss.item():.3f}" for name, loss in losses.hints.items())
            classes, seconds = losses.classes.item(), time.monotonic() - start
            print(
                f"step {step} of {phase.steps} {seconds:.0f} s: {hints} classes {classes:.3f} norm {norm:.2f}",
                flush=True,
            )


def average_gradients(student: Student) -> None:
    """Replace the gradients by their means over all processes."""
    if PROCESSES == 1:
        return
    gradients = [parameter.grad for parameter in student.parameters() if parameter.grad is not None]
    flat = torch.cat([gradient.flatten() for gradient in gradients])
    dist.all_reduce(flat)
    flat /= PROCESSES
    for gradient, mean in zip(gradients, flat.split([gradient.numel() for gradient in gradients]), strict=True):
        gradient.copy_(mean.view_as(gradient))


def step_losses(student: Student, teacher: Teacher, batches: Batches) -> Losses:
    """The losses of the next batches."""
    scenes, (images, labels) = batches.scenes(), batches.images()
    first = batches.position()
    with torch.autocast("cpu", torch.bfloat16):
        targets, predictions = teacher(scenes, first), student.predictions(scenes, first)
        logits = student.network(images)
    hints = {name: F.mse_loss(predictions[name].float(), targets[name]) / targets[name].var() for name in HINTS}
    return Losses(hints, F.cross_entropy(logits.float(), labels, label_smoothing=batches.label_smoothing))


@torch.no_grad()
def accuracy(network: nn.Module, dataset: DataSet) -> float:
    """On the test split."""
    indices = dataset.splits["test"]
    images = normalized(torch.from_numpy(np.asarray(dataset.samples[indices])).float() / 255)
    predicted = torch.cat([network(batch).argmax(1) for batch in images.split(500)])
    return float((predicted.numpy() == dataset.labels[indices]).mean())


def write_model(path: Path, network: nn.Module, dataset: DataSet, provenance: dict[str, object], seed: int) -> None:
    """Write the model file that commands read."""
    preprocessing = ImagePreprocessing(3, IMAGE_SIDE, IMAGE_SIDE, "crop", MEAN, STD)
    metadata = {
        "model": "cnn",
        "configuration": asdict(
            CnnConfig(classifier_layers(len(dataset.classes)), preprocessing.shape, len(dataset.classes))
        ),
        "classes": list(dataset.classes),
        "format": {"kind": preprocessing.kind, **asdict(preprocessing)},
        "seed": seed,
        "precision": "bf16",
        "versions": {"dlnotes": __version__, "torch": torch.__version__},
        "kind": "model",
        "provenance": provenance,
    }
    tensors = {name: tensor.half().contiguous() for name, tensor in network.state_dict().items()}
    write_tensors(path, tensors, metadata)


def provenance(
    dataset: DataSet, larger_images: int, test_accuracy: float, phases: Sequence[Phase], options: argparse.Namespace
) -> dict[str, object]:
    """How the network was trained, for the metadata of its file."""
    launcher = "python" if PROCESSES == 1 else f"torchrun --nproc-per-node {PROCESSES}"
    steps = " ".join(str(phase.steps) for phase in phases)
    command = f"{launcher} tools/train_small.py CIFAR10 --teacher SQUEEZENET1_0 --images FOLDER"
    unlabeled = f" --unlabeled {' '.join(options.unlabeled)}" if options.unlabeled else ""
    images = f"CIFAR-10 (A. Krizhevsky 2009), {len(dataset.splits['train']):,} images"
    return {
        "command": f"{command} --steps {steps} --seed {options.seed}" + unlabeled,
        "data": f"{images}; scenes made of them, of noise and of {larger_images} larger images",
        "data_fingerprint": dataset.fingerprint,
        "teacher": "SqueezeNet 1.0 (F. Iandola et al. 2016), trained on ImageNet",
        "test_accuracy": test_accuracy,
    }


def parsed_options() -> argparse.Namespace:
    """The options of the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", help="CIFAR-10: a folder, or cifar10")
    parser.add_argument("--teacher", type=Path, required=True, help="weights of SqueezeNet 1.0 (.pth)")
    parser.add_argument("--images", type=Path, required=True, help="folder of larger images")
    default_steps = [phase.steps for phase in PHASES]
    parser.add_argument("--steps", type=int, nargs=len(PHASES), default=default_steps, help="of each phase")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--unlabeled", nargs="*", default=[], help="classes to leave out of the classification")
    parser.add_argument("--out", type=Path, default=EMBEDDED_MODEL)
    return parser.parse_args()


def main() -> None:
    """Train, test, and write the model file with its provenance."""
    options = parsed_options()
    phases = [phase._replace(steps=steps) for phase, steps in zip(PHASES, options.steps, strict=True)]
    data = TrainCnnConfig(data=options.data)
    dataset = load_training_data(data, SplitRule(0, 0, options.seed), "standard", threads=1)
    unlabeled = [dataset.classes.index(name) for name in options.unlabeled]
    larger_images = read_images(options.images)
    small_images = np.asarray(dataset.samples[dataset.splits["train"]], np.uint8).transpose(0, 2, 3, 1)
    seed_everything(options.seed)
    student, teacher = Student(len(dataset.classes)), Teacher(options.teacher)
    calibration: list[Tensor] = []
    if PROCESSES > 1:
        dist.init_process_group("gloo")
    for seed, phase in enumerate(phases, options.seed):
        generator = np.random.default_rng(seed)
        scenes = make_scenes(make_sources(larger_images, small_images, generator), SCENES, generator)
        same, own = (
            Batches(scenes, dataset, unlabeled, seed * PROCESSES + rank, is_varied=phase.is_varied)
            for rank in (0, RANK)
        )
        calibration = [same.scenes() for _ in range(CALIBRATION_BATCHES)]
        teacher.calibrate(calibration)
        if seed == options.seed:
            scale_to_unit_variance(student.network, calibration[0])
        train(student, teacher, own, phase)
    if PROCESSES > 1:
        dist.destroy_process_group()
    if RANK > 0:
        return
    scale_to_equal_energy(student, calibration)
    found = accuracy(student.network.half().float().eval(), dataset)  # as the file stores them
    made = provenance(dataset, len(larger_images), found, phases, options)
    write_model(options.out, student.network, dataset, made, options.seed)
    print(f"{options.out}: {options.out.stat().st_size:,} bytes, test accuracy {found:.4f}")


if __name__ == "__main__":
    main()
