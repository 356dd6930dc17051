"""Messages for a person: on a terminal, lines end between words; a script gets each on one line."""

import os
import sys
import textwrap
from typing import TextIO


def say(text: str, error: bool = False) -> None:
    """Print a message. error: where errors and notes go, so that standard output stays a
    script's."""
    stream: TextIO | None = sys.stderr if error else sys.stdout
    if stream is not None:  # somebody may have closed it
        print(fitted(text, stream), file=stream, flush=True)


def fitted(text: str, stream: TextIO) -> str:
    """The text, wrapped to the stream's width where that is a terminal. A path or an address that
    is longer stays whole."""
    width = _width(stream)
    if width is None:
        return text
    return "\n".join(_wrapped(line, width) for line in text.split("\n"))


def _wrapped(line: str, width: int) -> str:
    lines = textwrap.wrap(
        line, width, break_long_words=False, break_on_hyphens=False, replace_whitespace=False
    )
    return "\n".join(lines)


def _width(stream: TextIO) -> int | None:
    if not stream.isatty():
        return None
    try:
        return os.get_terminal_size(stream.fileno()).columns or None
    except (OSError, ValueError):
        return None
