"""Named kernels against the numbers of the course, NumPy and SciPy; kernels from text and files, and their errors."""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import ndimage

from dlnotes_cli.filter.catalog import NAMES, WITH_SIZE, named_kernel, parse_kernels
from dlnotes_cli.filter.kernel import Kernel, weight_sum
from dlnotes_cli.shell.errors import InputError
from dlnotes_cli.shell.parse import parse_channels, parse_matrix

ZERO_SUM = {
    "gradient", "high-pass", "laplacian-4", "laplacian-8", "log", "notes-4x4-1", "notes-4x4-2", "notes-4x4-3",
    "notes-4x4-4", "notes-5x5-x", "notes-5x5-y", "prewitt", "prewitt-x", "prewitt-y", "quiz-a", "quiz-b", "quiz-c",
    "quiz-d", "roberts", "roberts-x", "roberts-y", "scharr", "scharr-x", "scharr-y", "sobel", "sobel-x", "sobel-y",
}  # fmt: skip
COURSE: dict[str, list[list[float]]] = {
    "high-pass": [[0, -1, 0], [-1, 4, -1], [0, -1, 0]],
    "quiz-a": [[-1, -1, -1], [-1, 8, -1], [-1, -1, -1]],
    "quiz-b": [[-1, 0, 1], [-2, 0, 2], [-1, 0, 1]],
    "quiz-c": [[0, -1, 0], [-2, 6, -2], [0, -1, 0]],
    "quiz-d": [[-1, -2, -1], [0, 0, 0], [1, 2, 1]],
    "notes-4x4-1": [[-1, -1, 1, 1]] * 4,
    "notes-4x4-2": [[1, 1, -1, -1]] * 4,
    "notes-4x4-3": [[-1] * 4, [-1] * 4, [1] * 4, [1] * 4],
    "notes-4x4-4": [[1] * 4, [1] * 4, [-1] * 4, [-1] * 4],
    "notes-5x5-x": [
        [-1, -0.2, 0, 0.2, 1], [-1.5, -0.2, 0, 0.2, 1.5], [-2, -0.2, 0, 0.2, 2], [-1.5, -0.2, 0, 0.2, 1.5],
        [-1, -0.2, 0, 0.2, 1],
    ],
    "notes-5x5-y": [[-1, -2, -2, -2, -1], [-0.2] * 5, [0] * 5, [0.2] * 5, [1, 2, 2, 2, 1]],
}  # fmt: skip


@pytest.mark.parametrize("name", COURSE)
def test_kernels_of_the_course(name: str) -> None:
    assert named_kernel(name).matrix == tuple(map(tuple, COURSE[name]))


@pytest.mark.parametrize("name", NAMES)
def test_weights_sum_to_one_or_zero(name: str) -> None:
    assert weight_sum(named_kernel(name).matrix) == pytest.approx(0 if name in ZERO_SUM else 1, abs=1e-12)
    assert named_kernel(name).purpose


