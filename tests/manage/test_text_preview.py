"""`data preview` of a text shows the batches that char-rnn trains on."""

import json
import re
from pathlib import Path

import pytest
from builders import Command

NUMBERS = " ".join(map(str, range(1, 14)))


def test_the_windows_and_batches_of_the_course(dlnotes: Command) -> None:
    """1 to 12 in batches of two rows of three: [1 2 3; 7 8 9], then [4 5 6; 10 11 12]; 13 is the last target."""
    command = ("data", "preview", "--text", NUMBERS, "--tokens", "words", "--batch-size", 2, "--seq-len", 3)
    document = json.loads(dlnotes(*command, "--json").out)
    inputs = [[[int(word) for word in row] for row in batch["inputs"]] for batch in document["batches"]]
    assert inputs == [[[1, 2, 3], [7, 8, 9]], [[4, 5, 6], [10, 11, 12]]]
    targets = [[[int(word) for word in row] for row in batch["targets"]] for batch in document["batches"]]
    assert targets == [[[value + 1 for value in row] for row in batch] for batch in inputs]
    assert [document[name] for name in ("tokens", "vocabulary", "batch_size", "seq_len", "steps")] == [13, 13, 2, 3, 2]
    lines = dlnotes(*command).out.splitlines()
    assert [re.split(r"  +", line.strip()) for line in lines[2:6]] == [
        ["1", "1", "1 2 3", "2 3 4"],
        ["1", "2", "7 8 9", "8 9 10"],
        ["2", "1", "4 5 6", "5 6 7"],
        ["2", "2", "10 11 12", "11 12 13"],
    ]
    assert lines[-1] == "13 words, 13 distinct: 2 batches of 2 x 3"


def test_a_note_says_that_a_short_text_has_smaller_batches(dlnotes: Command) -> None:
    command = ("data", "preview", "--tokens", "words", "--batch-size", 2, "--seq-len", 3, "--text")
    outcome = dlnotes(*command, "1 2 3")
    assert "note: 3 words are too few for 2 rows; a batch has 1 row\n" in outcome.err
    assert outcome.out.splitlines()[-1] == "3 words, 3 distinct: 1 batch of 1 x 3"
    assert dlnotes(*command, NUMBERS).err == ""


def test_the_rows_of_a_file_follow_each_other(dlnotes: Command, tmp_path: Path) -> None:
    text = "The quick brown fox\r\njumps over the lazy dog, and then sleeps.\n"
    (tmp_path / "a.txt").write_bytes(text.encode())
    command = ("data", "preview", tmp_path / "a.txt", "--batch-size", 3, "--seq-len", 4, "--batches", 100, "--json")
    document = json.loads(dlnotes(*command).out)
    plain = text.replace("\r", "")
    assert (document["tokens"], document["vocabulary"]) == (len(plain), len(set(plain)))
    for row in range(3):  # each row is one stretch of the text, and its targets are one character later
        inputs = "".join("".join(batch["inputs"][row]) for batch in document["batches"])
        targets = "".join("".join(batch["targets"][row]) for batch in document["batches"])
        assert inputs in plain[:-1]
        assert targets in plain[1:]
        assert plain[plain.index(inputs) + 1 :].startswith(targets)
    everything = "".join("".join(batch["inputs"][row]) for row in range(3) for batch in document["batches"])
    assert everything == plain[:-1]
    out = dlnotes(*command[:-1]).out
    assert "'The '" in out
    assert "\\n" in out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--text", "x"), r"--text: has 1 chars, but a batch needs 2: an input and its target; give a longer text"),
        (("--text", "ab", "--size", 3), r"--size: has no effect on a text; drop it, or give images"),
        (("--text", "ab", "--out", "x.png"), r"--out: has no effect on a text"),
        (("digits", "--text", "ab"), r"--text: cannot be combined with digits; drop one of them"),
        (("digits", "--seq-len", 3), r"--seq-len: has no effect on images; drop it, or give a text file, or --text"),
        (("bad.txt",), r"bad\.txt: line 1: byte 0xfd at offset 0 is not UTF-8; save the file as UTF-8"),
        (("photo.png",), r"photo\.png is neither a folder nor a CSV file"),
    ],
)
def test_wrong_texts_and_options_are_refused(
    arguments: tuple[object, ...], message: str, dlnotes: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("bad.txt", "photo.png"):
        Path(name).write_bytes(b"\xfd\xfe\xff")
    outcome = dlnotes("data", "preview", *arguments)
    assert (outcome.code, outcome.out) == (2, "")
    assert re.fullmatch(rf"dlnotes: error: .*{message}.*\n", outcome.err), outcome.err


def test_each_task_refuses_what_the_other_one_previews() -> None:
    from dlnotes_cli.api import DataPreviewConfig, InputError, draw_preview, preview_text

    assert preview_text(DataPreviewConfig(text="abc")).tokens == 3
    with pytest.raises(InputError, match="TEXT: digits is not a text; call draw_preview"):
        preview_text(DataPreviewConfig())
    with pytest.raises(InputError, match="is a text, not images; call preview_text"):
        draw_preview(DataPreviewConfig(text="abc"))
