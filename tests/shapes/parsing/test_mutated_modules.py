"""Modules with a word replaced or left out: a report or an error of one line, never a traceback or a long wait."""

import re

from hypothesis import example, given, settings
from hypothesis import strategies as st
from shapes.parsing.construct_modules import CONSTRUCTS, EXTENDED_SEQUENTIAL
from shapes.parsing.real_modules import MODULES

from dlnotes_cli.shapes import analyze
from dlnotes_cli.shapes.table import report_lines
from dlnotes_cli.shell.errors import InputError

WORDS = re.compile(r"\w+|[^\w\s]")
REPLACEMENTS = [
    "", "x", "self", "nn", "None", "0", "-1", "10**9", "1e308", "[]", "{}", "'a'", "range(10**9)", "lambda q: q", "...",
    "self.forward", "super()", "x.shape", "x.size(1)", "[x]", "(x, x)", "*x", "2**63", "x.chunk(2, 1)", "nn.ReLU",
    "nn.Parameter(torch.zeros(3))", "x @ x", "x.max(1)", "x.split(1, 1)", "torch.stack([x, x], 1)",
]  # fmt: skip
CODES = [(code, shape) for _, code, shape in MODULES + CONSTRUCTS]


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(CODES), st.integers(0, 10**6), st.sampled_from(REPLACEMENTS))
@example((EXTENDED_SEQUENTIAL, (4, 8, 8)), 0, "")
def test_a_changed_module_ends_in_a_report_or_one_line(
    module: tuple[str, tuple[int, ...]], position: int, replacement: str
) -> None:
    code, shape = module
    words = list(WORDS.finditer(code))
    word = words[position % len(words)]
    try:
        report = analyze(code[: word.start()] + replacement + code[word.end() :], shape, explain=True)
    except InputError as error:
        message = str(error)
        assert "\n" not in message
        assert "object at 0x" not in message
        assert len(message) < 800
    else:
        assert list(report_lines(report))
