"""dlnotes from Python: the same tasks, options and defaults as in the shell.

Look at: how the test accuracy grows with the width of the hidden layer, and the digit with the lowest F1.
"""

import sys
from pathlib import Path

from dlnotes_cli.api import EvaluateConfig, PredictConfig, Predictor, TrainMlpConfig, evaluate_model, output, train_mlp

output.configure(quiet=True)
folder = Path(sys.argv[1] if len(sys.argv) > 1 else "runs/example-library")
folder.mkdir(parents=True, exist_ok=True)
for width in (2, 8, 32):
    config = TrainMlpConfig(hidden=(width,), epochs=15, out=folder / f"width-{width}", overwrite=True)
    output.line(f"{width:3} hidden units: test accuracy {train_mlp(config).test_accuracy:.4f}")

best = folder / "width-32"
worst = min(evaluate_model(EvaluateConfig(model=best)).scores, key=lambda score: score.f1)
output.line(f"lowest F1: digit {worst.name}, {worst.f1:.3f}")
for prediction in Predictor(PredictConfig(model=best, paths=(str(best / "predictions.png"),))):
    output.line(f"a plot of many digits is classified as {prediction.top[0][0]}")
