"""Virtual bands: the firmware on the real MicroPython VM, and the air between them."""
