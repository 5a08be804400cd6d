"""Single calls at the edge of what PyTorch accepts, each compared with the real module."""

from pathlib import Path

import pytest
from shapes.torch_oracle import TorchResult, run_in_torch

from dlnotes_cli.shapes import analyze
from dlnotes_cli.shell.errors import InputError

Shape = tuple[int, ...]


def read_calls() -> list[tuple[str, Shape]]:
    lines = (Path(__file__).parent / "edges.txt").read_text().splitlines()
    pairs = [line.rpartition(" @ ") for line in lines]
    return [(text, tuple(map(int, shape.split("x")))) for text, _, shape in pairs]


@pytest.mark.parametrize(("text", "shape"), read_calls(), ids=lambda value: str(value).replace(" ", ""))
def test_agrees_with_torch(text: str, shape: Shape) -> None:
    expected = run_in_torch(text, shape)
    if isinstance(expected, str):
        with pytest.raises(InputError):
            analyze(text, shape)
    else:
        report = analyze(text, shape)
        assert ((1, *report.output), report.parameters, report.buffers, report.macs) == (
            expected.shape,
            expected.parameters,
            expected.buffers,
            expected.macs,
        )


@pytest.mark.parametrize(
    ("text", "shape"),
    [
        ("Conv2d(1, 10, 3)", (28, 28)),
        ("ConvTranspose1d(1, 9, 3)", (8,)),
        ("ZeroPad2d(2)", (8,)),
        ("PixelUnshuffle(2)", (4, 6)),
        ("Unfold(3)", (8, 8)),
        ("Flatten(0)", (3, 8)),
        ("Flatten(0, -2)", (3, 8, 8)),
        ("LazyConv2d(4, 3)", (5, 5)),
        ("AdaptiveAvgPool2d(1)", (8,)),
    ],
)
def test_a_layer_that_consumes_the_batch_is_an_error_though_torch_accepts_a_batch_of_one(
    text: str, shape: Shape
) -> None:
    one, two = run_in_torch(text, shape), run_in_torch(text, shape, batch=2)
    assert isinstance(one, TorchResult)
    assert isinstance(two, str) or two.shape != (2, *one.shape[1:])
    with pytest.raises(InputError):
        analyze(text, shape)


@pytest.mark.parametrize(
    ("text", "shape"),
    [
        ("Linear(8, 0)", (8,)),
        ("AdaptiveAvgPool2d(0)", (3, 8, 8)),
        ("ZeroPad2d(-4)", (3, 8, 8)),
        ("Embedding(9, 0)", (4,)),
    ],
)
def test_an_empty_tensor_is_an_error(text: str, shape: Shape) -> None:
    expected = run_in_torch(text, shape)
    assert isinstance(expected, TorchResult)
    assert 0 in expected.shape
    with pytest.raises(InputError):
        analyze(text, shape)
