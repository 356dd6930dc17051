"""`os` whose random bytes follow from the simulation's seed, so that a run can be repeated.

On an ESP32 they come from the hardware generator while the radio is on. While it is off anybody can
foretell them: here they are the same at every start. `cold_draws` counts these."""

import uhashlib
from uos import *  # noqa: F403
from uos import getenv

_seeded = uhashlib.sha256((getenv("STAND_IN_SEED") or "0").encode()).digest()
_cold = bytes(32)
_radio = False
cold_draws = 0


def radio_is(on):
    global _radio
    _radio = on


def urandom(n):
    global _seeded, _cold, cold_draws
    state = _seeded if _radio else _cold
    out = b""
    while len(out) < n:
        state = uhashlib.sha256(state).digest()
        out += uhashlib.sha256(state + b"out").digest()
    if _radio:
        _seeded = state
    else:
        _cold = state
        cold_draws += 1
    return out[:n]
