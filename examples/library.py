"""dlnotes from Python: the same tasks, options and defaults as in the shell.

Look at: how the test accuracy grows with the width of the hidden layer.
"""

import sys
from pathlib import Path

from dlnotes_cli import output
from dlnotes_cli.configs.train_mlp import TrainMlpConfig
from dlnotes_cli.tasks.train_mlp import train_mlp

output.configure(quiet=True)
folder = Path(sys.argv[1] if len(sys.argv) > 1 else "runs/example-library")
folder.mkdir(parents=True, exist_ok=True)
for width in (2, 8, 32):
    config = TrainMlpConfig(hidden=(width,), epochs=15, out=folder / f"width-{width}", overwrite=True)
    output.line(f"{width:3} hidden units: test accuracy {train_mlp(config).test_accuracy:.4f}")
