"""Layer lists: what is parsed, what is an error with its line, and that nothing is ever executed."""

import ast
import contextlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dlnotes_cli.shapes.parsing.layer_calls import NotConstantError, constant
from dlnotes_cli.shapes.parsing.layer_list import parse_layers
from dlnotes_cli.shapes.tracing import trace
from dlnotes_cli.shell.errors import InputError

HERE = Path(__file__).parent


def texts(text: str) -> list[str]:
    return [layer.text for layer in parse_layers(text)]


@pytest.mark.parametrize("text", [*(HERE / "ways.txt").read_text().split("\n###\n"), "Conv2d(3, 8, 3)\r\nReLU()\r\n"])
def test_ways_to_write_the_same_layers(text: str) -> None:
    assert texts(text) == ["Conv2d(3, 8, 3)", "ReLU()"]


def test_names_without_parentheses_are_calls_and_device_and_dtype_may_be_anything() -> None:
    layers = parse_layers("größe = nn.Linear(4, 2, device=device, dtype=torch.float16); ReLU; nn.Flatten")
    assert layers[0].text == "Linear(4, 2, device=device, dtype=torch.float16)"
    assert trace(layers, (3, 4))[-1].output == (6,)


def test_the_location_of_a_layer() -> None:
    locations = [layer.location for layer in parse_layers("ReLU()\n\nTanh()", "net.py")]
    assert locations == ["net.py, line 1", "net.py, line 3"]
    assert [layer.location for layer in parse_layers("ReLU(); Tanh()")] == ["", ""]


@pytest.mark.parametrize("block", (HERE / "wrong_lists.txt").read_text().split("### ")[1:])
def test_other_code_is_an_error_with_its_line(block: str) -> None:
    head, _, text = block.removesuffix("\n").partition("\n")
    line, _, message = head.partition(" ")
    with pytest.raises(InputError) as raised:
        parse_layers(text, "net.py")
    assert raised.value.where == f"net.py, line {line}"
    assert message in raised.value.what


@pytest.mark.parametrize("text", ["", " \n\t\n", "# nothing", "import torch", '"""Text."""', "pass", "[]"])
def test_a_text_without_layers_is_an_error(text: str) -> None:
    with pytest.raises(InputError, match=r"stdin: no layers; list layers such as"):
        parse_layers(text, "stdin")


@pytest.mark.parametrize(
    "text", ["a\0b", "(" * 5000, "-" * 100_000 + "1", "Linear(" + "1+" * 50_000 + "1)", "1" * 5000]
)
def test_hostile_texts_give_an_error_of_one_line(text: str) -> None:
    with pytest.raises(InputError) as raised:
        parse_layers(text)
    assert "\n" not in str(raised.value)


def test_nothing_is_executed(tmp_path: Path) -> None:
    target = tmp_path / "made"
    for text in (f"__import__('pathlib').Path({str(target)!r}).touch()", f"ReLU(open({str(target)!r}, 'w'))"):
        with pytest.raises(InputError):
            parse_layers(text)
    assert not target.exists()


@given(st.text(alphabet="CRLinear2d(),;.= '\n1x[]{}*-+/", max_size=40))
def test_any_text_is_parsed_or_gives_an_error(text: str) -> None:
    with contextlib.suppress(InputError):
        trace(parse_layers(text), (3, 8, 8))


NUMBERS = st.integers(-99, 99) | st.floats(-9, 9, allow_nan=False)


@given(
    st.recursive(
        NUMBERS.map(repr), lambda inner: st.builds("({} {} {})".format, inner, st.sampled_from("+-*/%"), inner)
    )
)
def test_arithmetic_is_that_of_python(text: str) -> None:
    node = ast.parse(text, mode="eval").body
    try:
        expected = eval(text)  # noqa: S307  # the oracle: only numbers and operators from above
    except (ZeroDivisionError, OverflowError):
        with pytest.raises(NotConstantError):
            constant(node)
    else:
        assert constant(node) == expected
