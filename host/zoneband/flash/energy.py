"""How long a charge lasts: a model, not a measurement.

    mA = idle + (listen - idle) * share of the time in which a window is open
    hours = capacity * 0.85 / mA

idle and listen are the chip's (zoneband.flash.chips, with their sources); 0.85 is what regulator
and an ageing cell leave. The board's own parts (bridge, screen, power LED) are not counted, so
real boards last shorter. Good to perhaps a third either way.
"""

from zoneband.flash.board import Board
from zoneband.wire.settings import RANGES

USABLE = 0.85
# Shorter than a waking day's half: shown red.
SHORT_H = 12.0


def listening_share() -> float:
    """Share of the time that the default schedule listens."""
    return RANGES["window_ms"][0] / RANGES["period_ms"][0]


def hours(board: Board) -> float:
    """Modelled hours per charge at the default schedule."""
    chip = board.about
    current_ma = chip.idle_ma + (chip.listen_ma - chip.idle_ma) * listening_share()
    return board.battery.mah * USABLE / current_ma
