"""Named kernels against the numbers of the course, NumPy and SciPy; kernels from text and files, and their errors."""

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import ndimage

from dlnotes_cli.filter.catalog import NAMES, WITH_SIZE, named_kernel, parse_kernels
from dlnotes_cli.filter.kernel import Kernel, weight_sum
from dlnotes_cli.shell.errors import InputError
from dlnotes_cli.shell.parse import parse_matrix

ZERO_SUM = {
    "gradient", "high-pass", "laplacian-4", "laplacian-8", "log", "notes-4x4-1", "notes-4x4-2", "notes-4x4-3",
    "notes-4x4-4", "notes-5x5-x", "notes-5x5-y", "prewitt", "prewitt-x", "prewitt-y", "quiz-a", "quiz-b", "quiz-c",
    "quiz-d", "roberts", "roberts-x", "roberts-y", "scharr", "scharr-x", "scharr-y", "sobel", "sobel-x", "sobel-y",
}  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_weights_sum_to_one_or_zero(name: str) -> None:
    assert weight_sum(named_kernel(name).matrix) == pytest.approx(0 if name in ZERO_SUM else 1, abs=1e-12)
    assert named_kernel(name).purpose


@pytest.mark.parametrize(("sigma", "size"), [(1.0, 7), (2.5, 17), (0.7, 7)])
def test_kernels_with_a_sigma_equal_those_of_scipy(sigma: float, size: int) -> None:
    impulse = np.zeros((size, size))
    impulse[size // 2, size // 2] = 1
    expected = ndimage.gaussian_filter(impulse, sigma, truncate=(size // 2) / sigma, mode="constant")
    np.testing.assert_allclose(named_kernel("gaussian", sigma=sigma).matrix, expected, atol=1e-12)
    np.testing.assert_allclose(named_kernel("unsharp", sigma=sigma).matrix, 2 * impulse - expected, atol=1e-12)
    impulse = np.pad(impulse, size)
    expected = ndimage.gaussian_laplace(impulse, sigma, truncate=6.6)
    np.testing.assert_allclose(named_kernel("log", size=3 * size, sigma=sigma).matrix, expected, atol=1e-4)


@pytest.mark.parametrize("name", sorted(WITH_SIZE))
@pytest.mark.parametrize("size", [1, 2, 9])
def test_size_sets_rows_and_columns(name: str, size: int) -> None:
    assert named_kernel(name, size=size).size == (1 if name == "motion" else size, size)


def test_sigma_has_a_default_for_the_size_and_a_limit() -> None:
    assert named_kernel("gaussian", size=5).matrix == named_kernel("gaussian", size=5, sigma=1.1).matrix
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


def test_equal_names_are_numbered_and_case_is_ignored() -> None:
    names = [kernel.name for kernel in parse("1", "2", "Sobel-X", "sobel-x", "3")]
    assert names == ["custom", "custom-2", "sobel-x", "sobel-x-2", "custom-3"]


@pytest.mark.parametrize(
    ("text", "options", "message"),
    [
        *(
            (name, {}, f"--kernel: unknown kernel '{name}'; did you mean {meant}? choose from box, emboss")
            for name, meant in (
                ("sobelx", "'sobel-x'"), ("Smooth", "'gaussian'"), ("edges", "'gradient'"), ("average", "'box'"),
                ("denoise", "'gaussian', or --op median"), ("median", "--op median"),
            )
        ),
        ("sobel-x", {"size": 5}, "--kernel-size: applies to none of the kernels; leave it out, or use box, gaussian"),
        ("box", {"sigma": 2.0}, "--sigma: applies to none of the kernels; leave it out, or use gaussian"),
        ("gone.json", {}, "gone.json: no such file"),
        ("k.csv", {}, "k.csv: is not UTF-8 text; write"),
    ],
)  # fmt: skip
def test_an_unknown_name_or_file_or_a_size_without_use_is_refused(
    text: str, options: dict[str, Any], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("k.csv").write_bytes(b"\xff\xfe1")
    with pytest.raises(InputError, match="^" + re.escape(message)):
        parse(text, **options)


def test_the_size_applies_to_the_kernels_that_have_one() -> None:
    assert [kernel.size for kernel in parse("box", "sobel-x", size=5)] == [(5, 5), (3, 3)]
