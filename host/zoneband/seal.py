"""Records that only the authority can read: HPKE to its public key.

RFC 9180 base mode: X25519, HKDF-SHA256, AES-128-GCM. A sealed record is

    8 bytes magic, u8 format (1), u8 kind, u8 key id, then 32 bytes of encapsulated key and the
    ciphertext with its 16 bytes of tag

and its `info` is the kind's own label with these first 11 bytes, so that no record passes for one
of another kind or key. The plaintext is JSON.
"""

import json
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.hpke import AEAD, KDF, KEM, Suite

MAX_BYTES = 16 * 1024
_MAGIC = b"ZBSEALED"
_FORMAT = 1
_HEAD = len(_MAGIC) + 3
_SUITE = Suite(KEM.X25519, KDF.HKDF_SHA256, AEAD.AES_128_GCM)


class Kind(IntEnum):
    """What a record is."""

    ENROLMENT = 1
    PERSON = 2
    EVENT = 3


_LABELS = {
    Kind.ENROLMENT: b"zoneband enrolment 1",
    Kind.PERSON: b"zoneband person 1",
    Kind.EVENT: b"zoneband event 1",
}


@dataclass(frozen=True)
class PublicKey:
    """The authority's public keys of one number (1 to 255): X25519 to seal to, and Ed25519 that
    signs updates, b"" when there is none."""

    number: int
    key: bytes
    signing: bytes = b""


def seal(public: PublicKey, kind: Kind, facts: dict[str, Any]) -> bytes:
    """Seal facts (JSON) to a key."""
    text = json.dumps(facts, ensure_ascii=False, sort_keys=True, separators=(",", ":")).encode()
    head = _MAGIC + bytes((_FORMAT, kind, public.number))
    key = X25519PublicKey.from_public_bytes(public.key)
    return head + _SUITE.encrypt(text, key, info=_LABELS[kind] + head)


def read_head(data: bytes) -> tuple[Kind, int]:
    """(kind, key id) of a sealed record. Raises ValueError when it is none."""
    if not _HEAD + 48 <= len(data) <= MAX_BYTES or data[:8] != _MAGIC or data[8] != _FORMAT:
        raise ValueError("not a sealed record")
    return Kind(data[9]), data[10]


def unseal(private: X25519PrivateKey, data: bytes) -> dict[str, Any]:
    """The facts in a sealed record. Raises ValueError for another key, or one altered byte."""
    kind, _ = read_head(data)
    try:
        text = _SUITE.decrypt(data[_HEAD:], private, info=_LABELS[kind] + data[:_HEAD])
    except (InvalidTag, ValueError) as error:
        raise ValueError("sealed to another key, or altered") from error
    facts = json.loads(text)
    if not isinstance(facts, dict):
        raise ValueError("not a record")
    return facts
