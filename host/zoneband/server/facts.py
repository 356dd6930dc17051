"""Facts in opened records, checked: whoever can seal one to the authority chooses what is in it."""

import math
from typing import Any

_MOST_DEPTH = 16
_MOST_TEXT = 64
_LAST_NUMBER = (1 << 32) - 1


def check(value: object, depth: int = 0) -> None:
    """Raise ValueError for what cannot be stored or answered: strings that are no Unicode text,
    numbers that are none, nesting without end."""
    if depth > _MOST_DEPTH:
        raise ValueError("nested too deep")
    if isinstance(value, str):
        value.encode()
        if "\0" in value:
            raise ValueError("not a text")
    elif isinstance(value, float):
        if not math.isfinite(value):
            raise ValueError("not a number")
    elif isinstance(value, dict):
        for name, each in value.items():  # pyright: ignore[reportUnknownVariableType]
            check(name, depth + 1)
            check(each, depth + 1)
    elif isinstance(value, list):
        for each in value:  # pyright: ignore[reportUnknownVariableType]
            check(each, depth + 1)


def text(facts: dict[str, Any], name: str) -> str:
    """A short text. Raises KeyError, ValueError."""
    value = facts[name]
    if not isinstance(value, str) or not 1 <= len(value) <= _MOST_TEXT:
        raise ValueError(f"{name} is no short text")
    return value


def number(
    facts: dict[str, Any],
    name: str,
    low: int = 0,
    high: int = _LAST_NUMBER,
    default: int | None = None,
) -> int:
    """A whole number from low to high. Raises KeyError, ValueError."""
    value = facts.get(name, default) if default is not None else facts[name]
    if type(value) is not int or not low <= value <= high:
        raise ValueError(f"{name} is not {low} to {high}")
    return value


def maybe(facts: dict[str, Any], name: str, kind: Any) -> Any:
    """What `text` or `number` reads, or None where there is none."""
    return None if facts.get(name) is None else kind(facts, name)


def key(facts: dict[str, Any], name: str) -> bytes:
    """A key of 32 bytes, in hex. Raises KeyError, ValueError."""
    value = bytes.fromhex(text(facts, name))
    if len(value) != 32:
        raise ValueError(f"{name} is no key")
    return value
