"""Training next to a busy process: the default number of threads adapts to the free cores, others stay as they are."""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from measure import DLNOTES, Report
from scaling import synthetic_images

RUN = "train-cnn --arch fast --batch-size 256 --augment none --val-split 0.1"
SIDES: dict[str, tuple[list[str], bool]] = {  # options, and whether a process is busy next to it
    "all cores, alone": ([], False),
    "one thread, next to a busy process": (["--threads", "1"], True),
    "default, next to a busy process": ([], True),
    "as many threads as cores, next to a busy process": (["--threads", str(os.cpu_count() or 1)], True),
}


@contextmanager
def busy_process(*, is_wanted: bool) -> Iterator[None]:
    """A process that computes for as long as the block runs."""
    if not is_wanted:
        yield
        return
    with subprocess.Popen([sys.executable, "-c", "while True: pass"]) as process:
        try:
            yield
        finally:
            process.kill()


def seconds(data: Path, steps: int, more: list[str], *, is_busy: bool) -> float:
    """Seconds of the training steps of one run."""
    with tempfile.TemporaryDirectory() as folder, busy_process(is_wanted=is_busy):
        words = [*RUN.split(), "--data", data, "--max-steps", steps, "--out", f"{folder}/run", "--json", "-q", *more]
        done = subprocess.run([*DLNOTES, *map(str, words)], stdout=subprocess.PIPE, text=True, check=True)
    return float(json.loads(done.stdout)["timing"]["train_s"])


def main() -> None:
    """Measure all sides, which alternate."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--out", type=Path, help="write the JSON document here, too")
    options = parser.parse_args()
    report = Report("shared cores", os.cpu_count() or 1)
    measured: dict[str, list[float]] = {side: [] for side in SIDES}
    with tempfile.TemporaryDirectory() as folder:
        data = synthetic_images(Path(folder, "images"), 32, 2560)
        for _ in range(options.repeats):
            for side, (more, is_busy) in SIDES.items():
                measured[side].append(seconds(data, options.steps, more, is_busy=is_busy))
    medians = {side: statistics.median(values) for side, values in measured.items()}
    for side, value in medians.items():
        report.add(side, value, "s", n=options.repeats, command=f"{RUN} --max-steps {options.steps}")
    alone, one, default, _ = medians.values()
    report.add("default / one thread, next to a busy process", default / one, "", target="1.3", n=options.repeats)
    report.add("one thread / all cores alone", one / alone, "", n=options.repeats)
    report.close(options.out)


if __name__ == "__main__":
    main()
