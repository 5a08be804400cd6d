#!/bin/sh
# Paint a photograph of scikit-learn's in the style of a drawing that the program makes.
# Look at: the sheet, where a small ratio takes more of the style and a large one keeps more of the content.
set -eu
out=${1:-runs/example-style-transfer}
mkdir -p "$out"
dlnotes style-transfer --size 144 --steps 25 --sweep-ratio 0.003,0.03,0.3 --out "$out/painted.png" --sheet "$out/sheet.png" --overwrite
