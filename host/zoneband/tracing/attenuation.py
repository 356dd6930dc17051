"""Attenuation: how much weaker a beacon arrives than it was sent.

RSSI depends on the two devices, attenuation only on what is between them: it is what thresholds are
given in. As in Google's and Apple's Exposure Notification, transmit levels are calibrated so that
the reference device counts as sending at -20 dBm: -72 dBm is 52 dB. A board's rssi_offset_db is
what is lost in its aerial and case, which is lost sending as well as receiving.
"""

TX_LEVEL_DBM = -20


def attenuation_db(rssi_dbm: float, offset_db: float = 0) -> float:
    """Attenuation of a level; offset_db: the observer's and the sender's offsets, added."""
    return TX_LEVEL_DBM - (rssi_dbm + offset_db)


def board_offsets() -> dict[str, int]:
    """Offsets (dB) of boards that have one, by name."""
    from zoneband.flash import board

    return {each.name: db for each in board.every() if (db := each.radio.rssi_offset_db)}
