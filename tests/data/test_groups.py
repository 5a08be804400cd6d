"""Groups of samples: never in two splits, with class shares as groups allow; of tables, lists and folders of images."""

import json
from pathlib import Path

import numpy as np
import pytest
from builders import Command, make_images, make_table
from hypothesis import given, settings
from hypothesis import strategies as st

from dlnotes_cli.data.dataset import SplitRule, complete_splits, stratified_folds
from dlnotes_cli.data.groups import Grouping, hold_out_groups
from dlnotes_cli.data.labels import list_labels
from dlnotes_cli.data.options import LabelColumns
from dlnotes_cli.shell.errors import InputError

# Groups of a size and a rate of the second class, as (group, class) of each sample.
drawn_groups = st.tuples(st.integers(20, 60), st.integers(1, 8), st.integers(2, 4), st.integers(0, 2**31))


def draw(groups: int, largest: int, classes: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Groups and classes of samples; a group has one to `largest` samples, mostly of one class."""
    generator = np.random.default_rng(seed)
    sizes = generator.integers(1, largest + 1, groups)
    group = generator.permutation(np.repeat(np.arange(groups), sizes))
    usual = generator.integers(0, classes, groups)[group]
    return group, np.where(generator.random(len(group)) < 0.8, usual, generator.integers(0, classes, len(group)))


@settings(deadline=None, max_examples=200)
@given(drawn_groups, st.floats(0.1, 0.4))
def test_no_group_is_in_two_splits_and_shares_are_within_the_largest_groups(
    drawn: tuple[int, int, int, int], fraction: float
) -> None:
    group, labels = draw(*drawn)
    indices = np.arange(len(labels))
    held = hold_out_groups(indices, labels, group, fraction, seed=drawn[-1])
    rest = np.setdiff1d(indices, held)
    assert not set(group[held]) & set(group[rest])
    assert 0 < len(held) < len(labels)
    assert abs(len(held) - fraction * len(labels)) <= 2 * np.bincount(group).max()
    for name in range(drawn[2]):
        of_class = labels == name
        largest = np.bincount(group[of_class]).max() if of_class.any() else 0
        assert abs(of_class[held].sum() - fraction * of_class.sum()) <= 3 * max(largest, 1)


def test_groups_of_one_sample_are_stratified_almost_exactly() -> None:
    labels = np.random.default_rng(0).integers(0, 3, 1000)
    held = hold_out_groups(np.arange(1000), labels, np.arange(1000), 0.2, seed=3)
    assert np.bincount(labels[held]) == pytest.approx(0.2 * np.bincount(labels), abs=1)
    other = hold_out_groups(np.arange(1000), labels, np.arange(1000), 0.2, seed=4)
    assert not np.array_equal(held, other)


def test_one_of_two_large_groups_is_held_out() -> None:
    labels, group = np.array([0, 1] * 20), np.repeat([0, 1], [30, 10])
    assert set(group[hold_out_groups(np.arange(40), labels, group, 0.1, seed=0)]) == {1}


def test_folds_have_whole_groups_and_no_more_than_there_are() -> None:
    group, labels = draw(30, 5, 2, 1)
    indices = np.arange(len(labels))
    folds = stratified_folds(indices, labels, 5, 0, group)
    assert np.array_equal(np.sort(np.concatenate(folds)), indices)
    assert sum(len(np.unique(group[fold])) for fold in folds) == 30
    with pytest.raises(InputError, match="--folds: 31 folds of 30 groups; give at most 30"):
        stratified_folds(indices, labels, 31, 0, group)


def table_with_groups(path: Path) -> Path:
    """A table whose rows are of forty patients, three rows each."""
    lines = make_table(path).read_text().splitlines()
    path.write_text("\n".join([f"{lines[0]},patient", *(f"{line},p{i // 3}" for i, line in enumerate(lines[1:]))]))
    return path


@pytest.mark.usefixtures("blank_figures")
def test_rows_of_a_group_stay_in_one_split_and_their_column_is_no_feature(tmp_path: Path, dlnotes: Command) -> None:
    table = table_with_groups(tmp_path / "t.csv")
    train = ("train-mlp", "--data", table, "--target", "label", "--group-column", "patient", "--epochs", 1)
    result = json.loads(dlnotes(*train, "--json", "--out", tmp_path / "run").out)
    assert all(count % 3 == 0 for count in result["data"]["counts"].values())
    assert result["model"]["configuration"]["inputs"] == 4
    evaluated = json.loads(dlnotes("evaluate", tmp_path / "run", "--json").out)
    assert (evaluated["split"], evaluated["samples"]) == ("test", result["data"]["counts"]["test"])
    assert evaluated["loss"] == pytest.approx(result["test"]["loss"], rel=1e-5)
    without = tmp_path / "new.csv"
    without.write_text("length,width,kind\n1,2,a\n")
    assert dlnotes("predict", tmp_path / "run", without).code == 0


@pytest.mark.usefixtures("blank_figures")
@pytest.mark.parametrize("command", ["train-cnn --epochs 1 --width 0.1", "transfer --backbone small --folds 3"])
def test_files_whose_names_match_stay_in_one_split(command: str, tmp_path: Path, dlnotes: Command) -> None:
    folder = make_images(tmp_path / "p", count=20)
    for file in folder.glob("*/*.png"):
        file.rename(file.with_name(f"eye{int(file.stem) // 2}-{file.name}"))
    train = (*command.split(), "--data", folder, "--size", 32, "--offline", "--group-pattern", "^eye([0-9]+)-")
    result = json.loads(dlnotes(*train, "--json", "--out", tmp_path / "run").out)
    grouping = Grouping(column=None, pattern="^eye([0-9]+)-", data=str(folder), labels=None)
    files = sorted(map(str, folder.glob("*/*.png")))
    groups = grouping.of(files)
    assert len(set(groups)) == 10  # each with two files of each class
    assert all(count % 6 == 0 for count in result["data"]["counts"].values())
    evaluated = json.loads(dlnotes("evaluate", tmp_path / "run", "--json").out)
    assert evaluated["accuracy"] == pytest.approx(result["test"]["accuracy"])
    assert evaluated["samples"] == result["test"]["samples"]


def test_groups_of_a_list_follow_its_files_in_any_order(tmp_path: Path) -> None:
    make_images(tmp_path, count=4)
    files = sorted(tmp_path.glob("*/*.png"), reverse=True)
    rows = [f"{file.relative_to(tmp_path)},{file.parent.name},{file.stem}" for file in files]
    (tmp_path / "list.csv").write_text("\n".join(["file,label,patient", *rows]))
    columns = LabelColumns("file", "label")
    listing = list_labels(tmp_path / "list.csv", columns)
    names = [listing.path(i) for i in range(len(listing.stamps))]
    groups = Grouping(column="patient", pattern=None, data=str(tmp_path / "list.csv"), labels=columns).of(names)
    assert groups.tolist() == [int(Path(name).stem) for name in names]


def test_a_group_in_two_splits_of_the_data_is_refused(tmp_path: Path, dlnotes: Command) -> None:
    for seed, split in enumerate(("train", "test")):
        make_images(tmp_path / "p" / split, count=4, seed=seed)
    outcome = dlnotes("train-mlp", "--data", tmp_path / "p", "--group-pattern", "^[0-9]", "--out", tmp_path / "run")
    assert (outcome.code, (tmp_path / "run").exists()) == (2, False)
    assert "are of one group; put each group into one split" in outcome.err
    labels, files = np.array([0, 1, 0, 1]), ["a1", "a2", "b1", "b2"]
    rule = SplitRule(0.5, 0.5, 0, grouping=Grouping(column=None, pattern="^.", data="d", labels=None))
    splits = {"train": np.array([0, 1]), "test": np.array([2, 3])}
    with pytest.raises(InputError, match="leaves no training samples"):
        complete_splits(splits, labels, rule, files)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("--group-column person", "--group-column: unknown column 'person'; choose from"),
        ("--group-column label", "--group-column: 'label' is the target, too; name another column"),
        ("--group-pattern x", "--group-pattern: has no effect on {table}; drop it, or use --group-column"),
        ("--group-pattern (", "--group-pattern: '(' is not a regular expression"),
        ("--group-pattern x --group-column patient", "cannot be combined with"),
    ],
)
def test_groups_that_cannot_be_found_are_refused(options: str, message: str, tmp_path: Path, dlnotes: Command) -> None:
    table = table_with_groups(tmp_path / "t.csv")
    outcome = dlnotes("train-mlp", "--data", table, "--target", "label", *options.split(), "--out", tmp_path / "run")
    assert (outcome.code, (tmp_path / "run").exists()) == (2, False)
    assert message.format(table=table) in outcome.err


def test_a_file_without_a_group_is_named(tmp_path: Path, dlnotes: Command) -> None:
    make_images(tmp_path / "p", count=4)
    outcome = dlnotes("train-mlp", "--data", tmp_path / "p", "--group-pattern", "^p[0-9]", "--out", tmp_path / "run")
    assert outcome.code == 2
    assert "--group-pattern: '^p[0-9]' does not match the name of" in outcome.err
    outcome = dlnotes("train-mlp", "--group-pattern", "x", "--out", tmp_path / "run")
    assert "--group-pattern: has no effect on digits; drop it" in outcome.err
