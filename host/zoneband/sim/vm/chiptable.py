"""The partition table of a flashed chip's file; loaded only where there is one."""

import struct

_TABLE = 0x8000


def entries(path):
    """(type, subtype, offset, size, label) of each partition."""
    found = []
    with open(path, "rb") as f:
        f.seek(_TABLE)
        while True:
            magic, kind, subtype, at, size, label = struct.unpack("<2sBBLL16s", f.read(28))
            f.read(4)
            if magic != b"\xaaP":
                return found
            found.append((kind, subtype, at, size, label.rstrip(b"\x00").decode()))
