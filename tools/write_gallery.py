"""Make the pictures of docs/gallery.md by the commands that the page shows, and write the page.

    python tools/write_gallery.py [--names SCRIPT] [--out FOLDER]

With --names, the classes, columns and files have long names, or names in another script, so that plots in which they
do not fit are seen; with --out, page and pictures are written to another folder than docs, and nothing is reduced.
"""

import argparse
import csv
import io
import os
import shlex
import subprocess
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from draw_overview import DLNOTES, coast
from PIL import Image
from sklearn.datasets import load_digits, load_iris

DOCS = Path(__file__).parent.parent / "docs"
MOST_BYTES = 46_000  # of a picture
REDUCTIONS = ((1000, 192), (1000, 96), (1000, 64), (850, 64), (700, 64), (560, 64))  # longer side and colors, in turn
ABOUT = """# Gallery

The plots and sheets that dlnotes draws, each above the command that wrote it. `make gallery` makes them again in a few
minutes, without a download: `scans/` has scikit-learn's digits as image files in one subfolder per class, `queries/`
has three of them; `iris.csv` and `groups.csv` are columns of its table of irises; `shops.csv` is made-up daily sales of
two shops, and `coast.png` a drawing. [The commands](commands.md) have more options."""
TEXT_MODEL = "char-rnn train --hidden-size 64 --max-steps 200 --sample 0 --out runs/text"  # not shown


class Entry(NamedTuple):
    """A command, and the pictures that it writes, with what they show."""

    command: str
    pictures: Mapping[str, str]