@pytest.mark.parametrize(("sigma", "size"), [(1.0, 7), (2.5, 17), (0.7, 7)])
def test_gaussian_equals_scipy(sigma: float, size: int) -> None:
    impulse = np.zeros((size, size))
    impulse[size // 2, size // 2] = 1
    expected = ndimage.gaussian_filter(impulse, sigma, truncate=(size // 2) / sigma, mode="constant")
    kernel = named_kernel("gaussian", sigma=sigma)
    np.testing.assert_allclose(kernel.matrix, expected, atol=1e-12)
    sharpened = 2 * impulse - expected
    np.testing.assert_allclose(named_kernel("unsharp", sigma=sigma).matrix, sharpened, atol=1e-12)


def test_log_equals_scipy() -> None:
    impulse = np.zeros((41, 41))
    impulse[20, 20] = 1
    expected = ndimage.gaussian_laplace(impulse, 3.0, truncate=6.6)
    np.testing.assert_allclose(named_kernel("log", size=41, sigma=3.0).matrix, expected, atol=1e-6)


@pytest.mark.parametrize("name", sorted(WITH_SIZE))
@pytest.mark.parametrize("size", [1, 2, 4, 9])
def test_size_sets_rows_and_columns(name: str, size: int) -> None:
    kernel = named_kernel(name, size=size)
    assert kernel.size == (1 if name == "motion" else size, size)


def test_sigma_defaults_to_a_value_for_the_size() -> None:
    assert named_kernel("gaussian", size=5).matrix == named_kernel("gaussian", size=5, sigma=1.1).matrix


def test_a_too_large_kernel_is_refused() -> None:
    with pytest.raises(InputError, match=r"--sigma: 500 needs 3,001 rows; use a smaller one"):
        named_kernel("gaussian", sigma=500)


SOBEL = ((-1.0, 0.0, 1.0), (-2.0, 0.0, 2.0), (-1.0, 0.0, 1.0))
NUMBERS = st.floats(-1e6, 1e6)
MATRICES = st.integers(1, 5).flatmap(
    lambda width: st.lists(st.lists(NUMBERS, min_size=width, max_size=width), min_size=1, max_size=5)
)


def parse(*values: str, size: int | None = None, sigma: float | None = None) -> list[Kernel]:
    return parse_kernels([("--kernel", value) for value in values], size=size, sigma=sigma)


@pytest.mark.parametrize(
    "text",
    [
        "-1 0 1; -2 0 2; -1 0 1",
        "-1,0,1;-2,0,2;-1,0,1;",
        "-1 0 1\n-2 0 2\n\n-1 0 1\n",
        "[-1 0 1; -2 0 2; -1 0 1]",
        "[[-1, 0, 1], [-2, 0, 2], [-1, 0, 1]]",
        "\N{MINUS SIGN}1 0 1; \N{MINUS SIGN}2 0 2; \N{MINUS SIGN}1 0 1",
        "-2/2 0 1; -2 0/3 2; -1 .0 1e0",
    ],
)
def test_syntaxes_of_a_matrix(text: str) -> None:
    assert parse_matrix(text, "--kernel") == SOBEL
    assert parse(text)[0].matrix == SOBEL


@given(MATRICES)
def test_written_matrices_are_read_back(rows: list[list[float]]) -> None:
    expected = tuple(map(tuple, rows))
    assert parse_matrix("; ".join(" ".join(map(repr, row)) for row in rows), "x") == expected
    assert parse_matrix("\n".join(",".join(map(repr, row)) for row in rows), "x") == expected
    assert parse_matrix(json.dumps(rows), "x") == expected


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("edge.txt", "# mine\n-1 0 1\n-2 0 2  # the middle\n-1 0 1\n"),
        ("edge.csv", "\N{BOM}-1,0,1\r\n-2,0,2\r\n-1,0,1\r\n"),
        ("edge.json", "[[-1, 0, 1], [-2, 0, 2], [-1, 0, 1]]"),
        ("edge.json", '{"kernel": [[-1, 0, 1], [-2, 0, 2], [-1, 0, 1]]}'),
        ("edge", "-1 0 1; -2 0 2; -1 0 1"),
        ("3x3", "-1 0 1; -2 0 2; -1 0 1"),
    ],
)
def test_kernels_from_files(name: str, content: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text(content, newline="")
    (kernel,) = parse(str(tmp_path / name))
    assert (kernel.name, kernel.matrix) == (Path(name).stem, SOBEL)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("1 2; 3", "row 2 has 1 number, row 1 has 2 (column 2); make the rows equally long"),
        ("1 2; 3 4 5", "row 2 has 3 numbers, row 1 has 2 (column 3)"),
        ("1 2; 3 x", "row 2, column 2: 'x' is not a number; write rows"),
        ("1 nan; 3 4", "row 1, column 2: nan is not a finite number"),
        ("1 2; inf 4", "row 2, column 1: inf is not a finite number"),
        ("1 2; 1e400 4", "row 2, column 1: 1e400 is not a finite number"),
        ("1 2; 1/0 4", "row 2, column 1: '1/0' is not a number"),
        ("1,,3", "row 1, column 2: no number"),
        ("", "is empty: no row 1, column 1"),
        (" ; ;", "is empty: no row 1, column 1"),
        ("[[]]", "row 1, column 1: no numbers"),
        ("[[1, null]]", "row 1, column 2: None is not a finite number"),
        ("[[1, true]]", "row 1, column 2: True is not a finite number"),
        ("[[1, NaN]]", "row 1, column 2: nan is not a finite number"),
        ('[[1, "a"]]', "row 1, column 2: 'a' is not a number"),
        ("[[1, 2", "is not JSON"),
        ('{"weights": [[1]]}', "has no list of rows"),
        (" ".join(["1"] * 1024), "1x1024 numbers; use at most 1023 rows and columns"),
    ],
    ids=lambda value: value[:20],
)
def test_errors_name_row_and_column(text: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "k.txt").write_text(text)
    with pytest.raises(InputError) as inline:
        parse_matrix(text, "--kernel")
    assert str(inline.value).startswith(f"--kernel: {message}")
    with pytest.raises(InputError) as file:
        parse(str(tmp_path / "k.txt"))
    assert str(file.value).startswith(f"{tmp_path / 'k.txt'}: {message}")


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "k.csv").write_bytes(b"\xff\xfe1")
    with pytest.raises(InputError, match=r"k\.csv: is not UTF-8 text; write"):
        parse(str(tmp_path / "k.csv"))
    with pytest.raises(InputError, match=r"gone\.json: no such file"):
        parse(str(tmp_path / "gone.json"))


def test_equal_names_are_numbered_and_case_is_ignored() -> None:
    names = [kernel.name for kernel in parse("1", "2", "Sobel-X", "sobel-x", "3")]
    assert names == ["custom", "custom-2", "sobel-x", "sobel-x-2", "custom-3"]


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("sobelx", "'sobel-x'"), ("gausian", "'gaussian'"), ("blur", "'gaussian'"), ("Smooth", "'gaussian'"),
        ("edge", "'gradient'"), ("edges", "'gradient'"), ("denoise", "'gaussian', or --op median"),
        ("median", "--op median"), ("average", "'box'"),
    ],
)  # fmt: skip
def test_an_unknown_name_suggests_the_nearest_or_what_it_means(name: str, meant: str) -> None:
    expected = rf"--kernel: unknown kernel '{name}'; did you mean {meant}\? choose from box, emboss"
    with pytest.raises(InputError, match=expected):
        parse(name)


def test_size_and_sigma_apply_to_the_kernels_that_have_them() -> None:
    box, sobel = parse("box", "sobel-x", size=5)
    assert (box.size, sobel.size) == ((5, 5), (3, 3))
    with pytest.raises(
        InputError, match=r"--kernel-size: applies to none of the kernels; leave it out, or use box, gaussian"
    ):
        parse("sobel-x", size=5)
    with pytest.raises(InputError, match=r"--sigma: applies to none of the kernels; leave it out, or use gaussian"):
        parse("box", sigma=2.0)


def test_channels() -> None:
    assert parse_channels("1 2 | 3 4", "--patch") == (((1.0, 2.0),), ((3.0, 4.0),))
    with pytest.raises(
        InputError, match="--patch: channel 2 is 1x1, channel 1 is 1x2; make the channels equally large"
    ):
        parse_channels("1 2 | 3", "--patch")
    with pytest.raises(InputError, match="--patch, channel 2: row 1, column 1: 'x' is not a number"):
        parse_channels("1 | x", "--patch")
