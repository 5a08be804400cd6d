"""Sliding windows compared with counting, and stacks of layers compared with torch modules in sequence."""

from collections.abc import Iterator

from hypothesis import assume, given, settings
from hypothesis import strategies as st
from shapes.drawn_layers import ALL_LAYERS, Shape, layers
from shapes.torch_oracle import TorchResult, run_in_torch

from dlnotes_cli.shapes.report import analyze
from dlnotes_cli.shapes.sliding_window import SlidingWindow
from dlnotes_cli.shell.errors import InputError

WINDOWS = st.builds(
    SlidingWindow,
    input_size=st.integers(1, 30),
    kernel=st.integers(1, 6),
    stride=st.integers(1, 5),
    pad_before=st.integers(0, 3),
    pad_after=st.integers(0, 3),
    dilation=st.integers(1, 3),
    ceil_mode=st.just(value=False),
)


def starts(window: SlidingWindow) -> Iterator[int]:
    """Yield the start of each window; position 0 is the first of the left padding."""
    position = 0
    while position + window.effective_kernel <= window.pad_before + window.input_size + window.pad_after:
        yield position
        position += window.stride


@given(WINDOWS)
def test_size_is_the_number_of_windows_that_fit(window: SlidingWindow) -> None:
    assume(window.max_offset >= 0)
    assert window.output == len(list(starts(window)))


@given(WINDOWS)
def test_formulas_are_true_when_evaluated(window: SlidingWindow) -> None:
    left, _, right = window.formula.partition(" = ")
    assert eval(left, {"floor": lambda value: value // 1}) == int(right)  # noqa: S307  # a formula of ours


STACKABLE = [name for name in ALL_LAYERS if name not in {"RNN", "LSTM", "GRU", "Embedding"} and "Fold" not in name]


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_stacks_agree_with_torch_modules_in_sequence(data: st.DataObject) -> None:
    size: Shape = (4, 12, 12)
    texts: list[str] = []
    parameters = macs = 0
    for _ in range(5):
        text, _ = data.draw(layers(st.sampled_from(STACKABLE), st.just(size)))
        expected = run_in_torch(text, size)
        if isinstance(expected, TorchResult) and 0 not in expected.shape and expected.shape[0] == 1:
            try:
                analyze(f"{text}\nIdentity()", size)
            except InputError:
                continue  # an error here though not in torch, as tested elsewhere
            texts.append(text)
            size, parameters, macs = expected.shape[1:], parameters + expected.parameters, macs + expected.macs
    assume(texts)
    report = analyze("\n".join(texts), (4, 12, 12))
    assert (report.output, report.parameters, report.macs) == (size, parameters, macs)


SIZES = st.sampled_from([1, 3, 2**31 - 1, 2**31, 2**40, 2**62, 2**63 - 1])
HUGE = SIZES | st.sampled_from([2**63, 10**30, 1e308, 5e-324, -1e308])


@given(
    st.sampled_from(ALL_LAYERS),
    st.lists(HUGE, min_size=1, max_size=6),
    st.lists(SIZES, min_size=1, max_size=4),
)
def test_huge_numbers_give_a_result_or_an_error(name: str, values: list[float], size: list[int]) -> None:
    try:
        report = analyze(f"{name}({', '.join(map(str, values))})", tuple(size))
    except InputError:
        return
    assert all(one >= 1 for one in report.output)
