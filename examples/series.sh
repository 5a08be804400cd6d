#!/bin/sh
# Forecast an hourly series with a daily and a weekly season, whose noise is known, and the sine of the course's notebook.
# Look at: backtest.png. The network is far better than the value one week before, and hardly better than a linear model.
set -eu
out=${1:-runs/example-series}
dlnotes series train --data trend-season --max-steps 400 --out "$out/hourly" --overwrite
dlnotes series backtest "$out/hourly" --folds 7 --plot "$out/backtest.png" --overwrite
dlnotes series forecast "$out/hourly" --horizon 48 --interval 0.9 --csv "$out/next.csv" --plot "$out/next.png" --overwrite
dlnotes series train --recipe notes --out "$out/sine" --overwrite
dlnotes series forecast "$out/sine" --plot "$out/sine.png" --overwrite
