"""Bands at a station's docks, without the cable: their logs into its spool, its receipts back.

A band is files in a directory: what it is, its slots, and how far it has a receipt. It is at one
dock at a time.
"""

import fcntl
import hmac
import json
import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from zoneband import durable
from zoneband import station as stations
from zoneband.campaigns.made import Docked, MadeLog
from zoneband.errors import UserError
from zoneband.spool import Spool
from zoneband.wire import receipt


def put_away(folder: Path, book: MadeLog) -> None:
    """A band's log as it is now, for docks to find."""
    slots = bytes(book.slots)
    durable.write(folder / f"{book.serial}.slots", lambda f: f.write(slots))
    about = folder / f"{book.serial}.json"
    if not about.exists():
        facts = {"serial": book.serial, "log_id": book.log_id, "boot_s": book.boot_s}
        text = json.dumps({**facts, "receipt_key": book.receipt_key.hex()})
        durable.write(about, lambda f: f.write(text.encode()))


def receipted(folder: Path, serial: str) -> int:
    """The cursor up to which a band has a receipt, and forgets."""
    path = folder / f"{serial}.receipted"
    return int(path.read_text()) if path.exists() else 0


@contextmanager
def _here(folder: Path, serial: str) -> Generator[bool]:
    # Whether the band is at this dock; at no other one then.
    with (folder / f"{serial}.lock").open("w") as f:
        try:
            fcntl.flock(f, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
            return
        yield True


def main() -> None:
    """zoneband DATA STATION BANDS SERIAL…: dock these bands once, in order."""
    data, station, folder, *serials = sys.argv[1:]
    bands = Path(folder)
    try:
        spool = Spool(stations.directory(Path(data)))
        for serial in serials:
            with _here(bands, serial) as here:
                if here:
                    _dock(spool, station, bands, serial)
    except UserError as error:
        print(error.message)
        raise SystemExit(int(error.code)) from None


def _dock(spool: Spool, station: str, bands: Path, serial: str) -> None:
    facts = json.loads((bands / f"{serial}.json").read_text())
    slots = (bands / f"{serial}.slots").read_bytes()
    upto = receipted(bands, serial)
    band = Docked(serial, facts["log_id"], facts["boot_s"], upto, slots)
    first = max(spool.cursor(serial, band.log_id), upto)
    for data in band.batches(station, first):
        spool.add(data)
    key = bytes.fromhex(facts["receipt_key"])
    for kept in spool.receipts(serial, band.log_id, upto):
        digest = band.digest(upto, kept.upto)
        made = receipt.mac(key, serial, band.log_id, upto, kept.upto, digest)
        if not hmac.compare_digest(made, kept.mac):
            raise RuntimeError(f"{serial} was given a wrong receipt")
        durable.write(
            bands / f"{serial}.receipted", lambda f, n=kept.upto: f.write(str(n).encode())
        )
        spool.delivered(kept)
        break
