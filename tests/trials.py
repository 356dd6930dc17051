"""What tests of campaigns share: what went wrong, and whether a guard that was taken out is
missed."""

import contextlib
from collections.abc import Callable

from zoneband.campaigns.tally import FAILURES, Tally

Told = Callable[[str], None]


class _Seen(Exception):
    pass


def failures(tally: Tally) -> dict[str, int]:
    """What went wrong, by kind."""
    return {name: getattr(tally, name) for name in FAILURES if getattr(tally, name)}


def seen(tally: Tally, failure: str, run: Callable[[Told], None]) -> bool:
    """Whether a campaign shows a failure; it is broken off by the first one. run: the campaign on
    that tally, telling each step."""

    def told(_line: str) -> None:
        if getattr(tally, failure):
            raise _Seen

    with contextlib.suppress(_Seen):
        run(told)
    return bool(getattr(tally, failure))
