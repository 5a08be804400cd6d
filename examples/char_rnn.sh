#!/bin/sh
# Train a small LSTM on the help texts of Python, sample from it, and draw the surprisal of each character of a text.
# Look at: heat.png. Bright characters are unexpected: rare ones such as w, y and g most, spaces and 'the' least.
set -eu
out=${1:-runs/example-char-rnn}
dlnotes char-rnn train --hidden-size 96 --max-steps 250 --sample 0 --out "$out" --overwrite
dlnotes char-rnn sample "$out" --prime "The " --length 200 --temperature 0.7
python -c 'print("The following statements are executed in the order in which they are given.\n" * 4)' > "$out/text.txt"
dlnotes char-rnn score "$out" "$out/text.txt" --heat "$out/heat.png" --overwrite
