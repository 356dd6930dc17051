"""The manifest of an update: what its application file is, and which bands may take it.

    magic "ZBMF", format u8, number of the signing key u8, version 3 bytes, version that it may be
    a step back from 3 bytes (zeros: none), version of its compiled files u8, size of the
    application file u32, its SHA-256 (32 bytes), number of boards u8 (0: all), then each board's
    name behind its length u8

Numbers are little-endian, boards in ascending order, so that a manifest has one form only. It is
signed by the authority: Ed25519 over LABEL and the manifest, 64 bytes that follow it.

The application file (firmware/loader.py reads it) holds all modules of a version in one: a file of
littlefs takes at least 4 KiB, and one by one two versions are more than a band's file system holds.
"""

import struct

from .compat import const

MANIFEST_MAX = const(512)
SIGNATURE_BYTES = const(64)
APP_MAX = const(192 * 1024)
BOARDS_MAX = const(15)
BOARD_NAME_MAX = const(12)
LABEL = b"zoneband update 1"

_MAGIC = b"ZBMF"
_FORMAT = const(1)
_HEAD = "<4sBB3s3sBI32sB"
_HEAD_BYTES = const(50)
_NAME_BYTES = b"abcdefghijklmnopqrstuvwxyz0123456789-"


def number(version: "tuple[int, int, int]") -> int:
    """A version as one number, as in boot marks and NVS."""
    return version[0] << 16 | version[1] << 8 | version[2]


def _check(version: bytes, app_bytes: int, boards: "list[bytes]") -> None:
    if version == bytes(3):
        raise ValueError("no version")
    if not 0 < app_bytes <= APP_MAX:
        raise ValueError("size")
    if len(boards) > BOARDS_MAX:
        raise ValueError("too many boards")
    before = b""
    for name in boards:
        if not 0 < len(name) <= BOARD_NAME_MAX or name <= before:
            raise ValueError("boards")
        for letter in name:
            if letter not in _NAME_BYTES:
                raise ValueError("boards")
        before = name


def pack(
    signer: int,
    version: "tuple[int, int, int]",
    from_version: "tuple[int, int, int]",
    mpy: int,
    app_bytes: int,
    app_sha256: bytes,
    boards: "tuple[str, ...]",
) -> bytes:
    """A manifest. Raises ValueError for what it cannot say."""
    names = [name.encode() for name in boards]
    _check(bytes(version), app_bytes, names)
    if not 0 <= signer < 256 or not 0 <= mpy < 256 or len(app_sha256) != 32:
        raise ValueError("signer, compiled files or SHA-256")
    data = struct.pack(
        _HEAD,
        _MAGIC,
        _FORMAT,
        signer,
        bytes(version),
        bytes(from_version),
        mpy,
        app_bytes,
        app_sha256,
        len(names),
    )
    for name in names:
        data += bytes((len(name),)) + name
    return data


def unpack(
    data: bytes,
) -> "tuple[int, tuple[int, int, int], tuple[int, int, int], int, int, bytes, tuple[str, ...]]":
    """The arguments of `pack`. Raises ValueError for anything that `pack` does not make."""
    size = len(data)
    if not _HEAD_BYTES <= size <= MANIFEST_MAX:
        raise ValueError("no manifest")
    magic, fmt, signer, version, was, mpy, app_bytes, digest, count = struct.unpack(
        _HEAD, data[:_HEAD_BYTES]
    )
    if magic != _MAGIC or fmt != _FORMAT:
        raise ValueError("no manifest")
    names: "list[bytes]" = []
    at = _HEAD_BYTES
    for _ in range(count):
        end = at + 1 + data[at] if at < size else size + 1
        if end > size:
            raise ValueError("cut off")
        names.append(bytes(data[at + 1 : end]))
        at = end
    if at != size:
        raise ValueError("too long")
    _check(version, app_bytes, names)
    return (
        signer,
        (version[0], version[1], version[2]),
        (was[0], was[1], was[2]),
        mpy,
        app_bytes,
        digest,
        tuple([name.decode() for name in names]),
    )
