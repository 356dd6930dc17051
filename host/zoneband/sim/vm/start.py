"""What MicroPython's start does on a band: boot.py, then main.py, then the REPL."""

import sys


def _run(name):
    try:
        __import__(name)
    except ImportError as error:
        print(error)
    except KeyboardInterrupt as error:
        sys.print_exception(error)


_run("boot")
_run("main")
