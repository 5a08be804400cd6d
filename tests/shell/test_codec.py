"""JSON of dataclasses: writing, strict reading, and schemas."""

import json
import math
from dataclasses import dataclass, field
from fractions import Fraction
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from dlnotes_cli.shell.codec import (
    HIDDEN,
    INLINE,
    NAN_IF_NULL,
    OPTIONAL,
    from_json,
    in_json,
    in_json_as,
    inlined,
    named,
    schema_of,
    through,
    to_json,
)
from dlnotes_cli.shell.errors import InputError


@dataclass(frozen=True)
class Where:
    device: str
    threads: int


class Point(NamedTuple):
    x: float
    y: float


@dataclass(frozen=True, kw_only=True)
class Score:
    name: str
    size: int = field(metadata=named("bytes"))
    where: Where = field(metadata=INLINE)
    loss: float = field(metadata=NAN_IF_NULL)
    kind: Literal["one", "other"] = "one"
    paths: tuple[Path, ...] = ()
    shares: dict[str, float] = field(default_factory=dict)
    beside: Where | None = None
    remark: str | None = field(default=None, metadata=OPTIONAL)
    drawn: Any = field(default=None, metadata=HIDDEN)

    @property
    @in_json
    def double(self) -> int:
        """Twice the size."""
        return 2 * self.size


SCORE = Score(name="a", size=3, where=Where("cpu", 2), loss=math.nan, paths=(Path("b"),), shares={"c": 0.5})
JSON = {
    "name": "a", "bytes": 3, "device": "cpu", "threads": 2, "loss": None, "kind": "one", "paths": ["b"],
    "shares": {"c": 0.5}, "beside": None, "double": 6,
}  # fmt: skip


@dataclass(frozen=True)
class Derived:
    side: int = field(metadata=through(abs))

    @property
    @inlined
    def where(self) -> Where:
        return Where("cpu", self.side)

    @cached_property
    @in_json
    def half(self) -> Any:
        return Fraction(self.side, 2)

    @property
    @in_json_as("class", optional=True)
    def label(self) -> str | None:
        return "odd" if self.side % 2 else None


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (SCORE, JSON),
        ([np.float32(0.5), np.arange(2), Point(1.0, math.inf)], [0.5, [0, 1], {"x": 1.0, "y": None}]),
        (
            {"a": [1, 2.5, math.nan], "b": {"c": -math.inf}, "e": None},
            {"a": [1, 2.5, None], "b": {"c": None}, "e": None},
        ),
        (Derived(3), {"side": 3, "device": "cpu", "threads": 3, "half": 1.5, "class": "odd"}),
        (Derived(-2), {"side": 2, "device": "cpu", "threads": -2, "half": -1.0}),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_is_written_and_its_schema(value: Any, expected: Any) -> None:
    assert to_json(value) == expected
    schema = schema_of(type(value))
    if isinstance(value, Score | Derived):
        assert {*schema["required"]} == expected.keys() - {"class"}
        assert {*schema["properties"]} == expected.keys() | {"class" if isinstance(value, Derived) else "remark"}
        assert schema["additionalProperties"] is False
        Draft202012Validator(schema).validate(expected)
    if isinstance(value, Score):
        properties = schema["properties"]
        assert (properties["double"], properties["kind"]) == ({"type": "integer"}, {"enum": ["one", "other"]})
        assert properties["paths"] == {"type": "array", "items": {"type": "string"}}


@given(
    st.builds(
        Score, name=st.text(), size=st.integers(-(2**53), 2**53), loss=st.floats(-1e9, 1e9),
        where=st.builds(Where, st.text(), st.integers(0, 9)),
        beside=st.none() | st.builds(Where, st.text(), st.just(1)),
        shares=st.dictionaries(st.text(), st.floats(0, 1)), remark=st.none() | st.text(), kind=st.just("other"),
        paths=st.lists(st.from_regex(r"[a-z]{1,5}", fullmatch=True).map(Path)).map(tuple), drawn=st.none(),
    )
)  # fmt: skip
def test_what_is_written_is_read_again(score: Score) -> None:
    assert from_json(Score, json.loads(json.dumps(to_json(score))), "file") == score


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@given(VALUES)
def test_every_value_is_json_without_nan(value: object) -> None:
    json.dumps(to_json(value), allow_nan=False)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"bytes": "3"}, "bytes is '3'"),
        ({"bytes": True}, "bytes is True"),
        ({"bytes": 2**70}, "bytes is 11805"),
        ({"kind": "third"}, "kind is 'third'"),
        ({"paths": [1]}, "paths is 1"),
        ({"shares": {"c": "x"}}, "shares is 'x'"),
        ({"beside": {"device": "cpu"}}, "it has no threads"),
        ({"beside": 1}, "Where is not an object"),
        ({"loss": "low"}, "loss is 'low'"),
        ({"more": 1}, "Score has no more"),
        ({"drawn": 1}, "Score has no drawn"),
        *(({name: None}, f"it has no {name}") for name in ("name", "bytes", "device", "loss")),
    ],
)
def test_a_field_that_is_unknown_or_of_another_type_is_named(change: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError, match=r"^result\.json: is damaged") as caught:
        from_json(
            Score,
            {key: value for key, value in (JSON | change).items() if change.get(key, 0) is not None},
            "result.json",
        )
    assert words in str(caught.value)
    assert math.isnan(from_json(Score, JSON, "result.json").loss)
