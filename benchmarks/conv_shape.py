"""`conv-shape` compared with a script that uses torchinfo, whole processes, alternating.

The script imports torch, builds the layers and prints their output shape and parameters, as `conv-shape --field` does.
Then `conv-shape` compared with the same program running a command that does nothing, and a list of a thousand layers.
torchinfo is not a dependency of the project; install it into an environment of its own:

    python3 -m venv /tmp/torchinfo && /tmp/torchinfo/bin/pip install torch numpy torchinfo
    python benchmarks/conv_shape.py --peer /tmp/torchinfo/bin/python [--repeats 9] [--json FILE]

Without `--peer`, torchinfo is left out.
"""

import argparse
import sys
import tempfile
from functools import partial
from pathlib import Path

from measure import DLNOTES, Report, alternating, whole_process

from dlnotes_cli.shapes.networks import COURSE_CNN

PROGRAMS = Path(__file__).parent / "programs"
QUIZ = ("3x130x130", "Conv2d(3, 10, 3); MaxPool2d(4, 4); Conv2d(10, 20, 5, padding=2); MaxPool2d(2, 2)")
# Networks of programs/torchinfo_summary.py: name there, name in the report, input and layers.
NETWORKS = (
    ("quiz", "quiz of lesson 5", *QUIZ),
    ("notes-cnn", "notes-cnn", "3x32x32", COURSE_CNN),
)


def torchinfo(python: str, network: str, size: str) -> list[str]:
    """The command of the script that uses torchinfo."""
    return [python, str(PROGRAMS / "torchinfo_summary.py"), network, size]


def conv_shape(size: str, layers: str, field: str) -> list[str]:
    """The command of dlnotes that prints one field of the same network."""
    return [*DLNOTES, "conv-shape", "--input", size, layers, "--field", field]


def check_results(python: str, network: str, size: str, layers: str) -> None:
    """Raise SystemExit if the two sides print different shapes or parameters."""
    expected = whole_process(torchinfo(python, network, size)).out.split()
    shape, parameters = (
        whole_process(conv_shape(size, layers, field)).out.strip() for field in ("output", "parameters")
    )
    if [*shape.split("x"), parameters] != expected:
        raise SystemExit(f"{layers}: torchinfo prints {expected}, conv-shape {shape} and {parameters}")


def measure_peer(report: Report, python: str, repeats: int) -> None:
    """Each network on both sides."""
    for network, name, size, layers in NETWORKS:
        check_results(python, network, size, layers)
        commands = {"torchinfo": torchinfo(python, network, size), "dlnotes": conv_shape(size, layers, "output")}
        sides = {side: partial(whole_process, command) for side, command in commands.items()}
        seconds = alternating(sides, repeats)
        ratio = seconds["torchinfo"] / seconds["dlnotes"]
        report.add(f"{name}: torchinfo script", seconds["torchinfo"], "s", n=repeats)
        shown = f"dlnotes conv-shape --input {size} '{' '.join(layers.split())}' --field output"
        report.add(f"{name}: dlnotes", seconds["dlnotes"], "s", target="< 0.3", n=repeats, command=shown)
        report.add(f"{name}: torchinfo / dlnotes", ratio, "times", target=">= 5", n=repeats)


def measure_start(report: Report, repeats: int) -> None:
    """The time of the command beyond starting the program, and of a thousand layers beyond four."""
    size, layers = QUIZ
    with tempfile.TemporaryDirectory() as folder:
        net = Path(folder) / "net.py"
        net.write_text("nn.Conv2d(3, 3, 3, padding=1),\nnn.ReLU(),\n" * 500)
        commands = {
            "empty": [sys.executable, str(PROGRAMS / "empty_command.py")],
            "quiz": [*DLNOTES, "conv-shape", "--input", size, layers],
            "letters": [*DLNOTES, "conv-shape", "-W", "130", "-F", "3"],
            "thousand": [*DLNOTES, "conv-shape", "--input", "3x130x130", "--file", str(net)],
            "help": [*DLNOTES, "conv-shape", "--help"],
        }
        sides = {name: partial(whole_process, command) for name, command in commands.items()}
        seconds = alternating(sides, repeats)
    report.add("a command that does nothing", seconds["empty"], "s", n=repeats)
    report.add("quiz of lesson 5, with its table", seconds["quiz"], "s", target="< 0.3", n=repeats)
    report.add("quiz: beyond doing nothing", seconds["quiz"] - seconds["empty"], "s", target="<= 0.05", n=repeats)
    report.add("-W 130 -F 3", seconds["letters"], "s", target="< 0.3", n=repeats)
    report.add("1,000 layers: beyond four", seconds["thousand"] - seconds["quiz"], "s", target="<= 0.3", n=repeats)
    report.add("conv-shape --help", seconds["help"], "s", target="< 0.3", n=repeats)


def main() -> None:
    """Measure and report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peer", metavar="PYTHON", help="a Python interpreter with torch and torchinfo")
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
