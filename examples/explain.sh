#!/bin/sh
# Explain the answers of a network: three methods for one image, and the test of a map.
# Look at: the sheets. The network knows no flowers and answers "bird"; the line of --check says whether to believe the map.
set -eu
out=${1:-runs/example-explain}
mkdir -p "$out"
dlnotes explain --check --sheet "$out/layercam.png" --overwrite
dlnotes explain --method occlusion --class bird --class ship --sheet "$out/occlusion.png" --overwrite
dlnotes explain --method integrated-gradients --maps "$out/maps" --sheet "$out/gradients.png" --overwrite
