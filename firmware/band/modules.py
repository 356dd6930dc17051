# Room in a small heap: modules that a band needs for a moment only, at a start or at a dock.

import gc
import sys


def forget(*names):
    # What is needed again is loaded again.
    for name in names:
        if name in sys.modules:
            del sys.modules[name]
            package, _, own = name.partition(".")
            delattr(sys.modules[package], own)
    gc.collect()
