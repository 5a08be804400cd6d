"""Predictions of an exported model as a whole process, and of a server under load.

    python benchmarks/inference.py [--repeats 9] [--requests 1000] [--json FILE]

A CNN on the embedded digits is trained for one epoch and exported to ONNX. `predict` of one image then runs as a whole
process with the model file, which needs PyTorch, and with the ONNX file. `serve` answers images of 640x427 pixels from
8 connections; the same number of images is decoded and classified by calling the model directly, one after the other.
"""

import argparse
import http.client
import io
import statistics
import subprocess
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

from measure import DLNOTES, Report, alternating, whole_process
from PIL import Image

from dlnotes_cli.api import ExportConfig, TrainCnnConfig, export_model, output, train_cnn
from dlnotes_cli.data.images.image_io import sample_image
from dlnotes_cli.inference.opening import open_classifier
from dlnotes_cli.serve.options import ServeConfig
from dlnotes_cli.serve.service import PredictionService
from dlnotes_cli.shell.cores import default_threads

CONNECTIONS = 8


def make_model(home: Path) -> tuple[Path, Path]:
    """The model file and the ONNX file of a CNN on digits."""
    output.configure(quiet=True)
    train_cnn(TrainCnnConfig(epochs=1, out=home / "run"))
    export_model(ExportConfig(model=home / "run"))
    return home / "run" / "model.safetensors", home / "run" / "model.onnx"


def image_bytes() -> bytes:
    """An embedded photograph as JPEG."""
    stream = io.BytesIO()
    Image.open(sample_image("china.jpg", "IMAGE")).save(stream, "JPEG", quality=92)
    return stream.getvalue()


def ask(port: int, count: int, content: bytes) -> list[float]:
    """The seconds that each of `count` requests over one connection takes."""
    connection = http.client.HTTPConnection("127.0.0.1", port)
    seconds = []
    for _ in range(count):
        started = time.perf_counter()
        connection.request("POST", "/predict", content, {"content-type": "image/jpeg"})
        response = connection.getresponse()
        response.read()
        if response.status != http.HTTPStatus.OK:
            raise SystemExit(f"a request was answered with {response.status}")
        seconds.append(time.perf_counter() - started)
    connection.close()
    return seconds


def serve_requests(model: Path, requests: int, content: bytes) -> tuple[float, list[float]]:
    """The seconds of all requests, from 8 connections, and of each."""
    command = [*DLNOTES, "serve", str(model), "--port", "0", "-q"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        port = int(process.stdout.readline().rpartition(":")[2]) if process.stdout else 0
        ask(port, 20, content)
        with ThreadPoolExecutor(CONNECTIONS) as pool:
            started = time.perf_counter()
            answered = list(pool.map(lambda _: ask(port, requests // CONNECTIONS, content), range(CONNECTIONS)))
            seconds = time.perf_counter() - started
        process.terminate()
    return seconds, [one for some in answered for one in some]


def direct_calls(model: Path, requests: int, content: bytes) -> float:
    """The seconds of as many calls of the model in this process."""
    config = ServeConfig(model=model)
    service = PredictionService(open_classifier(config), config.top, config.max_pixels)
    service.predict_images([("image", content)])
    started = time.perf_counter()
    for _ in range(requests):
        service.predict_images([("image", content)])
    return time.perf_counter() - started


def percentile(values: Sequence[float], percent: int) -> float:
    """The value below which `percent` % of the values lie."""
    return statistics.quantiles(values, n=100)[percent - 1]


def main() -> None:
    """Run the comparisons and print them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=9)
    parser.add_argument("--requests", type=int, default=1000)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    report = Report("inference", default_threads())
    with tempfile.TemporaryDirectory() as name:
        home, content = Path(name), image_bytes()
        models = dict(zip(("model file", "ONNX file"), make_model(home), strict=True))
        (home / "image.jpg").write_bytes(content)
        command = {kind: [*DLNOTES, "predict", str(path), str(home / "image.jpg")] for kind, path in models.items()}
        seconds = alternating({kind: partial(whole_process, words) for kind, words in command.items()}, options.repeats)
        for kind, value in seconds.items():
            report.add(f"predict, one image, whole process, {kind}", value, "s", n=options.repeats)
        ratio = seconds["model file"] / seconds["ONNX file"]
        report.add("predict, model file / ONNX file", ratio, "x", target=">= 3", n=options.repeats)
        for kind, path in models.items():
            total, each = serve_requests(path, options.requests, content)
            direct = direct_calls(path, options.requests, content)
            report.add(f"serve, {CONNECTIONS} connections, {kind}", len(each) / total, "requests/s", n=len(each))
            report.add(f"serve, median latency, {kind}", 1000 * statistics.median(each), "ms", n=len(each))
            report.add(f"serve, p99 latency, {kind}", 1000 * percentile(each, 99), "ms", n=len(each))
            report.add(
                f"direct calls, one thread of Python, {kind}", options.requests / direct, "images/s", n=len(each)
            )
    report.close(options.json)


if __name__ == "__main__":
    main()
