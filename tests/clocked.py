"""Zoneband in a process of its own whose clock shows what a test wants."""

import sys

_RUN = """
import sys, time
real = time.time
ahead_s = float(sys.argv.pop(1)) - real()
time.time = lambda: real() + ahead_s
from zoneband.cli.main import main
main()
"""


def tool(utc_s: float) -> list[str]:
    """The command that runs Zoneband with a clock that begins at a time."""
    return [sys.executable, "-c", _RUN, str(utc_s)]
