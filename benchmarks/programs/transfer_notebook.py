"""Transfer learning as the course's notebook writes it: the frozen backbone runs on every image in every epoch.

    python benchmarks/programs/transfer_notebook.py FOLDER WEIGHTS EPOCHS SEED

FOLDER has train and val splits of class folders, WEIGHTS is a state dict of squeezenet1_0. Prints the validation
accuracy, or with 0 epochs the number of images after one pass that computes their features and nothing else.
"""

import sys
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader
from torchvision import datasets, models, transforms

FEATURES = 512  # channels of squeezenet1_0
BATCH = 32
TRANSFORM = transforms.Compose(
    [
        transforms.Resize(256),
        transforms.CenterCrop(224),
        transforms.ToTensor(),
        transforms.Normalize([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]),
    ]
)


def load_backbone(weights: Path) -> models.SqueezeNet:
    """The pretrained backbone, frozen."""
    network = models.squeezenet1_0()
    network.load_state_dict(torch.load(weights, weights_only=True))
    network.requires_grad_(False).eval()
    return network


@torch.no_grad()
def features(network: models.SqueezeNet, images: Tensor) -> Tensor:
    """Images (N, 3, 224, 224) to features (N, 512), averaged over the positions."""
    averaged: Tensor = network.features(images).mean((2, 3))
    return averaged


def train_head(
    network: models.SqueezeNet, train: DataLoader[Any], val: DataLoader[Any], classes: int, epochs: int
) -> float:
    """Train a linear head with Adam, validate after every epoch; returns the last validation accuracy."""
    head = nn.Linear(FEATURES, classes)
    optimizer = torch.optim.Adam(head.parameters(), lr=0.001)
    accuracy = 0.0
    for _ in range(epochs):
        for images, labels in train:
            optimizer.zero_grad()
            nn.functional.cross_entropy(head(features(network, images)), labels).backward()
            optimizer.step()
        correct = sum((head(features(network, x)).argmax(1) == y).sum().item() for x, y in val)
        accuracy = correct / len(val.dataset)  # type: ignore[arg-type]  # image folders have a length
    return accuracy


def main() -> None:
    """Train and print the accuracy, or run one pass of features."""
    folder, weights, epochs, seed = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])
    torch.manual_seed(seed)
    train_set, val_set = (datasets.ImageFolder(str(folder / split), TRANSFORM) for split in ("train", "val"))
    train = DataLoader(train_set, batch_size=BATCH, shuffle=True)
    val = DataLoader(val_set, batch_size=BATCH)
    network = load_backbone(weights)
    if epochs == 0:
        print(sum(features(network, images).shape[0] for loader in (train, val) for images, _ in loader))
    else:
        print(train_head(network, train, val, len(train_set.classes), epochs))


if __name__ == "__main__":
    main()
