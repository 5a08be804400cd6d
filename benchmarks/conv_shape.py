"""`conv-shape` against a script that asks torchinfo the same, whole processes, alternating.

The script imports torch, builds the layers and prints their output shape and parameters, as `conv-shape --field` does.
Then `conv-shape` against the same program running a command that does nothing, and a list of a thousand layers.
torchinfo is no dependency of the project; give it an environment of its own:

    python3 -m venv /tmp/torchinfo && /tmp/torchinfo/bin/pip install torch numpy torchinfo
    python benchmarks/conv_shape.py --peer /tmp/torchinfo/bin/python [--repeats 9] [--json FILE]

Without `--peer`, that half is left out.
"""

import argparse
import sys
import tempfile
from functools import partial
from pathlib import Path

from measure import DLNOTES, Report, alternating, whole_process

from dlnotes_cli.shapes import named_network
from dlnotes_cli.shapes.layer import format_shape

QUIZ = "Conv2d(3, 10, 3); MaxPool2d(4, 4); Conv2d(10, 20, 5, padding=2); MaxPool2d(2, 2)"
COURSE_CNN = named_network("notes-cnn")
STACKS = {
    "quiz of lesson 5": ("3x130x130", QUIZ),
    "notes-cnn": (format_shape(COURSE_CNN.input), COURSE_CNN.layers),
}
SCRIPT = """
import sys
from torch import nn
from torchinfo import summary

size = (1, *map(int, sys.argv[1].split("x")))
network = nn.Sequential({layers})
found = summary(network, size, verbose=0)
print(*found.summary_list[-1].output_size[1:], found.total_params)
"""
NOTHING = """
import sys
from types import SimpleNamespace
from dlnotes_cli import cli
from dlnotes_cli.shell.startup import PlainCommand

cli.COMMANDS["nothing"] = "nothing"
command = SimpleNamespace(register=lambda app: app.command("nothing", cls=PlainCommand)(lambda: None))
sys.modules["dlnotes_cli.nothing"] = command
cli.main(["nothing"])
"""


def torchinfo(python: str, size: str, layers: str) -> list[str]:
    """The command of a script that asks torchinfo about a stack."""
    calls = [call.strip() for line in layers.splitlines() for call in line.split(";")]
    return [python, "-c", SCRIPT.format(layers=", ".join(f"nn.{call}" for call in calls if call)), size]


def ours(size: str, layers: str, field: str) -> list[str]:
    """The command of the same question to `conv-shape`."""
    return [*DLNOTES, "conv-shape", "--input", size, layers, "--field", field]


def check_answers(python: str, size: str, layers: str) -> None:
    """Both sides must say the same."""
    theirs = whole_process(torchinfo(python, size, layers)).out.split()
    shape, parameters = (whole_process(ours(size, layers, field)).out.strip() for field in ("output", "parameters"))
    if [*shape.split("x"), parameters] != theirs:
        raise SystemExit(f"{layers}: torchinfo says {theirs}, conv-shape {shape} and {parameters}")


def measure_peer(report: Report, python: str, repeats: int) -> None:
    """Each stack on both sides."""
    for name, (size, layers) in STACKS.items():
        check_answers(python, size, layers)
        commands = {"torchinfo": torchinfo(python, size, layers), "dlnotes": ours(size, layers, "output")}
        sides = {side: partial(whole_process, command) for side, command in commands.items()}
        seconds = alternating(sides, repeats)
        report.add(f"{name}: torchinfo script", seconds["torchinfo"], "s", n=repeats)
        shown = f"dlnotes conv-shape --input {size} '{' '.join(layers.split())}' --field output"
        report.add(f"{name}: dlnotes", seconds["dlnotes"], "s", target="< 0.3", n=repeats, command=shown)
        report.add(
            f"{name}: torchinfo / dlnotes", seconds["torchinfo"] / seconds["dlnotes"], "times", target=">= 5", n=repeats
        )


def measure_start(report: Report, repeats: int) -> None:
    """What the command costs beyond starting the program, and what a thousand layers cost beyond four."""
    size, layers = STACKS["quiz of lesson 5"]
    with tempfile.TemporaryDirectory() as folder:
        net = Path(folder) / "net.py"
        net.write_text("nn.Conv2d(3, 3, 3, padding=1),\nnn.ReLU(),\n" * 500)
        sides = {
            "nothing": [sys.executable, "-c", NOTHING],
            "quiz": [*DLNOTES, "conv-shape", "--input", size, layers],
            "letters": [*DLNOTES, "conv-shape", "-W", "130", "-F", "3"],
            "thousand": [*DLNOTES, "conv-shape", "--input", "3x130x130", "--file", str(net)],
            "help": [*DLNOTES, "conv-shape", "--help"],
        }
        seconds = alternating({name: partial(whole_process, command) for name, command in sides.items()}, repeats)
    report.add("a command that does nothing", seconds["nothing"], "s", n=repeats)
    report.add("quiz of lesson 5, with its table", seconds["quiz"], "s", target="< 0.3", n=repeats)
    report.add("quiz: beyond doing nothing", seconds["quiz"] - seconds["nothing"], "s", target="<= 0.05", n=repeats)
    report.add("-W 130 -F 3", seconds["letters"], "s", target="< 0.3", n=repeats)
    report.add("1,000 layers: beyond four", seconds["thousand"] - seconds["quiz"], "s", target="<= 0.3", n=repeats)
    report.add("conv-shape --help", seconds["help"], "s", target="< 0.3", n=repeats)


def main() -> None:
    """Measure and report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peer", metavar="PYTHON", help="an interpreter that has torch and torchinfo")
    parser.add_argument("--repeats", type=int, default=9)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    report = Report("conv-shape", threads=1)
    if options.peer:
        measure_peer(report, options.peer, options.repeats)
    measure_start(report, options.repeats)
    report.close(options.json)


if __name__ == "__main__":
    main()
