"""Sealed band logs written on the host: a second writer, from the description alone.

Nothing here comes from zoneband.wire.sealing, nor from the firmware: what these two derive in
their own ways must be the same.
"""

import hashlib
import hmac
import os
import struct
import zlib
from typing import Any

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import CTR
from cryptography.hazmat.primitives.hpke import AEAD, KDF, KEM, Suite

from bandbook import NOON, id_of, key
from zoneband import batch as batches
from zoneband.batch import BatchHeader
from zoneband.wire import records

AUTHORITY = X25519PrivateKey.from_private_bytes(bytes(range(32)))
NUMBER = 1  # of the authority's key
LOG_ID = 0xC0FFEE
_HPKE = Suite(KEM.X25519, KDF.HKDF_SHA256, AEAD.AES_128_GCM)


def _crc(data: bytes) -> bytes:
    return struct.pack("<I", zlib.crc32(data))


class SealedBook:
    """The flash of one band: its slots by cursor, all since the log began."""

    def __init__(
        self,
        serial: str,
        *,
        receipt_key: bytes | None = None,
        log_id: int = LOG_ID,
        number: int = NUMBER,
        public: X25519PublicKey | None = None,
        boot_s: int = NOON - 3600,
        fmt: int = 1,
    ) -> None:
        """receipt_key: the band's own unless given; boot_s: UTC of run time 0."""
        self.serial = serial
        self.log_id = log_id
        self.boot_s = boot_s
        self.boot_id = 5
        self.slots: list[bytes] = []
        self.records: dict[int, bytes] = {}  # what the band has written, by cursor
        self._number = number
        self._fmt = fmt
        self._public = public or AUTHORITY.public_key()
        mine = receipt_key or key(serial + "r")
        self._log_key = hmac.new(mine, b"zoneband log key 1", "sha256").digest()
        self._secret = b""
        self.base_s = 0

    @property
    def head(self) -> int:
        return len(self.slots)

    # --- writing ----------------------------------------------------------------------------

    def header(self, sector: int) -> bytes:
        lived = 50 * sector  # quarter hours of run time
        body = b"ZBLG" + struct.pack("<BBHI", self._fmt, self._number, 0, self.log_id)
        body += struct.pack("<II", sector, lived) + bytes(8)
        return body + _crc(body)

    def group(self) -> None:
        """A key group at the head."""
        sector = self.head // 128
        head = b"ZBKG" + struct.pack("<II", self.boot_id, self.base_s)
        self._secret = os.urandom(32)
        info = b"zoneband log 1" + self.serial.encode() + self.header(sector) + head
        body = head + _HPKE.encrypt(self._secret, self._public, info=info)
        body += _crc(body)
        self.slots += [body[:32], body[32:64], body[64:]]

    def _begin(self) -> None:
        self.slots.append(self.header(self.head // 128))
        self.group()

    def append(self, record: bytes, torn: int | None = None) -> int:
        """A record at the head; its cursor. torn: bytes of it that reached the flash."""
        if self.head % 128 == 0:
            self._begin()
        cursor = self.head
        sector, slot = divmod(cursor, 128)
        secret = self._secret
        cipher_key = hashlib.sha256(b"zoneband slot cipher 1" + secret).digest()[:16]
        hidden = Cipher(AES(cipher_key), CTR(bytes(16))).encryptor().update(record)
        tag_key = hashlib.sha256(b"zoneband slot tag 1" + secret + self._log_key).digest()
        message = struct.pack("<IIH", self.log_id, sector, slot) + hidden
        whole = hidden + hmac.new(tag_key, message, "sha256").digest()[:8]
        self._secret = hashlib.sha256(secret).digest()
        if torn is not None:
            whole = whole[:torn] + b"\xff" * (32 - torn)
        else:
            self.records[cursor] = record
        # One first byte in 256 is 0xFF: where no more came, the band finds the slot free.
        if whole != b"\xff" * 32:
            self.slots.append(whole)
        return cursor

    def lose_power(self, group_bytes: int | None = None) -> None:
        """Run time begins anew; the next group is of another boot. group_bytes: as far as a first
        try at that group got."""
        self.boot_id += 1
        if group_bytes is not None:
            before = self.head
            self.group()
            torn = b"".join(self.slots[before:])[:group_bytes]
            del self.slots[before:]
            torn += b"\xff" * (-len(torn) % 32)
            self.slots += [torn[i : i + 32] for i in range(0, len(torn), 32)]
        if self.head % 128 > 124:
            self.slots += [b"\xff" * 32] * (-self.head % 128)
        elif self.head % 128:
            self.group()

    def met(self, other: str, utc_s: int, minutes: int = 5, rssi: int = -66) -> None:
        """Encounters of five minutes each."""
        for start in range(utc_s, utc_s + minutes * 60, 300):
            at = start - self.boot_s - self.base_s
            rid = id_of(other, start)
            self.append(records.encounter(rid, at, 298, 70, rssi, rssi + 8, 0xFFF, 6))

    def fill(self, count: int, other: str = "ZB-BBBB-0050", utc_s: int = NOON) -> None:
        """Encounters, ten seconds apart."""
        for n in range(count):
            at = utc_s + n * 10 - self.boot_s
            rid = id_of(other, utc_s + n * 10)
            self.append(records.encounter(rid, at, 9, 3, -60, -55, 0xFFF, 6))

    # --- pulls ------------------------------------------------------------------------------

    def preamble(self, first: int) -> list[tuple[int, bytes]]:
        """Header and key groups before a cursor inside a sector."""
        start = first // 128 * 128
        if first == start:
            return []
        out = [(start, self.slots[start])]
        for at in range(start + 1, first - 2):
            if self.slots[at][:4] == b"ZBKG":
                out.append((at, b"".join(self.slots[at : at + 3])))
        return out

    def pull(self, first: int = 0, end: int | None = None) -> list[tuple[int, bytes]]:
        """Chunks as a station gets them."""
        end = self.head if end is None else end
        out = self.preamble(first)
        while first < end:
            n = min(30, end - first, 128 - first % 128)
            out.append((first, b"".join(self.slots[first : first + n])))
            first += n
        return out

    def batch(
        self, first: int = 0, end: int | None = None, chunks: Any = None, **changes: Any
    ) -> bytes:
        """A batch as a station makes it. chunks: instead of those of the pull."""
        end = self.head if end is None else end
        run_s = NOON + 6 * 3600 - self.boot_s
        values: dict[str, Any] = dict(
            serial=self.serial, board="virtual", firmware="0.1.0", station="st",
            log_id=self.log_id, receipted=first, first=first, end=end, boot_id=self.boot_id,
            run_s=run_s, run_ms=0, utc_s=self.boot_s + run_s, utc_ms=0, error_ms=3,
            vouched=True, state=records.ISSUED, battery_mv=3900,
        )  # fmt: skip
        chunks = self.pull(first, end) if chunks is None else chunks
        return batches.pack(BatchHeader(**(values | changes)), chunks)
