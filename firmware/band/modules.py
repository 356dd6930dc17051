# Room in a small heap: modules that a band needs for a moment only, at a start or at a dock.

import gc
import sys


def learn(*names):
    # What is loaded later comes and goes again, but the names in it stay. They take their room now,
    # while the heap is whole: it is one piece, and grows by doubling.
    for name in names:
        try:
            __import__(name)
        except MemoryError:
            break  # a dock finds out whether there is room by then
    forget(*names)


def forget(*names):
    # What is needed again is loaded again.
    for name in names:
        if name in sys.modules:
            del sys.modules[name]
            package, _, own = name.partition(".")
            delattr(sys.modules[package], own)
    gc.collect()
