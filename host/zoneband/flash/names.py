"""One file that holds every name of the application's modules, for a band to learn at its start.

MicroPython keeps each name (qstr) once, in a table that is one piece of the heap and grows by
doubling: from 640 to 1,280 names it asks for about 9 KB in one piece on an ESP32. A band that
learns all names while its heap is whole (firmware/band/modules.py) needs no such piece later, and
what it loads for a moment leaves no names all over its heap. Of compiled files this reads version
6: docs.micropython.org/en/latest/reference/mpyfiles.html.
"""

import zlib
from collections.abc import Iterable

FILE = "band/names.z"
# A band unpacks it with a window of as many bytes, as a power of two.
_WINDOW_BITS = 10
_HEAD = 4  # "M", version, features, bits of a small int


def pack(files: dict[str, bytes]) -> bytes:
    """The file for these compiled ones (path -> contents): a name a line, as zlib packs them."""
    # `import` makes a name of "band.app" too.
    modules = [name.removesuffix(".mpy").replace("/", ".").encode() for name in files]
    names = {name for data in files.values() for name in table(data)}.union(modules)
    packer = zlib.compressobj(9, zlib.DEFLATED, _WINDOW_BITS)
    lines = b"".join(name + b"\n" for name in sorted(names) if name and b"\n" not in name)
    return packer.compress(lines) + packer.flush()


def table(compiled: bytes) -> Iterable[bytes]:
    """A compiled file's names, but for those that MicroPython has built in: they stand in it by
    number."""
    count, at = _varint(compiled, _HEAD)
    _objects, at = _varint(compiled, at)
    for _n in range(count):
        size, at = _varint(compiled, at)
        if not size & 1:
            yield compiled[at : at + (size >> 1)]
            at += (size >> 1) + 1  # and a NUL


def _varint(data: bytes, at: int) -> tuple[int, int]:
    # 7 bits a byte, the highest first.
    value = 0
    while True:
        value = value << 7 | data[at] & 0x7F
        at += 1
        if not data[at - 1] & 0x80:
            return value, at
