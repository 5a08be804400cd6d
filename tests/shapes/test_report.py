"""Totals, memory, JSON values and course notes of whole stacks; named networks compared with torchvision."""

import json

import pytest
import torch
from shapes.torch_oracle import build
from torch import nn

from dlnotes_cli.shapes.choices import AssumedOptimizer, Dtype, NetworkName
from dlnotes_cli.shapes.layer import Shape
from dlnotes_cli.shapes.networks import NETWORKS
from dlnotes_cli.shapes.parsing.layer_list import parse_layers
from dlnotes_cli.shapes.report import analyze
from dlnotes_cli.shell.codec import to_json

QUIZ = "Conv2d(3, 10, 3); MaxPool2d(4, 4); Conv2d(10, 20, 5, padding=2); MaxPool2d(2, 2)"


def test_a_recurrent_layer_has_states() -> None:
    (layer,) = analyze("LSTM(8, 6, 2, bidirectional=True, proj_size=2)", (5, 8), batch=4).layers
    assert (layer.hidden, layer.cell) == ((4, 4, 2), (4, 4, 6))


@pytest.mark.parametrize(("name", "parameters"), [("lenet5", 61_706), ("notes-mlp", 669_706), ("notes-cnn", 541_094)])
def test_named_networks_have_the_published_number_of_parameters(name: NetworkName, parameters: int) -> None:
    network = NETWORKS[name]
    report = analyze(network.layers, network.input)
    assert (report.parameters, report.output) == (parameters, (10,))


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


def test_activations_are_those_of_a_forward_pass() -> None:
    report = analyze(STACK, (3, 16, 16), batch=5)
    sizes: list[int] = []
    network = nn.Sequential(*(build(layer.text) for layer in parse_layers(STACK)))
    for module in network:
        module.register_forward_hook(lambda _module, _inputs, output: sizes.append(4 * output.numel()))
    network(torch.zeros(5, 3, 16, 16))
    assert [layer.activation_bytes for layer in report.layers] == sizes


def test_macs_agree_with_torch_flop_counter() -> None:
    from torch.utils.flop_counter import FlopCounterMode

    text = "Conv2d(4, 6, 3, groups=2); ConvTranspose2d(6, 4, 4, stride=2, padding=1); Flatten(); Linear(3136, 7)"
    network = nn.Sequential(*(build(layer.text) for layer in parse_layers(text)))
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        network(torch.zeros(2, 4, 16, 16))
    report = analyze(text, (4, 16, 16), batch=2)
    assert report.flops == counter.get_total_flops()


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


def test_the_adam_state_has_the_size_of_torchs() -> None:
    layer = nn.Linear(30, 20)
    optimizer = torch.optim.Adam(layer.parameters())
    layer(torch.zeros(1, 30)).sum().backward()
    optimizer.step()
    tensors = [value for state in optimizer.state.values() for name, value in state.items() if name != "step"]
    report = analyze("Linear(30, 20)", (30,), optimizer="adam")
    assert report.memory.optimizer_bytes == sum(value.numel() * value.element_size() for value in tensors)


def test_the_batch_scales_cost_but_not_shapes_and_parameters() -> None:
    one, five = (to_json(analyze(QUIZ, (3, 130, 130), batch=batch)) for batch in (1, 5))
    assert json.loads(json.dumps(five)) == five
    assert five["macs"] == 5 * one["macs"] == sum(layer["macs"] for layer in five["layers"])
    assert five["flops"] == 2 * five["macs"]
    assert five["bias_adds"] == 5 * one["bias_adds"]
    assert five["activation_bytes"] == 5 * one["activation_bytes"]
    assert five["output"] == one["output"] == [20, 16, 16]
    assert five["parameters"] == one["parameters"]
    assert five["receptive_field"] == [26, 26]


def test_formulas_contain_the_numbers() -> None:
    layers = analyze(QUIZ, (3, 130, 130), explain=True).layers
    assert layers[0].formulas == {
        "size": "floor((130 - 3 + 2*0) / 1) + 1 = 128",
        "parameters": "(10 * 3*3 * 3) + 10 = 280",
        "MACs": "10x128x128 outputs * 3*3*3 = 4423680",
        "receptive field": "1 + (3 - 1)*1 = 3",
    }
    (layer,) = analyze("Conv2d(3, 4, (3, 5), dilation=2)", (3, 20, 20), explain=True).layers
    assert layer.formulas is not None
    assert layer.formulas["height"] == "floor((20 - 2*(3 - 1) - 1 + 2*0) / 1) + 1 = 16"
    assert layer.formulas["width"] == "floor((20 - 2*(5 - 1) - 1 + 2*0) / 1) + 1 = 12"
    assert layer.formulas["receptive field, width"] == "1 + 2*(5 - 1)*1 = 9"


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


@pytest.mark.parametrize(
    ("layers", "shape", "notes"),
    [
        (QUIZ, (3, 130, 130), ["5,120 'parameters', but these are the output's values", "shrinks by 2"]),
        ("MaxPool2d(2, 2); MaxPool2d(2, 2)", (1, 7, 7), ["no floor: (7 - 2 + 2*0) / 2 + 1 = 3.5; sizes are rounded"]),
        ("MaxPool2d(2, 4)", (1, 34, 34), ["reads 4 of every 16 values (25%)"]),
        ("MaxPool2d(4, 4)", (1, 32, 32), []),
        ("RNN(1, 32); Linear(32, 1)", (20, 1), ["the next layer gets its output"]),
        ("RNN(4, 3)", (4,), ["reads the batch as one sequence"]),
    ],
)
def test_notes_of_the_course(layers: str, shape: Shape, notes: list[str]) -> None:
    found = analyze(layers, shape).notes
    assert len(found) == len(notes)
    assert all(words in note for words, note in zip(notes, found, strict=True))
