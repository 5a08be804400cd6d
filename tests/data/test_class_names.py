"""--class-names: classes have the names of a JSON file, from training to evaluation and prediction."""

import json
from pathlib import Path

import pytest
from builders import Command, make_images, small_training

from dlnotes_cli.data.class_names import with_class_names
from dlnotes_cli.data.listing import list_folder
from dlnotes_cli.shell.errors import InputError

pytestmark = pytest.mark.usefixtures("blank_figures")
NAMES = {"1": "pink primrose", "10": "globe thistle", "2": "canterbury bells", "102": "blackberry lily"}


@pytest.fixture
def flowers(tmp_path: Path) -> Path:
    """A folder whose classes are numbers, as in the course's flowers."""
    make_images(tmp_path / "flowers", count=10)
    for color, number in (("blue", "10"), ("green", "2"), ("red", "1")):
        (tmp_path / "flowers" / color).rename(tmp_path / "flowers" / number)
    (tmp_path / "cat_to_name.json").write_text(json.dumps(NAMES))
    return tmp_path / "flowers"


def test_classes_keep_the_order_of_their_folders(flowers: Path) -> None:
    listing = list_folder(flowers)
    named = with_class_names(listing, flowers.parent / "cat_to_name.json")
    assert listing.classes == ("1", "2", "10") == named.folders
    assert named.classes == ("pink primrose", "canterbury bells", "globe thistle")
    assert named.labels == listing.labels
    assert with_class_names(listing, None) is listing


def test_a_model_has_the_names_and_is_evaluated_on_the_folders(flowers: Path, tmp_path: Path, dlnotes: Command) -> None:
    names = ("--class-names", tmp_path / "cat_to_name.json")
    outcome = dlnotes(*small_training(tmp_path / "run", "--data", flowers, "--limit", 20, *names), "--json")
    assert outcome.code == 0, outcome.err
    result = json.loads(outcome.out)
    assert result["data"]["classes"] == ["pink primrose", "canterbury bells", "globe thistle"]
    evaluated = json.loads(dlnotes("evaluate", tmp_path / "run", "--json").out)
    assert evaluated["accuracy"] == pytest.approx(result["test"]["accuracy"])
    assert [one["name"] for one in evaluated["classes"]] == result["data"]["classes"]
    predicted = json.loads(dlnotes("predict", tmp_path / "run", flowers / "1" / "0.png", "--json").out)
    assert predicted["predictions"][0]["class"] in NAMES.values()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("[]", "is not a JSON object of names"),
        ("{", "is not a JSON object of names"),
        ('{"1": "a", "1": "b"}', "is not a JSON object of names"),
        ('{"1": 5}', "has no text for the class folder '1'; give it a name"),
        ('{"1": " "}', "has no text for the class folder '1'"),
        ('{"1": "rose"}', "has no name for the class folder '2', '10'; add it to the file"),
        (
            '{"1": "rose", "2": "lily", "10": "rose"}',
            "gives the class folders '1' and '10' the name 'rose'; use different",
        ),
    ],
)
def test_invalid_names_are_refused(content: str, message: str, flowers: Path, tmp_path: Path) -> None:
    (tmp_path / "names.json").write_text(content)
    with pytest.raises(InputError, match=message):
        with_class_names(list_folder(flowers), tmp_path / "names.json")


def test_names_of_a_named_set_are_refused(dlnotes: Command) -> None:
    outcome = dlnotes("transfer", "--class-names", "names.json")
    assert outcome.code == 2
    assert "--class-names: has no effect on digits; drop it, or give a folder" in outcome.err
