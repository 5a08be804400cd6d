#!/bin/sh
# Render an example image of scikit-learn in the style of a generated image.
# Look at: the sheet. A small ratio adds more of the style, a large one keeps more of the content; its Gram matrices in gram.png are further from
# those of the style.
set -eu
out=${1:-runs/example-style-transfer}
mkdir -p "$out"
dlnotes style-transfer --size 144 --steps 25 --sweep-ratio 0.003,0.03,0.3 --out "$out/stylized.png" --sheet "$out/sheet.png" --gram "$out/gram.png" --overwrite