GALLERY = {
    "Train": (
        Entry(
            "train-cnn --data scans --epochs 12 --out runs/cnn",
            {
                "runs/cnn/curves.png": "Learning curves",
                "runs/cnn/confusion.png": "Confusion matrix",
                "runs/cnn/predictions.png": "Predictions, the most confident mistakes first",
            },
        ),
        Entry(
            "train-mlp --data iris.csv --target species --hidden 2 --out runs/two",
            {"runs/two/boundary.png": "The regions of a classifier of two columns"},
        ),
        Entry(
            "train-mlp --data iris.csv --target species --hidden 32,32 --beside runs/two --out runs/iris",
            {"runs/iris/boundaries.png": "The regions of two classifiers"},
        ),
        Entry(
            "train-mlp --data groups.csv --target species --hidden 16 --out runs/groups",
            {"runs/groups/scatter.png": "Two columns and a category"},
        ),
        Entry(
            "transfer --data scans --backbone small --map features.png --out runs/head",
            {
                "runs/head/curves.png": "The weight decay of a new head",
                "features.png": "The features of all images, projected to a plane",
            },
        ),
        Entry(
            "train-text --hidden-size 64 --lr 0.01 --max-steps 250 --out runs/remarks",
            {"runs/remarks/curves.png": "Learning curves of a text classifier, next to its linear baseline"},
        ),
        Entry(
            "series train --data shops.csv --column sales --time day --group shop --max-steps 150 --out runs/sales",
            {"runs/sales/forecast.png": "Forecasts of the held-out end of time series"},
        ),
        Entry(
            "data preview scans --samples 3 --variants 5 --augment rotate:20,scale:0.8-1.2,erase:0.5 "
            "--out variants.png",
            {"variants.png": "Augmented variants of images"},
        ),
        Entry("data preview scans --numbers --samples 2 --out numbers.png", {"numbers.png": "Pixels as numbers"}),
        Entry(
            "runs early-stopping runs/cnn --patience 1,2,4 --plot stops.png",
            {"stops.png": "What early stopping would have kept"},
        ),
    ),
    "Use": (
        Entry("predict runs/cnn 'queries/*.png' --sheet bars.png", {"bars.png": "Probabilities of classes"}),
        Entry(
            "evaluate runs/cnn runs/head --shift-test shift:2,rotate:30,noise:0.3 --out shifts",
            {"shifts/shift-test.png": "Accuracy on changed images"},
        ),
        Entry(
            "series forecast runs/sales --horizon 28 --plot next.png", {"next.png": "Forecasts with their intervals"}
        ),
        Entry(
            "series backtest runs/sales --folds 3 --plot backtest.png",
            {"backtest.png": "A backtest, with the error of each step of the horizon"},
        ),
        Entry("char-rnn score runs/text note.txt --heat heat.png", {"heat.png": "The surprisal of each character"}),
        Entry(
            "style-transfer coast.png --size 144 --steps 30 --sweep-ratio 0.003,0.03,0.3 --out style.png "
            "--sheet results.png",
            {"results.png": "Style transfer, with three ratios of content to style"},
        ),
        Entry(
            "style-transfer coast.png --size 96 --style-layers conv1_1,relu2_1 --out small.png --gram gram.png",
            {"gram.png": "The Gram matrices that represent style"},
        ),
        Entry(
            "filter coast.png --kernel sobel-x --kernel gaussian --sigma 2 --color gray --result abs --spectrum "
            "--sheet kernels.png",
            {"kernels.png": "Kernels, their results and the spectra"},
        ),
    ),
    "Understand": (
        Entry(
            "explain small coast.png --check --sheet explained.png",
            {"explained.png": "Why a classifier answers, and whether its map is to be believed"},
        ),
        Entry(
            "explain runs/cnn 'queries/*.png' --method occlusion --sheet occlusion.png",
            {"occlusion.png": "What a classifier loses where a window is covered"},
        ),
        Entry("visualize filters small --sheet filters.png", {"filters.png": "The first filters of a network"}),
        Entry(
            "visualize filters small --layer conv2 --top 12 --sheet deeper.png",
            {"deeper.png": "Deeper filters, channel by channel"},
        ),
        Entry(
            "visualize activations small coast.png --layer relu2 --top 16 --sheet maps.png",
            {"maps.png": "The feature maps of a layer"},
        ),
        Entry(
            "visualize maximize runs/cnn --steps 64 --sheet classes.png", {"classes.png": "Images that excite a class"}
        ),
        Entry("visualize dream coast.png --out dream.png --sheet dreams.png", {"dreams.png": "DeepDream"}),
        Entry(
            "visualize patches runs/cnn --data scans --top 3 --sheet patches.png",
            {"patches.png": "The patches that excite a unit most, and its gradients"},
        ),
        Entry(
            "visualize neighbors runs/cnn 'queries/*.png' --data scans --sheet neighbors.png",
            {"neighbors.png": "The nearest images of a data set"},
        ),
        Entry(
            "visualize embedding runs/cnn --data scans --sheet embedding.png",
            {"embedding.png": "The images of a data set as points"},
        ),
    ),
    "Calculate and learn": (
        Entry("conv-shape --network lenet5 --draw lenet5.png", {"lenet5.png": "A network as boxes"}),
        Entry(
            "loss --scores '2 1 0; 0 3 1' --true '0 2' --plot loss.png",
            {"loss.png": "Scores, probabilities and gradients"},
        ),
        Entry(
            "trace 'Linear(3, 2); Sigmoid(); Linear(2, 1); Sigmoid()' --input 1x3 --weights seed:7 --target 1 "
            "--plot network.png",
            {"network.png": "Numbers on their way through a network"},
        ),
        Entry(
            "trace 'LSTM(1, 1)' --input '1; 0.5; -1' --weights ones --plot gates.png",
            {"gates.png": "The gates of an LSTM"},
        ),
        Entry(
            "trace runs/text --text 'The lighthouse stands.' --units 4 --plot letters.png",
            {"letters.png": "The gates of a character-level language model"},
        ),
        Entry(
            "trace 'Linear(16, 16); Sigmoid(); Linear(16, 16); Sigmoid(); Linear(16, 16); Sigmoid()' --input 1x16 "
            "--activation sigmoid,relu --plot vanishing.png",
            {"vanishing.png": "The vanishing gradient"},
        ),
        Entry(
            "trace --activation sigmoid,tanh,relu,gelu --plot activations.png",
            {"activations.png": "Activation functions and their derivatives"},
        ),
        Entry("perceptron --gate and --plot gate.png", {"gate.png": "The line of a perceptron"}),
        Entry(
            "descend --surface ravine --optimizer sgd,momentum,nesterov,adam --plot ravine.png",
            {"ravine.png": "Optimizers on a surface"},
        ),
    ),
}
ENTRIES = tuple(entry for entries in GALLERY.values() for entry in entries)
NAMES = {  # of the ten classes; some of them are also other names
    "long": (
        "Lepidoptera_Nymphalidae_Heliconius_melpomene_of_the_upper_river", "Lepidoptera_Nymphalidae_Heliconius_erato",
        "Lepidoptera_Nymphalidae_Heliconius_erato_of_the_upper_river", "a name that consists of many short words",
        "Camel-Case-With-Hyphens-And-Capitals", "x" * 70, "x" * 69 + "y", "$x^2$ [bold]is not markup & more of it",
        "A QUITE LONG NAME IN CAPITAL LETTERS", "9",
    ),
    "greek": (
        "μηδέν", "ένα", "δύο", "τρία", "τέσσερα", "πέντε", "έξι", "επτά και ένα μακρύ όνομα", "οκτώ", "εννέα",
    ),
    "japanese": (
        "零", "一番目", "二つ", "三毛猫", "四角形", "五重塔", "六本木ヒルズの展望台",
        "七福神の長い名前のクラス", "八百屋", "九州",
    ),
    "arabic": ("صفر", "واحد", "اثنان", "ثلاثة", "أربعة", "خمسة", "ستة وأسماء أخرى طويلة جدا", "سبعة", "שמונה", "تسعة"),
}  # fmt: skip
NOTE = (
    "The statements in the body of the function are executed in the order in\n"
    "which they are given. Nobody expected the lighthouse at the end.\n"
)


