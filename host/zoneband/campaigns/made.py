"""Sealed band logs made on the host, for trials that need many and no virtual band."""

import hashlib
import os
from dataclasses import dataclass, field

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PublicKey
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES128
from cryptography.hazmat.primitives.ciphers.modes import ECB
from cryptography.hazmat.primitives.hpke import AEAD, KDF, KEM, Suite

from zoneband import batch as batches
from zoneband.batch import BatchHeader
from zoneband.seal import PublicKey
from zoneband.wire import log, records, sealing

_SUITE = Suite(KEM.X25519, KDF.HKDF_SHA256, AEAD.AES_128_GCM)
_SECTORS_PER_BATCH = 2  # a station makes larger ones; here there shall be many
BOOT_ID = 5
Met = tuple[bytes, int, int, int, int, int]
"""An encounter: rotating ID, start (UTC s), duration (s), sightings, mean and strongest RSSI
(dBm)."""


@dataclass
class MadeLog:
    """One band's log since it began. boot_s: UTC of run time 0; met: what the band acknowledged,
    by cursor."""

    serial: str
    receipt_key: bytes
    authority: PublicKey
    boot_s: int
    log_id: int
    slots: bytearray = field(default_factory=bytearray)
    met: dict[int, Met] = field(default_factory=dict[int, Met])
    _secret: bytes = b""

    @property
    def head(self) -> int:
        """Cursor behind the last slot."""
        return len(self.slots) // log.SLOT_BYTES

    def add(self, met: Met) -> None:
        """One encounter more."""
        if self.head % log.SLOTS == 0:
            self._begin()
        sector, slot = divmod(self.head, log.SLOTS)
        rid, start_s, duration_s, sightings, mean, top = met
        record = records.encounter(
            rid, start_s - self.boot_s, duration_s, sightings, mean, top, 0, 2
        )
        cipher = Cipher(AES128(sealing.cipher_key(self._secret)), ECB()).encryptor()
        hidden = sealing.mix(record, cipher.update(sealing.COUNTERS))
        tag_key = sealing.tag_key(self._secret, sealing.log_key(self.receipt_key))
        self.met[self.head] = met
        self.slots += hidden + sealing.tag(tag_key, self.log_id, sector, slot, hidden)
        self._secret = sealing.next_secret(self._secret)

    def _begin(self) -> None:
        number = self.authority.number
        sector = self.head // log.SLOTS
        header = log.pack_header(log.FORMAT_SEALED, number, self.log_id, sector)
        head = log.group_head(BOOT_ID, 0)
        self._secret = os.urandom(sealing.SECRET_BYTES)
        to = X25519PublicKey.from_public_bytes(self.authority.key)
        info = sealing.info(self.serial, header, head)
        self.slots += header + log.pack_group(head, _SUITE.encrypt(self._secret, to, info=info))


@dataclass(frozen=True)
class Docked:
    """A log as a dock finds it."""

    serial: str
    log_id: int
    boot_s: int
    receipted: int
    slots: bytes

    def batches(self, station: str, first: int) -> list[bytes]:
        """The log from a cursor on, as a station keeps it."""
        head = len(self.slots) // log.SLOT_BYTES
        out: list[bytes] = []
        while first < head:
            end = min(head, (first // log.SLOTS + _SECTORS_PER_BATCH) * log.SLOTS)
            run_s = 12 * 3600
            header = BatchHeader(
                self.serial, "virtual", "0.1.0", station, self.log_id, self.receipted, first, end,
                BOOT_ID, run_s, 0, self.boot_s + run_s, 0, 5, True, records.ISSUED, 3900,
            )  # fmt: skip
            out.append(batches.pack(header, self._chunks(first, end)))
            first = end
        return out

    def _chunks(self, first: int, end: int) -> list[tuple[int, bytes]]:
        size = log.SLOT_BYTES
        start = first // log.SLOTS * log.SLOTS
        chunks = [(first, self.slots[first * size : end * size])]
        if first > start:
            # A pull inside a sector resends its header and key group.
            ahead = self.slots[start * size : (start + log.FIRST_RECORD) * size]
            chunks.insert(0, (start, ahead))
        return chunks

    def digest(self, first: int, upto: int) -> bytes:
        """SHA-256 of the slots of a receipt."""
        return hashlib.sha256(self.slots[first * log.SLOT_BYTES : upto * log.SLOT_BYTES]).digest()
