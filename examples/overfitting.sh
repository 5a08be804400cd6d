#!/bin/sh
# Compare networks of 1, 3 and 50 + 50 hidden units on the same points: underfitting, fitting and overfitting.
# Look at: large/boundaries.png in the output folder, with the regions of all three and their accuracies.
set -eu
out=${1:-runs/example-overfitting}
mkdir -p "$out"

# Two arcs of points that overlap.
awk 'BEGIN { srand(3); print "x1,x2,label"; for (i = 0; i < 160; i++) { y = i % 2; t = 3.1416 * rand()
    a = rand() + rand() + rand() - 1.5; b = rand() + rand() + rand() - 1.5
    print (y ? 1 - cos(t) : cos(t)) + 0.5 * a "," (y ? 0.5 - sin(t) : sin(t)) + 0.5 * b "," y } }' > "$out/arcs.csv"

# The same data and training for each; no penalty holds the weights small.
train() {
    dlnotes train-mlp --data "$out/arcs.csv" --target label --activation tanh --dropout 0 --weight-decay 0 --lr 0.05 \
        --epochs 300 --overwrite "$@"
}
train --hidden 1 --out "$out/small"
train --hidden 3 --out "$out/medium"
train --hidden 50,50 --out "$out/large" --beside "$out/small,$out/medium"
