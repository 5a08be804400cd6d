#!/bin/sh
# Train a perceptron on a logical gate and on points, and move one line.
# Look at: gate.png and points.gif in the output folder; the point that needs six updates.
set -eu
out=${1:-runs/example-perceptron}
mkdir -p "$out"
dlnotes perceptron --gate and --plot "$out/gate.png" --overwrite
dlnotes perceptron --line 3,4,-10 --point 4,5 --label 0 --lr 0.1

# Points with two columns and a label, without a header; the sigmoid rule is logistic regression.
awk 'BEGIN { srand(1); for (i = 0; i < 60; i++) { y = i % 2; print rand() + 0.6 * y "," rand() + 0.6 * y "," y } }' > "$out/points.csv"
dlnotes perceptron "$out/points.csv" --rule sigmoid --epochs 40 --animate "$out/points.gif" --overwrite
