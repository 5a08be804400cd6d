"""Totals, memory, plain values and remarks of whole stacks; known networks against torchvision."""

import json
import warnings
from math import prod

import pytest
import torch
from shapes.torch_oracle import build, multiply_adds
from torch import Tensor, nn

from dlnotes_cli.shapes import analyze, known_network, parse_layers, remarks
from dlnotes_cli.shapes.names import Dtype, NetworkName, OptimizerName

QUIZ = "Conv2d(3, 10, 3); MaxPool2d(4, 4); Conv2d(10, 20, 5, padding=2); MaxPool2d(2, 2)"


def shape_of(text: str) -> tuple[int, ...]:
    return tuple(map(int, text.split("x")))


def test_quiz_of_lesson_5() -> None:
    report = analyze(QUIZ, (3, 130, 130))
    assert [step.output[1] for step in report.steps] == [128, 32, 32, 16]
    assert (report.output, report.values, report.parameters) == ((20, 16, 16), 5120, 5300)


def test_sequential_of_lesson_5() -> None:
    report = analyze(
        "Conv2d(1, 16, 2, stride=2); MaxPool2d(2, 2); Conv2d(16, 32, 3, padding=1); MaxPool2d(2, 2)", (1, 28, 28)
    )
    assert [step.output[1] for step in report.steps] == [14, 7, 7, 3]
    assert report.parameters == 4720


def test_flattened_digit_is_784() -> None:
    assert analyze("Flatten()", (1, 28, 28)).output == (784,)


def test_two_poolings_by_four_differ() -> None:
    assert [analyze(f"MaxPool2d({k}, 4)", (1, 130, 130)).output[1] for k in (2, 4)] == [33, 32]
    assert [analyze(f"MaxPool2d({k}, 4)", (1, 30, 30)).output[1] for k in (2, 4)] == [8, 7]


def test_gru_of_lesson_7() -> None:
    report = analyze("GRU(100, 20, batch_first=True)", (5, 100), batch=3)
    assert report.fields()["layers"][0]["hidden"] == [1, 3, 20]
    assert report.parameters == 7320


def test_lstm_has_two_states() -> None:
    fields = analyze("LSTM(8, 6, 2, bidirectional=True, proj_size=2)", (5, 8), batch=4).fields()["layers"][0]
    assert (fields["hidden"], fields["cell"]) == ([4, 4, 2], [4, 4, 6])


PARAMETERS = {
    "lenet5": 61_706,
    "notes-mlp": 669_706,
    "notes-cnn": 541_094,
    "alexnet": 61_100_840,
    "vgg11": 132_863_336,
    "vgg13": 133_047_848,
    "vgg16": 138_357_544,
    "vgg19": 143_667_240,
}


@pytest.mark.parametrize(("name", "parameters"), PARAMETERS.items())
def test_known_networks(name: NetworkName, parameters: int) -> None:
    network = known_network(name)
    report = analyze(network.layers, shape_of(network.input))
    assert report.parameters == parameters
    assert report.output == ((1000,) if report.input[1] == 224 else (10,))


@pytest.mark.parametrize("name", ["alexnet", "vgg11", "vgg13", "vgg16", "vgg19"])
def test_known_networks_are_those_of_torchvision(name: NetworkName) -> None:
    with warnings.catch_warnings(), torch.device("meta"):
        warnings.simplefilter("ignore")
        from torchvision import models

        theirs = getattr(models, name)(weights=None)
    network = known_network(name)
    layers = parse_layers(network.layers)
    ours = [layer.name for layer in layers if layer.name != "Flatten"]
    modules = [module for module in theirs.modules() if not list(module.children())]
    assert ours == [type(module).__name__ for module in modules]
    report = analyze(layers, shape_of(network.input))
    assert report.parameters == sum(parameter.numel() for parameter in theirs.parameters())
    counted = [step.effect.parameters for step in report.steps if step.layer.name != "Flatten"]
    assert counted == [sum(parameter.numel() for parameter in module.parameters()) for module in modules]


STACK = """
Conv2d(3, 8, 3, padding=1); BatchNorm2d(8); ReLU(inplace=True); MaxPool2d(2); Conv2d(8, 4, 3); ReLU()
Flatten(); Linear(144, 10)
"""


