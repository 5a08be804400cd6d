#!/bin/sh
# Train a small LSTM on the help texts of Python, let it write, and see what surprises it.
# Look at: heat.png, where the first letters of words are the dark surprises and their ends are easily guessed.
set -eu
out=${1:-runs/example-char-rnn}
dlnotes char-rnn train --hidden 128 --max-steps 100 --sample 0 --out "$out" --overwrite
dlnotes char-rnn sample "$out" --prime "The " --length 200 --temperature 0.7
python -c 'print("The following statements are executed in the order in which they are given.\n" * 4)' > "$out/text.txt"
dlnotes char-rnn score "$out" "$out/text.txt" --heat "$out/heat.png" --overwrite
