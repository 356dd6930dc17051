"""A question's steps (WITH name AS (…), …), each once: for an engine that works a step out again
for every other one that reads it, and what it reads in turn."""

import re
from collections.abc import Mapping
from typing import NamedTuple

# As the .sql files are written: a step begins and ends in the first column.
_STEP = re.compile(r"^(?:WITH )?(\w+) AS \(\n(.*?)^\),?\n", re.DOTALL | re.MULTILINE)


class Step(NamedTuple):
    """The rows of `name` by a text of its own, which reads only tables and earlier steps."""

    name: str
    sql: str


def split(sql: str) -> tuple[list[Step], str]:
    """The steps that several others read, in order, and the question that reads these as tables.
    What one alone reads stays within it; what nobody reads is left out."""
    bodies = {name: body.strip() for name, body in _STEP.findall(sql)}
    rest = _STEP.sub("", sql).strip()
    kept = {
        name for name in bodies if sum(_reads(text, name) for text in (*bodies.values(), rest)) > 1
    }
    own = {name: body for name, body in bodies.items() if name not in kept}
    steps = [Step(name, _whole(body, own)) for name, body in bodies.items() if name in kept]
    return steps, _whole(rest, own)


def _reads(text: str, name: str) -> int:
    return len(re.findall(rf"\b(?:FROM|JOIN) {name}\b", text))


def _whole(text: str, own: Mapping[str, str]) -> str:
    # The text with those of its own steps that it reads, and those that these read.
    needed: set[str] = set()
    looked = [text]
    while looked:
        last = looked.pop()
        more = {name for name in own if name not in needed and _reads(last, name)}
        needed |= more
        looked += [own[name] for name in more]
    within = ",\n".join(f"{name} AS (\n{own[name]}\n)" for name in own if name in needed)
    return f"WITH {within}\n{text}" if within else text
