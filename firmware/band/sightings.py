# A ring of raw sightings between the radio's handler and the main loop.
#
# The handler runs on another task and may come between any two bytecodes of the main loop. So it
# only writes here and alone moves the head; the main loop alone moves the tail. A full ring
# drops, and counts it.

from array import array

from wire.compat import const

ID = 12
RING = 256
_ID = const(12)
_RING = const(256)


class Sightings:
    def __init__(self):
        self.id = bytearray(_RING * _ID)
        self.rssi = array("b", bytes(_RING))
        self.type = bytearray(_RING)
        self.at_s = array("i", bytes(4 * _RING))
        self.head = 0
        self.tail = 0
        self._dropped = 0

    def seen(self, adv_type, addr_type, rssi, adv_data, at, now_s):
        # Keeps nothing on the heap. at: where the ID starts in adv_data.
        head = self.head
        after = (head + 1) % _RING
        if after == self.tail:
            self._dropped += 1
            return
        base = head * _ID
        ring = self.id
        i = 0
        while i < _ID:
            ring[base + i] = adv_data[at + i]
            i += 1
        self.rssi[head] = rssi
        self.type[head] = (adv_type & 3) | (4 if addr_type else 0)
        self.at_s[head] = now_s
        self.head = after

    def take_dropped(self):
        # Since the last call.
        dropped = self._dropped
        self._dropped = 0
        return dropped
