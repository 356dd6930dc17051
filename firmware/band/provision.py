# Makes a blank band one of ours: serial and lasting keys to NVS, the ID key to `bandkeys`.
#
# Runs once, over the REPL. NVS forgets nothing, so the ID keys, which must be forgotten, never
# go there.

import json

from .keys import BandKeys
from .store import Store


def provision(esp32, serial, board, day, base_key_hex, dock_key_hex, receipt_key_hex):
    # board: the facts of board.json; day: whole days since 1970 of the base key.
    store = Store(esp32.NVS("zoneband"))
    keys = BandKeys(esp32.Partition.find(type=1, label="bandkeys")[0])
    keys.provision(day, bytes.fromhex(base_key_hex))
    store.put_blob("dock_key", bytes.fromhex(dock_key_hex))
    store.put_blob("receipt_key", bytes.fromhex(receipt_key_hex))
    # The serial last: a band is provisioned when it has one.
    store.put_blob("serial", serial.encode())
    with open("board.json", "w") as f:
        json.dump(board, f)
    print("provisioned", serial)
