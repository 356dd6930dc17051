# Format 1 of the band log: what a band writes it cannot read again.
#
# The secret of the next slot is all that is kept; sealing a new one takes an ESP32 tenths of a
# second, so it is done ahead in steps.

import os

import cryptolib

from wire import log as layout
from wire import sealing

from .hpke import Sealer

_ECB = 1


class Seal:
    format = layout.FORMAT_SEALED

    def __init__(self, serial, authority, receipt_key):
        # authority: number of its key (1 byte), then the public key (32).
        self.key_id = authority[0]
        self._public = authority[1:33]
        self._serial = serial
        self._log_key = sealing.log_key(receipt_key)
        self.secret = b""
        self._for = b""  # header and group head that the sealer is at work for
        self._next = b""
        self._sealer = None

    def prepare(self, header, group_head):
        # One step of sealing a secret for this place; True when it is done.
        place = bytes(header) + bytes(group_head)
        if self._for != place:
            self._for = place
            self._next = os.urandom(sealing.SECRET_BYTES)
            info = sealing.info(self._serial, header, group_head)
            self._sealer = Sealer(self._public, info, self._next, os.urandom(32))
        return self._sealer.step()  # pyright: ignore[reportOptionalMemberAccess]

    def take(self, header, group_head):
        # The sealed secret (80 bytes) of the group at this place, which counts from now on.
        while not self.prepare(header, group_head):
            pass
        sealed = self._sealer.sealed  # pyright: ignore[reportOptionalMemberAccess]
        self.secret = self._next
        self._for = self._next = b""
        self._sealer = None
        return sealed

    def slot(self, log_id, sector, slot, record):
        # 32 bytes of flash. The secret steps on whether or not they get there whole.
        secret = self.secret
        self.secret = sealing.next_secret(secret)
        cipher = cryptolib.aes(sealing.cipher_key(secret), _ECB)
        hidden = sealing.mix(record, cipher.encrypt(sealing.COUNTERS))
        key = sealing.tag_key(secret, self._log_key)
        return hidden + sealing.tag(key, log_id, sector, slot, hidden)

    def resume(self, secret):
        # After a reset that kept RTC memory.
        self.secret = secret


def for_band(store):
    # None for a band without keys: it writes no log.
    serial, authority = store.get_blob("serial"), store.get_blob("authority")
    receipt_key = store.get_blob("receipt_key")
    if not serial or not authority or not receipt_key:
        return None
    return Seal(serial.decode(), authority, receipt_key)
