"""The health authority's key pairs: public halves everywhere, private ones under a passphrase.

A key pair is authority/key-N.public.json and authority/key-N.private.json in the data directory;
N is 1 to 255, and the highest is the one to seal to. The private file is the 32-byte X25519 key
under AES-256-GCM with a key that Argon2id (RFC 9106, second recommended choice) makes of the
passphrase: PKCS#8 as `cryptography` writes it would stretch it only 2,048 times.
"""

import json
import os
import re
from pathlib import Path
from typing import Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id

from zoneband import durable
from zoneband.errors import ExitCode, UserError
from zoneband.i18n import _
from zoneband.seal import PublicKey

# RFC 9106, section 4, second choice: 3 passes, 4 lanes, 64 MiB.
_PASSES, _LANES, _KIB = 3, 4, 65536
SHORTEST_PASSPHRASE = 12


def directory(data: Path) -> Path:
    """Where the keys are, made when missing, for this user alone."""
    path = data / "authority"
    path.mkdir(parents=True, exist_ok=True)
    path.chmod(0o700)
    return path


def public_keys(data: Path) -> list[PublicKey]:
    """All public keys that are known here, by number. Raises UserError on a damaged file."""
    found: list[PublicKey] = []
    for path in sorted((data / "authority").glob("key-*.public.json")):
        found.append(read_public(path))
    return sorted(found, key=lambda key: key.number)


def current(data: Path) -> PublicKey:
    """The key to seal to. Raises UserError when there is none."""
    keys = public_keys(data)
    if not keys:
        raise UserError(
            _(
                "The authority's public key is missing: no band can be made or handed out. "
                "Register this station (zoneband station init), or run zoneband authority trust "
                "FILE; the authority itself begins with zoneband authority init."
            ),
            ExitCode.USAGE,
        )
    return keys[-1]


def read_public(path: Path) -> PublicKey:
    """A public key from its file. Raises UserError."""
    try:
        return public_of(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError) as error:
        raise UserError(
            _("{path} is no public key of the authority.").format(path=path), ExitCode.USAGE
        ) from error


def public_of(facts: Any) -> PublicKey:
    """A public key from its JSON. Raises ValueError."""
    try:
        number, key = facts["number"], bytes.fromhex(facts["public_key"])
    except (TypeError, KeyError) as error:
        raise ValueError("no public key") from error
    if type(number) is not int or not 1 <= number <= 255 or len(key) != 32:
        raise ValueError("no public key")
    return PublicKey(number, key)


def as_json(key: PublicKey) -> dict[str, object]:
    """What a public file holds."""
    return {"number": key.number, "public_key": key.key.hex()}


def trust(data: Path, key: PublicKey) -> bool:
    """Keep a public key; True when it is new. Raises UserError when its number has another."""
    path = directory(data) / f"key-{key.number}.public.json"
    if path.exists():
        if read_public(path) != key:
            raise UserError(
                _(
                    "Another key of the authority already has the number {number} here ({path}). "
                    "Ask the authority which one is right; nothing was changed."
                ).format(number=key.number, path=path)
            )
        return False
    text = json.dumps(as_json(key), indent=1).encode() + b"\n"
    durable.write(path, lambda f: f.write(text))
    return True


def _wrapping_key(passphrase: str, salt: bytes) -> bytes:
    kdf = Argon2id(salt=salt, length=32, iterations=_PASSES, lanes=_LANES, memory_cost=_KIB)
    return kdf.derive(passphrase.encode())


def make(data: Path, passphrase: str) -> PublicKey:
    """Make the next key pair; the private half reaches the disk only encrypted."""
    folder = directory(data)
    used = [int(m[1]) for p in folder.iterdir() if (m := re.match(r"key-(\d+)\.", p.name))]
    number = max(used, default=0) + 1
    if number > 255:
        raise UserError(_("All 255 numbers of authority keys are used."))
    private = X25519PrivateKey.generate()
    salt, nonce = os.urandom(16), os.urandom(12)
    sealed = AESGCM(_wrapping_key(passphrase, salt)).encrypt(
        nonce, private.private_bytes_raw(), str(number).encode()
    )
    facts = {
        "number": number,
        "kdf": "argon2id",
        "passes": _PASSES,
        "lanes": _LANES,
        "kib": _KIB,
        "salt": salt.hex(),
        "cipher": "aes-256-gcm",
        "nonce": nonce.hex(),
        "private_key": sealed.hex(),
    }
    text = json.dumps(facts, indent=1).encode() + b"\n"
    durable.write(folder / f"key-{number}.private.json", lambda f: f.write(text), 0o600)
    key = PublicKey(number, private.public_key().public_bytes_raw())
    trust(data, key)
    return key


def unlock(data: Path, passphrase: str) -> dict[int, X25519PrivateKey]:
    """All private keys that this passphrase opens, by number. Raises UserError when it opens none,
    or when there are none."""
    paths = sorted((data / "authority").glob("key-*.private.json"))
    if not paths:
        raise UserError(
            _("There is no private key of the authority here. Run: zoneband authority init"),
            ExitCode.USAGE,
        )
    found: dict[int, X25519PrivateKey] = {}
    for path in paths:
        try:
            facts = json.loads(path.read_text(encoding="utf-8"))
            number = int(facts["number"])
            kdf = Argon2id(
                salt=bytes.fromhex(facts["salt"]),
                length=32,
                iterations=int(facts["passes"]),
                lanes=int(facts["lanes"]),
                memory_cost=int(facts["kib"]),
            )
            raw = AESGCM(kdf.derive(passphrase.encode())).decrypt(
                bytes.fromhex(facts["nonce"]),
                bytes.fromhex(facts["private_key"]),
                str(number).encode(),
            )
        except InvalidTag:
            continue
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise UserError(
                _("{path} is damaged: put it back from your copy.").format(path=path)
            ) from error
        found[number] = X25519PrivateKey.from_private_bytes(raw)
    if not found:
        raise UserError(_("The passphrase is wrong."))
    return found
