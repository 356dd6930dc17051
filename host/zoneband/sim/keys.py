"""Keys of virtual bands that were given none. Everybody knows them: nothing real may have them."""

from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from zoneband.dock.greeting import Hello
from zoneband.groups import GroupKey, GroupKeys
from zoneband.seal import PublicKey
from zoneband.wire import handshake

AUTHORITY_NUMBER = 1
PRIVATE_KEY = X25519PrivateKey.from_private_bytes(b"virtual bands only: no real key ")
AUTHORITY = PublicKey(AUTHORITY_NUMBER, PRIVATE_KEY.public_key().public_bytes_raw())
SIGNING = Ed25519PrivateKey.from_private_bytes(b"virtual bands only: updates' key")
SIGNER = SIGNING.public_key().public_bytes_raw()
GROUP, GENERATION = 1, 1
GROUP_KEY = b"virtual bands only: group's key "


def give(data: Path) -> None:
    """Let a station dock virtual bands."""
    GroupKeys(data).save([GroupKey(GROUP, "default", GENERATION, GROUP_KEY)])


def dock_key(band: Hello) -> bytes:
    """What a station of virtual bands knows (zoneband.dock.session.Keys)."""
    return handshake.dock_key(GROUP_KEY, band.serial)
