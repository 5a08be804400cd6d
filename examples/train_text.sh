#!/bin/sh
# Train a text classifier and its linear baseline on generated remarks, and show which words carried its answers.
# Look at: the table, in which counting words is not enough for these remarks, and words.html, where blue words speak for the answer.
set -eu
out=${1:-runs/example-train-text}
dlnotes train-text --hidden-size 64 --lr 0.01 --max-steps 250 --out "$out" --overwrite
dlnotes evaluate "$out" --out "$out/plots" --overwrite
dlnotes predict "$out" "The plot is not bad." "Nobody could call the ending great." --explain --explain-html "$out/words.html" --overwrite
printf 'The screen is excellent.\nThe menu is not clever.\n' | dlnotes predict "$out" - --csv -
