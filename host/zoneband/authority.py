"""The health authority's key pairs: public halves everywhere, private ones under a passphrase.

A number N, 1 to 255, stands for two pairs: X25519, which records are sealed to, and Ed25519, which
signs updates. In authority/ of the data directory key-N.public.json has both public keys,
key-N.private.json and key-N.sign.private.json have the private ones. The highest number is in use.
A private file is the 32-byte key under AES-256-GCM with a key that Argon2id (RFC 9106, second
recommended choice) makes of the passphrase: PKCS#8 as `cryptography` writes it would stretch it
only 2,048 times.
"""

import json
import os
import re
from pathlib import Path
from typing import Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
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
_SEALING, _SIGNING = "", ".sign"


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
        signing = bytes.fromhex(facts.get("signing_key", ""))
    except (TypeError, KeyError, AttributeError) as error:
        raise ValueError("no public key") from error
    if type(number) is not int or not 1 <= number <= 255 or len(key) != 32:
        raise ValueError("no public key")
    if len(signing) not in (0, 32):
        raise ValueError("no public key")
    return PublicKey(number, key, signing)


def as_json(key: PublicKey) -> dict[str, object]:
    """What a public file holds."""
    facts: dict[str, object] = {"number": key.number, "public_key": key.key.hex()}
    return facts | {"signing_key": key.signing.hex()} if key.signing else facts


def trust(data: Path, key: PublicKey) -> bool:
    """Keep a public key; True when it is new, or its signing key is. Raises UserError when its
    number has another."""
    path = directory(data) / f"key-{key.number}.public.json"
    if path.exists():
        known = read_public(path)
        if known.key != key.key or (known.signing and key.signing not in (b"", known.signing)):
            raise UserError(
                _(
                    "Another key of the authority already has the number {number} here ({path}). "
                    "Ask the authority which one is right; nothing was changed."
                ).format(number=key.number, path=path)
            )
        if known.signing or not key.signing:
            return False
    text = json.dumps(as_json(key), indent=1).encode() + b"\n"
    durable.write(path, lambda f: f.write(text))
    return True


# --- private keys ------------------------------------------------------------------------------


def make(data: Path, passphrase: str) -> PublicKey:
    """Make the next number's key pairs; the private halves reach the disk only encrypted."""
    folder = directory(data)
    used = [int(m[1]) for p in folder.iterdir() if (m := re.match(r"key-(\d+)\.", p.name))]
    number = max(used, default=0) + 1
    if number > 255:
        raise UserError(_("All 255 numbers of authority keys are used."))
    private, signing = X25519PrivateKey.generate(), Ed25519PrivateKey.generate()
    _lock(folder, number, _SIGNING, signing.private_bytes_raw(), passphrase)
    _lock(folder, number, _SEALING, private.private_bytes_raw(), passphrase)
    public = private.public_key().public_bytes_raw()
    key = PublicKey(number, public, signing.public_key().public_bytes_raw())
    trust(data, key)
    return key


def lacks_signing(data: Path) -> int | None:
    """The newest number when its private key is here and it has no signing key, as made by an
    earlier program; else None."""
    keys = public_keys(data)
    if not keys or keys[-1].signing:
        return None
    number = keys[-1].number
    return number if _path(directory(data), number, _SEALING).exists() else None


def add_signing(data: Path, passphrase: str) -> PublicKey:
    """Make the signing key that the newest number lacks, under the passphrase of its other key.
    Raises UserError when that is not it."""
    number = lacks_signing(data)
    assert number is not None
    folder = directory(data)
    if number not in unlock(data, passphrase):
        raise UserError(_("The passphrase is wrong."))
    signing = Ed25519PrivateKey.generate()
    _lock(folder, number, _SIGNING, signing.private_bytes_raw(), passphrase)
    known = public_keys(data)[-1]
    key = PublicKey(number, known.key, signing.public_key().public_bytes_raw())
    trust(data, key)
    return key


def unlock(data: Path, passphrase: str) -> dict[int, X25519PrivateKey]:
    """All private keys to unseal with that this passphrase opens, by number. Raises UserError when
    it opens none, or when there are none."""
    folder = data / "authority"
    numbers = [
        int(m[1])
        for p in sorted(folder.glob("key-*.private.json"))
        if (m := re.fullmatch(r"key-(\d+)\.private\.json", p.name))
    ]
    if not numbers:
        raise UserError(
            _("There is no private key of the authority here. Run: zoneband authority init"),
            ExitCode.USAGE,
        )
    found: dict[int, X25519PrivateKey] = {}
    for number in numbers:
        raw = _open(folder, number, _SEALING, passphrase)
        if raw is not None:
            found[number] = X25519PrivateKey.from_private_bytes(raw)
    if not found:
        raise UserError(_("The passphrase is wrong."))
    return found


def signing_key(data: Path, passphrase: str) -> Ed25519PrivateKey:
    """The private key that signs updates, of the newest number (`current`). Raises UserError when
    it is not here, or the passphrase does not open it."""
    folder, number = data / "authority", current(data).number
    if not _path(folder, number, _SIGNING).exists():
        raise UserError(
            _(
                "The signing key of number {number} is not here. Sign where the authority's keys "
                "are; keys of an earlier program get one by zoneband authority init."
            ).format(number=number),
            ExitCode.USAGE,
        )
    raw = _open(folder, number, _SIGNING, passphrase)
    if raw is None:
        raise UserError(_("The passphrase is wrong."))
    return Ed25519PrivateKey.from_private_bytes(raw)


def _path(folder: Path, number: int, use: str) -> Path:
    return folder / f"key-{number}{use}.private.json"


def _bound(number: int, use: str) -> bytes:
    # What the ciphertext is bound to: a file that got another's name does not open.
    return f"{number}{use}".encode()


def _lock(folder: Path, number: int, use: str, raw: bytes, passphrase: str) -> None:
    # A private key into its file, encrypted.
    salt, nonce = os.urandom(16), os.urandom(12)
    kdf = Argon2id(salt=salt, length=32, iterations=_PASSES, lanes=_LANES, memory_cost=_KIB)
    wrapping = AESGCM(kdf.derive(passphrase.encode()))
    facts = {
        "number": number,
        "kdf": "argon2id",
        "passes": _PASSES,
        "lanes": _LANES,
        "kib": _KIB,
        "salt": salt.hex(),
        "cipher": "aes-256-gcm",
        "nonce": nonce.hex(),
        "private_key": wrapping.encrypt(nonce, raw, _bound(number, use)).hex(),
    }
    text = json.dumps(facts, indent=1).encode() + b"\n"
    durable.write(_path(folder, number, use), lambda f: f.write(text), 0o600)


def _open(folder: Path, number: int, use: str, passphrase: str) -> bytes | None:
    # A private key from its file, None when the passphrase is another's.
    path = _path(folder, number, use)
    try:
        facts = json.loads(path.read_text(encoding="utf-8"))
        kdf = Argon2id(
            salt=bytes.fromhex(facts["salt"]),
            length=32,
            iterations=int(facts["passes"]),
            lanes=int(facts["lanes"]),
            memory_cost=int(facts["kib"]),
        )
        return AESGCM(kdf.derive(passphrase.encode())).decrypt(
            bytes.fromhex(facts["nonce"]),
            bytes.fromhex(facts["private_key"]),
            _bound(number, use),
        )
    except InvalidTag:
        return None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(
            _("{path} is damaged: put it back from your copy.").format(path=path)
        ) from error