def make_data(folder: Path, script: str) -> None:
    """Write the files that the commands read, with names in a script if it is one of NAMES."""
    classes = NAMES.get(script, tuple("0123456789"))

    def name(usual: str, place: int) -> str:
        return classes[place] if script in NAMES else usual

    (folder / "queries").mkdir()
    digits, iris = load_digits(), load_iris()
    for number, (pixels, label) in enumerate(zip(digits.images, digits.target.tolist(), strict=True)):
        subfolder = folder / "scans" / classes[label]
        subfolder.mkdir(parents=True, exist_ok=True)
        image = Image.fromarray(np.rint(255 / 16 * pixels).astype(np.uint8))
        image.save(subfolder / f"{number}.png")
        if number in {5, 159, 1553}:
            image.save(folder / "queries" / f"{name('scan', label)}-{number}.png")
    lengths, widths = iris.data[:, 2:].T.tolist()
    species = [name(str(iris.target_names[label]), label) for label in iris.target.tolist()]
    sepals = [name(("short", "medium", "long")[i], 4 + i) for i in np.digitize(iris.data[:, 0], [5.5, 6.3]).tolist()]
    header = [name("petal length (cm)", 7), name("petal width (cm)", 3)]
    write_table(folder / "iris.csv", [*header, "species"], zip(lengths, widths, species, strict=True))
    header = [*header, name("sepals", 8), "species"]
    write_table(folder / "groups.csv", header, zip(lengths, widths, sepals, species, strict=True))
    noise, days = np.random.default_rng(0), np.arange("2025-01-01", "2025-10-01", dtype="datetime64[D]")
    sales = [
        (day, shop, round(scale * (30 + i / 20 + (0, 2, 5, 10, 25, 40, -20)[i % 7] + noise.normal(scale=3)), 1))
        for shop, scale in ((name("harbor", 3), 1.0), (name("station", 6), 2.5))
        for i, day in enumerate(days)
    ]
    write_table(folder / "shops.csv", ["day", "shop", "sales"], sales)
    coast().save(folder / "coast.png")
    (folder / "note.txt").write_text(NOTE)


def write_table(path: Path, header: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Write a CSV file."""
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([header, *rows])


def reduced(path: Path) -> bytes:
    """A picture as a PNG file with as many pixels and colors as its size allows."""
    with Image.open(path) as opened:
        image = opened.convert("RGBA")
    image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB")
    for side, colors in REDUCTIONS:
        smaller, stream = image.copy(), io.BytesIO()
        smaller.thumbnail((side, side), Image.Resampling.LANCZOS)
        smaller.quantize(colors, Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE).save(stream, "PNG", optimize=True)
        if len(stream.getvalue()) <= MOST_BYTES:
            return stream.getvalue()
    raise SystemExit(f"{path.name} is larger than {MOST_BYTES:,} bytes")


def shown_name(file: str) -> str:
    """The name of a picture in the folder of the page."""
    return file.removeprefix("runs/").replace("/", "-")


def page() -> str:
    """The text of the page."""
    blocks = [ABOUT]
    for section, entries in GALLERY.items():
        blocks.append(f"## {section}")
        for entry in entries:
            blocks += [f"![{title}](gallery/{shown_name(file)})" for file, title in entry.pictures.items()]
            blocks += ["; ".join(entry.pictures.values()) + ":", f"    dlnotes {entry.command}"]
    return "\n\n".join(blocks) + "\n"


def main() -> None:
    """Run the commands in a temporary folder, and write page and pictures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--names", choices=NAMES, default="", help="names of classes, columns and files")
    parser.add_argument("--out", type=Path, default=DOCS, help="folder of the page")
    arguments = parser.parse_args()
    pictures = arguments.out / "gallery"
    pictures.mkdir(parents=True, exist_ok=True)
    environment = os.environ | {"PYTHONPATH": str(DOCS.parent)}
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        make_data(folder, arguments.names)
        for command in (TEXT_MODEL, *(entry.command for entry in ENTRIES)):
            words = [*DLNOTES, *shlex.split(command), "-q"]
            subprocess.run(words, cwd=folder, check=True, stdout=subprocess.DEVNULL, env=environment)
        for old in pictures.glob("*.png"):
            old.unlink()
        for entry in ENTRIES:
            for file in entry.pictures:
                picture = reduced(folder / file) if arguments.out == DOCS else (folder / file).read_bytes()
                (pictures / shown_name(file)).write_bytes(picture)
    (arguments.out / "gallery.md").write_text(page())
    total = sum(path.stat().st_size for path in pictures.iterdir())
    print(f"{arguments.out / 'gallery.md'}: {len(list(pictures.iterdir()))} pictures, {total:,} bytes")


if __name__ == "__main__":
    main()
