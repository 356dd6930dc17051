"""Room for the stand-ins' names in the VM's table of names (py/qstr.c), as if they were in ROM.

The table is a chain of pools of 20, 40 ... 640 names, and the next is of 1,280: 15 KB in one piece.
A chip has the names of its own modules in ROM, and those of the firmware never fill its first six
pools (tests/firmware/test_names.py). Here the stand-ins' come on top, so that some start or dock
would ask for the next pool, and often in vain: it is taken at the start, while the heap is whole.
What this costs the heap is `NAMES_KB` in sim/band.py.
"""

import gc

from micropython import const

_POOL_BYTES = const(12000)
_AT_ONCE = const(16)  # to ask what a heap holds is a walk over all of it


def _fill():
    # Whatever the script before holds: only what some names more take tells that the pool is there.
    n = taken = 0
    while taken < _POOL_BYTES:
        if not n & 63:
            gc.collect()
        before = gc.mem_alloc()
        for _ in range(_AT_ONCE):
            getattr(gc, "%x" % n, None)
            n += 1
        taken = gc.mem_alloc() - before
    gc.collect()


_fill()
