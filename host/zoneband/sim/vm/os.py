"""`os` whose random bytes follow from the simulation's seed, so that a run can be repeated.

On an ESP32 they come from the hardware generator while the radio is on."""

import uhashlib
from uos import *  # noqa: F403
from uos import getenv

_state = uhashlib.sha256((getenv("ZB_SEED") or "0").encode()).digest()


def urandom(n):
    global _state
    out = b""
    while len(out) < n:
        _state = uhashlib.sha256(_state).digest()
        out += uhashlib.sha256(_state + b"out").digest()
    return out[:n]
