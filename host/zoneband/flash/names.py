"""One compiled file that holds every name of the modules that a band loads after its start.

MicroPython keeps each name (qstr) once, in a table that is one piece of the heap and grows by
doubling: from 640 to 1,280 names it asks a worn heap for about 9 KB in one piece on an ESP32. A
band loads `names.mpy` while its heap is whole, and no module that it loads later, at a dock say,
makes the table grow or leaves a new name behind. Format: docs.micropython.org/en/latest/reference/
mpyfiles.html, of version 6.
"""

import ast
from collections.abc import Iterable, Mapping
from pathlib import Path

FILE = "band/names.mpy"
_FIRST = "band/run.py"

_HEAD = 4  # "M", version, features, bits of a small int


def fill(files: Mapping[str, bytes], folder: Path) -> dict[str, bytes]:
    """The application's compiled files (path -> contents), names.mpy with its names; folder: of
    their sources."""
    first = {name.replace(".py", ".mpy") for name in loaded_at_start(folder)}
    later = [name for name in files if name not in first]
    # `import` makes a name of "band.app" too.
    modules = [name.removesuffix(".mpy").replace("/", ".").encode() for name in later]
    names = every(files[name] for name in later) + modules
    known = every(files[name] for name in first)
    return {**files, FILE: add(files[FILE], (name for name in names if name not in known))}


def loaded_at_start(folder: Path) -> set[str]:
    """Sources that band/run.py imports, and what these import, outside of any function."""
    found: set[str] = set()
    waiting = [_FIRST]
    while waiting:
        name = waiting.pop()
        if name in found or not (folder / name).is_file():
            continue
        found.add(name)
        package = name.partition("/")[0]
        for node in ast.parse((folder / name).read_text(encoding="utf-8")).body:
            if isinstance(node, ast.ImportFrom):
                module = f"{package}.{node.module or ''}" if node.level else node.module or ""
                path = module.strip(".").replace(".", "/")
                waiting.append(f"{path}.py")
                waiting += [f"{path}/{each.name}.py" for each in node.names]
    return found


def table(compiled: bytes) -> tuple[list[bytes], int, int]:
    """A compiled file's own names, and where its table of them begins and ends. Names that
    MicroPython has built in are in it by number, and left out here."""
    count, at = _varint(compiled, _HEAD)
    _objects, at = _varint(compiled, at)
    begin = at
    found: list[bytes] = []
    for _n in range(count):
        size, at = _varint(compiled, at)
        if not size & 1:
            found.append(compiled[at : at + (size >> 1)])
            at += (size >> 1) + 1  # and a NUL
    return found, begin, at


def every(compiled: Iterable[bytes]) -> list[bytes]:
    """The names of all files, each once, sorted."""
    return sorted({name for data in compiled for name in table(data)[0]})


def add(compiled: bytes, names: Iterable[bytes]) -> bytes:
    """That file with more names in its table. What it does stays the same."""
    own, begin, end = table(compiled)
    more = [name for name in names if name not in own]
    count, at = _varint(compiled, _HEAD)
    entries = b"".join(_size(len(name) << 1) + name + b"\0" for name in more)
    return (
        compiled[:_HEAD]
        + _size(count + len(more))
        + compiled[at:begin]
        + compiled[begin:end]
        + entries
        + compiled[end:]
    )


def _varint(data: bytes, at: int) -> tuple[int, int]:
    # 7 bits a byte, the highest first.
    value = 0
    while True:
        value = value << 7 | data[at] & 0x7F
        at += 1
        if not data[at - 1] & 0x80:
            return value, at


def _size(value: int) -> bytes:
    found = [value & 0x7F]
    while value := value >> 7:
        found.insert(0, value & 0x7F | 0x80)
    return bytes(found)
