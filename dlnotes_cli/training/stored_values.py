"""JSON objects that a run stored, which an editor or a damaged disk may have changed."""

import json
import math
from typing import Any


def parse_object(text: str) -> dict[str, Any]:
    """A JSON object without repeated names and without numbers that are not finite. Raises ValueError."""
    parsed = json.loads(text, object_pairs_hook=_unique, parse_float=_finite, parse_constant=_finite)
    if not isinstance(parsed, dict):
        raise ValueError("not an object")  # noqa: TRY004  # callers expect one type
    return parsed


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    names = dict(pairs)
    if len(names) < len(pairs):
        raise ValueError("repeated name")
    return names


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(text)
    return number
