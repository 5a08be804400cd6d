#!/bin/sh
# Ask a trained network about images, as a table and as JSON lines.
# Look at: the item that is no image. With --skip-bad it is a row of its own and the others keep their answers.
set -eu
out=${1:-runs/example-predict}
mkdir -p "$out"
dlnotes train-mlp --hidden 64 --epochs 15 --out "$out/run" --overwrite --quiet
echo "not an image" > "$out/broken.png"
dlnotes predict "$out/run" "$out/run/predictions.png" "$out/broken.png" --skip-bad
dlnotes predict "$out/run" "$out/run/*.png" --top 1 --jsonl
