#!/bin/sh
# Export a classifier to ONNX, and compare what bf16 and int8 cost.
# Look at: the line "check": the file answers as the model does; then the accuracy of int8 in the table of --time.
set -eu
out=${1:-runs/example-export}
dlnotes train-cnn --epochs 4 --out "$out" --overwrite -q
dlnotes export "$out" --time --overwrite
