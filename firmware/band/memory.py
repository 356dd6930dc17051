# What a wake hands to the next in the 2,048 bytes of RTC memory. They survive deep sleep and
# every reset but the loss of power and the EN pin, so a CRC tells whether they are ours.
#
# Layout: magic 4, size 2, clock 28, resets 2, clean 1, cursor of the log's next slot 4 and its
# secret 32 (zeros: none), open encounters ..., CRC-32 4.

import binascii
import struct

_MAGIC = b"ZBM2"
_FIXED = "<4sHIIHIIHBHBI32s"
_FIXED_BYTES = 66
_NO_SECRET = bytes(32)
LIMIT = 2048


def pack(clock, resets, clean, kept, open_encounters):
    # clock: Clock.save(); kept: BandLog.keep(); open_encounters: bytes as Encounters.pack_open made
    # them.
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
        kept[0],
        kept[1],
    ) + bytes(open_encounters)
    return body + struct.pack("<I", binascii.crc32(body) & 0xFFFFFFFF)


def unpack(data):
    # (clock, resets, clean, kept, open_encounters), or None after a loss of power.
    if len(data) < _FIXED_BYTES + 4 or bytes(data[:4]) != _MAGIC:
        return None
    fields = struct.unpack(_FIXED, data[:_FIXED_BYTES])
    end = _FIXED_BYTES + fields[1]
    if len(data) < end + 4:
        return None
    if struct.unpack("<I", data[end : end + 4])[0] != binascii.crc32(data[:end]) & 0xFFFFFFFF:
        return None
    secret = b"" if fields[12] == _NO_SECRET else fields[12]
    kept = fields[11], secret
    return fields[2:9], fields[9], fields[10], kept, bytes(data[_FIXED_BYTES:end])
