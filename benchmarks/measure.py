"""What the benchmarks share: alternating runs, medians, whole processes with their peak memory, and the report."""

import json
import os
import platform
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

DLNOTES = [sys.executable, "-m", "dlnotes_cli"]


@dataclass
class Report:
    """Rows of figures, each with its target, printed as a table and as one JSON document."""

    name: str
    threads: int
    device: str = "cpu"
    rows: list[dict[str, Any]] = field(default_factory=list)

    def add(self, what: str, value: float, unit: str, *, target: str = "", n: int = 1, command: str = "") -> None:
        """Add and print one figure."""
        row = {"what": what, "value": round(value, 4), "unit": unit, "target": target, "n": n, "command": command}
        self.rows.append(row)
        print(f"{what:58} {value:12.4f} {unit:10} {f'target {target}' if target else '':16} n={n}", flush=True)

    def close(self, path: Path | None) -> None:
        """Print the JSON document, and write it to `path` if there is one."""
        document = {
            "benchmark": self.name,
            "date": datetime.now(UTC).date().isoformat(),
            "processor": processor(),
            "cores": os.cpu_count(),
            "threads": self.threads,
            "device": self.device,
            "command": " ".join(["python", *sys.argv]),
            "rows": self.rows,
        }
        text = json.dumps(document, indent=2)
        print(text)
        if path is not None:
            path.write_text(text + "\n")


def alternating(sides: Mapping[str, Callable[[], object]], repeats: int) -> dict[str, float]:
    """The median seconds of each side; the sides alternate, so that a slow moment affects all of them."""
    seconds: dict[str, list[float]] = {name: [] for name in sides}
    for _ in range(repeats):
        for name, run in sides.items():
            started = time.perf_counter()
            run()
            seconds[name].append(time.perf_counter() - started)
    return {name: statistics.median(values) for name, values in seconds.items()}


@dataclass(frozen=True)
class Ended:
    """Wall-clock time, peak memory and standard output of a process that has ended."""

    seconds: float
    peak_bytes: int
    out: str


def whole_process(command: list[str]) -> Ended:
    """Run a command to its end and measure it. Raises SystemExit if it fails."""
    started = time.perf_counter()
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        peak, ended = 0, threading.Event()

        def watch() -> None:
            nonlocal peak
            while not ended.wait(0.02):  # not a sleep, so that the watcher ends at once
                peak = max(peak, _peak_of(process.pid))

        watcher = threading.Thread(target=watch)
        watcher.start()
        out = process.stdout.read() if process.stdout else ""
        process.wait()
        ended.set()
        seconds = time.perf_counter() - started
        watcher.join()
    if process.returncode:
        raise SystemExit(f"{' '.join(command)} ended with {process.returncode}")
    return Ended(seconds, peak, out)


def processor() -> str:
    """The processor's name."""
    information = Path("/proc/cpuinfo")
    if information.exists():
        for line in information.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _peak_of(pid: int) -> int:
    """The high-water mark of a process's resident memory, in bytes (Linux)."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0
    mark = next((line for line in status.splitlines() if line.startswith("VmHWM")), "VmHWM: 0 kB")
    return int(mark.split()[1]) * 1024
