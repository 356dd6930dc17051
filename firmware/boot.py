# Run by MicroPython first. It must never fail: a band that cannot start its application must
# still give a REPL to mpremote.

import micropython

# No Ctrl-C until it is known that the band is not locked.
micropython.kbd_intr(-1)

import loader

loader.boot()
