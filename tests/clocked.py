"""Zoneband in a process of its own whose clock shows what a test wants."""

import sys

_RUN = """
import sys, time
begun = time.time()
clock = lambda real=time.time, ahead=float(sys.argv.pop(1)) - begun: real() + ahead
time.time = clock
from zoneband.cli.main import main
main()
"""


def tool(utc_s: float) -> list[str]:
    """The command that runs Zoneband with a clock that begins at a time."""
    return [sys.executable, "-c", _RUN, str(utc_s)]
