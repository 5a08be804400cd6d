"""Totals, memory, JSON values and course notes of whole stacks; named networks compared with torchvision."""

import pytest

from dlnotes_cli.shapes.choices import AssumedOptimizer, Dtype
from dlnotes_cli.shapes.networks import NETWORKS
from dlnotes_cli.shapes.report import analyze

QUIZ = "Conv2d(3, 10, 3); MaxPool2d(4, 4); Conv2d(10, 20, 5, padding=2); MaxPool2d(2, 2)"


SLIDE_FILTERS = (48, 128, 192, 192, 128)  # of one of AlexNet's two GPUs


def test_alexnet_for_two_gpus_is_that_of_the_slide() -> None:
    network = NETWORKS["alexnet-2gpu"]
    report = analyze(network.layers, network.input)
    convolutions = [traced for traced in report.traced if traced.layer.name == "Conv2d"]
    assert [one.layer.positional[1] for one in convolutions] == [2 * filters for filters in SLIDE_FILTERS]
    kernels, inputs = (11, 5, 3, 3, 3), (3, 48, 256, 192, 192)  # the third convolution reads both GPUs
    weights = sum(2 * f * i * k * k + 2 * f for f, i, k in zip(SLIDE_FILTERS, inputs, kernels, strict=True))
    dense = sum(before * after + after for before, after in ((9216, 4096), (4096, 4096), (4096, 1000)))
    assert report.parameters == weights + dense == 60_965_224
    assert [one.output[1] for one in convolutions] == [55, 27, 13, 13, 13]


STACK = """
Conv2d(3, 8, 3, padding=1); BatchNorm2d(8); ReLU(inplace=True); MaxPool2d(2); Conv2d(8, 4, 3); ReLU()
Flatten(); Linear(144, 10)
"""


@pytest.mark.parametrize(("dtype", "size"), [("float32", 4), ("float16", 2), ("bfloat16", 2), ("float64", 8)])
@pytest.mark.parametrize(
    ("optimizer", "state"), [("sgd", 0), ("momentum", 1), ("adam", 2), ("adamw", 2), ("rmsprop", 1)]
)
def test_memory(dtype: Dtype, size: int, optimizer: AssumedOptimizer, state: int) -> None:
    report = analyze(STACK, (3, 16, 16), batch=2, dtype=dtype, optimizer=optimizer)
    activations = [3 * 16 * 16, 8 * 16 * 16, 8 * 16 * 16, 8 * 8 * 8, 4 * 6 * 6, 4 * 6 * 6, 10]  # no views, not in place
    memory = report.memory
    assert memory.activations_bytes == 2 * size * sum(activations)
    assert memory.weights_bytes == memory.gradients_bytes == size * report.parameters
    assert memory.optimizer_bytes == size * state * report.parameters
    assert memory.buffers_bytes == size * 17
    assert memory.inference_bytes == size * (report.parameters + 17) + 2 * size * (8 * 16 * 16 * 2)
    fixed = memory.weights_bytes + memory.gradients_bytes + memory.buffers_bytes + memory.optimizer_bytes
    assert memory.training_bytes == fixed + memory.activations_bytes


@pytest.mark.parametrize(
    ("text", "shape"),
    [
        ("Conv2d(6, 4, 3, groups=2, bias=False)", (6, 9, 9)),
        ("Linear(9, 4)", (2, 9)),
        ("GRU(9, 4, 3, bidirectional=True)", (5, 9)),
        ("LSTM(9, 4, 2, proj_size=2, bias=False)", (5, 9)),
        ("Embedding(9, 4)", (5,)),
        ("ConvTranspose1d(4, 6, 3, stride=2, groups=2)", (4, 9)),
    ],
)
def test_formulas_of_parameters_and_macs_are_true_when_evaluated(text: str, shape: tuple[int, ...]) -> None:
    report = analyze(text, shape)
    formulas = dict(report.traced[0].info.count_formulas)
    for name, number in (("parameters", report.parameters), ("MACs", report.macs)):
        if name in formulas:
            left, _, right = formulas[name].partition(" = ")
            for unit in (" outputs", " inputs", " weights", " steps"):
                left = left.replace(unit, "")
            assert eval(left.replace("x", "*")) == int(right) == number  # noqa: S307  # a formula of ours
