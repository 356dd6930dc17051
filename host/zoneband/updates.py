"""Updates at a station: those that the authority signed, and which of them a band should take."""

from pathlib import Path

from zoneband import authority, durable, release, station
from zoneband.errors import UserError
from zoneband.i18n import _
from zoneband.release import Bundle, Version


def directory(data: Path) -> Path:
    """Where they are, made when missing."""
    path = station.directory(data) / "updates"
    path.mkdir(exist_ok=True)
    return path


def check(data: Path, bundle: Bundle) -> None:
    """Raises UserError when no key of the authority that is trusted here signed it."""
    keys = [key for key in authority.public_keys(data) if key.number == bundle.number]
    if not keys or not keys[0].signing:
        raise UserError(
            _(
                "This update is signed with key {number} of the authority, which this station does "
                "not know. Register the station again, or run zoneband authority trust FILE."
            ).format(number=bundle.number)
        )
    if not bundle.signed_by(keys[0].signing):
        raise UserError(_("The authority did not sign this update: it is not kept."))


def add(data: Path, file: Path) -> Bundle:
    """Keep an update. Raises UserError for one that the authority did not sign."""
    bundle = release.read(file)
    check(data, bundle)
    # One version may be signed with each of two keys: bands of either are docked here.
    parts = ("zoneband", release.name_of(bundle.version), f"key{bundle.number}", *bundle.boards)
    path = directory(data) / f"{'-'.join(parts)}{release.SUFFIX}"
    durable.write(path, lambda f: f.write(bundle.pack()))
    return bundle


def every(data: Path) -> list[Bundle]:
    """All that are here and still good, oldest version first."""
    found: list[Bundle] = []
    for path in sorted((data / "station" / "updates").glob(f"*{release.SUFFIX}")):
        try:
            bundle = release.read(path)
            check(data, bundle)
        except UserError:
            continue
        found.append(bundle)
    return sorted(found, key=lambda each: each.version)


def find(data: Path, board: str, version: Version, signer: int) -> Bundle | None:
    """The newest update for a band of this board and version that takes the updates of the
    authority's key `signer` (its number), None when it has the newest. What another update steps
    back from is given to nobody."""
    here = [
        each
        for each in every(data)
        if each.number == signer and (not each.boards or board in each.boards)
    ]
    withdrawn = {each.replaces for each in here}
    fitting = [
        each
        for each in here
        if each.version not in withdrawn and (each.version > version or each.replaces == version)
    ]
    return fitting[-1] if fitting else None
