"""Where bands may be: the serial ports of this computer, and those given by name."""

import os
import re
from dataclasses import dataclass
from pathlib import Path

from serial.tools import list_ports

# USB vendors of the bridges and chips that boards carry: CP210x, CH34x, FTDI, Espressif.
VENDORS = {0x10C4: "CP210x", 0x1A86: "CH34x", 0x0403: "FTDI", 0x303A: "Espressif"}


# From plugging in to opening: the band saves what a reset by the opening would take.
SETTLE_S = 0.5


@dataclass(frozen=True)
class Port:
    """A serial port; what is the bridge's name or "" for a port given by hand."""

    device: str
    what: str


def find() -> list[Port]:
    """Ports with a bridge that a band may sit behind, in order of their names.

    $ZONEBAND_PORTS names a folder of links to ports instead, as udev makes /dev/serial/by-path:
    for hubs whose slots have names, and for virtual trays."""
    folder = os.environ.get("ZONEBAND_PORTS")
    if folder:
        links = [path for path in Path(folder).glob("[!.]*") if path.exists()]
        return [Port(str(path), "") for path in sorted(links, key=_in_order)]
    found = [
        Port(info.device, VENDORS[info.vid])
        for info in list_ports.comports()
        if info.vid in VENDORS
    ]
    return sorted(found, key=lambda port: port.device)


def _in_order(path: Path) -> tuple[str, int]:
    # slot-2 before slot-10.
    number = re.search(r"\d+$", path.name)
    return path.name[: number.start()] if number else path.name, int(number[0]) if number else 0


def identity(port: str) -> tuple[int, int] | None:
    """What changes when another device is plugged in under the same name; None when nothing is
    there. A port over the network never changes."""
    if "://" in port:
        return (0, 0)
    try:
        node = os.lstat(port)
        os.stat(port)
    except OSError:
        return None
    return (node.st_ino, node.st_ctime_ns)
