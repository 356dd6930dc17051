# Run by MicroPython after boot.py, which was interruptible up to here again.

import micropython

micropython.kbd_intr(-1)

import loader

loader.main()
