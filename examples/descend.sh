#!/bin/sh
# Race optimizers down a surface, and restart from random points.
# Look at: ravine.png and hills.png in the output folder.
set -eu
out=${1:-runs/example-descend}
mkdir -p "$out"
dlnotes descend --surface ravine --optimizer sgd,momentum,nesterov,adam --plot "$out/ravine.png" --overwrite
dlnotes descend --surface hills --optimizer sgd --restarts 8 --plot "$out/hills.png" --overwrite

# A surface of your own, and a learning rate that decays.
dlnotes descend --surface "x**4 - 2*x**2 + y**2" --start 0.1,2 --optimizer sgd,adam --lr 0.05,0.2 --decay 0.99
