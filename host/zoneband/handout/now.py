"""Docks a band that is plugged in while it is handed out, so that it is active at once."""

import time
from pathlib import Path

from zoneband import station as stations
from zoneband.dock import ports
from zoneband.dock.job import DockJob, DockResult
from zoneband.groups import GroupKeys
from zoneband.inventory import Inventory
from zoneband.spool import Spool


def dock_now(data: Path, serial: str, given: list[str]) -> DockResult | None:
    """Dock at the given ports, or at all that may be bands, until this band came; None when it
    did not."""
    directory = stations.directory(data)
    settings = stations.load(data)
    name = settings.name if settings else "-"
    inventory = Inventory(directory)
    time.sleep(ports.SETTLE_S)
    for port in given or [found.device for found in ports.find()]:
        groups = GroupKeys(data)
        job = DockJob(
            port,
            Spool(directory),
            name,
            stations.clock_vouched(data),
            groups.of_band,
            inventory=inventory,
            newest_key=groups.newest,
        )
        result = job.run()
        if result.serial == serial:
            return result
    return None
