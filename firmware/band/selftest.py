# The band's test of itself: a bit for each part that failed, 0 when all is well.

from wire import bluezone, receipt
from wire.compat import const

IDS = const(1)
HMAC = const(2)
LOG = const(4)
RADIO = const(8)
KEYS = const(16)

# From the vectors made with the Android release's generator: base key 00 01 .. 1F, slots 0, 1
# and 95 of day 0.
_KEY = bytes(range(32))
_SLOTS = (
    (0, "130CEA6472130C185D8643DF"),
    (1, "893DAE342437130CE5E23837"),
    (95, "0AE9AB99C50104E835045ABF"),
)
# RFC 4231, case 2.
_HMAC = "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"


def ids_right():
    ids = bluezone.day_ids(_KEY)
    for slot, text in _SLOTS:
        if ids[slot] != bytes.fromhex(text):
            return False
    return True


def run(band):
    failed = 0
    if not ids_right():
        failed |= IDS
    if receipt.hmac_sha256(b"Jefe", b"what do ya want for nothing?") != bytes.fromhex(_HMAC):
        failed |= HMAC
    if band.log.fault:
        failed |= LOG
    if not band.radio.works():
        failed |= RADIO
    if not band.provisioned:
        failed |= KEYS
    return failed
