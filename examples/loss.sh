#!/bin/sh
# Calculate what a loss says of given numbers: softmax, likelihood, cross-entropy and gradients.
# Look at: the column share, which is no softmax; the formulas; bars.png in the output folder.
set -eu
out=${1:-runs/example-loss}
mkdir -p "$out"
dlnotes loss --scores "2 1 0" --true 0 --explain --plot "$out/bars.png" --overwrite

# The likelihood of four points under two models: the second one explains them better.
dlnotes loss --probabilities ".6 .2 .1 .7"
dlnotes loss --probabilities ".7 .9 .8 .6"

# A table of scores with the class of each row, and a softer softmax.
printf 'duck,beaver,walrus,animal\n2,1,0,duck\n0,3,1,walrus\n' > "$out/scores.csv"
dlnotes loss --scores "$out/scores.csv" --true animal --temperature 2

# In a script: the cross-entropy of ten equal classes, ln 10.
printf '0 0 0 0 0 0 0 0 0 0\n' | tr ' ' ',' | dlnotes loss --scores - --true 3 --json | python3 -c '
import json, sys
print(json.load(sys.stdin)["value"])'
