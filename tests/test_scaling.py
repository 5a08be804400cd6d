"""The arithmetic of `benchmarks/scaling.py`, against a simulated ring and hand calculation."""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

BENCHMARKS = Path(__file__).parent.parent / "benchmarks"


@pytest.fixture(scope="module")
def scaling() -> ModuleType:
    """The script, as a module."""
    sys.path.insert(0, str(BENCHMARKS))
    try:
        specification = importlib.util.spec_from_file_location("scaling", BENCHMARKS / "scaling.py")
        assert specification is not None
        assert specification.loader is not None
        module = importlib.util.module_from_spec(specification)
        sys.modules["scaling"] = module  # where its dataclasses look for their types
        specification.loader.exec_module(module)
    finally:
        sys.path.remove(str(BENCHMARKS))
    return module


def ring_seconds(values: list[list[int]], bytes_per_s: float, latency_s: float) -> float:
    """Reduce-scatter and all-gather in a ring, message by message; the time of the slowest link in each round."""
    count = len(values)
    chunk = len(values[0]) // count
    seconds = 0.0
    for phase in ("add", "copy"):
        for turn in range(count - 1):
            sent = []
            for rank in range(count):
                piece = (rank - turn + (phase == "copy")) % count
                sent.append((rank, piece, values[rank][piece * chunk : (piece + 1) * chunk]))
            for rank, piece, message in sent:
                target = values[(rank + 1) % count]
                for position, value in enumerate(message, piece * chunk):
                    target[position] = target[position] + value if phase == "add" else value
            seconds += latency_s + chunk / bytes_per_s
    return seconds


@pytest.mark.parametrize("count", [2, 3, 8])
def test_an_exchange_takes_as_long_as_a_simulated_ring(count: int, scaling: ModuleType) -> None:
    values = [[rank + position for position in range(24)] for rank in range(count)]
    expected = [sum(column) for column in zip(*values, strict=True)]
    seconds = ring_seconds(values, 1000.0, 0.25)
    assert values == [expected] * count  # the simulation does sum
    assert scaling.exchange_s(count, 24, scaling.Link("", 1000.0, 0.25)) == pytest.approx(seconds)


def test_one_process_exchanges_nothing_and_is_efficient(scaling: ModuleType) -> None:
    step, link = scaling.Step("", 64, 0.1, 0.01, 1000, 0), scaling.LINKS[0]
    assert scaling.exchange_s(1, 1000, link) == 0
    assert scaling.strong_efficiency(step, 1, link) == scaling.weak_efficiency(step, 1, link) == 1


def test_efficiencies_are_those_of_a_hand_calculation(scaling: ModuleType) -> None:
    step = scaling.Step("", 8, 1.0, 0.5, 100, 0)  # 5 s for all, 3 s for a half
    link = scaling.Link("", 100.0, 0.25)  # two processes: 2 messages of 0.5 s and 0.25 s of latency
    assert scaling.strong_efficiency(step, 2, link) == pytest.approx(5 / (2 * (3 + 1.5)))
    assert scaling.weak_efficiency(step, 2, link) == pytest.approx(5 / 6.5)


def test_the_most_processes_are_those_of_a_search_through_all(scaling: ModuleType) -> None:
    step, link = scaling.Step("", 256, 0.002, 0.0001, 1_000_000, 0), scaling.Link("", 1e9, 1e-4)
    for least in (0.9, 0.5, 0.1):
        for efficiency in (scaling.strong_efficiency, scaling.weak_efficiency):
            enough = [n for n in range(1, 257) if efficiency(step, n, link) >= least]
            assert scaling.most_processes(lambda n, f=efficiency: f(step, n, link), least, 256) == max(enough)


def test_a_line_has_neither_a_negative_start_nor_a_negative_slope(scaling: ModuleType) -> None:
    assert scaling.line_through((10, 3.0), (20, 5.0)) == pytest.approx((1.0, 0.2))
    assert scaling.line_through((10, 1.0), (20, 4.0)) == (0.0, 0.2)  # proportional
    assert scaling.line_through((10, 5.0), (20, 4.0)) == (4.0, 0.0)


def test_a_calculated_gpu_does_six_operations_per_multiply_accumulate(scaling: ModuleType) -> None:
    assert scaling.Gpu("", 6e12, 0.5).step_s(1e9, 100) == pytest.approx(0.2)


def test_the_tables_have_a_cell_for_each_column(scaling: ModuleType) -> None:
    steps = scaling.gpu_steps()
    assert all(len(row) == len(scaling.STEP_COLUMNS) for row in scaling.step_rows(steps))
    rows = scaling.scaling_rows(steps, scaling.LINKS)
    assert len(rows) == len(steps) * len(scaling.LINKS)
    assert all(len(row) == len(scaling.SCALING_COLUMNS) for row in rows)
    assert scaling.markdown(["a", "b"], [["1", "2"]]) == "| a | b |\n| --- | --- |\n| 1 | 2 |"


def test_the_gpu_networks_are_those_of_torchvision(scaling: ModuleType) -> None:
    from torchvision.models import ResNet18_Weights, ResNet50_Weights

    for name, weights in (("resnet18", ResNet18_Weights), ("resnet50", ResNet50_Weights)):
        parameters, macs, _ = scaling.GPU_NETWORKS[f"fine-tuning {name}"]
        assert parameters == weights.IMAGENET1K_V1.meta["num_params"]
        assert macs == pytest.approx(1e9 * weights.IMAGENET1K_V1.meta["_ops"])
