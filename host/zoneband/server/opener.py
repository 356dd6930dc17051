"""Opens the slots of a band log, one after the other.

What a band does to seal them stands in zoneband.wire.sealing. A key group proves nothing by itself:
anybody can seal a secret to the authority. Only a slot whose tag fits proves it, since tags mix in
the band's log key; so a group's chain is a claim until a slot behind it opens.
"""

import hashlib
import hmac
import struct
from collections.abc import Mapping, Sequence
from typing import Protocol

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


class SealedChain:
    """Format 1: each slot has its own secret, the SHA-256 of the one before."""

    def __init__(self, secret: bytes, log_key: bytes, log_id: int, sector: int) -> None:
        """secret: of the slot right behind the group (32 bytes)."""
        self._secret = secret
        self._log_key = log_key
        self._place = struct.pack("<II", log_id, sector)

    def open(self, at: int, slot: bytes) -> bytes | None:
        """The record (24 bytes) in slot number `at`, None when its tag does not fit."""
        hidden = slot[: log.RECORD_BYTES]
        key = sealing.tag_key(self._secret, self._log_key)
        message = self._place + at.to_bytes(2, "little") + hidden
        inner = _sha256(key.translate(_INNER) + _INNER_REST + message).digest()
        tag = _sha256(key.translate(_OUTER) + _OUTER_REST + inner).digest()
        if not hmac.compare_digest(tag[: log.TAG_BYTES], slot[log.RECORD_BYTES :]):
            return None
        cipher = Cipher(AES128(sealing.cipher_key(self._secret)), _ECB).encryptor()
        return sealing.mix(hidden, cipher.update(sealing.COUNTERS))

    def run(self, at: int, slots: Sequence[bytes]) -> list[bytes]:
        """The records in slots from number `at` on, up to the first whose tag does not fit; the
        chain stands there then."""
        # As open() and step(), for whole sectors: with the records unhidden all at once.
        size, log_key, place, secret = log.RECORD_BYTES, self._log_key, self._place, self._secret
        hidden: list[bytes] = []
        streams: list[bytes] = []
        for slot in slots:
            record = slot[:size]
            number = (at + len(hidden)).to_bytes(2, "little")
            key = sealing.tag_key(secret, log_key)
            tag = hmac.digest(key, place + number + record, "sha256")
            if not hmac.compare_digest(tag[: log.TAG_BYTES], slot[size:]):
                break
            cipher = Cipher(AES128(sealing.cipher_key(secret)), _ECB).encryptor()
            hidden.append(record)
            streams.append(cipher.update(sealing.COUNTERS)[:size])
            secret = sealing.next_secret(secret)
        self._secret = secret
        mixed = int.from_bytes(b"".join(hidden), "big") ^ int.from_bytes(b"".join(streams), "big")
        records = mixed.to_bytes(len(hidden) * size, "big")
        return [records[i : i + size] for i in range(0, len(records), size)]

    def step(self, slots: int) -> None:
        """Go that many slots on."""
        for _ in range(slots):
            self._secret = sealing.next_secret(self._secret)


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


class Opener:
    """Opens the logs of one band."""

    def __init__(
        self, keys: Mapping[int, X25519PrivateKey], serial: str, receipt_key: bytes
    ) -> None:
        """keys: the authority's, by number; receipt_key: the band's (32 bytes)."""
        self._keys = keys
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
        info = sealing.info(self._serial, header, group[:_GROUP_HEAD])
        try:
            secret = _SUITE.decrypt(found[2], self._keys[key_id], info=info)
        except (InvalidTag, ValueError):
            return None
        if len(secret) != sealing.SECRET_BYTES:
            return None
        return SealedChain(secret, self._log_key, log_id, sector)
