"""Output shape and number of parameters of a network by torchinfo, printed as `conv-shape --field` prints them.

    python benchmarks/programs/torchinfo_summary.py quiz 3x130x130

Needs torch and torchinfo, and nothing of dlnotes.
"""

import sys

from torch import nn
from torchinfo import summary


def quiz() -> nn.Sequential:
    """The network of the quiz of lesson 5."""
    return nn.Sequential(
        nn.Conv2d(3, 10, 3),
        nn.MaxPool2d(4, 4),
        nn.Conv2d(10, 20, 5, padding=2),
        nn.MaxPool2d(2, 2),
    )


def notes_cnn() -> nn.Sequential:
    """The network of the course's CIFAR-10 notebook."""
    return nn.Sequential(
        nn.Conv2d(3, 16, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2, 2),
        nn.Conv2d(16, 32, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2, 2),
        nn.Conv2d(32, 64, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2, 2),
        nn.Flatten(),
        nn.Dropout(0.25),
        nn.Linear(1024, 500),
        nn.ReLU(),
        nn.Dropout(0.25),
        nn.Linear(500, 10),
    )


NETWORKS = {"quiz": quiz, "notes-cnn": notes_cnn}


def main() -> None:
    """Print the output shape without the batch, and the parameters."""
    name, input_size = sys.argv[1:]
    size = (1, *map(int, input_size.split("x")))
    result = summary(NETWORKS[name](), size, verbose=0)
    print(*result.summary_list[-1].output_size[1:], result.total_params)


if __name__ == "__main__":
    main()
