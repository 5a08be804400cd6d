"""Draw docs/overview.png, the image of the README: what some commands draw, each below the command.

    python tools/draw_overview.py

Everything in it is made here: scikit-learn's digits, a drawing, and the help of Python.
"""

import shlex
import subprocess
import sys
import tempfile
from pathlib import Path

import matplotlib as mpl
from matplotlib.figure import Figure
from PIL import Image, ImageDraw

TARGET = Path(__file__).parent.parent / "docs" / "overview.png"
DLNOTES = [sys.executable, "-m", "dlnotes_cli"]
PANELS = (  # commands as they are run and shown, and the image that each wrote
    ("train-cnn --epochs 20 --out runs/digits", "runs/digits/curves.png"),
    ("style-transfer --content coast.png --size 360 --sheet both.png", "both.png"),
    ("filter coast.png --kernel gradient --sheet edges.png", "edges.png"),
    ("char-rnn score runs/text note.txt --heat heat.png", "heat.png"),
    ("evaluate runs/digits --out shown", "shown/predictions.png"),
    ("data preview --augment rotate:25,erase:0.6 --variants 6 --samples 5", "preview.png"),
)
ROWS = (1.5, 0.9, 2.1)  # their heights
TEXT = "char-rnn train --time-budget 40s --out runs/text"  # what the heat is of
NOTE = (
    "The statements in the body of the function are executed in the order in\n"
    "which they are given, and an expression such as a list or a tuple may be\n"
    "used as a value. Nobody expected the lighthouse at the end of the sentence.\n"
)
WIDTH, HEIGHT, SCALE = 360, 240, 3


def coast() -> Image.Image:
    """A lighthouse by the sea, drawn larger and shrunk, so that its edges are soft."""
    image = Image.new("RGB", (WIDTH * SCALE, HEIGHT * SCALE))
    draw = ImageDraw.Draw(image)

    def at(*points: float) -> list[float]:
        return [SCALE * value for value in points]

    for y in range(HEIGHT):
        part = y / HEIGHT
        draw.rectangle(at(0, y, WIDTH, y + 1), fill=(int(250 - 120 * part), int(190 - 20 * part), int(120 + 90 * part)))
    draw.ellipse(at(52, 58, 108, 114), fill=(255, 236, 170))
    draw.rectangle(at(0, 150, WIDTH, HEIGHT), fill=(40, 92, 140))
    for i in range(60):
        x, y = (i * 73) % WIDTH, 154 + (i * 29) % 80
        draw.line(at(x, y, x + 16 + i % 13, y), fill=(120, 170, 205), width=SCALE)
    draw.polygon(at(170, 240, 200, 176, 262, 160, 330, 178, 360, 200, 360, 240), fill=(84, 70, 62))
    draw.polygon(at(246, 168, 252, 70, 280, 70, 286, 168), fill=(244, 240, 232))
    for top in (84, 120):
        draw.polygon(at(251, top + 18, 252, top, 280, top, 281, top + 18), fill=(196, 52, 44))
    draw.rectangle(at(248, 58, 284, 70), fill=(58, 58, 66))
    draw.rectangle(at(256, 40, 276, 58), fill=(255, 240, 150))
    draw.polygon(at(252, 40, 266, 24, 280, 40), fill=(58, 58, 66))
    return image.resize((WIDTH, HEIGHT), Image.Resampling.LANCZOS)


def main() -> None:
    """Run the commands in a folder of their own and paste what they drew."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        coast().save(folder / "coast.png")
        (folder / "note.txt").write_text(NOTE)
        for command in (TEXT, *(command for command, _ in PANELS)):
            subprocess.run([*DLNOTES, *shlex.split(command), "-q"], cwd=folder, check=True, stdout=subprocess.DEVNULL)
        figure = Figure(figsize=(12, 8.6), layout="constrained", facecolor="white")
        for axes, (command, path) in zip(figure.subplots(len(ROWS), 2, height_ratios=ROWS).flat, PANELS, strict=True):
            axes.imshow(Image.open(folder / path).convert("RGB"), interpolation="lanczos")
            axes.set_title(f"$ dlnotes {command}", family="monospace", fontsize=8.5, loc="left")
            axes.axis("off")
        with mpl.rc_context({"text.parse_math": False}):
            figure.savefig(folder / "overview.png", dpi=100)
        Image.open(folder / "overview.png").convert("RGB").quantize(192).save(TARGET, optimize=True)
    print(f"{TARGET}: {TARGET.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
