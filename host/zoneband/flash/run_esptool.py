"""Runs esptool, in a process of its own, without the hex dump of each block for an unread trace.

esptool 5.6 formats every block as hex text, twice, whether it traces or not: 15 ms for 16 KiB, a
twelfth of the line's time at 921,600 baud. Nothing else of it is touched, nothing of Zoneband is
loaded here, and no module of Zoneband imports this file: `zoneband.flash.tool` starts it.
"""

import sys
from typing import Any

import esptool
from esptool import loader


class _NoDump:
    """Stands for esptool's formatter where nobody reads what it formats."""

    def __init__(self, *_: Any) -> None:
        pass

    def __format__(self, _spec: str) -> str:
        return ""


if __name__ == "__main__":
    if "--trace" not in sys.argv and "-t" not in sys.argv:
        setattr(loader, "HexFormatter", _NoDump)  # noqa: B010
    esptool._main()  # pyright: ignore[reportPrivateUsage]
