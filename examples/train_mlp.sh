#!/bin/sh
# Train a small network on the embedded digits twice: with the default recipe and with the course's.
# Look at: curves.png of both runs. The course's recipe has no schedule and learns slowly; the default decays the learning rate.
set -eu
out=${1:-runs/example-train-mlp}
mkdir -p "$out"
dlnotes train-mlp --hidden 64 --epochs 15 --out "$out/best" --overwrite
dlnotes train-mlp --hidden 64 --epochs 15 --recipe notes --out "$out/notes" --overwrite
