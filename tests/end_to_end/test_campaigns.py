"""Short campaigns: all is well; and with a guard taken out each sees what must never happen."""

import hmac
import json
import struct
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from zoneband.campaigns import flood, forge, fuzz, power, serial
from zoneband.campaigns.tally import FAILURES, Tally
from zoneband.sim import solo
from zoneband.wire import frames, handshake, sealing

KEYS_WIPED_FIRST = {
    "band/keys.py": [
        (
            "        self._put(kind, day, slot, key)\n        if old:\n            self._wipe(*old)\n",
            "        if old:\n            self._wipe(*old)\n        self._put(kind, day, slot, key)\n",
        )
    ]
}
NOT_READ_BACK = {
    "band/bandlog.py": [("        return bytes(back) == data\n", "        return True\n")],
    "band/mount.py": [("bytes(ring.slot(sector, middle)) == _ERASED", "_blank(ring, sector, middle)")],
}
