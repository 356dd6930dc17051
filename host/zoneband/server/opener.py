"""Opens the slots of a band log, one after the other.

What a band does to seal them stands in zoneband.wire.sealing. A key group proves nothing by itself:
anybody can seal a secret to the authority. Only a slot whose tag fits proves it, since tags mix in
the band's log key; so a group's chain is a claim until a slot behind it opens.
"""

import hashlib
import hmac
import struct
from collections.abc import Mapping, Sequence
from typing import NamedTuple, Protocol

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES128
from cryptography.hazmat.primitives.ciphers.modes import ECB
from cryptography.hazmat.primitives.hpke import AEAD, KDF, KEM, Suite

from zoneband.wire import log, sealing

_SUITE = Suite(KEM.X25519, KDF.HKDF_SHA256, AEAD.AES_128_GCM)
_ECB = ECB()
# HMAC-SHA256 (RFC 2104) of a 32-byte key in two plain hashes: half of what `hmac.digest` takes.
_sha256 = hashlib.sha256
_INNER, _INNER_REST = bytes(n ^ 0x36 for n in range(256)), b"\x36" * 32
_OUTER, _OUTER_REST = bytes(n ^ 0x5C for n in range(256)), b"\x5c" * 32
_GROUP_HEAD = 12


class Chain(Protocol):
    """What opens the slots behind one key group."""

    def open(self, at: int, slot: bytes) -> bytes | None:
        """The record (24 bytes) in slot number `at`, None when its tag does not fit."""
        ...

    def run(self, at: int, slots: Sequence[bytes]) -> list[bytes]:
        """The records in slots from number `at` on, up to the first whose tag does not fit; the
        chain stands there then."""
        ...

    def step(self, slots: int) -> None:
        """Go that many slots on."""
        ...


class Run(NamedTuple):
    """A key group that was opened before, with slots from number `at` on. secret: of the slot right
    behind the group; begin, end: of the first of the slots, and behind the last (32 bytes each).
    The slots and their records stand one behind the other."""

    at: int
    secret: bytes
    begin: bytes
    slots: bytes
    records: bytes
    end: bytes


class SealedChain:
    """Format 1: each slot has its own secret, the SHA-256 of the one before."""

    def __init__(
        self, secret: bytes, log_key: bytes, log_id: int, sector: int, known: Run | None = None
    ) -> None:
        """secret: of the slot right behind the group (32 bytes)."""
        self.secret = secret
        self._log_key = log_key
        self._place = struct.pack("<II", log_id, sector)
        self._known = known

    def open(self, at: int, slot: bytes) -> bytes | None:
        """The record (24 bytes) in slot number `at`, None when its tag does not fit."""
        hidden = slot[: log.RECORD_BYTES]
        tag = self._tag(self.secret, at, hidden)
        if not hmac.compare_digest(tag, slot[log.RECORD_BYTES :]):
            return None
        return sealing.mix(hidden, _stream(self.secret))

    def run(self, at: int, slots: Sequence[bytes]) -> list[bytes]:
        """The records in slots from number `at` on, up to the first whose tag does not fit; the
        chain stands there then."""
        found: list[bytes] = []
        known, self._known = self._known, None
        if known is not None and (known.at, known.begin) == (at, self.secret):
            count = len(known.slots) // log.SLOT_BYTES
            if b"".join(slots[:count]) == known.slots:
                found, self.secret = _split(known.records), known.end
        return found + self._run(at + len(found), slots[len(found) :])

    def _run(self, at: int, slots: Sequence[bytes]) -> list[bytes]:
        # As open() and step(), with the records unhidden all at once.
        size, secret = log.RECORD_BYTES, self.secret
        hidden: list[bytes] = []
        streams: list[bytes] = []
        for slot in slots:
            record = slot[:size]
            tag = self._tag(secret, at + len(hidden), record)
            if not hmac.compare_digest(tag, slot[size:]):
                break
            hidden.append(record)
            streams.append(_stream(secret)[:size])
            secret = sealing.next_secret(secret)
        self.secret = secret
        mixed = int.from_bytes(b"".join(hidden), "big") ^ int.from_bytes(b"".join(streams), "big")
        return _split(mixed.to_bytes(len(hidden) * size, "big"))

    def step(self, slots: int) -> None:
        """Go that many slots on."""
        for _ in range(slots):
            self.secret = sealing.next_secret(self.secret)

    def _tag(self, secret: bytes, at: int, hidden: bytes) -> bytes:
        key = sealing.tag_key(secret, self._log_key)
        message = self._place + at.to_bytes(2, "little") + hidden
        inner = _sha256(key.translate(_INNER) + _INNER_REST + message).digest()
        return _sha256(key.translate(_OUTER) + _OUTER_REST + inner).digest()[: log.TAG_BYTES]


