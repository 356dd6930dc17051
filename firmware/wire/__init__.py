"""What a band and its hosts say to each other and what a band writes to flash.

One source for both sides: `firmware/wire` runs on MicroPython, and the host tool
imports the same files as `zoneband.wire`. Nothing here touches hardware, files or time.
"""
