"""Faults of every `visualize` command are found before anything is written, and name the option."""

from pathlib import Path

import numpy as np
import pytest
from builders import Command
from PIL import Image

from dlnotes_cli.training import projection

WIDE = "the receptive field of layer4.1, 435x435, is larger than an image, 224x224; name an earlier layer"


@pytest.mark.parametrize(
    ("words", "what"),
    [
        ("activations small bad.jpg", "bad.jpg: not an image"),
        ("activations photo.png", "MODEL: photo.png"),
        ("activations small photo.png --out maps.png", "does not end in .npz"),
        ("activations small photo.png --sheet maps.jpg", "--sheet: maps.jpg does not end in .png"),
        ("activations small photo.png --layer conv0", "--layer: unknown layer"),
        (
            "filters small --layer relu1",
            "--layer: relu1 is of type ReLU, which has no filters; name a layer with filters",
        ),
        ("filters small --layer linear1", "--layer: linear1 reads 320 values, not an image"),
        ("maximize small --unit 10", "--unit: linear1 has no unit 10; use 0 to 9, or the name of a class"),
        ("maximize small --layer relu1 --unit cat", "--unit: relu1 has no unit cat; use 0 to 23, or top"),
        ("maximize small --unit cats", "--unit: unknown class 'cats'; did you mean 'cat'?"),
        ("maximize small --unit cat --top 3", "--top: has no effect without --unit top; add it, or drop --top"),
        ("maximize small --size 1", "--size: small does not accept images of 1x1"),
        ("dream photo.png --layer linear1", "--layer: the output of linear1 is 10, which has no positions"),
        ("dream tiny.png", "tiny.png: 10x10 pixels are too few"),
        ("dream photo.png --model {digits}", "has no layer with maps"),
        ("dream photo.png --out dream.txt", "no image format has the suffix '.txt'"),
        ("dream missing.png", "missing.png: no such file"),
        ("patches resnet18 --weights none --layer layer4", f"--layer: {WIDE}"),
        ("embedding small --data {rows}", "is a table, this command reads images"),
        ("embedding small --data empty", "has no images"),
        ("embedding {table} --data digits", "reads tables"),
        ("embedding small --data missing --method umap", "--method: UMAP needs the package umap-learn"),
    ],
)
def test_faults(
    words: str, what: str, digits_run: Path, table_run: Path, tmp_path: Path, dlnotes: Command,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr(projection, "find_spec", lambda _name: None)
    monkeypatch.chdir(tmp_path)
    for name, side in (("photo.png", 40), ("tiny.png", 10)):
        Image.fromarray(np.zeros((side, side, 3), np.uint8)).save(name)
    Path("bad.jpg").write_bytes(b"no image")
    Path("empty").mkdir()
    before = set(tmp_path.iterdir())
    places = {"digits": digits_run, "table": table_run, "rows": table_run.parent / "rows.csv"}
    outcome = dlnotes("visualize", *(word.format(**places) for word in words.split()))
    assert (outcome.code, outcome.out) == (2, "")
    assert what in outcome.err
    assert set(tmp_path.iterdir()) == before
