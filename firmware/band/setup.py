# What flashing asks of a band over the REPL: who it is, whether its files are whole, keys, and a
# test of every part. Each answer is a line of JSON.
#
# NVS forgets nothing, so the ID keys, which must be forgotten, never go there.

import binascii
import json
import struct
import sys

from wire import enrol

from . import files
from .keys import BandKeys
from .store import Store


def _hex(data):
    return binascii.hexlify(data).decode()


def _say(**facts):
    print(json.dumps(facts))


def _partition(esp32, label):
    return esp32.Partition.find(type=1, label=label)[0]


def _bad_files():
    # Files that are not what the manifest says.
    try:
        with open("manifest.json") as f:
            named = json.load(f)["files"]
    except (OSError, ValueError, KeyError):
        return ["manifest.json"]
    bad = []
    for path in named:
        try:
            if _hex(files.sha256(path)) != named[path]:
                bad.append(path)
        except OSError:
            bad.append(path)
    return bad


def look(esp32):
    # mpy: ABI of compiled files (0 when this build reads none); keys: "none", "half" or "whole".
    store = Store(esp32.NVS("zoneband"))
    serial = (store.get_blob("serial") or b"").decode()
    found = esp32.Partition.find(type=1, label="bandkeys")
    loaded = bool(found) and BandKeys(found[0]).load()
    lasting = [store.get_blob(name) for name in ("dock", "receipt_key", "authority")]
    if serial and loaded and None not in lasting:
        keys = "whole"
    else:
        keys = "half" if serial or loaded or set(lasting) != {None} else "none"
    try:
        manifest = _hex(files.sha256("manifest.json"))
    except OSError:
        manifest = ""
    _say(
        mpy=getattr(sys.implementation, "_mpy", 0),
        release=".".join(str(n) for n in sys.implementation.version[:3]),
        manifest=manifest,
        bad=_bad_files(),
        serial=serial,
        keys=keys,
        check=_hex(store.get_blob("check") or b""),
    )


def provision(
    esp32, serial, day, base_key, dock_key, receipt_key, group, generation, authority, signer
):
    # Make a blank band one of ours. Keys as hex; day: whole days since 1970 of the base key; group
    # and generation: whose key the dock key was made of; authority and signer: number of the key
    # (1 byte) and the public key, to seal the log to and to check updates with ("": none). The
    # check is made from what reads back.
    store = Store(esp32.NVS("zoneband"))
    flash = _partition(esp32, "bandkeys")
    BandKeys(flash).provision(day, binascii.unhexlify(base_key))
    store.put_blob("dock", struct.pack("<HB", group, generation) + binascii.unhexlify(dock_key))
    store.put_blob("receipt_key", binascii.unhexlify(receipt_key))
    store.put_blob("authority", binascii.unhexlify(authority))
    if signer:
        store.put_blob("signer", binascii.unhexlify(signer))
    keys = BandKeys(flash)
    whole = keys.load()
    slot_key, next_day_key = keys.stand()
    dock, receipt = (store.get_blob(name) or b"" for name in ("dock", "receipt_key"))
    check = enrol.check(serial, slot_key, next_day_key, dock[3:], receipt)
    store.put_blob("check", check)
    # The serial last: a band is provisioned when it has one.
    store.put_blob("serial", serial.encode())
    _say(provisioned=serial if whole else "", check=_hex(check))


def test(machine, esp32, bluetooth):
    # One line a part: name, and true, false, or null where the board has no such part.
    from . import selftest

    for name, good in selftest.parts(machine, esp32, bluetooth):
        _say(test=name, good=good)
