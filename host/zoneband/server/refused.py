"""What the tracing server refuses to do for a tracer, and why."""

from typing import Any


class Refused(Exception):
    """Not done. code: why, as zoneband.tracing.case_words puts into words; values: what is filled
    in there. wrong: what was given can never be done, whatever the server comes to know."""

    def __init__(self, code: str, *, wrong: bool = False, **values: Any) -> None:
        super().__init__(code)
        self.code = code
        self.wrong = wrong
        self.values = values


class NoCase(Exception):
    """No case has this number."""
