"""Single calls at the edge of what PyTorch accepts, each held against the real module."""

from pathlib import Path

import pytest
from shapes.torch_oracle import Truth, ask_torch

from dlnotes_cli.shapes import analyze
from dlnotes_cli.shell.errors import InputError

Shape = tuple[int, ...]


def read_calls() -> list[tuple[str, Shape]]:
    lines = (Path(__file__).parent / "edges.txt").read_text().splitlines()
    pairs = [line.rpartition(" @ ") for line in lines]
    return [(text, tuple(map(int, shape.split("x")))) for text, _, shape in pairs]


@pytest.mark.parametrize(("text", "shape"), read_calls(), ids=lambda value: str(value).replace(" ", ""))
def test_agrees_with_torch(text: str, shape: Shape) -> None:
    truth = ask_torch(text, shape)
    if isinstance(truth, str):
        with pytest.raises(InputError):
            analyze(text, shape)
    else:
        report = analyze(text, shape)
        assert ((1, *report.output), report.parameters, report.buffers, report.macs) == (
            truth.shape,
            truth.parameters,
            truth.buffers,
            truth.macs,
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
def test_a_layer_that_uses_up_the_batch_is_refused_though_torch_takes_a_batch_of_one(text: str, shape: Shape) -> None:
    alone, pair = ask_torch(text, shape), ask_torch(text, shape, batch=2)
    assert isinstance(alone, Truth)
    assert isinstance(pair, str) or pair.shape != (2, *alone.shape[1:])  # a batch of two has no such answer
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
def test_a_tensor_with_nothing_in_it_is_refused(text: str, shape: Shape) -> None:
    truth = ask_torch(text, shape)
    assert isinstance(truth, Truth)
    assert 0 in truth.shape
    with pytest.raises(InputError):
        analyze(text, shape)
