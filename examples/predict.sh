#!/bin/sh
# Classify images with a trained network, as a table and as JSON lines.
# Look at: the file that is not an image. With --skip-bad it is a row of its own, and the others are classified.
set -eu
out=${1:-runs/example-predict}
mkdir -p "$out"
dlnotes train-mlp --hidden 64 --epochs 15 --out "$out/run" --overwrite --quiet
echo "not an image" > "$out/broken.png"
dlnotes predict "$out/run" "$out/run/predictions.png" "$out/broken.png" --skip-bad
dlnotes predict "$out/run" "$out/run/*.png" --top 1 --jsonl
