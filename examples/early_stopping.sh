#!/bin/sh
# Replay early stopping with several patiences on a run that was trained to its end.
# Look at: the column "keeps epoch" of the table; stops.png: what each patience would have missed.
set -eu
out=${1:-runs/example-early-stopping}
mkdir -p "$out"
dlnotes train-mlp --hidden 32 --schedule constant --epochs 30 --out "$out/run" --overwrite --quiet
dlnotes runs early-stopping "$out/run" --patience 1,2,3,5,8 --plot "$out/stops.png" --overwrite
