"""Whose was a rotating ID: tables of all enrolled bands' IDs, a day at a time."""

from zoneband.wire import bluezone

_LOOK_BACK_DAYS = 21


class Identities:
    """Looks IDs up. Enrolled bands are (band id, base day, base key)."""

    def __init__(self) -> None:
        self._bands: dict[int, tuple[int, bytes]] = {}
        self._days: dict[int, dict[bytes, tuple[int, int]]] = {}

    def enrol(self, band: int, base_day: int, base_key: bytes) -> None:
        """Add a band to every day's table that is made already."""
        self._bands[band] = (base_day, base_key)
        for day, table in self._days.items():
            self._add(table, day, band)

    def _add(self, table: dict[bytes, tuple[int, int]], day: int, band: int) -> None:
        base_day, key = self._bands[band]
        if day < base_day:
            return
        for _ in range(day - base_day):
            key = bluezone.next_day_key(key)
        for slot, rotating_id in enumerate(bluezone.day_ids(key)):
            table[rotating_id] = (band, slot)

    def _table(self, day: int) -> dict[bytes, tuple[int, int]]:
        table = self._days.get(day)
        if table is None:
            table = {}
            for band in self._bands:
                self._add(table, day, band)
            self._days[day] = table
        return table

    def find(self, rotating_id: bytes, heard_s: int) -> tuple[int, bool] | None:
        """(band id, whether the ID was due within one slot of the time it was heard), or None.

        An ID is looked for without regard to its time, the likely days first."""
        today = heard_s // bluezone.DAY_S
        days = [today, today - 1, today + 1]
        days += [today - n for n in range(2, _LOOK_BACK_DAYS + 1)]
        for day in days:
            found = self._table(day).get(rotating_id)
            if found:
                band, slot = found
                due = day * bluezone.DAY_S + slot * bluezone.SLOT_S
                on_time = due - bluezone.SLOT_S <= heard_s < due + 2 * bluezone.SLOT_S
                return band, on_time
        return None
