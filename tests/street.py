"""Some virtual bands and a station's spool."""

from pathlib import Path

from zoneband import batch as batches
from zoneband.dock.job import ISSUE, DockJob, DockResult, Outcome
from zoneband.inventory import Inventory
from zoneband.seal import PublicKey
from zoneband.server.opener import Opener
from zoneband.server.parse import encounters, parse
from zoneband.sim import keys
from zoneband.sim.keys import dock_key
from zoneband.sim.simulation import Provision, Simulation, VirtualBand
from zoneband.spool import Spool

START = 1_793_682_000


class Street:
    """Some issued bands and a station's spool."""

    def __init__(
        self,
        path: Path,
        places: list[float],
        seed: int = 1,
        authority: PublicKey = keys.AUTHORITY,
    ) -> None:
        """authority: whom the bands seal their logs to. They take what keys.SIGNING signs."""
        signer = bytes((keys.AUTHORITY_NUMBER,)) + keys.SIGNER
        self.sim = Simulation(path / "sim", seed, START, loss=0.3)
        self.sim.__enter__()
        self.spool = Spool(path / "station")
        self.inventory = Inventory(path / "station")
        self.bands: list[VirtualBand] = []
        for n, x in enumerate(places):
            base, receipt = bytes([n + 1, 0] * 16), bytes([n + 1, 2] * 16)
            facts = Provision(
                f"ZB-000{n}-0000",
                START // 86400,
                base,
                None,
                receipt,
                authority=authority,
                signer=signer,
            )
            self.bands.append(self.sim.add_band(facts.serial, x, 0.0, facts))

    def dock(self, band: VirtualBand, state: tuple[int, int] | None = None) -> DockResult:
        port = self.sim.plug(band)
        self.sim.run_on()
        job = DockJob(
            port,
            self.spool,
            "st",
            True,
            dock_key,
            state=state,
            utc=self.utc,
            inventory=self.inventory,
        )
        result = job.run()
        self.sim.hold()
        return result

    def utc(self) -> float:
        return START + self.sim.now_s

    def issue(self) -> None:
        for band in self.bands:
            assert self.dock(band, (ISSUE, 1)).outcome == Outcome.DONE.value
            self.sim.unplug(band)

    def heard(self, band: VirtualBand) -> list[tuple[bytes, int, int, int, int, int, int, int]]:
        out = []
        seen = set()
        for name in self.spool.waiting():
            batch = batches.unpack(self.spool.data(name))
            if batch.header.serial == band.name:
                for placed, fields in encounters(parse(batch, self.opener(band))):
                    if (placed.sector, placed.slot) not in seen:
                        seen.add((placed.sector, placed.slot))
                        out.append(fields)
        return out

    def opener(self, band: VirtualBand) -> Opener:
        """What opens a band's log, as the server has it."""
        receipt_key = bytes([band.index + 1, 2] * 16)
        return Opener({keys.AUTHORITY_NUMBER: keys.PRIVATE_KEY}, band.name, receipt_key)

    def later(self, seconds: float) -> None:
        self.sim.run_until(self.sim.now_s + seconds)
