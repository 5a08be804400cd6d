#!/bin/sh
# Train two convolutional networks on the embedded digits: the default architecture, and your own list of layers.
# Look at: the table of layers that is printed first, and the test accuracies of the two result tables.
set -eu
out=${1:-runs/example-train-cnn}
mkdir -p "$out"
own="Conv2d(1, 16, 3, padding=1); ReLU(); MaxPool2d(2); Flatten(); Linear(256, 10)"
dlnotes train-cnn --layers "$own" --print
dlnotes train-cnn --width 0.5 --epochs 6 --out "$out/fast" --overwrite
dlnotes train-cnn --layers "$own" --epochs 10 --out "$out/own" --overwrite
