"""`conv-shape --draw`: no box or line covers another, and the same network is drawn in the same bytes."""

from pathlib import Path

from builders import Command
from drawn import texts
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.figure import Figure

from dlnotes_cli.lessons.conv_shape.drawing import placed

NETWORK = "Conv2d(3, 4, 3, padding=1); Residual(Conv2d(4, 4, 3, padding=1), ReLU()); Flatten(); Linear(256, 2)"
READS = st.integers(1, 12).flatmap(
    lambda count: st.tuples(*(st.lists(st.integers(-1, i - 1), max_size=4, unique=True) for i in range(count)))
)


@given(READS)
def test_every_place_has_one_box_or_line_and_lines_lead_down(reads: tuple[list[int], ...]) -> None:
    places = placed(reads)
    taken = [(rank, places.lanes[layer]) for layer, rank in places.ranks.items()]
    for source, layer, lane in places.lines:
        assert places.ranks[source] < places.ranks[layer]
        taken += [(rank, lane) for rank in range(places.ranks[source] + 1, places.ranks[layer])]
    assert [(source, layer) for source, layer, _ in places.lines] == [(s, i) for i, of in enumerate(reads) for s in of]
    assert len(set(taken)) == len(taken)


def test_a_drawing_has_every_layer_and_the_same_bytes(dlnotes: Command, tmp_path: Path, figures: list[Figure]) -> None:
    svg, png = tmp_path / "net.svg", tmp_path / "net.png"
    contents = []
    for path in (svg, svg, png):
        outcome = dlnotes("conv-shape", "--input", "3x8x8", NETWORK, "--draw", path, "--overwrite")
        assert (outcome.code, outcome.out.splitlines()[-1]) == (0, str(path)), outcome.err
        contents.append(path.read_bytes())
    assert contents[0] == contents[1]
    assert contents[0].startswith(b"<?xml")
    assert contents[2].startswith(b"\x89PNG")
    shown = texts(figures[0])
    names = ["input", "Conv2d(3, 4, 3, padding=1)", "Conv2d(4, 4, 3, padding=1)", "ReLU()", "Residual sum", "Flatten()"]
    assert [text for text in shown if text in names] == names
    assert "2, 514 parameters" in shown
