"""`filter` compared with a script that uses OpenCV's filter2D, and with ImageMagick, whole processes, alternating.

Sobel on gray: one JPEG of 12 megapixels, one of 1280x720, and a hundred of these in one call, all made from the two
sample images of scikit-learn; then the peak memory for the first and for a gray image of 100 megapixels. First the
results are compared with those of OpenCV. Neither peer is a dependency: `python -m venv cv && cv/bin/pip install
opencv-python-headless`, and ImageMagick from the system; a missing one is reported and left out.

    python benchmarks/filter.py --opencv-python cv/bin/python [--repeats 9] [--json FILE]
"""

import argparse
import shutil
import tempfile
from functools import partial
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from measure import DLNOTES, Report, alternating, whole_process
from PIL import Image

from dlnotes_cli.shell.cores import default_threads

LARGE, SMALL, MANY = (4000, 3000), (1280, 720), 100
SOBEL = "-1,0,1,-2,0,2,-1,0,1"
OPENCV = Path(__file__).parent / "programs" / "opencv_sobel.py"


def make_images(home: Path) -> None:
    """Write the inputs, made from the sample images of scikit-learn."""
    package = find_spec("sklearn")
    if package is None or package.origin is None:
        raise SystemExit("scikit-learn is not installed")
    samples = [
        Image.open(Path(package.origin).parent / "datasets" / "images" / name) for name in ("china.jpg", "flower.jpg")
    ]
    samples[0].resize(LARGE, Image.Resampling.LANCZOS).save(home / "large.jpg", quality=92)
    (home / "many").mkdir()
    for i in range(MANY):
        image = samples[i % 2].resize(SMALL, Image.Resampling.LANCZOS)
        if i % 4 > 1:
            image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        image.save(home / "many" / f"{i:03}.jpg", quality=92)
    shutil.copy(home / "many" / "000.jpg", home / "small.jpg")
    tile = np.asarray(samples[0].convert("L").resize((2000, 1000)))
    Image.fromarray(np.tile(tile, (10, 5))).save(home / "huge.png", compress_level=1)


def dlnotes(source: Path, out: Path) -> list[str]:
    """The command of dlnotes."""
    return [*DLNOTES, "filter", str(source), "--kernel", "sobel-x", "--color", "gray", "--out", str(out), "--overwrite"]


def sides(source: Path, out: Path, opencv: Path | None, *, with_magick: bool) -> dict[str, list[str]]:
    """The commands for the same task, of every program that is available."""
    commands = {"dlnotes": dlnotes(source, out)}
    if opencv is not None:
        commands["OpenCV"] = [str(opencv), str(OPENCV), str(source), str(out)]
    magick = shutil.which("magick") or shutil.which("convert")
    if with_magick and magick:
        operations = ["-colorspace", "gray", "-morphology", "Correlate", f"3x3:{SOBEL}"]
        commands["ImageMagick"] = [magick, str(source), *operations, str(out)]
    return commands


def check_results(home: Path, opencv: Path) -> None:
    """Raise SystemExit if OpenCV gives another image.

    The input is a gray PNG, because OpenCV and Pillow convert the colors of a JPEG to slightly different grays.
    """
    Image.open(home / "small.jpg").convert("L").save(home / "gray.png")
    for name, command in sides(home / "gray.png", home / "check.png", opencv, with_magick=False).items():
        whole_process([argument.replace("check", name) for argument in command])
    first, second = (np.asarray(Image.open(home / f"{name}.png")) for name in ("dlnotes", "OpenCV"))
    if not np.array_equal(first, second):
        raise SystemExit("dlnotes and OpenCV give different images")


def measure(report: Report, home: Path, opencv: Path | None, repeats: int) -> None:
    """Each case with every program, to PNG and to JPEG."""
    (home / "edges").mkdir()
    cases = [  # name, source, output, and the targets of the ratios to OpenCV and to ImageMagick
        ("12 megapixels to PNG", home / "large.jpg", home / "edges.png", "<= 2.0", "< 1.0"),
        ("12 megapixels to JPEG", home / "large.jpg", home / "edges.jpg", "<= 2.0", "< 1.0"),
        ("1280x720 to PNG", home / "small.jpg", home / "edges.png", "<= 2.5", ""),
        ("1280x720 to JPEG", home / "small.jpg", home / "edges.jpg", "<= 2.5", ""),
        (f"{MANY} of 1280x720 to JPEG", home / "many", home / "edges", "<= 1.0", ""),
    ]
    for name, source, out, opencv_target, magick_target in cases:
        commands = sides(source, out, opencv, with_magick=source.is_file())
        seconds = alternating({side: partial(whole_process, command) for side, command in commands.items()}, repeats)
        for side, value in seconds.items():
            shown = f"dlnotes filter {source.name} --color gray --out {out.name}" if side == "dlnotes" else ""
            report.add(f"{name}: {side}", value, "s", n=repeats, command=shown)
        for side, target in (("OpenCV", opencv_target), ("ImageMagick", magick_target)):
            if side in seconds:
                ratio = seconds["dlnotes"] / seconds[side]
                report.add(f"{name}: dlnotes / {side}", ratio, "times", target=target, n=repeats)


def measure_memory(report: Report, home: Path) -> None:
    """Peak resident memory of dlnotes."""
    for name, file, target in (("12", "large.jpg", "< 350"), ("100", "huge.png", "")):
        peak = whole_process(dlnotes(home / file, home / "edges.png")).peak_bytes / 1e6
        report.add(f"{name} megapixels, gray: peak memory", peak, "MB", target=target)


def main() -> None:
    """Measure and report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--opencv-python", type=Path, help="a Python interpreter with opencv-python-headless")
    parser.add_argument("--repeats", type=int, default=9)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    if options.opencv_python is None:
        print("OpenCV is left out: pass --opencv-python")
    if not (shutil.which("magick") or shutil.which("convert")):
        print("ImageMagick is left out: it is not installed")
    report = Report("filter", threads=default_threads())
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        make_images(home)
        if options.opencv_python is not None:
            check_results(home, options.opencv_python)
        measure(report, home, options.opencv_python, options.repeats)
        measure_memory(report, home)
    report.close(options.json)


if __name__ == "__main__":
    main()
