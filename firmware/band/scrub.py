# Garbage keeps what it held until something else takes its place. After keys have stepped on, all
# free memory of the heap is taken once, so that an image of it gives away nothing of the past.

import gc
import sys

from wire.compat import const

# MicroPython's heap is given out in blocks of four machine words.
_WORDS = const(4)
_WORD_BYTES = 8 if sys.maxsize >> 32 else 4


def free_memory():
    # One block at a time and exactly as many as are free: a larger piece that found no room would
    # make the heap of an ESP32 grow. A tuple of two fills a block: type, size, two items.
    gc.collect()
    chain = None
    for _ in range(gc.mem_free() // (_WORDS * _WORD_BYTES)):
        chain = (chain, None)
    chain = None
    gc.collect()
