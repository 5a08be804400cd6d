"""The outermost level of ONNX files: metadata is read, and damage is found, before any graph is interpreted."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, helper

from dlnotes_cli.inference.onnx_container import METADATA_KEY, NO_CHECKSUM, read_metadata, with_checksum
from dlnotes_cli.shell.errors import InputError


def model(metadata: dict[str, str]) -> bytes:
    """A model that copies its input, serialized by the onnx package."""
    value = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 2])
    copy = helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", 2])
    weights = helper.make_tensor("w", TensorProto.FLOAT, [40, 2], np.arange(80, dtype=np.float32).tobytes(), raw=True)
    graph = helper.make_graph([helper.make_node("Identity", ["x"], ["y"])], "g", [value], [copy], [weights])
    proto = helper.make_model(graph, producer_name="other", doc_string="text" * 100)
    helper.set_model_props(proto, metadata)
    return bytes(proto.SerializeToString())


OURS = with_checksum(model({METADATA_KEY: f'{{"file_sha256": "{NO_CHECKSUM}", "classes": ["é"]}}', "names": "{}"}))


def write(folder: Path, content: bytes) -> Path:
    path = folder / "model.onnx"
    path.write_bytes(content)
    return path


@given(metadata=st.dictionaries(st.text(max_size=5), st.text(max_size=300), max_size=4))
def test_metadata_is_read_as_onnx_wrote_it(metadata: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> None:
    metadata.pop(METADATA_KEY, None)
    assert read_metadata(write(tmp_path_factory.mktemp("m"), model(metadata))) == metadata


def test_a_file_with_its_checksum_is_valid_for_onnx_too(tmp_path: Path) -> None:
    path = write(tmp_path, OURS)
    assert METADATA_KEY in read_metadata(path)
    onnx.checker.check_model(onnx.load(path))
    assert {prop.key for prop in onnx.load(path).metadata_props} == {METADATA_KEY, "names"}


@pytest.mark.parametrize("position", range(0, len(OURS), 7))
def test_a_changed_byte_is_found(position: int, tmp_path: Path) -> None:
    changed = bytearray(OURS)
    changed[position] ^= 0x10
    path = write(tmp_path, bytes(changed))
    try:
        metadata = read_metadata(path)
    except InputError as error:
        assert str(path) in str(error)  # noqa: PT017  # the other outcome is checked below
    else:
        assert METADATA_KEY not in metadata  # only a change of the key makes it the file of another program


@pytest.mark.parametrize("length", [0, 1, 2, 17, 300, len(OURS) // 2, len(OURS) - 1])
def test_a_file_that_was_cut_is_refused(length: int, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"is damaged|is empty|is not an ONNX file"):
        read_metadata(write(tmp_path, OURS[:length]))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (lambda: b"this is text, not a model\n", "is not an ONNX file; name the .onnx file of a model"),
        (lambda: b"\x80\x04\x95" + b"x" * 50, "is not an ONNX file"),
        (lambda: b"\xff" * 40, "is not an ONNX file"),
        (lambda: model({METADATA_KEY: '{"classes": []}'}), "is damaged"),
        (lambda: b"", "is empty"),
    ],
)
def test_other_files_are_refused(content: Callable[[], bytes], message: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=message):
        read_metadata(write(tmp_path, content()))


def test_folders_and_missing_files_are_refused(tmp_path: Path) -> None:
    for path, message in ((tmp_path, "cannot be read"), (tmp_path / "gone.onnx", "no such file")):
        with pytest.raises(InputError, match=message):
            read_metadata(path)


def test_bytes_of_any_kind_lead_to_one_error(tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    for length in (5, 50, 500) * 20:
        content: Any = generator.integers(0, 256, length, np.uint8).tobytes()
        with pytest.raises(InputError):
            read_metadata(write(tmp_path, content))
