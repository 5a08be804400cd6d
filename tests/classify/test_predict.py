import csv
import io
import json
from pathlib import Path

import pytest
from builders import COLORS, Command, make_images, make_table
from PIL import Image


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    return make_images(tmp_path / "photos", count=3, seed=7)


def predictions(outcome_text: str) -> dict[str, str]:
    return {entry["item"]: entry["class"] for entry in json.loads(outcome_text)["predictions"]}


def test_every_answer_stands_beside_its_own_file(images_run: Path, photos: Path, dlnotes: Command) -> None:
    found = predictions(dlnotes("predict", images_run, photos, "--json").out)
    assert list(found) == [str(photos / name / f"{i}.png") for name in COLORS for i in range(3)]
    assert all(Path(item).parent.name == name for item, name in found.items())


def test_probabilities_are_a_softmax(images_run: Path, photos: Path, dlnotes: Command) -> None:
    entries = json.loads(dlnotes("predict", images_run, photos, "--json", "--top", "9").out)["predictions"]
    for entry in entries:
        shares = [option["probability"] for option in entry["top"]]
        assert len(shares) == 3
        assert sum(shares) == pytest.approx(1, abs=1e-5)
        assert shares == sorted(shares, reverse=True)
        assert (entry["class"], entry["probability"]) == (entry["top"][0]["class"], shares[0])


def test_the_forms_of_the_answer_agree(images_run: Path, photos: Path, tmp_path: Path, dlnotes: Command) -> None:
    entries = json.loads(dlnotes("predict", images_run, photos, "--json").out)["predictions"]
    lines = [json.loads(line) for line in dlnotes("predict", images_run, photos, "--jsonl").out.splitlines()]
    assert lines == entries
    rows = list(csv.DictReader(io.StringIO(dlnotes("predict", images_run, photos, "--csv", "-").out)))
    assert [(row["item"], row["class"], row["class_3"]) for row in rows] == [
        (entry["item"], entry["class"], entry["top"][2]["class"]) for entry in entries
    ]
    table = dlnotes("predict", images_run, photos, "--csv", tmp_path / "out.csv")
    assert all(entry["item"] in table.out for entry in entries)
    assert list(csv.DictReader((tmp_path / "out.csv").read_text().splitlines())) == rows


def test_a_bad_file_is_its_own_row_and_never_another_answer(images_run: Path, photos: Path, dlnotes: Command) -> None:
    whole = predictions(dlnotes("predict", images_run, photos, "--json").out)
    bad = photos / "green" / "0a.png"
    bad.write_bytes(b"not an image")
    assert dlnotes("predict", images_run, photos, "--json").code == 2
    outcome = dlnotes("predict", images_run, photos, "--json", "--skip-bad")
    assert outcome.code == 0
    document = json.loads(outcome.out)
    assert document["skipped"] == 1
    errors = {entry["item"]: entry["error"] for entry in document["predictions"] if "error" in entry}
    assert list(errors) == [str(bad)]
    assert "not an image" in errors[str(bad)]
    assert {e["item"]: e["class"] for e in document["predictions"] if "class" in e} == whole
    rows = list(csv.DictReader(io.StringIO(dlnotes("predict", images_run, photos, "--skip-bad", "--csv", "-").out)))
    assert [row["item"] for row in rows if row["error"]] == [str(bad)]


def test_only_bad_files(images_run: Path, tmp_path: Path, dlnotes: Command) -> None:
    (tmp_path / "a.png").write_bytes(b"")
    outcome = dlnotes("predict", images_run, tmp_path / "a.png", "--skip-bad", "--json")
    assert outcome.code == 0
    assert json.loads(outcome.out)["skipped"] == 1


def test_patterns_lists_and_stdin(
    images_run: Path, photos: Path, tmp_path: Path, dlnotes: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = [str(photos / "red" / f"{i}.png") for i in range(3)]
    assert list(predictions(dlnotes("predict", images_run, photos / "red" / "*.png", "--json").out)) == expected
    (tmp_path / "list.txt").write_text("\n".join(expected) + "\n\n")
    words = ("predict", images_run, "--json", "--files-from")
    assert list(predictions(dlnotes(*words, tmp_path / "list.txt").out)) == expected
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO("\n".join(expected).encode())))
    assert list(predictions(dlnotes(*words, "-").out)) == expected


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "P", "CMYK"])
def test_the_same_image_in_any_mode_has_the_same_answer(
    mode: str, images_run: Path, tmp_path: Path, dlnotes: Command
) -> None:
    image = Image.new("RGB", (10, 12), COLORS["green"]).convert(mode)
    path = tmp_path / ("a.tif" if mode == "CMYK" else "a.png")
    image.save(path)
    assert predictions(dlnotes("predict", images_run, path, "--json").out) == {str(path): "green"}


def test_rows_of_a_table(table_run: Path, tmp_path: Path, dlnotes: Command) -> None:
    make_table(tmp_path / "new.csv", rows=40, seed=3)
    lines = (tmp_path / "new.csv").read_text().splitlines()
    found = predictions(dlnotes("predict", table_run, tmp_path / "new.csv", "--json").out)
    assert list(found) == [f"{tmp_path / 'new.csv'}:{line}" for line in range(2, 42)]
    right = sum(line.endswith(name) for line, name in zip(lines[1:], found.values(), strict=True))
    assert right >= 34
    # The target column is not needed, the order of the others does not matter, and more of them do no harm.
    shuffled = ["kind,note,width,length"] + [f"{k},x,{w},{n}" for n, w, k, _ in (line.split(",") for line in lines[1:])]
    (tmp_path / "shuffled.csv").write_text("\n".join(shuffled))
    again = predictions(dlnotes("predict", table_run, tmp_path / "shuffled.csv", "--json").out)
    assert list(again.values()) == list(found.values())


def test_a_bad_row_is_its_own_answer(table_run: Path, tmp_path: Path, dlnotes: Command) -> None:
    (tmp_path / "rows.csv").write_text("length,width,kind\n1,1,a\nwide,1,a\n-1,-1,b\n1,2,z\n")
    outcome = dlnotes("predict", table_run, tmp_path / "rows.csv", "--skip-bad", "--json")
    entries = json.loads(outcome.out)["predictions"]
    assert [entry.get("class", "bad") for entry in entries] == ["yes", "bad", "no", "bad"]
    assert "'wide' is not a number" in entries[1]["error"]
    assert dlnotes("predict", table_run, tmp_path / "rows.csv").code == 2


def test_views_are_averaged_where_there_are_images(
    images_run: Path, table_run: Path, photos: Path, tmp_path: Path, dlnotes: Command
) -> None:
    plain, viewed = (
        json.loads(dlnotes("predict", images_run, photos, "--json", *more).out)["predictions"]
        for more in ((), ("--tta",))
    )
    assert [entry["class"] for entry in viewed] == [entry["class"] for entry in plain]
    assert [entry["probability"] for entry in viewed] != [entry["probability"] for entry in plain]
    assert sum(option["probability"] for option in viewed[0]["top"]) == pytest.approx(1, abs=1e-5)
    outcome = dlnotes("predict", table_run, make_table(tmp_path / "rows.csv", rows=5), "--tta")
    assert outcome.code == 2
    assert "--tta: the model reads tables" in outcome.err
