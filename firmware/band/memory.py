# What a wake hands to the next in the 2,048 bytes of RTC memory. They survive deep sleep and
# every reset but the loss of power and the EN pin, so a CRC tells whether they are ours.
#
# Layout: magic 4, size 2, clock 28, resets 2, clean 1, open encounters ..., CRC-32 4.

import binascii
import struct

_MAGIC = b"ZBM1"
_FIXED = "<4sHIIHIIHBHB"
_FIXED_BYTES = 30
LIMIT = 2048


def pack(clock, resets, clean, open_encounters):
    # clock: Clock.save(); open_encounters: bytes as Encounters.pack_open made them.
    boot_id, s, ms, seconds, off_s, off_ms, flags = clock
    body = struct.pack(
        _FIXED,
        _MAGIC,
        len(open_encounters),
        boot_id,
        s,
        ms,
        seconds & 0xFFFFFFFF,
        off_s & 0xFFFFFFFF,
        off_ms,
        flags,
        resets,
        clean,
    ) + bytes(open_encounters)
    return body + struct.pack("<I", binascii.crc32(body) & 0xFFFFFFFF)


def unpack(data):
    # (clock, resets, clean, open_encounters), or None after a loss of power.
    if len(data) < _FIXED_BYTES + 4 or bytes(data[:4]) != _MAGIC:
        return None
    fields = struct.unpack(_FIXED, data[:_FIXED_BYTES])
    end = _FIXED_BYTES + fields[1]
    if len(data) < end + 4:
        return None
    if struct.unpack("<I", data[end : end + 4])[0] != binascii.crc32(data[:end]) & 0xFFFFFFFF:
        return None
    return fields[2:9], fields[9], fields[10], bytes(data[_FIXED_BYTES:end])
