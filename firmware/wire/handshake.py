"""Who may speak to a band on the cable, and how each later frame proves where it comes from.

HELLO is answered with the band's nonce; PROOF carries the host's nonce and its MAC; WELCOME the
band's. Then each message is followed by a counter (4 bytes, little-endian, from 1, growing) and 8
bytes of HMAC-SHA256 under the key of its direction. What does not fit is dropped: to a reader it
is as noise.
"""

import struct

from .compat import const
from .mac import hmac_sha256, same

NONCE_BYTES = const(16)
CHANNEL_BYTES = const(12)  # what a message grows by

_DOCK_KEY = b"zoneband dock key 1"
_PROOF = b"zoneband dock proof 1"
_SESSION = b"zoneband dock session 1"
HOST = b"host"
BAND = b"band"


def dock_key(group_key: bytes, serial: str) -> bytes:
    """A band's dock key (32 bytes) from its group's key."""
    return hmac_sha256(group_key, _DOCK_KEY + serial.encode())


def _with(key: bytes, label: bytes, role: bytes, serial: str, nonces: bytes) -> bytes:
    return hmac_sha256(key, label + role + serial.encode() + bytes(nonces))


def proof(key: bytes, role: bytes, serial: str, nonces: bytes) -> bytes:
    """What HOST or BAND shows (32 bytes); nonces: the band's 16 bytes, then the host's 16."""
    return _with(key, _PROOF, role, serial, nonces)


class Channel:
    """Both directions of one session, seen from one end."""

    def __init__(self, key: bytes, own: bytes, serial: str, nonces: bytes) -> None:
        """own: HOST or BAND, whose end this is."""
        other = BAND if own == HOST else HOST
        self._send_key = _with(key, _SESSION, own, serial, nonces)
        self._get_key = _with(key, _SESSION, other, serial, nonces)
        self._sent = 0
        self._got = 0
        self.refused = 0

    def seal(self, message: bytes) -> bytes:
        """A message with its counter and tag."""
        self._sent += 1
        body = bytes(message) + struct.pack("<I", self._sent)
        return body + hmac_sha256(self._send_key, body)[:8]

    def open(self, payload: bytes) -> bytes:
        """The message in a payload. Raises ValueError for one that the other end did not make, or
        that came before."""
        body = payload[:-8]
        if len(body) < 5 or not same(hmac_sha256(self._get_key, body)[:8], payload[-8:]):
            self.refused += 1
            raise ValueError("not of this session")
        count = struct.unpack("<I", body[-4:])[0]
        if count <= self._got:
            self.refused += 1
            raise ValueError("came before")
        self._got = count
        return body[:-4]
