# Room in a small heap: modules that a band needs for a moment only, at a start or at a dock.

import gc
import sys


def learn():
    # Every name of every module takes its room now, while the heap is whole: their table is one
    # piece that grows by doubling, and what is loaded for a moment would leave its names all over
    # the heap. The file: host/zoneband/flash/names.py.
    try:
        import deflate

        with open(__file__.replace("modules.mpy", "names.z"), "rb") as f:
            lines = deflate.DeflateIO(f)
            name = lines.readline()
            while name:
                # Asking for it makes it one.
                getattr(gc, name[:-1].decode(), None)
                name = lines.readline()
    except (ImportError, OSError, ValueError):
        pass  # then they come as they are met


def forget(*names):
    # What is needed again is loaded again.
    for name in names:
        if name in sys.modules:
            del sys.modules[name]
            package, _, own = name.partition(".")
            delattr(sys.modules[package], own)
    gc.collect()
