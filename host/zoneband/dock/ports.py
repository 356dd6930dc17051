"""Where bands may be: the serial ports of this computer, and those given by name."""

from dataclasses import dataclass

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
    """Ports with a bridge that a band may sit behind, in order of their names."""
    found = [
        Port(info.device, VENDORS[info.vid])
        for info in list_ports.comports()
        if info.vid in VENDORS
    ]
    return sorted(found, key=lambda port: port.device)
