"""What is typed at the program, and what it answers."""

from typing import Protocol


class Typed(Protocol):
    """The words behind `zoneband`: (exit code, standard output, standard error)."""

    def __call__(self, *words: str, lang: str = "en") -> tuple[int, str, str]: ...
