"""Invalid input: the exit code, one line that names what is wrong and how to fix it, and no file changed."""

import fcntl
import json
import os
import re
import shutil
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from builders import Command, folder_digest, make_images, make_table, small_training
from PIL import Image

from dlnotes_cli.training.tensor_file import read_tensors, write_tensors

pytestmark = pytest.mark.usefixtures("blank_figures")

Arguments = Sequence[object]
IHDR = b"IHDR" + (30_000).to_bytes(4) * 2 + b"\1\0\0\0\0"
PNG_OF_30000X30000 = b"\x89PNG\r\n\x1a\n\0\0\0\r" + IHDR + zlib.crc32(IHDR).to_bytes(4) + b"\0\0\0\0IDAT"  # cut


@dataclass(frozen=True)
class Fault:
    """A command with an error in it."""

    name: str
    arguments: Callable[[Path], Arguments]
    message: str  # pattern of the line on stderr
    code: int = 2


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory, digits_run: Path, images_run: Path, table_run: Path) -> Path:
    """A folder of valid and invalid inputs, which no command may change."""
    home = tmp_path_factory.mktemp("faults")
    for name, run in (("run", digits_run), ("colors", images_run), ("table", table_run)):
        shutil.copytree(run, home / name)
    make_images(home / "images", count=3)
    make_table(home / "rows.csv", rows=40)
    _make_bad_models(home)
    _make_bad_images(home)
    _make_bad_tables(home)
    (home / "ragged.txt").write_text("1 2 3\n4 5\n")
    (home / "text.onnx").write_text("a text with the ending of a model")
    (home / "half.onnx").write_bytes(b"\x08\x0a\x3a\x80\x20" + bytes(100))  # a graph of 4,096 bytes begins
    (home / "file").write_text("a file")
    os.mkfifo(home / "pipe")
    os.mkfifo(home / "pipe.csv")
    os.mkfifo(home / "pipe.png")
    return home


