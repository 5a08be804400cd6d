#!/bin/sh
# Evaluate a trained classifier, and use its accuracy as a gate.
# Look at: the two digits that are confused most often in confusion.png; the exit code of the last command.
set -eu
out=${1:-runs/example-evaluate}
mkdir -p "$out"
dlnotes train-mlp --hidden 64 --epochs 15 --out "$out/run" --overwrite --quiet
dlnotes evaluate "$out/run" --top-k 2,3 --out "$out/plots" --overwrite
dlnotes evaluate "$out/run" --min-accuracy 0.999 --quiet || echo "the gate is not met: exit code $?"
