"""What MicroPython's start does on a band: boot.py, then main.py, then the REPL."""

import sys

import _air
import uos


def _run(name):
    try:
        __import__(name)
    except ImportError as error:
        print(error)
    except KeyboardInterrupt as error:
        sys.print_exception(error)


_air.wait(_air.now_us + int(uos.getenv("ZB_BOOT_US") or "0"))
_run("boot")
_run("main")
