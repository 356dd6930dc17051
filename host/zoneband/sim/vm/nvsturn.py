"""What NVS pages seldom do: begin the other half, or forget a key. Loaded when it is asked for."""

import struct

from nvs import BLOCK, ENTRY_BYTES, ERASED, HEAD, MAGIC


def begin(pages, half):
    """Copy what is live into a half; its head is programmed last."""
    for block in range(pages.blocks):
        pages.flash.ioctl(6, half * pages.blocks + block)
    pages.half = half
    pages.at = HEAD
    pages.torn = False
    for key in pages.values:
        pages.append(key[0], key[1], pages.values[key])
    pages.uses += 1
    pages.flash.writeblocks(half * pages.blocks, struct.pack("<II", MAGIC, pages.uses), 0)


def erase(pages, name, kind):
    """Forget a key; its value stays readable in its half."""
    if pages.values.pop((name, kind), None) is None:
        return
    if pages.torn or pages.at + ENTRY_BYTES > pages.blocks * BLOCK:
        begin(pages, 1 - pages.half)
    else:
        pages.append(name, kind | ERASED, b"")
