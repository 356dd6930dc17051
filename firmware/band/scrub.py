# Garbage keeps what it held until something else takes its place. After keys have stepped on, all
# free memory of the heap is taken once, so that an image of it gives away nothing of the past.

import gc
import sys

import esp32

from wire.compat import const

# MicroPython's heap is given out in blocks of four machine words.
_WORDS = const(4)
_WORD_BYTES = 8 if sys.maxsize >> 32 else 4


def free_memory():
    # One block at a time and no more than are free: what found no room would make the heap of an
    # ESP32 grow, and take from Bluetooth. A list of one fills two blocks: type, room, length and
    # address of its items; and these, room for four.
    gc.collect()
    chain = last = None
    try:
        for _ in range(free_bytes() // (2 * _WORDS * _WORD_BYTES)):
            chain = [chain]
        last = (None, None)  # of an odd number, a block alone
    except MemoryError:
        pass  # all of it is taken
    # The collector takes whatever looks like an address for one, and the stack is full of old
    # ones: link by link, or one of these holds all that follows.
    while chain:
        last, chain[0] = chain[0], None
        chain = last
    gc.collect()


def free_bytes():
    # An ESP32 counts as free what its heap could still grow by: the largest block of the system's.
    regions = esp32.idf_heap_info(esp32.HEAP_DATA)
    return gc.mem_free() - max([region[2] for region in regions])
