"""The file of --class-weights: read from CSV and JSON, its mistakes, and the same training as balanced weights."""

import json
from pathlib import Path

import numpy as np
import pytest
from builders import Command, small_training
from sklearn.utils.class_weight import compute_class_weight

from dlnotes_cli.classify.options import TrainMlpConfig
from dlnotes_cli.data.dataset import SplitRule
from dlnotes_cli.data.load import load_training_data
from dlnotes_cli.shell.errors import InputError
from dlnotes_cli.training.objective import class_weights_of, weights_in_order

pytestmark = pytest.mark.usefixtures("blank_figures")


def read(path: Path, text: str) -> dict[str, float]:
    path.write_text(text)
    weights = class_weights_of(str(path))
    assert weights is not None
    return weights


def test_csv_and_json_give_the_same_weights(tmp_path: Path) -> None:
    long = "a class" * 30_000  # more characters than the csv module allows by default
    expected = {"cat, small": 1.0, long: 2.5}
    assert read(tmp_path / "w.csv", f'weight,class\n1,"cat, small"\n2.5,{long}\n') == expected
    assert read(tmp_path / "w.json", json.dumps(expected)) == expected
    assert weights_in_order(expected, (long, "cat, small")) == (2.5, 1.0)
    assert class_weights_of("balanced") is None


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("w.csv", "a,weight\nb,1\n", r"each class \(its columns are not class and weight\); write"),
        ("w.csv", "class,weight\na\n", r"w\.csv: line 2 has 1 cells, the header 2; fix the line"),
        ("w.csv", "class,weight\na,b\n", r"does not give a weight to each class \(could not convert"),
        ("w.csv", "class,weight\na,1\na,2\n", r"a class has several weights"),
        ("w.csv", "class,weight\na,0\n", r"class 'a' has the weight 0.0; give a number above 0"),
        ("w.csv", "class,weight\na,nan\n", r"class 'a' has the weight nan"),
        ("w.json", "[1, 2]", r"does not give a weight to each class \(not an object\)"),
        ("w.json", '{"a": true}', r"class 'a' has the weight True"),
        ("w.json", '{"a": [1]}', r"class 'a' has the weight \[1\]"),
        ("w.json", '{"a": 1, "a": 2}', r"each class \(repeated name\)"),
        ("w.json", '{"a": NaN}', r"each class \(NaN\)"),
    ],
)
def test_invalid_files(name: str, text: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=message):
        read(tmp_path / name, text)


def test_a_file_of_balanced_weights_trains_as_balanced(tmp_path: Path, dlnotes: Command) -> None:
    config = TrainMlpConfig(limit=200)
    dataset = load_training_data(config, SplitRule(0.2, 0.2, 0, 200), "standard", threads=1)
    labels = dataset.labels[dataset.splits["train"]]
    weights = compute_class_weight("balanced", classes=np.arange(10), y=labels)
    (tmp_path / "w.json").write_text(json.dumps(dict(zip(dataset.classes, weights.tolist(), strict=True))))
    words = small_training(tmp_path, "--val-split", 0.2, "--limit", 200)
    histories: list[list[float]] = []
    for value in ("balanced", tmp_path / "w.json", "none"):
        out = tmp_path / str(len(histories))
        words[words.index("--out") + 1] = str(out)
        outcome = dlnotes(*words, "--class-weights", value)
        assert outcome.code == 0, outcome.err
        lines = (out / "metrics.jsonl").read_text().splitlines()
        histories.append([json.loads(line)["validation"]["loss"] for line in lines])
    assert histories[1] == pytest.approx(histories[0], rel=1e-6)
    assert histories[2] != pytest.approx(histories[0], rel=1e-6)
