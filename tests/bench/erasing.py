"""Erasing at scale: one band out of 10 M encounters."""

import os
import tempfile
import time
from pathlib import Path

import pyarrow.compute as pc
import pyarrow.parquet as pq

from bench.city import City
from bench.rows import rows
from bench.tracing import _city


def _holds(folder: Path, band: int) -> tuple[int, int]:
    """Rows in all files of a folder, and those of a band: every file read through, without the
    server's own code."""
    every = mine = 0
    for file in folder.glob("day=*/*"):
        table = pq.read_table(file, columns=["observer", "contact"])
        every += table.num_rows
        own = pc.or_(pc.equal(table["observer"], band), pc.equal(table["contact"], band))
        mine += pc.sum(own).as_py() or 0
    return every, mine


def erase(city: City, root: Path, spent: list[float]) -> None:
    """Erase one band of a city whose segments are below root; what is left is held against what
    was there."""
    from sqlalchemy import insert

    from bench.server import _serial
    from zoneband.server import ledger, store
    from zoneband.server.tracing_server import TracingServer

    band = city.cases(1, 1)[0][0]
    with tempfile.TemporaryDirectory(dir=root.parent) as place:
        data = Path(place)
        server = TracingServer(data, utc=lambda: float(city.to_s))
        segments = []
        for file in root.glob("day=*/*.parquet"):
            path = file.relative_to(root)
            there = data / "encounters" / path
            there.parent.mkdir(exist_ok=True)
            os.link(file, there)  # they are never changed
            day = int(store.places(root, str(path))["start_s"][0]) // 86_400
            count = pq.ParquetFile(file).metadata.num_rows
            facts = {"path": str(path), "day": day, "rows": count, "level": 2}
            segments.append(facts | {"unresolved": 0, "tried": 0, "loose": 0})
        key = bytes(32)
        with server._engine.begin() as db:
            db.execute(insert(ledger.segments), segments)
            db.execute(
                insert(ledger.bands),
                [
                    {
                        "id": n, "serial": _serial(n), "board": "virtual", "role": "band",
                        "base_day": city.first_day, "base_key": key, "dock_key": key,
                        "receipt_key": key,
                    }
                    for n in range(1, city.bands + 1)
                ],
            )  # fmt: skip
        every, mine = _holds(data / "encounters", band)
        assert mine > 100
        os.sync()  # what this set-up wrote is not the erasure's to wait for
        store._whole.clear()
        began = time.monotonic()
        done = server.erasing.erase(_serial(band))
        spent.append(time.monotonic() - began)
        erased = done["erased"]
        assert erased["encounters_own"] + erased["encounters_of_others"] == mine
        assert _holds(data / "encounters", band) == (every - mine, 0)


@rows(("erase_10m_s", "s", "<=", 3.0))
def erase_10m() -> dict[str, float]:
    """One band of 10,000 erased from 10 M encounters of 14 days (bench/city.py): each segment is
    checked by its digest, looked through, written anew without the band's rows on either side and
    synced; the old files are removed, and the new ones looked through once more. Then every row of
    every file is counted."""
    city, folder = _city()
    spent: list[float] = []
    erase(city, Path(folder.name), spent)
    return {"erase_10m_s": spent[0]}
