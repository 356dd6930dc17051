# Hashing a file piece by piece; loaded when flashing looks or an update comes.

import hashlib

from wire.compat import const

_PIECE = const(512)


def sha256(path, feed=None):
    # Raises OSError. feed: called now and then, as for a watchdog.
    digest = hashlib.sha256()
    buf = bytearray(_PIECE)
    view = memoryview(buf)
    with open(path, "rb") as f:
        while True:
            n = f.readinto(buf)
            if not n:
                return digest.digest()
            digest.update(view[:n])
            if feed:
                feed()
