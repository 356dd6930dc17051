# Room in a small heap: modules that a band needs for a moment only, at a start or at a dock.

import gc
import sys

# Loaded at docks, and what each of them loads.
FLEETING = (
    "band.session", "band.fastlink", "band.orders", "band.keystart", "band.trial",
    "band.selftest", "band.update", "band.ed25519",
)  # fmt: skip


def learn(names=FLEETING):
    # What is loaded later comes and goes again, but the names in it stay, in a table in one piece
    # that doubles when it is full. It takes its room at the start, while the heap is whole: a dock
    # finds none so large.
    before = set(sys.modules)
    for name in names:
        __import__(name)
        forget(*(n for n in set(sys.modules) - before if "." in n))


def forget(*names):
    # What is needed again is loaded again.
    for name in names:
        if name in sys.modules:
            del sys.modules[name]
            package, _, own = name.partition(".")
            delattr(sys.modules[package], own)
    gc.collect()
