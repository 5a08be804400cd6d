"""Draw docs/overview.png, the image of the README: the output of several commands, each below its command.

    python tools/draw_overview.py

It needs no other data: the commands use scikit-learn's digits, a drawing from this script, and Python's help texts.
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
PANELS = (  # each command, as it is run and shown, and the image that it writes
    ("train-cnn --epochs 20 --out runs/digits", "runs/digits/curves.png"),
    ("style-transfer --content coast.png --size 360 --sheet both.png", "both.png"),
    ("filter coast.png --kernel gradient --sheet edges.png", "edges.png"),
    ("char-rnn score runs/text note.txt --heat heat.png", "heat.png"),
    ("evaluate runs/digits --out shown", "shown/predictions.png"),
    ("data preview --augment rotate:25,erase:0.6 --variants 6 --samples 5", "preview.png"),
)
ROW_HEIGHTS = (1.5, 0.9, 2.1)
TRAIN_TEXT = "char-rnn train --time-budget 40s --out runs/text"  # the model of the panel with the heat map
NOTE = (
    "The statements in the body of the function are executed in the order in\n"
    "which they are given, and an expression such as a list or a tuple may be\n"
    "used as a value. Nobody expected the lighthouse at the end of the sentence.\n"
)
WIDTH, HEIGHT, SCALE = 360, 240, 3


def coast() -> Image.Image:
    """A drawing of a lighthouse, drawn larger and reduced for smooth edges."""
    image = Image.new("RGB", (WIDTH * SCALE, HEIGHT * SCALE))
    draw = ImageDraw.Draw(image)

    def scaled(*coordinates: float) -> list[float]:
        return [SCALE * value for value in coordinates]

    for y in range(HEIGHT):
        depth = y / HEIGHT  # from the top of the sky
        color = (int(250 - 120 * depth), int(190 - 20 * depth), int(120 + 90 * depth))
        draw.rectangle(scaled(0, y, WIDTH, y + 1), fill=color)
    draw.ellipse(scaled(52, 58, 108, 114), fill=(255, 236, 170))
    draw.rectangle(scaled(0, 150, WIDTH, HEIGHT), fill=(40, 92, 140))
    for i in range(60):
        x, y = (i * 73) % WIDTH, 154 + (i * 29) % 80
        draw.line(scaled(x, y, x + 16 + i % 13, y), fill=(120, 170, 205), width=SCALE)
    draw.polygon(scaled(170, 240, 200, 176, 262, 160, 330, 178, 360, 200, 360, 240), fill=(84, 70, 62))
    draw.polygon(scaled(246, 168, 252, 70, 280, 70, 286, 168), fill=(244, 240, 232))
    for top in (84, 120):
        draw.polygon(scaled(251, top + 18, 252, top, 280, top, 281, top + 18), fill=(196, 52, 44))
    draw.rectangle(scaled(248, 58, 284, 70), fill=(58, 58, 66))
    draw.rectangle(scaled(256, 40, 276, 58), fill=(255, 240, 150))
    draw.polygon(scaled(252, 40, 266, 24, 280, 40), fill=(58, 58, 66))
    return image.resize((WIDTH, HEIGHT), Image.Resampling.LANCZOS)


def main() -> None:
    """Run the commands in a temporary folder and put their images into one figure."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        coast().save(folder / "coast.png")
        (folder / "note.txt").write_text(NOTE)
        for command in (TRAIN_TEXT, *(command for command, _ in PANELS)):
            subprocess.run([*DLNOTES, *shlex.split(command), "-q"], cwd=folder, check=True, stdout=subprocess.DEVNULL)
        figure = Figure(figsize=(12, 8.6), layout="constrained", facecolor="white")
        for axes, (command, path) in zip(
            figure.subplots(len(ROW_HEIGHTS), 2, height_ratios=ROW_HEIGHTS).flat, PANELS, strict=True
        ):
            axes.imshow(Image.open(folder / path).convert("RGB"), interpolation="lanczos")
            axes.set_title(f"$ dlnotes {command}", family="monospace", fontsize=8.5, loc="left")
            axes.axis("off")
        with mpl.rc_context({"text.parse_math": False}):
            figure.savefig(folder / "overview.png", dpi=100)
        Image.open(folder / "overview.png").convert("RGB").quantize(192).save(TARGET, optimize=True)
    print(f"{TARGET}: {TARGET.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
