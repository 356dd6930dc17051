# Room in a small heap: modules that a band needs for a moment only, at a start or at a dock.

import gc
import sys


def learn():
    # The names of all modules that are loaded later take their room now, while the heap is whole:
    # their table is one piece that grows by doubling, and a module that is loaded for a moment
    # would leave its names all over the heap.
    try:
        __import__("band.names")
    except (ImportError, MemoryError):
        pass  # then they come as they are met
    forget("band.names")


def forget(*names):
    # What is needed again is loaded again.
    for name in names:
        if name in sys.modules:
            del sys.modules[name]
            package, _, own = name.partition(".")
            delattr(sys.modules[package], own)
    gc.collect()
