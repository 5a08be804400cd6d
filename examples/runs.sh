#!/bin/sh
# Train two networks, list them, and test whether the difference of their accuracies is more than chance.
# Look at: the interval of the difference and the last column of the table; curves.png: both learning curves.
set -eu
out=${1:-runs/example-runs}
dlnotes train-mlp --hidden 8 --epochs 5 --out "$out/small" --overwrite --quiet
dlnotes train-mlp --hidden 64 --epochs 5 --out "$out/large" --overwrite --quiet
dlnotes runs list "$out" --sort validation.accuracy --columns hidden,epochs,validation.accuracy,test.accuracy
dlnotes runs diff "$out/small" "$out/large"
dlnotes runs compare "$out/small" "$out/large" --plot "$out/curves.png" --overwrite
dlnotes evaluate "$(dlnotes runs best "$out" --metric validation.accuracy)"
