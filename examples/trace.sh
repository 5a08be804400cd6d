#!/bin/sh
# Follow numbers through a network, forward and back, and through the gates of recurrent cells.
# Look at: network.png, gates.png and vanishing.png in the output folder; the differences that --check prints.
set -eu
out=${1:-runs/example-trace}
mkdir -p "$out"
dlnotes trace "Linear(3, 2); Sigmoid(); Linear(2, 1); Sigmoid()" --input 1x3 --weights seed:7 --target 1 --check \
    --plot "$out/network.png" --overwrite

# The gates of an LSTM, as PyTorch has them and as the notes write the use gate.
dlnotes trace "LSTM(1, 1)" --input 1 --state 0.5 --memory 1 --weights ones --plot "$out/gates.png" --overwrite
dlnotes trace "LSTM(1, 1)" --input 1 --state 0.5 --memory 1 --weights ones --use-gate notes

# The vanishing gradient: six layers with sigmoid, and with ReLU.
layers="Linear(8, 8); Sigmoid()"
dlnotes trace "$layers; $layers; $layers; $layers; $layers; $layers" --input 1x8 --activation sigmoid,relu \
    --plot "$out/vanishing.png" --overwrite
dlnotes trace --activation sigmoid,tanh,relu,gelu --plot "$out/activations.png" --overwrite
