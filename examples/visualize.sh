#!/bin/sh
# Show what a network has learned: filters, feature maps, the image of a class, nearest images.
# Look at: the contact sheets. The first filters are edges and colors; later units respond to textures and parts.
set -eu
out=${1:-runs/example-visualize}
mkdir -p "$out"
dlnotes visualize layers
dlnotes visualize filters --sheet "$out/filters.png" --overwrite -q
dlnotes visualize activations --layer relu2 --sheet "$out/activations.png" --overwrite -q
dlnotes visualize maximize --unit cat,ship --sheet "$out/maximize.png" --overwrite -q
dlnotes visualize neighbors --sheet "$out/neighbors.png" --overwrite -q
dlnotes visualize dream --out "$out/dream.png" --overwrite -q