def _stream(secret: bytes) -> bytes:
    # What hides a slot's record, and 8 bytes more.
    return Cipher(AES128(sealing.cipher_key(secret)), _ECB).encryptor().update(sealing.COUNTERS)


def _split(records: bytes) -> list[bytes]:
    size = log.RECORD_BYTES
    return [records[i : i + size] for i in range(0, len(records), size)]


class OpenChain:
    """Format 0: records in clear behind a CRC."""

    def __init__(self, log_id: int, sector: int) -> None:
        self._log_id = log_id
        self._sector = sector

    def open(self, at: int, slot: bytes) -> bytes | None:
        """The record (24 bytes) in slot number `at`, None when its tag does not fit."""
        record = slot[: log.RECORD_BYTES]
        tag = log.tag_open(self._log_id, self._sector, at, record)
        return record if tag == slot[log.RECORD_BYTES :] else None

    def run(self, at: int, slots: Sequence[bytes]) -> list[bytes]:
        """The records in slots from number `at` on, up to the first whose tag does not fit."""
        out: list[bytes] = []
        for slot in slots:
            record = self.open(at + len(out), slot)
            if record is None:
                break
            out.append(record)
        return out

    def step(self, slots: int) -> None:
        """Nothing changes from slot to slot."""


Known = Mapping[tuple[bytes, bytes], Run]
"""By header slot and key group."""


class Opener:
    """Opens the logs of one band."""

    def __init__(
        self,
        keys: Mapping[int, X25519PrivateKey],
        serial: str,
        receipt_key: bytes,
        known: Known | None = None,
    ) -> None:
        """keys: the authority's, by number; receipt_key: the band's (32 bytes); known: what was
        opened before by the same keys, for the same band."""
        self._keys = keys
        self._known = known or {}
        self._serial = serial
        self._log_key = sealing.log_key(receipt_key)

    def has(self, key_id: int) -> bool:
        """Whether the key of a number is here."""
        return key_id in self._keys

    def chain(self, header: bytes, group: bytes) -> Chain | None:
        """The chain behind a whole key group (96 bytes) of a sector with that header slot; None
        when the authority's key does not open the group."""
        head = log.unpack_header(header)
        found = log.unpack_group(group)
        if head is None or found is None:
            return None
        fmt, key_id, log_id, sector = head[:4]
        if fmt == log.FORMAT_OPEN:
            return OpenChain(log_id, sector)
        if fmt != log.FORMAT_SEALED or key_id not in self._keys:
            return None
        known = self._known.get((header, group))
        if known is not None:
            return SealedChain(known.secret, self._log_key, log_id, sector, known)
        info = sealing.info(self._serial, header, group[:_GROUP_HEAD])
        try:
            secret = _SUITE.decrypt(found[2], self._keys[key_id], info=info)
        except (InvalidTag, ValueError):
            return None
        if len(secret) != sealing.SECRET_BYTES:
            return None
        return SealedChain(secret, self._log_key, log_id, sector)
