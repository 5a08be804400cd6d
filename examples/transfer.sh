#!/bin/sh
# Train a new head on the bundled network, which needs no download; --backbone names a network of torchvision.
# Look at: the second run, which reads the features of all images from the cache; and the map of the features.
set -eu
out=${1:-runs/example-transfer}
mkdir -p "$out"
python3 - "$out/photos" <<'END'
import pathlib, sys
from PIL import Image, ImageDraw

for name, draw in (("disc", ImageDraw.ImageDraw.ellipse), ("square", ImageDraw.ImageDraw.rectangle)):
    folder = pathlib.Path(sys.argv[1], name)
    folder.mkdir(parents=True, exist_ok=True)
    for i in range(24):
        image = Image.new("RGB", (64, 64), (200 - 3 * i, 120, 60 + 5 * i))
        draw(ImageDraw.Draw(image), (8 + i % 5, 10 + i % 7, 40 + i % 9, 42 + i % 11), fill=(20, 5 * i, 90))
        image.save(folder / f"{i}.png")
END
dlnotes transfer --data "$out/photos" --backbone small --out "$out/run" --overwrite
dlnotes transfer --data "$out/photos" --backbone small --folds 4 \
    --map "$out/map.png" --out "$out/folds" --overwrite