def _make_bad_models(home: Path) -> None:
    model = home / "run" / "model.safetensors"
    content = model.read_bytes()
    # A pickle that would create a file: protocol 0, `os.system("touch MARKER")`.
    (home / "evil.pt").write_bytes(b"cposix\nsystem\n(S'touch " + str(home / "MARKER").encode() + b"'\ntR.")
    for name, cut in (("empty", 0), ("half", len(content) // 2), ("short", len(content) - 1)):
        (home / f"{name}.safetensors").write_bytes(content[:cut])
    flipped = bytearray(content)
    flipped[-100] ^= 1
    (home / "flipped.safetensors").write_bytes(flipped)
    shutil.copytree(home / "run", home / "damaged")
    (home / "damaged" / "model.safetensors").write_bytes(flipped)
    tensors, metadata = read_tensors(model)
    write_tensors(home / "rnn.safetensors", tensors, metadata | {"model": "char_rnn"})
    write_tensors(home / "newer.safetensors", tensors, metadata | {"format_version": 99})
    some = {name: tensor for name, tensor in tensors.items() if name != "output.bias"}
    write_tensors(home / "missing.safetensors", some, metadata)
    write_tensors(home / "shape.safetensors", tensors | {"output.bias": torch.zeros(3)}, metadata)
    write_tensors(home / "nan.safetensors", tensors | {"output.bias": torch.full((10,), torch.nan)}, metadata)
    write_tensors(home / "huge.safetensors", tensors | {"output.weight": torch.full((10, 16), 3e38)}, metadata)
    write_tensors(home / "double.safetensors", {n: t.double() for n, t in tensors.items()}, metadata)
    write_tensors(home / "nine.safetensors", tensors, metadata | {"classes": list("012345678")})
    write_tensors(home / "vague.safetensors", tensors, {k: v for k, v in metadata.items() if k != "classes"})


def _make_bad_images(home: Path) -> None:
    photo = Image.fromarray(np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8))
    photo.save(home / "good.jpg")
    Image.fromarray(np.array([[0.0, 1000.0]], np.float32)).save(home / "deep.tif")
    content = (home / "good.jpg").read_bytes()
    for folder, name, data in (
        ("truncated", "cut.jpg", content[: len(content) // 2]),
        ("text", "text.jpg", b"this is no image"),
        ("zero", "zero.jpg", b""),
        ("html", "page.jpg", b"<!doctype html><html><body>404</body></html>"),
    ):
        make_images(home / folder, count=3)
        (home / folder / "red" / name).write_bytes(data)
    make_images(home / "bomb", count=3)
    (home / "bomb" / "red" / "bomb.png").write_bytes(PNG_OF_30000X30000)
    make_images(home / "hollow", count=3)
    (home / "hollow" / "violet").mkdir()
    make_images(home / "linked", count=3)
    (home / "linked" / "self").symlink_to(".")
    make_images(home / "above" / "train", count=3)
    (home / "above" / "train" / "up").symlink_to("..")
    make_images(home / "piped", count=3)
    os.mkfifo(home / "piped" / "red" / "pipe.png")
    (home / "nothing").mkdir()
    (home / "flat").mkdir()
    photo.save(home / "flat" / "a.png")
    (home / "lonely" / "red").mkdir(parents=True)
    photo.save(home / "lonely" / "red" / "a.png")
    photo.save(home / "lonely" / "red" / "b.png")
    make_images(home / "other", count=3)
    (home / "other" / "red").rename(home / "other" / "crimson")
    make_images(home / "parts" / "train", count=6)
    make_images(home / "parts" / "val", count=3)


def _make_bad_tables(home: Path) -> None:
    good = (home / "rows.csv").read_text().splitlines()
    tables = {
        "cell": [*good[:5], "wide,0.1,a,yes", *good[5:]],
        "empty": [],
        "header": good[:1],
        "ragged": [*good, "1,2"],
        "unseen": [*good, "1,2,c,yes"],
        "one": [good[0], *(line for line in good if line.endswith(",yes"))],
        "numbers": good[1:],
    }
    for name, lines in tables.items():
        (home / f"{name}.csv").write_text("\n".join(lines) + "\n" if lines else "")
    (home / "weights.csv").write_text("class,weight\ncat,1\n")
    (home / "numbers.csv").write_text("1,2,3\n4,5,6\n")
    hours = [f"2024-01-0{1 + i // 24}T{i % 24:02d}:00,{i % 12}" for i in range(200)]
    for name, lines in (
        ("hours", hours), ("gap", [*hours[:50], *hours[60:]]), ("twice", [*hours[:9], *hours[8:]]),
        ("backward", [*hours[:9], hours[3], *hours[9:]]), ("unknown", [*hours[:9], "2024-01-01T09:00,", *hours[10:]]),
        ("three", hours[:3]), ("later", ["soon,1", *hours]),
    ):  # fmt: skip
        (home / f"{name}.csv").write_text("\n".join(["hour,load", *lines]) + "\n")


def _train(*arguments: object) -> Callable[[Path], Arguments]:
    return _do(*small_training(Path("@new")), *arguments)


def _do(*arguments: object) -> Callable[[Path], Arguments]:
    return lambda home: [_at(home, argument) for argument in arguments]


def _series(data: str, *more: object) -> Callable[[Path], Arguments]:
    return _do("series", "train", "--data", data, "--column", "load", "--time", "hour", "--out", "@new", *more)


def _at(home: Path, argument: object) -> object:
    """Replace `@name` by a path in the test's folder."""
    return home / argument[1:] if isinstance(argument, str) and argument.startswith("@") else argument


IMAGE = "@good.jpg"
FAULTS = [
    # model files
    Fault("pickle", _do("predict", "@evil.pt", IMAGE), r"evil\.pt: is not a dlnotes model file; use a model"),
    Fault("runs in no folder", _do("runs", "list", "@gone"), r"gone: no such folder; name a folder of runs"),
    Fault("no runs", _do("runs", "best", "@images"), r"images: holds no runs; name a folder in which training commands wrote runs"),
    Fault("unknown column", _do("runs", "list", "@run", "--columns", "hiden"), r"--columns: unknown column 'hiden'; did you mean 'hidden'\?"),
    Fault("no condition", _do("runs", "list", "@run", "--where", "lr"), r"--where: 'lr' is not a condition; write NAME=VALUE"),
    Fault("other classes", _do("runs", "compare", "@run", "@colors"), r"colors: has other classes than .*; compare runs with the same"),
    Fault("one run", _do("runs", "diff", "@run"), r"RUNS: names one run; name two or more"),
    Fault("seeds without a folder", _do("train-mlp", "--seeds", 2), r"--seeds: has no effect without --out; add it, or drop"),
    Fault("empty model", _do("predict", "@empty.safetensors", IMAGE), r"empty\.safetensors: is empty; use"),
    Fault("half model", _do("predict", "@half.safetensors", IMAGE), r"half\.safetensors: .*\d bytes expected, [\d,]+ found; "),
    Fault("short model", _do("evaluate", "@short.safetensors"), r"short\.safetensors: .*[\d,]+ bytes expected, [\d,]+ found"),
    Fault("flipped byte", _do("evaluate", "@flipped.safetensors"), r"flipped\.safetensors: .*checksum differs; use a copy"),
    Fault("flipped byte in a run", _do("evaluate", "@damaged"), r"checksum differs; restore it from last\.safetensors .*--resume"),
    Fault("other kind", _do("evaluate", "@rnn.safetensors"), r"holds a model of kind char_rnn, but this command needs mlp, cnn, backbone, boosted, text_rnn or text_linear; use"),
    Fault("newer format", _do("evaluate", "@newer.safetensors"), r"format version 99; this dlnotes reads version 1; upgrade"),
    Fault("missing tensor", _do("evaluate", "@missing.safetensors"), r"missing\.safetensors: tensor output\.bias is missing; train"),
    Fault("wrong shape", _do("evaluate", "@shape.safetensors"), r"output\.bias: shape \(3,\) in the file, \(10,\) in the network"),
    Fault("not finite", _do("evaluate", "@nan.safetensors"), r"tensor output\.bias has values that are not finite"),
    Fault("outputs not finite", _do("predict", "@huge.safetensors", IMAGE), r"huge\.safetensors: its outputs are not finite for this input; train"),
    Fault("loss not finite", _do("evaluate", "@huge.safetensors"), r"huge\.safetensors: its outputs are not finite for this input; train"),
    Fault("other type", _do("evaluate", "@double.safetensors"), r"tensor linear1\.weight: float64 in the file, float32 in the network; train"),
    Fault("missing class name", _do("predict", "@nine.safetensors", IMAGE), r"its metadata is invalid .*9 classes for 10 outputs.*; train"),
    Fault("no classes", _do("evaluate", "@vague.safetensors"), r"its metadata is invalid .*classes.*; train"),
    Fault("no such model", _do("evaluate", "@gone"), r"gone: no such file"),
    # exported models and checkpoints of the course
    Fault("torchscript", _do("export", "@run", "--format", "torchscript"), r"--format torchscript: is deprecated in PyTorch.*; use --format pt2"),
    Fault("old operator set", _do("export", "@run", "--opset", "12"), r"--opset: 12 is out of range; give a value of at least 18"),
    Fault("export over the model", _do("export", "@run", "--format", "state-dict", "--out", "@run/model.safetensors", "--overwrite"), r"--out: .* is an input of the command; name"),
    Fault("ending of an export", _do("export", "@run", "--out", "@model.pt"), r"--out: .*model\.pt does not end in \.onnx; give"),
    Fault("exported twice", _do("export", "@half.onnx"), r"half\.onnx: is an exported file; name the run folder or the model file"),
    Fault("half onnx", _do("char-rnn", "sample", "@half.onnx"), r"half\.onnx: is damaged, or is not an ONNX file; name"),
    Fault("onnx for a model file", _do("explain", "@half.onnx", IMAGE), r"half\.onnx: is an ONNX file, which this command cannot read; use the"),
    Fault("text as onnx", _do("char-rnn", "sample", "@text.onnx"), r"text\.onnx: is damaged, or is not an ONNX file; name"),
    Fault("pickle with a network", _do("predict", "@evil.pt", IMAGE, "--arch", "notes-mlp"), r"evil\.pt: is not a plain state dict; no code in it was run"),
    Fault("model file with a network", _do("evaluate", "@run/model.safetensors", "--arch", "notes-cnn"), r"has a tensor .*, and the layers of notes-cnn are conv1, .*; use another --arch"),
    # run folder
    Fault("resume with another net", _do("train-mlp", "--resume", "@run", "--hidden", "256"), r"--hidden: 256 differs from 16 of the run in .*; drop"),
    Fault("resume with another seed", _do("train-mlp", "--resume", "@run", "--seed", "3"), r"--seed: 3 differs from 0 of the run in .*; drop"),
    Fault("resume nothing", _do("train-mlp", "--resume", "@nothing"), r"--resume: .*nothing holds no run .*; give"),
    Fault("resume elsewhere", _do("train-mlp", "--resume", "@run", "--out", "@new"), r"--out: .*new is not the run .*; drop --out"),
    Fault("out is a file", _train("--out", "@file"), r"--out: .*file is a file; give a folder"),
    Fault("out not writable", _train("--out", "/proc/new"), r"--out: cannot write in /proc .*; choose"),
    Fault("out holds a run", _train("--out", "@run"), r"--out: .*run is not empty; pass --overwrite"),
    # numbers and choices
    Fault("interval of an initialization", _train("--init", "uniform:1,0"), r"--init: 'uniform:1,0' needs two numbers, the lower first, as in uniform:-0\.5,0\.5, or none; see"),
    Fault("unknown initialization", _train("--init", "hee"), r"--init: 'hee' is none of default, .*; see --help"),
    Fault("weights of unknown classes", _train("--class-weights", "@weights.csv"), r"--class-weights: the data has no class 'cat'; its classes are"),
    Fault("start from an image", _train("--init-from", IMAGE), r"good\.jpg: is not a dlnotes model file"),
    Fault("patience without validation", _train("--val-split", "0", "--patience", "2"), r"--patience: cannot be combined with --val-split 0; drop"),
    Fault("parts of one sample", _train("--batch-norm", "--batch-size", "16", "--accumulate", "16"), r"--accumulate: a batch of one sample has no variance for batch norm; use fewer parts"),
    Fault("empty image name", _do("predict", "@run", "x.png", ""), r"PATHS: is empty; give a value, or leave it out"),
    Fault("unknown augmentation", _train("--augment", "flop"), r"--augment: unknown operation 'flop'; did you mean 'flip'\?"),
    Fault("augmentation without number", _train("--augment", "shift"), r"--augment: 'shift' needs a whole number .*; write shift:2"),
    Fault("crop beyond the reflection padding", _train("--augment", "crop:8"), r"--augment: 'crop:8' needs a whole number from 1 to 7; write crop:4"),
    Fault("color beyond one", _train("--augment", "flip,color:2"), r"--augment: 'color:2' needs a number from 0 to 1; write color:0\.2"),
    Fault("mixup of zero", _train("--augment", "mixup:0"), r"--augment: 'mixup:0' needs a number from 0\.01 to 100; write mixup:0\.2"),
    Fault("two mixing operations", _train("--augment", "mixup:1,cutmix:1"), r"--augment: 'mixup' and 'cutmix' both mix the batch; keep one"),
    Fault("augmented rows", _train("--data", "@rows.csv", "--target", "label", "--augment", "crop:2"), r"--augment: 'crop:2' is for images; use none"),
    Fault("test-time augmentation of rows", _do("evaluate", "@table", "--tta"), r"--tta: the model reads tables, .*; drop --tta"),
    Fault("preview of rows", _do("data", "preview", "@rows.csv"), r"NAME\|FOLDER: .*rows\.csv is a table, .*; give a named set"),
    # options of other data, other optimizers or other commands
    Fault("target of images", _train("--target", "label"), r"--target: has no effect on images; drop it, or give a CSV"),
    Fault("categories of a folder", _train("--data", "@images", "--categorical", "a"), r"--categorical: has no effect on images"),
    Fault("size of a named set", _train("--size", "8"), r"--size: has no effect on digits; drop it, or give a folder"),
    Fault("default resizing of a named set", _train("--resize", "crop"), r"--resize: has no effect on digits; drop it"),
    Fault("color of a table", _train("--data", "@rows.csv", "--target", "label", "--color", "gray"), r"--color: has no effect on a table"),
    Fault("preview at another size", _do("data", "preview", "digits", "--size", "9"), r"--size: has no effect on digits"),
    Fault("momentum of adam", _train("--optimizer", "adam", "--momentum", "0.9"), r"--momentum: has no effect with --optimizer adam; drop it, or use sgd or nesterov"),
    Fault("momentum of the recipe", _do("train-cnn", "--momentum", "0.9"), r"--momentum: has no effect with --optimizer adamw; drop it"),
    Fault("momentum of a fine-tuned network", _do("transfer", "--fine-tune", "--momentum", "0.9"), r"--momentum: has no effect with --optimizer adamw; drop it"),
    Fault("momentum of char-rnn", _do("char-rnn", "train", "--recipe", "notes", "--momentum", "0.9"), r"--momentum: has no effect with --optimizer adam; drop it"),
    Fault("units without text", _do("trace", "Linear(1, 1)", "--input", "1", "--units", "3"), r"--units: has no effect without --text; add it, or drop --units"),
    Fault("augmentation of a printed network", _do("train-cnn", "--augment", "crop:400", "--print"), r"--augment: 'crop:400' needs a whole number from 1 to 7"),
    Fault("unknown layer before an existing output", _do("style-transfer", "--content-layer", "foo", "--out", "@images/red/0.png"), r"--content-layer: unknown layer 'foo'"),
    Fault("missing start before an existing output", _do("style-transfer", "--start", "@gone.png", "--out", "@images/red/0.png"), r"gone\.png: no such file; check the path"),
    Fault("rotation before an existing output", _do("data", "preview", "--augment", "rotate:500", "--out", "@images/red/0.png"), r"--augment: 'rotate:500' needs a number from 0 to 180"),
    # devices
    Fault("no cuda", _train("--device", "cuda:77"), r"--device: cuda:77 is unavailable \(available: cpu.*\); use"),
    Fault("unknown device", _train("--device", "gpu"), r"--device: unknown device 'gpu'; use auto"),
    Fault("fp16 on a CPU", _train("--precision", "fp16", "--device", "cpu"), r"--precision: fp16 needs a CUDA device of compute capability 7\.0 or higher, not cpu; use bf16 or fp32"),
    Fault("fp16 for Gram matrices", _do("style-transfer", "--precision", "fp16", "--out", "@new.png"), r"--precision: Gram matrices exceed the range of fp16; use bf16 or fp32"),
    Fault("compiled steps without steps", _do("transfer", "--weights", "none", "--compile", "--out", "@new"), r"--compile: has no effect without --fine-tune or --recipe notes; add it"),
    # data
    Fault("unknown set", _train("--data", "fashon-mnist"), r"--data: 'fashon-mnist' is neither a named data set nor a folder; did you mean 'fashion-mnist'\?"),
    Fault("no such folder", _train("--data", "@gone/"), r"gone: no such file or folder; check the path"),
    Fault("data of another kind", _train("--data", "@file"), r"--data: .*file is neither a folder nor a CSV file; give"),
    Fault("data is a pipe", _train("--data", "@pipe"), r".*pipe: is not a regular file; save its content to a file first"),
    Fault("table is a pipe", _do("predict", "@table", "@pipe.csv"), r"pipe\.csv: is not a file; save"),
    Fault("input as output", _do("predict", "@run", IMAGE, "--csv", "@run/model.safetensors", "--overwrite"), r"--csv: .* is an input of the command; name"),
    Fault("empty folder", _train("--data", "@nothing"), r"--data: .*nothing has no class folders; expected"),
    Fault("no class folders", _train("--data", "@flat"), r"--data: .*flat has no class folders; expected FOLDER/<class>"),
    Fault("empty class", _train("--data", "@hollow"), r"--data: class folder .*violet has no images; add"),
    Fault("one class", _train("--data", "@lonely"), r"--data: .*lonely has only one class, 'red'; give"),
    Fault("nothing to validate", _train("--data", "@images", "--val-split", "0.01"), r"--val-split: leaves no validation samples \(9 in all\); raise --val-split or add samples"),
    Fault("truncated image", _train("--data", "@truncated"), r"cut\.jpg: image is truncated; remove it or pass --skip-bad"),
    Fault("text as image", _train("--data", "@text"), r"text\.jpg: not an image; remove it or pass --skip-bad"),
    Fault("empty image", _train("--data", "@zero"), r"zero\.jpg: not an image; remove it or pass --skip-bad"),
    Fault("html as image", _train("--data", "@html"), r"page\.jpg: not an image; remove it or pass --skip-bad"),
    Fault("bomb", _train("--data", "@bomb"), r"bomb\.png: 30000x30000 = 900,000,000 pixels, over 178,956,970; raise --max-pixels"),
    Fault("gate without test", _train("--data", "@parts", "--min-accuracy", "0.5"), r"--min-accuracy: .* has no test split; add"),
    Fault("pipe in a class", _train("--data", "@piped"), r"red/pipe\.png: is not a regular file; save its content to a file first"),
    Fault("link to itself", _do("data", "info", "@linked"), r"DATA: class folder .*linked/self is a link to its parent folder .*linked"),
    Fault("link to a parent", _do("data", "info", "@above"), r"DATA: class folder .*train/up is a link to its parent folder .*above"),
    # tables
    Fault("no target", _train("--data", "@rows.csv"), r"--target: does not name the column of .*; choose from length, width, kind, label"),
    Fault("numbers as target", _train("--data", "@rows.csv", "--target", "length"), r"--target: 'length' has \d+ distinct values in 40 rows; choose a column of classes"),
    Fault("unknown target", _train("--data", "@rows.csv", "--target", "lable"), r"--target: unknown column 'lable'; did you mean 'label'\?"),
    Fault("text in numbers", _train("--data", "@cell.csv", "--target", "label"), r"cell\.csv: line 6: column 'length': 'wide' is not a number; fix"),
    Fault("empty table", _train("--data", "@empty.csv", "--target", "label"), r"empty\.csv: the file is empty; give"),
    Fault("header alone", _train("--data", "@header.csv", "--target", "label"), r"header\.csv: a header line but no rows; add"),
    Fault("ragged", _train("--data", "@ragged.csv", "--target", "label"), r"ragged\.csv: line 42 has 2 cells, the header 4; fix"),
    Fault("one class in a table", _train("--data", "@one.csv", "--target", "label"), r"--data: .*one\.csv has only one class, 'yes'; give"),
    Fault("no header", _train("--data", "@numbers.csv", "--target", "label"), r"numbers\.csv: the first line holds numbers.*; put"),
    # time series
    Fault("gap in a series", _series("@gap.csv"), r"gap\.csv: 1 gap in column 'hour', after line 51; insert the rows, or pass --fill"),
    Fault("repeated time", _series("@twice.csv"), r"twice\.csv: 1 repeated time in column 'hour', first in lines 10 and 11; drop"),
    Fault("time out of order", _series("@backward.csv"), r"backward\.csv: line 11: the time 2024-01-01T03:00 is before that of line 10; sort"),
    Fault("missing value of a series", _series("@unknown.csv"), r"unknown\.csv: 1 missing value in column 'load', in line 11; fill"),
    Fault("short series", _series("@three.csv"), r"three\.csv: 3 rows, too few to forecast; give more"),
    Fault("window of a series", _series("@hours.csv", "--window", "300"), r"hours\.csv: 200 rows, of which 160 for training, but --window 300 and --horizon 12 need 312; lower"),
    Fault("text as time", _series("@later.csv"), r"later\.csv: line 2: column 'hour': 'soon' is not a date like .*; fix the cell"),
    Fault("unnamed column of a series", _do("series", "train", "--data", "@hours.csv"), r"--column: does not name the column of .*; name a column"),
    Fault("calendar without times", _do("series", "train", "--data", "@hours.csv", "--column", "load", "--calendar"), r"--calendar: has no effect without --time or --data sine or trend-season; add it, or drop --calendar"),
    Fault("forecast of a classifier", _do("series", "forecast", "@run"), r"holds a model of kind mlp, but this command needs series_rnn; use"),
    # evaluate and predict
    Fault("unknown class", _do("evaluate", "@colors", "--data", "@other"), r"--data: the model does not have the class 'crimson'; its classes are blue, green, red"),
    Fault("checkpoint as output", _do("predict", "@run", IMAGE, "--csv", "@run/last.safetensors", "--overwrite"), r"--csv: .* is an input of the command; name"),
    Fault("result as output", _do("evaluate", "@run", "--csv", "@run/result.json", "--overwrite"), r"--csv: .* is an input of the command; name"),
    Fault("table to an image model", _do("evaluate", "@colors", "--data", "@rows.csv"), r"--data: .* holds a CSV table, but the model was trained on images"),
    Fault("images to a table model", _do("evaluate", "@table", "--data", "@images"), r"--data: .* holds images, but the model was trained on a CSV table"),
    Fault("other size", _do("evaluate", "@colors", "--data", "digits"), r"--data: digits has images of 1x8x8, but the model needs 3x12x10; give"),
    Fault("absent split", _do("evaluate", "@colors", "--data", "@images", "--split", "val"), r"--split: .* has no split 'val'; choose from all"),
    Fault("csv and json", _do("evaluate", "@run", "--csv", "-", "--json"), r"--json: cannot be combined with --csv -; drop one of them"),
    Fault("evaluate out exists", _do("evaluate", "@run", "--out", "@run"), r"--out: .*run is not empty; pass --overwrite"),
    Fault("nothing to predict", _do("predict", "@run"), r"PATH: no input given; name files"),
    Fault("no such image", _do("predict", "@run", "@gone.png"), r"gone\.png: no such file; check"),
    Fault("pattern without match", _do("predict", "@run", "@*.xyz"), r"\*\.xyz: the pattern matches no file; check"),
    Fault("truncated input", _do("predict", "@run", IMAGE, "@truncated/red/cut.jpg"), r"cut\.jpg: image is truncated; remove it"),
    Fault("csv to an image model", _do("predict", "@run", "@rows.csv"), r"rows\.csv: is a CSV table; the model was trained on images"),
    Fault("image to a table model", _do("predict", "@table", IMAGE), r"good\.jpg: is not a CSV table; the model"),
    Fault("unseen category", _do("predict", "@table", "@unseen.csv"), r"unseen\.csv: line 42: column 'kind': 'c' does not occur in the training data"),
    Fault("json and jsonl", _do("predict", "@run", IMAGE, "--json", "--jsonl"), r"--jsonl: cannot be combined with --json; drop"),
    Fault("csv exists", _do("predict", "@run", IMAGE, "--csv", "@file"), r"--csv: .*file exists; pass --overwrite"),
    Fault("no list", _do("predict", "@run", "--files-from", "@gone.txt"), r"gone\.txt: no such file"),
    Fault("missing model argument", _do("evaluate"), r"MODEL: missing; see dlnotes evaluate --help"),
    Fault("pipe as a model", _do("predict", "@pipe", "x.png"), r"pipe: is not a regular file; save its content to a file first"),
    Fault("pipe as an image", _do("predict", "@run", "@pipe.png"), r"pipe\.png: is not a regular file; save"),
    Fault("device as a model", _do("predict", "/dev/zero", "x.png"), r"/dev/zero: is not a regular file; save"),
    Fault("device as an image", _do("predict", "@run", "/dev/zero"), r"/dev/zero: is not a regular file; save"),
    *(
        Fault(f"long name of {words[0]}", _do(*words), r"file name too long")
        for words in (["evaluate", "x" * 300], ["data", "preview", "--out", "x" * 300 + ".png"], ["train-mlp", "--out", "x" * 300])
    ),
    *(
        Fault(f"missing home of {words[0]}", _do(*words), r".*no-such-user")
        for words in (["evaluate", "~no-such-user/run"], ["train-mlp", "--resume", "~no-such-user/run"], ["conv-shape", "~no-such-user/net.py"])
    ),
    Fault("unknown command of schema", _do("schema", "train-mpl"), r"COMMAND: unknown value 'train-mpl'; did you mean 'train-mlp'\?"),
    Fault("control characters", _do("predict", "a\nb\x1b[31m"), r"a\\x0ab\\x1b\[31m"),
    # filter
    Fault("filter: ragged", _do("filter", IMAGE, "--kernel", "@ragged.txt"), r"ragged\.txt: row 2 has 2 numbers, row 1 has 3 \(column 3\); make"),
    Fault("filter: missing kernel file", _do("filter", IMAGE, "--kernel", "@gone.txt"), r"gone\.txt: no such file"),
    Fault("filter: kernel too large", _do("filter", IMAGE, "--kernel", "box", "--kernel-size", 65, "--edges", "crop"), r"good\.jpg: --edges: crop leaves no pixel of 64x64 .* under a kernel of 65x65; use"),
    Fault("filter: chain too large", _do("filter", IMAGE, "--kernel", "box", "--kernel-size", 40, "--then", "gaussian", "--edges", "crop"), r"good\.jpg: --edges: crop leaves no pixel of 25x25"),
    Fault("filter: truncated", _do("filter", "@truncated/red/cut.jpg"), r"cut\.jpg: image is truncated; remove"),
    Fault("filter: bomb", _do("filter", "@bomb/red/bomb.png"), r"bomb\.png: 30000x30000 = 900,000,000 pixels, over 178,956,970; raise --max-pixels"),
    Fault("filter: pattern", _do("filter", "@*.xyz"), r"\*\.xyz: the pattern matches no file; check"),
    Fault("filter: empty folder", _do("filter", "@nothing", "--out", "@new/"), r"nothing: the folder has no images; name another folder, or add --recursive"),
    Fault("filter: nested folder", _do("filter", "@images", "--out", "@new/"), r"images: the folder has no images; .*add --recursive"),
    Fault("filter: file extension", _do("filter", IMAGE, "--out", "@x.xyz"), r"--out: no image format has the file extension '\.xyz'; use \.png, \.jpg"),
    Fault("filter: file as folder", _do("filter", IMAGE, "--out", "@file"), r"--out: .*file is not a folder; give a folder"),
    Fault("filter: placeholder of a pattern", _do("filter", IMAGE, "--out", "@{nam}.png"), r"--out: unknown placeholder \{nam\}; use \{name\}, \{kernel\} and \{index\}"),
    Fault("filter: exists", _do("filter", IMAGE, "--out", "@images/red/0.png"), r"--out: .*0\.png exists; pass --overwrite"),
    Fault("filter: exists in a folder", _do("filter", "@images/red", "--out", "@images/red"), r"--out: .*red/0\.png exists; pass --overwrite"),
    Fault("filter: missing folder", _do("filter", IMAGE, "--out", "@gone/x.png"), r"--out: no folder .*gone; make it first"),
    Fault("filter: one file for many", _do("filter", "@images/red", "--out", "@x.png"), r"--out: .*x\.png is one file for 3 images; use a folder"),
    Fault("filter: two results of one path", _do("filter", "@images/red", "--out", "@x-{kernel}.png"), r"--out: two results have the path .*x-sobel-x\.png; use a pattern"),
    Fault("filter: stdout for many", _do("filter", "@images/red", "--out", "-"), r"--out: - writes one image, got 3; use"),
    Fault("filter: stdout and json", _do("filter", IMAGE, "--out", "-", "--json"), r"--json: cannot be combined with --out -; drop one of them"),
    Fault("filter: stdin twice", _do("filter", "-", "-"), r"PATH: - is standard input, which can be read only once"),
    Fault("filter: sheet of many", _do("filter", "@images/red", "--sheet", "@s.png"), r"--sheet: shows one image, got 3"),
    Fault("filter: sheet exists", _do("filter", IMAGE, "--sheet", "@images/red/0.png"), r"--sheet: .*0\.png exists; pass --overwrite"),
    Fault("filter: sheet extension", _do("filter", IMAGE, "--sheet", "@s.jpg"), r"--sheet: .*s\.jpg does not end in \.png; give"),
    Fault("filter: sheet over the result", _do("filter", IMAGE, "--out", "@s.png", "--sheet", "@s.png"), r"--sheet: .*s\.png is also the file of the result; name"),
    Fault("filter: format and extension", _do("filter", IMAGE, "--out", "@x.png", "--format", "jpg"), r"--format: jpg contradicts the file extension of .*x\.png; leave"),
    Fault("filter: decimal numbers", _do("filter", "@deep.tif"), r"deep\.tif: pixel values from 0 to 1000 are outside 0 to 255; rescale"),
    Fault("filter: spectrum alone", _do("filter", IMAGE, "--spectrum"), r"--spectrum: has no effect without --sheet; add it"),
    Fault("filter: pooling window", _do("filter", IMAGE, "--pool", "max", "--kernel-size", 65), r"good\.jpg: --kernel-size: a pooling window of 65x65 does not fit into 64x64; use"),
    Fault("filter: crop by operations", _do("filter", IMAGE, "--op", "erode:65", "--edges", "crop"), r"good\.jpg: --edges: crop leaves no pixel of 64x64 .* under a kernel of 65x65"),
    Fault("filter: raw pixels", _do("filter", IMAGE, "--result", "raw", "--out", "@x.png"), r"--result: raw values do not fit into the pixels of PNG; use \.npy, show them with --sheet"),
    Fault("filter: raw format", _do("filter", IMAGE, "--result", "raw", "--out", "-", "--format", "jpg"), r"--result: raw values do not fit into the pixels of JPEG"),
    Fault("filter: raw and threshold", _do("filter", IMAGE, "--result", "raw", "--threshold", 9), r"--threshold: cannot be combined with --result raw; drop one"),
    Fault("filter: patch and path", _do("filter", IMAGE, "--patch", "1"), r"PATHS: cannot be combined with --patch; drop"),
    Fault("filter: patch and format", _do("filter", "--patch", "1", "--format", "jpg"), r"--format: cannot be combined with --patch; drop"),
    # explain
    Fault("explain a table model", _do("explain", "@table", IMAGE), r"table: the model reads tables, .*; use another model"),
    Fault("explain a language model", _do("explain", "@rnn.safetensors", IMAGE), r"holds a model of kind char_rnn, but this command needs mlp, cnn, backbone or boosted; use"),
    Fault("explain without a model", _do("explain", IMAGE), r"MODEL: .*good\.jpg is an image; name the model first"),
    Fault("feature maps of a perceptron", _do("explain", "@colors", IMAGE), r"--method: layercam weighs feature maps, and this multi-layer perceptron has none; use occlusion"),
    Fault("unknown explained layer", _do("explain", "small", IMAGE, "--layer", "conv9"), r"--layer: unknown layer 'conv9'; did you mean 'conv"),
    Fault("layer without positions", _do("explain", "small", IMAGE, "--layer", "linear1"), r"--layer: the output of linear1 is 10, which has no positions; name"),
    Fault("layer of a gradient", _do("explain", "small", IMAGE, "--layer", "conv1", "--method", "saliency"), r"--layer: has no effect with --method saliency; drop --layer"),
    Fault("unknown explained class", _do("explain", "small", IMAGE, "--class", "brid"), r"--class: unknown class 'brid'; did you mean 'bird'\?"),
    Fault("class twice", _do("explain", "small", IMAGE, "--class", "bird", "--class", "bird"), r"--class: names 'bird' twice; name"),
    Fault("folder without its class", _do("explain", "small", "@images/red/0.png", "--class", "true"), r"--class: true needs a folder named after a class; 'red' is not one; name"),
    Fault("window of a gradient", _do("explain", "small", IMAGE, "--window", "3"), r"--window: has no effect without --method occlusion; add it, or drop"),
    Fault("window as large as the input", _do("explain", "small", IMAGE, "--method", "occlusion", "--window", "32"), r"--window: a window of 32 pixels covers the whole input of 32; give less"),
    Fault("stride beyond the window", _do("explain", "small", IMAGE, "--method", "occlusion", "--window", "4", "--stride", "5"), r"--stride: 5 is more than the window's 4; give less"),
    Fault("truncated explained image", _do("explain", "small", "@truncated", "--json"), r"cut\.jpg: image is truncated; remove"),
    Fault("explained table", _do("explain", "small", "@rows.csv"), r"rows\.csv: is a CSV table; the model was trained on images"),
    Fault("explain an empty folder", _do("explain", "small", "@nothing"), r"nothing: the folder has no images; name"),
    Fault("two maps with one path", _do("explain", "small", "@images/red/0.png", "@images/blue/0.png", "--out", "@new"), r"--out: two results have the path .*0\.png; explain"),
    Fault("two maps in a file", _do("explain", "small", "@images/red/0.png", "@images/blue/0.png", "--out", "@new.png"), r"--out: .*new\.png is one file for 2 maps; give a folder"),
    Fault("map as image", _do("explain", "small", IMAGE, "--out", "@map.npy"), r"--out: writes images; use --maps FOLDER"),
    Fault("heat over its image", _do("explain", "small", IMAGE, "--out", IMAGE, "--overwrite"), r"--out: .*good\.jpg is an input of the command; name"),
    Fault("sheet exists", _do("explain", "small", IMAGE, "--sheet", "@images/red/0.png"), r"--sheet: .*0\.png exists; pass --overwrite"),
    Fault("maps in a file", _do("explain", "small", IMAGE, "--maps", "@file"), r"--maps: .*file is a file; give a folder"),
    # data
    Fault("unreadable images", _do("data", "info", "@truncated"), r"cut\.jpg: image is truncated; remove"),
    Fault("no data root", _do("data", "list", "--data-root", "@gone"), r"--data-root: .*gone"),
    # divergence
    Fault("divergence", lambda home: small_training(home / "new", "--lr", "1e12", "--schedule", "constant", "--optimizer", "sgd", "--no-batch-norm", "-q"),
          r"--lr: the (loss|gradient|a weight) is not finite at step \d+ \(--lr 1e\+12\); use a lower --lr", code=3),
]  # fmt: skip


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_an_error_is_one_line_and_changes_no_file(fault: Fault, home: Path, dlnotes: Command) -> None:
    before = folder_digest(home)
    outcome = dlnotes(*fault.arguments(home))
    if fault.code == 3:
        shutil.rmtree(home / "new")  # an unfinished run keeps its files
    assert outcome.code == fault.code, outcome.err
    lines = outcome.err.splitlines()
    assert len(lines) == 1, outcome.err
    assert re.match(rf"dlnotes: error: .*{fault.message}", lines[0]), lines[0]
    assert outcome.out == ""
    assert folder_digest(home) == before
    assert not (home / "MARKER").exists()


def test_a_run_folder_in_use_is_refused(tmp_path: Path, dlnotes: Command) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    with (folder / ".lock").open("w") as lock:
        lock.write("pid 4711 on elsewhere")
        lock.flush()
        fcntl.flock(lock, fcntl.LOCK_EX)
        outcome = dlnotes(*small_training(folder, "--overwrite"))
    assert outcome.code == 2
    assert re.search(r"--out: .* is in use by another run \(pid 4711 on elsewhere\); wait", outcome.err)
    assert sorted(path.name for path in folder.iterdir()) == [".lock"]


def test_a_stale_lock_is_replaced_with_a_note(tmp_path: Path, dlnotes: Command) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / ".lock").write_text("pid 4711 on elsewhere")
    outcome = dlnotes(*small_training(folder, "--overwrite"))
    assert outcome.code == 0
    assert "replaced a stale lock" in outcome.err
    assert "pid 4711 on elsewhere has ended" in outcome.err
    assert not (folder / ".lock").exists()


def test_divergence_keeps_the_best_finite_model(
    tmp_path: Path, dlnotes: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    from dlnotes_cli.training.schedule import Schedule

    monkeypatch.setattr(Schedule, "factor", lambda _self, step, *_: 1.0 if step < 8 else 1e30)
    outcome = dlnotes(*small_training(tmp_path / "run", "--epochs", "6", "-q"))
    assert outcome.code == 3
    tensors, metadata = read_tensors(tmp_path / "run" / "model.safetensors")
    assert metadata["epoch"] in {1, 2}
    assert all(bool(torch.isfinite(t).all()) for t in tensors.values() if t.is_floating_point())
    read_tensors(tmp_path / "run" / "last.safetensors")


def test_skipped_images_are_named_and_counted(tmp_path: Path, dlnotes: Command) -> None:
    make_images(tmp_path / "images", count=12)
    (tmp_path / "images" / "red" / "bad.png").write_bytes(b"no image")
    outcome = dlnotes(*small_training(tmp_path / "run", "--data", tmp_path / "images", "--skip-bad", "--json"))
    assert outcome.code == 0
    assert "bad.png" in outcome.err
    assert json.loads(outcome.out)["data"]["skipped"] == 1


def test_hidden_entries_are_not_classes(tmp_path: Path, dlnotes: Command) -> None:
    make_images(tmp_path / "images", count=12)
    (tmp_path / "images" / ".ipynb_checkpoints").mkdir()
    (tmp_path / "images" / ".DS_Store").write_bytes(b"\0")
    outcome = dlnotes(*small_training(tmp_path / "run", "--data", tmp_path / "images", "--json"))
    assert json.loads(outcome.out)["data"]["classes"] == ["blue", "green", "red"]


@pytest.mark.parametrize("batch", [32, 64])
def test_a_last_batch_of_one_does_not_break_batch_norm(batch: int, tmp_path: Path, dlnotes: Command) -> None:
    arguments = small_training(tmp_path / "run", "--limit", "65", "--batch-size", batch, "--batch-norm", "--json")
    outcome = dlnotes(*arguments)
    assert outcome.code == 0, outcome.err
    assert json.loads(outcome.out)["steps"] == 2 * (2 if batch == 32 else 1)


def test_a_batch_size_above_the_sample_count_is_reduced_with_a_note(tmp_path: Path, dlnotes: Command) -> None:
    outcome = dlnotes(*small_training(tmp_path / "run", "--limit", "40", "--batch-size", "512"))
    assert outcome.code == 0
    assert "the batch size is reduced to the 40 training samples" in outcome.err


def test_a_link_to_a_folder_elsewhere_is_a_class_and_none_in_a_class_is_followed(
    tmp_path: Path, dlnotes: Command
) -> None:
    make_images(tmp_path / "top")
    make_images(tmp_path / "other")
    (tmp_path / "top" / "crimson").symlink_to(tmp_path / "other" / "red")
    (tmp_path / "top" / "red" / "self").symlink_to(".")
    outcome = dlnotes("data", "info", tmp_path / "top", "--json")
    assert outcome.code == 0, outcome.err
    assert json.loads(outcome.out)["classes"] == ["blue", "crimson", "green", "red"]
