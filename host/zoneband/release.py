"""Making a release: the firmware's application in one file, signed by the authority.

A bundle (`zoneband-0.2.0.zbu`) is what stations carry:

    magic "ZBUPDATE", format u8 (1), size of the manifest u16, manifest (wire.bundle), signature
    (64 bytes), application file

and the application file is what firmware/loader.py imports from:

    magic "ZBAP", size of the index u32, index, files

with an index line "\\nNAME OFFSET" a file (offset from the begin, 6 hexadecimal digits), in the
order of names, and "\\n" at its end. Numbers are little-endian; the same firmware gives the same
bytes.
"""

import hashlib
import re
import struct
from dataclasses import dataclass
from pathlib import Path

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from zoneband.errors import ExitCode, UserError
from zoneband.flash import app
from zoneband.flash import board as boards
from zoneband.i18n import _
from zoneband.seal import PublicKey
from zoneband.wire import bundle

Version = tuple[int, int, int]

SUFFIX = ".zbu"
_MAGIC = b"ZBUPDATE"
_FORMAT = 1
_HEAD = "<8sBH"
_HEAD_BYTES = struct.calcsize(_HEAD)
_APP_MAGIC = b"ZBAP"


@dataclass(frozen=True)
class Bundle:
    """An update. number: of the authority's key; replaces: the newer version it may follow, or
    None; boards: () for all; mpy: version of its compiled files; app: the application file."""

    number: int
    version: Version
    replaces: Version | None
    boards: tuple[str, ...]
    mpy: int
    manifest: bytes
    signature: bytes
    app: bytes

    def pack(self) -> bytes:
        """The bundle as a file's bytes."""
        head = struct.pack(_HEAD, _MAGIC, _FORMAT, len(self.manifest))
        return head + self.manifest + self.signature + self.app

    def signed_by(self, key: bytes) -> bool:
        """Whether this Ed25519 public key (32 bytes) signed it."""
        try:
            Ed25519PublicKey.from_public_bytes(key).verify(
                self.signature, bundle.LABEL + self.manifest
            )
        except (InvalidSignature, ValueError):
            return False
        return True


def unpack(data: bytes) -> Bundle:
    """A bundle from a file's bytes; the signature is not checked, all else is. Raises
    ValueError."""
    if len(data) < _HEAD_BYTES or data[: len(_MAGIC)] != _MAGIC:
        raise ValueError("no update")
    _magic, fmt, size = struct.unpack(_HEAD, data[:_HEAD_BYTES])
    at = _HEAD_BYTES + size
    manifest, signature = data[_HEAD_BYTES:at], data[at : at + bundle.SIGNATURE_BYTES]
    made = data[at + bundle.SIGNATURE_BYTES :]
    if fmt != _FORMAT or len(manifest) != size or len(signature) != bundle.SIGNATURE_BYTES:
        raise ValueError("no update")
    number, version, was, mpy, app_bytes, digest, names = bundle.unpack(manifest)
    if len(made) != app_bytes or hashlib.sha256(made).digest() != digest:
        raise ValueError("damaged")
    replaces = was if any(was) else None
    return Bundle(number, version, replaces, names, mpy, manifest, signature, made)


def read(path: Path) -> Bundle:
    """A bundle from its file. Raises UserError."""
    try:
        return unpack(path.read_bytes())
    except (OSError, ValueError) as error:
        raise UserError(
            _("{path} is no update, or a damaged one.").format(path=path), ExitCode.USAGE
        ) from error


def firmware_version(folder: Path = app.FIRMWARE) -> Version:
    """The version that the firmware's sources say. Raises ValueError."""
    text = (folder / "band" / "version.py").read_text(encoding="utf-8")
    found = re.search(r"^VERSION = \((\d+), (\d+), (\d+)\)$", text, re.MULTILINE)
    if found is None:
        raise ValueError("band/version.py")
    return int(found[1]), int(found[2]), int(found[3])


def read_version(text: str) -> Version:
    """X.Y.Z, each 0 to 255. Raises UserError."""
    found = re.fullmatch(r"(\d{1,3})\.(\d{1,3})\.(\d{1,3})", text)
    numbers = [int(part) for part in found.groups()] if found else []
    if not any(numbers) or max(numbers) > 255:
        raise UserError(
            _("A version is three numbers up to 255, such as 0.2.0, not {text}.").format(text=text),
            ExitCode.USAGE,
        )
    return numbers[0], numbers[1], numbers[2]


def name_of(version: Version) -> str:
    """X.Y.Z."""
    return ".".join(map(str, version))


def pack_app(files: dict[str, bytes]) -> bytes:
    """The application file of these modules."""
    names = sorted(files)
    index_bytes = sum(len(name) + 8 for name in names) + 1
    at = len(_APP_MAGIC) + 4 + index_bytes
    index = b""
    for name in names:
        index += f"\n{name} {at:06x}".encode()
        at += len(files[name])
    index += b"\n"
    assert len(index) == index_bytes
    contents = b"".join(files[name] for name in names)
    return _APP_MAGIC + struct.pack("<I", index_bytes) + index + contents


def make(
    key: Ed25519PrivateKey,
    public: PublicKey,
    wanted: Version | None = None,
    only: tuple[str, ...] = (),
    replaces: Version | None = None,
    folder: Path = app.FIRMWARE,
) -> Bundle:
    """Compile and sign. wanted: the version that the caller means to release; only: names of
    boards, none for all; replaces: the newer version that this one may follow. Raises UserError."""
    version = firmware_version(folder)
    if wanted is not None and wanted != version:
        raise UserError(
            _(
                "The firmware here is version {found}, not {wanted}: change firmware/band/"
                "version.py first."
            ).format(found=name_of(version), wanted=name_of(wanted)),
            ExitCode.USAGE,
        )
    if replaces is not None and replaces <= version:
        raise UserError(
            _("--replaces names a version newer than {version}; {replaces} is not.").format(
                version=name_of(version), replaces=name_of(replaces)
            ),
            ExitCode.USAGE,
        )
    names = tuple(sorted({boards.find(name).name for name in only}))
    if len(names) > bundle.BOARDS_MAX:
        raise UserError(
            _("An update names at most {n} boards; name none for all.").format(n=bundle.BOARDS_MAX),
            ExitCode.USAGE,
        )
    files = app.compile_app(folder)
    made = pack_app(files)
    if len(made) > bundle.APP_MAX:
        raise UserError(_("The firmware is too large for an update."))
    digest = hashlib.sha256(made).digest()
    mpy = app.abi(files)
    manifest = bundle.pack(
        public.number, version, replaces or (0, 0, 0), mpy, len(made), digest, names
    )
    signature = key.sign(bundle.LABEL + manifest)
    found = Bundle(public.number, version, replaces, names, mpy, manifest, signature, made)
    if not found.signed_by(public.signing):
        raise UserError(
            _("The signing key does not belong to the public key of number {number}.").format(
                number=public.number
            )
        )
    return found
