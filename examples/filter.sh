#!/bin/sh
# The custom filters of lesson 5 on an image: edges, blur, and their effect on the frequencies.
# Look at: sheet.png. High-pass kernels remove the center of the spectrum, low-pass kernels everything else.
# layer.png has the maps of two kernels after ReLU and max pooling, lines.png Canny's edges.
set -eu
out=${1:-runs/example-filter}
mkdir -p "$out"
dlnotes filter --kernel high-pass --explain
dlnotes filter --kernel high-pass --kernel gaussian --sigma 2 --color gray --result abs \
    --sheet "$out/sheet.png" --spectrum --overwrite
dlnotes filter --kernel gradient --threshold 150 --out "$out/edges.png" --overwrite
dlnotes filter --kernel notes-4x4-1 --kernel notes-4x4-3 --edges crop --color gray --relu --pool max --result raw \
    --sheet "$out/layer.png" --overwrite
dlnotes filter --op median:5 --op canny --out "$out/lines.png" --overwrite
dlnotes filter --kernel "0 1 0; 1 0 1; 0 1 0" --edges crop \
    --patch "128 97 53 201 198; 35 22 25 200 195; 37 24 28 197 182; 33 28 92 195 179; 31 40 100 192 177"