def test_activations_and_macs_of_a_real_run() -> None:
    report = analyze(STACK, (3, 16, 16), batch=5)
    sizes: list[int] = []
    macs: list[int] = []

    def hook(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        sizes.append(output.numel() * output.element_size())
        macs.append(multiply_adds(module, inputs, output))

    network = nn.Sequential(*(build(layer.text) for layer in parse_layers(STACK)))
    for module in network:
        module.register_forward_hook(hook)
    network(torch.zeros(5, 3, 16, 16))
    assert [report.activation_bytes(step) for step in report.steps] == sizes
    assert [5 * step.effect.macs for step in report.steps] == macs
    assert report.macs == sum(macs)


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
def test_memory(dtype: Dtype, size: int, optimizer: OptimizerName, state: int) -> None:
    report = analyze(STACK, (3, 16, 16), batch=2, dtype=dtype, optimizer=optimizer)
    kept = [3 * 16 * 16, 8 * 16 * 16, 8 * 16 * 16, 8 * 8 * 8, 4 * 6 * 6, 4 * 6 * 6, 10]  # in place and views apart
    memory = report.memory
    assert memory["activations_bytes"] == 2 * size * sum(kept)
    assert memory["weights_bytes"] == memory["gradients_bytes"] == size * report.parameters
    assert memory["optimizer_bytes"] == size * state * report.parameters
    assert memory["buffers_bytes"] == size * 17
    assert memory["inference_bytes"] == size * (report.parameters + 17) + 2 * size * (8 * 16 * 16 * 2)
    parts = ("weights_bytes", "gradients_bytes", "buffers_bytes", "optimizer_bytes", "activations_bytes")
    assert memory["training_bytes"] == sum(memory[part] for part in parts)


def test_adam_state_is_that_of_torch() -> None:
    layer = nn.Linear(30, 20)
    optimizer = torch.optim.Adam(layer.parameters())
    layer(torch.zeros(1, 30)).sum().backward()
    optimizer.step()
    kept = [value for state in optimizer.state.values() for name, value in state.items() if name != "step"]
    report = analyze("Linear(30, 20)", (30,), optimizer="adam")
    assert report.memory["optimizer_bytes"] == sum(value.numel() * value.element_size() for value in kept)


def test_indices_take_eight_bytes() -> None:
    assert analyze("Embedding(10, 3)", (7,)).memory["activations_bytes"] == 7 * 8 + 7 * 3 * 4


def test_fields_are_plain_and_batch_scales_cost_alone() -> None:
    one, five = (analyze(QUIZ, (3, 130, 130), batch=batch).fields(explained=True) for batch in (1, 5))
    assert json.loads(json.dumps(five)) == five
    assert five["macs"] == 5 * one["macs"] == sum(layer["macs"] for layer in five["layers"])
    assert five["flops"] == 2 * five["macs"]
    assert five["bias_adds"] == 5 * one["bias_adds"]
    assert five["activation_bytes"] == 5 * one["activation_bytes"]
    assert five["output"] == one["output"] == [20, 16, 16]
    assert five["parameters"] == one["parameters"]
    assert five["receptive_field"] == [26, 26]


def test_explanations_have_the_numbers() -> None:
    layers = analyze(QUIZ, (3, 130, 130)).fields(explained=True)["layers"]
    assert layers[0]["formulas"] == {
        "size": "floor((130 - 3 + 2*0) / 1) + 1 = 128",
        "parameters": "(10 * 3*3 * 3) + 10 = 280",
        "MACs": "10x128x128 outputs * 3*3*3 = 4423680",
        "receptive field": "1 + (3 - 1)*1 = 3",
    }
    (layer,) = analyze("Conv2d(3, 4, (3, 5), dilation=2)", (3, 20, 20)).fields(explained=True)["layers"]
    assert layer["formulas"]["height"] == "floor((20 - 2*(3 - 1) - 1 + 2*0) / 1) + 1 = 16"
    assert layer["formulas"]["width"] == "floor((20 - 2*(5 - 1) - 1 + 2*0) / 1) + 1 = 12"
    assert layer["formulas"]["receptive field, width"] == "1 + 2*(5 - 1)*1 = 9"


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
def test_formulas_of_parameters_and_macs_hold(text: str, shape: tuple[int, ...]) -> None:
    report = analyze(text, shape)
    formulas = dict(report.steps[0].effect.formulas)
    for name, number in (("parameters", report.parameters), ("MACs", report.macs)):
        if name in formulas:
            left, _, right = formulas[name].partition(" = ")
            for word in (" outputs", " inputs", " weights", " steps"):
                left = left.replace(word, "")
            assert eval(left.replace("x", "*")) == int(right) == number  # noqa: S307  # what the formula says


def test_remarks_of_the_quiz() -> None:
    found = list(remarks(analyze(QUIZ, (3, 130, 130))))
    assert any("5,120 'parameters'" in remark and "the parameters are 5,300" in remark for remark in found)
    assert any("shrinks by 2" in remark for remark in found)


def test_the_missing_floor_is_said_once() -> None:
    found = list(remarks(analyze("MaxPool2d(2, 2); MaxPool2d(2, 2)", (1, 7, 7))))
    assert found == [
        (
            "layer 1, MaxPool2d(2, 2): the course's formula has no floor: (7 - 2 + 2*0) / 2 + 1 = 3.5; "
            "sizes are rounded down, to 3"
        )
    ]


def test_pooling_that_skips_values() -> None:
    (remark,) = remarks(analyze("MaxPool2d(2, 4)", (1, 34, 34)))
    assert "reads 4 of every 16 values (25%)" in remark
    assert not list(remarks(analyze("MaxPool2d(4, 4)", (1, 32, 32))))


def test_recurrent_layers_in_a_stack() -> None:
    (remark,) = remarks(analyze("RNN(1, 32); Linear(32, 1)", (20, 1)))
    assert "the next layer gets its output" in remark
    (remark,) = remarks(analyze("RNN(4, 3)", (4,)))
    assert "reads the batch as one sequence" in remark


def test_shapes_multiply_to_values() -> None:
    report = analyze(QUIZ, (3, 130, 130))
    assert [step.values for step in report.steps] == [prod(step.output) for step in report.steps]
